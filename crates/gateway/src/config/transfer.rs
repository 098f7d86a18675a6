//! The `[transfer]` section.

use switchhook_call::hours::RawOpenHours;
use switchhook_call::{FallbackStep, OpenHours};

use super::problems::Problems;
use super::raw::{RawHours, RawTransfer};
use super::resolve::seconds;
use super::types::TransferConfig;

/// `phrases`: whether whole sentences are understood as a wish for a human, unless the section says.
pub(super) fn resolve(
    raw: RawTransfer,
    phrases: bool,
    time_zone: &str,
    problems: &mut Problems,
) -> TransferConfig {
    let departments = raw
        .departments
        .iter()
        .map(|(name, targets)| {
            let key = format!("transfer.departments.{name}");
            (name.to_lowercase(), problems.targets(&key, targets))
        })
        .collect();
    let open_hours = raw
        .open_hours
        .and_then(|hours| open_hours(hours, time_zone, problems));
    TransferConfig {
        ring_timeout: seconds(problems.in_range(
            "transfer.ring_timeout_s",
            raw.ring_timeout_s.unwrap_or(20),
            1,
            120,
        )),
        targets: problems.targets("transfer.targets", &raw.targets.unwrap_or_default()),
        departments,
        spoken_extension: raw.spoken_extension.unwrap_or(false),
        phrases: raw.phrases.unwrap_or(phrases),
        fallback: raw.fallback.unwrap_or_else(default_chain),
        closed_fallback: raw.closed_fallback.unwrap_or_else(default_chain),
        max_transfers: problems.in_range(
            "transfer.max_transfers",
            raw.max_transfers.unwrap_or(3),
            1,
            20,
        ),
        open_hours,
    }
}

fn default_chain() -> Vec<FallbackStep> {
    vec![
        FallbackStep::TakeMessage,
        FallbackStep::NotifyStaff,
        FallbackStep::Goodbye,
    ]
}

fn open_hours(raw: RawHours, time_zone: &str, problems: &mut Problems) -> Option<OpenHours> {
    let raw = RawOpenHours {
        time_zone: time_zone.to_owned(),
        weekly: raw.weekly,
        holidays: raw.holidays,
    };
    OpenHours::try_from(raw)
        .map_err(|error| problems.add(format!("transfer.{error}")))
        .ok()
}
