//! A carrier that speaks documents and listens when told to, a caller, and providers, on virtual
//! time. Between two requests the gateway keeps nothing but text.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use switchhook_conversation::{
    Conversation, ConversationConfig, Documents, Input, LocalZone, Output, Returned, SayId, Spoken,
    Then,
};
use switchhook_model::{ChatMessage, ChatRole, Language, Timestamp};

use crate::world::{Reply, at, describe_input, describe_output, is_progress};

/// Until the first word of a document is audible.
const FETCH_MS: u64 = 250;
/// From the caller's last word to the request.
const ENDPOINT_MS: u64 = 900;
/// How long a request may take to be answered.
const BUDGET_MS: u64 = 2_500;

/// What the caller does with one document that listens or records.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Speaks `after_ms` from the end of the last word on, taking `voice_ms`.
    Says(&'static str, u64, u64),
    /// Speaks over the words, `at_ms` from the first one on.
    SaysOver(&'static str, u64, u64),
    Presses(&'static str, u64),
    PressesOver(&'static str, u64),
    StaysSilent,
    HangsUp(u64),
    LeavesMessage(&'static str, u64),
    LeavesNone,
}

pub struct Carrier {
    pub config: ConversationConfig,
    pub conversation: Conversation,
    pub documents: Documents,
    pub now_ms: u64,
    pub ms_per_char: u64,
    log: String,
    events: BTreeMap<(u64, u64), Input>,
    sequence: u64,
    replies: VecDeque<Reply>,
    tool_results: VecDeque<(u64, String)>,
    pub outputs: Vec<Output>,
    /// The messages of each think, without the system message.
    pub histories: Vec<Vec<ChatMessage>>,
    /// The document the carrier has.
    pub document: Option<Spoken>,
    /// The words that were audible, whole items only.
    pub audible: Vec<String>,
    pub requests: u32,
}

impl Carrier {
    pub fn new(change: impl FnOnce(&mut ConversationConfig)) -> Self {
        let zone: LocalZone = "Europe/Berlin".parse().expect("a zone");
        let mut config = ConversationConfig::new(Language::En, zone);
        config.texts.greeting = Some("Hello, how can I help you?".into());
        config.timing = Documents::timing(config.timing);
        change(&mut config);
        Self {
            conversation: Conversation::new(config.clone(), at(0)),
            documents: Documents::new(config.language),
            config,
            now_ms: 0,
            ms_per_char: 62,
            log: String::new(),
            events: BTreeMap::new(),
            sequence: 0,
            replies: VecDeque::new(),
            tool_results: VecDeque::new(),
            outputs: Vec::new(),
            histories: Vec::new(),
            document: None,
            audible: Vec::new(),
            requests: 0,
        }
    }

    /// The call arrives and is answered with the first document.
    pub fn answered(change: impl FnOnce(&mut ConversationConfig)) -> Self {
        let mut carrier = Self::new(change);
        carrier.input(Input::Start {
            opening: None,
            note: None,
        });
        carrier.answer();
        carrier
    }

    pub fn reply(&mut self, reply: Reply) -> &mut Self {
        self.replies.push_back(reply);
        self
    }

    pub fn tool_answers(&mut self, after_ms: u64, content: &str) -> &mut Self {
        self.tool_results.push_back((after_ms, content.to_owned()));
        self
    }

    /// Call control says something, in the next document.
    pub fn say(&mut self, id: u32, text: &str, interruptible: bool) {
        self.input(Input::Say {
            id: SayId(id),
            text: text.into(),
            interruptible,
        });
    }

    /// The carrier executes the document it has, the caller acts where it listens, and the request
    /// that follows is answered. Documents that only come back are executed on the way.
    pub fn caller(&mut self, act: Act) {
        loop {
            let document = self.document.take().expect("the carrier has a document");
            let first = self.now_ms + FETCH_MS;
            let mut ends = Vec::new();
            let mut end = first;
            for (_, text) in &document.items {
                end += text.chars().count() as u64 * self.ms_per_char;
                ends.push((end, text.clone()));
            }
            let free = document
                .listen_from
                .checked_sub(1)
                .map_or(first, |last| ends[last].0);
            let (now, stopped, returned) = match (document.then, act) {
                (_, Act::HangsUp(at_ms)) => {
                    let now = first + at_ms;
                    (now, now, Returned::HungUp)
                }
                (Then::ComeBack, _) => {
                    let pause = if document.items.is_empty() { 1_000 } else { 0 };
                    self.audible.extend(ends.into_iter().map(|(_, text)| text));
                    self.now_ms = end + pause;
                    self.request(Returned::Nothing);
                    continue;
                }
                (Then::Listen { .. }, Act::Says(text, after_ms, voice_ms)) => {
                    let now = end + after_ms + voice_ms + ENDPOINT_MS;
                    (now, end, Returned::Speech { text: text.into() })
                }
                (Then::Listen { .. }, Act::SaysOver(text, at_ms, voice_ms)) => {
                    let begins = free.max(first + at_ms);
                    let now = begins + voice_ms + ENDPOINT_MS;
                    (now, begins, Returned::Speech { text: text.into() })
                }
                (Then::Listen { .. }, Act::Presses(keys, after_ms)) => {
                    (end + after_ms, end, Returned::Digits(keys.into()))
                }
                (Then::Listen { .. }, Act::PressesOver(keys, at_ms)) => {
                    let begins = free.max(first + at_ms);
                    (begins + 300, begins, Returned::Digits(keys.into()))
                }
                (Then::Listen { silence_ms }, Act::StaysSilent) => {
                    // Whole seconds, rounded up.
                    let silence = silence_ms.div_ceil(1_000) * 1_000;
                    (end + silence + 80, end, Returned::Silence)
                }
                (Then::Record, Act::LeavesMessage(text, duration_ms)) => {
                    let now = end + 500 + duration_ms + 300;
                    let message = Returned::Message {
                        text: text.into(),
                        duration_ms,
                        recorded: true,
                    };
                    (now, end, message)
                }
                (Then::Record, Act::LeavesNone) => (end + 5_500, end, Returned::NoMessage),
                (then, act) => panic!("{act:?} does not fit {then:?}\n{}", self.log),
            };
            self.audible.extend(
                ends.into_iter()
                    .filter(|(over, _)| *over <= stopped)
                    .map(|(_, text)| text),
            );
            self.now_ms = now;
            self.request(returned);
            return;
        }
    }

    /// One request of the carrier, answered with the next document.
    pub fn request(&mut self, returned: Returned) {
        self.requests += 1;
        self.line(&format!("⇐ {returned:?}"));
        // The models and tools go on meanwhile.
        self.deliver_events();
        self.store_and_read();
        let inputs = self.documents.returned(at(self.now_ms), returned);
        self.inputs(inputs);
        self.answer();
    }

    /// What arrived while nobody asked.
    fn deliver_events(&mut self) {
        while let Some((key, _)) = self.events.first_key_value() {
            let key = *key;
            if key.0 > self.now_ms {
                return;
            }
            let input = self.events.remove(&key).expect("it is there");
            self.input_at(at(key.0), input);
        }
    }

    /// Waits for the model within the budget, then gives the next document.
    pub fn answer(&mut self) {
        let until = self.now_ms + BUDGET_MS;
        while self.conversation.is_thinking() && self.now_ms < until {
            let event = self.events.keys().next().map(|key| key.0);
            let deadline = self
                .conversation
                .next_deadline()
                .map(|t| u64::try_from(t.as_millis() - crate::world::START_MS).expect("after"));
            let next = event.into_iter().chain(deadline).min().unwrap_or(until);
            if next > until {
                self.now_ms = until;
                break;
            }
            self.now_ms = self.now_ms.max(next);
            if deadline.is_some_and(|d| d <= self.now_ms) {
                self.input(Input::Timeout);
            } else {
                self.deliver_events();
            }
        }
        let document = self.documents.take(&self.conversation, at(self.now_ms));
        let texts: Vec<&str> = document
            .items
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        self.line(&format!(
            "⇒ {texts:?} from {} on, {:?}",
            document.listen_from, document.then
        ));
        self.store_and_read();
        self.document = Some(document);
    }

    /// Another process answers the next request.
    fn store_and_read(&mut self) {
        let stored = serde_json::to_string(&(self.conversation.snapshot(), &self.documents))
            .expect("serialises");
        let (snapshot, documents) = serde_json::from_str(&stored).expect("reads");
        self.conversation = Conversation::restore(self.config.clone(), snapshot).expect("is sound");
        self.documents = documents;
    }

    pub fn inputs(&mut self, inputs: Vec<(Timestamp, Input)>) {
        for (at, input) in inputs {
            self.input_at(at, input);
        }
    }

    pub fn input(&mut self, input: Input) {
        self.input_at(at(self.now_ms), input);
    }

    fn input_at(&mut self, now: Timestamp, input: Input) {
        if let Some(shown) = describe_input(&input).filter(|_| !is_progress(&input)) {
            let ms = now.millis_since(at(0));
            writeln!(self.log, "{:>8.3}  → {shown}", ms as f64 / 1000.0).expect("writes");
        }
        let outputs = self.conversation.handle(now, input);
        self.outputs(now, outputs);
    }

    pub fn outputs(&mut self, now: Timestamp, outputs: Vec<Output>) {
        let reports = self.documents.collect(now, &outputs);
        for output in outputs {
            let shown = describe_output(&output);
            writeln!(self.log, "              {shown}").expect("writes");
            self.outputs.push(output.clone());
            self.carry_out(now, output);
        }
        self.inputs(reports);
    }

    fn carry_out(&mut self, now: Timestamp, output: Output) {
        let now_ms = now.millis_since(at(0));
        match output {
            Output::Think {
                request, messages, ..
            } => {
                self.histories.push(
                    messages
                        .into_iter()
                        .filter(|m| m.role != ChatRole::System)
                        .collect(),
                );
                let mut at = now_ms;
                for (after, delta) in self.replies.pop_front().unwrap_or_default() {
                    at += after;
                    self.sequence += 1;
                    self.events
                        .insert((at, self.sequence), Input::Delta { request, delta });
                }
            }
            Output::CallTool { request, id, .. } => {
                if let Some((after, content)) = self.tool_results.pop_front() {
                    self.sequence += 1;
                    let input = Input::ToolResult {
                        request,
                        id,
                        content,
                    };
                    self.events.insert((now_ms + after, self.sequence), input);
                }
            }
            Output::Transcribe { .. }
            | Output::DropUtterance { .. }
            | Output::EndUtterance
            | Output::CancelThink { .. }
            | Output::Speak { .. }
            | Output::Beep { .. }
            | Output::StopPlayout
            | Output::AskForHuman { .. }
            | Output::CheckPin { .. }
            | Output::EndCall { .. }
            | Output::MessageTaken { .. }
            | Output::MessageAbandoned
            | Output::SayFinished { .. }
            | Output::TurnEnded(_) => {}
        }
    }

    fn line(&mut self, text: &str) {
        writeln!(self.log, "{:>8.3} {text}", self.now_ms as f64 / 1000.0).expect("writes");
    }

    /// What happened so far, and forgets it.
    pub fn ladder(&mut self) -> String {
        std::mem::take(&mut self.log)
    }

    pub fn last_history(&self) -> String {
        let messages = self.histories.last().map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .map(|m| {
                format!(
                    "{}: {}\n",
                    format!("{:?}", m.role).to_lowercase(),
                    m.content
                )
            })
            .collect()
    }

    pub fn find<T>(&self, pick: impl Fn(&Output) -> Option<T>) -> Vec<T> {
        self.outputs.iter().filter_map(pick).collect()
    }

    /// The texts of the document the carrier has.
    pub fn texts(&self) -> Vec<String> {
        let items = self.document.as_ref().map(|d| d.items.as_slice());
        items
            .unwrap_or_default()
            .iter()
            .map(|(_, text)| text.clone())
            .collect()
    }

    pub fn then(&self) -> Option<Then> {
        self.document.as_ref().map(|d| d.then)
    }
}
