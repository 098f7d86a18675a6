//! A phone's doorkeeper: what it asks of an INVITE before anything rings. With one a phone plays a
//! carrier's trunk.

use std::sync::Arc;

use super::config::OnCall;
use super::message::SipMessage;

/// What becomes of an INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is let in; what the phone then does, if not what it does otherwise.
    Admit(Option<OnCall>),
    /// It is answered so, and nothing rings.
    Refuse {
        /// 300 to 699.
        status: u16,
        /// Reason phrase.
        reason: &'static str,
        /// More headers of the answer: a challenge, the vendor's own error.
        headers: Vec<(String, String)>,
    },
}

type Judge = dyn Fn(&SipMessage) -> Admission + Send + Sync;

/// Decides on every INVITE outside a dialog.
#[derive(Clone)]
pub struct Gate(Arc<Judge>);

impl Gate {
    /// A gate that decides so.
    pub fn new(judge: impl Fn(&SipMessage) -> Admission + Send + Sync + 'static) -> Self {
        Self(Arc::new(judge))
    }

    pub(super) fn admit(&self, invite: &SipMessage) -> Admission {
        (self.0)(invite)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}
