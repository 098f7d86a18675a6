//! Which model thinks for the assistant.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use switchhook_adapters::openai::{ChatConfig, OpenAiChat};
use switchhook_adapters::{
    LanguageModel, LlmCapabilities, LlmError, Secret, ThinkRequest, ThinkStream,
};
use switchhook_conversation::scripted::{IntentsFile, Persona, ScriptedBrain};

use crate::clock;
use crate::config::{BrainConfig, Config, LlmConfig};

#[derive(Debug, thiserror::Error)]
pub enum BrainError {
    #[error("intents file {path}: {cause}")]
    Intents { path: String, cause: String },
    #[error("time_zone: {0}")]
    Zone(#[from] switchhook_conversation::UnknownZone),
    #[error("language model: {0}")]
    Model(String),
}

/// The brain that the configuration names; one serves all calls.
pub fn build(config: &Config) -> Result<Arc<dyn LanguageModel>, BrainError> {
    match &config.assistant.brain {
        BrainConfig::Scripted => Ok(Arc::new(scripted(config)?)),
        BrainConfig::OpenAi(llm) => Ok(Arc::new(remote(llm)?)),
    }
}

fn remote(llm: &LlmConfig) -> Result<OpenAiChat, BrainError> {
    let mut chat = ChatConfig::new(llm.base_url.clone(), llm.model.clone());
    chat.api_key = llm.api_key.as_ref().map(|key| Secret::new(key.expose()));
    chat.temperature = llm.temperature;
    chat.max_tokens = Some(llm.max_tokens);
    OpenAiChat::new(chat).map_err(|error| BrainError::Model(error.to_string()))
}

fn scripted(config: &Config) -> Result<Scripted, BrainError> {
    let (path, text) = match &config.assistant.intents_file {
        Some(path) => {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| BrainError::Intents {
                path: shown.clone(),
                cause: error.to_string(),
            })?;
            (shown, text)
        }
        None => (
            format!("intents/{}.toml", config.language),
            ScriptedBrain::shipped_intents(config.language).to_owned(),
        ),
    };
    let file = IntentsFile::parse(&text).map_err(|error| BrainError::Intents {
        path,
        cause: error.to_string(),
    })?;
    let persona = Persona {
        assistant: config.assistant.name.clone(),
        company: config.assistant.company.clone().unwrap_or_default(),
        zone: config.time_zone.parse()?,
    };
    Ok(Scripted {
        brain: ScriptedBrain::new(Arc::new(file), persona),
    })
}

/// The scripted brain as a model: the conversation cannot tell them apart.
#[derive(Debug)]
struct Scripted {
    brain: ScriptedBrain,
}

#[async_trait]
impl LanguageModel for Scripted {
    fn capabilities(&self) -> LlmCapabilities {
        LlmCapabilities {
            name: "scripted".to_owned(),
            tools: true,
            streaming: false,
        }
    }

    async fn stream(&self, request: ThinkRequest) -> Result<ThinkStream, LlmError> {
        let deltas = self
            .brain
            .respond(&request.messages, &request.tools, clock::now());
        Ok(stream::iter(deltas.into_iter().map(Ok)).boxed())
    }
}
