//! How the SIP side authenticates, watches trunks and keeps dialogs alive.

use std::time::Duration;

use switchhook_sip::digest::DigestHash;
use switchhook_sip::{SessionTimerConfig, TrunkRegistration};

use super::raw::{RawSip, RawTrunk};
use super::resolve::Problems;
use super::types::TrunkWatch;

/// `sip.digest`: MD5 unless more is asked for, since many phones give up when the first challenge
/// names an algorithm they do not know.
pub(super) fn digest(names: Option<Vec<String>>, problems: &mut Problems) -> Vec<DigestHash> {
    let Some(names) = names else {
        return vec![DigestHash::Md5];
    };
    if names.is_empty() {
        problems.add("sip.digest is empty: name at least one of SHA-512-256, SHA-256, MD5");
    }
    let known = |name: &String| {
        let hash = DigestHash::by_name(name);
        if hash.is_none() {
            problems.add(format!(
                "sip.digest: expected SHA-512-256, SHA-256 or MD5, got {name:?}"
            ));
        }
        hash
    };
    names.iter().filter_map(known).collect()
}

/// `sip.session_expires_s` and `sip.session_min_s`.
pub(super) fn session_timer(sip: &RawSip, problems: &mut Problems) -> Option<SessionTimerConfig> {
    let expires_s = sip.session_expires_s.unwrap_or(1_800);
    let min_s = problems.in_range(
        "sip.session_min_s",
        sip.session_min_s.unwrap_or(90),
        90,
        86_400,
    );
    if expires_s == 0 {
        return None;
    }
    let expires_s = problems.in_range("sip.session_expires_s", expires_s, min_s, 86_400);
    Some(SessionTimerConfig { expires_s, min_s })
}

/// How a trunk is watched, and whether we register there.
pub(super) fn trunk_watch(key: &str, trunk: &RawTrunk, problems: &mut Problems) -> TrunkWatch {
    let every_s = problems.in_range(
        &format!("{key}.qualify_s"),
        trunk.qualify_s.unwrap_or(30),
        0,
        3_600,
    );
    let expires_s = problems.in_range(
        &format!("{key}.register_expires_s"),
        trunk.register_expires_s.unwrap_or(3_600),
        60,
        86_400,
    );
    let register = trunk.register.unwrap_or(false);
    if register {
        if trunk.username.is_none() {
            problems.add(format!(
                "{key}.username is missing: {key}.register needs it"
            ));
        }
        if trunk.password.is_none() && trunk.password_file.is_none() {
            problems.add(format!(
                "{key}.password is missing: {key}.register needs it"
            ));
        }
        if trunk.registrar.is_none() && trunk.termination.is_none() {
            problems.add(format!(
                "{key}.registrar and {key}.termination are missing: {key}.register needs one"
            ));
        }
    }
    TrunkWatch {
        qualify_every: (every_s > 0).then(|| Duration::from_secs(u64::from(every_s))),
        skip_when_down: trunk.skip_when_down.unwrap_or(false),
        registration: register.then(|| TrunkRegistration {
            registrar: trunk.registrar.clone(),
            expires_s,
        }),
    }
}
