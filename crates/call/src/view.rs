//! What `GET /api/calls/{id}` shows of a call; turns, latency, recording and violations are added by
//! the shell. Field names are an interface to the outside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use switchhook_model::{
    AttemptId, CallId, Direction, EndedBy, HangupCause, LegId, MessageId, Target, Timestamp,
    TransferId,
};

use crate::event::ReferReport;
use crate::explain::{Explanation, explain};
use crate::leg::{Leg, LegKind, LegState, Party};
use crate::outcome::{CallOutcome, OutcomeCode, Responsible};
use crate::transfer::{
    Attempt, AttemptResult, Requester, Transfer, TransferKind, TransferMethod, TransferOutcome,
};

/// Timestamps as RFC 3339 in UTC.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use switchhook_model::Timestamp;

    /// As text.
    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&at.to_rfc3339())
    }

    /// From text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse_rfc3339(&text)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }

    /// The same for times that may be missing.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};
        use switchhook_model::Timestamp;

        /// As text or null.
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => to.serialize_some(&at.to_rfc3339()),
                None => to.serialize_none(),
            }
        }

        /// From text or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Option::<String>::deserialize(from)?
                .map(|text| {
                    Timestamp::parse_rfc3339(&text).ok_or_else(|| {
                        D::Error::custom(format!("{text:?} is not an RFC 3339 time"))
                    })
                })
                .transpose()
        }
    }
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// The first party is not connected yet.
    Ringing,
    /// The caller talks to the assistant.
    Assistant,
    /// A transfer is under way, its fallback steps included.
    Transferring,
    /// The caller talks to a human.
    WithAgent,
    /// Over.
    Ended,
}

/// By which way the caller came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// SIP.
    Sip,
    /// Twilio.
    Twilio,
    /// A browser.
    Browser,
    /// A LiveKit room.
    #[serde(rename = "livekit")]
    LiveKit,
}

impl Channel {
    /// How the legs of a call of this channel reach their parties.
    pub(crate) fn leg_kind(self) -> LegKind {
        match self {
            Self::Sip => LegKind::Sip,
            Self::Twilio => LegKind::Twilio,
            Self::Browser => LegKind::WebRtc,
            Self::LiveKit => LegKind::LiveKit,
        }
    }
}

/// A call as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Its id.
    pub id: CallId,
    /// Seen from the gateway.
    pub direction: Direction,
    /// By which way the caller came in.
    pub channel: Channel,
    /// Nobody was really called: the call was acted by this program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// The profile it runs under.
    pub profile: String,
    /// The assistant's name, if one takes part.
    pub assistant: Option<String>,
    /// Where it stands.
    pub status: CallStatus,
    /// Who calls, as stated; for an outbound call the number we show.
    pub caller: String,
    /// The caller's display name, as stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_name: Option<String>,
    /// What was dialled.
    pub callee: String,
    /// When it came in or was requested.
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// When the caller was connected.
    #[serde(with = "rfc3339::option")]
    pub answered_at: Option<Timestamp>,
    /// When the caller's leg ended for good.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<OutcomeView>,
    /// Headers of the caller's INVITE that the configuration keeps, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sip_headers: BTreeMap<String, String>,
    /// All legs, oldest first. The shell writes them apart, with what it knows of their audio.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegView>,
    /// All transfers, oldest first.
    pub transfers: Vec<TransferView>,
}

/// An outcome with what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeView {
    /// The stable code.
    pub code: OutcomeCode,
    /// Who ended the call.
    pub ended_by: EndedBy,
    /// Whose doing it is.
    pub responsible: Responsible,
    /// One English sentence.
    pub detail: String,
    /// What an operator can do, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A leg as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegView {
    /// Its id.
    pub id: LegId,
    /// How it reaches its party.
    pub kind: LegKind,
    /// Whose it is.
    pub party: Party,
    /// Whom we dialled.
    pub target: Option<Target>,
    /// Where it stands.
    pub state: LegStateView,
    /// When it was offered or dialled.
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// When it was answered.
    #[serde(with = "rfc3339::option")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<HangupCause>,
    /// The final SIP status, if it failed with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// What the far end said beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Since when its party holds us.
    #[serde(
        default,
        with = "rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub held_by_party_since: Option<Timestamp>,
    /// Since when an operator holds its party.
    #[serde(
        default,
        with = "rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub held_by_operator_since: Option<Timestamp>,
}

/// The state of a leg as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegStateView {
    /// Not connected yet.
    Ringing,
    /// Connected.
    Answered,
    /// Given up, the far end has not confirmed it yet.
    Canceling,
    /// Over.
    Ended,
}

impl From<LegState> for LegStateView {
    fn from(state: LegState) -> Self {
        match state {
            LegState::Offered | LegState::Answering | LegState::Dialing | LegState::Ringing => {
                Self::Ringing
            }
            LegState::Answered => Self::Answered,
            LegState::Canceling => Self::Canceling,
            LegState::Ending | LegState::Ended => Self::Ended,
        }
    }
}

/// A transfer as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferView {
    /// Its id.
    pub id: TransferId,
    /// Who asked.
    pub requested_by: Requester,
    /// Whether the transferor talked to the target first.
    #[serde(default, skip_serializing_if = "TransferKind::is_default")]
    pub kind: TransferKind,
    /// Who says so, from the phone's Referred-By.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referred_by: Option<String>,
    /// The leg that was joined without a dial of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<LegId>,
    /// Why.
    pub reason: String,
    /// The assistant's summary.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The department, if named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Whether it came outside the open hours.
    pub closed: bool,
    /// When it was requested.
    #[serde(with = "rfc3339")]
    pub requested_at: Timestamp,
    /// When its outcome was known.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
    /// All attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// How it ended.
    pub outcome: Option<TransferOutcome>,
    /// The notices it gave rise to.
    pub notices: Vec<MessageId>,
}

/// A dial attempt as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its id.
    pub id: AttemptId,
    /// The leg it dialled.
    pub leg: LegId,
    /// Whom.
    pub target: Target,
    /// Seconds it may ring.
    pub ring_timeout_s: u32,
    /// How it is carried out.
    #[serde(default, skip_serializing_if = "TransferMethod::is_default")]
    pub method: TransferMethod,
    /// The last that was heard of a REFER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReferReport>,
    /// How it ended.
    pub result: Option<AttemptResult>,
    /// The final SIP status, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// What that status means and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// When its result was known.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
}

impl From<&CallOutcome> for OutcomeView {
    fn from(outcome: &CallOutcome) -> Self {
        Self {
            code: outcome.code,
            ended_by: outcome.ended_by,
            responsible: outcome.code.responsible(),
            detail: outcome.detail.clone(),
            remedy: outcome.code.remedy().map(str::to_owned),
        }
    }
}

impl From<&Leg> for LegView {
    fn from(leg: &Leg) -> Self {
        Self {
            id: leg.id.clone(),
            kind: leg.kind,
            party: leg.party,
            target: leg.target.clone(),
            state: leg.state.into(),
            started_at: leg.started_at,
            answered_at: leg.answered_at,
            ended_at: leg.ended_at,
            cause: leg.cause,
            sip_status: leg.sip_status,
            detail: leg.detail.clone(),
            held_by_party_since: leg.held_by_party,
            held_by_operator_since: leg.held_by_operator,
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.clone(),
            leg: attempt.leg.clone(),
            target: attempt.target.clone(),
            ring_timeout_s: attempt.ring_timeout_s,
            method: attempt.method,
            report: attempt.report,
            result: attempt.result,
            sip_status: attempt.sip_status,
            explanation: attempt
                .sip_status
                .and_then(|status| explain(status, attempt.detail.as_deref().unwrap_or(""))),
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
        }
    }
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        Self {
            id: transfer.id.clone(),
            requested_by: transfer.requested_by,
            kind: transfer.kind,
            referred_by: transfer.referred_by.clone(),
            joined: transfer.joined.clone(),
            reason: transfer.reason.clone(),
            summary: transfer.summary.clone(),
            department: transfer.department.clone(),
            closed: transfer.closed,
            requested_at: transfer.requested_at,
            ended_at: transfer.ended_at,
            attempts: transfer.attempts.iter().map(AttemptView::from).collect(),
            outcome: transfer.outcome,
            notices: transfer.notices.clone(),
        }
    }
}
