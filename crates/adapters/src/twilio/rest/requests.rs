//! What is asked of Twilio, and the form it travels in.

use std::collections::BTreeMap;

use switchhook_model::E164;
use url::form_urlencoded::Serializer;

use crate::Secret;
use crate::twilio::twiml::{
    AmdMode, Beep, CallEvent, ConferenceCallbackEvent, Method, RecordingEvent, Trim,
};
use crate::twilio::webhook::CallSid;

/// A form body; names may repeat, which is how lists are written.
#[derive(Default)]
pub(super) struct Form(Vec<(&'static str, String)>);

impl Form {
    fn put(&mut self, name: &'static str, value: impl Into<Option<String>>) {
        if let Some(value) = value.into() {
            self.0.push((name, value));
        }
    }

    fn text(&mut self, name: &'static str, value: Option<&String>) {
        self.put(name, value.cloned());
    }

    fn number(&mut self, name: &'static str, value: Option<u32>) {
        self.put(name, value.map(|value| value.to_string()));
    }

    fn truth(&mut self, name: &'static str, value: Option<bool>) {
        self.put(name, value.map(|value| value.to_string()));
    }

    fn all(&mut self, name: &'static str, values: impl Iterator<Item = &'static str>) {
        for value in values {
            self.put(name, value.to_owned());
        }
    }

    /// A list of conferences by this name.
    pub(super) fn name(name: &str) -> Self {
        Self(vec![("FriendlyName", name.to_owned())])
    }

    /// A list of what belongs to this number.
    pub(super) fn number_of(number: &E164) -> Self {
        Self(vec![("PhoneNumber", number.to_string())])
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn body(&self) -> String {
        Serializer::new(String::new())
            .extend_pairs(self.pairs())
            .finish()
    }
}

/// What a call does once it is answered.
#[derive(Clone, PartialEq, Eq)]
pub enum CallDocument {
    /// A webhook of ours, called by POST.
    Url(String),
    /// A document, from [`Document::to_inline_xml`](crate::twilio::twiml::Document::to_inline_xml).
    Twiml(String),
}

/// User name and password for a SIP target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipLogin {
    pub username: String,
    pub password: Secret,
}

/// Answering machine detection of a placed call.
#[derive(Clone, PartialEq, Eq)]
pub struct CallAmd {
    pub mode: AmdMode,
    /// In seconds (30).
    pub timeout: Option<u32>,
    /// Where the result goes while the call already runs. `None`: the call's document waits for it,
    /// and whoever answered hears seconds of silence.
    pub callback: Option<String>,
}

/// A call to place.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCall {
    /// E.164, `sip:…` or `client:…`.
    pub to: String,
    /// A number the account owns or has verified (21210).
    pub from: String,
    pub document: CallDocument,
    /// Called when the document cannot be fetched; not with an inline one.
    pub fallback_url: Option<String>,
    pub status_callback: Option<String>,
    /// What for; none = the end only.
    pub status_callback_events: Vec<CallEvent>,
    /// How long it rings, in seconds (60, at most 600).
    pub timeout: Option<u32>,
    /// Longest call, in seconds.
    pub time_limit: Option<u32>,
    /// Keys pressed when it answers; switches detection off.
    pub send_digits: Option<String>,
    pub amd: Option<CallAmd>,
    pub sip_login: Option<SipLogin>,
    /// From the webhook of a call in, to show its caller's number on this one.
    pub call_token: Option<String>,
    pub record: Option<NewRecording>,
}

impl NewCall {
    /// Calls `to` and runs `document`, everything else as usual.
    pub fn new(to: impl Into<String>, from: impl Into<String>, document: CallDocument) -> Self {
        Self {
            to: to.into(),
            from: from.into(),
            document,
            fallback_url: None,
            status_callback: None,
            status_callback_events: Vec::new(),
            timeout: None,
            time_limit: None,
            send_digits: None,
            amd: None,
            sip_login: None,
            call_token: None,
            record: None,
        }
    }

    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        form.put("To", self.to.clone());
        form.put("From", self.from.clone());
        match &self.document {
            CallDocument::Url(url) => {
                form.put("Url", url.clone());
                form.text("FallbackUrl", self.fallback_url.as_ref());
            }
            CallDocument::Twiml(xml) => form.put("Twiml", xml.clone()),
        }
        put_status(
            &mut form,
            self.status_callback.as_ref(),
            &self.status_callback_events,
        );
        form.number("Timeout", self.timeout.map(|s| s.clamp(1, 600)));
        form.number("TimeLimit", self.time_limit);
        form.text("SendDigits", self.send_digits.as_ref());
        if let Some(amd) = &self.amd {
            form.put("MachineDetection", amd.mode.as_str().to_owned());
            form.number("MachineDetectionTimeout", amd.timeout);
            if let Some(callback) = &amd.callback {
                form.put("AsyncAmd", "true".to_owned());
                form.put("AsyncAmdStatusCallback", callback.clone());
            }
        }
        put_login(&mut form, self.sip_login.as_ref());
        form.text("CallToken", self.call_token.as_ref());
        if let Some(record) = &self.record {
            form.put("Record", "true".to_owned());
            record.put(&mut form);
        }
        form
    }
}

fn put_status(form: &mut Form, callback: Option<&String>, events: &[CallEvent]) {
    if callback.is_some() {
        form.text("StatusCallback", callback);
        form.all("StatusCallbackEvent", events.iter().map(|e| e.as_str()));
    }
}

fn put_login(form: &mut Form, login: Option<&SipLogin>) {
    if let Some(login) = login {
        form.put("SipAuthUsername", login.username.clone());
        form.put("SipAuthPassword", login.password.expose().to_owned());
    }
}

/// A change to a call that goes on. A new document takes the place of the running one at once.
#[derive(Clone, PartialEq, Eq)]
pub enum CallUpdate {
    Url(String),
    /// From [`Document::to_inline_xml`](crate::twilio::twiml::Document::to_inline_xml).
    Twiml(String),
    /// Ends it, whatever its state.
    Hangup,
    /// Ends it only while it has not been answered.
    Cancel,
}

impl CallUpdate {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        match self {
            Self::Url(url) => form.put("Url", url.clone()),
            Self::Twiml(xml) => form.put("Twiml", xml.clone()),
            Self::Hangup => form.put("Status", "completed".to_owned()),
            Self::Cancel => form.put("Status", "canceled".to_owned()),
        }
        form
    }
}

/// Which calls are listed; the newest first.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CallQuery {
    /// Legs this one dialled.
    pub parent: Option<CallSid>,
    pub to: Option<String>,
    pub from: Option<String>,
}

impl CallQuery {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        form.put(
            "ParentCallSid",
            self.parent.as_ref().map(ToString::to_string),
        );
        form.text("To", self.to.as_ref());
        form.text("From", self.from.as_ref());
        form
    }
}

/// Who sends a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Sender {
    /// A number of the account; of WhatsApp with `whatsapp:` before it, as the recipient.
    Number(String),
    /// A messaging service (`MG…`).
    Service(String),
}

/// What a message says.
#[derive(Clone, PartialEq, Eq)]
pub enum MessageContent {
    /// At most 1600 characters.
    Text(String),
    /// An approved template and its variables: `{"1":"Anna"}`.
    Template {
        content_sid: String,
        variables: BTreeMap<String, String>,
    },
}

/// An SMS or a WhatsApp message.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub to: String,
    pub from: Sender,
    pub content: MessageContent,
    pub status_callback: Option<String>,
    /// How long it may wait before it is dropped, in seconds (1 to 36000).
    pub validity_s: Option<u32>,
}

impl NewMessage {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        form.put("To", self.to.clone());
        match &self.from {
            Sender::Number(number) => form.put("From", number.clone()),
            Sender::Service(sid) => form.put("MessagingServiceSid", sid.clone()),
        }
        match &self.content {
            MessageContent::Text(text) => form.put("Body", text.clone()),
            MessageContent::Template {
                content_sid,
                variables,
            } => {
                form.put("ContentSid", content_sid.clone());
                if !variables.is_empty() {
                    // JSON in a string, as Twilio wants it.
                    let variables = serde_json::to_string(variables).expect("texts");
                    form.put("ContentVariables", variables);
                }
            }
        }
        form.text("StatusCallback", self.status_callback.as_ref());
        form.number(
            "ValidityPeriod",
            self.validity_s.map(|s| s.clamp(1, 36_000)),
        );
        form
    }
}

/// Which messages are listed; the newest first.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MessageQuery {
    pub to: Option<String>,
    pub from: Option<String>,
}

impl MessageQuery {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        form.text("To", self.to.as_ref());
        form.text("From", self.from.as_ref());
        form
    }
}

/// Somebody to be dialled into a conference.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NewParticipant {
    /// E.164, `sip:…` or `client:…`.
    pub to: String,
    pub from: String,
    /// Unique in the room.
    pub label: Option<String>,
    /// How long it rings, in seconds (60); brought to 5 to 600, and Twilio adds five.
    pub timeout: Option<u32>,
    pub time_limit: Option<u32>,
    pub muted: Option<bool>,
    pub beep: Option<Beep>,
    pub start_on_enter: Option<bool>,
    pub end_on_exit: Option<bool>,
    pub wait_url: Option<String>,
    /// Whether those in the room hear the ringing (they do).
    pub early_media: Option<bool>,
    pub call_token: Option<String>,
    pub sip_login: Option<SipLogin>,
    pub status_callback: Option<String>,
    pub status_callback_events: Vec<CallEvent>,
    pub conference_status_callback: Option<String>,
    pub conference_status_callback_events: Vec<ConferenceCallbackEvent>,
    /// Runs beside the call; the callback is of its own name here (21263).
    pub amd: Option<CallAmd>,
}

impl NewParticipant {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        form.put("To", self.to.clone());
        form.put("From", self.from.clone());
        form.text("Label", self.label.as_ref());
        form.number("Timeout", self.timeout.map(|s| s.clamp(5, 600)));
        form.number("TimeLimit", self.time_limit);
        form.truth("Muted", self.muted);
        form.put("Beep", self.beep.map(|beep| beep.as_str().to_owned()));
        form.truth("StartConferenceOnEnter", self.start_on_enter);
        form.truth("EndConferenceOnExit", self.end_on_exit);
        form.text("WaitUrl", self.wait_url.as_ref());
        form.truth("EarlyMedia", self.early_media);
        form.text("CallToken", self.call_token.as_ref());
        put_login(&mut form, self.sip_login.as_ref());
        put_status(
            &mut form,
            self.status_callback.as_ref(),
            &self.status_callback_events,
        );
        if self.conference_status_callback.is_some() {
            form.text(
                "ConferenceStatusCallback",
                self.conference_status_callback.as_ref(),
            );
            let events = &self.conference_status_callback_events;
            form.all(
                "ConferenceStatusCallbackEvent",
                events.iter().map(|e| e.as_str()),
            );
        }
        if let Some(amd) = &self.amd {
            form.put("MachineDetection", amd.mode.as_str().to_owned());
            form.number("MachineDetectionTimeout", amd.timeout);
            form.text("AmdStatusCallback", amd.callback.as_ref());
        }
        form
    }
}

/// A change to a participant; `None` leaves as it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ParticipantUpdate {
    pub hold: Option<bool>,
    /// What is heard meanwhile (Twilio's music); fetched by `hold_method`.
    pub hold_url: Option<String>,
    pub hold_method: Method,
    pub muted: Option<bool>,
    /// Played to this participant alone.
    pub announce_url: Option<String>,
    pub end_on_exit: Option<bool>,
}

impl ParticipantUpdate {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        form.truth("Hold", self.hold);
        if let Some(url) = &self.hold_url {
            form.put("HoldUrl", url.clone());
            // Twilio's own choice is GET here.
            let method = match self.hold_method {
                Method::Post => "POST",
                Method::Get => "GET",
            };
            form.put("HoldMethod", method.to_owned());
        }
        form.truth("Muted", self.muted);
        form.text("AnnounceUrl", self.announce_url.as_ref());
        form.truth("EndConferenceOnExit", self.end_on_exit);
        form
    }
}

/// A change to a conference.
#[derive(Clone, PartialEq, Eq)]
pub enum ConferenceChange {
    /// Ends it for all.
    End,
    /// Plays this document to all.
    Announce(String),
}

impl ConferenceChange {
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        match self {
            Self::End => form.put("Status", "completed".to_owned()),
            Self::Announce(url) => form.put("AnnounceUrl", url.clone()),
        }
        form
    }
}

/// A recording of a call that goes on.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NewRecording {
    /// Both parties on a channel each.
    pub is_dual: bool,
    pub trim: Option<Trim>,
    pub status_callback: Option<String>,
    pub status_callback_events: Vec<RecordingEvent>,
}

impl NewRecording {
    fn put(&self, form: &mut Form) {
        let channels = if self.is_dual { "dual" } else { "mono" };
        form.put("RecordingChannels", channels.to_owned());
        form.put("Trim", self.trim.map(|trim| trim.as_str().to_owned()));
        if self.status_callback.is_some() {
            form.text("RecordingStatusCallback", self.status_callback.as_ref());
            let events = &self.status_callback_events;
            form.all(
                "RecordingStatusCallbackEvent",
                events.iter().map(|e| e.as_str()),
            );
        }
    }

    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        self.put(&mut form);
        form
    }
}

/// A change to a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingChange {
    /// The pause is heard as silence, so that times still fit.
    PauseSilent,
    /// The pause is left out.
    PauseSkip,
    Resume,
    Stop,
}

impl RecordingChange {
    pub(super) fn form(self) -> Form {
        let mut form = Form::default();
        let (status, pause) = match self {
            Self::PauseSilent => ("paused", Some("silence")),
            Self::PauseSkip => ("paused", Some("skip")),
            Self::Resume => ("in-progress", None),
            Self::Stop => ("stopped", None),
        };
        form.put("Status", status.to_owned());
        form.put("PauseBehavior", pause.map(str::to_owned));
        form
    }
}

hide!(
    Form,
    CallDocument,
    CallAmd,
    NewCall,
    CallUpdate,
    CallQuery,
    Sender,
    MessageContent,
    NewMessage,
    MessageQuery,
    NewParticipant,
    ParticipantUpdate,
    ConferenceChange,
    NewRecording
);
