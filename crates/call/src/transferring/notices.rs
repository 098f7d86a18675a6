//! Notices to the staff, and what the caller is told about them.

use switchhook_model::{MessageId, TransferId};

use crate::action::{ActionKind, CallEvent};
use crate::call::{Call, Out, Phase, seconds};
use crate::notice::{Notice, NoticeBody, NoticeState, NoticeTemplate, TriedTarget};
use crate::texts::TextKey;
use crate::transfer::TransferOutcome;
use crate::transferring::{MAX_NAME_CHARS, Step, clip};

impl Call {
    /// Words may have been recorded that nobody made out: a human has to listen.
    pub(crate) fn owe_unread_message(&mut self, out: &mut Out) {
        let recorded = self.counters.recording > 0;
        let template = NoticeTemplate::MessageUnread;
        let transfer = Some(self.current().id.clone());
        self.owe_notice(out, transfer, template, String::new(), 0, recorded);
    }

    /// The same for a message that the assistant was taking of its own accord.
    pub(crate) fn owe_own_unread_message(&mut self, out: &mut Out) {
        let recorded = self.counters.recording > 0;
        let template = NoticeTemplate::MessageUnread;
        self.owe_notice(out, None, template, String::new(), 0, recorded);
    }

    pub(crate) fn owe_notice(
        &mut self,
        out: &mut Out,
        transfer: Option<TransferId>,
        template: NoticeTemplate,
        text: String,
        duration_ms: u64,
        recorded: bool,
    ) -> MessageId {
        self.counters.message += 1;
        let id = MessageId::derive(&self.id, self.counters.message);
        let about = self
            .transfers
            .iter()
            .find(|known| transfer.as_ref() == Some(&known.id));
        let body = NoticeBody {
            call_id: self.id.clone(),
            transfer_id: transfer.clone(),
            caller: self.party_number().to_owned(),
            caller_name: self.caller.display_name.clone(),
            callee: self.callee.clone(),
            department: about.and_then(|transfer| transfer.department.clone()),
            reason: about.map_or_else(String::new, |transfer| transfer.reason.clone()),
            summary: about.map_or_else(String::new, |transfer| transfer.summary.clone()),
            text: text.clone(),
            duration_ms,
            recorded,
            tried: about
                .into_iter()
                .flat_map(|transfer| &transfer.attempts)
                .filter_map(|attempt| {
                    Some(TriedTarget {
                        target: attempt.target.clone(),
                        result: attempt.result?,
                    })
                })
                .collect(),
            taken_at: out.now,
        };
        self.notices.push(Notice {
            id: id.clone(),
            transfer: transfer.clone(),
            template,
            text,
            duration_ms,
            state: NoticeState::Owed,
            corrected: false,
            accepted_by: 0,
            lost_by: None,
        });
        if let Some(known) = self
            .transfers
            .iter_mut()
            .find(|known| transfer.as_ref() == Some(&known.id))
        {
            known.notices.push(id.clone());
        }
        out.push(ActionKind::Notify {
            message: id.clone(),
            template,
            body,
        });
        out.emit(CallEvent::NoticeOwed {
            message: id.clone(),
        });
        id
    }

    pub(crate) fn notify_staff(&mut self, out: &mut Out, mut told: Vec<TextKey>) {
        let transfer = Some(self.current().id.clone());
        let known = self
            .notices
            .iter()
            .rev()
            .find(|notice| notice.transfer == transfer)
            .map(|notice| notice.id.clone());
        let message = match known {
            Some(message) => message,
            None => {
                told.push(TextKey::Notifying);
                let template = NoticeTemplate::MissedCall;
                self.owe_notice(out, transfer, template, String::new(), 0, false)
            }
        };
        for key in told {
            self.say(out, key);
        }
        self.phase = Phase::Transferring(Step::AwaitingNotice {
            message: message.clone(),
            until: out.now + seconds(self.policy.notice_timeout_s),
        });
        // A second NotifyStaff step may come after the answer.
        match self.notice_mut(&message).map(|notice| notice.state.clone()) {
            Some(NoticeState::Accepted { .. }) => self.staff_told(out),
            Some(NoticeState::Refused { .. }) => self.staff_not_told(out, &message),
            Some(NoticeState::Owed) | None => {}
        }
    }

    /// Whether it would change what is known of this notice that this way has accepted it.
    pub fn lacks_acceptance(&self, message: &MessageId, way: u32) -> bool {
        let notice = self.notices.iter().find(|notice| notice.id == *message);
        notice.is_some_and(|notice| {
            let is_lost = notice.lost_by.is_some_and(|lost| lost >= way);
            let is_accepted = matches!(notice.state, NoticeState::Accepted { .. });
            !(is_lost || is_accepted && notice.accepted_by >= way)
        })
    }

    pub(crate) fn notice_accepted(&mut self, out: &mut Out, message: &MessageId, way: u32) {
        let now = out.now;
        let Some(notice) = self.notice_mut(message) else {
            return;
        };
        // Told late: it was lost since.
        if notice.lost_by.is_some_and(|lost| lost >= way) {
            return;
        }
        notice.accepted_by = notice.accepted_by.max(way);
        let first = notice.state == NoticeState::Owed;
        let was_corrected = std::mem::take(&mut notice.corrected);
        match notice.state {
            NoticeState::Accepted { .. } => return,
            NoticeState::Owed | NoticeState::Refused { .. } => {
                notice.state = NoticeState::Accepted { at: now };
            }
        }
        out.emit(CallEvent::NoticeAccepted {
            message: message.clone(),
        });
        if self.awaits(message) {
            self.staff_told(out);
        } else if was_corrected {
            self.say_in_passing(out, TextKey::TeamInformed);
        } else if first {
            self.tell_in_passing(out, message, TextKey::TeamInformed);
        }
    }

    /// A message the assistant took of its own accord: its caller learns what came of it, if they
    /// are still with the assistant.
    fn tell_in_passing(&mut self, out: &mut Out, message: &MessageId, key: TextKey) {
        let of_the_assistant = self
            .notice_mut(message)
            .is_some_and(|notice| notice.transfer.is_none());
        if of_the_assistant {
            self.say_in_passing(out, key);
        }
    }

    pub(crate) fn notice_refused(
        &mut self,
        out: &mut Out,
        message: &MessageId,
        error: String,
        will_retry: bool,
    ) {
        let now = out.now;
        let Some(notice) = self.notice_mut(message) else {
            return;
        };
        let first = notice.state == NoticeState::Owed;
        let error = clip(error, MAX_NAME_CHARS);
        match notice.state {
            // What was accepted stays accepted, whatever a doubled delivery says.
            NoticeState::Accepted { .. } => return,
            NoticeState::Owed | NoticeState::Refused { .. } => {
                notice.state = NoticeState::Refused {
                    at: now,
                    error: error.clone(),
                    will_retry,
                };
            }
        }
        out.emit(CallEvent::NoticeRefused {
            message: message.clone(),
            error,
            will_retry,
        });
        if self.awaits(message) {
            self.staff_not_told(out, message);
        } else if first {
            self.tell_in_passing(out, message, TextKey::SavedNotDelivered);
        }
    }

    /// The receiver took it, and lost it. A caller who was told that the team knows learns that it
    /// does not, if they are still with the assistant.
    pub(crate) fn notice_undelivered(
        &mut self,
        out: &mut Out,
        message: &MessageId,
        way: u32,
        error: String,
        will_retry: bool,
    ) {
        let now = out.now;
        let Some(notice) = self.notice_mut(message) else {
            return;
        };
        notice.lost_by = notice.lost_by.max(Some(way));
        let error = clip(error, MAX_NAME_CHARS);
        match notice.state {
            // Told late: a later way has taken it.
            NoticeState::Accepted { .. } if way < notice.accepted_by => return,
            NoticeState::Accepted { .. } => {
                notice.state = NoticeState::Refused {
                    at: now,
                    error: error.clone(),
                    will_retry,
                };
            }
            // Never told to have been accepted, and nothing else will be.
            NoticeState::Owed if !will_retry => {
                return self.notice_refused(out, message, error, false);
            }
            // The next way is told of, or it is known.
            NoticeState::Owed | NoticeState::Refused { .. } => return,
        }
        out.emit(CallEvent::NoticeUndelivered {
            message: message.clone(),
            error,
            will_retry,
        });
        let key = if will_retry {
            TextKey::TryingAnotherWay
        } else {
            TextKey::NotInformedAfterAll
        };
        let is_told = self.say_in_passing(out, key);
        if let Some(notice) = self.notice_mut(message) {
            notice.corrected = is_told;
        }
    }

    /// Says it to a caller who is with the assistant, where nothing else is being said; false if there
    /// is none.
    fn say_in_passing(&mut self, out: &mut Out, key: TextKey) -> bool {
        match self.phase {
            Phase::Assistant => {
                self.say(out, key);
                true
            }
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Transferring(_)
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => false,
        }
    }

    pub(crate) fn notice_overdue(&mut self, out: &mut Out, message: &MessageId) {
        if self.awaits(message) {
            self.staff_not_told(out, message);
        }
    }

    fn awaits(&self, message: &MessageId) -> bool {
        match &self.phase {
            Phase::Transferring(Step::AwaitingNotice { message: owed, .. }) => owed == message,
            Phase::Transferring(
                Step::Ringing { .. }
                | Step::Referring { .. }
                | Step::Telling { .. }
                | Step::TakingMessage { .. },
            )
            | Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::Assistant
            | Phase::WithAgent { .. }
            | Phase::Farewell { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => false,
        }
    }

    fn staff_told(&mut self, out: &mut Out) {
        self.settle_transfer(out, TransferOutcome::Notified);
        self.next_step(out, vec![TextKey::TeamInformed]);
    }

    fn staff_not_told(&mut self, out: &mut Out, message: &MessageId) {
        let truth = match self.notice_mut(message).map(|notice| notice.template) {
            Some(NoticeTemplate::MessageTaken) => TextKey::SavedNotDelivered,
            Some(NoticeTemplate::MissedCall | NoticeTemplate::MessageUnread) | None => {
                TextKey::NotNotified
            }
        };
        self.next_step(out, vec![truth]);
    }
}
