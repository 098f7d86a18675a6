//! One party's signalling and media path to us, from offer or dial to its confirmed end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{HangupCause, LegId, Target, Timestamp};

use crate::action::ActionKind;

/// How long a cancelled or hung-up leg may take to confirm its end: longer than Timer B, F and H of
/// RFC 3261 §17 (32 s), after which nothing more comes.
pub(crate) const SETTLE: Duration = Duration::from_secs(35);

/// Whose leg it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The end user, also when we called them.
    Caller,
    /// The human who takes the call.
    Agent,
}

/// Who holds a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// Its party: its phone wants to hear nothing of us.
    Party,
    /// An operator: we hear nothing of its party.
    Operator,
}

/// How the leg reaches its party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegKind {
    /// A SIP dialog.
    Sip,
    /// A call leg at Twilio.
    Twilio,
    /// A browser by WebRTC.
    WebRtc,
    /// A participant of a LiveKit room.
    LiveKit,
}

/// Where a leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// Inbound, not answered.
    Offered,
    /// Inbound, our answer is under way.
    Answering,
    /// Outbound, nothing heard yet.
    Dialing,
    /// Outbound, it rings.
    Ringing,
    /// Both sides can talk.
    Answered,
    /// Outbound, we gave it up; a final response is still to come.
    Canceling,
    /// We ended it; the confirmation is still to come.
    Ending,
    /// Over.
    Ended,
}

impl LegState {
    /// Whether somebody is, or may get, connected over this leg.
    pub fn is_living(self) -> bool {
        match self {
            Self::Offered | Self::Answering | Self::Dialing | Self::Ringing | Self::Answered => {
                true
            }
            Self::Canceling | Self::Ending | Self::Ended => false,
        }
    }
}

/// A leg of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Its id.
    pub id: LegId,
    /// How it reaches its party.
    pub kind: LegKind,
    /// Whose it is.
    pub party: Party,
    /// Whom we dialled; none for an inbound leg.
    pub target: Option<Target>,
    /// Where it stands.
    pub state: LegState,
    /// When it was offered or dialled.
    pub started_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended for its party.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub cause: Option<HangupCause>,
    /// The final SIP status, if it failed with one.
    pub sip_status: Option<u16>,
    /// What the far end said beside its status, for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Since when its party holds us; none unless it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by_party: Option<Timestamp>,
    /// Since when an operator holds its party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by_operator: Option<Timestamp>,
    /// It plays something before its answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early_media: bool,
    settle_by: Option<Timestamp>,
}

/// What the report of an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerSeen {
    /// The leg is up now.
    Joined,
    /// It was given up before: it has to be hung up, nobody waits there.
    TooLate,
    /// Known, or impossible here.
    Ignored,
}

impl Leg {
    /// An inbound leg.
    pub(crate) fn offered(id: LegId, now: Timestamp) -> Self {
        Self::new(id, Party::Caller, None, LegState::Offered, now)
    }

    /// An outbound leg.
    pub(crate) fn dialed(id: LegId, party: Party, target: Target, now: Timestamp) -> Self {
        Self::new(id, party, Some(target), LegState::Dialing, now)
    }

    /// The same leg, reached in this way.
    pub(crate) fn by(mut self, kind: LegKind) -> Self {
        self.kind = kind;
        self
    }

    fn new(
        id: LegId,
        party: Party,
        target: Option<Target>,
        state: LegState,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            kind: LegKind::Sip,
            party,
            target,
            state,
            started_at: now,
            answered_at: None,
            ended_at: None,
            cause: None,
            sip_status: None,
            detail: None,
            held_by_party: None,
            held_by_operator: None,
            early_media: false,
            settle_by: None,
        }
    }

    /// An answered leg of another call of ours that becomes a part of this one.
    pub(crate) fn taken_in(
        id: LegId,
        party: Party,
        target: Option<Target>,
        now: Timestamp,
    ) -> Self {
        let mut leg = Self::new(id, party, target, LegState::Answered, now);
        leg.answered_at = Some(now);
        leg
    }

    /// Another phone of a party that asked to take a leg's place.
    pub(crate) fn replacement(id: LegId, party: Party, now: Timestamp) -> Self {
        Self::new(id, party, None, LegState::Offered, now)
    }

    fn hold_slot(&mut self, by: HeldBy) -> &mut Option<Timestamp> {
        match by {
            HeldBy::Party => &mut self.held_by_party,
            HeldBy::Operator => &mut self.held_by_operator,
        }
    }

    /// It is held. False if that is not news, or it is not answered.
    pub(crate) fn hold(&mut self, by: HeldBy, now: Timestamp) -> bool {
        let news = self.state == LegState::Answered && self.hold_slot(by).is_none();
        if news {
            *self.hold_slot(by) = Some(now);
        }
        news
    }

    /// It is held no more. False if that is not news.
    pub(crate) fn resume(&mut self, by: HeldBy) -> bool {
        self.state == LegState::Answered && self.hold_slot(by).take().is_some()
    }

    /// Whether it is over or its end is under way.
    pub(crate) fn is_over(&self) -> bool {
        !self.state.is_living()
    }

    /// Whether anybody holds it.
    pub(crate) fn is_held(&self) -> bool {
        self.held_by_party.is_some() || self.held_by_operator.is_some()
    }

    /// When the leg counts as over although nothing confirmed it.
    pub(crate) fn settle_by(&self) -> Option<Timestamp> {
        match self.state {
            LegState::Canceling | LegState::Ending => self.settle_by,
            LegState::Offered
            | LegState::Answering
            | LegState::Dialing
            | LegState::Ringing
            | LegState::Answered
            | LegState::Ended => None,
        }
    }

    /// Our answer to an inbound leg is under way. False if it is not waiting for one.
    pub(crate) fn answering(&mut self) -> bool {
        let waits = self.state == LegState::Offered;
        if waits {
            self.state = LegState::Answering;
        }
        waits
    }

    /// It rings. False if that is not news.
    pub(crate) fn ringing(&mut self) -> bool {
        let news = self.state == LegState::Dialing;
        if news {
            self.state = LegState::Ringing;
        }
        news
    }

    /// It plays something before its answer, or does so no more. False if that is not news.
    pub(crate) fn plays_early(&mut self, plays: bool) -> bool {
        let rings = matches!(self.state, LegState::Dialing | LegState::Ringing);
        rings && std::mem::replace(&mut self.early_media, plays) != plays
    }

    /// It answered.
    pub(crate) fn answered(&mut self, now: Timestamp) -> AnswerSeen {
        match self.state {
            LegState::Answering | LegState::Dialing | LegState::Ringing => {
                self.state = LegState::Answered;
                self.answered_at = Some(now);
                AnswerSeen::Joined
            }
            LegState::Canceling => {
                self.state = LegState::Ending;
                self.answered_at = Some(now);
                self.ended_at = Some(now);
                self.settle_by = Some(now + SETTLE);
                AnswerSeen::TooLate
            }
            LegState::Offered | LegState::Answered | LegState::Ending | LegState::Ended => {
                AnswerSeen::Ignored
            }
        }
    }

    /// Its end was reported. True if that is news to the call, false if it only confirms our own
    /// doing or repeats itself.
    pub(crate) fn gone(
        &mut self,
        now: Timestamp,
        cause: HangupCause,
        sip_status: Option<u16>,
    ) -> bool {
        let was_living = self.state.is_living();
        if self.state != LegState::Ended {
            self.state = LegState::Ended;
            self.ended_at.get_or_insert(now);
            self.cause.get_or_insert(cause);
            self.sip_status = sip_status.or(self.sip_status);
            self.settle_by = None;
        }
        was_living
    }

    /// What ends it, if it is living.
    pub(crate) fn release(&mut self, now: Timestamp, cause: HangupCause) -> Option<ActionKind> {
        let leg = self.id.clone();
        let action = match self.state {
            LegState::Offered => {
                self.state = LegState::Ending;
                self.ended_at = Some(now);
                ActionKind::Reject {
                    leg,
                    status: reject_status(cause),
                }
            }
            LegState::Answering | LegState::Answered => {
                self.state = LegState::Ending;
                self.ended_at = Some(now);
                ActionKind::Hangup { leg, cause }
            }
            LegState::Dialing | LegState::Ringing => {
                self.state = LegState::Canceling;
                ActionKind::Cancel { leg }
            }
            LegState::Canceling | LegState::Ending | LegState::Ended => return None,
        };
        self.cause = Some(cause);
        self.settle_by = Some(now + SETTLE);
        Some(action)
    }

    /// The process came back: the end that was begun before has to be begun again, because nobody
    /// knows whether it left the machine.
    pub(crate) fn repeat_release(&mut self, now: Timestamp) -> Option<ActionKind> {
        let leg = self.id.clone();
        let action = match self.state {
            LegState::Canceling => ActionKind::Cancel { leg },
            LegState::Ending => ActionKind::Hangup {
                leg,
                cause: self.cause.unwrap_or(HangupCause::Normal),
            },
            LegState::Offered
            | LegState::Answering
            | LegState::Dialing
            | LegState::Ringing
            | LegState::Answered
            | LegState::Ended => return None,
        };
        self.settle_by = Some(now + SETTLE);
        Some(action)
    }
}

/// The SIP status that tells an inbound caller why (RFC 3261 §21).
fn reject_status(cause: HangupCause) -> u16 {
    match cause {
        HangupCause::Busy => 486,
        HangupCause::Normal | HangupCause::NoAnswer | HangupCause::Unreachable => 480,
        HangupCause::Rejected => 603,
        HangupCause::NotAcceptable => 488,
        HangupCause::Canceled | HangupCause::AnsweredElsewhere => 487,
        HangupCause::MediaLost => 503,
        HangupCause::Failed => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn dialed() -> Leg {
        Leg::dialed(
            LegId::from_unique("x"),
            Party::Agent,
            "2001".parse().unwrap(),
            at(0),
        )
    }

    #[test]
    fn an_answer_after_cancel_is_too_late_and_only_once() {
        let mut leg = dialed();
        assert!(leg.ringing());
        assert!(!leg.ringing());
        assert!(matches!(
            leg.release(at(5), HangupCause::NoAnswer),
            Some(ActionKind::Cancel { .. })
        ));
        assert_eq!(leg.release(at(6), HangupCause::NoAnswer), None);
        assert_eq!(leg.answered(at(7)), AnswerSeen::TooLate);
        assert_eq!(leg.answered(at(8)), AnswerSeen::Ignored);
        assert!(!leg.gone(at(9), HangupCause::Normal, None));
        assert_eq!(leg.state, LegState::Ended);
        assert_eq!(leg.cause, Some(HangupCause::NoAnswer));
    }

    #[test]
    fn an_inbound_leg_is_answered_only_after_we_answer() {
        let mut leg = Leg::offered(LegId::from_unique("x"), at(0));
        assert_eq!(leg.answered(at(1)), AnswerSeen::Ignored);
        assert!(leg.answering());
        assert!(!leg.answering());
        assert_eq!(leg.answered(at(2)), AnswerSeen::Joined);
        assert!(leg.gone(at(3), HangupCause::Normal, None));
        assert!(!leg.gone(at(4), HangupCause::Normal, None));
        assert_eq!(leg.ended_at, Some(at(3)));
    }

    #[test]
    fn a_restart_repeats_what_may_not_have_left() {
        let mut leg = dialed();
        assert_eq!(leg.repeat_release(at(0)), None);
        leg.release(at(1), HangupCause::Canceled);
        assert!(matches!(
            leg.repeat_release(at(2)),
            Some(ActionKind::Cancel { .. })
        ));
        let mut leg = dialed();
        leg.answered(at(1));
        leg.release(at(2), HangupCause::Normal);
        assert!(matches!(
            leg.repeat_release(at(3)),
            Some(ActionKind::Hangup { .. })
        ));
    }
}
