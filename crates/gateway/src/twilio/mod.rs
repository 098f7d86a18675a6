//! The Twilio channel: calls whose audio is at the carrier.
//!
//! [`channel`] is the call as data, without I/O. [`engine`] loads it, lets it take one input, commits
//! the step and carries out what it wants. [`http`] is the carrier's door: signatures, paths, answers.
//! Unlike a SIP call, such a call outlives the process: the next webhook finds it in the database,
//! on this node or another.

mod asking;
mod brain;
pub mod channel;
mod committing;
mod document;
mod effects;
mod engine;
mod giving;
pub mod http;
mod invitation;
pub mod messages;
mod outgoing;
mod recordings;
mod settings;
mod simulation;
mod slots;
mod socket;
mod stream;
mod streams;
mod threads;
mod words;

pub use engine::{Engine, Handle};
pub use outgoing::{Placed, session_of};
pub use recordings::OrderFault;
pub use settings::Settings;
