//! Where a dial goes and how it introduces itself there: to an extension, over a trunk, to a URI.

use std::net::SocketAddr;

use switchhook_model::Extension;

use super::{Route, transport_of};
use crate::config::{SipTransport, TrunkConfig, TrunkId};
use crate::core::Core;
use crate::digest::Credentials;
use crate::endpoint::bracketed;
use crate::event::{DialError, DialRequest, DialTarget};
use crate::registrar::Binding;
use crate::tap::now;
use crate::transport::Target;
use crate::trunks::Reachability;
use crate::uri::{NameAddr, SipUri, format_name_addr};

/// Where a dial goes and how it introduces itself.
pub(super) struct Plan {
    pub(super) request_uri: SipUri,
    pub(super) to: String,
    pub(super) from_user: String,
    pub(super) from_host: String,
    pub(super) display: Option<String>,
    pub(super) route: Route,
    pub(super) symmetric: bool,
    pub(super) credentials: Option<Credentials>,
    pub(super) trunk: Option<TrunkId>,
    pub(super) headers: Vec<(String, String)>,
    /// Proxies the INVITE goes through, nearest first.
    pub(super) path: Vec<String>,
}

impl Plan {
    /// Our From without its tag.
    pub(super) fn local(&self) -> String {
        let user = (!self.from_user.is_empty()).then_some(self.from_user.as_str());
        let uri = SipUri::new(user, &self.from_host, None);
        format_name_addr(self.display.as_deref(), &uri.to_string())
    }
}

impl Core {
    pub(super) fn plan(&self, request: &DialRequest) -> Result<Plan, DialError> {
        match &request.target {
            DialTarget::Extension(extension) => self.plan_extension(extension, request),
            DialTarget::Trunk { trunk, number } => self.plan_trunk(trunk, number, request),
            DialTarget::Uri(uri) => self.plan_uri(uri, request),
        }
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
        let targets = self.targets_of(binding, &request_uri);
        let host = bracketed(&self.config.domain);
        Ok(Plan {
            to: format!("<sip:{extension}@{host}>"),
            request_uri,
            from_user: request.from.user.clone().unwrap_or_default(),
            from_host: self.config.domain.clone(),
            display: request.from.display.clone(),
            route: Route::Known(targets),
            symmetric: true,
            credentials: None,
            trunk: None,
            headers: Vec::new(),
            // The REGISTER came from the nearest proxy, so that is where the INVITE goes, too: a
            // Path cannot send us anywhere else.
            path: binding.path.clone(),
        })
    }

    /// Where the REGISTER came from; for TCP also who may listen when that connection is lost.
    fn targets_of(&self, binding: &Binding, contact: &SipUri) -> Vec<Target> {
        let source = Target::unnamed(binding.transport, binding.source);
        if binding.transport != SipTransport::Tcp {
            return vec![source];
        }
        let listens = match binding.path.first() {
            None => contact.socket_addr(),
            // The phone is the proxy's business; that the proxy is where it wrote from, whatever
            // its Path says, is all that is known.
            Some(proxy) => NameAddr::parse(proxy)
                .and_then(|proxy| proxy.sip_uri())
                .ok()
                .map(|proxy| {
                    let port = proxy.port.unwrap_or(binding.transport.default_port());
                    SocketAddr::new(binding.source.ip(), port)
                }),
        };
        let listens = listens.filter(|address| *address != binding.source);
        let other = listens.map(|address| Target::unnamed(binding.transport, address));
        match other {
            // Nobody listens at a port a proxy connected from.
            Some(other) if !binding.path.is_empty() && self.hub.open_path(&source).is_none() => {
                vec![other]
            }
            Some(other) => vec![source, other],
            None => vec![source],
        }
    }

    fn plan_trunk(
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
        if trunk.skip_when_down
            && let Some(status) = self.trunks.get(id)
            && status.reachability == Reachability::Down
        {
            return Err(DialError::TrunkDown {
                trunk: id.clone(),
                cause: status.last_error.unwrap_or_default(),
            });
        }
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
        let transport = transport_of(&request_uri, Some(trunk.transport))
            .map_err(|cause| bad(&format!("termination: {cause}")))?;
        let route = self.route_to(&request_uri, transport)?;
        if let Some(transport) = transport.and_then(SipTransport::uri_param)
            && request_uri.transport().is_none()
        {
            let transport = ("transport".to_owned(), Some(transport.to_owned()));
            request_uri.params.push(transport);
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
            route,
            symmetric: false,
            credentials: self.trunk_credentials(id),
            trunk: Some(id.clone()),
            headers,
            path: Vec::new(),
        })
    }

    fn plan_uri(&self, uri: &str, request: &DialRequest) -> Result<Plan, DialError> {
        let bad = |cause: String| DialError::BadTarget {
            target: uri.to_owned(),
            cause,
        };
        let request_uri = SipUri::parse(uri).map_err(|e| bad(e.to_string()))?;
        let transport = transport_of(&request_uri, None).map_err(bad)?;
        let route = self.route_to(&request_uri, transport)?;
        let mut to = request_uri.clone();
        to.params.clear();
        Ok(Plan {
            to: format!("<{to}>"),
            request_uri,
            from_user: request.from.user.clone().unwrap_or_default(),
            from_host: self.config.domain.clone(),
            display: request.from.display.clone(),
            route,
            symmetric: false,
            credentials: None,
            trunk: None,
            headers: Vec::new(),
            path: Vec::new(),
        })
    }
}
