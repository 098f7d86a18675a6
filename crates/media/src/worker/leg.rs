//! One leg on its worker: what it hears and what it sends, tick by tick.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use switchhook_model::Digit;
use tokio::sync::mpsc;

use super::command::{Grave, Link, LinkFrame, Slot};
use super::heard::{Heard, Passed};
use super::sender::Sender;
use super::watch::{Comfort, Refused, SilenceLimits};
use crate::assistant::AssistantTap;
use crate::codec::coders::Coders;
use crate::codec::opus::OpusHeard;
use crate::codec::{Codec, Law};
use crate::conceal::{Concealer, HISTORY};
use crate::dtmf::{DtmfReceiver, DtmfSender};
use crate::event::MediaEvent;
use crate::frame::FRAME_MS;
use crate::jitter::{JitterBuffer, JitterMode, Pulled};
use crate::music::MusicPlayer;
use crate::params::RtpParams;
use crate::reaper::Belongings;
use crate::receiver::{SequenceStats, SourceGuard};
use crate::recording::RecordingTap;
use crate::rtcp::RtcpSession;
use crate::srtp::SrtpSession;
use crate::stats::LegCounters;
use crate::sys::{RecvBatch, prefetch};
use crate::tone::{Tone, TonePlayer};

/// Shared with the leg's handle.
#[derive(Debug, Default)]
pub(crate) struct LegShared {
    pub counters: LegCounters,
    /// Set when the worker gave the leg up.
    pub failed: AtomicBool,
}

/// What the audio sent to the party is made from besides the assistant.
#[derive(Default)]
pub(crate) struct Peer {
    pub local: Option<Slot>,
    pub link: Option<Box<Link>>,
    /// Place of the conference in the worker's table.
    pub conference: Option<usize>,
}

pub(crate) struct LegState {
    pub shared: Arc<LegShared>,
    events: mpsc::Sender<MediaEvent>,
    pub(super) socket: UdpSocket,
    pub(super) rtcp_socket: UdpSocket,
    pub(super) silence: SilenceLimits,
    belongings: Belongings,
    pub slot: Slot,
    /// Slice of the tick it is served in; a bridge may change it.
    pub phase: usize,
    /// Ticks of the worker in which it was last served.
    pub received_tick: u64,
    pub sent_tick: u64,
    pub peer: Peer,
    pub(super) assistant: Option<Box<AssistantTap>>,
    pub(super) recording: Option<Box<RecordingTap>>,
    pub(super) ringback: Option<TonePlayer>,
    /// The bridge peer is not heard.
    pub is_deaf: bool,
    pub(super) tone: Option<TonePlayer>,
    pub(super) music: Option<Box<MusicPlayer>>,
    pub(super) active: Option<Active>,
    /// If the media is protected.
    pub(super) srtp: Option<Box<SrtpSession>>,
    /// What the party said in this tick.
    pub heard: Heard,
    pub(super) jitter: JitterBuffer,
    concealer: Concealer,
    pub(super) comfort: Comfort,
    pub(super) sequence: SequenceStats,
    pub(super) rtcp: RtcpSession,
    pub(super) dtmf_in: DtmfReceiver,
    pub(super) dtmf_out: DtmfSender,
    pub(super) sender: Sender,
    /// Tick numbers of the worker's clock.
    last_tick: Option<u64>,
    /// Ticks since the leg started.
    pub(super) ticks: u64,
    /// The party was answered: alarms may sound.
    pub(super) is_watched: bool,
    pub(super) silent_ticks: u32,
    pub(super) no_rtp_reported: bool,
    /// Unusable packets since the last usable one.
    pub(super) refused: Refused,
    /// Panic when receiving (false) or sending (true).
    #[cfg(test)]
    pub fault: Option<bool>,
}

/// Present from start to close.
pub(super) struct Active {
    pub params: RtpParams,
    pub guard: SourceGuard,
}

impl LegState {
    /// The sockets are RTP's and RTCP's. `random` chooses SSRC, first sequence number, timestamp
    /// (RFC 3550 §5.1, §8) and CNAME.
    pub fn new(
        [socket, rtcp_socket]: [UdpSocket; 2],
        shared: Arc<LegShared>,
        events: mpsc::Sender<MediaEvent>,
        jitter: JitterMode,
        silence: SilenceLimits,
        random: [u64; 3],
        belongings: Belongings,
    ) -> Self {
        Self {
            shared,
            events,
            socket,
            rtcp_socket,
            silence,
            belongings,
            slot: Slot {
                index: 0,
                generation: 0,
            },
            phase: 0,
            received_tick: u64::MAX,
            sent_tick: u64::MAX,
            peer: Peer::default(),
            assistant: None,
            recording: None,
            ringback: None,
            is_deaf: false,
            tone: None,
            music: None,
            active: None,
            srtp: None,
            heard: Heard::default(),
            jitter: JitterBuffer::new(jitter),
            concealer: Concealer::new(),
            comfort: Comfort::new(random[1] as u32),
            sequence: SequenceStats::default(),
            rtcp: RtcpSession::new(random[2]),
            dtmf_in: DtmfReceiver::default(),
            dtmf_out: DtmfSender::default(),
            sender: Sender::new([random[0], random[1]]),
            last_tick: None,
            ticks: 0,
            is_watched: false,
            silent_ticks: 0,
            no_rtp_reported: false,
            refused: Refused::default(),
            #[cfg(test)]
            fault: None,
        }
    }

    /// Closes the socket and frees everything else.
    pub fn into_belongings(self: Box<Self>) -> Belongings {
        self.belongings
    }

    /// Fetches the parts of a leg that every tick touches, before they are needed.
    pub fn prefetch(&self) {
        prefetch(&self.received_tick);
        prefetch(&self.socket);
        prefetch(&self.active);
        prefetch(&self.srtp);
        prefetch(&self.sequence);
        prefetch(&self.jitter);
        prefetch(&self.shared);
        prefetch(&self.peer);
        prefetch(&self.assistant);
        prefetch(&self.silent_ticks);
    }

    /// Fetches what lies behind pointers in those parts.
    pub fn prefetch_contents(&self) {
        self.jitter.prefetch();
        prefetch(&self.shared.counters);
        self.heard.prefetch();
    }

    /// Fetches what sending touches.
    pub fn prefetch_sender(&self) {
        prefetch(&self.sent_tick);
        prefetch(&self.active);
        prefetch(&self.sender);
        prefetch(&self.dtmf_out);
        prefetch(&self.shared);
        prefetch(&self.peer);
        self.heard.prefetch();
    }

    /// Starts the media, or changes it after a re-INVITE. Coders not needed any more come back.
    pub fn start(&mut self, params: RtpParams, coders: Coders) -> Option<Grave> {
        let left = coders.replace(&mut self.sender.encoder, &mut self.heard.decoders, &params);
        let codec = self.heard.codec();
        let also = params.also_receives.map(|format| format.codec);
        if codec != params.codec && Some(codec) != also {
            // What waits is of a codec that is gone, perhaps with its decoder.
            self.heard.set_codec(params.codec);
            self.forget_waiting();
        }
        self.sequence
            .set_clock_per_sample(params.codec.clock_per_sample());
        self.dtmf_in.set_clock(params.codec.clock_hz());
        self.dtmf_out.set_clock(params.dtmf_clock_hz);
        match &mut self.active {
            None => {
                self.active = Some(Active {
                    guard: SourceGuard::new(params.remote),
                    params,
                });
            }
            Some(active) => {
                // Hold with address 0.0.0.0 says nothing about where the party is.
                if params.has_target() {
                    if params.remote != active.params.remote || params.rtcp != active.params.rtcp {
                        self.rtcp.forget_source();
                    }
                    active.guard.announce(params.remote);
                }
                active.params = params;
                self.sender.begin_spurt();
            }
        }
        self.silent_ticks = 0;
        Some(Grave::Coders(left))
    }

    /// Protects the media with these keys from now on, or no longer; returns what is to be freed.
    pub fn set_srtp(&mut self, session: Option<Box<SrtpSession>>) -> Option<Grave> {
        let former = match (&mut self.srtp, session) {
            (Some(running), Some(mut new)) => {
                running.adopt(&mut new);
                Some(new)
            }
            (running, session) => std::mem::replace(running, session),
        };
        former.map(Grave::Srtp)
    }

    /// Attaches another assistant, or none; returns the former one.
    pub fn set_assistant(&mut self, tap: Option<Box<AssistantTap>>) -> Option<Grave> {
        std::mem::replace(&mut self.assistant, tap).map(Grave::Assistant)
    }

    pub fn set_recording(&mut self, tap: Box<RecordingTap>) -> Option<Grave> {
        self.recording.replace(tap).map(Grave::Recording)
    }

    pub fn set_ringback(&mut self, tone: Option<Tone>) {
        self.ringback = tone.map(TonePlayer::new);
    }

    pub fn set_tone(&mut self, tone: Option<Tone>) {
        self.tone = tone.map(TonePlayer::new);
    }

    pub fn set_music(&mut self, player: Option<Box<MusicPlayer>>) -> Option<Grave> {
        std::mem::replace(&mut self.music, player).map(Grave::Music)
    }

    pub fn set_link(&mut self, link: Option<Box<Link>>) -> Option<Grave> {
        std::mem::replace(&mut self.peer.link, link).map(Grave::Link)
    }

    /// Without telephone-event the digit is sent as a tone.
    pub fn send_digit(&mut self, digit: Digit) {
        let negotiated = self
            .active
            .as_ref()
            .is_some_and(|a| a.params.dtmf_pt.is_some());
        if negotiated {
            self.dtmf_out.push(digit);
        } else {
            self.tone = Some(TonePlayer::new(Tone::dtmf(digit)));
        }
    }

    pub fn report(&self, event: MediaEvent) {
        if self.events.try_send(event).is_err() {
            self.shared.counters.events_dropped.add(1);
        }
    }

    /// First half of a tick: takes what came and decides what the party said in these 20 ms.
    pub fn receive(&mut self, batch: &mut RecvBatch, tick: u64) {
        #[cfg(test)]
        assert_ne!(self.fault, Some(false), "fault made by a test");
        self.follow_clock(tick);
        self.take_datagrams(batch);
        self.take_reports(batch);
        if self.active.is_none() {
            return;
        }
        self.ticks += 1;
        self.listen();
        self.watch_for_silence();
        let at_ms = self.at_ms();
        if let Some(assistant) = &mut self.assistant
            && !assistant.hear(at_ms, self.heard.pcm())
        {
            self.shared.counters.assistant_in_dropped.add(1);
        }
        if let Some(link) = &mut self.peer.link {
            let codec = self.heard.codec();
            let has_memory = match codec {
                Codec::Pcmu | Codec::Pcma => false,
                Codec::G722 | Codec::Opus => true,
            };
            let frame = if !has_memory && self.heard.passes_as(codec) == Passed::Octets {
                LinkFrame::Octets(codec, *self.heard.octets())
            } else {
                LinkFrame::Samples(*self.heard.pcm())
            };
            // Full: the peer's worker had a hiccup; it will leave frames out anyway.
            let _ = link.to_peer.push(frame);
        }
    }

    /// Notices ticks the worker left out: the streams go on as if they had been there.
    fn follow_clock(&mut self, tick: u64) {
        let missed = self
            .last_tick
            .map_or(0, |last| tick.saturating_sub(last + 1));
        self.last_tick = Some(tick);
        if missed == 0 || self.active.is_none() {
            return;
        }
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.shared.counters.skipped_ticks.add(u64::from(missed));
        self.ticks += u64::from(missed);
        self.sender.skip(missed);
        self.jitter.skip_ticks(missed);
        if let Some(recording) = &mut self.recording {
            recording.index = recording.index.saturating_add(missed);
        }
    }

    pub(super) fn forget_waiting(&mut self) {
        self.jitter.reset();
        self.concealer.forget();
        if let Some(opus) = &mut self.heard.decoders.opus {
            opus.reset();
        }
    }

    /// Takes this tick's audio from the jitter buffer and hides what is missing.
    fn listen(&mut self) {
        let mut opus = match self.heard.codec() {
            Codec::Opus => self.heard.decoders.opus.take(),
            Codec::Pcmu | Codec::Pcma | Codec::G722 => None,
        };
        match &mut opus {
            Some(decoder) => {
                let frame = self.heard.pcm_mut();
                if decoder.pull(&mut self.jitter, frame) == OpusHeard::Concealed {
                    self.shared.counters.concealed_frames.add(1);
                }
                self.heard.decoders.opus = opus;
            }
            None => self.listen_to_octets(),
        }
        // Read by people: once in 160 ms is enough.
        if self.ticks.is_multiple_of(8) {
            self.publish_counters();
        }
    }

    fn listen_to_octets(&mut self) {
        // G.722 cannot be decoded again afterwards: what may be needed after a loss is kept now, if
        // anybody listens to it.
        if self.heard.codec() == Codec::G722 {
            match self.heard.ready_pcm() {
                Some(frame) => self.concealer.remember(frame),
                None => self.concealer.forget(),
            }
        }
        let at = self.jitter.cursor();
        match self.jitter.pull(self.heard.octets_buffer()) {
            Pulled::Audio => {
                self.comfort.audio_played();
                self.heard.use_octets();
                if self.concealer.is_concealing() {
                    self.concealer.blend(self.heard.pcm_mut());
                }
                self.concealer.good();
            }
            Pulled::Dry | Pulled::Idle if self.comfort.is_on => {
                self.concealer.forget();
                self.comfort.noise.fill(self.heard.pcm_mut());
            }
            // A frame with holes is replaced as a whole: the frame before it is the better guess.
            Pulled::Lost | Pulled::Dry => self.conceal(at),
            Pulled::Idle => {
                self.concealer.forget();
                self.heard.set_silence();
            }
        }
    }

    fn publish_counters(&self) {
        let (counters, jitter) = (&self.shared.counters, self.jitter.counters());
        counters.rx_late.set(jitter.late_packets);
        counters.dropped_frames.set(jitter.dropped_frames);
        counters.underruns.set(jitter.underruns);
        counters.buffered_ms.set(u64::from(self.jitter.depth_ms()));
        counters.rx_lost.set(self.sequence.lost());
        counters.jitter_us.set(self.sequence.jitter_us());
    }

    /// Replaces the frame at `at` in the jitter buffer's time.
    fn conceal(&mut self, at: u32) {
        let law = match self.heard.codec() {
            Codec::Pcmu => Law::Mu,
            Codec::Pcma => Law::A,
            // Never asked: their samples are remembered.
            Codec::G722 | Codec::Opus => Law::Mu,
        };
        let jitter = &self.jitter;
        let past = |out: &mut [i16]| {
            let mut octets = [0; HISTORY];
            let octets = &mut octets[..out.len()];
            jitter.past(at, octets);
            law.decode(octets, out);
        };
        self.heard.set_silence();
        if self.concealer.conceal(self.heard.pcm_mut(), past) {
            self.shared.counters.concealed_frames.add(1);
        }
        if self.concealer.is_gap() {
            self.heard.set_lost();
        }
    }

    pub(super) fn at_ms(&self) -> u64 {
        self.ticks * u64::from(FRAME_MS)
    }
}
