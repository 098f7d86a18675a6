//! What can happen to a call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use switchhook_model::{
    AttemptId, CallId, CallerIdentity, HangupCause, LegId, MessageId, RequestId, Target,
};

use crate::timer::TimerId;

/// One sentence the call asked the conversation to say; unique within the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SayId(pub u32);

/// Where an inbound call goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// To the assistant of that name.
    Assistant {
        /// Name of the configured assistant.
        name: String,
    },
    /// Straight to an extension; the caller hears ringing by signalling.
    Extension(Target),
}

/// How much of a sentence the caller really heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// All of it.
    Full,
    /// The beginning; it was cut.
    Cut,
    /// Nothing: it never began, or speech failed.
    None,
}

/// Why the assistant ended the call. Its farewell, if it has one, was heard already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssistantEnd {
    /// The caller said goodbye, or the work was done.
    Goodbye,
    /// The caller said nothing for too long.
    Silence,
    /// The configured number of turns was reached.
    TurnLimit,
    /// Too many consecutive errors of a provider.
    Errors,
    /// The conversation's own time limit was reached.
    TimeLimit,
    /// The caller was to say who they are, and gave no right PIN.
    NotIdentified,
}

/// What the peer said about a REFER of ours, graded by what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferReport {
    /// 202: it will try. Nothing has happened yet.
    Accepted,
    /// It reported progress: the target is being called.
    Started,
    /// It reported success. Some exchanges say so before anybody answered.
    Completed,
    /// It refused, or reported a failure.
    Failed {
        /// The status of its answer or report; none if there was none.
        sip_status: Option<u16>,
    },
}

/// A fact, a request or a timeout. Past participles: they have happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A caller's INVITE was admitted. The leg is not answered yet.
    CallerArrived {
        /// The caller's leg.
        leg: LegId,
        /// What the caller said about itself.
        caller: CallerIdentity,
        /// What was dialled, as it was dialled.
        callee: String,
        /// Where it goes.
        route: Route,
        /// Headers of the INVITE that the configuration keeps, by name. Untrusted text.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        sip_headers: BTreeMap<String, String>,
    },
    /// We are to call somebody and connect them with an assistant.
    OutboundRequested {
        /// Whom to call; already checked against the destination policy.
        target: Target,
        /// The assistant's name; none is the profile's default.
        assistant: Option<String>,
    },
    /// A dialled leg rings (18x).
    LegRinging {
        /// The leg that rings.
        leg: LegId,
    },
    /// A dialled leg plays something before its answer (early media, RFC 3960), or does so no more:
    /// it was forwarded, or more than one phone rings there.
    LegEarlyMedia {
        /// The leg that rings.
        leg: LegId,
        /// Whether there is something to hear.
        plays: bool,
    },
    /// A dialled leg answered (200), or the answer to an inbound leg was sent and its media is open.
    LegAnswered {
        /// The leg that answered.
        leg: LegId,
    },
    /// A dialled leg was answered, or had been, by a machine.
    MachineAnswered {
        /// The leg.
        leg: LegId,
        /// A fax: nothing that is said to it is heard by anybody.
        is_fax: bool,
    },
    /// A leg ended before it was answered.
    LegFailed {
        /// The leg that failed.
        leg: LegId,
        /// Why.
        cause: HangupCause,
        /// The final SIP status, if there was one (RFC 3261 §21).
        sip_status: Option<u16>,
        /// What the far end said beside it, for operators. Untrusted text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A leg ended: the far end hung up or cancelled, its media died, or our own hang-up is done.
    LegEnded {
        /// The leg that ended.
        leg: LegId,
        /// Why.
        cause: HangupCause,
    },
    /// The leg's party put us on hold: it hears nothing of us until `LegResumed` (RFC 3264 §8.4).
    LegHeld {
        /// The leg.
        leg: LegId,
    },
    /// The leg's party listens again.
    LegResumed {
        /// The leg.
        leg: LegId,
    },
    /// The far end refused our hold or resume: its phone does not know of it.
    HoldRefused {
        /// The leg.
        leg: LegId,
        /// Its answer; none if there was none.
        sip_status: Option<u16>,
    },
    /// An operator puts the caller on hold.
    OperatorHold {
        /// The operator's user name.
        by: String,
    },
    /// An operator takes the caller back.
    OperatorResume {
        /// The operator's user name.
        by: String,
    },
    /// A party's phone asks that the other party go to a target (REFER, RFC 3515).
    Referred {
        /// The leg the REFER came on: the transferor's.
        leg: LegId,
        /// The REFER, so that a repetition is recognised.
        request: RequestId,
        /// Where to; already checked against the destination policy.
        target: Target,
        /// Who says so (RFC 3892), for the target to see. Untrusted text.
        referred_by: Option<String>,
    },
    /// The far party of another call of ours is to be joined with the far party of this one: the
    /// transferor talked to both (REFER with Replaces, RFC 5589 §7). The leg is ours from now on.
    LegTakenIn {
        /// The answered leg of the other call.
        leg: LegId,
        /// The REFER.
        request: RequestId,
        /// The transferor's leg in this call.
        replaces: LegId,
        /// Whom that leg reaches, if we dialled it.
        target: Option<Target>,
        /// Who says so (RFC 3892). Untrusted text.
        referred_by: Option<String>,
    },
    /// A leg of ours went over to another call (the other side of `LegTakenIn`).
    LegTakenAway {
        /// The leg.
        leg: LegId,
        /// The call it belongs to now.
        into: CallId,
    },
    /// Another phone asks to take the place of a leg (INVITE with Replaces, RFC 3891). Whoever it
    /// is was found entitled to.
    ReplacementArrived {
        /// The new leg, not answered yet.
        leg: LegId,
        /// The leg whose place it takes.
        replaces: LegId,
    },
    /// What is known of a REFER we sent.
    ReferReported {
        /// The caller's leg.
        leg: LegId,
        /// The dial attempt it carries out.
        attempt: AttemptId,
        /// What.
        report: ReferReport,
    },
    /// The assistant, or the caller through it, wants a human.
    AssistantAskedForHuman {
        /// The request, so that a repetition is recognised.
        request: RequestId,
        /// An extension the caller named, if any.
        target: Option<Target>,
        /// A department, if any.
        department: Option<String>,
        /// Why, in the caller's language.
        reason: String,
        /// What the human should know before answering.
        summary: String,
    },
    /// A sentence of [`crate::ActionKind::Say`] is over.
    SayFinished {
        /// Which sentence.
        say: SayId,
        /// How much of it was heard.
        heard: Heard,
    },
    /// The caller left a message: the answer to `TakeMessage` or `FinishMessage`, or one the
    /// assistant took of its own accord. The latter may come after the end of the call, when the
    /// caller hung up within it; it is never lost.
    MessageTaken {
        /// The transcript; may be empty when only audio was kept.
        text: String,
        /// Length of the speech in milliseconds.
        duration_ms: u64,
        /// Whether audio of it was kept.
        recorded: bool,
    },
    /// The caller was asked for a message and left none.
    MessageAbandoned,
    /// The assistant begins or ends taking a message of its own accord. While it does, the caller's
    /// words exist nowhere but in the process and on the recording: a crash then owes staff a notice
    /// that somebody has to listen.
    AssistantTakesMessage {
        /// Whether one is being taken from now on.
        taking: bool,
    },
    /// The assistant is through with the caller; its farewell was heard.
    AssistantEnded {
        /// Why.
        reason: AssistantEnd,
    },
    /// The receiver of a notice accepted it (2xx).
    NoticeAccepted {
        /// Which notice.
        message: MessageId,
        /// By which of the configured ways, counted from 0.
        #[serde(default)]
        way: u32,
    },
    /// A delivery of a notice failed.
    NoticeRefused {
        /// Which notice.
        message: MessageId,
        /// What the receiver or the network said.
        error: String,
        /// Whether it is tried again later.
        will_retry: bool,
    },
    /// A notice that was accepted did not reach the staff after all: the carrier took the message and
    /// could not deliver it.
    NoticeUndelivered {
        /// Which notice.
        message: MessageId,
        /// By which of the configured ways, counted from 0. The next one may have been accepted already.
        #[serde(default)]
        way: u32,
        /// What the carrier said.
        error: String,
        /// Whether another way is tried.
        will_retry: bool,
    },
    /// A deadline of [`crate::Call::next_deadline`] passed.
    TimerFired(TimerId),
    /// An operator ends the call.
    OperatorHangup {
        /// The operator's user name.
        by: String,
    },
    /// An operator transfers the caller. Not bound to open hours.
    OperatorTransfer {
        /// To this target, already checked against the destination policy.
        target: Option<Target>,
        /// Or to the targets of this department.
        department: Option<String>,
        /// The request, so that a repetition is recognised.
        request: RequestId,
        /// Also to whom the caller is talking to: what connected them is gone.
        #[serde(default)]
        anew: bool,
    },
    /// The process came back after it died: all media is gone, legs may still ring or be up.
    Restarted,
    /// The process is about to stop and cannot wait for the call any longer.
    ShuttingDown,
}
