//! Who is reachable where, until when (RFC 3261 §10). Pure: time comes in.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use switchhook_model::{Extension, Timestamp};

use crate::config::SipTransport;
use crate::uri::{AddressError, NameAddr, SipUri};

/// One place an extension is reachable at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub extension: Extension,
    /// Contact URI as the phone wrote it.
    pub contact: String,
    /// Where the REGISTER came from: requests go there, whatever Contact says (NAT).
    pub source: SocketAddr,
    pub transport: SipTransport,
    pub expires_at: Timestamp,
    pub registered_at: Timestamp,
    pub sip_call_id: String,
    pub cseq: u32,
    /// User-Agent of the phone, at most 128 characters, for the console.
    pub user_agent: String,
    /// Proxies between us and the phone, nearest first (RFC 3327): the route of requests to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// `+sip.instance` of the phone: a new registration of it replaces the old (RFC 5626).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// A REGISTER, read and authenticated.
#[derive(Debug, Clone)]
pub struct RegisterRequest {
    pub extension: Extension,
    pub contacts: Contacts,
    pub source: SocketAddr,
    pub transport: SipTransport,
    pub sip_call_id: String,
    pub cseq: u32,
    pub user_agent: String,
    pub path: Vec<String>,
    pub instance: Option<String>,
}

/// What the Contact headers ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contacts {
    /// None: tell me what is bound.
    Query,
    /// `Contact: *` with `Expires: 0`: remove all.
    RemoveAll,
    /// Each with its lifetime in seconds, 0 to remove.
    Set(Vec<(SipUri, u32)>),
}

/// Why a REGISTER is refused; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// 400.
    #[error("Bad Contact: {0}")]
    Contact(AddressError),
    /// 400.
    #[error("Contact * Needs Expires 0 And No Other Contact")]
    Wildcard,
    /// 400.
    #[error("Bad Expires")]
    Expires,
    /// 400.
    #[error("Too Many Contacts")]
    TooMany,
    /// 423 with Min-Expires.
    #[error("Interval Too Brief")]
    TooBrief { min_expires_s: u32 },
    /// 500: an older request overtook a newer one (RFC 3261 §10.3 step 7).
    #[error("CSeq Out Of Order")]
    OutOfOrder,
}

/// Bounds on bindings.
#[derive(Debug, Clone, Copy)]
pub struct RegistrarLimits {
    pub max_contacts: usize,
    pub min_expires_s: u32,
    pub max_expires_s: u32,
}

impl Contacts {
    /// Reads Contact header values and the Expires header. A lifetime that is not a number counts
    /// as absent (RFC 3261 §20.19 recommends 3600 then).
    pub fn parse<'a>(
        values: impl Iterator<Item = &'a str>,
        expires: Option<&str>,
    ) -> Result<Self, RegisterError> {
        let header_expires = match expires {
            None => None,
            Some(text) => Some(
                text.trim()
                    .parse::<u32>()
                    .map_err(|_| RegisterError::Expires)?,
            ),
        };
        let mut entries = Vec::new();
        let mut wildcard = false;
        for entry in values.flat_map(crate::uri::split_entries) {
            let entry = entry.trim();
            if entry == "*" {
                wildcard = true;
            } else if !entry.is_empty() {
                if entries.len() >= 16 {
                    return Err(RegisterError::TooMany);
                }
                let entry = NameAddr::parse(entry).map_err(RegisterError::Contact)?;
                let uri = entry.sip_uri().map_err(RegisterError::Contact)?;
                let lifetime = entry
                    .param("expires")
                    .and_then(|text| text.parse().ok())
                    .or(header_expires)
                    .unwrap_or(3_600);
                entries.push((uri, lifetime));
            }
        }
        match (wildcard, entries.is_empty()) {
            (true, true) if header_expires == Some(0) => Ok(Self::RemoveAll),
            (true, _) => Err(RegisterError::Wildcard),
            (false, true) => Ok(Self::Query),
            (false, false) => Ok(Self::Set(entries)),
        }
    }
}

/// All bindings of all extensions.
#[derive(Debug, Default)]
pub struct Registrar {
    bindings: BTreeMap<Extension, Vec<Binding>>,
}

impl Registrar {
    /// Takes over bindings from before a restart.
    pub fn restore(bindings: impl IntoIterator<Item = Binding>, now: Timestamp) -> Self {
        let mut registrar = Self::default();
        for binding in bindings {
            // A connection that only the other side can open did not outlive the process.
            let reachable = !binding.transport.is_opened_by_peer();
            if reachable && binding.expires_at > now && SipUri::parse(&binding.contact).is_ok() {
                registrar
                    .bindings
                    .entry(binding.extension.clone())
                    .or_default()
                    .push(binding);
            }
        }
        registrar
    }

    /// Carries out a REGISTER: all of it or, on error, nothing. Gives the live bindings, oldest
    /// first, and whether anything but the time changed.
    pub fn register(
        &mut self,
        request: RegisterRequest,
        limits: RegistrarLimits,
        now: Timestamp,
    ) -> Result<(Vec<Binding>, bool), RegisterError> {
        let current = self.live(&request.extension, now);
        let mut next = current.clone();
        // A binding made under the same Call-ID may only be changed by a later CSeq.
        let in_order = |binding: &Binding| {
            binding.sip_call_id != request.sip_call_id || binding.cseq < request.cseq
        };
        match &request.contacts {
            Contacts::Query => {}
            Contacts::RemoveAll => {
                if !current.iter().all(in_order) {
                    return Err(RegisterError::OutOfOrder);
                }
                next.clear();
            }
            Contacts::Set(entries) => {
                // A page that was loaded again, a phone on another network: its other contacts go.
                let binds = entries.iter().any(|(_, lifetime_s)| *lifetime_s > 0);
                let is_left = |binding: &Binding| {
                    let known = SipUri::parse(&binding.contact);
                    binding.instance == request.instance
                        && known.is_ok_and(|b| !entries.iter().any(|(e, _)| b.same_resource(e)))
                };
                if request.instance.is_some() && binds {
                    if !next.iter().all(|b| !is_left(b) || in_order(b)) {
                        return Err(RegisterError::OutOfOrder);
                    }
                    next.retain(|b| !is_left(b));
                }
                for (uri, lifetime_s) in entries {
                    let text = uri.to_string();
                    let same = next.iter().position(|b| {
                        SipUri::parse(&b.contact).is_ok_and(|known| known.same_resource(uri))
                    });
                    if same.is_some_and(|at| !in_order(&next[at])) {
                        return Err(RegisterError::OutOfOrder);
                    }
                    if *lifetime_s == 0 {
                        if let Some(at) = same {
                            next.remove(at);
                        }
                        continue;
                    }
                    if *lifetime_s < limits.min_expires_s {
                        return Err(RegisterError::TooBrief {
                            min_expires_s: limits.min_expires_s,
                        });
                    }
                    let lifetime_s = (*lifetime_s).min(limits.max_expires_s);
                    let registered_at = same.map_or(now, |at| next.remove(at).registered_at);
                    next.push(Binding {
                        extension: request.extension.clone(),
                        contact: text,
                        source: request.source,
                        transport: request.transport,
                        expires_at: now + std::time::Duration::from_secs(u64::from(lifetime_s)),
                        registered_at,
                        sip_call_id: request.sip_call_id.clone(),
                        cseq: request.cseq,
                        user_agent: request.user_agent.chars().take(128).collect(),
                        path: request.path.clone(),
                        instance: request.instance.clone(),
                    });
                }
                let surplus = next.len().saturating_sub(limits.max_contacts);
                next.drain(..surplus);
            }
        }
        let changed = current != next;
        if next.is_empty() {
            self.bindings.remove(&request.extension);
        } else {
            self.bindings.insert(request.extension, next.clone());
        }
        Ok((next, changed))
    }

    /// Live bindings of an extension, the newest last.
    pub fn live(&self, extension: &Extension, now: Timestamp) -> Vec<Binding> {
        let all = self.bindings.get(extension).map_or(&[][..], Vec::as_slice);
        all.iter().filter(|b| b.expires_at > now).cloned().collect()
    }

    /// All live bindings.
    pub fn all(&self, now: Timestamp) -> Vec<Binding> {
        self.bindings
            .values()
            .flatten()
            .filter(|b| b.expires_at > now)
            .cloned()
            .collect()
    }

    /// Whether a live binding was made from this address.
    pub fn is_bound_from(&self, ip: IpAddr, now: Timestamp) -> bool {
        let mut all = self.bindings.values().flatten();
        all.any(|b| b.expires_at > now && b.source.ip().to_canonical() == ip)
    }

    /// Drops what was registered over a connection that is gone; gives each extension concerned
    /// with what remains.
    pub fn disconnected(
        &mut self,
        transport: SipTransport,
        source: SocketAddr,
        now: Timestamp,
    ) -> HashMap<Extension, Vec<Binding>> {
        let gone = |b: &Binding| b.transport == transport && b.source == source;
        let concerned: Vec<Extension> = self
            .bindings
            .iter()
            .filter(|(_, bindings)| bindings.iter().any(gone))
            .map(|(extension, _)| extension.clone())
            .collect();
        for bindings in self.bindings.values_mut() {
            bindings.retain(|b| !gone(b));
        }
        self.bindings.retain(|_, bindings| !bindings.is_empty());
        concerned
            .into_iter()
            .map(|extension| {
                let live = self.live(&extension, now);
                (extension, live)
            })
            .collect()
    }

    /// Drops what has expired; gives each extension concerned with what remains.
    pub fn expire(&mut self, now: Timestamp) -> HashMap<Extension, Vec<Binding>> {
        let mut concerned = HashMap::new();
        for (extension, bindings) in &mut self.bindings {
            let before = bindings.len();
            bindings.retain(|b| b.expires_at > now);
            if bindings.len() != before {
                concerned.insert(extension.clone(), bindings.clone());
            }
        }
        self.bindings.retain(|_, bindings| !bindings.is_empty());
        concerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RegistrarLimits = RegistrarLimits {
        max_contacts: 2,
        min_expires_s: 10,
        max_expires_s: 600,
    };

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1_000)
    }

    fn request(contact: &str, expires: Option<&str>, call_id: &str, cseq: u32) -> RegisterRequest {
        RegisterRequest {
            extension: "2001".parse().expect("valid"),
            contacts: Contacts::parse([contact].into_iter(), expires).expect("valid"),
            source: "127.0.0.1:5070".parse().expect("valid"),
            transport: SipTransport::Udp,
            sip_call_id: call_id.to_owned(),
            cseq,
            user_agent: "phone".to_owned(),
            path: Vec::new(),
            instance: None,
        }
    }

    #[test]
    fn one_instance_has_one_binding() {
        let mut registrar = Registrar::default();
        for (n, contact) in ["<sip:x1@a.invalid>", "<sip:x2@b.invalid>"]
            .into_iter()
            .enumerate()
        {
            let mut asked = request(contact, None, &format!("c{n}"), 1);
            asked.instance = Some("<urn:uuid:1>".to_owned());
            registrar.register(asked, LIMITS, at(0)).expect("bound");
        }
        let live = registrar.all(at(1));
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].contact, "sip:x2@b.invalid");
    }

    #[test]
    fn contacts_of_one_register_stand_beside_each_other() {
        let mut registrar = Registrar::default();
        let both = "<sip:x1@a.invalid>, <sip:x2@b.invalid>";
        let mut register = |contact: &str, call_id: &str, cseq| {
            let mut asked = request(contact, None, call_id, cseq);
            asked.instance = Some("<urn:uuid:1>".to_owned());
            let bound = registrar.register(asked, LIMITS, at(0));
            bound.map(|(live, _)| live.into_iter().map(|b| b.contact).collect::<Vec<_>>())
        };
        for cseq in [5, 6] {
            let bound = register(both, "c", cseq);
            let expected = ["sip:x1@a.invalid", "sip:x2@b.invalid"];
            assert_eq!(bound, Ok(expected.map(str::to_owned).to_vec()));
        }
        // One that was overtaken replaces nothing.
        let late = register("<sip:x3@c.invalid>", "c", 4);
        assert_eq!(late, Err(RegisterError::OutOfOrder));
        let again = register("<sip:x2@b.invalid>", "c", 7);
        assert_eq!(again, Ok(vec!["sip:x2@b.invalid".to_owned()]));
        // Taking one back leaves the others.
        let removed = register("<sip:x9@d.invalid>;expires=0", "c", 8);
        assert_eq!(removed, Ok(vec!["sip:x2@b.invalid".to_owned()]));
        let moved = register("<sip:x3@c.invalid>", "another", 1);
        assert_eq!(moved, Ok(vec!["sip:x3@c.invalid".to_owned()]));
    }

    #[test]
    fn bind_refresh_remove() {
        let mut registrar = Registrar::default();
        let (b, changed) = registrar
            .register(
                request("<sip:2001@a:5070>", Some("60"), "c", 1),
                LIMITS,
                at(0),
            )
            .expect("bound");
        assert!(changed && b.len() == 1 && b[0].expires_at == at(60));
        let (b, _) = registrar
            .register(
                request("<sip:2001@a:5070>;expires=9999", None, "c", 2),
                LIMITS,
                at(5),
            )
            .expect("refreshed");
        assert_eq!((b.len(), b[0].expires_at), (1, at(605)));
        assert_eq!(b[0].registered_at, at(0));
        let (b, _) = registrar
            .register(
                request("<sip:2001@a:5070>;expires=0", None, "c", 3),
                LIMITS,
                at(6),
            )
            .expect("removed");
        assert!(b.is_empty() && registrar.all(at(6)).is_empty());
    }

    #[test]
    fn a_query_changes_nothing_and_a_star_removes_all() {
        let mut registrar = Registrar::default();
        for (n, contact) in ["<sip:2001@a>", "<sip:2001@b>"].into_iter().enumerate() {
            let call_id = format!("c{n}");
            registrar
                .register(request(contact, None, &call_id, 1), LIMITS, at(0))
                .expect("bound");
        }
        let (b, changed) = registrar
            .register(request("", None, "q", 1), LIMITS, at(1))
            .expect("queried");
        assert!(b.len() == 2 && !changed);
        let (b, changed) = registrar
            .register(request("*", Some("0"), "q", 2), LIMITS, at(2))
            .expect("removed");
        assert!(b.is_empty() && changed);
    }

    #[test]
    fn refusals_change_nothing() {
        let parse =
            |values: &[&'static str], expires| Contacts::parse(values.iter().copied(), expires);
        assert_eq!(parse(&["*"], None), Err(RegisterError::Wildcard));
        assert_eq!(
            parse(&["*, <sip:a@b>"], Some("0")),
            Err(RegisterError::Wildcard)
        );
        assert_eq!(
            parse(&["<sip:a@b>"], Some("x")),
            Err(RegisterError::Expires)
        );
        assert!(matches!(
            parse(&["<sip:a@b"], None),
            Err(RegisterError::Contact(_))
        ));
        assert!(matches!(
            parse(&["<tel:+1>"], None),
            Err(RegisterError::Contact(_))
        ));
        let many = "<sip:a@b>,".repeat(17);
        assert_eq!(
            Contacts::parse([many.as_str()].into_iter(), None),
            Err(RegisterError::TooMany)
        );

        let mut registrar = Registrar::default();
        registrar
            .register(request("<sip:2001@a>", Some("60"), "c", 5), LIMITS, at(0))
            .expect("bound");
        let again = registrar.register(request("<sip:2001@a>", Some("0"), "c", 5), LIMITS, at(1));
        assert_eq!(again, Err(RegisterError::OutOfOrder));
        let brief = registrar.register(request("<sip:2001@z>", Some("9"), "d", 1), LIMITS, at(1));
        assert_eq!(brief, Err(RegisterError::TooBrief { min_expires_s: 10 }));
        assert_eq!(registrar.all(at(1)).len(), 1);
    }

    #[test]
    fn a_further_contact_replaces_the_oldest() {
        let mut registrar = Registrar::default();
        for (n, contact) in ["<sip:1@a>", "<sip:1@b>", "<sip:1@c>"]
            .into_iter()
            .enumerate()
        {
            let call_id = format!("c{n}");
            registrar
                .register(request(contact, None, &call_id, 1), LIMITS, at(0))
                .expect("bound");
        }
        let live = registrar.live(&"2001".parse().expect("valid"), at(1));
        let contacts: Vec<&str> = live.iter().map(|b| b.contact.as_str()).collect();
        assert_eq!(contacts, ["sip:1@b", "sip:1@c"]);
    }

    #[test]
    fn what_expires_is_reported_once() {
        let mut registrar = Registrar::default();
        registrar
            .register(request("<sip:1@a>", Some("10"), "c", 1), LIMITS, at(0))
            .expect("bound");
        assert!(registrar.expire(at(9)).is_empty());
        assert_eq!(registrar.expire(at(10)).len(), 1);
        assert!(registrar.expire(at(11)).is_empty());
        let kept = Binding {
            expires_at: at(5),
            ..request_binding()
        };
        assert!(Registrar::restore([kept], at(6)).all(at(6)).is_empty());
    }

    fn request_binding() -> Binding {
        let mut registrar = Registrar::default();
        let (mut b, _) = registrar
            .register(request("<sip:1@a>", Some("10"), "c", 1), LIMITS, at(0))
            .expect("bound");
        b.remove(0)
    }
}
