//! What the API asks of the running gateway. Reads go to the store; only what acts on live calls or
//! needs the world's present state passes here.

use async_trait::async_trait;
use serde::Serialize;
use switchhook_model::{CallId, RequestId, Target, Timestamp};
use tokio::sync::broadcast;
use utoipa::ToSchema;

use super::rfc3339;
use crate::bus::LiveEvent;

/// The running gateway as the API sees it.
#[async_trait]
pub trait Operator: Send + Sync + 'static {
    /// Ends a live call. Returns when it has been told, not when it is over.
    async fn hangup(&self, call: &CallId, by: &str) -> Result<(), CommandError>;
    /// Starts a transfer of a live call. Returns when it has been told.
    async fn transfer(&self, call: &CallId, order: TransferOrder) -> Result<(), CommandError>;
    /// Pauses or resumes the recording of a live call. Returns when it is done.
    async fn recording(
        &self,
        call: &CallId,
        order: RecordingOrder,
        by: &str,
    ) -> Result<(), CommandError>;
    /// Puts the caller of a live call on hold. Returns when the call has been told.
    async fn hold(&self, call: &CallId, by: &str) -> Result<(), CommandError>;
    /// Takes the caller back from hold. Returns when the call has been told.
    async fn resume(&self, call: &CallId, by: &str) -> Result<(), CommandError>;
    /// Calls somebody and connects them with an assistant. Returns once the call is stored.
    async fn initiate(&self, order: CallOrder) -> Result<Initiated, InitiateError>;
    /// Configured extensions with their registrations, by extension.
    async fn extensions(&self) -> Vec<ExtensionStatus>;
    /// Configured trunks with what is known of them, by name.
    async fn trunks(&self) -> Vec<TrunkView>;
    /// The last check of each integration; does not itself wait for anything slow.
    async fn readiness(&self) -> Readiness;
    /// What changes from now on.
    fn subscribe(&self) -> broadcast::Receiver<LiveEvent>;
}

/// What an operator wants of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingOrder {
    Pause,
    Resume,
}

/// A transfer asked for by an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOrder {
    /// The same for a repeated request with the same `Idempotency-Key`.
    pub request: RequestId,
    pub to: TransferTo,
    /// User name.
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferTo {
    Target(Target),
    Department(String),
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallTo {
    Target(Target),
    /// A number as people of the configured region write it.
    National(String),
}

/// A call asked for by an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOrder {
    pub to: CallTo,
    pub assistant: Option<String>,
    pub agent_type: Option<String>,
    pub customer_id: Option<String>,
    /// User name.
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiated {
    pub call: CallId,
    /// The call's status, `ringing` as a rule; `simulation` where nobody is really called.
    pub status: String,
    /// Twilio's id.
    pub call_sid: Option<String>,
    /// Whether there are credentials.
    pub twilio_configured: bool,
    /// One sentence for people.
    pub message: String,
}

/// Why a command to a call was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Over, or never there: the API looks in the store to tell which.
    #[error("the call is not live")]
    NotLive,
    #[error("there is no department {given:?}; known: {}", known.join(", "))]
    UnknownDepartment { given: String, known: Vec<String> },
    #[error("{target} may not be dialled: {reason}")]
    NotAllowed { target: String, reason: String },
    /// The call's state does not allow it now, for example because a transfer is under way.
    #[error("{reason}")]
    Conflict { reason: String },
    #[error("the call did not take the command in time; try again")]
    Busy,
    #[error("internal: {detail}")]
    Internal { detail: String },
}

/// Why a call was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitiateError {
    #[error("{target} may not be dialled: {reason}")]
    NotAllowed { target: String, reason: String },
    #[error("extension {extension} is not registered; sign a phone in as {extension} first")]
    Unregistered { extension: String },
    #[error("there is no assistant {given:?}; known: {}", known.join(", "))]
    UnknownAssistant { given: String, known: Vec<String> },
    #[error("numbers need a trunk, and none is configured; add [trunks.NAME] to the configuration")]
    NoTrunk,
    #[error(
        "twilio.number (TWILIO_PHONE_NUMBER) is missing: the number that is shown to those we call"
    )]
    NoNumber,
    #[error("this is no number we can call: {reason}")]
    InvalidNumber { reason: String },
    #[error("nobody is called at this time of day there ({time_zone}); outbound.hours says when")]
    OutsideHours { time_zone: String },
    /// Too many, too often or too dear; each has its own code.
    #[error("{message}")]
    Limit {
        code: &'static str,
        message: String,
        retry_after_s: u64,
    },
    /// The call is stored as failed.
    #[error("{message}")]
    Carrier { call: CallId, message: String },
    #[error("all {calls_max} lines are in use; try again in {retry_after_s} s")]
    Full { calls_max: u32, retry_after_s: u32 },
    #[error("the gateway is shutting down and takes no new calls")]
    Draining,
    #[error("internal: {detail}")]
    Internal { detail: String },
}

/// A configured extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExtensionStatus {
    pub extension: String,
    pub display_name: Option<String>,
    pub registered: bool,
    pub contacts: Vec<Contact>,
}

/// Where a registered extension is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Contact {
    pub uri: String,
    pub user_agent: Option<String>,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A configured trunk and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrunkView {
    pub trunk: String,
    /// `up`, `down` or `unknown` (not asked by OPTIONS yet, or never asked).
    pub state: String,
    /// Since when it has been so.
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub checked_at: Option<Timestamp>,
    /// Of the last OPTIONS that was answered, in milliseconds.
    pub round_trip_ms: Option<u64>,
    /// Why the last OPTIONS counts as failed; null after one that succeeded.
    pub last_error: Option<String>,
    /// Null unless we register there.
    pub registration: Option<TrunkRegistration>,
}

/// Our registration at a trunk's registrar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrunkRegistration {
    /// `registering`, `registered`, `failed` or `unregistered`.
    pub state: String,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub registered_until: Option<Timestamp>,
    /// SIP status of the last refusal.
    pub last_status: Option<u16>,
    /// Why the last REGISTER failed; null after one that succeeded.
    pub last_error: Option<String>,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Timestamp>,
}

/// What the gateway depends on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether new calls are taken. False while starting or draining.
    pub ready: bool,
    /// `production`, `development` or `demo`.
    pub mode: String,
    pub version: String,
    pub capacity: Capacity,
    pub sip: SipReach,
    pub integrations: Vec<Integration>,
}

/// Where phones reach the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SipReach {
    /// The user part that leads to the assistant, as in `sip:assistant@HOST`; null when no number of
    /// the gateway does.
    pub assistant: Option<String>,
    /// The address peers are told (`media.advertised_ip`). Null when that is loopback: then phones
    /// use whatever name they know this machine by.
    pub host: Option<String>,
    /// What the gateway listens on, the ports really taken.
    pub listeners: Vec<SipListener>,
}

/// One address the gateway listens on for SIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SipListener {
    /// `udp` or `tcp`.
    pub transport: String,
    /// As bound; `0.0.0.0` or `::` is every address of the machine.
    pub ip: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capacity {
    pub calls_active: u32,
    pub calls_max: u32,
}

/// One thing the gateway depends on, with its last check.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Integration {
    pub name: String,
    pub state: IntegrationState,
    /// Empty for readers who are not signed in; so are `cause` and `cure`.
    pub detail: Option<String>,
    pub cause: Option<String>,
    pub cure: Option<String>,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub checked_at: Option<Timestamp>,
    pub latency_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationState {
    Ok,
    Degraded,
    NotConfigured,
}
