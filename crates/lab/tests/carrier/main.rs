//! The carrier stand-in, against an application written by hand: what it asks, what it does with
//! the answers, and what people at the other ends hear.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod app;
mod conference;
mod dial;
mod faults;
mod messages;
mod outbound;
mod page;
mod rest;
mod sip;
mod stream;
mod trunk;
mod verbs;

use std::time::Duration;

/// Longer than anything takes, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(40);

pub const OUR_NUMBER: &str = "+493023125000";
pub const CALLER: &str = "+12025550123";
pub const AGENT: &str = "+493023125101";
