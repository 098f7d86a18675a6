//! What a party plays before its answer: the ringing tone and the announcements of its network
//! (RFC 3960). The caller hears our ringing tone until the first packet of it has come: many a
//! response has a description and no audio follows.

use switchhook_call::Event;
use switchhook_model::LegId;

use super::legs::{LegMedia, fault};
use super::task::CallTask;

impl CallTask {
    /// A party rings, with a description or without.
    pub(super) fn rings(&mut self, leg: &LegId, early_sdp: Option<&str>, is_forked: bool) {
        if is_forked {
            return self.early_media_over(leg);
        }
        let (Some(sdp), Some(media)) = (early_sdp, self.media_of(leg)) else {
            return;
        };
        if let Err(error) = media.answered_early(sdp) {
            let reason = fault(&error);
            tracing::info!(leg.id = %leg, reason, "the SDP of early media cannot be used");
        }
    }

    /// Several parties ring, or another one than before.
    pub(super) fn early_media_over(&mut self, leg: &LegId) {
        if let Some(media) = self.media_of(leg) {
            media.early_over();
            self.tell_early(leg, false);
        }
    }

    /// The first packet of a party came.
    pub(super) fn audio_began(&mut self, leg: &LegId) {
        if self.media_of(leg).is_some_and(|media| media.is_early()) {
            self.tell_early(leg, true);
        }
    }

    fn tell_early(&mut self, leg: &LegId, plays: bool) {
        let leg = leg.clone();
        self.queue.push_back(Event::LegEarlyMedia { leg, plays });
    }

    fn media_of(&mut self, leg: &LegId) -> Option<&mut LegMedia> {
        self.legs.get_mut(leg)?.media.as_mut()
    }

    /// Lets a waiting party hear one that has not answered. That one hears silence: packets of ours
    /// come all the same, and open its way through a NAT.
    pub(super) fn early_media(&mut self, leg: LegId, from: LegId, on: bool) {
        self.early = None;
        let (Some(waiting), Some(rung)) = (self.legs.media(&leg), self.legs.media(&from)) else {
            // Closed legs are bridged with nobody.
            return;
        };
        rung.deafen(on);
        if on {
            self.shared.media.bridge(waiting, rung);
            self.early = Some((leg, from));
        } else {
            self.shared.media.unbridge(waiting, rung);
        }
    }
}
