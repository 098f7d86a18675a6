//! What happens to the legs, and what it means for the call.

use switchhook_model::{Direction, EndedBy, HangupCause, LegId, Target};

use crate::action::{ActionKind, CallEvent};
use crate::call::ending::{unanswered_inbound, unanswered_outbound};
use crate::call::{ANSWER_GUARD, Call, Code, Ending, Out, Phase};
use crate::leg::{AnswerSeen, Leg, Party};
use crate::outcome::OutcomeCode;
use crate::transfer::TransferOutcome;

impl Call {
    pub(crate) fn leg_ringing(&mut self, out: &mut Out, id: &LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        if !leg.ringing() {
            return;
        }
        let party = leg.party;
        out.emit(CallEvent::LegRinging {
            leg: id.clone(),
            party,
        });
        self.report_to_transferor(out, 180);
        match &self.phase {
            Phase::Direct { agent, .. } if agent == id => {
                let caller = self.caller_leg_id();
                out.push(ActionKind::Ring { leg: caller });
            }
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
            | Phase::Ended => {}
        }
    }

    pub(crate) fn leg_answered(&mut self, out: &mut Out, id: &LegId) {
        let now = out.now;
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        match leg.answered(now) {
            AnswerSeen::Ignored => return,
            AnswerSeen::TooLate => {
                let cause = leg.cause.unwrap_or(HangupCause::Canceled);
                out.emit(CallEvent::LegAnswered {
                    leg: id.clone(),
                    party,
                });
                out.push(ActionKind::Hangup {
                    leg: id.clone(),
                    cause,
                });
                return;
            }
            AnswerSeen::Joined => {}
        }
        out.emit(CallEvent::LegAnswered {
            leg: id.clone(),
            party,
        });
        if self.replacement_answered(out, id) {
            return;
        }
        match self.phase.clone() {
            Phase::Answering { leg, .. } | Phase::Calling { leg, .. } if leg == *id => {
                self.caller_connected(out, leg);
            }
            Phase::Direct { agent, .. } if agent == *id => {
                self.answer_caller(out);
                self.phase = Phase::Joining {
                    agent,
                    until: now + ANSWER_GUARD,
                };
            }
            Phase::Joining { agent, .. } if party == Party::Caller => {
                self.direct_connected(out, id.clone(), agent);
            }
            Phase::Transferring(step) => self.target_answered(out, &step, id),
            // Only a leg somebody waits for is unanswered; should another one answer all the same,
            // nobody is put into an empty call.
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => self.release(out, id, HangupCause::Canceled),
        }
    }

    pub(crate) fn leg_gone(
        &mut self,
        out: &mut Out,
        id: &LegId,
        cause: HangupCause,
        sip_status: Option<u16>,
    ) {
        let now = out.now;
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        if !leg.gone(now, cause, sip_status) {
            return;
        }
        out.emit(CallEvent::LegEnded {
            leg: id.clone(),
            party,
            cause,
        });
        self.replacement_gone(id);
        if self.transferor_left(out, id) {
            return;
        }
        if self.caller_leg().is_some_and(|leg| leg.id == *id) {
            self.caller_left(out, cause);
        } else {
            self.agent_left(out, id, cause, sip_status);
        }
    }

    fn caller_left(&mut self, out: &mut Out, cause: HangupCause) {
        let (by, talked) = match cause {
            HangupCause::MediaLost => (EndedBy::System, Code::Fixed(OutcomeCode::MediaLost)),
            HangupCause::Normal
            | HangupCause::Busy
            | HangupCause::NoAnswer
            | HangupCause::Rejected
            | HangupCause::Unreachable
            | HangupCause::NotAcceptable
            | HangupCause::Canceled
            | HangupCause::AnsweredElsewhere
            | HangupCause::Failed => (EndedBy::Caller, Code::Result(OutcomeCode::CallerHungUp)),
        };
        let by = match by {
            EndedBy::Caller if self.links.anchor_is_agent => EndedBy::Agent,
            EndedBy::Caller
            | EndedBy::Agent
            | EndedBy::Assistant
            | EndedBy::Operator
            | EndedBy::System => by,
        };
        let who = if self.links.anchor_is_agent {
            "human"
        } else {
            "caller"
        };
        let gone = match talked {
            Code::Fixed(_) => format!("The {who}'s audio was lost"),
            Code::Result(_) => format!("The {who} hung up"),
        };
        let pending = TransferOutcome::CallerGone;
        match self.phase.clone() {
            Phase::Idle | Phase::AwaitingMessage { .. } | Phase::Ended => {}
            Phase::Answering { .. } | Phase::Direct { .. } | Phase::Joining { .. } => {
                self.end(out, unanswered_inbound(cause), pending);
            }
            Phase::Calling { .. } => self.end(out, unanswered_outbound(cause), pending),
            Phase::Assistant => {
                let detail = format!("{gone} while with the assistant.");
                let ending = Ending {
                    by,
                    code: talked,
                    detail,
                };
                self.end(out, ending, pending);
            }
            Phase::Transferring(step) => {
                self.caller_left_transfer(out, &step, by, talked, &gone);
            }
            Phase::WithAgent { .. } => {
                let detail = format!("{gone} while with a human.");
                let code = match talked {
                    Code::Fixed(code) => Code::Fixed(code),
                    Code::Result(_) => Code::Result(OutcomeCode::Completed),
                };
                self.end(out, Ending { by, code, detail }, pending);
            }
            Phase::Farewell { ending, .. } => {
                let ending = Ending {
                    by: EndedBy::Caller,
                    ..super::machine::cut(ending)
                };
                self.end(out, ending, pending);
            }
        }
    }

    fn agent_left(
        &mut self,
        out: &mut Out,
        id: &LegId,
        cause: HangupCause,
        sip_status: Option<u16>,
    ) {
        if self.transferee_left(out, id) {
            return;
        }
        match self.phase.clone() {
            Phase::Direct { agent, .. } if agent == *id => {
                let code = OutcomeCode::from_unanswered(cause);
                let ending = Ending {
                    by: EndedBy::Agent,
                    code: Code::Fixed(code),
                    detail: format!("{} could not be reached ({}).", self.callee, cause.code()),
                };
                self.end_with_cause(out, ending, TransferOutcome::Failed, cause);
            }
            Phase::Joining { agent, .. } if agent == *id => {
                let ending = Ending {
                    by: EndedBy::Agent,
                    code: Code::Fixed(OutcomeCode::Failed),
                    detail: format!("{} hung up before the caller was connected.", self.callee),
                };
                self.end(out, ending, TransferOutcome::Failed);
            }
            Phase::Transferring(step) => self.target_failed(out, &step, id, cause, sip_status),
            Phase::WithAgent { agent } if agent == *id => {
                let lost = cause == HangupCause::MediaLost;
                let ending = Ending {
                    by: if lost {
                        EndedBy::System
                    } else {
                        EndedBy::Agent
                    },
                    code: if lost {
                        Code::Fixed(OutcomeCode::MediaLost)
                    } else {
                        Code::Result(OutcomeCode::Completed)
                    },
                    detail: if lost {
                        "The human's audio was lost.".to_owned()
                    } else {
                        "The human hung up.".to_owned()
                    },
                };
                self.end(out, ending, TransferOutcome::Failed);
            }
            // A leg that was given up, or one the call does not talk to any more.
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    pub(crate) fn dial(
        &mut self,
        out: &mut Out,
        party: Party,
        target: Target,
        ring_timeout_s: u32,
        attempt: Option<switchhook_model::AttemptId>,
    ) -> LegId {
        let leg = self.new_leg_id();
        let dialed = Leg::dialed(leg.clone(), party, target.clone(), out.now).by(self.leg_kind());
        self.legs.push(dialed);
        out.push(ActionKind::Dial {
            leg: leg.clone(),
            target,
            ring_timeout_s,
            caller_id: self.policy.caller_id.clone(),
            attempt,
            display: self.display_for(party),
        });
        leg
    }

    /// Who a leg that is being dialled is told calls: the number to show, if the policy has one, and
    /// the name. Its dial may go on elsewhere.
    pub fn shown_to(&self, id: &LegId) -> (Option<String>, String) {
        let display = self.leg(id).map(|leg| self.display_for(leg.party));
        (self.policy.caller_id.clone(), display.unwrap_or_default())
    }

    fn display_for(&self, party: Party) -> String {
        match (self.direction, party) {
            (Direction::Outbound, Party::Caller) => String::new(),
            // A human whom the caller's own phone passes on.
            (_, Party::Agent) if self.agent_is_passed_on() => self.passed_on_name(),
            (Direction::Outbound, Party::Agent) => self.callee.clone(),
            (Direction::Inbound, Party::Caller | Party::Agent) => self
                .caller
                .display_name
                .clone()
                .unwrap_or_else(|| self.caller.number.clone()),
        }
    }

    fn new_leg_id(&mut self) -> LegId {
        loop {
            self.counters.leg += 1;
            let id = LegId::derive(&self.id, self.counters.leg);
            if self.legs.iter().all(|leg| leg.id != id) {
                return id;
            }
        }
    }

    pub(crate) fn bridge(&mut self, out: &mut Out, agent: LegId) {
        let caller = self.caller_leg_id();
        // What was heard of it before its answer goes on without a gap.
        self.early = self.early.take().filter(|from| *from != agent);
        self.stop_waiting(out);
        self.stop_voice(out);
        out.push(ActionKind::Bridge {
            a: caller.clone(),
            b: agent.clone(),
        });
        out.emit(CallEvent::Bridged {
            a: caller,
            b: agent.clone(),
        });
        self.phase = Phase::WithAgent { agent };
    }

    pub(crate) fn release(&mut self, out: &mut Out, id: &LegId, cause: HangupCause) {
        let now = out.now;
        let Some(leg) = self.leg_mut(id) else { return };
        let party = leg.party;
        if let Some(action) = leg.release(now, cause) {
            out.push(action);
            out.emit(CallEvent::LegEnded {
                leg: id.clone(),
                party,
                cause,
            });
        }
    }
}
