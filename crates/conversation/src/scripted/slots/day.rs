//! Which day: relative, by weekday, by date.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};
use switchhook_model::Language;

use super::{Reader, SpokenDay};
use crate::intent::number_spans;

impl Reader<'_> {
    pub(super) fn day(&mut self) -> Option<SpokenDay> {
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
}

/// The next day with this number in its month.
pub(super) fn day_of_month(today: Date, day: u32) -> Option<Date> {
    let day = i8::try_from(day).ok().filter(|d| (1..=31).contains(d))?;
    let first = today.first_of_month();
    (0..=12)
        .filter_map(|months: i64| first.checked_add(months.months()).ok())
        .filter_map(|month| Date::new(month.year(), month.month(), day).ok())
        .find(|date| *date >= today)
}

pub(super) fn weekday(word: &str, language: Language) -> Option<Weekday> {
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
