//! After the attempts: the truth about them, and the fallback chain.

use switchhook_model::{EndedBy, LegId};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Code, Ending, Out, Phase, seconds};
use crate::event::SayId;
use crate::outcome::OutcomeCode;
use crate::policy::FallbackStep;
use crate::texts::TextKey;
use crate::transfer::TransferOutcome;
use crate::transferring::{MESSAGE_TEXT_GUARD, Step, Then};

impl Call {
    pub(crate) fn nobody_reached(&mut self, out: &mut Out) {
        self.stop_waiting(out);
        if self.assistant.is_none() || self.links.anchor_is_agent {
            let ending = Ending {
                by: EndedBy::System,
                code: Code::Fixed(OutcomeCode::TransferFailed),
                detail: "Nobody took the transferred call, and no assistant takes part in it."
                    .to_owned(),
            };
            self.end(out, ending, TransferOutcome::Failed);
            return;
        }
        let transfer = self.current();
        let truth = transfer.failure_text();
        let last = transfer.attempts.last().and_then(|last| last.result);
        let own = last.filter(|_| !transfer.closed);
        let own = own.and_then(|result| self.policy.fallback_on.get(&result));
        if let Some(own) = own.cloned() {
            self.current_mut().chain = own;
        }
        self.next_step(out, vec![truth]);
    }

    /// Takes the next fallback step, after telling the caller `told`.
    pub(crate) fn next_step(&mut self, out: &mut Out, mut told: Vec<TextKey>) {
        let chain = &mut self.current_mut().chain;
        let step = if chain.is_empty() {
            FallbackStep::Goodbye
        } else {
            chain.remove(0)
        };
        match step {
            FallbackStep::ReturnToAssistant => {
                told.push(TextKey::BackWithAssistant);
                self.tell(out, &told, Then::Resume);
            }
            FallbackStep::TakeMessage => {
                told.push(TextKey::MessagePrompt);
                self.tell(out, &told, Then::TakeMessage);
            }
            FallbackStep::NotifyStaff => self.notify_staff(out, told),
            FallbackStep::Goodbye => {
                self.settle_transfer(out, TransferOutcome::Failed);
                told.push(TextKey::Goodbye);
                let ending = Ending {
                    by: EndedBy::Assistant,
                    code: Code::Result(OutcomeCode::TransferFailed),
                    detail: self.current().summary_of_failure(),
                };
                self.farewell(out, &told, ending);
            }
        }
    }

    fn tell(&mut self, out: &mut Out, keys: &[TextKey], then: Then) {
        let last = self.say_all(out, keys);
        self.phase = Phase::Transferring(Step::Telling { last, then });
    }

    pub(crate) fn said_in_transfer(&mut self, out: &mut Out, step: &Step, said: SayId) {
        match step {
            Step::Ringing {
                leg,
                until,
                hold: Some(hold),
            } if hold.say == said => {
                self.start_waiting(out);
                self.phase = Phase::Transferring(Step::Ringing {
                    leg: leg.clone(),
                    until: *until,
                    hold: None,
                });
            }
            Step::Telling { last, then } if last.say == said => match then {
                Then::TakeMessage => {
                    out.push(ActionKind::TakeMessage);
                    let longest = seconds(self.policy.max_message_s);
                    self.phase = Phase::Transferring(Step::TakingMessage {
                        until: out.now + longest + MESSAGE_TEXT_GUARD,
                    });
                }
                Then::Resume => self.return_to_assistant(out),
                Then::Refer => self.refer_next(out),
            },
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::Referring { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => {}
        }
    }

    fn return_to_assistant(&mut self, out: &mut Out) {
        let happened = self.current().summary_of_failure();
        self.settle_transfer(out, TransferOutcome::ReturnedToAssistant);
        self.phase = Phase::Assistant;
        self.listen(
            out,
            format!("{happened} The caller has been told so, and that you are back."),
        );
    }

    /// The caller waits from now on: what the target plays before its answer is heard, else our
    /// ringing tone.
    pub(crate) fn start_waiting(&mut self, out: &mut Out) {
        if self.ringback || self.early.is_some() {
            return;
        }
        let leg = self.caller_leg_id();
        match self.early_target() {
            Some(from) => {
                self.early = Some(from.clone());
                let on = true;
                out.push(ActionKind::EarlyMedia { leg, from, on });
            }
            None => {
                self.ringback = true;
                out.push(ActionKind::Ringback { leg, on: true });
            }
        }
    }

    /// True if the caller was waiting.
    pub(crate) fn stop_waiting(&mut self, out: &mut Out) -> bool {
        let leg = self.caller_leg_id();
        if let Some(from) = self.early.take() {
            let on = false;
            out.push(ActionKind::EarlyMedia { leg, from, on });
            return true;
        }
        let rang = std::mem::take(&mut self.ringback);
        if rang {
            out.push(ActionKind::Ringback { leg, on: false });
        }
        rang
    }

    /// The target that rings, if it plays something.
    fn early_target(&self) -> Option<LegId> {
        let Phase::Transferring(Step::Ringing { leg, .. }) = &self.phase else {
            return None;
        };
        let plays = self.leg(leg).is_some_and(|leg| leg.early_media);
        plays.then(|| leg.clone())
    }

    /// While the caller is told something, it waits; so does our ringing tone.
    pub(crate) fn leg_early_media(&mut self, out: &mut Out, id: &LegId, plays: bool) {
        let Some(leg) = self.leg_mut(id) else { return };
        if !leg.plays_early(plays) {
            return;
        }
        let (leg, party) = (id.clone(), leg.party);
        if plays {
            out.emit(CallEvent::LegEarlyMedia { leg, party });
        }
        let is_target = matches!(
            &self.phase,
            Phase::Transferring(Step::Ringing { leg, .. }) if leg == id
        );
        if is_target && self.stop_waiting(out) {
            self.start_waiting(out);
        }
    }
}
