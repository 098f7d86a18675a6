//! When nothing is heard of a call: what became of its legs is asked over REST.
//!
//! Reports get lost, most easily the last one. A call whose caller is gone must not stay open.

use std::time::Duration;

use switchhook_model::{LegId, Timestamp};

use super::{Channel, ChildStatus, Effect, LegEnd, Stage};

/// Longest silence of the carrier while it speaks, listens or rings. What is spoken, listened for and
/// recorded ends earlier, or is worth a question.
const SILENCE: Duration = Duration::from_secs(45);
/// The same while caller and agent talk, and while the caller talks to us over a stream.
const TALK: Duration = Duration::from_secs(300);

/// Longest silence behind the time an agent who is dialled over REST may ring: the carrier itself adds
/// some seconds, and then reports.
const AFTER_RINGING: Duration = Duration::from_secs(10);

/// What the carrier says of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Ringing,
    Talking,
    Over(LegEnd),
    /// Nothing that is of use, or nothing at all.
    Unknown,
}

impl Channel {
    /// Something was heard of the call.
    pub(super) fn heard_of(&mut self, now: Timestamp) {
        if !self.rules.has_rest {
            return;
        }
        let silence = match &self.state.stage {
            // How that rings is told by reports alone, and one may have been lost.
            Stage::Dialing { leg } if self.is_ringing_seat(leg) => {
                let rings = self.seat(leg).map_or(0, |seat| seat.order.ring_timeout_s);
                Some(Duration::from_secs(rings.into()) + AFTER_RINGING)
            }
            Stage::Dialing { .. } | Stage::Elsewhere | Stage::Streaming => Some(TALK),
            Stage::New | Stage::Listening | Stage::Telling | Stage::TakingMessage => Some(SILENCE),
            Stage::Over => self.has_living_seat().then_some(SILENCE),
        };
        self.state.look_at = silence.map(|silence| now + silence);
    }

    pub(super) fn next_look(&self) -> Option<Timestamp> {
        if self.is_settled() {
            return None;
        }
        // While the carrier waits for us, it is there.
        let look_at = self.state.look_at.filter(|_| !self.state.in_hand);
        look_at.into_iter().chain(self.next_invite()).min()
    }

    pub(super) fn look(&mut self, now: Timestamp) {
        self.invite_overdue(now);
        if self.state.in_hand || self.state.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.heard_of(now);
        if self.state.stage != Stage::Over {
            self.done.effects.push(Effect::Look {
                leg: self.state.caller_leg.clone(),
                sid: self.state.caller_sid.clone(),
            });
        }
        let seats = self.living_seats().map(|(leg, sid)| Effect::Look {
            leg: leg.clone(),
            sid: sid.to_owned(),
        });
        let seats: Vec<Effect> = seats.collect();
        self.done.effects.extend(seats);
    }

    fn is_ringing_seat(&self, leg: &LegId) -> bool {
        let child = self.state.children.get(leg);
        let rings = child.is_some_and(|child| child.seat.is_some() && !self.took(child));
        rings && self.is_living(leg)
    }

    /// Whether an agent was, or is to be, dialled over REST and is not known to be gone.
    pub fn has_open_seat(&self) -> bool {
        let mut seats = self.state.children.iter().filter(|(_, c)| c.seat.is_some());
        seats.any(|(leg, _)| self.is_living(leg))
    }

    fn has_living_seat(&self) -> bool {
        self.living_seats().next().is_some()
    }

    /// Legs dialled over REST that are not over, as far as the call knows.
    fn living_seats(&self) -> impl Iterator<Item = (&LegId, &str)> {
        self.state.children.iter().filter_map(|(leg, child)| {
            let sid = child.sid.as_deref()?;
            (child.seat.is_some() && self.is_living(leg)).then_some((leg, sid))
        })
    }

    /// What the carrier said of a leg it was asked about.
    pub fn seen(&mut self, now: Timestamp, leg: &LegId, seen: Seen) {
        if *leg == self.state.caller_leg {
            if let Seen::Over(end) = seen {
                if self.is_outbound() {
                    self.called(now, None, end.into());
                } else {
                    self.caller_gone(now);
                }
            }
            return;
        }
        let status = match seen {
            Seen::Ringing => ChildStatus::Ringing,
            Seen::Talking => ChildStatus::Answered,
            Seen::Over(end) => ChildStatus::Over(end),
            Seen::Unknown => return,
        };
        self.child(now, leg, None, None, status);
        if seen == Seen::Ringing && self.state.dialling() == Some(leg) {
            self.parted_by_sight(now);
        }
    }
}
