//! The router in process, over both stores, with a gateway that only notes what it is asked.

mod auth;
mod calls;
mod limits;
mod live;
mod operations;
mod pages;
mod privacy;
mod recording;
mod world;
