//! Booking: asking for what is missing, resolving what is ambiguous, and calling the tool.

use jiff::civil::{Date, DateTime, Time};
use serde_json::json;
use switchhook_model::Language;

use super::{Dialogue, Expecting, MISSES_BEFORE_OFFER, Reply};
use crate::clock::{spoken_date, spoken_time};
use crate::intent::Words;
use crate::scripted::slots::{self, Asked, Half, Slots, SpokenDay, SpokenTime};
use crate::tools::BOOK_APPOINTMENT;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Booking {
    people: Option<u32>,
    day: Option<Date>,
    either: Option<(Date, Date)>,
    time: Option<SpokenTime>,
    half: Option<Half>,
}

enum Resolved {
    Time(Time),
    Either,
    Closed,
}

impl Booking {
    /// What was said last counts.
    pub(super) fn add(&mut self, found: Slots) {
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

impl Dialogue<'_> {
    /// What the caller says while a booking is open. None if it is about something else.
    pub(super) fn continue_booking(
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
    pub(super) fn next_step(&mut self, mut booking: Booking) -> Reply {
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

    pub(super) fn fill_booking(&self, text: &str, booking: &Booking) -> String {
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

/// Which of two days: false for the first, true for the second.
fn which(words: &Words, language: Language) -> Option<bool> {
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
fn party(people: u32, language: Language) -> String {
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
fn plain_time(time: Time, language: Language) -> String {
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
