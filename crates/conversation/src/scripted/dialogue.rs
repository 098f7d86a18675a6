//! The dialogue itself: one pass over the messages, message by message.

mod booking;

use std::collections::BTreeMap;

use jiff::Zoned;
use jiff::civil::Date;
use serde_json::{Value, json};
use switchhook_model::{ChatMessage, ModelDelta, ToolCall};

use self::booking::Booking;
use super::Persona;
use super::file::IntentsFile;
use super::slots::{self, Asked, SpokenTime};
use crate::intent::{Matcher, Pattern, Words, normalise};
use crate::tools::{BOOK_APPOINTMENT, END_CALL, REQUEST_HUMAN_TRANSFER, TAKE_MESSAGE};

/// Misses in a row after which a human is offered.
const MISSES_BEFORE_OFFER: u32 = 2;
/// Longer utterances are no mere yes or no.
const MAX_WORDS_OF_YES_OR_NO: usize = 4;

/// What the assistant answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    text: String,
    call: Option<(&'static str, Value)>,
}

impl Reply {
    fn say(text: String) -> Self {
        Self { text, call: None }
    }

    fn call(name: &'static str, arguments: Value) -> Self {
        Self {
            text: String::new(),
            call: Some((name, arguments)),
        }
    }

    /// As a model would stream it. `n` makes the tool call's id unique within the history.
    pub(super) fn into_deltas(self, n: usize) -> Vec<ModelDelta> {
        let mut deltas = Vec::new();
        if !self.text.is_empty() {
            deltas.push(ModelDelta::Text(self.text));
        }
        if let Some((name, arguments)) = self.call {
            deltas.push(ModelDelta::ToolCall(ToolCall {
                id: format!("scripted_{n}"),
                name: name.to_owned(),
                arguments: arguments.to_string(),
            }));
        }
        deltas.push(ModelDelta::Done);
        deltas
    }
}

/// What the assistant's last words expect.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expecting {
    Nothing,
    /// "Anything else?": no ends the call.
    AnythingElse,
    /// Yes asks for a human, for this reason.
    YesToHuman(&'static str),
    YesToMessage,
    People,
    Day,
    WhichDay(Date, Date),
    Time,
    /// Morning or evening of this time.
    Half(SpokenTime),
}

pub(super) struct Dialogue<'a> {
    file: &'a IntentsFile,
    matcher: &'a Matcher,
    persona: &'a Persona,
    offered: &'a [&'a str],
    now: Zoned,
    expecting: Expecting,
    booking: Option<Booking>,
    /// The booking handed to the tool.
    sent: Option<Booking>,
    misses: u32,
    last_text: String,
    calls: BTreeMap<String, String>,
}

impl<'a> Dialogue<'a> {
    pub(super) fn new(
        file: &'a IntentsFile,
        matcher: &'a Matcher,
        persona: &'a Persona,
        offered: &'a [&'a str],
        now: Zoned,
    ) -> Self {
        Self {
            file,
            matcher,
            persona,
            offered,
            now,
            expecting: Expecting::Nothing,
            booking: None,
            sent: None,
            misses: 0,
            last_text: String::new(),
            calls: BTreeMap::new(),
        }
    }

    pub(super) fn greet(&self) -> Reply {
        Reply::say(self.fill(&self.file.texts.greeting))
    }

    /// Remembers which tool each call was.
    pub(super) fn assistant_did(&mut self, message: &ChatMessage) {
        for call in &message.tool_calls {
            self.calls.insert(call.id.clone(), call.name.clone());
        }
    }

    pub(super) fn caller_says(&mut self, text: &str) -> Reply {
        let reply = self.answer(text);
        if !reply.text.is_empty() {
            self.last_text.clone_from(&reply.text);
        }
        reply
    }

    fn answer(&mut self, text: &str) -> Reply {
        let language = self.file.language();
        let tokens = normalise(text, language);
        let words = Words::new(tokens.clone(), language);
        let phrases = &self.file.phrases;
        let says = |patterns: &[Pattern]| words.any(patterns, &[]);
        // A "not" in a long sentence declines nothing.
        let short = tokens.len() <= MAX_WORDS_OF_YES_OR_NO;

        if self.matcher.transfer(text).is_some() {
            return self.want_human("the caller asked for a human");
        }
        if self.matcher.is_exit(text) {
            return self.goodbye();
        }
        match std::mem::replace(&mut self.expecting, Expecting::Nothing) {
            Expecting::YesToHuman(reason) => {
                if says(&phrases.yes) && !says(&phrases.no) {
                    return self.want_human(reason);
                }
                if says(&phrases.no) {
                    self.misses = 0;
                    return Reply::say(self.fill(&self.file.texts.declined));
                }
            }
            Expecting::YesToMessage => {
                if says(&phrases.yes) && !says(&phrases.no) {
                    return self.take_message();
                }
                if says(&phrases.no) {
                    self.misses = 0;
                    return Reply::say(self.fill(&self.file.texts.declined));
                }
            }
            expecting @ (Expecting::People
            | Expecting::Day
            | Expecting::WhichDay(..)
            | Expecting::Time
            | Expecting::Half(_)) => {
                if let Some(reply) = self.continue_booking(&tokens, &words, expecting) {
                    return reply;
                }
            }
            Expecting::AnythingElse => {
                if short && says(&phrases.no) && !says(&phrases.book) {
                    return self.end(&self.file.texts.anything_else_no);
                }
            }
            Expecting::Nothing => {}
        }
        if says(&phrases.repeat) {
            self.misses = 0;
            let text = if self.last_text.is_empty() {
                self.fill(&self.file.texts.nothing_to_repeat)
            } else {
                self.last_text.clone()
            };
            return Reply::say(text);
        }
        if says(&phrases.take_message) {
            return self.take_message();
        }
        if says(&phrases.book) {
            self.misses = 0;
            if !self.offers(BOOK_APPOINTMENT) {
                return Reply::say(self.fill(&self.file.booking.texts.unavailable));
            }
            let found = slots::read(&tokens, language, self.now.date(), Asked::Nothing);
            let mut booking = Booking::default();
            booking.add(found);
            return self.next_step(booking);
        }
        if let Some(answer) = self.file.answers.iter().find(|a| says(&a.phrases)) {
            self.misses = 0;
            return Reply::say(self.fill(&answer.say));
        }
        if says(&phrases.goodbye) {
            return self.goodbye();
        }
        if says(&phrases.thanks) {
            self.misses = 0;
            self.expecting = Expecting::AnythingElse;
            return Reply::say(self.fill(&self.file.texts.you_are_welcome));
        }
        if says(&phrases.hello) || (short && (says(&phrases.yes) || says(&phrases.no))) {
            self.misses = 0;
            return Reply::say(self.fill(&self.file.texts.how_can_i_help));
        }
        self.miss()
    }

    /// Not understood: once more, then a human, or a message where there is none.
    fn miss(&mut self) -> Reply {
        self.misses += 1;
        if self.misses < MISSES_BEFORE_OFFER {
            return Reply::say(self.fill(&self.file.texts.not_understood));
        }
        self.misses = 0;
        self.booking = None;
        if self.offers(REQUEST_HUMAN_TRANSFER) {
            self.expecting = Expecting::YesToHuman("the assistant did not understand the caller");
            Reply::say(self.fill(&self.file.texts.offer_human))
        } else if self.offers(TAKE_MESSAGE) {
            self.expecting = Expecting::YesToMessage;
            Reply::say(self.fill(&self.file.texts.offer_message))
        } else {
            Reply::say(self.fill(&self.file.texts.not_understood))
        }
    }

    fn want_human(&mut self, reason: &str) -> Reply {
        self.misses = 0;
        self.booking = None;
        self.expecting = Expecting::Nothing;
        if self.offers(REQUEST_HUMAN_TRANSFER) {
            return Reply::call(
                REQUEST_HUMAN_TRANSFER,
                json!({ "reason": reason, "summary": "" }),
            );
        }
        if self.offers(TAKE_MESSAGE) {
            self.expecting = Expecting::YesToMessage;
        }
        Reply::say(self.fill(&self.file.texts.no_human))
    }

    fn goodbye(&mut self) -> Reply {
        self.end(&self.file.texts.farewell)
    }

    fn end(&self, text: &str) -> Reply {
        Reply {
            text: self.fill(text),
            call: self.offers(END_CALL).then(|| (END_CALL, json!({}))),
        }
    }

    fn take_message(&mut self) -> Reply {
        self.misses = 0;
        self.booking = None;
        if self.offers(TAKE_MESSAGE) {
            Reply::call(TAKE_MESSAGE, json!({}))
        } else {
            Reply::say(self.fill(&self.file.texts.no_message))
        }
    }

    /// The result of a tool. Only what it says is told as done.
    pub(super) fn tool_answers(&mut self, id: &str, content: &str) -> Reply {
        let reply = match self.calls.get(id).map(String::as_str) {
            Some(BOOK_APPOINTMENT) => {
                let sent = self.sent.take().unwrap_or_default();
                let texts = &self.file.booking.texts;
                if confirmed(content) {
                    self.expecting = Expecting::AnythingElse;
                    Reply::say(self.fill_booking(&texts.booked, &sent))
                } else {
                    if self.offers(REQUEST_HUMAN_TRANSFER) {
                        self.expecting = Expecting::YesToHuman("a booking did not go through");
                    }
                    Reply::say(self.fill_booking(&texts.failed, &sent))
                }
            }
            Some(TAKE_MESSAGE) => {
                let recorded = serde_json::from_str::<Value>(content)
                    .is_ok_and(|value| value["status"] == "recorded");
                let texts = &self.file.texts;
                self.expecting = Expecting::AnythingElse;
                Reply::say(self.fill(if recorded {
                    &texts.message_saved
                } else {
                    &texts.message_missing
                }))
            }
            // A transfer's end is told by call control, in its own words.
            Some(_) | None => Reply::say(self.fill(&self.file.texts.how_can_i_help)),
        };
        self.last_text.clone_from(&reply.text);
        reply
    }

    fn offers(&self, tool: &str) -> bool {
        self.offered.contains(&tool)
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{assistant}", &self.persona.assistant)
            .replace("{company}", &self.persona.company)
    }
}

/// Whether a booking tool said that it is booked. Everything else is no.
fn confirmed(content: &str) -> bool {
    let Ok(Value::Object(result)) = serde_json::from_str(content) else {
        return false;
    };
    if result.get("error").is_some_and(|error| !error.is_null()) {
        return false;
    }
    let said_so = ["booked", "success", "ok", "confirmed"]
        .iter()
        .any(|key| result.get(*key) == Some(&Value::Bool(true)));
    let status = result
        .get("status")
        .and_then(Value::as_str)
        .is_some_and(|status| {
            matches!(
                status.to_lowercase().as_str(),
                "booked" | "confirmed" | "success" | "ok"
            )
        });
    said_so || status
}
