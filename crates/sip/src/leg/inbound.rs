//! Being called: from the INVITE to a dialog or a refusal (RFC 3261 §13.3).

use std::sync::Arc;

use rsipstack::sip::Method;
use rsipstack::transaction::Transaction;
use switchhook_model::{CallerIdentity, HangupCause};
use tokio::sync::mpsc;

use super::extras::Extras;
use super::session::Session;
use super::{Incoming, Leg, LegInput, Phase, ServerEvent, run_server_invite, send_response};
use crate::accounts::Who;
use crate::config::{SipTransport, TrunkId};
use crate::core::{Core, EnterError};
use crate::door::source_of;
use crate::endpoint::InboundHandle;
use crate::event::{IncomingCall, SipEvent, SipLegEvent, Source};
use crate::message::{self, BodyError, header_of, random_token, set_sdp};
use crate::nat::is_hidden;
use crate::record::{DialogRecord, DialogRole, DialogState, RECORD_VERSION};
use crate::scanner::{count_refused, is_web};
use crate::tap::now;
use crate::uri::format_name_addr;

impl Core {
    /// An INVITE outside any dialog.
    pub(crate) async fn handle_invite(self: Arc<Self>, mut transaction: Transaction) {
        let Some((transport, peer)) = source_of(&transaction.original) else {
            return;
        };
        if let Some(response) = self.unsupported_options(&transaction.original) {
            return self.finish(&mut transaction, response).await;
        }
        if !message::accepts_sdp(&transaction.original.headers) {
            let response = self.response(&transaction.original, 406, None);
            return self.finish(&mut transaction, response).await;
        }
        let Some(source) = self.identify(&mut transaction, transport, peer).await else {
            return;
        };
        let request = transaction.original.clone();
        let admitted = match self.admission.admit(&source, peer.ip(), now()) {
            Ok(admitted) => admitted,
            Err(refused) => {
                count_refused(refused.reason());
                tracing::warn!(%peer, reason = refused.reason(), "SIP call refused");
                let mut response = self.response(&request, 503, None);
                let wait = refused.retry_after_s().to_string();
                response.headers.push(header_of("Retry-After", wait));
                return self.finish(&mut transaction, response).await;
            }
        };
        let replaces = match self.replaced_by(&request).await {
            Ok(replaces) => replaces,
            Err(status) => {
                let response = self.response(&request, status, None);
                return self.finish(&mut transaction, response).await;
            }
        };
        let sdp_offer = match message::sdp_of(&request.headers, &request.body) {
            Ok(sdp) => sdp,
            Err(error) => {
                let mut response = self.response(&request, body_status(error), None);
                response
                    .headers
                    .push(header_of("Accept", "application/sdp"));
                return self.finish(&mut transaction, response).await;
            }
        };
        if let Err(min_s) = Session::new(self.config.session_timer).answer_to(&request) {
            // RFC 4028 §6: the caller asks again for longer.
            let mut response = self.response(&request, 422, None);
            response
                .headers
                .push(header_of("Min-SE", min_s.to_string()));
            return self.finish(&mut transaction, response).await;
        }
        let Some(record) = self.inbound_record(&request, transport, peer, &source) else {
            let response = self.response(&request, 500, None);
            return self.finish(&mut transaction, response).await;
        };
        let (myself, inputs) = mpsc::unbounded_channel();
        let caller_tag = record.remote_tag.clone();
        let dialog = (record.sip_call_id.clone(), record.local_tag.clone());
        let entered = if self.is_draining() {
            Err(EnterError::Full)
        } else {
            self.enter_leg(
                &record.leg,
                dialog.clone(),
                caller_tag.as_deref(),
                myself.clone(),
            )
        };
        if let Err(error) = entered {
            let status = match error {
                EnterError::Full => 503,
                EnterError::Merged => 482,
                EnterError::Duplicate => 500,
            };
            let mut response = self.response(&request, status, None);
            if status == 503 {
                count_refused("legs");
                response.headers.push(header_of("Retry-After", "10"));
            }
            return self.finish(&mut transaction, response).await;
        }
        self.tap.bind(&record.sip_call_id, &record.leg);
        let reporter = myself.clone();
        let responder = run_server_invite(transaction, move |event| {
            let _ = reporter.send(LegInput::Caller(event));
        });
        send_response(&responder, self.response(&request, 100, None));
        let from = self.caller_identity(&request, &source);
        let incoming = IncomingCall {
            leg: record.leg.clone(),
            sip_call_id: record.sip_call_id.clone(),
            from,
            to_user: message::request_user(&request),
            headers: crate::call_headers::collect(&request.headers, &source),
            replaces,
            source,
            peer,
            sdp_offer,
            handle: InboundHandle::new(self.clone(), record.leg.clone()),
            record: record.clone(),
        };
        let caller_connection = record.target();
        let mut ext = Extras::new(&self.config);
        ext.learn_allow(&request.headers);
        let leg = Box::new(Leg {
            id: record.leg.clone(),
            dialog,
            contact_user: incoming.to_user.clone(),
            // Nobody but the caller can open these, so its connection is the way.
            path: transport
                .is_opened_by_peer()
                .then(|| self.hub.open_path(&caller_connection))
                .flatten(),
            credentials: None,
            remote_cseq: message::cseq(&request.headers)
                .map(|(number, _)| (caller_tag.clone(), number)),
            caller_tag,
            record,
            phase: Phase::Incoming(Incoming {
                invite: request,
                responder,
            }),
            inputs,
            myself,
            offer: None,
            proxies: Vec::new(),
            stored_target: None,
            failover: Default::default(),
            last_ack: None,
            authorization: None,
            reinvite: None,
            bye_retried: false,
            keys: super::info::Keys::default(),
            pending: None,
            next_reinvite_id: 0,
            timer: None,
            reported: false,
            was_answered: false,
            ext,
            _admitted: Some(admitted),
            early_tags: Vec::new(),
            refers: Vec::new(),
            first_refer: None,
            own_refer: None,
            refer_superseded: false,
            core: self.clone(),
        });
        // The leg's events come after the call's.
        self.events.send(SipEvent::Incoming(Box::new(incoming)));
        tokio::spawn(leg.run());
    }

    /// Who vouches for the caller. On `None` the request has been answered.
    async fn identify(
        self: &Arc<Self>,
        transaction: &mut Transaction,
        transport: SipTransport,
        peer: std::net::SocketAddr,
    ) -> Option<Source> {
        let by_address =
            self.config.trunks.iter().find(|trunk| {
                !is_web(transport) && trunk.addresses.iter().any(|a| a.matches(peer))
            });
        if let Some(trunk) = by_address
            && trunk.inbound_auth.is_none()
        {
            return Some(Source::Trunk(trunk.id.clone()));
        }
        let line = self.registered_trunk(&transaction.original, peer);
        if by_address.is_none()
            && !is_web(transport)
            && let Some(id) = line
            && self.trunk(&id).is_some_and(|t| t.inbound_auth.is_none())
        {
            return Some(Source::Trunk(id));
        }
        // Any page could open a socket from this machine: that is nobody's permission.
        if by_address.is_none() && !is_web(transport) && self.is_guest(transaction, peer) {
            return Some(Source::Guest);
        }
        match self.authenticate(transaction, peer).await? {
            Who::Extension(extension) => Some(Source::Extension(extension)),
            Who::Trunk(id) if self.trunk_may_call(&id, peer) => Some(Source::Trunk(id)),
            Who::Trunk(_) => {
                let response = self.response(&transaction.original, 403, None);
                self.finish(transaction, response).await;
                None
            }
        }
    }

    /// A loopback caller without credentials who claims no extension's name.
    fn is_guest(&self, transaction: &Transaction, peer: std::net::SocketAddr) -> bool {
        if !self.config.allow_loopback_guests || !peer.ip().to_canonical().is_loopback() {
            return false;
        }
        let headers = &transaction.original.headers;
        let claimed = message::name_addr(headers, "From").map(|from| from.user());
        let is_extension = claimed.is_ok_and(|user| {
            let mut accounts = self.config.extensions.iter();
            accounts.any(|account| account.extension.as_str() == user)
        });
        let has_credentials = self
            .authenticator
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .has_credentials(headers);
        !is_extension && !has_credentials
    }

    /// With addresses configured, credentials alone are not enough.
    fn trunk_may_call(&self, id: &TrunkId, peer: std::net::SocketAddr) -> bool {
        self.config.trunks.iter().any(|trunk| {
            trunk.id == *id
                && (trunk.addresses.is_empty() || trunk.addresses.iter().any(|a| a.matches(peer)))
        })
    }

    fn caller_identity(
        &self,
        request: &rsipstack::sip::Request,
        source: &Source,
    ) -> CallerIdentity {
        let asserted = match source {
            Source::Trunk(_) => crate::call_headers::asserted(&request.headers),
            Source::Extension(_) | Source::Guest => None,
        };
        let from = asserted.or_else(|| message::name_addr(&request.headers, "From").ok());
        let claimed = from.as_ref().map(|from| from.user()).unwrap_or_default();
        let number = match source {
            Source::Extension(extension) => extension.as_str().to_owned(),
            Source::Trunk(_) | Source::Guest => claimed,
        };
        let display = from.as_ref().and_then(|from| from.display.as_deref());
        CallerIdentity::from_untrusted(&number, display)
    }

    fn inbound_record(
        &self,
        request: &rsipstack::sip::Request,
        transport: SipTransport,
        peer: std::net::SocketAddr,
        source: &Source,
    ) -> Option<DialogRecord> {
        let headers = &request.headers;
        let from = message::name_addr(headers, "From").ok()?;
        let to = message::name_addr(headers, "To").ok()?;
        let sent_by = self.hub.sent_by(transport, peer).ok()?;
        let (invite_cseq, _) = message::cseq(headers)?;
        let record = DialogRecord {
            version: RECORD_VERSION,
            leg: (self.config.leg_ids)(),
            role: DialogRole::Uas,
            state: DialogState::Pending,
            sip_call_id: message::header(headers, "Call-ID")?.to_owned(),
            local: format_name_addr(to.display.as_deref(), &to.uri),
            local_tag: random_token(16),
            remote: format_name_addr(from.display.as_deref(), &from.uri),
            remote_tag: from.tag().map(str::to_owned),
            transport,
            sent_by,
            peer,
            server_name: None,
            alternatives: Vec::new(),
            symmetric: !matches!(source, Source::Trunk(_))
                || message::contact_uri(headers).is_ok_and(|contact| is_hidden(&contact, peer)),
            request_uri: crate::uri::SipUri::parse(&request.uri.to_string())
                .ok()?
                .to_string(),
            branch_base: String::new(),
            invite_attempts: 0,
            may_retry: false,
            trunk: None,
            invite_cseq,
            local_cseq: 0,
            remote_target: message::contact_uri(headers).ok().map(|u| u.to_string()),
            route_set: message::route_entries(headers, "Record-Route"),
            vias: message::headers_all(headers, "Via")
                .map(str::to_owned)
                .collect(),
        };
        record.check().ok()?;
        Some(record)
    }
}

fn body_status(error: BodyError) -> u16 {
    match error {
        BodyError::Type => 415,
        BodyError::NotText => 400,
    }
}

impl Leg {
    /// 200, without a description when the answer was given in a reliable 183.
    pub(super) fn send_answer(&mut self, sdp: Option<&str>) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        let invite = incoming.invite.clone();
        let responder = incoming.responder.clone();
        let mut response = self.dialog_response(&invite, 200);
        self.agree_session(&invite, &mut response);
        if let Some(sdp) = sdp {
            set_sdp(&mut response.headers, &mut response.body, sdp);
            self.ext.local_sdp = Some(sdp.to_owned());
        }
        // The record goes first: from the 200 on only a BYE ends this leg.
        self.record.state = DialogState::Established;
        self.emit_record();
        self.phase = Phase::Answering { hang_up: None };
        send_response(&responder, response);
    }

    pub(super) fn reject(&mut self, status: u16, reason: Option<String>) {
        self.refuse(status, reason, HangupCause::from_sip_status(status));
    }

    pub(super) fn refuse(&mut self, status: u16, reason: Option<String>, cause: HangupCause) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        let status = if (300..700).contains(&status) {
            status
        } else {
            500
        };
        let mut response = self.dialog_response(&incoming.invite, status);
        if status == 503 {
            response.headers.push(header_of("Retry-After", "10"));
        }
        let reason: String = reason
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control() && !matches!(c, '"' | '\\'))
            .take(100)
            .collect();
        if !reason.is_empty() {
            // RFC 3326.
            let value = format!("SIP;cause={status};text=\"{reason}\"");
            response.headers.push(header_of("Reason", value));
        }
        send_response(&incoming.responder, response);
        self.ended(false, cause, reason);
    }

    pub(super) async fn caller_event(&mut self, event: ServerEvent) {
        match (event, &mut self.phase) {
            (ServerEvent::Canceled(reason), Phase::Incoming(_)) => self.canceled(reason),
            (ServerEvent::Acknowledged(ack), Phase::Answering { hang_up }) => {
                let hang_up = hang_up.take();
                self.phase = Phase::Established;
                let sdp = message::sdp_of(&ack.headers, &ack.body).unwrap_or(None);
                let sdp = sdp.or_else(|| self.ext.reliable.take_answer());
                self.emit(SipLegEvent::Confirmed { sdp });
                if let Some(cause) = hang_up {
                    self.send_bye(cause).await;
                }
                self.take_up_reinvite().await;
            }
            // No ACK within 64 T1: the dialog is ended by BYE (RFC 3261 §13.3.1.4).
            (ServerEvent::Finished, Phase::Answering { hang_up }) => {
                let cause = hang_up.take().unwrap_or(HangupCause::Failed);
                self.phase = Phase::Established;
                self.send_bye(cause).await;
            }
            // The transaction died under us before an answer.
            (ServerEvent::Finished, Phase::Incoming(_)) => {
                self.ended(false, HangupCause::Failed, "the INVITE's transaction ended");
            }
            (
                ServerEvent::Canceled(_) | ServerEvent::Acknowledged(_) | ServerEvent::Finished,
                _,
            ) => {}
        }
    }

    /// The caller gave up: by CANCEL, or by BYE in the early dialog.
    pub(super) fn canceled(&mut self, reason: String) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        let response = self.dialog_response(&incoming.invite, 487);
        send_response(&incoming.responder, response);
        self.finish(SipLegEvent::Canceled { reason });
    }

    /// Whether the request may change the dialog: tags and order (RFC 3261 §12.2.2).
    pub(super) fn check_in_dialog(&mut self, request: &rsipstack::sip::Request) -> Option<u16> {
        let from = message::name_addr(&request.headers, "From").ok();
        let tag = from.as_ref().and_then(|from| from.tag());
        if self.record.remote_tag.is_some() && tag != self.record.remote_tag.as_deref() {
            return Some(481);
        }
        let number = message::cseq(&request.headers).map(|(number, _)| number)?;
        let last = self.remote_cseq.as_ref();
        let last = last.filter(|(of, _)| of.as_deref() == tag);
        if request.method != Method::Ack && last.is_some_and(|(_, last)| number <= *last) {
            return Some(500);
        }
        self.remote_cseq = Some((tag.map(str::to_owned), number));
        None
    }
}
