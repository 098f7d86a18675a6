//! What is said to the caller, and what the assistant reports.

use std::time::Duration;

use switchhook_model::EndedBy;

use crate::action::{ActionKind, CallEvent, Opening};
use crate::call::{Call, Code, Ending, Out, Pending, Phase, Voice};
use crate::event::{AssistantEnd, Heard, SayId};
use crate::outcome::OutcomeCode;
use crate::texts::TextKey;
use crate::transfer::TransferOutcome;

impl Call {
    pub(crate) fn assistant_ended(&mut self, out: &mut Out, reason: AssistantEnd) {
        let (by, code, detail) = match reason {
            AssistantEnd::Goodbye => (
                EndedBy::Assistant,
                Code::Result(OutcomeCode::Completed),
                "The assistant said goodbye.",
            ),
            AssistantEnd::Silence => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::Silence),
                "The caller said nothing for too long.",
            ),
            AssistantEnd::TurnLimit => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::TurnLimit),
                "The conversation reached its number of turns.",
            ),
            AssistantEnd::Errors => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::AssistantErrors),
                "The assistant failed too often in a row.",
            ),
            AssistantEnd::TimeLimit => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::TimeLimit),
                "The conversation reached its time limit.",
            ),
            AssistantEnd::NotIdentified => (
                EndedBy::System,
                Code::Fixed(OutcomeCode::NotIdentified),
                "The caller gave no right PIN.",
            ),
        };
        match self.phase.clone() {
            Phase::Assistant => {
                let detail = detail.to_owned();
                self.end(out, Ending { by, code, detail }, TransferOutcome::Failed);
            }
            Phase::Farewell { ending, .. } => self.end(out, ending, TransferOutcome::Failed),
            Phase::Transferring(step) => self.assistant_ended_in_transfer(out, &step),
            Phase::Idle
            | Phase::Answering { .. }
            | Phase::Calling { .. }
            | Phase::Direct { .. }
            | Phase::Joining { .. }
            | Phase::WithAgent { .. }
            | Phase::AwaitingMessage { .. }
            | Phase::Ended => {}
        }
    }

    pub(crate) fn say_finished(&mut self, out: &mut Out, say: SayId, heard: Heard) {
        let Some(key) = self.says.remove(&say) else {
            return;
        };
        out.emit(CallEvent::TextTold { say, key, heard });
        match self.phase.clone() {
            Phase::Farewell { last, ending } if last.say == say => {
                let ending = super::machine::heard(ending, key, heard);
                self.end(out, ending, TransferOutcome::Failed);
            }
            Phase::Transferring(step) => self.said_in_transfer(out, &step, say),
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

    pub(crate) fn stop_voice(&mut self, out: &mut Out) {
        match self.voice {
            Voice::Off => {}
            Voice::Listening | Voice::Paused => {
                out.push(ActionKind::StopAssistant);
                self.voice = Voice::Off;
            }
        }
        self.says.clear();
    }

    pub(crate) fn pause(&mut self, out: &mut Out) {
        match self.voice {
            Voice::Off | Voice::Paused => {}
            Voice::Listening => {
                out.push(ActionKind::PauseAssistant);
                self.voice = Voice::Paused;
            }
        }
    }

    /// Asks for a sentence; it follows those asked for before.
    pub(crate) fn say(&mut self, out: &mut Out, key: TextKey) -> Pending {
        if self.voice == Voice::Off {
            out.push(ActionKind::StartAssistant {
                leg: self.caller_leg_id(),
                opening: Opening::Silent,
            });
            self.voice = Voice::Paused;
            self.transfers_before_assistant = self.transfers.len();
        }
        self.counters.say += 1;
        let say = SayId(self.counters.say);
        let text = self
            .policy
            .texts
            .render(key, self.policy.language, &self.text_values());
        out.push(ActionKind::Say { say, key, text });
        self.says.insert(say, key);
        Pending {
            say,
            until: out.now + self.speaking_time(),
        }
    }

    /// Asks for several sentences in a row.
    pub(crate) fn say_all(&mut self, out: &mut Out, keys: &[TextKey]) -> Pending {
        let mut last = None;
        for key in keys {
            last = Some(self.say(out, *key));
        }
        last.expect("there is always something to say")
    }

    /// An upper bound for saying all sentences that were asked for: slow speech of 8 characters per
    /// second, and time for a slow provider to begin.
    fn speaking_time(&self) -> Duration {
        let chars: usize = self
            .says
            .values()
            .map(|key| {
                let texts = &self.policy.texts;
                let text = texts.render(*key, self.policy.language, &self.text_values());
                text.chars().count()
            })
            .sum();
        Duration::from_secs(10) + Duration::from_millis(125) * u32::try_from(chars).unwrap_or(8000)
    }
}
