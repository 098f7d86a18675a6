//! What is kept of a call in the order it happened: events that came in, actions that went out,
//! and what the shell saw. The judge reads it, the ladder shows it.

use serde_json::json;
use switchhook_call::judge::CallFact;
use switchhook_call::{Action, Event};
use switchhook_media::SilenceReason;
use switchhook_model::{CallId, LegId, Timestamp};
use switchhook_store::{Json, NewEvent};

/// A [`CallFact`]: what the judge reads.
pub(super) const FACT: &str = "fact";
/// Something only an operator reads.
const SHELL: &str = "shell";

pub(super) struct Fact {
    kind: &'static str,
    data: Json,
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
        data: Json::of(&CallFact::Seen(event.clone())),
    }
}

/// One row for each.
pub(super) fn actions(
    actions: &[Action],
    call: &CallId,
    at: Timestamp,
) -> impl Iterator<Item = NewEvent> {
    actions.iter().map(move |action| {
        let fact = Fact {
            kind: FACT,
            data: Json::of(&CallFact::Done(action.clone())),
        };
        fact.into_row(call, at)
    })
}

pub(super) fn one_way_audio(leg: &LegId, silent_ms: u64, reason: SilenceReason) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({
            "one_way_audio": { "leg": leg, "silent_ms": silent_ms, "reason": reason }
        })
        .into(),
    }
}

/// The party is heard again.
pub(super) fn audio_resumed(leg: &LegId) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "audio_resumed": { "leg": leg } }).into(),
    }
}

/// By its reports the party does not hear us, or does again.
pub(super) fn not_heard(leg: &LegId, is_deaf: bool) -> Fact {
    let name = if is_deaf { "not_heard" } else { "heard_again" };
    Fact {
        kind: SHELL,
        data: json!({ name: { "leg": leg } }).into(),
    }
}

/// A key we sent by INFO was not taken. Which one is nobody's business.
pub(super) fn key_refused(leg: &LegId, status: Option<u16>) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "key_refused": { "leg": leg, "status": status } }).into(),
    }
}

pub(super) fn recording_paused(paused: bool, by: &str) -> Fact {
    let name = if paused {
        "recording_paused"
    } else {
        "recording_resumed"
    };
    Fact {
        kind: SHELL,
        data: json!({ name: { "by": by } }).into(),
    }
}

/// The stored machine could not be read after a restart.
pub(super) fn unreadable_state() -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "unreadable_state": {} }).into(),
    }
}

pub(super) fn refer_refused(leg: &LegId, reason: &str) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "refer_refused": { "leg": leg, "reason": reason } }).into(),
    }
}

/// A 3xx; with `refused` it was not followed there.
pub(super) fn redirected(leg: &LegId, status: u16, to: &str, refused: Option<&String>) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({
            "redirected": { "leg": leg, "sip_status": status, "to": to, "refused": refused }
        })
        .into(),
    }
}

pub(super) fn dial_refused(leg: &LegId, reason: &str) -> Fact {
    Fact {
        kind: SHELL,
        data: json!({ "dial_refused": { "leg": leg, "reason": reason } }).into(),
    }
}
