//! A brain without a model: intents and sentences from a file.
//!
//! It answers like a language model, in [`ModelDelta`]s, so the conversation does not know the
//! difference. It holds no state of a call: everything is read from the messages, by going through
//! them again. A reply that nobody heard, because the caller went on speaking, therefore leaves no
//! trace, and a process that restarts needs nothing but the history.

mod dialogue;
mod file;
mod slots;

use std::sync::Arc;

pub use file::{IntentsError, IntentsFile};

use switchhook_model::{ChatMessage, ChatRole, Language, ModelDelta, Timestamp, ToolSpec};

use crate::clock::LocalZone;
use crate::intent::{Lexicon, Matcher};
use dialogue::{Dialogue, Reply};

/// Who the scripted assistant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persona {
    /// Its name, the file's `{assistant}`.
    pub assistant: String,
    /// Whom it works for, the file's `{company}`.
    pub company: String,
    /// Where "tomorrow" is counted.
    pub zone: LocalZone,
}

/// The scripted brain; one serves all calls.
#[derive(Debug, Clone)]
pub struct ScriptedBrain {
    file: Arc<IntentsFile>,
    matcher: Matcher,
    persona: Persona,
}

impl ScriptedBrain {
    /// A brain that speaks the file's language.
    pub fn new(file: Arc<IntentsFile>, persona: Persona) -> Self {
        let lexicon = Lexicon::builtin(file.language());
        Self {
            matcher: Matcher::with(lexicon, &[], &[], false),
            file,
            persona,
        }
    }

    /// The intents file that comes with the program.
    pub fn shipped_intents(language: Language) -> &'static str {
        match language {
            Language::En => include_str!("../../../profiles/intents/en.toml"),
            Language::De => include_str!("../../../profiles/intents/de.toml"),
            Language::Ar => include_str!("../../../profiles/intents/ar.toml"),
        }
    }

    /// The reply to the last message, complete with its `Done`. Only tools in `tools` are called;
    /// `now` is when the caller is answered.
    pub fn respond(
        &self,
        messages: &[ChatMessage],
        tools: &[ToolSpec],
        now: Timestamp,
    ) -> Vec<ModelDelta> {
        let offered: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        let mut dialogue = Dialogue::new(
            &self.file,
            &self.matcher,
            &self.persona,
            &offered,
            self.persona.zone.local(now),
        );
        let mut reply = Reply::default();
        for message in messages {
            match message.role {
                ChatRole::System => {}
                ChatRole::User => reply = dialogue.caller_says(&message.content),
                ChatRole::Assistant => dialogue.assistant_did(message),
                ChatRole::Tool => {
                    let id = message.tool_call_id.as_deref().unwrap_or_default();
                    reply = dialogue.tool_answers(id, &message.content);
                }
            }
        }
        // An empty history asks for the opening.
        if !messages
            .iter()
            .any(|m| matches!(m.role, ChatRole::User | ChatRole::Tool))
        {
            reply = dialogue.greet();
        }
        reply.into_deltas(messages.len())
    }
}

/// Body of a fuzz target: any bytes as an intents file, and as what a caller says.
pub fn fuzz_intents_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let persona = Persona {
        assistant: "Clara".to_owned(),
        company: "Example".to_owned(),
        zone: LocalZone::utc(),
    };
    let now = Timestamp::from_millis(1_795_165_200_000);
    let tools: Vec<ToolSpec> = [
        crate::tools::REQUEST_HUMAN_TRANSFER,
        crate::tools::BOOK_APPOINTMENT,
        crate::tools::TAKE_MESSAGE,
        crate::tools::END_CALL,
    ]
    .into_iter()
    .map(|name| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: serde_json::Value::Null,
    })
    .collect();
    if let Ok(file) = IntentsFile::parse(&text) {
        let brain = ScriptedBrain::new(Arc::new(file), persona.clone());
        brain.respond(&[ChatMessage::user("book a table for two")], &tools, now);
    }
    for language in [Language::En, Language::De, Language::Ar] {
        let Ok(file) = IntentsFile::parse(ScriptedBrain::shipped_intents(language)) else {
            continue;
        };
        let brain = ScriptedBrain::new(Arc::new(file), persona.clone());
        let half = (0..=text.len() / 2)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        let (first, second) = text.split_at(half);
        let messages = [
            ChatMessage::user(first),
            ChatMessage::user("book a table, einen Tisch bitte"),
            ChatMessage::user(second),
        ];
        let deltas = brain.respond(&messages, &tools, now);
        assert_eq!(deltas.last(), Some(&ModelDelta::Done));
    }
}
