//! The real binary against real phones, as a caller, a human agent and an operator meet it.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as tests do"
)]

mod answered;
mod bad_input;
mod bad_setup;
mod brain;
mod caller_gone;
mod common;
mod harness;
mod killed;
mod nobody_there;
mod operator;
mod phones;
mod voices;
