//! Another phone takes the place of a leg (INVITE with Replaces, RFC 3891): a call is picked up while
//! it rings elsewhere, or goes on at another device.

use serde::{Deserialize, Serialize};
use switchhook_model::{HangupCause, LegId};

use crate::action::{ActionKind, CallEvent};
use crate::call::{ANSWER_GUARD, Call, Out, Phase};
use crate::leg::{Leg, Party};
use crate::transfer::TransferOutcome;

/// The new leg was answered by us and its ACK is awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replacing {
    pub leg: LegId,
    pub replaces: LegId,
}

impl Call {
    /// Whether another leg could take this one's place now.
    pub fn can_replace(&self, id: &LegId) -> bool {
        if self.links.replacing.is_some() {
            return false;
        }
        match &self.phase {
            Phase::WithAgent { .. } => self.partner_of(id).is_some(),
            Phase::Direct { agent, .. } => agent == id,
            Phase::Transferring(step) => Self::rings(step, id),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => false,
        }
    }

    pub(crate) fn replacement_arrived(&mut self, out: &mut Out, leg: LegId, replaces: LegId) {
        if self.leg(&leg).is_some() {
            return;
        }
        let can = self.can_replace(&replaces);
        let party = self
            .leg(&replaces)
            .map_or(Party::Agent, |replaced| replaced.party);
        let mut new = Leg::replacement(leg.clone(), party, out.now);
        if can {
            new.answering();
        }
        self.legs.push(new);
        if can {
            out.push(ActionKind::Answer { leg: leg.clone() });
            self.links.replacing = Some(Replacing { leg, replaces });
        } else {
            // RFC 3891 §3: a dialog that is no more is declined.
            self.release(out, &leg, HangupCause::Rejected);
        }
    }

    /// The new leg's media is open. True if this was about a replacement.
    pub(crate) fn replacement_answered(&mut self, out: &mut Out, id: &LegId) -> bool {
        let Some(Replacing { leg, replaces }) = self
            .links
            .replacing
            .take_if(|replacing| replacing.leg == *id)
        else {
            return false;
        };
        match self.phase.clone() {
            Phase::WithAgent { agent } if self.partner_of(&replaces).is_some() => {
                let caller = self.caller_leg_id();
                self.separate(out, caller.clone(), agent.clone());
                self.replaced(out, &replaces, &leg);
                self.release(out, &replaces, HangupCause::Normal);
                if replaces == caller {
                    self.links.anchor = Some(leg);
                    self.bridge(out, agent);
                } else {
                    self.bridge(out, leg);
                }
            }
            Phase::Direct { agent, .. } if agent == replaces => {
                self.replaced(out, &replaces, &leg);
                self.release(out, &replaces, HangupCause::AnsweredElsewhere);
                self.answer_caller(out);
                self.phase = Phase::Joining {
                    agent: leg,
                    until: out.now + ANSWER_GUARD,
                };
            }
            Phase::Transferring(step) if Self::rings(&step, &replaces) => {
                self.replaced(out, &replaces, &leg);
                self.release(out, &replaces, HangupCause::AnsweredElsewhere);
                self.cancel_attempt(out);
                self.current_mut().joined = Some(leg.clone());
                self.transferor_done(out);
                self.bridge(out, leg);
                self.settle_transfer(out, TransferOutcome::Bridged);
            }
            // What it was to replace is gone.
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => self.release(out, &leg, HangupCause::Normal),
        }
        true
    }

    fn replaced(&mut self, out: &mut Out, old: &LegId, leg: &LegId) {
        let party = self.leg(leg).map_or(Party::Agent, |leg| leg.party);
        out.emit(CallEvent::LegReplaced {
            old: old.clone(),
            leg: leg.clone(),
            party,
        });
    }

    /// It hung up before it was there.
    pub(crate) fn replacement_gone(&mut self, id: &LegId) {
        self.links
            .replacing
            .take_if(|replacing| replacing.leg == *id);
    }
}
