//! Speech to text.

use async_trait::async_trait;
use futures::stream::BoxStream;
use switchhook_model::Language;

use crate::Limit;
use crate::http::Refusal;
use crate::pcm::Pcm;

/// What a recogniser can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SttCapabilities {
    /// Provider and model, for logs and the call's record.
    pub name: String,
    /// Languages it understands; empty = every language.
    pub languages: Vec<Language>,
    /// It has [`StreamingSpeechToText`] as well.
    pub streaming: bool,
    /// Longest utterance in seconds.
    pub max_audio_s: u32,
}

impl SttCapabilities {
    /// It understands `language`.
    pub fn understands(&self, language: Language) -> bool {
        self.languages.is_empty() || self.languages.contains(&language)
    }
}

/// What helps the recogniser: names of departments and the like, never expected sentences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenHints {
    /// Words that are likely, for example `["Müller", "extension"]`. At most the first 50 are sent.
    pub words: Vec<String>,
}

/// What was understood.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// The words, trimmed; empty when there was no speech.
    pub text: String,
    /// The provider's id of the request.
    pub request_id: Option<String>,
}

impl std::fmt::Debug for Transcript {
    /// Hides the words: what a caller said does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript")
            .field("chars", &self.text.chars().count())
            .field("request_id", &self.request_id)
            .finish()
    }
}

/// Why an utterance was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SttError {
    #[error(
        "speech recogniser {provider} cannot be reached: {cause}; check that it runs and its base URL"
    )]
    Unreachable { provider: String, cause: String },
    #[error("speech recogniser {provider} took longer than {limit_ms} ms for {limit}")]
    TimedOut {
        provider: String,
        limit: Limit,
        limit_ms: u64,
    },
    #[error("speech recogniser {provider} refused: {refusal}")]
    Refused { provider: String, refusal: Refusal },
    #[error(
        "speech recogniser {provider} sent an answer that is not understood: {detail}; check that its base URL leads to an OpenAI-compatible server"
    )]
    Malformed { provider: String, detail: String },
    #[error("the utterance of {seconds} s is longer than the {limit_s} s that {provider} takes")]
    TooLong {
        provider: String,
        seconds: u64,
        limit_s: u32,
    },
    #[error("speech recogniser {provider} does not understand {language}")]
    Language {
        provider: String,
        language: Language,
    },
}

impl SttError {
    /// Another provider, or the same one later, may succeed with the same audio.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Malformed { .. } => true,
            Self::Refused { refusal, .. } => refusal.retryable,
            Self::TooLong { .. } | Self::Language { .. } => false,
        }
    }
}

/// Turns one finished utterance into text.
#[async_trait]
pub trait SpeechToText: Send + Sync + std::fmt::Debug {
    /// What this recogniser can do.
    fn capabilities(&self) -> SttCapabilities;

    /// The words of `audio`, spoken in `language`. Silence gives an empty text, not an error.
    async fn transcribe(
        &self,
        audio: &Pcm,
        language: Language,
        hints: &ListenHints,
    ) -> Result<Transcript, SttError>;
}

/// What a streaming recogniser reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenEvent {
    /// The caller has begun to speak.
    SpeechStarted,
    /// May still change.
    Interim(String),
    /// Will not change any more.
    Final(String),
    /// The provider takes the utterance for finished.
    EndOfTurn,
}

/// A recogniser that hears the audio while it is spoken. The vendors that offer it follow; the
/// place is here so that a caller of [`SpeechToText`] can ask for it through the capabilities.
#[async_trait]
pub trait StreamingSpeechToText: Send + Sync + std::fmt::Debug {
    /// What this recogniser can do.
    fn capabilities(&self) -> SttCapabilities;

    /// Listens to `audio` until it ends, or until the stream that is returned is dropped.
    async fn listen(
        &self,
        audio: BoxStream<'static, Pcm>,
        language: Language,
        hints: &ListenHints,
    ) -> Result<BoxStream<'static, Result<ListenEvent, SttError>>, SttError>;
}
