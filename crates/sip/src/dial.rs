//! From a dial request to a record and an INVITE that is ready to leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchhook_model::{Extension, LegId};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::config::{SipTransport, TrunkConfig, TrunkId};
use crate::core::{Core, DialogKey, EnterError};
use crate::digest::Credentials;
use crate::endpoint::bracketed;
use crate::event::{DialError, DialFrom, DialRequest, DialTarget};
use crate::leg::{Leg, LegInput, OutboundStart, Redirection};
use crate::message::random_token;
use crate::record::{DialogRecord, DialogRole, DialogState, RECORD_VERSION};
use crate::tap::now;
use crate::uri::{SipUri, format_name_addr};

/// How long a look-up of a host name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(4);

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

/// Where a dial goes and how it introduces itself.
struct Plan {
    request_uri: SipUri,
    to: String,
    from_user: String,
    from_host: String,
    display: Option<String>,
    transport: SipTransport,
    peer: SocketAddr,
    alternatives: Vec<SocketAddr>,
    symmetric: bool,
    credentials: Option<Credentials>,
    trunk: Option<TrunkId>,
    headers: Vec<(String, String)>,
}

impl Core {
    pub(crate) async fn prepare_dial(
        self: &Arc<Self>,
        request: DialRequest,
    ) -> Result<(DialogRecord, PreparedDial), DialError> {
        check_headers(&request.headers)?;
        let mut plan = match &request.target {
            DialTarget::Extension(extension) => self.plan_extension(extension, &request)?,
            DialTarget::Trunk { trunk, number } => self.plan_trunk(trunk, number, &request).await?,
            DialTarget::Uri(uri) => self.plan_uri(uri, &request).await?,
        };
        plan.headers.extend(request.headers.clone());
        let sent_by =
            self.hub
                .sent_by(plan.transport, plan.peer)
                .map_err(|_| DialError::NoTransport {
                    transport: plan.transport.as_via(),
                    peer: plan.peer,
                })?;
        let from_uri = SipUri::new(Some(&plan.from_user), &plan.from_host, None);
        let record = DialogRecord {
            version: RECORD_VERSION,
            leg: request.leg.clone(),
            role: DialogRole::Uac,
            state: DialogState::Pending,
            sip_call_id: format!("{}@{}", random_token(24), self.config.domain),
            local: format_name_addr(plan.display.as_deref(), &from_uri.to_string()),
            local_tag: random_token(16),
            remote: plan.to,
            remote_tag: None,
            transport: plan.transport,
            sent_by,
            peer: plan.peer,
            symmetric: plan.symmetric,
            request_uri: plan.request_uri.to_string(),
            branch_base: format!("z9hG4bK{}", random_token(16)),
            invite_attempts: 1,
            may_retry: plan.credentials.is_some(),
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
            headers: plan.headers,
            credentials: plan.credentials,
            timeout: request.timeout,
            alternatives: plan.alternatives,
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
    pub(crate) async fn redirection(
        &self,
        leg: &LegId,
        target: DialTarget,
        from: DialFrom,
    ) -> Result<Redirection, DialError> {
        let request = DialRequest {
            leg: leg.clone(),
            target: target.clone(),
            from,
            sdp_offer: String::new(),
            timeout: Duration::ZERO,
            headers: Vec::new(),
        };
        let plan = match &target {
            DialTarget::Extension(extension) => self.plan_extension(extension, &request)?,
            DialTarget::Trunk { trunk, number } => self.plan_trunk(trunk, number, &request).await?,
            DialTarget::Uri(uri) => self.plan_uri(uri, &request).await?,
        };
        Ok(Redirection {
            request_uri: plan.request_uri,
            transport: plan.transport,
            peer: plan.peer,
            symmetric: plan.symmetric,
            credentials: plan.credentials,
            trunk: plan.trunk,
        })
    }

    /// The newest binding.
    fn plan_extension(
        &self,
        extension: &Extension,
        request: &DialRequest,
    ) -> Result<Plan, DialError> {
        let mut accounts = self.config.extensions.iter();
        if !accounts.any(|account| account.extension == *extension) {
            return Err(DialError::UnknownExtension(extension.clone()));
        }
        let live = self
            .registrar
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .live(extension, now());
        let binding = live
            .last()
            .ok_or_else(|| DialError::NotRegistered(extension.clone()))?;
        let request_uri = SipUri::parse(&binding.contact).map_err(|e| DialError::BadTarget {
            target: binding.contact.clone(),
            cause: e.to_string(),
        })?;
        // A phone that registered over TCP and lost its connection may still listen itself.
        let listening = request_uri.socket_addr();
        let alternatives = listening
            .filter(|a| binding.transport == SipTransport::Tcp && *a != binding.source)
            .into_iter()
            .collect();
        let host = bracketed(&self.config.domain);
        Ok(Plan {
            to: format!("<sip:{extension}@{host}>"),
            request_uri,
            from_user: request.from.user.clone().unwrap_or_default(),
            from_host: self.config.domain.clone(),
            display: request.from.display.clone(),
            transport: binding.transport,
            peer: binding.source,
            alternatives,
            symmetric: true,
            credentials: None,
            trunk: None,
            headers: Vec::new(),
        })
    }

    async fn plan_trunk(
        &self,
        id: &TrunkId,
        number: &str,
        request: &DialRequest,
    ) -> Result<Plan, DialError> {
        let trunk: &TrunkConfig = self
            .trunk(id)
            .ok_or_else(|| DialError::UnknownTrunk(id.clone()))?;
        let termination = trunk
            .termination
            .as_deref()
            .ok_or_else(|| DialError::NoTermination(id.clone()))?;
        let bad = |cause: &str| DialError::BadTarget {
            target: number.to_owned(),
            cause: cause.to_owned(),
        };
        let dialable = |c: char| c.is_ascii_alphanumeric() || "+*#-._".contains(c);
        if number.is_empty() || number.len() > 64 || !number.chars().all(dialable) {
            return Err(bad(
                "a number of 1 to 64 digits, letters, +, *, # is wanted",
            ));
        }
        let mut request_uri = SipUri::parse(&format!("sip:{termination}"))
            .map_err(|e| bad(&format!("termination: {e}")))?;
        request_uri.user = Some(number.to_owned());
        let (transport, peer) = self.resolve(&request_uri, Some(trunk.transport)).await?;
        if transport == SipTransport::Tcp && request_uri.transport().is_none() {
            let tcp = ("transport".to_owned(), Some("tcp".to_owned()));
            request_uri.params.push(tcp);
        }
        let caller_id = request
            .from
            .user
            .clone()
            .or_else(|| trunk.caller_id.clone());
        let from_host = trunk.from_domain.as_ref().unwrap_or(&self.config.domain);
        let mut headers = Vec::new();
        if let (Some(from_user), Some(caller_id)) = (&trunk.from_user, &caller_id)
            && from_user != caller_id
        {
            // From names the account; whom the called party sees stands here (RFC 3325).
            let shown = SipUri::new(Some(caller_id), from_host, None);
            headers.push(("P-Asserted-Identity".to_owned(), format!("<{shown}>")));
        }
        let from_user = trunk.from_user.clone().or(caller_id).unwrap_or_default();
        let to = SipUri::new(Some(number), &request_uri.host, request_uri.port);
        Ok(Plan {
            to: format!("<{to}>"),
            request_uri,
            from_user,
            from_host: from_host.clone(),
            display: request.from.display.clone(),
            transport,
            peer,
            alternatives: Vec::new(),
            symmetric: false,
            credentials: self.trunk_credentials(id),
            trunk: Some(id.clone()),
            headers,
        })
    }

    async fn plan_uri(&self, uri: &str, request: &DialRequest) -> Result<Plan, DialError> {
        let bad = |cause: String| DialError::BadTarget {
            target: uri.to_owned(),
            cause,
        };
        let request_uri = SipUri::parse(uri).map_err(|e| bad(e.to_string()))?;
        if request_uri.secure {
            return Err(bad("sips: needs TLS, which is not configured".to_owned()));
        }
        let (transport, peer) = self.resolve(&request_uri, None).await?;
        let mut to = request_uri.clone();
        to.params.clear();
        Ok(Plan {
            to: format!("<{to}>"),
            request_uri,
            from_user: request.from.user.clone().unwrap_or_default(),
            from_host: self.config.domain.clone(),
            display: request.from.display.clone(),
            transport,
            peer,
            alternatives: Vec::new(),
            symmetric: false,
            credentials: None,
            trunk: None,
            headers: Vec::new(),
        })
    }

    fn trunk(&self, id: &TrunkId) -> Option<&TrunkConfig> {
        self.config.trunks.iter().find(|trunk| trunk.id == *id)
    }

    pub(crate) fn trunk_credentials(&self, id: &TrunkId) -> Option<Credentials> {
        let auth = self.trunk(id)?.auth.as_ref()?;
        Some(Credentials {
            user: auth.user.clone(),
            password: auth.password.clone(),
        })
    }

    /// Transport and address of a URI: its own parameter, else `preferred`, else UDP; address
    /// records only (RFC 3263 §4.2 without NAPTR and SRV).
    pub(crate) async fn resolve(
        &self,
        uri: &SipUri,
        preferred: Option<SipTransport>,
    ) -> Result<(SipTransport, SocketAddr), DialError> {
        let transport = match uri.transport().as_deref() {
            Some("tcp") => SipTransport::Tcp,
            Some("udp") => SipTransport::Udp,
            Some(other) => {
                return Err(DialError::BadTarget {
                    target: uri.to_string(),
                    cause: format!("transport {other} is not configured"),
                });
            }
            None => preferred.unwrap_or(SipTransport::Udp),
        };
        if let Some(address) = uri.socket_addr() {
            return Ok((transport, address));
        }
        let fail = |cause: String| DialError::Unresolvable {
            host: uri.host.clone(),
            cause,
        };
        let look_up = tokio::net::lookup_host((uri.host.as_str(), uri.port.unwrap_or(5060)));
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, look_up)
            .await
            .map_err(|_| fail("no answer from DNS in time".to_owned()))?
            .map_err(|e| fail(e.to_string()))?;
        let reachable = found
            .into_iter()
            .find(|address| self.hub.sent_by(transport, *address).is_ok());
        let address = reachable.ok_or_else(|| fail("no usable address".to_owned()))?;
        Ok((transport, address))
    }

    /// Where the next request of a dialog goes. A next hop that cannot be resolved is replaced by
    /// the last known address: better a request that may be lost than none.
    pub(crate) async fn next_hop(&self, record: &DialogRecord) -> (SipTransport, SocketAddr) {
        let known = (record.transport, record.peer);
        match record.next_hop() {
            Ok(Some(hop)) => match self.resolve(&hop, Some(record.transport)).await {
                Ok(resolved) => resolved,
                Err(error) => {
                    tracing::debug!(leg = %record.leg, %error, "next hop not resolved");
                    known
                }
            },
            Ok(None) | Err(_) => known,
        }
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
