//! SIP addresses of `<Sip>`, with headers for the INVITE.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::TwimlError;

/// Longest address without and longest list of headers, in characters (13250, 13253).
const MAX_URI: usize = 254;
const MAX_HEADERS: usize = 1_023;
/// What RFC 3261 §25.1 calls unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// In a user part, numbers keep their plus.
const USER: &AsciiSet = &UNRESERVED.remove(b'+');
/// Headers other than `X-…` that Twilio passes on.
const PASSED_ON: [&str; 4] = [
    "User-to-User",
    "Remote-Party-ID",
    "P-Preferred-Identity",
    "P-Called-Party-ID",
];

/// How the INVITE travels. Twilio's own choice is UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SipTransport {
    Udp,
    Tcp,
    /// Port 5061 if none is given.
    Tls,
}

impl SipTransport {
    fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// `sip:100@pbx.example.com:5061;transport=tls?X-Ref=42`, within Twilio's limits.
#[derive(Clone, PartialEq, Eq)]
pub struct SipUri {
    uri: String,
    headers: String,
}

impl SipUri {
    /// The address of `user` at `host` (a name or an IPv4 address; Twilio knows no IPv6).
    ///
    /// # Errors
    /// If one of them cannot stand in an address Twilio dials, or it is 255 characters or longer.
    pub fn new(
        user: &str,
        host: &str,
        port: Option<u16>,
        transport: Option<SipTransport>,
    ) -> Result<Self, TwimlError> {
        let error = |problem: &str| TwimlError::SipUri {
            problem: problem.to_owned(),
        };
        if user.is_empty() || user.chars().any(char::is_control) {
            return Err(error("the user is empty or holds control characters"));
        }
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            && !host.starts_with(['.', '-'])
            && !host.contains("..");
        if !is_name {
            return Err(error("the host is neither a name nor an IPv4 address"));
        }
        if port == Some(0) {
            return Err(error("port 0 cannot be dialled"));
        }
        let mut uri = format!("sip:{}@{host}", utf8_percent_encode(user, USER));
        if let Some(port) = port {
            uri.push_str(&format!(":{port}"));
        }
        if let Some(transport) = transport {
            uri.push_str(";transport=");
            uri.push_str(transport.as_str());
        }
        if uri.len() > MAX_URI {
            return Err(error("it is longer than 254 characters"));
        }
        Ok(Self {
            uri,
            headers: String::new(),
        })
    }

    /// Adds a header to the INVITE: `X-…` but not `X-Twilio…`, or one of the few others Twilio
    /// passes on. Control characters of the value are dropped.
    ///
    /// # Errors
    /// If Twilio would drop the header, or all together are 1024 characters or longer.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, TwimlError> {
        let error = |problem| TwimlError::SipHeader {
            name: name.chars().take(64).collect(),
            problem,
        };
        let lower = name.to_ascii_lowercase();
        let is_token = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let is_ours = lower.starts_with("x-") && lower.len() > 2 && is_token;
        if lower.starts_with("x-twilio") {
            return Err(error(
                "Twilio keeps names that begin with X-Twilio for itself",
            ));
        }
        if !is_ours
            && !PASSED_ON
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        {
            return Err(error(
                "its name must begin with X- and hold letters, digits and hyphens",
            ));
        }
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        self.headers
            .push(if self.headers.is_empty() { '?' } else { '&' });
        self.headers.push_str(&format!(
            "{name}={}",
            utf8_percent_encode(&value, UNRESERVED)
        ));
        // The question mark counts to neither.
        if self.headers.len() > MAX_HEADERS + 1 {
            return Err(error(
                "all headers together are longer than 1023 characters",
            ));
        }
        Ok(self)
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.uri, self.headers)
    }
}

impl fmt::Debug for SipUri {
    /// The user may be a number, a header anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.uri.split_once('@').map_or("", |(_, host)| host);
        write!(f, "SipUri(…@{host})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(user: &str, host: &str) -> Result<SipUri, TwimlError> {
        SipUri::new(user, host, None, None)
    }

    #[test]
    fn addresses_are_written_as_twilio_reads_them() {
        let text = SipUri::new(
            "100",
            "pbx.example.com",
            Some(5061),
            Some(SipTransport::Tls),
        )
        .and_then(|uri| uri.header("X-Ref", "42"))
        .and_then(|uri| uri.header("User-to-User", "0A1B;encoding=hex"))
        .expect("an address")
        .to_string();
        assert_eq!(
            text,
            "sip:100@pbx.example.com:5061;transport=tls?X-Ref=42&User-to-User=0A1B%3Bencoding%3Dhex"
        );
        assert_eq!(
            uri("+493023125001", "192.0.2.1")
                .expect("an address")
                .to_string(),
            "sip:+493023125001@192.0.2.1"
        );
        assert_eq!(
            uri("a b@c;x=y?z", "example.com")
                .expect("an address")
                .to_string(),
            "sip:a%20b%40c%3Bx%3Dy%3Fz@example.com"
        );
    }

    #[test]
    fn what_twilio_would_refuse_is_refused() {
        for (user, host) in [
            ("", "example.com"),
            ("a\r\nX: y", "example.com"),
            ("a", ""),
            ("a", "ex ample.com"),
            ("a", "example.com;x"),
            ("a", "[2001:db8::1]"),
            ("a", ".example.com"),
            ("a", "münchen.example"),
            (&"a".repeat(250), "example.com"),
        ] {
            assert!(uri(user, host).is_err(), "{user} {host}");
        }
        assert!(SipUri::new("a", "example.com", Some(0), None).is_err());
        for name in [
            "X-Twilio-CallSid",
            "x-twilioX",
            "X-",
            "Subject",
            "X-A:b",
            "X-A b",
            "X-ä",
            "",
        ] {
            let result = uri("a", "example.com").and_then(|uri| uri.header(name, "v"));
            assert!(
                matches!(result, Err(TwimlError::SipHeader { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn headers_carry_any_text_and_are_bounded() {
        let text = uri("a", "example.com")
            .and_then(|uri| uri.header("X-Who", "Jürgen & Co\r\nVia: x"))
            .expect("an address")
            .to_string();
        assert_eq!(
            text,
            "sip:a@example.com?X-Who=J%C3%BCrgen%20%26%20CoVia%3A%20x"
        );
        let value = "a".repeat(MAX_HEADERS - "X-A=".len());
        assert!(
            uri("a", "example.com")
                .and_then(|uri| uri.header("X-A", &value))
                .is_ok()
        );
        let value = value + "a";
        assert!(
            uri("a", "example.com")
                .and_then(|uri| uri.header("X-A", &value))
                .is_err()
        );
        assert_eq!(
            format!("{:?}", uri("100", "example.com")),
            "Ok(SipUri(…@example.com))"
        );
    }
}
