//! The tables, and how a step changes them: first every condition, then every change.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_model::{CallId, Timestamp};

use crate::error::CommitError;
use crate::rows::{
    AnswerRow, AttemptRow, BindingRow, CallRow, EventRow, LegRow, MessageRow, RecordingRow,
    RecordingState, TransferRow, TurnRow, UserRow, VendorIdRow, ViolationRow, WireRow,
};
use crate::step::{Committed, Step};
use crate::work::{NewWork, Queue, Settle, Settlement, WorkRow, WorkState};

#[derive(Debug, Default)]
pub(super) struct State {
    pub calls: BTreeMap<CallId, CallRow>,
    pub legs: Vec<LegRow>,
    pub transfers: Vec<TransferRow>,
    pub attempts: Vec<AttemptRow>,
    pub turns: Vec<TurnRow>,
    pub recordings: Vec<RecordingRow>,
    pub messages: Vec<MessageRow>,
    pub events: Vec<EventRow>,
    pub wire: Vec<WireRow>,
    pub violations: Vec<ViolationRow>,
    /// By vendor and its id.
    pub vendor_ids: BTreeMap<(String, String), VendorIdRow>,
    pub answers: BTreeMap<String, AnswerRow>,
    /// When each began, and its count.
    pub tallies: BTreeMap<String, (Timestamp, u64)>,
    pub work: BTreeMap<(Queue, String), WorkRow>,
    pub users: BTreeMap<String, UserRow>,
    pub bindings: BTreeMap<(String, String), BindingRow>,
    last_id: i64,
}

impl State {
    pub fn check(&self, step: &Step) -> Result<(), CommitError> {
        let mut keys = BTreeSet::new();
        for answer in &step.answers {
            if self.answers.contains_key(&answer.key) || !keys.insert(&answer.key) {
                return Err(CommitError::Answered {
                    key: answer.key.clone(),
                });
            }
        }
        if let Some(call) = &step.call
            && let Some(stored) = self.calls.get(&call.head.id)
            && call.revision <= stored.revision
        {
            return Err(CommitError::StaleRevision {
                call: call.head.id.clone(),
                stored: stored.revision,
                given: call.revision,
            });
        }
        for (call, what) in step.references() {
            let in_step = step.call.as_ref().is_some_and(|row| row.head.id == *call);
            if !in_step && !self.calls.contains_key(call) {
                return Err(CommitError::UnknownCall {
                    call: call.clone(),
                    what,
                });
            }
        }
        step.settle
            .iter()
            .try_for_each(|settle| self.check_claim(settle))
    }

    pub fn check_claim(&self, settle: &Settle) -> Result<(), CommitError> {
        let held = self
            .work
            .get(&(settle.queue, settle.key.clone()))
            .is_some_and(|row| row.state == WorkState::InFlight && row.attempts == settle.attempt);
        if held {
            Ok(())
        } else {
            Err(CommitError::ClaimLost {
                queue: settle.queue,
                key: settle.key.clone(),
                attempt: settle.attempt,
            })
        }
    }

    /// Whether this tells late that a recording was begun.
    fn was_finished_before(&self, row: &RecordingRow) -> bool {
        let is_begun = |row: &RecordingRow| row.state == RecordingState::Recording;
        let known = self.recordings.iter().find(|known| known.id == row.id);
        is_begun(row) && known.is_some_and(|known| !is_begun(known))
    }

    pub fn apply(&mut self, step: Step) -> Committed {
        if let Some(call) = step.call {
            self.calls.insert(call.head.id.clone(), call);
        }
        replace_all(&mut self.legs, step.legs, |row| &row.id);
        replace_all(&mut self.transfers, step.transfers, |row| &row.id);
        replace_all(&mut self.attempts, step.attempts, |row| &row.id);
        replace_all(&mut self.turns, step.turns, |row| &row.id);
        let mut recordings = step.recordings;
        recordings.retain(|row| !self.was_finished_before(row));
        replace_all(&mut self.recordings, recordings, |row| &row.id);
        replace_all(&mut self.messages, step.messages, |row| &row.id);
        let mut committed = Committed::default();
        for event in step.events {
            let id = self.next_id();
            self.events.push(EventRow {
                id,
                call: event.call,
                at: event.at,
                kind: event.kind,
                data: event.data,
            });
        }
        for wire in step.wire {
            let id = self.next_id();
            self.wire.push(WireRow {
                id,
                at: wire.at,
                call: wire.call,
                leg: wire.leg,
                direction: wire.direction,
                peer: wire.peer,
                summary: wire.summary,
                sip_call_id: wire.sip_call_id,
                cseq: wire.cseq,
                raw: wire.raw,
            });
        }
        if let Some(call) = &step.judged {
            self.violations.retain(|row| row.call != *call);
        }
        for violation in step.violations {
            let known = self.violations.iter().any(|row| {
                row.call == violation.call
                    && row.code == violation.code
                    && row.detail == violation.detail
            });
            if !known {
                self.violations.push(violation);
            }
        }
        for row in step.vendor_ids {
            self.own_vendor_id(row);
        }
        for row in step.answers {
            self.answers.insert(row.key.clone(), row);
        }
        for settle in step.settle {
            self.settle(settle);
        }
        for work in step.work {
            if let Some(key) = self.queue(work) {
                committed.known_work.push(key);
            }
        }
        committed
    }

    /// After [`State::check_claim`].
    pub fn settle(&mut self, settle: Settle) {
        let row = self
            .work
            .get_mut(&(settle.queue, settle.key))
            .expect("the claim was checked");
        row.updated_at = settle.at;
        match settle.result {
            Settlement::Done => row.state = WorkState::Done,
            Settlement::Retry { next_at, error } => {
                row.state = WorkState::Pending;
                row.next_at = next_at;
                row.last_error = Some(error);
            }
            Settlement::Failed { error } => {
                row.state = WorkState::Failed;
                row.last_error = Some(error);
            }
        }
    }

    fn own_vendor_id(&mut self, row: VendorIdRow) {
        let key = (row.vendor.clone(), row.vendor_id.clone());
        let stored = self.vendor_ids.entry(key).or_insert_with(|| row.clone());
        if stored.call == row.call && row.leg.is_some() {
            stored.leg = row.leg;
        }
    }

    /// The key, if it was queued before.
    fn queue(&mut self, new: NewWork) -> Option<String> {
        let key = (new.queue, new.key.clone());
        if self.work.contains_key(&key) {
            return Some(new.key);
        }
        let id = self.next_id();
        let claimed = new.claimed_until.is_some();
        self.work.insert(
            key,
            WorkRow {
                id,
                queue: new.queue,
                key: new.key,
                kind: new.kind,
                call: new.call,
                payload: new.payload,
                state: if claimed {
                    WorkState::InFlight
                } else {
                    WorkState::Pending
                },
                attempts: u32::from(claimed),
                next_at: new.claimed_until.unwrap_or(new.next_at),
                last_error: None,
                created_at: new.at,
                updated_at: new.at,
            },
        );
        None
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }
}

/// Rows with a known id take the place of the old one, so that the order of arrival stays.
fn replace_all<T, I: PartialEq>(table: &mut Vec<T>, rows: Vec<T>, id: impl Fn(&T) -> &I) {
    for row in rows {
        match table.iter().position(|old| id(old) == id(&row)) {
            Some(place) => table[place] = row,
            None => table.push(row),
        }
    }
}
