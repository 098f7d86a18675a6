//! The router in process, over both stores, with a gateway that only notes what it is asked.

mod auth;
mod call_detail;
mod call_list;
mod commands;
mod ladder;
mod limits;
mod lists;
mod live;
mod operations;
mod pages;
mod privacy;
mod recording;
mod world;
