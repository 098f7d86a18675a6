//! When humans are there: weekly spans and holidays in a time zone. The zones are the ones bundled
//! with the program, so that the same call decides the same on every machine.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{ToSpan, Zoned};
use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;

/// One weekly span as it is written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeeklySpan {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, or the full English names.
    pub days: Vec<String>,
    /// `HH:MM`, included.
    pub from: String,
    /// `HH:MM`, excluded; `24:00` is the end of the day. Not later than `from` means: until that
    /// time on the next day.
    pub to: String,
}

/// Open hours as they are written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOpenHours {
    /// IANA name, such as `Europe/Berlin`.
    pub time_zone: String,
    /// The weekly spans; they may overlap.
    pub weekly: Vec<WeeklySpan>,
    /// Days without service, `YYYY-MM-DD`.
    #[serde(default)]
    pub holidays: Vec<String>,
}

/// Checked open hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawOpenHours", into = "RawOpenHours")]
pub struct OpenHours {
    raw: RawOpenHours,
    zone: TimeZone,
    spans: Vec<Span>,
    holidays: Vec<Date>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    days: Vec<Weekday>,
    from: Time,
    /// None is the end of the day.
    to: Option<Time>,
}

/// What is wrong with open hours, with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// No such zone.
    #[error(
        "open_hours.time_zone: {0:?} is not an IANA time zone; write one such as Europe/Berlin"
    )]
    TimeZone(String),
    /// Not a day.
    #[error(
        "open_hours.weekly[{index}].days: {got:?} is not a day; write mon, tue, wed, thu, fri, sat or sun"
    )]
    Day {
        /// Which span.
        index: usize,
        /// What was there.
        got: String,
    },
    /// A span without days.
    #[error("open_hours.weekly[{index}].days is empty; name at least one day")]
    NoDays {
        /// Which span.
        index: usize,
    },
    /// Not a time of day.
    #[error("open_hours.weekly[{index}].{field}: {got:?} is not a time of day; write HH:MM")]
    Time {
        /// Which span.
        index: usize,
        /// `from` or `to`.
        field: &'static str,
        /// What was there.
        got: String,
    },
    /// Not a date.
    #[error("open_hours.holidays[{index}]: {got:?} is not a date; write YYYY-MM-DD")]
    Date {
        /// Which holiday.
        index: usize,
        /// What was there.
        got: String,
    },
}

impl TryFrom<RawOpenHours> for OpenHours {
    type Error = HoursError;

    fn try_from(raw: RawOpenHours) -> Result<Self, HoursError> {
        let zone = TimeZoneDatabase::bundled()
            .get(&raw.time_zone)
            .map_err(|_| HoursError::TimeZone(raw.time_zone.clone()))?;
        let spans = raw
            .weekly
            .iter()
            .enumerate()
            .map(|(index, span)| Span::parse(index, span))
            .collect::<Result<_, _>>()?;
        let holidays = raw
            .holidays
            .iter()
            .enumerate()
            .map(|(index, got)| {
                got.parse().map_err(|_| HoursError::Date {
                    index,
                    got: got.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            raw,
            zone,
            spans,
            holidays,
        })
    }
}

impl From<OpenHours> for RawOpenHours {
    fn from(hours: OpenHours) -> Self {
        hours.raw
    }
}

impl Span {
    fn parse(index: usize, span: &WeeklySpan) -> Result<Self, HoursError> {
        if span.days.is_empty() {
            return Err(HoursError::NoDays { index });
        }
        let days = span
            .days
            .iter()
            .map(|got| {
                weekday(got).ok_or_else(|| HoursError::Day {
                    index,
                    got: got.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        let time = |field: &'static str, got: &str| {
            time_of_day(got).ok_or_else(|| HoursError::Time {
                index,
                field,
                got: got.to_owned(),
            })
        };
        let to = match span.to.as_str() {
            "24:00" => None,
            other => Some(time("to", other)?),
        };
        Ok(Self {
            days,
            from: time("from", &span.from)?,
            to,
        })
    }

    /// Whether the span that begins on `begins` covers `time` on that same day.
    fn covers_same_day(&self, begins: Weekday, time: Time) -> bool {
        self.days.contains(&begins)
            && time >= self.from
            && self.to.is_none_or(|to| to <= self.from || time < to)
    }

    /// Whether the span that began on the day before, `began`, still covers `time`.
    fn covers_next_day(&self, began: Weekday, time: Time) -> bool {
        self.days.contains(&began) && self.to.is_some_and(|to| to <= self.from && time < to)
    }
}

impl OpenHours {
    /// Whether humans are there at this instant. A holiday is closed from midnight to midnight,
    /// also for a span that began the evening before.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_millisecond(now.as_millis()) else {
            return false;
        };
        let local: Zoned = instant.to_zoned(self.zone.clone());
        let (today, time) = (local.date(), local.time());
        if self.holidays.contains(&today) {
            return false;
        }
        let yesterday = today.checked_sub(1.day()).ok();
        let began = yesterday.filter(|day| !self.holidays.contains(day));
        self.spans.iter().any(|span| {
            span.covers_same_day(today.weekday(), time)
                || began.is_some_and(|day| span.covers_next_day(day.weekday(), time))
        })
    }

    /// The zone's IANA name.
    pub fn time_zone(&self) -> &str {
        &self.raw.time_zone
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    match text.trim().to_ascii_lowercase().as_str() {
        "mon" | "monday" => Some(Weekday::Monday),
        "tue" | "tuesday" => Some(Weekday::Tuesday),
        "wed" | "wednesday" => Some(Weekday::Wednesday),
        "thu" | "thursday" => Some(Weekday::Thursday),
        "fri" | "friday" => Some(Weekday::Friday),
        "sat" | "saturday" => Some(Weekday::Saturday),
        "sun" | "sunday" => Some(Weekday::Sunday),
        _ => None,
    }
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    Time::new(hour, minute, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(weekly: &[(&str, &str, &str)], holidays: &[&str]) -> Result<OpenHours, HoursError> {
        RawOpenHours {
            time_zone: "Europe/Berlin".to_owned(),
            weekly: weekly
                .iter()
                .map(|(days, from, to)| WeeklySpan {
                    days: days.split_whitespace().map(str::to_owned).collect(),
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                })
                .collect(),
            holidays: holidays.iter().map(|d| (*d).to_owned()).collect(),
        }
        .try_into()
    }

    fn open(hours: &OpenHours, local: &str) -> bool {
        hours.is_open(Timestamp::parse_rfc3339(local).expect("RFC 3339"))
    }

    #[test]
    fn office_hours_follow_the_zones_summer_time() {
        let office = hours(&[("mon tue wed thu fri", "08:00", "17:00")], &[]).unwrap();
        // Tuesday in winter, UTC+1, and in summer, UTC+2.
        assert!(open(&office, "2026-01-13T07:00:00Z"));
        assert!(!open(&office, "2026-01-13T06:59:59Z"));
        assert!(open(&office, "2026-07-14T06:00:00Z"));
        assert!(!open(&office, "2026-07-14T15:00:00Z"));
        // Saturday.
        assert!(!open(&office, "2026-01-17T09:00:00Z"));
    }

    #[test]
    fn a_night_span_runs_into_the_next_day_but_not_into_a_holiday() {
        let night = hours(&[("fri", "22:00", "06:00")], &["2026-01-24"]).unwrap();
        assert!(open(&night, "2026-01-16T23:00:00+01:00"));
        assert!(open(&night, "2026-01-17T05:59:00+01:00"));
        assert!(!open(&night, "2026-01-17T06:00:00+01:00"));
        assert!(!open(&night, "2026-01-17T23:00:00+01:00"));
        assert!(open(&night, "2026-01-23T23:00:00+01:00"));
        assert!(!open(&night, "2026-01-24T01:00:00+01:00"));
    }

    #[test]
    fn a_span_on_a_holiday_does_not_begin() {
        let night = hours(&[("fri", "22:00", "06:00")], &["2026-01-16"]).unwrap();
        assert!(!open(&night, "2026-01-16T23:00:00+01:00"));
        assert!(!open(&night, "2026-01-17T01:00:00+01:00"));
    }

    #[test]
    fn the_whole_day_is_from_zero_to_twenty_four() {
        let sunday = hours(&[("sunday", "00:00", "24:00")], &[]).unwrap();
        assert!(open(&sunday, "2026-01-18T23:59:59+01:00"));
        assert!(!open(&sunday, "2026-01-19T00:00:00+01:00"));
    }

    #[test]
    fn mistakes_are_named_with_field_and_cure() {
        let text = |weekly: &[(&str, &str, &str)], holidays: &[&str]| {
            hours(weekly, holidays).unwrap_err().to_string()
        };
        assert_eq!(
            text(&[("mon", "08:00", "12:00"), ("funday", "8", "9")], &[]),
            "open_hours.weekly[1].days: \"funday\" is not a day; write mon, tue, wed, thu, fri, sat or sun"
        );
        assert_eq!(
            text(&[("mon", "8:00", "12:00")], &[]),
            "open_hours.weekly[0].from: \"8:00\" is not a time of day; write HH:MM"
        );
        assert_eq!(
            text(&[("mon", "08:00", "25:00")], &[]),
            "open_hours.weekly[0].to: \"25:00\" is not a time of day; write HH:MM"
        );
        assert!(text(&[("", "08:00", "09:00")], &[]).contains("days is empty"));
        assert!(text(&[], &["24.12.2026"]).contains("holidays[0]"));
        let zone: Result<OpenHours, _> = RawOpenHours {
            time_zone: "Berlin".to_owned(),
            weekly: vec![],
            holidays: vec![],
        }
        .try_into();
        assert!(zone.unwrap_err().to_string().contains("IANA"));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let office = hours(&[("mon", "08:00", "17:00")], &["2026-12-25"]).unwrap();
        let json = serde_json::to_string(&office).unwrap();
        assert_eq!(serde_json::from_str::<OpenHours>(&json).unwrap(), office);
    }
}
