//! Whole calls, webhook by webhook; each also with a crash after every one of them.

mod ladders;
mod meeting;
mod message;
mod outbound;
mod parting;
mod pin;
mod world;
