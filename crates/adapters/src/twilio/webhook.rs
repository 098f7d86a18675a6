//! What the parameters of a webhook mean: typed reading of [`Params`].
//!
//! What belongs here: names, values and their odd forms. What does not: what to do about them.
//! Parameters that are absent, empty or unreadable are `None`, and nothing is refused but a call's
//! id that cannot be one: Twilio adds and changes parameters without notice.
//! <https://www.twilio.com/docs/voice/twiml#request-parameters>

mod address;
mod callbacks;
mod status;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use switchhook_model::{ParseError, Timestamp};

use super::form::Params;
pub use address::Address;
pub use callbacks::{
    ConferenceEvent, ConferenceUpdate, MessageUpdate, RecordingStatus, RecordingUpdate,
    StreamEvent, StreamUpdate,
};
pub use status::{AnsweredBy, CallDirection, CallStatus, DialOutcome, MachinePart, MessageStatus};

/// Header whose value is the same for each try of one webhook.
pub const IDEMPOTENCY_HEADER: &str = "I-Twilio-Idempotency-Token";
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "X-Twilio-Signature";
/// Header that names a shared key.
pub const SIGNATURE_SETTINGS_HEADER: &str = "X-Twilio-Webhooks-Signature-Settings";

/// Longest id and idempotency token, in bytes.
const MAX_ID: usize = 64;
const MAX_TOKEN: usize = 128;

/// The id of a call at the carrier. Twilio's are `CA` and 32 hexadecimal digits; any 1 to 64
/// visible ASCII characters are taken, so that calls can be tried by hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallSid(String);

impl CallSid {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallSid {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if is_id(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                "a CallSid of 1 to 64 visible ASCII characters",
                text,
            ))
        }
    }
}

impl TryFrom<String> for CallSid {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<CallSid> for String {
    fn from(sid: CallSid) -> Self {
        sid.0
    }
}

impl fmt::Display for CallSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A webhook's parameters, read by what they mean.
#[derive(Debug, Clone, Copy)]
pub struct Webhook<'a> {
    params: &'a Params,
}

impl<'a> Webhook<'a> {
    /// The form of a POST, or the query of a GET.
    pub fn new(params: &'a Params) -> Self {
        Self { params }
    }

    /// Any parameter that is present and not empty.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.params.get(name).filter(|value| !value.is_empty())
    }

    fn id(&self, name: &str) -> Option<&'a str> {
        self.text(name).filter(|text| is_id(text))
    }

    fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.trim().parse().ok()
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_secs)
    }

    fn truth(&self, name: &str) -> Option<bool> {
        match self.text(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The call this is about. With it everything begins.
    ///
    /// # Errors
    /// If there is none, or it cannot be one.
    pub fn call_sid(&self) -> Result<CallSid, ParseError> {
        self.text("CallSid").unwrap_or("").parse()
    }

    /// The leg that dialled this one.
    pub fn parent_call_sid(&self) -> Option<CallSid> {
        self.text("ParentCallSid")?.parse().ok()
    }

    pub fn account_sid(&self) -> Option<&'a str> {
        self.id("AccountSid")
    }

    pub fn call_status(&self) -> Option<CallStatus> {
        self.text("CallStatus").map(CallStatus::read)
    }

    pub fn direction(&self) -> Option<CallDirection> {
        self.text("Direction").map(CallDirection::read)
    }

    /// Who calls; `None` if withheld.
    pub fn from(&self) -> Option<Address> {
        self.text("From").and_then(Address::read)
    }

    /// Who is called.
    pub fn to(&self) -> Option<Address> {
        self.text("To").and_then(Address::read)
    }

    /// Who sent the call on, where the network said so.
    pub fn forwarded_from(&self) -> Option<Address> {
        self.text("ForwardedFrom").and_then(Address::read)
    }

    /// Lets a further call show this caller's number.
    pub fn call_token(&self) -> Option<&'a str> {
        self.text("CallToken")
    }

    /// Keys of a `<Gather>`. May be part of a PIN: never logged.
    pub fn digits(&self) -> Option<&'a str> {
        self.text("Digits")
            .filter(|keys| keys.bytes().all(|b| b"0123456789*#ABCDabcd".contains(&b)))
    }

    /// The call ended during `<Record>` (`Digits=hangup`).
    pub fn hung_up_recording(&self) -> bool {
        self.text("Digits") == Some("hangup")
    }

    /// What a `<Gather>` understood.
    pub fn speech(&self) -> Option<&'a str> {
        let text = self.text("SpeechResult")?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// How sure it is of it, 0.0 to 1.0. Often absent.
    pub fn confidence(&self) -> Option<f64> {
        self.number("Confidence")
            .filter(|c: &f64| (0.0..=1.0).contains(c))
    }

    /// What a `<Dial>` came to; `None` if this is not its `action`.
    pub fn dial(&self) -> Option<DialOutcome> {
        Some(DialOutcome {
            status: self.text("DialCallStatus").map(CallStatus::read)?,
            is_bridged: self.truth("DialBridged"),
            call_sid: self.text("DialCallSid").and_then(|sid| sid.parse().ok()),
            duration: self.seconds("DialCallDuration"),
            sip_status: self.sip_status("DialSipResponseCode"),
        })
    }

    /// The final SIP response of a leg that ended.
    pub fn sip_response(&self) -> Option<u16> {
        self.sip_status("SipResponseCode")
    }

    fn sip_status(&self, name: &str) -> Option<u16> {
        self.number(name).filter(|code| (100..700).contains(code))
    }

    /// How long the leg was up; with its end.
    pub fn call_duration(&self) -> Option<Duration> {
        self.seconds("CallDuration")
    }

    /// Who or what picked up, as far as detection ran.
    pub fn answered_by(&self) -> Option<AnsweredBy> {
        self.text("AnsweredBy").map(AnsweredBy::read)
    }

    /// Place among the status callbacks of one leg (from 0) or one conference. They may arrive in
    /// any order.
    pub fn sequence_number(&self) -> Option<u32> {
        self.number("SequenceNumber")
    }

    /// When it happened: RFC 2822, of streams RFC 3339.
    pub fn timestamp(&self) -> Option<Timestamp> {
        let text = self.text("Timestamp")?;
        jiff::fmt::rfc2822::parse(text)
            .map(|at| at.timestamp())
            .or_else(|_| text.parse::<jiff::Timestamp>())
            .ok()
            .map(|at| Timestamp::from_millis(at.as_millisecond()))
    }

    /// The carrier's error: see [`catalogue`](super::catalogue).
    pub fn error_code(&self) -> Option<u32> {
        self.number("ErrorCode").filter(|code| *code > 0)
    }
}

/// The key under which the answer to a webhook is kept, so that a second try gets the same answer
/// and changes nothing. `token` is the value of [`IDEMPOTENCY_HEADER`]. Without it, the key is made
/// of the call or message, its status, the sequence number, the request target, and a hash of all
/// parameters: one `<Gather>` after another at the same URL differs in these alone, so action URLs
/// should count their steps. Holds no parameter in clear but ids and status.
pub fn idempotency_key(token: Option<&str>, path_and_query: &str, params: &Params) -> String {
    let token = token
        .filter(|t| (1..=MAX_TOKEN).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic()));
    if let Some(token) = token {
        return format!("token:{token}");
    }
    let webhook = Webhook::new(params);
    let word = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| webhook.id(name))
            .unwrap_or("-")
    };
    let mut hash = Sha256::new();
    hash.update(path_and_query.as_bytes());
    for (name, value) in params.iter() {
        // Lengths, so that no two lists of parameters are written alike.
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value.as_bytes());
    }
    let digest: String = hash.finalize()[..16]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!(
        "made:{}:{}:{}:{digest}",
        word(&["CallSid", "MessageSid", "ConferenceSid"]),
        word(&["CallStatus", "MessageStatus", "StatusCallbackEvent"]),
        word(&["SequenceNumber"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Params {
        Params::parse(text.as_bytes()).expect("a form")
    }

    #[test]
    fn a_call_is_read() {
        let params = form(
            "AccountSid=AC00000000000000000000000000000001&CallSid=CA00000000000000000000000000000001\
             &CallStatus=ringing&Direction=inbound&From=%2B12025550142&To=%2B493023125001&FromCity=",
        );
        let webhook = Webhook::new(&params);
        assert_eq!(
            webhook.call_sid().expect("a call").as_str(),
            "CA00000000000000000000000000000001"
        );
        assert_eq!(webhook.call_status(), Some(CallStatus::Ringing));
        assert_eq!(webhook.direction(), Some(CallDirection::Inbound));
        assert_eq!(
            webhook.from(),
            Some(Address::Number("+12025550142".parse().expect("a number")))
        );
        assert_eq!(webhook.text("FromCity"), None);
        assert_eq!(webhook.parent_call_sid(), None);
        assert_eq!(webhook.dial(), None);
        assert!(!format!("{webhook:?}").contains("2025550142"));
    }

    #[test]
    fn a_gather_is_read() {
        let params = form("Digits=12%2A%23&SpeechResult=+yes+please+&Confidence=0.92");
        let webhook = Webhook::new(&params);
        assert_eq!(webhook.digits(), Some("12*#"));
        assert_eq!(webhook.speech(), Some("yes please"));
        assert_eq!(webhook.confidence(), Some(0.92));
        for nothing in [
            "Digits=&SpeechResult=+&Confidence=x",
            "Confidence=1.5",
            "Digits=hangup",
        ] {
            let params = form(nothing);
            let webhook = Webhook::new(&params);
            assert_eq!(webhook.digits(), None, "{nothing}");
            assert_eq!(webhook.speech(), None);
            assert_eq!(webhook.confidence(), None);
            assert_eq!(webhook.hung_up_recording(), nothing == "Digits=hangup");
        }
    }

    #[test]
    fn a_status_callback_is_read() {
        let params = form(
            "CallSid=CA1&ParentCallSid=CA0&CallStatus=completed&CallDuration=37&Duration=1\
             &SipResponseCode=200&Timestamp=Fri%2C+20+Nov+2026+10%3A15%3A00+%2B0000\
             &SequenceNumber=3&AnsweredBy=machine_end_beep&ErrorCode=31920",
        );
        let webhook = Webhook::new(&params);
        assert_eq!(webhook.call_duration(), Some(Duration::from_secs(37)));
        assert_eq!(webhook.sip_response(), Some(200));
        assert_eq!(webhook.sequence_number(), Some(3));
        assert_eq!(
            webhook.answered_by(),
            Some(AnsweredBy::Machine(MachinePart::EndBeep))
        );
        assert_eq!(webhook.error_code(), Some(31_920));
        let at = webhook.timestamp().expect("RFC 2822");
        assert_eq!(at.as_millis(), 1_795_169_700_000);
        let stream = form("Timestamp=2026-11-20T10%3A15%3A00.000Z");
        assert_eq!(Webhook::new(&stream).timestamp(), Some(at));
        let odd = form("Timestamp=soon&SequenceNumber=-1&SipResponseCode=99&ErrorCode=0");
        let odd = Webhook::new(&odd);
        assert_eq!(odd.timestamp(), None);
        assert_eq!(odd.sequence_number(), None);
        assert_eq!(odd.sip_response(), None);
        assert_eq!(odd.error_code(), None);
    }

    #[test]
    fn any_visible_text_may_be_a_calls_id() {
        for good in [
            "CA1",
            "CA00000000000000000000000000000001",
            "test-1",
            &"x".repeat(64),
        ] {
            assert!(good.parse::<CallSid>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<CallSid>().is_err(), "{bad:?}");
        }
        assert!(Webhook::new(&Params::default()).call_sid().is_err());
    }

    #[test]
    fn the_idempotency_token_is_the_key_where_there_is_one() {
        let params = form("CallSid=CA1");
        assert_eq!(
            idempotency_key(Some("5b1f8c6e-3f0d"), "/twilio/voice", &params),
            "token:5b1f8c6e-3f0d"
        );
        for unusable in [None, Some(""), Some("a b"), Some(&*"x".repeat(129))] {
            let key = idempotency_key(unusable, "/twilio/voice", &params);
            assert!(key.starts_with("made:CA1:-:-:"), "{key}");
        }
    }

    #[test]
    fn without_a_token_the_key_tells_steps_apart_and_hides_what_was_said() {
        let key = |target: &str, text: &str| idempotency_key(None, target, &form(text));
        let text = "CallSid=CA1&CallStatus=in-progress&SequenceNumber=2&SpeechResult=my+pin";
        let one = key("/twilio/voice?step=1", text);
        assert_eq!(one, key("/twilio/voice?step=1", text));
        assert!(one.starts_with("made:CA1:in-progress:2:"), "{one}");
        assert!(!one.contains("pin"));
        assert_ne!(one, key("/twilio/voice?step=2", text));
        assert_ne!(
            one,
            key("/twilio/voice?step=1", &text.replace("pin", "name"))
        );
        assert_ne!(key("/x", "a=bc"), key("/x", "ab=c"));
    }
}
