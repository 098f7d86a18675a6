//! The transfer as it runs: request, dial attempts, the truth about them, and the fallback chain.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{
    AttemptId, EndedBy, HangupCause, LegId, MessageId, RequestId, Target, Timestamp, TransferId,
};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Code, Ending, Out, Pending, Phase, Voice, seconds};
use crate::event::SayId;
use crate::leg::Party;
use crate::notice::{Notice, NoticeBody, NoticeState, NoticeTemplate, TriedTarget};
use crate::outcome::OutcomeCode;
use crate::policy::{DialPlan, FallbackStep};
use crate::texts::TextKey;
use crate::timer::TimerId;
use crate::transfer::{Attempt, AttemptResult, Requester, Transfer, TransferOutcome};

/// How long the text of a finished message may take: the transcription of two minutes of speech by
/// a slow provider.
const MESSAGE_TEXT_GUARD: Duration = Duration::from_secs(45);

/// What a model or a receiver says is data of any length: names, reasons and errors are cut here,
const MAX_NAME_CHARS: usize = 200;
/// and summaries and messages here (two minutes of fast speech have about 2,500 characters).
const MAX_TEXT_CHARS: usize = 4000;

/// Where a running transfer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// The target of the last attempt is being rung. `hold` is the sentence after which the caller
    /// hears ringback.
    Ringing {
        leg: LegId,
        until: Timestamp,
        hold: Option<Pending>,
    },
    /// The caller is being told something.
    Telling { last: Pending, then: Then },
    /// The caller speaks a message.
    TakingMessage { until: Timestamp },
    /// The caller waits to hear whether the staff could be told.
    AwaitingNotice {
        message: MessageId,
        until: Timestamp,
    },
}

/// What follows a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    TakeMessage,
    Resume,
}

impl Step {
    pub fn deadlines(&self) -> Vec<(Timestamp, TimerId)> {
        match self {
            Self::Ringing { leg, until, hold } => {
                let ring = Some((*until, TimerId::Ring(leg.clone())));
                let hold = hold.map(|hold| (hold.until, TimerId::Say(hold.say)));
                ring.into_iter().chain(hold).collect()
            }
            Self::Telling { last, .. } => vec![(last.until, TimerId::Say(last.say))],
            Self::TakingMessage { until } => vec![(*until, TimerId::Message)],
            Self::AwaitingNotice { message, until } => {
                vec![(*until, TimerId::Notice(message.clone()))]
            }
        }
    }

    pub fn is_ringing(&self) -> bool {
        matches!(self, Self::Ringing { .. })
    }

    pub fn is_taking_message(&self) -> bool {
        matches!(self, Self::TakingMessage { .. })
    }

    /// For the detail of an outcome.
    pub fn place(&self) -> &'static str {
        match self {
            Self::Ringing { .. } => "while a human's phone was ringing",
            Self::Telling { .. } => "while the caller was being told what came of the transfer",
            Self::TakingMessage { .. } => "while the caller was leaving a message",
            Self::AwaitingNotice { .. } => "while the staff were being notified",
        }
    }
}

/// Who wants what.
struct Request {
    id: RequestId,
    by: Requester,
    target: Option<Target>,
    department: Option<String>,
    reason: String,
    summary: String,
}

impl Call {
    // Requests

    pub(crate) fn assistant_asked(
        &mut self,
        out: &mut Out,
        id: RequestId,
        target: Option<Target>,
        department: Option<String>,
        reason: String,
        summary: String,
    ) {
        let request = Request {
            id,
            by: Requester::Assistant,
            target,
            department: department.map(|name| clip(name, MAX_NAME_CHARS)),
            reason: clip(reason, MAX_NAME_CHARS),
            summary: clip(summary, MAX_TEXT_CHARS),
        };
        match self.phase {
            Phase::Assistant if self.seen(&request.id) => {
                ignore(out, request.id, "the same request was seen before");
            }
            Phase::Assistant if self.transfers_made() >= self.policy.max_transfers => {
                self.decline(out, request);
            }
            Phase::Assistant => {
                let plan = self
                    .policy
                    .plan(request.target.as_ref(), request.department.as_deref());
                let hours = self.policy.open_hours.as_ref();
                let closed = hours.is_some_and(|hours| !hours.is_open(out.now));
                self.begin_transfer(out, request, plan, closed);
            }
            Phase::Transferring(_) => {
                ignore(out, request.id, "a transfer is under way");
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    pub(crate) fn operator_transfer(
        &mut self,
        out: &mut Out,
        target: Option<Target>,
        department: Option<String>,
        id: RequestId,
    ) {
        let plan = DialPlan {
            targets: match &target {
                Some(target) => vec![target.clone()],
                None => self.policy.department_targets(department.as_deref()),
            },
            instead: false,
        };
        let request = Request {
            id,
            by: Requester::Operator,
            target,
            department: department.map(|name| clip(name, MAX_NAME_CHARS)),
            reason: "operator".to_owned(),
            summary: String::new(),
        };
        match self.phase.clone() {
            Phase::Assistant | Phase::WithAgent { .. } if self.seen(&request.id) => {
                ignore(out, request.id, "the same request was seen before");
            }
            Phase::Assistant => self.begin_transfer(out, request, plan, false),
            Phase::WithAgent { agent } => {
                out.push(ActionKind::Unbridge {
                    a: self.caller_leg_id(),
                    b: agent.clone(),
                });
                self.release(out, &agent, HangupCause::Normal);
                self.begin_transfer(out, request, plan, false);
            }
            Phase::Transferring(_) => ignore(out, request.id, "a transfer is under way"),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    fn seen(&self, request: &RequestId) -> bool {
        self.transfers
            .iter()
            .skip(self.transfers_before_assistant)
            .any(|known| known.request == *request)
    }

    fn transfers_made(&self) -> u32 {
        let made = self
            .transfers
            .iter()
            .filter(|transfer| transfer.outcome != Some(TransferOutcome::Declined));
        u32::try_from(made.count()).unwrap_or(u32::MAX)
    }

    /// One request too many: the caller is told, the assistant goes on. Only the first one is kept,
    /// so that a model that asks for ever does not make the call grow.
    fn decline(&mut self, out: &mut Out, request: Request) {
        let declined = Some(TransferOutcome::Declined);
        if self.transfers.iter().any(|known| known.outcome == declined) {
            ignore(out, request.id, "the call had its number of transfers");
        } else {
            self.open_transfer(out, request, DialPlan::none(), false);
            self.settle_transfer(out, TransferOutcome::Declined);
        }
        self.say(out, TextKey::NoMoreTransfers);
        out.push(ActionKind::ResumeAssistant {
            note: "No further transfer is possible in this call, and the caller has been told so. \
                   Help as well as you can, or offer to take a message."
                .to_owned(),
        });
        self.voice = Voice::Listening;
    }

    fn begin_transfer(&mut self, out: &mut Out, request: Request, plan: DialPlan, closed: bool) {
        let hold = if plan.instead {
            TextKey::HoldInstead
        } else {
            TextKey::Hold
        };
        self.open_transfer(out, request, plan, closed);
        self.pause(out);
        if closed || self.current().plan.is_empty() {
            self.nobody_reached(out);
            return;
        }
        // The dial is not kept waiting for the sentence: both begin now.
        let hold = match self.voice {
            Voice::Off => {
                self.start_ringback(out);
                None
            }
            Voice::Listening | Voice::Paused => Some(self.say(out, hold)),
        };
        self.dial_next(out, hold);
    }

    fn open_transfer(&mut self, out: &mut Out, request: Request, plan: DialPlan, closed: bool) {
        self.counters.transfer += 1;
        let id = TransferId::derive(&self.id, self.counters.transfer);
        out.emit(CallEvent::TransferRequested {
            transfer: id.clone(),
            requested_by: request.by,
            department: request.department.clone(),
            reason: request.reason.clone(),
        });
        let chain = if closed {
            self.policy.closed_fallback.clone()
        } else {
            self.policy.fallback.clone()
        };
        self.transfers.push(Transfer {
            id,
            request: request.id,
            requested_by: request.by,
            target: request.target,
            department: request.department,
            reason: request.reason,
            summary: request.summary,
            requested_at: out.now,
            closed,
            plan: plan.targets,
            attempts: Vec::new(),
            chain,
            outcome: None,
            ended_at: None,
            notices: Vec::new(),
        });
    }

    // Attempts

    fn dial_next(&mut self, out: &mut Out, hold: Option<Pending>) {
        let target = self.current_mut().plan.remove(0);
        let ring_timeout_s = self.policy.ring_timeout_for(&target);
        self.counters.attempt += 1;
        let id = AttemptId::derive(&self.id, self.counters.attempt);
        let leg = self.dial(
            out,
            Party::Agent,
            target.clone(),
            ring_timeout_s,
            Some(id.clone()),
        );
        out.emit(CallEvent::AttemptStarted {
            transfer: self.current().id.clone(),
            attempt: id.clone(),
            leg: leg.clone(),
            target: target.clone(),
            ring_timeout_s,
        });
        let started_at = out.now;
        self.current_mut().attempts.push(Attempt {
            id,
            leg: leg.clone(),
            target,
            ring_timeout_s,
            started_at,
            ended_at: None,
            result: None,
            cause: None,
            sip_status: None,
        });
        self.phase = Phase::Transferring(Step::Ringing {
            leg,
            until: started_at + seconds(ring_timeout_s),
            hold,
        });
    }

    pub(crate) fn target_answered(&mut self, out: &mut Out, step: &Step, id: &LegId) {
        match step {
            Step::Ringing { leg, .. } if leg == id => {
                self.close_attempt(out, AttemptResult::Answered, None, None);
                self.bridge(out, id.clone());
                self.settle_transfer(out, TransferOutcome::Bridged);
            }
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => self.release(out, id, HangupCause::Canceled),
        }
    }

    pub(crate) fn target_failed(
        &mut self,
        out: &mut Out,
        step: &Step,
        id: &LegId,
        cause: HangupCause,
        sip_status: Option<u16>,
    ) {
        match step {
            Step::Ringing { leg, hold, .. } if leg == id => {
                let result = AttemptResult::from_cause(cause);
                self.close_attempt(out, result, Some(cause), sip_status);
                self.try_next(out, *hold);
            }
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => {}
        }
    }

    pub(crate) fn target_rang_out(&mut self, out: &mut Out, step: &Step, id: &LegId) {
        match step {
            Step::Ringing { leg, hold, .. } if leg == id => {
                let cause = HangupCause::NoAnswer;
                self.release(out, id, cause);
                self.close_attempt(out, AttemptResult::NoAnswer, Some(cause), None);
                self.try_next(out, *hold);
            }
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => {}
        }
    }

    fn try_next(&mut self, out: &mut Out, hold: Option<Pending>) {
        let max = usize::try_from(self.policy.max_attempts).unwrap_or(usize::MAX);
        let transfer = self.current();
        if transfer.plan.is_empty() || transfer.attempts.len() >= max {
            self.nobody_reached(out);
        } else {
            self.dial_next(out, hold);
        }
    }

    fn close_attempt(
        &mut self,
        out: &mut Out,
        result: AttemptResult,
        cause: Option<HangupCause>,
        sip_status: Option<u16>,
    ) {
        let now = out.now;
        let open = self
            .transfers
            .last_mut()
            .and_then(|transfer| transfer.attempts.last_mut())
            .filter(|attempt| attempt.result.is_none());
        let Some(attempt) = open else { return };
        attempt.result = Some(result);
        attempt.cause = cause;
        attempt.sip_status = sip_status;
        attempt.ended_at = Some(now);
        out.emit(CallEvent::AttemptEnded {
            attempt: attempt.id.clone(),
            result,
            sip_status,
        });
    }

    /// The call ends while a target rings: the leg was released with the others.
    pub(crate) fn cancel_attempt(&mut self, out: &mut Out) {
        let cause = Some(HangupCause::Canceled);
        self.close_attempt(out, AttemptResult::Canceled, cause, None);
    }

    /// Stops ringing the target; the caller stays.
    pub(crate) fn give_up_transfer(&mut self, out: &mut Out) {
        if let Some(leg) = self.current().attempts.last().map(|a| a.leg.clone()) {
            self.release(out, &leg, HangupCause::Canceled);
        }
        self.stop_ringback(out);
        self.cancel_attempt(out);
        self.settle_transfer(out, TransferOutcome::Failed);
    }

    // After the attempts

    fn nobody_reached(&mut self, out: &mut Out) {
        self.stop_ringback(out);
        if self.assistant.is_none() {
            let ending = Ending {
                by: EndedBy::System,
                code: Code::Fixed(OutcomeCode::TransferFailed),
                detail: "Nobody took the transferred call, and no assistant takes part in it."
                    .to_owned(),
            };
            self.end(out, ending, TransferOutcome::Failed);
            return;
        }
        let truth = self.current().failure_text();
        self.next_step(out, vec![truth]);
    }

    /// Takes the next fallback step, after telling the caller `told`.
    fn next_step(&mut self, out: &mut Out, mut told: Vec<TextKey>) {
        let chain = &mut self.current_mut().chain;
        let step = if chain.is_empty() {
            FallbackStep::Goodbye
        } else {
            chain.remove(0)
        };
        match step {
            FallbackStep::ReturnToAssistant => {
                told.push(TextKey::BackWithAssistant);
                self.tell(out, &told, Then::Resume);
            }
            FallbackStep::TakeMessage => {
                told.push(TextKey::MessagePrompt);
                self.tell(out, &told, Then::TakeMessage);
            }
            FallbackStep::NotifyStaff => self.notify_staff(out, told),
            FallbackStep::Goodbye => {
                self.settle_transfer(out, TransferOutcome::Failed);
                told.push(TextKey::Goodbye);
                let ending = Ending {
                    by: EndedBy::Assistant,
                    code: Code::Result(OutcomeCode::TransferFailed),
                    detail: self.current().summary_of_failure(),
                };
                self.farewell(out, &told, ending);
            }
        }
    }

    fn tell(&mut self, out: &mut Out, keys: &[TextKey], then: Then) {
        let last = self.say_all(out, keys);
        self.phase = Phase::Transferring(Step::Telling { last, then });
    }

    pub(crate) fn said_in_transfer(&mut self, out: &mut Out, step: &Step, said: SayId) {
        match step {
            Step::Ringing {
                leg,
                until,
                hold: Some(hold),
            } if hold.say == said => {
                self.start_ringback(out);
                self.phase = Phase::Transferring(Step::Ringing {
                    leg: leg.clone(),
                    until: *until,
                    hold: None,
                });
            }
            Step::Telling { last, then } if last.say == said => match then {
                Then::TakeMessage => {
                    out.push(ActionKind::TakeMessage);
                    let longest = seconds(self.policy.max_message_s);
                    self.phase = Phase::Transferring(Step::TakingMessage {
                        until: out.now + longest + MESSAGE_TEXT_GUARD,
                    });
                }
                Then::Resume => self.return_to_assistant(out),
            },
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => {}
        }
    }

    fn return_to_assistant(&mut self, out: &mut Out) {
        let why = self.current().failure_note();
        self.settle_transfer(out, TransferOutcome::ReturnedToAssistant);
        out.push(ActionKind::ResumeAssistant {
            note: format!(
                "The transfer to a human did not succeed ({why}). The caller has been told so and \
                 that you are back."
            ),
        });
        self.voice = Voice::Listening;
        self.phase = Phase::Assistant;
    }

    fn start_ringback(&mut self, out: &mut Out) {
        if !self.ringback {
            self.ringback = true;
            out.push(ActionKind::Ringback {
                leg: self.caller_leg_id(),
                on: true,
            });
        }
    }

    fn stop_ringback(&mut self, out: &mut Out) {
        if self.ringback {
            self.ringback = false;
            out.push(ActionKind::Ringback {
                leg: self.caller_leg_id(),
                on: false,
            });
        }
    }

    // Messages and notices

    pub(crate) fn message_taken(
        &mut self,
        out: &mut Out,
        text: String,
        duration_ms: u64,
        recorded: bool,
    ) {
        if text.trim().is_empty() && !recorded {
            self.message_abandoned(out);
            return;
        }
        let text = clip(text, MAX_TEXT_CHARS);
        match &self.phase {
            Phase::Transferring(step) if step.is_taking_message() => {
                self.keep_message(out, true, text, duration_ms, recorded);
                self.settle_transfer(out, TransferOutcome::MessageTaken);
                self.next_step(out, vec![TextKey::MessageSaved]);
            }
            Phase::AwaitingMessage { .. } => {
                self.keep_message(out, true, text, duration_ms, recorded);
                self.settle_transfer(out, TransferOutcome::MessageTaken);
                self.end_after_caller_left(out, "The caller left a message and hung up.");
            }
            // The assistant took it of its own accord; the caller may have hung up within it.
            Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::Ended => {
                if !self.is_known_message(&text, duration_ms) && self.answered_at.is_some() {
                    self.keep_message(out, false, text, duration_ms, recorded);
                }
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. } => {}
        }
    }

    fn is_known_message(&self, text: &str, duration_ms: u64) -> bool {
        self.notices
            .iter()
            .any(|notice| notice.text == text && notice.duration_ms == duration_ms)
    }

    fn keep_message(
        &mut self,
        out: &mut Out,
        in_transfer: bool,
        text: String,
        duration_ms: u64,
        recorded: bool,
    ) {
        let transfer = self.transfers.last().filter(|_| in_transfer);
        let transfer = transfer.map(|transfer| transfer.id.clone());
        out.emit(CallEvent::MessageTaken {
            transfer: transfer.clone(),
            text: text.clone(),
            duration_ms,
            recorded,
        });
        let template = NoticeTemplate::MessageTaken;
        self.owe_notice(out, transfer, template, text, duration_ms, recorded);
    }

    pub(crate) fn message_abandoned(&mut self, out: &mut Out) {
        match &self.phase {
            Phase::Transferring(step) if step.is_taking_message() => {
                self.next_step(out, vec![TextKey::NoMessage]);
            }
            Phase::AwaitingMessage { .. } => {
                self.end_after_caller_left(out, "The caller hung up without leaving a message.");
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::Ended => {}
        }
    }

    fn end_after_caller_left(&mut self, out: &mut Out, detail: &str) {
        let ending = Ending {
            by: EndedBy::Caller,
            code: Code::Result(OutcomeCode::CallerGone),
            detail: detail.to_owned(),
        };
        self.end(out, ending, TransferOutcome::CallerGone);
    }

    /// The message, or its text, takes too long.
    pub(crate) fn message_overdue(&mut self, out: &mut Out) {
        match self.phase.clone() {
            Phase::Transferring(Step::TakingMessage { .. }) => {
                self.owe_unread_message(out);
                self.next_step(out, Vec::new());
            }
            Phase::AwaitingMessage { .. } => {
                self.owe_unread_message(out);
                self.end_after_caller_left(
                    out,
                    "The caller hung up while leaving a message that could not be made out.",
                );
            }
            Phase::Transferring(
                Step::Ringing { .. } | Step::Telling { .. } | Step::AwaitingNotice { .. },
            )
            | Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::Ended => {}
        }
    }

    /// Words may have been recorded that nobody made out: a human has to listen.
    pub(crate) fn owe_unread_message(&mut self, out: &mut Out) {
        let recorded = self.counters.recording > 0;
        let template = NoticeTemplate::MessageUnread;
        let transfer = Some(self.current().id.clone());
        self.owe_notice(out, transfer, template, String::new(), 0, recorded);
    }

    fn owe_notice(
        &mut self,
        out: &mut Out,
        transfer: Option<TransferId>,
        template: NoticeTemplate,
        text: String,
        duration_ms: u64,
        recorded: bool,
    ) -> MessageId {
        self.counters.message += 1;
        let id = MessageId::derive(&self.id, self.counters.message);
        let about = self
            .transfers
            .iter()
            .find(|known| transfer.as_ref() == Some(&known.id));
        let body = NoticeBody {
            call_id: self.id.clone(),
            transfer_id: transfer.clone(),
            caller: self.party_number().to_owned(),
            caller_name: self.caller.display_name.clone(),
            callee: self.callee.clone(),
            department: about.and_then(|transfer| transfer.department.clone()),
            reason: about.map_or_else(String::new, |transfer| transfer.reason.clone()),
            summary: about.map_or_else(String::new, |transfer| transfer.summary.clone()),
            text: text.clone(),
            duration_ms,
            recorded,
            tried: about
                .into_iter()
                .flat_map(|transfer| &transfer.attempts)
                .filter_map(|attempt| {
                    Some(TriedTarget {
                        target: attempt.target.clone(),
                        result: attempt.result?,
                    })
                })
                .collect(),
            taken_at: out.now,
        };
        self.notices.push(Notice {
            id: id.clone(),
            transfer: transfer.clone(),
            template,
            text,
            duration_ms,
            state: NoticeState::Owed,
        });
        if let Some(known) = self
            .transfers
            .iter_mut()
            .find(|known| transfer.as_ref() == Some(&known.id))
        {
            known.notices.push(id.clone());
        }
        out.push(ActionKind::Notify {
            message: id.clone(),
            template,
            body,
        });
        out.emit(CallEvent::NoticeOwed {
            message: id.clone(),
        });
        id
    }

    fn notify_staff(&mut self, out: &mut Out, mut told: Vec<TextKey>) {
        let transfer = Some(self.current().id.clone());
        let known = self
            .notices
            .iter()
            .rev()
            .find(|notice| notice.transfer == transfer)
            .map(|notice| notice.id.clone());
        let message = match known {
            Some(message) => message,
            None => {
                told.push(TextKey::Notifying);
                let template = NoticeTemplate::MissedCall;
                self.owe_notice(out, transfer, template, String::new(), 0, false)
            }
        };
        for key in told {
            self.say(out, key);
        }
        self.phase = Phase::Transferring(Step::AwaitingNotice {
            message: message.clone(),
            until: out.now + seconds(self.policy.notice_timeout_s),
        });
        // A second NotifyStaff step may come after the answer.
        match self.notice_mut(&message).map(|notice| notice.state.clone()) {
            Some(NoticeState::Accepted { .. }) => self.staff_told(out),
            Some(NoticeState::Refused { .. }) => self.staff_not_told(out, &message),
            Some(NoticeState::Owed) | None => {}
        }
    }

    pub(crate) fn notice_accepted(&mut self, out: &mut Out, message: &MessageId) {
        let now = out.now;
        let Some(notice) = self.notice_mut(message) else {
            return;
        };
        let first = notice.state == NoticeState::Owed;
        match notice.state {
            NoticeState::Accepted { .. } => return,
            NoticeState::Owed | NoticeState::Refused { .. } => {
                notice.state = NoticeState::Accepted { at: now };
            }
        }
        out.emit(CallEvent::NoticeAccepted {
            message: message.clone(),
        });
        if self.awaits(message) {
            self.staff_told(out);
        } else if first {
            self.tell_in_passing(out, message, TextKey::TeamInformed);
        }
    }

    /// A message the assistant took of its own accord: its caller learns what came of it, if they
    /// are still with the assistant.
    fn tell_in_passing(&mut self, out: &mut Out, message: &MessageId, key: TextKey) {
        let of_the_assistant = self
            .notice_mut(message)
            .is_some_and(|notice| notice.transfer.is_none());
        match self.phase {
            Phase::Assistant if of_the_assistant => {
                self.say(out, key);
            }
            Phase::Assistant
            | Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    pub(crate) fn notice_refused(
        &mut self,
        out: &mut Out,
        message: &MessageId,
        error: String,
        will_retry: bool,
    ) {
        let now = out.now;
        let Some(notice) = self.notice_mut(message) else {
            return;
        };
        let first = notice.state == NoticeState::Owed;
        let error = clip(error, MAX_NAME_CHARS);
        match notice.state {
            // What was accepted stays accepted, whatever a doubled delivery says.
            NoticeState::Accepted { .. } => return,
            NoticeState::Owed | NoticeState::Refused { .. } => {
                notice.state = NoticeState::Refused {
                    at: now,
                    error: error.clone(),
                    will_retry,
                };
            }
        }
        out.emit(CallEvent::NoticeRefused {
            message: message.clone(),
            error,
            will_retry,
        });
        if self.awaits(message) {
            self.staff_not_told(out, message);
        } else if first {
            self.tell_in_passing(out, message, TextKey::SavedNotDelivered);
        }
    }

    pub(crate) fn notice_overdue(&mut self, out: &mut Out, message: &MessageId) {
        if self.awaits(message) {
            self.staff_not_told(out, message);
        }
    }

    fn awaits(&self, message: &MessageId) -> bool {
        match &self.phase {
            Phase::Transferring(Step::AwaitingNotice { message: owed, .. }) => owed == message,
            Phase::Transferring(
                Step::Ringing { .. } | Step::Telling { .. } | Step::TakingMessage { .. },
            )
            | Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => false,
        }
    }

    fn staff_told(&mut self, out: &mut Out) {
        self.settle_transfer(out, TransferOutcome::Notified);
        self.next_step(out, vec![TextKey::TeamInformed]);
    }

    fn staff_not_told(&mut self, out: &mut Out, message: &MessageId) {
        let truth = match self.notice_mut(message).map(|notice| notice.template) {
            Some(NoticeTemplate::MessageTaken) => TextKey::SavedNotDelivered,
            Some(NoticeTemplate::MissedCall | NoticeTemplate::MessageUnread) | None => {
                TextKey::NotNotified
            }
        };
        self.next_step(out, vec![truth]);
    }

    // Ends

    pub(crate) fn caller_left_transfer(
        &mut self,
        out: &mut Out,
        step: &Step,
        by: EndedBy,
        code: Code,
        gone: &str,
    ) {
        match step {
            Step::Ringing { .. } | Step::Telling { .. } | Step::AwaitingNotice { .. } => {
                let ending = Ending {
                    by,
                    code,
                    detail: format!("{gone} {}.", step.place()),
                };
                let cause = HangupCause::Canceled;
                self.end_with_cause(out, ending, TransferOutcome::CallerGone, cause);
            }
            Step::TakingMessage { .. } => {
                // What was said so far still counts: wait for its text before closing the call.
                out.push(ActionKind::FinishMessage);
                self.stop_recording(out);
                self.phase = Phase::AwaitingMessage {
                    until: out.now + MESSAGE_TEXT_GUARD,
                };
            }
        }
    }

    pub(crate) fn assistant_ended_in_transfer(&mut self, out: &mut Out, step: &Step) {
        match step {
            Step::TakingMessage { .. } => self.message_abandoned(out),
            // Nothing is asked of it now; the sentences have their own guard.
            Step::Ringing { .. } | Step::Telling { .. } | Step::AwaitingNotice { .. } => {}
        }
    }

    /// Gives the last transfer its outcome, unless it has one.
    pub(crate) fn settle_transfer(&mut self, out: &mut Out, outcome: TransferOutcome) {
        let now = out.now;
        let Some(transfer) = self.transfers.last_mut() else {
            return;
        };
        if transfer.outcome.is_some() {
            return;
        }
        transfer.outcome = Some(outcome);
        transfer.ended_at = Some(now);
        out.emit(CallEvent::TransferEnded {
            transfer: transfer.id.clone(),
            outcome,
        });
    }

    pub(crate) fn text_values(&self) -> Vec<(&'static str, String)> {
        let transfer = self.transfers.last();
        let department = transfer
            .and_then(|transfer| transfer.department.clone())
            .unwrap_or_default();
        let target = transfer
            .and_then(|transfer| transfer.attempts.last())
            .map(|attempt| spoken(&attempt.target))
            .unwrap_or_default();
        vec![("department", department), ("target", target)]
    }

    fn current(&self) -> &Transfer {
        self.transfers.last().expect("a transfer is under way")
    }

    fn current_mut(&mut self) -> &mut Transfer {
        self.transfers.last_mut().expect("a transfer is under way")
    }
}

impl DialPlan {
    fn none() -> Self {
        Self {
            targets: Vec::new(),
            instead: false,
        }
    }
}

fn ignore(out: &mut Out, request: RequestId, detail: &str) {
    out.emit(CallEvent::TransferIgnored {
        request,
        detail: detail.to_owned(),
    });
}

fn clip(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// A target as speech synthesis should read it: digits one by one.
fn spoken(target: &Target) -> String {
    let apart = |text: &str| -> String {
        let digits: Vec<String> = text.chars().map(String::from).collect();
        digits.join(" ")
    };
    match target {
        Target::Extension(extension) => apart(extension.as_str()),
        Target::Number(number) => apart(number.as_str()),
        Target::SipUri(uri) => uri
            .split_once(':')
            .map_or(uri.as_str(), |(_, rest)| rest)
            .split('@')
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}
