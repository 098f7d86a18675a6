//! A machine answers a call of ours: a mailbox or a fax. What it is was found out by the channel.

use switchhook_model::{EndedBy, LegId};

use crate::action::CallEvent;
use crate::call::{Call, Code, Ending, Out, Phase};
use crate::event::Heard;
use crate::leg::AnswerSeen;
use crate::outcome::OutcomeCode;
use crate::policy::MachinePolicy;
use crate::texts::TextKey;
use crate::transfer::TransferOutcome;

const CUT: &str = "A machine answered; it has no more than a part of the message.";

impl Call {
    pub(crate) fn machine_answered(&mut self, out: &mut Out, id: &LegId, is_fax: bool) {
        let mut policy = self.policy.machine;
        if is_fax && policy == MachinePolicy::Message {
            policy = MachinePolicy::HangUp;
        }
        let is_called = matches!(&self.phase, Phase::Calling { leg, .. } if leg == id);
        let is_caller = self.caller_leg().is_some_and(|leg| leg.id == *id);
        // It was found out while the assistant talked.
        let is_late = matches!(self.phase, Phase::Assistant) && is_caller;
        if is_called {
            if policy == MachinePolicy::GoOn {
                return self.leg_answered(out, id);
            }
            let now = out.now;
            let Some(leg) = self.leg_mut(id) else { return };
            let party = leg.party;
            if !matches!(leg.answered(now), AnswerSeen::Joined) {
                return;
            }
            let leg = id.clone();
            out.emit(CallEvent::LegAnswered { leg, party });
            self.answered_at = Some(now);
            out.emit(CallEvent::CallAnswered { leg: id.clone() });
        }
        // Otherwise the call was given up, or is with somebody who knows better.
        if is_called || is_late {
            self.leave_machine(out, policy, is_fax);
        }
    }

    fn leave_machine(&mut self, out: &mut Out, policy: MachinePolicy, is_fax: bool) {
        let ending = |detail: &str| Ending {
            by: EndedBy::System,
            code: Code::Fixed(OutcomeCode::Voicemail),
            detail: detail.to_owned(),
        };
        match policy {
            MachinePolicy::GoOn => {}
            MachinePolicy::HangUp => {
                let detail = if is_fax {
                    "A fax answered; we hung up."
                } else {
                    "A machine answered; we hung up without a message."
                };
                self.end(out, ending(detail), TransferOutcome::Failed);
            }
            MachinePolicy::Message => {
                self.pause(out);
                let ending = ending("A machine answered; it has the message.");
                self.farewell(out, &[TextKey::MachineMessage], ending);
            }
        }
    }
}

/// How the call ends when the last sentence was heard so far.
pub(super) fn heard(ending: Ending, key: TextKey, heard: Heard) -> Ending {
    match heard {
        Heard::Cut | Heard::None if key == TextKey::MachineMessage => cut(ending),
        Heard::Full | Heard::Cut | Heard::None => ending,
    }
}

/// The same when the machine hung up before the end of the message.
pub(super) fn cut(ending: Ending) -> Ending {
    match ending.code {
        Code::Fixed(OutcomeCode::Voicemail) => Ending {
            detail: CUT.to_owned(),
            ..ending
        },
        Code::Fixed(_) | Code::Result(_) => ending,
    }
}
