//! Who calls, who is called, and how a target is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not what it should be. Names the expectation and shows the text, cut to 64
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got:?}")]
pub struct ParseError {
    expected: &'static str,
    got: String,
}

impl ParseError {
    /// An error that says what was expected.
    pub fn new(expected: &'static str, got: &str) -> Self {
        Self {
            expected,
            got: got.chars().take(64).collect(),
        }
    }
}

/// Seen from the gateway, fixed when the call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// A telephone number in E.164: `+` and 7 to 15 digits, the first not 0 (ITU-T E.164 §6).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(String);

impl E164 {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number with all but its last two digits hidden, for logs.
    pub fn masked(&self) -> String {
        mask(&self.0)
    }
}

impl FromStr for E164 {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.strip_prefix('+').unwrap_or("");
        let ok = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                "a number as + and 7 to 15 digits (E.164)",
                text,
            ))
        }
    }
}

impl TryFrom<String> for E164 {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Hides all but the last two characters of a number or address.
pub fn mask(text: &str) -> String {
    let n = text.chars().count();
    text.chars()
        .enumerate()
        .map(|(i, c)| if i + 2 >= n { c } else { '*' })
        .collect()
}

/// The short number that reaches an endpoint: 2 to 8 digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Extension(String);

impl Extension {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Extension {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if (2..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new("an extension of 2 to 8 digits", text))
        }
    }
}

impl TryFrom<String> for Extension {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Extension> for String {
    fn from(extension: Extension) -> Self {
        extension.0
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a human or a called party is reached. Written as the extension, the number, or the URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    Extension(Extension),
    Number(E164),
    SipUri(String),
}

impl FromStr for Target {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.starts_with('+') {
            return text.parse().map(Self::Number);
        }
        let uri = text
            .strip_prefix("sip:")
            .or_else(|| text.strip_prefix("sips:"));
        if let Some(rest) = uri {
            let clean = !rest.is_empty()
                && text.len() <= 256
                && text
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | ','));
            return if clean {
                Ok(Self::SipUri(text.to_owned()))
            } else {
                Err(ParseError::new("a SIP URI without spaces or quotes", text))
            };
        }
        text.parse()
            .map(Self::Extension)
            .map_err(|_| ParseError::new("an extension, a number with +, or a sip: URI", text))
    }
}

impl TryFrom<String> for Target {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension(e) => e.fmt(f),
            Self::Number(n) => n.fmt(f),
            Self::SipUri(u) => f.write_str(u),
        }
    }
}

/// What the other side said about itself. Data from outside: never trusted, always escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallerIdentity {
    /// User part of the From URI or the number, at most 64 characters, control characters removed.
    pub number: String,
    /// Display name, at most 64 characters, control characters removed.
    pub display_name: Option<String>,
}

impl CallerIdentity {
    /// Cleans what came from the network.
    pub fn from_untrusted(number: &str, display_name: Option<&str>) -> Self {
        let clean = |text: &str| -> String {
            text.chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect::<String>()
                .trim()
                .to_owned()
        };
        Self {
            number: clean(number),
            display_name: display_name.map(clean).filter(|name| !name.is_empty()),
        }
    }
}

/// One key of the telephone keypad (RFC 4733 §3.2, events 0 to 15).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Digit(char);

impl Digit {
    /// The key with this RFC 4733 event code, if it is one of the 16 keys.
    pub fn from_event(code: u8) -> Option<Self> {
        b"0123456789*#ABCD"
            .get(usize::from(code))
            .map(|b| Self(char::from(*b)))
    }

    /// RFC 4733 event code.
    pub fn event(self) -> u8 {
        let position = "0123456789*#ABCD".chars().position(|c| c == self.0);
        u8::try_from(position.expect("a Digit holds one of the 16 keys")).expect("16 keys")
    }

    pub fn as_char(self) -> char {
        self.0
    }
}

impl TryFrom<char> for Digit {
    type Error = ParseError;
    fn try_from(key: char) -> Result<Self, ParseError> {
        let key = key.to_ascii_uppercase();
        if "0123456789*#ABCD".contains(key) {
            Ok(Self(key))
        } else {
            Err(ParseError::new("a keypad key", &key.to_string()))
        }
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> Self {
        digit.0
    }
}

impl fmt::Debug for Digit {
    /// Hidden: digits may be part of a PIN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(·)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_a_plus_and_seven_to_fifteen_digits() {
        assert!("+12025550100".parse::<E164>().is_ok());
        for bad in [
            "12025550100",
            "+0202555",
            "+1202",
            "+1202555010012345",
            "+1 202",
            "",
        ] {
            assert!(bad.parse::<E164>().is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_are_told_apart_by_their_form() {
        assert!(matches!("2001".parse(), Ok(Target::Extension(_))));
        assert!(matches!("+12025550100".parse(), Ok(Target::Number(_))));
        assert!(matches!(
            "sip:2001@192.0.2.1".parse(),
            Ok(Target::SipUri(_))
        ));
        for bad in ["sip:", "sip:a b@c", "sip:a@b>\r\nX: y", "front desk", ""] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_numbers_and_digits() {
        let number: E164 = "+12025550100".parse().expect("valid");
        assert_eq!(format!("{number:?}"), "**********00");
        assert_eq!(format!("{:?}", Digit::from_event(5)), "Some(Digit(·))");
    }

    #[test]
    fn hostile_names_lose_control_characters() {
        let who = CallerIdentity::from_untrusted("2001\r\nX", Some("\u{0}  "));
        assert_eq!(who.number, "2001X");
        assert_eq!(who.display_name, None);
    }
}
