//! Provisional responses of ours that must arrive (RFC 3262 §3): sent again until their PRACK comes,
//! one after the other, and a 200 waits for those that carry a description.

use std::collections::VecDeque;
use std::time::Duration;

use rsipstack::sip::{Request, Response};
use rsipstack::transaction::Transaction;
use switchhook_model::HangupCause;
use tokio::time::Instant;

use super::{Leg, Phase, send_response};
use crate::extension::{RAck, has_option};
use crate::message::{self, header_of, set_sdp};

/// Provisional responses that may wait for the PRACK of the one before.
const MAX_WAITING: usize = 8;

/// The state of one inbound leg before its answer.
#[derive(Default)]
pub(super) struct Reliable {
    /// Number of the last response sent; 0: none yet.
    last_rseq: u32,
    sent: Option<Sent>,
    waiting: VecDeque<Provisional>,
    /// The 200's description, kept back until what was sent before is acknowledged.
    answer: Option<String>,
    /// A description of ours was acknowledged: offer and answer are complete unless we offered.
    agreed: bool,
    /// The answer to our offer, when the INVITE had none.
    prack_sdp: Option<String>,
}

struct Provisional {
    status: u16,
    sdp: Option<String>,
}

struct Sent {
    rseq: u32,
    response: Response,
    has_sdp: bool,
    again_at: Instant,
    wait: Duration,
    give_up_at: Instant,
}

/// Which provisional responses to an INVITE are to be reliable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// `Require: 100rel`: all of them.
    All,
    /// `Supported: 100rel`: those with a description, since the media depend on it.
    EarlyMedia,
    None,
}

impl Reliable {
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let sent = self.sent.as_ref()?;
        Some(sent.again_at.min(sent.give_up_at))
    }

    /// Whether offer and answer are complete before the 200, so that an UPDATE may offer anew
    /// (RFC 3311 §5.1).
    pub(super) fn is_agreed(&self) -> bool {
        self.agreed
    }

    /// The answer that came in a PRACK.
    pub(super) fn take_answer(&mut self) -> Option<String> {
        self.prack_sdp.take()
    }

    fn holds_back_answer(&self) -> bool {
        let sent = self.sent.as_ref().is_some_and(|sent| sent.has_sdp);
        sent || self.waiting.iter().any(|p| p.sdp.is_some())
    }
}

impl Leg {
    fn wish(&self, invite: &Request) -> Wish {
        if !self.core.config.reliable_provisionals {
            Wish::None
        } else if has_option(&invite.headers, "Require", "100rel") {
            Wish::All
        } else if has_option(&invite.headers, "Supported", "100rel") {
            Wish::EarlyMedia
        } else {
            Wish::None
        }
    }

    /// 180, or 183 with early media.
    pub(super) fn ring(&mut self, sdp: Option<&str>) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        if self.ext.reliable.answer.is_some() {
            return;
        }
        let status = if sdp.is_some() { 183 } else { 180 };
        let wants = match self.wish(&incoming.invite) {
            Wish::All => true,
            Wish::EarlyMedia => sdp.is_some(),
            Wish::None => false,
        };
        if wants {
            // The first reliable response to an INVITE without an offer must offer (RFC 3262 §5);
            // a 180 cannot, so none is sent.
            let may_stay_silent = incoming.invite.body.is_empty() && sdp.is_none();
            if !may_stay_silent && self.ext.reliable.waiting.len() < MAX_WAITING {
                let sdp = sdp.map(str::to_owned);
                self.ext
                    .reliable
                    .waiting
                    .push_back(Provisional { status, sdp });
                self.send_waiting();
            }
            return;
        }
        let mut response = self.dialog_response(&incoming.invite, status);
        if let Some(sdp) = sdp {
            set_sdp(&mut response.headers, &mut response.body, sdp);
        }
        send_response(&incoming.responder, response);
    }

    /// The next one, if all before it are acknowledged.
    fn send_waiting(&mut self) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        if self.ext.reliable.sent.is_some() {
            return;
        }
        let Some(next) = self.ext.reliable.waiting.pop_front() else {
            return;
        };
        let mut response = self.dialog_response(&incoming.invite, next.status);
        let reliable = &mut self.ext.reliable;
        reliable.last_rseq = match reliable.last_rseq {
            // Anywhere in the lower half of what is allowed (RFC 3262 §3).
            0 => rand::random_range(1..1 << 30),
            last => last + 1,
        };
        let rseq = reliable.last_rseq;
        response.headers.push(header_of("RSeq", rseq.to_string()));
        response.headers.push(header_of("Require", "100rel"));
        response.headers.push(header_of("Allow", message::ALLOW));
        // Once a description of ours was acknowledged, no other response carries one.
        let sdp = next.sdp.filter(|_| !reliable.agreed);
        if let Some(sdp) = &sdp {
            set_sdp(&mut response.headers, &mut response.body, sdp);
            self.ext.local_sdp = Some(sdp.clone());
        }
        send_response(&incoming.responder, response.clone());
        let (now, t1) = (Instant::now(), self.core.config.timers.t1);
        self.ext.reliable.sent = Some(Sent {
            rseq,
            response,
            has_sdp: sdp.is_some(),
            again_at: now + t1,
            wait: t1,
            give_up_at: now + t1 * 64,
        });
    }

    /// Sends it again, or gives the call up after 64 T1 (RFC 3262 §3).
    pub(super) fn unacknowledged_due(&mut self, now: Instant) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        let Some(sent) = &mut self.ext.reliable.sent else {
            return;
        };
        if sent.give_up_at <= now {
            let reason = Some("provisional response not acknowledged".to_owned());
            return self.refuse(504, reason, HangupCause::Failed);
        }
        sent.wait *= 2;
        sent.again_at = now + sent.wait;
        send_response(&incoming.responder, sent.response.clone());
    }

    /// 200, or a note to send it once early media was acknowledged (RFC 3262 §3).
    pub(super) fn answer(&mut self, sdp: &str) {
        if !matches!(self.phase, Phase::Incoming(_)) || self.ext.reliable.answer.is_some() {
            return;
        }
        if self.ext.reliable.holds_back_answer() {
            self.ext.reliable.answer = Some(sdp.to_owned());
            return;
        }
        self.send_answer((!self.ext.reliable.agreed).then_some(sdp));
    }

    /// PRACK (RFC 3262 §3): which response it acknowledges, and what follows from that.
    pub(super) async fn prack(&mut self, mut transaction: Transaction) {
        let request = transaction.original.clone();
        let acknowledged = RAck::of(&request.headers).is_some_and(|rack| {
            let sent = self.ext.reliable.sent.as_ref();
            rack.method == "INVITE"
                && rack.cseq == self.record.invite_cseq
                && sent.is_some_and(|sent| sent.rseq == rack.rseq)
        });
        if !acknowledged {
            let response = self.dialog_response(&request, 481);
            return self.core.finish(&mut transaction, response).await;
        }
        let Phase::Incoming(incoming) = &self.phase else {
            // A 200 went out meanwhile, which a response without a description does not hold back.
            self.ext.reliable.sent = None;
            let response = self.dialog_response(&request, 200);
            return self.core.finish(&mut transaction, response).await;
        };
        let we_offered = incoming.invite.body.is_empty();
        let sdp = message::sdp_of(&request.headers, &request.body);
        let sent = self.ext.reliable.sent.take();
        let had_sdp = sent.is_some_and(|sent| sent.has_sdp);
        let was_agreed = self.ext.reliable.agreed;
        self.ext.reliable.agreed |= had_sdp;
        match sdp {
            // The answer to what we offered in the response it acknowledges.
            Ok(Some(answer)) if we_offered && had_sdp && !was_agreed => {
                self.ext.reliable.prack_sdp = Some(answer);
            }
            // Another offer: its answer is in the 200 (RFC 3262 §5).
            Ok(Some(offer)) if self.ext.reliable.agreed => {
                self.offered_without_invite(transaction, request, offer)
                    .await;
                return self.after_prack();
            }
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => {
                let response = self.dialog_response(&request, 488);
                self.core.finish(&mut transaction, response).await;
                return self.after_prack();
            }
        }
        let response = self.dialog_response(&request, 200);
        self.core.finish(&mut transaction, response).await;
        self.after_prack();
    }

    fn after_prack(&mut self) {
        self.send_waiting();
        if !self.ext.reliable.holds_back_answer()
            && let Some(sdp) = self.ext.reliable.answer.take()
        {
            self.send_answer((!self.ext.reliable.agreed).then_some(sdp.as_str()));
        }
    }
}
