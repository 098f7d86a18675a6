//! Headers of a caller's INVITE that tell where the call comes from, for whoever handles the call.

use rsipstack::sip::Headers;

use crate::event::Source;
use crate::message;
use crate::uri::NameAddr;

/// Beside all that begin with `X-`.
const TOLD: [&str; 7] = [
    "Diversion",
    "History-Info",
    "P-Asserted-Identity",
    "Reason",
    "Referred-By",
    "Remote-Party-ID",
    "User-to-User",
];

/// Most headers, and most characters of each, that are handed on.
const MAX_HEADERS: usize = 32;
const MAX_CHARS: usize = 1_024;

/// Name and value, in order of appearance; several of one name are joined by `, `. An identity is
/// asserted by trunks only: from anybody else it is a claim and left out (RFC 3325 §5).
pub(crate) fn collect(headers: &Headers, source: &Source) -> Vec<(String, String)> {
    let is_trusted = matches!(source, Source::Trunk(_));
    let mut told: Vec<(String, String)> = Vec::new();
    for header in headers.iter() {
        let name = header.name();
        let known = TOLD.iter().find(|told| told.eq_ignore_ascii_case(name));
        let is_identity = ["P-Asserted-Identity", "Remote-Party-ID"]
            .iter()
            .any(|identity| identity.eq_ignore_ascii_case(name));
        let is_ours = name
            .get(..13)
            .is_some_and(|start| start.eq_ignore_ascii_case("X-Switchhook-"))
            && !name.eq_ignore_ascii_case("X-Switchhook-Call-Id");
        let is_extra = name
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("X-"));
        let is_token = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !(known.is_some() || is_extra) || (is_identity && !is_trusted) || is_ours || !is_token {
            continue;
        }
        let value: String = header
            .value()
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_CHARS)
            .collect();
        let value = value.trim();
        let known_at = told
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name));
        match known_at {
            Some(at) if told[at].1.len() + value.len() < MAX_CHARS => {
                told[at].1.push_str(", ");
                told[at].1.push_str(value);
            }
            Some(_) => {}
            None if told.len() < MAX_HEADERS && name.len() <= 64 => {
                let name = known.map_or(name, |known| known);
                told.push((name.to_owned(), value.to_owned()));
            }
            None => {}
        }
    }
    told
}

/// The number and name a trunk vouches for (RFC 3325 §9.1).
pub(crate) fn asserted(headers: &Headers) -> Option<NameAddr> {
    message::headers_all(headers, "P-Asserted-Identity")
        .flat_map(crate::uri::split_entries)
        .take(4)
        .filter_map(|value| NameAddr::parse(value).ok())
        .find(|address| !address.user().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrunkId;
    use crate::message::header_of;

    fn headers(list: &[(&str, &str)]) -> Headers {
        let list: Vec<_> = list
            .iter()
            .map(|(name, value)| header_of(name, *value))
            .collect();
        list.into()
    }

    #[test]
    fn an_identity_is_believed_from_trunks_only() {
        let given = headers(&[
            (
                "P-Asserted-Identity",
                "\"Ada\" <sip:+12025550123@example.com>, <tel:+12025550124>",
            ),
            ("X-Ticket", "7\u{0}1"),
            ("x-ticket", "8"),
            (
                "Diversion",
                "<sip:+493023125001@example.com>;reason=no-answer",
            ),
            ("Authorization", "Digest secret"),
            ("X-Switchhook-Source", "127.0.0.1"),
        ]);
        let trunk = Source::Trunk(TrunkId::new("t"));
        let told = collect(&given, &trunk);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["P-Asserted-Identity", "X-Ticket", "Diversion"]);
        assert_eq!(told[1].1, "71, 8");
        assert_eq!(collect(&given, &Source::Guest).len(), 2);
        assert_eq!(asserted(&given).unwrap().user(), "+12025550123");
    }

    #[test]
    fn a_flood_of_headers_is_cut() {
        let many: Vec<(String, String)> = (0..200)
            .map(|n| (format!("X-A{n}"), "v".repeat(5_000)))
            .collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let told = collect(&headers(&many), &Source::Guest);
        assert_eq!(told.len(), MAX_HEADERS);
        assert!(told.iter().all(|(_, value)| value.len() <= MAX_CHARS));
    }
}
