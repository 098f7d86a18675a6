//! What time, and which half of the day.

use switchhook_model::Language;

use super::day::weekday;
use super::{Half, Reader, SpokenTime};

impl Reader<'_> {
    pub(super) fn half(&mut self) -> Option<Half> {
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

    pub(super) fn time(&mut self) -> Option<SpokenTime> {
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
}

/// "7", "19", "730", "1930" as a time.
pub(super) fn clock_time(number: u32) -> Option<SpokenTime> {
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
