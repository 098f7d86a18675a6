//! Local time from the instant that comes in: zones and dates in words.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use switchhook_model::{Language, Timestamp};

/// A time zone from the bundled database, never from the machine's files.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalZone {
    name: String,
    zone: TimeZone,
}

/// The zone is not in the IANA database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0:?}: use an IANA name such as Europe/Berlin or UTC")]
pub struct UnknownZone(String);

impl LocalZone {
    /// UTC.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local date and time of an instant. Instants beyond the calendar become its limits.
    pub fn local(&self, at: Timestamp) -> jiff::Zoned {
        let limit = if at.as_millis() < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        jiff::Timestamp::from_millisecond(at.as_millis())
            .unwrap_or(limit)
            .to_zoned(self.zone.clone())
    }

    /// A local date and time as RFC 3339 with the zone's offset. A time within a gap of the clock
    /// moves forward, as clocks do.
    pub fn rfc3339(&self, at: jiff::civil::DateTime) -> Option<String> {
        let zoned = at.to_zoned(self.zone.clone()).ok()?;
        Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// The sentence the model reads about the present, e.g. `Friday, 21 November 2025, 15:32
    /// (Europe/Berlin)`.
    pub fn describe(&self, at: Timestamp, language: Language) -> String {
        let local = self.local(at);
        format!(
            "{}, {} {} {}, {:02}:{:02} ({})",
            weekday_name(local.weekday(), language),
            local.day(),
            month_name(local.month(), language),
            local.year(),
            local.hour(),
            local.minute(),
            self.name
        )
    }
}

impl std::str::FromStr for LocalZone {
    type Err = UnknownZone;
    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        if name == "UTC" {
            return Ok(Self::utc());
        }
        let zone = TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_| UnknownZone(name.chars().take(64).collect()))?;
        Ok(Self {
            name: zone.iana_name().unwrap_or(name).to_owned(),
            zone,
        })
    }
}

impl fmt::Debug for LocalZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalZone({})", self.name)
    }
}

/// The weekday's name.
pub fn weekday_name(day: Weekday, language: Language) -> &'static str {
    let names = match language {
        Language::En => [
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
        ],
        Language::De => [
            "Montag",
            "Dienstag",
            "Mittwoch",
            "Donnerstag",
            "Freitag",
            "Samstag",
            "Sonntag",
        ],
        Language::Ar => [
            "الاثنين",
            "الثلاثاء",
            "الأربعاء",
            "الخميس",
            "الجمعة",
            "السبت",
            "الأحد",
        ],
    };
    names[usize::from(day.to_monday_zero_offset().unsigned_abs())]
}

/// The month's name; `month` from 1 to 12.
pub fn month_name(month: i8, language: Language) -> &'static str {
    let names = match language {
        Language::En => [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        Language::De => [
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ],
        Language::Ar => [
            "يناير",
            "فبراير",
            "مارس",
            "أبريل",
            "مايو",
            "يونيو",
            "يوليو",
            "أغسطس",
            "سبتمبر",
            "أكتوبر",
            "نوفمبر",
            "ديسمبر",
        ],
    };
    names[usize::from(month.clamp(1, 12).unsigned_abs()) - 1]
}

/// A date as it is spoken: `Saturday, November 22nd`, `Samstag, den 22. November`.
pub fn spoken_date(date: Date, language: Language) -> String {
    let weekday = weekday_name(date.weekday(), language);
    let month = month_name(date.month(), language);
    let day = date.day();
    match language {
        Language::En => format!("{weekday}, {month} {day}{}", english_ordinal_ending(day)),
        Language::De => format!("{weekday}, den {day}. {month}"),
        Language::Ar => format!("{weekday} {day} {month}"),
    }
}

/// A time as it is spoken: `7 pm`, `7:30 pm`, `19 Uhr`, `19 Uhr 30`.
pub fn spoken_time(time: jiff::civil::Time, language: Language) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    match language {
        Language::En | Language::Ar => {
            let half = if hour < 12 { "am" } else { "pm" };
            let twelve = match hour % 12 {
                0 => 12,
                other => other,
            };
            if minute == 0 {
                format!("{twelve} {half}")
            } else {
                format!("{twelve}:{minute:02} {half}")
            }
        }
        Language::De => {
            if minute == 0 {
                format!("{hour} Uhr")
            } else {
                format!("{hour} Uhr {minute}")
            }
        }
    }
}

fn english_ordinal_ending(day: i8) -> &'static str {
    match day {
        11..=13 => "th",
        _ => match day % 10 {
            1 => "st",
            2 => "nd",
            3 => "rd",
            _ => "th",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_is_told_in_the_local_zone() {
        let zone: LocalZone = "Europe/Berlin".parse().unwrap();
        let at = Timestamp::parse_rfc3339("2026-11-20T23:30:00Z").unwrap();
        assert_eq!(
            zone.describe(at, Language::De),
            "Samstag, 21 November 2026, 00:30 (Europe/Berlin)"
        );
        assert!("Europe/Atlantis".parse::<LocalZone>().is_err());
    }

    #[test]
    fn dates_and_times_in_words() {
        let date = jiff::civil::date(2026, 11, 22);
        assert_eq!(spoken_date(date, Language::En), "Sunday, November 22nd");
        assert_eq!(spoken_date(date, Language::De), "Sonntag, den 22. November");
        let time = jiff::civil::time(19, 30, 0, 0);
        assert_eq!(spoken_time(time, Language::En), "7:30 pm");
        assert_eq!(spoken_time(time, Language::De), "19 Uhr 30");
    }

    #[test]
    fn limits_of_the_calendar_do_not_panic() {
        for millis in [i64::MIN, i64::MAX, 0] {
            LocalZone::utc().describe(Timestamp::from_millis(millis), Language::En);
        }
    }
}
