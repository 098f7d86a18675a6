//! Invariants about the call as a whole and its legs.

use switchhook_model::Timestamp;

use super::record::ends;
use super::{CallFact, CallRecord, Finding};
use crate::action::{ActionKind, CallEvent};
use crate::leg::Party;
use crate::view::{CallStatus, LegStateView};

/// How long a consequence may take to follow its cause.
const AT_ONCE_MS: u64 = 1000;

pub(super) fn one_end(record: &CallRecord) -> Vec<Finding> {
    let view = &record.view;
    let mut findings = Vec::new();
    if view.status != CallStatus::Ended || view.ended_at.is_none() || view.outcome.is_none() {
        let detail = format!("the call is {:?} without a complete end", view.status);
        findings.push(Finding::new(view.ended_at, detail));
    }
    let ends: Vec<_> = record
        .events()
        .filter_map(|(_, at, event)| {
            if let CallEvent::CallEnded { outcome } = event {
                Some((at, outcome))
            } else {
                None
            }
        })
        .collect();
    if ends.len() != 1 {
        let detail = format!("the call ended {} times", ends.len());
        findings.push(Finding::new(ends.last().map(|(at, _)| *at), detail));
    }
    if let (Some((at, told)), Some(shown)) = (ends.first(), &view.outcome)
        && (told.code != shown.code || told.ended_by != shown.ended_by)
    {
        let (told, shown) = (told.code.code(), shown.code.code());
        let detail = format!("the call ended as {told}, but shows {shown}");
        findings.push(Finding::new(*at, detail));
    }
    findings
}

pub(super) fn actions_once(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last = 0;
    for stamped in &record.facts {
        if let CallFact::Done(action) = &stamped.fact {
            if action.seq <= last {
                let detail = format!("action {} came after action {last}", action.seq);
                findings.push(Finding::new(stamped.at, detail));
            }
            last = last.max(action.seq);
        }
    }
    findings
}

pub(super) fn times_in_order(record: &CallRecord) -> Vec<Finding> {
    let view = &record.view;
    let mut spans: Vec<(String, Vec<Option<Timestamp>>)> = vec![(
        "the call".to_owned(),
        vec![Some(view.started_at), view.answered_at, view.ended_at],
    )];
    spans.extend(view.legs.iter().map(|leg| {
        let times = vec![Some(leg.started_at), leg.answered_at, leg.ended_at];
        (leg.id.to_string(), times)
    }));
    for transfer in &view.transfers {
        let times = vec![Some(transfer.requested_at), transfer.ended_at];
        spans.push((transfer.id.to_string(), times));
        spans.extend(transfer.attempts.iter().map(|attempt| {
            let times = vec![Some(attempt.started_at), attempt.ended_at];
            (attempt.id.to_string(), times)
        }));
    }
    spans
        .into_iter()
        .filter_map(|(what, times)| {
            let known: Vec<Timestamp> = times.into_iter().flatten().collect();
            let broken = known.windows(2).find(|pair| pair[0] > pair[1])?;
            let detail = format!("{what}: {} comes before {}", broken[1], broken[0]);
            Some(Finding::new(broken[1], detail))
        })
        .collect()
}

pub(super) fn no_living_leg(record: &CallRecord) -> Vec<Finding> {
    record
        .view
        .legs
        .iter()
        .filter_map(|leg| {
            let living = match leg.state {
                LegStateView::Ringing | LegStateView::Answered => true,
                LegStateView::Canceling | LegStateView::Ended => false,
            };
            if living {
                let detail = format!("{} is still {:?}", leg.id, leg.state).to_lowercase();
                return Some(Finding::new(
                    leg.answered_at.unwrap_or(leg.started_at),
                    detail,
                ));
            }
            if record.leg_over(&leg.id).is_none() {
                let detail = format!("nothing ended {}", leg.id);
                return Some(Finding::new(leg.ended_at, detail));
            }
            None
        })
        .collect()
}

pub(super) fn late_answer_hung_up(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    for leg in &record.view.legs {
        let cancelled = record.actions().find(
            |(_, _, kind)| matches!(kind, ActionKind::Cancel { leg: ended } if *ended == leg.id),
        );
        let Some((cancelled, _, _)) = cancelled else {
            continue;
        };
        let Some((_, answered_at)) = record
            .leg_answered(&leg.id)
            .filter(|(position, _)| *position > cancelled)
        else {
            continue;
        };
        let hung_up = record.actions().any(|(position, at, kind)| {
            position > cancelled
                && at.millis_since(answered_at) <= AT_ONCE_MS
                && matches!(kind, ActionKind::Hangup { leg: ended, .. } if *ended == leg.id)
        });
        if !hung_up {
            let detail = format!("{} answered after its CANCEL and was left alone", leg.id);
            findings.push(Finding::new(answered_at, detail));
        }
    }
    findings
}

pub(super) fn caller_gone_cancels_at_once(record: &CallRecord) -> Vec<Finding> {
    let Some(caller) = record.caller_leg().map(|leg| &leg.id) else {
        return Vec::new();
    };
    let gone = record
        .events()
        .find(|(_, _, event)| matches!(event, CallEvent::LegEnded { leg, .. } if leg == caller));
    let Some((position, gone_at, _)) = gone else {
        return Vec::new();
    };
    // A caller who passed the human on may leave: it rings for the human then. One whose other phone
    // took over has not left.
    let passed_on = record.actions().any(|(accepted, _, kind)| {
        accepted < position
            && matches!(
                kind,
                ActionKind::AcceptRefer { leg, .. }
                | ActionKind::Emit(CallEvent::LegReplaced { old: leg, .. }) if leg == caller
            )
    });
    if passed_on {
        return Vec::new();
    }
    record
        .view
        .legs
        .iter()
        .filter(|leg| leg.party == Party::Agent)
        .filter_map(|leg| {
            let dialed = record.actions().find(
                |(_, _, kind)| matches!(kind, ActionKind::Dial { leg: dialed, .. } if *dialed == leg.id),
            )?;
            let before = |place: Option<(usize, Timestamp)>| place.is_some_and(|(p, _)| p < position);
            if dialed.0 > position
                || before(record.leg_answered(&leg.id))
                || before(record.leg_over(&leg.id))
            {
                return None;
            }
            let ended = record
                .actions()
                .find(|(p, _, kind)| *p > position && ends(kind, &leg.id));
            let late = ended.is_none_or(|(_, at, _)| at.millis_since(gone_at) > AT_ONCE_MS);
            let detail = format!("{} went on ringing after the caller was gone", leg.id);
            late.then(|| Finding::new(gone_at, detail))
        })
        .collect()
}

pub(super) fn no_bridge_with_ended_leg(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, at, kind) in record.actions() {
        let ActionKind::Bridge { a, b } = kind else {
            continue;
        };
        for leg in [a, b] {
            let ended = record
                .leg_over(leg)
                .is_some_and(|(over, _)| over < position);
            let answered = record
                .leg_answered(leg)
                .is_some_and(|(answered, _)| answered < position);
            if ended {
                let detail = format!("{leg} was bridged after it had ended");
                findings.push(Finding::new(at, detail));
            } else if !answered {
                let detail = format!("{leg} was bridged before it had answered");
                findings.push(Finding::new(at, detail));
            }
        }
    }
    findings
}
