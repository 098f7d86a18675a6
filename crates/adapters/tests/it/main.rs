//! The providers against the lab's servers, over real HTTP, and against the real espeak-ng; Twilio's
//! REST against a server of its own here.

mod chat;
mod espeak;
mod failover;
mod speech;
mod transcription;
mod twilio;
mod webhook;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// Longest wait for something that should come at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);

/// An address nobody listens on: taken and given back.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address")
}
