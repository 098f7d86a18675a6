//! Ears and voice of the carrier for people at the page: any server with the OpenAI audio routes, as
//! the gateway's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::audio::Audio;
use crate::audio::wav;
use crate::carrier::config::{Recogniser, Voice, Words};
use crate::carrier::shared::Shared;
use crate::transcribe::{http_client, transcribe};

/// Base URL of a speech server without `/v1`, if there is one now; asked each time, because the
/// server may be started later and elsewhere.
pub type SpeechAt = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Of `pcm` (16 bits, little endian) as the speech route has it.
const PCM_HZ: u32 = 24_000;
/// Between two looks whether the server is there.
const LOOK: Duration = Duration::from_secs(3);
/// For one answer of the server.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Speech {
    at: SpeechAt,
    ready: AtomicBool,
    client: reqwest::Client,
}

impl Speech {
    pub(super) fn new(at: SpeechAt) -> Arc<Self> {
        Arc::new(Self {
            at,
            ready: AtomicBool::new(false),
            client: http_client(),
        })
    }

    /// Whether the server answered when it was last looked at.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn url(&self) -> Option<String> {
        (self.at)().filter(|_| self.is_ready())
    }

    pub(super) fn voice(self: &Arc<Self>) -> Voice {
        let speech = Arc::clone(self);
        Arc::new(move |words: Words| {
            let speech = Arc::clone(&speech);
            Box::pin(async move { speech.speak(&words.text, words.language.as_deref()).await })
        })
    }

    pub(super) fn recogniser(self: &Arc<Self>) -> Recogniser {
        let speech = Arc::clone(self);
        Arc::new(move |audio: Audio, language: Option<String>| {
            let speech = Arc::clone(&speech);
            Box::pin(async move {
                let url = speech.url()?;
                let language = short(language.as_deref());
                let heard = tokio::time::timeout(PATIENCE, transcribe(&url, &audio, language));
                let Ok(Ok(text)) = heard.await else {
                    // Not why: an answer may repeat what was said.
                    tracing::warn!("the speech server understood nothing: it refuses or is gone");
                    return None;
                };
                Some(text)
            })
        })
    }

    /// Words as sound of 8 kHz, if there is a server that speaks.
    pub(super) async fn speak(&self, text: &str, language: Option<&str>) -> Option<Audio> {
        let url = format!("{}/v1/audio/speech", self.url()?.trim_end_matches('/'));
        let request = self.client.post(url).timeout(PATIENCE).json(&json!({
            "model": "tts-1",
            "voice": "alloy",
            "input": text,
            "language": short(language),
            "response_format": "pcm",
        }));
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        let bytes = answer.bytes().await.ok()?;
        let samples = bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        Some(wav::to_phone_rate(&Audio {
            rate_hz: PCM_HZ,
            samples,
        }))
    }
}

/// `de-DE` as speech servers want it.
fn short(language: Option<&str>) -> &str {
    let language = language.unwrap_or("en");
    language.split('-').next().unwrap_or(language)
}

/// Looks again and again whether the server is there, until the carrier stops.
pub(super) async fn watch(speech: Arc<Speech>, shared: Arc<Shared>) {
    while !shared.is_stopped() {
        let ready = match (speech.at)() {
            None => false,
            Some(url) => {
                let url = format!("{}/healthz", url.trim_end_matches('/'));
                let asked = speech.client.get(url).timeout(LOOK).send().await;
                asked.is_ok_and(|answer| answer.status().is_success())
            }
        };
        if speech.ready.swap(ready, Ordering::Relaxed) != ready {
            shared.pulse.beat();
        }
        tokio::time::sleep(LOOK).await;
    }
}
