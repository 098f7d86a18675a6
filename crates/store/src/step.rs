//! One step of a call.

use crate::rows::{
    AttemptRow, CallRow, LegRow, MessageRow, NewEvent, NewWire, RecordingRow, TransferRow, TurnRow,
    ViolationRow,
};
use crate::work::{NewWork, Settle};

/// Everything one event changes. All of it is committed, or nothing.
///
/// Rows with an id replace the row with that id; events and wire messages are appended; work is
/// queued once per key. Legs, transfers, attempts, turns, recordings, events and violations need
/// their call, in this step or stored before. A step without a call row adds to a call without
/// touching its revision (turns, wire messages, a recording that became ready).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    pub call: Option<CallRow>,
    pub legs: Vec<LegRow>,
    pub transfers: Vec<TransferRow>,
    pub attempts: Vec<AttemptRow>,
    pub turns: Vec<TurnRow>,
    pub recordings: Vec<RecordingRow>,
    pub messages: Vec<MessageRow>,
    pub events: Vec<NewEvent>,
    pub wire: Vec<NewWire>,
    pub violations: Vec<ViolationRow>,
    /// Outbox rows and jobs to queue.
    pub work: Vec<NewWork>,
    /// Attempts that ended with this event.
    pub settle: Vec<Settle>,
}

impl Step {
    /// A step of this call and nothing else yet.
    pub fn of(call: CallRow) -> Self {
        Self {
            call: Some(call),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the store decided while committing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// Keys of work that had been queued before: nothing was added for them.
    pub known_work: Vec<String>,
}
