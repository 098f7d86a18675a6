//! Running calls: one task each. This module wires the pure machines to the world; it decides
//! nothing about a call.
//!
//! Start reading at [`task`], then [`perform`] for how actions are carried out and [`talk`] for the
//! assistant.

mod audio;
mod booking;
mod brain;
pub mod destination;
mod early;
mod ears;
mod ending;
mod facts;
mod figures;
mod holding;
mod inbox;
mod incoming;
mod legs;
mod mouth;
mod perform;
pub mod policy;
mod recording;
mod recover;
mod referring;
mod registry;
mod rows;
mod shared;
mod talk;
mod task;
mod unreadable;
mod verdict;

#[cfg(test)]
mod tests;

pub use inbox::CallInput;
pub use incoming::{StartError, accept, new_leg_id, start_outbound};
pub use recover::{late_event, recover};
pub use registry::Registry;
pub use shared::Shared;
