//! Speech to speech: one provider listens, thinks and speaks over one connection.
//!
//! The trait has its place here so that the conversation can be built with it in mind; the vendors
//! that offer it follow. A provider reports what it *generates*; what was heard is known only to
//! the playout, and is told back by [`RealtimeCommand::Truncate`].

use async_trait::async_trait;
use futures::stream::BoxStream;
use switchhook_model::Language;
use switchhook_model::chat::ToolSpec;

use crate::Limit;
use crate::http::Refusal;
use crate::pcm::Pcm;

/// What a realtime provider can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealtimeCapabilities {
    /// Provider and model, for logs and the call's record.
    pub name: String,
    /// Sample rate of the audio it takes, in Hz.
    pub input_rate_hz: u32,
    /// Sample rate of the audio it gives, in Hz.
    pub output_rate_hz: u32,
    /// It calls tools.
    pub tools: bool,
    /// It can be told what was really heard.
    pub truncate: bool,
    /// Longest connection in seconds.
    pub max_connection_s: u32,
}

/// How a connection begins.
#[derive(Debug, Clone)]
pub struct RealtimeStart {
    pub instructions: String,
    pub language: Language,
    pub tools: Vec<ToolSpec>,
}

/// What is sent while connected.
#[derive(Debug, Clone)]
pub enum RealtimeCommand {
    /// The caller's audio, in order, without gaps.
    Audio(Pcm),
    /// The assistant is to speak now, for example to greet.
    Respond,
    /// Stop the answer that is being given.
    Cancel,
    /// Of `item`, only the first `heard_ms` milliseconds were heard.
    Truncate { item: String, heard_ms: u64 },
    /// The result of a tool call.
    ToolResult { id: String, content: String },
}

/// What a provider reports.
#[derive(Debug, Clone, PartialEq)]
pub enum RealtimeEvent {
    /// The caller has begun to speak: playout has to stop.
    SpeechStarted,
    SpeechStopped,
    /// What the caller said.
    CallerText(String),
    /// Audio of an answer; faster than real time.
    Audio {
        item: String,
        pcm: Pcm,
    },
    /// The text of the audio of `item`.
    AssistantText {
        item: String,
        text: String,
    },
    ToolCall {
        id: String,
        name: String,
        arguments: String,
    },
    /// The answer is complete.
    Done,
}

/// Why a realtime connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RealtimeError {
    #[error("realtime provider {provider} cannot be reached: {cause}; check its base URL")]
    Unreachable { provider: String, cause: String },
    #[error("realtime provider {provider} took longer than {limit_ms} ms for {limit}")]
    TimedOut {
        provider: String,
        limit: Limit,
        limit_ms: u64,
    },
    #[error("realtime provider {provider} refused: {refusal}")]
    Refused { provider: String, refusal: Refusal },
    #[error("realtime provider {provider} closed the connection: {cause}")]
    Closed { provider: String, cause: String },
}

/// An open connection. Dropping it closes it.
#[async_trait]
pub trait RealtimeConnection: Send {
    /// Sends one command, in order.
    async fn send(&mut self, command: RealtimeCommand) -> Result<(), RealtimeError>;

    /// The events, once; a second call gives an empty stream.
    fn take_events(&mut self) -> BoxStream<'static, Result<RealtimeEvent, RealtimeError>>;
}

/// Opens realtime connections.
#[async_trait]
pub trait Realtime: Send + Sync + std::fmt::Debug {
    /// What this provider can do.
    fn capabilities(&self) -> RealtimeCapabilities;

    /// Connects and waits until the provider is ready for audio.
    async fn connect(
        &self,
        start: RealtimeStart,
    ) -> Result<Box<dyn RealtimeConnection>, RealtimeError>;
}
