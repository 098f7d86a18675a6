//! How calls end: one value with a stable code, who ended it, who is responsible, and what to do
//! about it. API, console, metrics and the judge read this list.

use serde::{Deserialize, Serialize};
use switchhook_model::{EndedBy, HangupCause};

/// Whose doing an outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Responsible {
    /// The end user.
    Caller,
    /// The human who was called, or nobody being there.
    Called,
    /// This program or its configuration.
    Us,
    /// A trunk, a network or a provider.
    Upstream,
    /// Nobody: all went as intended.
    Nobody,
}

/// The stable code of a call's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeCode {
    /// The assistant or the two parties finished.
    Completed,
    /// The caller hung up while talking to the assistant.
    CallerHungUp,
    /// The caller was joined with a human, and one of them hung up.
    Transferred,
    /// The caller's own exchange took the caller over (REFER). What became of it there, only that
    /// exchange knows.
    HandedOver,
    /// The caller left a message.
    MessageTaken,
    /// The staff were told about the caller, without a message.
    StaffNotified,
    /// The caller hung up while waiting for a human.
    CallerGone,
    /// The caller gave up before we answered.
    CallerCanceled,
    /// No human was reached and the fallback steps were used up.
    TransferFailed,
    /// The caller said nothing for too long.
    Silence,
    /// The caller gave no right PIN.
    NotIdentified,
    /// The configured number of turns was reached.
    TurnLimit,
    /// The longest allowed duration was reached.
    TimeLimit,
    /// Too many errors of a provider in a row.
    AssistantErrors,
    /// An operator ended it.
    OperatorHangup,
    /// The called party did not answer.
    NoAnswer,
    /// The called party was busy.
    Busy,
    /// The called party refused.
    Rejected,
    /// A machine answered: a mailbox or a fax.
    Voicemail,
    /// The called party could not be reached.
    Unreachable,
    /// No common codec.
    NotAcceptable,
    /// Anything else that kept the call from being answered.
    Failed,
    /// No audio came any more.
    MediaLost,
    /// The program restarted while the call was up.
    Restarted,
    /// The program was stopped while the call was up.
    Shutdown,
}

impl OutcomeCode {
    /// All codes, for the catalogue's readers.
    pub const ALL: [Self; 25] = [
        Self::Completed,
        Self::CallerHungUp,
        Self::Transferred,
        Self::HandedOver,
        Self::MessageTaken,
        Self::StaffNotified,
        Self::CallerGone,
        Self::CallerCanceled,
        Self::TransferFailed,
        Self::Silence,
        Self::NotIdentified,
        Self::TurnLimit,
        Self::TimeLimit,
        Self::AssistantErrors,
        Self::OperatorHangup,
        Self::NoAnswer,
        Self::Busy,
        Self::Rejected,
        Self::Voicemail,
        Self::Unreachable,
        Self::NotAcceptable,
        Self::Failed,
        Self::MediaLost,
        Self::Restarted,
        Self::Shutdown,
    ];

    /// The code as API, logs and metrics show it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CallerHungUp => "caller_hung_up",
            Self::Transferred => "transferred",
            Self::HandedOver => "handed_over",
            Self::MessageTaken => "message_taken",
            Self::StaffNotified => "staff_notified",
            Self::CallerGone => "caller_gone",
            Self::CallerCanceled => "caller_canceled",
            Self::TransferFailed => "transfer_failed",
            Self::Silence => "silence",
            Self::NotIdentified => "not_identified",
            Self::TurnLimit => "turn_limit",
            Self::TimeLimit => "time_limit",
            Self::AssistantErrors => "assistant_errors",
            Self::OperatorHangup => "operator_hangup",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Voicemail => "voicemail",
            Self::Unreachable => "unreachable",
            Self::NotAcceptable => "not_acceptable",
            Self::Failed => "failed",
            Self::MediaLost => "media_lost",
            Self::Restarted => "restarted",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whose doing it is.
    pub fn responsible(self) -> Responsible {
        match self {
            Self::Completed
            | Self::Transferred
            | Self::HandedOver
            | Self::MessageTaken
            | Self::StaffNotified
            | Self::OperatorHangup => Responsible::Nobody,
            Self::CallerHungUp
            | Self::CallerGone
            | Self::CallerCanceled
            | Self::Silence
            | Self::NotIdentified => Responsible::Caller,
            Self::TransferFailed
            | Self::NoAnswer
            | Self::Busy
            | Self::Rejected
            | Self::Voicemail => Responsible::Called,
            Self::TurnLimit | Self::TimeLimit | Self::Restarted | Self::Shutdown => Responsible::Us,
            Self::AssistantErrors
            | Self::Unreachable
            | Self::NotAcceptable
            | Self::Failed
            | Self::MediaLost => Responsible::Upstream,
        }
    }

    /// What an operator can do so that the next call ends better, if anything.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Completed
            | Self::CallerHungUp
            | Self::Transferred
            | Self::MessageTaken
            | Self::StaffNotified
            | Self::CallerCanceled
            | Self::HandedOver
            | Self::OperatorHangup => None,
            Self::CallerGone => Some(
                "Callers give up waiting: shorten the ring timeout or put more people on the department's list.",
            ),
            Self::TransferFailed => Some(
                "Add TakeMessage and NotifyStaff to the fallback chain, so that the next caller can leave something.",
            ),
            Self::Silence => Some(
                "Listen to the recording: if the caller did speak, check one-way audio (NAT, the advertised media address).",
            ),
            Self::NotIdentified => Some(
                "If this happens often, let callers without a PIN reach a human (pin.human_without_pin), or set new PINs.",
            ),
            Self::TurnLimit => Some("Raise the turn limit if such long conversations are wanted."),
            Self::TimeLimit => Some("Raise max_call_s if such long calls are wanted."),
            Self::AssistantErrors => Some(
                "See the health page for the failing provider; check its key, quota and base URL.",
            ),
            Self::NoAnswer | Self::Busy | Self::Rejected | Self::Voicemail => {
                Some("Try again later.")
            }
            Self::Unreachable => Some(
                "Check that the extension is registered, or that the trunk's address and the number are right.",
            ),
            Self::NotAcceptable => Some("Allow PCMU or PCMA on the other side."),
            Self::Failed => Some("See the ladder for the final status of the peer."),
            Self::MediaLost => Some(
                "No RTP arrived: check the network path, firewall and the advertised media address.",
            ),
            Self::Restarted => Some("See the log before the restart for why the process ended."),
            Self::Shutdown => Some("Drain before stopping: give running calls time to finish."),
        }
    }

    /// The code for an outbound or direct call that was not answered.
    pub fn from_unanswered(cause: HangupCause) -> Self {
        match cause {
            HangupCause::Busy => Self::Busy,
            HangupCause::NoAnswer | HangupCause::Canceled => Self::NoAnswer,
            HangupCause::Rejected => Self::Rejected,
            HangupCause::Unreachable => Self::Unreachable,
            HangupCause::NotAcceptable => Self::NotAcceptable,
            HangupCause::MediaLost => Self::MediaLost,
            HangupCause::Normal | HangupCause::AnsweredElsewhere | HangupCause::Failed => {
                Self::Failed
            }
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOutcome {
    /// The stable code.
    pub code: OutcomeCode,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// One English sentence for operators.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_its_codes_are_those_of_the_json() {
        let mut seen = std::collections::BTreeSet::new();
        for code in OutcomeCode::ALL {
            assert!(seen.insert(code.code()), "{code:?} twice");
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.code()));
        }
    }
}
