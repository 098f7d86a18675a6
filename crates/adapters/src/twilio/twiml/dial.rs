//! `<Dial>` and whom it calls.
//! <https://www.twilio.com/docs/voice/twiml/dial>

use super::TwimlError;
use super::conference::Conference;
use super::sip_uri::SipUri;
use super::verbs::{Method, RecordingEvent, flag, recording_events, write_parameter};
use super::xml::{Attributes, Xml};
use crate::Secret;

/// Bounds of the ring timeout in seconds (13212). Twilio adds about five.
const TIMEOUT: std::ops::RangeInclusive<u32> = 5..=600;
/// Most targets of one `<Dial>`.
const MAX_TARGETS: usize = 10;
/// Longest user name and password, in characters.
const MAX_CREDENTIAL: usize = 255;

/// What a target's status callback is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEvent {
    Initiated,
    Ringing,
    Answered,
    /// Any end.
    Completed,
}

impl CallEvent {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [
        Self::Initiated,
        Self::Ringing,
        Self::Answered,
        Self::Completed,
    ];

    /// Twilio's word, also over REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
        }
    }
}

/// What is recorded of a `<Dial>`. Dual: the caller on the first channel, the other on the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialRecord {
    FromAnswer,
    FromRinging,
    FromAnswerDual,
    FromRingingDual,
}

impl DialRecord {
    fn as_str(self) -> &'static str {
        match self {
            Self::FromAnswer => "record-from-answer",
            Self::FromRinging => "record-from-ringing",
            Self::FromAnswerDual => "record-from-answer-dual",
            Self::FromRingingDual => "record-from-ringing-dual",
        }
    }
}

/// Whether silence at both ends of a recording is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trim {
    TrimSilence,
    DoNotTrim,
}

impl Trim {
    /// Twilio's word, also over REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TrimSilence => "trim-silence",
            Self::DoNotTrim => "do-not-trim",
        }
    }
}

/// What answering machine detection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmdMode {
    /// The first sign of a machine.
    Enable,
    /// The end of its greeting.
    DetectMessageEnd,
}

impl AmdMode {
    /// Twilio's word, also over REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enable => "Enable",
            Self::DetectMessageEnd => "DetectMessageEnd",
        }
    }
}

/// Answering machine detection of a dialled target; it runs beside the call.
#[derive(Clone, PartialEq, Eq)]
pub struct Amd {
    pub mode: AmdMode,
    /// In seconds, 3 to 60 (30).
    pub timeout: Option<u32>,
    /// Where the result goes.
    pub callback: Option<String>,
}

/// `<Dial>`: calls one or several targets and connects the first that answers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Dial {
    /// Where the outcome goes. With it, verbs behind the `<Dial>` are never reached.
    pub action: Option<String>,
    pub method: Method,
    /// The caller hears ringing until the other side answers, and is not answered before.
    pub answer_on_bridge: bool,
    /// How long it rings, in seconds; brought to 5 to 600 (30).
    pub timeout: Option<u32>,
    /// Longest call, in seconds (14400).
    pub time_limit: Option<u32>,
    /// The caller's own number, one the account owns, or a verified one (13214). To `<Sip>` any
    /// letters, digits and `+-_.`.
    pub caller_id: Option<String>,
    /// The caller drops the other side with `*`.
    pub hangup_on_star: bool,
    pub record: Option<DialRecord>,
    pub recording_status_callback: Option<String>,
    pub recording_status_callback_events: Vec<RecordingEvent>,
    pub trim: Option<Trim>,
    /// One target after the other in place of all at once.
    pub sequential: bool,
    /// Country whose ringing tone the caller hears: `de`.
    pub ring_tone: Option<String>,
    /// Called when a SIP phone transfers the call.
    pub refer_url: Option<String>,
    pub targets: Vec<Noun>,
}

/// A target of a `<Dial>`.
#[derive(Clone, PartialEq, Eq)]
pub enum Noun {
    Number(Number),
    Sip(Sip),
    Conference(Conference),
    Client(Client),
}

impl Dial {
    /// Calls this one target.
    pub fn to(target: Noun) -> Self {
        Self {
            targets: vec![target],
            ..Self::default()
        }
    }

    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let rooms = self
            .targets
            .iter()
            .filter(|target| matches!(target, Noun::Conference(_)))
            .count();
        if self.targets.is_empty() || self.targets.len() > MAX_TARGETS {
            return Err(value("Dial", "it needs 1 to 10 targets"));
        }
        if rooms > 0 && self.targets.len() > 1 {
            return Err(value("Dial", "a conference is its only target"));
        }
        let timeout = self
            .timeout
            .map(|seconds| seconds.clamp(*TIMEOUT.start(), *TIMEOUT.end()).to_string());
        let attributes: &Attributes<'_> = &[
            ("answerOnBridge", flag(self.answer_on_bridge)),
            ("timeout", timeout),
            ("callerId", self.caller_id.clone()),
            (
                "action",
                xml.optional_url("Dial action", self.action.as_ref())?,
            ),
            ("method", self.method.attribute()),
            ("timeLimit", self.time_limit.map(|s| s.max(1).to_string())),
            ("hangupOnStar", flag(self.hangup_on_star)),
            ("record", self.record.map(|r| r.as_str().into())),
            ("trim", self.trim.map(|t| t.as_str().into())),
            (
                "recordingStatusCallback",
                xml.optional_url(
                    "Dial recordingStatusCallback",
                    self.recording_status_callback.as_ref(),
                )?,
            ),
            (
                "recordingStatusCallbackEvent",
                recording_events(&self.recording_status_callback_events),
            ),
            ("sequential", flag(self.sequential)),
            ("ringTone", self.ring_tone.clone()),
            (
                "referUrl",
                xml.optional_url("Dial referUrl", self.refer_url.as_ref())?,
            ),
        ];
        xml.open("Dial", attributes);
        for target in &self.targets {
            match target {
                Noun::Number(number) => number.write(xml)?,
                Noun::Sip(sip) => sip.write(xml)?,
                Noun::Conference(conference) => conference.write(xml)?,
                Noun::Client(client) => client.write(xml)?,
            }
        }
        xml.close("Dial");
        Ok(())
    }
}

pub(super) fn value(what: &'static str, problem: &'static str) -> TwimlError {
    TwimlError::Value { what, problem }
}

/// Attributes that targets share: whisper, status callbacks, answering machine detection.
struct Shared<'a> {
    url: Option<&'a String>,
    status_callback: Option<&'a String>,
    events: &'a [CallEvent],
    amd: Option<&'a Amd>,
}

impl Shared<'_> {
    fn attributes(&self, xml: &Xml) -> Result<[(&'static str, Option<String>); 6], TwimlError> {
        let events: Vec<_> = self.events.iter().map(|event| event.as_str()).collect();
        Ok([
            (
                "url",
                xml.optional_url("url of a dialled target", self.url)?,
            ),
            (
                "statusCallback",
                xml.optional_url("statusCallback of a dialled target", self.status_callback)?,
            ),
            (
                "statusCallbackEvent",
                (!events.is_empty()).then(|| events.join(" ")),
            ),
            ("machineDetection", self.amd.map(|a| a.mode.as_str().into())),
            (
                "machineDetectionTimeout",
                self.amd
                    .and_then(|a| a.timeout)
                    .map(|seconds| seconds.clamp(3, 60).to_string()),
            ),
            (
                "amdStatusCallback",
                xml.optional_url(
                    "amdStatusCallback of a dialled target",
                    self.amd.and_then(|a| a.callback.as_ref()),
                )?,
            ),
        ])
    }
}

/// `<Number>`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Number {
    /// E.164 (13223).
    pub number: String,
    /// Whisper: this document runs on the other side before both are connected. An empty one
    /// accepts, a `<Hangup>` declines. Without `<Dial>` (13201).
    pub url: Option<String>,
    pub status_callback: Option<String>,
    pub status_callback_events: Vec<CallEvent>,
    /// Keys pressed when it answers.
    pub send_digits: Option<String>,
    pub amd: Option<Amd>,
}

impl Number {
    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let digits = self.number.strip_prefix('+').unwrap_or(&self.number);
        if !(2..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(value(
                "Number",
                "it is no telephone number such as +12025550100",
            ));
        }
        let mut attributes = vec![("sendDigits", self.send_digits.clone())];
        attributes.extend(
            Shared {
                url: self.url.as_ref(),
                status_callback: self.status_callback.as_ref(),
                events: &self.status_callback_events,
                amd: self.amd.as_ref(),
            }
            .attributes(xml)?,
        );
        xml.element("Number", &attributes, &self.number);
        Ok(())
    }
}

/// `<Sip>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sip {
    pub uri: SipUri,
    /// Answer the target's digest challenge.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Whisper, as of [`Number`].
    pub url: Option<String>,
    pub status_callback: Option<String>,
    pub status_callback_events: Vec<CallEvent>,
    pub amd: Option<Amd>,
}

impl Sip {
    /// Calls `uri` without credentials, whisper and callbacks.
    pub fn new(uri: SipUri) -> Self {
        Self {
            uri,
            username: None,
            password: None,
            url: None,
            status_callback: None,
            status_callback_events: Vec::new(),
            amd: None,
        }
    }

    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let password = self.password.as_ref().map(Secret::expose);
        if self.username.is_some() != password.is_some() {
            return Err(value("Sip", "user name and password belong together"));
        }
        let longest = |text: Option<&str>| text.map_or(0, |text| text.chars().count());
        if longest(self.username.as_deref()).max(longest(password)) > MAX_CREDENTIAL {
            return Err(value(
                "Sip",
                "user name or password is longer than 255 characters",
            ));
        }
        let mut attributes = vec![
            ("username", self.username.clone()),
            ("password", password.map(str::to_owned)),
        ];
        attributes.extend(
            Shared {
                url: self.url.as_ref(),
                status_callback: self.status_callback.as_ref(),
                events: &self.status_callback_events,
                amd: self.amd.as_ref(),
            }
            .attributes(xml)?,
        );
        xml.element("Sip", &attributes, &self.uri.to_string());
        Ok(())
    }
}

/// `<Client>`: a browser or an app with Twilio's SDK.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Client {
    pub identity: String,
    /// Whisper, as of [`Number`].
    pub url: Option<String>,
    pub status_callback: Option<String>,
    pub status_callback_events: Vec<CallEvent>,
    /// Handed over to the app.
    pub parameters: Vec<(String, String)>,
}

impl Client {
    fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        if self.identity.is_empty() {
            return Err(value("Client", "it has no identity"));
        }
        let attributes = Shared {
            url: self.url.as_ref(),
            status_callback: self.status_callback.as_ref(),
            events: &self.status_callback_events,
            amd: None,
        }
        .attributes(xml)?;
        if self.parameters.is_empty() {
            xml.element("Client", &attributes, &self.identity);
            return Ok(());
        }
        xml.open("Client", &attributes);
        xml.element("Identity", &[], &self.identity);
        for (name, value) in &self.parameters {
            write_parameter(name, value, xml);
        }
        xml.close("Client");
        Ok(())
    }
}

hide!(Amd, Dial, Noun, Number, Sip, Client);
