//! What survives a crash: calls with their parts, what is owed to the outside, users, registrations.
//!
//! Belongs here: rows, repository traits (one per aggregate), the back ends, the migrations, the
//! group commit. Does not belong here: rules. The store keeps what it is given; it neither knows
//! the `call` crate nor decides when something is owed or done.
//!
//! Start reading at [`Step`]: everything one event of a call changes, committed as a whole. The
//! [`Store`] handle queues steps for one writer task, which commits the steps of many calls in one
//! transaction; each caller waits for the commit of its own. Effects that leave the process are
//! released after that.
//!
//! Several gateways may share a PostgreSQL database: a step wins by its call's revision, work is claimed
//! by one, and whoever waits for work hears of that of others.
//!
//! # Adding a back end
//! Implement the traits of [`backend`], map the database's errors to [`StoreError`], add one line to
//! `contract/mod.rs` so that the same suite runs over it. `docs/adr/0002-query-layer.md` says why
//! the SQL is written the way it is.

pub mod backend;
mod error;
mod json;
pub mod memory;
pub mod postgres;
mod query;
mod rows;
mod sql;
pub mod sqlite;
mod stats;
mod step;
mod store;
mod work;
mod writer;

#[cfg(test)]
mod contract;

pub use backend::Backend;
pub use error::{CommitError, OpenError, StoreError, UserError};
pub use json::Json;
pub use query::{BadCursor, CallCursor, CallFilter, MessageFilter, PAGE_MAX, Page};
pub use rows::{
    AnswerRow, AttemptRow, BindingRow, CallHead, CallRow, EventRow, LegRow, MessageRow, NewEvent,
    NewWire, RecordingRow, RecordingState, TransferRow, TurnRow, UserRow, VendorIdRow,
    ViolationRow, WireDirection, WireRow,
};
pub use stats::{Count, Stats};
pub use step::{Committed, Step};
pub use store::{Access, Health, Store, StoreOptions};
pub use work::{Claim, NewWork, Queue, Settle, Settlement, WorkRow, WorkState};
