//! What a booking needs, found in what the caller said: how many, which day, what time.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};
use switchhook_model::Language;

use crate::intent::number_spans;

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

    fn half(&mut self) -> Option<Half> {
        let (morning, evening): (&[&str], &[&str]) = match self.language {
            Language::En => (
                &["in the morning", "am", "a m", "morning"],
                &[
                    "in the evening",
                    "in the afternoon",
                    "at night",
                    "pm",
                    "p m",
                    "evening",
                    "afternoon",
                    "for dinner",
                    "dinner",
                ],
            ),
            Language::De => (
                &[
                    "am vormittag",
                    "vormittags",
                    "am morgen",
                    "morgens",
                    "in der frueh",
                    "frueh",
                    "vormittag",
                    "zum fruehstueck",
                ],
                &[
                    "am abend",
                    "abends",
                    "nachmittags",
                    "am nachmittag",
                    "abend",
                    "nachmittag",
                    "zum abendessen",
                ],
            ),
            Language::Ar => (&["صباحا", "الصبح"], &["مساء", "المساء", "بالليل", "العصر"]),
        };
        // "Tonight" names the day as well: it stays to be read as one.
        let tonight = match self.language {
            Language::En => self.find(&["tonight"]).is_some(),
            Language::De => self.find(&["heute", "abend"]).is_some(),
            Language::Ar => self.find(&["الليله"]).is_some(),
        };
        if self.take_any(morning) {
            return Some(Half::Morning);
        }
        if self.take_any(evening) || tonight {
            return Some(Half::Evening);
        }
        // "Samstag Morgen" is a morning, "morgen" alone a day.
        if self.language == Language::De {
            for at in 1..self.words.len() {
                let before = self.word(at - 1);
                if self.word(at) == "morgen"
                    && (weekday(before, Language::De).is_some() || before == "heute")
                {
                    self.take(at, at + 1);
                    return Some(Half::Morning);
                }
            }
        }
        None
    }

    fn day(&mut self) -> Option<SpokenDay> {
        let today = self.today;
        let after = |days: i64| today.checked_add(Span::new().days(days)).ok();
        let relative: &[(&str, i64)] = match self.language {
            Language::En => &[
                ("the day after tomorrow", 2),
                ("day after tomorrow", 2),
                ("tomorrow", 1),
                ("today", 0),
                ("tonight", 0),
                ("this evening", 0),
                ("a week from today", 7),
                ("in a week", 7),
            ],
            Language::De => &[
                ("uebermorgen", 2),
                ("ueber morgen", 2),
                ("morgen", 1),
                ("heute", 0),
                ("heut", 0),
                ("in einer woche", 7),
                ("heute in einer woche", 7),
            ],
            Language::Ar => &[
                ("بعد غد", 2),
                ("بعد بكره", 2),
                ("غدا", 1),
                ("بكره", 1),
                ("اليوم", 0),
                ("الليله", 0),
            ],
        };
        for (phrase, days) in relative {
            if self.take_any(&[phrase]) {
                return after(*days).map(SpokenDay::Exact);
            }
        }
        if let Some(day) = self.in_days() {
            return Some(SpokenDay::Exact(day));
        }
        if let Some(day) = self.date_with_month() {
            return Some(SpokenDay::Exact(day));
        }
        if let Some(day) = self.weekday() {
            return Some(day);
        }
        self.ordinal_day().map(SpokenDay::Exact)
    }

    /// "In three days", "in drei Tagen", "in two weeks".
    fn in_days(&mut self) -> Option<Date> {
        for at in 0..self.words.len() {
            if self.word(at) != "in" || !self.free(at) {
                continue;
            }
            let Some((len, n)) = self.small_at(at + 1) else {
                continue;
            };
            let factor = match self.word(at + 1 + len) {
                "days" | "day" | "tagen" | "tag" => 1,
                "weeks" | "week" | "wochen" | "woche" => 7,
                _ => continue,
            };
            let days = i64::from(n.min(10_000)) * factor;
            self.take(at, at + 2 + len);
            return self.today.checked_add(days.days()).ok();
        }
        None
    }

    /// "November 25th", "the 25th of November", "am 25. November", "25 11".
    fn date_with_month(&mut self) -> Option<Date> {
        for at in 0..self.words.len() {
            let Some(month) = month(self.word(at), self.language).filter(|_| self.free(at)) else {
                continue;
            };
            // The day stands behind, or before with at most one "of".
            let behind = self
                .day_number_at(at + 1)
                .map(|(len, n)| (at, at + 1 + len, n));
            let before = (1..=4.min(at)).find_map(|back| {
                let (len, n) = self.day_number_at(at - back)?;
                let gap = back - len.min(back);
                (gap <= 1 && len <= back).then_some((at - back, at + 1, n))
            });
            if let Some((from, to, day)) = before.or(behind) {
                self.take(from, to);
                return self.next_date(month, day);
            }
        }
        None
    }

    /// A day of the month in figures or words, with or without an ordinal ending.
    fn day_number_at(&self, at: usize) -> Option<(usize, i8)> {
        if !self.free(at) {
            return None;
        }
        let word = self.word(at);
        if let Some(n) = ordinal(word, self.language) {
            return Some((1, n));
        }
        // "twenty fifth"
        if self.language == Language::En
            && matches!(word, "twenty" | "thirty")
            && let Some(ones) = ordinal(self.word(at + 1), Language::En).filter(|n| *n < 10)
        {
            let tens = if word == "twenty" { 20 } else { 30 };
            return (tens + ones <= 31).then_some((2, tens + ones));
        }
        let (len, n) = self.small_at(at)?;
        let n = i8::try_from(n).ok().filter(|n| (1..=31).contains(n))?;
        // "25 th" after the digits were set apart.
        let ending = usize::from(matches!(self.word(at + len), "th" | "st" | "nd" | "rd"));
        Some((len + ending, n))
    }

    fn next_date(&self, month: i8, day: i8) -> Option<Date> {
        (0..=8)
            .filter_map(|years| Date::new(self.today.year().checked_add(years)?, month, day).ok())
            .find(|date| *date >= self.today)
    }

    fn weekday(&mut self) -> Option<SpokenDay> {
        for at in 0..self.words.len() {
            let Some(day) = weekday(self.word(at), self.language).filter(|_| self.free(at)) else {
                continue;
            };
            let before = at.checked_sub(1).map_or("", |i| self.word(i));
            let next = matches!(before, "next" | "naechsten" | "naechster" | "naechste");
            let this = matches!(
                before,
                "this" | "coming" | "diesen" | "kommenden" | "dieser"
            );
            let week_after = {
                let behind = (self.word(at + 1), self.word(at + 2));
                matches!(
                    behind,
                    ("next", "week") | ("naechste", "woche") | ("in", "einer")
                )
            };
            self.take(at, at + 1);
            let ahead = i64::from(
                (day.to_monday_zero_offset() - self.today.weekday().to_monday_zero_offset())
                    .rem_euclid(7),
            );
            let date = |days: i64| self.today.checked_add(days.days()).ok();
            let this_week = i64::from(self.today.weekday().to_monday_zero_offset()) + ahead <= 6;
            if week_after {
                let days = if this_week { ahead + 7 } else { ahead };
                return date(days).map(SpokenDay::Exact);
            }
            return match (ahead, next && this_week, this) {
                // "Friday" on a Friday.
                (0, _, false) => Some(SpokenDay::Either(date(0)?, date(7)?)),
                (_, true, false) => Some(SpokenDay::Either(date(ahead)?, date(ahead + 7)?)),
                (_, _, _) => date(ahead).map(SpokenDay::Exact),
            };
        }
        None
    }

    /// "On the 25th", "am 25.", "am fünfundzwanzigsten".
    fn ordinal_day(&mut self) -> Option<Date> {
        for at in 0..self.words.len() {
            if !self.free(at) {
                continue;
            }
            let before = at.checked_sub(1).map_or("", |i| self.word(i));
            let marked = matches!(before, "the" | "am" | "den" | "dem" | "der");
            let twenty = self.language == Language::En
                && matches!(self.word(at), "twenty" | "thirty")
                && ordinal(self.word(at + 1), Language::En).is_some_and(|n| n < 10);
            let ending = self
                .small_at(at)
                .is_some_and(|(len, _)| matches!(self.word(at + len), "th" | "st" | "nd" | "rd"));
            let is_ordinal = ordinal(self.word(at), self.language).is_some() || twenty || ending;
            if !is_ordinal || !(marked || ending || twenty) {
                continue;
            }
            if let Some((len, n)) = self.day_number_at(at) {
                self.take(at, at + len);
                return day_of_month(self.today, u32::from(n.unsigned_abs()));
            }
        }
        None
    }

    fn time(&mut self) -> Option<SpokenTime> {
        let noon: &[&str] = match self.language {
            Language::En => &["at noon", "noon", "midday"],
            Language::De => &["mittags um zwoelf", "zwoelf uhr mittags"],
            Language::Ar => &["الظهر"],
        };
        if self.take_any(noon) {
            return Some(SpokenTime {
                hour: 12,
                minute: 0,
                exact: true,
            });
        }
        (0..self.words.len()).find_map(|at| match self.language {
            Language::En => self.english_time(at),
            Language::De => self.german_time(at),
            Language::Ar => self.arabic_time(at),
        })
    }

    /// "Half past seven", "quarter to eight", "at seven thirty", "7 pm", "seven o'clock".
    fn english_time(&mut self, at: usize) -> Option<SpokenTime> {
        if !self.free(at) {
            return None;
        }
        let offset = match (self.word(at), self.word(at + 1)) {
            ("half", "past") => Some((2, 30)),
            ("quarter", "past" | "after") => Some((2, 15)),
            ("quarter", "to" | "of" | "before") => Some((2, -15)),
            ("ten", "past") => Some((2, 10)),
            ("ten", "to") => Some((2, -10)),
            _ => None,
        };
        if let Some((len, minutes)) = offset {
            let (used, hour) = self.small_at(at + len)?;
            self.take(at, at + len + used);
            return shifted(hour, minutes);
        }
        let (len, digits) = self.number_at(at)?;
        let behind = self.word(at + len);
        let clock = matches!(behind, "oclock" | "o" | "clock");
        let named_half = matches!(behind, "am" | "pm")
            || (matches!(behind, "a" | "p") && self.word(at + len + 1) == "m");
        let before = at.checked_sub(1).map_or("", |i| self.word(i));
        let marked = matches!(before, "at" | "around" | "about" | "by" | "from");
        let three_or_four = digits.len() >= 3 && before != "for" && valid_clock(&digits);
        let counted = matches!(
            behind,
            "people" | "persons" | "person" | "guests" | "of" | "adults"
        );
        if counted || !(clock || named_half || marked || three_or_four) {
            return None;
        }
        let time = digits.parse().ok().and_then(clock_time)?;
        let end = at
            + len
            + usize::from(clock)
            + usize::from(behind == "o" && self.word(at + len + 1) == "clock");
        self.take(at, end);
        Some(time)
    }

    /// "Um sieben", "19 Uhr 30", "halb acht", "viertel nach sieben", "dreiviertel acht".
    fn german_time(&mut self, at: usize) -> Option<SpokenTime> {
        if !self.free(at) {
            return None;
        }
        let offset = match (self.word(at), self.word(at + 1)) {
            ("halb", _) => Some((1, -30)),
            ("dreiviertel", _) => Some((1, -15)),
            ("viertel", "nach") => Some((2, 15)),
            ("viertel", "vor") => Some((2, -15)),
            ("zehn", "nach") => Some((2, 10)),
            ("zehn", "vor") => Some((2, -10)),
            ("viertel", _) => Some((1, -45)),
            _ => None,
        };
        if let Some((len, minutes)) = offset {
            let (used, hour) = self.small_at(at + len)?;
            let end = at + len + used;
            let end = end + usize::from(self.word(end) == "uhr");
            self.take(at, end);
            return shifted(hour, minutes);
        }
        let (len, digits) = if self.word(at) == "ein" && self.word(at + 1) == "uhr" {
            (1, "1".to_owned())
        } else {
            self.number_at(at)?
        };
        let clock = self.word(at + len) == "uhr";
        let before = at.checked_sub(1).map_or("", |i| self.word(i));
        let marked = matches!(before, "um" | "gegen" | "ab" | "circa" | "ca" | "so");
        let behind = self.word(at + len);
        let counted = matches!(
            behind,
            "personen" | "person" | "leute" | "leuten" | "menschen" | "gaeste"
        );
        if counted || !(clock || marked) {
            return None;
        }
        let mut time = digits.parse().ok().and_then(clock_time)?;
        let mut end = at + len + usize::from(clock);
        if clock
            && let Some((used, minute)) = self.small_at(end).filter(|(_, m)| *m < 60)
            && !matches!(
                self.word(end + used),
                "personen" | "person" | "leute" | "menschen"
            )
        {
            time.minute = i8::try_from(minute).unwrap_or(0);
            end += used;
        }
        self.take(at, end);
        Some(time)
    }

    /// "الساعة سبعة".
    fn arabic_time(&mut self, at: usize) -> Option<SpokenTime> {
        if self.word(at) != "الساعه" || !self.free(at) {
            return None;
        }
        let (len, n) = self.small_at(at + 1)?;
        self.take(at, at + 1 + len);
        clock_time(n)
    }

    fn people(&mut self) -> Option<u32> {
        let alone: &[&str] = match self.language {
            Language::En => &[
                "just me",
                "only me",
                "just myself",
                "for myself",
                "by myself",
                "for me alone",
            ],
            Language::De => &[
                "nur ich",
                "nur fuer mich",
                "alleine",
                "allein",
                "eine person",
                "einer person",
            ],
            Language::Ar => &["شخص واحد", "لوحدي"],
        };
        if self.take_any(alone) {
            return Some(1);
        }
        let pair: &[&str] = match self.language {
            Language::En => &[
                "my wife and i",
                "me and my wife",
                "my husband and i",
                "me and my husband",
                "the two of us",
                "a couple",
                "both of us",
            ],
            Language::De => &[
                "zu zweit",
                "wir beide",
                "uns beide",
                "meine frau und ich",
                "mein mann und ich",
                "zwei personen",
            ],
            Language::Ar => &["شخصين", "لشخصين", "اثنين اشخاص"],
        };
        if self.take_any(pair) {
            return Some(2);
        }
        if self.language == Language::De {
            let together = [
                "dritt", "viert", "fuenft", "sechst", "siebt", "acht", "neunt", "zehnt",
            ];
            for (i, word) in together.iter().enumerate() {
                if self.take_any(&[&format!("zu {word}")]) {
                    return u32::try_from(i + 3).ok();
                }
            }
        }
        for at in 0..self.words.len() {
            let Some((len, n)) = self.small_at(at) else {
                continue;
            };
            let before = at.checked_sub(1).map_or("", |i| self.word(i));
            let two_before = at.checked_sub(2).map_or("", |i| self.word(i));
            let behind = self.word(at + len);
            let behind_two = self.word(at + len + 1);
            let counted = match self.language {
                Language::En => {
                    matches!(
                        behind,
                        "people"
                            | "persons"
                            | "person"
                            | "guests"
                            | "adults"
                            | "pax"
                            | "seats"
                            | "folks"
                    ) || (behind == "of" && behind_two == "us")
                }
                Language::De => matches!(
                    behind,
                    "personen"
                        | "person"
                        | "leute"
                        | "leuten"
                        | "menschen"
                        | "gaeste"
                        | "gaesten"
                        | "erwachsene"
                        | "plaetze"
                        | "mann"
                ),
                Language::Ar => matches!(behind, "اشخاص" | "شخص"),
            };
            let marked = match self.language {
                Language::En => {
                    matches!(
                        (two_before, before),
                        (_, "for")
                            | ("party", "of")
                            | ("group", "of")
                            | ("we", "are")
                            | ("table", "of")
                    )
                }
                Language::De => {
                    before == "fuer"
                        || before == "zu"
                        || matches!((two_before, before), ("wir", "sind") | ("wir", "waeren"))
                }
                Language::Ar => false,
            };
            let unit = matches!(
                behind,
                "days"
                    | "hours"
                    | "weeks"
                    | "nights"
                    | "minutes"
                    | "uhr"
                    | "tage"
                    | "stunden"
                    | "wochen"
                    | "naechte"
                    | "oclock"
                    | "am"
                    | "pm"
            );
            if (counted || marked) && !unit {
                self.take(at, at + len);
                return Some(n);
            }
        }
        None
    }
}

/// "7", "19", "730", "1930" as a time.
fn clock_time(number: u32) -> Option<SpokenTime> {
    let (hour, minute) = if number < 100 {
        (number, 0)
    } else {
        (number / 100, number % 100)
    };
    (hour < 24 && minute < 60).then(|| SpokenTime {
        hour: i8::try_from(hour).unwrap_or(0),
        minute: i8::try_from(minute).unwrap_or(0),
        exact: hour == 0 || hour >= 12,
    })
}

fn valid_clock(digits: &str) -> bool {
    digits.len() <= 4 && digits.parse().ok().and_then(clock_time).is_some()
}

/// A full hour with minutes added or taken.
fn shifted(hour: u32, minutes: i32) -> Option<SpokenTime> {
    let hour = i32::try_from(hour).ok().filter(|h| (0..=24).contains(h))?;
    let total = (hour * 60 + minutes).rem_euclid(24 * 60);
    Some(SpokenTime {
        hour: i8::try_from(total / 60).unwrap_or(0),
        minute: i8::try_from(total % 60).unwrap_or(0),
        exact: total >= 13 * 60 || hour > 12,
    })
}

/// The next day with this number in its month.
fn day_of_month(today: Date, day: u32) -> Option<Date> {
    let day = i8::try_from(day).ok().filter(|d| (1..=31).contains(d))?;
    let first = today.first_of_month();
    (0..=12)
        .filter_map(|months: i64| first.checked_add(months.months()).ok())
        .filter_map(|month| Date::new(month.year(), month.month(), day).ok())
        .find(|date| *date >= today)
}

fn weekday(word: &str, language: Language) -> Option<Weekday> {
    let name = match language {
        Language::En => word.strip_suffix('s').unwrap_or(word),
        Language::De => word,
        Language::Ar => word,
    };
    Some(match (language, name) {
        (Language::En, "monday") | (Language::De, "montag" | "montags") => Weekday::Monday,
        (Language::En, "tuesday" | "tueday") | (Language::De, "dienstag" | "dienstags") => {
            Weekday::Tuesday
        }
        (Language::En, "wednesday") | (Language::De, "mittwoch" | "mittwochs") => {
            Weekday::Wednesday
        }
        (Language::En, "thursday") | (Language::De, "donnerstag" | "donnerstags") => {
            Weekday::Thursday
        }
        (Language::En, "friday") | (Language::De, "freitag" | "freitags") => Weekday::Friday,
        (Language::En, "saturday") | (Language::De, "samstag" | "samstags" | "sonnabend") => {
            Weekday::Saturday
        }
        (Language::En, "sunday") | (Language::De, "sonntag" | "sonntags") => Weekday::Sunday,
        (Language::Ar, "الاثنين") => Weekday::Monday,
        (Language::Ar, "الثلاثاء") => Weekday::Tuesday,
        (Language::Ar, "الاربعاء") => Weekday::Wednesday,
        (Language::Ar, "الخميس") => Weekday::Thursday,
        (Language::Ar, "الجمعه") => Weekday::Friday,
        (Language::Ar, "السبت") => Weekday::Saturday,
        (Language::Ar, "الاحد") => Weekday::Sunday,
        (Language::En | Language::De | Language::Ar, _) => return None,
    })
}

fn month(word: &str, language: Language) -> Option<i8> {
    let names: [&[&str]; 12] = match language {
        Language::En => [
            &["january"],
            &["february"],
            &["march"],
            &["april"],
            &["may"],
            &["june"],
            &["july"],
            &["august"],
            &["september"],
            &["october"],
            &["november"],
            &["december"],
        ],
        Language::De => [
            &["januar", "jaenner"],
            &["februar", "feber"],
            &["maerz"],
            &["april"],
            &["mai"],
            &["juni", "juno"],
            &["juli", "julei"],
            &["august"],
            &["september"],
            &["oktober"],
            &["november"],
            &["dezember"],
        ],
        Language::Ar => [
            &["يناير"],
            &["فبراير"],
            &["مارس"],
            &["ابريل"],
            &["مايو"],
            &["يونيو"],
            &["يوليو"],
            &["اغسطس"],
            &["سبتمبر"],
            &["اكتوبر"],
            &["نوفمبر"],
            &["ديسمبر"],
        ],
    };
    names
        .iter()
        .position(|n| n.contains(&word))
        .and_then(|i| i8::try_from(i + 1).ok())
}

/// "First" to "thirty-first", "ersten" to "einunddreißigsten", by word.
fn ordinal(word: &str, language: Language) -> Option<i8> {
    match language {
        Language::En => {
            let names = [
                "first",
                "second",
                "third",
                "fourth",
                "fifth",
                "sixth",
                "seventh",
                "eighth",
                "ninth",
                "tenth",
                "eleventh",
                "twelfth",
                "thirteenth",
                "fourteenth",
                "fifteenth",
                "sixteenth",
                "seventeenth",
                "eighteenth",
                "nineteenth",
                "twentieth",
            ];
            if word == "thirtieth" {
                return Some(30);
            }
            names
                .iter()
                .position(|n| *n == word)
                .and_then(|i| i8::try_from(i + 1).ok())
        }
        Language::De => {
            let stem = ["sten", "ste", "ster", "ten", "te", "ter"]
                .iter()
                .find_map(|ending| word.strip_suffix(ending))?;
            let irregular = match stem {
                "ers" | "er" => Some(1),
                "drit" => Some(3),
                "sieb" => Some(7),
                "ach" => Some(8),
                _ => None,
            };
            if irregular.is_some() {
                return irregular;
            }
            let spans = number_spans(&[stem.to_owned()], Language::De, false);
            spans
                .first()
                .and_then(|s| s.digits.parse().ok())
                .filter(|n| (1..=31).contains(n))
        }
        Language::Ar => None,
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
