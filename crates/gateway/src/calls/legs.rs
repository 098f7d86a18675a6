//! The legs of one call as the shell holds them: signalling handle, media leg, dialog record.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use switchhook_media::sdp::{self, LocalMedia, Offer, SdpError};
use switchhook_media::srtp::sdes::{LocalSrtp, SrtpPolicy};
use switchhook_media::{Codec, MediaDirection, MediaLeg};
use switchhook_model::LegId;
use switchhook_sip::{DialogRecord, InboundHandle, PreparedDial};

use super::audio::AudioPolicy;
use super::figures::LegFigures;
use crate::config::DtmfMode;

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
    /// Whether its party may have others sent to numbers and addresses outside.
    pub may_refer_out: bool,
}

/// A media leg with our side of its description.
#[derive(Debug)]
pub(super) struct LegMedia {
    pub leg: MediaLeg,
    local: LocalMedia,
    has_answered: bool,
    /// The codec agreed on, once there is one.
    agreed: Option<Codec>,
    /// Our last description was an offer within the dialog: its answer is awaited.
    offers: bool,
    /// A re-INVITE of ours is under way, and another one is to follow it.
    reoffers: bool,
    reoffer_due: bool,
    /// Whether the party holds us (RFC 3264 §8.4), and whether the call was told.
    party_holds: bool,
    hold_told: bool,
    /// What we said last; repeated when a re-INVITE has no offer.
    pub description: String,
    figures: LegFigures,
    /// How keys go to the party.
    dtmf: DtmfMode,
    srtp: SrtpPolicy,
    early: Early,
}

/// What is known of the audio a party plays before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    /// Nobody is to hear it.
    Refused,
    /// None was announced yet, or it is over.
    None,
    /// Announced; heard from its first packet on.
    Announced,
}

impl LegMedia {
    /// Our offer for a new leg.
    pub(super) fn offering(leg: MediaLeg, audio: AudioPolicy) -> Self {
        let mut local = LocalMedia::new(leg.local_addr(), session_id(leg.id()));
        local.codecs = audio.codecs;
        local.srtp = LocalSrtp::new(audio.srtp);
        let description = sdp::offer(&local);
        Self {
            leg,
            local,
            has_answered: false,
            agreed: None,
            offers: false,
            reoffers: false,
            reoffer_due: false,
            party_holds: false,
            hold_told: false,
            description,
            figures: LegFigures::default(),
            dtmf: audio.dtmf,
            srtp: audio.srtp,
            early: if audio.early_media {
                Early::None
            } else {
                Early::Refused
            },
        }
    }

    /// Answers the first offer and starts the media.
    pub(super) fn answering(
        leg: MediaLeg,
        audio: AudioPolicy,
        offer: &str,
    ) -> Result<Self, SdpError> {
        let mut media = Self::offering(leg, audio);
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
        self.agreed = Some(params.codec);
        self.offers = false;
        self.party_holds = offer.is_hold();
        self.figures.agreed(&params);
        self.leg.start(params);
        Ok(())
    }

    fn measured(&self) -> LegFigures {
        let mut figures = self.figures.clone();
        figures.measured(self.leg.stats().quality());
        figures
    }

    /// Whether the first description was ours, so that the party answers it.
    pub(super) fn we_offered(&self) -> bool {
        !self.has_answered || self.offers
    }

    /// The party's answer to our offer; starts the media.
    pub(super) fn answered(&mut self, answer: Option<&str>) -> Result<(), String> {
        let answer = answer.ok_or("the answer has no SDP")?;
        let params = sdp::apply_answer(&self.local, answer).map_err(|error| fault(&error))?;
        self.agreed = Some(params.codec);
        self.offers = false;
        self.party_holds = Offer::parse(answer).is_ok_and(|answer| answer.is_hold());
        self.figures.agreed(&params);
        self.leg.start(params);
        self.early = Early::Refused;
        Ok(())
    }

    /// The party's answer to our offer in a provisional response. Its audio may come from now on.
    pub(super) fn answered_early(&mut self, answer: &str) -> Result<(), SdpError> {
        if self.early != Early::None {
            return Ok(());
        }
        let params = sdp::apply_answer(&self.local, answer)?;
        if params.direction.receives() {
            self.early = Early::Announced;
            self.leg.start(params);
        }
        Ok(())
    }

    /// More than one party rings, or another one than did: what the answer says is waited for.
    pub(super) fn early_over(&mut self) {
        if self.early == Early::Announced {
            self.early = Early::None;
        }
    }

    /// Whether audio that comes now is early media to be heard.
    pub(super) fn is_early(&self) -> bool {
        self.early == Early::Announced
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
        self.offer_again();
    }

    /// The party would not have it: its media stay as they were, and so do ours.
    pub(super) fn offer_refused(&mut self) {
        self.local.direction = MediaDirection::SendRecv;
        self.offers = false;
    }

    /// Whether an offer may leave now. While another one is under way it follows that one, since two
    /// at the same time are not allowed (RFC 3261 §14.1).
    pub(super) fn may_reoffer(&mut self) -> bool {
        self.reoffer_due = self.reoffers;
        !std::mem::replace(&mut self.reoffers, true)
    }

    /// The offer that was under way has its answer, whatever that is. Whether a newer one is to
    /// follow.
    pub(super) fn reoffer_over(&mut self) -> bool {
        self.reoffers = false;
        std::mem::take(&mut self.reoffer_due)
    }

    /// Whether the party holds us, if that has changed since it was last asked.
    pub(super) fn hold_changed(&mut self) -> Option<bool> {
        let changed = self.hold_told != self.party_holds;
        self.hold_told = self.party_holds;
        changed.then_some(self.party_holds)
    }
}

/// What is wrong with a party's description, for the log: without a word of it, as it may hold keys.
/// The ladder shows it whole.
pub(super) fn fault(error: &SdpError) -> String {
    match error {
        SdpError::Syntax { line, .. } | SdpError::NoConnection { line } => {
            format!("line {line} is malformed")
        }
        SdpError::NoAudio { .. } => "no audio of a kind we take".to_owned(),
        SdpError::NoCommonCodec { .. } => "no common codec".to_owned(),
        other if other.is_malformed() => "malformed".to_owned(),
        _ => "not acceptable".to_owned(),
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

/// A leg's figures as they are written.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Figures {
    /// Of running media.
    Measured(LegFigures),
    /// Of media that is over.
    Stored(Value),
}

#[derive(Debug, Default)]
pub(super) struct Legs {
    /// Boxed: a node of the map has room for eleven.
    parts: BTreeMap<LegId, Box<LegParts>>,
    /// Of legs whose media is over, as they are stored.
    figures: BTreeMap<LegId, Value>,
    /// Legs that belong to another call now.
    given: BTreeSet<LegId>,
}

impl Legs {
    pub(super) fn insert(&mut self, leg: LegId, parts: LegParts) {
        self.given.remove(&leg);
        self.parts.insert(leg, Box::new(parts));
    }

    pub(super) fn get_mut(&mut self, leg: &LegId) -> Option<&mut LegParts> {
        self.parts.get_mut(leg).map(Box::as_mut)
    }

    pub(super) fn media(&self, leg: &LegId) -> Option<&MediaLeg> {
        Some(&self.parts.get(leg)?.media.as_ref()?.leg)
    }

    /// The codec of the first leg that has agreed on one: the caller's.
    pub(super) fn codec_in_use(&self) -> Option<Codec> {
        self.parts
            .values()
            .find_map(|parts| parts.media.as_ref()?.agreed)
    }

    /// How keys go to a party whose media runs.
    pub(super) fn dtmf(&self, leg: &LegId) -> Option<DtmfMode> {
        Some(self.parts.get(leg)?.media.as_ref()?.dtmf)
    }

    /// What the leg's audio is like now, or was like at its end.
    pub(super) fn figures(&self, leg: &LegId) -> Option<Figures> {
        match self.parts.get(leg).and_then(|parts| parts.media.as_ref()) {
            Some(media) => Some(Figures::Measured(media.measured())),
            None => self.figures.get(leg).cloned().map(Figures::Stored),
        }
    }

    /// What was stored with an earlier step: a call that is taken up again has no media any more.
    pub(super) fn restore_figures(&mut self, view: &Value) {
        for leg in view["legs"].as_array().into_iter().flatten() {
            let id = leg["id"].as_str().and_then(|id| id.parse::<LegId>().ok());
            if let (Some(id), Some(media)) = (id, leg.get("media")) {
                self.figures.insert(id, media.clone());
            }
        }
    }

    /// To note an alarm; nothing once the media is over.
    pub(super) fn figures_mut(&mut self, leg: &LegId) -> Option<&mut LegFigures> {
        let media = self.parts.get_mut(leg)?.media.as_mut()?;
        Some(&mut media.figures)
    }

    /// Gives a leg away to another call.
    pub(super) fn give(&mut self, leg: &LegId) -> Option<LegParts> {
        let parts = self.parts.remove(leg)?;
        self.given.insert(leg.clone());
        Some(*parts)
    }

    /// Whether it belongs to another call now.
    pub(super) fn is_given(&self, leg: &LegId) -> bool {
        self.given.contains(leg)
    }

    /// Whether our offer on this leg protects its media as is asked for there.
    pub(super) fn is_protected_as(&self, leg: &LegId, wanted: SrtpPolicy) -> bool {
        let media = self.parts.get(leg).and_then(|parts| parts.media.as_ref());
        media.is_some_and(|media| media.srtp == wanted)
    }

    pub(super) fn may_refer_out(&self, leg: &LegId) -> bool {
        self.parts.get(leg).is_some_and(|parts| parts.may_refer_out)
    }

    /// Its party is another one now: who was reached by a redirection.
    pub(super) fn set_may_refer_out(&mut self, leg: &LegId, may_refer_out: bool) {
        if let Some(parts) = self.parts.get_mut(leg) {
            parts.may_refer_out = may_refer_out;
        }
    }

    /// A leg that is stored with another call.
    pub(super) fn mark_given(&mut self, leg: LegId) {
        self.given.insert(leg);
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
        let media = self.parts.get_mut(leg).and_then(|parts| parts.media.take());
        if let Some(media) = media {
            let figures = media.measured();
            figures.ended();
            let kept = serde_json::to_value(figures).unwrap_or(Value::Null);
            self.figures.insert(leg.clone(), kept);
        }
    }

    /// Frees the leg's port; the record stays for the rows.
    pub(super) fn close(&mut self, leg: &LegId) {
        if let Some(parts) = self.parts.get_mut(leg) {
            parts.signalling = Signalling::Over;
        }
        self.close_media(leg);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_of_ended_legs_outlive_the_process() {
        let id: LegId = "leg_a-1".parse().unwrap();
        let mut legs = Legs::default();
        legs.restore_figures(&json!({ "legs": [
            { "id": "leg_a-1", "media": { "codec": "pcmu", "lost": 3 } },
            { "id": "leg_a-2" },
            { "id": 7, "media": {} },
        ] }));
        assert_eq!(
            legs.figures(&id),
            Some(Figures::Stored(json!({ "codec": "pcmu", "lost": 3 })))
        );
        assert_eq!(legs.figures.len(), 1);
        legs.restore_figures(&Value::Null);
    }
}
