//! The repository traits, one per aggregate. Not found is `Ok(None)`. Clock and ids are parameters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use switchhook_model::{CallId, MessageId, Timestamp};
use tokio::sync::watch;

use crate::error::{CommitError, StoreError, UserError};
use crate::query::{CallFilter, MessageFilter, Page};
use crate::rows::{
    AnswerRow, AttemptRow, BindingRow, CallHead, CallRow, EventRow, LegRow, MessageRow,
    RecordingRow, TransferRow, TurnRow, UserRow, VendorIdRow, ViolationRow, WireRow,
};
use crate::stats::Stats;
use crate::step::{Committed, Step};
use crate::work::{Claim, Queue, Settle, WorkRow};

/// The write path of calls.
#[async_trait]
pub trait Steps {
    /// Commits the steps in one transaction. The result has one entry per step, in order: a step
    /// that is refused leaves no trace and does not hinder the others.
    async fn commit_batch(&self, steps: Vec<Arc<Step>>) -> Vec<Result<Committed, CommitError>>;
}

#[async_trait]
pub trait Calls {
    async fn call(&self, id: &CallId) -> Result<Option<CallRow>, StoreError>;
    /// Newest first.
    async fn calls(&self, filter: &CallFilter) -> Result<Page<CallHead>, StoreError>;
    /// [`CallRow::view`] of these calls, by id; unknown ones are left out.
    async fn views(&self, calls: &[CallId]) -> Result<BTreeMap<CallId, Value>, StoreError>;
    /// Calls without an end, oldest first: what a restart has to look after. Of a database that is
    /// shared, those of every node: see [`CallRow::node`].
    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError>;
    /// Calls without an end whose [`CallRow::due_at`] is `now` or before, earliest first, at most
    /// `limit`. Nothing is claimed: of several that look after one call, the revision lets one win.
    async fn due_calls(&self, now: Timestamp, limit: u32) -> Result<Vec<CallId>, StoreError>;
    /// Counts over calls started in `from..to`.
    async fn stats(&self, from: Timestamp, to: Timestamp) -> Result<Stats, StoreError>;
}

#[async_trait]
pub trait Legs {
    /// In the order they began.
    async fn legs(&self, call: &CallId) -> Result<Vec<LegRow>, StoreError>;
    /// Legs without an end of any call, oldest first.
    async fn open_legs(&self) -> Result<Vec<LegRow>, StoreError>;
}

#[async_trait]
pub trait Transfers {
    /// In the order they were requested.
    async fn transfers(&self, call: &CallId) -> Result<Vec<TransferRow>, StoreError>;
    /// All attempts of the call, in the order they began.
    async fn attempts(&self, call: &CallId) -> Result<Vec<AttemptRow>, StoreError>;
}

#[async_trait]
pub trait Turns {
    /// In the order of [`TurnRow::n`].
    async fn turns(&self, call: &CallId) -> Result<Vec<TurnRow>, StoreError>;
    /// [`TurnRow::latency`] of all turns of these calls that have one, by call.
    async fn latencies(&self, calls: &[CallId])
    -> Result<BTreeMap<CallId, Vec<Value>>, StoreError>;
}

#[async_trait]
pub trait Recordings {
    /// Oldest first.
    async fn recordings(&self, call: &CallId) -> Result<Vec<RecordingRow>, StoreError>;
    /// Those still marked as being written, of any call: after a restart their files are to be
    /// closed.
    async fn unfinished_recordings(&self) -> Result<Vec<RecordingRow>, StoreError>;
}

#[async_trait]
pub trait Messages {
    /// Newest first.
    async fn messages(&self, filter: &MessageFilter) -> Result<Page<MessageRow>, StoreError>;
    async fn message(&self, id: &MessageId) -> Result<Option<MessageRow>, StoreError>;
    /// By the vendor's id, for its delivery reports; of several, the newest.
    async fn message_of_vendor(
        &self,
        channel: &str,
        vendor_id: &str,
    ) -> Result<Option<MessageRow>, StoreError>;
}

#[async_trait]
pub trait Events {
    /// Facts of a call, oldest first.
    async fn events(&self, call: &CallId) -> Result<Vec<EventRow>, StoreError>;
    /// Wire messages of a call, oldest first.
    async fn wire(&self, call: &CallId) -> Result<Vec<WireRow>, StoreError>;
}

#[async_trait]
pub trait Violations {
    /// In the order they were found.
    async fn violations(&self, call: &CallId) -> Result<Vec<ViolationRow>, StoreError>;
    /// Of these calls, those with findings, and how many.
    async fn violation_counts(&self, calls: &[CallId])
    -> Result<BTreeMap<CallId, u64>, StoreError>;
}

/// What vendors call our calls. Written by a [`Step`].
#[async_trait]
pub trait VendorIds {
    async fn vendor_id(
        &self,
        vendor: &str,
        vendor_id: &str,
    ) -> Result<Option<VendorIdRow>, StoreError>;
    /// Of one call, by vendor and id.
    async fn vendor_ids(&self, call: &CallId) -> Result<Vec<VendorIdRow>, StoreError>;
}

/// What webhooks were answered. Written by a [`Step`].
#[async_trait]
pub trait Answers {
    async fn answer(&self, key: &str) -> Result<Option<AnswerRow>, StoreError>;
    /// Deletes those given before `before`; returns how many.
    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Counts for limits, each by its subject (`pin:+12025550100`), exact across processes.
///
/// A count begins with the first that is added and is over when its window is: `began + window` is
/// the first moment that belongs to the next one. Everybody gives the same window for one subject.
#[async_trait]
pub trait Tallies {
    /// Adds and returns the count with it. Adding 0 begins nothing.
    async fn tally(
        &self,
        subject: &str,
        add: u64,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError>;
    /// The count; 0 where there is none.
    async fn tallied(
        &self,
        subject: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<u64, StoreError>;
    /// Back to 0.
    async fn clear_tally(&self, subject: &str) -> Result<(), StoreError>;
    /// Deletes those that began before `before`; returns how many. Give the longest window in use.
    async fn forget_tallies(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Outbox and jobs. Work is queued by a [`Step`] and may be settled by one.
#[async_trait]
pub trait Work {
    /// Takes due work: pending and due, or in flight with its lease over; earliest first. What is
    /// returned is in flight until `claim.until` and has its attempt counted.
    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<WorkRow>, StoreError>;
    /// Settles outside of a step. [`CommitError::ClaimLost`] if another attempt holds the claim.
    async fn settle(&self, settle: Settle) -> Result<(), CommitError>;
    async fn work(&self, queue: Queue, key: &str) -> Result<Option<WorkRow>, StoreError>;
    /// Those of these keys that are queued, in no particular order.
    async fn works(&self, queue: Queue, keys: &[String]) -> Result<Vec<WorkRow>, StoreError>;
    /// When the next piece of work of this queue is due, leases included.
    async fn next_due(&self, queue: Queue) -> Result<Option<Timestamp>, StoreError>;
    /// Deletes work done before `before`; returns how many. Failed work stays to be seen.
    async fn forget_done(&self, before: Timestamp) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait Users {
    async fn add_user(&self, user: UserRow) -> Result<(), UserError>;
    /// Replaces the user with this name; false if there is none.
    async fn update_user(&self, user: UserRow) -> Result<bool, StoreError>;
    async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError>;
    /// By name.
    async fn users(&self) -> Result<Vec<UserRow>, StoreError>;
}

#[async_trait]
pub trait Bindings {
    /// Replaces all bindings of one extension.
    async fn replace_bindings(
        &self,
        extension: &str,
        bindings: Vec<BindingRow>,
    ) -> Result<(), StoreError>;
    /// Those that have not expired at `now`, by extension and contact.
    async fn bindings(&self, now: Timestamp) -> Result<Vec<BindingRow>, StoreError>;
}

/// A whole back end.
#[async_trait]
pub trait Backend:
    Steps
    + Calls
    + Legs
    + Transfers
    + Turns
    + Recordings
    + Messages
    + Events
    + Violations
    + VendorIds
    + Answers
    + Tallies
    + Work
    + Users
    + Bindings
    + Send
    + Sync
    + 'static
{
    /// What to call this database in messages: a path, never a password.
    fn name(&self) -> &str;
    /// Whether other gateways may serve the same database: then what is stored may be theirs.
    fn is_shared(&self) -> bool;
    /// Changes whenever another process queued work; `None` where there is no other to hear.
    fn work_elsewhere(&self) -> Option<watch::Receiver<u64>>;
    /// One small read, to know that the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Flushes and lets go of the files.
    async fn close(&self);
}
