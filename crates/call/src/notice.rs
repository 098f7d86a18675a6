//! Notices: what staff are told about a caller nobody could take. A notice leaves through the
//! outbox; the call only remembers what became of it.

use serde::{Deserialize, Serialize};
use switchhook_model::{CallId, MessageId, Target, Timestamp, TransferId};

use crate::transfer::AttemptResult;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeTemplate {
    /// The caller left a message.
    MessageTaken,
    /// The caller asked for a human, reached nobody and left no message.
    MissedCall,
    /// The caller was leaving a message when it was cut off; its words may be in the recording.
    MessageUnread,
}

/// One tried target, for the reader of the notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedTarget {
    /// Who was tried.
    pub target: Target,
    /// What came of it.
    pub result: AttemptResult,
}

/// The content of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeBody {
    /// The call it is about.
    pub call_id: CallId,
    /// The transfer it belongs to; none if the assistant took the message in the conversation.
    pub transfer_id: Option<TransferId>,
    /// The caller's number or extension, as the caller stated it.
    pub caller: String,
    /// The caller's display name, as the caller stated it.
    pub caller_name: Option<String>,
    /// What was dialled.
    pub callee: String,
    /// The department asked for.
    pub department: Option<String>,
    /// Why the caller wanted a human.
    pub reason: String,
    /// The assistant's summary.
    pub summary: String,
    /// The message as it was understood; empty if there is none.
    pub text: String,
    /// Length of the message in milliseconds.
    pub duration_ms: u64,
    /// Whether audio was kept.
    pub recorded: bool,
    /// Who was tried before.
    pub tried: Vec<TriedTarget>,
    /// When it was taken, RFC 3339 in UTC.
    #[serde(with = "crate::view::rfc3339")]
    pub taken_at: Timestamp,
}

/// What became of a notice, as far as the call knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// In the outbox.
    Owed,
    /// The receiver took it.
    Accepted {
        /// When.
        at: Timestamp,
    },
    /// The latest delivery failed.
    Refused {
        /// When.
        at: Timestamp,
        /// What was said.
        error: String,
        /// Whether it is tried again.
        will_retry: bool,
    },
}

/// A notice of this call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub id: MessageId,
    pub transfer: Option<TransferId>,
    pub template: NoticeTemplate,
    /// The message's words and length, by which a doubled report is recognised.
    pub text: String,
    pub duration_ms: u64,
    pub state: NoticeState,
    /// The caller was told that it did not arrive after all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub corrected: bool,
    /// The last way by which it was accepted, counted from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub accepted_by: u32,
    /// The last way by which it was lost. What is told of this way later is old, and of earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_by: Option<u32>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_first(way: &u32) -> bool {
    *way == 0
}
