//! Transcription of one utterance: `POST {base}/audio/transcriptions` (multipart, WAV).

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use reqwest::multipart::{Form, Part};
use switchhook_model::Language;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::http::{self, ProviderConfigError, Refusal};
use crate::listen::{ListenHints, SpeechToText, SttCapabilities, SttError, Transcript};
use crate::pcm::Pcm;
use crate::{Limit, Secret};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Longest transcript that is passed on, in characters.
const MAX_TEXT: usize = 8_000;
/// Most hint words that are sent.
const MAX_HINTS: usize = 50;

/// Time limits of a transcription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TranscriptionLimits {
    /// For the connection, each try.
    pub connect: Duration,
    /// The whole transcription, all tries together.
    pub whole: Duration,
    /// Further tries after a failure that may pass.
    pub retries: u32,
    /// Longest utterance in seconds.
    pub max_audio_s: u32,
}

impl Default for TranscriptionLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            whole: Duration::from_secs(15),
            retries: 1,
            max_audio_s: 120,
        }
    }
}

/// Which server and model listens.
#[derive(Debug, Clone)]
pub struct TranscriptionConfig {
    /// Up to and including the version: `http://127.0.0.1:8400/v1`.
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub model: String,
    /// What the model understands; empty = every language.
    pub languages: Vec<Language>,
    pub limits: TranscriptionLimits,
}

impl TranscriptionConfig {
    /// `model` at `base_url`, everything else as usual.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: model.into(),
            languages: Vec::new(),
            limits: TranscriptionLimits::default(),
        }
    }
}

/// A recogniser behind the OpenAI transcription route.
#[derive(Debug, Clone)]
pub struct OpenAiTranscription {
    config: TranscriptionConfig,
    url: Url,
    authorization: HeaderValue,
    client: reqwest::Client,
    name: String,
}

#[derive(serde::Deserialize)]
struct Answer {
    text: String,
}

impl OpenAiTranscription {
    /// Checks the configuration; connects to nothing.
    ///
    /// # Errors
    /// If the base URL, the key or the model cannot be used.
    pub fn new(config: TranscriptionConfig) -> Result<Self, ProviderConfigError> {
        super::required_model(&config.model)?;
        let base = http::base_url(&config.base_url)?;
        Ok(Self {
            url: base.join("audio/transcriptions").expect("a relative path"),
            authorization: super::authorization(config.api_key.as_ref())?,
            client: http::client(&base, config.limits.connect)?,
            name: super::provider_name("transcription", &config.model, &base),
            config,
        })
    }

    async fn attempt(
        &self,
        wav: bytes::Bytes,
        language: Language,
        hints: &ListenHints,
        deadline: Instant,
    ) -> Result<Transcript, SttError> {
        let length = wav.len() as u64;
        // The format is told by the file name; a body of known length goes without chunking,
        // which some small servers do not read.
        let file = Part::stream_with_length(wav, length)
            .file_name("utterance.wav")
            .mime_str("audio/wav")
            .expect("a constant media type");
        let mut form = Form::new()
            .part("file", file)
            .text("model", self.config.model.clone())
            .text("language", language.code())
            .text("response_format", "json");
        if !hints.words.is_empty() {
            let words: Vec<&str> = hints
                .words
                .iter()
                .take(MAX_HINTS)
                .map(String::as_str)
                .collect();
            form = form.text("prompt", words.join(", "));
        }
        let exchange = async {
            let response =
                super::authorized(self.client.post(self.url.clone()), &self.authorization)
                    .multipart(form)
                    .send()
                    .await
                    .map_err(|e| self.unreachable(e))?;
            let status = response.status();
            let headers = response.headers().clone();
            if !status.is_success() {
                let body = http::read_error_body(response).await;
                return Err(SttError::Refused {
                    provider: self.name.clone(),
                    refusal: Refusal::read(status.as_u16(), &headers, &body),
                });
            }
            let body = match http::read_body(response, MAX_ANSWER).await {
                Ok(body) => body,
                Err(http::BodyError::TooLarge) => {
                    return Err(self.malformed(format!("more than {MAX_ANSWER} bytes")));
                }
                Err(http::BodyError::Read(error)) => return Err(self.unreachable(error)),
            };
            let answer: Answer =
                serde_json::from_slice(&body).map_err(|e| self.malformed(http::json_fault(&e)))?;
            Ok(Transcript {
                text: answer.text.trim().chars().take(MAX_TEXT).collect(),
                request_id: http::request_id(&headers),
            })
        };
        match timeout_at(deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(SttError::TimedOut {
                provider: self.name.clone(),
                limit: Limit::Whole,
                limit_ms: millis(self.config.limits.whole),
            }),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> SttError {
        if error.is_connect() && error.is_timeout() {
            return SttError::TimedOut {
                provider: self.name.clone(),
                limit: Limit::Connect,
                limit_ms: millis(self.config.limits.connect),
            };
        }
        SttError::Unreachable {
            provider: self.name.clone(),
            cause: http::chain(&error.without_url()),
        }
    }

    fn malformed(&self, detail: String) -> SttError {
        SttError::Malformed {
            provider: self.name.clone(),
            detail,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl SpeechToText for OpenAiTranscription {
    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities {
            name: self.name.clone(),
            languages: self.config.languages.clone(),
            streaming: false,
            max_audio_s: self.config.limits.max_audio_s,
        }
    }

    async fn transcribe(
        &self,
        audio: &Pcm,
        language: Language,
        hints: &ListenHints,
    ) -> Result<Transcript, SttError> {
        if !self.capabilities().understands(language) {
            return Err(SttError::Language {
                provider: self.name.clone(),
                language,
            });
        }
        if audio.duration_ms() > u64::from(self.config.limits.max_audio_s) * 1000 {
            return Err(SttError::TooLong {
                provider: self.name.clone(),
                seconds: audio.duration_ms() / 1000,
                limit_s: self.config.limits.max_audio_s,
            });
        }
        if audio.samples.is_empty() {
            return Ok(Transcript::default());
        }
        let started = Instant::now();
        let deadline = started + self.config.limits.whole;
        let wav = bytes::Bytes::from(audio.to_wav());
        let mut tries = 0;
        loop {
            let error = match self.attempt(wav.clone(), language, hints, deadline).await {
                Ok(transcript) => {
                    tracing::debug!(
                        provider = %self.name,
                        request_id = transcript.request_id.as_deref().unwrap_or("-"),
                        audio_ms = audio.duration_ms(),
                        whole_ms = millis(started.elapsed()),
                        "utterance transcribed"
                    );
                    return Ok(transcript);
                }
                Err(error) => error,
            };
            let asked = match &error {
                SttError::Refused { refusal, .. } => refusal.retry_after,
                _ => None,
            };
            let again = error.is_retryable() && !matches!(error, SttError::Malformed { .. });
            let wait = asked.unwrap_or_else(|| http::backoff(tries));
            if tries >= self.config.limits.retries || !again || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tries += 1;
            tracing::warn!(%error, tries, wait_ms = millis(wait), "asking the recogniser again");
            tokio::time::sleep(wait).await;
        }
    }
}
