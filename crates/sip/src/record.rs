//! What must be remembered of a dialog so that another process can end it.
//!
//! A record is made before the INVITE leaves (outbound) or before the call is reported (inbound),
//! and made again whenever something the end depends on is learnt. It holds no secret.

use std::net::SocketAddr;

use rsipstack::sip::{Header, Headers, Method, Request, Response};
use serde::{Deserialize, Serialize};
use switchhook_model::LegId;

use crate::config::{SipTransport, TrunkId};
use crate::message::{self, RequestParts, build_request};
use crate::nat::is_hidden;
use crate::transport::Target;
use crate::uri::{AddressError, NameAddr, SipUri};

/// Version of the stored form.
pub const RECORD_VERSION: u8 = 1;

/// Which side of the INVITE we are (RFC 3261 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialogRole {
    /// We dialled.
    Uac,
    /// We were called.
    Uas,
}

/// How far it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialogState {
    /// The INVITE has no final answer.
    Pending,
    /// Answered: only BYE ends it.
    Established,
    /// Over; nothing is owed.
    Ended,
}

/// A dialog as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogRecord {
    pub version: u8,
    pub leg: LegId,
    pub role: DialogRole,
    pub state: DialogState,
    pub sip_call_id: String,
    /// Our From or To without tag, and its tag.
    pub local: String,
    pub local_tag: String,
    /// The other side's, the tag once known.
    pub remote: String,
    pub remote_tag: Option<String>,
    pub transport: SipTransport,
    /// `host:port` of our Via (RFC 3261 §18.1.1).
    pub sent_by: String,
    /// Where our requests go.
    pub peer: SocketAddr,
    /// TLS: the name the other side's certificate must be for, when we open the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Outbound, pending: further addresses the INVITE may have gone to since (failover).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<SocketAddr>,
    /// Requests go to `peer` whatever Contact says: the phone sits behind NAT or may do.
    pub symmetric: bool,
    /// Request-URI of the INVITE.
    pub request_uri: String,
    /// Outbound: Via branches of the INVITEs are this, a dot and the attempt's number.
    pub branch_base: String,
    /// Outbound: attempts known to have been sent, at least 1. Their CSeq is the same number.
    pub invite_attempts: u32,
    /// Outbound: a further attempt may have left before this record was stored (credentials, or a longer
    /// session interval).
    pub may_retry: bool,
    /// Outbound over a trunk: whose credentials answer challenges.
    pub trunk: Option<TrunkId>,
    /// CSeq of the INVITE.
    pub invite_cseq: u32,
    /// Last CSeq used by us.
    pub local_cseq: u32,
    /// The other side's Contact once known.
    pub remote_target: Option<String>,
    /// Route set in the order requests carry it (RFC 3261 §12.1).
    pub route_set: Vec<String>,
    /// Inbound: Via values to answer with, top first.
    pub vias: Vec<String>,
}

/// Why a stored record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("dialog record has version {0}, this program knows {RECORD_VERSION}")]
    Version(u8),
    #[error("dialog record: {field} is unusable: {cause}")]
    Field {
        field: &'static str,
        cause: AddressError,
    },
    #[error("dialog record: {0} is empty or holds a space or control character")]
    Text(&'static str),
}

impl DialogRecord {
    /// Checks everything that goes on the wire again: a store may be edited or corrupt.
    pub fn check(&self) -> Result<(), RecordError> {
        if self.version != RECORD_VERSION {
            return Err(RecordError::Version(self.version));
        }
        let tokens = [
            ("sip_call_id", self.sip_call_id.as_str()),
            ("local_tag", self.local_tag.as_str()),
            ("sent_by", self.sent_by.as_str()),
            ("remote_tag", self.remote_tag.as_deref().unwrap_or("-")),
            (
                "branch_base",
                match self.role {
                    DialogRole::Uac => self.branch_base.as_str(),
                    DialogRole::Uas => "-",
                },
            ),
        ];
        for (field, text) in tokens {
            let bad = |c: char| c.is_control() || c.is_whitespace();
            if text.is_empty() || text.len() > 1024 || text.chars().any(bad) {
                return Err(RecordError::Text(field));
            }
        }
        for (field, texts) in [("vias", &self.vias), ("route_set", &self.route_set)] {
            if texts.iter().any(|t| t.chars().any(char::is_control)) {
                return Err(RecordError::Text(field));
            }
        }
        let field = |field| move |cause| RecordError::Field { field, cause };
        for (name, text) in [("local", &self.local), ("remote", &self.remote)] {
            if text.chars().any(char::is_control) {
                return Err(RecordError::Text(name));
            }
            NameAddr::parse(text).map_err(field(name))?;
        }
        SipUri::parse(&self.request_uri).map_err(field("request_uri"))?;
        if let Some(target) = &self.remote_target {
            SipUri::parse(target).map_err(field("remote_target"))?;
        }
        for route in &self.route_set {
            NameAddr::parse(route)
                .and_then(|route| route.sip_uri())
                .map_err(field("route_set"))?;
        }
        Ok(())
    }

    /// Where requests go that follow no route.
    pub(crate) fn target(&self) -> Target {
        Target {
            transport: self.transport,
            address: self.peer,
            name: self.server_name.clone(),
        }
    }

    /// Requests go there from now on.
    pub(crate) fn go_to(&mut self, target: &Target) {
        self.transport = target.transport;
        self.peer = target.address;
        self.server_name.clone_from(&target.name);
    }

    /// Whether the address was not known yet when this was written.
    pub(crate) fn is_unplaced(&self) -> bool {
        self.peer.ip().is_unspecified() && self.peer.port() == 0
    }

    /// The other side's Contact, where a message names one: its requests' target from now on. An
    /// address that only its own network knows is left to where it wrote from.
    pub(crate) fn learn_target(&mut self, headers: &Headers) {
        if let Ok(target) = message::contact_uri(headers) {
            self.symmetric |= is_hidden(&target, self.peer);
            self.remote_target = Some(target.to_string());
        }
    }

    /// The dialog a 2xx of our INVITE makes, apart from this one (RFC 3261 §12.1.2).
    pub(crate) fn forked(&self, response: &Response) -> Self {
        let mut fork = self.clone();
        let to = message::name_addr(&response.headers, "To").ok();
        fork.remote_tag = to.as_ref().and_then(|to| to.tag()).map(str::to_owned);
        fork.remote_target = None;
        fork.learn_target(&response.headers);
        fork.route_set = message::route_entries(&response.headers, "Record-Route");
        fork.route_set.reverse();
        fork.state = DialogState::Established;
        fork
    }

    /// Whether we dialled.
    pub(crate) fn is_outbound(&self) -> bool {
        match self.role {
            DialogRole::Uac => true,
            DialogRole::Uas => false,
        }
    }

    /// Via branch of an attempt.
    pub(crate) fn invite_branch(&self, attempt: u32) -> String {
        format!("{}.{attempt}", self.branch_base)
    }

    pub(crate) fn via(&self, branch: &str) -> String {
        format!(
            "SIP/2.0/{} {};branch={branch};rport",
            self.transport.as_via(),
            self.sent_by
        )
    }

    /// From of our requests.
    pub(crate) fn local_value(&self) -> String {
        format!("{};tag={}", self.local, self.local_tag)
    }

    /// To of our requests.
    pub(crate) fn remote_value(&self) -> String {
        match &self.remote_tag {
            Some(tag) => format!("{};tag={tag}", self.remote),
            None => self.remote.clone(),
        }
    }

    /// An INVITE, CANCEL or failure ACK of an outbound attempt: same Request-URI, Call-ID, tags
    /// and branch (RFC 3261 §9.1, §17.1.1.3).
    pub(crate) fn attempt_request(
        &self,
        method: Method,
        attempt: u32,
        to: String,
        user_agent: &str,
    ) -> Result<Request, RecordError> {
        let uri = SipUri::parse(&self.request_uri).map_err(|cause| RecordError::Field {
            field: "request_uri",
            cause,
        })?;
        Ok(build_request(RequestParts {
            method,
            uri: &uri,
            via: self.via(&self.invite_branch(attempt)),
            from: self.local_value(),
            to,
            call_id: &self.sip_call_id,
            cseq: attempt,
            user_agent,
        }))
    }

    /// A request within the dialog (RFC 3261 §12.2.1.1), with strict routers as §12.2.1.1 wants.
    pub(crate) fn dialog_request(
        &self,
        method: Method,
        cseq: u32,
        branch: &str,
        user_agent: &str,
    ) -> Result<Request, RecordError> {
        let target = self.remote_target.as_deref().unwrap_or(&self.request_uri);
        let field = |field| move |cause| RecordError::Field { field, cause };
        let target = SipUri::parse(target).map_err(field("remote_target"))?;
        let mut routes = self.route_set.clone();
        let mut uri = target.clone();
        if let Some(first) = self.first_route()?
            && !first.is_loose_router()
        {
            routes.remove(0);
            routes.push(format!("<{target}>"));
            uri = first;
        }
        let mut request = build_request(RequestParts {
            method,
            uri: &uri,
            via: self.via(branch),
            from: self.local_value(),
            to: self.remote_value(),
            call_id: &self.sip_call_id,
            cseq,
            user_agent,
        });
        for route in routes {
            request.headers.push(Header::Route(route.into()));
        }
        Ok(request)
    }

    /// The URI that names the next hop, or `None` when requests go to `peer` as it stands.
    pub(crate) fn next_hop(&self) -> Result<Option<SipUri>, RecordError> {
        if let Some(first) = self.first_route()? {
            return Ok(Some(first));
        }
        if self.symmetric {
            return Ok(None);
        }
        match &self.remote_target {
            Some(target) => SipUri::parse(target)
                .map(Some)
                .map_err(|cause| RecordError::Field {
                    field: "remote_target",
                    cause,
                }),
            None => Ok(None),
        }
    }

    fn first_route(&self) -> Result<Option<SipUri>, RecordError> {
        let Some(first) = self.route_set.first() else {
            return Ok(None);
        };
        NameAddr::parse(first)
            .and_then(|route| route.sip_uri())
            .map(Some)
            .map_err(|cause| RecordError::Field {
                field: "route_set",
                cause,
            })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> DialogRecord {
        DialogRecord {
            version: RECORD_VERSION,
            leg: LegId::from_unique("1"),
            role: DialogRole::Uac,
            state: DialogState::Pending,
            sip_call_id: "abc@h".to_owned(),
            local: "<sip:me@h>".to_owned(),
            local_tag: "lt".to_owned(),
            remote: "<sip:2001@h>".to_owned(),
            remote_tag: None,
            transport: SipTransport::Udp,
            sent_by: "127.0.0.1:5060".to_owned(),
            peer: "127.0.0.1:5070".parse().expect("valid"),
            server_name: None,
            alternatives: Vec::new(),
            symmetric: false,
            request_uri: "sip:2001@127.0.0.1:5070".to_owned(),
            branch_base: "z9hG4bKx".to_owned(),
            invite_attempts: 1,
            may_retry: false,
            trunk: None,
            invite_cseq: 1,
            local_cseq: 1,
            remote_target: None,
            route_set: Vec::new(),
            vias: Vec::new(),
        }
    }

    #[test]
    fn a_cancel_repeats_the_invite() {
        let record = sample();
        let make = |method| {
            record
                .attempt_request(method, 1, record.remote.clone(), "ua")
                .expect("valid")
                .to_string()
        };
        let (invite, cancel) = (make(Method::Invite), make(Method::Cancel));
        for name in ["Via: ", "From: ", "To: ", "Call-ID: "] {
            let line = |text: &str| {
                text.lines()
                    .find(|l| l.starts_with(name))
                    .map(str::to_owned)
            };
            assert_eq!(line(&invite), line(&cancel));
        }
        assert!(cancel.contains("CSeq: 1 CANCEL\r\n"));
        assert!(cancel.starts_with("CANCEL sip:2001@127.0.0.1:5070 SIP/2.0\r\n"));
    }

    #[test]
    fn routes_loose_and_strict() {
        let mut record = sample();
        record.remote_target = Some("sip:2001@10.0.0.9".to_owned());
        record.route_set = vec!["<sip:p1;lr>".to_owned(), "<sip:p2;lr>".to_owned()];
        let text = |record: &DialogRecord| {
            record
                .dialog_request(Method::Bye, 2, "z9hG4bKb", "ua")
                .expect("valid")
                .to_string()
        };
        let loose = text(&record);
        assert!(
            loose.starts_with("BYE sip:2001@10.0.0.9 SIP/2.0"),
            "{loose}"
        );
        assert!(loose.contains("Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"));
        record.route_set[0] = "<sip:p1>".to_owned();
        let strict = text(&record);
        assert!(strict.starts_with("BYE sip:p1 SIP/2.0"), "{strict}");
        assert!(strict.contains("Route: <sip:p2;lr>\r\nRoute: <sip:2001@10.0.0.9>\r\n"));
    }

    #[test]
    fn a_tampered_record_is_refused() {
        let mut record = sample();
        assert_eq!(record.check(), Ok(()));
        record.sip_call_id = "a\r\nVia: x".to_owned();
        assert_eq!(record.check(), Err(RecordError::Text("sip_call_id")));
        let mut record = sample();
        record.remote_target = Some("http://x".to_owned());
        assert!(record.check().is_err());
        let mut record = sample();
        record.version = 9;
        assert_eq!(record.check(), Err(RecordError::Version(9)));
    }

    #[test]
    fn json_both_ways() {
        let record = sample();
        let json = serde_json::to_string(&record).expect("serializable");
        assert_eq!(
            serde_json::from_str::<DialogRecord>(&json).expect("valid"),
            record
        );
    }
}
