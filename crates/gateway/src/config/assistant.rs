//! The assistant: who thinks, who listens and speaks, and how long.

use std::path::Path;
use std::time::Duration;

use super::problems::Problems;
use super::raw::{RawAssistant, RawLimits, RawLlm, RawSpeech};
use super::resolve::{minutes, require_http_url};
use super::types::{AssistantConfig, BrainConfig, LimitsConfig, LlmConfig, SpeechConfig};

pub(super) fn brain(name: Option<&str>, raw: RawLlm, problems: &mut Problems) -> BrainConfig {
    match name {
        None | Some("scripted") => BrainConfig::Scripted,
        Some("openai") => {
            let base_url = raw.base_url.unwrap_or_default();
            require_http_url(
                "llm.base_url (SWITCHHOOK_LLM_BASE_URL)",
                &base_url,
                problems,
            );
            let model = raw.model.unwrap_or_default();
            if model.is_empty() {
                problems.add("llm.model (SWITCHHOOK_LLM_MODEL) is missing");
            }
            BrainConfig::OpenAi(LlmConfig {
                base_url: base_url.trim_end_matches('/').to_owned(),
                api_key: problems.secret("llm.api_key", raw.api_key, raw.api_key_file),
                model,
                temperature: raw.temperature,
                max_tokens: problems.in_range(
                    "llm.max_tokens",
                    raw.max_tokens.unwrap_or(300),
                    16,
                    4096,
                ),
            })
        }
        Some(other) => {
            problems.add(format!(
                "assistant.brain: expected scripted or openai, got {other:?}"
            ));
            BrainConfig::Scripted
        }
    }
}

pub(super) fn resolve(
    raw: RawAssistant,
    brain: BrainConfig,
    problems: &mut Problems,
) -> AssistantConfig {
    AssistantConfig {
        name: raw.name.unwrap_or_else(|| "Clara".to_owned()),
        company: raw.company,
        brain,
        greeting: raw.greeting,
        instructions: raw.instructions,
        intents_file: raw.intents_file,
        end_silence: Duration::from_millis(u64::from(problems.in_range(
            "assistant.end_silence_ms",
            raw.end_silence_ms.unwrap_or(700),
            200,
            3000,
        ))),
    }
}

pub(super) fn speech(raw: RawSpeech, dir: &Path, problems: &mut Problems) -> SpeechConfig {
    if let Some(url) = &raw.url {
        require_http_url("speech.url (SWITCHHOOK_SPEECH_URL)", url, problems);
    }
    SpeechConfig {
        url: raw.url.map(|url| url.trim_end_matches('/').to_owned()),
        dir: raw.dir.unwrap_or_else(|| dir.join("speech")),
        api_key: raw.api_key,
        stt_model: raw.stt_model,
        tts_model: raw.tts_model,
        gain_control: raw.gain_control.unwrap_or(true),
        voice: raw.voice,
    }
}

pub(super) fn limits(raw: &RawLimits, problems: &mut Problems) -> LimitsConfig {
    LimitsConfig {
        call: minutes(problems.in_range(
            "limits.call_minutes",
            raw.call_minutes.unwrap_or(60),
            1,
            1440,
        )),
        assistant: minutes(problems.in_range(
            "limits.assistant_minutes",
            raw.assistant_minutes.unwrap_or(20),
            1,
            1440,
        )),
        turns: problems.in_range("limits.turns", raw.turns.unwrap_or(60), 1, 1000),
        silent_prompts: problems.in_range(
            "limits.silent_prompts",
            raw.silent_prompts.unwrap_or(3),
            1,
            10,
        ),
        errors: problems.in_range("limits.errors", raw.errors.unwrap_or(3), 1, 10),
    }
}
