//! Dialling: our INVITE from its sending to a dialog or its end (RFC 3261 §13.2, §9.1).

use std::sync::Arc;

use rsipstack::sip::{Method, Request, Response, SipMessage};
use switchhook_model::HangupCause;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use super::early::Novelty;
use super::extras::Extras;
use super::{Calling, ClientKind, Failover, Leg, LegInput, Offer, OutboundStart, Phase};
use crate::client::{Outcome, run_client};
use crate::core::Core;
use crate::digest::answer_challenges;
use crate::event::SipLegEvent;
use crate::message::{self, header_of, random_token, set_sdp};
use crate::record::{DialogState, RecordError};
use crate::transport::Path;

/// How many INVITEs one dial may take: the first, one with credentials, one more for `stale`, and
/// the first two again after a 422.
const MAX_ATTEMPTS: u32 = 5;

/// Largest request over UDP, in bytes (RFC 3261 §18.1.1).
const MAX_DATAGRAM: usize = 1_300;

impl Leg {
    /// Starts the task of an outbound leg whose record is stored.
    pub(crate) fn start_outbound(
        core: Arc<Core>,
        start: OutboundStart,
        myself: UnboundedSender<LegInput>,
        inputs: UnboundedReceiver<LegInput>,
    ) {
        let deadline = Instant::now() + start.timeout;
        let mut leg = Box::new(Self {
            id: start.record.leg.clone(),
            dialog: (
                start.record.sip_call_id.clone(),
                start.record.local_tag.clone(),
            ),
            caller_tag: None,
            stored_target: Some(start.record.target()),
            record: start.record,
            path: None,
            contact_user: start.contact_user,
            credentials: start.credentials,
            phase: Phase::Calling(Calling {
                attempt: 1,
                heard: false,
                ringing: false,
                giving_up: None,
                cancel_sent: false,
                deadline,
                first_attempt: 1,
                next_target_at: None,
                redirected_by: None,
                route: None,
                visited: Vec::new(),
            }),
            inputs,
            myself,
            offer: Some(Offer {
                sdp: start.sdp_offer,
                planned: start.planned,
                headers: start.headers,
            }),
            proxies: start.path,
            failover: Failover::default(),
            last_ack: None,
            authorization: None,
            remote_cseq: None,
            reinvite: None,
            bye_retried: false,
            keys: super::info::Keys::default(),
            pending: None,
            next_reinvite_id: 0,
            timer: None,
            reported: false,
            was_answered: false,
            ext: Extras::new(&core.config),
            _admitted: None,
            early_tags: Vec::new(),
            refers: Vec::new(),
            first_refer: None,
            own_refer: None,
            refer_superseded: false,
            core,
        });
        tokio::spawn(async move {
            leg.core.tap.bind(&leg.record.sip_call_id, &leg.id);
            Box::pin(leg.place(start.route)).await;
            leg.run().await;
        });
    }

    /// Our INVITE as it leaves.
    fn invite(&self, attempt: u32) -> Result<Request, RecordError> {
        let remote = self.record.remote.clone();
        let request =
            self.record
                .attempt_request(Method::Invite, attempt, remote, self.user_agent());
        let mut request = request?;
        for proxy in &self.proxies {
            request.headers.push(header_of("Route", proxy.as_str()));
        }
        let contact = self.contact(&self.record.sent_by);
        request.headers.push(header_of("Contact", contact));
        request.headers.push(header_of("Allow", message::ALLOW));
        request.headers.push(super::supported(&self.core.config));
        for header in self.ext.session.request_headers() {
            request.headers.push(header);
        }
        if let Some(offer) = &self.offer {
            for (name, value) in offer.planned.iter().chain(&offer.headers) {
                request.headers.push(header_of(name, value.as_str()));
            }
            set_sdp(&mut request.headers, &mut request.body, &offer.sdp);
        }
        if let Some((name, value)) = &self.authorization {
            request.headers.push(header_of(name, value.as_str()));
        }
        Ok(request)
    }

    /// Whether the INVITE is too large for a datagram (RFC 3261 §18.1.1): fragments get lost. Measured
    /// before it carries credentials: with them it still fits what most networks carry, and a trunk
    /// configured for UDP should not see TCP because of its challenge.
    pub(super) fn is_large(&self, attempt: u32) -> bool {
        self.invite(attempt)
            .is_ok_and(|request| request.to_bytes().len() > MAX_DATAGRAM)
    }

    pub(super) fn send_invite(&mut self, attempt: u32, path: &Path) {
        let request = match self.invite(attempt) {
            Ok(request) => request,
            Err(error) => return self.failed(None, HangupCause::Failed, error.to_string()),
        };
        let myself = self.myself.clone();
        let given_over = self.failover.begin(attempt);
        run_client(&self.core, path, request, move |outcome| {
            match given_over.get() {
                Some(abandoned) => abandoned.outcome(outcome),
                None => {
                    let _ = myself.send(LegInput::Invite { attempt, outcome });
                }
            }
        });
    }

    pub(super) async fn invite_outcome(&mut self, attempt: u32, outcome: Outcome) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        if attempt != calling.attempt {
            return self.failover.late(attempt, outcome);
        }
        match outcome {
            Outcome::Response(response) => {
                let status = response.status_code.code();
                calling.next_target_at = None;
                if !calling.heard && status != 503 {
                    self.core.resolver.awake(&self.record.target());
                }
                match status {
                    503 if calling.giving_up.is_none() && self.failover.has_more() => {
                        self.unavailable(&response).await;
                    }
                    100..=199 => self.provisional(status, &response).await,
                    200..=299 => self.answered(*response).await,
                    401 | 407 => self.challenged(*response).await,
                    422 => self.session_too_brief(*response),
                    _ => self.refused(status, &response),
                }
            }
            Outcome::NoResponse { connection_lost } => {
                let given_up = calling.giving_up;
                let unheard = !calling.heard && given_up.is_none();
                let reason = if connection_lost {
                    "the connection was lost"
                } else {
                    "no response within 64 T1"
                };
                if unheard && self.failover.has_more() {
                    return self.next_target(reason, None).await;
                }
                let cause = given_up.unwrap_or(HangupCause::Unreachable);
                self.failed(None, cause, self.failover.with_tries(reason));
            }
        }
    }

    async fn provisional(&mut self, status: u16, response: &Response) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        let first = !calling.heard;
        calling.heard = true;
        if calling.giving_up.is_some() {
            // Now it may be cancelled (RFC 3261 §9.1).
            return self.send_cancel().await;
        }
        if status == 100 {
            if first {
                self.emit(SipLegEvent::Trying);
            }
            return;
        }
        calling.ringing = true;
        let tag = message::name_addr(&response.headers, "To").ok();
        if let Some(tag) = tag.as_ref().and_then(|to| to.tag())
            && self.early_tags.len() < 8
            && !self.early_tags.iter().any(|known| known == tag)
        {
            self.early_tags.push(tag.to_owned());
        }
        if self.take_provisional(response).await == Novelty::Ignored {
            return;
        }
        let early_sdp = message::sdp_of(&response.headers, &response.body).unwrap_or(None);
        self.emit(SipLegEvent::Ringing {
            status,
            early_sdp,
            is_forked: self.early_tags.len() > 1,
        });
    }

    async fn answered(&mut self, response: Response) {
        let given_up = match &self.phase {
            Phase::Calling(calling) => calling.giving_up,
            Phase::Incoming(_)
            | Phase::Answering { .. }
            | Phase::Established
            | Phase::Ending { .. }
            | Phase::Over => return,
        };
        let early_sdp = self.learn_dialog(&response);
        self.ext.learn_allow(&response.headers);
        self.ext.session.runs_as_uac(&response);
        self.ext.local_sdp = self.offer.as_ref().map(|offer| offer.sdp.clone());
        self.record.state = DialogState::Established;
        self.emit_record();
        self.phase = Phase::Established;
        self.acknowledge(self.record.invite_cseq).await;
        if let Some(cause) = given_up {
            // The answer crossed our CANCEL: nobody is left to talk to.
            return self.send_bye(cause).await;
        }
        self.was_answered = true;
        // An answer that came reliably before the 200 holds (RFC 3261 §13.2.1).
        let sdp = early_sdp
            .or_else(|| message::sdp_of(&response.headers, &response.body).unwrap_or(None));
        self.emit(SipLegEvent::Answered { sdp });
    }

    /// Dialog state from a 2xx (RFC 3261 §12.1.2); the answer this dialog gave before, if it did.
    fn learn_dialog(&mut self, response: &Response) -> Option<String> {
        let to = message::name_addr(&response.headers, "To").ok();
        self.record.remote_tag = to.as_ref().and_then(|to| to.tag()).map(str::to_owned);
        // A 2xx without a usable Contact breaks the RFC; the Request-URI is the best guess then.
        self.record.remote_target = None;
        self.record.learn_target(&response.headers);
        let mut routes = message::route_entries(&response.headers, "Record-Route");
        routes.reverse();
        self.record.route_set = routes;
        if self.record.next_hop().is_err() {
            self.record.route_set.clear();
        }
        self.ext.early.sdp_of(self.record.remote_tag.as_deref())
    }

    /// ACK for a 2xx (RFC 3261 §13.2.2.4): a request of its own, sent again with each 2xx.
    pub(super) async fn acknowledge(&mut self, cseq: u32) {
        let path = match self.dialog_path().await {
            Ok(path) => path,
            Err(error) => return tracing::warn!(%error, leg = %self.id, "ACK cannot be sent"),
        };
        let branch = format!("z9hG4bK{}", random_token(16));
        let ack = self
            .record
            .dialog_request(Method::Ack, cseq, &branch, self.user_agent());
        let mut ack = match ack {
            Ok(ack) => ack,
            Err(error) => return tracing::warn!(%error, leg = %self.id, "ACK cannot be built"),
        };
        if let Some((name, value)) = &self.authorization {
            ack.headers.push(header_of(name, value.as_str()));
        }
        self.last_ack = Some(ack.clone());
        path.send(SipMessage::Request(ack)).await;
    }

    /// A 2xx again: our ACK was lost. A 2xx of another fork: that call is ended at once.
    pub(super) async fn stray_answer(&mut self, response: Response) {
        let tag = message::name_addr(&response.headers, "To").ok();
        let tag = tag.as_ref().and_then(|to| to.tag()).map(str::to_owned);
        if tag == self.record.remote_tag {
            let cseq = message::cseq(&response.headers).map(|(number, _)| number);
            let fits = |ack: &&Request| message::cseq(&ack.headers).map(|(n, _)| n) == cseq;
            if let Some(ack) = self.last_ack.as_ref().filter(fits).cloned()
                && let Ok(path) = self.dialog_path().await
            {
                path.send(SipMessage::Request(ack)).await;
            }
            return;
        }
        if !self.record.is_outbound() {
            return;
        }
        self.core.end_fork(self.record.forked(&response));
    }

    async fn challenged(&mut self, response: Response) {
        let status = response.status_code.code();
        let (Phase::Calling(calling), Some(credentials)) = (&mut self.phase, &mut self.credentials)
        else {
            return self.refused(status, &response);
        };
        // After a PRACK the CSeq of another INVITE would be one that was used.
        let is_late = calling.attempt - calling.first_attempt + 1 >= MAX_ATTEMPTS
            || !self.ext.early.is_empty();
        if calling.giving_up.is_some() || is_late {
            return self.refused(status, &response);
        }
        let (asked, answer) = challenge_headers(status);
        let answered = answer_challenges(
            message::headers_all(&response.headers, asked),
            credentials,
            "INVITE",
            &self.record.request_uri,
            &random_token(16),
        );
        let Some((value, challenge)) = answered else {
            let reason = "no digest challenge we can answer";
            return self.failed(Some(status), HangupCause::Rejected, reason);
        };
        let is_repeated = calling.attempt > calling.first_attempt && self.authorization.is_some();
        if is_repeated && !challenge.stale {
            // The same password again would be refused again.
            return self.refused(status, &response);
        }
        credentials.floor = Some((challenge.realm, challenge.algorithm.hash));
        self.authorization = Some((answer.to_owned(), value));
        self.next_attempt();
    }

    /// 422 (RFC 4028 §7.3): the same again with the interval that is wanted.
    fn session_too_brief(&mut self, response: Response) {
        let status = response.status_code.code();
        let Phase::Calling(calling) = &self.phase else {
            return;
        };
        let is_late = calling.attempt - calling.first_attempt + 1 >= MAX_ATTEMPTS
            || !self.ext.early.is_empty();
        // Only where the record says that a further INVITE may follow: a new process could not end
        // one it does not know of.
        let may_retry = self.record.may_retry && !is_late;
        if calling.giving_up.is_some() || !may_retry || !self.ext.session.raise(&response) {
            return self.refused(status, &response);
        }
        // The digest's nonce was used; a new challenge may follow.
        self.authorization = None;
        self.next_attempt();
    }

    /// The INVITE again, as a new transaction.
    fn next_attempt(&mut self) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        calling.attempt += 1;
        calling.heard = false;
        let attempt = calling.attempt;
        self.record.invite_attempts = attempt;
        self.record.invite_cseq = attempt;
        self.record.local_cseq = attempt;
        self.emit_record();
        match self.path.clone() {
            Some(path) => self.send_invite(attempt, &path),
            None => self.failed(None, HangupCause::Unreachable, "the connection was lost"),
        }
    }

    fn refused(&mut self, status: u16, response: &Response) {
        if self.redirected(status, response) {
            return;
        }
        let given_up = match &self.phase {
            Phase::Calling(calling) => calling.giving_up,
            Phase::Incoming(_)
            | Phase::Answering { .. }
            | Phase::Established
            | Phase::Ending { .. }
            | Phase::Over => None,
        };
        let cause = given_up.unwrap_or_else(|| HangupCause::from_sip_status(status));
        // Its number only: the words may hold the caller's.
        if let Some(error) = message::header(&response.headers, "X-Twilio-Error") {
            let number = error.split(|c: char| !c.is_ascii_digit()).next();
            tracing::warn!(leg = %self.id, status, number, "a dial was refused by Twilio");
        }
        let phrase = response.wire_reason.clone();
        let phrase = phrase.unwrap_or_else(|| response.status_code.text().to_owned());
        let said = match self.redirect_refusal(status, response) {
            Some(why) => why,
            None => crate::reason::said_by(&phrase, &response.headers),
        };
        self.failed(Some(status), cause, self.failover.with_tries(&said));
    }

    pub(super) fn failed(
        &mut self,
        status: Option<u16>,
        cause: HangupCause,
        reason: impl Into<String>,
    ) {
        let reason: String = reason.into();
        let reason = reason.chars().filter(|c| !c.is_control()).take(600);
        self.finish(SipLegEvent::Failed {
            status,
            cause,
            reason: reason.collect(),
        });
    }

    /// Gives the dial up. CANCEL leaves at once when the other side was heard, else as soon as it
    /// is (RFC 3261 §9.1).
    pub(super) async fn give_up(&mut self, cause: HangupCause) {
        let Phase::Calling(calling) = &mut self.phase else {
            // `cancel` may cross the answer: then it ends the call.
            return match self.phase {
                Phase::Established if self.record.is_outbound() => self.send_bye(cause).await,
                Phase::Calling(_)
                | Phase::Incoming(_)
                | Phase::Answering { .. }
                | Phase::Established
                | Phase::Ending { .. }
                | Phase::Over => {}
            };
        };
        if calling.giving_up.is_some() {
            return;
        }
        calling.giving_up = Some(cause);
        if calling.redirected_by.is_some() {
            // Nothing is out that could be cancelled.
            return self.failed(None, cause, "given up while it was being redirected");
        }
        calling.deadline = Instant::now() + self.core.config.timers.t1 * 4;
        if calling.heard {
            self.send_cancel().await;
        }
    }

    pub(super) async fn dial_deadline(&mut self) {
        let Phase::Calling(calling) = &self.phase else {
            return;
        };
        if calling.giving_up.is_none() && Instant::now() < calling.deadline {
            return self.next_target("no response in time", None).await;
        }
        match calling.giving_up {
            None => {
                // Nobody was heard at all: that is not a phone that rang.
                let cause = if calling.heard {
                    HangupCause::NoAnswer
                } else {
                    HangupCause::Unreachable
                };
                self.give_up(cause).await;
            }
            Some(cause) if !self.reported => {
                // The user need not wait for a phone that does not even answer a CANCEL. The leg
                // goes on by itself, so that a late 200 is ended and not left alone.
                self.reported = true;
                self.emit(SipLegEvent::Failed {
                    status: None,
                    cause,
                    reason: "given up; no final response yet".to_owned(),
                });
                if let Phase::Calling(calling) = &mut self.phase {
                    // Silence is an end, too: after 64 T1 none is to be expected (§9.1).
                    calling.deadline = Instant::now() + self.core.config.timers.t1 * 64;
                }
            }
            Some(cause) => self.failed(None, cause, "no final response after giving up"),
        }
    }

    async fn send_cancel(&mut self) {
        let Phase::Calling(calling) = &mut self.phase else {
            return;
        };
        if calling.cancel_sent {
            return;
        }
        calling.cancel_sent = true;
        let cause = calling.giving_up.unwrap_or(HangupCause::Canceled);
        let attempt = calling.attempt;
        let remote = self.record.remote.clone();
        let request =
            self.record
                .attempt_request(Method::Cancel, attempt, remote, self.user_agent());
        if let (Ok(mut request), Some(path)) = (request, &self.path) {
            // The INVITE's way (RFC 3261 §9.1).
            for proxy in &self.proxies {
                request.headers.push(header_of("Route", proxy.as_str()));
            }
            let reason = crate::reason::value_of(cause);
            request.headers.push(header_of("Reason", reason));
            let myself = self.myself.clone();
            run_client(&self.core, path, request, move |outcome| {
                let kind = ClientKind::Cancel;
                let _ = myself.send(LegInput::Client { kind, outcome });
            });
        }
    }
}

/// The header a challenge comes in and the one its answer goes in (RFC 3261 §22.2, §22.3).
pub(crate) fn challenge_headers(status: u16) -> (&'static str, &'static str) {
    if status == 407 {
        ("Proxy-Authenticate", "Proxy-Authorization")
    } else {
        ("WWW-Authenticate", "Authorization")
    }
}
