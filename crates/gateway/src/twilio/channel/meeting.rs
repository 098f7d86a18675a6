//! An agent who is dialled over REST, into the conference in which the caller waits.
//!
//! The caller's program leads into a conference of this dial alone. When the caller is there, the
//! agent is dialled, once. How that goes is told by the status callbacks of the agent's leg, in any
//! order; whoever leaves ends the conference.

use std::time::Duration;

use switchhook_call::Event;
use switchhook_conversation::documents::Returned;
use switchhook_model::{HangupCause, LegId, Timestamp};

use super::state::{Child, DialOrder, Invited, Seat};
use super::{Channel, Effect, LegEnd, Rooms, Stage};

/// Time after which it is looked whether the agent was dialled, if nobody said so.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// Times the caller is led into the conference while the agent rings: the carrier drops whoever it
/// cannot play anything to.
const ENTRIES: u32 = 3;

impl Channel {
    pub(super) fn meets_in_rooms(&self) -> bool {
        self.rules.has_rest && (self.rules.rooms == Rooms::Always || self.state.in_rooms)
    }

    pub fn has_seat(&self, leg: &LegId) -> bool {
        self.seat(leg).is_some()
    }

    pub fn seat(&self, leg: &LegId) -> Option<&Seat> {
        self.state.children.get(leg)?.seat.as_ref()
    }

    fn seat_mut(&mut self, leg: &LegId) -> Option<&mut Seat> {
        self.state.children.get_mut(leg)?.seat.as_mut()
    }

    /// The caller was given a program that leads into the conference: the first for this agent, or
    /// one more.
    pub(super) fn enters(&mut self, order: &DialOrder) -> Stage {
        let leg = order.leg.clone();
        let child = self.state.children.entry(leg.clone()).or_default();
        let seat = child.seat.get_or_insert_with(|| Seat {
            order: order.clone(),
            invited: Invited::Not,
            is_dropped: false,
            entered: 0,
        });
        seat.entered += 1;
        Stage::Dialing { leg }
    }

    /// The caller is in the conference and waits: the agent is dialled, unless that was done.
    pub fn waits(&mut self, now: Timestamp, leg: &LegId) {
        if self.state.dialling() != Some(leg) || !self.is_living(leg) {
            return;
        }
        // Our sentences come before the conference.
        self.said(now, Returned::Nothing);
        if let Some(seat) = self.seat_mut(leg)
            && seat.invited == Invited::Not
            && !seat.is_dropped
        {
            seat.invited = Invited::Asked {
                since: now,
                look_at: now + LOOK_AFTER,
            };
            self.done.effects.push(Effect::Invite {
                leg: leg.clone(),
                since: now,
                again: false,
            });
        }
        self.run(now);
    }

    /// Whether the agent is still to be dialled, if nobody has done so.
    pub fn is_inviting(&self, leg: &LegId) -> bool {
        let is_asked = self
            .seat(leg)
            .is_some_and(|seat| matches!(seat.invited, Invited::Asked { .. }) && !seat.is_dropped);
        is_asked && self.is_living(leg) && !self.call.is_ended()
    }

    /// The carrier dials the agent.
    pub fn invited(&mut self, now: Timestamp, leg: &LegId, sid: &str) {
        self.know(leg, sid);
        self.run(now);
    }

    /// The carrier does not dial the agent.
    pub fn not_invited(&mut self, now: Timestamp, leg: &LegId, cause: HangupCause, why: &str) {
        let Some(seat) = self.seat_mut(leg) else {
            return;
        };
        if seat.invited == Invited::Yes {
            return;
        }
        seat.invited = Invited::Yes;
        self.queue.push_back(Event::LegFailed {
            leg: leg.clone(),
            cause,
            sip_status: None,
            detail: Some(why.to_owned()),
        });
        self.run(now);
    }

    /// The carrier's id of a leg it dialled for us.
    pub(super) fn know(&mut self, leg: &LegId, sid: &str) {
        let Some(child) = self.state.children.get_mut(leg) else {
            return;
        };
        if child.sid.is_none() {
            child.sid = Some(sid.to_owned());
            self.done.sids.push((leg.clone(), sid.to_owned()));
        }
        let Some(seat) = &mut child.seat else { return };
        if seat.invited == Invited::Yes {
            return;
        }
        seat.invited = Invited::Yes;
        if seat.is_dropped {
            self.done.effects.push(Effect::Drop {
                leg: leg.clone(),
                sid: sid.to_owned(),
            });
        }
    }

    /// The agent's leg is over. A repetition is no news to the call.
    pub(super) fn seat_over(&mut self, now: Timestamp, leg: &LegId, end: LegEnd) {
        let Some(child) = self.state.children.get(leg) else {
            return;
        };
        let took = self.took(child) || (end.answered && self.rules.accept_key.is_none());
        if self.state.parting.is_some() && !took {
            // Nobody is left to be told that nobody came, and nothing to be ended.
            if let Some(seat) = self.seat_mut(leg) {
                seat.is_dropped = true;
            }
            self.leave(now);
            self.queue.push_back(Event::LegEnded {
                leg: leg.clone(),
                cause: end.cause,
            });
            return;
        }
        if took {
            self.queue
                .push_back(Event::LegAnswered { leg: leg.clone() });
            self.queue.push_back(Event::LegEnded {
                leg: leg.clone(),
                cause: HangupCause::Normal,
            });
            return;
        }
        let cause = if end.answered {
            // Picked up by somebody who did not press the key.
            HangupCause::Rejected
        } else {
            end.cause
        };
        self.queue.push_back(Event::LegFailed {
            leg: leg.clone(),
            cause,
            sip_status: end.sip_status.filter(|status| *status >= 300),
            detail: None,
        });
    }

    /// Whether an agent is, or was, in the conference.
    pub(super) fn took(&self, child: &Child) -> bool {
        child.accepted || (child.picked_up && self.rules.accept_key.is_none())
    }

    /// The caller is no longer in the conference, and was not called out of it.
    pub(super) fn left_room(&mut self, now: Timestamp, leg: &LegId) {
        if !self.is_living(leg) {
            return;
        }
        let Some(child) = self.state.children.get(leg) else {
            return;
        };
        let Some(seat) = &child.seat else { return };
        if self.took(child) {
            let leg = leg.clone();
            self.queue.push_back(Event::LegEnded {
                leg: leg.clone(),
                cause: HangupCause::Normal,
            });
            return self.drop_seat(&leg);
        }
        if seat.entered < ENTRIES && !seat.is_dropped {
            // The agent may have come and gone, which is told late; or still rings.
            self.state.dial = Some(seat.order.clone());
            if let Some(sid) = child.sid.clone() {
                self.done.effects.push(Effect::Look {
                    leg: leg.clone(),
                    sid,
                });
            }
            return;
        }
        tracing::warn!(call.id = %self.call.id(), "the carrier does not keep the caller in the conference");
        self.queue.push_back(Event::LegFailed {
            leg: leg.clone(),
            cause: HangupCause::Failed,
            sip_status: None,
            detail: Some("the carrier did not keep the caller in the conference".to_owned()),
        });
        self.drop_seat(leg);
        self.state.look_at = Some(now);
    }

    /// Ends the agent's leg, or sees to it that it is not dialled. That it is over is told by its
    /// status callback, or by the carrier's answer.
    pub(super) fn drop_seat(&mut self, leg: &LegId) {
        let Some(child) = self.state.children.get_mut(leg) else {
            return;
        };
        let sid = child.sid.clone();
        let Some(seat) = &mut child.seat else { return };
        if std::mem::replace(&mut seat.is_dropped, true) {
            return;
        }
        match (sid, seat.invited) {
            (Some(sid), _) => self.done.effects.push(Effect::Drop {
                leg: leg.clone(),
                sid,
            }),
            // Should it turn up after all, it is dropped then.
            (None, Invited::Not | Invited::Asked { .. } | Invited::Yes) => {
                self.queue.push_back(Event::LegEnded {
                    leg: leg.clone(),
                    cause: HangupCause::Canceled,
                });
            }
        }
    }

    /// The carrier has ended the agent's leg, or can do no more about it.
    pub fn dropped(&mut self, now: Timestamp, leg: &LegId) {
        if self.is_living(leg) {
            self.queue.push_back(Event::LegEnded {
                leg: leg.clone(),
                cause: HangupCause::Canceled,
            });
            self.run(now);
        }
    }

    /// Holds the caller, which the carrier can in a conference only.
    pub(super) fn hold(&mut self, leg: &LegId, on: bool) {
        let room = self.state.dialling().filter(|agent| {
            *leg == self.state.caller_leg
                && self
                    .state
                    .children
                    .get(*agent)
                    .is_some_and(|child| child.seat.is_some() && self.took(child))
        });
        let Some(room) = room else {
            self.queue.push_back(Event::HoldRefused {
                leg: leg.clone(),
                sip_status: None,
            });
            return;
        };
        let effect = Effect::Hold {
            room: room.to_string(),
            sid: self.state.caller_sid.clone(),
            on,
        };
        self.done.effects.push(effect);
    }

    /// The carrier does not hold the caller.
    pub fn not_held(&mut self, now: Timestamp) {
        self.queue.push_back(Event::HoldRefused {
            leg: self.state.caller_leg.clone(),
            sip_status: None,
        });
        self.run(now);
    }

    /// Agents of whom a process that may be gone was told.
    pub(super) fn invite_again(&mut self) {
        let mut effects = Vec::new();
        for (leg, child) in &self.state.children {
            let Some(seat) = &child.seat else { continue };
            if !self.is_living(leg) {
                continue;
            }
            match (&child.sid, seat.invited) {
                (Some(sid), _) if seat.is_dropped => effects.push(Effect::Drop {
                    leg: leg.clone(),
                    sid: sid.clone(),
                }),
                // Its last report may have found nobody.
                (Some(sid), _) => effects.push(Effect::Look {
                    leg: leg.clone(),
                    sid: sid.clone(),
                }),
                (None, Invited::Asked { since, .. }) => effects.push(Effect::Invite {
                    leg: leg.clone(),
                    since,
                    again: true,
                }),
                _ => {}
            }
        }
        self.is_touched |= !effects.is_empty();
        self.done.effects.extend(effects);
    }

    /// Agents whose dial nobody has confirmed in time.
    pub(super) fn invite_overdue(&mut self, now: Timestamp) {
        let mut effects = Vec::new();
        for (leg, child) in &mut self.state.children {
            if let Some(seat) = &mut child.seat
                && let Invited::Asked { since, look_at } = &mut seat.invited
                && *look_at <= now
            {
                *look_at = now + LOOK_AFTER;
                effects.push(Effect::Invite {
                    leg: leg.clone(),
                    since: *since,
                    again: true,
                });
            }
        }
        self.done.effects.extend(effects);
    }

    /// When [`Self::invite_overdue`] has something to do.
    pub(super) fn next_invite(&self) -> Option<Timestamp> {
        let due = |(leg, child): (&LegId, &Child)| match child.seat.as_ref()?.invited {
            Invited::Asked { look_at, .. } if self.is_living(leg) => Some(look_at),
            Invited::Asked { .. } | Invited::Not | Invited::Yes => None,
        };
        self.state.children.iter().filter_map(due).min()
    }
}
