//! SIP for the gateway: listeners, registrar, trunks, digest, dialogs.
//!
//! What belongs here: everything of RFC 3261 between the socket and "a call comes in", "it rings",
//! "it was answered", "it is over". What does not: what a call is for, media, storage.
//!
//! The adopted stack (rsipstack) supplies message parsing and the transaction machines; its types
//! stop at this crate. Sockets, checks, digest, dialogs and the registrar are ours, because a dial
//! must be written down before it leaves, with everything another process needs to end it.
//! `docs/sip.md` says what is left out on purpose.
//!
//! Start reading at [`SipEndpoint`] and [`SipEvent`]; inside, at `core.rs` (the way of a message)
//! and `leg/mod.rs` (the life of a leg).

mod accounts;
mod admission;
mod auth;
mod call_headers;
mod client;
pub mod config;
mod core;
mod dial;
pub mod digest;
mod door;
mod endpoint;
pub mod event;
mod extension;
pub mod fuzzing;
mod leg;
mod message;
mod nat;
mod orphan;
pub mod reason;
pub mod record;
pub mod refer;
mod register;
pub mod registrar;
mod replacing;
mod resolve;
mod scanner;
mod stack_error;
mod tap;
pub mod throttle;
mod tidy;
pub mod tls;
mod transport;
pub mod trunks;
pub mod uri;
mod wire;

pub use admission::CallLimits;
pub use config::{
    AccountSecret, ExtensionAccount, LegIdSource, SessionTimerConfig, SipConfig, SipLimits,
    SipStartError, SipTimers, SipTransport, TrunkAddress, TrunkAuth, TrunkConfig, TrunkId,
    TrunkRegistration,
};
pub use dial::PreparedDial;
pub use endpoint::{InboundHandle, ReInviteResponder, SipEndpoint};
pub use event::{
    DialError, DialFrom, DialRequest, DialTarget, IncomingCall, LegGone, OrphanOutcome,
    ReferOutcome, SipEvent, SipLegEvent, Source, UnregisterReason, WireDirection, WireMessage,
};
pub use nat::Advertised;
pub use record::{DialogRecord, DialogRole, DialogState, RecordError};
pub use refer::Replaces;
pub use registrar::Binding;
pub use resolve::DnsConfig;
pub use tls::{TlsConfig, TlsError, TlsIdentity};
pub use transport::{WebConnection, WebError, WebMessageError};
pub use trunks::{Reachability, RegistrationState, RegistrationStatus, TrunkStatus};
