//! What a conversation says to a language model and hears from it, without any wire details.
//!
//! The shapes follow chat completions, because that is what most models speak; an adapter for
//! another protocol translates at its edge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose words a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// Instructions: who the assistant is, what time it is, what happened besides the talk.
    System,
    /// The caller, as transcribed.
    User,
    /// The assistant: only what the caller really heard, and the tools it called.
    Assistant,
    /// The result of one tool call.
    Tool,
}

/// One message of the history a model is given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub role: ChatRole,
    /// Empty where an assistant message only calls tools.
    pub content: String,
    /// Calls made by an assistant message, in order. Each is answered by exactly one later
    /// [`ChatRole::Tool`] message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// Instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self::plain(ChatRole::System, content)
    }

    /// The caller's words.
    pub fn user(content: impl Into<String>) -> Self {
        Self::plain(ChatRole::User, content)
    }

    /// The assistant's words as heard.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::plain(ChatRole::Assistant, content)
    }

    /// The result of the tool call `id`.
    pub fn tool(id: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(id.into()),
            ..Self::plain(ChatRole::Tool, content)
        }
    }

    fn plain(role: ChatRole, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

impl fmt::Debug for ChatMessage {
    /// Hides the words: what a caller said does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatMessage")
            .field("role", &self.role)
            .field("content_chars", &self.content.chars().count())
            .field("tool_calls", &self.tool_calls)
            .field("tool_call_id", &self.tool_call_id)
            .finish()
    }
}

/// A tool the model wants carried out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's id of this call; its result names it.
    pub id: String,
    pub name: String,
    /// JSON text exactly as the model wrote it: it may be malformed, the reader checks.
    pub arguments: String,
}

impl fmt::Debug for ToolCall {
    /// Hides the arguments: they repeat what the caller said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("arguments_bytes", &self.arguments.len())
            .finish()
    }
}

/// A tool offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    /// When to call it, in the words the model reads.
    pub description: String,
    /// JSON Schema of the arguments object.
    pub parameters: serde_json::Value,
}

/// One piece of a model's streamed reply. A stream ends with `Done` or `Failed`, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelDelta {
    /// More words, to be spoken; cut anywhere, even within a word.
    Text(String),
    /// A complete tool call. The adapter has put together calls that came in pieces.
    ToolCall(ToolCall),
    /// The reply is complete.
    Done,
    /// The reply broke off: cause and cure for the operator, never spoken.
    Failed(String),
}

impl fmt::Debug for ModelDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} chars)", text.chars().count()),
            Self::ToolCall(call) => f.debug_tuple("ToolCall").field(call).finish(),
            Self::Done => f.write_str("Done"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_left_out() {
        let text = serde_json::to_string(&ChatMessage::user("hello")).expect("serialises");
        assert_eq!(text, r#"{"role":"user","content":"hello"}"#);
        let tool = ChatMessage::tool("c1", "ok");
        let back: ChatMessage =
            serde_json::from_str(&serde_json::to_string(&tool).expect("serialises"))
                .expect("reads");
        assert_eq!(back, tool);
    }

    #[test]
    fn debug_output_hides_what_was_said() {
        let shown = format!("{:?}", ChatMessage::user("my number is 555"));
        assert!(!shown.contains("555"), "{shown}");
        let shown = format!("{:?}", ModelDelta::Text("secret".into()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
