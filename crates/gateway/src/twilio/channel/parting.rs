//! The caller's end, and what became of the agent it leaves.
//!
//! The carrier reports the two on their own, in any order. A caller who hangs up on an agent was
//! transferred; one who hangs up while it rings was not. So the end of a caller whose dial is open waits
//! a moment for the report that tells which it was.

use std::time::Duration;

use switchhook_call::Event;
use switchhook_conversation::documents::Returned;
use switchhook_model::{HangupCause, LegId, Timestamp};

use super::returned::DialEnd;
use super::{Channel, ChildStatus, Effect, Stage};

/// Longest wait for the other report. Both are sent when the line falls, and arrive within tenths.
const OTHER_REPORT: Duration = Duration::from_secs(3);

impl Channel {
    /// It was said that the caller's leg is over.
    pub fn caller_gone(&mut self, now: Timestamp) {
        if self.state.stage == Stage::Over || self.state.parting.is_some() {
            return;
        }
        let Some(agent) = self.open_dial().filter(|_| !self.state.hung_up) else {
            return self.leave(now);
        };
        let seat = self.state.children.get(&agent);
        if let Some(child) = seat.filter(|child| child.seat.is_some()) {
            // One dialled over REST rings on when the caller is gone: the carrier is asked at once. Nobody
            // can have answered whom it does not know yet.
            let Some(sid) = child.sid.clone() else {
                return self.leave(now);
            };
            let leg = agent.clone();
            self.done.effects.push(Effect::Look { leg, sid });
        }
        self.is_touched = true;
        self.state.parting = Some(now + OTHER_REPORT);
    }

    /// Whether the caller is, or was, to meet the agent in a conference. How that one ended says nothing
    /// of the agent: that is told by the agent's own leg.
    pub fn is_in_room(&self) -> bool {
        self.state.dialling().is_some_and(|leg| self.has_seat(leg))
    }

    /// Whether it is waited for what became of the agent of a caller who is gone.
    pub fn is_parting(&self) -> bool {
        self.state.parting.is_some()
    }

    /// The agent who rings, as far as the call knows.
    fn open_dial(&self) -> Option<LegId> {
        let leg = self.state.dialling()?;
        let legs = self.call.view().legs;
        let rings = legs.iter().any(|known| {
            known.id == *leg && known.answered_at.is_none() && known.ended_at.is_none()
        });
        rings.then(|| leg.clone())
    }

    fn has_open_dial(&self) -> bool {
        self.open_dial().is_some()
    }

    /// The carrier was asked, and the agent still rings.
    pub(super) fn parted_by_sight(&mut self, now: Timestamp) {
        if self.state.parting.is_some() {
            self.leave(now);
        }
    }

    /// The carrier reports the end of the dial of a caller who is gone.
    pub(super) fn parted_by_dial(&mut self, now: Timestamp, end: Option<&DialEnd>) {
        if self.state.parting.is_none() || self.is_in_room() {
            return;
        }
        let leg = self.state.dialling().cloned();
        if let (Some(leg), Some(end)) = (leg, end)
            && self.was_taken(&leg, end)
        {
            self.queue.push_back(Event::LegAnswered { leg });
        }
        self.leave(now);
    }

    /// The carrier reported the agent's leg of a caller who is gone; whether that told which it was.
    pub(super) fn parted_by_child(&mut self, now: Timestamp, status: ChildStatus) {
        let is_told = match status {
            ChildStatus::Dialled | ChildStatus::Ringing => false,
            ChildStatus::Answered => !self.has_open_dial(),
            // With a whisper the dial's end tells whether the agent took the call.
            ChildStatus::Over(end) => !end.answered || !self.has_open_dial(),
        };
        if is_told && self.state.parting.is_some() {
            self.leave(now);
        }
    }

    pub(super) fn parting_due(&mut self, now: Timestamp) {
        if self.state.parting.is_some_and(|at| at <= now) {
            self.leave(now);
        }
    }

    /// The caller's leg is over, and with it the one that was dialled from it.
    pub(super) fn leave(&mut self, now: Timestamp) {
        let before = std::mem::replace(&mut self.state.stage, Stage::Over);
        self.state.parting = None;
        self.ask_no_more();
        self.state.in_hand = false;
        self.line_up = false;
        self.state.dial = None;
        if before == Stage::TakingMessage {
            self.message_of_leaver(now);
        } else {
            self.said(now, Returned::HungUp);
        }
        self.queue.push_back(Event::LegEnded {
            leg: self.state.caller_leg.clone(),
            cause: HangupCause::Normal,
        });
        self.run(now);
        self.leave_dial(&before);
        self.run(now);
    }
}
