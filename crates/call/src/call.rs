//! One call: its state, and which event goes where. How a call begins, what its legs do, what is
//! said, its timers and its end have a file each; the transfer is in `transferring`.

mod beginning;
mod ending;
mod holding;
mod legs;
mod machine;
mod referring;
mod replacing;
mod timers;
mod voice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{
    CallId, CallerIdentity, Direction, EndedBy, LegId, MessageId, RecordingId, Timestamp,
};

use crate::action::{Action, ActionKind, CallEvent};
use crate::event::{Event, SayId};
use crate::leg::{Leg, LegKind, LegState, Party};
use crate::notice::Notice;
use crate::outcome::{CallOutcome, OutcomeCode};
use crate::policy::CallPolicy;
use crate::texts::TextKey;
use crate::timer::TimerId;
use crate::transfer::{Transfer, TransferRefusal};
use crate::transferring::Step;
use crate::view::{CallStatus, CallView, Channel};
use referring::Referral;
use replacing::Replacing;

/// The stored format. Raised when an older build could misread it; a fixture in `tests/` pins it.
pub const SNAPSHOT_VERSION: u32 = 1;

/// How long an answer of ours may stay unconfirmed: the ACK's limit (RFC 3261 §13.3.1.4, 64·T1).
const ANSWER_GUARD: Duration = Duration::from_secs(32);

/// A stored call cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Of another version.
    #[error(
        "the stored call cannot be read: snapshot version {0}, but this program reads version {SNAPSHOT_VERSION}"
    )]
    Version(u32),
    /// Not the JSON of a call.
    #[error("the stored call cannot be read ({}); it was written by another version or is damaged", fault(.0))]
    Unreadable(#[from] serde_json::Error),
}

/// Where the stored text is wrong, without a word of it: it holds numbers and messages.
fn fault(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    format!(
        "{:?} error at line {line}, column {column}",
        error.classify()
    )
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
    /// The leg whose early media the caller hears instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) early: Option<LegId>,
    pub(crate) recording: Option<RecordingId>,
    /// How many transfers there were when the assistant was connected: its request ids count anew.
    pub(crate) transfers_before_assistant: usize,
    /// Sentences asked for and not reported back.
    pub(crate) says: BTreeMap<SayId, TextKey>,
    pub(crate) counters: Counters,
    /// The assistant is taking a message of its own accord.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) takes_own_message: bool,
    outcome: Option<CallOutcome>,
    /// Nobody was really called: the call was acted by this program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    #[serde(default, skip_serializing_if = "Links::is_plain")]
    pub(crate) links: Links,
    /// Headers of the caller's INVITE that the configuration keeps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sip_headers: BTreeMap<String, String>,
}

/// The version of a stored call, whatever the rest of it.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
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

/// How the legs hang together beyond "the caller and one other".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Links {
    /// The leg that stands where the caller's stood: another phone of theirs, or the human's after
    /// the caller passed the human on.
    pub anchor: Option<LegId>,
    /// Whether that is a human's leg.
    pub anchor_is_agent: bool,
    /// Caller and human are connected, but held apart.
    pub parted: bool,
    /// Legs that hear hold music.
    pub music: BTreeSet<LegId>,
    /// What the assistant is to know when the caller's hold ends.
    pub resume_note: Option<String>,
    /// A phone's REFER that is under way.
    pub referral: Option<Referral>,
    /// Another phone that is taking a leg's place.
    pub replacing: Option<Replacing>,
}

impl Links {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
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
            early: None,
            recording: None,
            transfers_before_assistant: 0,
            says: BTreeMap::new(),
            counters: Counters::default(),
            takes_own_message: false,
            outcome: None,
            simulated: false,
            links: Links::default(),
            sip_headers: BTreeMap::new(),
        }
    }

    /// The same call over another channel than SIP.
    #[must_use]
    pub fn over(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// The same call acted by this program, without anybody at the other end.
    #[must_use]
    pub fn acted(mut self) -> Self {
        self.simulated = true;
        self
    }

    /// Takes in one event and says what is to be done, in order.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Action> {
        self.last_at = self.last_at.max(now);
        let mut out = Out {
            now: self.last_at,
            kinds: Vec::new(),
        };
        self.dispatch(&mut out, event);
        self.settle_holds(&mut out);
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
            simulated: self.simulated,
            profile: self.profile.clone(),
            assistant: self.assistant.clone(),
            status: self.status(),
            caller: self.caller.number.clone(),
            caller_name: self.caller.display_name.clone(),
            callee: self.callee.clone(),
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            outcome: self.outcome_view(),
            sip_headers: self.sip_headers.clone(),
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
        if let Ok(Versioned { version }) = serde_json::from_str(snapshot)
            && version != SNAPSHOT_VERSION
        {
            return Err(RestoreError::Version(version));
        }
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
                sip_headers,
            } => {
                if matches!(self.phase, Phase::Idle) {
                    self.sip_headers = sip_headers;
                }
                self.caller_arrived(out, leg, caller, callee, route);
            }
            Event::OutboundRequested { target, assistant } => {
                self.outbound_requested(out, target, assistant);
            }
            Event::LegRinging { leg } => self.leg_ringing(out, &leg),
            Event::LegEarlyMedia { leg, plays } => self.leg_early_media(out, &leg, plays),
            Event::LegAnswered { leg } => self.leg_answered(out, &leg),
            Event::MachineAnswered { leg, is_fax } => self.machine_answered(out, &leg, is_fax),
            Event::LegFailed {
                leg,
                cause,
                sip_status,
                detail,
            } => {
                self.keep_detail(&leg, detail);
                self.leg_gone(out, &leg, cause, sip_status);
            }
            Event::LegEnded { leg, cause } => self.leg_gone(out, &leg, cause, None),
            Event::LegHeld { leg } => self.leg_held(out, &leg),
            Event::LegResumed { leg } => self.leg_resumed(out, &leg),
            Event::HoldRefused { leg, sip_status } => self.hold_refused(out, &leg, sip_status),
            Event::OperatorHold { by: _ } => self.operator_hold(out),
            Event::OperatorResume { by: _ } => self.operator_resume(out),
            Event::Referred {
                leg,
                request,
                target,
                referred_by,
            } => self.referred(out, &leg, request, target, referred_by),
            Event::LegTakenIn {
                leg,
                request,
                replaces,
                target,
                referred_by,
            } => self.leg_taken_in(out, leg, request, &replaces, target, referred_by),
            Event::LegTakenAway { leg, into } => self.leg_taken_away(out, &leg, &into),
            Event::ReplacementArrived { leg, replaces } => {
                self.replacement_arrived(out, leg, replaces);
            }
            Event::ReferReported {
                leg,
                attempt,
                report,
            } => self.refer_reported(out, &leg, &attempt, report),
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
            Event::AssistantTakesMessage { taking } => self.takes_own_message = taking,
            Event::AssistantEnded { reason } => self.assistant_ended(out, reason),
            Event::NoticeAccepted { message, way } => self.notice_accepted(out, &message, way),
            Event::NoticeRefused {
                message,
                error,
                will_retry,
            } => self.notice_refused(out, &message, error, will_retry),
            Event::NoticeUndelivered {
                message,
                way,
                error,
                will_retry,
            } => self.notice_undelivered(out, &message, way, error, will_retry),
            Event::TimerFired(timer) => self.timer_fired(out, &timer),
            Event::OperatorHangup { by } => self.operator_hangup(out, &by),
            Event::OperatorTransfer {
                target,
                department,
                request,
                anew,
            } => self.operator_transfer(out, target, department, request, anew),
            Event::Restarted => self.restarted(out),
            Event::ShuttingDown => self.shutting_down(out),
        }
    }

    pub(crate) fn leg_mut(&mut self, id: &LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == *id)
    }

    /// The caller's leg, or the one that stands in its place.
    fn caller_leg(&self) -> Option<&Leg> {
        self.legs.iter().find(|leg| match &self.links.anchor {
            Some(anchor) => leg.id == *anchor,
            None => leg.party == Party::Caller,
        })
    }

    fn caller_leg_mut(&mut self) -> Option<&mut Leg> {
        let id = self.caller_leg()?.id.clone();
        self.leg_mut(&id)
    }

    pub(crate) fn leg(&self, id: &LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == *id)
    }

    pub(crate) fn caller_leg_id(&self) -> LegId {
        self.caller_leg()
            .map(|leg| leg.id.clone())
            .expect("a call that has begun has its caller's leg")
    }

    pub(crate) fn leg_kind(&self) -> LegKind {
        self.channel.leg_kind()
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
