//! The intents file: what the scripted assistant recognises and says.

use std::collections::BTreeMap;

use jiff::civil::{Time, Weekday};
use serde::Deserialize;
use switchhook_model::Language;

use crate::intent::Pattern;

/// An intents file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntentsError {
    #[error("the intents file is not valid: {0}")]
    Toml(String),
    #[error("{field}: the phrase is not valid: {why}")]
    Phrase { field: String, why: String },
    #[error("{field}: {why}")]
    Value { field: String, why: String },
    #[error("the intents file is longer than {max} bytes")]
    TooLong { max: usize },
}

const MAX_BYTES: usize = 256 * 1024;
const MAX_PHRASES: usize = 4_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    language: Language,
    texts: Texts,
    phrases: RawPhrases,
    #[serde(default)]
    class: Vec<RawClass>,
    #[serde(default)]
    answer: Vec<RawAnswer>,
    booking: RawBooking,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    name: String,
    is: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    id: String,
    phrases: Vec<String>,
    say: String,
}

/// What the assistant says besides answers and bookings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts {
    pub(super) greeting: String,
    /// Answer to a greeting or to "can you help me".
    pub(super) how_can_i_help: String,
    pub(super) you_are_welcome: String,
    pub(super) not_understood: String,
    /// After two misses in a row; a question that yes answers.
    pub(super) offer_human: String,
    /// The same where no human can be reached.
    pub(super) offer_message: String,
    /// The caller wants a human and there is none to be had.
    pub(super) no_human: String,
    /// The farewell after "no" to "anything else?".
    pub(super) anything_else_no: String,
    /// The caller declined an offer.
    pub(super) declined: String,
    pub(super) farewell: String,
    pub(super) message_saved: String,
    pub(super) message_missing: String,
    /// The caller wants to leave a message and that is not possible.
    pub(super) no_message: String,
    /// Nothing to repeat.
    pub(super) nothing_to_repeat: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPhrases {
    yes: Vec<String>,
    no: Vec<String>,
    cancel: Vec<String>,
    thanks: Vec<String>,
    hello: Vec<String>,
    repeat: Vec<String>,
    book: Vec<String>,
    take_message: Vec<String>,
    /// Goodbyes beside the built-in lists, where nothing else was asked.
    goodbye: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBooking {
    service: String,
    opens: String,
    closes: String,
    #[serde(default)]
    closed_days: Vec<String>,
    max_people: u32,
    max_days_ahead: u32,
    texts: BookingTexts,
}

/// What the assistant says while booking. `{people}` (a number), `{party}` ("two people"), `{day}`, `{time}`, `{first}`, `{second}`,
/// `{opens}`, `{closes}`, `{max_people}` are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookingTexts {
    pub(super) ask_people: String,
    pub(super) ask_day: String,
    pub(super) ask_time: String,
    /// `{time}` could be morning or evening.
    pub(super) ask_half: String,
    /// "Next Friday" could be `{first}` or `{second}`.
    pub(super) ask_which_day: String,
    pub(super) past: String,
    pub(super) closed_time: String,
    pub(super) closed_day: String,
    pub(super) too_many: String,
    pub(super) too_far: String,
    /// Said only when the booking tool has confirmed.
    pub(super) booked: String,
    pub(super) failed: String,
    pub(super) cancelled: String,
    /// There is no booking tool.
    pub(super) unavailable: String,
}

#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) phrases: Vec<Pattern>,
    pub(super) say: String,
}

#[derive(Debug, Clone)]
pub(super) struct Phrases {
    pub(super) yes: Vec<Pattern>,
    pub(super) no: Vec<Pattern>,
    pub(super) cancel: Vec<Pattern>,
    pub(super) thanks: Vec<Pattern>,
    pub(super) hello: Vec<Pattern>,
    pub(super) repeat: Vec<Pattern>,
    pub(super) book: Vec<Pattern>,
    pub(super) take_message: Vec<Pattern>,
    pub(super) goodbye: Vec<Pattern>,
}

#[derive(Debug, Clone)]
pub(super) struct BookingRules {
    pub(super) service: String,
    pub(super) opens: Time,
    pub(super) closes: Time,
    pub(super) closed_days: Vec<Weekday>,
    pub(super) max_people: u32,
    pub(super) max_days_ahead: u32,
    pub(super) texts: BookingTexts,
}

/// A checked intents file.
#[derive(Debug, Clone)]
pub struct IntentsFile {
    language: Language,
    pub(super) texts: Texts,
    pub(super) phrases: Phrases,
    pub(super) answers: Vec<Answer>,
    pub(super) booking: BookingRules,
}

impl IntentsFile {
    /// Reads and checks a file's text. The error names the line, or the field and the phrase.
    pub fn parse(text: &str) -> Result<Self, IntentsError> {
        if text.len() > MAX_BYTES {
            return Err(IntentsError::TooLong { max: MAX_BYTES });
        }
        let raw: Raw = toml::from_str(text).map_err(|e| IntentsError::Toml(e.to_string()))?;
        let language = raw.language;
        let mut count = 0;
        let mut compile = |field: &str,
                           phrases: &[String],
                           classes: &BTreeMap<String, Vec<Pattern>>|
         -> Result<Vec<Pattern>, IntentsError> {
            count += phrases.len();
            let wrong = |why: String| IntentsError::Phrase {
                field: field.to_owned(),
                why,
            };
            if count > MAX_PHRASES {
                return Err(wrong(format!(
                    "the file has more than {MAX_PHRASES} phrases"
                )));
            }
            phrases
                .iter()
                .map(|phrase| {
                    Pattern::parse(phrase, classes, language).map_err(|e| wrong(e.to_string()))
                })
                .collect()
        };
        let mut classes = BTreeMap::new();
        for class in &raw.class {
            // Classes of classes could unfold without end; a file of intents does not need them.
            let patterns = compile(
                &format!("class {:?}", class.name),
                &class.is,
                &BTreeMap::new(),
            )?;
            classes.insert(class.name.clone(), patterns);
        }
        let p = &raw.phrases;
        let phrases = Phrases {
            yes: compile("phrases.yes", &p.yes, &classes)?,
            no: compile("phrases.no", &p.no, &classes)?,
            cancel: compile("phrases.cancel", &p.cancel, &classes)?,
            thanks: compile("phrases.thanks", &p.thanks, &classes)?,
            hello: compile("phrases.hello", &p.hello, &classes)?,
            repeat: compile("phrases.repeat", &p.repeat, &classes)?,
            book: compile("phrases.book", &p.book, &classes)?,
            take_message: compile("phrases.take_message", &p.take_message, &classes)?,
            goodbye: compile("phrases.goodbye", &p.goodbye, &classes)?,
        };
        let mut answers = Vec::new();
        for answer in &raw.answer {
            let field = format!("answer {:?}", answer.id);
            if answer.say.trim().is_empty() {
                return Err(IntentsError::Value {
                    field,
                    why: "say is empty".to_owned(),
                });
            }
            answers.push(Answer {
                phrases: compile(&field, &answer.phrases, &classes)?,
                say: answer.say.clone(),
            });
        }
        Ok(Self {
            language,
            texts: raw.texts,
            phrases,
            answers,
            booking: booking(raw.booking)?,
        })
    }

    /// The language it recognises and speaks.
    pub fn language(&self) -> Language {
        self.language
    }
}

fn booking(raw: RawBooking) -> Result<BookingRules, IntentsError> {
    let wrong = |field: &str, why: String| IntentsError::Value {
        field: format!("booking.{field}"),
        why,
    };
    let time = |field: &str, text: &str| -> Result<Time, IntentsError> {
        Time::strptime("%H:%M", text).map_err(|_| {
            wrong(
                field,
                format!("expected a time such as 11:00, got {text:?}"),
            )
        })
    };
    let opens = time("opens", &raw.opens)?;
    let closes = time("closes", &raw.closes)?;
    if opens >= closes {
        return Err(wrong("closes", "must be later than opens".to_owned()));
    }
    if raw.max_people == 0 {
        return Err(wrong("max_people", "must be at least 1".to_owned()));
    }
    let closed_days = raw
        .closed_days
        .iter()
        .map(|day| match day.as_str() {
            "monday" => Ok(Weekday::Monday),
            "tuesday" => Ok(Weekday::Tuesday),
            "wednesday" => Ok(Weekday::Wednesday),
            "thursday" => Ok(Weekday::Thursday),
            "friday" => Ok(Weekday::Friday),
            "saturday" => Ok(Weekday::Saturday),
            "sunday" => Ok(Weekday::Sunday),
            other => Err(wrong(
                "closed_days",
                format!("expected an English weekday in lower case, got {other:?}"),
            )),
        })
        .collect::<Result<_, _>>()?;
    Ok(BookingRules {
        service: raw.service,
        opens,
        closes,
        closed_days,
        max_people: raw.max_people,
        max_days_ahead: raw.max_days_ahead,
        texts: raw.texts,
    })
}
