//! Hold and resume: by a party's phone, and by an operator.
//!
//! What follows from the holds is derived anew after each event ([`Call::settle_holds`]): while a
//! bridged leg is held the two are apart, whoever waits and can hear gets hold music, and the
//! assistant does not talk into a held leg.

use std::collections::BTreeSet;

use switchhook_model::LegId;

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Out, Phase, Voice};
use crate::leg::{HeldBy, Leg, LegState};

/// What the assistant is to know after a hold in which nothing else happened.
const BACK: &str = "The caller had put the call on hold and is back on the line.";

impl Call {
    pub(crate) fn leg_held(&mut self, out: &mut Out, id: &LegId) {
        self.hold(out, id, HeldBy::Party);
    }

    pub(crate) fn leg_resumed(&mut self, out: &mut Out, id: &LegId) {
        self.resume(out, id, HeldBy::Party);
    }

    pub(crate) fn operator_hold(&mut self, out: &mut Out) {
        let detail = match self.phase {
            Phase::Assistant | Phase::WithAgent { .. } => {
                let leg = self.caller_leg_id();
                if self.leg(&leg).is_some_and(|leg| !leg.is_over()) {
                    // Twice is as good as once.
                    if self.hold(out, &leg, HeldBy::Operator) {
                        out.push(ActionKind::Hold { leg });
                    }
                    return;
                }
                "the caller has gone"
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. } => "the caller is not connected yet",
            Phase::Transferring(_) => "a transfer is under way",
            Phase::Farewell { .. } => "the call is being ended",
            Phase::AwaitingMessage { .. } | Phase::Ended => "the call is over",
        };
        // Who asked was told no more than that the call learns of it.
        out.emit(CallEvent::HoldIgnored {
            detail: detail.to_owned(),
        });
    }

    /// Also before the caller is told something or rung for: what an operator began must not leave
    /// them in hold music for ever.
    pub(crate) fn operator_resume(&mut self, out: &mut Out) {
        let Some(leg) = self.caller_leg().map(|leg| leg.id.clone()) else {
            return;
        };
        if self.resume(out, &leg, HeldBy::Operator) {
            out.push(ActionKind::Resume { leg });
        }
    }

    pub(crate) fn hold_refused(&mut self, out: &mut Out, id: &LegId, sip_status: Option<u16>) {
        if self
            .leg(id)
            .is_some_and(|leg| leg.state == LegState::Answered)
        {
            out.emit(CallEvent::HoldRefused {
                leg: id.clone(),
                sip_status,
            });
        }
    }

    fn hold(&mut self, out: &mut Out, id: &LegId, by: HeldBy) -> bool {
        let now = out.now;
        let Some(leg) = self.leg_mut(id).filter(|leg| !leg.is_over()) else {
            return false;
        };
        let party = leg.party;
        let news = leg.hold(by, now);
        if news {
            out.emit(CallEvent::LegHeld {
                leg: id.clone(),
                party,
                by,
            });
        }
        news
    }

    fn resume(&mut self, out: &mut Out, id: &LegId, by: HeldBy) -> bool {
        let Some(leg) = self.leg_mut(id) else {
            return false;
        };
        let party = leg.party;
        let news = leg.resume(by);
        if news {
            out.emit(CallEvent::LegResumed {
                leg: id.clone(),
                party,
                by,
            });
        }
        news
    }

    fn is_held(&self, id: &LegId) -> bool {
        self.leg(id).is_some_and(Leg::is_held)
    }

    pub(crate) fn caller_is_held(&self) -> bool {
        self.caller_leg().is_some_and(Leg::is_held)
    }

    /// The two who are connected with one another, held apart or not.
    pub(crate) fn pair(&self) -> Option<(LegId, LegId)> {
        let agent = match &self.phase {
            Phase::WithAgent { agent } => agent,
            Phase::Transferring(_) => {
                &self
                    .links
                    .referral
                    .as_ref()
                    .filter(|referral| referral.is_connected)?
                    .agent
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => return None,
        };
        Some((self.caller_leg_id(), agent.clone()))
    }

    /// Separates a pair for good; what holds them apart is forgotten.
    pub(crate) fn separate(&mut self, out: &mut Out, a: LegId, b: LegId) {
        if !self.links.parted {
            out.push(ActionKind::Unbridge { a, b });
        }
        self.links.parted = false;
    }

    /// Makes what is heard fit the holds.
    pub(crate) fn settle_holds(&mut self, out: &mut Out) {
        self.settle_listening(out);
        let pair = self.pair();
        let mut music = BTreeSet::new();
        match &pair {
            Some((a, b)) => {
                let parted = self.is_held(a) || self.is_held(b);
                if parted != self.links.parted {
                    let (a, b) = (a.clone(), b.clone());
                    out.push(if parted {
                        ActionKind::Unbridge { a, b }
                    } else {
                        ActionKind::Bridge { a, b }
                    });
                    self.links.parted = parted;
                }
                if parted {
                    music.extend([a.clone(), b.clone()]);
                }
            }
            None => {
                self.links.parted = false;
                if matches!(self.phase, Phase::Assistant) && self.caller_is_held() {
                    music.insert(self.caller_leg_id());
                }
            }
        }
        // A phone that holds us does not listen.
        let listens = |leg: &Leg| leg.state == LegState::Answered && leg.held_by_party.is_none();
        music.retain(|id| self.leg(id).is_some_and(listens));
        for id in self.links.music.difference(&music) {
            if self
                .leg(id)
                .is_some_and(|leg| leg.state == LegState::Answered)
            {
                out.push(ActionKind::HoldMusic {
                    leg: id.clone(),
                    on: false,
                });
            }
        }
        for id in music.difference(&self.links.music) {
            out.push(ActionKind::HoldMusic {
                leg: id.clone(),
                on: true,
            });
        }
        self.links.music = music;
    }

    /// The assistant listens while it has the caller and the caller listens to it.
    fn settle_listening(&mut self, out: &mut Out) {
        if !matches!(self.phase, Phase::Assistant) {
            return;
        }
        let held = self.caller_is_held();
        match self.voice {
            Voice::Listening if held => self.pause(out),
            Voice::Paused if !held => {
                let note = self.links.resume_note.take();
                let note = note.unwrap_or_else(|| BACK.to_owned());
                self.listen(out, note);
            }
            Voice::Off | Voice::Listening | Voice::Paused => {}
        }
    }

    /// Lets the assistant go on; not before the caller's hold ends.
    pub(crate) fn listen(&mut self, out: &mut Out, note: String) {
        if self.caller_is_held() {
            self.links.resume_note = Some(note);
            self.voice = Voice::Paused;
        } else {
            out.push(ActionKind::ResumeAssistant { note });
            self.voice = Voice::Listening;
        }
    }
}
