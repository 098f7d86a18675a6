//! Who calls and who is called, as Twilio writes it.

use std::fmt;

use switchhook_model::E164;
use switchhook_model::party::mask;

/// A party of a call or message. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// `+12025550100`
    Number(E164),
    /// `sip:2001@pbx.example.com`
    Sip(String),
    /// `client:name`: without the prefix.
    Client(String),
    /// `whatsapp:+12025550100`: without the prefix.
    WhatsApp(E164),
    /// Anything else, cleaned: a number that could not be put in order, a short code, a sender's
    /// name. At most 64 characters.
    Other(String),
}

/// Longest address that is kept, in characters; of a SIP URI 256.
const MAX_OTHER: usize = 64;
const MAX_URI: usize = 256;

/// Numbers that spell a withheld caller on the keypad: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN,
/// UNAVAILABLE.
const SPELLED: [&str; 5] = [
    "266696687",
    "7378742833",
    "2562533",
    "8656696",
    "86282452253",
];
const WORDS: [&str; 9] = [
    "anonymous",
    "restricted",
    "blocked",
    "unknown",
    "unavailable",
    "private",
    "withheld",
    "not available",
    "no number",
];

impl Address {
    /// Reads `From`, `To` and the like. `None` if it is empty or says that the caller withheld it:
    /// in words (`anonymous`, `Restricted`), spelled on the keypad (`+266696687`), or as the user of
    /// a SIP URI.
    pub fn read(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let text = text.trim();
        if is_withheld(text) {
            return None;
        }
        if let Ok(number) = text.parse() {
            return Some(Self::Number(number));
        }
        let cut = |rest: &str, limit| rest.chars().take(limit).collect::<String>();
        let lower = text.get(..9).unwrap_or(text).to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("whatsapp:").map(|_| &text[9..]) {
            return match rest.parse() {
                Ok(number) => Some(Self::WhatsApp(number)),
                Err(_) => Some(Self::Other(cut(text, MAX_OTHER))),
            };
        }
        if lower.starts_with("client:") {
            let name = cut(&text[7..], MAX_OTHER);
            return (!is_withheld(&name)).then_some(Self::Client(name));
        }
        if lower.starts_with("sip:") || lower.starts_with("sips:") {
            let user = text
                .split_once(':')
                .and_then(|(_, rest)| rest.split_once('@'))
                .map(|(user, _)| user);
            return (!user.is_some_and(is_withheld)).then(|| Self::Sip(cut(text, MAX_URI)));
        }
        Some(Self::Other(cut(text, MAX_OTHER)))
    }

    /// The telephone number, if it is one.
    pub fn number(&self) -> Option<&E164> {
        match self {
            Self::Number(number) | Self::WhatsApp(number) => Some(number),
            Self::Sip(_) | Self::Client(_) | Self::Other(_) => None,
        }
    }
}

fn is_withheld(text: &str) -> bool {
    let lower = text.to_lowercase();
    let digits = text.strip_prefix('+').unwrap_or(text);
    text.is_empty() || WORDS.contains(&lower.as_str()) || SPELLED.contains(&digits)
}

impl fmt::Display for Address {
    /// As Twilio writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Sip(text) | Self::Other(text) => f.write_str(text),
            Self::Client(name) => write!(f, "client:{name}"),
            Self::WhatsApp(number) => write!(f, "whatsapp:{number}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withheld_callers_are_nobody() {
        for withheld in [
            "",
            " ",
            "anonymous",
            "Anonymous",
            "RESTRICTED",
            "unknown",
            "Unavailable",
            "+266696687",
            "266696687",
            "+7378742833",
            "+2562533",
            "+8656696",
            "+86282452253",
            "sip:anonymous@anonymous.invalid",
            "sips:Restricted@example.com;transport=tls",
            "client:Anonymous",
        ] {
            assert_eq!(Address::read(withheld), None, "{withheld}");
        }
    }

    #[test]
    fn addresses_are_told_apart_by_their_form_and_written_as_they_came() {
        let read = |text: &str| Address::read(text).expect(text);
        let number: E164 = "+12025550142".parse().expect("a number");
        assert_eq!(read("+12025550142"), Address::Number(number.clone()));
        assert_eq!(read("whatsapp:+12025550142"), Address::WhatsApp(number));
        assert_eq!(read("client:desk 1"), Address::Client("desk 1".into()));
        assert_eq!(
            read("sip:2001@192.0.2.1;transport=tls"),
            Address::Sip("sip:2001@192.0.2.1;transport=tls".into())
        );
        assert_eq!(read("12345"), Address::Other("12345".into()));
        assert_eq!(read("Müller"), Address::Other("Müller".into()));
        assert_eq!(read("whatsapp:x"), Address::Other("whatsapp:x".into()));
        for text in [
            "+12025550142",
            "whatsapp:+12025550142",
            "client:desk 1",
            "sip:a@example.com",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn hostile_addresses_are_cleaned_and_cut() {
        assert_eq!(
            Address::read("a\r\nX: y\0"),
            Some(Address::Other("aX: y".into()))
        );
        let long = Address::read(&"ü".repeat(200)).expect("something");
        assert_eq!(long.to_string().chars().count(), MAX_OTHER);
        let uri = Address::read(&format!("sip:{}@example.com", "a".repeat(400))).expect("a URI");
        assert_eq!(uri.to_string().len(), MAX_URI);
    }

    #[test]
    fn debug_output_hides_who_it_is() {
        let address = Address::read("+12025550142");
        assert_eq!(format!("{address:?}"), "Some(**********42)");
    }
}
