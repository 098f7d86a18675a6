//! The transfer as it runs: requests and dial attempts. The fallback chain, messages and notices
//! have a file each.

mod attempts;
mod fallback;
mod handing_over;
mod messages;
mod notices;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{
    AttemptId, EndedBy, HangupCause, LegId, MessageId, RequestId, Target, Timestamp, TransferId,
};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Code, Ending, Out, Pending, Phase, Voice};
use crate::policy::DialPlan;
use crate::texts::TextKey;
use crate::timer::TimerId;
use crate::transfer::{Requester, Transfer, TransferKind, TransferMethod, TransferOutcome};

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
    /// The caller's exchange was asked to take the caller over.
    Referring {
        attempt: AttemptId,
        until: Timestamp,
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
    Refer,
}

impl Step {
    pub fn deadlines(&self) -> Vec<(Timestamp, TimerId)> {
        match self {
            Self::Ringing { leg, until, hold } => {
                let ring = Some((*until, TimerId::Ring(leg.clone())));
                let hold = hold.map(|hold| (hold.until, TimerId::Say(hold.say)));
                ring.into_iter().chain(hold).collect()
            }
            Self::Referring { attempt, until } => vec![(*until, TimerId::Refer(attempt.clone()))],
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

    /// Whether it could go on for as long as targets are left.
    pub fn is_dialling(&self) -> bool {
        matches!(self, Self::Ringing { .. } | Self::Referring { .. })
    }

    pub fn is_taking_message(&self) -> bool {
        matches!(self, Self::TakingMessage { .. })
    }

    /// For the detail of an outcome.
    pub fn place(&self) -> &'static str {
        match self {
            Self::Ringing { .. } => "while a human's phone was ringing",
            Self::Referring { .. } => {
                "while the caller's exchange was asked to take the caller over"
            }
            Self::Telling { .. } => "while the caller was being told what came of the transfer",
            Self::TakingMessage { .. } => "while the caller was leaving a message",
            Self::AwaitingNotice { .. } => "while the staff were being notified",
        }
    }
}

/// Who wants what.
pub(crate) struct Request {
    pub id: RequestId,
    pub by: Requester,
    pub target: Option<Target>,
    pub department: Option<String>,
    pub reason: String,
    pub summary: String,
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
        anew: bool,
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
            // Asked for again when it had just been answered: nobody is cut off to be rung once more.
            Phase::WithAgent { agent } if !anew && self.is_one_of(&agent, &plan) => {
                self.operator_resume(out);
                ignore(out, request.id, "the caller is talking to this target");
            }
            Phase::WithAgent { agent } => {
                self.separate(out, self.caller_leg_id(), agent.clone());
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

    fn is_one_of(&self, agent: &LegId, plan: &DialPlan) -> bool {
        let target = self.leg(agent).and_then(|leg| leg.target.as_ref());
        target.is_some_and(|target| plan.targets.contains(target))
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
        let note = "No further transfer is possible in this call, and the caller has been told so. \
                    Help as well as you can, or offer to take a message.";
        self.listen(out, note.to_owned());
    }

    fn begin_transfer(&mut self, out: &mut Out, request: Request, plan: DialPlan, closed: bool) {
        let hold = if plan.instead {
            TextKey::HoldInstead
        } else {
            TextKey::Hold
        };
        self.open_transfer(out, request, plan, closed);
        self.pause(out);
        self.operator_resume(out);
        if closed || self.current().plan.is_empty() {
            self.nobody_reached(out);
            return;
        }
        if self.policy.transfer_method == TransferMethod::Refer && self.links.anchor.is_none() {
            return self.begin_handing_over(out, hold);
        }
        // The dial is not kept waiting for the sentence: both begin now.
        let hold = match self.voice {
            Voice::Off => {
                self.start_waiting(out);
                None
            }
            Voice::Listening | Voice::Paused => Some(self.say(out, hold)),
        };
        self.dial_next(out, hold);
    }

    /// The sentence comes first: once the caller's exchange was asked, nothing is heard of us.
    fn begin_handing_over(&mut self, out: &mut Out, hold: TextKey) {
        match self.voice {
            Voice::Off => self.refer_next(out),
            Voice::Listening | Voice::Paused => {
                let last = self.say(out, hold);
                self.phase = Phase::Transferring(Step::Telling {
                    last,
                    then: Then::Refer,
                });
            }
        }
    }

    pub(crate) fn open_transfer(
        &mut self,
        out: &mut Out,
        request: Request,
        plan: DialPlan,
        closed: bool,
    ) {
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
            kind: TransferKind::Blind,
            referred_by: None,
            joined: None,
        });
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
            Step::Referring { .. } if self.caller_taken_over(out) => {}
            Step::Ringing { .. }
            | Step::Referring { .. }
            | Step::Telling { .. }
            | Step::AwaitingNotice { .. } => {
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
            Step::Ringing { .. }
            | Step::Referring { .. }
            | Step::Telling { .. }
            | Step::AwaitingNotice { .. } => {}
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

    pub(crate) fn current(&self) -> &Transfer {
        self.transfers.last().expect("a transfer is under way")
    }

    pub(crate) fn current_mut(&mut self) -> &mut Transfer {
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
