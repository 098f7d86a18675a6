//! How the SIP side authenticates and keeps dialogs alive.

use switchhook_sip::SessionTimerConfig;
use switchhook_sip::digest::DigestHash;

use super::problems::Problems;
use super::raw::RawSip;

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
