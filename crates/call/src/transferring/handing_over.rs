//! A transfer that the caller's own exchange carries out (REFER sent by us, RFC 3515, RFC 5589 §6).
//! What it reports is graded and told as what it is: its word, not ours. A refusal keeps the call.

use switchhook_model::{AttemptId, EndedBy, HangupCause, LegId};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Code, Ending, Out, Phase, seconds};
use crate::event::ReferReport;
use crate::outcome::OutcomeCode;
use crate::transfer::{Attempt, AttemptResult, TransferMethod, TransferOutcome};
use crate::transferring::Step;

impl Call {
    /// Asks for the next target.
    pub(crate) fn refer_next(&mut self, out: &mut Out) {
        self.operator_resume(out);
        let target = self.current_mut().plan.remove(0);
        let ring_timeout_s = self.policy.ring_timeout_for(&target);
        self.counters.attempt += 1;
        let id = AttemptId::derive(&self.id, self.counters.attempt);
        let leg = self.caller_leg_id();
        out.push(ActionKind::Refer {
            leg: leg.clone(),
            attempt: id.clone(),
            target: target.clone(),
        });
        out.emit(CallEvent::AttemptStarted {
            transfer: self.current().id.clone(),
            attempt: id.clone(),
            leg: leg.clone(),
            target: target.clone(),
            ring_timeout_s,
        });
        let started_at = out.now;
        self.current_mut().attempts.push(Attempt {
            id: id.clone(),
            leg,
            target,
            ring_timeout_s,
            started_at,
            ended_at: None,
            result: None,
            cause: None,
            sip_status: None,
            detail: None,
            method: TransferMethod::Refer,
            report: None,
        });
        self.phase = Phase::Transferring(Step::Referring {
            attempt: id,
            until: started_at + seconds(ring_timeout_s),
        });
    }

    pub(crate) fn refer_reported(
        &mut self,
        out: &mut Out,
        leg: &LegId,
        attempt: &AttemptId,
        report: ReferReport,
    ) {
        if !self.is_referring(attempt) || self.caller_leg_id() != *leg {
            return;
        }
        let open = self.current_mut().attempts.last_mut();
        let Some(open) = open.filter(|open| open.report != Some(report)) else {
            return;
        };
        open.report = Some(report);
        out.emit(CallEvent::ReferReported {
            attempt: attempt.clone(),
            report,
        });
        match report {
            ReferReport::Accepted | ReferReport::Started => {}
            ReferReport::Completed => {
                let detail = "The caller's exchange reports that it took the caller over.";
                self.handed_over(out, detail);
            }
            ReferReport::Failed { sip_status } => {
                let cause = sip_status.map_or(HangupCause::Failed, HangupCause::from_sip_status);
                let result = AttemptResult::from_cause(cause);
                self.close_attempt(out, result, Some(cause), sip_status);
                self.refer_failed(out);
            }
        }
    }

    /// Nothing final was heard in time.
    pub(crate) fn refer_overdue(&mut self, out: &mut Out, attempt: &AttemptId) {
        if self.is_referring(attempt) {
            self.close_attempt(
                out,
                AttemptResult::NoAnswer,
                Some(HangupCause::NoAnswer),
                None,
            );
            self.refer_failed(out);
        }
    }

    fn is_referring(&self, attempt: &AttemptId) -> bool {
        matches!(
            &self.phase,
            Phase::Transferring(Step::Referring { attempt: open, .. }) if open == attempt
        )
    }

    fn refer_failed(&mut self, out: &mut Out) {
        let max = usize::try_from(self.policy.max_attempts).unwrap_or(usize::MAX);
        let transfer = self.current();
        if transfer.plan.is_empty() || transfer.attempts.len() >= max {
            self.nobody_reached(out);
        } else {
            self.refer_next(out);
        }
    }

    fn handed_over(&mut self, out: &mut Out, detail: &str) {
        self.close_attempt(out, AttemptResult::HandedOver, None, None);
        self.settle_transfer(out, TransferOutcome::HandedOver);
        let ending = Ending {
            by: EndedBy::System,
            code: Code::Fixed(OutcomeCode::HandedOver),
            detail: detail.to_owned(),
        };
        self.end(out, ending, TransferOutcome::HandedOver);
    }

    /// The caller's leg ended while its exchange was asked. If that exchange had agreed, it took the
    /// caller over and has no more use for our leg. False if it had not.
    pub(crate) fn caller_taken_over(&mut self, out: &mut Out) -> bool {
        let agreed = self
            .current()
            .attempts
            .last()
            .is_some_and(|attempt| attempt.report.is_some());
        if agreed {
            let detail = "The caller's exchange agreed to take the caller over and ended our leg; \
                          whether somebody answered there is not known.";
            self.handed_over(out, detail);
        }
        agreed
    }
}
