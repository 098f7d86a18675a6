//! A party holds: the other one hears music.

use switchhook_model::LegId;

use super::task::CallTask;

impl CallTask {
    /// Music for whoever is bridged with `leg`, as long as `leg` holds.
    pub(super) fn music_for_peer_of(&self, leg: &LegId) {
        if let Some(peer) = self.bridged_with(leg)
            && let Some(media) = self.legs.media(peer)
        {
            media.music(self.legs.holds(leg));
        }
    }

    /// At the beginning of a bridge: a party may have held before.
    pub(super) fn music_in_bridge(&self) {
        if let Some((a, b)) = &self.bridged {
            self.music_for_peer_of(a);
            self.music_for_peer_of(b);
        }
    }
}
