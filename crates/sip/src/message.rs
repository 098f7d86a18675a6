//! Reading and building messages with the adopted stack's types. They stop in this crate.

use rsipstack::sip::headers::make_header;
use rsipstack::sip::{
    Auth, Domain, Header, Headers, Host, HostWithPort, Method, Param, Port, Request, Response,
    Scheme, StatusCode, Uri, Version,
};

use crate::uri::{AddressError, NameAddr, SipUri};

/// The methods we take part in, as in Allow (RFC 3261 §20.5).
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, PRACK, UPDATE, REFER, NOTIFY";

/// Marks where a request came from, from the socket to the transaction user. Never on the wire: an
/// incoming header of this name is removed first.
pub(crate) const SOURCE_HEADER: &str = "X-Switchhook-Source";

/// Marks responses the transaction layer made up itself (timeouts). Never on the wire.
pub(crate) const LOCAL_HEADER: &str = "X-Switchhook-Local";

/// A header of any name.
pub(crate) fn header_of(name: &str, value: impl Into<String>) -> Header {
    make_header(name, value.into())
}

/// First value of a header.
pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|h| h.name().eq_ignore_ascii_case(name))
        .map(|h| h.value().trim())
}

/// Whether an answer may be SDP: it may when Accept is missing (RFC 3261 §20.1).
pub(crate) fn accepts_sdp(headers: &Headers) -> bool {
    let mut ranges = headers_all(headers, "Accept")
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or("").trim())
        .peekable();
    let fits = |range: &str| {
        ["application/sdp", "application/*", "*/*"]
            .iter()
            .any(|wanted| range.eq_ignore_ascii_case(wanted))
    };
    ranges.peek().is_none() || ranges.any(fits)
}

/// All values of a header that may stand several times, in order.
pub(crate) fn headers_all<'a>(
    headers: &'a Headers,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |h| h.name().eq_ignore_ascii_case(name))
        .map(|h| h.value().trim())
}

/// `CSeq: number method` (RFC 3261 §20.16); the number is below 2^31.
pub(crate) fn cseq(headers: &Headers) -> Option<(u32, &str)> {
    let value = header(headers, "CSeq")?;
    let (number, method) = value.split_once(char::is_whitespace)?;
    let number: u32 = number.parse().ok()?;
    (number < 1 << 31).then_some((number, method.trim()))
}

/// From or To.
pub(crate) fn name_addr(headers: &Headers, name: &str) -> Result<NameAddr, AddressError> {
    NameAddr::parse(header(headers, name).unwrap_or(""))
}

/// The first Contact as a SIP URI: the remote target (RFC 3261 §12.1).
pub(crate) fn contact_uri(headers: &Headers) -> Result<SipUri, AddressError> {
    let value = header(headers, "Contact").ok_or(AddressError::Empty)?;
    let entry = crate::uri::split_entries(value)
        .into_iter()
        .next()
        .unwrap_or("");
    NameAddr::parse(entry)?.sip_uri()
}

/// Record-Route or Route entries in order of appearance, as written.
pub(crate) fn route_entries(headers: &Headers, name: &'static str) -> Vec<String> {
    headers_all(headers, name)
        .flat_map(crate::uri::split_entries)
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .take(32)
        .map(str::to_owned)
        .collect()
}

/// The user part of the Request-URI with escapes resolved and parameters cut off.
pub(crate) fn request_user(request: &Request) -> String {
    let text = request.uri.to_string();
    // The stack escapes percent signs again when it writes what it read.
    let text = text.replace("%25", "%");
    let user = SipUri::parse(&text).ok().and_then(|uri| uri.user);
    let user = user.unwrap_or_default();
    user.split(';').next().unwrap_or("").to_owned()
}

/// The stack's form of a URI of ours, without its losses: parameters are passed through as text.
pub(crate) fn stack_uri(uri: &SipUri) -> Uri {
    let host = match uri.host.parse() {
        Ok(ip) => Host::IpAddr(ip),
        Err(_) => Host::Domain(Domain(uri.host.clone())),
    };
    Uri {
        scheme: Some(if uri.secure {
            Scheme::Sips
        } else {
            Scheme::Sip
        }),
        auth: uri.user.as_ref().map(|user| Auth {
            user: user.clone(),
            password: None,
        }),
        host_with_port: HostWithPort {
            host,
            port: uri.port.map(Port),
        },
        params: uri
            .params
            .iter()
            .map(|(name, value)| {
                Param::Other(name.as_str().into(), value.as_deref().map(Into::into))
            })
            .collect(),
        headers: Vec::new(),
    }
}

/// The parts of a new request; Via, From, To, Call-ID and CSeq are given as they go on the wire.
pub(crate) struct RequestParts<'a> {
    pub method: Method,
    pub uri: &'a SipUri,
    pub via: String,
    pub from: String,
    pub to: String,
    pub call_id: &'a str,
    pub cseq: u32,
    pub user_agent: &'a str,
}

/// A request without a body.
pub(crate) fn build_request(parts: RequestParts<'_>) -> Request {
    let headers = vec![
        Header::Via(parts.via.into()),
        header_of("Max-Forwards", "70"),
        Header::From(parts.from.into()),
        Header::To(parts.to.into()),
        Header::CallId(parts.call_id.into()),
        header_of("CSeq", format!("{} {}", parts.cseq, parts.method)),
        header_of("User-Agent", parts.user_agent),
        header_of("Content-Length", "0"),
    ];
    Request {
        method: parts.method,
        uri: stack_uri(parts.uri),
        version: Version::V2,
        headers: headers.into(),
        body: Vec::new(),
    }
}

/// Puts a session description into a request or response.
pub(crate) fn set_sdp(headers: &mut Headers, body: &mut Vec<u8>, sdp: &str) {
    set_body(headers, body, "application/sdp", sdp);
}

/// The same with any content.
pub(crate) fn set_body(headers: &mut Headers, body: &mut Vec<u8>, kind: &str, content: &str) {
    headers.unique_push(header_of("Content-Type", kind));
    headers.unique_push(header_of("Content-Length", content.len().to_string()));
    *body = content.as_bytes().to_vec();
}

/// A response to `request` (RFC 3261 §8.2.6). `to_tag` is added unless To has one.
pub(crate) fn respond(
    request: &Request,
    status: u16,
    to_tag: Option<&str>,
    server: &str,
) -> Response {
    let mut headers = Headers::default();
    for h in request.headers.iter() {
        match h {
            Header::Via(_) | Header::From(_) | Header::CallId(_) | Header::CSeq(_) => {
                headers.push(h.clone());
            }
            Header::To(to) => {
                let tagged = NameAddr::parse(to.value()).is_ok_and(|to| to.tag().is_some());
                let value = match to_tag {
                    Some(tag) if !tagged && status > 100 => format!("{};tag={tag}", to.value()),
                    Some(_) | None => to.value().to_owned(),
                };
                headers.push(Header::To(value.into()));
            }
            // A dialog-forming response repeats the route (RFC 3261 §12.1.1).
            Header::RecordRoute(_) if request.method == Method::Invite && status < 300 => {
                headers.push(h.clone());
            }
            Header::Timestamp(_) if status == 100 => headers.push(h.clone()),
            _ => {}
        }
    }
    headers.push(header_of("Server", server));
    headers.push(header_of("Content-Length", "0"));
    Response {
        status_code: StatusCode::from(status),
        wire_reason: None,
        version: Version::V2,
        headers,
        body: Vec::new(),
    }
}

/// Seconds of Retry-After (RFC 3261 §20.33), without its comment and parameters.
pub(crate) fn retry_after_s(headers: &Headers) -> Option<u32> {
    let value = header(headers, "Retry-After")?;
    let end = value.find(|c: char| !c.is_ascii_digit());
    value[..end.unwrap_or(value.len())].parse().ok()
}

/// Why a body cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// 415.
    Type,
    /// 400.
    NotText,
}

/// The SDP of a message, if it carries a body.
pub(crate) fn sdp_of(headers: &Headers, body: &[u8]) -> Result<Option<String>, BodyError> {
    if body.is_empty() {
        return Ok(None);
    }
    let kind = header(headers, "Content-Type").unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/sdp") {
        return Err(BodyError::Type);
    }
    match std::str::from_utf8(body) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(BodyError::NotText),
    }
}

/// Random text for tags, branches and Call-IDs: 62^`n` values.
pub(crate) fn random_token(n: usize) -> String {
    rsipstack::transaction::random_text(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        Request::try_from(text.replace('\n', "\r\n").as_str()).expect("valid")
    }

    #[test]
    fn responses_carry_what_the_rfc_asks() {
        let req = request(
            "INVITE sip:a%20b@h SIP/2.0\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\n\
             Via: SIP/2.0/UDP y;branch=z9hG4bK2\nFrom: <sip:f@h>;tag=1\nTo: <sip:t@h>\n\
             Call-ID: c\nCSeq: 7 INVITE\nRecord-Route: <sip:p;lr>\nContent-Length: 0\n\n",
        );
        assert_eq!(request_user(&req), "a b");
        let text = respond(&req, 180, Some("me"), "s").to_string();
        assert!(text.contains("To: <sip:t@h>;tag=me\r\n"), "{text}");
        assert!(text.contains("Record-Route: <sip:p;lr>\r\n"));
        assert_eq!(text.matches("Via: ").count(), 2);
        assert!(
            !respond(&req, 100, Some("me"), "s")
                .to_string()
                .contains("tag=me")
        );
        assert_eq!(cseq(&req.headers), Some((7, "INVITE")));
    }

    #[test]
    fn uris_of_ours_survive_the_stack() {
        let text = "sip:%23100;npdi@[::1]:5070;transport=tcp;ob;x=%20";
        let uri = SipUri::parse(text).expect("valid");
        assert_eq!(stack_uri(&uri).to_string(), text);
    }
}
