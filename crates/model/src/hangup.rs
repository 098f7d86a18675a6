//! How a leg or a call ended.

use serde::{Deserialize, Serialize};

/// Who ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    Caller,
    Agent,
    Assistant,
    Operator,
    /// Us, by a bound or a fault.
    System,
}

/// Why a leg failed or ended, as the field distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangupCause {
    /// BYE after both talked.
    Normal,
    /// 486, 600.
    Busy,
    /// No answer within the ring timeout, 408, 480.
    NoAnswer,
    /// 603, 403, 401 and other refusals.
    Rejected,
    /// 404, 410, 484, 502, 503, transport failure, or nothing registered.
    Unreachable,
    /// 415, 488, 606: no common codec.
    NotAcceptable,
    /// 487 after our CANCEL, or the caller's CANCEL.
    Canceled,
    /// Another phone took the call while this one rang (RFC 3326: `SIP;cause=200`).
    AnsweredElsewhere,
    /// The media path died: no RTP, or the process that held it is gone.
    MediaLost,
    /// Anything else.
    Failed,
}

impl HangupCause {
    /// From a final SIP response to an INVITE (RFC 3261 §21).
    pub fn from_sip_status(status: u16) -> Self {
        match status {
            486 | 600 => Self::Busy,
            408 | 480 => Self::NoAnswer,
            487 => Self::Canceled,
            404 | 410 | 484 | 502 | 503 | 604 => Self::Unreachable,
            415 | 488 | 606 => Self::NotAcceptable,
            401 | 403 | 407 | 603 | 607 | 608 => Self::Rejected,
            _ => Self::Failed,
        }
    }

    /// The stable code shown in API, logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::NotAcceptable => "not_acceptable",
            Self::Canceled => "canceled",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::MediaLost => "media_lost",
            Self::Failed => "failed",
        }
    }
}
