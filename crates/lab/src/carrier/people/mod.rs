//! The people at the ends of the lines: callers and called phones, scripted by the test.

pub(super) mod line;
mod party;
pub(super) mod phone;
pub(super) mod sip;
pub(super) mod target;

pub use line::{Ended, Heard};
pub use party::Party;
pub use phone::{Behaviour, Phone, Then};
