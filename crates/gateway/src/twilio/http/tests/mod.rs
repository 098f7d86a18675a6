//! The carrier's requests as they come over HTTP, against a real store.

mod ladders;
mod lost;
mod outbound;
mod pin;
mod signatures;
mod world;
