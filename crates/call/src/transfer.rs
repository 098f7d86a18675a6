//! A transfer: the caller leaves the assistant for a person. One durable transaction of dial
//! attempts over an ordered list, then a chain of fallback steps; it ends in exactly one outcome.

use serde::{Deserialize, Serialize};
use switchhook_model::{
    AttemptId, HangupCause, LegId, MessageId, RequestId, Target, Timestamp, TransferId,
};

use crate::event::ReferReport;
use crate::policy::FallbackStep;
use crate::texts::TextKey;

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// Caller and human heard each other.
    Bridged,
    /// The caller's own exchange took the caller over: the word of that exchange, not ours.
    HandedOver,
    /// The two parties talk on as before: the transferor's target was not reached.
    ReturnedToTransferor,
    /// The caller talks to the assistant again.
    ReturnedToAssistant,
    /// The caller left a message.
    MessageTaken,
    /// The staff were told, and their receiver accepted it.
    Notified,
    /// A callback was arranged.
    CallbackScheduled,
    /// The policy did not allow it.
    Declined,
    /// The caller hung up before it was through.
    CallerGone,
    /// None of the above.
    Failed,
}

impl TransferOutcome {
    /// The code as API and metrics show it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Bridged => "bridged",
            Self::HandedOver => "handed_over",
            Self::ReturnedToTransferor => "returned_to_transferor",
            Self::ReturnedToAssistant => "returned_to_assistant",
            Self::MessageTaken => "message_taken",
            Self::Notified => "notified",
            Self::CallbackScheduled => "callback_scheduled",
            Self::Declined => "declined",
            Self::CallerGone => "caller_gone",
            Self::Failed => "failed",
        }
    }
}

/// How one dial attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// The target picked up. Whether it was joined with the caller is the transfer's outcome.
    Answered,
    /// It rang until the timeout, or the network said so.
    NoAnswer,
    /// 486 or 600.
    Busy,
    /// Refused, not registered, unreachable, no common codec, or broken.
    Failed,
    /// We gave it up: the caller left, or an operator or a limit ended the call.
    Canceled,
    /// The caller's own exchange took the caller over.
    HandedOver,
}

impl AttemptResult {
    /// The code as API and metrics show it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::HandedOver => "handed_over",
        }
    }

    /// From the cause the far end gave.
    pub fn from_cause(cause: HangupCause) -> Self {
        match cause {
            HangupCause::Busy => Self::Busy,
            HangupCause::NoAnswer => Self::NoAnswer,
            HangupCause::Normal
            | HangupCause::Rejected
            | HangupCause::Unreachable
            | HangupCause::NotAcceptable
            | HangupCause::Canceled
            | HangupCause::AnsweredElsewhere
            | HangupCause::MediaLost
            | HangupCause::Failed => Self::Failed,
        }
    }
}

/// Who asked for a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requester {
    /// The assistant, mostly because the caller wants it.
    Assistant,
    /// A user of the console or API.
    Operator,
    /// A party of the call, by its phone (REFER).
    Party,
}

/// Whether the transferor talked to the target first (RFC 5589).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// No.
    #[default]
    Blind,
    /// Yes: the target was on the line already.
    Attended,
}

/// How a transfer or dial attempt is carried out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TransferMethod {
    /// We dial the target and join the two.
    #[default]
    Bridge,
    /// The caller's own exchange is asked to do it (REFER, RFC 3515).
    Refer,
}

impl TransferMethod {
    /// For leaving the usual one out of what is stored.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TransferKind {
    /// For leaving the usual one out of what is stored.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a transfer cannot be requested now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefusal {
    /// Not answered yet.
    #[error("the call is not answered yet; try again when the caller is connected")]
    NotAnswered,
    /// One is under way.
    #[error("a transfer of this call is under way; wait for its outcome")]
    UnderWay,
    /// The call says its last words or is over.
    #[error("the call is over")]
    Ended,
}

/// One try to reach one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub id: AttemptId,
    pub leg: LegId,
    pub target: Target,
    pub ring_timeout_s: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub result: Option<AttemptResult>,
    pub cause: Option<HangupCause>,
    pub sip_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "TransferMethod::is_default")]
    pub method: TransferMethod,
    /// The last that was heard of a REFER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReferReport>,
}

/// One transfer with all that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub id: TransferId,
    pub request: RequestId,
    pub requested_by: Requester,
    pub target: Option<Target>,
    pub department: Option<String>,
    pub reason: String,
    pub summary: String,
    pub requested_at: Timestamp,
    pub closed: bool,
    /// Targets not tried yet, in order.
    pub plan: Vec<Target>,
    pub attempts: Vec<Attempt>,
    /// Fallback steps not taken yet, in order.
    pub chain: Vec<FallbackStep>,
    pub outcome: Option<TransferOutcome>,
    pub ended_at: Option<Timestamp>,
    pub notices: Vec<MessageId>,
    #[serde(default, skip_serializing_if = "TransferKind::is_default")]
    pub kind: TransferKind,
    /// Who says so (RFC 3892).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referred_by: Option<String>,
    /// The leg that was joined without a dial of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<LegId>,
}

impl Transfer {
    /// The one sentence that is true about why nobody was reached.
    pub fn failure_text(&self) -> TextKey {
        if self.closed {
            return TextKey::Closed;
        }
        let mut texts: Vec<TextKey> = self.attempts.iter().filter_map(Attempt::text).collect();
        texts.sort_unstable();
        texts.dedup();
        match texts.as_slice() {
            [] => TextKey::NoTarget,
            [only] => *only,
            [_, _, ..] => TextKey::NobodyAvailable,
        }
    }

    /// What happened, in English, for the language model's ears only.
    pub fn failure_note(&self) -> String {
        if self.closed {
            return "outside the open hours".to_owned();
        }
        if self.attempts.is_empty() {
            return "no person is configured for it".to_owned();
        }
        let tried: Vec<String> = self
            .attempts
            .iter()
            .map(|a| {
                let result = a.result.map_or("pending", AttemptResult::code);
                format!("{}: {}", a.target, result.replace('_', " "))
            })
            .collect();
        tried.join(", ")
    }
}

impl Transfer {
    /// For the detail of the call's outcome.
    pub fn summary_of_failure(&self) -> String {
        let message = match self.outcome {
            Some(TransferOutcome::MessageTaken) => "; the caller left a message",
            Some(TransferOutcome::Notified) => "; the staff were notified",
            Some(
                TransferOutcome::Bridged
                | TransferOutcome::HandedOver
                | TransferOutcome::ReturnedToTransferor
                | TransferOutcome::ReturnedToAssistant
                | TransferOutcome::CallbackScheduled
                | TransferOutcome::Declined
                | TransferOutcome::CallerGone
                | TransferOutcome::Failed,
            )
            | None => "",
        };
        format!("No human was reached ({}){message}.", self.failure_note())
    }
}

impl Attempt {
    fn text(&self) -> Option<TextKey> {
        match self.result? {
            AttemptResult::NoAnswer => Some(TextKey::NobodyAnswered),
            AttemptResult::Busy => Some(TextKey::Busy),
            AttemptResult::Failed => Some(match self.cause {
                Some(HangupCause::Rejected) => TextKey::Declined,
                Some(
                    HangupCause::Normal
                    | HangupCause::Busy
                    | HangupCause::NoAnswer
                    | HangupCause::Unreachable
                    | HangupCause::NotAcceptable
                    | HangupCause::Canceled
                    | HangupCause::AnsweredElsewhere
                    | HangupCause::MediaLost
                    | HangupCause::Failed,
                )
                | None => TextKey::NotReachable,
            }),
            AttemptResult::Answered | AttemptResult::Canceled | AttemptResult::HandedOver => None,
        }
    }
}
