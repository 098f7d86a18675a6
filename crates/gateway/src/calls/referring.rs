//! REFER, Replaces and redirections: what phones and exchanges ask for becomes events of the call,
//! after the destination was checked; what the call decides becomes SIP.

use switchhook_call::{Event, ReferReport};
use switchhook_media::MediaDirection;
use switchhook_model::{AttemptId, CallId, HangupCause, LegId, RequestId, Target};
use switchhook_sip::uri::SipUri;
use switchhook_sip::{IncomingCall, ReferOutcome, Replaces, Source};

use super::audio;
use super::inbox::CallInput;
use super::incoming::media_peer;
use super::legs::{LegMedia, LegParts, Signalling};
use super::registry::call_of;
use super::shared::Shared;
use super::task::CallTask;
use super::{destination, facts, policy};
use crate::clock;

/// Refusal of a REFER that may not or cannot be followed.
const FORBIDDEN: u16 = 403;

/// Another call is asked for the far party of one of its legs.
#[derive(Debug)]
pub struct HandOver {
    /// The transferor's leg in the call that is asked.
    replaced: LegId,
    /// The call that asks, and its own leg with the transferor.
    into: CallId,
    transferor: LegId,
    request: RequestId,
    referred_by: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub struct HandedOver {
    asked: HandOver,
    /// The far party's leg; none if there is nothing to give.
    given: Option<Box<Given>>,
}

#[derive(Debug)]
struct Given {
    leg: LegId,
    parts: LegParts,
    target: Option<Target>,
}

impl HandOver {
    /// There is nobody to give any more.
    pub(super) fn decline(self, shared: &Shared) {
        if let Some(inbox) = shared.registry.get(&self.into) {
            let answer = HandedOver {
                asked: self,
                given: None,
            };
            inbox.send(CallInput::HandedOver(Box::new(answer)));
        }
    }
}

impl HandedOver {
    /// The call that asked is over: nobody is left for the party that came.
    pub(super) fn abandon(self, shared: &Shared) {
        if let Some(given) = self.given {
            // An error means that it hung up itself.
            let _ = shared.sip.hangup(&given.leg, HangupCause::Normal);
        }
    }
}

/// One REFER of one leg: the same for its repetition.
fn request_of(leg: &LegId, id: u32) -> RequestId {
    RequestId::from_unique(&format!("refer-{}-{id}", leg.unique()))
}

/// The number of the REFER within its leg.
fn refer_id(request: &RequestId) -> Option<u32> {
    request.as_str().rsplit('-').next()?.parse().ok()
}

impl CallTask {
    // From a phone

    pub(super) async fn refer_received(
        &mut self,
        leg: &LegId,
        id: u32,
        uri: &str,
        replaces: Option<Replaces>,
        referred_by: Option<String>,
    ) {
        let request = request_of(leg, id);
        if let Some(replaces) = replaces {
            if let Err(reason) = self
                .ask_for_party(leg, request, &replaces, referred_by)
                .await
            {
                self.refuse_refer(leg, id, reason);
            }
            return;
        }
        let target = destination::of_uri(&self.shared.config, uri).and_then(|target| {
            let is_ours = matches!(target, Target::Extension(_));
            if is_ours || self.legs.may_refer_out(leg) {
                Ok(target)
            } else {
                Err("its trunk may have callers sent to extensions only (may_refer)".to_owned())
            }
        });
        match target {
            Ok(target) => self.queue.push_back(Event::Referred {
                leg: leg.clone(),
                request,
                target,
                referred_by,
            }),
            Err(reason) => self.refuse_refer(leg, id, &reason),
        }
    }

    /// Without any effect on the call.
    fn refuse_refer(&mut self, leg: &LegId, id: u32, reason: &str) {
        self.fact(clock::now(), facts::refer_refused(leg, reason));
        self.answer_refer_id(leg, id, FORBIDDEN);
    }

    pub(super) fn answer_refer(&self, leg: &LegId, request: &RequestId, status: u16) {
        if let Some(id) = refer_id(request) {
            self.answer_refer_id(leg, id, status);
        }
    }

    fn answer_refer_id(&self, leg: &LegId, id: u32, status: u16) {
        if self.shared.sip.answer_refer(leg, id, status).is_err() {
            tracing::debug!(leg.id = %leg, "the transferor was gone before its answer");
        }
    }

    pub(super) fn notify_transferor(&self, leg: &LegId, request: &RequestId, status: u16) {
        if let Some(id) = refer_id(request)
            && self.shared.sip.notify_refer(leg, id, status).is_err()
        {
            tracing::debug!(leg.id = %leg, "the transferor was gone before its report");
        }
    }

    // Attended

    /// The transferor talked to the target in another call of ours: that call is asked for it.
    async fn ask_for_party(
        &mut self,
        leg: &LegId,
        request: RequestId,
        replaces: &Replaces,
        referred_by: Option<String>,
    ) -> Result<(), &'static str> {
        let replaced = self
            .shared
            .sip
            .confirmed_leg(replaces)
            .await
            .ok_or("Replaces names no dialog of ours")?;
        let other = self
            .shared
            .registry
            .call_of_leg(&replaced)
            .filter(|other| *other != self.id)
            .ok_or("Replaces names this very call")?;
        if !self.call.can_take_in(leg) {
            return Err("nobody is connected with that phone");
        }
        let inbox = self
            .shared
            .registry
            .get(&other)
            .ok_or("the call that Replaces names is over")?;
        let asked = HandOver {
            replaced,
            into: self.id.clone(),
            transferor: leg.clone(),
            request,
            referred_by,
        };
        inbox
            .deliver(CallInput::HandOver(Box::new(asked)))
            .map_err(|_| "the call that Replaces names is over")
    }

    /// Gives the far party away, if there is one. Its end here is noted when the other call has it.
    pub(super) async fn hand_over(&mut self, asked: HandOver) {
        let Some(inbox) = self.shared.registry.get(&asked.into) else {
            return;
        };
        let given = match self.call.partner_of(&asked.replaced) {
            Some(leg) => self.give(leg, &asked.into).await,
            None => None,
        };
        let answer = HandedOver { asked, given };
        if let Err(input) = inbox.deliver(CallInput::HandedOver(Box::new(answer)))
            && let CallInput::HandedOver(answer) = *input
        {
            answer.abandon(&self.shared);
        }
    }

    async fn give(&mut self, leg: LegId, into: &CallId) -> Option<Box<Given>> {
        let view = self.call.view();
        let shown = view.legs.into_iter().find(|one| one.id == leg);
        if shown
            .as_ref()
            .is_some_and(|shown| shown.held_by_operator_since.is_some())
        {
            // Nobody there would know whom to take back.
            self.offer_direction(&leg, MediaDirection::SendRecv);
        }
        let target = shown.and_then(|shown| shown.target);
        if self.recording.as_ref().is_some_and(|r| r.leg == leg) {
            self.stop_recording().await;
        }
        if let Some((a, b)) = self.bridged.take()
            && let (Some(a), Some(b)) = (self.legs.media(&a), self.legs.media(&b))
        {
            self.shared.media.unbridge(a, b);
        }
        // The other call knows nothing of what this one played.
        if let Some(media) = self.legs.media(&leg) {
            media.music(false);
        }
        let parts = self.legs.give(&leg)?;
        self.shared.registry.adopt(leg.clone(), into.clone());
        Some(Box::new(Given { leg, parts, target }))
    }

    /// The far party of the other call is ours, or there is none.
    pub(super) async fn handed_over(&mut self, answer: HandedOver) {
        let HandedOver { asked, given } = answer;
        let Some(given) = given else {
            if let Some(id) = refer_id(&asked.request) {
                let reason = "nobody is connected in the call that Replaces names";
                self.refuse_refer(&asked.transferor, id, reason);
            }
            return;
        };
        let Given { leg, parts, target } = *given;
        self.legs.insert(leg.clone(), parts);
        self.queue.push_back(Event::LegTakenIn {
            leg: leg.clone(),
            request: asked.request,
            replaces: asked.transferor,
            target,
            referred_by: asked.referred_by,
        });
        // Committed here first: a crash in between ends the leg twice, never not at all.
        self.drain().await;
        if let Some(other) = call_of(&asked.replaced) {
            let other = self
                .shared
                .registry
                .call_of_leg(&asked.replaced)
                .unwrap_or(other);
            // Refused here, it was hung up: then nobody was joined.
            let event = match self.call.partner_of(&leg) {
                Some(_) => Event::LegTakenAway {
                    leg,
                    into: self.id.clone(),
                },
                None => Event::LegEnded {
                    leg,
                    cause: HangupCause::Normal,
                },
            };
            self.shared.registry.send_event(&other, event);
        }
    }

    // Replaces

    /// Another phone asks to take a leg's place.
    pub(super) fn replacing(&mut self, incoming: IncomingCall) {
        let peer = media_peer(&incoming);
        let audio = audio::of_source(&self.shared.config, &incoming.source);
        let IncomingCall {
            leg,
            sdp_offer,
            handle,
            record,
            replaces,
            ..
        } = incoming;
        let refuse = |status| {
            if handle.reject(status, None).is_err() {
                tracing::debug!("the caller was gone before the refusal");
            }
        };
        let Some(replaces) = replaces.filter(|replaced| self.call.can_replace(replaced)) else {
            return refuse(603);
        };
        let media = match self.shared.open_media(&leg, Some(peer)) {
            Ok(media) => media,
            Err(error) => {
                tracing::warn!(%error, "a call is refused: no media leg");
                return refuse(503);
            }
        };
        let media = match sdp_offer.as_deref() {
            Some(offer) => match LegMedia::answering(media, audio, offer) {
                Ok(media) => media,
                Err(error) => return refuse(if error.is_malformed() { 400 } else { 488 }),
            },
            None => LegMedia::offering(media, audio),
        };
        self.legs.insert(
            leg.clone(),
            LegParts {
                signalling: Signalling::Offered(handle),
                media: Some(media),
                record: Some(record),
                may_refer_out: true,
            },
        );
        self.queue
            .push_back(Event::ReplacementArrived { leg, replaces });
    }

    // To the caller's exchange

    pub(super) fn refer(&mut self, leg: &LegId, attempt: AttemptId, target: &Target) {
        self.referring = Some((leg.clone(), attempt));
        let sent = self.refer_uri(target).is_some_and(|to| {
            let by = format!("<{}>", self.referrer());
            self.shared.sip.refer(leg, to, Some(by)).is_ok()
        });
        if !sent {
            self.refer_reported(leg, ReferOutcome::Failed { status: None });
        }
    }

    /// The target as the caller's exchange knows it.
    fn refer_uri(&self, target: &Target) -> Option<String> {
        let user = match target {
            Target::Extension(extension) => extension.as_str(),
            Target::Number(number) => number.as_str(),
            Target::SipUri(uri) => return Some(uri.clone()),
        };
        let mut uri = SipUri::parse(&format!("sip:{}", self.exchange.as_ref()?)).ok()?;
        uri.user = Some(user.to_owned());
        Some(uri.to_string())
    }

    fn referrer(&self) -> String {
        let host = self.shared.config.media.advertised_ip.to_string();
        SipUri::new(Some(&self.call.view().callee), &host, None).to_string()
    }

    pub(super) fn refer_reported(&mut self, leg: &LegId, outcome: ReferOutcome) {
        let Some((_, attempt)) = self.referring.clone().filter(|(asked, _)| asked == leg) else {
            return;
        };
        let report = match outcome {
            ReferOutcome::Accepted => ReferReport::Accepted,
            ReferOutcome::Progress { .. } => ReferReport::Started,
            ReferOutcome::Completed { .. } => ReferReport::Completed,
            ReferOutcome::Failed { status } => ReferReport::Failed { sip_status: status },
        };
        self.queue.push_back(Event::ReferReported {
            leg: leg.clone(),
            attempt,
            report,
        });
    }

    // Redirections

    /// A dial was answered 3xx: it goes on at the first address that policy allows.
    pub(super) fn redirected(&mut self, leg: &LegId, status: u16, uris: Vec<String>) {
        self.early_media_over(leg);
        let mut why = "redirected to nowhere".to_owned();
        for uri in uris {
            let followed = match destination::of_uri(&self.shared.config, &uri) {
                Ok(target) => self.follow(leg, &target),
                Err(reason) => Err(reason),
            };
            self.fact(
                clock::now(),
                facts::redirected(leg, status, &uri, followed.as_ref().err()),
            );
            match followed {
                Ok(()) => return,
                Err(reason) => why = format!("redirected to {uri}: {reason}"),
            }
        }
        // An error means that the leg is over.
        let _ = self.shared.sip.refuse_redirect(leg, why);
    }

    fn follow(&mut self, leg: &LegId, target: &Target) -> Result<(), String> {
        let target = self.dial_target(target).map_err(|(_, reason)| reason)?;
        // The offer stays that of the first INVITE.
        let wanted = audio::of_target(&self.shared.config, &target).srtp;
        if !self.legs.is_protected_as(leg, wanted) {
            return Err("srtp is set otherwise there than for who redirected".to_owned());
        }
        let may_refer_out = policy::may_refer_out(&self.shared.config, &target);
        let (caller_id, display) = self.call.shown_to(leg);
        let from = self.dial_from(&target, caller_id.as_deref(), &display);
        self.shared
            .sip
            .follow_redirect(leg, target, from)
            .map_err(|error| error.to_string())?;
        self.legs.set_may_refer_out(leg, may_refer_out);
        Ok(())
    }
}

/// An INVITE with Replaces goes to the call whose leg it means. Only those who belong here may take
/// a call over.
pub fn replace(shared: &Shared, incoming: IncomingCall) {
    let refuse = |incoming: &IncomingCall, status| {
        if incoming.handle.reject(status, None).is_err() {
            tracing::debug!("the caller was gone before the refusal");
        }
    };
    match incoming.source {
        Source::Extension(_) => {}
        Source::Trunk(_) | Source::Guest => {
            tracing::info!(leg.id = %incoming.leg, "an INVITE with Replaces of a stranger is refused");
            return refuse(&incoming, 403);
        }
    }
    let call = incoming
        .replaces
        .as_ref()
        .and_then(|replaced| shared.registry.call_of_leg(replaced));
    let Some((call, inbox)) =
        call.and_then(|call| Some((call.clone(), shared.registry.get(&call)?)))
    else {
        return refuse(&incoming, 481);
    };
    shared.registry.adopt(incoming.leg.clone(), call);
    inbox.send(CallInput::Replacing(Box::new(incoming)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refer_is_found_again_by_its_request() {
        let leg = LegId::from_unique("01k-3");
        let request = request_of(&leg, 17);
        assert_eq!(refer_id(&request), Some(17));
        assert_eq!(request.as_str().parse::<RequestId>().ok(), Some(request));
    }
}
