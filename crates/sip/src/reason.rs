//! Why a dialog ended, as the Reason header says it (RFC 3326): SIP statuses and Q.850 causes.

use rsipstack::sip::Headers;
use switchhook_model::HangupCause;

use crate::message;
use crate::uri::split_entries;

/// The first cause that says something, of all Reason values.
pub(crate) fn cause_of(headers: &Headers) -> Option<HangupCause> {
    message::headers_all(headers, "Reason")
        .flat_map(split_entries)
        .take(8)
        .find_map(read_cause)
}

/// One value: `Q.850;cause=16;text="Normal call clearing"`.
pub fn read_cause(value: &str) -> Option<HangupCause> {
    let mut parts = value.split(';').map(str::trim);
    let protocol = parts.next()?;
    let cause: u16 = parts.find_map(|part| {
        let (name, cause) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("cause")
            .then(|| cause.trim().trim_matches('"').parse().ok())?
    })?;
    if protocol.eq_ignore_ascii_case("SIP") {
        return match cause {
            200 => Some(HangupCause::AnsweredElsewhere),
            300..=699 => Some(HangupCause::from_sip_status(cause)),
            _ => None,
        };
    }
    if !protocol.eq_ignore_ascii_case("Q.850") {
        return None;
    }
    // ITU-T Q.850 §2.2.7; the mapping to statuses is that of RFC 3398 §7.2.4.1.
    Some(match cause {
        16 | 31 => HangupCause::Normal,
        17 => HangupCause::Busy,
        18 | 19 => HangupCause::NoAnswer,
        21 | 55 | 57 | 87 => HangupCause::Rejected,
        26 => HangupCause::AnsweredElsewhere,
        1..=3 | 20 | 22 | 27 | 28 | 34 | 38 | 41 | 42 => HangupCause::Unreachable,
        58 | 65 | 70 | 79 | 88 => HangupCause::NotAcceptable,
        _ => HangupCause::Failed,
    })
}

/// What we write on our BYE or CANCEL.
pub(crate) fn value_of(cause: HangupCause) -> &'static str {
    match cause {
        HangupCause::Normal => "Q.850;cause=16;text=\"Normal call clearing\"",
        HangupCause::Busy => "Q.850;cause=17;text=\"User busy\"",
        HangupCause::NoAnswer => "Q.850;cause=19;text=\"No answer from user\"",
        HangupCause::Rejected => "Q.850;cause=21;text=\"Call rejected\"",
        HangupCause::Unreachable => "Q.850;cause=27;text=\"Destination out of order\"",
        HangupCause::NotAcceptable => "SIP;cause=488;text=\"Not Acceptable Here\"",
        HangupCause::Canceled => "SIP;cause=487;text=\"Request Terminated\"",
        HangupCause::AnsweredElsewhere => "SIP;cause=200;text=\"Call completed elsewhere\"",
        HangupCause::MediaLost => "Q.850;cause=41;text=\"Temporary failure\"",
        HangupCause::Failed => "Q.850;cause=41;text=\"Temporary failure\"",
    }
}

/// What a final refusal says beside its status: phrase, carrier's error, warnings, reasons; cut.
pub(crate) fn said_by(phrase: &str, headers: &Headers) -> String {
    let mut said = phrase.to_owned();
    for name in ["X-Twilio-Error", "Warning", "Reason"] {
        for value in message::headers_all(headers, name).take(2) {
            said.push_str("; ");
            said.push_str(value);
        }
    }
    said.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_and_what_is_written_is_read_again() {
        for (value, cause) in [
            ("Q.850;cause=16", HangupCause::Normal),
            ("q.850 ;cause=17;text=\"User busy\"", HangupCause::Busy),
            ("Q.850;text=\"x\";cause=18", HangupCause::NoAnswer),
            (
                "SIP;cause=200;text=\"Call completed elsewhere\"",
                HangupCause::AnsweredElsewhere,
            ),
            ("SIP ;cause=603", HangupCause::Rejected),
        ] {
            assert_eq!(read_cause(value), Some(cause), "{value}");
        }
        for bad in [
            "",
            "SIP",
            "SIP;cause=",
            "SIP;cause=99",
            "SIP;cause=x",
            "X.25;cause=16",
            "Q.850;cause=999999",
        ] {
            assert_eq!(read_cause(bad), None, "{bad}");
        }
        for cause in [
            HangupCause::Normal,
            HangupCause::Busy,
            HangupCause::NoAnswer,
            HangupCause::Rejected,
            HangupCause::Unreachable,
            HangupCause::NotAcceptable,
            HangupCause::Canceled,
            HangupCause::AnsweredElsewhere,
        ] {
            assert_eq!(read_cause(value_of(cause)), Some(cause));
        }
    }
}
