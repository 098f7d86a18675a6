//! Which model thinks for a call.

use std::sync::Arc;

use switchhook_adapters::openai::{ChatConfig, OpenAiChat};
use switchhook_adapters::{LanguageModel, Secret};

use crate::calls::Brains;
use crate::config::{BrainConfig, Config, LlmConfig};

#[derive(Debug, thiserror::Error)]
pub enum BrainError {
    #[error("intents file {path}: {cause}")]
    Intents { path: String, cause: String },
    #[error("language model: {0}")]
    Model(String),
}

/// The brain that the configuration names.
pub fn build(config: &Config) -> Result<Arc<dyn Brains>, BrainError> {
    match &config.assistant.brain {
        BrainConfig::Scripted => Ok(Arc::new(Scripted::load(config)?)),
        BrainConfig::OpenAi(llm) => Ok(Arc::new(Remote::connect(llm)?)),
    }
}

/// A remote model keeps no state of a call: one client serves all.
#[derive(Debug)]
struct Remote {
    model: Arc<OpenAiChat>,
}

impl Remote {
    fn connect(llm: &LlmConfig) -> Result<Self, BrainError> {
        let mut chat = ChatConfig::new(llm.base_url.clone(), llm.model.clone());
        chat.api_key = llm.api_key.as_ref().map(|key| Secret::new(key.expose()));
        chat.temperature = llm.temperature;
        chat.max_tokens = Some(llm.max_tokens);
        let model = OpenAiChat::new(chat).map_err(|error| BrainError::Model(error.to_string()))?;
        Ok(Self {
            model: Arc::new(model),
        })
    }
}

impl Brains for Remote {
    fn for_call(&self) -> Arc<dyn LanguageModel> {
        Arc::clone(&self.model) as Arc<dyn LanguageModel>
    }
}

#[derive(Debug)]
struct Scripted;

impl Scripted {
    fn load(_config: &Config) -> Result<Self, BrainError> {
        Ok(Self)
    }
}

impl Brains for Scripted {
    fn for_call(&self) -> Arc<dyn LanguageModel> {
        let chat = ChatConfig::new("http://127.0.0.1:9/v1", "none");
        Arc::new(OpenAiChat::new(chat).expect("constant"))
    }
}
