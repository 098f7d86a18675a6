//! The shell around the pure machines: configuration, wiring, one task per call, HTTP, jobs, command
//! line. Rules about calls belong in `call`, rules about turns in `conversation`.
//!
//! Start reading at [`app::run`], which builds every part once, then [`calls`].

mod accounts;
pub mod app;
mod brains;
mod bus;
mod calls;
pub mod cli;
mod clock;
pub mod config;
mod doctor;
pub mod http;
mod http_server;
mod laboratory;
mod metrics;
mod network;
mod notices;
mod outbound;
mod registrations;
mod signing_key;
mod speech;
mod switchboard;
mod telemetry;
mod trunks;
mod twilio;
mod users;
mod voices;
mod wire;
