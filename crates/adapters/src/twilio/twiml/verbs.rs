//! Verbs but `<Dial>`: talking, listening, recording, streams.

use super::TwimlError;
use super::text::{MAX_SAY, clean, pieces};
use super::xml::{Attributes, Xml};

/// Most hints of a `<Gather>`, and the longest one in characters.
const MAX_HINTS: usize = 500;
const MAX_HINT: usize = 100;
/// Name and value of a stream's `<Parameter>` together, in characters.
const MAX_PARAMETER: usize = 499;

/// How Twilio calls a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Twilio's own choice where none is named; not written.
    #[default]
    Post,
    Get,
}

impl Method {
    pub(super) fn attribute(self) -> Option<String> {
        match self {
            Self::Post => None,
            Self::Get => Some("GET".into()),
        }
    }
}

pub(super) fn yes_no(value: Option<bool>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Flags that are written only when set.
pub(super) fn flag(value: bool) -> Option<String> {
    value.then(|| "true".into())
}

fn number(value: Option<u32>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// `<Say>`: Twilio's voice speaks. Longer texts than one `<Say>` takes become several.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Say {
    pub text: String,
    /// `Polly.Vicki-Neural`, `Google.de-DE-Neural2-B`.
    pub voice: Option<String>,
    /// `de-DE`. Set both: some voices ignore it.
    pub language: Option<String>,
}

impl Say {
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    #[must_use]
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    pub(super) fn write(&self, xml: &mut Xml) {
        let attributes = [
            ("voice", self.voice.clone()),
            ("language", self.language.clone()),
        ];
        for piece in pieces(&clean(&self.text), MAX_SAY) {
            xml.element("Say", &attributes, piece);
        }
    }
}

/// `<Play>`: a WAV or MP3 file, or keys as tones.
#[derive(Clone, PartialEq, Eq)]
pub enum Play {
    /// Where the file is fetched.
    Url(String),
    /// The same again and again, until something else is to be done (`loop="0"`).
    Forever(String),
    /// `0-9 * #`; `w` pauses for half a second.
    Digits(String),
}

impl Play {
    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        match self {
            Self::Url(url) => {
                let url = xml.url("Play", url)?;
                xml.element("Play", &[], &url);
            }
            Self::Forever(url) => {
                let url = xml.url("Play", url)?;
                xml.element("Play", &[("loop", Some("0".to_owned()))], &url);
            }
            Self::Digits(digits) => {
                let ok = !digits.is_empty()
                    && digits.len() <= 32
                    && digits.bytes().all(|b| b"0123456789*#wW".contains(&b));
                if !ok {
                    return Err(TwimlError::Value {
                        what: "Play digits",
                        problem: "they are 1 to 32 of 0-9, *, # and w",
                    });
                }
                xml.empty("Play", &[("digits", Some(digits.clone()))]);
            }
        }
        Ok(())
    }
}

pub(super) fn write_pause(seconds: u32, xml: &mut Xml) {
    let length = seconds.max(1).to_string();
    xml.empty("Pause", &[("length", Some(length))]);
}

/// What a `<Gather>` says while it listens.
#[derive(Clone, PartialEq, Eq)]
pub enum Prompt {
    Say(Say),
    Play(Play),
    /// In seconds.
    Pause(u32),
}

/// What a `<Gather>` listens for. With both, the first kind that comes wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GatherInput {
    #[default]
    Digits,
    Speech,
    Both,
}

impl GatherInput {
    fn as_str(self) -> &'static str {
        match self {
            Self::Digits => "dtmf",
            Self::Speech => "speech",
            Self::Both => "dtmf speech",
        }
    }
}

/// Silence after which speech is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechTimeout {
    /// Twilio decides. Not together with a speech model (13335).
    Auto,
    Seconds(u32),
}

/// `<Gather>`: listens for speech and keys while and after it talks.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Gather {
    pub input: GatherInput,
    /// Where the result goes; without it to the URL of this document.
    pub action: Option<String>,
    pub method: Method,
    /// Silence behind the prompts until nothing came, in seconds (5).
    pub timeout: Option<u32>,
    pub speech_timeout: Option<SpeechTimeout>,
    /// This many keys end it.
    pub num_digits: Option<u32>,
    /// This key ends it (`#`); `Some("")` = none does.
    pub finish_on_key: Option<String>,
    /// Of the recogniser: `de-DE`.
    pub language: Option<String>,
    /// Words to expect.
    pub hints: Vec<String>,
    /// `phone_call`, `googlev2_telephony`, `deepgram_nova-3`, …
    pub speech_model: Option<String>,
    /// Whether speech stops the prompts (it does).
    pub barge_in: Option<bool>,
    /// Calls `action` also when nothing came; otherwise the next verb runs.
    pub action_on_empty_result: bool,
    /// Whether swear words are starred out (they are).
    pub profanity_filter: Option<bool>,
    pub prompts: Vec<Prompt>,
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather")
            .field("input", &self.input)
            .field("timeout", &self.timeout)
            .field("prompts", &self.prompts.len())
            .finish_non_exhaustive()
    }
}

impl Gather {
    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let value = |what, problem| TwimlError::Value { what, problem };
        let speech_timeout = match self.speech_timeout {
            Some(SpeechTimeout::Auto) if self.speech_model.is_some() => {
                return Err(value(
                    "Gather speechTimeout",
                    "auto is refused together with a speech model; give seconds",
                ));
            }
            Some(SpeechTimeout::Auto) => Some("auto".to_owned()),
            Some(SpeechTimeout::Seconds(seconds)) => Some(seconds.max(1).to_string()),
            None => None,
        };
        if let Some(key) = &self.finish_on_key
            && (key.len() > 1 || !key.bytes().all(|b| b"0123456789*#".contains(&b)))
        {
            return Err(value(
                "Gather finishOnKey",
                "it is one of 0-9, * and #, or empty",
            ));
        }
        let attributes: &Attributes<'_> = &[
            ("input", Some(self.input.as_str().into())),
            (
                "action",
                xml.optional_url("Gather action", self.action.as_ref())?,
            ),
            ("method", self.method.attribute()),
            (
                "timeout",
                number(self.timeout.map(|seconds| seconds.max(1))),
            ),
            ("speechTimeout", speech_timeout),
            (
                "numDigits",
                number(self.num_digits.map(|digits| digits.max(1))),
            ),
            ("finishOnKey", self.finish_on_key.clone()),
            ("language", self.language.clone()),
            ("hints", hints(&self.hints)),
            ("speechModel", self.speech_model.clone()),
            ("bargeIn", yes_no(self.barge_in)),
            ("profanityFilter", yes_no(self.profanity_filter)),
            ("actionOnEmptyResult", flag(self.action_on_empty_result)),
        ];
        xml.open("Gather", attributes);
        for prompt in &self.prompts {
            match prompt {
                Prompt::Say(say) => say.write(xml),
                Prompt::Play(play) => play.write(xml)?,
                Prompt::Pause(seconds) => write_pause(*seconds, xml),
            }
        }
        xml.close("Gather");
        Ok(())
    }
}

/// Commas separate hints, so none may hold one.
fn hints(hints: &[String]) -> Option<String> {
    let hints: Vec<String> = hints
        .iter()
        .map(|hint| {
            let hint: String = hint.replace(',', " ").chars().take(MAX_HINT).collect();
            hint.trim().to_owned()
        })
        .filter(|hint| !hint.is_empty())
        .take(MAX_HINTS)
        .collect();
    (!hints.is_empty()).then(|| hints.join(", "))
}

/// What a recording's callback is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingEvent {
    InProgress,
    Completed,
    Absent,
}

impl RecordingEvent {
    /// Twilio's word, also over REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Absent => "absent",
        }
    }
}

pub(super) fn recording_events(events: &[RecordingEvent]) -> Option<String> {
    let events: Vec<_> = events.iter().map(|event| event.as_str()).collect();
    (!events.is_empty()).then(|| events.join(" "))
}

/// `<Record>`: takes a message. What follows it runs only if nothing was said.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub action: Option<String>,
    pub method: Method,
    /// Silence that ends it, in seconds (5); 0 = none does.
    pub timeout: Option<u32>,
    /// Keys that end it (all).
    pub finish_on_key: Option<String>,
    /// Longest message in seconds (3600).
    pub max_length: Option<u32>,
    /// Whether a tone begins it (it does).
    pub play_beep: Option<bool>,
    /// Keeps silence at both ends, which is otherwise cut.
    pub keep_silence: bool,
    pub recording_status_callback: Option<String>,
    pub recording_status_callback_events: Vec<RecordingEvent>,
}

impl Record {
    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let attributes: &Attributes<'_> = &[
            (
                "action",
                xml.optional_url("Record action", self.action.as_ref())?,
            ),
            ("method", self.method.attribute()),
            ("timeout", number(self.timeout)),
            ("finishOnKey", self.finish_on_key.clone()),
            (
                "maxLength",
                number(self.max_length.map(|s| s.clamp(1, 14_400))),
            ),
            ("playBeep", yes_no(self.play_beep)),
            ("trim", self.keep_silence.then(|| "do-not-trim".into())),
            (
                "recordingStatusCallback",
                xml.optional_url(
                    "Record recordingStatusCallback",
                    self.recording_status_callback.as_ref(),
                )?,
            ),
            (
                "recordingStatusCallbackEvent",
                recording_events(&self.recording_status_callback_events),
            ),
        ];
        xml.empty("Record", attributes);
        Ok(())
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RejectReason {
    #[default]
    Rejected,
    Busy,
}

impl RejectReason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Busy => "busy",
        }
    }
}

/// `<Connect><Stream>`: the caller talks with us over a websocket. What follows runs when we close it.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    pub action: Option<String>,
    pub method: Method,
    pub stream: Stream,
}

/// `<Stream>`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// `wss://…` without a query (31920, 31922); `ws://` to this machine only.
    pub url: String,
    /// Unique in the call.
    pub name: Option<String>,
    /// Absolute.
    pub status_callback: Option<String>,
    /// Handed over in the `start` message.
    pub parameters: Vec<(String, String)>,
}

impl Connect {
    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let stream = &self.stream;
        check_stream_url(&stream.url)?;
        let attributes: &Attributes<'_> = &[
            (
                "action",
                xml.optional_url("Connect action", self.action.as_ref())?,
            ),
            ("method", self.method.attribute()),
        ];
        xml.open("Connect", attributes);
        let attributes: &Attributes<'_> = &[
            ("url", Some(stream.url.clone())),
            ("name", stream.name.clone()),
            (
                "statusCallback",
                xml.optional_url("Stream statusCallback", stream.status_callback.as_ref())?,
            ),
        ];
        xml.open("Stream", attributes);
        for (name, value) in &stream.parameters {
            if name.is_empty() || name.chars().count() + value.chars().count() > MAX_PARAMETER {
                return Err(TwimlError::Value {
                    what: "Stream Parameter",
                    problem: "it needs a name, and name and value must be shorter than 500 characters",
                });
            }
            write_parameter(name, value, xml);
        }
        xml.close("Stream");
        xml.close("Connect");
        Ok(())
    }
}

pub(super) fn write_parameter(name: &str, value: &str, xml: &mut Xml) {
    let attributes: &Attributes<'_> = &[
        ("name", Some(name.to_owned())),
        ("value", Some(value.to_owned())),
    ];
    xml.empty("Parameter", attributes);
}

fn check_stream_url(text: &str) -> Result<(), TwimlError> {
    let what = "Stream url";
    let url = url::Url::parse(text).map_err(|_| TwimlError::Url {
        what,
        problem: "it cannot be read; give one such as wss://gw.example.com/twilio/media",
    })?;
    let plain_to_itself = url.scheme() == "ws" && crate::http::is_loopback(&url);
    if url.scheme() != "wss" && !plain_to_itself {
        return Err(TwimlError::Url {
            what,
            problem: "its scheme is not wss",
        });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(TwimlError::Url {
            what,
            problem: "it has a query, which Twilio refuses; use parameters",
        });
    }
    Ok(())
}

/// `<Start><Recording>`: records the call while the document goes on.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StartRecording {
    pub recording_status_callback: Option<String>,
    pub recording_status_callback_events: Vec<RecordingEvent>,
    /// Both parties on a channel each.
    pub is_dual: bool,
    pub keep_silence: bool,
}

impl StartRecording {
    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        let attributes: &Attributes<'_> = &[
            (
                "recordingStatusCallback",
                xml.optional_url(
                    "Recording recordingStatusCallback",
                    self.recording_status_callback.as_ref(),
                )?,
            ),
            (
                "recordingStatusCallbackEvent",
                recording_events(&self.recording_status_callback_events),
            ),
            ("channels", self.is_dual.then(|| "dual".into())),
            ("trim", self.keep_silence.then(|| "do-not-trim".into())),
        ];
        xml.open("Start", &[]);
        xml.empty("Recording", attributes);
        xml.close("Start");
        Ok(())
    }
}

hide!(Say, Play, Prompt, Record, Connect, Stream, StartRecording);
