//! What REFER, NOTIFY and Replaces carry (RFC 3515, RFC 3891, RFC 3892), read and written.

use rsipstack::sip::Headers;

use crate::message;
use crate::uri::{NameAddr, SipUri, percent_decode};

/// Longest identifier of a dialog that is read, in bytes.
const MAX_ID_BYTES: usize = 256;

/// A dialog as Replaces names it (RFC 3891 §6.1): seen from the one who is asked to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// SIP Call-ID.
    pub sip_call_id: String,
    /// The tag of whoever is asked.
    pub to_tag: String,
    /// The tag of the other party.
    pub from_tag: String,
    /// Only if the dialog is not confirmed yet.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a header value, escapes resolved.
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let sip_call_id = parts.next().filter(|id| is_id(id))?.to_owned();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, given) = part.split_once('=').unwrap_or((part, ""));
            let given = given.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "to-tag" if to_tag.is_none() && is_id(given) => to_tag = Some(given.to_owned()),
                "from-tag" if from_tag.is_none() && is_id(given) => {
                    from_tag = Some(given.to_owned());
                }
                // Twice is ambiguous: another dialog could be meant.
                "to-tag" | "from-tag" => return None,
                "early-only" => early_only = true,
                _ => {}
            }
        }
        Some(Self {
            sip_call_id,
            to_tag: to_tag?,
            from_tag: from_tag?,
            early_only,
        })
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_BYTES
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Where a REFER points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferTo {
    /// Without its headers.
    pub uri: SipUri,
    /// The dialog the target is asked to replace: an attended transfer.
    pub replaces: Option<Replaces>,
}

impl ReferTo {
    /// Reads a Refer-To value. Anything but an INVITE to a SIP URI is none.
    pub fn parse(value: &str) -> Option<Self> {
        let address = NameAddr::parse(value).ok()?;
        let uri = address.sip_uri().ok()?;
        if let Some(method) = uri.param("method")
            && !method.eq_ignore_ascii_case("INVITE")
        {
            return None;
        }
        let tail = address
            .uri
            .split_once('@')
            .map_or(address.uri.as_str(), |(_, tail)| tail);
        let mut replaces = None;
        for header in tail
            .split_once('?')
            .map_or("", |(_, headers)| headers)
            .split('&')
        {
            let (name, value) = header.split_once('=').unwrap_or((header, ""));
            if name.eq_ignore_ascii_case("Replaces") {
                if replaces.is_some() {
                    return None;
                }
                replaces = Some(Replaces::parse(&percent_decode(value))?);
            }
        }
        Some(Self { uri, replaces })
    }
}

/// The one Refer-To of a REFER; none or several make a bad request (RFC 3515 §2.4.2).
pub(crate) fn refer_to(headers: &Headers) -> Option<ReferTo> {
    let mut values =
        message::headers_all(headers, "Refer-To").chain(message::headers_all(headers, "r"));
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    ReferTo::parse(value)
}

/// Referred-By as it may be passed on: one address, without parameters that claim a signature.
pub(crate) fn referred_by(headers: &Headers) -> Option<String> {
    let value =
        message::header(headers, "Referred-By").or_else(|| message::header(headers, "b"))?;
    let address = NameAddr::parse(value).ok()?;
    let uri = address.sip_uri().ok()?;
    Some(format!("<{uri}>"))
}

/// The status in a `message/sipfrag` body (RFC 3420): its first line.
pub fn sipfrag_status(body: &[u8]) -> Option<u16> {
    let end = body
        .iter()
        .position(|b| matches!(b, b'\r' | b'\n'))
        .unwrap_or(body.len());
    let line = std::str::from_utf8(body.get(..end.min(256))?).ok()?;
    let rest = line.trim_start().strip_prefix("SIP/2.0")?;
    let status = rest.strip_prefix([' ', '\t'])?.trim_start();
    let status = status.split([' ', '\t']).next()?;
    let status: u16 = (status.len() == 3).then(|| status.parse().ok())??;
    (100..700).contains(&status).then_some(status)
}

/// The sipfrag of a status.
pub(crate) fn sipfrag(status: u16) -> String {
    let phrase = rsipstack::sip::StatusCode::from(status).text().to_owned();
    let phrase: String = phrase.chars().filter(|c| !c.is_control()).collect();
    format!("SIP/2.0 {status} {phrase}\r\n")
}

/// Whether a Subscription-State says that nothing more comes (RFC 6665 §4.1.3).
pub(crate) fn is_terminated(headers: &Headers) -> bool {
    message::header(headers, "Subscription-State").is_some_and(|state| {
        let state = state.split(';').next().unwrap_or("").trim();
        state.eq_ignore_ascii_case("terminated")
    })
}

/// The `id` of `Event: refer;id=7`: none when it is not about a REFER at all.
pub(crate) fn refer_event(headers: &Headers) -> Option<Option<u32>> {
    let value = message::header(headers, "Event").or_else(|| message::header(headers, "o"))?;
    let mut parts = value.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("refer") {
        return None;
    }
    let id = parts.find_map(|part| {
        let (name, id) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("id")
            .then(|| id.trim().parse().ok())?
    });
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_phone_wants_the_other_to_go() {
        let blind = ReferTo::parse("\"Bob\" <sip:2002@192.0.2.1:5070;user=phone>").unwrap();
        assert_eq!(blind.uri.user.as_deref(), Some("2002"));
        assert_eq!(blind.replaces, None);
        let attended = ReferTo::parse(
            "<sip:2002@192.0.2.1?Replaces=a-1%40192.0.2.9%3Bto-tag%3Dt1%3Bfrom-tag%3Df1&Require=replaces>",
        )
        .unwrap();
        assert_eq!(
            attended.replaces,
            Some(Replaces {
                sip_call_id: "a-1@192.0.2.9".to_owned(),
                to_tag: "t1".to_owned(),
                from_tag: "f1".to_owned(),
                early_only: false,
            })
        );
        for bad in [
            "",
            "tel:+12025550100",
            "<http://example.com>",
            "<sip:2002@h;method=BYE>",
            "<sip:2002@h?Replaces=x>",
            "<sip:2002@h?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=b%3Bto-tag%3D1%3Bfrom-tag%3D2>",
            "<sip:2002@h?Replaces=a%0D%0AX%3A%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        ] {
            assert_eq!(ReferTo::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn replaces_names_one_dialog_or_none() {
        let read = Replaces::parse("c1;from-tag=f;early-only;to-tag=t").unwrap();
        assert!(read.early_only);
        assert_eq!((read.to_tag.as_str(), read.from_tag.as_str()), ("t", "f"));
        for bad in [
            "",
            "c1",
            "c1;to-tag=t",
            "c1;to-tag=t;to-tag=u;from-tag=f",
            "c 1;to-tag=t;from-tag=f",
        ] {
            assert_eq!(Replaces::parse(bad), None, "{bad}");
        }
        let long = format!("{};to-tag=t;from-tag=f", "c".repeat(300));
        assert_eq!(Replaces::parse(&long), None);
    }

    #[test]
    fn the_first_line_of_a_fragment_counts() {
        assert_eq!(sipfrag_status(b"SIP/2.0 100 Trying\r\n"), Some(100));
        assert_eq!(sipfrag_status(b"SIP/2.0 486 Busy Here"), Some(486));
        assert_eq!(sipfrag_status(b"SIP/2.0 200"), Some(200));
        for bad in [
            &b""[..],
            b"SIP/2.0",
            b"SIP/2.0 99 x",
            b"SIP/2.0 700 x",
            b"SIP/2.0 20 x",
            b"HTTP/1.1 200 OK",
            b"\xff\xfe",
        ] {
            assert_eq!(sipfrag_status(bad), None, "{bad:?}");
        }
        assert_eq!(sipfrag_status(sipfrag(486).as_bytes()), Some(486));
        assert_eq!(sipfrag_status(sipfrag(699).as_bytes()), Some(699));
    }
}
