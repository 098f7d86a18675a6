//! Bodies of the fuzz targets: each parser of ours that meets the network or the store. They
//! compile with every build, so they cannot rot; `fuzz/` only calls them.

use crate::digest::{Authorization, Challenge};
use crate::record::DialogRecord;
use crate::registrar::Contacts;
use crate::uri::{NameAddr, SipUri};
use crate::wire::{Frame, Peek, next_frame, redact, stateless_reply};

/// Authorization and WWW-Authenticate values.
pub fn fuzz_authorization(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(auth) = Authorization::parse(&text) {
        assert_eq!(auth.response.len(), auth.algorithm.hash.hex_digits());
    }
    if let Ok(challenge) = Challenge::parse(&text) {
        let credentials = crate::digest::Credentials::new("u", "p");
        let answered = crate::digest::answer_challenges(
            std::iter::once(&*text),
            &credentials,
            "INVITE",
            "sip:a@b",
            "c",
        );
        let (value, same) = answered.expect("what parses can be answered");
        assert_eq!(same, challenge);
        assert!(!value.contains(['\r', '\n']));
    }
}

/// URIs, name-addrs and Contact lists.
pub fn fuzz_addresses(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(uri) = SipUri::parse(&text) {
        let again = SipUri::parse(&uri.to_string()).expect("what we write we read");
        assert!(again.same_resource(&uri));
        // The stack must be able to write it, too.
        let _ = crate::message::stack_uri(&uri).to_string();
    }
    if let Ok(address) = NameAddr::parse(&text) {
        let _ = (address.tag(), address.user(), address.sip_uri());
    }
    let _ = NameAddr::parse_list(&text);
    let _ = Contacts::parse(std::iter::once(&*text), None);
    let _ = Contacts::parse(std::iter::once(&*text), Some("60"));
    crate::register::fuzz_register(&text);
}

/// Refer-To, Replaces, sipfrag and Reason.
pub fn fuzz_refer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(to) = crate::refer::ReferTo::parse(&text) {
        assert!(!to.uri.to_string().contains(['\r', '\n']));
    }
    if let Some(replaces) = crate::refer::Replaces::parse(&text) {
        let ids = [&replaces.sip_call_id, &replaces.to_tag, &replaces.from_tag];
        assert!(
            ids.iter()
                .all(|id| !id.is_empty() && !id.contains(['\r', '\n', ' ']))
        );
    }
    if let Some(status) = crate::refer::sipfrag_status(data) {
        assert!((100..700).contains(&status));
    }
    let _ = crate::reason::read_cause(&text);
}

/// Stored dialog records: whatever passes the check makes requests that parse again.
pub fn fuzz_dialog_record(data: &[u8]) {
    use rsipstack::sip::{Method, Request};
    // A record built from hostile fields reaches further than random JSON would.
    let text = String::from_utf8_lossy(data);
    let mut fields = text.split('\u{1}').map(str::to_owned);
    let mut next = || fields.next().unwrap_or_default();
    let record = DialogRecord {
        version: crate::record::RECORD_VERSION,
        leg: switchhook_model::LegId::from_unique("1"),
        role: crate::record::DialogRole::Uac,
        state: crate::record::DialogState::Established,
        sip_call_id: next(),
        local: next(),
        local_tag: next(),
        remote: next(),
        remote_tag: Some(next()),
        transport: crate::config::SipTransport::Udp,
        sent_by: next(),
        peer: ([127, 0, 0, 1], 5060).into(),
        server_name: None,
        alternatives: Vec::new(),
        symmetric: false,
        request_uri: next(),
        branch_base: next(),
        invite_attempts: 1,
        may_retry: false,
        trunk: None,
        invite_cseq: 1,
        local_cseq: 1,
        remote_target: Some(next()),
        route_set: vec![next(), next()],
        vias: vec![next()],
    };
    if record.check().is_err() {
        return;
    }
    let agent = "ua";
    let bye = record.dialog_request(Method::Bye, 2, "z9hG4bK1", agent);
    let cancel = record.attempt_request(Method::Cancel, 1, record.remote.clone(), agent);
    for request in [bye, cancel] {
        let text = request.expect("a checked record builds").to_string();
        // Nothing a field holds may open a line of its own.
        let lines = text.lines().filter(|line| line.starts_with("Call-ID:"));
        assert_eq!(lines.count(), 1, "{text}");
        let _ = Request::try_from(text.as_str());
    }
    let _ = record.next_hop();
}

/// Raw messages and streams: the first look, redaction, framing and refusals.
pub fn fuzz_wire(data: &[u8]) {
    let peek = Peek::of(data);
    let _ = (peek.method(), peek.status(), peek.has_foreign_version());
    let _ = redact(data);
    if let Some(reply) = stateless_reply(data, 400, "Bad Request", "s") {
        assert!(reply.ends_with(b"\r\n\r\n"));
    }
    let mut rest = data;
    loop {
        match next_frame(rest, 65_535) {
            Frame::Message(length) | Frame::KeepAlive { length, .. } => {
                assert!(length > 0 && length <= rest.len());
                rest = &rest[length..];
            }
            Frame::Incomplete | Frame::Broken { .. } => return,
        }
    }
}

/// A whole datagram through parser and checks, as the socket hands it over.
pub fn fuzz_message(data: &[u8]) {
    crate::door::fuzz_read(data);
}

/// Values of Session-Expires and RAck, and numbers among headers.
pub fn fuzz_extensions(data: &[u8]) {
    use crate::extension::{RAck, SessionExpires, allows, has_option, min_se, rseq};
    let text = String::from_utf8_lossy(data);
    if let Some(expires) = SessionExpires::parse(&text) {
        assert!((1..=86_400).contains(&expires.interval_s));
        assert_eq!(SessionExpires::parse(&expires.to_string()), Some(expires));
    }
    let _ = RAck::parse(&text);
    let names = [
        "Session-Expires",
        "Min-SE",
        "RSeq",
        "Require",
        "Allow",
        "Retry-After",
    ];
    let header = |name: &&str| crate::message::header_of(name, text.as_ref());
    let headers: rsipstack::sip::Headers = names.iter().map(header).collect::<Vec<_>>().into();
    let _ = (min_se(&headers), rseq(&headers), allows(&headers, "UPDATE"));
    let _ = (
        has_option(&headers, "Require", "100rel"),
        crate::message::retry_after_s(&headers),
    );
}

/// The body of an INFO.
pub fn fuzz_dtmf(data: &[u8]) {
    let _ = crate::leg::dtmf_digit(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every target over seeds cut and mixed in all ways a few thousand rounds allow, so that the
    /// bodies are exercised without cargo-fuzz as well.
    #[test]
    fn targets_survive_mutated_seeds() {
        const SEEDS: [&str; 7] = [
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport\r\n\
             From: \"x\" <sip:f@h>;tag=1\r\nTo: <sip:t@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:f@h>\r\nContent-Length: 4\r\n\r\nbody",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nl: 0\r\n\r\n",
            "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", qop=auth, nc=00000001, \
             cnonce=\"c\", response=\"0123456789abcdef0123456789abcdef\"",
            "\"a\\\"b\" <sip:u;x=y:pw@[::1]:5060;transport=tcp?h=v>;tag=1;expires=60, *",
            "c\u{1}<sip:a@b>\u{1}t\u{1}<sip:c@d>\u{1}u\u{1}h:1\u{1}sip:r@s\u{1}z\u{1}sip:t@v\u{1}<sip:p;lr>\u{1}<sip:q>\u{1}v",
            "Signal=5\r\nDuration=100",
            "1800;refresher=uac 1 INVITE, 100rel",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below.max(1)).expect("small")).expect("small")
        };
        for round in 0..6_000 {
            let mut data = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
            for _ in 0..random(6) {
                let at = random(data.len());
                match random(4) {
                    0 if !data.is_empty() => data[at] = u8::try_from(random(256)).expect("byte"),
                    1 => data.truncate(at),
                    2 => {
                        let other = SEEDS[random(SEEDS.len())].as_bytes();
                        let from = random(other.len());
                        data.splice(at..at, other[from..].iter().copied());
                    }
                    _ => {
                        let byte = b"<>\"@;:,=\\\r\n%\0"[random(13)];
                        data.insert(at.min(data.len()), byte);
                    }
                }
            }
            fuzz_authorization(&data);
            fuzz_addresses(&data);
            fuzz_dialog_record(&data);
            fuzz_wire(&data);
            fuzz_message(&data);
            fuzz_dtmf(&data);
            fuzz_extensions(&data);
        }
    }
}
