//! Several providers behind one trait: the first that works answers. A wrapper is itself a
//! provider, so that wrappers can be nested and nobody else knows of them.
//!
//! A provider that failed is asked last for a while ([`COOL_DOWN`]): otherwise every sentence of
//! every call would first wait for its time limit. Only failures before the first piece count;
//! half a sentence cannot be begun again in another voice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchhook_model::Language;
use tokio::time::Instant;

use crate::listen::{ListenHints, SpeechToText, SttCapabilities, SttError, Transcript};
use crate::pcm::Pcm;
use crate::speak::{SpeakRequest, SpeechStream, TextToSpeech, TtsCapabilities, TtsError};
use crate::think::{LanguageModel, LlmCapabilities, LlmError, ThinkRequest, ThinkStream};

/// How long a provider that failed is asked last.
pub const COOL_DOWN: Duration = Duration::from_secs(10);

/// Providers in order of preference, with the time until which each is asked last.
#[derive(Debug)]
struct Ranked<P: ?Sized> {
    entries: Vec<(Box<P>, AtomicU64)>,
    epoch: Instant,
}

impl<P: ?Sized> Ranked<P> {
    fn new(providers: Vec<Box<P>>) -> Self {
        assert!(!providers.is_empty(), "a failover needs a provider");
        Self {
            entries: providers
                .into_iter()
                .map(|p| (p, AtomicU64::new(0)))
                .collect(),
            epoch: Instant::now(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Indices in the order they are to be asked.
    fn order(&self) -> Vec<usize> {
        let now = self.now_ms();
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by_key(|i| self.entries[*i].1.load(Ordering::Relaxed) > now);
        order
    }

    fn provider(&self, index: usize) -> &P {
        &self.entries[index].0
    }

    fn all(&self) -> impl Iterator<Item = &P> {
        self.entries.iter().map(|(p, _)| &**p)
    }

    fn failed(&self, index: usize) {
        let until = self.now_ms() + u64::try_from(COOL_DOWN.as_millis()).unwrap_or(0);
        self.entries[index].1.store(until, Ordering::Relaxed);
    }

    fn worked(&self, index: usize) {
        self.entries[index].1.store(0, Ordering::Relaxed);
    }
}

/// Languages spoken by any of several providers; empty (= all) wins.
fn any_language<'a>(lists: impl Iterator<Item = &'a [Language]>) -> Vec<Language> {
    let mut all = Vec::new();
    for list in lists {
        if list.is_empty() {
            return Vec::new();
        }
        all.extend_from_slice(list);
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn names(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", else ")
}

/// Voices in order of preference.
#[derive(Debug)]
pub struct FailoverSpeech {
    voices: Ranked<dyn TextToSpeech>,
}

impl FailoverSpeech {
    /// The first voice that speaks the language and works is used.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(voices: Vec<Box<dyn TextToSpeech>>) -> Self {
        Self {
            voices: Ranked::new(voices),
        }
    }
}

#[async_trait]
impl TextToSpeech for FailoverSpeech {
    fn capabilities(&self) -> TtsCapabilities {
        let all: Vec<TtsCapabilities> = self.voices.all().map(TextToSpeech::capabilities).collect();
        TtsCapabilities {
            name: names(all.iter().map(|c| c.name.clone())),
            languages: any_language(all.iter().map(|c| c.languages.as_slice())),
            streaming: all.iter().all(|c| c.streaming),
            max_text: all.iter().map(|c| c.max_text).max().unwrap_or(0),
        }
    }

    async fn synthesize(&self, request: &SpeakRequest) -> Result<SpeechStream, TtsError> {
        let mut last = None;
        for index in self.voices.order() {
            let voice = self.voices.provider(index);
            let capabilities = voice.capabilities();
            if !capabilities.speaks(request.language) {
                last.get_or_insert(TtsError::Language {
                    provider: capabilities.name,
                    language: request.language,
                });
                continue;
            }
            match voice.synthesize(request).await {
                Ok(audio) => {
                    self.voices.worked(index);
                    return Ok(audio);
                }
                Err(error) => {
                    tracing::warn!(%error, "a voice failed, the next one is used");
                    // A text that is too long says nothing about the provider's health.
                    if !matches!(error, TtsError::TooLong { .. } | TtsError::Language { .. }) {
                        self.voices.failed(index);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.expect("there is at least one voice"))
    }
}

/// Recognisers in order of preference.
#[derive(Debug)]
pub struct FailoverTranscription {
    recognisers: Ranked<dyn SpeechToText>,
}

impl FailoverTranscription {
    /// The first recogniser that understands the language and works is used.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(recognisers: Vec<Box<dyn SpeechToText>>) -> Self {
        Self {
            recognisers: Ranked::new(recognisers),
        }
    }
}

#[async_trait]
impl SpeechToText for FailoverTranscription {
    fn capabilities(&self) -> SttCapabilities {
        let all: Vec<SttCapabilities> = self
            .recognisers
            .all()
            .map(SpeechToText::capabilities)
            .collect();
        SttCapabilities {
            name: names(all.iter().map(|c| c.name.clone())),
            languages: any_language(all.iter().map(|c| c.languages.as_slice())),
            streaming: all.iter().all(|c| c.streaming),
            max_audio_s: all.iter().map(|c| c.max_audio_s).max().unwrap_or(0),
        }
    }

    async fn transcribe(
        &self,
        audio: &Pcm,
        language: Language,
        hints: &ListenHints,
    ) -> Result<Transcript, SttError> {
        let mut last = None;
        for index in self.recognisers.order() {
            let recogniser = self.recognisers.provider(index);
            let capabilities = recogniser.capabilities();
            if !capabilities.understands(language) {
                last.get_or_insert(SttError::Language {
                    provider: capabilities.name,
                    language,
                });
                continue;
            }
            match recogniser.transcribe(audio, language, hints).await {
                Ok(transcript) => {
                    self.recognisers.worked(index);
                    return Ok(transcript);
                }
                Err(error) => {
                    tracing::warn!(%error, "a recogniser failed, the next one is used");
                    if !matches!(error, SttError::TooLong { .. } | SttError::Language { .. }) {
                        self.recognisers.failed(index);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.expect("there is at least one recogniser"))
    }
}

/// Language models in order of preference.
#[derive(Debug)]
pub struct FailoverModel {
    models: Ranked<dyn LanguageModel>,
}

impl FailoverModel {
    /// The first model that begins to answer is used.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(models: Vec<Box<dyn LanguageModel>>) -> Self {
        Self {
            models: Ranked::new(models),
        }
    }
}

#[async_trait]
impl LanguageModel for FailoverModel {
    fn capabilities(&self) -> LlmCapabilities {
        let all: Vec<LlmCapabilities> =
            self.models.all().map(LanguageModel::capabilities).collect();
        LlmCapabilities {
            name: names(all.iter().map(|c| c.name.clone())),
            tools: all.iter().all(|c| c.tools),
            streaming: all.iter().all(|c| c.streaming),
        }
    }

    async fn stream(&self, request: ThinkRequest) -> Result<ThinkStream, LlmError> {
        let mut last = None;
        for index in self.models.order() {
            match self.models.provider(index).stream(request.clone()).await {
                Ok(answer) => {
                    self.models.worked(index);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::warn!(%error, "a language model failed, the next one is used");
                    if !matches!(error, LlmError::Declined { .. }) {
                        self.models.failed(index);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.expect("there is at least one model"))
    }
}
