//! UPDATE (RFC 3311), both ways: a change within the dialog, before or after the answer, without the
//! three messages of a re-INVITE.

use std::time::Duration;

use rsipstack::sip::{Method, Request, Response};
use rsipstack::transaction::Transaction;
use switchhook_model::HangupCause;

use super::extras::OwnUpdate;
use super::{ClientKind, Leg, PendingReInvite, Phase, Respond};
use crate::endpoint::ReInviteResponder;
use crate::event::SipLegEvent;
use crate::message::{self, header_of, random_token};

impl Leg {
    /// UPDATE from the other side. Without a description it refreshes the dialog.
    pub(super) async fn updated(&mut self, mut transaction: Transaction) {
        let request = transaction.original.clone();
        let sdp = match message::sdp_of(&request.headers, &request.body) {
            Ok(sdp) => sdp,
            Err(_) => {
                let response = self.dialog_response(&request, 415);
                return self.core.finish(&mut transaction, response).await;
            }
        };
        if let Some(status) = self.refuses_update(sdp.is_some()) {
            let response = self.busy_response(&request, status);
            return self.core.finish(&mut transaction, response).await;
        }
        if let Some(response) = self.too_brief(&request) {
            return self.core.finish(&mut transaction, response).await;
        }
        self.refresh_target(&request);
        match sdp {
            Some(offer) => {
                self.offered_without_invite(transaction, request, offer)
                    .await;
            }
            None => {
                let mut response = self.update_response(&request, 200);
                self.agree_session(&request, &mut response);
                self.core.finish(&mut transaction, response).await;
            }
        }
    }

    /// Why an UPDATE cannot be taken now (RFC 3311 §5.2).
    fn refuses_update(&self, offers: bool) -> Option<u16> {
        match &self.phase {
            Phase::Ending { .. } | Phase::Over => return Some(481),
            Phase::Established
            | Phase::Answering { .. }
            | Phase::Incoming(_)
            | Phase::Calling(_) => {}
        }
        if self.pending.is_some() {
            return Some(500);
        }
        if !offers {
            return None;
        }
        match &self.phase {
            Phase::Established => self.reinvite.is_some().then_some(491),
            // Our offer has no answer yet.
            Phase::Calling(_) => (!self.ext.early.is_agreed()).then_some(491),
            // Their offer has no answer yet.
            Phase::Incoming(_) => (!self.ext.reliable.is_agreed()).then_some(500),
            Phase::Answering { .. } => Some(500),
            Phase::Ending { .. } | Phase::Over => Some(481),
        }
    }

    /// 491, or 500 with a Retry-After of 0 to 10 s (RFC 3311 §5.2, RFC 3261 §14.2).
    pub(super) fn busy_response(&self, request: &Request, status: u16) -> Response {
        let mut response = self.dialog_response(request, status);
        if status == 500 {
            let seconds = rand::random_range(0..=10).to_string();
            response.headers.push(header_of("Retry-After", seconds));
        }
        response
    }

    /// An offer in an UPDATE or PRACK: the user of the endpoint decides, as on a re-INVITE.
    pub(super) async fn offered_without_invite(
        &mut self,
        mut transaction: Transaction,
        request: Request,
        offer: String,
    ) {
        if self.pending.is_some() {
            let response = self.busy_response(&request, 500);
            return self.core.finish(&mut transaction, response).await;
        }
        let id = self.next_reinvite_id;
        self.next_reinvite_id += 1;
        self.pending = Some(PendingReInvite {
            id,
            request,
            responder: Respond::Transaction(Box::new(transaction)),
            decided: false,
        });
        self.emit(SipLegEvent::ReInvite {
            sdp: Some(offer),
            responder: ReInviteResponder::new(self.myself.clone(), id),
        });
    }

    /// A re-INVITE or UPDATE may move the other side (RFC 3261 §12.2.2).
    pub(super) fn refresh_target(&mut self, request: &Request) {
        self.ext.learn_allow(&request.headers);
        let before = self.record.remote_target.clone();
        self.record.learn_target(&request.headers);
        if self.record.remote_target != before {
            self.emit_record();
        }
    }

    /// A response to UPDATE; a 2xx refreshes the target as well (RFC 3311 §5.2).
    pub(super) fn update_response(&self, request: &Request, status: u16) -> Response {
        let mut response = self.dialog_response(request, status);
        if status / 100 == 2 && request.method == Method::Update {
            let contact = self.contact(&self.record.sent_by);
            response.headers.push(header_of("Contact", contact));
            response.headers.push(header_of("Allow", message::ALLOW));
        }
        response
    }

    /// UPDATE without a description: refreshes the session (RFC 4028 §7.4).
    pub(super) async fn send_update(&mut self, authorization: Option<(String, String)>) {
        let path = self.dialog_path().await;
        self.record.local_cseq += 1;
        let branch = format!("z9hG4bK{}", random_token(16));
        let request = self.record.dialog_request(
            Method::Update,
            self.record.local_cseq,
            &branch,
            self.user_agent(),
        );
        let contact = self.contact(&self.record.sent_by);
        let (Ok(mut request), Ok(path)) = (request, path) else {
            // The timer tries again, and ends the leg when that does not help.
            return;
        };
        request.headers.push(header_of("Contact", contact));
        request.headers.push(header_of("Allow", message::ALLOW));
        request
            .headers
            .push(super::extras::supported(&self.core.config));
        for header in self.ext.session.request_headers() {
            request.headers.push(header);
        }
        if let Some((name, value)) = &authorization {
            request.headers.push(header_of(name, value.as_str()));
        }
        self.ext.update = Some(OwnUpdate {
            authorized: authorization.is_some(),
        });
        self.emit_record();
        self.send_in_dialog(ClientKind::Update, request, &path);
    }

    pub(super) async fn update_outcome(&mut self, response: Option<Response>) {
        let Some(own) = self.ext.update.take() else {
            return;
        };
        if !matches!(self.phase, Phase::Established) {
            return;
        }
        let Some(response) = response else {
            return self.dialog_is_gone("UPDATE got no response").await;
        };
        match response.status_code.code() {
            200..=299 => {
                self.record.learn_target(&response.headers);
                self.ext.session.runs_as_uac(&response);
                self.emit_record();
            }
            401 | 407 if !own.authorized => {
                if let Some(answer) = self.answer_challenge(&response, "UPDATE") {
                    self.send_update(Some(answer)).await;
                }
            }
            422 if self.ext.session.raise(&response) => self.send_update(None).await,
            408 | 481 => {
                self.dialog_is_gone("the other side does not know the call")
                    .await
            }
            // It said that it takes UPDATE, but does not.
            405 | 420 | 488 | 501 => {
                self.ext.peer_takes_update = false;
                self.refresh_session().await;
            }
            // The timer tries again; 491 and 500 pass, and for the others it will expire.
            _ => {}
        }
    }

    /// RFC 4028 §10, RFC 3261 §12.2.1.2.
    async fn dialog_is_gone(&mut self, why: &'static str) {
        self.ext.ending = Some(why);
        self.send_bye(HangupCause::MediaLost).await;
    }

    /// How long to wait before a re-INVITE is sent again: 491 by who owns the Call-ID (RFC 3261
    /// §14.1), 500 as its Retry-After says. `None`: not at all.
    pub(super) fn wait_before_retry(&self, response: &Response) -> Option<Duration> {
        match response.status_code.code() {
            491 if self.record.is_outbound() => {
                Some(self.scaled(2.1 + rand::random::<f64>() * 1.9))
            }
            491 => Some(self.scaled(rand::random::<f64>() * 2.0)),
            500 => {
                let seconds = message::retry_after_s(&response.headers)?;
                (seconds <= 10).then(|| self.scaled(f64::from(seconds)))
            }
            _ => None,
        }
    }
}
