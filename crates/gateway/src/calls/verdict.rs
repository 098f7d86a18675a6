//! Judges an ended call over its stored facts. A finding is stored, counted and logged; it never
//! changes the call.

use std::collections::BTreeSet;

use switchhook_call::CallView;
use switchhook_call::judge::{CallFact, CallRecord, Stamped, judge};
use switchhook_model::CallId;
use switchhook_store::{
    CommitError, MessageFilter, Step, Store, StoreError, ViolationRow, WireDirection, WireRow,
};

use super::facts::FACT;
use crate::notices::notice_of;

/// Judgements of a call that something keeps happening to.
const TRIES: u32 = 5;

/// Judges the call and stores what was found, in place of what was found before: a notice that was lost
/// may have arrived by another way since. If something happened to the call meanwhile, it is judged
/// again, so that the last word is never an old one.
pub(super) async fn pronounce(store: &Store, call: &CallId) {
    for _ in 0..TRIES {
        match pronounce_once(store, call).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(call.id = %call, %error, "the call cannot be judged");
                return;
            }
        }
    }
    tracing::error!(call.id = %call, "the call changed too often to be judged");
}

/// False if something happened to the call in between.
async fn pronounce_once(store: &Store, call: &CallId) -> Result<bool, CommitError> {
    let Some((revision, record)) = record(store, call).await? else {
        return Ok(true);
    };
    let violations: Vec<ViolationRow> = judge(&record)
        .into_iter()
        .map(|violation| ViolationRow {
            call: call.clone(),
            at: violation
                .at
                .or(record.view.ended_at)
                .unwrap_or(record.view.started_at),
            code: violation.code,
            detail: violation.detail,
            cause: violation.cause,
            cure: violation.cure,
        })
        .collect();
    let before = store.violations(call).await?;
    let is_new = |found: &&ViolationRow| {
        let is_same =
            |known: &ViolationRow| (&known.code, &known.detail) == (&found.code, &found.detail);
        !before.iter().any(is_same)
    };
    for violation in violations.iter().filter(is_new) {
        tracing::error!(call.id = %call, code = violation.code, detail = violation.detail, "invariant violated");
        metrics::counter!("switchhook_violations_total", "code" => violation.code.clone())
            .increment(1);
    }
    if violations.is_empty() && before.is_empty() {
        return Ok(true);
    }
    store
        .commit(Step {
            judged: Some(call.clone()),
            violations,
            ..Step::default()
        })
        .await?;
    let now = store.call(call).await?;
    Ok(now.is_none_or(|row| row.revision == revision))
}

/// What is known of the call, and its revision.
async fn record(store: &Store, call: &CallId) -> Result<Option<(u64, CallRecord)>, StoreError> {
    let Some(row) = store.call(call).await? else {
        return Ok(None);
    };
    let view: CallView = match row.view.read() {
        Ok(view) => view,
        Err(error) => {
            tracing::error!(call.id = %call, kind = ?error.classify(), column = error.column(), "the call's view cannot be read");
            return Ok(None);
        }
    };
    let mut facts: Vec<Stamped<CallFact>> = store
        .events(call)
        .await?
        .into_iter()
        .filter(|event| event.kind == FACT)
        .filter_map(|event| {
            let fact = event
                .data
                .read()
                .inspect_err(|error: &serde_json::Error| {
                    // Not its text: serde repeats the value, and a fact may be what was said.
                    tracing::error!(kind = ?error.classify(), column = error.column(), "a fact cannot be read");
                })
                .ok()?;
            Some(Stamped { at: event.at, fact })
        })
        .collect();
    facts.extend(invites(&store.wire(call).await?));
    let filter = MessageFilter {
        call: Some(call.clone()),
        limit: 100,
        ..MessageFilter::default()
    };
    let messages = store.messages(&filter).await?.items;
    let accepted = messages
        .into_iter()
        .filter(|message| matches!(message.state.as_str(), "accepted" | "delivered"));
    facts.extend(accepted.map(|message| Stamped {
        at: message.updated_at,
        fact: CallFact::NoticeDelivered {
            message: notice_of(&message.id),
        },
    }));
    // Stable: what happened in the same millisecond keeps its order.
    facts.sort_by_key(|stamped| stamped.at);
    Ok(Some((row.revision, CallRecord { view, facts })))
}

/// The INVITEs that opened a dialog of ours, seen on the wire: one for each leg and Call-ID,
/// however often it was retransmitted or repeated with credentials.
fn invites(wire: &[WireRow]) -> Vec<Stamped<CallFact>> {
    let mut seen = BTreeSet::new();
    wire.iter()
        .filter(|message| message.direction == WireDirection::Sent && message.summary == "INVITE")
        .filter(|message| !has_to_tag(&message.raw))
        .filter_map(|message| {
            let leg = message.leg.clone()?;
            let sip_call_id = message.sip_call_id.clone()?;
            seen.insert((leg.clone(), sip_call_id.clone()))
                .then_some(Stamped {
                    at: message.at,
                    fact: CallFact::InviteSent { leg, sip_call_id },
                })
        })
        .collect()
}

/// Whether the request is within a dialog (RFC 3261 §12.2: its To has a tag).
fn has_to_tag(raw: &str) -> bool {
    raw.lines()
        .find(|line| {
            let name = line.split(':').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("to") || name.eq_ignore_ascii_case("t")
        })
        .is_some_and(|line| line.contains(";tag="))
}
