//! The deadlines of a call, and what happens when they pass.

use switchhook_model::{EndedBy, HangupCause, LegId, Timestamp};

use crate::call::{Call, Code, Ending, Out, Phase, Voice, seconds};
use crate::event::Heard;
use crate::outcome::OutcomeCode;
use crate::texts::TextKey;
use crate::timer::TimerId;
use crate::transfer::TransferOutcome;

impl Call {
    pub(crate) fn deadlines(&self) -> Vec<(Timestamp, TimerId)> {
        let mut deadlines = Vec::new();
        match &self.phase {
            Phase::Idle | Phase::Assistant | Phase::WithAgent { .. } | Phase::Ended => {}
            Phase::Answering { leg, until } => {
                deadlines.push((*until, TimerId::Answer(leg.clone())));
            }
            Phase::Calling { leg, until } | Phase::Direct { agent: leg, until } => {
                deadlines.push((*until, TimerId::Ring(leg.clone())));
            }
            Phase::Joining { until, .. } => {
                deadlines.push((*until, TimerId::Answer(self.caller_leg_id())));
            }
            Phase::Transferring(step) => deadlines.extend(step.deadlines()),
            Phase::Farewell { last, .. } => deadlines.push((last.until, TimerId::Say(last.say))),
            Phase::AwaitingMessage { until } => deadlines.push((*until, TimerId::Message)),
        }
        if let Some(at) = self.max_call_deadline() {
            deadlines.push((at, TimerId::MaxCall));
        }
        let settling = self
            .legs
            .iter()
            .filter_map(|leg| Some((leg.settle_by()?, TimerId::Settle(leg.id.clone()))));
        deadlines.extend(settling);
        deadlines
    }

    /// The limit holds wherever a call could go on for ever; all else is bounded by its own timers.
    fn max_call_deadline(&self) -> Option<Timestamp> {
        let at = self.answered_at? + seconds(self.policy.max_call_s);
        match &self.phase {
            Phase::Assistant | Phase::WithAgent { .. } => Some(at),
            Phase::Transferring(step) => step.is_dialling().then_some(at),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => None,
        }
    }

    pub(crate) fn timer_fired(&mut self, out: &mut Out, timer: &TimerId) {
        let due = self
            .deadlines()
            .iter()
            .any(|(at, wanted)| wanted == timer && *at <= out.now);
        if !due {
            return;
        }
        match timer {
            TimerId::Answer(leg) => self.answer_unconfirmed(out, leg),
            TimerId::Ring(leg) => self.rang_out(out, leg),
            TimerId::Refer(attempt) => self.refer_overdue(out, attempt),
            TimerId::Say(say) => self.say_finished(out, *say, Heard::None),
            TimerId::Message => self.message_overdue(out),
            TimerId::Notice(message) => self.notice_overdue(out, message),
            TimerId::MaxCall => self.time_is_up(out),
            TimerId::Settle(leg) => {
                let now = out.now;
                if let Some(leg) = self.leg_mut(leg) {
                    leg.gone(now, HangupCause::Failed, None);
                }
            }
        }
    }

    fn answer_unconfirmed(&mut self, out: &mut Out, leg: &LegId) {
        let ending = Ending {
            by: EndedBy::System,
            code: Code::Fixed(OutcomeCode::Failed),
            detail: format!("The answer to {leg} was never confirmed."),
        };
        self.end_with_cause(out, ending, TransferOutcome::Failed, HangupCause::Failed);
    }

    fn rang_out(&mut self, out: &mut Out, leg: &LegId) {
        match self.phase.clone() {
            Phase::Calling { .. } | Phase::Direct { .. } => {
                let ending = Ending {
                    by: EndedBy::System,
                    code: Code::Fixed(OutcomeCode::NoAnswer),
                    detail: format!("{} did not answer.", self.callee),
                };
                let cause = HangupCause::NoAnswer;
                self.end_with_cause(out, ending, TransferOutcome::Failed, cause);
            }
            Phase::Transferring(step) => self.target_rang_out(out, &step, leg),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    fn time_is_up(&mut self, out: &mut Out) {
        let ending = Ending {
            by: EndedBy::System,
            code: Code::Fixed(OutcomeCode::TimeLimit),
            detail: format!(
                "The call reached its longest allowed duration of {} s.",
                self.policy.max_call_s
            ),
        };
        match self.phase.clone() {
            // Nobody would hear the goodbye.
            Phase::Assistant if self.caller_is_held() => {
                self.end(out, ending, TransferOutcome::Failed);
            }
            Phase::Assistant => {
                self.pause(out);
                self.farewell(out, &[TextKey::TimeLimit, TextKey::Goodbye], ending);
            }
            Phase::Transferring(_) => {
                self.give_up_transfer(out);
                if self.voice == Voice::Off {
                    self.end(out, ending, TransferOutcome::Failed);
                } else {
                    self.farewell(out, &[TextKey::TimeLimit, TextKey::Goodbye], ending);
                }
            }
            Phase::WithAgent { .. } => self.end(out, ending, TransferOutcome::Failed),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }
}
