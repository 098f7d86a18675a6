//! Callbacks about recordings, conferences, streams and messages.
//! <https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallback>

use std::time::Duration;

use super::{Address, CallSid, MessageStatus, Webhook};

/// State of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingStatus {
    InProgress,
    Paused,
    Stopped,
    Processing,
    /// It can be fetched.
    Completed,
    /// Nothing was recorded.
    Absent,
    Failed,
    Deleted,
    Unknown,
}

impl RecordingStatus {
    pub fn read(text: &str) -> Self {
        match text {
            "in-progress" => Self::InProgress,
            "paused" => Self::Paused,
            "stopped" => Self::Stopped,
            "processing" => Self::Processing,
            "completed" => Self::Completed,
            "absent" => Self::Absent,
            "failed" => Self::Failed,
            "deleted" => Self::Deleted,
            _ => Self::Unknown,
        }
    }
}

/// Something happened to a recording, or `<Record>` ended.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordingUpdate<'a> {
    pub sid: Option<&'a str>,
    /// Where it lies; whoever has it may be able to listen, so it is not logged.
    pub url: Option<&'a str>,
    /// `None` in the `action` of `<Record>`: it may not be ready yet.
    pub status: Option<RecordingStatus>,
    pub duration: Option<Duration>,
    /// 1 or 2.
    pub channels: Option<u8>,
    /// `DialVerb`, `Conference`, `RecordVerb`, `StartCallRecordingAPI`, …
    pub source: Option<&'a str>,
}

impl std::fmt::Debug for RecordingUpdate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingUpdate")
            .field("sid", &self.sid)
            .field("status", &self.status)
            .field("duration", &self.duration)
            .field("channels", &self.channels)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What happened in a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceEvent {
    Start,
    End,
    Join,
    /// Also a participant that was dialled and never came: see
    /// [`ConferenceUpdate::participant_status`].
    Leave,
    Mute,
    Unmute,
    Hold,
    Unhold,
    Modify,
    SpeechStart,
    SpeechStop,
    AnnouncementEnd,
    AnnouncementFail,
    Unknown,
}

impl ConferenceEvent {
    pub fn read(text: &str) -> Self {
        match text {
            "conference-start" => Self::Start,
            "conference-end" => Self::End,
            "participant-join" => Self::Join,
            "participant-leave" => Self::Leave,
            "participant-mute" => Self::Mute,
            "participant-unmute" => Self::Unmute,
            "participant-hold" => Self::Hold,
            "participant-unhold" => Self::Unhold,
            "participant-modify" => Self::Modify,
            "participant-speech-start" => Self::SpeechStart,
            "participant-speech-stop" => Self::SpeechStop,
            "announcement-end" => Self::AnnouncementEnd,
            "announcement-fail" => Self::AnnouncementFail,
            _ => Self::Unknown,
        }
    }
}

/// A conference's status callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceUpdate<'a> {
    pub sid: &'a str,
    /// The room, as we named it.
    pub name: Option<&'a str>,
    pub event: ConferenceEvent,
    /// Who joined, left, was held.
    pub participant: Option<CallSid>,
    /// The participant's label, as we gave it.
    pub label: Option<&'a str>,
    /// How the leg stood when it left: `busy`, `no-answer` and `failed` mean that it never came.
    pub participant_status: Option<super::CallStatus>,
    /// `participant_hung_up`, `moderator_ended_conference`, …
    pub reason_left: Option<&'a str>,
    /// `last-participant-left`, `conference-ended-via-api`, …
    pub reason_ended: Option<&'a str>,
}

/// What happened to a media stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent {
    Started,
    Stopped,
    Error,
    Unknown,
}

/// A media stream's status callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamUpdate<'a> {
    pub sid: &'a str,
    pub name: Option<&'a str>,
    pub event: StreamEvent,
    /// Twilio's error code, where its text holds one.
    pub error: Option<u32>,
}

/// A message's status callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUpdate<'a> {
    pub sid: &'a str,
    pub status: MessageStatus,
    /// Why it was not delivered: see [`catalogue`](crate::twilio::catalogue).
    pub error_code: Option<u32>,
    pub from: Option<Address>,
    pub to: Option<Address>,
}

impl<'a> Webhook<'a> {
    /// A recording; `None` if this is about none.
    pub fn recording(&self) -> Option<RecordingUpdate<'a>> {
        let sid = self.id("RecordingSid");
        let url = self.text("RecordingUrl");
        if sid.is_none() && url.is_none() {
            return None;
        }
        Some(RecordingUpdate {
            // The `action` of `<Record>` names it only at the end of its URL.
            sid: sid.or_else(|| {
                let last = url?.rsplit('/').next()?;
                let last = last.split('.').next()?;
                last.starts_with("RE").then_some(last)
            }),
            url,
            status: self.text("RecordingStatus").map(RecordingStatus::read),
            duration: self.seconds("RecordingDuration"),
            channels: self.number("RecordingChannels"),
            source: self.id("RecordingSource"),
        })
    }

    /// A conference's event; `None` if this is about none.
    pub fn conference(&self) -> Option<ConferenceUpdate<'a>> {
        Some(ConferenceUpdate {
            sid: self.id("ConferenceSid")?,
            name: self.text("FriendlyName"),
            event: ConferenceEvent::read(self.text("StatusCallbackEvent")?),
            participant: self.text("CallSid").and_then(|sid| sid.parse().ok()),
            label: self.text("ParticipantLabel"),
            participant_status: self
                .text("ParticipantCallStatus")
                .map(super::CallStatus::read),
            reason_left: self.id("ReasonParticipantLeft"),
            reason_ended: self.id("ReasonConferenceEnded"),
        })
    }

    /// A media stream's event; `None` if this is about none.
    pub fn stream(&self) -> Option<StreamUpdate<'a>> {
        let error = self.text("StreamError");
        Some(StreamUpdate {
            sid: self.id("StreamSid")?,
            name: self.text("StreamName"),
            event: match self.text("StreamEvent")? {
                "stream-started" => StreamEvent::Started,
                "stream-stopped" => StreamEvent::Stopped,
                "stream-error" => StreamEvent::Error,
                _ => StreamEvent::Unknown,
            },
            error: error.and_then(first_code).or_else(|| self.error_code()),
        })
    }

    /// A message's state; `None` if this is about none.
    pub fn message(&self) -> Option<MessageUpdate<'a>> {
        let status = self
            .text("MessageStatus")
            .or_else(|| self.text("SmsStatus"))?;
        Some(MessageUpdate {
            sid: self.id("MessageSid").or_else(|| self.id("SmsSid"))?,
            status: MessageStatus::read(status),
            error_code: self.error_code(),
            from: self.from(),
            to: self.to(),
        })
    }
}

/// The first number of five digits in a text.
fn first_code(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit())
        .find(|part| part.len() == 5)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::form::Params;
    use crate::twilio::webhook::CallStatus;

    fn form(text: &str) -> Params {
        Params::parse(text.as_bytes()).expect("a form")
    }

    #[test]
    fn a_recordings_callback_and_the_action_of_record_are_read() {
        let params = form(
            "CallSid=CA1&RecordingSid=RE00000000000000000000000000000001\
             &RecordingUrl=https%3A%2F%2Fapi.example.com%2FRE00000000000000000000000000000001\
             &RecordingStatus=completed&RecordingDuration=12&RecordingChannels=2&RecordingSource=DialVerb",
        );
        let recording = Webhook::new(&params).recording().expect("a recording");
        assert_eq!(recording.sid, Some("RE00000000000000000000000000000001"));
        assert_eq!(recording.status, Some(RecordingStatus::Completed));
        assert_eq!(recording.duration, Some(Duration::from_secs(12)));
        assert_eq!(recording.channels, Some(2));
        assert!(!format!("{recording:?}").contains("api.example.com"));

        let params = form(
            "RecordingUrl=https%3A%2F%2Fapi.example.com%2FRecordings%2FRE1.wav&RecordingDuration=3",
        );
        let recording = Webhook::new(&params).recording().expect("a recording");
        assert_eq!(recording.sid, Some("RE1"));
        assert_eq!(recording.status, None);
        assert_eq!(Webhook::new(&form("CallSid=CA1")).recording(), None);
    }

    #[test]
    fn a_participant_that_never_came_leaves_with_its_status() {
        let params = form(
            "ConferenceSid=CF00000000000000000000000000000001&FriendlyName=room-1\
             &StatusCallbackEvent=participant-leave&CallSid=CA2&ParticipantLabel=agent\
             &ParticipantCallStatus=no-answer&ReasonParticipantLeft=participant_add_failed&SequenceNumber=4",
        );
        let update = Webhook::new(&params).conference().expect("a conference");
        assert_eq!(update.event, ConferenceEvent::Leave);
        assert_eq!(update.label, Some("agent"));
        assert_eq!(update.participant_status, Some(CallStatus::NoAnswer));
        assert_eq!(update.reason_left, Some("participant_add_failed"));
        assert_eq!(update.participant.expect("a leg").as_str(), "CA2");
        let unknown = form("ConferenceSid=CF1&StatusCallbackEvent=participant-sings");
        let unknown = Webhook::new(&unknown).conference().expect("a conference");
        assert_eq!(unknown.event, ConferenceEvent::Unknown);
    }

    #[test]
    fn a_streams_error_shows_its_code() {
        let params =
            form("StreamSid=MZ1&StreamEvent=stream-error&StreamError=Error+31921%3A+closed");
        let update = Webhook::new(&params).stream().expect("a stream");
        assert_eq!(
            (update.event, update.error),
            (StreamEvent::Error, Some(31_921))
        );
    }

    #[test]
    fn a_messages_state_is_read_by_either_name() {
        let params = form(
            "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=63016&To=whatsapp%3A%2B12025550142",
        );
        let update = Webhook::new(&params).message().expect("a message");
        assert_eq!(update.status, MessageStatus::Undelivered);
        assert_eq!(update.error_code, Some(63_016));
        assert!(matches!(update.to, Some(Address::WhatsApp(_))));
        let params = form("SmsSid=SM2&SmsStatus=sent");
        assert_eq!(
            Webhook::new(&params).message().expect("a message").sid,
            "SM2"
        );
        assert_eq!(Webhook::new(&form("CallSid=CA1")).message(), None);
    }
}
