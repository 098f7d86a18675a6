//! The one sentence that says what happened to a call, as data: a list of clauses with arguments,
//! and the sentence they make in English and German. A page may word the clauses itself, with times
//! in the reader's zone.

mod wording;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use switchhook_model::{Direction, EndedBy, HangupCause, Language, Timestamp};

use crate::call::Call;
use crate::notice::{Notice, NoticeState, NoticeTemplate};
use crate::outcome::OutcomeCode;
use crate::transfer::{
    Attempt, AttemptResult, Requester, Transfer, TransferMethod, TransferOutcome,
};
use crate::view::{CallStatus, CallView};

/// What a clause says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClauseKey {
    /// The caller is not connected yet: `callee`.
    Ringing,
    /// The caller is with the assistant.
    WithAssistant,
    /// The caller is with a human.
    WithAgent,
    /// A human's phone rings: `target`.
    TargetRinging,
    /// The caller is told something or leaves a message.
    FallbackRunning,
    /// The caller asked for a human: `seconds` after the answer.
    AskedForHuman,
    /// The caller asked for a department: `department`, `seconds`.
    AskedForDepartment,
    /// An operator transferred the caller: `seconds`.
    OperatorTransferred,
    /// A party's phone transferred the other: `seconds`.
    PartyTransferred,
    /// The caller's own exchange was asked to reach `target`.
    ExchangeAsked,
    /// The caller's own exchange took the caller over to `target` after `seconds`.
    HandedOver,
    /// Another phone took the call while `target` rang, after `seconds`.
    PickedUpElsewhere,
    /// The two who talked before talk on.
    TalkedOn,
    /// Outside the open hours.
    Closed,
    /// No target is configured.
    NoTarget,
    /// More transfers than allowed.
    Declined,
    /// `target` did not answer in `seconds`.
    NoAnswer,
    /// `target` was busy.
    Busy,
    /// `target` refused.
    Refused,
    /// `target` could not be reached.
    Unreachable,
    /// The caller hung up while `target` rang, after `seconds`.
    GoneWhileRinging,
    /// The call ended otherwise while `target` rang, after `seconds`.
    EndedWhileRinging,
    /// `target` answered after `seconds`.
    Answered,
    /// Caller and human talked for `seconds`.
    Talked,
    /// The caller left a message.
    MessageTaken,
    /// A message could not be made out.
    MessageUnread,
    /// The staff's receiver took the notice `at`.
    StaffTold,
    /// The staff's receiver did not take the notice: `error`.
    StaffNotTold,
    /// The notice is still owed.
    StaffOwed,
    /// The caller went back to the assistant.
    BackWithAssistant,
    /// The caller talked to the assistant for `seconds`.
    TalkedToAssistant,
    /// `callee` was not reached: `cause`.
    NotReached,
    /// A machine answered at `callee`: a mailbox or a fax.
    MachineAnswered,
    /// The caller gave up before being answered, after `seconds`.
    GaveUp,
    /// The caller hung up.
    EndedByCaller,
    /// The human hung up.
    EndedByAgent,
    /// The assistant said goodbye.
    EndedByAssistant,
    /// An operator ended the call.
    EndedByOperator,
    /// The caller said nothing for too long.
    EndedBySilence,
    /// A limit was reached.
    EndedByLimit,
    /// The caller gave no right PIN.
    EndedWithoutPin,
    /// Providers failed.
    EndedByErrors,
    /// Audio was lost.
    EndedByMediaLoss,
    /// The program cut the call off after its work was done.
    CutOff,
    /// The program restarted.
    EndedByRestart,
    /// The program was stopped.
    EndedByShutdown,
    /// Something else failed.
    EndedByFailure,
}

/// One part of the sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// What it says.
    pub key: ClauseKey,
    /// Its arguments by name; `seconds` are whole seconds, `at` is RFC 3339 in UTC.
    pub args: BTreeMap<String, String>,
}

/// What happened, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// The parts, in order.
    pub clauses: Vec<Clause>,
    /// The sentence in English, times in UTC.
    pub en: String,
    /// The sentence in German, times in UTC.
    pub de: String,
}

impl Headline {
    /// Of a call that a restart cut off and of which nothing else is known.
    pub fn ended_by_restart() -> Self {
        Self::from_clauses(vec![clause(ClauseKey::EndedByRestart)])
    }

    fn from_clauses(clauses: Vec<Clause>) -> Self {
        let sentence = |language| {
            let parts: Vec<String> = clauses.iter().map(|clause| clause.text(language)).collect();
            let joined = parts.join("; ");
            let mut letters = joined.chars();
            letters.next().map_or_else(String::new, |first| {
                format!("{}{}.", first.to_uppercase(), letters.as_str())
            })
        };
        Self {
            en: sentence(Language::En),
            de: sentence(Language::De),
            clauses,
        }
    }

    /// The sentence; English where there is no wording in that language.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::De => &self.de,
            Language::En | Language::Ar => &self.en,
        }
    }
}

impl Call {
    /// What happened to the call so far, in one sentence. `view` is its own, made at the same time.
    pub fn headline(&self, view: &CallView) -> Headline {
        let mut clauses = Vec::new();
        for transfer in &self.transfers {
            self.transfer_clauses(view, transfer, &mut clauses);
        }
        for notice in self
            .notices
            .iter()
            .filter(|notice| notice.transfer.is_none())
        {
            clauses.extend(message_clauses(notice));
        }
        clauses.extend(closing_clauses(view));
        Headline::from_clauses(clauses)
    }

    fn transfer_clauses(&self, view: &CallView, transfer: &Transfer, clauses: &mut Vec<Clause>) {
        clauses.push(request_clause(view, transfer));
        if transfer.outcome == Some(TransferOutcome::Declined) {
            return clauses.push(clause(ClauseKey::Declined));
        }
        if transfer.closed {
            clauses.push(clause(ClauseKey::Closed));
        } else if transfer.attempts.is_empty() && transfer.joined.is_none() {
            clauses.push(clause(ClauseKey::NoTarget));
        }
        let gone = transfer.outcome == Some(TransferOutcome::CallerGone);
        let picked_up = transfer.joined.is_some();
        clauses.extend(transfer.attempts.iter().map(|attempt| {
            let mut clause = attempt_clause(attempt, gone);
            if picked_up && attempt.result == Some(AttemptResult::Canceled) {
                clause.key = ClauseKey::PickedUpElsewhere;
            }
            clause
        }));
        let notices: Vec<&Notice> = self
            .notices
            .iter()
            .filter(|notice| notice.transfer.as_ref() == Some(&transfer.id))
            .collect();
        clauses.extend(notices.iter().flat_map(|notice| message_clauses(notice)));
        match transfer.outcome {
            Some(TransferOutcome::Bridged) => {
                clauses.extend(talked_clause(view, transfer));
            }
            Some(TransferOutcome::ReturnedToAssistant) => {
                clauses.push(clause(ClauseKey::BackWithAssistant));
            }
            Some(TransferOutcome::ReturnedToTransferor) => {
                clauses.push(clause(ClauseKey::TalkedOn));
            }
            None if transfer
                .attempts
                .iter()
                .all(|attempt| attempt.result.is_some()) =>
            {
                clauses.push(clause(ClauseKey::FallbackRunning));
            }
            Some(
                TransferOutcome::MessageTaken
                | TransferOutcome::Notified
                | TransferOutcome::HandedOver
                | TransferOutcome::CallbackScheduled
                | TransferOutcome::Declined
                | TransferOutcome::CallerGone
                | TransferOutcome::Failed,
            )
            | None => {}
        }
    }
}

fn clause(key: ClauseKey) -> Clause {
    Clause {
        key,
        args: BTreeMap::new(),
    }
}

impl Clause {
    fn arg(mut self, name: &str, value: impl ToString) -> Self {
        self.args.insert(name.to_owned(), value.to_string());
        self
    }

    fn get(&self, name: &str) -> &str {
        self.args.get(name).map_or("", String::as_str)
    }
}

fn whole_seconds(from: Timestamp, to: Timestamp) -> u64 {
    (to.millis_since(from) + 500) / 1000
}

fn request_clause(view: &CallView, transfer: &Transfer) -> Clause {
    let begun = view.answered_at.unwrap_or(view.started_at);
    let seconds = whole_seconds(begun, transfer.requested_at);
    match (transfer.requested_by, &transfer.department) {
        (Requester::Party, _) => clause(ClauseKey::PartyTransferred),
        (Requester::Operator, _) => clause(ClauseKey::OperatorTransferred),
        (Requester::Assistant, Some(department)) => {
            clause(ClauseKey::AskedForDepartment).arg("department", department)
        }
        (Requester::Assistant, None) => clause(ClauseKey::AskedForHuman),
    }
    .arg("seconds", seconds)
}

fn attempt_clause(attempt: &Attempt, caller_gone: bool) -> Clause {
    let seconds = whole_seconds(
        attempt.started_at,
        attempt.ended_at.unwrap_or(attempt.started_at),
    );
    let key = match attempt.result {
        None if attempt.method == TransferMethod::Refer => ClauseKey::ExchangeAsked,
        None => ClauseKey::TargetRinging,
        Some(AttemptResult::HandedOver) => ClauseKey::HandedOver,
        Some(AttemptResult::Answered) => ClauseKey::Answered,
        Some(AttemptResult::NoAnswer) => ClauseKey::NoAnswer,
        Some(AttemptResult::Busy) => ClauseKey::Busy,
        Some(AttemptResult::Failed) if attempt.cause == Some(HangupCause::Rejected) => {
            ClauseKey::Refused
        }
        Some(AttemptResult::Failed) => ClauseKey::Unreachable,
        Some(AttemptResult::Canceled) if caller_gone => ClauseKey::GoneWhileRinging,
        Some(AttemptResult::Canceled) => ClauseKey::EndedWhileRinging,
    };
    clause(key)
        .arg("target", &attempt.target)
        .arg("seconds", seconds)
}

fn message_clauses(notice: &Notice) -> Vec<Clause> {
    let about = match notice.template {
        NoticeTemplate::MessageTaken => Some(ClauseKey::MessageTaken),
        NoticeTemplate::MessageUnread => Some(ClauseKey::MessageUnread),
        NoticeTemplate::MissedCall => None,
    };
    let fate = match &notice.state {
        NoticeState::Owed => clause(ClauseKey::StaffOwed),
        NoticeState::Accepted { at } => clause(ClauseKey::StaffTold).arg("at", at.to_rfc3339()),
        NoticeState::Refused { error, .. } => clause(ClauseKey::StaffNotTold).arg("error", error),
    };
    about.map(clause).into_iter().chain([fate]).collect()
}

fn talked_clause(view: &CallView, transfer: &Transfer) -> Option<Clause> {
    let (from, joined) = match &transfer.joined {
        Some(joined) => (transfer.ended_at?, joined),
        None => {
            let attempt = transfer.attempts.last()?;
            (attempt.ended_at?, &attempt.leg)
        }
    };
    let leg = view.legs.iter().find(|leg| leg.id == *joined)?;
    let to = leg.ended_at?;
    Some(clause(ClauseKey::Talked).arg("seconds", whole_seconds(from, to)))
}

fn closing_clauses(view: &CallView) -> Vec<Clause> {
    let Some(outcome) = &view.outcome else {
        return live_clause(view).into_iter().collect();
    };
    if outcome.code == OutcomeCode::Voicemail {
        return vec![clause(ClauseKey::MachineAnswered).arg("callee", &view.callee)];
    }
    let mut clauses = Vec::new();
    let ended_at = view.ended_at.unwrap_or(view.started_at);
    match view.answered_at {
        Some(answered_at) if view.transfers.is_empty() && view.assistant.is_some() => {
            let seconds = whole_seconds(answered_at, ended_at);
            clauses.push(clause(ClauseKey::TalkedToAssistant).arg("seconds", seconds));
        }
        Some(answered_at) if view.transfers.is_empty() => {
            let seconds = whole_seconds(answered_at, ended_at);
            clauses.push(clause(ClauseKey::Talked).arg("seconds", seconds));
        }
        Some(_) => {}
        None => return unanswered_clauses(view, outcome.code, ended_at),
    }
    // "Hung up while 2001 rang" says already who ended it, and nobody ended what was handed over.
    let said = outcome.code == OutcomeCode::HandedOver
        || outcome.code == OutcomeCode::CallerGone
            && view
                .transfers
                .last()
                .and_then(|transfer| transfer.attempts.last())
                .is_some_and(|attempt| attempt.result == Some(AttemptResult::Canceled));
    if !said {
        clauses.push(clause(end_key(outcome.code, outcome.ended_by)));
    }
    clauses
}

fn live_clause(view: &CallView) -> Option<Clause> {
    match view.status {
        CallStatus::Ringing => Some(clause(ClauseKey::Ringing).arg("callee", &view.callee)),
        CallStatus::Assistant => Some(clause(ClauseKey::WithAssistant)),
        CallStatus::WithAgent => Some(clause(ClauseKey::WithAgent)),
        // The transfer's own clauses say it.
        CallStatus::Transferring | CallStatus::Ended => None,
    }
}

fn unanswered_clauses(view: &CallView, code: OutcomeCode, ended_at: Timestamp) -> Vec<Clause> {
    let seconds = whole_seconds(view.started_at, ended_at);
    match (code, view.direction) {
        (OutcomeCode::CallerCanceled, Direction::Inbound | Direction::Outbound) => {
            vec![clause(ClauseKey::GaveUp).arg("seconds", seconds)]
        }
        (
            OutcomeCode::NoAnswer
            | OutcomeCode::Busy
            | OutcomeCode::Rejected
            | OutcomeCode::Unreachable
            | OutcomeCode::NotAcceptable
            | OutcomeCode::Failed
            | OutcomeCode::MediaLost,
            Direction::Inbound | Direction::Outbound,
        ) => vec![
            clause(ClauseKey::NotReached)
                .arg("callee", &view.callee)
                .arg("cause", code.code()),
        ],
        (
            OutcomeCode::Completed
            | OutcomeCode::CallerHungUp
            | OutcomeCode::Transferred
            | OutcomeCode::HandedOver
            | OutcomeCode::MessageTaken
            | OutcomeCode::StaffNotified
            | OutcomeCode::CallerGone
            | OutcomeCode::TransferFailed
            | OutcomeCode::Silence
            | OutcomeCode::NotIdentified
            | OutcomeCode::TurnLimit
            | OutcomeCode::TimeLimit
            | OutcomeCode::AssistantErrors
            | OutcomeCode::OperatorHangup
            | OutcomeCode::Voicemail
            | OutcomeCode::Restarted
            | OutcomeCode::Shutdown,
            Direction::Inbound | Direction::Outbound,
        ) => {
            let by = view
                .outcome
                .as_ref()
                .map_or(EndedBy::System, |o| o.ended_by);
            vec![clause(end_key(code, by))]
        }
    }
}

fn end_key(code: OutcomeCode, by: EndedBy) -> ClauseKey {
    match code {
        OutcomeCode::Silence => ClauseKey::EndedBySilence,
        OutcomeCode::NotIdentified => ClauseKey::EndedWithoutPin,
        OutcomeCode::TurnLimit | OutcomeCode::TimeLimit => ClauseKey::EndedByLimit,
        OutcomeCode::AssistantErrors => ClauseKey::EndedByErrors,
        OutcomeCode::MediaLost => ClauseKey::EndedByMediaLoss,
        OutcomeCode::Restarted => ClauseKey::EndedByRestart,
        OutcomeCode::Shutdown => ClauseKey::EndedByShutdown,
        OutcomeCode::MessageTaken | OutcomeCode::StaffNotified if by == EndedBy::System => {
            ClauseKey::CutOff
        }
        OutcomeCode::Completed
        | OutcomeCode::CallerHungUp
        | OutcomeCode::Transferred
        | OutcomeCode::HandedOver
        | OutcomeCode::MessageTaken
        | OutcomeCode::StaffNotified
        | OutcomeCode::CallerGone
        | OutcomeCode::CallerCanceled
        | OutcomeCode::TransferFailed
        | OutcomeCode::OperatorHangup
        | OutcomeCode::NoAnswer
        | OutcomeCode::Busy
        | OutcomeCode::Rejected
        | OutcomeCode::Voicemail
        | OutcomeCode::Unreachable
        | OutcomeCode::NotAcceptable
        | OutcomeCode::Failed => match by {
            EndedBy::Caller => ClauseKey::EndedByCaller,
            EndedBy::Agent => ClauseKey::EndedByAgent,
            EndedBy::Assistant => ClauseKey::EndedByAssistant,
            EndedBy::Operator => ClauseKey::EndedByOperator,
            EndedBy::System => ClauseKey::EndedByFailure,
        },
    }
}
