//! What calls have in common whether they run in a task of this process or are taken up from the
//! database with each webhook: rows, facts, bookings, the judge.

use switchhook_call::{Action, Call, CallView, Event};
use switchhook_conversation::{Input, Turn};
use switchhook_model::{CallId, CallerIdentity, Direction, Timestamp};
use switchhook_store::{NewEvent, Step, Store, TurnRow};

use super::booking::{self, BookingRequest};
use super::legs::Legs;
use super::{facts, rows, verdict};
use crate::bus::Bus;
use crate::notices::Ways;

/// The rows of an event the call was told, and of what it did.
pub fn told<'a>(
    event: &Event,
    actions: &'a [Action],
    call: &'a CallId,
    at: Timestamp,
) -> impl Iterator<Item = NewEvent> + use<'a> {
    let seen = facts::event(event).into_row(call, at);
    std::iter::once(seen).chain(facts::actions(actions, call, at))
}

/// The row of an operator's wish for silence in the file, or for audio again.
pub fn recording_paused(call: &CallId, at: Timestamp, paused: bool, by: &str) -> NewEvent {
    facts::recording_paused(paused, by).into_row(call, at)
}

/// The row of a turn.
pub fn turn_row(call: &CallId, n: u32, turn: &Turn) -> TurnRow {
    rows::turn(call, n, turn)
}

/// Adds a call's state and everything its actions owe to a step. Its legs have no media of ours.
pub fn fill_step(
    step: &mut Step,
    call: &Call,
    revision: u64,
    is_settled: bool,
    actions: &[Action],
    destination: &Ways,
    now: Timestamp,
) {
    let position = rows::Position {
        revision,
        is_settled,
        node: None,
    };
    rows::fill(
        step,
        call,
        &Legs::default(),
        position,
        actions,
        destination,
        now,
    );
}

/// For whom something is booked: the end user, also when we called them.
pub fn booker(view: &CallView) -> CallerIdentity {
    match view.direction {
        Direction::Inbound => CallerIdentity {
            number: view.caller.clone(),
            display_name: view.caller_name.clone(),
        },
        Direction::Outbound => CallerIdentity {
            number: view.callee.clone(),
            display_name: None,
        },
    }
}

/// Takes a booking down and tells what came of it, for the model.
pub async fn book(
    wanted: BookingRequest,
    call: &CallId,
    number: u32,
    caller: &CallerIdentity,
    parts: (&Store, &Bus, &Ways),
    now: Timestamp,
) -> Input {
    booking::take_down(wanted, call, number, caller, parts, now).await
}

/// Judges an ended call.
pub async fn judge(store: &Store, call: &CallId) {
    verdict::pronounce(store, call).await;
}
