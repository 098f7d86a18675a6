//! SIP messages as text: parsed leniently, built exactly as told. RFC 3261 §7.

use std::fmt;

/// First line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartLine {
    /// `INVITE sip:… SIP/2.0`
    Request {
        /// `INVITE`, `BYE`, …
        method: String,
        /// Request-URI.
        uri: String,
    },
    /// `SIP/2.0 200 OK`
    Response {
        /// 100 to 699.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
}

/// One message. Headers keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipMessage {
    /// First line.
    pub start: StartLine,
    /// Name and value; compact names are expanded when parsed.
    pub headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: Vec<u8>,
}

impl SipMessage {
    /// A request without headers.
    pub fn request(method: &str, uri: &str) -> Self {
        Self {
            start: StartLine::Request {
                method: method.into(),
                uri: uri.into(),
            },
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The response to `request` with Via, From, To, Call-ID and CSeq copied (RFC 3261 §8.2.6.2);
    /// `to_tag` is added when To has none yet.
    pub fn response_to(request: &Self, status: u16, reason: &str, to_tag: &str) -> Self {
        let mut response = Self {
            start: StartLine::Response {
                status,
                reason: reason.into(),
            },
            headers: Vec::new(),
            body: Vec::new(),
        };
        for (name, value) in &request.headers {
            match name.as_str() {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => {
                    response.headers.push((name.clone(), value.clone()));
                }
                "To" if status > 100 && tag_of(value).is_none() => {
                    response
                        .headers
                        .push((name.clone(), format!("{value};tag={to_tag}")));
                }
                "To" => response.headers.push((name.clone(), value.clone())),
                _ => {}
            }
        }
        response
    }

    /// Adds a header at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers
            .push(("Content-Type".into(), content_type.into()));
        self.body = body.into();
        self
    }

    /// Replaces the first header of that name, or adds it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self
            .headers
            .iter_mut()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
        {
            Some((_, v)) => *v = value.into(),
            None => self.headers.push((name.into(), value.into())),
        }
    }

    /// First value of a header, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, v)| v.as_str())
    }

    /// All values of a header in order, comma lists taken apart (not inside `<…>` or quotes).
    pub fn all(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .flat_map(|(_, v)| split_list(v))
            .collect()
    }

    /// Method of a request, or of the CSeq of a response.
    pub fn method(&self) -> &str {
        match &self.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => {
                self.header("CSeq").split_whitespace().nth(1).unwrap_or("")
            }
        }
    }

    /// Status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        }
    }

    /// Number in CSeq, 0 when unreadable.
    pub fn cseq(&self) -> u32 {
        self.header("CSeq")
            .split_whitespace()
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }

    /// `branch` of the topmost Via.
    pub fn branch(&self) -> String {
        self.all("Via")
            .first()
            .and_then(|via| param(via, "branch"))
            .unwrap_or_default()
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID")
    }

    /// Tag of From.
    pub fn from_tag(&self) -> Option<String> {
        tag_of(self.header("From"))
    }

    /// Tag of To.
    pub fn to_tag(&self) -> Option<String> {
        tag_of(self.header("To"))
    }

    /// Body as text.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The message as it goes on the wire; Content-Length is computed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{self}\r\n");
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("Content-Length") {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads one whole message (a datagram, or a frame cut by [`frame_len`]).
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let head_len = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .ok_or("no empty line ends the headers")?;
        let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
        let mut lines = head.split("\r\n");
        let start = parse_start(lines.next().unwrap_or(""))?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, last) = headers.last_mut().ok_or("a folded line without a header")?;
                last.push(' ');
                last.push_str(line.trim());
                continue;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("header without a colon: {line}"))?;
            headers.push((expand(name.trim()).to_owned(), value.trim().to_owned()));
        }
        let body = bytes[head_len + 4..].to_vec();
        Ok(Self {
            start,
            headers,
            body,
        })
    }
}

impl fmt::Display for SipMessage {
    /// The start line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            StartLine::Request { method, uri } => write!(f, "{method} {uri} SIP/2.0"),
            StartLine::Response { status, reason } => write!(f, "SIP/2.0 {status} {reason}"),
        }
    }
}

/// Length of the first message in a stream buffer, once it is all there (RFC 3261 §18.3).
pub fn frame_len(buffer: &[u8]) -> Option<usize> {
    let head_len = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..head_len]);
    let body_len = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| expand(name.trim()).eq_ignore_ascii_case("Content-Length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (buffer.len() >= head_len + body_len).then_some(head_len + body_len)
}

/// The URI inside `"Name" <uri>;params`, or the bare URI without header parameters.
pub fn uri_of(value: &str) -> String {
    match (value.find('<'), value.find('>')) {
        (Some(from), Some(to)) if from < to => value[from + 1..to].to_owned(),
        _ => value.split(';').next().unwrap_or("").trim().to_owned(),
    }
}

/// A header parameter (outside `<…>`).
pub fn param(value: &str, name: &str) -> Option<String> {
    let after = value.rfind('>').map_or(value, |at| &value[at + 1..]);
    after
        .split(';')
        .skip(usize::from(!value.contains('>')))
        .find_map(|p| {
            let (key, value) = p.trim().split_once('=').unwrap_or((p.trim(), ""));
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches('"').to_owned())
        })
}

fn tag_of(value: &str) -> Option<String> {
    param(value, "tag")
}

fn parse_start(line: &str) -> Result<StartLine, String> {
    let mut words = line.splitn(3, ' ');
    let (a, b, c) = (
        words.next().unwrap_or(""),
        words.next().unwrap_or(""),
        words.next().unwrap_or(""),
    );
    if a == "SIP/2.0" {
        let status = b
            .parse()
            .map_err(|_| format!("no status code in \"{line}\""))?;
        return Ok(StartLine::Response {
            status,
            reason: c.to_owned(),
        });
    }
    if c != "SIP/2.0" {
        return Err(format!("not a SIP start line: \"{line}\""));
    }
    Ok(StartLine::Request {
        method: a.to_owned(),
        uri: b.to_owned(),
    })
}

fn expand(name: &str) -> &str {
    match name {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "l" => "Content-Length",
        "c" => "Content-Type",
        "s" => "Subject",
        "k" => "Supported",
        _ => name,
    }
}

fn split_list(value: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut from) = (0i32, false, 0);
    let mut parts = Vec::new();
    for (at, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(value[from..at].trim().to_owned());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(value[from..].trim().to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_parsed_again() {
        let message = SipMessage::request("INVITE", "sip:assistant@127.0.0.1")
            .with("Via", "SIP/2.0/UDP 127.0.0.1:5071;branch=z9hG4bKx")
            .with("From", "\"A, B\" <sip:a@b>;tag=1")
            .with("CSeq", "7 INVITE")
            .with_body("application/sdp", "v=0\r\n");
        let bytes = message.to_bytes();
        let again = SipMessage::parse(&bytes).unwrap();
        assert_eq!(again.branch(), "z9hG4bKx");
        assert_eq!(again.from_tag().as_deref(), Some("1"));
        assert_eq!(again.cseq(), 7);
        assert_eq!(again.body_text(), "v=0\r\n");
        assert_eq!(frame_len(&bytes), Some(bytes.len()));
        assert_eq!(frame_len(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn compact_names_folding_and_lists() {
        let text = "SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2\r\n\
                    Record-Route: <sip:x;lr>,\r\n <sip:y;lr>\r\nt: <sip:u@h;x=1>;tag=q\r\n\r\n";
        let message = SipMessage::parse(text.as_bytes()).unwrap();
        assert_eq!(message.branch(), "1");
        assert_eq!(message.all("Record-Route"), ["<sip:x;lr>", "<sip:y;lr>"]);
        assert_eq!(message.to_tag().as_deref(), Some("q"));
        assert_eq!(uri_of(message.header("To")), "sip:u@h;x=1");
        assert_eq!(uri_of("sip:bare@host;tag=1"), "sip:bare@host");
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        assert!(
            SipMessage::parse(b"hello")
                .unwrap_err()
                .contains("empty line")
        );
        assert!(
            SipMessage::parse(b"A B\r\n\r\n")
                .unwrap_err()
                .contains("start line")
        );
    }
}
