//! What a leg tells signalling.

use std::net::SocketAddr;

use serde::Serialize;
use switchhook_model::Digit;

/// Why a party is not heard, as far as we can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceReason {
    /// Nothing arrives: NAT, firewall, a wrong address, or the party is gone.
    NothingArrives,
    /// Packets arrive, but their SRTP tag does not fit: other keys, or plain RTP.
    NotAuthentic,
    /// Packets arrive, but from somebody who is not the party.
    ForeignSource,
    /// Packets arrive, but no RTP of a payload type that was agreed on.
    NotUsable,
}

/// Events wait in a bounded queue; when the receiver does not read, further ones are dropped and
/// counted in [`crate::LegStats::events_dropped`]. The media worker never waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The party's first packet: audio can flow both ways now.
    RtpStarted {
        from: SocketAddr,
    },
    /// The party sends from another address than signalling announced (NAT); we answer there.
    RemoteChanged {
        announced: SocketAddr,
        latched: SocketAddr,
    },
    /// No RTP from the party for this long although it should send: one-way audio or gone.
    /// Reported once; [`Self::RtpResumed`] follows if it comes back.
    NoRtp {
        silent_ms: u64,
        reason: SilenceReason,
    },
    /// The party is heard again, or silent with reason since one side holds.
    RtpResumed,
    /// No RTP for `MediaConfig::rtp_timeout`: the party is gone without a word. Reported once for
    /// each silence.
    RtpTimedOut {
        silent_ms: u64,
    },
    /// The party's RTCP reports say that our audio does not reach it. Reported once;
    /// [`Self::HeardAgain`] follows if it does again.
    NotHeard,
    HeardAgain,
    /// A key was pressed, by RFC 4733. `at_ms` since the leg started.
    Digit {
        digit: Digit,
        at_ms: u64,
    },
    /// How far an item of assistant audio has been played. At its first frame and then every
    /// 200 ms.
    Playout {
        item: u32,
        played_ms: u64,
    },
    /// The item was played to its end.
    PlayoutFinished {
        item: u32,
        played_ms: u64,
    },
    /// The item was cut by [`crate::AudioOut::stop`]. `played_ms` is 0 for an item whose turn had
    /// not come.
    PlayoutCut {
        item: u32,
        played_ms: u64,
    },
    /// A finite tone (beep) is over.
    ToneFinished,
    /// The recording could not be written, for example because the disk is full. What was written
    /// until then is kept; the call goes on.
    RecordingFailed {
        error: String,
    },
    /// A fault of ours took this leg's media; nothing more comes from it.
    Failed {
        error: String,
    },
}
