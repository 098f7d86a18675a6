//! `<Conference>`.
//! <https://www.twilio.com/docs/voice/twiml/conference>

use super::TwimlError;
use super::dial::value;
use super::verbs::{Method, flag, yes_no};
use super::xml::{Attributes, Xml};

/// Longest label of a participant, in characters.
const MAX_LABEL: usize = 128;

/// Who hears a tone when somebody joins or leaves (everybody).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beep {
    Always,
    Never,
    OnEnter,
    OnExit,
}

impl Beep {
    /// Twilio's word, also over REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "true",
            Self::Never => "false",
            Self::OnEnter => "onEnter",
            Self::OnExit => "onExit",
        }
    }
}

/// What a conference's callback is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceCallbackEvent {
    Start,
    End,
    Join,
    Leave,
    Mute,
    Hold,
    Modify,
    Speaker,
    Announcement,
}

impl ConferenceCallbackEvent {
    /// Twilio's word, also over REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Mute => "mute",
            Self::Hold => "hold",
            Self::Modify => "modify",
            Self::Speaker => "speaker",
            Self::Announcement => "announcement",
        }
    }
}

/// `<Conference>`: a room. It begins with two participants of whom one starts it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Conference {
    /// The room: one name space for the whole account, and no place for personal data.
    pub name: String,
    pub start_on_enter: Option<bool>,
    pub end_on_exit: Option<bool>,
    pub muted: bool,
    pub beep: Option<Beep>,
    /// Unique in the room, so that the participant can be named over REST (16023 to 16026).
    pub participant_label: Option<String>,
    /// What is heard while waiting; `Some("")` = silence, `None` = Twilio's music.
    pub wait_url: Option<String>,
    pub wait_method: Method,
    pub max_participants: Option<u32>,
    /// `small` or `medium`: `large` delays an assistant by 300 ms and more.
    pub jitter_buffer_size: Option<String>,
    pub is_recorded: bool,
    pub recording_status_callback: Option<String>,
    /// The first participant's counts, later ones are ignored.
    pub status_callback: Option<String>,
    pub status_callback_events: Vec<ConferenceCallbackEvent>,
}

impl Conference {
    pub(super) fn write(&self, xml: &mut Xml) -> Result<(), TwimlError> {
        if self.name.is_empty() {
            return Err(value("Conference", "it has no name"));
        }
        if let Some(label) = &self.participant_label
            && (label.is_empty() || label.chars().count() > MAX_LABEL || label.contains('/'))
        {
            return Err(value(
                "Conference participantLabel",
                "it is 1 to 128 characters without /",
            ));
        }
        let wait_url = match self.wait_url.as_ref() {
            Some(url) if url.is_empty() => Some(String::new()),
            other => xml.optional_url("Conference waitUrl", other)?,
        };
        let events: Vec<_> = self
            .status_callback_events
            .iter()
            .map(|e| e.as_str())
            .collect();
        let attributes: &Attributes<'_> = &[
            ("startConferenceOnEnter", yes_no(self.start_on_enter)),
            ("endConferenceOnExit", yes_no(self.end_on_exit)),
            ("muted", flag(self.muted)),
            ("beep", self.beep.map(|b| b.as_str().into())),
            ("participantLabel", self.participant_label.clone()),
            ("waitUrl", wait_url),
            ("waitMethod", self.wait_method.attribute()),
            (
                "maxParticipants",
                self.max_participants.map(|n| n.clamp(2, 250).to_string()),
            ),
            ("jitterBufferSize", self.jitter_buffer_size.clone()),
            (
                "record",
                self.is_recorded.then(|| "record-from-start".into()),
            ),
            (
                "recordingStatusCallback",
                xml.optional_url(
                    "Conference recordingStatusCallback",
                    self.recording_status_callback.as_ref(),
                )?,
            ),
            (
                "statusCallback",
                xml.optional_url("Conference statusCallback", self.status_callback.as_ref())?,
            ),
            (
                "statusCallbackEvent",
                (!events.is_empty()).then(|| events.join(" ")),
            ),
        ];
        xml.element("Conference", attributes, &self.name);
        Ok(())
    }
}

hide!(Conference);
