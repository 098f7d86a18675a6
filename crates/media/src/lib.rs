//! The media plane: RTP, codecs, jitter, DTMF, bridging, recording, tones, and the audio of
//! assistants.
//!
//! What belongs here: everything about audio between the network and 20 ms frames of 8 kHz linear
//! samples. What does not: what a call is for, SIP, providers, storage.
//!
//! Audio does not run on tokio. [`MediaEngine`] starts a few worker threads that own the RTP
//! sockets and the 20 ms clock; [`MediaLeg`] sends them commands through a bounded queue and gets
//! [`MediaEvent`]s back. A worker never allocates, locks, logs or waits while it handles a frame.
//!
//! Start reading at [`engine`], then `worker`. [`sdp`] is pure text handling and stands alone.

mod assistant;
mod codec;
mod comfort;
mod conceal;
mod conference;
pub mod dtmf;
mod engine;
mod event;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod gain;
pub mod jitter;
mod leg;
mod line;
mod music;
mod params;
mod placement;
mod ports;
mod quality;
mod reaper;
mod receiver;
mod recording;
pub mod resample;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod srtp;
mod stats;
mod sys;
pub mod tone;
pub mod vad;
pub mod wav;
pub mod wav_length;
mod worker;

/// The socket layer for measuring tools, so that they need no unsafe code of their own, and the
/// far end of a protected leg.
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_io {
    pub use crate::srtp::FarEnd;
    pub use crate::sys::{
        Datagram, RecvBatch, SendBatch, enable_arrival_times, pin_to_core, raise_file_limit,
        schedule_realtime,
    };
}

pub use assistant::{AudioIn, AudioOut, HeardFrame, PlayoutCutter, PlayoutError, PlayoutReport};
pub use codec::coders::{Encoder, PAYLOAD_MAX};
pub use codec::opus::OpusParams;
pub use codec::{Codec, Law, UnknownCodec};
pub use conference::{Conference, ConferenceError};
pub use engine::{
    LegAddress, MediaConfig, MediaEngine, MediaStartError, OpenLegError, Scheduling,
    schedule_thread,
};
pub use event::{MediaEvent, SilenceReason};
pub use frame::{FRAME_MS, FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ, SILENCE};
pub use jitter::JitterMode;
pub use leg::MediaLeg;
pub use line::Line;
pub use music::{Music, MusicError};
pub use params::{MediaDirection, PayloadFormat, RtcpParams, RtpParams};
pub use quality::{FarQuality, LegQuality};
pub use recording::{RecordError, Recording, RecordingSummary};
pub use stats::{EngineStats, LegStats};
pub use tone::{Tone, ToneCountry};
