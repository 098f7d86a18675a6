//! The real binary against real phones, as a caller, a human agent and an operator meet it.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as tests do"
)]

mod answered;
mod asterisk;
mod asterisk_media;
mod asterisk_transfers;
mod bad_input;
mod bad_setup;
mod brain;
mod call_quality;
mod caller_gone;
mod codecs;
mod common;
mod doctor;
mod early_media;
mod harness;
mod keys;
mod killed;
mod lab_page;
mod lost_messages;
mod nat;
mod network;
mod network_figures;
mod nobody_there;
mod operator;
mod outside;
mod pbx;
mod phones;
mod proxy;
mod secure_media;
mod soak;
mod softphone;
mod twilio;
mod twilio_arabic;
mod twilio_brain;
mod twilio_conference;
mod twilio_endpoints;
mod twilio_faults;
mod twilio_killed;
mod twilio_ladders;
mod twilio_line;
mod twilio_nodes;
mod twilio_notices;
mod twilio_outbound;
mod twilio_outbound_agent;
mod twilio_pin;
mod twilio_receptionist;
mod twilio_recordings;
mod twilio_targets;
mod voices;
