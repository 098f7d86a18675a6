//! The door: parsing, and the checks every message passes before it meets a transaction.

use std::net::SocketAddr;

use rsipstack::sip::{HeadersExt as _, Method, Request, SipMessage};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transport::SipConnection;

use crate::config::SipTransport;
use crate::message::{self, LOCAL_HEADER, SOURCE_HEADER, header_of};
use crate::tidy::tidy;
use crate::transport::stack_address;
use crate::uri::{NameAddr, SipUri};
use crate::wire::Peek;

/// A request that is answered at the door.
pub(crate) struct Refusal {
    pub status: u16,
    pub reason: String,
}

impl Refusal {
    fn bad(reason: impl Into<String>) -> Self {
        Self {
            status: 400,
            reason: reason.into(),
        }
    }
}

/// Where a request came from, as noted at the socket.
pub(crate) fn source_of(request: &Request) -> Option<(SipTransport, SocketAddr)> {
    let value = message::header(&request.headers, SOURCE_HEADER)?;
    let (transport, address) = value.split_once(' ')?;
    Some((SipTransport::from_via(transport)?, address.parse().ok()?))
}

/// Parses and checks a message, and notes its source.
pub(crate) fn read_message(
    bytes: &[u8],
    transport: SipTransport,
    source: SocketAddr,
) -> Result<SipMessage, Refusal> {
    let ordinary = tidy(bytes);
    let bytes = ordinary.as_ref();
    let peek = Peek::of(bytes);
    if peek.has_foreign_version() {
        return Err(Refusal {
            status: 505,
            reason: "Version Not Supported".to_owned(),
        });
    }
    if let Some(method) = peek.method()
        && method.parse::<Method>().is_err()
    {
        return Err(Refusal {
            status: 501,
            reason: "Not Implemented".to_owned(),
        });
    }
    let message = SipMessage::try_from(bytes).map_err(|_| Refusal::bad("Bad Message"))?;
    match message {
        SipMessage::Response(mut response) => {
            response
                .headers
                .retain(|h| !h.name().eq_ignore_ascii_case(LOCAL_HEADER));
            Ok(SipMessage::Response(response))
        }
        SipMessage::Request(mut request) => {
            check_request(&request, bytes)?;
            request
                .headers
                .retain(|h| !h.name().eq_ignore_ascii_case(SOURCE_HEADER));
            let stack_transport = stack_address(transport, source).r#type.unwrap_or_default();
            let mut noted = match SipConnection::update_msg_received(
                SipMessage::Request(request),
                source,
                stack_transport,
            ) {
                Ok(SipMessage::Request(request)) => request,
                Ok(SipMessage::Response(_)) | Err(_) => return Err(Refusal::bad("Bad Via")),
            };
            let mark = format!("{} {source}", transport.as_via());
            noted.headers.push(header_of(SOURCE_HEADER, mark));
            Ok(SipMessage::Request(noted))
        }
    }
}

/// RFC 3261 §8.1.1: the headers every request has, well-formed. Reasons name the header.
fn check_request(request: &Request, bytes: &[u8]) -> Result<(), Refusal> {
    let headers = &request.headers;
    let via_is_good = request
        .top_via_header()
        .ok()
        .and_then(|via| rsipstack::sip::ToTypedHeader::typed(&via).ok())
        .is_some_and(|via| via.branch().is_some_and(|b| !b.value().is_empty()));
    if !via_is_good {
        return Err(Refusal::bad("Bad Via"));
    }
    let from =
        message::name_addr(headers, "From").map_err(|e| Refusal::bad(format!("Bad From: {e}")))?;
    if from.tag().is_none() {
        return Err(Refusal::bad("From Without Tag"));
    }
    message::name_addr(headers, "To").map_err(|e| Refusal::bad(format!("Bad To: {e}")))?;
    let call_id = message::header(headers, "Call-ID").unwrap_or("");
    let bad = |c: char| c.is_whitespace() || c.is_control();
    if call_id.is_empty() || call_id.len() > 256 || call_id.chars().any(bad) {
        return Err(Refusal::bad("Bad Call-ID"));
    }
    let method = request.method.to_string();
    match message::cseq(headers) {
        Some((_, named)) if named == method => {}
        Some(_) | None => return Err(Refusal::bad("Bad CSeq")),
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        if message::headers_all(headers, name).nth(1).is_some() {
            return Err(Refusal::bad(format!("{name} Stands Twice")));
        }
    }
    if headers.len() > 200 {
        return Err(Refusal::bad("Too Many Headers"));
    }
    let mut lengths = message::headers_all(headers, "Content-Length");
    let first = lengths.next();
    if lengths.any(|other| Some(other) != first) {
        return Err(Refusal::bad("Content-Length Stands Twice"));
    }
    if let Some(length) = first {
        let body = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .map_or(0, |at| bytes.len() - at - 4);
        match length.parse::<usize>() {
            Ok(length) if length <= body => {}
            Ok(_) | Err(_) => return Err(Refusal::bad("Bad Content-Length")),
        }
    }
    if request.method == Method::Invite {
        message::contact_uri(headers).map_err(|e| Refusal::bad(format!("Bad Contact: {e}")))?;
        for route in message::route_entries(headers, "Record-Route") {
            NameAddr::parse(&route)
                .and_then(|route| route.sip_uri())
                .map_err(|e| Refusal::bad(format!("Bad Record-Route: {e}")))?;
        }
    }
    // Neither brackets nor headers belong there (§19.1.1, table 1). The parser passes over them.
    let start_line = Peek::of(bytes).start_line;
    let target = start_line.split(' ').nth(1).unwrap_or("");
    let host = target.rsplit('@').next().unwrap_or("");
    if target.starts_with('<') || (target.starts_with("sip") && host.contains('?')) {
        return Err(Refusal::bad("Bad Request-URI"));
    }
    let uri = request.uri.to_string();
    if SipUri::parse(&uri).is_err() {
        let is_sip = uri.to_ascii_lowercase().starts_with("sip");
        return Err(if is_sip {
            Refusal::bad("Bad Request-URI")
        } else {
            Refusal {
                status: 416,
                reason: "Unsupported URI Scheme".to_owned(),
            }
        });
    }
    Ok(())
}

/// The way of a datagram up to the transactions, for the fuzz target.
pub(crate) fn fuzz_read(data: &[u8]) {
    let source = ([192, 0, 2, 1], 5060).into();
    if let Ok(SipMessage::Request(request)) = read_message(data, SipTransport::Udp, source) {
        assert_eq!(
            source_of(&request),
            Some((SipTransport::Udp, source)),
            "the source is ours to tell"
        );
        let _ = message::request_user(&request);
        let _ = TransactionKey::from_request(&request, TransactionRole::Server);
        let _ = message::respond(&request, 200, Some("t"), "s").to_string();
    }
}
