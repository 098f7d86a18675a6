//! States of calls, dials and messages, and what an outcome means as a [`HangupCause`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::HangupCause;

use super::CallSid;

/// State of a leg (`CallStatus`, `DialCallStatus`, `status` over REST).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum CallStatus {
    /// Waits for the account's rate of calls.
    Queued,
    /// Left the queue. Only in status callbacks.
    Initiated,
    Ringing,
    InProgress,
    /// After a `<Conference>`: the caller was in it. Only as `DialCallStatus`.
    Answered,
    Completed,
    Busy,
    Failed,
    NoAnswer,
    Canceled,
    /// A state this program does not know, at most 32 characters.
    Unknown(String),
}

impl CallStatus {
    /// From Twilio's word.
    pub fn read(text: &str) -> Self {
        match text {
            "queued" => Self::Queued,
            "initiated" => Self::Initiated,
            "ringing" => Self::Ringing,
            "in-progress" => Self::InProgress,
            "answered" => Self::Answered,
            "completed" => Self::Completed,
            "busy" => Self::Busy,
            "failed" => Self::Failed,
            "no-answer" => Self::NoAnswer,
            // Both spellings are about.
            "canceled" | "cancelled" => Self::Canceled,
            other => Self::Unknown(word(other)),
        }
    }

    /// Twilio's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
            Self::Unknown(other) => other,
        }
    }

    /// Nothing follows it. An earlier state that arrives later changes nothing.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
            Self::Queued
            | Self::Initiated
            | Self::Ringing
            | Self::InProgress
            | Self::Answered
            | Self::Unknown(_) => false,
        }
    }

    /// Why the leg ended in this state, with the final SIP response where there is one. `None` while
    /// it has not ended.
    pub fn cause(&self, sip_status: Option<u16>) -> Option<HangupCause> {
        let by_sip = sip_status
            .filter(|status| *status >= 300)
            .map(HangupCause::from_sip_status);
        Some(match self {
            Self::Completed => HangupCause::Normal,
            // Twilio calls a declined call busy; the SIP status tells them apart.
            Self::Busy => match by_sip {
                Some(HangupCause::Rejected) => HangupCause::Rejected,
                Some(_) | None => HangupCause::Busy,
            },
            // The response to Twilio's own CANCEL is 487.
            Self::NoAnswer => HangupCause::NoAnswer,
            Self::Canceled => HangupCause::Canceled,
            Self::Failed => match by_sip {
                Some(cause) => cause,
                // Without a response there was nobody to give one.
                None => HangupCause::Unreachable,
            },
            Self::Queued
            | Self::Initiated
            | Self::Ringing
            | Self::InProgress
            | Self::Answered
            | Self::Unknown(_) => return None,
        })
    }
}

impl From<String> for CallStatus {
    fn from(text: String) -> Self {
        Self::read(&text)
    }
}

impl From<CallStatus> for String {
    fn from(status: CallStatus) -> Self {
        status.as_str().to_owned()
    }
}

fn word(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' '))
        .take(32)
        .collect()
}

/// Which way a leg goes, seen from Twilio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallDirection {
    Inbound,
    /// Placed over REST.
    OutboundApi,
    /// Placed by `<Dial>`.
    OutboundDial,
    /// Of an Elastic SIP trunk: towards us, and from us.
    TrunkingOriginating,
    TrunkingTerminating,
    Unknown(String),
}

impl CallDirection {
    pub fn read(text: &str) -> Self {
        match text {
            "inbound" => Self::Inbound,
            "outbound-api" => Self::OutboundApi,
            "outbound-dial" => Self::OutboundDial,
            "trunking-originating" => Self::TrunkingOriginating,
            "trunking-terminating" => Self::TrunkingTerminating,
            other => Self::Unknown(word(other)),
        }
    }
}

/// Who or what picked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    Human,
    Machine(MachinePart),
    Fax,
    /// Detection gave no result.
    Unknown,
}

/// Where in its greeting an answering machine was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachinePart {
    /// Still speaking.
    Start,
    EndBeep,
    EndSilence,
    /// The end, or a part this program does not know.
    EndOther,
}

impl AnsweredBy {
    /// Whatever begins with `machine` is one.
    pub fn read(text: &str) -> Self {
        match text {
            "human" => Self::Human,
            "fax" => Self::Fax,
            "machine_start" => Self::Machine(MachinePart::Start),
            "machine_end_beep" => Self::Machine(MachinePart::EndBeep),
            "machine_end_silence" => Self::Machine(MachinePart::EndSilence),
            other if other.starts_with("machine") => Self::Machine(MachinePart::EndOther),
            _ => Self::Unknown,
        }
    }
}

/// What a `<Dial>` came to, as its `action` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialOutcome {
    pub status: CallStatus,
    /// Two parties were connected (`DialBridged`).
    pub is_bridged: Option<bool>,
    /// The dialled leg; absent after a conference.
    pub call_sid: Option<CallSid>,
    /// How long the dialled leg was up.
    pub duration: Option<Duration>,
    /// Final SIP response of a `<Sip>` target.
    pub sip_status: Option<u16>,
}

impl DialOutcome {
    /// Whether a human took the call. `DialBridged` decides: a leg whose whisper hangs up is
    /// `completed` as well. Where it is absent, `completed` and `answered` have to do.
    pub fn was_bridged(&self) -> bool {
        self.is_bridged.unwrap_or(matches!(
            self.status,
            CallStatus::Completed | CallStatus::Answered
        ))
    }

    /// Why nobody took it, or `Normal` after both talked. Answered without being connected means
    /// that whoever answered did not accept.
    pub fn cause(&self) -> HangupCause {
        if self.was_bridged() {
            return HangupCause::Normal;
        }
        match self.status.cause(self.sip_status) {
            Some(HangupCause::Normal) => HangupCause::Rejected,
            Some(cause) => cause,
            None => match self.status {
                CallStatus::Answered => HangupCause::Rejected,
                CallStatus::Queued
                | CallStatus::Initiated
                | CallStatus::Ringing
                | CallStatus::InProgress
                | CallStatus::Completed
                | CallStatus::Busy
                | CallStatus::Failed
                | CallStatus::NoAnswer
                | CallStatus::Canceled
                | CallStatus::Unknown(_) => HangupCause::Failed,
            },
        }
    }
}

/// State of an SMS or WhatsApp message. Callbacks are unordered: what is final stays, but for
/// `read`, which may follow `delivered`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MessageStatus {
    Accepted,
    Scheduled,
    Queued,
    Sending,
    Sent,
    Delivered,
    PartiallyDelivered,
    Undelivered,
    Failed,
    Read,
    Canceled,
    Receiving,
    Received,
    Unknown(String),
}

impl MessageStatus {
    /// From Twilio's word.
    pub fn read(text: &str) -> Self {
        match text {
            "accepted" => Self::Accepted,
            "scheduled" => Self::Scheduled,
            "queued" => Self::Queued,
            "sending" => Self::Sending,
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "partially_delivered" => Self::PartiallyDelivered,
            "undelivered" => Self::Undelivered,
            "failed" => Self::Failed,
            "read" => Self::Read,
            "canceled" | "cancelled" => Self::Canceled,
            "receiving" => Self::Receiving,
            "received" => Self::Received,
            other => Self::Unknown(word(other)),
        }
    }

    /// Twilio's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Accepted => "accepted",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::PartiallyDelivered => "partially_delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Read => "read",
            Self::Canceled => "canceled",
            Self::Receiving => "receiving",
            Self::Received => "received",
            Self::Unknown(other) => other,
        }
    }

    /// It reached the recipient's device.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered | Self::Read)
    }

    /// It will not reach the recipient.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Undelivered | Self::Failed | Self::Canceled)
    }
}

impl From<String> for MessageStatus {
    fn from(text: String) -> Self {
        Self::read(&text)
    }
}

impl From<MessageStatus> for String {
    fn from(status: MessageStatus) -> Self {
        status.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(status: &str, is_bridged: Option<bool>, sip_status: Option<u16>) -> DialOutcome {
        DialOutcome {
            status: CallStatus::read(status),
            is_bridged,
            call_sid: None,
            duration: None,
            sip_status,
        }
    }

    #[test]
    fn every_dial_has_one_meaning() {
        use HangupCause as C;
        for (status, bridged, sip, expected) in [
            ("completed", Some(true), Some(200), C::Normal),
            ("completed", Some(false), Some(200), C::Rejected),
            ("completed", None, None, C::Normal),
            ("answered", None, None, C::Normal),
            ("answered", Some(false), None, C::Rejected),
            ("busy", Some(false), None, C::Busy),
            ("busy", Some(false), Some(486), C::Busy),
            ("busy", Some(false), Some(600), C::Busy),
            ("busy", Some(false), Some(603), C::Rejected),
            ("no-answer", Some(false), None, C::NoAnswer),
            ("no-answer", Some(false), Some(487), C::NoAnswer),
            ("no-answer", Some(false), Some(480), C::NoAnswer),
            ("failed", Some(false), None, C::Unreachable),
            ("failed", Some(false), Some(404), C::Unreachable),
            ("failed", Some(false), Some(503), C::Unreachable),
            ("failed", Some(false), Some(403), C::Rejected),
            ("failed", Some(false), Some(488), C::NotAcceptable),
            ("failed", Some(false), Some(500), C::Failed),
            // A call that was up and then broke is not told by its 200.
            ("failed", Some(false), Some(200), C::Unreachable),
            ("canceled", Some(false), Some(487), C::Canceled),
            ("teleported", Some(false), None, C::Failed),
            // Connected is connected, whatever the state is called.
            ("failed", Some(true), None, C::Normal),
        ] {
            let outcome = dial(status, bridged, sip);
            assert_eq!(outcome.cause(), expected, "{status} {bridged:?} {sip:?}");
            assert_eq!(outcome.was_bridged(), expected == C::Normal, "{status}");
        }
    }

    #[test]
    fn words_are_read_and_written_alike() {
        for text in [
            "queued",
            "initiated",
            "ringing",
            "in-progress",
            "answered",
            "completed",
            "busy",
            "failed",
            "no-answer",
            "canceled",
        ] {
            let status = CallStatus::read(text);
            assert!(!matches!(status, CallStatus::Unknown(_)), "{text}");
            assert_eq!(status.as_str(), text);
            let stored = serde_json::to_string(&status).expect("JSON");
            assert_eq!(
                serde_json::from_str::<CallStatus>(&stored).expect("read"),
                status
            );
        }
        for text in [
            "accepted",
            "scheduled",
            "queued",
            "sending",
            "sent",
            "delivered",
            "partially_delivered",
            "undelivered",
            "failed",
            "read",
            "canceled",
            "receiving",
            "received",
        ] {
            let status = MessageStatus::read(text);
            assert!(!matches!(status, MessageStatus::Unknown(_)), "{text}");
            assert_eq!(status.as_str(), text);
        }
        assert_eq!(
            CallStatus::read("on-<hold>\r\n"),
            CallStatus::Unknown("on-hold".into())
        );
        assert_eq!(CallStatus::read("cancelled"), CallStatus::Canceled);
    }

    #[test]
    fn only_ends_are_final_and_have_a_cause() {
        for status in [
            "queued",
            "initiated",
            "ringing",
            "in-progress",
            "answered",
            "new",
        ] {
            let status = CallStatus::read(status);
            assert!(!status.is_final());
            assert_eq!(status.cause(Some(200)), None);
        }
        for status in ["completed", "busy", "failed", "no-answer", "canceled"] {
            let status = CallStatus::read(status);
            assert!(status.is_final());
            assert!(status.cause(None).is_some());
        }
    }

    #[test]
    fn machines_are_known_by_their_prefix() {
        for text in [
            "machine_start",
            "machine_end_beep",
            "machine_end_silence",
            "machine_end_other",
            "machine_new",
        ] {
            assert!(
                matches!(AnsweredBy::read(text), AnsweredBy::Machine(_)),
                "{text}"
            );
        }
        assert_eq!(AnsweredBy::read("human"), AnsweredBy::Human);
        assert_eq!(AnsweredBy::read("fax"), AnsweredBy::Fax);
        assert_eq!(AnsweredBy::read("unknown"), AnsweredBy::Unknown);
    }

    #[test]
    fn messages_are_delivered_lost_or_under_way() {
        assert!(MessageStatus::read("delivered").is_delivered());
        assert!(MessageStatus::read("read").is_delivered());
        assert!(MessageStatus::read("undelivered").is_lost());
        assert!(MessageStatus::read("failed").is_lost());
        let sent = MessageStatus::read("sent");
        assert!(!sent.is_delivered() && !sent.is_lost());
    }
}
