//! From a dial request to a record and an INVITE that is ready to leave.

mod plan;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use switchhook_model::LegId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use self::plan::Plan;
use crate::config::{SipTransport, TrunkConfig, TrunkId};
use crate::core::{Core, DialogKey, EnterError};
use crate::digest::Credentials;
use crate::endpoint::bracketed;
use crate::event::{DialError, DialFrom, DialRequest, DialTarget};
use crate::leg::{Leg, LegInput, OutboundStart, Redirection};
use crate::message::random_token;
use crate::record::{DialogRecord, DialogRole, DialogState, RECORD_VERSION};
use crate::resolve::Question;
use crate::tap::now;
use crate::transport::Target;
use crate::uri::SipUri;

/// Headers a dial may not set: the stack writes them.
const OWN_HEADERS: [&str; 18] = [
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "max-forwards",
    "route",
    "record-route",
    "content-length",
    "content-type",
    "authorization",
    "proxy-authorization",
    "user-agent",
    "allow",
    "require",
    "supported",
    "x-switchhook-source",
];

/// A dial whose record can be stored before anything is sent. Dropped, it leaves no trace.
pub struct PreparedDial {
    core: Arc<Core>,
    leg: LegId,
    dialog: DialogKey,
    ready: Option<Ready>,
}

struct Ready {
    start: OutboundStart,
    myself: UnboundedSender<LegInput>,
    inputs: UnboundedReceiver<LegInput>,
}

impl std::fmt::Debug for PreparedDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PreparedDial({})", self.leg)
    }
}

impl PreparedDial {
    /// Lets the INVITE go. What comes of it is told by events, including a connection that cannot
    /// be opened.
    pub fn send(mut self) {
        if let Some(ready) = self.ready.take() {
            let core = self.core.clone();
            Leg::start_outbound(core, ready.start, ready.myself, ready.inputs);
        }
    }
}

impl Drop for PreparedDial {
    fn drop(&mut self) {
        if self.ready.is_some() {
            self.core.leave_leg(&self.leg, &self.dialog, None);
        }
    }
}

/// Where a dial is sent.
#[derive(Debug)]
pub(crate) enum Route {
    /// In the order to try them.
    Known(Vec<Target>),
    Ask(Question),
}

impl Core {
    pub(crate) async fn prepare_dial(
        self: &Arc<Self>,
        request: DialRequest,
    ) -> Result<(DialogRecord, PreparedDial), DialError> {
        check_headers(&request.headers)?;
        let plan = self.plan(&request)?;
        let (target, sent_by, alternatives) = self.first_hop(&plan)?;
        let record = DialogRecord {
            version: RECORD_VERSION,
            leg: request.leg.clone(),
            role: DialogRole::Uac,
            state: DialogState::Pending,
            sip_call_id: format!("{}@{}", random_token(24), self.config.domain),
            local: plan.local(),
            local_tag: random_token(16),
            remote: plan.to,
            remote_tag: None,
            transport: target.transport,
            sent_by,
            peer: target.address,
            server_name: target.name,
            alternatives,
            symmetric: plan.symmetric,
            request_uri: plan.request_uri.to_string(),
            branch_base: format!("z9hG4bK{}", random_token(16)),
            invite_attempts: 1,
            // 401, 407 or 422 may be answered with another INVITE.
            may_retry: self.may_retry(plan.credentials.as_ref(), plan.trunk.as_ref()),
            trunk: plan.trunk,
            invite_cseq: 1,
            local_cseq: 1,
            remote_target: None,
            route_set: Vec::new(),
            vias: Vec::new(),
        };
        record.check().map_err(|e| DialError::BadTarget {
            target: record.request_uri.clone(),
            cause: e.to_string(),
        })?;
        let (myself, inputs) = mpsc::unbounded_channel();
        let dialog = (record.sip_call_id.clone(), record.local_tag.clone());
        self.enter_leg(&record.leg, dialog.clone(), None, myself.clone())
            .map_err(|error| match error {
                EnterError::Full => DialError::TooManyLegs(self.config.limits.max_legs),
                EnterError::Duplicate | EnterError::Merged => {
                    DialError::DuplicateLeg(record.leg.clone())
                }
            })?;
        let start = OutboundStart {
            record: record.clone(),
            contact_user: plan.from_user,
            sdp_offer: request.sdp_offer,
            planned: plan.headers,
            headers: request.headers,
            credentials: plan.credentials,
            timeout: request.timeout,
            route: plan.route,
            path: plan.path,
        };
        let prepared = PreparedDial {
            core: self.clone(),
            leg: record.leg.clone(),
            dialog,
            ready: Some(Ready {
                start,
                myself,
                inputs,
            }),
        };
        Ok((record, prepared))
    }

    /// Where a redirected dial goes on.
    pub(crate) fn redirection(
        &self,
        leg: &LegId,
        target: DialTarget,
        from: DialFrom,
    ) -> Result<Redirection, DialError> {
        let request = DialRequest {
            leg: leg.clone(),
            target,
            from,
            sdp_offer: String::new(),
            timeout: Duration::ZERO,
            headers: Vec::new(),
        };
        let plan = self.plan(&request)?;
        let (target, sent_by, alternatives) = self.first_hop(&plan)?;
        Ok(Redirection {
            local: plan.local(),
            request_uri: plan.request_uri,
            contact_user: plan.from_user,
            planned: plan.headers,
            target,
            sent_by,
            alternatives,
            route: plan.route,
            path: plan.path,
            symmetric: plan.symmetric,
            credentials: plan.credentials,
            trunk: plan.trunk,
        })
    }

    /// Whether further INVITEs may follow the first: 401 and 407 are answered, 422 followed.
    pub(crate) fn may_retry(
        &self,
        credentials: Option<&Credentials>,
        trunk: Option<&TrunkId>,
    ) -> bool {
        credentials.is_some() || trunk.is_some() || self.config.session_timer.is_some()
    }

    /// The address a dial would try first, if no look-up is needed to know it.
    pub(crate) fn likely_peer(&self, target: &DialTarget) -> Option<IpAddr> {
        let uri = match target {
            DialTarget::Extension(extension) => {
                let registrar = self.registrar.lock();
                let live = registrar
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .live(extension, now());
                return live.last().map(|binding| binding.source.ip());
            }
            DialTarget::Trunk { trunk, .. } => {
                let trunk = self.trunk(trunk)?;
                let uri = SipUri::parse(&format!("sip:{}", trunk.termination.as_deref()?)).ok()?;
                (uri, Some(trunk.transport))
            }
            DialTarget::Uri(uri) => (SipUri::parse(uri).ok()?, None),
        };
        let transport = transport_of(&uri.0, uri.1).ok()?;
        let known = self
            .resolver
            .known(&Question::of(&uri.0, transport))?
            .ok()?;
        let first = self.reachable(known).into_iter().next()?;
        Some(first.address.ip())
    }

    pub(crate) fn trunk(&self, id: &TrunkId) -> Option<&TrunkConfig> {
        self.config.trunks.iter().find(|trunk| trunk.id == *id)
    }

    pub(crate) fn trunk_credentials(&self, id: &TrunkId) -> Option<Credentials> {
        let auth = self.trunk(id)?.auth.as_ref()?;
        Some(Credentials::new(&auth.user, &auth.password))
    }

    /// Targets that are known by now, or the question. No look-up here: the call's task is not to
    /// wait for one.
    fn route_to(&self, uri: &SipUri, transport: Option<SipTransport>) -> Result<Route, DialError> {
        let question = Question::of(uri, transport);
        match self.resolver.known(&question) {
            Some(Ok(targets)) => Ok(Route::Known(targets)),
            Some(Err(cause)) => Err(DialError::Unresolvable {
                host: uri.host.clone(),
                cause,
            }),
            None => Ok(Route::Ask(question)),
        }
    }

    /// First target, our Via towards it, and the addresses of the others. While it is still to be
    /// looked up the record names no address: then nothing has left yet, or it is asked for again.
    fn first_hop(&self, plan: &Plan) -> Result<(Target, String, Vec<SocketAddr>), DialError> {
        match &plan.route {
            Route::Known(targets) => {
                let reachable = self.reachable(targets.clone());
                let Some(first) = reachable.first().cloned() else {
                    return Err(no_transport(targets));
                };
                let sent_by = self
                    .hub
                    .sent_by(first.transport, first.address)
                    .map_err(|_| no_transport(targets))?;
                let others = reachable.iter().skip(1).map(|target| target.address);
                Ok((first, sent_by, others.collect()))
            }
            Route::Ask(question) => {
                let transport = question.transport.unwrap_or(SipTransport::Udp);
                let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                let target = Target::unnamed(transport, nobody);
                Ok((target, bracketed(&self.config.domain), Vec::new()))
            }
        }
    }

    /// The first target of a URI, for requests within a dialog and those that stand alone.
    pub(crate) async fn resolve(
        &self,
        uri: &SipUri,
        preferred: Option<SipTransport>,
    ) -> Result<Target, String> {
        let transport = transport_of(uri, preferred)?;
        let found = self.resolver.look_up(&Question::of(uri, transport)).await?;
        let reachable = self.reachable(found).into_iter().next();
        reachable.ok_or_else(|| "no usable address".to_owned())
    }

    /// Where the next request of a dialog goes. A next hop that cannot be resolved is replaced by
    /// the last known address: better a request that may be lost than none.
    pub(crate) async fn next_hop(&self, record: &DialogRecord) -> Target {
        match record.next_hop() {
            Ok(Some(hop)) => match self.resolve(&hop, Some(record.transport)).await {
                Ok(resolved) => resolved,
                Err(error) => {
                    tracing::debug!(leg = %record.leg, %error, "next hop not resolved");
                    record.target()
                }
            },
            Ok(None) | Err(_) => record.target(),
        }
    }
}

/// How a request for this URI travels: `sips:` means TLS (RFC 5630 §3.1.1), else its own parameter,
/// else `preferred`; None when it is for DNS to say.
pub(crate) fn transport_of(
    uri: &SipUri,
    preferred: Option<SipTransport>,
) -> Result<Option<SipTransport>, String> {
    let named = match uri.transport().as_deref() {
        None => None,
        Some("udp") => Some(SipTransport::Udp),
        Some("tcp") => Some(SipTransport::Tcp),
        Some("tls") => Some(SipTransport::Tls),
        Some(other @ ("ws" | "wss")) => {
            return Err(format!("transport {other}: only a browser opens that"));
        }
        Some(other) => return Err(format!("transport {other} is not known")),
    };
    match (uri.secure, named) {
        (true, Some(SipTransport::Udp)) => Err("sips: does not travel over UDP".to_owned()),
        (true, _) => Ok(Some(SipTransport::Tls)),
        (false, named) => Ok(named.or(preferred)),
    }
}

fn no_transport(targets: &[Target]) -> DialError {
    let first = targets.first();
    DialError::NoTransport {
        transport: first.map_or("UDP", |target| target.transport.as_via()),
        peer: first.map_or_else(
            || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            |target| target.address,
        ),
    }
}

fn check_headers(headers: &[(String, String)]) -> Result<(), DialError> {
    for (name, value) in headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        let own = OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name));
        // One-letter names are compact forms of headers the stack writes.
        let bad = name.len() < 2
            || !name.bytes().all(token)
            || own
            || value.len() > 4_096
            || value.chars().any(char::is_control);
        if bad {
            return Err(DialError::BadHeader(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_cannot_break_out_or_replace_ours() {
        let check =
            |name: &str, value: &str| check_headers(&[(name.to_owned(), value.to_owned())]).is_ok();
        assert!(check("X-Call", "call_1"));
        for (name, value) in [
            ("X", "a"),
            ("Via", "a"),
            ("AUTHORIZATION", "a"),
            ("X-A b", "a"),
            ("X-A", "a\r\nVia: b"),
            ("", "a"),
        ] {
            assert!(!check(name, value), "{name:?}: {value:?}");
        }
    }
}
