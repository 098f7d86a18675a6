//! Text to speech.

use async_trait::async_trait;
use futures::stream::BoxStream;
use switchhook_model::Language;

use crate::Limit;
use crate::http::Refusal;
use crate::pcm::{Pcm, WavError};

/// What a voice can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtsCapabilities {
    /// Provider and model, for logs and the call's record.
    pub name: String,
    /// Languages it speaks; empty = every language.
    pub languages: Vec<Language>,
    /// Audio begins before the whole text is spoken.
    pub streaming: bool,
    /// Longest text in characters.
    pub max_text: usize,
}

impl TtsCapabilities {
    /// It speaks `language`.
    pub fn speaks(&self, language: Language) -> bool {
        self.languages.is_empty() || self.languages.contains(&language)
    }
}

/// What is to be said.
#[derive(Clone, PartialEq, Eq)]
pub struct SpeakRequest {
    /// Plain text: no markup, no SSML.
    pub text: String,
    /// The language of the text.
    pub language: Language,
    /// The provider's name of a voice; `None` = the configured one for the language.
    pub voice: Option<String>,
}

impl SpeakRequest {
    /// `text` in the configured voice of `language`.
    pub fn new(text: impl Into<String>, language: Language) -> Self {
        Self {
            text: text.into(),
            language,
            voice: None,
        }
    }
}

impl std::fmt::Debug for SpeakRequest {
    /// Hides the words: an answer repeats what a caller said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeakRequest")
            .field("chars", &self.text.chars().count())
            .field("language", &self.language)
            .field("voice", &self.voice)
            .finish()
    }
}

/// Audio as it comes. All pieces have the same sample rate and none is empty; the stream ends
/// after the last piece or after the first error. Dropping it stops the synthesis.
pub type SpeechStream = BoxStream<'static, Result<Pcm, TtsError>>;

/// Why a text was not spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TtsError {
    #[error("voice {provider} cannot be reached: {cause}; check that it runs and its base URL")]
    Unreachable { provider: String, cause: String },
    #[error("voice {provider} took longer than {limit_ms} ms for {limit}")]
    TimedOut {
        provider: String,
        limit: Limit,
        limit_ms: u64,
    },
    #[error("voice {provider} refused: {refusal}")]
    Refused { provider: String, refusal: Refusal },
    #[error("voice {provider} broke off: {cause}")]
    CutShort { provider: String, cause: String },
    #[error("voice {provider} sent audio that cannot be played: {cause}")]
    Audio { provider: String, cause: WavError },
    #[error(
        "voice {provider} answered {content_type:?} instead of audio; check its base URL and response format"
    )]
    NotAudio {
        provider: String,
        content_type: String,
    },
    #[error("voice {provider} gave no audio for a text of {characters} characters")]
    Silent { provider: String, characters: usize },
    #[error("the text of {characters} characters is longer than the {limit} that {provider} takes")]
    TooLong {
        provider: String,
        characters: usize,
        limit: usize,
    },
    #[error("voice {provider} gave more than {limit_s} s of audio")]
    TooMuchAudio { provider: String, limit_s: u32 },
    #[error("voice {provider} does not speak {language}")]
    Language {
        provider: String,
        language: Language,
    },
    #[error(
        "the program {program:?} cannot be started: {cause}; install the package espeak-ng or set its path"
    )]
    Program { program: String, cause: String },
    #[error("all {limit} places for voice {provider} stayed taken for {waited_ms} ms")]
    Busy {
        provider: String,
        limit: usize,
        waited_ms: u64,
    },
}

impl TtsError {
    /// Another provider, or the same one later, may succeed with the same text.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::CutShort { .. }
            | Self::Busy { .. }
            | Self::Silent { .. } => true,
            Self::Refused { refusal, .. } => refusal.retryable,
            Self::Audio { .. }
            | Self::NotAudio { .. }
            | Self::TooLong { .. }
            | Self::TooMuchAudio { .. }
            | Self::Language { .. }
            | Self::Program { .. } => false,
        }
    }
}

/// Speaks texts.
#[async_trait]
pub trait TextToSpeech: Send + Sync + std::fmt::Debug {
    /// What this voice can do.
    fn capabilities(&self) -> TtsCapabilities;

    /// Begins to speak. Returns when the first audio is there, so that a provider that is down
    /// can be replaced before the caller has heard anything. A text without anything to speak
    /// (empty, punctuation only) gives an empty stream.
    async fn synthesize(&self, request: &SpeakRequest) -> Result<SpeechStream, TtsError>;
}

/// The text holds something that can be pronounced.
pub(crate) fn is_speakable(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}
