//! Our reading of SIP URIs and name-addrs (RFC 3261 §19.1, §20.10).
//!
//! The adopted stack escapes percent signs again, loses users that carry parameters
//! (`sip:+1202;npdi;rn=…@host`) and reads only the first Contact. Everything that decides
//! something reads addresses here instead.

use std::net::{IpAddr, SocketAddr};

/// Longest URI we accept, in bytes. Longer ones are answered 400.
pub const MAX_URI_BYTES: usize = 1024;

/// Longest name, address and parameters together, in bytes.
const MAX_NAME_ADDR_BYTES: usize = 4 * MAX_URI_BYTES;

/// Why an address is not one. Shown in the reason phrase of a 400, so it names the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("address is empty")]
    Empty,
    #[error("address is too long")]
    TooLong,
    #[error("address holds a space, quote or control character")]
    BadCharacter,
    #[error("address has no sip: or sips: scheme")]
    Scheme,
    #[error("address has no valid host")]
    Host,
    #[error("address has a port outside 1 to 65535")]
    Port,
    #[error("quoted display name is not closed")]
    Quote,
    #[error("'<' without '>'")]
    Bracket,
}

/// A `sip:` or `sips:` URI, taken apart. Unknown parameters are kept as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipUri {
    /// `sips:`.
    pub secure: bool,
    /// User part with percent-escapes resolved; a password is dropped.
    pub user: Option<String>,
    /// Host as written, IPv6 without its brackets.
    pub host: String,
    pub port: Option<u16>,
    /// Parameters in order, as written.
    pub params: Vec<(String, Option<String>)>,
}

impl SipUri {
    /// Reads a URI without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        check_text(text)?;
        let (secure, rest) = if let Some(rest) = strip_prefix_ignore_case(text, "sip:") {
            (false, rest)
        } else if let Some(rest) = strip_prefix_ignore_case(text, "sips:") {
            (true, rest)
        } else {
            return Err(AddressError::Scheme);
        };
        // The userinfo may hold ';' and '?' unescaped, so it is cut off first.
        let (user, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => {
                let user = userinfo.split(':').next().unwrap_or("");
                (Some(percent_decode(user)), rest)
            }
            None => (None, rest),
        };
        let rest = rest.split('?').next().unwrap_or("");
        // A second '@' is read differently by everybody (RFC 3261 §25.1 has it escaped).
        if rest.contains('@') {
            return Err(AddressError::Host);
        }
        let mut parts = rest.split(';');
        let (host, port) = parse_host_port(parts.next().unwrap_or(""))?;
        let params = parts.filter(|p| !p.is_empty()).map(split_param).collect();
        let uri = Self {
            secure,
            user: user.filter(|u| !u.is_empty()),
            host,
            port,
            params,
        };
        uri.check_written_length(text.len())?;
        Ok(uri)
    }

    /// Written again, a user part can be three times as long as it was: what the sender did not escape
    /// is escaped, and what is not UTF-8 replaced. What we pass on must be read there, too.
    fn check_written_length(&self, read: usize) -> Result<(), AddressError> {
        let may_be_too_long = read > MAX_URI_BYTES / 3;
        if may_be_too_long && self.to_string().len() > MAX_URI_BYTES {
            return Err(AddressError::TooLong);
        }
        Ok(())
    }

    /// A URI of our own making.
    pub fn new(user: Option<&str>, host: &str, port: Option<u16>) -> Self {
        Self {
            secure: false,
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            params: Vec::new(),
        }
    }

    /// The value of a parameter, `Some("")` when it stands without one.
    pub fn param(&self, name: &str) -> Option<&str> {
        find_param(&self.params, name)
    }

    /// RFC 3261 §19.1.1: a route with `;lr` names a loose router.
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The transport asked for, lower case, if the URI asks for one.
    pub fn transport(&self) -> Option<String> {
        self.param("transport").map(str::to_ascii_lowercase)
    }

    /// The host as an address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The address and port when the host is an address; port 5060 unless given.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.ip()
            .map(|ip| SocketAddr::new(ip, self.port.unwrap_or(5060)))
    }

    /// Whether both name the same resource for our purposes: user, host and port.
    pub fn same_resource(&self, other: &Self) -> bool {
        self.user == other.user && self.same_host(other)
    }

    /// Whether host and port are the same; the port is 5060 unless given.
    pub fn same_host(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host)
            && self.port.unwrap_or(5060) == other.port.unwrap_or(5060)
    }
}

impl std::fmt::Display for SipUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            write!(f, "{}@", percent_encode_user(user))?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        for (name, value) in &self.params {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

/// `"Display" <uri>;param=value` or `uri;param=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    pub display: Option<String>,
    /// The URI as written, of any scheme.
    pub uri: String,
    /// Header parameters, for example `tag` or `expires`.
    pub params: Vec<(String, Option<String>)>,
}

impl NameAddr {
    /// Reads one entry of From, To, Contact, Route or Record-Route.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > MAX_NAME_ADDR_BYTES {
            return Err(AddressError::TooLong);
        }
        let (display, rest) = if let Some(after) = text.strip_prefix('"') {
            let (display, rest) = unquote(after).ok_or(AddressError::Quote)?;
            (Some(display), rest.trim_start())
        } else {
            match text.find('<') {
                Some(at) => (Some(text[..at].trim().to_owned()), &text[at..]),
                None => (None, text),
            }
        };
        let display = display.filter(|d| !d.is_empty());
        let (uri, params) = if let Some(inner) = rest.strip_prefix('<') {
            inner.split_once('>').ok_or(AddressError::Bracket)?
        } else if display.is_some() {
            return Err(AddressError::Bracket);
        } else {
            // Without brackets, parameters belong to the header (RFC 3261 §20).
            match rest.split_once('@') {
                Some((user, tail)) => {
                    let end = tail.find(';').unwrap_or(tail.len()) + user.len() + 1;
                    rest.split_at(end)
                }
                None => rest.split_at(rest.find(';').unwrap_or(rest.len())),
            }
        };
        let uri = uri.trim();
        check_text(uri)?;
        let params = split_outside_quotes(params, b';')
            .into_iter()
            .map(str::trim)
            .filter(|p| !p.is_empty())
            .map(split_param)
            .collect();
        Ok(Self {
            display,
            uri: uri.to_owned(),
            params,
        })
    }

    /// Reads a comma-separated header value, at most 64 entries.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, AddressError> {
        split_entries(text)
            .into_iter()
            .filter(|entry| !entry.trim().is_empty())
            .take(64)
            .map(Self::parse)
            .collect()
    }

    /// A header parameter, `Some("")` when it stands without a value.
    pub fn param(&self, name: &str) -> Option<&str> {
        find_param(&self.params, name)
    }

    /// The dialog tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI taken apart, when it is a SIP URI.
    pub fn sip_uri(&self) -> Result<SipUri, AddressError> {
        SipUri::parse(&self.uri)
    }

    /// User part of a SIP URI, number of a `tel:` URI, else the empty text.
    pub fn user(&self) -> String {
        if let Some(number) = strip_prefix_ignore_case(&self.uri, "tel:") {
            return number.split(';').next().unwrap_or("").to_owned();
        }
        let user = self.sip_uri().ok().and_then(|uri| uri.user);
        // Number portability parameters are part of the user (RFC 4694).
        user.map(|u| u.split(';').next().unwrap_or("").to_owned())
            .unwrap_or_default()
    }
}

/// Writes a name-addr of ours. Control characters are dropped from the name, quotes escaped.
pub fn format_name_addr(display: Option<&str>, uri: &str) -> String {
    let name: String = display
        .unwrap_or("")
        .chars()
        .filter(|c| !c.is_control())
        .take(128)
        .collect();
    let name = name.trim();
    if name.is_empty() {
        return format!("<{uri}>");
    }
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\" <{uri}>")
}

/// Escapes what RFC 3261 §25.1 does not allow in a user part.
pub fn percent_encode_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Resolves percent-escapes. A broken escape stays as written.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            // A sign would be read as part of a number.
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Splits a header value at commas outside quotes and angle brackets.
pub fn split_entries(text: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    let (mut start, mut quoted, mut escaped, mut bracketed) = (0, false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => {
                entries.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    entries.push(&text[start..]);
    entries
}

/// Splits at `separator` outside double quotes.
pub(crate) fn split_outside_quotes(text: &str, separator: u8) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b if b == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Reads a quoted string after its opening quote; gives the content and what follows.
pub(crate) fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            '"' => return Some((out, &text[at + 1..])),
            c => out.push(c),
        }
    }
    None
}

fn split_param(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name.trim().to_owned(), Some(value.trim().to_owned())),
        None => (text.trim().to_owned(), None),
    }
}

fn find_param<'a>(params: &'a [(String, Option<String>)], name: &str) -> Option<&'a str> {
    params
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_deref().unwrap_or(""))
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

fn check_text(text: &str) -> Result<(), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.len() > MAX_URI_BYTES {
        return Err(AddressError::TooLong);
    }
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"');
    if text.chars().any(bad) {
        return Err(AddressError::BadCharacter);
    }
    Ok(())
}

fn parse_host_port(text: &str) -> Result<(String, Option<u16>), AddressError> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(AddressError::Host)?;
        let v6: Result<std::net::Ipv6Addr, _> = host.parse();
        if v6.is_err() {
            return Err(AddressError::Host);
        }
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(AddressError::Host),
        };
        (host, port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(valid) {
            return Err(AddressError::Host);
        }
        (host, port)
    };
    let port = match port {
        None => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(AddressError::Port),
        },
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_keep_what_the_stack_loses() {
        let uri = SipUri::parse("sip:+12025550100;npdi;rn=+12025550199@gw.example:5070;user=phone")
            .expect("valid");
        assert_eq!(
            uri.user.as_deref(),
            Some("+12025550100;npdi;rn=+12025550199")
        );
        assert_eq!((uri.host.as_str(), uri.port), ("gw.example", Some(5070)));
        assert_eq!(uri.param("user"), Some("phone"));
        let escaped = SipUri::parse("sip:%23100%20a@h").expect("valid");
        assert_eq!(escaped.user.as_deref(), Some("#100 a"));
        assert_eq!(escaped.to_string(), "sip:%23100%20a@h");
        let v6 = SipUri::parse("SIPS:[::1]:5061;lr").expect("valid");
        assert!(v6.secure && v6.is_loose_router());
        assert_eq!(v6.to_string(), "sips:[::1]:5061;lr");
    }

    #[test]
    fn what_would_be_too_long_when_written_is_not_read() {
        for part in ["%ff", "\u{e9}", "\u{fffd}"] {
            let fits = SipUri::parse(&format!("sip:{}@h", part.repeat(100))).expect("valid");
            assert_eq!(SipUri::parse(&fits.to_string()), Ok(fits));
            let long = SipUri::parse(&format!("sip:{}@h", part.repeat(330)));
            assert_eq!(long, Err(AddressError::TooLong), "{part}");
        }
        let sign = SipUri::parse("sip:%+1a@h").expect("valid");
        assert_eq!(sign.user.as_deref(), Some("%+1a"), "a broken escape stays");
    }

    #[test]
    fn broken_uris_name_their_fault() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("tel:+1", AddressError::Scheme),
            ("sip:", AddressError::Host),
            ("sip:a@", AddressError::Host),
            ("sip:a@b:0", AddressError::Port),
            ("sip:a@b:99999", AddressError::Port),
            ("sip:a@[zz]", AddressError::Host),
            ("sip:a b@c", AddressError::BadCharacter),
            ("sip:a@b\r\nX:1", AddressError::BadCharacter),
            ("sip:a@b@c", AddressError::Host),
            ("sip:a@b;x=@c", AddressError::Host),
            ("sip::;@b;:@c;", AddressError::Host),
        ] {
            assert_eq!(SipUri::parse(text), Err(error), "{text:?}");
        }
        let long = format!("sip:{}@h", "a".repeat(MAX_URI_BYTES));
        assert_eq!(SipUri::parse(&long), Err(AddressError::TooLong));
    }

    #[test]
    fn name_addrs_in_every_form() {
        let quoted = NameAddr::parse(r#""A \"B\", C" <sip:a@b;transport=tcp>;tag=1;expires=60"#)
            .expect("valid");
        assert_eq!(quoted.display.as_deref(), Some(r#"A "B", C"#));
        assert_eq!(quoted.uri, "sip:a@b;transport=tcp");
        assert_eq!(
            (quoted.tag(), quoted.param("expires")),
            (Some("1"), Some("60"))
        );
        let bare = NameAddr::parse("sip:a;x=y@b;tag=2").expect("valid");
        assert_eq!((bare.uri.as_str(), bare.tag()), ("sip:a;x=y@b", Some("2")));
        let token = NameAddr::parse("Bob <sip:b@c>").expect("valid");
        assert_eq!(token.display.as_deref(), Some("Bob"));
        assert_eq!(NameAddr::parse("\"x"), Err(AddressError::Quote));
        assert_eq!(NameAddr::parse("x <sip:a@b"), Err(AddressError::Bracket));
        assert_eq!(NameAddr::parse("<sip:a@b>").expect("valid").user(), "a");
        assert_eq!(
            NameAddr::parse("<tel:+1202;x=y>").expect("valid").user(),
            "+1202"
        );
    }

    #[test]
    fn lists_split_outside_quotes_and_brackets() {
        let list =
            NameAddr::parse_list("\"a,b\" <sip:a@b>, <sip:c,d@e>;q=0.5,sip:f@g").expect("valid");
        let uris: Vec<&str> = list.iter().map(|n| n.uri.as_str()).collect();
        assert_eq!(uris, ["sip:a@b", "sip:c,d@e", "sip:f@g"]);
    }

    #[test]
    fn names_of_ours_cannot_break_out() {
        let text = format_name_addr(Some("Eve\" <sip:x@y>\r\nVia: z\\"), "sip:a@b");
        let back = NameAddr::parse(&text).expect("valid");
        assert_eq!(back.uri, "sip:a@b");
        assert_eq!(back.display.as_deref(), Some("Eve\" <sip:x@y>Via: z\\"));
    }
}
