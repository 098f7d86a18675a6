//! 3xx answers to a dial (RFC 3261 §8.1.3.4, §21.3): offered to the user of the endpoint, who knows
//! what may be dialled. Following one is a further INVITE of the same dial, with a Call-ID, a leg and
//! a time limit of the first.

use std::net::SocketAddr;

use rsipstack::sip::Response;
use switchhook_model::HangupCause;

use super::early::EarlyDialogs;
use super::{Leg, Phase};
use crate::config::TrunkId;
use crate::dial::Route;
use crate::digest::Credentials;
use crate::event::SipLegEvent;
use crate::message;
use crate::transport::Target;
use crate::uri::{NameAddr, SipUri, split_entries};

/// Contacts of one answer that are looked at.
const MAX_CONTACTS: usize = 8;

/// Where a dial goes on.
#[derive(Debug)]
pub(crate) struct Redirection {
    pub request_uri: SipUri,
    /// From without tag, and the user of our Contact: what is right for one may not be for another.
    pub local: String,
    pub contact_user: String,
    /// Headers of the way it goes.
    pub planned: Vec<(String, String)>,
    /// What the record names until the INVITE leaves: the first target, our Via towards it, the
    /// addresses of the others.
    pub target: Target,
    pub sent_by: String,
    pub alternatives: Vec<SocketAddr>,
    pub route: Route,
    /// Proxies the INVITE goes through, nearest first.
    pub path: Vec<String>,
    pub symmetric: bool,
    pub credentials: Option<Credentials>,
    pub trunk: Option<TrunkId>,
}

/// Where the answer points, best first (RFC 3261 §20.10, `q`).
fn contacts(response: &Response) -> Vec<SipUri> {
    let mut found: Vec<(u32, SipUri)> = message::headers_all(&response.headers, "Contact")
        .flat_map(split_entries)
        .take(MAX_CONTACTS)
        .filter_map(|entry| {
            let address = NameAddr::parse(entry).ok()?;
            let q = address.param("q").map_or(1000, thousandths);
            Some((q, address.sip_uri().ok()?))
        })
        .collect();
    found.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    found.into_iter().map(|(_, uri)| uri).collect()
}

/// `0.7` as 700.
fn thousandths(q: &str) -> u32 {
    let (whole, part) = q.split_once('.').unwrap_or((q, ""));
    if whole.trim() == "1" {
        return 1000;
    }
    let digits: String = part.chars().chain("000".chars()).take(3).collect();
    digits.parse().unwrap_or(0)
}

impl Leg {
    /// The dial was answered 3xx. True if it may go on elsewhere: the user was asked.
    pub(super) fn redirected(&mut self, status: u16, response: &Response) -> bool {
        let max = self.core.config.limits.max_redirects;
        let Phase::Calling(calling) = &mut self.phase else {
            return false;
        };
        if !(300..400).contains(&status) || status == 380 || calling.giving_up.is_some() {
            return false;
        }
        let visited = &mut calling.visited;
        if let Ok(here) = SipUri::parse(&self.record.request_uri) {
            visited.push(here);
        }
        let uris: Vec<String> = contacts(response)
            .into_iter()
            // Where it went already it would go round in circles.
            .filter(|uri| !visited.iter().any(|seen| seen.same_resource(uri)))
            .map(|uri| uri.to_string())
            .collect();
        if uris.is_empty() || visited.len() > max {
            return false;
        }
        calling.redirected_by = Some(status);
        calling.route = None;
        calling.heard = false;
        self.emit(SipLegEvent::Redirected { status, uris });
        true
    }

    /// Why a 3xx was not offered, for people.
    pub(super) fn redirect_refusal(&self, status: u16, response: &Response) -> Option<String> {
        if !(300..400).contains(&status) || status == 380 {
            return None;
        }
        let Phase::Calling(calling) = &self.phase else {
            return None;
        };
        let max = self.core.config.limits.max_redirects;
        Some(if contacts(response).is_empty() {
            "redirected without saying where to".to_owned()
        } else if calling.visited.len() > max {
            format!("redirected more than {max} times")
        } else {
            "redirected in a circle".to_owned()
        })
    }

    /// The user decided where to: the record is handed out first, and the INVITE leaves when it is
    /// stored.
    pub(super) fn follow_redirect(&mut self, to: Redirection) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        if calling.redirected_by.is_none() {
            return;
        }
        calling.route = Some(to.route);
        let attempt = calling.attempt + 1;
        self.record.request_uri = to.request_uri.to_string();
        self.record.local = to.local;
        self.contact_user = to.contact_user;
        if let Some(offer) = &mut self.offer {
            offer.planned = to.planned;
        }
        self.record.go_to(&to.target);
        self.record.sent_by = to.sent_by;
        self.record.alternatives = to.alternatives;
        self.record.symmetric = to.symmetric;
        let core = &self.core;
        self.record.may_retry = core.may_retry(to.credentials.as_ref(), to.trunk.as_ref());
        self.record.trunk = to.trunk;
        self.record.invite_attempts = attempt;
        self.record.invite_cseq = attempt;
        self.record.local_cseq = attempt;
        self.credentials = to.credentials;
        self.authorization = None;
        self.proxies = to.path;
        self.stored_target = Some(to.target);
        self.path = None;
        // Who rang before has said their last word.
        self.early_tags.clear();
        self.ext.early = EarlyDialogs::default();
        self.failover.forget_targets();
        self.emit(SipLegEvent::RedirectReady(Box::new(self.record.clone())));
    }

    /// The record is stored: the INVITE may leave.
    pub(super) async fn proceed(&mut self) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        let Some(route) = calling.route.take() else {
            return;
        };
        if calling.redirected_by.take().is_some() {
            self.place(route).await;
        }
    }

    /// The user does not follow.
    pub(super) fn refuse_redirect(&mut self, why: String) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        if let Some(status) = calling.redirected_by.take() {
            let why = self.failover.with_tries(&why);
            self.failed(Some(status), HangupCause::Unreachable, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preference_as_thousandths() {
        assert_eq!(thousandths("1"), 1000);
        assert_eq!(thousandths("0.7"), 700);
        assert_eq!(thousandths("0.55"), 550);
        assert_eq!(thousandths("nonsense"), 0);
    }
}
