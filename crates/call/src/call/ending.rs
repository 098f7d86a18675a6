//! How a call ends: by an operator, by us, and in general.

use switchhook_model::{EndedBy, HangupCause, LegId};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Code, Ending, Out, Phase};
use crate::explain::explain;
use crate::outcome::{CallOutcome, OutcomeCode};
use crate::texts::TextKey;
use crate::transfer::TransferOutcome;
use crate::view::OutcomeView;

impl Call {
    pub(crate) fn operator_hangup(&mut self, out: &mut Out, by: &str) {
        match self.phase {
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. } => {
                let ending = Ending {
                    by: EndedBy::Operator,
                    code: Code::Result(OutcomeCode::OperatorHangup),
                    detail: format!("{by} ended the call."),
                };
                self.end(out, ending, TransferOutcome::Failed);
            }
            // The caller is gone; what is left of the call is their message.
            Phase::AwaitingMessage { .. } | Phase::Ended => {}
        }
    }

    pub(crate) fn restarted(&mut self, out: &mut Out) {
        // What was begun before may not have left the machine: it is asked for again.
        let now = out.now;
        let unsettled: Vec<ActionKind> = self
            .legs
            .iter_mut()
            .filter_map(|leg| leg.repeat_release(now))
            .collect();
        for action in unsettled {
            out.push(action);
        }
        // Also when the call had ended: the caller hung up within it, and it was being made out.
        if std::mem::take(&mut self.takes_own_message) && self.answered_at.is_some() {
            self.owe_own_unread_message(out);
        }
        self.cut_off(
            out,
            OutcomeCode::Restarted,
            "The program restarted",
            HangupCause::MediaLost,
        );
    }

    pub(crate) fn shutting_down(&mut self, out: &mut Out) {
        self.cut_off(
            out,
            OutcomeCode::Shutdown,
            "The program was stopped",
            HangupCause::Normal,
        );
    }

    /// Ends the call from wherever it stands, for a reason of ours.
    fn cut_off(&mut self, out: &mut Out, code: OutcomeCode, what: &str, cause: HangupCause) {
        let (code, place) = match &self.phase {
            Phase::Ended => return,
            Phase::Idle => (Code::Fixed(code), "before the call began"),
            Phase::Answering { .. } | Phase::Joining { .. } => {
                (Code::Fixed(code), "while the caller was being answered")
            }
            Phase::Calling { .. } | Phase::Direct { .. } => {
                (Code::Fixed(code), "while the called party was being rung")
            }
            Phase::Assistant => (Code::Fixed(code), "while the caller was with the assistant"),
            Phase::Transferring(step) => (Code::Result(code), step.place()),
            Phase::WithAgent { .. } => (Code::Fixed(code), "while the caller was with a human"),
            Phase::Farewell { .. } => (Code::Result(code), "during the goodbye"),
            Phase::AwaitingMessage { .. } => (
                Code::Result(code),
                "while the message of a caller who had hung up was being made out",
            ),
        };
        let ending = Ending {
            by: EndedBy::System,
            code,
            detail: format!("{what} {place}."),
        };
        let mut pending = TransferOutcome::Failed;
        match &self.phase {
            Phase::AwaitingMessage { .. } => {
                pending = TransferOutcome::CallerGone;
                self.owe_unread_message(out);
            }
            Phase::Transferring(step) if step.is_taking_message() => {
                self.owe_unread_message(out);
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
            | Phase::Ended => {}
        }
        self.end_with_cause(out, ending, pending, cause);
    }

    /// Closes the call; whoever is still connected is hung up as after a normal conversation.
    pub(crate) fn end(&mut self, out: &mut Out, ending: Ending, pending: TransferOutcome) {
        self.end_with_cause(out, ending, pending, HangupCause::Normal);
    }

    /// Closes the call: every living leg is released with `cause`, an undecided transfer gets the
    /// outcome `pending`, and the call gets its own.
    pub(crate) fn end_with_cause(
        &mut self,
        out: &mut Out,
        ending: Ending,
        pending: TransferOutcome,
        cause: HangupCause,
    ) {
        self.refer_unfinished(out);
        self.stop_voice(out);
        self.ringback = false;
        self.early = None;
        let living: Vec<LegId> = self
            .legs
            .iter()
            .filter(|leg| leg.state.is_living())
            .map(|leg| leg.id.clone())
            .collect();
        for leg in living {
            self.release(out, &leg, cause);
        }
        self.stop_recording(out);
        self.cancel_attempt(out);
        self.settle_transfer(out, pending);
        let code = match ending.code {
            Code::Fixed(code) => code,
            Code::Result(otherwise) => self.result_code(otherwise),
        };
        let left_at = self.caller_leg().and_then(|leg| leg.ended_at);
        self.ended_at = Some(left_at.unwrap_or(out.now));
        let outcome = CallOutcome {
            code,
            ended_by: ending.by,
            detail: ending.detail,
        };
        self.outcome = Some(outcome.clone());
        self.phase = Phase::Ended;
        out.emit(CallEvent::CallEnded { outcome });
    }

    /// What the last transfer came to decides what the call came to.
    fn result_code(&self, otherwise: OutcomeCode) -> OutcomeCode {
        // A phone's transfer that came to nothing leaves things as they were before it.
        let decisive = self
            .transfers
            .iter()
            .rev()
            .find(|transfer| transfer.outcome != Some(TransferOutcome::ReturnedToTransferor));
        match decisive.and_then(|transfer| transfer.outcome) {
            Some(TransferOutcome::Bridged) => OutcomeCode::Transferred,
            Some(TransferOutcome::MessageTaken) => OutcomeCode::MessageTaken,
            Some(TransferOutcome::Notified) => OutcomeCode::StaffNotified,
            Some(TransferOutcome::CallerGone) => OutcomeCode::CallerGone,
            Some(
                TransferOutcome::Failed
                | TransferOutcome::ReturnedToAssistant
                | TransferOutcome::ReturnedToTransferor
                | TransferOutcome::HandedOver
                | TransferOutcome::CallbackScheduled
                | TransferOutcome::Declined,
            )
            | None => otherwise,
        }
    }

    /// The outcome; of a call nobody answered with the meaning of the peer's last word.
    pub(super) fn outcome_view(&self) -> Option<OutcomeView> {
        let mut view: OutcomeView = self.outcome.as_ref()?.into();
        let refused = match view.code {
            OutcomeCode::NoAnswer
            | OutcomeCode::Busy
            | OutcomeCode::Rejected
            | OutcomeCode::Unreachable
            | OutcomeCode::NotAcceptable
            | OutcomeCode::Failed => self.answered_at.is_none(),
            OutcomeCode::Completed
            | OutcomeCode::CallerHungUp
            | OutcomeCode::Transferred
            | OutcomeCode::HandedOver
            | OutcomeCode::MessageTaken
            | OutcomeCode::StaffNotified
            | OutcomeCode::CallerGone
            | OutcomeCode::CallerCanceled
            | OutcomeCode::TransferFailed
            | OutcomeCode::Silence
            | OutcomeCode::NotIdentified
            | OutcomeCode::TurnLimit
            | OutcomeCode::TimeLimit
            | OutcomeCode::AssistantErrors
            | OutcomeCode::OperatorHangup
            | OutcomeCode::Voicemail
            | OutcomeCode::MediaLost
            | OutcomeCode::Restarted
            | OutcomeCode::Shutdown => false,
        };
        let explained = self.legs.iter().rev().filter(|_| refused).find_map(|leg| {
            let said = leg.detail.as_deref().unwrap_or("");
            explain(leg.sip_status?, said)
        });
        if let Some(explained) = explained {
            view.detail = format!("{} {}", view.detail, explained.detail);
            view.remedy = Some(explained.remedy);
        } else if let Some(said) = self.legs.iter().rev().filter(|_| refused).find_map(|leg| {
            let said = leg.detail.as_deref()?;
            leg.sip_status.is_none().then_some(said)
        }) {
            // Of a carrier that is no SIP peer: it names cause and cure itself.
            view.detail = format!("{} {said}.", view.detail);
        }
        Some(view)
    }

    /// Says the last words, then ends the call.
    pub(crate) fn farewell(&mut self, out: &mut Out, keys: &[TextKey], ending: Ending) {
        let last = self.say_all(out, keys);
        self.phase = Phase::Farewell { last, ending };
    }
}

pub(crate) fn unanswered_inbound(cause: HangupCause) -> Ending {
    let canceled = matches!(
        cause,
        HangupCause::Canceled | HangupCause::AnsweredElsewhere | HangupCause::Normal
    );
    Ending {
        by: if canceled {
            EndedBy::Caller
        } else {
            EndedBy::System
        },
        code: Code::Fixed(if canceled {
            OutcomeCode::CallerCanceled
        } else {
            OutcomeCode::from_unanswered(cause)
        }),
        detail: if canceled {
            "The caller gave up before being answered.".to_owned()
        } else {
            format!("The caller could not be answered ({}).", cause.code())
        },
    }
}

pub(crate) fn unanswered_outbound(cause: HangupCause) -> Ending {
    // Nobody says goodbye before the answer: it came, and went again before we took it up.
    if cause == HangupCause::Normal {
        return Ending {
            by: EndedBy::Caller,
            code: Code::Fixed(OutcomeCode::CallerHungUp),
            detail: "The call was answered, and ended before the assistant could speak.".to_owned(),
        };
    }
    let by = match cause {
        HangupCause::Busy | HangupCause::Rejected | HangupCause::Normal => EndedBy::Caller,
        HangupCause::NoAnswer
        | HangupCause::Unreachable
        | HangupCause::NotAcceptable
        | HangupCause::Canceled
        | HangupCause::AnsweredElsewhere
        | HangupCause::MediaLost
        | HangupCause::Failed => EndedBy::System,
    };
    Ending {
        by,
        code: Code::Fixed(OutcomeCode::from_unanswered(cause)),
        detail: format!("The called party could not be reached ({}).", cause.code()),
    }
}
