//! What a booking needs, found in what the caller said: how many, which day, what time.

mod day;
mod people;
mod time;

use jiff::civil::Date;
use switchhook_model::Language;

use crate::intent::number_spans;
use day::{day_of_month, weekday};
use time::clock_time;

/// Half of the day, said or implied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Morning,
    Evening,
}

/// A time as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpokenTime {
    /// 0 to 23.
    pub(super) hour: i8,
    pub(super) minute: i8,
    /// Whether the hour can only be what it says ("19", "noon", "7 pm").
    pub(super) exact: bool,
}

/// A day as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpokenDay {
    Exact(Date),
    /// "Next Friday" on a Monday.
    Either(Date, Date),
}

/// What an utterance says of a booking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) half: Option<Half>,
    pub(super) day: Option<SpokenDay>,
    pub(super) time: Option<SpokenTime>,
    pub(super) people: Option<u32>,
}

/// What was asked last: a bare number answers that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    People,
    Day,
    Time,
}

/// Reads the slots from normalised words. `today` is the caller's date.
pub(super) fn read(words: &[String], language: Language, today: Date, asked: Asked) -> Slots {
    let words = &apart(words, language);
    let mut reader = Reader {
        words,
        used: vec![false; words.len()],
        language,
        today,
    };
    // The order matters: what is marked as read is not read again.
    let mut slots = Slots {
        half: reader.half(),
        day: reader.day(),
        time: reader.time(),
        people: reader.people(),
    };
    let rest = reader.first_number();
    match asked {
        Asked::People if slots.people.is_none() => slots.people = rest,
        Asked::Time if slots.time.is_none() => slots.time = rest.and_then(clock_time),
        Asked::Day if slots.day.is_none() => {
            slots.day = rest
                .and_then(|n| day_of_month(today, n))
                .map(SpokenDay::Exact);
        }
        Asked::Nothing | Asked::People | Asked::Day | Asked::Time => {}
    }
    slots
}

/// German writes "Samstagabend" as one word.
fn apart(words: &[String], language: Language) -> Vec<String> {
    let parts = [
        "abend",
        "nachmittag",
        "vormittag",
        "morgen",
        "mittag",
        "frueh",
    ];
    let mut out = Vec::with_capacity(words.len());
    for word in words {
        let split = parts.iter().find_map(|part| {
            let day = word.strip_suffix(part)?;
            weekday(day, Language::De).map(|_| [day.to_owned(), (*part).to_owned()])
        });
        match split.filter(|_| language == Language::De) {
            Some(pair) => out.extend(pair),
            None => out.push(word.clone()),
        }
    }
    out
}

struct Reader<'a> {
    words: &'a [String],
    used: Vec<bool>,
    language: Language,
    today: Date,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    fn free(&self, at: usize) -> bool {
        self.used.get(at).is_some_and(|used| !used)
    }

    fn take(&mut self, from: usize, to: usize) {
        for used in self.used.iter_mut().take(to).skip(from) {
            *used = true;
        }
    }

    /// Position of a run of words that nobody has read yet.
    fn find(&self, phrase: &[&str]) -> Option<usize> {
        (0..self.words.len()).find(|at| {
            phrase
                .iter()
                .enumerate()
                .all(|(i, word)| self.free(at + i) && self.word(at + i) == *word)
        })
    }

    fn take_any(&mut self, phrases: &[&str]) -> bool {
        for phrase in phrases {
            let parts: Vec<&str> = phrase.split(' ').collect();
            if let Some(at) = self.find(&parts) {
                self.take(at, at + parts.len());
                return true;
            }
        }
        false
    }

    /// The number that begins at a position: how many words, and its digits.
    fn number_at(&self, at: usize) -> Option<(usize, String)> {
        if !self.free(at) {
            return None;
        }
        let end = (at..self.words.len())
            .find(|i| !self.free(*i))
            .unwrap_or(self.words.len());
        let spans = number_spans(&self.words[at..end], self.language, false);
        spans
            .first()
            .filter(|span| span.start == 0)
            .map(|span| (span.end, span.digits.clone()))
    }

    fn small_at(&self, at: usize) -> Option<(usize, u32)> {
        let (len, digits) = self.number_at(at)?;
        digits.parse().ok().map(|n| (len, n))
    }

    fn first_number(&mut self) -> Option<u32> {
        for at in 0..self.words.len() {
            if let Some((len, n)) = self.small_at(at) {
                self.take(at, at + len);
                return Some(n);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::normalise;
    use jiff::civil::date;

    /// A Friday.
    const TODAY: Date = date(2026, 11, 20);

    fn slots(text: &str, language: Language, asked: Asked) -> Slots {
        read(&normalise(text, language), language, TODAY, asked)
    }

    fn shown(text: &str, language: Language) -> String {
        let s = slots(text, language, Asked::Nothing);
        let day = match s.day {
            None => "-".to_owned(),
            Some(SpokenDay::Exact(d)) => d.strftime("%m-%d").to_string(),
            Some(SpokenDay::Either(a, b)) => {
                format!("{}|{}", a.strftime("%m-%d"), b.strftime("%m-%d"))
            }
        };
        let time = s.time.map_or("-".to_owned(), |t| {
            format!(
                "{}:{:02}{}",
                t.hour,
                t.minute,
                if t.exact { "!" } else { "" }
            )
        });
        let half = s.half.map_or(String::new(), |h| format!(" {h:?}"));
        format!(
            "{} {day} {time}{half}",
            s.people.map_or("-".to_owned(), |n| n.to_string())
        )
    }

    #[test]
    fn english_bookings() {
        let cases = [
            ("Book a table for two tomorrow at seven.", "2 11-21 7:00"),
            (
                "a table for four people on Saturday at 8 pm",
                "4 11-21 8:00 Evening",
            ),
            (
                "tonight at half past seven, party of six",
                "6 11-20 7:30 Evening",
            ),
            (
                "the day after tomorrow at quarter to eight for 3",
                "3 11-22 7:45",
            ),
            ("on the 25th at noon", "- 11-25 12:00!"),
            ("November 25th at 19:30 for two", "2 11-25 19:30!"),
            ("the third of December at seven thirty", "- 12-03 7:30"),
            ("next Sunday", "- 11-22|11-29 -"),
            ("on Friday at six", "- 11-20|11-27 6:00"),
            ("Monday next week", "- 11-23 -"),
            ("next Monday", "- 11-23 -"),
            ("in three days", "- 11-23 -"),
            ("just me", "1 - -"),
            ("for two nights", "- - -"),
            ("the twenty fifth", "- 11-25 -"),
            ("seven o'clock in the evening", "- - 7:00 Evening"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text, Language::En), expected, "{text}");
        }
    }

    #[test]
    fn german_bookings() {
        let cases = [
            (
                "Bitte reservieren Sie einen Tisch für zwei Personen morgen um sieben Uhr.",
                "2 11-21 7:00",
            ),
            ("übermorgen um halb acht für vier Personen", "4 11-22 7:30"),
            ("heute Abend um acht zu dritt", "3 11-20 8:00 Evening"),
            ("Samstag um 19 Uhr 30 für zwei", "2 11-21 19:30!"),
            ("am Samstagabend", "- 11-21 - Evening"),
            ("am 25. November um viertel nach sechs", "- 11-25 6:15"),
            (
                "am fünfundzwanzigsten um dreiviertel sieben",
                "- 11-25 6:45",
            ),
            ("morgen früh um neun", "- 11-21 9:00 Morning"),
            ("nächsten Sonntag", "- 11-22|11-29 -"),
            ("am Montag nächste Woche", "- 11-23 -"),
            ("Sonntag Morgen um zehn", "- 11-22 10:00 Morning"),
            ("in drei Tagen", "- 11-23 -"),
            ("am dritten Dezember", "- 12-03 -"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text, Language::De), expected, "{text}");
        }
    }

    #[test]
    fn a_bare_number_answers_what_was_asked() {
        assert_eq!(
            slots("four please", Language::En, Asked::People).people,
            Some(4)
        );
        assert_eq!(
            slots("vier", Language::De, Asked::Time)
                .time
                .map(|t| t.hour),
            Some(4)
        );
        assert_eq!(
            slots("the 3rd", Language::En, Asked::Day).day,
            Some(SpokenDay::Exact(date(2026, 12, 3)))
        );
        assert_eq!(
            slots("four please", Language::En, Asked::Nothing),
            Slots::default()
        );
    }
}
