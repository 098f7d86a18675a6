//! Ids and value types every other crate shares.
//!
//! What belongs here: types without behaviour of their own that at least two crates name. What
//! does not: state, rules, I/O. Start reading at [`id`] and [`time`].

pub mod chat;
pub mod hangup;
pub mod id;
pub mod language;
pub mod party;
pub mod time;

pub use chat::{ChatMessage, ChatRole, ModelDelta, ToolCall, ToolSpec};
pub use hangup::{EndedBy, HangupCause};
pub use id::{
    AttemptId, CallId, EventId, LegId, MessageId, RecordingId, RequestId, TransferId, TurnId,
};
pub use language::Language;
pub use party::{CallerIdentity, Digit, Direction, E164, Extension, ParseError, Target};
pub use time::Timestamp;
