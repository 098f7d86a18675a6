//! What a peer's final status means for the one who dialled, and what to do about it: one list for
//! API, console and head line (RFC 3261 §21, and what carriers make of it).

use serde::{Deserialize, Serialize};

/// A refusal explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Stable.
    pub code: String,
    /// What it means, one English sentence.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

/// Explains the final status of an INVITE. `said` is what the peer wrote beside it: its phrase,
/// warnings, a carrier's own error number. None for what needs no explanation.
pub fn explain(status: u16, said: &str) -> Option<Explanation> {
    let (code, detail, remedy) = match status {
        403 if is_about_caller_id(said) => (
            "dial.caller_id_refused",
            "The trunk refused the number we show as the caller.",
            "Set the trunk's caller_id to a number that the carrier has assigned or verified.",
        ),
        401 | 407 => (
            "dial.not_authenticated",
            "The peer does not accept our credentials.",
            "Check the trunk's username and password, and the realm the carrier expects.",
        ),
        403 => (
            "dial.forbidden",
            "The peer does not allow this call.",
            "Check the account at the carrier: credentials or address list, destinations it may dial, balance.",
        ),
        404 | 410 | 604 => (
            "dial.unknown_number",
            "The dialled number does not exist there.",
            "Check the number and its form; most carriers want + and the country code.",
        ),
        484 => (
            "dial.incomplete_number",
            "The dialled number is not complete.",
            "Write it with + and the country code.",
        ),
        408 | 480 => (
            "dial.not_available",
            "The called party is not there: nobody answered, or no phone is signed in.",
            "Try again later, or give the department a further target.",
        ),
        486 | 600 => (
            "dial.busy",
            "The called party is busy.",
            "Try again later, or give the department a further target.",
        ),
        415 | 488 | 606 => (
            "dial.no_common_codec",
            "The other side accepts none of the codecs or the encryption we offer.",
            "Allow PCMU or PCMA on the other side, and check whether it insists on SRTP.",
        ),
        603 | 607 | 608 => (
            "dial.declined",
            "The called party declined the call.",
            "Nothing to do, unless the carrier blocks calls it takes for spam: then register the number there.",
        ),
        503 => (
            "dial.trunk_unavailable",
            "The peer takes no calls now: overload, maintenance, or the channel limit of the account.",
            "Try again after a while; if it goes on, ask the carrier for the channel limit.",
        ),
        500..=599 => (
            "dial.trunk_failed",
            "The peer failed while it set up the call.",
            "Ask the carrier with the SIP Call-ID from the ladder.",
        ),
        _ => return None,
    };
    Some(Explanation {
        code: code.to_owned(),
        detail: detail.to_owned(),
        remedy: remedy.to_owned(),
    })
}

/// Carriers say so in words, Twilio by numbers (21210 and 32205 to 32209 are about From).
fn is_about_caller_id(said: &str) -> bool {
    let said = said.to_lowercase();
    let words = [
        "caller id",
        "callerid",
        "caller-id",
        "from number",
        "from header",
        "cli ",
        "p-asserted-identity",
    ];
    let numbers = ["21210", "21212", "13223", "32205", "32206"];
    words.iter().chain(&numbers).any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_meaning_and_a_cure() {
        for (status, said, code) in [
            (403, "Forbidden", "dial.forbidden"),
            (403, "Caller ID not verified", "dial.caller_id_refused"),
            (403, "21212 Invalid From", "dial.caller_id_refused"),
            (404, "", "dial.unknown_number"),
            (480, "", "dial.not_available"),
            (486, "", "dial.busy"),
            (488, "", "dial.no_common_codec"),
            (500, "", "dial.trunk_failed"),
            (503, "", "dial.trunk_unavailable"),
            (504, "", "dial.trunk_failed"),
            (603, "", "dial.declined"),
        ] {
            let found = explain(status, said).unwrap();
            assert_eq!(found.code, code, "{status} {said}");
            assert!(found.detail.ends_with('.') && found.remedy.ends_with('.'));
        }
        assert_eq!(explain(487, ""), None);
        assert_eq!(explain(200, ""), None);
    }
}
