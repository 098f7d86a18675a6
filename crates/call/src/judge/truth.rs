//! Invariants about what the caller is told, and about messages and notices.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_model::{EndedBy, MessageId, Timestamp};

use super::{CallFact, CallRecord, Finding};
use crate::action::{ActionKind, CallEvent};
use crate::event::{Heard, SayId};
use crate::notice::NoticeTemplate;
use crate::outcome::OutcomeCode;
use crate::texts::TextKey;
use crate::transfer::{AttemptResult, Requester, TransferOutcome};
use crate::view::{AttemptView, TransferView};

/// A sentence as it was asked for. One whose `TextTold` says that nothing was heard told nothing.
struct Told {
    position: usize,
    at: Timestamp,
    key: TextKey,
}

fn told(record: &CallRecord) -> Vec<Told> {
    let unheard: Vec<SayId> = record
        .events()
        .filter_map(|(_, _, event)| {
            if let CallEvent::TextTold {
                say,
                heard: Heard::None,
                ..
            } = event
            {
                Some(*say)
            } else {
                None
            }
        })
        .collect();
    record
        .actions()
        .filter_map(|(position, at, kind)| {
            if let ActionKind::Say { say, key, .. } = kind {
                (!unheard.contains(say)).then_some(Told {
                    position,
                    at,
                    key: *key,
                })
            } else {
                None
            }
        })
        .collect()
}

/// Whether this sentence states what came of the attempts.
fn states_result(key: TextKey) -> bool {
    match key {
        TextKey::NobodyAnswered
        | TextKey::Busy
        | TextKey::Declined
        | TextKey::NotReachable
        | TextKey::NobodyAvailable
        | TextKey::Closed
        | TextKey::NoTarget => true,
        TextKey::Hold
        | TextKey::HoldInstead
        | TextKey::NoMoreTransfers
        | TextKey::BackWithAssistant
        | TextKey::MessagePrompt
        | TextKey::MessageSaved
        | TextKey::NoMessage
        | TextKey::TeamInformed
        | TextKey::SavedNotDelivered
        | TextKey::Notifying
        | TextKey::NotNotified
        | TextKey::TryingAnotherWay
        | TextKey::NotInformedAfterAll
        | TextKey::TimeLimit
        | TextKey::MachineMessage
        | TextKey::Goodbye => false,
    }
}

/// The transfer that was under way at a position, by its request.
fn transfer_at(record: &CallRecord, position: usize) -> Option<&TransferView> {
    let id = record
        .events()
        .filter_map(|(requested, _, event)| {
            if let CallEvent::TransferRequested { transfer, .. } = event {
                (requested < position).then_some(transfer)
            } else {
                None
            }
        })
        .last()?;
    record.view.transfers.iter().find(|known| known.id == *id)
}

pub(super) fn no_caller_lost(record: &CallRecord) -> Vec<Finding> {
    let view = &record.view;
    let Some(outcome) = &view.outcome else {
        return Vec::new();
    };
    let stayed = match outcome.ended_by {
        EndedBy::Caller | EndedBy::Operator => false,
        EndedBy::Agent | EndedBy::Assistant | EndedBy::System => true,
    };
    let cut_off = matches!(
        outcome.code,
        OutcomeCode::Restarted
            | OutcomeCode::Shutdown
            | OutcomeCode::TimeLimit
            | OutcomeCode::MediaLost
    );
    if !stayed || cut_off || view.assistant.is_none() {
        return Vec::new();
    }
    let sentences = told(record);
    // A caller whose own phone passed the human on is not told what came of it: the phone is.
    let caller_refers = record.caller_leg().is_some_and(|caller| {
        record.actions().any(
            |(_, _, kind)| matches!(kind, ActionKind::AcceptRefer { leg, .. } if *leg == caller.id),
        )
    });
    view.transfers
        .iter()
        .filter(|transfer| transfer.requested_by != Requester::Party || !caller_refers)
        .filter(|transfer| match transfer.outcome {
            Some(
                TransferOutcome::ReturnedToAssistant
                | TransferOutcome::MessageTaken
                | TransferOutcome::Notified
                | TransferOutcome::CallbackScheduled
                | TransferOutcome::Failed,
            )
            | None => true,
            Some(
                TransferOutcome::Bridged
                | TransferOutcome::HandedOver
                | TransferOutcome::ReturnedToTransferor
                | TransferOutcome::Declined
                | TransferOutcome::CallerGone,
            ) => false,
        })
        .filter(|transfer| {
            !sentences.iter().any(|said| {
                states_result(said.key)
                    && transfer_at(record, said.position)
                        .is_some_and(|about| about.id == transfer.id)
            })
        })
        .map(|transfer| {
            let detail = format!("nobody told the caller what came of {}", transfer.id);
            Finding::new(view.ended_at, detail)
        })
        .collect()
}

pub(super) fn told_result_is_true(record: &CallRecord) -> Vec<Finding> {
    told(record)
        .into_iter()
        .filter(|said| states_result(said.key))
        .filter_map(|said| {
            let known = transfer_at(record, said.position);
            let is_true = known.is_some_and(|transfer| fits(record, transfer, &said));
            (!is_true).then(|| {
                let detail = format!("\"{}\" was said, which was not so", said.key.code());
                Finding::new(said.at, detail)
            })
        })
        .collect()
}

fn fits(record: &CallRecord, transfer: &TransferView, said: &Told) -> bool {
    let tried = &transfer.attempts;
    let decided = tried
        .iter()
        .all(|attempt| ended_before(record, attempt, said.position));
    let all = |wanted: AttemptResult| {
        !tried.is_empty() && tried.iter().all(|attempt| attempt.result == Some(wanted))
    };
    let none_answered = tried
        .iter()
        .all(|attempt| attempt.result != Some(AttemptResult::Answered));
    decided
        && match said.key {
            TextKey::NobodyAnswered => all(AttemptResult::NoAnswer),
            TextKey::Busy => all(AttemptResult::Busy),
            TextKey::Declined | TextKey::NotReachable => all(AttemptResult::Failed),
            TextKey::NobodyAvailable => !tried.is_empty() && none_answered,
            TextKey::Closed => transfer.closed,
            TextKey::NoTarget => tried.is_empty() && !transfer.closed,
            TextKey::Hold
            | TextKey::HoldInstead
            | TextKey::NoMoreTransfers
            | TextKey::BackWithAssistant
            | TextKey::MessagePrompt
            | TextKey::MessageSaved
            | TextKey::NoMessage
            | TextKey::TeamInformed
            | TextKey::SavedNotDelivered
            | TextKey::Notifying
            | TextKey::NotNotified
            | TextKey::TryingAnotherWay
            | TextKey::NotInformedAfterAll
            | TextKey::TimeLimit
            | TextKey::MachineMessage
            | TextKey::Goodbye => true,
        }
}

fn ended_before(record: &CallRecord, attempt: &AttemptView, position: usize) -> bool {
    record.events().any(|(ended, _, event)| {
        ended < position
            && matches!(event, CallEvent::AttemptEnded { attempt: id, .. } if *id == attempt.id)
    })
}

pub(super) fn told_informed_is_true(record: &CallRecord) -> Vec<Finding> {
    told(record)
        .into_iter()
        .filter(|said| said.key == TextKey::TeamInformed)
        .filter(|said| !any_notice_accepted(record, said.position))
        .map(|said| {
            let detail = "the caller was told that the team was informed, but no notice had been \
                          accepted"
                .to_owned();
            Finding::new(said.at, detail)
        })
        .collect()
}

/// Whether, by this position, a notice was accepted that nobody refused afterwards.
fn any_notice_accepted(record: &CallRecord, position: usize) -> bool {
    let mut accepted = BTreeSet::new();
    for (_, _, event) in record.events().take_while(|(at, _, _)| *at < position) {
        match event {
            CallEvent::NoticeAccepted { message } => {
                accepted.insert(message);
            }
            CallEvent::NoticeRefused { message, .. }
            | CallEvent::NoticeUndelivered { message, .. } => {
                accepted.remove(message);
            }
            CallEvent::CallStarted { .. }
            | CallEvent::CallAnswered { .. }
            | CallEvent::LegRinging { .. }
            | CallEvent::LegEarlyMedia { .. }
            | CallEvent::LegAnswered { .. }
            | CallEvent::LegEnded { .. }
            | CallEvent::LegHeld { .. }
            | CallEvent::LegResumed { .. }
            | CallEvent::HoldRefused { .. }
            | CallEvent::HoldIgnored { .. }
            | CallEvent::ReferRefused { .. }
            | CallEvent::LegReplaced { .. }
            | CallEvent::ReferReported { .. }
            | CallEvent::TransferRequested { .. }
            | CallEvent::TransferIgnored { .. }
            | CallEvent::AttemptStarted { .. }
            | CallEvent::AttemptEnded { .. }
            | CallEvent::Bridged { .. }
            | CallEvent::TransferEnded { .. }
            | CallEvent::TextTold { .. }
            | CallEvent::MessageTaken { .. }
            | CallEvent::NoticeOwed { .. }
            | CallEvent::CallEnded { .. } => {}
        }
    }
    !accepted.is_empty()
}

/// What became of each notice in the end: the last that was said of it counts.
pub(super) fn informed_arrives(record: &CallRecord) -> Vec<Finding> {
    let mut lost: BTreeMap<&MessageId, Timestamp> = BTreeMap::new();
    for (_, at, event) in record.events() {
        if let CallEvent::NoticeUndelivered { message, .. } = event {
            lost.insert(message, at);
        } else if let CallEvent::NoticeAccepted { message } = event {
            lost.remove(message);
        }
    }
    lost.into_iter()
        .map(|(message, at)| Finding::new(at, format!("{message} was accepted and did not arrive")))
        .collect()
}

pub(super) fn told_saved_is_true(record: &CallRecord) -> Vec<Finding> {
    told(record)
        .into_iter()
        .filter(|said| matches!(said.key, TextKey::MessageSaved | TextKey::SavedNotDelivered))
        .filter(|said| {
            !record.events().any(|(taken, _, event)| {
                taken < said.position && matches!(event, CallEvent::MessageTaken { .. })
            })
        })
        .map(|said| {
            let detail = "the caller was told that a message was saved, but none had been taken";
            Finding::new(said.at, detail.to_owned())
        })
        .collect()
}

pub(super) fn message_becomes_notice(record: &CallRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    let messages = record
        .events()
        .filter(|(_, _, event)| matches!(event, CallEvent::MessageTaken { .. }))
        .count();
    let mut notices: BTreeMap<&MessageId, (u32, Timestamp)> = BTreeMap::new();
    let mut with_message = 0;
    for (_, at, kind) in record.actions() {
        if let ActionKind::Notify {
            message, template, ..
        } = kind
        {
            notices.entry(message).or_insert((0, at)).0 += 1;
            if *template == NoticeTemplate::MessageTaken {
                with_message += 1;
            }
        }
    }
    if messages != with_message {
        let detail = format!("{messages} messages were taken, {with_message} became notices");
        findings.push(Finding::new(record.view.ended_at, detail));
    }
    findings.extend(notices.iter().filter(|(_, (times, _))| *times > 1).map(
        |(message, (times, at))| Finding::new(*at, format!("{message} was owed {times} times")),
    ));
    let mut delivered: BTreeMap<&MessageId, u32> = BTreeMap::new();
    for stamped in &record.facts {
        if let CallFact::NoticeDelivered { message } = &stamped.fact {
            let times = delivered.entry(message).or_default();
            *times += 1;
            if *times == 2 {
                let detail = format!("{message} was delivered more than once");
                findings.push(Finding::new(stamped.at, detail));
            }
        }
    }
    findings
}
