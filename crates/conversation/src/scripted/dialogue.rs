//! The dialogue itself: one pass over the messages, message by message.

use std::collections::BTreeMap;

use jiff::Zoned;
use jiff::civil::{Date, DateTime, Time};
use serde_json::{Value, json};
use switchhook_model::{ChatMessage, ModelDelta, ToolCall};

use super::Persona;
use super::file::IntentsFile;
use super::slots::{self, Asked, Half, Slots, SpokenDay, SpokenTime};
use crate::clock::{spoken_date, spoken_time};
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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Booking {
    people: Option<u32>,
    day: Option<Date>,
    either: Option<(Date, Date)>,
    time: Option<SpokenTime>,
    half: Option<Half>,
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

    /// What the caller says while a booking is open. None if it is about something else.
    fn continue_booking(
        &mut self,
        tokens: &[String],
        words: &Words,
        expecting: Expecting,
    ) -> Option<Reply> {
        let mut booking = self.booking.take().unwrap_or_default();
        let language = self.file.language();
        let phrases = &self.file.phrases;
        if words.any(&phrases.cancel, &[]) {
            self.misses = 0;
            return Some(Reply::say(self.fill(&self.file.booking.texts.cancelled)));
        }
        let asked = match &expecting {
            Expecting::People => Asked::People,
            Expecting::Day => Asked::Day,
            Expecting::Time => Asked::Time,
            Expecting::WhichDay(..)
            | Expecting::Half(_)
            | Expecting::Nothing
            | Expecting::AnythingElse
            | Expecting::YesToHuman(_)
            | Expecting::YesToMessage => Asked::Nothing,
        };
        let found = slots::read(tokens, language, self.now.date(), asked);
        if let Expecting::WhichDay(first, second) = expecting {
            let said = match found.day {
                Some(SpokenDay::Exact(day)) if day == first || day == second => Some(day),
                _ => which(words, language).map(|later| if later { second } else { first }),
            };
            if let Some(day) = said {
                booking.day = Some(day);
                booking.either = None;
                self.misses = 0;
                return Some(self.next_step(booking));
            }
        }
        if found != Slots::default() {
            self.misses = 0;
            booking.add(found);
            return Some(self.next_step(booking));
        }
        // A question in between is answered, and the booking goes on.
        let answer = self
            .file
            .answers
            .iter()
            .find(|a| words.any(&a.phrases, &[]))
            .map(|a| self.fill(&a.say));
        if let Some(answer) = answer {
            self.misses = 0;
            let question = self.next_step(booking);
            return Some(Reply::say(format!("{answer} {}", question.text)));
        }
        if words.any(&phrases.repeat, &[]) {
            return Some(self.next_step(booking));
        }
        if words.any(&phrases.take_message, &[]) {
            return None;
        }
        self.misses += 1;
        if self.misses >= MISSES_BEFORE_OFFER {
            self.misses = MISSES_BEFORE_OFFER - 1;
            return Some(self.miss());
        }
        let question = self.next_step(booking);
        Some(Reply::say(format!(
            "{} {}",
            self.fill(&self.file.texts.not_understood),
            question.text
        )))
    }

    /// Asks for what is missing, or books.
    fn next_step(&mut self, mut booking: Booking) -> Reply {
        let rules = &self.file.booking;
        let texts = rules.texts.clone();
        let today = self.now.date();

        let Some(people) = booking.people else {
            return self.ask(Expecting::People, &texts.ask_people, booking);
        };
        if people == 0 || people > rules.max_people {
            let reply = self.ask(Expecting::People, &texts.too_many, booking);
            if let Some(booking) = &mut self.booking {
                booking.people = None;
            }
            return reply;
        }
        if let Some((first, second)) = booking.either {
            return self.ask(
                Expecting::WhichDay(first, second),
                &texts.ask_which_day,
                booking,
            );
        }
        let Some(day) = booking.day else {
            return self.ask(Expecting::Day, &texts.ask_day, booking);
        };
        let wrong_day = if day < today {
            Some(&texts.past)
        } else if rules.closed_days.contains(&day.weekday()) {
            Some(&texts.closed_day)
        } else if days_between(today, day) > i64::from(rules.max_days_ahead) {
            Some(&texts.too_far)
        } else {
            None
        };
        if let Some(text) = wrong_day {
            let text = self.fill_booking(text, &booking);
            booking.day = None;
            return self.ask(Expecting::Day, &text, booking);
        }
        let Some(spoken) = booking.time else {
            return self.ask(Expecting::Time, &texts.ask_time, booking);
        };
        match self.resolve_time(spoken, booking.half) {
            Resolved::Time(time) => {
                let at = DateTime::from_parts(day, time);
                if at <= self.now.datetime() {
                    let text = self.fill_booking(&texts.past, &booking);
                    booking.time = None;
                    booking.half = None;
                    return self.ask(Expecting::Time, &text, booking);
                }
                booking.time = Some(SpokenTime {
                    hour: time.hour(),
                    minute: time.minute(),
                    exact: true,
                });
                self.book(booking, at, people)
            }
            Resolved::Either => self.ask(Expecting::Half(spoken), &texts.ask_half, booking),
            Resolved::Closed => {
                let text = self.fill_booking(&texts.closed_time, &booking);
                booking.time = None;
                booking.half = None;
                self.ask(Expecting::Time, &text, booking)
            }
        }
    }

    fn book(&mut self, booking: Booking, at: DateTime, people: u32) -> Reply {
        let Some(datetime) = self.persona.zone.rfc3339(at) else {
            return self.miss();
        };
        let arguments = json!({
            "datetime": datetime,
            "people": people,
            "service": self.file.booking.service,
        });
        self.sent = Some(booking);
        self.booking = None;
        self.expecting = Expecting::Nothing;
        Reply::call(BOOK_APPOINTMENT, arguments)
    }

    fn ask(&mut self, expecting: Expecting, text: &str, booking: Booking) -> Reply {
        let text = self.fill_booking(text, &booking);
        self.booking = Some(booking);
        self.expecting = expecting;
        Reply::say(text)
    }

    /// "Seven" is seven in the evening where the house opens at eleven.
    fn resolve_time(&self, spoken: SpokenTime, half: Option<Half>) -> Resolved {
        let rules = &self.file.booking;
        let open = |time: &Time| *time >= rules.opens && *time < rules.closes;
        let at = |hour: i8| Time::new(hour.rem_euclid(24), spoken.minute, 0, 0).ok();
        let candidates: Vec<Time> = if spoken.exact && spoken.hour != 12 {
            at(spoken.hour).into_iter().collect()
        } else {
            let morning = at(spoken.hour % 12);
            let evening = at(spoken.hour % 12 + 12);
            match half {
                Some(Half::Morning) if spoken.hour != 12 => morning.into_iter().collect(),
                Some(Half::Evening) => evening.into_iter().collect(),
                Some(Half::Morning) | None => morning.into_iter().chain(evening).collect(),
            }
        };
        let open: Vec<Time> = candidates.into_iter().filter(open).collect();
        match open.as_slice() {
            [] => Resolved::Closed,
            [time] => Resolved::Time(*time),
            [_, _, ..] => Resolved::Either,
        }
    }

    fn offers(&self, tool: &str) -> bool {
        self.offered.contains(&tool)
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{assistant}", &self.persona.assistant)
            .replace("{company}", &self.persona.company)
    }

    fn fill_booking(&self, text: &str, booking: &Booking) -> String {
        let language = self.file.language();
        let rules = &self.file.booking;
        let date = |date: Option<Date>| date.map_or(String::new(), |d| spoken_date(d, language));
        let time = booking
            .time
            .and_then(|t| {
                Time::new(t.hour, t.minute, 0, 0)
                    .ok()
                    .map(|time| (time, t.exact))
            })
            .map_or(String::new(), |(time, exact)| {
                if exact {
                    spoken_time(time, language)
                } else {
                    plain_time(time, language)
                }
            });
        let people = booking.people.map_or(String::new(), |n| n.to_string());
        self.fill(text)
            .replace("{people}", &people)
            .replace("{party}", &party(booking.people.unwrap_or(1), language))
            .replace("{day}", &date(booking.day))
            .replace("{first}", &date(booking.either.map(|(first, _)| first)))
            .replace("{second}", &date(booking.either.map(|(_, second)| second)))
            .replace("{time}", &time)
            .replace("{opens}", &spoken_time(rules.opens, language))
            .replace("{closes}", &spoken_time(rules.closes, language))
            .replace("{max_people}", &rules.max_people.to_string())
    }
}

enum Resolved {
    Time(Time),
    Either,
    Closed,
}

impl Booking {
    /// What was said last counts.
    fn add(&mut self, found: Slots) {
        if found.people.is_some() {
            self.people = found.people;
        }
        match found.day {
            Some(SpokenDay::Exact(day)) => {
                self.day = Some(day);
                self.either = None;
            }
            Some(SpokenDay::Either(first, second)) => self.either = Some((first, second)),
            None => {}
        }
        if found.time.is_some() {
            self.time = found.time;
        }
        if found.half.is_some() {
            self.half = found.half;
        }
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

/// Which of two days: false for the first, true for the second.
fn which(words: &Words, language: switchhook_model::Language) -> Option<bool> {
    use switchhook_model::Language;
    let (first, second): (&[&str], &[&str]) = match language {
        Language::En => (
            &[
                "first", "this", "today", "earlier", "sooner", "coming", "former",
            ],
            &[
                "second",
                "later",
                "next",
                "other",
                "after",
                "latter",
                "following",
            ],
        ),
        Language::De => (
            &[
                "ersten",
                "erste",
                "diesen",
                "diese",
                "heute",
                "frueheren",
                "kommenden",
                "ersteren",
            ],
            &[
                "zweiten",
                "zweite",
                "spaeteren",
                "spaeter",
                "naechste",
                "naechsten",
                "anderen",
                "danach",
                "drauf",
                "darauf",
            ],
        ),
        Language::Ar => (&["الاول", "اليوم", "هذا"], &["الثاني", "القادم"]),
    };
    let says = |list: &[&str]| words.unmasked().any(|word| list.contains(&word));
    match (says(first), says(second)) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        (true, true) | (false, false) => None,
    }
}

/// "Two people" as it is spoken.
fn party(people: u32, language: switchhook_model::Language) -> String {
    use switchhook_model::Language;
    match (language, people) {
        (Language::En, 1) => "one person".to_owned(),
        (Language::En, n) => format!("{n} people"),
        (Language::De, 1) => "eine Person".to_owned(),
        (Language::De, n) => format!("{n} Personen"),
        (Language::Ar, 1) => "شخص واحد".to_owned(),
        (Language::Ar, 2) => "شخصين".to_owned(),
        (Language::Ar, n) => format!("{n} أشخاص"),
    }
}

/// A time without its half of the day: "7", "7:30", "7 Uhr".
fn plain_time(time: Time, language: switchhook_model::Language) -> String {
    use switchhook_model::Language;
    match (language, time.minute()) {
        (Language::De, _) => spoken_time(time, Language::De),
        (Language::En | Language::Ar, 0) => time.hour().to_string(),
        (Language::En | Language::Ar, minute) => format!("{}:{minute:02}", time.hour()),
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    from.until(to)
        .map_or(i64::MAX, |span| i64::from(span.get_days()))
}
