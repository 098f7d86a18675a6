//! The conversation machine: `(Conversation, now, Input) -> Vec<Output>`.
//!
//! Three parts work side by side, because on a telephone both parties may speak at once: the *ear*
//! (the caller's utterances and their transcripts), the *answer* (one reply of the model being
//! thought, with its tools) and the *mouth* (items in playout order, grouped into turns). The mode
//! says which of them may act. The turn state an observer sees is computed from them.

mod answering;
mod deadlines;
mod ear;
mod identifying;
mod listening;
mod message;
mod mouth;
mod observing;
mod reconsider;
mod settling;
mod snapshot;
mod speaking;

use serde::{Deserialize, Serialize};
use switchhook_model::{Digit, Timestamp};

use crate::config::{ConversationConfig, OnErrors};
use crate::history::History;
use crate::io::{EndReason, Heard, Input, Output};
use crate::pin::PinCheck;

pub use snapshot::{ConversationSnapshot, SNAPSHOT_VERSION, SnapshotError};

use answering::Answer;
use ear::Ear;
use message::MessageTaking;
use mouth::{Mouth, ReplyClock};

/// What an observer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnState {
    /// Not started, paused, or over.
    Inactive,
    Listening,
    Transcribing,
    Thinking,
    Speaking,
    TakingMessage,
}

/// Who may act.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Before the start: only verbatim texts and messages.
    New,
    Conversing,
    /// A human was asked for; call control decides.
    Handover {
        since: Timestamp,
    },
    /// Call control has taken over.
    Paused,
    TakingMessage(MessageTaking),
    /// The farewell is being heard.
    Ending {
        reason: EndReason,
    },
    /// The end was announced to call control.
    Ended,
    /// Nothing is spoken any more; a message may still wait for its transcripts.
    Stopped {
        message: Option<MessageTaking>,
    },
}

/// One conversation; see the module.
#[derive(Clone)]
pub struct Conversation {
    config: ConversationConfig,
    phrases: crate::intent::Matcher,
    now: Timestamp,
    started_at: Option<Timestamp>,
    mode: Mode,
    ear: Ear,
    mouth: Mouth,
    answer: Option<Answer>,
    history: History,
    /// Since when nobody has anything to do but the caller.
    idle_since: Option<Timestamp>,
    silence_prompts: u32,
    caller_turns: u32,
    errors_in_a_row: u32,
    asked_because_of_errors: bool,
    fillers_spoken: usize,
    /// The model's transfer request that call control has not answered yet.
    open_transfer_call: Option<String>,
    next_request: u32,
    turns: u32,
    /// Who is calling, where that is asked.
    pin: Option<PinCheck>,
    out: Vec<Output>,
}

impl Conversation {
    /// A conversation that has not begun.
    pub fn new(config: ConversationConfig, now: Timestamp) -> Self {
        Self {
            phrases: crate::intent::Matcher::new(&config),
            pin: config
                .pin
                .as_ref()
                .map(|rules| PinCheck::new(config.language, rules.config)),
            config,
            now,
            started_at: None,
            mode: Mode::New,
            ear: Ear::default(),
            mouth: Mouth::default(),
            answer: None,
            history: History::default(),
            idle_since: None,
            silence_prompts: 0,
            caller_turns: 0,
            errors_in_a_row: 0,
            asked_because_of_errors: false,
            fillers_spoken: 0,
            open_transfer_call: None,
            next_request: 1,
            turns: 0,
            out: Vec::new(),
        }
    }

    /// A fact or a request arrived; returns what is to be done, in order. What is late, repeated or
    /// does not fit the state changes nothing.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        match input {
            Input::Start { opening, note } => self.start(opening, note),
            Input::Pause => self.pause(),
            Input::Resume { note } => self.resume(note),
            Input::Stop => self.stop(),
            Input::TakeMessage => self.take_message(message::Origin::CallControl),
            Input::Say {
                id,
                text,
                interruptible,
            } => self.say(id, &text, interruptible),
            Input::SpeechStarted => self.speech_started(),
            Input::SpeechEnded {
                utterance,
                duration_ms,
                silence_ms,
            } => self.speech_ended(utterance, duration_ms, silence_ms),
            Input::Transcript { utterance, text } => self.transcript(utterance, Ok(text)),
            Input::TranscriptFailed { utterance, error } => {
                self.transcript(utterance, Err(error));
            }
            Input::Delta { request, delta } => self.delta(request, delta),
            Input::ToolResult {
                request: _,
                id,
                content,
            } => self.tool_result(&id, &content),
            Input::PlayoutProgress {
                item,
                played_ms,
                total_ms,
            } => self.playout_progress(item, played_ms, total_ms),
            Input::PlayoutFinished { item } => self.playout_finished(item),
            Input::SynthesisFailed { item, error: _ } => self.synthesis_failed(item),
            Input::Digit(digit) => self.digit(digit),
            Input::PinChecked(answer) => self.pin_checked(answer),
            Input::MessageRecorded {
                text,
                duration_ms,
                recorded,
            } => self.message_recorded(&text, duration_ms, recorded),
            Input::Timeout => self.fire_due(),
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    fn start(&mut self, opening: Option<String>, note: Option<String>) {
        match self.mode {
            Mode::New | Mode::Paused | Mode::Handover { .. } | Mode::Ended => {}
            // Started twice: the second greeting would overlap the first.
            Mode::Conversing
            | Mode::TakingMessage(_)
            | Mode::Ending { .. }
            | Mode::Stopped { .. } => return,
        }
        let first = self.started_at.is_none();
        self.started_at.get_or_insert(self.now);
        self.close_transfer(note.as_deref());
        self.mode = Mode::Conversing;
        self.rest();
        if self.ask_for_pin() {
            return;
        }
        let greeting = if first {
            self.config.texts.greeting.clone()
        } else {
            None
        };
        match opening.or(greeting) {
            Some(text) => {
                self.speak_fixed(&text, None);
            }
            None if first => self.think(ReplyClock::none(self.now)),
            None => {}
        }
    }

    fn pause(&mut self) {
        match self.mode {
            Mode::Conversing | Mode::Handover { .. } | Mode::Ending { .. } | Mode::Ended => {}
            Mode::New => {
                self.mode = Mode::Paused;
                return;
            }
            Mode::TakingMessage(_) => {
                self.finish_message();
                return;
            }
            Mode::Paused | Mode::Stopped { .. } => return,
        }
        self.drop_caller();
        self.cancel_answer();
        self.silence_ordered();
        self.mode = Mode::Paused;
    }

    fn resume(&mut self, note: Option<String>) {
        match self.mode {
            Mode::New
            | Mode::Paused
            | Mode::Handover { .. }
            | Mode::Ended
            | Mode::Ending { .. } => {
                self.started_at.get_or_insert(self.now);
                self.close_transfer(note.as_deref());
                self.mode = Mode::Conversing;
                self.rest();
                // Whoever comes back from a human is still nobody we know.
                self.ask_for_pin();
            }
            Mode::Conversing => self.close_transfer(note.as_deref()),
            Mode::TakingMessage(_) | Mode::Stopped { .. } => {}
        }
    }

    /// The caller starts afresh after an interlude.
    fn rest(&mut self) {
        self.idle_since = None;
        self.silence_prompts = 0;
    }

    fn stop(&mut self) {
        let message = match std::mem::replace(&mut self.mode, Mode::Stopped { message: None }) {
            Mode::TakingMessage(message) => Some(message),
            Mode::Stopped { message } => {
                self.mode = Mode::Stopped { message };
                return;
            }
            Mode::New
            | Mode::Conversing
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ending { .. }
            | Mode::Ended => None,
        };
        self.cancel_answer();
        self.silence_all();
        match message {
            Some(message) => {
                self.mode = Mode::Stopped {
                    message: Some(message),
                };
                self.finish_message();
            }
            None => self.drop_caller(),
        }
    }

    /// Answers the model's open transfer request with what came of it, or leaves a note.
    fn close_transfer(&mut self, note: Option<&str>) {
        match (self.open_transfer_call.take(), note) {
            (Some(id), Some(note)) => self.history.add_tool_result(&id, note),
            (Some(id), None) => self
                .history
                .add_tool_result(&id, r#"{"status":"the caller is back with the assistant"}"#),
            (None, Some(note)) => self.history.add_note(note),
            (None, None) => {}
        }
    }

    /// Asks call control for a human. `tool_call` is the model's request, if it was the model's.
    fn ask_for_human(&mut self, wish: HumanWish, tool_call: Option<String>) {
        match self.mode {
            Mode::Conversing | Mode::Ending { .. } => {}
            // Repeated requests: one is open already, or the assistant has no say any more.
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::TakingMessage(_)
            | Mode::Ended
            | Mode::Stopped { .. } => return,
        }
        let request = self.take_request();
        let summary = if wish.summary.is_empty() {
            self.history.caller_summary(400)
        } else {
            wish.summary
        };
        self.out.push(Output::AskForHuman {
            request,
            department: wish.department,
            target: wish.target,
            reason: wish.reason,
            summary,
        });
        self.open_transfer_call = tool_call;
        self.drop_caller();
        self.mode = Mode::Handover { since: self.now };
    }

    fn digit(&mut self, digit: Digit) {
        if self.is_identifying() && matches!(self.mode, Mode::Conversing) {
            return self.pin_key(digit);
        }
        let key = digit.as_char();
        self.silence_prompts = 0;
        if self.idle_since.is_some() {
            self.idle_since = Some(self.now);
        }
        let conversing = match self.mode {
            Mode::Conversing => true,
            Mode::Ending { reason } => reason == EndReason::Goodbye,
            Mode::TakingMessage(_) => {
                if key == '#' {
                    self.finish_message();
                }
                false
            }
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ended
            | Mode::Stopped { .. } => false,
        };
        if conversing && key == '0' && self.config.keypad_human {
            self.cancel_answer();
            self.silence_ordered();
            let wish = HumanWish {
                reason: "the caller pressed 0".to_owned(),
                ..HumanWish::default()
            };
            self.ask_for_human(wish, None);
        }
    }

    /// A provider failed while the caller waited for an answer.
    fn provider_error(&mut self, apology: Option<&str>) {
        self.errors_in_a_row = self.errors_in_a_row.saturating_add(1);
        match self.mode {
            Mode::Conversing => {}
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::TakingMessage(_)
            | Mode::Ending { .. }
            | Mode::Ended
            | Mode::Stopped { .. } => return,
        }
        if self.errors_in_a_row < self.config.bounds.max_errors {
            if let Some(text) = apology {
                self.speak_fixed(text, None);
            }
            return;
        }
        let human = match self.config.bounds.on_errors {
            OnErrors::AskForHuman => !self.asked_because_of_errors,
            OnErrors::Goodbye => false,
        };
        if human {
            self.asked_because_of_errors = true;
            self.errors_in_a_row = 0;
            self.cancel_answer();
            let wish = HumanWish {
                reason: "the assistant has a technical problem".to_owned(),
                ..HumanWish::default()
            };
            self.ask_for_human(wish, None);
        } else {
            let text = self.config.texts.trouble_goodbye.clone();
            self.say_goodbye(EndReason::Errors, Some(text), None);
        }
    }

    /// Speaks the farewell, if there is one left to speak; the end follows when it was heard.
    fn say_goodbye(&mut self, reason: EndReason, text: Option<String>, clock: Option<ReplyClock>) {
        self.cancel_answer();
        if reason != EndReason::Goodbye {
            self.silence_ordered();
            self.drop_caller();
        }
        if let Some(text) = text {
            self.speak_fixed(&text, clock);
        }
        self.mode = Mode::Ending { reason };
    }

    fn take_request(&mut self) -> u32 {
        let request = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        request
    }

    fn say(&mut self, id: crate::io::SayId, text: &str, interruptible: bool) {
        let spoken = crate::sentences::speakable(text);
        match (&self.mode, spoken) {
            (Mode::Stopped { .. }, _) | (_, None) => self.out.push(Output::SayFinished {
                id,
                heard: Heard::None,
            }),
            (
                Mode::New
                | Mode::Conversing
                | Mode::Handover { .. }
                | Mode::Paused
                | Mode::TakingMessage(_)
                | Mode::Ending { .. }
                | Mode::Ended,
                Some(spoken),
            ) => self.speak_verbatim(id, &spoken, interruptible),
        }
    }
}

/// Why and where to a human is wanted.
#[derive(Debug, Clone, Default)]
struct HumanWish {
    department: Option<String>,
    target: Option<String>,
    reason: String,
    summary: String,
}
