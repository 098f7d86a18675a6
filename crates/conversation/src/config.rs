//! How a conversation behaves: one value, resolved and valid.

use serde::{Deserialize, Serialize};
use switchhook_model::{Language, ToolSpec};

use crate::clock::LocalZone;
use crate::pin::{PinConfig, PinTexts};
use crate::texts::ConversationTexts;

/// Everything a conversation is told at its beginning.
#[derive(Debug, Clone)]
pub struct ConversationConfig {
    pub language: Language,
    pub zone: LocalZone,
    /// Who the assistant is and what it knows; the model reads it before everything else.
    pub system_prompt: String,
    pub texts: ConversationTexts,
    pub tools: ToolPolicy,
    /// Where a caller can be transferred by name.
    pub departments: Vec<Department>,
    /// Whether "transfer me to extension 2001" names the target.
    pub allow_spoken_extension: bool,
    /// Whether the phrase lists recognise a wish for a human without asking the model.
    pub match_transfer_phrases: bool,
    /// Whether the phrase lists recognise a goodbye without asking the model.
    pub match_exit_phrases: bool,
    /// Further mis-hearings of the recogniser, `(heard, meant)`, e.g. `("transport this call",
    /// "transfer this call")`.
    pub mishearings: Vec<(String, String)>,
    /// Whether key `0` asks for a human.
    pub keypad_human: bool,
    /// Whether the caller may speak over the assistant.
    pub barge_in: bool,
    pub timing: Timing,
    pub bounds: Bounds,
    pub message: MessageLimits,
    /// The caller is asked for a PIN before anything else.
    pub pin: Option<PinRules>,
}

/// The question for a PIN.
#[derive(Debug, Clone)]
pub struct PinRules {
    pub config: PinConfig,
    pub texts: PinTexts,
}

impl ConversationConfig {
    /// A conversation with the language's own texts, all tools but booking, and default bounds.
    pub fn new(language: Language, zone: LocalZone) -> Self {
        Self {
            language,
            zone,
            system_prompt: String::new(),
            texts: ConversationTexts::defaults(language),
            tools: ToolPolicy::default(),
            departments: Vec::new(),
            allow_spoken_extension: false,
            match_transfer_phrases: true,
            match_exit_phrases: true,
            mishearings: Vec::new(),
            keypad_human: true,
            barge_in: true,
            timing: Timing::default(),
            bounds: Bounds::default(),
            message: MessageLimits::default(),
            pin: None,
        }
    }
}

/// Which tools the model is offered. What is not offered is not mentioned either, and refused when
/// a model calls it all the same.
#[derive(Debug, Clone)]
pub struct ToolPolicy {
    pub request_human_transfer: bool,
    pub end_call: bool,
    pub take_message: bool,
    pub book_appointment: bool,
    /// Further tools, carried out by the gateway.
    pub others: Vec<ToolSpec>,
}

impl Default for ToolPolicy {
    fn default() -> Self {
        Self {
            request_human_transfer: true,
            end_call: true,
            take_message: true,
            book_appointment: false,
            others: Vec::new(),
        }
    }
}

/// A department as callers name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Department {
    /// The key of the dial plan.
    pub name: String,
    /// Further words for it, e.g. `["billing", "invoices", "accounts"]`.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Waiting times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// A filler is spoken when the answer has no first word after this time.
    pub filler_after_ms: u64,
    /// A model that has not finished its reply counts as failed.
    pub think_timeout_ms: u64,
    /// A tool that has not answered counts as failed; the model is told.
    pub tool_timeout_ms: u64,
    /// A recogniser that has not answered counts as failed.
    pub transcribe_timeout_ms: u64,
    /// Shorter voice is noise.
    pub min_utterance_ms: u64,
    /// How long the assistant waits for call control after asking for a human.
    pub handover_timeout_ms: u64,
    /// An item without sign of life for this long counts as failed.
    pub playout_timeout_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            filler_after_ms: 1_500,
            think_timeout_ms: 20_000,
            tool_timeout_ms: 8_000,
            transcribe_timeout_ms: 10_000,
            min_utterance_ms: 100,
            handover_timeout_ms: 15_000,
            playout_timeout_ms: 15_000,
        }
    }
}

/// What happens when the providers keep failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnErrors {
    /// A farewell, then the end.
    #[default]
    Goodbye,
    /// A human, once; after that the farewell.
    AskForHuman,
}

/// No loop is endless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Silence before the caller is asked whether they are still there.
    pub silence_ms: u64,
    /// Prompts before the goodbye.
    pub max_silence_prompts: u32,
    /// Turns of the caller.
    pub max_turns: u32,
    /// Minutes since the start.
    pub max_minutes: u32,
    /// Provider errors in a row.
    pub max_errors: u32,
    pub on_errors: OnErrors,
    /// Rounds of tool calls within one turn.
    pub max_tool_rounds: u32,
    /// Characters of one reply; the rest is not spoken.
    pub max_reply_chars: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            silence_ms: 8_000,
            max_silence_prompts: 3,
            max_turns: 60,
            max_minutes: 30,
            max_errors: 3,
            on_errors: OnErrors::Goodbye,
            max_tool_rounds: 6,
            max_reply_chars: 4_000,
        }
    }
}

/// When a message is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageLimits {
    /// Silence after speech that ends the message.
    pub end_silence_ms: u64,
    /// Silence from the beep on that abandons it.
    pub no_speech_ms: u64,
    /// The longest message.
    pub max_ms: u64,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            end_silence_ms: 3_000,
            no_speech_ms: 8_000,
            max_ms: 60_000,
        }
    }
}
