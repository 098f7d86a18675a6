//! What the endpoint reports and what it is asked to do.

use std::net::SocketAddr;
use std::time::Duration;

use switchhook_model::{CallerIdentity, Digit, Extension, HangupCause, LegId, Timestamp};

use crate::config::TrunkId;
use crate::endpoint::{InboundHandle, ReInviteResponder};
use crate::record::DialogRecord;
use crate::refer::Replaces;
use crate::registrar::Binding;
use crate::trunks::TrunkStatus;

/// Everything the endpoint reports, in the order it happened.
#[derive(Debug)]
pub enum SipEvent {
    /// Somebody calls. The leg is answered 100 and waits for its handle.
    Incoming(Box<IncomingCall>),
    /// Something happened to a leg.
    Leg { leg: LegId, event: SipLegEvent },
    /// An extension's bindings changed by a REGISTER; all that are live now, to be stored.
    Registered {
        extension: Extension,
        bindings: Vec<Binding>,
    },
    /// Bindings ended; those that remain, to be stored.
    Unregistered {
        extension: Extension,
        bindings: Vec<Binding>,
        reason: UnregisterReason,
    },
    /// A trunk went up or down, or our registration there changed.
    TrunkChanged(Box<TrunkStatus>),
    /// A message went over the wire, secrets removed. For the ladder.
    WireMessage(Box<WireMessage>),
    /// A leg left over from before a restart is over (see `SipEndpoint::end_orphan`).
    OrphanEnded { leg: LegId, outcome: OrphanOutcome },
}

/// Why bindings ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnregisterReason {
    /// By the phone (Expires: 0).
    Removed,
    Expired,
    /// The connection the phone or browser had opened is closed.
    Disconnected,
}

/// An INVITE that opened a leg.
#[derive(Debug)]
pub struct IncomingCall {
    pub leg: LegId,
    /// SIP Call-ID (RFC 3261 §8.1.1.4).
    pub sip_call_id: String,
    /// From, as claimed; for an extension its own number.
    pub from: CallerIdentity,
    /// User part of the Request-URI: `assistant`, an extension, a DID.
    pub to_user: String,
    /// Who vouches for the caller.
    pub source: Source,
    /// Where the INVITE came from.
    pub peer: SocketAddr,
    /// SDP offer; `None` asks us to offer (RFC 3261 §13.2.1), the answer then comes as
    /// [`SipLegEvent::Confirmed`].
    pub sdp_offer: Option<String>,
    /// The leg it asks to replace (RFC 3891); whether the caller may is for the receiver to decide.
    pub replaces: Option<LegId>,
    /// Headers that tell where the call comes from: `X-` ones, Diversion, History-Info,
    /// User-to-User, Reason; identities only from trunks. Untrusted text without control
    /// characters, at most 32 of at most 1,024 characters.
    pub headers: Vec<(String, String)>,
    pub handle: InboundHandle,
    /// To be stored before the leg is answered.
    pub record: DialogRecord,
}

/// Who vouches for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Digest-authenticated.
    Extension(Extension),
    /// By address, digest or both, as the trunk is configured.
    Trunk(TrunkId),
    /// Nobody: a loopback caller while guests are allowed.
    Guest,
}

/// What happens to a leg. `Failed`, `Ended` and `Canceled` are final: exactly one of them comes,
/// and nothing after it.
#[derive(Debug)]
pub enum SipLegEvent {
    /// The dialog record changed; to be stored.
    Record(Box<DialogRecord>),
    /// Outbound: 100.
    Trying,
    /// Outbound: 180, 181, 182 or 183; SDP when early media is offered. Forked once more than one
    /// callee has rung: whose early media is to be heard is open then.
    Ringing {
        status: u16,
        early_sdp: Option<String>,
        is_forked: bool,
    },
    /// Outbound: 200, acknowledged.
    Answered { sdp: Option<String> },
    /// Inbound: our 200 was acknowledged; the SDP answer if we had to offer.
    Confirmed { sdp: Option<String> },
    /// Outbound: no dialog came to be. `status` is `None` when no response said so.
    Failed {
        status: Option<u16>,
        cause: HangupCause,
        reason: String,
    },
    /// The leg is over.
    Ended {
        by_remote: bool,
        cause: HangupCause,
        reason: String,
    },
    /// Inbound: the caller gave up before an answer. `reason` is their Reason header.
    Canceled { reason: String },
    /// The other side changes the media (hold, resume, codec); answer with the responder.
    ReInvite {
        sdp: Option<String>,
        responder: ReInviteResponder,
    },
    /// Our re-INVITE was accepted.
    ReInviteAnswered { sdp: Option<String> },
    /// Our re-INVITE was refused; the media stay as they were. `None`: no response.
    ReInviteFailed { status: Option<u16> },
    /// The other side asks that its partner go elsewhere (REFER, RFC 3515). To be answered by
    /// `SipEndpoint::answer_refer`.
    Refer {
        /// Names the REFER within the leg.
        id: u32,
        /// Where to, a SIP URI.
        uri: String,
        /// The dialog to take over there: an attended transfer.
        replaces: Option<Replaces>,
        /// `<sip:…>` of who says so (RFC 3892), unproven.
        referred_by: Option<String>,
    },
    /// What is known of our REFER.
    ReferReported(ReferOutcome),
    /// Outbound: a 3xx. To be answered by `SipEndpoint::follow_redirect` or `refuse_redirect`; the
    /// dial's time goes on.
    Redirected {
        status: u16,
        /// Where to, best first; where the dial went already is left out.
        uris: Vec<String>,
    },
    /// Outbound: the record of the INVITE that follows a redirection. Store it, then call
    /// `SipEndpoint::proceed`.
    RedirectReady(Box<DialogRecord>),
    /// A key, by INFO (`application/dtmf-relay` or `application/dtmf`).
    Digit(Digit),
    /// A key of ours sent by INFO was not taken; `None` when there was no answer, or too many keys
    /// waited.
    DigitRefused { status: Option<u16> },
}

/// How a REFER of ours goes (RFC 3515 §2.4). `Completed` and `Failed` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferOutcome {
    /// 202: it will be tried.
    Accepted,
    /// The target was called: 180 and the like.
    Progress { status: u16 },
    /// The other side reports a 2xx. Some report it before the target answered.
    Completed { status: u16 },
    /// Refused, or reported as failed. `None`: no word, or reports ended without a result.
    Failed { status: Option<u16> },
}

/// A message that went over the wire.
#[derive(Debug, Clone)]
pub struct WireMessage {
    pub at: Timestamp,
    /// The leg it belongs to, if any.
    pub leg: Option<LegId>,
    pub direction: WireDirection,
    pub transport: crate::config::SipTransport,
    pub peer: SocketAddr,
    /// Method of a request.
    pub method: Option<String>,
    /// Status of a response.
    pub status: Option<u16>,
    /// First line, for example `INVITE sip:2001@… SIP/2.0`.
    pub start_line: String,
    pub sip_call_id: String,
    /// For example `1 INVITE`.
    pub cseq: String,
    /// Whole message. Values of Authorization and Proxy-Authorization are replaced by `…`.
    pub text: String,
}

/// Seen from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireDirection {
    Received,
    Sent,
}

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialTarget {
    /// The newest binding of a registered extension.
    Extension(Extension),
    /// A number over a trunk.
    Trunk { trunk: TrunkId, number: String },
    /// A SIP URI that policy has allowed.
    Uri(String),
}

/// Who is shown as the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialFrom {
    /// Number or name; for a trunk `None` means the trunk's caller id.
    pub user: Option<String>,
    pub display: Option<String>,
}

/// One dial: one INVITE transaction (a second one only when a trunk asks for credentials).
#[derive(Debug, Clone)]
pub struct DialRequest {
    pub leg: LegId,
    pub target: DialTarget,
    pub from: DialFrom,
    pub sdp_offer: String,
    /// The dial is cancelled and fails as `NoAnswer` when nothing final came by then.
    pub timeout: Duration,
    /// Further headers, name and value.
    pub headers: Vec<(String, String)>,
}

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    #[error("extension {0} is not configured")]
    UnknownExtension(Extension),
    #[error("extension {0} is not registered: no phone has logged in")]
    NotRegistered(Extension),
    #[error("trunk {0} is not configured")]
    UnknownTrunk(TrunkId),
    #[error("trunk {0} has no termination address: set its termination")]
    NoTermination(TrunkId),
    #[error("trunk {trunk} is down and set to be skipped then: {cause}")]
    TrunkDown { trunk: TrunkId, cause: String },
    /// The target itself is not part of the text: it is somebody's number, and this is logged.
    #[error("the target cannot be dialled: {cause}")]
    BadTarget { target: String, cause: String },
    #[error("host {host:?} cannot be resolved: {cause}")]
    Unresolvable { host: String, cause: String },
    #[error("header {0:?} holds a line break or is not a token, or is one the stack writes itself")]
    BadHeader(String),
    #[error("no {transport} listener can reach {peer}: configure one of its address family")]
    NoTransport {
        transport: &'static str,
        peer: SocketAddr,
    },
    #[error("leg {0} exists already")]
    DuplicateLeg(LegId),
    #[error("the limit of {0} legs is reached")]
    TooManyLegs(usize),
}

impl DialError {
    /// The cause as call control knows it.
    pub fn cause(&self) -> HangupCause {
        match self {
            Self::UnknownExtension(_)
            | Self::NotRegistered(_)
            | Self::UnknownTrunk(_)
            | Self::NoTermination(_)
            | Self::TrunkDown { .. }
            | Self::Unresolvable { .. }
            | Self::NoTransport { .. } => HangupCause::Unreachable,
            Self::BadTarget { .. }
            | Self::BadHeader(_)
            | Self::DuplicateLeg(_)
            | Self::TooManyLegs(_) => HangupCause::Failed,
        }
    }
}

/// The leg is over (or never was): nothing to do, and never a fault of the caller of the function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("leg {0} is over")]
pub struct LegGone(pub LegId);

/// How a leg from before a restart ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrphanOutcome {
    /// It still rang: CANCEL was accepted, its 487 acknowledged.
    Canceled,
    /// It was answered in that moment: acknowledged and ended by BYE.
    AnsweredAndEnded,
    /// It talked: BYE was accepted.
    Ended,
    /// An inbound leg that had no answer yet was refused.
    Rejected,
    /// The other side did not know it any more.
    AlreadyGone,
    /// The other side did not answer.
    NoResponse,
}
