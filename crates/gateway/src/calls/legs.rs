//! The legs of one call as the shell holds them: signalling handle, media leg, dialog record.

use std::collections::{BTreeMap, BTreeSet};

use switchhook_media::sdp::{self, LocalMedia, Offer, SdpError};
use switchhook_media::{MediaDirection, MediaLeg, RtpParams};
use switchhook_model::LegId;
use switchhook_sip::{DialogRecord, InboundHandle, PreparedDial};

/// How a leg's signalling stands.
#[derive(Debug)]
pub(super) enum Signalling {
    /// Inbound and not answered; taken when it is answered or refused.
    Offered(InboundHandle),
    /// Outbound and not sent: waits for its record to be committed.
    Prepared(Box<PreparedDial>),
    /// Under way or established.
    Running,
    Over,
}

#[derive(Debug)]
pub(super) struct LegParts {
    pub signalling: Signalling,
    pub media: Option<LegMedia>,
    pub record: Option<DialogRecord>,
}

/// A media leg with our side of its description.
#[derive(Debug)]
pub(super) struct LegMedia {
    pub leg: MediaLeg,
    local: LocalMedia,
    has_answered: bool,
    /// Our last description was an offer within the dialog: its answer is awaited.
    offers: bool,
    /// Whether the party holds us, and whether the call was told.
    party_holds: bool,
    hold_told: bool,
    /// How often an offer of ours crossed one of the party's.
    tries: u8,
    /// What we said last; repeated when a re-INVITE has no offer.
    pub description: String,
}

impl LegMedia {
    /// Our offer for a new leg.
    pub(super) fn offering(leg: MediaLeg) -> Self {
        let local = LocalMedia::new(leg.local_addr(), session_id(leg.id()));
        let description = sdp::offer(&local);
        Self {
            leg,
            local,
            has_answered: false,
            offers: false,
            party_holds: false,
            hold_told: false,
            tries: 0,
            description,
        }
    }

    /// Answers the first offer and starts the media.
    pub(super) fn answering(leg: MediaLeg, offer: &str) -> Result<Self, SdpError> {
        let mut media = Self::offering(leg);
        media.answer(offer)?;
        Ok(media)
    }

    /// Answers an offer: the first one, hold, resume, another address or codec (RFC 3264 §8).
    pub(super) fn answer(&mut self, offer: &str) -> Result<(), SdpError> {
        let offer = Offer::parse(offer)?;
        let (description, params) = sdp::answer(&offer, &self.local)?;
        if description != self.description {
            self.local.session_version += 1;
        }
        self.description = description;
        self.has_answered = true;
        self.offers = false;
        self.party_holds = offer.is_hold();
        self.leg.start(params);
        Ok(())
    }

    /// Whether the first description was ours, so that the party answers it.
    pub(super) fn we_offered(&self) -> bool {
        !self.has_answered || self.offers
    }

    /// The party's answer to our offer; starts the media.
    pub(super) fn answered(&mut self, answer: Option<&str>) -> Result<(), String> {
        let answer = answer.ok_or("the answer has no SDP")?;
        let params: RtpParams =
            sdp::apply_answer(&self.local, answer).map_err(|error| error.to_string())?;
        self.offers = false;
        self.tries = 0;
        self.party_holds = Offer::parse(answer).is_ok_and(|answer| answer.is_hold());
        self.leg.start(params);
        Ok(())
    }

    /// A new offer within the dialog, with everything we can do.
    pub(super) fn offer_again(&mut self) {
        self.local.session_version += 1;
        self.description = sdp::offer(&self.local);
        self.offers = true;
    }

    /// The same with another direction: hold or resume.
    pub(super) fn offer_direction(&mut self, direction: MediaDirection) {
        self.local.direction = direction;
        self.tries = 0;
        self.offer_again();
    }

    /// The party would not have it: its media stay as they were, and so do ours.
    pub(super) fn offer_refused(&mut self) {
        self.local.direction = MediaDirection::SendRecv;
        self.offers = false;
        self.tries = 0;
    }

    /// Whether an offer that crossed one of the party's is sent again.
    pub(super) fn try_again(&mut self, max: u8) -> bool {
        self.tries += 1;
        self.tries <= max
    }

    /// Whether the party holds us, if that has changed since it was last asked.
    pub(super) fn hold_changed(&mut self) -> Option<bool> {
        let changed = self.hold_told != self.party_holds;
        self.hold_told = self.party_holds;
        changed.then_some(self.party_holds)
    }
}

/// The number of `o=`: unique for the leg, the same in every description (RFC 8866 §5.2).
fn session_id(leg: &LegId) -> u64 {
    // FNV-1a: no secret, only different from other legs'.
    leg.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        >> 1
}

#[derive(Debug, Default)]
pub(super) struct Legs {
    parts: BTreeMap<LegId, LegParts>,
    /// Legs that belong to another call now.
    given: BTreeSet<LegId>,
}

impl Legs {
    pub(super) fn insert(&mut self, leg: LegId, parts: LegParts) {
        self.parts.insert(leg, parts);
    }

    pub(super) fn get_mut(&mut self, leg: &LegId) -> Option<&mut LegParts> {
        self.parts.get_mut(leg)
    }

    pub(super) fn media(&self, leg: &LegId) -> Option<&MediaLeg> {
        Some(&self.parts.get(leg)?.media.as_ref()?.leg)
    }

    /// Gives a leg away to another call.
    pub(super) fn give(&mut self, leg: &LegId) -> Option<LegParts> {
        let parts = self.parts.remove(leg)?;
        self.given.insert(leg.clone());
        Some(parts)
    }

    /// Whether it belongs to another call now.
    pub(super) fn is_given(&self, leg: &LegId) -> bool {
        self.given.contains(leg)
    }

    pub(super) fn dialog(&self, leg: &LegId) -> Option<&DialogRecord> {
        self.parts.get(leg)?.record.as_ref()
    }

    pub(super) fn remember(&mut self, record: DialogRecord) {
        if let Some(parts) = self.parts.get_mut(&record.leg) {
            parts.record = Some(record);
        }
    }

    /// Silence in both directions; signalling goes on.
    pub(super) fn close_media(&mut self, leg: &LegId) {
        if let Some(parts) = self.parts.get_mut(leg) {
            parts.media = None;
        }
    }

    /// Frees the leg's port; the record stays for the rows.
    pub(super) fn close(&mut self, leg: &LegId) {
        if let Some(parts) = self.parts.get_mut(leg) {
            parts.signalling = Signalling::Over;
            parts.media = None;
        }
    }
}
