//! Taking a message: a beep, then whatever the caller says until they are done.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;

use super::ear::{Recognition, Run};
use super::listening::tidy;
use super::{Conversation, Mode};
use crate::io::{Output, Speaker, Turn};

/// How long the end of a running utterance is waited for once the message is over.
const END_GRACE: Duration = Duration::from_millis(1_000);
/// Noise without words that is shorter than this is no message.
const MIN_WORDLESS_MS: u64 = 1_000;

/// Who wants the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    CallControl,
    /// The model, with this tool call.
    Tool {
        call: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MessageTaking {
    origin: Origin,
    stage: Stage,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// The prompt and the beep are being heard.
    Beeping { item: u32 },
    Collecting {
        since: Timestamp,
        voice: Option<Voice>,
    },
    /// Complete, but for transcripts that are still to come.
    Finishing {
        voice: Option<Voice>,
        since: Timestamp,
        deadline: Timestamp,
    },
}

/// From the first to the last voice heard.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Voice {
    began_at: Timestamp,
    ended_at: Timestamp,
    ms: u64,
}

impl MessageTaking {
    /// Whether an utterance with voice up to `voice_ended_at` belongs to the message.
    pub(super) fn wants(&self, voice_ended_at: Timestamp) -> bool {
        match &self.stage {
            Stage::Beeping { .. } => false,
            Stage::Collecting { since, .. } | Stage::Finishing { since, .. } => {
                voice_ended_at > *since
            }
        }
    }

    pub(super) fn origin_is_tool(&self) -> bool {
        matches!(self.origin, Origin::Tool { .. })
    }
}

impl Conversation {
    /// The message being taken, also after the caller has gone.
    pub(super) fn message(&self) -> Option<&MessageTaking> {
        match &self.mode {
            Mode::TakingMessage(message)
            | Mode::Stopped {
                message: Some(message),
            } => Some(message),
            Mode::New
            | Mode::Conversing
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ending { .. }
            | Mode::Ended
            | Mode::Stopped { message: None } => None,
        }
    }

    fn message_mut(&mut self) -> Option<&mut MessageTaking> {
        match &mut self.mode {
            Mode::TakingMessage(message)
            | Mode::Stopped {
                message: Some(message),
            } => Some(message),
            Mode::New
            | Mode::Conversing
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ending { .. }
            | Mode::Ended
            | Mode::Stopped { message: None } => None,
        }
    }

    fn message_is_finishing(&self) -> bool {
        self.message()
            .is_some_and(|message| matches!(message.stage, Stage::Finishing { .. }))
    }

    pub(super) fn take_message(&mut self, origin: Origin) {
        match &mut self.mode {
            // One is being taken: it answers call control's request as well.
            Mode::TakingMessage(message) => {
                if origin == Origin::CallControl {
                    message.origin = origin;
                }
                return;
            }
            Mode::Stopped { .. } => {
                self.out.push(Output::MessageAbandoned);
                return;
            }
            Mode::New
            | Mode::Conversing
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ending { .. }
            | Mode::Ended => {}
        }
        self.drop_caller();
        self.cancel_answer();
        if origin == Origin::CallControl {
            self.silence_ordered();
        }
        let item = self.beep();
        self.mode = Mode::TakingMessage(MessageTaking {
            origin,
            stage: Stage::Beeping { item },
        });
    }

    /// The beep was queued again under another number.
    pub(super) fn message_item_renamed(&mut self, old: u32, new: u32) {
        if let Mode::TakingMessage(message) = &mut self.mode
            && let Stage::Beeping { item } = &mut message.stage
            && *item == old
        {
            *item = new;
        }
    }

    /// An item is over: if it was the beep, the caller's message begins.
    pub(super) fn message_item_over(&mut self, over: u32) {
        let now = self.now;
        if let Mode::TakingMessage(message) = &mut self.mode
            && let Stage::Beeping { item } = message.stage
            && item == over
        {
            message.stage = Stage::Collecting {
                since: now,
                voice: None,
            };
            // Speech that began under the prompt counts if it goes on.
            if let Some(run) = &mut self.ear.run {
                *run = Run {
                    ignored: false,
                    ..*run
                };
            }
        }
    }

    pub(super) fn message_speech_ended(&mut self, began_at: Timestamp, ended_at: Timestamp) {
        let Some(message) = self.message_mut() else {
            return;
        };
        match &mut message.stage {
            Stage::Beeping { .. } => {}
            Stage::Collecting { since, voice } | Stage::Finishing { since, voice, .. } => {
                let began_at = began_at.max(*since);
                let ms = ended_at.millis_since(began_at);
                let so_far = voice.get_or_insert(Voice {
                    began_at,
                    ended_at,
                    ms: 0,
                });
                so_far.ended_at = so_far.ended_at.max(ended_at);
                so_far.ms += ms;
            }
        }
    }

    /// A transcript came, or will not come: perhaps it was the last one waited for.
    pub(super) fn message_transcribed(&mut self) {
        if self.message_is_finishing() && !self.ear.is_busy() {
            self.deliver_message();
        }
    }

    /// The message is over: `#`, silence, the maximum, or call control.
    pub(super) fn finish_message(&mut self) {
        let now = self.now;
        let speaking = self.ear.is_speaking();
        let mut wait = Duration::from_millis(self.config.timing.transcribe_timeout_ms);
        if speaking {
            wait += END_GRACE;
        }
        let Some(message) = self.message_mut() else {
            return;
        };
        let (since, voice) = match &message.stage {
            Stage::Beeping { .. } => (now, None),
            Stage::Collecting { since, voice } => (*since, *voice),
            Stage::Finishing { .. } => return,
        };
        message.stage = Stage::Finishing {
            since,
            voice,
            deadline: now + wait,
        };
        if speaking {
            self.out.push(Output::EndUtterance);
        }
        self.message_transcribed();
    }

    /// When the message must be looked at again.
    pub(super) fn message_deadline(&self) -> Option<Timestamp> {
        let message = self.message()?;
        let limits = &self.config.message;
        match &message.stage {
            Stage::Beeping { .. } => None,
            Stage::Collecting { since, voice } => {
                let longest = *since + Duration::from_millis(limits.max_ms);
                if self.ear.is_speaking() {
                    return Some(longest);
                }
                let quiet = match voice {
                    Some(voice) => voice.ended_at + Duration::from_millis(limits.end_silence_ms),
                    None => *since + Duration::from_millis(limits.no_speech_ms),
                };
                Some(quiet.min(longest))
            }
            Stage::Finishing { deadline, .. } => Some(*deadline),
        }
    }

    /// The deadline has come.
    pub(super) fn message_due(&mut self) {
        if self.message_is_finishing() {
            self.deliver_message();
        } else {
            self.finish_message();
        }
    }

    /// The channel recorded the message by itself.
    pub(super) fn message_recorded(&mut self, text: &str, duration_ms: u64, recorded: bool) {
        let Some(message) = self.message().cloned() else {
            return;
        };
        for utterance in std::mem::take(&mut self.ear.utterances) {
            self.out.push(Output::DropUtterance {
                utterance: utterance.id,
            });
        }
        let text = tidy(text);
        let voice = (recorded || !text.is_empty()).then(|| Voice {
            began_at: self.now - Duration::from_millis(duration_ms),
            ended_at: self.now,
            ms: duration_ms,
        });
        self.message_complete(message, voice, text, recorded);
    }

    /// Reports the message with what is known of it, and goes on.
    fn deliver_message(&mut self) {
        let Some(message) = self.message().cloned() else {
            return;
        };
        let (mut voice, since) = match message.stage {
            Stage::Beeping { .. } => (None, self.now),
            Stage::Collecting { voice, since } | Stage::Finishing { voice, since, .. } => {
                (voice, since)
            }
        };
        // Speech whose end was never reported is on the recording all the same.
        if let Some(run) = self.ear.run.take().filter(|run| !run.ignored) {
            let began_at = run.since.max(since);
            let ms = self.now.millis_since(began_at);
            let so_far = voice.get_or_insert(Voice {
                began_at,
                ended_at: self.now,
                ms: 0,
            });
            so_far.ended_at = self.now;
            so_far.ms += ms;
            self.ear.run = Some(Run {
                ignored: true,
                ..run
            });
        }
        let utterances = std::mem::take(&mut self.ear.utterances);
        let mut texts = Vec::new();
        let mut unsure = false;
        for utterance in &utterances {
            match &utterance.recognition {
                Recognition::Words(text) => texts.push(text.clone()),
                Recognition::Noise => {}
                Recognition::Failed => unsure = true,
                Recognition::Waiting => {
                    unsure = true;
                    self.out.push(Output::DropUtterance {
                        utterance: utterance.id,
                    });
                }
            }
        }
        let text = texts.join(" ");
        let voice = voice.filter(|v| {
            !text.is_empty() || unsure || utterances.is_empty() || v.ms >= MIN_WORDLESS_MS
        });
        self.message_complete(message, voice, text, true);
    }

    /// The message is what it is: tells whoever wanted it. Without a `voice` there is none.
    fn message_complete(
        &mut self,
        message: MessageTaking,
        voice: Option<Voice>,
        text: String,
        recorded: bool,
    ) {
        let stopped = matches!(self.mode, Mode::Stopped { .. });
        self.mode = match (&message.origin, stopped) {
            (_, true) => Mode::Stopped { message: None },
            (Origin::CallControl, false) => Mode::Paused,
            (Origin::Tool { .. }, false) => Mode::Conversing,
        };
        let result = match voice {
            Some(voice) => {
                if !text.is_empty() {
                    if !message.origin_is_tool() {
                        let note = format!("The caller left a message: {text}");
                        self.history.add_note(&note);
                    }
                    self.emit_turn(Turn::of(
                        Speaker::Caller,
                        text.clone(),
                        voice.began_at,
                        voice.ended_at,
                    ));
                }
                self.out.push(Output::MessageTaken {
                    text: text.clone(),
                    duration_ms: voice.ended_at.millis_since(voice.began_at),
                    recorded,
                });
                serde_json::json!({ "status": "recorded", "text": text })
            }
            None => {
                if !message.origin_is_tool() {
                    self.out.push(Output::MessageAbandoned);
                }
                serde_json::json!({ "status": "no_message" })
            }
        };
        if let (Origin::Tool { call }, false) = (&message.origin, stopped) {
            self.history.add_tool_result(call, &result.to_string());
            self.rest();
            self.think(super::mouth::ReplyClock::none(self.now));
        }
    }
}
