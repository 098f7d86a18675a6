//! Speech: `POST {base}/audio/speech`, audio as it comes.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use switchhook_model::Language;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::http::{self, ProviderConfigError, Refusal};
use crate::pcm::{Pcm, SampleReader, WavReader};
use crate::speak::{
    SpeakRequest, SpeechStream, TextToSpeech, TtsCapabilities, TtsError, is_speakable,
};
use crate::{Limit, Secret};

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechFormat {
    /// Signed 16-bit little-endian mono without a header; the rate is an agreement: 24 kHz by the
    /// vendor's documents.
    Pcm { rate_hz: u32 },
    /// A WAV file, which says its rate itself.
    Wav,
}

/// Time and size limits of speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeechLimits {
    /// For the connection.
    pub connect: Duration,
    /// From the request to the first audio.
    pub first: Duration,
    /// Between two pieces of audio.
    pub gap: Duration,
    /// The whole text.
    pub whole: Duration,
    /// Longest text in characters.
    pub max_text: usize,
    /// Longest audio in seconds.
    pub max_audio_s: u32,
}

impl Default for SpeechLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first: Duration::from_secs(4),
            gap: Duration::from_secs(4),
            whole: Duration::from_secs(60),
            max_text: 4096,
            max_audio_s: 300,
        }
    }
}

/// Which server, model and voices speak.
#[derive(Debug, Clone)]
pub struct SpeechConfig {
    /// Up to and including the version: `http://127.0.0.1:8400/v1`.
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub model: String,
    /// Voice for each language; a language without one is not spoken, unless `default_voice` is
    /// set.
    pub voices: BTreeMap<Language, String>,
    pub default_voice: Option<String>,
    pub format: SpeechFormat,
    /// Send a `language` field (ISO 639-1): our local speech server understands it, the vendor
    /// refuses unknown fields.
    pub send_language: bool,
    pub limits: SpeechLimits,
}

impl SpeechConfig {
    /// `model` at `base_url`, speaking every language with `voice`.
    pub fn new(
        base_url: impl Into<String>,
        model: impl Into<String>,
        voice: impl Into<String>,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: model.into(),
            voices: BTreeMap::new(),
            default_voice: Some(voice.into()),
            format: SpeechFormat::Pcm { rate_hz: 24_000 },
            send_language: false,
            limits: SpeechLimits::default(),
        }
    }
}

/// A voice behind the OpenAI speech route.
#[derive(Debug, Clone)]
pub struct OpenAiSpeech {
    config: SpeechConfig,
    url: Url,
    authorization: HeaderValue,
    client: reqwest::Client,
    name: String,
}

impl OpenAiSpeech {
    /// Checks the configuration; connects to nothing.
    ///
    /// # Errors
    /// If the base URL, the key, the model or the sample rate cannot be used.
    pub fn new(config: SpeechConfig) -> Result<Self, ProviderConfigError> {
        super::required_model(&config.model)?;
        if let SpeechFormat::Pcm { rate_hz } = config.format
            && !(8_000..=48_000).contains(&rate_hz)
        {
            return Err(ProviderConfigError::Value {
                field: "rate_hz",
                given: rate_hz.to_string(),
                problem: "a sample rate from 8000 to 48000 Hz is expected".into(),
            });
        }
        let base = http::base_url(&config.base_url)?;
        Ok(Self {
            url: base.join("audio/speech").expect("a relative path"),
            authorization: super::authorization(config.api_key.as_ref())?,
            client: http::client(&base, config.limits.connect)?,
            name: super::provider_name("speech", &config.model, &base),
            config,
        })
    }

    fn voice<'a>(&'a self, request: &'a SpeakRequest) -> Result<&'a str, TtsError> {
        let voice = request.voice.as_ref();
        voice
            .or_else(|| self.config.voices.get(&request.language))
            .or(self.config.default_voice.as_ref())
            .map(String::as_str)
            .ok_or_else(|| TtsError::Language {
                provider: self.name.clone(),
                language: request.language,
            })
    }

    fn timed_out(&self, limit: Limit, after: Duration) -> TtsError {
        timed_out(&self.name, limit, after)
    }
}

fn timed_out(provider: &str, limit: Limit, after: Duration) -> TtsError {
    TtsError::TimedOut {
        provider: provider.to_owned(),
        limit,
        limit_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
    }
}

#[async_trait]
impl TextToSpeech for OpenAiSpeech {
    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            name: self.name.clone(),
            languages: if self.config.default_voice.is_some() {
                Vec::new()
            } else {
                self.config.voices.keys().copied().collect()
            },
            streaming: true,
            max_text: self.config.limits.max_text,
        }
    }

    async fn synthesize(&self, request: &SpeakRequest) -> Result<SpeechStream, TtsError> {
        let characters = request.text.chars().count();
        if characters > self.config.limits.max_text {
            return Err(TtsError::TooLong {
                provider: self.name.clone(),
                characters,
                limit: self.config.limits.max_text,
            });
        }
        let voice = self.voice(request)?;
        if !is_speakable(&request.text) {
            return Ok(Box::pin(stream::empty()));
        }
        let (format, decoder) = match self.config.format {
            SpeechFormat::Pcm { rate_hz } => {
                ("pcm", Decoder::Pcm(SampleReader::default(), rate_hz))
            }
            SpeechFormat::Wav => ("wav", Decoder::Wav(Box::default())),
        };
        let mut body = json!({
            "model": self.config.model,
            "input": request.text,
            "voice": voice,
            "response_format": format,
        });
        if self.config.send_language {
            body["language"] = Value::from(request.language.code());
        }
        let started = Instant::now();
        let first = started + self.config.limits.first;
        let send = super::authorized(self.client.post(self.url.clone()), &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send();
        let response = match timeout_at(first, send).await {
            Err(_) => return Err(self.timed_out(Limit::First, self.config.limits.first)),
            Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
                return Err(self.timed_out(Limit::Connect, self.config.limits.connect));
            }
            Ok(Err(error)) => {
                return Err(TtsError::Unreachable {
                    provider: self.name.clone(),
                    cause: http::chain(&error.without_url()),
                });
            }
            Ok(Ok(response)) => response,
        };
        let request_id = http::request_id(response.headers());
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let body = http::read_error_body(response).await;
            return Err(TtsError::Refused {
                provider: self.name.clone(),
                refusal: Refusal::read(status, &headers, &body),
            });
        }
        if let Some(content_type) = not_audio(response.headers().get(CONTENT_TYPE)) {
            return Err(TtsError::NotAudio {
                provider: self.name.clone(),
                content_type,
            });
        }
        let mut audio = Audio {
            response: Some(response),
            decoder,
            name: self.name.clone(),
            limits: self.config.limits,
            started,
            samples: 0,
        };
        let Some(head) = audio.next().await? else {
            return Err(TtsError::Silent {
                provider: self.name.clone(),
                characters,
            });
        };
        tracing::debug!(
            provider = %self.name,
            request_id = request_id.as_deref().unwrap_or("-"),
            first_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            characters,
            "speech began"
        );
        let rest = stream::unfold(Some(audio), |audio| async {
            let mut audio = audio?;
            match audio.next().await {
                Ok(Some(pcm)) => Some((Ok(pcm), Some(audio))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let head = stream::once(async { Ok(head) });
        Ok(Box::pin(stream::StreamExt::chain(head, rest)))
    }
}

/// The content type, if it cannot be audio: an error page, for example, played as samples would
/// be noise in the caller's ear.
fn not_audio(content_type: Option<&HeaderValue>) -> Option<String> {
    let text = content_type?.to_str().ok()?;
    let kind = text.split(['/', ';']).next().unwrap_or_default().trim();
    let plausible = kind.eq_ignore_ascii_case("audio") || text.starts_with("application/octet");
    (!plausible).then(|| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        // Only what can be a media type is shown: headers come from outside, and this is logged.
        let is_type = essence.len() <= 48
            && essence
                .bytes()
                .all(|b| b.is_ascii_lowercase() || matches!(b, b'/' | b'+' | b'-' | b'.'));
        if is_type { essence } else { "something else" }.to_owned()
    })
}

#[derive(Debug)]
enum Decoder {
    Pcm(SampleReader, u32),
    Wav(Box<WavReader>),
}

/// Audio that is being received. Dropping it closes the connection.
struct Audio {
    response: Option<reqwest::Response>,
    decoder: Decoder,
    name: String,
    limits: SpeechLimits,
    started: Instant,
    samples: u64,
}

impl Audio {
    async fn next(&mut self) -> Result<Option<Pcm>, TtsError> {
        let waiting_since = Instant::now();
        while let Some(mut response) = self.response.take() {
            let (limit, after, at) = self.next_limit(waiting_since);
            let piece = match timeout_at(at, response.chunk()).await {
                Err(_) => return Err(timed_out(&self.name, limit, after)),
                Ok(Err(error)) => {
                    return Err(TtsError::CutShort {
                        provider: self.name.clone(),
                        cause: http::chain(&error.without_url()),
                    });
                }
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(piece))) => piece,
            };
            let (samples, rate_hz) = match &mut self.decoder {
                Decoder::Pcm(reader, rate_hz) => (reader.push(&piece), *rate_hz),
                Decoder::Wav(reader) => {
                    let samples = reader.push(&piece).map_err(|cause| TtsError::Audio {
                        provider: self.name.clone(),
                        cause,
                    })?;
                    (samples, reader.rate_hz().unwrap_or_default())
                }
            };
            self.samples += samples.len() as u64;
            if self.samples > u64::from(rate_hz) * u64::from(self.limits.max_audio_s) {
                return Err(TtsError::TooMuchAudio {
                    provider: self.name.clone(),
                    limit_s: self.limits.max_audio_s,
                });
            }
            self.response = Some(response);
            if !samples.is_empty() {
                return Ok(Some(Pcm::new(samples, rate_hz)));
            }
        }
        Ok(None)
    }

    fn next_limit(&self, waiting_since: Instant) -> (Limit, Duration, Instant) {
        let limits = &self.limits;
        let whole = (Limit::Whole, limits.whole, self.started + limits.whole);
        let other = if self.samples == 0 {
            (Limit::First, limits.first, self.started + limits.first)
        } else {
            (Limit::Gap, limits.gap, waiting_since + limits.gap)
        };
        if other.2 < whole.2 { other } else { whole }
    }
}
