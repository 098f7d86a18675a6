//! The calling side: INVITE and its answers, CANCEL, BYE, re-INVITE.

use std::sync::Arc;

use super::Dial;
use super::engine::{Call, CallState, Engine, Purpose, random_token};
use super::event::{CallNumber, PhoneEvent};
use super::message::{SipMessage, StartLine, uri_of};
use super::rtp::Media;
use super::sdp::{self, MediaDescription, MediaDirection};
use super::srtp::{self, Srtp};
use super::transport::Peer;
use crate::audio::g711::Law;

impl Engine {
    pub(super) async fn send_invite(&mut self, dial: Dial, peer: Peer) -> Result<usize, String> {
        let number = self.calls.len();
        let ip = self.sockets.local().ip();
        let media = Media::open(
            ip,
            self.config.reports,
            number,
            Arc::clone(&self.log.events),
        )
        .await
        .map_err(|e| format!("no audio socket on {ip}: {e}"))?;
        self.log.add_media(Arc::clone(&media));
        let local_tag = random_token();
        let local = match &dial.from {
            Some(from) => format!("{from};tag={local_tag}"),
            None => {
                format!(
                    "<sip:{}@{}>;tag={local_tag}",
                    self.config.user, self.config.domain
                )
            }
        };
        let body = dial.sdp.clone().unwrap_or_else(|| {
            let body = sdp::write(
                media.local(),
                &sdp::offered(&self.config.codecs),
                self.config.telephone_event,
                MediaDirection::SendRecv,
                1,
            );
            srtp::offer_keys(self.config.srtp, body, &media)
        });
        let mut invite = SipMessage::request("INVITE", &dial.uri)
            .with("Via", self.via(peer))
            .with("Max-Forwards", "70")
            .with("From", local.clone())
            .with("To", format!("<{}>", dial.uri))
            .with("Call-ID", random_token())
            .with("CSeq", "1 INVITE")
            .with("Contact", self.contact(peer.transport))
            .with("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO")
            .with("User-Agent", "switchhook-lab");
        for (name, value) in &dial.headers {
            invite = invite.with(name, value.clone());
        }
        let invite = invite.with_body("application/sdp", body);
        self.calls.push(Call {
            state: CallState::Calling,
            call_id: invite.call_id().to_owned(),
            local,
            remote: format!("<{}>", dial.uri),
            remote_target: dial.uri,
            route_set: Vec::new(),
            peer,
            cseq: 1,
            invite: invite.clone(),
            cancel_sent: false,
            acked: false,
            ack: None,
            media,
            direction: MediaDirection::SendRecv,
            sdp_version: 1,
            sdp_override: dial.sdp,
            credentials: dial.credentials.or_else(|| self.config.credentials.clone()),
            local_tag,
        });
        self.send_request(invite, peer, Purpose::Invite(number), 0)
            .await;
        Ok(number)
    }

    pub(super) async fn handle_response(&mut self, response: SipMessage) {
        let status = response.status().unwrap_or(0);
        let key = (response.branch(), response.method().to_owned());
        let Some(tx) = self.client.get_mut(&key) else {
            self.handle_stray_response(&response, status).await;
            return;
        };
        let purpose = tx.purpose;
        if status < 200 {
            tx.provisional = true;
            if let Purpose::Invite(call) = purpose {
                self.log.events.push(PhoneEvent::Progress { call, status });
                self.early_media(call, &response);
                if self.calls[call].state == CallState::Cancelling {
                    self.send_cancel(call).await;
                }
            }
            return;
        }
        let tx = self.client.remove(&key).expect("it was just found");
        let invite = key.1 == "INVITE";
        if invite && status >= 300 {
            let ack = ack_of_refusal(&tx.request, &response);
            let bytes = ack.to_bytes();
            self.log.wire(true, tx.peer.addr, Ok(ack), String::new());
            self.acks.insert(key.0.clone(), bytes.clone());
            self.transmit(&bytes, tx.peer).await;
        }
        if matches!(status, 401 | 407) && tx.auth_tries < 2 {
            let credentials = match purpose {
                Purpose::Invite(call) | Purpose::ReInvite(call) | Purpose::Bye(call) => {
                    self.calls[call].credentials.clone()
                }
                Purpose::Cancel
                | Purpose::InDialog
                | Purpose::Register { .. }
                | Purpose::OutOfDialog => self.config.credentials.clone(),
            };
            // A second challenge is only answered when the first nonce was merely stale.
            let stale = response.headers.iter().any(|(n, v)| {
                n.ends_with("uthenticate") && v.to_lowercase().contains("stale=true")
            });
            if tx.auth_tries == 0 || stale {
                let again = self.authorized(&tx.request, &response, credentials.as_ref());
                if let Some(again) = again {
                    self.send_again(again, tx.peer, purpose, tx.auth_tries + 1)
                        .await;
                    return;
                }
            }
        }
        match purpose {
            Purpose::Invite(call) if status < 300 => self.accepted(call, &response).await,
            Purpose::ReInvite(call) if status < 300 => {
                self.send_ack(call, response.cseq()).await;
                self.apply_sdp(call, &response.body_text());
                self.log
                    .events
                    .push(PhoneEvent::ReInviteAnswered { call, status });
            }
            _ => {
                let StartLine::Response { reason, .. } = &response.start else {
                    return;
                };
                let status = match purpose {
                    Purpose::Register { .. } if status < 300 => 200,
                    _ => status,
                };
                self.conclude(purpose, status, reason);
            }
        }
    }

    /// The same request in a new transaction (RFC 3261 §22.2), now with credentials.
    async fn send_again(
        &mut self,
        mut request: SipMessage,
        peer: Peer,
        purpose: Purpose,
        auth_tries: u8,
    ) {
        let cseq = request.cseq() + 1;
        let method = request.method().to_owned();
        request.set("Via", self.via(peer));
        request.set("CSeq", format!("{cseq} {method}"));
        match purpose {
            Purpose::Invite(call) => {
                self.calls[call].invite = request.clone();
                self.calls[call].cseq = cseq;
            }
            Purpose::ReInvite(call) | Purpose::Bye(call) => self.calls[call].cseq = cseq,
            Purpose::Register { .. } => {
                if let Some((_, _, n)) = &mut self.register {
                    *n = cseq;
                }
            }
            Purpose::Cancel | Purpose::InDialog | Purpose::OutOfDialog => {}
        }
        self.send_request(request, peer, purpose, auth_tries).await;
    }

    /// Answers to transactions that are already over: a repeated 200 or refusal wants its ACK
    /// again; a 200 for an INVITE we had given up wants a BYE.
    async fn handle_stray_response(&mut self, response: &SipMessage, status: u16) {
        if response.method() != "INVITE" || status < 200 {
            return;
        }
        if status >= 300 {
            if let Some(bytes) = self.acks.get(&response.branch()).cloned()
                && let Some(call) = self.call_by_id(response.call_id())
            {
                let peer = self.calls[call].peer;
                self.transmit(&bytes, peer).await;
            }
            return;
        }
        if self.faults.drop_ack {
            return;
        }
        if let Some(call) = self.call_by_id(response.call_id())
            && let Some(bytes) = self.calls[call].ack.clone()
        {
            let peer = self.calls[call].peer;
            self.transmit(&bytes, peer).await;
        }
    }

    async fn accepted(&mut self, call: CallNumber, response: &SipMessage) {
        let gave_up = self.calls[call].state == CallState::Cancelling;
        let routes: Vec<String> = response.all("Record-Route").into_iter().rev().collect();
        let target = uri_of(response.header("Contact"));
        let peer = self.peer_of(routes.first().unwrap_or(&target));
        let entry = &mut self.calls[call];
        entry.state = CallState::Up;
        entry.remote = response.header("To").to_owned();
        entry.route_set = routes;
        entry.remote_target = target;
        if let Some(peer) = peer {
            entry.peer = peer;
        }
        if !self.faults.drop_ack {
            self.send_ack(call, response.cseq()).await;
        }
        if gave_up {
            self.hangup(call).await;
            return;
        }
        self.apply_sdp(call, &response.body_text());
        self.log.events.push(PhoneEvent::Answered { call });
    }

    async fn send_ack(&mut self, call: CallNumber, cseq: u32) {
        let peer = self.calls[call].peer;
        let ack = self.in_dialog("ACK", call, cseq);
        let bytes = ack.to_bytes();
        self.log.wire(true, peer.addr, Ok(ack), String::new());
        self.calls[call].ack = Some(bytes.clone());
        self.transmit(&bytes, peer).await;
    }

    /// Audio may come before the answer (183 or 180 with SDP).
    fn early_media(&mut self, call: CallNumber, response: &SipMessage) {
        if !response.body.is_empty() {
            self.apply_sdp(call, &response.body_text());
        }
    }

    /// Takes the other side's description: where to send, with which codec.
    pub(super) fn apply_sdp(&mut self, call: CallNumber, text: &str) {
        let Ok(remote) = MediaDescription::parse(text) else {
            return;
        };
        let entry = &self.calls[call];
        let (payload_type, codec) = remote
            .first_codec(&self.config.codecs)
            .unwrap_or((0, Law::Mu.into()));
        let wants_events = self.config.telephone_event;
        let events = wants_events.and(remote.events_for(codec));
        let sends = entry.direction.sends() && remote.direction.answered().sends();
        match self.config.srtp {
            Srtp::Off => {}
            Srtp::On(_) => entry.media.protect(remote.crypto.as_ref()),
        }
        entry.media.send_to(
            remote.addr,
            (payload_type, codec),
            events,
            sends && !self.faults.silent_rtp,
        );
    }

    pub(super) async fn hangup(&mut self, call: CallNumber) {
        let Some(entry) = self.calls.get(call) else {
            return;
        };
        match entry.state {
            CallState::Calling => {
                self.calls[call].state = CallState::Cancelling;
                let proceeding = self
                    .client
                    .values()
                    .any(|tx| tx.purpose == Purpose::Invite(call) && tx.provisional);
                // A CANCEL before any provisional answer waits for one (RFC 3261 §9.1).
                if proceeding {
                    self.send_cancel(call).await;
                }
            }
            CallState::Incoming => self.reject(call, 603).await,
            CallState::Up => {
                let peer = entry.peer;
                self.calls[call].state = CallState::Over;
                self.calls[call].media.stop_sending();
                self.calls[call].cseq += 1;
                let bye = self.in_dialog("BYE", call, self.calls[call].cseq);
                self.send_request(bye, peer, Purpose::Bye(call), 0).await;
            }
            CallState::Cancelling | CallState::Over => {}
        }
    }

    async fn send_cancel(&mut self, call: CallNumber) {
        let entry = &mut self.calls[call];
        if std::mem::replace(&mut entry.cancel_sent, true) {
            return;
        }
        let (invite, peer) = (entry.invite.clone(), entry.peer);
        let StartLine::Request { uri, .. } = &invite.start else {
            return;
        };
        let cancel = SipMessage::request("CANCEL", uri)
            .with("Via", invite.header("Via"))
            .with("Max-Forwards", "70")
            .with("From", invite.header("From"))
            .with("To", invite.header("To"))
            .with("Call-ID", invite.call_id())
            .with("CSeq", format!("{} CANCEL", invite.cseq()));
        self.send_request(cancel, peer, Purpose::Cancel, 0).await;
    }

    pub(super) async fn reinvite(&mut self, call: CallNumber, direction: MediaDirection) {
        let Some(entry) = self.calls.get_mut(call) else {
            return;
        };
        if entry.state != CallState::Up {
            self.log
                .events
                .push(PhoneEvent::ReInviteAnswered { call, status: 481 });
            return;
        }
        entry.cseq += 1;
        entry.sdp_version += 1;
        entry.direction = direction;
        let (cseq, peer) = (entry.cseq, entry.peer);
        let body = sdp::write(
            entry.media.local(),
            &sdp::offered(&self.config.codecs),
            self.config.telephone_event,
            direction,
            entry.sdp_version,
        );
        let body = srtp::offer_keys(self.config.srtp, body, &entry.media);
        entry
            .media
            .set_sending(direction.sends() && !self.faults.silent_rtp);
        let request = self
            .in_dialog("INVITE", call, cseq)
            .with("Contact", self.contact(peer.transport))
            .with_body("application/sdp", body);
        self.send_request(request, peer, Purpose::ReInvite(call), 0)
            .await;
    }

    pub(super) async fn info_digit(&mut self, call: CallNumber, digit: char) {
        let Some(entry) = self.calls.get_mut(call) else {
            return;
        };
        entry.cseq += 1;
        let (cseq, peer) = (entry.cseq, entry.peer);
        let request = self.in_dialog("INFO", call, cseq).with_body(
            "application/dtmf-relay",
            format!("Signal={digit}\r\nDuration=160\r\n"),
        );
        self.send_request(request, peer, Purpose::InDialog, 0).await;
    }

    pub(super) async fn request_in_dialog(
        &mut self,
        call: CallNumber,
        method: &str,
        headers: Vec<(String, String)>,
        body: Option<(String, String)>,
    ) {
        let Some(entry) = self.calls.get_mut(call) else {
            return;
        };
        entry.cseq += 1;
        let (cseq, peer) = (entry.cseq, entry.peer);
        let contact = self.contact(peer.transport);
        let mut request = self.in_dialog(method, call, cseq).with("Contact", contact);
        for (name, value) in headers {
            request = request.with(&name, value);
        }
        if let Some((kind, text)) = body {
            request = request.with_body(&kind, text);
        }
        self.send_request(request, peer, Purpose::InDialog, 0).await;
    }

    fn in_dialog(&self, method: &str, call: CallNumber, cseq: u32) -> SipMessage {
        let entry = &self.calls[call];
        let mut request = SipMessage::request(method, &entry.remote_target)
            .with("Via", self.via(entry.peer))
            .with("Max-Forwards", "70")
            .with("From", entry.local.clone())
            .with("To", entry.remote.clone())
            .with("Call-ID", entry.call_id.clone())
            .with("CSeq", format!("{cseq} {method}"));
        for route in &entry.route_set {
            request = request.with("Route", route.clone());
        }
        request
    }

    pub(super) fn call_by_id(&self, call_id: &str) -> Option<CallNumber> {
        self.calls.iter().rposition(|c| c.call_id == call_id)
    }
}

/// The ACK inside the INVITE's own transaction (RFC 3261 §17.1.1.3).
fn ack_of_refusal(invite: &SipMessage, response: &SipMessage) -> SipMessage {
    let StartLine::Request { uri, .. } = &invite.start else {
        return invite.clone();
    };
    SipMessage::request("ACK", uri)
        .with("Via", invite.header("Via"))
        .with("Max-Forwards", "70")
        .with("From", invite.header("From"))
        .with("To", response.header("To"))
        .with("Call-ID", invite.call_id())
        .with("CSeq", format!("{} ACK", invite.cseq()))
}
