//! `[outbound]`: whom we may call, when, how often and at what cost, and what follows when a machine
//! answers.

use std::collections::BTreeMap;

use switchhook_call::hours::RawOpenHours;
use switchhook_call::{MachinePolicy, OpenHours, Texts};

use super::problems::Problems;
use super::raw::{RawHours, RawOutbound};
use super::types::{CallingHours, Detection, OutboundLimits, Prices};

/// Everything of the section that is about calls to numbers.
pub(super) struct Resolved {
    pub region: Option<phonenumber::country::Id>,
    pub hours: Option<CallingHours>,
    pub limits: OutboundLimits,
    pub machine: MachinePolicy,
    pub detection: Detection,
    pub machine_message: Option<String>,
    pub simulate: bool,
}

pub(super) fn resolve(raw: &mut RawOutbound, time_zone: &str, problems: &mut Problems) -> Resolved {
    let region = raw.region.take().and_then(|text| {
        let upper = text.to_uppercase();
        upper
            .parse::<phonenumber::country::Id>()
            .map_err(|_| {
                problems.add(format!(
                    "outbound.region: {text:?} is not a country; write two letters such as DE or SA (ISO 3166)"
                ));
            })
            .ok()
    });
    let zones = std::mem::take(&mut raw.time_zones);
    for prefix in zones.keys().chain(raw.price_per_minute.keys()) {
        if !is_prefix(prefix) {
            problems.add(format!(
                "outbound: {prefix:?} is not the beginning of a number; write + and digits"
            ));
        }
    }
    let hours = raw
        .hours
        .take()
        .and_then(|hours| calling_hours(&hours, time_zone, &zones, problems));
    let machine = match raw.machine.as_deref() {
        None | Some("hang_up") => MachinePolicy::HangUp,
        Some("message") => MachinePolicy::Message,
        Some("go_on") => MachinePolicy::GoOn,
        Some(other) => {
            problems.add(format!(
                "outbound.machine: expected hang_up, message or go_on, got {other:?}"
            ));
            MachinePolicy::HangUp
        }
    };
    let detection = match raw.machine_detection.as_deref() {
        None | Some("before") => Detection::Before,
        Some("beside") => Detection::Beside,
        Some("off") => Detection::Off,
        Some(other) => {
            problems.add(format!(
                "outbound.machine_detection: expected before, beside or off, got {other:?}"
            ));
            Detection::Before
        }
    };
    if let Some(text) = &raw.machine_message
        && let Err(error) = Texts::from_config([("machine_message", text.as_str())])
    {
        problems.add(format!("outbound.machine_message: {error}"));
    }
    let limits = OutboundLimits {
        calls_per_minute: at_least_one("calls_per_minute", raw.calls_per_minute, 30, problems),
        customer_calls_per_day: at_least_one(
            "customer_calls_per_day",
            raw.customer_calls_per_day,
            5,
            problems,
        ),
        max_calls: at_least_one("max_calls", raw.max_calls, 20, problems),
        minutes_per_day: at_least_one("minutes_per_day", raw.minutes_per_day, 1000, problems),
        prices: prices(raw, problems),
    };
    Resolved {
        region,
        hours,
        limits,
        machine,
        detection,
        machine_message: raw.machine_message.take(),
        simulate: raw.simulate.unwrap_or(false),
    }
}

fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

fn at_least_one(key: &str, given: Option<u32>, otherwise: u32, problems: &mut Problems) -> u32 {
    let key = format!("outbound.{key}");
    problems.in_range(&key, given.unwrap_or(otherwise), 1, 1_000_000)
}

fn prices(raw: &mut RawOutbound, problems: &mut Problems) -> Option<Prices> {
    let per_minute = std::mem::take(&mut raw.price_per_minute);
    let per_day = raw.spend_per_day?;
    let is_price = |price: &f64| price.is_finite() && (0.0..=1000.0).contains(price);
    if !(per_day.is_finite() && per_day > 0.0 && per_day <= 1_000_000.0) {
        problems.add("outbound.spend_per_day: expected an amount above 0");
        return None;
    }
    if per_minute.is_empty() || !per_minute.values().all(is_price) {
        problems.add(
            "outbound.spend_per_day needs outbound.price_per_minute: a price from 0 to 1000 for each prefix, such as { \"+49\" = 0.02 }",
        );
        return None;
    }
    Some(Prices {
        per_day,
        per_minute,
    })
}

fn calling_hours(
    hours: &RawHours,
    time_zone: &str,
    zones: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<CallingHours> {
    let mut in_zone = |zone: &str| {
        let raw = RawOpenHours {
            time_zone: zone.to_owned(),
            weekly: hours.weekly.clone(),
            holidays: hours.holidays.clone(),
        };
        OpenHours::try_from(raw)
            .map_err(|error| {
                let error = error.to_string();
                let error = error.strip_prefix("open_hours.").unwrap_or(&error);
                problems.add(format!("outbound.hours.{error}"));
            })
            .ok()
    };
    let otherwise = in_zone(time_zone)?;
    let by_prefix = zones
        .iter()
        .filter_map(|(prefix, zone)| Some((prefix.clone(), in_zone(zone)?)))
        .collect();
    Some(CallingHours {
        otherwise,
        by_prefix,
    })
}
