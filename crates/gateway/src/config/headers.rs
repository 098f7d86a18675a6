//! Header names and values of the configuration that go on the wire.

use std::collections::BTreeMap;

use super::problems::Problems;

/// Headers that tell where a call comes from: kept unless configured otherwise.
pub(super) const KEPT: [&str; 3] = ["Diversion", "History-Info", "User-to-User"];

/// `X-` headers and those that carry somebody's data through: all others are the protocol's.
fn is_ours_to_set(name: &str) -> bool {
    let is_extra = name
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-"))
        && name.len() > 2;
    let is_own = name
        .get(..13)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-switchhook-"));
    (is_extra && !is_own) || name.eq_ignore_ascii_case("User-to-User")
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Names of headers that are read.
pub(super) fn names(field: &str, given: Vec<String>, problems: &mut Problems) -> Vec<String> {
    for name in given.iter().filter(|name| !is_token(name)) {
        problems.add(format!(
            "{field}: {name:?} is no header name (letters, digits, hyphens)"
        ));
    }
    given
}

/// Names of headers that are handed on.
pub(super) fn passed(field: &str, given: Vec<String>, problems: &mut Problems) -> Vec<String> {
    for name in given
        .iter()
        .filter(|name| !is_token(name) || !is_ours_to_set(name))
    {
        problems.add(format!(
            "{field}: {name:?} cannot be handed on; use X- headers or User-to-User"
        ));
    }
    given
}

/// Headers with their values.
pub(super) fn written(
    field: &str,
    given: BTreeMap<String, String>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    for (name, value) in &given {
        if !is_token(name) || !is_ours_to_set(name) {
            problems.add(format!(
                "{field}: {name:?} cannot be set; use X- headers or User-to-User"
            ));
        }
        if value.chars().any(char::is_control) || value.len() > 1_024 {
            problems.add(format!(
                "{field}.{name}: at most 1,024 bytes and no line breaks"
            ));
        }
    }
    given
}

/// What is handed on must have been kept, and is not written a second time.
pub(super) fn agree(
    kept: &[String],
    passed: &[String],
    written: &BTreeMap<String, String>,
    problems: &mut Problems,
) {
    for name in passed {
        if !kept.contains(name) {
            problems.add(format!(
                "outbound.pass_headers: {name:?} is not in sip.keep_headers, spelt alike"
            ));
        }
        if written.keys().any(|key| key.eq_ignore_ascii_case(name)) {
            problems.add(format!(
                "outbound.pass_headers: {name:?} is in outbound.headers as well"
            ));
        }
    }
}
