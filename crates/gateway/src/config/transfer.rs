//! The `[transfer]` section.

use std::collections::BTreeMap;

use switchhook_call::hours::RawOpenHours;
use switchhook_call::{AttemptResult, FallbackStep, OpenHours};
use switchhook_model::{E164, Target};

use super::problems::Problems;
use super::raw::{RawHours, RawTransfer};
use super::resolve::seconds;
use super::types::TransferConfig;

/// `phrases`: whether whole sentences are understood as a wish for a human, unless the section says.
/// `own_number`: by which callers reach this program.
pub(super) fn resolve(
    raw: RawTransfer,
    phrases: bool,
    own_number: Option<&E164>,
    time_zone: &str,
    problems: &mut Problems,
) -> TransferConfig {
    let mut targets = problems.targets(
        "transfer.targets",
        raw.targets.as_deref().unwrap_or_default(),
    );
    if raw.use_trunk_number == Some(true) {
        targets = trunk_number(raw.trunk_number.as_deref(), own_number, problems);
    }
    let mut departments: BTreeMap<String, Vec<Target>> = raw
        .departments
        .iter()
        .map(|(name, targets)| {
            let key = format!("transfer.departments.{name}");
            (name.to_lowercase(), problems.targets(&key, targets))
        })
        .collect();
    if raw.use_trunk_number == Some(true) {
        // Whoever is asked for: the PBX does the rest.
        for own in departments.values_mut() {
            own.clone_from(&targets);
        }
    }
    for name in raw.department_names.iter().flatten() {
        let name = name.trim().to_lowercase();
        departments.entry(name).or_insert_with(|| targets.clone());
    }
    if let Some(name) = raw.default_department {
        match departments.get(&name.trim().to_lowercase()) {
            Some(its) => targets.clone_from(its),
            None => problems.add(format!(
                "transfer.default_department: there is no department {name:?}; add it to \
                 transfer.department_names (VOICE_AGENT_DEPARTMENTS) or [transfer.departments]"
            )),
        }
    }
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
        targets,
        departments,
        spoken_extension: raw.spoken_extension.unwrap_or(false),
        phrases: raw.phrases.unwrap_or(phrases),
        fallback: raw.fallback.unwrap_or_else(default_chain),
        fallback_on: fallback_on(raw.fallback_on, problems),
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

/// A number of our own there would come back as a new call, and so on.
fn trunk_number(text: Option<&str>, own: Option<&E164>, problems: &mut Problems) -> Vec<Target> {
    let key = "transfer.trunk_number";
    let Some(text) = text else {
        problems.add(format!(
            "{key} (TWILIO_TRUNK_NUMBER) is missing: transfer.use_trunk_number needs it"
        ));
        return Vec::new();
    };
    let number: Option<E164> = problems.parse(key, text);
    if number.is_some() && number.as_ref() == own {
        problems.add(format!(
            "{key} is our own number: each transfer would call this program again; give the \
             number that the PBX answers"
        ));
    }
    number.map(Target::Number).into_iter().collect()
}

fn fallback_on(
    raw: BTreeMap<String, Vec<FallbackStep>>,
    problems: &mut Problems,
) -> BTreeMap<AttemptResult, Vec<FallbackStep>> {
    let known = [
        AttemptResult::Busy,
        AttemptResult::NoAnswer,
        AttemptResult::Failed,
    ];
    let mut chains = BTreeMap::new();
    for (name, chain) in raw {
        match known.into_iter().find(|result| result.code() == name) {
            Some(result) => {
                chains.insert(result, chain);
            }
            None => problems.add(format!(
                "transfer.fallback_on.{name}: no attempt ends so; busy, no_answer and failed do"
            )),
        }
    }
    chains
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
