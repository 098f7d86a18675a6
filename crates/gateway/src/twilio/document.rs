//! From a program to the document that the carrier reads.

use switchhook_adapters::Secret;
use switchhook_adapters::twilio::twiml::{
    CallEvent, Connect, Dial, Document, Gather, GatherInput, Method, Noun, Number, Prompt, Record,
    RecordingEvent, RejectReason, Say, Sip, SipTransport, SipUri, SpeechTimeout, StartRecording,
    Stream, TwimlError,
};
use switchhook_model::{CallId, E164, Language, LegId, Target};

use super::channel::{Channel, Program};
use super::invitation;
use super::settings::Settings;
use super::streams;
use crate::config::AssistantVia;

/// Silence that ends what the caller says, in seconds: the least the carrier allows.
const SPEECH_TIMEOUT_S: u32 = 1;
/// Silence that ends a message, in seconds.
const MESSAGE_SILENCE_S: u32 = 4;
/// Seconds somebody else's assistant may ring.
const OTHER_RINGS_S: u32 = 30;

/// The program as a document.
///
/// # Errors
/// If the carrier would not take it: a target that cannot be dialled there.
pub(super) fn render(
    program: &Program,
    channel: &Channel,
    settings: &Settings,
) -> Result<String, TwimlError> {
    let urls = Urls::of(channel, settings);
    let voice = |text: &str| say(text, settings);
    let begun = || {
        if channel.state.is_recorded_from_here && settings.records {
            Document::new().start_recording(StartRecording {
                recording_status_callback: Some(urls.to("recording")),
                recording_status_callback_events: vec![RecordingEvent::Completed],
                is_dual: true,
                // As long as the call: what was said when is found again.
                keep_silence: true,
            })
        } else {
            Document::new()
        }
    };
    let spoken = |texts: &[String]| {
        texts
            .iter()
            .fold(begun(), |document, text| document.say(voice(text)))
    };
    let document = match program {
        Program::Listen {
            say,
            over,
            silence_ms,
            pin,
        } => spoken(say).gather(Gather {
            input: GatherInput::Both,
            action: Some(urls.to(if *pin { "verify_pin" } else { "process_audio" })),
            timeout: Some(seconds(*silence_ms)),
            speech_timeout: Some(SpeechTimeout::Seconds(SPEECH_TIMEOUT_S)),
            // A key is a wish of its own; those of a PIN come in a row.
            num_digits: (!pin).then_some(1),
            finish_on_key: pin.then(|| "#".to_owned()),
            language: Some(settings.section.voice.language.clone()),
            hints: settings.section.voice.hints.clone(),
            speech_model: settings.section.voice.speech_model.clone(),
            action_on_empty_result: true,
            prompts: over.iter().map(|text| Prompt::Say(voice(text))).collect(),
            ..Gather::default()
        }),
        Program::Tell { say } => spoken(say).redirect(urls.of_call("connect")),
        Program::Wait => begun().pause(1).redirect(urls.of_call("connect")),
        Program::Dial { say, order } => {
            let action = match &order.target {
                Target::Extension(extension) => {
                    urls.with("transfer_callback", "extension", extension.as_str())
                }
                Target::Number(_) | Target::SipUri(_) => urls.of_call("dial_status"),
            };
            let noun = noun(&order.target, &order.leg, &order.display, &urls, settings)?;
            spoken(say).dial(Dial {
                // An answered caller hears the ringing from the carrier; one who is not answered yet
                // is not charged for it.
                answer_on_bridge: true,
                timeout: Some(order.ring_timeout_s),
                caller_id: caller_id(order.caller_id.as_deref(), channel, settings),
                action: Some(action),
                targets: vec![noun],
                ..Dial::default()
            })
        }
        Program::Meet { say, order } => {
            let action = urls.of_call("dial_status");
            spoken(say).dial(invitation::entrance(&urls, &order.leg, action))
        }
        Program::Elsewhere => begun().dial(Dial {
            timeout: Some(OTHER_RINGS_S),
            // Never anything else: the carrier refuses what is no number of the account.
            caller_id: settings.section.number.as_ref().map(ToString::to_string),
            action: Some(urls.of_call("dial_status")),
            targets: vec![other(channel, settings)?],
            ..Dial::default()
        }),
        Program::Stream => begun().connect(Connect {
            action: Some(urls.of_call("connect")),
            method: Method::Post,
            stream: Stream {
                url: urls.socket("media"),
                parameters: vec![
                    (streams::CALL.to_owned(), urls.call.to_string()),
                    (streams::PROGRAM.to_owned(), urls.n.to_string()),
                    (
                        streams::TOKEN.to_owned(),
                        settings.stream_token(urls.call, urls.n),
                    ),
                ],
                ..Stream::default()
            },
        }),
        Program::TakeMessage { say } => spoken(say)
            .record(Record {
                action: Some(urls.of_call("message")),
                timeout: Some(MESSAGE_SILENCE_S),
                max_length: Some(settings.max_message_s),
                finish_on_key: Some("#".to_owned()),
                play_beep: Some(true),
                recording_status_callback: Some(urls.to("recording")),
                ..Record::default()
            })
            // Without a word there is no recording, and the carrier goes on here.
            .redirect(urls.of_call("connect")),
        Program::Refuse { busy: true } => Document::new().reject(RejectReason::Busy),
        Program::Refuse { busy: false } => Document::new().reject(RejectReason::Rejected),
        Program::Hangup => Document::new().hangup(),
    };
    document.to_xml()
}

/// Somebody else's assistant. By SIP it is told which call this is, and who was called.
fn other(channel: &Channel, settings: &Settings) -> Result<Noun, TwimlError> {
    let section = &settings.section;
    let number = section.assistant_number.as_ref();
    let number = number.map(ToString::to_string).unwrap_or_default();
    if section.assistant_via != AssistantVia::Sip {
        return Ok(Noun::Number(Number {
            number,
            ..Number::default()
        }));
    }
    let (host, port, is_tls) = &section.assistant_sip;
    let transport = if *is_tls {
        SipTransport::Tls
    } else {
        SipTransport::Tcp
    };
    let uri = SipUri::new(&number, host, *port, Some(transport))?
        .header("X-CALL-ID", channel.call.id().as_str())?
        .header("X-CALLER-ID", &channel.call.view().callee)?;
    Ok(Noun::Sip(Sip::new(uri)))
}

/// Where the carrier is to come back to.
pub(super) struct Urls<'a> {
    base: String,
    pub call: &'a CallId,
    /// The number of the program: what comes back about an earlier one is late.
    n: u32,
}

impl<'a> Urls<'a> {
    pub fn of(channel: &'a Channel, settings: &Settings) -> Self {
        let state = &channel.state;
        Self {
            base: format!("{}{}/twilio", settings.public_url, state.prefix),
            call: channel.call.id(),
            n: state.given,
        }
    }

    fn to(&self, path: &str) -> String {
        format!("{}/{path}?n={}", self.base, self.n)
    }

    /// A websocket has no query.
    fn socket(&self, path: &str) -> String {
        let base = self.base.strip_prefix("http").unwrap_or(&self.base);
        format!("ws{base}/{path}")
    }

    fn of_call(&self, path: &str) -> String {
        format!("{}/{path}/{}?n={}", self.base, self.call, self.n)
    }

    fn with(&self, path: &str, name: &str, value: &str) -> String {
        format!("{}/{path}?{name}={value}&n={}", self.base, self.n)
    }

    /// What anybody may fetch.
    pub fn open(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// About a leg the carrier dials. Not tied to a program: these come at any time.
    pub fn of_leg(&self, path: &str, leg: &LegId) -> String {
        format!("{}/{path}/{}?leg={leg}", self.base, self.call)
    }
}

fn noun(
    target: &Target,
    leg: &LegId,
    display: &str,
    urls: &Urls<'_>,
    settings: &Settings,
) -> Result<Noun, TwimlError> {
    let section = &settings.section;
    let url = section.whisper.then(|| urls.of_leg("whisper", leg));
    let status_callback = Some(urls.of_leg("status", leg));
    let events = CallEvent::ALL.to_vec();
    let Some(uri) = sip_uri(target, display, urls, settings)? else {
        return Ok(Noun::Number(Number {
            number: target.to_string(),
            url,
            status_callback,
            status_callback_events: events,
            ..Number::default()
        }));
    };
    let credentials = section.sip_credentials.as_ref();
    let mut sip = Sip::new(uri);
    sip.username = credentials.map(|(user, _)| user.clone());
    sip.password = credentials.map(|(_, password)| Secret::new(password.expose()));
    sip.url = url;
    sip.status_callback = status_callback;
    sip.status_callback_events = events;
    Ok(Noun::Sip(sip))
}

/// Where an agent is reached over SIP, with what the PBX is told; none for a number.
pub(super) fn sip_uri(
    target: &Target,
    display: &str,
    urls: &Urls<'_>,
    settings: &Settings,
) -> Result<Option<SipUri>, TwimlError> {
    let uri = match target {
        Target::Number(_) => return Ok(None),
        Target::SipUri(uri) => carried(uri)?,
        Target::Extension(extension) => {
            let domain = settings.sip_domain.as_deref().unwrap_or_default();
            let (host, port) = match domain.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().ok()),
                None => (domain, None),
            };
            let transport = transport(&settings.section.sip_transport);
            SipUri::new(extension.as_str(), host, port, Some(transport))?
        }
    };
    let uri = uri.header("X-Switchhook-Call-Id", urls.call.as_str())?;
    if display.is_empty() {
        return Ok(Some(uri));
    }
    uri.header("X-Switchhook-Caller", display).map(Some)
}

/// A URI of the configuration or an operator: its address, and the transport if it names one.
fn carried(uri: &str) -> Result<SipUri, TwimlError> {
    let error = |problem: String| TwimlError::SipUri { problem };
    let read = switchhook_sip::uri::SipUri::parse(uri).map_err(|e| error(e.to_string()))?;
    let user = read.user.as_deref().unwrap_or_default();
    let wanted = if read.secure {
        Some(SipTransport::Tls)
    } else {
        read.transport().map(|name| transport(&name))
    };
    SipUri::new(user, &read.host, read.port, wanted)
}

fn transport(name: &str) -> SipTransport {
    match name {
        "tcp" => SipTransport::Tcp,
        "tls" => SipTransport::Tls,
        _ => SipTransport::Udp,
    }
}

/// The number the agent sees: one that is configured for it, else the caller's own, which the carrier
/// allows on the caller's own leg, else ours.
fn caller_id(policy: Option<&str>, channel: &Channel, settings: &Settings) -> Option<String> {
    let section = &settings.section;
    if let Some(configured) = &section.caller_id {
        return Some(configured.to_string());
    }
    let caller = channel.call.view().caller.parse::<E164>().ok();
    let passed = caller.filter(|_| section.passes_caller);
    passed
        .or_else(|| section.number.clone())
        .map(|number| number.to_string())
        .or_else(|| policy.map(str::to_owned))
}

fn say(text: &str, settings: &Settings) -> Say {
    let voice = &settings.section.voice;
    Say::new(text)
        .voice(voice.name.clone())
        .language(voice.language.clone())
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

/// What an agent hears before the bridge.
pub(super) fn whisper(channel: &Channel, leg: &LegId, settings: &Settings) -> Document {
    let urls = Urls::of(channel, settings);
    let words = announcement(channel, leg, settings);
    let Some(_) = settings.section.accept_key else {
        return Document::new().say(words);
    };
    Document::new()
        .gather(Gather {
            input: GatherInput::Digits,
            action: Some(urls.of_leg("accept", leg)),
            timeout: Some(8),
            num_digits: Some(1),
            prompts: vec![Prompt::Say(words)],
            ..Gather::default()
        })
        .hangup()
}

/// Who calls, and which key takes the call.
fn announcement(channel: &Channel, leg: &LegId, settings: &Settings) -> Say {
    let display = channel.call.shown_to(leg).1;
    let text = announce(&display, settings.section.accept_key, settings.language);
    say(&text, settings)
}

fn announce(display: &str, key: Option<char>, language: Language) -> String {
    let who = spoken_number(display);
    match (language, key) {
        (Language::En, None) => format!("Call from {who}."),
        (Language::En, Some(key)) => format!("Call from {who}. Press {key} to take it."),
        (Language::De, None) => format!("Anruf von {who}."),
        (Language::De, Some(key)) => {
            format!("Anruf von {who}. Drücken Sie {key}, um ihn anzunehmen.")
        }
        (Language::Ar, None) => format!("مكالمة من {who}."),
        (Language::Ar, Some(key)) => format!("مكالمة من {who}. اضغط {key} للرد عليها."),
    }
}

/// Digits of a number apart, so that they are read one by one; a name as it is.
fn spoken_number(display: &str) -> String {
    let is_number = display
        .trim_start_matches('+')
        .chars()
        .all(|c| c.is_ascii_digit());
    if display.is_empty() || !is_number {
        return display.to_owned();
    }
    let digits: Vec<String> = display
        .chars()
        .filter(char::is_ascii_digit)
        .map(String::from)
        .collect();
    digits.join(" ")
}

/// After a whisper: connect both.
pub(super) fn bridge() -> Document {
    Document::new()
}

/// After a whisper: the agent does not take the call, or there is none any more.
pub(super) fn decline() -> Document {
    Document::new().hangup()
}

pub(super) fn hangup() -> Document {
    Document::new().hangup()
}

/// `POST …/twilio/test`: older deployments compare it.
pub(super) fn test() -> Document {
    Document::new()
        .say(Say::new("Hello, this is a test call from the system."))
        .hangup()
}

/// Behind an answer of ours that the carrier could not use.
pub(super) fn apology(settings: &Settings) -> Document {
    let text = match settings.language {
        Language::En => "I am sorry, there is a technical problem. Please call again later.",
        Language::De => {
            "Es tut mir leid, es gibt eine technische Störung. Bitte rufen Sie später noch einmal an."
        }
        Language::Ar => "عذراً، هناك مشكلة تقنية. يرجى الاتصال لاحقاً.",
    };
    Document::new().say(say(text, settings)).hangup()
}
