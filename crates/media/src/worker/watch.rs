//! Whether a party is heard as it should be: the one-way-audio alarm, and the silence a party
//! announces instead of sending it.

use super::leg::LegState;
use crate::comfort::ComfortNoise;
use crate::event::{MediaEvent, SilenceReason};
use crate::frame::FRAME_MS;
use crate::params::MediaDirection;
use crate::rtp::RtpPacket;

/// The party suppresses its silence and told us what to hear instead.
pub(super) struct Comfort {
    pub noise: ComfortNoise,
    pub is_on: bool,
    /// Audio came since: it ends the noise when it is played.
    pub audio_came: bool,
}

impl Comfort {
    pub fn new(seed: u32) -> Self {
        Self {
            noise: ComfortNoise::new(seed),
            is_on: false,
            audio_came: false,
        }
    }

    /// A frame of audio is played.
    pub fn audio_played(&mut self) {
        if self.audio_came {
            self.is_on = false;
        }
    }
}

/// How much longer than elsewhere silence is no alarm while the party suppresses it: descriptions
/// come when the noise changes, which may be seldom (RFC 3389 §4).
const COMFORT_PATIENCE: u32 = 10;

/// Packets that came instead of usable ones: they tell why nothing is heard.
#[derive(Default)]
pub(super) struct Refused {
    unauthentic: u32,
    foreign: u32,
    unusable: u32,
}

impl Refused {
    pub fn unauthentic(&mut self) {
        self.unauthentic = self.unauthentic.saturating_add(1);
    }

    pub fn foreign(&mut self) {
        self.foreign = self.foreign.saturating_add(1);
    }

    pub fn unusable(&mut self) {
        self.unusable = self.unusable.saturating_add(1);
    }

    fn reason(&self) -> SilenceReason {
        // A stray packet is no reason; a tenth of what a talker sends in a second is.
        const ENOUGH: u32 = 5;
        if self.unauthentic >= ENOUGH {
            SilenceReason::NotAuthentic
        } else if self.foreign >= ENOUGH {
            SilenceReason::ForeignSource
        } else if self.unusable >= ENOUGH {
            SilenceReason::NotUsable
        } else {
            SilenceReason::NothingArrives
        }
    }
}

impl LegState {
    /// The party was answered.
    pub fn watch(&mut self) {
        self.is_watched = true;
        self.silent_ticks = 0;
    }

    pub(super) fn on_comfort(&mut self, packet: &RtpPacket<'_>) {
        if self.comfort.noise.update(packet.payload).is_err() {
            self.shared.counters.rx_invalid.add(1);
            return;
        }
        self.comfort.is_on = true;
        self.comfort.audio_came = false;
    }

    /// One-way audio is the commonest fault of telephony over NAT: tell it while the call runs.
    pub(super) fn watch_for_silence(&mut self) {
        if !self.is_watched || !self.flows_both_ways() {
            self.silent_ticks = 0;
            // On hold nothing is missing any more.
            if std::mem::take(&mut self.no_rtp_reported) {
                self.report(MediaEvent::RtpResumed);
            }
            return;
        }
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        let limit = if self.comfort.is_on {
            self.no_rtp_ticks.saturating_mul(COMFORT_PATIENCE)
        } else {
            self.no_rtp_ticks
        };
        if self.silent_ticks >= limit && !self.no_rtp_reported {
            self.no_rtp_reported = true;
            self.report(MediaEvent::NoRtp {
                silent_ms: u64::from(self.silent_ticks) * u64::from(FRAME_MS),
                reason: self.refused.reason(),
            });
        }
    }

    /// Neither side holds: who holds us may send music or nothing at all.
    pub(super) fn flows_both_ways(&self) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.params.direction == MediaDirection::SendRecv)
    }
}
