//! Work that may fail later is a row first: the outbox (effects that leave the process) and jobs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_model::{CallId, Timestamp};

/// Which queue a piece of work stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Leaves the process for good: a dial, a notice, a webhook out.
    Outbox,
    /// Stays inside: post-call processing, clean-up.
    Jobs,
}

impl Queue {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Jobs => "jobs",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Outbox, Self::Jobs]
            .into_iter()
            .find(|queue| queue.as_str() == text)
    }
}

/// Where a piece of work is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// Waits for `next_at`.
    Pending,
    /// Claimed until `next_at`; whoever finds it later may claim it again.
    InFlight,
    Done,
    /// Given up.
    Failed,
}

impl WorkState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Pending, Self::InFlight, Self::Done, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// Work to be queued. A second row with the same key in the same queue changes nothing, whatever
/// became of the first.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWork {
    pub queue: Queue,
    pub key: String,
    pub kind: String,
    pub call: Option<CallId>,
    pub payload: Value,
    /// When it was queued.
    pub at: Timestamp,
    /// Not before this time.
    pub next_at: Timestamp,
    /// Set when the writer carries it out itself as soon as the step is committed: the row is born
    /// claimed (attempt 1) until then, and found by others only if the writer dies.
    pub claimed_until: Option<Timestamp>,
}

/// A stored piece of work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkRow {
    pub id: i64,
    pub queue: Queue,
    pub key: String,
    pub kind: String,
    pub call: Option<CallId>,
    pub payload: Value,
    pub state: WorkState,
    /// How often it was claimed. Also the fence: only the holder of the latest claim may settle.
    pub attempts: u32,
    /// Due time while pending, end of the lease while in flight.
    pub next_at: Timestamp,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    /// Of the last change of state.
    pub updated_at: Timestamp,
}

/// What to claim.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    pub queue: Queue,
    /// Only these kinds; empty: any.
    pub kinds: &'a [&'a str],
    pub now: Timestamp,
    /// The lease: after this time the work may be claimed again.
    pub until: Timestamp,
    pub limit: u32,
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    pub queue: Queue,
    pub key: String,
    /// [`WorkRow::attempts`] of the claim.
    pub attempt: u32,
    pub at: Timestamp,
    pub result: Settlement,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    Done,
    Retry { next_at: Timestamp, error: String },
    Failed { error: String },
}

impl WorkRow {
    /// The settlement of this claim.
    pub fn settle(&self, at: Timestamp, result: Settlement) -> Settle {
        Settle {
            queue: self.queue,
            key: self.key.clone(),
            attempt: self.attempts,
            at,
            result,
        }
    }
}
