//! Figures over a span of time.

use serde::Serialize;
use serde_json::Value;

/// How many rows share a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    pub value: String,
    pub count: u64,
}

/// Counts of calls started within the span.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stats {
    pub calls: u64,
    /// By status, ordered by value; so are the others.
    pub by_status: Vec<Count>,
    pub by_direction: Vec<Count>,
    pub by_outcome: Vec<Count>,
    pub transfers_by_outcome: Vec<Count>,
    /// Distinct findings of the judge.
    pub violations: u64,
    /// Mean of answer to end over ended, answered calls, in milliseconds.
    pub mean_talk_ms: Option<u64>,
    /// [`crate::TurnRow::latency`] of the span's newest turns that have one.
    pub latencies: Vec<Value>,
}

/// Most latencies [`Stats`] carries: enough for a p95, bounded for memory.
pub(crate) const LATENCIES_MAX: usize = 2_000;
