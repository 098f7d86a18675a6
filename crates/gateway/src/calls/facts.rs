//! What is kept of a call in the order it happened: events that came in, actions that went out,
//! and what the shell saw. The judge reads it, the ladder shows it.

use serde_json::{Value, json};
use switchhook_call::judge::CallFact;
use switchhook_call::{Action, Event};
use switchhook_model::{CallId, LegId, Timestamp};
use switchhook_store::NewEvent;

/// A [`CallFact`]: what the judge reads.
pub(super) const FACT: &str = "fact";
/// Something only an operator reads.
const SHELL: &str = "shell";

pub(super) struct Fact {
    kind: &'static str,
    data: Value,
}

impl Fact {
    pub(super) fn into_row(self, call: &CallId, at: Timestamp) -> NewEvent {
        NewEvent {
            call: call.clone(),
            at,
            kind: self.kind.to_owned(),
            data: self.data,
        }
    }
}

pub(super) fn event(event: &Event) -> Fact {
    Fact {
        kind: FACT,
        data: json!(CallFact::Seen(event.clone())),
    }
}

pub(super) fn action(action: &Action) -> Fact {
    Fact {
        kind: FACT,
        data: json!(CallFact::Done(action.clone())),
    }
}

pub(super) fn one_way_audio(leg: &LegId, silent_ms: u64) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "one_way_audio": { "leg": leg, "silent_ms": silent_ms } }),
    }
}

pub(super) fn refer_refused(leg: &LegId, reason: &str) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "refer_refused": { "leg": leg, "reason": reason } }),
    }
}

/// A 3xx; with `refused` it was not followed there.
pub(super) fn redirected(leg: &LegId, status: u16, to: &str, refused: Option<&String>) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({
            "redirected": { "leg": leg, "sip_status": status, "to": to, "refused": refused }
        }),
    }
}

pub(super) fn dial_refused(leg: &LegId, reason: &str) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "dial_refused": { "leg": leg, "reason": reason } }),
    }
}
