//! Language models: the conversation so far goes in, text and tool calls come out.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use switchhook_model::chat::{ChatMessage, ModelDelta, ToolSpec};

use crate::Limit;
use crate::http::Refusal;

/// What a model can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmCapabilities {
    /// Provider and model, for logs and the call's record.
    pub name: String,
    /// It calls tools.
    pub tools: bool,
    /// Text comes before the whole answer is there.
    pub streaming: bool,
}

/// One request for an answer.
#[derive(Debug, Clone, Default)]
pub struct ThinkRequest {
    /// The conversation so far, oldest first, the system text included.
    pub messages: Vec<ChatMessage>,
    /// Tools the model may call; empty = none.
    pub tools: Vec<ToolSpec>,
}

/// Time limits of one request. A voice call waits differently from a chat page: the defaults are
/// short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LlmLimits {
    /// For the connection, each try.
    pub connect: Duration,
    /// From the request to the first text or tool call, all tries together.
    pub first: Duration,
    /// Between two events of the stream. Keep-alive comments do not count as events.
    pub gap: Duration,
    /// The whole answer, all tries together.
    pub whole: Duration,
    /// Further tries after a failure that may pass; only before the first text or tool call.
    pub retries: u32,
}

impl Default for LlmLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first: Duration::from_secs(4),
            gap: Duration::from_secs(5),
            whole: Duration::from_secs(30),
            retries: 2,
        }
    }
}

/// The answer as it comes. It ends with [`ModelDelta::Done`], or with an error and nothing after
/// it: an answer without `Done` is incomplete, and its tool calls must not be carried out (none
/// are given before the end). Dropping it closes the connection, so that the provider stops.
pub type ThinkStream = BoxStream<'static, Result<ModelDelta, LlmError>>;

/// Why there is no answer, or no whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    #[error(
        "language model {provider} cannot be reached: {cause}; check that it runs and its base URL"
    )]
    Unreachable { provider: String, cause: String },
    #[error(
        "language model {provider} took longer than {limit_ms} ms for {limit}; a model that loads at its first request should be warmed up"
    )]
    TimedOut {
        provider: String,
        limit: Limit,
        limit_ms: u64,
    },
    #[error("language model {provider} refused: {refusal}")]
    Refused { provider: String, refusal: Refusal },
    #[error("language model {provider} ended its answer early: {cause}")]
    CutShort { provider: String, cause: String },
    #[error(
        "language model {provider} sent what is not understood: {detail}; check that its base URL leads to an OpenAI-compatible server"
    )]
    Malformed { provider: String, detail: String },
    #[error("language model {provider} sent more than {limit} {what}")]
    TooMuch {
        provider: String,
        limit: usize,
        what: &'static str,
    },
    #[error("language model {provider} declined to answer: {reason}")]
    Declined {
        provider: String,
        reason: &'static str,
    },
}

impl LlmError {
    /// Another provider, or the same one later, may succeed with the same request.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::CutShort { .. } => true,
            Self::Refused { refusal, .. } => refusal.retryable,
            Self::Malformed { .. } | Self::TooMuch { .. } | Self::Declined { .. } => false,
        }
    }
}

/// Answers a conversation.
#[async_trait]
pub trait LanguageModel: Send + Sync + std::fmt::Debug {
    /// What this model can do.
    fn capabilities(&self) -> LlmCapabilities;

    /// Asks for an answer. Returns when its first text or tool call is there, so that failures
    /// before it can be repeated or passed to another provider unheard.
    async fn stream(&self, request: ThinkRequest) -> Result<ThinkStream, LlmError>;
}
