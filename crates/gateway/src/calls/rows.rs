//! From a call's state to the rows that are stored with each step.

use serde::Serialize;
use serde_json::Value;
use switchhook_call::{Action, ActionKind, Call, CallView, Headline, LegView, TransferView};
use switchhook_conversation::{Speaker, Turn};
use switchhook_model::{CallId, LegId, Timestamp, TurnId};
use switchhook_store::{AttemptRow, CallHead, CallRow, Json, LegRow, Step, TransferRow, TurnRow};

use super::legs::{Figures, Legs};
use crate::notices::{self, Ways};

/// Format of the stored machine; the machine itself checks its own version too.
const SNAPSHOT_VERSION: u32 = 1;

/// The word of a unit enum as its serde name: one word for API, database and logs.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// The list row. `ended_at` stays empty until nothing is left to recover.
pub(super) fn head(view: &CallView, settled: bool) -> CallHead {
    CallHead {
        id: view.id.clone(),
        status: word(&view.status),
        direction: view.direction,
        channel: word(&view.channel),
        profile: view.profile.clone(),
        assistant: view.assistant.clone(),
        caller: view.caller.clone(),
        caller_name: view.caller_name.clone(),
        callee: view.callee.clone(),
        started_at: view.started_at,
        answered_at: view.answered_at,
        ended_at: view.ended_at.filter(|_| settled),
        outcome: view
            .outcome
            .as_ref()
            .map(|outcome| outcome.code.code().to_owned()),
    }
}

/// Where a call's stored state stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position<'a> {
    /// Counts the steps.
    pub revision: u64,
    /// Nothing is left to recover.
    pub is_settled: bool,
    /// Who looks after the call, where gateways share a database.
    pub node: Option<&'a str>,
}

/// Adds the machine's state and everything its actions owe to a step, the facts apart.
pub(super) fn fill(
    step: &mut Step,
    call: &Call,
    legs: &Legs,
    position: Position<'_>,
    actions: &[Action],
    destination: &Ways,
    now: Timestamp,
) {
    let id = call.id();
    let view = call.view();
    // A leg that went over to another call is that call's to store.
    step.legs = view
        .legs
        .iter()
        .filter(|view| !legs.is_given(&view.id))
        .map(|view| leg(id, view, legs))
        .collect();
    for view in &view.transfers {
        let (transfer, attempts) = transfer(id, view);
        step.transfers.push(transfer);
        step.attempts.extend(attempts);
    }
    for action in actions {
        if let ActionKind::Notify {
            message,
            template,
            body,
        } = &action.kind
        {
            let (row, work) = notices::owe(destination, id, message, *template, body, now);
            step.messages.push(row);
            step.work.push(work);
        }
    }
    step.call = Some(row(call, view, legs, position));
}

/// The call's row with its machine.
fn row(call: &Call, view: CallView, legs: &Legs, position: Position<'_>) -> CallRow {
    CallRow {
        head: head(&view, position.is_settled),
        revision: position.revision,
        snapshot_version: SNAPSHOT_VERSION,
        snapshot: Json::of(call),
        view: self::view(call.headline(&view), view, |leg| legs.figures(leg)),
        channel_state: None,
        due_at: None,
        node: position.node.map(str::to_owned),
    }
}

/// What the API shows of a call.
#[derive(Serialize)]
struct Shown {
    /// Without its legs.
    #[serde(flatten)]
    view: CallView,
    headline: Headline,
    legs: Vec<ShownLeg>,
}

#[derive(Serialize)]
struct ShownLeg {
    #[serde(flatten)]
    view: LegView,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Figures>,
}

/// What the API shows of a call whose legs have these figures.
pub(super) fn view(
    headline: Headline,
    mut view: CallView,
    figures: impl Fn(&LegId) -> Option<Figures>,
) -> Json {
    let legs = std::mem::take(&mut view.legs)
        .into_iter()
        .map(|view| ShownLeg {
            media: figures(&view.id),
            view,
        })
        .collect();
    Json::of(&Shown {
        view,
        headline,
        legs,
    })
}

fn leg(call: &CallId, view: &LegView, legs: &Legs) -> LegRow {
    LegRow {
        id: view.id.clone(),
        call: call.clone(),
        kind: word(&view.kind),
        party: word(&view.party),
        target: view
            .target
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        state: word(&view.state),
        started_at: view.started_at,
        answered_at: view.answered_at,
        ended_at: view.ended_at,
        cause: view.cause.map(|cause| cause.code().to_owned()),
        dialog: legs.dialog(&view.id).map(Json::of),
    }
}

pub(super) fn transfer(call: &CallId, view: &TransferView) -> (TransferRow, Vec<AttemptRow>) {
    let attempts = view
        .attempts
        .iter()
        .map(|attempt| AttemptRow {
            id: attempt.id.clone(),
            transfer: view.id.clone(),
            call: call.clone(),
            leg: Some(attempt.leg.clone()),
            target: attempt.target.to_string(),
            ring_timeout_s: attempt.ring_timeout_s,
            result: attempt.result.as_ref().map(word),
            sip_status: attempt.sip_status,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
        })
        .collect();
    let row = TransferRow {
        id: view.id.clone(),
        call: call.clone(),
        reason: view.reason.clone(),
        department: view.department.clone(),
        requested_at: view.requested_at,
        ended_at: view.ended_at,
        outcome: view.outcome.as_ref().map(word),
    };
    (row, attempts)
}

pub(super) fn turn(call: &CallId, n: u32, turn: &Turn) -> TurnRow {
    TurnRow {
        id: TurnId::derive(call, n),
        call: call.clone(),
        n,
        speaker: match turn.speaker {
            Speaker::Caller => "caller",
            Speaker::Assistant => "assistant",
            Speaker::Agent => "agent",
            Speaker::System => "system",
        }
        .to_owned(),
        text: turn.text.clone(),
        started_at: turn.started_at,
        ended_at: Some(turn.ended_at),
        interrupted: turn.interrupted,
        latency: turn
            .latency
            .and_then(|latency| serde_json::to_value(latency).ok()),
    }
}
