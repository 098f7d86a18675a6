//! What a leg keeps for the extensions it speaks, and their timers.

use std::time::Duration;

use rsipstack::sip::{Header, Headers};
use rsipstack::transaction::Transaction;
use tokio::time::Instant;

use super::early::EarlyDialogs;
use super::reliable::Reliable;
use super::session::Session;
use super::{Leg, Phase};
use crate::client::Order;
use crate::config::SipConfig;
use crate::extension::allows;
use crate::message::header_of;

/// State of the extensions of one leg.
pub(super) struct Extras {
    pub session: Session,
    /// Inbound: provisional responses of ours that want a PRACK.
    pub reliable: Reliable,
    /// Outbound: provisional responses of theirs that we acknowledge.
    pub early: EarlyDialogs,
    /// A re-INVITE of ours that met one of theirs and is sent again.
    pub retry: Option<Retry>,
    pub update: Option<OwnUpdate>,
    /// Whether the other side's Allow lists UPDATE.
    pub peer_takes_update: bool,
    /// Our description as last agreed: what a refreshing re-INVITE repeats (RFC 4028 §7.4).
    pub local_sdp: Option<String>,
    /// Why we end the dialog, where there is more to say than the cause.
    pub ending: Option<&'static str>,
    /// A re-INVITE that came before the ACK of the INVITE ahead of it; one is kept.
    pub overtook_ack: Option<Box<Transaction>>,
    /// Of our requests within the dialog.
    pub order: Order,
}

/// A re-INVITE to be sent again.
pub(super) struct Retry {
    pub at: Instant,
    pub order: ReInviteOrder,
}

/// A re-INVITE of ours.
#[derive(Debug, Clone)]
pub(super) struct ReInviteOrder {
    pub sdp: String,
    pub purpose: Purpose,
    /// How often it was sent again after 491 or 500.
    pub tries: u32,
}

/// What a re-INVITE of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Asked for by the user of the endpoint, who is told what comes of it.
    Media,
    /// Ours alone: the session timer.
    Refresh,
}

/// An UPDATE of ours in flight.
pub(super) struct OwnUpdate {
    pub authorized: bool,
}

impl Extras {
    pub(super) fn new(config: &SipConfig) -> Self {
        Self {
            session: Session::new(config.session_timer),
            reliable: Reliable::default(),
            early: EarlyDialogs::default(),
            retry: None,
            update: None,
            peer_takes_update: false,
            local_sdp: None,
            ending: None,
            overtook_ack: None,
            order: Order::default(),
        }
    }

    /// Notes what the other side's message says it can do.
    pub(super) fn learn_allow(&mut self, headers: &Headers) {
        if crate::message::header(headers, "Allow").is_some() {
            self.peer_takes_update = allows(headers, "UPDATE");
        }
    }
}

/// Supported, as every INVITE of ours and every 2xx to one says it.
pub(crate) fn supported(config: &SipConfig) -> Header {
    let mut options = Vec::new();
    if config.reliable_provisionals {
        options.push("100rel");
    }
    if config.session_timer.is_some() {
        options.push("timer");
    }
    options.push("replaces");
    header_of("Supported", options.join(", "))
}

impl Leg {
    /// When an extension wants to act next.
    pub(super) fn extras_timer(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Incoming(_) => self.ext.reliable.next_timer(),
            Phase::Established => {
                let retry = self.ext.retry.as_ref().map(|retry| retry.at);
                [retry, self.ext.session.next_timer()]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Phase::Calling(_) | Phase::Answering { .. } | Phase::Ending { .. } | Phase::Over => {
                None
            }
        }
    }

    /// Does what is due; false when nothing was.
    pub(super) async fn extras_due(&mut self) -> bool {
        let now = Instant::now();
        if self.extras_timer().is_none_or(|at| at > now) {
            return false;
        }
        if matches!(self.phase, Phase::Incoming(_)) {
            self.unacknowledged_due(now);
        } else if self.ext.session.is_expired(now) {
            self.session_expired().await;
        } else if self.ext.retry.as_ref().is_some_and(|r| r.at <= now) {
            self.retry_reinvite().await;
        } else {
            self.refresh_session().await;
        }
        true
    }

    /// A duration that RFC 3261 gives in seconds for its own T1 of 500 ms.
    pub(super) fn scaled(&self, seconds: f64) -> Duration {
        (self.core.config.timers.t1 * 2).mul_f64(seconds)
    }
}
