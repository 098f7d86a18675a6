//! Invariants about transfers and their dial attempts.

use super::{CallFact, CallRecord, Finding};
use crate::action::{ActionKind, CallEvent};
use crate::event::Event;
use crate::transfer::{AttemptResult, TransferMethod, TransferOutcome};
use crate::view::{AttemptView, Channel};

/// How late a timer may be, in milliseconds.
const TIMER_SLACK_MS: u64 = 2000;

fn attempts(record: &CallRecord) -> impl Iterator<Item = &AttemptView> {
    record
        .view
        .transfers
        .iter()
        .flat_map(|transfer| &transfer.attempts)
}

pub(super) fn one_dial_per_attempt(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    for attempt in attempts(record) {
        let dials: Vec<_> = record
            .actions()
            .filter_map(|(_, at, kind)| {
                if let ActionKind::Dial {
                    attempt: Some(id),
                    leg,
                    ..
                }
                | ActionKind::Refer {
                    attempt: id, leg, ..
                } = kind
                {
                    (*id == attempt.id).then_some((at, leg))
                } else {
                    None
                }
            })
            .collect();
        if dials.len() != 1 || dials.iter().any(|(_, leg)| **leg != attempt.leg) {
            let detail = format!("{} dialled {} times", attempt.id, dials.len());
            findings.push(Finding::new(attempt.started_at, detail));
        }
    }
    for leg in &record.view.legs {
        let invites: Vec<_> = record
            .facts
            .iter()
            .filter(|stamped| {
                matches!(&stamped.fact, CallFact::InviteSent { leg: sent, .. } if *sent == leg.id)
            })
            .collect();
        if let [_, second, ..] = invites.as_slice() {
            let detail = format!("{} INVITE transactions for {}", invites.len(), leg.id);
            findings.push(Finding::new(second.at, detail));
        }
    }
    findings
}

pub(super) fn one_result_per_attempt(record: &CallRecord) -> Vec<Finding> {
    attempts(record)
        .filter_map(|attempt| {
            let results: Vec<_> = record
                .events()
                .filter_map(|(_, _, event)| {
                    if let CallEvent::AttemptEnded {
                        attempt: id,
                        result,
                        ..
                    } = event
                    {
                        (*id == attempt.id).then_some(*result)
                    } else {
                        None
                    }
                })
                .collect();
            let shown = attempt.result?;
            (results != [shown]).then(|| {
                let told: Vec<_> = results.iter().map(|result| result.code()).collect();
                let detail = format!(
                    "{} shows {}, but was reported as [{}]",
                    attempt.id,
                    shown.code(),
                    told.join(", ")
                );
                Finding::new(attempt.ended_at, detail)
            })
        })
        .chain(
            attempts(record)
                .filter(|attempt| attempt.result.is_none() || attempt.ended_at.is_none())
                .map(|attempt| {
                    let detail = format!("{} has no result", attempt.id);
                    Finding::new(attempt.started_at, detail)
                }),
        )
        .collect()
}

pub(super) fn ring_timeout_kept(record: &CallRecord) -> Vec<Finding> {
    let restarted = record
        .facts
        .iter()
        .any(|stamped| stamped.fact == CallFact::Seen(Event::Restarted));
    attempts(record)
        // While the process was gone nobody could stop the phone.
        .filter(|attempt| !restarted || attempt.result != Some(AttemptResult::Canceled))
        // What the caller's exchange lets ring is not ours to stop.
        .filter(|attempt| attempt.method == TransferMethod::Bridge)
        // A carrier times the ringing itself, and rings some seconds longer than it is told.
        .filter(|_| record.view.channel != Channel::Twilio)
        .filter_map(|attempt| {
            let decided_ms = attempt.ended_at?.millis_since(attempt.started_at);
            // The phone itself may ring on after the attempt is given up.
            let rang_ms = record
                .leg_over(&attempt.leg)
                .filter(|_| attempt.result != Some(AttemptResult::Answered))
                .map_or(decided_ms, |(_, at)| {
                    decided_ms.max(at.millis_since(attempt.started_at))
                });
            let timeout_ms = u64::from(attempt.ring_timeout_s) * 1000;
            let too_long = rang_ms > timeout_ms + TIMER_SLACK_MS;
            let gave_up = attempt.result == Some(AttemptResult::NoAnswer)
                && attempt.sip_status.is_none()
                && cancelled(record, attempt);
            let too_short = gave_up && decided_ms < timeout_ms;
            (too_long || too_short).then(|| {
                let detail = format!(
                    "{} rang {rang_ms} ms, {timeout_ms} ms were allowed",
                    attempt.target
                );
                Finding::new(attempt.ended_at, detail)
            })
        })
        .collect()
}

fn cancelled(record: &CallRecord, attempt: &AttemptView) -> bool {
    record
        .actions()
        .any(|(_, _, kind)| matches!(kind, ActionKind::Cancel { leg } if *leg == attempt.leg))
}

pub(super) fn one_outcome_per_transfer(record: &CallRecord) -> Vec<Finding> {
    record
        .view
        .transfers
        .iter()
        .filter_map(|transfer| {
            let told: Vec<_> = record
                .events()
                .filter_map(|(_, _, event)| {
                    if let CallEvent::TransferEnded {
                        transfer: id,
                        outcome,
                    } = event
                    {
                        (*id == transfer.id).then_some(*outcome)
                    } else {
                        None
                    }
                })
                .collect();
            let fits = transfer.outcome.is_some_and(|shown| told == [shown]);
            (!fits).then(|| {
                let codes: Vec<_> = told.iter().map(|outcome| outcome.code()).collect();
                let shown = transfer.outcome.map_or("nothing", TransferOutcome::code);
                let detail = format!(
                    "{} shows {shown}, but was reported as [{}]",
                    transfer.id,
                    codes.join(", ")
                );
                Finding::new(transfer.ended_at, detail)
            })
        })
        .collect()
}

pub(super) fn bridged_means_joined(record: &CallRecord) -> Vec<Finding> {
    let joined = |attempt: &AttemptView| {
        record.actions().any(|(_, _, kind)| {
            matches!(kind, ActionKind::Bridge { a, b } if *a == attempt.leg || *b == attempt.leg)
        })
    };
    let mut findings = Vec::new();
    for transfer in &record.view.transfers {
        for attempt in &transfer.attempts {
            let answered = attempt.result == Some(AttemptResult::Answered);
            if answered && !joined(attempt) {
                let detail = format!("{} answered and was joined with nobody", attempt.target);
                findings.push(Finding::new(attempt.ended_at, detail));
            }
            if !answered && attempt.method == TransferMethod::Bridge && joined(attempt) {
                let detail = format!("{} was joined although it did not answer", attempt.target);
                findings.push(Finding::new(attempt.ended_at, detail));
            }
        }
        if let Some(joined) = &transfer.joined {
            let is_joined = record.actions().any(
                |(_, _, kind)| matches!(kind, ActionKind::Bridge { a, b } if a == joined || b == joined),
            );
            if is_joined != (transfer.outcome == Some(TransferOutcome::Bridged)) {
                let detail = format!("{joined} was to be joined by {}, and was not", transfer.id);
                findings.push(Finding::new(transfer.ended_at, detail));
            }
            continue;
        }
        let bridged = transfer.outcome == Some(TransferOutcome::Bridged);
        let any_answered = transfer
            .attempts
            .iter()
            .any(|attempt| attempt.result == Some(AttemptResult::Answered));
        if bridged != any_answered {
            let detail = if bridged {
                format!("{} counts as bridged, but nobody answered", transfer.id)
            } else {
                format!("somebody answered, but {} was not bridged", transfer.id)
            };
            findings.push(Finding::new(transfer.ended_at, detail));
        }
    }
    findings
}
