//! The carrier's Elastic SIP trunk: what it lets in, what it refuses and with which words, and how
//! it calls. Its SIP and RTP are the lab's phone's.

pub(super) mod exchange;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use super::log::lock;
use super::people::target::is_e164;
use super::shared::sid;
use crate::phone::digest::{Challenge, split_fields};
use crate::phone::message::{SipMessage, StartLine};
use crate::phone::{
    Admission, Dial, Gate, OnCall, Phone, PhoneCall, PhoneConfig, PhoneError, Transport,
};

/// Trunks, authentication: the realm seen of a SIP domain.
const REALM: &str = "sip.twilio.com";

/// Who the trunk is.
#[derive(Clone)]
pub struct TrunkConfig {
    /// `acme.pstn.twilio.com`: the termination host without an edge.
    pub domain: String,
    /// User name and password of its credential list; without one nothing is asked.
    pub credentials: Option<(String, String)>,
    /// Numbers of the account and verified ones: who may be shown.
    pub owned: Vec<String>,
    /// `AC…`.
    pub account_sid: String,
}

impl std::fmt::Debug for TrunkConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrunkConfig({})", self.domain)
    }
}

/// One call the trunk took for the telephone network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminated {
    /// E.164.
    pub from: String,
    /// E.164.
    pub to: String,
}

#[derive(Default)]
struct Network {
    phones: HashMap<String, OnCall>,
    /// What a number does that has no phone; without it there is no such number.
    others: Option<OnCall>,
    taken: Vec<Terminated>,
}

/// A running trunk on a loopback port.
#[derive(Clone)]
pub struct Trunk {
    config: TrunkConfig,
    phone: Phone,
    network: Arc<Mutex<Network>>,
}

impl std::fmt::Debug for Trunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trunk({} at {})", self.config.domain, self.phone.local())
    }
}

impl Trunk {
    /// Starts listening, UDP and TCP.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(config: TrunkConfig) -> Result<Self, PhoneError> {
        let owned = config.owned.clone();
        let may_show = move |number: &str| owned.iter().any(|own| own == number);
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self::open(config, any_port, None, may_show).await
    }

    /// The same on a port of one's own, with a rule for numbers that have no phone, and for who may be
    /// shown.
    async fn open(
        config: TrunkConfig,
        bind: SocketAddr,
        others: Option<OnCall>,
        may_show: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<Self, PhoneError> {
        let network = Arc::new(Mutex::new(Network {
            others,
            ..Network::default()
        }));
        let (rules, shared, nonce) = (config.clone(), Arc::clone(&network), sid(""));
        let gate = Gate::new(
            move |invite| match judge(&rules, &may_show, invite, &nonce) {
                Err(refusal) => refusal,
                Ok(call) => {
                    let mut network = lock(&shared);
                    let on_call = network.phones.get(&call.to).or(network.others.as_ref());
                    // Who has no phone does not exist.
                    let on_call = on_call.cloned().unwrap_or(OnCall::RejectAfter {
                        status: 404,
                        after: std::time::Duration::ZERO,
                    });
                    network.taken.push(call);
                    Admission::Admit(Some(on_call))
                }
            },
        );
        let mut phone = PhoneConfig::new("trunk").gate(gate);
        phone.bind = bind;
        Ok(Self {
            config,
            phone: Phone::start(phone).await?,
            network,
        })
    }

    /// Where it listens: whoever calls resolves the termination host to this.
    pub fn address(&self) -> SocketAddr {
        self.phone.local()
    }

    /// What a number of the telephone network does when it is called through the trunk.
    pub fn number(&self, number: &str, on_call: OnCall) -> &Self {
        lock(&self.network)
            .phones
            .insert(number.to_owned(), on_call);
        self
    }

    /// Every call that was let in, in order; challenges are not counted.
    pub fn taken(&self) -> Vec<Terminated> {
        lock(&self.network).taken.clone()
    }

    /// The phone it is made of: its calls, its messages, its ladder.
    pub fn phone(&self) -> &Phone {
        &self.phone
    }

    /// Calls the gateway as for a caller of the telephone network (Trunks, origination): the
    /// dialled number in the URI and in `Diversion`, the vendor's own headers.
    ///
    /// # Errors
    /// If the address cannot be dialled.
    pub async fn call_in(
        &self,
        gateway: SocketAddr,
        transport: Transport,
        from: &str,
        to: &str,
    ) -> Result<PhoneCall, PhoneError> {
        let parameters = match transport {
            Transport::Tcp => ";transport=tcp",
            _ => "",
        };
        let mut dial = Dial::to(&format!("sip:{to}@{gateway}{parameters}"))
            .from(&format!("\"{from}\" <sip:{from}@{REALM}>"));
        for (name, value) in origination_headers(to, &self.config.account_sid, &sid("CA")) {
            dial = dial.header(name, &value);
        }
        self.phone.place(dial).await
    }
}

/// Trunks, origination: what the INVITE carries beside the caller.
pub(super) fn origination_headers(
    to: &str,
    account_sid: &str,
    call_sid: &str,
) -> [(&'static str, String); 3] {
    [
        ("Diversion", format!("<sip:{to}@twilio.com>")),
        ("X-Twilio-AccountSid", account_sid.to_owned()),
        ("X-Twilio-CallSid", call_sid.to_owned()),
    ]
}

fn refuse(status: u16, reason: &'static str, error: Option<&str>) -> Admission {
    let error = error.map(|text| ("X-Twilio-Error".to_owned(), text.to_owned()));
    Admission::Refuse {
        status,
        reason,
        headers: error.into_iter().collect(),
    }
}

fn judge(
    config: &TrunkConfig,
    may_show: impl Fn(&str) -> bool,
    invite: &SipMessage,
    nonce: &str,
) -> Result<Terminated, Admission> {
    let StartLine::Request { uri, .. } = &invite.start else {
        return Err(refuse(400, "Bad Request", None));
    };
    let (to, host) = parts(uri);
    // Termination: the trunk is found by the host of the Request-URI, with or without an edge.
    if !is_domain(&config.domain, host) {
        return Err(refuse(404, "Not Found", None));
    }
    if let Some(credentials) = &config.credentials {
        authenticate(credentials, invite, uri, nonce)?;
    }
    // Trunk errors: 32101, the called number is not E.164 with a plus.
    if !is_e164(to) {
        let error = "32101 Called number is not in E.164";
        return Err(refuse(400, "Bad Request", Some(error)));
    }
    // Caller id: From; if it holds no number, Remote-Party-ID or P-Asserted-Identity.
    let shown = ["From", "Remote-Party-ID", "P-Asserted-Identity"]
        .iter()
        .map(|name| crate::phone::message::uri_of(invite.header(name)))
        .map(|uri| parts(&uri).0.to_owned())
        .find(|user| is_e164(user))
        .unwrap_or_default();
    if !may_show(&shown) {
        let error = "32204 Caller ID is neither owned nor verified";
        return Err(refuse(403, "Forbidden", Some(error)));
    }
    Ok(Terminated {
        from: shown,
        to: to.to_owned(),
    })
}

/// User and host of a SIP URI, without port and parameters.
fn parts(uri: &str) -> (&str, &str) {
    let address = uri.split([';', '?']).next().unwrap_or(uri);
    let address = address.strip_prefix("sip:").unwrap_or(address);
    let (user, host) = address.split_once('@').unwrap_or(("", address));
    (user, host.split(':').next().unwrap_or(host))
}

/// `acme.pstn.twilio.com`, `acme.pstn.frankfurt.twilio.com`.
fn is_domain(domain: &str, host: &str) -> bool {
    let localized = domain.split_once('.').is_some_and(|(name, rest)| {
        let root = rest.strip_prefix("pstn").unwrap_or(rest);
        host.starts_with(&format!("{name}.pstn.")) && host.ends_with(root)
    });
    host == domain || localized
}

/// Trunks, authentication: 407 with a challenge, and 403 (32202) for a wrong answer.
fn authenticate(
    (user, password): &(String, String),
    invite: &SipMessage,
    uri: &str,
    nonce: &str,
) -> Result<(), Admission> {
    let challenge = format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\"");
    let given = invite.header("Proxy-Authorization");
    let Some(rest) = given.strip_prefix("Digest") else {
        return Err(Admission::Refuse {
            status: 407,
            reason: "Proxy Authentication Required",
            headers: vec![("Proxy-Authenticate".to_owned(), challenge)],
        });
    };
    let fields = split_fields(rest);
    let field = |name: &str| {
        let found = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    };
    let count = u32::from_str_radix(field("nc"), 16).unwrap_or(0);
    let expected = Challenge::parse(&challenge)
        .map(|challenge| challenge.answer(user, password, "INVITE", uri, count, field("cnonce")));
    let expected = expected.unwrap_or_default();
    let right = split_fields(expected.trim_start_matches("Digest"))
        .into_iter()
        .find(|(name, _)| name == "response")
        .is_some_and(|(_, response)| response == field("response"));
    if right && field("username") == user && field("nonce") == nonce && field("uri") == uri {
        Ok(())
    } else {
        let error = "32202 Authentication failed";
        Err(refuse(403, "Forbidden", Some(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trunk_is_found_by_its_host_with_or_without_an_edge() {
        let domain = "acme.pstn.twilio.com";
        for (host, found) in [
            ("acme.pstn.twilio.com", true),
            ("acme.pstn.frankfurt.twilio.com", true),
            ("other.pstn.twilio.com", false),
            ("acme.sip.twilio.com", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_domain(domain, host), found, "{host}");
        }
        let uri = "sip:+493023125100@acme.pstn.twilio.com:5061;transport=tls";
        assert_eq!(parts(uri), ("+493023125100", domain));
    }
}
