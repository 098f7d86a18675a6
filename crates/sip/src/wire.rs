//! Messages as bytes: a first look without a parser, secrets removed for the ladder, and answers to
//! what the parser refuses.

use crate::message::ALLOW;

/// What replaces a secret.
const REDACTED: &str = "…";

/// The few fields everything on the wire is known by. Empty when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Peek {
    pub start_line: String,
    pub sip_call_id: String,
    pub cseq: String,
}

impl Peek {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut peek = Self::default();
        for (n, line) in head_lines(bytes).into_iter().enumerate() {
            if n == 0 {
                peek.start_line = line;
                continue;
            }
            match split_header(&line) {
                Some((name, value)) if is_name(name, "Call-ID", "i") => {
                    peek.sip_call_id = value.to_owned();
                }
                Some((name, value)) if is_name(name, "CSeq", "") => {
                    peek.cseq = value.to_owned();
                }
                Some(_) | None => {}
            }
        }
        peek
    }

    /// The method, when it is a request.
    pub(crate) fn method(&self) -> Option<&str> {
        if self.status().is_some() || self.start_line.starts_with("SIP/") {
            return None;
        }
        let method = self.start_line.split([' ', '\t']).next()?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        (!method.is_empty() && method.len() <= 64 && method.bytes().all(token)).then_some(method)
    }

    /// The status, when it is a response.
    pub(crate) fn status(&self) -> Option<u16> {
        let rest = self.start_line.strip_prefix("SIP/2.0 ")?;
        rest.split(' ').next()?.parse().ok()
    }

    /// Whether the request line names another version of SIP (RFC 3261 §21.5.6).
    pub(crate) fn has_foreign_version(&self) -> bool {
        match self.start_line.rsplit_once(' ') {
            Some((_, version)) => version.starts_with("SIP/") && version != "SIP/2.0",
            None => false,
        }
    }
}

/// The message as text with the values of Authorization and Proxy-Authorization, and SDP keys,
/// replaced. Folded lines of such a header go with it.
pub(crate) fn redact(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut hiding = false;
    for line in text.split_inclusive('\n') {
        let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
        if hiding && line.starts_with([' ', '\t']) {
            continue;
        }
        hiding = false;
        match split_header(line) {
            Some((name, _))
                if is_name(name, "Authorization", "")
                    || is_name(name, "Proxy-Authorization", "") =>
            {
                hiding = true;
                out.push_str(&format!("{name}: {REDACTED}{end}"));
            }
            _ if line.starts_with("a=crypto:") => {
                out.push_str(&format!("a=crypto:{REDACTED}{end}"));
            }
            // The key line of old SDP (RFC 4566 §5.12).
            _ if line.starts_with("k=") => out.push_str(&format!("k={REDACTED}{end}")),
            _ => out.push_str(line),
        }
    }
    out
}

/// An answer to a request the parser or our checks refused, made of its own lines (RFC 3261
/// §8.2.6.2). `None` when it is not a request that may be answered.
pub(crate) fn stateless_reply(
    bytes: &[u8],
    status: u16,
    reason: &str,
    server: &str,
) -> Option<Vec<u8>> {
    let peek = Peek::of(bytes);
    let method = peek.method()?;
    if method == "ACK" || peek.sip_call_id.is_empty() {
        return None;
    }
    let mut head = format!("SIP/2.0 {status} {reason}\r\n");
    let (mut via, mut from, mut to) = (false, false, false);
    for line in head_lines(bytes).iter().skip(1) {
        let Some((name, value)) = split_header(line) else {
            continue;
        };
        if is_name(name, "Via", "v") {
            via = true;
            head.push_str(&format!("Via: {value}\r\n"));
        } else if is_name(name, "From", "f") && !from {
            from = true;
            head.push_str(&format!("From: {value}\r\n"));
        } else if is_name(name, "To", "t") && !to {
            to = true;
            let tag = if value.contains("tag=") { "" } else { ";tag=0" };
            head.push_str(&format!("To: {value}{tag}\r\n"));
        } else if is_name(name, "Call-ID", "i") || is_name(name, "CSeq", "") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if !via || head.len() > 16_384 {
        return None;
    }
    if matches!(status, 405 | 501) {
        head.push_str(&format!("Allow: {ALLOW}\r\n"));
    }
    head.push_str(&format!("Server: {server}\r\nContent-Length: 0\r\n\r\n"));
    Some(head.into_bytes())
}

/// One step of taking messages out of a byte stream (RFC 3261 §18.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The first `0` bytes are one message.
    Message(usize),
    /// The first `0` bytes are a keep-alive to be answered (RFC 5626 §3.5.1) or padding.
    KeepAlive { length: usize, answer: bool },
    /// More bytes are needed.
    Incomplete,
    /// The stream cannot be followed any further; the reason for a 400 or 513.
    Broken { status: u16, reason: &'static str },
}

/// Looks at the bytes received so far.
pub(crate) fn next_frame(bytes: &[u8], max: usize) -> Frame {
    if bytes.starts_with(b"\r\n\r\n") {
        return Frame::KeepAlive {
            length: 4,
            answer: true,
        };
    }
    if bytes.starts_with(b"\r\n") {
        // It may be the first half of a keep-alive.
        if bytes.len() < 4 && b"\r\n\r\n".starts_with(bytes) {
            return Frame::Incomplete;
        }
        return Frame::KeepAlive {
            length: 2,
            answer: false,
        };
    }
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        if bytes.len() > max {
            return Frame::Broken {
                status: 513,
                reason: "Message Too Large",
            };
        }
        return Frame::Incomplete;
    };
    let mut length = None;
    for line in head_lines(&bytes[..end]).iter().skip(1) {
        if let Some((name, value)) = split_header(line)
            && is_name(name, "Content-Length", "l")
        {
            length = Some(value.parse::<u32>());
        }
    }
    let body = match length {
        Some(Ok(body)) => usize::try_from(body).unwrap_or(usize::MAX),
        // Streams need it (RFC 3261 §20.14): without it the next message cannot be found.
        Some(Err(_)) | None => {
            return Frame::Broken {
                status: 400,
                reason: "Missing Or Bad Content-Length",
            };
        }
    };
    let total = end.saturating_add(4).saturating_add(body);
    if total > max {
        return Frame::Broken {
            status: 513,
            reason: "Message Too Large",
        };
    }
    if bytes.len() < total {
        return Frame::Incomplete;
    }
    Frame::Message(total)
}

/// Lines before the body, folded ones joined, at most 1,024.
fn head_lines(bytes: &[u8]) -> Vec<String> {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n").take(1_024) {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            Some(_) | None => lines.push(line.replace(['\r', '\n', '\0'], " ")),
        }
    }
    lines
}

fn split_header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name, value.trim()))
}

fn is_name(name: &str, long: &str, short: &str) -> bool {
    name.eq_ignore_ascii_case(long) || (!short.is_empty() && name.eq_ignore_ascii_case(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "FOO sip:x@h SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
        f: <sip:f@h>;tag=1\r\nTo: <sip:t@h>\r\ni: c1\r\nCSeq: 3\r\n FOO\r\n\
        Proxy-Authorization: Digest response=\"secret\",\r\n\tnc=secret\r\nX: y\r\n\r\nbody";

    #[test]
    fn a_look_without_a_parser() {
        let peek = Peek::of(REQUEST.as_bytes());
        assert_eq!(peek.method(), Some("FOO"));
        assert_eq!(
            (peek.sip_call_id.as_str(), peek.cseq.as_str()),
            ("c1", "3 FOO")
        );
        assert_eq!(Peek::of(b"SIP/2.0 180 Ringing\r\n\r\n").status(), Some(180));
        assert_eq!(Peek::of(b"\xff\xfe").method(), None);
        assert!(Peek::of(b"INVITE sip:x SIP/3.0\r\n\r\n").has_foreign_version());
    }

    #[test]
    fn secrets_leave_no_trace() {
        let text = redact(REQUEST.as_bytes());
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("Proxy-Authorization: …\r\nX: y\r\n\r\nbody"));
        let old = redact(b"v=0\r\nk=clear:key\r\n");
        assert!(!old.contains("clear"), "{old}");
        let sdp = redact(b"v=0\r\na=crypto:1 AES inline:key\r\n");
        assert!(!sdp.contains("key"));
    }

    #[test]
    fn replies_are_made_of_the_request() {
        let reply = stateless_reply(REQUEST.as_bytes(), 501, "Not Implemented", "s").expect("one");
        let text = String::from_utf8(reply).expect("utf-8");
        assert!(text.starts_with("SIP/2.0 501 Not Implemented\r\nVia: SIP/2.0/UDP a"));
        assert!(text.contains("To: <sip:t@h>;tag=0\r\n") && text.contains("CSeq: 3 FOO\r\n"));
        assert!(text.contains("Allow: INVITE"));
        for silent in [
            "ACK sip:x SIP/2.0\r\ni: c\r\nv: x\r\n\r\n",
            "SIP/2.0 200 OK\r\n\r\n",
            "",
            "junk",
        ] {
            assert_eq!(stateless_reply(silent.as_bytes(), 400, "x", "s"), None);
        }
    }

    #[test]
    fn streams_are_cut_at_content_length() {
        let one = b"A x SIP/2.0\r\nl: 3\r\n\r\nabcB";
        assert_eq!(next_frame(one, 100), Frame::Message(one.len() - 1));
        assert_eq!(next_frame(&one[..10], 100), Frame::Incomplete);
        assert_eq!(next_frame(&one[..22], 100), Frame::Incomplete);
        let broken = |bytes: &[u8], max| matches!(next_frame(bytes, max), Frame::Broken { .. });
        assert!(broken(one, 10));
        assert!(broken(b"A\r\n\r\n", 100));
        assert!(broken(b"A\r\nl: 18446744073709551615\r\n\r\n", 100));
        assert!(broken(b"A\r\nl: 4294967295\r\n\r\n", 100));
        assert!(broken(&[b'x'; 101], 100));
        assert_eq!(
            next_frame(b"\r\n\r\nA", 100),
            Frame::KeepAlive {
                length: 4,
                answer: true
            }
        );
        assert_eq!(next_frame(b"\r\n", 100), Frame::Incomplete);
        assert_eq!(
            next_frame(b"\r\nINV", 100),
            Frame::KeepAlive {
                length: 2,
                answer: false
            }
        );
    }
}
