//! One step of a call.

use switchhook_model::CallId;

use crate::rows::{
    AnswerRow, AttemptRow, CallRow, LegRow, MessageRow, NewEvent, NewWire, RecordingRow,
    TransferRow, TurnRow, VendorIdRow, ViolationRow,
};
use crate::work::{NewWork, Settle};

/// Everything one event changes. All of it is committed, or nothing.
///
/// Rows with an id replace the row with that id; events and wire messages are appended; work is
/// queued once per key. Legs, transfers, attempts, turns, recordings, events, violations and vendor
/// ids need their call, in this step or stored before. A step without a call row adds to a call
/// without touching its revision (turns, wire messages, a recording that became ready).
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
    /// This call was judged: what an earlier judgement found is replaced by `violations`.
    pub judged: Option<CallId>,
    pub violations: Vec<ViolationRow>,
    /// The first call that owns an id keeps it: a row for another one changes nothing. A row for the
    /// same call may add the leg.
    pub vendor_ids: Vec<VendorIdRow>,
    /// Keys that must be new: a step with one that is stored already is refused as a whole, before
    /// its revision is looked at.
    pub answers: Vec<AnswerRow>,
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

    /// Every call that this step's rows belong to, and what such a row is called.
    pub(crate) fn references(&self) -> impl Iterator<Item = (&CallId, &'static str)> {
        macro_rules! of {
            ($rows:ident, $what:literal) => {
                self.$rows.iter().map(|row| (&row.call, $what))
            };
        }
        of!(legs, "a leg")
            .chain(of!(transfers, "a transfer"))
            .chain(of!(attempts, "a dial attempt"))
            .chain(of!(turns, "a turn"))
            .chain(of!(recordings, "a recording"))
            .chain(of!(events, "an event"))
            .chain(of!(violations, "a violation"))
            .chain(of!(vendor_ids, "a vendor's id"))
    }
}

/// What the store decided while committing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// Keys of work that had been queued before: nothing was added for them.
    pub known_work: Vec<String>,
}
