//! Messages callers leave.

use switchhook_model::EndedBy;

use crate::action::CallEvent;
use crate::call::{Call, Code, Ending, Out, Phase};
use crate::notice::NoticeTemplate;
use crate::outcome::OutcomeCode;
use crate::texts::TextKey;
use crate::transfer::TransferOutcome;
use crate::transferring::{MAX_TEXT_CHARS, Step, clip};

impl Call {
    pub(crate) fn message_taken(
        &mut self,
        out: &mut Out,
        text: String,
        duration_ms: u64,
        recorded: bool,
    ) {
        // In the same step: a crash after it owes no second notice.
        self.takes_own_message = false;
        if text.trim().is_empty() && !recorded {
            self.message_abandoned(out);
            return;
        }
        let text = clip(text, MAX_TEXT_CHARS);
        match &self.phase {
            Phase::Transferring(step) if step.is_taking_message() => {
                self.keep_message(out, true, text, duration_ms, recorded);
                self.settle_transfer(out, TransferOutcome::MessageTaken);
                self.next_step(out, vec![TextKey::MessageSaved]);
            }
            Phase::AwaitingMessage { .. } => {
                self.keep_message(out, true, text, duration_ms, recorded);
                self.settle_transfer(out, TransferOutcome::MessageTaken);
                self.end_after_caller_left(out, "The caller left a message and hung up.");
            }
            // The assistant took it of its own accord; the caller may have hung up within it.
            Phase::Assistant
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::Ended => {
                if !self.is_known_message(&text, duration_ms) && self.answered_at.is_some() {
                    self.keep_message(out, false, text, duration_ms, recorded);
                }
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. } => {}
        }
    }

    fn is_known_message(&self, text: &str, duration_ms: u64) -> bool {
        // Behind the call's end, one that was given up is told of without a word already.
        let is_over = matches!(self.phase, Phase::Ended) && text.is_empty();
        self.notices.iter().any(|notice| {
            (notice.text == text && notice.duration_ms == duration_ms)
                || (is_over && notice.template == NoticeTemplate::MessageUnread)
        })
    }

    fn keep_message(
        &mut self,
        out: &mut Out,
        in_transfer: bool,
        text: String,
        duration_ms: u64,
        recorded: bool,
    ) {
        let transfer = self.transfers.last().filter(|_| in_transfer);
        let transfer = transfer.map(|transfer| transfer.id.clone());
        out.emit(CallEvent::MessageTaken {
            transfer: transfer.clone(),
            text: text.clone(),
            duration_ms,
            recorded,
        });
        let template = NoticeTemplate::MessageTaken;
        self.owe_notice(out, transfer, template, text, duration_ms, recorded);
    }

    pub(crate) fn message_abandoned(&mut self, out: &mut Out) {
        match &self.phase {
            Phase::Transferring(step) if step.is_taking_message() => {
                self.next_step(out, vec![TextKey::NoMessage]);
            }
            Phase::AwaitingMessage { .. } => {
                self.end_after_caller_left(out, "The caller hung up without leaving a message.");
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
    }

    fn end_after_caller_left(&mut self, out: &mut Out, detail: &str) {
        let ending = Ending {
            by: EndedBy::Caller,
            code: Code::Result(OutcomeCode::CallerGone),
            detail: detail.to_owned(),
        };
        self.end(out, ending, TransferOutcome::CallerGone);
    }

    /// The message, or its text, takes too long.
    pub(crate) fn message_overdue(&mut self, out: &mut Out) {
        match self.phase.clone() {
            Phase::Transferring(Step::TakingMessage { .. }) => {
                self.owe_unread_message(out);
                self.next_step(out, Vec::new());
            }
            Phase::AwaitingMessage { .. } => {
                self.owe_unread_message(out);
                self.end_after_caller_left(
                    out,
                    "The caller hung up while leaving a message that could not be made out.",
                );
            }
            Phase::Transferring(
                Step::Ringing { .. }
                | Step::Referring { .. }
                | Step::Telling { .. }
                | Step::AwaitingNotice { .. },
            )
            | Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::Ended => {}
        }
    }
}
