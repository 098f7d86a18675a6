//! The operator API, the console's files, and the pages for operations.
//!
//! [`router`] is a plain function: tests call it without a port. One file per endpoint holds its
//! request, response, refusals, handler and OpenAPI text. Handlers that need a signed-in user take a
//! [`auth::Principal`] and ask it for a permission; what acts on live calls goes through
//! [`ports::Operator`].

pub mod auth;
mod calls;
mod client;
mod console;
mod error;
mod extensions;
mod extract;
mod headers;
mod limits;
mod live;
mod messages;
mod metrics;
mod openapi;
mod operations;
mod oversized;
pub mod ports;
mod request_id;
mod rfc3339;
mod router;
mod sip_socket;
mod state;
mod stats;
mod trunks;

#[cfg(test)]
mod tests;

pub(crate) use client::Source;
pub use router::{router, serve};
pub use sip_socket::SipSockets;
pub use state::{HttpConfig, HttpState};
