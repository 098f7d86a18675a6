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
mod elsewhere;
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
pub(crate) mod tests;

pub use booking::BookingRequest;
pub use ears::Ears;
pub use elsewhere::{book, booker, fill_step, judge, recording_paused, told, turn_row};
pub use inbox::{CallInput, TalkInbox};
pub use incoming::{StartError, accept, new_leg_id, start_outbound};
pub use mouth::Mouth;
pub use recover::{late_event, recover, untold_acceptance};
pub use registry::{OtherCalls, Registry};
pub use shared::Shared;
pub use talk::recognise;
