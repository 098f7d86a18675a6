//! The talk between a caller and the assistant, as machines without I/O.
//!
//! What belongs here: turns, endpointing, barge-in and what was really heard, tool policy, message
//! taking, the phrases that mean "a human, please" and "goodbye", the question for a PIN, and the
//! scripted brain. What does not: calls and transfers (the `call` crate), providers (`adapters`), how
//! audio travels (`media`). Nothing here reads a clock, waits, or starts anything: time comes in with
//! each input.
//!
//! Start reading at [`Conversation`], then [`io`] for what goes in and comes out. A channel without
//! audio of its own goes through [`documents`].

pub mod clock;
pub mod config;
mod conversation;
pub mod documents;
pub mod endpointing;
mod heard;
mod history;
pub mod intent;
pub mod io;
mod io_debug;
pub mod pin;
pub mod scripted;
mod sentences;
pub mod texts;
pub mod tools;

pub use clock::{LocalZone, UnknownZone};
pub use config::{
    Bounds, ConversationConfig, Department, MessageLimits, OnErrors, PinRules, Timing, ToolPolicy,
};
pub use conversation::{
    Conversation, ConversationSnapshot, SNAPSHOT_VERSION, SnapshotError, TurnState,
};
pub use documents::{Documents, Returned, Spoken, Then};
pub use endpointing::{EndpointEvent, Endpointing, EndpointingConfig};
pub use io::{EndReason, Heard, Input, Output, PinAnswer, SayId, Speaker, Turn, TurnLatency};
pub use pin::{Pin, PinCheck, PinConfig, PinTexts, Verdict, spoken_digits};
pub use texts::ConversationTexts;
