//! Provisional responses of the other side that want a PRACK (RFC 3262 §4).

use std::collections::BTreeMap;

use rsipstack::sip::{Method, Response};

use super::outbound::challenge_headers;
use super::{ClientKind, Leg};
use crate::client::run_client;
use crate::digest::answer_challenges;
use crate::extension::{has_option, rseq};
use crate::message::{self, header_of, random_token};
use crate::record::DialogRecord;

/// Early dialogs one INVITE may open before we stop acknowledging further ones: forks.
const MAX_EARLY: usize = 16;

/// One for each tag a reliable response came from.
#[derive(Default)]
pub(super) struct EarlyDialogs(BTreeMap<String, Early>);

struct Early {
    /// The leg's record with this dialog's tag, target and route set.
    record: DialogRecord,
    last_rseq: u32,
    /// RAck of the last PRACK.
    rack: String,
    authorized: bool,
    /// The answer to our offer, which no later response changes (RFC 3261 §13.2.1).
    sdp: Option<String>,
}

/// What a provisional response is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// Sent again, or ahead of one that was lost: not for us to act on.
    Ignored,
}

impl EarlyDialogs {
    /// Whether some callee has answered our offer reliably, so that it may offer by UPDATE.
    pub(super) fn is_agreed(&self) -> bool {
        self.0.values().any(|early| early.sdp.is_some())
    }

    /// The answer that came with a reliable response of this dialog.
    pub(super) fn sdp_of(&self, tag: Option<&str>) -> Option<String> {
        self.0.get(tag?)?.sdp.clone()
    }

    /// Whether a PRACK was sent: its CSeq is beyond the INVITE's, so no further INVITE may follow.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Leg {
    /// Acknowledges a reliable provisional response, in order and once.
    pub(super) async fn take_provisional(&mut self, response: &Response) -> Novelty {
        let headers = &response.headers;
        if !self.core.config.reliable_provisionals || !has_option(headers, "Require", "100rel") {
            return Novelty::New;
        }
        let (Some(number), Ok(to)) = (rseq(headers), message::name_addr(headers, "To")) else {
            return Novelty::New;
        };
        let Some(tag) = to.tag().map(str::to_owned) else {
            return Novelty::New;
        };
        if let Some(early) = self.ext.early.0.get(&tag) {
            // RFC 3262 §4: not to be acknowledged again, nor before those it follows.
            if number != early.last_rseq.wrapping_add(1) {
                return Novelty::Ignored;
            }
        } else if self.ext.early.0.len() >= MAX_EARLY {
            return Novelty::Ignored;
        }
        let mut record = self.record.clone();
        record.remote_tag = Some(tag.clone());
        // Its own Contact and Route set, not those of the INVITE (RFC 3262 §4, RFC 3261 §12.1.2).
        record.learn_target(headers);
        record.route_set = message::route_entries(headers, "Record-Route");
        record.route_set.reverse();
        if record.next_hop().is_err() {
            record.route_set.clear();
        }
        let (cseq, _) = message::cseq(headers).unwrap_or((self.record.invite_cseq, "INVITE"));
        let sdp = message::sdp_of(headers, &response.body).unwrap_or(None);
        let before = self.ext.early.0.remove(&tag);
        let early = Early {
            record,
            last_rseq: number,
            rack: format!("{number} {cseq} INVITE"),
            authorized: false,
            sdp: before.and_then(|early| early.sdp).or(sdp),
        };
        self.ext.early.0.insert(tag.clone(), early);
        self.ext.learn_allow(headers);
        self.send_prack(&tag, None).await;
        Novelty::New
    }

    async fn send_prack(&mut self, tag: &str, authorization: Option<(String, String)>) {
        self.record.local_cseq += 1;
        let cseq = self.record.local_cseq;
        let Some(early) = self.ext.early.0.get(tag) else {
            return;
        };
        let branch = format!("z9hG4bK{}", random_token(16));
        let target = self.core.next_hop(&early.record).await;
        let path = match self.core.hub.path(&self.core, &target).await {
            Ok(path) => path,
            Err(error) => return tracing::warn!(%error, leg = %self.id, "PRACK cannot be sent"),
        };
        let mut record = early.record.clone();
        record.transport = target.transport;
        record.sent_by.clone_from(&path.sent_by);
        let request = record.dialog_request(Method::PRack, cseq, &branch, self.user_agent());
        let mut request = match request {
            Ok(request) => request,
            Err(error) => return tracing::warn!(%error, leg = %self.id, "PRACK cannot be built"),
        };
        request.headers.push(header_of("RAck", early.rack.as_str()));
        if let Some((name, value)) = authorization.as_ref().or(self.authorization.as_ref()) {
            request.headers.push(header_of(name, value.as_str()));
        }
        let myself = self.myself.clone();
        run_client(&self.core, &path, request, move |outcome| {
            let kind = ClientKind::Prack;
            let _ = myself.send(super::LegInput::Client { kind, outcome });
        });
    }

    /// Only a challenge is of interest: whether the PRACK was taken shows in what comes next.
    pub(super) async fn prack_outcome(&mut self, response: Option<Response>) {
        let Some(response) = response.filter(|r| matches!(r.status_code.code(), 401 | 407)) else {
            return;
        };
        let to = message::name_addr(&response.headers, "To").ok();
        let Some(tag) = to.as_ref().and_then(|to| to.tag()) else {
            return;
        };
        let (Some(early), Some(credentials)) = (self.ext.early.0.get_mut(tag), &self.credentials)
        else {
            return;
        };
        if std::mem::replace(&mut early.authorized, true) {
            return;
        }
        let (asked, answer) = challenge_headers(response.status_code.code());
        let uri = early.record.remote_target.as_ref();
        let answered = answer_challenges(
            message::headers_all(&response.headers, asked),
            credentials,
            "PRACK",
            uri.unwrap_or(&early.record.request_uri),
            &random_token(16),
        );
        if let Some((value, _)) = answered {
            self.send_prack(tag, Some((answer.to_owned(), value))).await;
        }
    }
}
