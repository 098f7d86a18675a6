//! Providers behind one trait per capability: listening, thinking, speaking, and telling staff.
//!
//! What belongs here: a trait for each capability with a record of what a provider can do, one
//! folder per vendor or program, and wrappers that are themselves providers ([`failover`]). What
//! does not: what to say, when to say it, and what a call is for. One vendor's folder never uses
//! another's.
//!
//! Start reading at [`listen`], [`think`], [`speak`] and [`notice`], then at [`openai`]; of the
//! telephone carrier at [`twilio`].
//!
//! Everything is cancelled by dropping: a dropped future or stream closes its connection or ends
//! its child process.

pub mod espeak;
pub mod failover;
pub mod fuzzing;
mod http;
pub mod listen;
pub mod notice;
pub mod openai;
pub mod pcm;
pub mod realtime;
mod secret;
pub mod speak;
pub mod think;
pub mod twilio;
pub mod webhook;

pub use http::{ProviderConfigError, Refusal};
pub use listen::{ListenHints, SpeechToText, SttCapabilities, SttError, Transcript};
pub use notice::{Accepted, Notice, NoticeError, NoticeSender};
pub use pcm::Pcm;
pub use secret::Secret;
pub use speak::{SpeakRequest, SpeechStream, TextToSpeech, TtsCapabilities, TtsError};
pub use think::{LanguageModel, LlmCapabilities, LlmError, LlmLimits, ThinkRequest, ThinkStream};

/// Which of a provider's time limits ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Until the connection stood.
    Connect,
    /// Until the first speakable text, tool call or audio.
    First,
    /// Between two pieces.
    Gap,
    /// The whole request.
    Whole,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::First => "the first piece of the answer",
            Self::Gap => "the next piece of the answer",
            Self::Whole => "the whole answer",
        })
    }
}
