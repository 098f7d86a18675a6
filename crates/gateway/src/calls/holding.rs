//! Re-INVITEs both ways: hold, resume, other media (RFC 3264 §8, RFC 3261 §14).

use switchhook_call::Event;
use switchhook_media::MediaDirection;
use switchhook_model::LegId;
use switchhook_sip::ReInviteResponder;

use super::legs::fault;
use super::task::CallTask;

impl CallTask {
    /// The other side changes its media: hold, resume, another codec or address.
    pub(super) fn re_invited(
        &mut self,
        leg: &LegId,
        offer: Option<&str>,
        responder: ReInviteResponder,
    ) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        else {
            return responder.reject(481);
        };
        let agreed = match offer {
            Some(offer) => media.answer(offer),
            // It wants our offer: all we can do, not what was agreed while it held us.
            None => {
                media.offer_again();
                Ok(())
            }
        };
        match agreed {
            Ok(()) => {
                responder.answer(media.description.clone());
                self.note_hold(leg);
            }
            Err(error) => {
                tracing::warn!(leg.id = %leg, reason = fault(&error), "the re-INVITE's offer cannot be used");
                responder.reject(if error.is_malformed() { 400 } else { 488 });
            }
        }
    }

    /// Tells the call when the party began or ceased to hold us.
    pub(super) fn note_hold(&mut self, leg: &LegId) {
        let changed = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut()?.hold_changed());
        let leg = leg.clone();
        match changed {
            Some(true) => self.queue.push_back(Event::LegHeld { leg }),
            Some(false) => self.queue.push_back(Event::LegResumed { leg }),
            None => {}
        }
    }

    /// Offers our party a new direction.
    pub(super) fn offer_direction(&mut self, leg: &LegId, direction: MediaDirection) {
        if let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        {
            media.offer_direction(direction);
            self.reoffer(leg);
        }
    }

    /// Sends what we offered last. The SIP side sends it again when it crosses one of the party's.
    fn reoffer(&mut self, leg: &LegId) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        else {
            return;
        };
        if !media.may_reoffer() {
            return;
        }
        // An error means that the leg is over; that is reported on its own.
        let _ = self.shared.sip.reinvite(leg, media.description.clone());
    }

    pub(super) fn reoffer_answered(&mut self, leg: &LegId, answer: Option<&str>) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        else {
            return;
        };
        let is_due = media.reoffer_over();
        match media.answered(answer) {
            _ if is_due => self.reoffer(leg),
            Ok(()) => self.note_hold(leg),
            Err(reason) => {
                tracing::warn!(leg.id = %leg, reason, "the answer to our re-INVITE cannot be used");
                media.offer_refused();
                self.hold_refused(leg, None);
            }
        }
    }

    pub(super) fn reoffer_failed(&mut self, leg: &LegId, status: Option<u16>) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_mut())
        else {
            return;
        };
        if media.reoffer_over() {
            return self.reoffer(leg);
        }
        media.offer_refused();
        self.hold_refused(leg, status);
    }

    fn hold_refused(&mut self, leg: &LegId, sip_status: Option<u16>) {
        let leg = leg.clone();
        self.queue.push_back(Event::HoldRefused { leg, sip_status });
    }

    /// Hold music is to be heard on this leg, or no longer.
    pub(super) fn hold_music(&self, leg: &LegId, on: bool) {
        if let Some(media) = self.legs.media(leg) {
            media.music(on);
        }
    }
}
