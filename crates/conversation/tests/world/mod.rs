//! A gateway, a caller and providers on virtual time, around one conversation.
#![allow(dead_code)]

pub mod ops;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use switchhook_conversation::scripted::ScriptedBrain;
use switchhook_conversation::{Conversation, ConversationConfig, Input, LocalZone, Output, SayId};
use switchhook_model::{ChatMessage, ChatRole, Digit, Language, ModelDelta, Timestamp, ToolCall};

/// Friday, 20 November 2026, 10:00 in Berlin.
pub const START_MS: i64 = 1_795_165_200_000;
const SYNTHESIS_MS: u64 = 100;
const TRANSCRIPTION_MS: u64 = 300;
const MS_PER_CHAR: u64 = 60;
const PROGRESS_MS: u64 = 100;
const ENDPOINT_MS: u64 = 700;

/// What a model does when it is asked: pieces, each so many ms after the one before.
pub type Reply = Vec<(u64, ModelDelta)>;

pub fn says(text: &str) -> Reply {
    vec![
        (200, ModelDelta::Text(text.to_owned())),
        (10, ModelDelta::Done),
    ]
}

pub fn calls(name: &str, arguments: &str) -> Reply {
    vec![
        (
            200,
            ModelDelta::ToolCall(ToolCall {
                id: "call_1".into(),
                name: name.into(),
                arguments: arguments.into(),
            }),
        ),
        (10, ModelDelta::Done),
    ]
}

#[derive(Debug)]
struct Playing {
    item: u32,
    total_ms: u64,
    asked_at: u64,
    started_at: Option<u64>,
}

pub struct World {
    pub config: ConversationConfig,
    pub conversation: Conversation,
    pub now_ms: u64,
    log: String,
    events: BTreeMap<(u64, u64), Input>,
    sequence: u64,
    player: VecDeque<Playing>,
    free_at: u64,
    replies: VecDeque<Reply>,
    transcripts: BTreeMap<u32, Result<String, String>>,
    tool_results: VecDeque<(u64, String)>,
    utterances: u32,
    /// Texts of items, by number.
    pub spoken: BTreeMap<u32, String>,
    pub outputs: Vec<(u64, Output)>,
    /// The messages of each think, without the system message.
    pub histories: Vec<Vec<ChatMessage>>,
    pub show_progress: bool,
    /// Thinks instead of the prepared replies.
    pub brain: Option<ScriptedBrain>,
}

impl World {
    pub fn new(change: impl FnOnce(&mut ConversationConfig)) -> Self {
        let zone: LocalZone = "Europe/Berlin".parse().expect("a zone");
        let mut config = ConversationConfig::new(Language::En, zone);
        config.texts.greeting = Some("Hello, how can I help you?".into());
        change(&mut config);
        Self {
            conversation: Conversation::new(config.clone(), at(0)),
            config,
            now_ms: 0,
            log: String::new(),
            events: BTreeMap::new(),
            sequence: 0,
            player: VecDeque::new(),
            free_at: 0,
            replies: VecDeque::new(),
            transcripts: BTreeMap::new(),
            tool_results: VecDeque::new(),
            utterances: 0,
            spoken: BTreeMap::new(),
            outputs: Vec::new(),
            histories: Vec::new(),
            show_progress: false,
            brain: None,
        }
    }

    /// Greeting heard, nothing said yet.
    pub fn greeted(change: impl FnOnce(&mut ConversationConfig)) -> Self {
        let mut world = Self::new(change);
        world.start();
        world.run_until_quiet();
        world
    }

    pub fn start(&mut self) {
        self.input(Input::Start {
            opening: None,
            note: None,
        });
    }

    pub fn reply(&mut self, reply: Reply) -> &mut Self {
        self.replies.push_back(reply);
        self
    }

    pub fn tool_answers(&mut self, after_ms: u64, content: &str) -> &mut Self {
        self.tool_results.push_back((after_ms, content.to_owned()));
        self
    }

    /// The caller speaks from now on for `voice_ms`; the recogniser will write `text`.
    pub fn caller_says(&mut self, text: &str, voice_ms: u64) -> u32 {
        self.caller_speaks(Ok(text.to_owned()), voice_ms)
    }

    pub fn caller_speaks(&mut self, result: Result<String, String>, voice_ms: u64) -> u32 {
        self.utterances += 1;
        let utterance = self.utterances;
        self.transcripts.insert(utterance, result);
        let begin = if self.conversation.is_speaking() {
            200
        } else {
            60
        };
        self.at(self.now_ms + begin, Input::SpeechStarted);
        self.at(
            self.now_ms + voice_ms + ENDPOINT_MS,
            Input::SpeechEnded {
                utterance,
                duration_ms: voice_ms,
                silence_ms: ENDPOINT_MS,
            },
        );
        utterance
    }

    pub fn say(&mut self, id: u32, text: &str, interruptible: bool) {
        self.input(Input::Say {
            id: SayId(id),
            text: text.into(),
            interruptible,
        });
    }

    pub fn press(&mut self, key: char) {
        self.input(Input::Digit(Digit::try_from(key).expect("a key")));
    }

    pub fn at(&mut self, ms: u64, input: Input) {
        self.sequence += 1;
        self.events.insert((ms, self.sequence), input);
    }

    /// The gateway lost everything that was under way.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }

    /// The process dies, with everything that was under way, and another one goes on `after_ms`
    /// later from what was stored.
    pub fn crash(&mut self, after_ms: u64) {
        let stored = serde_json::to_string(&self.conversation.snapshot()).expect("serialises");
        self.forget_events();
        self.player.clear();
        self.now_ms += after_ms;
        self.free_at = self.now_ms;
        writeln!(
            self.log,
            "{:>8.3}  → (another process)",
            self.now_ms as f64 / 1000.0
        )
        .expect("writes");
        let snapshot = serde_json::from_str(&stored).expect("reads");
        self.conversation = Conversation::restore(self.config.clone(), snapshot).expect("is sound");
        let outputs = self.conversation.audio_lost(at(self.now_ms));
        self.take(outputs);
        let outputs = self.conversation.reconsider(at(self.now_ms));
        self.take(outputs);
    }

    /// Feeds an input now.
    pub fn input(&mut self, input: Input) {
        let shown = describe_input(&input);
        if let Some(shown) = shown.filter(|_| self.show_progress || !is_progress(&input)) {
            writeln!(self.log, "{:>8.3}  → {shown}", self.now_ms as f64 / 1000.0).expect("writes");
        }
        let outputs = self.conversation.handle(at(self.now_ms), input);
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            writeln!(
                self.log,
                "{:>8.3}      {}",
                self.now_ms as f64 / 1000.0,
                describe_output(&output)
            )
            .expect("writes");
            self.outputs.push((self.now_ms, output.clone()));
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Speak { item, text } => {
                let total_ms = text.chars().count() as u64 * MS_PER_CHAR;
                self.spoken.insert(item, text);
                self.enqueue(item, total_ms);
            }
            Output::Beep { item } => self.enqueue(item, 500),
            Output::StopPlayout => {
                let now = self.now_ms;
                let cut = self.player.front().map(|p| Input::PlayoutProgress {
                    item: p.item,
                    played_ms: p.started_at.map_or(0, |s| now.saturating_sub(s)),
                    total_ms: Some(p.total_ms),
                });
                self.player.clear();
                self.free_at = now;
                let stale: Vec<_> = self
                    .events
                    .iter()
                    .filter(|(_, e)| {
                        matches!(
                            e,
                            Input::PlayoutProgress { .. } | Input::PlayoutFinished { .. }
                        )
                    })
                    .map(|(k, _)| *k)
                    .collect();
                for key in stale {
                    self.events.remove(&key);
                }
                if let Some(cut) = cut {
                    self.at(now + 20, cut);
                }
            }
            Output::Transcribe { utterance } => {
                let at = self.now_ms + TRANSCRIPTION_MS;
                match self.transcripts.remove(&utterance) {
                    Some(Ok(text)) => self.at(at, Input::Transcript { utterance, text }),
                    Some(Err(error)) => {
                        self.at(at, Input::TranscriptFailed { utterance, error });
                    }
                    None => {}
                }
            }
            Output::Think {
                request,
                messages,
                tools,
            } => {
                if let Some(brain) = &self.brain {
                    let deltas = brain.respond(&messages, &tools, at(self.now_ms));
                    self.replies
                        .push_back(deltas.into_iter().map(|d| (20, d)).collect());
                }
                self.histories.push(
                    messages
                        .into_iter()
                        .filter(|m| m.role != ChatRole::System)
                        .collect(),
                );
                let mut at = self.now_ms;
                for (after, delta) in self.replies.pop_front().unwrap_or_default() {
                    at += after;
                    self.at(at, Input::Delta { request, delta });
                }
            }
            Output::CallTool { request, id, .. } => {
                if let Some((after, content)) = self.tool_results.pop_front() {
                    self.at(
                        self.now_ms + after,
                        Input::ToolResult {
                            request,
                            id,
                            content,
                        },
                    );
                }
            }
            Output::DropUtterance { .. }
            | Output::EndUtterance
            | Output::CancelThink { .. }
            | Output::AskForHuman { .. }
            | Output::CheckPin { .. }
            | Output::EndCall { .. }
            | Output::MessageTaken { .. }
            | Output::MessageAbandoned
            | Output::SayFinished { .. }
            | Output::TurnEnded(_) => {}
        }
    }

    fn enqueue(&mut self, item: u32, total_ms: u64) {
        let ready = self.now_ms + SYNTHESIS_MS;
        let start = ready.max(self.free_at);
        self.free_at = start + total_ms;
        self.player.push_back(Playing {
            item,
            total_ms,
            asked_at: self.now_ms,
            started_at: Some(start),
        });
        let mut played = PROGRESS_MS;
        while played < total_ms {
            self.at(
                start + played,
                Input::PlayoutProgress {
                    item,
                    played_ms: played,
                    total_ms: Some(total_ms),
                },
            );
            played += PROGRESS_MS;
        }
        self.at(start + total_ms, Input::PlayoutFinished { item });
    }

    /// Lets everything happen up to this time.
    pub fn run_until_ms(&mut self, end: u64) {
        loop {
            let event = self
                .events
                .keys()
                .next()
                .copied()
                .filter(|(t, _)| *t <= end);
            let deadline = self
                .conversation
                .next_deadline()
                .map(|t| u64::try_from(t.as_millis() - START_MS).expect("after the start"))
                .filter(|t| *t <= end);
            match (event, deadline) {
                (Some(key), deadline) if deadline.is_none_or(|d| key.0 <= d) => {
                    let input = self.events.remove(&key).expect("it is there");
                    self.now_ms = self.now_ms.max(key.0);
                    if let Input::PlayoutFinished { item } = input {
                        self.player.retain(|p| p.item != item);
                    }
                    self.input(input);
                }
                (_, Some(deadline)) => {
                    // What was put off while the caller seemed to speak may be overdue.
                    self.now_ms = self.now_ms.max(deadline);
                    self.input(Input::Timeout);
                    let next = self.conversation.next_deadline();
                    assert!(
                        next.is_none_or(|t| t > at(self.now_ms)),
                        "the deadline did not move on: {next:?}"
                    );
                }
                (_, None) => {
                    self.now_ms = end;
                    return;
                }
            }
        }
    }

    pub fn run_ms(&mut self, ms: u64) {
        self.run_until_ms(self.now_ms + ms);
    }

    /// Lets everything happen that is under way; stops before the next silence prompt.
    pub fn run_until_quiet(&mut self) {
        while let Some((next, _)) = self.events.keys().next().copied() {
            self.run_until_ms(next);
        }
    }

    /// What happened so far, and forgets it.
    pub fn ladder(&mut self) -> String {
        std::mem::take(&mut self.log)
    }

    pub fn last_history(&self) -> String {
        self.histories
            .last()
            .map(|messages| {
                messages
                    .iter()
                    .map(|m| {
                        let role = format!("{:?}", m.role).to_lowercase();
                        let tools: String = m
                            .tool_calls
                            .iter()
                            .map(|c| format!(" [{}]", c.name))
                            .collect();
                        format!("{role}: {}{tools}\n", m.content)
                    })
                    .collect()
            })
            .unwrap_or_default()
    }

    pub fn find<T>(&self, pick: impl Fn(&Output) -> Option<T>) -> Vec<T> {
        self.outputs.iter().filter_map(|(_, o)| pick(o)).collect()
    }
}

pub fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(START_MS + i64::try_from(ms).expect("small"))
}

pub fn is_progress(input: &Input) -> bool {
    matches!(
        input,
        Input::PlayoutProgress { .. } | Input::Timeout | Input::Delta { .. }
    )
}

pub fn describe_input(input: &Input) -> Option<String> {
    Some(match input {
        Input::Digit(d) => format!("Digit {}", d.as_char()),
        Input::Say { id, text, .. } => format!("Say {} {text:?}", id.0),
        Input::Transcript { utterance, text } => format!("Transcript {utterance} {text:?}"),
        Input::Start { opening, note } => format!("Start {opening:?} {note:?}"),
        Input::Resume { note } => format!("Resume {note:?}"),
        Input::MessageRecorded {
            text,
            duration_ms,
            recorded,
        } => format!("MessageRecorded {text:?} {duration_ms} ms, recorded {recorded}"),
        Input::ToolResult { id, content, .. } => format!("ToolResult {id} {content}"),
        other => format!("{other:?}"),
    })
}

pub fn describe_output(output: &Output) -> String {
    match output {
        Output::Think {
            request,
            messages,
            tools,
        } => format!(
            "Think {request} ({} messages, {} tools)",
            messages.len(),
            tools.len()
        ),
        Output::Speak { item, text } => format!("Speak {item} {text:?}"),
        Output::AskForHuman {
            request,
            department,
            target,
            reason,
            summary,
        } => {
            format!("AskForHuman {request} {department:?} {target:?} {reason:?} {summary:?}")
        }
        Output::CallTool {
            id,
            name,
            arguments,
            ..
        } => format!("CallTool {id} {name} {arguments}"),
        Output::MessageTaken {
            text,
            duration_ms,
            recorded,
        } => {
            format!("MessageTaken {text:?} {duration_ms} ms, recorded {recorded}")
        }
        Output::TurnEnded(t) => {
            let latency = t.latency.map_or(String::new(), |l| {
                let filler = l.filler_ms.map_or(String::new(), |f| format!(" filler {f}"));
                format!(
                    "  [endpoint {} transcribe {} think {} tool {} synthesize {} ours {} = {}{filler}]",
                    l.endpoint_ms,
                    l.transcribe_ms,
                    l.think_ms,
                    l.tool_ms,
                    l.synthesize_ms,
                    l.ours_ms,
                    l.first_audio_ms
                )
            });
            format!(
                "Turn {} {:?}{} {:?}{latency}",
                t.n,
                t.speaker,
                if t.interrupted { " (interrupted)" } else { "" },
                t.text
            )
        }
        other => format!("{other:?}"),
    }
}
