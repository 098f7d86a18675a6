//! Chat completions with streaming and tools.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use switchhook_model::chat::{ChatMessage, ChatRole, ModelDelta};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::answer::{AnswerReader, MAX_STREAM};
use crate::http::{self, ProviderConfigError, Refusal};
use crate::think::{
    LanguageModel, LlmCapabilities, LlmError, LlmLimits, ThinkRequest, ThinkStream,
};
use crate::{Limit, Secret};

/// Largest request that is sent, in bytes: a long call's history is far below it.
const MAX_REQUEST: usize = 1024 * 1024;

/// How the limit on the answer's length is called: servers differ, and refuse the other name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxTokensField {
    /// The older name, known to every local server.
    #[default]
    MaxTokens,
    /// The newer name, required by the vendor's newer models.
    MaxCompletionTokens,
}

/// Which server and model answers, and how it is asked.
#[derive(Debug, Clone)]
pub struct ChatConfig {
    /// Up to and including the version: `https://api.openai.com/v1`, `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Local servers usually need none.
    pub api_key: Option<Secret>,
    /// As the server lists it.
    pub model: String,
    /// Sent only if set: newer models refuse it.
    pub temperature: Option<f32>,
    /// Longest answer in tokens; sent only if set.
    pub max_tokens: Option<u32>,
    pub max_tokens_field: MaxTokensField,
    /// Further members of the request body, for example `reasoning_effort`. They do not replace
    /// those written here.
    pub extra_body: serde_json::Map<String, Value>,
    pub limits: LlmLimits,
}

impl ChatConfig {
    /// `model` at `base_url`, everything else as usual.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: model.into(),
            temperature: None,
            max_tokens: None,
            max_tokens_field: MaxTokensField::default(),
            extra_body: serde_json::Map::new(),
            limits: LlmLimits::default(),
        }
    }
}

/// A model behind `POST {base}/chat/completions`.
#[derive(Debug, Clone)]
pub struct OpenAiChat {
    config: ChatConfig,
    url: Url,
    authorization: HeaderValue,
    client: reqwest::Client,
    name: String,
}

impl OpenAiChat {
    /// Checks the configuration; connects to nothing.
    ///
    /// # Errors
    /// If the base URL, the key or the model cannot be used.
    pub fn new(config: ChatConfig) -> Result<Self, ProviderConfigError> {
        super::required_model(&config.model)?;
        let base = http::base_url(&config.base_url)?;
        Ok(Self {
            url: base.join("chat/completions").expect("a relative path"),
            authorization: super::authorization(config.api_key.as_ref())?,
            client: http::client(&base, config.limits.connect)?,
            name: super::provider_name("chat", &config.model, &base),
            config,
        })
    }

    fn body(&self, request: &ThinkRequest) -> Result<String, LlmError> {
        let mut body = self.config.extra_body.clone();
        body.insert("model".into(), json!(self.config.model));
        body.insert("stream".into(), json!(true));
        body.insert(
            "messages".into(),
            request.messages.iter().map(wire_message).collect(),
        );
        if let Some(temperature) = self.config.temperature {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(tokens) = self.config.max_tokens {
            let field = match self.config.max_tokens_field {
                MaxTokensField::MaxTokens => "max_tokens",
                MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
            };
            body.insert(field.into(), json!(tokens));
        }
        // An empty list of tools is refused by several servers.
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                }})
            });
            body.insert("tools".into(), tools.collect());
        }
        let body = Value::Object(body).to_string();
        if body.len() > MAX_REQUEST {
            return Err(LlmError::TooMuch {
                provider: self.name.clone(),
                limit: MAX_REQUEST,
                what: "bytes of conversation (in our request)",
            });
        }
        Ok(body)
    }

    /// One try, up to its first delta.
    async fn attempt(&self, body: String, started: Instant) -> Result<Answer, LlmError> {
        let first = started + self.config.limits.first;
        let request = super::authorized(self.client.post(self.url.clone()), &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .header(reqwest::header::ACCEPT, "text/event-stream")
            .body(body);
        let response = match timeout_at(first, request.send()).await {
            Err(_) => return Err(self.timed_out(Limit::First, self.config.limits.first)),
            Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
                return Err(self.timed_out(Limit::Connect, self.config.limits.connect));
            }
            Ok(Err(error)) => {
                return Err(LlmError::Unreachable {
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
            return Err(LlmError::Refused {
                provider: self.name.clone(),
                refusal: Refusal::read(status, &headers, &body),
            });
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        if content_type.starts_with("text/html") {
            return Err(LlmError::Malformed {
                provider: self.name.clone(),
                detail: "it answered with a web page".into(),
            });
        }
        let whole_json = content_type.starts_with("application/json");
        let mut answer = Answer {
            reader: AnswerReader::new(self.name.clone(), request_id.clone()),
            response: Some(response),
            queue: VecDeque::new(),
            failed: None,
            name: self.name.clone(),
            request_id,
            limits: self.config.limits,
            started,
            whole_json,
            begun: false,
        };
        let delta = answer.next().await?;
        if let Some(delta) = delta {
            answer.queue.push_front(delta);
        }
        answer.begun = true;
        tracing::debug!(
            provider = %self.name,
            request_id = answer.request_id.as_deref().unwrap_or("-"),
            first_ms = millis(started.elapsed()),
            "language model began to answer"
        );
        Ok(answer)
    }

    fn timed_out(&self, limit: Limit, after: Duration) -> LlmError {
        LlmError::TimedOut {
            provider: self.name.clone(),
            limit,
            limit_ms: millis(after),
        }
    }
}

#[async_trait]
impl LanguageModel for OpenAiChat {
    fn capabilities(&self) -> LlmCapabilities {
        LlmCapabilities {
            name: self.name.clone(),
            tools: true,
            streaming: true,
        }
    }

    async fn stream(&self, request: ThinkRequest) -> Result<ThinkStream, LlmError> {
        let started = Instant::now();
        let first = started + self.config.limits.first;
        let body = self.body(&request)?;
        let mut tries = 0;
        let answer = loop {
            let error = match self.attempt(body.clone(), started).await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            let asked = match &error {
                LlmError::Refused { refusal, .. } => refusal.retry_after,
                _ => None,
            };
            let wait = asked.unwrap_or_else(|| http::backoff(tries));
            // Waiting beyond the first limit would only add silence to a failure.
            if tries >= self.config.limits.retries
                || !error.is_retryable()
                || Instant::now() + wait >= first
            {
                return Err(error);
            }
            tries += 1;
            tracing::warn!(%error, tries, wait_ms = millis(wait), "asking the language model again");
            tokio::time::sleep(wait).await;
        };
        Ok(Box::pin(stream::unfold(Some(answer), |answer| async {
            let mut answer = answer?;
            match answer.next().await {
                Ok(Some(delta)) => Some((Ok(delta), Some(answer))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

/// An answer that is being received. Dropping it closes the connection.
struct Answer {
    reader: AnswerReader,
    /// `None` once everything has been read.
    response: Option<reqwest::Response>,
    queue: VecDeque<ModelDelta>,
    /// Comes after what is in the queue.
    failed: Option<LlmError>,
    name: String,
    request_id: Option<String>,
    limits: LlmLimits,
    started: Instant,
    whole_json: bool,
    begun: bool,
}

impl Answer {
    async fn next(&mut self) -> Result<Option<ModelDelta>, LlmError> {
        // Time the reader of the stream spends elsewhere is not the provider's.
        let mut waiting_since = Instant::now();
        loop {
            if let Some(delta) = self.queue.pop_front() {
                return Ok(Some(delta));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let Some(mut response) = self.response.take() else {
                return Ok(None);
            };
            if self.whole_json {
                self.read_whole(response).await?;
                continue;
            }
            let (limit, at) = self.next_limit(waiting_since);
            let piece = match timeout_at(at, response.chunk()).await {
                Err(_) => return Err(self.timed_out(limit)),
                Ok(Err(error)) => {
                    return Err(LlmError::CutShort {
                        provider: self.name.clone(),
                        cause: http::chain(&error.without_url()),
                    });
                }
                Ok(Ok(piece)) => piece,
            };
            let mut deltas = Vec::new();
            let events = self.reader.events();
            let read = match &piece {
                Some(bytes) => self.reader.push(bytes, &mut deltas),
                None => self.reader.finish(&mut deltas),
            };
            self.queue.extend(deltas);
            if let Err(error) = read {
                // Before the first delta the whole request may still be repeated, so nothing is
                // given out; afterwards what came before the error is given out first.
                if !self.begun || self.queue.is_empty() {
                    return Err(error);
                }
                self.failed = Some(error);
                continue;
            }
            if self.reader.events() > events {
                waiting_since = Instant::now();
            }
            if self.reader.is_done() {
                self.log_end();
            } else {
                self.response = Some(response);
            }
        }
    }

    async fn read_whole(&mut self, response: reqwest::Response) -> Result<(), LlmError> {
        let (limit, at) = self.next_limit(Instant::now() + self.limits.whole);
        let body = match timeout_at(at, http::read_body(response, MAX_STREAM)).await {
            Err(_) => return Err(self.timed_out(limit)),
            Ok(Err(http::BodyError::TooLarge)) => {
                return Err(LlmError::TooMuch {
                    provider: self.name.clone(),
                    limit: MAX_STREAM,
                    what: "bytes in one answer",
                });
            }
            Ok(Err(http::BodyError::Read(error))) => {
                return Err(LlmError::CutShort {
                    provider: self.name.clone(),
                    cause: http::chain(&error.without_url()),
                });
            }
            Ok(Ok(body)) => body,
        };
        let mut deltas = Vec::new();
        self.reader.whole(&body, &mut deltas)?;
        self.queue.extend(deltas);
        self.log_end();
        Ok(())
    }

    /// The limit that runs out first.
    fn next_limit(&self, waiting_since: Instant) -> (Limit, Instant) {
        let mut next = (Limit::Whole, self.started + self.limits.whole);
        let first = (Limit::First, self.started + self.limits.first);
        if !self.begun && first.1 < next.1 {
            next = first;
        }
        let gap = (Limit::Gap, waiting_since + self.limits.gap);
        if gap.1 < next.1 {
            next = gap;
        }
        next
    }

    fn timed_out(&self, limit: Limit) -> LlmError {
        let after = match limit {
            Limit::Connect => self.limits.connect,
            Limit::First => self.limits.first,
            Limit::Gap => self.limits.gap,
            Limit::Whole => self.limits.whole,
        };
        LlmError::TimedOut {
            provider: self.name.clone(),
            limit,
            limit_ms: millis(after),
        }
    }

    fn log_end(&self) {
        tracing::debug!(
            provider = %self.name,
            request_id = self.request_id.as_deref().unwrap_or("-"),
            whole_ms = millis(self.started.elapsed()),
            "language model answered"
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wire_message(message: &ChatMessage) -> Value {
    let role = match message.role {
        ChatRole::System => "system",
        ChatRole::User => "user",
        ChatRole::Assistant => "assistant",
        ChatRole::Tool => "tool",
    };
    let mut wire = json!({"role": role, "content": message.content});
    if !message.tool_calls.is_empty() {
        if message.content.is_empty() {
            wire["content"] = Value::Null;
        }
        let calls = message.tool_calls.iter().map(|call| {
            json!({"id": call.id, "type": "function", "function": {
                "name": call.name,
                "arguments": valid_arguments(&call.arguments),
            }})
        });
        wire["tool_calls"] = calls.collect();
    }
    if let Some(id) = &message.tool_call_id {
        wire["tool_call_id"] = json!(id);
    }
    wire
}

/// Several servers parse the arguments in the history and refuse the whole request when the model
/// itself wrote them wrongly; its call was answered with an error, so nothing is lost.
fn valid_arguments(arguments: &str) -> &str {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(_)) => arguments,
        _ => "{}",
    }
}
