//! Random inputs whose ids hit and miss what is open, and the books kept over what comes out.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use switchhook_conversation::{Conversation, Input, Output, SayId};
use switchhook_model::{ChatMessage, ChatRole, Digit, ModelDelta, ToolCall};

use super::START_MS;

/// Where time is after an operation.
pub fn pass_time(op: &Op, now: &mut u64, conversation: &Conversation) {
    match op {
        Op::Wait { ms } => *now += ms,
        Op::Timeout => {
            if let Some(deadline) = conversation.next_deadline() {
                let deadline = u64::try_from(deadline.as_millis() - START_MS).unwrap_or(0);
                *now = (*now).max(deadline);
            }
        }
        _ => *now += 7,
    }
}

/// An input whose ids are small numbers, so that they hit and miss what is open.
#[derive(Debug, Clone)]
pub enum Op {
    Start(bool),
    Pause,
    Resume(bool),
    TakeMessage,
    Say {
        interruptible: bool,
    },
    SpeechStarted,
    SpeechEnded {
        utterance: u32,
        duration_ms: u64,
        silence_ms: u64,
    },
    Transcript {
        utterance: u32,
        text: &'static str,
    },
    TranscriptFailed {
        utterance: u32,
    },
    Text {
        back: u32,
        sentence: bool,
    },
    Tool {
        back: u32,
        name: &'static str,
        arguments: &'static str,
    },
    Done {
        back: u32,
    },
    Failed {
        back: u32,
    },
    ToolResult {
        back: usize,
    },
    Progress {
        back: u32,
        played_ms: u64,
        total_ms: Option<u64>,
    },
    Finished {
        back: u32,
    },
    SynthesisFailed {
        back: u32,
    },
    /// The front item of the queue plays to its end.
    PlayFront,
    Digit(char),
    MessageRecorded {
        text: &'static str,
        recorded: bool,
    },
    Timeout,
    Wait {
        ms: u64,
    },
}

pub fn op() -> impl Strategy<Value = Op> {
    let texts = prop_oneof![
        Just(""),
        Just("[noise]"),
        Just("when are you open"),
        Just("I want a human"),
        Just("goodbye"),
        Just("mhm"),
        Just("one more thing"),
    ];
    let names = prop_oneof![
        Just("request_human_transfer"),
        Just("end_call"),
        Just("take_message"),
        Just("book_appointment"),
        Just("unknown"),
    ];
    let arguments = prop_oneof![
        Just("{}"),
        Just(""),
        Just("{"),
        Just(r#"{"reason":"x","extension":2001}"#),
    ];
    prop_oneof![
        2 => any::<bool>().prop_map(Op::Start),
        1 => Just(Op::Pause),
        2 => any::<bool>().prop_map(Op::Resume),
        1 => Just(Op::TakeMessage),
        2 => any::<bool>().prop_map(|interruptible| Op::Say { interruptible }),
        6 => Just(Op::SpeechStarted),
        6 => (0..6_u32, 0..3_000_u64, 0..900_u64).prop_map(|(utterance, duration_ms, silence_ms)| {
            Op::SpeechEnded { utterance, duration_ms, silence_ms }
        }),
        6 => (0..6_u32, texts).prop_map(|(utterance, text)| Op::Transcript { utterance, text }),
        1 => (0..6_u32).prop_map(|utterance| Op::TranscriptFailed { utterance }),
        8 => (0..2_u32, any::<bool>()).prop_map(|(back, sentence)| Op::Text { back, sentence }),
        3 => (0..2_u32, names, arguments)
            .prop_map(|(back, name, arguments)| Op::Tool { back, name, arguments }),
        4 => (0..2_u32).prop_map(|back| Op::Done { back }),
        1 => (0..2_u32).prop_map(|back| Op::Failed { back }),
        2 => (0..3_usize).prop_map(|back| Op::ToolResult { back }),
        4 => (0..4_u32, 0..5_000_u64, proptest::option::of(0..5_000_u64))
            .prop_map(|(back, played_ms, total_ms)| Op::Progress { back, played_ms, total_ms }),
        3 => (0..4_u32).prop_map(|back| Op::Finished { back }),
        1 => (0..4_u32).prop_map(|back| Op::SynthesisFailed { back }),
        8 => Just(Op::PlayFront),
        2 => prop_oneof![Just('0'), Just('#'), Just('5')].prop_map(Op::Digit),
        1 => (prop_oneof![Just(""), Just("call me")], any::<bool>())
            .prop_map(|(text, recorded)| Op::MessageRecorded { text, recorded }),
        6 => Just(Op::Timeout),
        8 => (0..12_000_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// What the outputs so far say about the world.
#[derive(Default)]
pub struct Books {
    pub queue: Vec<(u32, String)>,
    pub last_item: u32,
    pub last_request: u32,
    pub tools: Vec<(u32, String)>,
    pub asked: BTreeSet<SayId>,
    pub answered: BTreeMap<SayId, u32>,
    pub messages_wanted: u32,
    pub messages_answered: u32,
    pub resumes: u32,
    pub ends: u32,
    pub turns: u32,
    pub stopped: bool,
    pub texts: u32,
    /// Sentences that were reported as heard to the end.
    pub finished: BTreeSet<String>,
}

impl Books {
    pub fn check(&mut self, outputs: &[Output]) {
        for output in outputs {
            if self.stopped {
                assert!(
                    matches!(
                        output,
                        Output::MessageTaken { .. }
                            | Output::MessageAbandoned
                            | Output::SayFinished { .. }
                            | Output::TurnEnded(_)
                            | Output::DropUtterance { .. }
                            | Output::Transcribe { .. }
                            | Output::StopPlayout
                            | Output::CancelThink { .. }
                            | Output::EndUtterance
                    ),
                    "after the stop: {output:?}"
                );
            }
            match output {
                Output::Speak { item, text } => {
                    assert!(*item > self.last_item, "item numbers grow");
                    self.last_item = *item;
                    // Numbered sentences are unique: twice in the queue is an overlap.
                    let twice = self
                        .queue
                        .iter()
                        .any(|(_, t)| t == text && text.contains("unique"));
                    assert!(!twice, "{text:?} is spoken twice");
                    assert!(
                        !self.finished.contains(text),
                        "{text:?} is spoken again after it was heard"
                    );
                    self.queue.push((*item, text.clone()));
                }
                Output::Beep { item } => {
                    assert!(*item > self.last_item, "item numbers grow");
                    self.last_item = *item;
                    self.queue.push((*item, String::new()));
                }
                Output::StopPlayout => self.queue.clear(),
                Output::Think {
                    request, messages, ..
                } => {
                    assert!(*request > self.last_request, "request numbers grow");
                    self.last_request = *request;
                    check_history(messages);
                }
                Output::CallTool { request, id, .. } => {
                    let twice = self.tools.iter().any(|(_, other)| other == id);
                    assert!(!twice, "tool call {id} is carried out twice");
                    self.tools.push((*request, id.clone()));
                }
                Output::AskForHuman { request, .. } => {
                    assert!(*request > self.last_request, "request numbers grow");
                    self.last_request = *request;
                }
                Output::SayFinished { id, .. } => {
                    assert!(self.asked.contains(id), "nobody asked for {id:?}");
                    let n = self.answered.entry(*id).or_default();
                    *n += 1;
                    assert_eq!(*n, 1, "{id:?} is answered twice");
                }
                Output::MessageTaken { text, recorded, .. } => {
                    assert!(*recorded || !text.is_empty());
                    self.messages_answered += 1;
                }
                Output::MessageAbandoned => self.messages_answered += 1,
                Output::EndCall { .. } => {
                    self.ends += 1;
                    assert!(self.ends <= self.resumes + 1, "ended twice");
                }
                Output::TurnEnded(turn) => {
                    self.turns += 1;
                    assert_eq!(turn.n, self.turns);
                    assert!(turn.ended_at >= turn.started_at && !turn.text.is_empty());
                    if let Some(l) = turn.latency {
                        let parts = l.endpoint_ms
                            + l.transcribe_ms
                            + l.think_ms
                            + l.tool_ms
                            + l.synthesize_ms
                            + l.ours_ms;
                        assert_eq!(parts, l.first_audio_ms, "{l:?}");
                    }
                }
                Output::Transcribe { .. }
                | Output::DropUtterance { .. }
                | Output::EndUtterance
                | Output::CheckPin { .. }
                | Output::CancelThink { .. } => {}
            }
        }
    }
}

/// What every chat server insists on.
pub fn check_history(messages: &[ChatMessage]) {
    assert_eq!(messages[0].role, ChatRole::System);
    let mut ids = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate().skip(1) {
        match message.role {
            ChatRole::System => panic!("a second system message"),
            ChatRole::Tool => {
                let id = message
                    .tool_call_id
                    .clone()
                    .expect("a tool message names its call");
                assert_eq!(open.first(), Some(&id), "results in the order of the calls");
                open.remove(0);
            }
            ChatRole::User | ChatRole::Assistant => {
                assert!(
                    open.is_empty(),
                    "a call without its result before message {i}"
                );
                assert!(!message.content.is_empty() || !message.tool_calls.is_empty());
                if message.role == ChatRole::User {
                    assert_ne!(
                        messages[i - 1].role,
                        ChatRole::User,
                        "two user messages in a row"
                    );
                }
            }
        }
        for call in &message.tool_calls {
            assert!(ids.insert(call.id.clone()), "a repeated call id");
            open.push(call.id.clone());
        }
    }
    assert!(open.is_empty(), "a call without its result");
}

pub fn input(op: &Op, books: &mut Books) -> Option<Input> {
    let item = |back: u32| books.last_item.saturating_sub(back);
    Some(match op {
        Op::Start(opening) => {
            books.resumes += 1;
            Input::Start {
                opening: opening.then(|| "Back again.".to_owned()),
                note: None,
            }
        }
        Op::Pause => Input::Pause,
        Op::Resume(note) => {
            books.resumes += 1;
            Input::Resume {
                note: note.then(|| "nobody answered".to_owned()),
            }
        }
        Op::TakeMessage => {
            books.messages_wanted += 1;
            Input::TakeMessage
        }
        Op::Say { interruptible } => {
            let id = SayId(u32::try_from(books.asked.len()).expect("few"));
            books.asked.insert(id);
            Input::Say {
                id,
                text: format!("Verbatim unique {}.", id.0),
                interruptible: *interruptible,
            }
        }
        Op::SpeechStarted => Input::SpeechStarted,
        Op::SpeechEnded {
            utterance,
            duration_ms,
            silence_ms,
        } => Input::SpeechEnded {
            utterance: *utterance,
            duration_ms: *duration_ms,
            silence_ms: *silence_ms,
        },
        Op::Transcript { utterance, text } => Input::Transcript {
            utterance: *utterance,
            text: (*text).to_owned(),
        },
        Op::TranscriptFailed { utterance } => Input::TranscriptFailed {
            utterance: *utterance,
            error: "503".into(),
        },
        Op::Text { back, sentence } => {
            books.texts += 1;
            let end = if *sentence { ". " } else { " " };
            Input::Delta {
                request: books.last_request.saturating_sub(*back),
                delta: ModelDelta::Text(format!("A unique sentence {}{end}", books.texts)),
            }
        }
        Op::Tool {
            back,
            name,
            arguments,
        } => Input::Delta {
            request: books.last_request.saturating_sub(*back),
            delta: ModelDelta::ToolCall(ToolCall {
                id: "call".into(),
                name: (*name).to_owned(),
                arguments: (*arguments).to_owned(),
            }),
        },
        Op::Done { back } => Input::Delta {
            request: books.last_request.saturating_sub(*back),
            delta: ModelDelta::Done,
        },
        Op::Failed { back } => Input::Delta {
            request: books.last_request.saturating_sub(*back),
            delta: ModelDelta::Failed("503".into()),
        },
        Op::ToolResult { back } => {
            let at = books.tools.len().checked_sub(back + 1)?;
            let (request, id) = books.tools[at].clone();
            Input::ToolResult {
                request,
                id,
                content: r#"{"status":"booked"}"#.into(),
            }
        }
        Op::Progress {
            back,
            played_ms,
            total_ms,
        } => Input::PlayoutProgress {
            item: item(*back),
            played_ms: *played_ms,
            total_ms: *total_ms,
        },
        Op::Finished { back } => {
            let item = item(*back);
            let text = books.queue.iter().find(|(queued, _)| *queued == item);
            if let Some((_, text)) = text.filter(|(_, text)| text.contains("unique")) {
                books.finished.insert(text.clone());
            }
            Input::PlayoutFinished { item }
        }
        Op::SynthesisFailed { back } => Input::SynthesisFailed {
            item: item(*back),
            error: "no voice".into(),
        },
        Op::PlayFront => {
            if books.queue.is_empty() {
                return None;
            }
            let (item, text) = books.queue.remove(0);
            if text.contains("unique") {
                books.finished.insert(text);
            }
            Input::PlayoutFinished { item }
        }
        Op::Digit(key) => Input::Digit(Digit::try_from(*key).expect("a key")),
        Op::MessageRecorded { text, recorded } => Input::MessageRecorded {
            text: (*text).to_owned(),
            duration_ms: 2_000,
            recorded: *recorded,
        },
        Op::Timeout | Op::Wait { .. } => Input::Timeout,
    })
}
