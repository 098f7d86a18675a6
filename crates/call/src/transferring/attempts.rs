//! Dial attempts: one target after the other.

use switchhook_model::{AttemptId, HangupCause, LegId};

use crate::action::CallEvent;
use crate::call::{Call, Out, Pending, Phase, seconds};
use crate::leg::Party;
use crate::transfer::{Attempt, AttemptResult, Requester, TransferMethod, TransferOutcome};
use crate::transferring::Step;

impl Call {
    pub(crate) fn dial_next(&mut self, out: &mut Out, hold: Option<Pending>) {
        let target = self.current_mut().plan.remove(0);
        let ring_timeout_s = self.policy.ring_timeout_for(&target);
        self.counters.attempt += 1;
        let id = AttemptId::derive(&self.id, self.counters.attempt);
        let leg = self.dial(
            out,
            Party::Agent,
            target.clone(),
            ring_timeout_s,
            Some(id.clone()),
        );
        out.emit(CallEvent::AttemptStarted {
            transfer: self.current().id.clone(),
            attempt: id.clone(),
            leg: leg.clone(),
            target: target.clone(),
            ring_timeout_s,
        });
        let started_at = out.now;
        self.current_mut().attempts.push(Attempt {
            id,
            leg: leg.clone(),
            target,
            ring_timeout_s,
            started_at,
            ended_at: None,
            result: None,
            cause: None,
            sip_status: None,
            detail: None,
            method: TransferMethod::Bridge,
            report: None,
        });
        self.phase = Phase::Transferring(Step::Ringing {
            leg,
            until: started_at + seconds(ring_timeout_s + self.policy.ring_report_s),
            hold,
        });
    }

    pub(crate) fn target_answered(&mut self, out: &mut Out, step: &Step, id: &LegId) {
        match step {
            Step::Ringing { leg, .. } if leg == id => {
                self.close_attempt(out, AttemptResult::Answered, None, None);
                self.transferor_done(out);
                self.bridge(out, id.clone());
                self.settle_transfer(out, TransferOutcome::Bridged);
            }
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::Referring { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => self.release(out, id, HangupCause::Canceled),
        }
    }

    pub(crate) fn target_failed(
        &mut self,
        out: &mut Out,
        step: &Step,
        id: &LegId,
        cause: HangupCause,
        sip_status: Option<u16>,
    ) {
        match step {
            Step::Ringing { leg, hold, .. } if leg == id => {
                let result = AttemptResult::from_cause(cause);
                self.close_attempt(out, result, Some(cause), sip_status);
                self.try_next(out, *hold);
            }
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::Referring { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => {}
        }
    }

    pub(crate) fn target_rang_out(&mut self, out: &mut Out, step: &Step, id: &LegId) {
        match step {
            Step::Ringing { leg, hold, .. } if leg == id => {
                let cause = HangupCause::NoAnswer;
                self.release(out, id, cause);
                self.close_attempt(out, AttemptResult::NoAnswer, Some(cause), None);
                self.try_next(out, *hold);
            }
            Step::Ringing { .. }
            | Step::Telling { .. }
            | Step::Referring { .. }
            | Step::TakingMessage { .. }
            | Step::AwaitingNotice { .. } => {}
        }
    }

    fn try_next(&mut self, out: &mut Out, hold: Option<Pending>) {
        // What the former target played is over; the ringing tone goes on.
        let was_early = self.early.is_some() && self.stop_waiting(out);
        let transfer = self.current();
        // The transferor who is rung again is no further target.
        let recall = u32::from(transfer.requested_by == Requester::Party);
        let max = self.policy.max_attempts.saturating_add(recall);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if transfer.plan.is_empty() || transfer.attempts.len() >= max {
            if !self.returned_to_transferor(out) {
                self.nobody_reached(out);
            }
        } else {
            self.dial_next(out, hold);
            if was_early {
                self.start_waiting(out);
            }
        }
    }

    pub(crate) fn close_attempt(
        &mut self,
        out: &mut Out,
        result: AttemptResult,
        cause: Option<HangupCause>,
        sip_status: Option<u16>,
    ) {
        let now = out.now;
        let detail = self
            .transfers
            .last()
            .and_then(|transfer| transfer.attempts.last())
            .filter(|attempt| attempt.method == TransferMethod::Bridge)
            .and_then(|attempt| self.legs.iter().find(|leg| leg.id == attempt.leg))
            .and_then(|leg| leg.detail.clone());
        let open = self
            .transfers
            .last_mut()
            .and_then(|transfer| transfer.attempts.last_mut())
            .filter(|attempt| attempt.result.is_none());
        let Some(attempt) = open else { return };
        attempt.result = Some(result);
        attempt.cause = cause;
        attempt.sip_status = sip_status;
        attempt.detail = detail;
        attempt.ended_at = Some(now);
        out.emit(CallEvent::AttemptEnded {
            attempt: attempt.id.clone(),
            result,
            sip_status,
        });
    }

    /// The call ends while a target rings: the leg was released with the others.
    pub(crate) fn cancel_attempt(&mut self, out: &mut Out) {
        let cause = Some(HangupCause::Canceled);
        self.close_attempt(out, AttemptResult::Canceled, cause, None);
    }

    /// Stops ringing the target; the caller stays.
    pub(crate) fn give_up_transfer(&mut self, out: &mut Out) {
        let dialled = self.current().attempts.last();
        let dialled = dialled.filter(|attempt| attempt.method == TransferMethod::Bridge);
        if let Some(leg) = dialled.map(|attempt| attempt.leg.clone()) {
            self.release(out, &leg, HangupCause::Canceled);
        }
        self.stop_waiting(out);
        self.cancel_attempt(out);
        self.settle_transfer(out, TransferOutcome::Failed);
    }
}
