//! The rows as the outside sees them. Words such as a call's status or an attempt's result are the
//! caller's: the store keeps the text.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_model::{
    AttemptId, CallId, Direction, LegId, MessageId, RecordingId, Timestamp, TransferId, TurnId,
};

use crate::json::Json;

/// The indexed columns of a call: what lists show and filters compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallHead {
    pub id: CallId,
    /// `ringing`, `assistant`, `transferring`, `with_agent` or `ended`.
    pub status: String,
    pub direction: Direction,
    /// `sip`, later `twilio`, `browser`, `livekit`.
    pub channel: String,
    pub profile: String,
    pub assistant: Option<String>,
    /// Number or user part of the caller, as it came.
    pub caller: String,
    pub caller_name: Option<String>,
    pub callee: String,
    pub started_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    /// Set exactly when nothing is left to recover: calls without it are read at start-up.
    pub ended_at: Option<Timestamp>,
    /// The outcome's code once there is one.
    pub outcome: Option<String>,
}

/// A call with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    pub head: CallHead,
    /// Counts the steps of this call. A step whose revision is not greater than the stored one is
    /// refused, so two tasks (or nodes) that both think they own a call cannot overwrite each other.
    pub revision: u64,
    /// Format of `snapshot`, chosen by its writer.
    pub snapshot_version: u32,
    /// The machine, for going on after a restart.
    pub snapshot: Json,
    /// What the API shows, for readers that do not know the machine's format.
    pub view: Json,
    /// State of the channel the call came by, for one that keeps none in a process. Opaque here.
    pub channel_state: Option<Json>,
    /// When somebody has to look at the call again, whatever happens until then; see
    /// [`crate::backend::Calls::due_calls`].
    pub due_at: Option<Timestamp>,
    /// The process that looks after the call, by the name it serves under; `None`: any may.
    pub node: Option<String>,
}

/// One leg. `dialog` is the SIP dialog record that ends an orphan after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegRow {
    pub id: LegId,
    pub call: CallId,
    pub kind: String,
    pub party: String,
    pub target: String,
    pub state: String,
    pub started_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub cause: Option<String>,
    pub dialog: Option<Json>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    pub id: TransferId,
    pub call: CallId,
    pub reason: String,
    pub department: Option<String>,
    pub requested_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    pub id: AttemptId,
    pub transfer: TransferId,
    pub call: CallId,
    pub leg: Option<LegId>,
    pub target: String,
    pub ring_timeout_s: u32,
    pub result: Option<String>,
    pub sip_status: Option<u16>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// One party's go. For the assistant `text` is what was really heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRow {
    pub id: TurnId,
    pub call: CallId,
    /// Position in the call, from 1.
    pub n: u32,
    /// `caller`, `assistant`, `agent` or `system`.
    pub speaker: String,
    pub text: String,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub interrupted: bool,
    /// Milliseconds by part: `first_audio_ms`, `ours_ms`, and the providers' shares.
    pub latency: Option<Value>,
}

/// Where a recording is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// Being written: not ready.
    Recording,
    Ready,
    /// Could not be written; `error` says why.
    Failed,
    /// Removed by retention or on request.
    Deleted,
}

impl RecordingState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Recording, Self::Ready, Self::Failed, Self::Deleted]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRow {
    pub id: RecordingId,
    pub call: CallId,
    /// File name below the recording directory; never a path given by anyone outside.
    pub file: String,
    pub state: RecordingState,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    pub error: Option<String>,
}

/// A message to somebody: notice, SMS, e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    pub id: MessageId,
    pub call: Option<CallId>,
    /// `webhook`, `inbox`, later `sms`, `whatsapp`, `email`.
    pub channel: String,
    pub recipient: String,
    pub text: String,
    /// `queued`, `sending`, `accepted`, `delivered` or `failed`.
    pub state: String,
    pub vendor_id: Option<String>,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A vendor's name for a call or one of its legs (a Twilio CallSid): what a webhook finds its call by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorIdRow {
    /// `twilio`: ids of two vendors may be alike.
    pub vendor: String,
    pub vendor_id: String,
    pub call: CallId,
    pub leg: Option<LegId>,
}

/// What a webhook was answered. Who delivers it again gets the same, and nothing happens twice.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// The delivery's idempotency key.
    pub key: String,
    pub call: Option<CallId>,
    pub at: Timestamp,
    /// As it was sent.
    pub body: String,
}

impl fmt::Debug for AnswerRow {
    /// Without the body: it holds what is said to the caller, and numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerRow")
            .field("key", &self.key)
            .field("call", &self.call)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A fact to be stored with its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub call: CallId,
    pub at: Timestamp,
    pub kind: String,
    pub data: Json,
}

/// A stored fact. Numbers grow in commit order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub id: i64,
    pub call: CallId,
    pub at: Timestamp,
    pub kind: String,
    pub data: Json,
}

/// Seen from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireDirection {
    Received,
    Sent,
}

impl WireDirection {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Received, Self::Sent]
            .into_iter()
            .find(|direction| direction.as_str() == text)
    }
}

/// A message on the wire, for the ladder. Secrets are removed by whoever gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWire {
    pub at: Timestamp,
    pub call: Option<CallId>,
    pub leg: Option<LegId>,
    pub direction: WireDirection,
    pub peer: String,
    /// `INVITE`, `180 Ringing`: what the ladder's arrow says.
    pub summary: String,
    pub sip_call_id: Option<String>,
    pub cseq: Option<String>,
    pub raw: String,
}

/// A stored wire message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRow {
    pub id: i64,
    pub at: Timestamp,
    pub call: Option<CallId>,
    pub leg: Option<LegId>,
    pub direction: WireDirection,
    pub peer: String,
    pub summary: String,
    pub sip_call_id: Option<String>,
    pub cseq: Option<String>,
    pub raw: String,
}

/// A finding of the judge. The same finding stored twice is one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationRow {
    pub call: CallId,
    pub code: String,
    pub detail: String,
    pub at: Timestamp,
    pub cause: String,
    pub cure: String,
}

#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// As typed at login; compared byte by byte.
    pub name: String,
    /// PHC string.
    pub password_hash: String,
    pub role: String,
    /// Grows with each change of password or role: tokens made before are void.
    pub credential_version: u32,
    pub disabled: bool,
    pub created_at: Timestamp,
}

impl fmt::Debug for UserRow {
    /// Without the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRow")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("credential_version", &self.credential_version)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// Where a registered extension is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BindingRow {
    pub extension: String,
    /// The contact URI.
    pub contact: String,
    /// Whatever else the registrar needs to have back.
    pub data: Value,
    pub expires_at: Timestamp,
    pub updated_at: Timestamp,
}
