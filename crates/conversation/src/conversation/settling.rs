//! What follows from the state alone: turns that are over, the end, whose go it is.

use switchhook_model::Timestamp;

use super::{Conversation, Mode};
use crate::io::{EndReason, Heard, Output, Speaker, Turn};

impl Conversation {
    pub(super) fn emit_turn(&mut self, turn: Turn) {
        self.turns += 1;
        self.out.push(Output::TurnEnded(Turn {
            n: self.turns,
            ..turn
        }));
    }

    /// What follows from the state alone, after every input.
    pub(super) fn settle(&mut self) {
        self.close_finished_groups();
        if let Mode::Ending { reason } = self.mode {
            let ear_quiet = reason != EndReason::Goodbye || !self.ear.is_busy();
            if self.mouth.is_empty() && ear_quiet {
                self.mode = Mode::Ended;
                self.out.push(Output::EndCall { reason });
            }
        }
        let assistant_busy = !self.mouth.is_empty() || self.answer.is_some();
        match self.mode {
            Mode::Conversing if assistant_busy => self.idle_since = None,
            Mode::Conversing => {
                if !self.ear.is_busy() {
                    self.idle_since.get_or_insert(self.now);
                }
            }
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::TakingMessage(_)
            | Mode::Ending { .. }
            | Mode::Ended
            | Mode::Stopped { .. } => self.idle_since = None,
        }
    }

    /// Reports turns whose last item is over, and answers verbatim texts.
    pub(super) fn close_finished_groups(&mut self) {
        for group in self.mouth.take_finished_groups() {
            let text = group
                .segments
                .iter()
                .map(|s| self.history.segment(*s).heard())
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
            let heard = match (group.lost, text.is_empty()) {
                (false, _) => Heard::Full,
                (true, false) => Heard::Cut,
                (true, true) => Heard::None,
            };
            if group.is_answer && heard == Heard::Full && !text.is_empty() {
                self.errors_in_a_row = 0;
            }
            if !text.is_empty() {
                let ended_at = group.ended_at.unwrap_or(self.now);
                self.emit_turn(Turn {
                    n: 0,
                    speaker: group.speaker,
                    text,
                    started_at: group.started_at.unwrap_or(ended_at).min(ended_at),
                    ended_at,
                    interrupted: group.interrupted,
                    latency: group.clock.and_then(|clock| clock.latency()),
                });
            }
            if let Some(id) = group.say {
                self.out.push(Output::SayFinished { id, heard });
            }
        }
    }
}

impl Turn {
    pub(super) fn of(
        speaker: Speaker,
        text: String,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> Self {
        Self {
            n: 0,
            speaker,
            text,
            started_at: started_at.min(ended_at),
            ended_at,
            interrupted: false,
            latency: None,
        }
    }
}
