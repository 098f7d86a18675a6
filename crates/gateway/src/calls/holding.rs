//! Re-INVITEs both ways: hold, resume, other media (RFC 3264 §8, RFC 3261 §14).

use std::time::Duration;

use switchhook_call::Event;
use switchhook_media::MediaDirection;
use switchhook_model::LegId;
use switchhook_sip::ReInviteResponder;

use super::inbox::CallInput;
use super::task::CallTask;

/// Tries of a re-INVITE that crossed one of the other side.
const MAX_TRIES: u8 = 3;
/// Longest random wait before such a try (RFC 3261 §14.1: 2.1 to 4 s, or up to 2 s).
const MAX_WAIT_MS: u64 = 4_000;

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
                tracing::warn!(leg.id = %leg, %error, "the re-INVITE's offer cannot be used");
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

    /// Sends what we offered last.
    pub(super) fn reoffer(&mut self, leg: &LegId) {
        let Some(media) = self
            .legs
            .get_mut(leg)
            .and_then(|parts| parts.media.as_ref())
        else {
            return;
        };
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
        match media.answered(answer) {
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
        // Both offered at once: whoever waits longer answers the other (RFC 3261 §14.1).
        if status == Some(491) && media.try_again(MAX_TRIES) {
            let wait = Duration::from_millis(100 + rand::random_range(0..MAX_WAIT_MS));
            let inbox = self.inbox.clone();
            let leg = leg.clone();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                inbox.send(CallInput::Reoffer { leg });
            });
            return;
        }
        media.offer_refused();
        self.hold_refused(leg, status);
    }

    fn hold_refused(&mut self, leg: &LegId, sip_status: Option<u16>) {
        let leg = leg.clone();
        self.queue.push_back(Event::HoldRefused { leg, sip_status });
    }

    /// Hold music is to be heard on this leg, or no longer. The media has none yet: the party hears
    /// silence, which the separated bridge gives it.
    pub(super) fn hold_music(&mut self, leg: &LegId, on: bool) {
        tracing::debug!(leg.id = %leg, on, "hold music");
    }
}
