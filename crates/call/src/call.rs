//! One call: its state, and how each event changes it. The transfer itself is in `transferring`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{
    CallId, CallerIdentity, Direction, EndedBy, HangupCause, LegId, MessageId, RecordingId, Target,
    Timestamp,
};

use crate::action::{Action, ActionKind, CallEvent, Opening};
use crate::event::{AssistantEnd, Event, Heard, Route, SayId};
use crate::leg::{AnswerSeen, Leg, LegState, Party};
use crate::notice::Notice;
use crate::outcome::{CallOutcome, OutcomeCode};
use crate::policy::{CallPolicy, RecordPolicy};
use crate::texts::TextKey;
use crate::timer::TimerId;
use crate::transfer::{Transfer, TransferOutcome, TransferRefusal};
use crate::transferring::Step;
use crate::view::{CallStatus, CallView, Channel};

/// The stored format. Raised when an older build could misread it; a fixture in `tests/` pins it.
pub const SNAPSHOT_VERSION: u32 = 1;

/// How long an answer of ours may stay unconfirmed: the ACK's limit (RFC 3261 §13.3.1.4, 64·T1).
const ANSWER_GUARD: Duration = Duration::from_secs(32);

/// A stored call cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not the JSON of a call, or of another version.
    #[error("the stored call cannot be read: {0}; it was written by another version or is damaged")]
    Unreadable(#[from] serde_json::Error),
}

/// One call. Data only: clone it, store it, compare it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    version: Version,
    pub(crate) id: CallId,
    profile: String,
    pub(crate) policy: CallPolicy,
    direction: Direction,
    channel: Channel,
    pub(crate) assistant: Option<String>,
    pub(crate) caller: CallerIdentity,
    pub(crate) callee: String,
    started_at: Timestamp,
    pub(crate) answered_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// The latest instant seen: time never runs backwards inside a call.
    last_at: Timestamp,
    pub(crate) phase: Phase,
    pub(crate) legs: Vec<Leg>,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) voice: Voice,
    pub(crate) ringback: bool,
    pub(crate) recording: Option<RecordingId>,
    /// How many transfers there were when the assistant was connected: its request ids count anew.
    pub(crate) transfers_before_assistant: usize,
    /// Sentences asked for and not reported back.
    pub(crate) says: BTreeMap<SayId, TextKey>,
    pub(crate) counters: Counters,
    outcome: Option<CallOutcome>,
}

/// A number that reads back only as [`SNAPSHOT_VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = String;
    fn try_from(version: u32) -> Result<Self, String> {
        if version == SNAPSHOT_VERSION {
            Ok(Self)
        } else {
            Err(format!(
                "snapshot version {version}, but this program reads version {SNAPSHOT_VERSION}"
            ))
        }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        SNAPSHOT_VERSION
    }
}

/// What the conversation is doing for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Voice {
    Off,
    Listening,
    Paused,
}

/// The numbers ids are derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub action: u64,
    pub leg: u32,
    pub transfer: u32,
    pub attempt: u32,
    pub message: u32,
    pub recording: u32,
    pub say: u32,
}

/// A sentence that is being said, and when the call goes on although its end was not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub say: SayId,
    pub until: Timestamp,
}

/// How a call is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub by: EndedBy,
    pub code: Code,
    pub detail: String,
}

/// Which outcome code a closed call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// This one.
    Fixed(OutcomeCode),
    /// What the last transfer came to, or else this one.
    Result(OutcomeCode),
}

/// Where the call stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Nothing happened yet.
    Idle,
    /// Inbound for the assistant: our answer is under way.
    Answering { leg: LegId, until: Timestamp },
    /// Outbound: the party we call rings.
    Calling { leg: LegId, until: Timestamp },
    /// Inbound for an extension: its phone rings, the caller is not answered.
    Direct { agent: LegId, until: Timestamp },
    /// The extension answered, our answer to the caller is under way.
    Joining { agent: LegId, until: Timestamp },
    /// The caller talks to the assistant.
    Assistant,
    /// The last of `transfers` is under way.
    Transferring(Step),
    /// The caller talks to a human.
    WithAgent { agent: LegId },
    /// The last words are being said.
    Farewell { last: Pending, ending: Ending },
    /// The caller left while leaving a message, whose text is still being made out.
    AwaitingMessage { until: Timestamp },
    /// Over.
    Ended,
}

/// Collects what one event makes the call do.
pub(crate) struct Out {
    pub now: Timestamp,
    kinds: Vec<ActionKind>,
}

impl Out {
    pub fn push(&mut self, kind: ActionKind) {
        self.kinds.push(kind);
    }

    pub fn emit(&mut self, event: CallEvent) {
        self.kinds.push(ActionKind::Emit(event));
    }
}

impl Call {
    /// A call nothing has happened to yet. It begins with `CallerArrived` or `OutboundRequested`.
    pub fn new(id: CallId, profile: String, policy: CallPolicy, now: Timestamp) -> Self {
        Self {
            version: Version,
            id,
            profile,
            policy,
            direction: Direction::Inbound,
            channel: Channel::Sip,
            assistant: None,
            caller: CallerIdentity::default(),
            callee: String::new(),
            started_at: now,
            answered_at: None,
            ended_at: None,
            last_at: now,
            phase: Phase::Idle,
            legs: Vec::new(),
            transfers: Vec::new(),
            notices: Vec::new(),
            voice: Voice::Off,
            ringback: false,
            recording: None,
            transfers_before_assistant: 0,
            says: BTreeMap::new(),
            counters: Counters::default(),
            outcome: None,
        }
    }

    /// Takes in one event and says what is to be done, in order.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Action> {
        self.last_at = self.last_at.max(now);
        let mut out = Out {
            now: self.last_at,
            kinds: Vec::new(),
        };
        self.dispatch(&mut out, event);
        out.kinds
            .into_iter()
            .map(|kind| {
                self.counters.action += 1;
                Action {
                    seq: self.counters.action,
                    kind,
                }
            })
            .collect()
    }

    /// The earliest instant at which [`Event::TimerFired`] is to be handed in, if any.
    pub fn next_deadline(&self) -> Option<(Timestamp, TimerId)> {
        self.deadlines().into_iter().min()
    }

    /// The call as the API shows it.
    pub fn view(&self) -> CallView {
        CallView {
            id: self.id.clone(),
            direction: self.direction,
            channel: self.channel,
            profile: self.profile.clone(),
            assistant: self.assistant.clone(),
            status: self.status(),
            caller: self.caller.number.clone(),
            caller_name: self.caller.display_name.clone(),
            callee: self.callee.clone(),
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            outcome: self.outcome.as_ref().map(Into::into),
            legs: self.legs.iter().map(Into::into).collect(),
            transfers: self.transfers.iter().map(Into::into).collect(),
        }
    }

    /// Whether the call is over for everybody. Legs may still have to confirm their end, and a
    /// notice may still be owed.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether nothing can come any more: over, and every leg has confirmed it.
    pub fn is_settled(&self) -> bool {
        self.is_ended() && self.legs.iter().all(|leg| leg.state == LegState::Ended)
    }

    /// Its id.
    pub fn id(&self) -> &CallId {
        &self.id
    }

    /// Its rules.
    pub fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    /// Whether a transfer could be requested now.
    pub fn transfer_refusal(&self) -> Option<TransferRefusal> {
        match &self.phase {
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. } => Some(TransferRefusal::NotAnswered),
            Phase::Assistant | Phase::WithAgent { .. } => None,
            Phase::Transferring(_) => Some(TransferRefusal::UnderWay),
            Phase::Farewell { .. } | Phase::AwaitingMessage { .. } | Phase::Ended => {
                Some(TransferRefusal::Ended)
            }
        }
    }

    /// The call as it is stored after each step.
    pub fn snapshot(&self) -> String {
        serde_json::to_string(self).expect("a call is plain data with string keys")
    }

    /// A stored call.
    pub fn restore(snapshot: &str) -> Result<Self, RestoreError> {
        Ok(serde_json::from_str(snapshot)?)
    }

    fn status(&self) -> CallStatus {
        match &self.phase {
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. } => CallStatus::Ringing,
            Phase::Assistant | Phase::Farewell { .. } => CallStatus::Assistant,
            Phase::Transferring(_) | Phase::AwaitingMessage { .. } => CallStatus::Transferring,
            Phase::WithAgent { .. } => CallStatus::WithAgent,
            Phase::Ended => CallStatus::Ended,
        }
    }

    fn dispatch(&mut self, out: &mut Out, event: Event) {
        match event {
            Event::CallerArrived {
                leg,
                caller,
                callee,
                route,
            } => self.caller_arrived(out, leg, caller, callee, route),
            Event::OutboundRequested { target, assistant } => {
                self.outbound_requested(out, target, assistant);
            }
            Event::LegRinging { leg } => self.leg_ringing(out, &leg),
            Event::LegAnswered { leg } => self.leg_answered(out, &leg),
            Event::LegFailed {
                leg,
                cause,
                sip_status,
            } => self.leg_gone(out, &leg, cause, sip_status),
            Event::LegEnded { leg, cause } => self.leg_gone(out, &leg, cause, None),
            Event::AssistantAskedForHuman {
                request,
                target,
                department,
                reason,
                summary,
            } => self.assistant_asked(out, request, target, department, reason, summary),
            Event::SayFinished { say, heard } => self.say_finished(out, say, heard),
            Event::MessageTaken {
                text,
                duration_ms,
                recorded,
            } => self.message_taken(out, text, duration_ms, recorded),
            Event::MessageAbandoned => self.message_abandoned(out),
            Event::AssistantEnded { reason } => self.assistant_ended(out, reason),
            Event::NoticeAccepted { message } => self.notice_accepted(out, &message),
            Event::NoticeRefused {
                message,
                error,
                will_retry,
            } => self.notice_refused(out, &message, error, will_retry),
            Event::TimerFired(timer) => self.timer_fired(out, &timer),
            Event::OperatorHangup { by } => self.operator_hangup(out, &by),
            Event::OperatorTransfer {
                target,
                department,
                request,
            } => self.operator_transfer(out, target, department, request),
            Event::Restarted => self.restarted(out),
            Event::ShuttingDown => self.shutting_down(out),
        }
    }

    // Beginning

    fn caller_arrived(
        &mut self,
        out: &mut Out,
        leg: LegId,
        caller: CallerIdentity,
        callee: String,
        route: Route,
    ) {
        match self.phase {
            Phase::Idle => {}
            Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => return,
        }
        self.caller = caller;
        self.callee = callee;
        self.legs.push(Leg::offered(leg.clone(), out.now));
        out.emit(CallEvent::CallStarted { leg: leg.clone() });
        match route {
            Route::Assistant { name } => {
                self.assistant = Some(name);
                self.answer_caller(out);
                self.phase = Phase::Answering {
                    leg,
                    until: out.now + ANSWER_GUARD,
                };
            }
            Route::Extension(target) => {
                let ring_timeout_s = self.policy.ring_timeout_for(&target);
                let agent = self.dial(out, Party::Agent, target, ring_timeout_s, None);
                self.phase = Phase::Direct {
                    agent,
                    until: out.now + seconds(ring_timeout_s),
                };
            }
        }
    }

    fn outbound_requested(&mut self, out: &mut Out, target: Target, assistant: Option<String>) {
        match self.phase {
            Phase::Idle => {}
            Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => return,
        }
        self.direction = Direction::Outbound;
        self.assistant = Some(assistant.unwrap_or_else(|| "assistant".to_owned()));
        self.caller.number = self.policy.caller_id.clone().unwrap_or_default();
        self.callee = target.to_string();
        let ring_timeout_s = self.policy.outbound_ring_timeout_s;
        let leg = self.dial(out, Party::Caller, target, ring_timeout_s, None);
        out.emit(CallEvent::CallStarted { leg: leg.clone() });
        self.phase = Phase::Calling {
            leg,
            until: out.now + seconds(ring_timeout_s),
        };
    }

    /// The caller and the assistant can talk now.
    fn caller_connected(&mut self, out: &mut Out, leg: LegId) {
        self.answered_at = Some(out.now);
        out.emit(CallEvent::CallAnswered { leg: leg.clone() });
        match self.policy.record {
            RecordPolicy::Off => {}
            RecordPolicy::AssistantCalls | RecordPolicy::AllCalls => {
                self.start_recording(out, leg.clone());
            }
        }
        out.push(ActionKind::StartAssistant {
            leg,
            opening: Opening::Greeting,
        });
        self.voice = Voice::Listening;
        self.phase = Phase::Assistant;
    }

    /// Caller and extension of a direct call can talk now.
    fn direct_connected(&mut self, out: &mut Out, leg: LegId, agent: LegId) {
        self.answered_at = Some(out.now);
        out.emit(CallEvent::CallAnswered { leg: leg.clone() });
        match self.policy.record {
            RecordPolicy::Off | RecordPolicy::AssistantCalls => {}
            RecordPolicy::AllCalls => self.start_recording(out, leg),
        }
        self.bridge(out, agent);
    }

    fn start_recording(&mut self, out: &mut Out, leg: LegId) {
        self.counters.recording += 1;
        let recording = RecordingId::derive(&self.id, self.counters.recording);
        out.push(ActionKind::StartRecording {
            leg,
            recording: recording.clone(),
        });
        self.recording = Some(recording);
    }

    pub(crate) fn stop_recording(&mut self, out: &mut Out) {
        if let Some(recording) = self.recording.take() {
            out.push(ActionKind::StopRecording { recording });
        }
    }

    fn answer_caller(&mut self, out: &mut Out) {
        let Some(leg) = self.caller_leg_mut() else {
            return;
        };
        if leg.answering() {
            let leg = leg.id.clone();
            out.push(ActionKind::Answer { leg });
        }
    }

    // Legs

    fn leg_ringing(&mut self, out: &mut Out, id: &LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        if !leg.ringing() {
            return;
        }
        let party = leg.party;
        out.emit(CallEvent::LegRinging {
            leg: id.clone(),
            party,
        });
        match &self.phase {
            Phase::Direct { agent, .. } if agent == id => {
                let caller = self.caller_leg_id();
                out.push(ActionKind::Ring { leg: caller });
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
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    fn leg_answered(&mut self, out: &mut Out, id: &LegId) {
        let now = out.now;
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        match leg.answered(now) {
            AnswerSeen::Ignored => return,
            AnswerSeen::TooLate => {
                let cause = leg.cause.unwrap_or(HangupCause::Canceled);
                out.emit(CallEvent::LegAnswered {
                    leg: id.clone(),
                    party,
                });
                out.push(ActionKind::Hangup {
                    leg: id.clone(),
                    cause,
                });
                return;
            }
            AnswerSeen::Joined => {}
        }
        out.emit(CallEvent::LegAnswered {
            leg: id.clone(),
            party,
        });
        match self.phase.clone() {
            Phase::Answering { leg, .. } | Phase::Calling { leg, .. } if leg == *id => {
                self.caller_connected(out, leg);
            }
            Phase::Direct { agent, .. } if agent == *id => {
                self.answer_caller(out);
                self.phase = Phase::Joining {
                    agent,
                    until: now + ANSWER_GUARD,
                };
            }
            Phase::Joining { agent, .. } if party == Party::Caller => {
                self.direct_connected(out, id.clone(), agent);
            }
            Phase::Transferring(step) => self.target_answered(out, &step, id),
            // Only a leg somebody waits for is unanswered; should another one answer all the same,
            // nobody is put into an empty call.
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => self.release(out, id, HangupCause::Canceled),
        }
    }

    fn leg_gone(&mut self, out: &mut Out, id: &LegId, cause: HangupCause, sip_status: Option<u16>) {
        let now = out.now;
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        if !leg.gone(now, cause, sip_status) {
            return;
        }
        out.emit(CallEvent::LegEnded {
            leg: id.clone(),
            party,
            cause,
        });
        match party {
            Party::Caller => self.caller_left(out, cause),
            Party::Agent => self.agent_left(out, id, cause, sip_status),
        }
    }

    fn caller_left(&mut self, out: &mut Out, cause: HangupCause) {
        let (by, talked) = match cause {
            HangupCause::MediaLost => (EndedBy::System, Code::Fixed(OutcomeCode::MediaLost)),
            HangupCause::Normal
            | HangupCause::Busy
            | HangupCause::NoAnswer
            | HangupCause::Rejected
            | HangupCause::Unreachable
            | HangupCause::NotAcceptable
            | HangupCause::Canceled
            | HangupCause::Failed => (EndedBy::Caller, Code::Result(OutcomeCode::CallerHungUp)),
        };
        let gone = match talked {
            Code::Fixed(_) => "The caller's audio was lost",
            Code::Result(_) => "The caller hung up",
        };
        let pending = TransferOutcome::CallerGone;
        match self.phase.clone() {
            Phase::Idle | Phase::AwaitingMessage { .. } | Phase::Ended => {}
            Phase::Answering { .. } | Phase::Direct { .. } | Phase::Joining { .. } => {
                self.end(out, unanswered_inbound(cause), pending);
            }
            Phase::Calling { .. } => self.end(out, unanswered_outbound(cause), pending),
            Phase::Assistant => {
                let detail = format!("{gone} while with the assistant.");
                let ending = Ending {
                    by,
                    code: talked,
                    detail,
                };
                self.end(out, ending, pending);
            }
            Phase::Transferring(step) => self.caller_left_transfer(out, &step, by, talked, gone),
            Phase::WithAgent { .. } => {
                let detail = format!("{gone} while with a human.");
                let code = match talked {
                    Code::Fixed(code) => Code::Fixed(code),
                    Code::Result(_) => Code::Result(OutcomeCode::Completed),
                };
                self.end(out, Ending { by, code, detail }, pending);
            }
            Phase::Farewell { ending, .. } => {
                let ending = Ending {
                    by: EndedBy::Caller,
                    ..ending
                };
                self.end(out, ending, pending);
            }
        }
    }

    fn agent_left(
        &mut self,
        out: &mut Out,
        id: &LegId,
        cause: HangupCause,
        sip_status: Option<u16>,
    ) {
        match self.phase.clone() {
            Phase::Direct { agent, .. } if agent == *id => {
                let code = OutcomeCode::from_unanswered(cause);
                let ending = Ending {
                    by: EndedBy::Agent,
                    code: Code::Fixed(code),
                    detail: format!("{} could not be reached ({}).", self.callee, cause.code()),
                };
                self.end_with_cause(out, ending, TransferOutcome::Failed, cause);
            }
            Phase::Joining { agent, .. } if agent == *id => {
                let ending = Ending {
                    by: EndedBy::Agent,
                    code: Code::Fixed(OutcomeCode::Failed),
                    detail: format!("{} hung up before the caller was connected.", self.callee),
                };
                self.end(out, ending, TransferOutcome::Failed);
            }
            Phase::Transferring(step) => self.target_failed(out, &step, id, cause, sip_status),
            Phase::WithAgent { agent } if agent == *id => {
                let lost = cause == HangupCause::MediaLost;
                let ending = Ending {
                    by: if lost {
                        EndedBy::System
                    } else {
                        EndedBy::Agent
                    },
                    code: if lost {
                        Code::Fixed(OutcomeCode::MediaLost)
                    } else {
                        Code::Result(OutcomeCode::Completed)
                    },
                    detail: if lost {
                        "The human's audio was lost.".to_owned()
                    } else {
                        "The human hung up.".to_owned()
                    },
                };
                self.end(out, ending, TransferOutcome::Failed);
            }
            // A leg that was given up, or one the call does not talk to any more.
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    // The assistant

    fn assistant_ended(&mut self, out: &mut Out, reason: AssistantEnd) {
        let (by, code, detail) = match reason {
            AssistantEnd::Goodbye => (
                EndedBy::Assistant,
                Code::Result(OutcomeCode::Completed),
                "The assistant said goodbye.",
            ),
            AssistantEnd::Silence => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::Silence),
                "The caller said nothing for too long.",
            ),
            AssistantEnd::TurnLimit => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::TurnLimit),
                "The conversation reached its number of turns.",
            ),
            AssistantEnd::Errors => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::AssistantErrors),
                "The assistant failed too often in a row.",
            ),
            AssistantEnd::TimeLimit => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::TimeLimit),
                "The conversation reached its time limit.",
            ),
        };
        match self.phase.clone() {
            Phase::Assistant => {
                let detail = detail.to_owned();
                self.end(out, Ending { by, code, detail }, TransferOutcome::Failed);
            }
            Phase::Farewell { ending, .. } => self.end(out, ending, TransferOutcome::Failed),
            Phase::Transferring(step) => self.assistant_ended_in_transfer(out, &step),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::WithAgent { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    fn say_finished(&mut self, out: &mut Out, say: SayId, heard: Heard) {
        let Some(key) = self.says.remove(&say) else {
            return;
        };
        out.emit(CallEvent::TextTold { say, key, heard });
        match self.phase.clone() {
            Phase::Farewell { last, ending } if last.say == say => {
                self.end(out, ending, TransferOutcome::Failed);
            }
            Phase::Transferring(step) => self.said_in_transfer(out, &step, say),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    // Timers

    fn deadlines(&self) -> Vec<(Timestamp, TimerId)> {
        let mut deadlines = Vec::new();
        match &self.phase {
            Phase::Idle | Phase::Assistant | Phase::WithAgent { .. } | Phase::Ended => {}
            Phase::Answering { leg, until } => {
                deadlines.push((*until, TimerId::Answer(leg.clone())));
            }
            Phase::Calling { leg, until } | Phase::Direct { agent: leg, until } => {
                deadlines.push((*until, TimerId::Ring(leg.clone())));
            }
            Phase::Joining { until, .. } => {
                deadlines.push((*until, TimerId::Answer(self.caller_leg_id())));
            }
            Phase::Transferring(step) => deadlines.extend(step.deadlines()),
            Phase::Farewell { last, .. } => deadlines.push((last.until, TimerId::Say(last.say))),
            Phase::AwaitingMessage { until } => deadlines.push((*until, TimerId::Message)),
        }
        if let Some(at) = self.max_call_deadline() {
            deadlines.push((at, TimerId::MaxCall));
        }
        let settling = self
            .legs
            .iter()
            .filter_map(|leg| Some((leg.settle_by()?, TimerId::Settle(leg.id.clone()))));
        deadlines.extend(settling);
        deadlines
    }

    /// The limit holds wherever a call could go on for ever; all else is bounded by its own timers.
    fn max_call_deadline(&self) -> Option<Timestamp> {
        let at = self.answered_at? + seconds(self.policy.max_call_s);
        match &self.phase {
            Phase::Assistant | Phase::WithAgent { .. } => Some(at),
            Phase::Transferring(step) => step.is_ringing().then_some(at),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => None,
        }
    }

    fn timer_fired(&mut self, out: &mut Out, timer: &TimerId) {
        let due = self
            .deadlines()
            .iter()
            .any(|(at, wanted)| wanted == timer && *at <= out.now);
        if !due {
            return;
        }
        match timer {
            TimerId::Answer(leg) => self.answer_unconfirmed(out, leg),
            TimerId::Ring(leg) => self.rang_out(out, leg),
            TimerId::Say(say) => self.say_finished(out, *say, Heard::None),
            TimerId::Message => self.message_overdue(out),
            TimerId::Notice(message) => self.notice_overdue(out, message),
            TimerId::MaxCall => self.time_is_up(out),
            TimerId::Settle(leg) => {
                let now = out.now;
                if let Some(leg) = self.leg_mut(leg) {
                    leg.gone(now, HangupCause::Failed, None);
                }
            }
        }
    }

    fn answer_unconfirmed(&mut self, out: &mut Out, leg: &LegId) {
        let ending = Ending {
            by: EndedBy::System,
            code: Code::Fixed(OutcomeCode::Failed),
            detail: format!("The answer to {leg} was never confirmed."),
        };
        self.end_with_cause(out, ending, TransferOutcome::Failed, HangupCause::Failed);
    }

    fn rang_out(&mut self, out: &mut Out, leg: &LegId) {
        match self.phase.clone() {
            Phase::Calling { .. } | Phase::Direct { .. } => {
                let ending = Ending {
                    by: EndedBy::System,
                    code: Code::Fixed(OutcomeCode::NoAnswer),
                    detail: format!("{} did not answer.", self.callee),
                };
                let cause = HangupCause::NoAnswer;
                self.end_with_cause(out, ending, TransferOutcome::Failed, cause);
            }
            Phase::Transferring(step) => self.target_rang_out(out, &step, leg),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    fn time_is_up(&mut self, out: &mut Out) {
        let ending = Ending {
            by: EndedBy::System,
            code: Code::Fixed(OutcomeCode::TimeLimit),
            detail: format!(
                "The call reached its longest allowed duration of {} s.",
                self.policy.max_call_s
            ),
        };
        match self.phase.clone() {
            Phase::Assistant => {
                self.pause(out);
                self.farewell(out, &[TextKey::TimeLimit, TextKey::Goodbye], ending);
            }
            Phase::Transferring(_) => {
                self.give_up_transfer(out);
                if self.voice == Voice::Off {
                    self.end(out, ending, TransferOutcome::Failed);
                } else {
                    self.farewell(out, &[TextKey::TimeLimit, TextKey::Goodbye], ending);
                }
            }
            Phase::WithAgent { .. } => self.end(out, ending, TransferOutcome::Failed),
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

    // Operator, restart, shutdown

    fn operator_hangup(&mut self, out: &mut Out, by: &str) {
        match self.phase {
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. } => {
                let ending = Ending {
                    by: EndedBy::Operator,
                    code: Code::Result(OutcomeCode::OperatorHangup),
                    detail: format!("{by} ended the call."),
                };
                self.end(out, ending, TransferOutcome::Failed);
            }
            // The caller is gone; what is left of the call is their message.
            Phase::AwaitingMessage { .. } | Phase::Ended => {}
        }
    }

    fn restarted(&mut self, out: &mut Out) {
        // What was begun before may not have left the machine: it is asked for again.
        let now = out.now;
        let unsettled: Vec<ActionKind> = self
            .legs
            .iter_mut()
            .filter_map(|leg| leg.repeat_release(now))
            .collect();
        for action in unsettled {
            out.push(action);
        }
        self.cut_off(
            out,
            OutcomeCode::Restarted,
            "The program restarted",
            HangupCause::MediaLost,
        );
    }

    fn shutting_down(&mut self, out: &mut Out) {
        self.cut_off(
            out,
            OutcomeCode::Shutdown,
            "The program was stopped",
            HangupCause::Normal,
        );
    }

    /// Ends the call from wherever it stands, for a reason of ours.
    fn cut_off(&mut self, out: &mut Out, code: OutcomeCode, what: &str, cause: HangupCause) {
        let (code, place) = match &self.phase {
            Phase::Ended => return,
            Phase::Idle => (Code::Fixed(code), "before the call began"),
            Phase::Answering { .. } | Phase::Joining { .. } => {
                (Code::Fixed(code), "while the caller was being answered")
            }
            Phase::Calling { .. } | Phase::Direct { .. } => {
                (Code::Fixed(code), "while the called party was being rung")
            }
            Phase::Assistant => (Code::Fixed(code), "while the caller was with the assistant"),
            Phase::Transferring(step) => (Code::Result(code), step.place()),
            Phase::WithAgent { .. } => (Code::Fixed(code), "while the caller was with a human"),
            Phase::Farewell { .. } => (Code::Result(code), "during the goodbye"),
            Phase::AwaitingMessage { .. } => (
                Code::Result(code),
                "while the message of a caller who had hung up was being made out",
            ),
        };
        let ending = Ending {
            by: EndedBy::System,
            code,
            detail: format!("{what} {place}."),
        };
        let mut pending = TransferOutcome::Failed;
        match &self.phase {
            Phase::AwaitingMessage { .. } => {
                pending = TransferOutcome::CallerGone;
                self.owe_unread_message(out);
            }
            Phase::Transferring(step) if step.is_taking_message() => {
                self.owe_unread_message(out);
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
        self.end_with_cause(out, ending, pending, cause);
    }

    // Ending

    /// Closes the call; whoever is still connected is hung up as after a normal conversation.
    pub(crate) fn end(&mut self, out: &mut Out, ending: Ending, pending: TransferOutcome) {
        self.end_with_cause(out, ending, pending, HangupCause::Normal);
    }

    /// Closes the call: every living leg is released with `cause`, an undecided transfer gets the
    /// outcome `pending`, and the call gets its own.
    pub(crate) fn end_with_cause(
        &mut self,
        out: &mut Out,
        ending: Ending,
        pending: TransferOutcome,
        cause: HangupCause,
    ) {
        self.stop_voice(out);
        self.ringback = false;
        let living: Vec<LegId> = self
            .legs
            .iter()
            .filter(|leg| leg.state.is_living())
            .map(|leg| leg.id.clone())
            .collect();
        for leg in living {
            self.release(out, &leg, cause);
        }
        self.stop_recording(out);
        self.cancel_attempt(out);
        self.settle_transfer(out, pending);
        let code = match ending.code {
            Code::Fixed(code) => code,
            Code::Result(otherwise) => self.result_code(otherwise),
        };
        let left_at = self.caller_leg().and_then(|leg| leg.ended_at);
        self.ended_at = Some(left_at.unwrap_or(out.now));
        let outcome = CallOutcome {
            code,
            ended_by: ending.by,
            detail: ending.detail,
        };
        self.outcome = Some(outcome.clone());
        self.phase = Phase::Ended;
        out.emit(CallEvent::CallEnded { outcome });
    }

    /// What the last transfer came to decides what the call came to.
    fn result_code(&self, otherwise: OutcomeCode) -> OutcomeCode {
        match self.transfers.last().and_then(|transfer| transfer.outcome) {
            Some(TransferOutcome::Bridged) => OutcomeCode::Transferred,
            Some(TransferOutcome::MessageTaken) => OutcomeCode::MessageTaken,
            Some(TransferOutcome::Notified) => OutcomeCode::StaffNotified,
            Some(TransferOutcome::CallerGone) => OutcomeCode::CallerGone,
            Some(
                TransferOutcome::Failed
                | TransferOutcome::ReturnedToAssistant
                | TransferOutcome::CallbackScheduled
                | TransferOutcome::Declined,
            )
            | None => otherwise,
        }
    }

    /// Says the last words, then ends the call.
    pub(crate) fn farewell(&mut self, out: &mut Out, keys: &[TextKey], ending: Ending) {
        let last = self.say_all(out, keys);
        self.phase = Phase::Farewell { last, ending };
    }

    // What the parts above share with `transferring`

    pub(crate) fn dial(
        &mut self,
        out: &mut Out,
        party: Party,
        target: Target,
        ring_timeout_s: u32,
        attempt: Option<switchhook_model::AttemptId>,
    ) -> LegId {
        let leg = self.new_leg_id();
        self.legs
            .push(Leg::dialed(leg.clone(), party, target.clone(), out.now));
        let display = match (self.direction, party) {
            (Direction::Outbound, Party::Caller) => String::new(),
            (Direction::Outbound, Party::Agent) => self.callee.clone(),
            (Direction::Inbound, Party::Caller | Party::Agent) => self
                .caller
                .display_name
                .clone()
                .unwrap_or_else(|| self.caller.number.clone()),
        };
        out.push(ActionKind::Dial {
            leg: leg.clone(),
            target,
            ring_timeout_s,
            caller_id: self.policy.caller_id.clone(),
            attempt,
            display,
        });
        leg
    }

    fn new_leg_id(&mut self) -> LegId {
        loop {
            self.counters.leg += 1;
            let id = LegId::derive(&self.id, self.counters.leg);
            if self.legs.iter().all(|leg| leg.id != id) {
                return id;
            }
        }
    }

    pub(crate) fn bridge(&mut self, out: &mut Out, agent: LegId) {
        let caller = self.caller_leg_id();
        if self.ringback {
            self.ringback = false;
            out.push(ActionKind::Ringback {
                leg: caller.clone(),
                on: false,
            });
        }
        self.stop_voice(out);
        out.push(ActionKind::Bridge {
            a: caller.clone(),
            b: agent.clone(),
        });
        out.emit(CallEvent::Bridged {
            a: caller,
            b: agent.clone(),
        });
        self.phase = Phase::WithAgent { agent };
    }

    pub(crate) fn stop_voice(&mut self, out: &mut Out) {
        match self.voice {
            Voice::Off => {}
            Voice::Listening | Voice::Paused => {
                out.push(ActionKind::StopAssistant);
                self.voice = Voice::Off;
            }
        }
        self.says.clear();
    }

    pub(crate) fn pause(&mut self, out: &mut Out) {
        match self.voice {
            Voice::Off | Voice::Paused => {}
            Voice::Listening => {
                out.push(ActionKind::PauseAssistant);
                self.voice = Voice::Paused;
            }
        }
    }

    /// Asks for a sentence; it follows those asked for before.
    pub(crate) fn say(&mut self, out: &mut Out, key: TextKey) -> Pending {
        if self.voice == Voice::Off {
            out.push(ActionKind::StartAssistant {
                leg: self.caller_leg_id(),
                opening: Opening::Silent,
            });
            self.voice = Voice::Paused;
            self.transfers_before_assistant = self.transfers.len();
        }
        self.counters.say += 1;
        let say = SayId(self.counters.say);
        let text = self
            .policy
            .texts
            .render(key, self.policy.language, &self.text_values());
        out.push(ActionKind::Say { say, key, text });
        self.says.insert(say, key);
        Pending {
            say,
            until: out.now + self.speaking_time(),
        }
    }

    /// Asks for several sentences in a row.
    pub(crate) fn say_all(&mut self, out: &mut Out, keys: &[TextKey]) -> Pending {
        let mut last = None;
        for key in keys {
            last = Some(self.say(out, *key));
        }
        last.expect("there is always something to say")
    }

    /// An upper bound for saying all sentences that were asked for: slow speech of 8 characters per
    /// second, and time for a slow provider to begin.
    fn speaking_time(&self) -> Duration {
        let chars: usize = self
            .says
            .values()
            .map(|key| {
                let texts = &self.policy.texts;
                let text = texts.render(*key, self.policy.language, &self.text_values());
                text.chars().count()
            })
            .sum();
        Duration::from_secs(10) + Duration::from_millis(125) * u32::try_from(chars).unwrap_or(8000)
    }

    pub(crate) fn release(&mut self, out: &mut Out, id: &LegId, cause: HangupCause) {
        let now = out.now;
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        if let Some(action) = leg.release(now, cause) {
            out.push(action);
            out.emit(CallEvent::LegEnded {
                leg: id.clone(),
                party,
                cause,
            });
        }
    }

    fn leg_mut(&mut self, id: &LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == *id)
    }

    fn caller_leg(&self) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.party == Party::Caller)
    }

    fn caller_leg_mut(&mut self) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.party == Party::Caller)
    }

    pub(crate) fn caller_leg_id(&self) -> LegId {
        self.caller_leg()
            .map(|leg| leg.id.clone())
            .expect("a call that has begun has its caller's leg")
    }

    pub(crate) fn notice_mut(&mut self, id: &MessageId) -> Option<&mut Notice> {
        self.notices.iter_mut().find(|notice| notice.id == *id)
    }

    /// The end user's number: who called us, or whom we called.
    pub(crate) fn party_number(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.caller.number,
            Direction::Outbound => &self.callee,
        }
    }
}

pub(crate) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn unanswered_inbound(cause: HangupCause) -> Ending {
    let canceled = matches!(cause, HangupCause::Canceled | HangupCause::Normal);
    Ending {
        by: if canceled {
            EndedBy::Caller
        } else {
            EndedBy::System
        },
        code: Code::Fixed(if canceled {
            OutcomeCode::CallerCanceled
        } else {
            OutcomeCode::from_unanswered(cause)
        }),
        detail: if canceled {
            "The caller gave up before being answered.".to_owned()
        } else {
            format!("The caller could not be answered ({}).", cause.code())
        },
    }
}

fn unanswered_outbound(cause: HangupCause) -> Ending {
    let by = match cause {
        HangupCause::Busy | HangupCause::Rejected | HangupCause::Normal => EndedBy::Caller,
        HangupCause::NoAnswer
        | HangupCause::Unreachable
        | HangupCause::NotAcceptable
        | HangupCause::Canceled
        | HangupCause::MediaLost
        | HangupCause::Failed => EndedBy::System,
    };
    Ending {
        by,
        code: Code::Fixed(OutcomeCode::from_unanswered(cause)),
        detail: format!("The called party could not be reached ({}).", cause.code()),
    }
}
