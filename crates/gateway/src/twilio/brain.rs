//! The model's answer as it comes, in pieces large enough to be worth a stored step.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use switchhook_adapters::{LanguageModel, ThinkRequest};
use switchhook_model::{ChatMessage, ModelDelta, ToolSpec};
use tokio::time::Instant;

/// Words are handed on at the latest this long after they came, if they end a sentence.
const GATHER: Duration = Duration::from_millis(200);

/// Streams the answer to `pass`, which gets one or more pieces at a time; the last one is `Done` or
/// `Failed`.
pub(super) async fn think<F, T>(
    model: Arc<dyn LanguageModel>,
    messages: Vec<ChatMessage>,
    tools: Vec<ToolSpec>,
    pass: F,
) where
    F: Fn(Vec<ModelDelta>) -> T,
    T: Future<Output = ()>,
{
    let mut stream = match model.stream(ThinkRequest { messages, tools }).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "the language model failed");
            return pass(vec![ModelDelta::Failed(error.to_string())]).await;
        }
    };
    let mut waiting: Vec<ModelDelta> = Vec::new();
    let mut handed_at = Instant::now();
    while let Some(delta) = stream.next().await {
        let delta = delta.unwrap_or_else(|error| {
            tracing::warn!(%error, "the language model failed");
            ModelDelta::Failed(error.to_string())
        });
        let is_last = matches!(delta, ModelDelta::Done | ModelDelta::Failed(_));
        let ends_sentence =
            matches!(&delta, ModelDelta::Text(text) if text.contains(['.', '!', '?', '؟', '\n']));
        waiting.push(delta);
        if is_last {
            return pass(waiting).await;
        }
        if ends_sentence && handed_at.elapsed() >= GATHER {
            pass(std::mem::take(&mut waiting)).await;
            handed_at = Instant::now();
        }
    }
    waiting.push(ModelDelta::Failed(
        "the model's stream ended without an end".to_owned(),
    ));
    pass(waiting).await;
}
