//! Invariants about what is heard, and when.

use std::collections::BTreeSet;

use switchhook_model::LegId;

use super::{CallFact, CallRecord, Finding};
use crate::action::{ActionKind, CallEvent};
use crate::texts::TextKey;

/// The leg this action makes something audible on, and what.
fn audible<'a>(kind: &'a ActionKind, caller: &'a LegId) -> Option<(&'a LegId, &'static str)> {
    match kind {
        ActionKind::Say { .. } => Some((caller, "a sentence")),
        ActionKind::TakeMessage => Some((caller, "the message tone")),
        ActionKind::ResumeAssistant { .. } => Some((caller, "the assistant")),
        ActionKind::StartAssistant { leg, .. } => Some((leg, "the assistant")),
        ActionKind::Ringback { leg, on: true } => Some((leg, "the ringing tone")),
        ActionKind::EarlyMedia { leg, on: true, .. } => Some((leg, "early media")),
        ActionKind::HoldMusic { leg, on: true } => Some((leg, "hold music")),
        ActionKind::Ringback { on: false, .. }
        | ActionKind::EarlyMedia { on: false, .. }
        | ActionKind::Ring { .. }
        | ActionKind::Answer { .. }
        | ActionKind::Reject { .. }
        | ActionKind::Dial { .. }
        | ActionKind::Cancel { .. }
        | ActionKind::Hangup { .. }
        | ActionKind::Bridge { .. }
        | ActionKind::Unbridge { .. }
        | ActionKind::PauseAssistant
        | ActionKind::StopAssistant
        | ActionKind::FinishMessage
        | ActionKind::Notify { .. }
        | ActionKind::StartRecording { .. }
        | ActionKind::StopRecording { .. }
        | ActionKind::Hold { .. }
        | ActionKind::Resume { .. }
        | ActionKind::HoldMusic { on: false, .. }
        | ActionKind::AcceptRefer { .. }
        | ActionKind::RefuseRefer { .. }
        | ActionKind::NotifyTransferor { .. }
        | ActionKind::Refer { .. }
        | ActionKind::Emit(_) => None,
    }
}

pub(super) fn no_audio_after_end(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stamped in &record.facts {
        if let CallFact::AudioAfterEnd { leg, frames } = &stamped.fact
            && *frames > 0
        {
            let detail = format!("{frames} frames were sent to {leg} after its end");
            findings.push(Finding::new(stamped.at, detail));
        }
    }
    let Some(caller) = record.caller_leg() else {
        return findings;
    };
    for (position, at, kind) in record.actions() {
        let Some((leg, what)) = audible(kind, &caller.id) else {
            continue;
        };
        if record
            .leg_over(leg)
            .is_some_and(|(over, _)| over < position)
        {
            let detail = format!("{what} was asked for on {leg} after its end");
            findings.push(Finding::new(at, detail));
        }
    }
    findings
}

pub(super) fn assistant_silent_with_human(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut bridged: Option<(&LegId, &LegId)> = None;
    for (_, at, kind) in record.actions() {
        match kind {
            ActionKind::Bridge { a, b } => bridged = Some((a, b)),
            ActionKind::Unbridge { .. } => bridged = None,
            ActionKind::Emit(CallEvent::LegEnded { leg, .. }) => {
                bridged = bridged.filter(|(a, b)| *a != leg && *b != leg);
            }
            ActionKind::Say { .. }
            | ActionKind::TakeMessage
            | ActionKind::StartAssistant { .. }
            | ActionKind::ResumeAssistant { .. } => {
                if let Some((_, agent)) = bridged {
                    let detail = format!("the assistant was heard while {agent} talked");
                    findings.push(Finding::new(at, detail));
                }
            }
            ActionKind::Ring { .. }
            | ActionKind::Answer { .. }
            | ActionKind::Reject { .. }
            | ActionKind::Dial { .. }
            | ActionKind::Cancel { .. }
            | ActionKind::Hangup { .. }
            | ActionKind::Ringback { .. }
            | ActionKind::EarlyMedia { .. }
            | ActionKind::PauseAssistant
            | ActionKind::StopAssistant
            | ActionKind::FinishMessage
            | ActionKind::Notify { .. }
            | ActionKind::StartRecording { .. }
            | ActionKind::StopRecording { .. }
            | ActionKind::Hold { .. }
            | ActionKind::Resume { .. }
            | ActionKind::HoldMusic { .. }
            | ActionKind::AcceptRefer { .. }
            | ActionKind::RefuseRefer { .. }
            | ActionKind::NotifyTransferor { .. }
            | ActionKind::Refer { .. }
            | ActionKind::Emit(_) => {}
        }
    }
    findings
}

/// The sentence that comes before the tone.
fn is_hold(key: TextKey) -> bool {
    matches!(key, TextKey::Hold | TextKey::HoldInstead)
}

pub(super) fn no_sentence_under_ringback(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut heard = "";
    for (_, at, kind) in record.actions() {
        match kind {
            ActionKind::Ringback { on, .. } => heard = if *on { "the ringing tone" } else { "" },
            ActionKind::EarlyMedia { on, .. } => heard = if *on { "early media" } else { "" },
            // A bridge ends either by itself.
            ActionKind::Bridge { .. } => heard = "",
            ActionKind::Say { key, .. } if !heard.is_empty() && !is_hold(*key) => {
                let detail = format!("\"{}\" was said under {heard}", key.code());
                findings.push(Finding::new(at, detail));
            }
            ActionKind::Say { .. }
            | ActionKind::TakeMessage
            | ActionKind::StartAssistant { .. }
            | ActionKind::ResumeAssistant { .. }
            | ActionKind::Unbridge { .. }
            | ActionKind::Ring { .. }
            | ActionKind::Answer { .. }
            | ActionKind::Reject { .. }
            | ActionKind::Dial { .. }
            | ActionKind::Cancel { .. }
            | ActionKind::Hangup { .. }
            | ActionKind::PauseAssistant
            | ActionKind::StopAssistant
            | ActionKind::FinishMessage
            | ActionKind::Notify { .. }
            | ActionKind::StartRecording { .. }
            | ActionKind::StopRecording { .. }
            | ActionKind::Hold { .. }
            | ActionKind::Resume { .. }
            | ActionKind::HoldMusic { .. }
            | ActionKind::AcceptRefer { .. }
            | ActionKind::RefuseRefer { .. }
            | ActionKind::NotifyTransferor { .. }
            | ActionKind::Refer { .. }
            | ActionKind::Emit(_) => {}
        }
    }
    findings
}

pub(super) fn assistant_silent_on_hold(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut held = BTreeSet::new();
    let Some(caller) = record.caller_leg() else {
        return findings;
    };
    for (_, at, kind) in record.actions() {
        if let ActionKind::Emit(CallEvent::LegHeld { leg, by, .. }) = kind
            && *leg == caller.id
        {
            held.insert(*by);
        } else if let ActionKind::Emit(CallEvent::LegResumed { leg, by, .. }) = kind
            && *leg == caller.id
        {
            held.remove(by);
        } else if matches!(kind, ActionKind::ResumeAssistant { .. }) && !held.is_empty() {
            let detail = "the assistant went on while the caller was on hold";
            findings.push(Finding::new(at, detail.to_owned()));
        }
    }
    findings
}
