//! Those who try doors: known tools by their name, and sources that ask again and again without ever
//! proving themselves. They get no answer at all, so that they learn nothing, not even that somebody
//! is here.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use rsipstack::sip::{Method, Request};

use crate::config::{SipLimits, SipTransport};
use crate::core::Core;
use crate::message;
use crate::tap::now;
use crate::throttle::FailureCounter;

/// How long attempts are counted, and a source that made too many hears nothing.
const WINDOW_MS: u64 = 300_000;

/// Parts of the User-Agent of tools that have no other use.
const SCANNERS: [&str; 12] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "sip-scan",
    "sipcli",
    "siparmyknife",
    "vaxsipuseragent",
    "pplsip",
    "sivus",
    "iwar",
    "smap/",
];

/// Counts attempts without proof, for a bounded number of sources.
pub(crate) struct Watch {
    attempts: Option<Mutex<FailureCounter<IpAddr>>>,
}

impl Watch {
    pub(crate) fn new(limits: &SipLimits) -> Self {
        let counter = || FailureCounter::new(limits.max_unproven, WINDOW_MS, limits.max_sources);
        Self {
            attempts: (limits.max_unproven > 0).then(|| Mutex::new(counter())),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut FailureCounter<IpAddr>) -> T) -> Option<T> {
        let attempts = self.attempts.as_ref()?;
        Some(act(&mut attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)))
    }

    /// A request that was challenged.
    pub(crate) fn unproven(&self, source: IpAddr) {
        self.with(|attempts| attempts.failed(source.to_canonical(), now()));
    }

    /// Somebody there knows a password.
    pub(crate) fn proven(&self, source: IpAddr) {
        self.with(|attempts| attempts.succeeded(&source.to_canonical()));
    }

    fn is_quiet(&self, source: IpAddr) -> bool {
        self.with(|attempts| attempts.is_blocked(&source.to_canonical(), now()))
            .unwrap_or(false)
    }
}

/// Whether the request says that it is from a scanner.
pub(crate) fn is_scanner(request: &Request) -> bool {
    let agent = message::header(&request.headers, "User-Agent").unwrap_or("");
    let agent = agent.to_ascii_lowercase();
    SCANNERS.iter().any(|name| agent.contains(name))
}

impl Core {
    /// Whether a request is to be dropped without an answer, and why. What belongs to a dialog of
    /// ours never is: whoever talks already goes on talking.
    pub(crate) fn ignores(
        &self,
        request: &Request,
        transport: SipTransport,
        source: SocketAddr,
    ) -> Option<&'static str> {
        let ends = matches!(request.method, Method::Ack | Method::Cancel);
        if ends || self.is_trunk_source(transport, source) || self.is_in_dialog(request) {
            return None;
        }
        if is_scanner(request) {
            return Some("scanner");
        }
        if self.is_proxy_source(transport, source) {
            return None;
        }
        let is_quiet = self.watch.is_quiet(source.ip());
        (is_quiet && !self.is_in_use(request, transport, source)).then_some("unproven")
    }

    /// Whether somebody who proved himself is known to be there. The address of a datagram can be
    /// made up: else a stranger could silence a phone, or the PBX we are registered at.
    fn is_in_use(&self, request: &Request, transport: SipTransport, source: SocketAddr) -> bool {
        let ip = source.ip().to_canonical();
        let is_bound = self
            .registrar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_bound_from(ip, now());
        if is_bound || (!is_web(transport) && self.is_registrar_of_ours(request, source)) {
            return true;
        }
        // Whoever got our challenge is where he says he is.
        matches!(request.method, Method::Register | Method::Invite)
            && self
                .authenticator
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_answer(now(), ip, &request.headers)
    }

    /// An address of a trunk. A WebSocket's is that of a browser, or of the proxy before us.
    pub(crate) fn is_trunk_source(&self, transport: SipTransport, source: SocketAddr) -> bool {
        !is_web(transport) && self.is_trunk_address(source)
    }

    /// An address of a proxy of ours; who wrote may be anybody behind it.
    pub(crate) fn is_proxy_source(&self, transport: SipTransport, source: SocketAddr) -> bool {
        !is_web(transport) && self.config.is_proxy(source.ip())
    }
}

/// Whether anybody's browser may be behind it, whatever the address says.
pub(crate) fn is_web(transport: SipTransport) -> bool {
    matches!(transport, SipTransport::Ws | SipTransport::Wss)
}

/// Counts what was turned away; reasons are few and ours.
pub(crate) fn count_refused(reason: &'static str) {
    metrics::counter!("switchhook_sip_refused_total", "reason" => reason).increment(1);
}
