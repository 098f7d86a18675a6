//! Headers of the extensions we speak: reliable provisional responses (RFC 3262) and session timers
//! (RFC 4028).

use std::fmt;

use rsipstack::sip::Headers;

use crate::message::{header, headers_all};

/// Largest number we take from a peer for a duration, in seconds: a day.
const MAX_SECONDS: u32 = 86_400;

/// Whether Supported, Require or the like (`name`) lists the option tag.
pub(crate) fn has_option(headers: &Headers, name: &str, option: &str) -> bool {
    headers_all(headers, name)
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim().eq_ignore_ascii_case(option))
}

/// Whether Allow lists the method. Methods are case-sensitive (RFC 3261 §7.1).
pub(crate) fn allows(headers: &Headers, method: &str) -> bool {
    headers_all(headers, "Allow")
        .flat_map(|value| value.split(','))
        .any(|allowed| allowed.trim() == method)
}

/// Who refreshes a session, by its role in the transaction that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresher {
    Uac,
    Uas,
}

/// Session-Expires (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionExpires {
    pub interval_s: u32,
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// The header of a message. A malformed one counts as absent: no timer runs then.
    pub(crate) fn of(headers: &Headers) -> Option<Self> {
        Self::parse(header(headers, "Session-Expires")?)
    }

    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let interval_s = seconds(parts.next()?)?;
        let refresher = parts.find_map(|param| {
            let (name, value) = param.split_once('=')?;
            if !name.trim().eq_ignore_ascii_case("refresher") {
                return None;
            }
            match value.trim().to_ascii_lowercase().as_str() {
                "uac" => Some(Refresher::Uac),
                "uas" => Some(Refresher::Uas),
                _ => None,
            }
        });
        Some(Self {
            interval_s,
            refresher,
        })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.interval_s)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// Min-SE in seconds (RFC 4028 §5).
pub(crate) fn min_se(headers: &Headers) -> Option<u32> {
    seconds(header(headers, "Min-SE")?.split(';').next()?)
}

/// 1 to a day; larger numbers mean a day.
fn seconds(text: &str) -> Option<u32> {
    let text = text.trim();
    if text.is_empty() || text.len() > 10 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = text.parse().ok()?;
    let number = u32::try_from(number.min(u64::from(MAX_SECONDS))).ok()?;
    (number > 0).then_some(number)
}

/// RSeq (RFC 3262 §7.1): 1 to 2^31 - 1 as a first number.
pub(crate) fn rseq(headers: &Headers) -> Option<u32> {
    let number: u32 = header(headers, "RSeq")?.parse().ok()?;
    (number > 0).then_some(number)
}

/// RAck (RFC 3262 §7.2): which response to which request a PRACK acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RAck {
    pub rseq: u32,
    pub cseq: u32,
    pub method: String,
}

impl RAck {
    pub(crate) fn of(headers: &Headers) -> Option<Self> {
        Self::parse(header(headers, "RAck")?)
    }

    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let rack = Self {
            rseq: parts.next()?.parse().ok()?,
            cseq: parts.next()?.parse().ok()?,
            method: parts.next()?.to_owned(),
        };
        parts.next().is_none().then_some(rack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::header_of;

    #[test]
    fn session_expires_as_peers_write_it() {
        let parse = SessionExpires::parse;
        let of = |interval_s, refresher| {
            Some(SessionExpires {
                interval_s,
                refresher,
            })
        };
        assert_eq!(parse("1800"), of(1800, None));
        assert_eq!(parse("90;refresher=uac"), of(90, Some(Refresher::Uac)));
        let odd = " 90 ; x=y ; Refresher = UAS";
        assert_eq!(parse(odd), of(90, Some(Refresher::Uas)));
        assert_eq!(parse("90;refresher=me"), of(90, None));
        assert_eq!(parse("4294967296"), of(MAX_SECONDS, None));
        for bad in ["", "0", "-1", "x", ";refresher=uac", "99999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let written = of(90, Some(Refresher::Uac)).expect("set").to_string();
        assert_eq!(parse(&written), of(90, Some(Refresher::Uac)));
    }

    #[test]
    fn acknowledgements_and_options() {
        let rack = RAck::parse(" 776656  1 INVITE ").expect("valid");
        assert_eq!(
            (rack.rseq, rack.cseq, rack.method.as_str()),
            (776_656, 1, "INVITE")
        );
        for bad in [
            "",
            "1",
            "1 2",
            "1 2 INVITE 3",
            "x 2 INVITE",
            "1 4294967296 A",
        ] {
            assert_eq!(RAck::parse(bad), None, "{bad}");
        }
        let headers: Headers = vec![
            header_of("Supported", "replaces,  Timer"),
            header_of("Supported", "100rel"),
            header_of("Allow", "INVITE, UPDATE,ACK"),
        ]
        .into();
        assert!(has_option(&headers, "Supported", "timer"));
        assert!(has_option(&headers, "Supported", "100rel"));
        assert!(!has_option(&headers, "Require", "100rel"));
        assert!(allows(&headers, "UPDATE") && !allows(&headers, "REFER"));
    }
}
