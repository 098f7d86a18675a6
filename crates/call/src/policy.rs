//! What a profile decides about its calls: whom to dial, how long, when, and what follows if nobody
//! answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use switchhook_model::{Extension, Language, Target};

use crate::hours::OpenHours;
use crate::texts::Texts;
use crate::transfer::{AttemptResult, TransferMethod};

/// One step after all targets failed, or outside the open hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackStep {
    /// The caller talks to the assistant again. Steps after it are not reached.
    ReturnToAssistant,
    /// The caller may leave a message. A message always becomes a notice to the staff.
    TakeMessage,
    /// The staff are told; after a message the caller waits to hear whether that worked.
    NotifyStaff,
    /// Goodbye and hang up. Steps after it are not reached; a chain without it ends with it.
    Goodbye,
}

/// Which calls are recorded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RecordPolicy {
    /// None.
    Off,
    /// Those the assistant takes or makes, from answer to end.
    #[default]
    AssistantCalls,
    /// Those and calls straight to an extension.
    AllCalls,
}

/// What follows when a machine answers a call of ours. A fax is hung up on in any case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MachinePolicy {
    /// Hang up.
    #[default]
    HangUp,
    /// Say [`crate::TextKey::MachineMessage`], then hang up.
    Message,
    /// The assistant talks to whatever it is.
    GoOn,
}

impl MachinePolicy {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The rules of one call, copied into it when it begins: a changed configuration applies to the
/// next call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallPolicy {
    /// Seconds a human's phone rings. Default 20.
    pub ring_timeout_s: u32,
    /// Other ring timeouts in seconds, for single targets.
    pub ring_timeouts_s: BTreeMap<Target, u32>,
    /// Seconds a channel may need after a ring timeout to tell that it has passed: a carrier that
    /// times the ringing itself reports it with the end of its dial. Until then the call waits.
    /// Default 0: the call times the ringing.
    #[serde(skip_serializing_if = "is_zero")]
    pub ring_report_s: u32,
    /// Seconds the party of an outbound call may ring. Default 45.
    pub outbound_ring_timeout_s: u32,
    /// Targets per department, in the order they are tried. Names are compared without case.
    pub targets: BTreeMap<String, Vec<Target>>,
    /// Targets for no or an unknown department.
    pub default_targets: Vec<Target>,
    /// Whether a caller may name an extension.
    pub allow_spoken_extension: bool,
    /// The extensions a caller may name.
    pub dialable_extensions: BTreeSet<Extension>,
    /// When humans are there; always, if not set.
    pub open_hours: Option<OpenHours>,
    /// What follows when nobody was reached.
    pub fallback: Vec<FallbackStep>,
    /// What follows instead if the last attempt ended so.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fallback_on: BTreeMap<AttemptResult, Vec<FallbackStep>>,
    /// What follows outside the open hours.
    pub closed_fallback: Vec<FallbackStep>,
    /// Dial attempts per transfer. Default 4.
    pub max_attempts: u32,
    /// Transfers per call. Default 3.
    pub max_transfers: u32,
    /// The number shown to those we call.
    pub caller_id: Option<String>,
    /// Which calls are recorded.
    pub record: RecordPolicy,
    /// Longest duration of a call in seconds, from its answer. Default 3600.
    pub max_call_s: u32,
    /// Seconds a caller who left a message waits for the staff's receiver before being told that
    /// the message is saved but not delivered yet. Default 8.
    pub notice_timeout_s: u32,
    /// Longest message in seconds. Default 120.
    pub max_message_s: u32,
    /// The language of the texts.
    pub language: Language,
    /// Sentences that differ from the shipped ones.
    pub texts: Texts,
    /// How the assistant's and operators' transfers are carried out.
    #[serde(skip_serializing_if = "TransferMethod::is_default")]
    pub transfer_method: TransferMethod,
    /// What follows when a machine answers a call of ours.
    #[serde(skip_serializing_if = "MachinePolicy::is_default")]
    pub machine: MachinePolicy,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Default for CallPolicy {
    fn default() -> Self {
        let chain = vec![
            FallbackStep::TakeMessage,
            FallbackStep::NotifyStaff,
            FallbackStep::Goodbye,
        ];
        Self {
            ring_timeout_s: 20,
            ring_timeouts_s: BTreeMap::new(),
            ring_report_s: 0,
            outbound_ring_timeout_s: 45,
            targets: BTreeMap::new(),
            default_targets: Vec::new(),
            allow_spoken_extension: false,
            dialable_extensions: BTreeSet::new(),
            open_hours: None,
            fallback: chain.clone(),
            fallback_on: BTreeMap::new(),
            closed_fallback: chain,
            max_attempts: 4,
            max_transfers: 3,
            caller_id: None,
            record: RecordPolicy::default(),
            max_call_s: 3600,
            notice_timeout_s: 8,
            max_message_s: 120,
            language: Language::default(),
            texts: Texts::default(),
            transfer_method: TransferMethod::default(),
            machine: MachinePolicy::default(),
        }
    }
}

/// What is wrong with a policy, with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A number outside its range.
    #[error("{field} is {value}, but must be from {min} to {max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it is.
        value: u32,
        /// Least.
        min: u32,
        /// Most.
        max: u32,
    },
    /// Steps that are never reached.
    #[error(
        "{field}: {step:?} ends the chain, so the steps after it are never reached; remove them"
    )]
    UnreachableStep {
        /// The field.
        field: &'static str,
        /// The step that ends the chain.
        step: FallbackStep,
    },
}

/// How a transfer's targets were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialPlan {
    pub targets: Vec<Target>,
    /// The caller named an extension that may not be dialled, so others are tried.
    pub instead: bool,
}

impl CallPolicy {
    /// Checks ranges and chains; the open hours and texts were checked when they were built.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let ranges = [
            ("ring_timeout_s", self.ring_timeout_s, 1, 300),
            (
                "outbound_ring_timeout_s",
                self.outbound_ring_timeout_s,
                1,
                300,
            ),
            ("ring_report_s", self.ring_report_s, 0, 60),
            ("max_attempts", self.max_attempts, 1, 50),
            ("max_transfers", self.max_transfers, 1, 100),
            ("max_call_s", self.max_call_s, 10, 86_400),
            ("notice_timeout_s", self.notice_timeout_s, 1, 120),
            ("max_message_s", self.max_message_s, 5, 600),
        ];
        let timeouts = self
            .ring_timeouts_s
            .values()
            .map(|value| ("ring_timeouts_s", *value, 1, 300));
        for (field, value, min, max) in ranges.into_iter().chain(timeouts) {
            if !(min..=max).contains(&value) {
                return Err(PolicyError::OutOfRange {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        for (field, chain) in [
            ("fallback", &self.fallback),
            ("closed_fallback", &self.closed_fallback),
        ] {
            let ends = |step: &&FallbackStep| {
                matches!(
                    step,
                    FallbackStep::Goodbye | FallbackStep::ReturnToAssistant
                )
            };
            let before_last = chain.len().saturating_sub(1);
            if let Some(step) = chain[..before_last].iter().find(ends) {
                return Err(PolicyError::UnreachableStep { field, step: *step });
            }
        }
        Ok(())
    }

    /// Seconds this target may ring.
    pub(crate) fn ring_timeout_for(&self, target: &Target) -> u32 {
        self.ring_timeouts_s
            .get(target)
            .copied()
            .unwrap_or(self.ring_timeout_s)
    }

    /// Whom to dial for the assistant's request.
    pub(crate) fn plan(&self, target: Option<&Target>, department: Option<&str>) -> DialPlan {
        let named = match target {
            Some(Target::Extension(extension))
                if self.allow_spoken_extension && self.dialable_extensions.contains(extension) =>
            {
                return DialPlan {
                    targets: vec![Target::Extension(extension.clone())],
                    instead: false,
                };
            }
            // A caller never chooses a number or a URI: that would be toll fraud by voice.
            Some(Target::Extension(_) | Target::Number(_) | Target::SipUri(_)) => true,
            None => false,
        };
        DialPlan {
            targets: self.department_targets(department),
            instead: named,
        }
    }

    /// Whether the target is one of those that are configured, for any department or for callers who
    /// name it.
    pub fn may_reach(&self, target: &Target) -> bool {
        let is_named = match target {
            Target::Extension(extension) => {
                self.allow_spoken_extension && self.dialable_extensions.contains(extension)
            }
            Target::Number(_) | Target::SipUri(_) => false,
        };
        is_named
            || self.default_targets.contains(target)
            || self.targets.values().any(|all| all.contains(target))
    }

    /// The targets of a department, or the default ones.
    pub(crate) fn department_targets(&self, department: Option<&str>) -> Vec<Target> {
        let wanted = department.map(|name| name.trim().to_lowercase());
        self.targets
            .iter()
            .find(|(name, _)| wanted.as_deref() == Some(name.trim().to_lowercase().as_str()))
            .map_or(&self.default_targets, |(_, targets)| targets)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> CallPolicy {
        let target = |text: &str| text.parse::<Target>().unwrap();
        CallPolicy {
            targets: BTreeMap::from([("Sales".to_owned(), vec![target("2005"), target("2001")])]),
            default_targets: vec![target("2001")],
            allow_spoken_extension: true,
            dialable_extensions: BTreeSet::from(["2005".parse().unwrap()]),
            ..CallPolicy::default()
        }
    }

    fn planned(target: Option<&str>, department: Option<&str>) -> (String, bool) {
        let target = target.map(|text| text.parse().unwrap());
        let plan = policy().plan(target.as_ref(), department);
        let targets: Vec<String> = plan.targets.iter().map(ToString::to_string).collect();
        (targets.join(","), plan.instead)
    }

    #[test]
    fn departments_are_found_without_case_and_unknown_ones_get_the_default() {
        assert_eq!(planned(None, Some("sales ")), ("2005,2001".into(), false));
        assert_eq!(planned(None, Some("legal")), ("2001".into(), false));
        assert_eq!(planned(None, None), ("2001".into(), false));
    }

    #[test]
    fn a_spoken_target_is_dialled_only_if_it_is_on_the_list() {
        assert_eq!(planned(Some("2005"), None), ("2005".into(), false));
        assert_eq!(planned(Some("2009"), None), ("2001".into(), true));
        assert_eq!(planned(Some("+12025550100"), None), ("2001".into(), true));
        assert_eq!(
            planned(Some("sip:x@192.0.2.1"), Some("sales")),
            ("2005,2001".into(), true)
        );
        let closed = CallPolicy {
            allow_spoken_extension: false,
            ..policy()
        };
        assert!(closed.plan(Some(&"2005".parse().unwrap()), None).instead);
    }

    #[test]
    fn configured_targets_may_be_reached_and_no_others() {
        for (text, may) in [
            ("2001", true),
            ("2005", true),
            ("2009", false),
            ("+12025550100", false),
            ("sip:2001@192.0.2.1", false),
        ] {
            assert_eq!(policy().may_reach(&text.parse().unwrap()), may, "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_fields_name() {
        assert_eq!(CallPolicy::default().validate(), Ok(()));
        let zero = CallPolicy {
            ring_timeout_s: 0,
            ..CallPolicy::default()
        };
        assert_eq!(
            zero.validate().unwrap_err().to_string(),
            "ring_timeout_s is 0, but must be from 1 to 300"
        );
        let dead = CallPolicy {
            closed_fallback: vec![FallbackStep::Goodbye, FallbackStep::TakeMessage],
            ..CallPolicy::default()
        };
        assert!(
            dead.validate()
                .unwrap_err()
                .to_string()
                .starts_with("closed_fallback: Goodbye ends the chain")
        );
    }
}
