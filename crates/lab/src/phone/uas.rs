//! The called side: INVITE, ACK, CANCEL, BYE and what else arrives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::OnCall;
use super::engine::{Call, CallState, Engine, GIVE_UP, T1, Timer, random_token};
use super::event::{CallNumber, PhoneEvent};
use super::gate::Admission;
use super::message::{SipMessage, uri_of};
use super::rtp::Media;
use super::sdp::{self, MediaDescription, MediaDirection};
use super::srtp::{self, Srtp};
use super::transport::Peer;
use crate::audio::g711::Law;

impl Engine {
    pub(super) async fn handle_request(&mut self, request: SipMessage, peer: Peer) {
        let key = (request.branch(), request.method().to_owned());
        if request.method() == "INVITE" && request.to_tag().is_none() {
            // Counted before anything else, also when we answer nothing.
            if !self.log.invite(&request) {
                if let Some((bytes, peer)) = self.server.get(&key).cloned() {
                    self.transmit(&bytes, peer).await;
                }
                return;
            }
        } else if request.method() != "ACK"
            && let Some((bytes, peer)) = self.server.get(&key).cloned()
        {
            self.transmit(&bytes, peer).await;
            return;
        }
        match request.method() {
            "INVITE" if request.to_tag().is_some() => self.reinvited(request, peer).await,
            "INVITE" => self.invited(request, peer).await,
            "ACK" => self.acknowledged(&request),
            "CANCEL" => self.cancelled(request, peer).await,
            "BYE" => self.bye(request, peer).await,
            "INFO" => {
                self.respond(&request, 200, "OK", peer).await;
                self.info(&request);
            }
            "REFER" => self.respond(&request, 202, "Accepted", peer).await,
            "OPTIONS" | "NOTIFY" | "MESSAGE" => self.respond(&request, 200, "OK", peer).await,
            _ => self.respond(&request, 501, "Not Implemented", peer).await,
        }
    }

    async fn respond(&mut self, request: &SipMessage, status: u16, reason: &str, peer: Peer) {
        let tag = self
            .call_by_id(request.call_id())
            .map_or_else(random_token, |c| self.calls[c].local_tag.clone());
        let response = SipMessage::response_to(request, status, reason, &tag);
        self.send_response(request, response, peer).await;
    }

    async fn invited(&mut self, request: SipMessage, peer: Peer) {
        let admitted = match self.config.gate.as_ref().map(|gate| gate.admit(&request)) {
            None => None,
            Some(Admission::Admit(on_call)) => on_call,
            Some(Admission::Refuse {
                status,
                reason,
                headers,
            }) => {
                let tag = random_token();
                let mut response = SipMessage::response_to(&request, status, reason, &tag);
                response.headers.extend(headers);
                self.send_response(&request, response, peer).await;
                return;
            }
        };
        let on_call = admitted.unwrap_or_else(|| {
            let next = self.on_call_script.pop_front();
            next.unwrap_or_else(|| self.on_call.clone())
        });
        if on_call == OnCall::Dead {
            return;
        }
        let number = self.calls.len();
        let ip = self.sockets.local().ip();
        let media = match Media::open(
            ip,
            self.config.reports,
            number,
            Arc::clone(&self.log.events),
        )
        .await
        {
            Ok(media) => media,
            Err(_) => {
                self.respond(&request, 500, "No audio socket", peer).await;
                return;
            }
        };
        self.log.add_media(Arc::clone(&media));
        let local_tag = random_token();
        let from = request.header("From").to_owned();
        let target = uri_of(request.header("Contact"));
        self.calls.push(Call {
            state: CallState::Incoming,
            call_id: request.call_id().to_owned(),
            local: format!("{};tag={local_tag}", request.header("To")),
            remote: from.clone(),
            remote_target: target,
            route_set: request.all("Record-Route"),
            peer,
            cseq: 0,
            invite: request.clone(),
            cancel_sent: false,
            acked: false,
            ack: None,
            media,
            direction: MediaDirection::SendRecv,
            sdp_version: 1,
            sdp_override: None,
            credentials: self.config.credentials.clone(),
            local_tag,
        });
        self.respond(&request, 100, "Trying", peer).await;
        self.log
            .events
            .push(PhoneEvent::Incoming { call: number, from });
        let is_secure = MediaDescription::parse(&request.body_text()).is_ok_and(|o| o.is_secure());
        if is_secure && self.config.srtp == Srtp::Off {
            self.reject(number, 488).await;
            return;
        }
        let now = Instant::now();
        match on_call {
            OnCall::AnswerAfter(after) => {
                self.respond_to_invite(number, 180, "Ringing", false).await;
                self.timers
                    .push((now + after, Timer::Answer { call: number }));
            }
            OnCall::RejectAfter { status, after } if after == Duration::ZERO => {
                self.reject(number, status).await;
            }
            OnCall::RejectAfter { status, after } => {
                self.respond_to_invite(number, 180, "Ringing", false).await;
                self.timers.push((
                    now + after,
                    Timer::Reject {
                        call: number,
                        status,
                    },
                ));
            }
            OnCall::RingOnly => self.respond_to_invite(number, 180, "Ringing", false).await,
            OnCall::Dead | OnCall::Manual => {}
        }
    }

    pub(super) async fn respond_to_invite(
        &mut self,
        call: CallNumber,
        status: u16,
        reason: &str,
        with_sdp: bool,
    ) {
        let Some(entry) = self.calls.get(call) else {
            return;
        };
        let (invite, peer) = (entry.invite.clone(), entry.peer);
        let mut response = SipMessage::response_to(&invite, status, reason, &entry.local_tag)
            .with("Contact", self.contact(peer.transport));
        if with_sdp {
            let body = self.local_sdp(call, &invite);
            response = response.with_body("application/sdp", body);
        }
        let final_bytes = (status >= 200).then(|| response.to_bytes());
        self.send_response(&invite, response, peer).await;
        if let Some(bytes) = final_bytes {
            let now = Instant::now();
            let timer = Timer::ResendFinal {
                call,
                bytes,
                interval: T1,
                until: now + GIVE_UP,
            };
            self.timers.push((now + T1, timer));
        }
    }

    fn local_sdp(&self, call: CallNumber, request: &SipMessage) -> String {
        let entry = &self.calls[call];
        if let Some(text) = &entry.sdp_override {
            return text.clone();
        }
        let addr = entry.media.local();
        let Ok(offer) = MediaDescription::parse(&request.body_text()) else {
            // No offer in the INVITE: ours is the offer then.
            let events = self.config.telephone_event;
            let ours = sdp::write(
                addr,
                &sdp::offered(&self.config.codecs),
                events,
                entry.direction,
                entry.sdp_version,
            );
            return srtp::offer_keys(self.config.srtp, ours, &entry.media);
        };
        let codec = offer
            .first_codec(&self.config.codecs)
            .unwrap_or((0, Law::Mu.into()));
        let events = self.config.telephone_event.and(offer.events_for(codec.1));
        let answer = sdp::write(
            addr,
            &[codec],
            events,
            offer.direction.answered(),
            entry.sdp_version,
        );
        match (self.config.srtp, &offer.crypto) {
            (Srtp::On(_), Some(theirs)) => {
                let ours = entry.media.crypto(theirs.tag, theirs.suite);
                srtp::protect_sdp(&answer, &offer.profile, &ours)
            }
            (Srtp::On(_), None) | (Srtp::Off, _) => answer,
        }
    }

    pub(super) async fn progress(&mut self, call: CallNumber) {
        let Some(entry) = self.calls.get(call) else {
            return;
        };
        if entry.state != CallState::Incoming {
            return;
        }
        let offer = entry.invite.body_text();
        self.respond_to_invite(call, 183, "Session Progress", true)
            .await;
        self.apply_sdp(call, &offer);
    }

    pub(super) async fn answer(&mut self, call: CallNumber) {
        let Some(entry) = self.calls.get_mut(call) else {
            return;
        };
        if entry.state != CallState::Incoming {
            return;
        }
        entry.state = CallState::Up;
        let offer = entry.invite.body_text();
        let next = entry.route_set.first().unwrap_or(&entry.remote_target);
        let next = next.clone();
        if let Some(peer) = self.peer_of(&next) {
            // Requests of ours go to the caller's Contact or the proxy before it; responses follow
            // the Via, see below.
            let invite_peer = self.calls[call].peer;
            self.respond_to_invite(call, 200, "OK", true).await;
            self.calls[call].peer = if invite_peer.transport == peer.transport
                && invite_peer.transport == super::transport::Transport::Tcp
            {
                invite_peer
            } else {
                peer
            };
        } else {
            self.respond_to_invite(call, 200, "OK", true).await;
        }
        self.apply_sdp(call, &offer);
        self.log.events.push(PhoneEvent::Answered { call });
    }

    pub(super) async fn reject(&mut self, call: CallNumber, status: u16) {
        let Some(entry) = self.calls.get_mut(call) else {
            return;
        };
        if entry.state != CallState::Incoming {
            return;
        }
        entry.state = CallState::Over;
        entry.media.stop_sending();
        self.respond_to_invite(call, status, reason_of(status), false)
            .await;
        self.log.events.push(PhoneEvent::Refused { call, status });
    }

    fn acknowledged(&mut self, request: &SipMessage) {
        if let Some(call) = self.call_by_id(request.call_id()) {
            let first = !std::mem::replace(&mut self.calls[call].acked, true);
            if first && self.calls[call].state == CallState::Up {
                self.log.events.push(PhoneEvent::Confirmed { call });
                if !request.body.is_empty() {
                    self.apply_sdp(call, &request.body_text());
                }
            }
        }
    }

    async fn cancelled(&mut self, request: SipMessage, peer: Peer) {
        if self.faults.ignore_cancel {
            return;
        }
        let call = self
            .calls
            .iter()
            .position(|c| c.call_id == request.call_id() && c.invite.branch() == request.branch());
        let Some(call) = call else {
            self.respond(&request, 481, "Call/Transaction Does Not Exist", peer)
                .await;
            return;
        };
        self.respond(&request, 200, "OK", peer).await;
        if self.calls[call].state != CallState::Incoming {
            return;
        }
        if self.faults.answer_after_cancel {
            self.answer(call).await;
            return;
        }
        self.calls[call].state = CallState::Over;
        self.calls[call].media.stop_sending();
        self.respond_to_invite(call, 487, "Request Terminated", false)
            .await;
        self.log.events.push(PhoneEvent::Cancelled { call });
    }

    async fn bye(&mut self, request: SipMessage, peer: Peer) {
        if self.faults.ignore_bye {
            return;
        }
        match self.call_by_id(request.call_id()) {
            Some(call) if self.calls[call].state != CallState::Over => {
                self.calls[call].state = CallState::Over;
                self.calls[call].acked = true;
                self.calls[call].media.stop_sending();
                self.respond(&request, 200, "OK", peer).await;
                self.log.events.push(PhoneEvent::Ended {
                    call,
                    by_remote: true,
                    status: None,
                });
            }
            // Both hung up together: the other BYE is still answered 200.
            Some(_) => self.respond(&request, 200, "OK", peer).await,
            None => {
                self.respond(&request, 481, "Call/Transaction Does Not Exist", peer)
                    .await;
            }
        }
    }

    async fn reinvited(&mut self, request: SipMessage, peer: Peer) {
        let call = match self.call_by_id(request.call_id()) {
            Some(call) if self.calls[call].state == CallState::Up => call,
            _ => {
                self.respond(&request, 481, "Call/Transaction Does Not Exist", peer)
                    .await;
                return;
            }
        };
        let offered = MediaDescription::parse(&request.body_text());
        let direction = offered.as_ref().map(|o| o.direction).unwrap_or_default();
        self.calls[call].sdp_version += 1;
        self.calls[call].direction = direction.answered();
        let body = self.local_sdp(call, &request);
        let tag = self.calls[call].local_tag.clone();
        let response = SipMessage::response_to(&request, 200, "OK", &tag)
            .with("Contact", self.contact(peer.transport))
            .with_body("application/sdp", body);
        self.send_response(&request, response, peer).await;
        self.apply_sdp(call, &request.body_text());
        let direction = direction.as_str();
        self.log
            .events
            .push(PhoneEvent::ReInvited { call, direction });
    }

    fn info(&mut self, request: &SipMessage) {
        let Some(call) = self.call_by_id(request.call_id()) else {
            return;
        };
        let body = request.body_text();
        let signal = body.lines().find_map(|l| l.trim().strip_prefix("Signal="));
        if let Some(digit) = signal.and_then(|s| s.trim().chars().next()) {
            self.log.events.push(PhoneEvent::DigitHeard { call, digit });
        }
    }
}

fn reason_of(status: u16) -> &'static str {
    match status {
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Refused",
    }
}
