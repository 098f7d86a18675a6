//! Requests within the dialog, ours and the other side's (RFC 3261 §12.2, §14, §15; RFC 6086).

use rsipstack::sip::{Method, Request, Response};
use rsipstack::transaction::Transaction;
use switchhook_model::{Digit, HangupCause};
use tokio::time::Instant;

use super::extras::{Purpose, ReInviteOrder, Retry};
use super::outbound::challenge_headers;
use super::{
    ClientKind, Decision, Leg, LegInput, OwnReInvite, PendingReInvite, Phase, Respond, ServerEvent,
    run_server_invite, send_response,
};
use crate::client::{Outcome, run_client_in};
use crate::digest::answer_challenges;
use crate::endpoint::ReInviteResponder;
use crate::event::SipLegEvent;
use crate::message::{self, header_of, random_token, set_sdp};
use crate::record::DialogState;

/// How often a re-INVITE of ours is sent again after 491 or 500.
const MAX_RETRIES: u32 = 3;

impl Leg {
    /// A request from the other side.
    pub(super) async fn request(&mut self, mut transaction: Transaction) {
        let request = transaction.original.clone();
        if let Some(status) = self.check_in_dialog(&request) {
            let response = self.dialog_response(&request, status);
            return self.core.finish(&mut transaction, response).await;
        }
        let status = match request.method {
            Method::Bye => return self.bye(transaction).await,
            Method::Invite => return self.reinvite(transaction).await,
            Method::Update => return self.updated(transaction).await,
            Method::PRack => return self.prack(transaction).await,
            Method::Refer => return self.refer(transaction).await,
            Method::Notify => self.refer_notified(&request),
            Method::Info => self.info(&request),
            Method::Options => 200,
            Method::Cancel | Method::Ack => 481,
            Method::Message | Method::Publish | Method::Register | Method::Subscribe => 405,
        };
        let mut response = self.dialog_response(&request, status);
        if status == 415 {
            response.headers.push(header_of(
                "Accept",
                "application/dtmf-relay, application/dtmf",
            ));
        }
        self.core.finish(&mut transaction, response).await;
    }

    async fn bye(&mut self, mut transaction: Transaction) {
        let request = transaction.original.clone();
        let status = match &self.phase {
            // An early dialog of ours cannot be ended by the callee's BYE (RFC 3261 §15).
            Phase::Calling(_) | Phase::Over => 481,
            Phase::Incoming(_)
            | Phase::Answering { .. }
            | Phase::Established
            | Phase::Ending { .. } => 200,
        };
        let response = self.dialog_response(&request, status);
        self.core.finish(&mut transaction, response).await;
        self.refuse_undecided().await;
        let reason = message::header(&request.headers, "Reason").unwrap_or("");
        let reason: String = reason
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        if matches!(self.phase, Phase::Answering { hang_up: None }) {
            // It knows our tag: the 200 arrived, and its ACK was lost or overtaken.
            self.emit(SipLegEvent::Confirmed { sdp: None });
        }
        match &self.phase {
            Phase::Calling(_) | Phase::Over => {}
            Phase::Incoming(_) => self.canceled(reason),
            Phase::Answering { .. } | Phase::Established => {
                let cause = crate::reason::cause_of(&request.headers);
                self.ended(true, cause.unwrap_or(HangupCause::Normal), reason);
            }
            // Both hung up at once.
            Phase::Ending { cause } => {
                let cause = *cause;
                self.over_after_bye(true, cause, reason);
            }
        }
    }

    /// A key (`Signal=5` or the bare key); other INFO is accepted when it is empty.
    fn info(&self, request: &Request) -> u16 {
        let kind = message::header(&request.headers, "Content-Type").unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        let is_relay = kind.eq_ignore_ascii_case("application/dtmf-relay");
        if !is_relay && !kind.eq_ignore_ascii_case("application/dtmf") {
            return if request.body.is_empty() { 200 } else { 415 };
        }
        let Some(digit) = dtmf_digit(&request.body) else {
            return 400;
        };
        self.emit(SipLegEvent::Digit(digit));
        200
    }

    async fn reinvite(&mut self, mut transaction: Transaction) {
        let awaits_ack = match (&self.phase, &self.pending) {
            (Phase::Answering { hang_up: None }, _) => true,
            (_, pending) => pending.as_ref().is_some_and(|pending| pending.decided),
        };
        if awaits_ack && self.ext.overtook_ack.is_none() {
            // Whoever sends another has our 200 (RFC 3261 §14.1); its ACK is on the way.
            self.ext.overtook_ack = Some(Box::new(transaction));
            return;
        }
        let request = transaction.original.clone();
        let status = match &self.phase {
            // Ours is on the way (RFC 3261 §14.2).
            Phase::Established if self.reinvite.is_some() => Some(491),
            Phase::Established if self.pending.is_some() => Some(500),
            Phase::Established => None,
            Phase::Answering { .. } => Some(500),
            Phase::Calling(_) | Phase::Incoming(_) | Phase::Ending { .. } | Phase::Over => {
                Some(481)
            }
        };
        let sdp = message::sdp_of(&request.headers, &request.body);
        let status = status.or(sdp.is_err().then_some(415));
        if let Some(status) = status {
            let response = self.busy_response(&request, status);
            return self.core.finish(&mut transaction, response).await;
        }
        if let Some(response) = self.too_brief(&request) {
            return self.core.finish(&mut transaction, response).await;
        }
        self.refresh_target(&request);
        let id = self.next_reinvite_id;
        self.next_reinvite_id += 1;
        let reporter = self.myself.clone();
        let responder = run_server_invite(transaction, move |event| {
            let _ = reporter.send(LegInput::ReInvite { id, event });
        });
        send_response(&responder, self.core.response(&request, 100, None));
        self.pending = Some(PendingReInvite {
            id,
            request,
            responder: Respond::Invite(responder),
            decided: false,
        });
        self.emit(SipLegEvent::ReInvite {
            sdp: sdp.unwrap_or(None),
            responder: ReInviteResponder::new(self.myself.clone(), id),
        });
    }

    /// The ACK is here: what overtook it is next.
    pub(super) async fn take_up_reinvite(&mut self) {
        if let Some(transaction) = self.ext.overtook_ack.take() {
            self.reinvite(*transaction).await;
        }
    }

    /// The call is over: what waits for a decision gets none (RFC 3261 §15.1.2).
    async fn refuse_undecided(&mut self) {
        if let Some(pending) = self.pending.take().filter(|p| !p.decided) {
            let response = self.dialog_response(&pending.request, 487);
            self.respond_pending(pending.responder, response).await;
        }
    }

    /// Nobody will answer it any more.
    pub(super) async fn refuse_reinvite(&mut self) {
        self.refuse_undecided().await;
        if let Some(mut transaction) = self.ext.overtook_ack.take() {
            let response = self.core.response(&transaction.original, 481, None);
            self.core.finish(&mut transaction, response).await;
        }
    }

    pub(super) async fn decide_reinvite(&mut self, id: u64, decision: Decision) {
        let Some(mut pending) = self.pending.take_if(|p| p.id == id && !p.decided) else {
            return;
        };
        let request = pending.request.clone();
        let response = match decision {
            Decision::Answer(sdp) => {
                let mut response = self.update_response(&request, 200);
                self.agree_session_of(&request, &mut response);
                set_sdp(&mut response.headers, &mut response.body, &sdp);
                self.ext.local_sdp = Some(sdp);
                response
            }
            Decision::Reject(status) => {
                let response = self.dialog_response(&request, status);
                return self.respond_pending(pending.responder, response).await;
            }
        };
        match pending.responder {
            Respond::Invite(responder) => {
                send_response(&responder, response);
                pending.decided = true;
                pending.responder = Respond::Invite(responder);
                self.pending = Some(pending);
            }
            Respond::Transaction(mut transaction) => {
                self.core.finish(&mut transaction, response).await;
            }
        }
    }

    async fn respond_pending(&self, responder: Respond, response: Response) {
        match responder {
            Respond::Invite(responder) => send_response(&responder, response),
            Respond::Transaction(mut transaction) => {
                self.core.finish(&mut transaction, response).await;
            }
        }
    }

    /// A PRACK says nothing of the session.
    fn agree_session_of(&mut self, request: &Request, response: &mut Response) {
        if request.method != Method::PRack {
            self.agree_session(request, response);
        }
    }

    pub(super) async fn reinvite_event(&mut self, id: u64, event: ServerEvent) {
        let Some(pending) = self.pending.as_ref().filter(|p| p.id == id) else {
            return;
        };
        match event {
            ServerEvent::Acknowledged(ack) => {
                let offered = pending.request.body.is_empty();
                self.pending = None;
                if offered {
                    // We offered in the 200; the answer is in the ACK.
                    let sdp = message::sdp_of(&ack.headers, &ack.body).unwrap_or(None);
                    self.emit(SipLegEvent::Confirmed { sdp });
                }
                self.take_up_reinvite().await;
            }
            ServerEvent::Canceled(_) if !pending.decided => {
                let response = self.dialog_response(&pending.request, 487);
                if let Respond::Invite(responder) = &pending.responder {
                    send_response(responder, response);
                }
                self.pending = None;
            }
            ServerEvent::Canceled(_) => {}
            ServerEvent::Finished => {
                let decided = pending.decided;
                self.pending = None;
                // A 200 that nobody acknowledged ends the dialog (RFC 3261 §14.2, §13.3.1.4).
                if decided && matches!(self.phase, Phase::Established) {
                    self.send_bye(HangupCause::Failed).await;
                }
            }
        }
    }

    /// Offers new media, for example hold. One at a time (RFC 3261 §14.1).
    pub(super) async fn send_reinvite(&mut self, sdp: String) {
        // The newest wish counts; one that waits to be sent again is out of date.
        self.ext.retry = None;
        let order = ReInviteOrder {
            sdp,
            purpose: Purpose::Media,
            tries: 0,
        };
        self.order_reinvite(order, None).await;
    }

    /// The wait after a 491 or 500 is over.
    pub(super) async fn retry_reinvite(&mut self) {
        if self.pending.is_some() || self.reinvite.is_some() {
            let at = Instant::now() + self.core.config.timers.t1;
            if let Some(retry) = &mut self.ext.retry {
                retry.at = at;
            }
            return;
        }
        if let Some(retry) = self.ext.retry.take() {
            self.order_reinvite(retry.order, None).await;
        }
    }

    pub(super) async fn order_reinvite(
        &mut self,
        order: ReInviteOrder,
        authorization: Option<(String, String)>,
    ) {
        let retried = authorization.is_some();
        let waits = match &self.reinvite {
            Some(own) => own.order.purpose == Purpose::Refresh,
            None => self.pending.is_some(),
        };
        if waits && order.purpose == Purpose::Media && matches!(self.phase, Phase::Established) {
            // Theirs is being decided, or a refresh is under way that nobody asked for: it follows.
            let at = Instant::now() + self.core.config.timers.t1;
            self.ext.retry = Some(Retry { at, order });
            return;
        }
        let busy = self.pending.is_some() || (self.reinvite.is_some() && !retried);
        if !matches!(self.phase, Phase::Established) || busy {
            return self.reinvite_failed(&order, Some(491));
        }
        let path = self.dialog_path().await;
        self.record.local_cseq += 1;
        let cseq = self.record.local_cseq;
        let branch = format!("z9hG4bK{}", random_token(16));
        let request = self
            .record
            .dialog_request(Method::Invite, cseq, &branch, self.user_agent());
        let contact = self.contact(&self.record.sent_by);
        let (Ok(mut request), Ok(path)) = (request, path) else {
            return self.reinvite_failed(&order, None);
        };
        request.headers.push(header_of("Contact", contact));
        request.headers.push(header_of("Allow", message::ALLOW));
        request.headers.push(super::supported(&self.core.config));
        if self.ext.session.is_active() {
            for header in self.ext.session.request_headers() {
                request.headers.push(header);
            }
        }
        if let Some((name, value)) = &authorization {
            request.headers.push(header_of(name, value.as_str()));
        }
        set_sdp(&mut request.headers, &mut request.body, &order.sdp);
        self.reinvite = Some(OwnReInvite {
            cseq,
            order,
            retried,
        });
        self.emit_record();
        self.send_in_dialog(ClientKind::ReInvite, request, &path);
    }

    fn reinvite_failed(&self, order: &ReInviteOrder, status: Option<u16>) {
        match order.purpose {
            Purpose::Media => self.emit(SipLegEvent::ReInviteFailed { status }),
            Purpose::Refresh => {
                tracing::debug!(leg = %self.id, status, "session refresh failed");
            }
        }
    }

    /// Ends the dialog (RFC 3261 §15.1.1).
    pub(super) async fn send_bye(&mut self, cause: HangupCause) {
        self.phase = Phase::Ending { cause };
        self.bye_with(None).await;
    }

    async fn bye_with(&mut self, authorization: Option<(String, String)>) {
        let path = self.dialog_path().await;
        self.record.local_cseq += 1;
        let branch = format!("z9hG4bK{}", random_token(16));
        let request = self.record.dialog_request(
            Method::Bye,
            self.record.local_cseq,
            &branch,
            self.user_agent(),
        );
        match (request, path) {
            (Ok(mut request), Ok(path)) => {
                if let Some((name, value)) = &authorization {
                    request.headers.push(header_of(name, value.as_str()));
                }
                // RFC 3326.
                if let Some(why) = self.ext.ending {
                    let reason = format!("SIP;cause=408;text=\"{why}\"");
                    request.headers.push(header_of("Reason", reason));
                } else if let Phase::Ending { cause } = &self.phase {
                    let reason = crate::reason::value_of(*cause);
                    request.headers.push(header_of("Reason", reason));
                }
                self.send_in_dialog(ClientKind::Bye, request, &path);
            }
            (Err(error), _) => self.bye_impossible(error.to_string()),
            (_, Err(error)) => self.bye_impossible(error.to_string()),
        }
    }

    fn bye_impossible(&mut self, why: String) {
        if let Phase::Ending { cause } = self.phase {
            self.over_after_bye(false, cause, why);
        }
    }

    /// The end of a leg we ended: a failed dial if its answer was never reported.
    fn over_after_bye(&mut self, by_remote: bool, cause: HangupCause, mut reason: String) {
        if let Some(why) = self.ext.ending.filter(|_| reason.is_empty()) {
            reason = why.to_owned();
        }
        if self.record.is_outbound() && !self.was_answered {
            self.failed(None, cause, "answered while being given up; ended by BYE");
        } else {
            self.ended(by_remote, cause, reason);
        }
    }

    pub(super) fn send_in_dialog(
        &mut self,
        kind: ClientKind,
        request: Request,
        path: &crate::transport::Path,
    ) {
        let myself = self.myself.clone();
        let turn = self.ext.order.next();
        run_client_in(&self.core, path, request, turn, move |outcome| {
            let _ = myself.send(LegInput::Client { kind, outcome });
        });
    }

    /// A response to a request of ours within the dialog, or the lack of one.
    pub(super) async fn client_outcome(&mut self, kind: ClientKind, outcome: Outcome) {
        let response = match outcome {
            Outcome::Response(response) if response.status_code.code() < 200 => return,
            Outcome::Response(response) => Some(*response),
            Outcome::NoResponse { .. } => None,
        };
        match kind {
            // Whatever CANCEL got: the INVITE's own final response decides (RFC 3261 §9.1).
            ClientKind::Cancel => {}
            ClientKind::Bye => self.bye_outcome(response).await,
            ClientKind::ReInvite => self.reinvite_outcome(response).await,
            ClientKind::Info => self.info_outcome(response).await,
            ClientKind::Update => self.update_outcome(response).await,
            ClientKind::Prack => self.prack_outcome(response).await,
            ClientKind::Refer => self.refer_outcome(response).await,
            // A phone that does not care how its REFER goes changes nothing.
            ClientKind::Notify => {}
        }
    }

    async fn bye_outcome(&mut self, response: Option<Response>) {
        let Phase::Ending { cause } = self.phase else {
            return;
        };
        let Some(response) = response else {
            return self.over_after_bye(false, cause, "BYE got no response".to_owned());
        };
        let status = response.status_code.code();
        if matches!(status, 401 | 407)
            && !self.bye_retried
            && let Some(answer) = self.answer_challenge(&response, "BYE")
        {
            self.bye_retried = true;
            return self.bye_with(Some(answer)).await;
        }
        self.over_after_bye(false, cause, String::new());
    }

    async fn reinvite_outcome(&mut self, response: Option<Response>) {
        let Some(own) = self.reinvite.take() else {
            return;
        };
        let Some(response) = response else {
            // No response at all means that the other side is gone (RFC 3261 §14.1).
            self.reinvite_failed(&own.order, None);
            if matches!(self.phase, Phase::Established) {
                self.send_bye(HangupCause::Failed).await;
            }
            return;
        };
        let status = response.status_code.code();
        let order = own.order;
        match status {
            200..=299 => {
                self.record.learn_target(&response.headers);
                self.acknowledge(own.cseq).await;
                if self.record.state == DialogState::Established {
                    self.emit_record();
                }
                self.ext.learn_allow(&response.headers);
                if self.ext.session.is_active() {
                    self.ext.session.runs_as_uac(&response);
                }
                self.ext.local_sdp = Some(order.sdp);
                let sdp = message::sdp_of(&response.headers, &response.body).unwrap_or(None);
                match order.purpose {
                    Purpose::Media => self.emit(SipLegEvent::ReInviteAnswered { sdp }),
                    Purpose::Refresh => {}
                }
            }
            401 | 407 if !own.retried => match self.answer_challenge(&response, "INVITE") {
                Some(answer) => self.order_reinvite(order, Some(answer)).await,
                None => self.reinvite_failed(&order, Some(status)),
            },
            422 if self.ext.session.raise(&response) => self.order_reinvite(order, None).await,
            _ => self.reinvite_refused(order, &response).await,
        }
    }

    async fn reinvite_refused(&mut self, mut order: ReInviteOrder, response: &Response) {
        let status = response.status_code.code();
        let wait = self.wait_before_retry(response);
        // One that is asked for refreshes the session as well.
        let is_needed = order.purpose == Purpose::Media || self.ext.retry.is_none();
        if let Some(wait) = wait.filter(|_| is_needed && order.tries < MAX_RETRIES)
            && matches!(self.phase, Phase::Established)
        {
            order.tries += 1;
            let at = Instant::now() + wait;
            self.ext.retry = Some(Retry { at, order });
            return;
        }
        self.reinvite_failed(&order, Some(status));
        // These end the dialog itself (RFC 3261 §12.2.1.2).
        if matches!(status, 408 | 481) && matches!(self.phase, Phase::Established) {
            self.send_bye(HangupCause::Failed).await;
        }
    }

    pub(super) fn answer_challenge(
        &self,
        response: &Response,
        method: &str,
    ) -> Option<(String, String)> {
        let credentials = self.credentials.as_ref()?;
        let (asked, answer) = challenge_headers(response.status_code.code());
        let uri = self
            .record
            .remote_target
            .as_deref()
            .unwrap_or(&self.record.request_uri);
        let (value, _) = answer_challenges(
            message::headers_all(&response.headers, asked),
            credentials,
            method,
            uri,
            &random_token(16),
        )?;
        Some((answer.to_owned(), value))
    }
}

/// The key in the body of an INFO.
pub(crate) fn dtmf_digit(body: &[u8]) -> Option<Digit> {
    let text = std::str::from_utf8(body).ok()?;
    let signal = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("signal")
            .then_some(value.trim())
    });
    let signal = signal.unwrap_or_else(|| text.trim());
    match signal {
        // Some phones write the event code of RFC 4733 instead of the key.
        "10" => Digit::try_from('*').ok(),
        "11" => Digit::try_from('#').ok(),
        _ => {
            let mut keys = signal.chars();
            let key = keys.next()?;
            keys.next().is_none().then(|| Digit::try_from(key).ok())?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_as_phones_write_them() {
        let digit = |body: &str| dtmf_digit(body.as_bytes()).map(Digit::as_char);
        assert_eq!(digit("Signal=5\r\nDuration=160\r\n"), Some('5'));
        assert_eq!(digit("Signal= *\r\n"), Some('*'));
        assert_eq!(digit("signal=11"), Some('#'));
        assert_eq!(digit("0"), Some('0'));
        assert_eq!(digit("d"), Some('D'));
        for bad in ["", "Signal=", "Signal=55", "x", "Signal=\u{1F600}"] {
            assert_eq!(digit(bad), None, "{bad:?}");
        }
        assert_eq!(dtmf_digit(b"\xff"), None);
    }
}
