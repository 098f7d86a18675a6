//! Ears and voices for all calls: the speech server, with espeak-ng behind it.

use std::sync::Arc;

use switchhook_adapters::espeak::{Espeak, EspeakConfig};
use switchhook_adapters::failover::FailoverSpeech;
use switchhook_adapters::openai::{
    OpenAiSpeech, OpenAiTranscription, SpeechConfig as VoiceConfig, TranscriptionConfig,
};
use switchhook_adapters::{Secret, SpeechToText, TextToSpeech};

use crate::config::SpeechConfig;

#[derive(Debug, thiserror::Error)]
#[error("speech: {0}")]
pub struct VoicesError(String);

/// What every call listens and speaks with.
pub struct Voices {
    pub listener: Arc<dyn SpeechToText>,
    pub voice: Arc<dyn TextToSpeech>,
}

/// The recogniser and the voice. `url` is the speech server's, without `/v1`; `is_ours` says that
/// it understands the language field, which a vendor refuses.
pub fn build(config: &SpeechConfig, url: &str, is_ours: bool) -> Result<Voices, VoicesError> {
    let fail = |error: &dyn std::fmt::Display| VoicesError(error.to_string());
    let base = format!("{url}/v1");
    let key = config.api_key.as_ref().map(|key| Secret::new(key.expose()));

    let model = config
        .stt_model
        .clone()
        .unwrap_or_else(|| "whisper-1".to_owned());
    let mut ears = TranscriptionConfig::new(&base, model);
    ears.api_key.clone_from(&key);
    let ears = OpenAiTranscription::new(ears).map_err(|error| fail(&error))?;

    let model = config
        .tts_model
        .clone()
        .unwrap_or_else(|| "tts-1".to_owned());
    let voice = config.voice.clone().unwrap_or_else(|| "default".to_owned());
    let mut voice = VoiceConfig::new(&base, model, voice);
    voice.api_key = key;
    voice.send_language = is_ours;
    let server = OpenAiSpeech::new(voice).map_err(|error| fail(&error))?;
    let espeak = Espeak::new(EspeakConfig::default()).map_err(|error| fail(&error))?;
    let voices: Vec<Box<dyn TextToSpeech>> = vec![Box::new(server), Box::new(espeak)];
    Ok(Voices {
        listener: Arc::new(ears),
        voice: Arc::new(FailoverSpeech::new(voices)),
    })
}
