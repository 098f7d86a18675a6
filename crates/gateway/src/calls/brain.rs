//! Asks the language model and passes its pieces on to the conversation.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use switchhook_adapters::{LanguageModel, ThinkRequest};
use switchhook_conversation::Input;
use switchhook_model::{ChatMessage, ModelDelta, ToolSpec};
use tokio::task::AbortHandle;

use super::inbox::TalkInbox;

/// The running requests of one conversation. Dropping it drops their connections.
#[derive(Debug)]
pub(super) struct Brain {
    model: Arc<dyn LanguageModel>,
    running: BTreeMap<u32, AbortHandle>,
    inbox: TalkInbox,
}

impl Brain {
    pub(super) fn new(model: Arc<dyn LanguageModel>, inbox: TalkInbox) -> Self {
        Self {
            model,
            running: BTreeMap::new(),
            inbox,
        }
    }

    pub(super) fn think(&mut self, request: u32, messages: Vec<ChatMessage>, tools: Vec<ToolSpec>) {
        let model = Arc::clone(&self.model);
        let inbox = self.inbox.clone();
        let task = tokio::spawn(async move {
            let pass = |delta| inbox.send(Input::Delta { request, delta });
            let mut stream = match model.stream(ThinkRequest { messages, tools }).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, request, "the language model failed");
                    return pass(ModelDelta::Failed(error.to_string()));
                }
            };
            let mut ended = false;
            while let Some(delta) = stream.next().await {
                let delta = delta.unwrap_or_else(|error| {
                    tracing::warn!(%error, request, "the language model failed");
                    ModelDelta::Failed(error.to_string())
                });
                ended = matches!(delta, ModelDelta::Done | ModelDelta::Failed(_));
                pass(delta);
                if ended {
                    break;
                }
            }
            if !ended {
                pass(ModelDelta::Failed(
                    "the model's stream ended without an end".to_owned(),
                ));
            }
        });
        self.running.retain(|_, task| !task.is_finished());
        self.running.insert(request, task.abort_handle());
    }

    /// Drops the connection: nobody waits for the answer.
    pub(super) fn cancel(&mut self, request: u32) {
        if let Some(task) = self.running.remove(&request) {
            task.abort();
        }
    }
}

impl Drop for Brain {
    fn drop(&mut self) {
        for task in self.running.values() {
            task.abort();
        }
    }
}
