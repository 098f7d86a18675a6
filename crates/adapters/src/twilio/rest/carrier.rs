//! What a carrier can be asked for, so that others than Twilio's REST can stand in.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use switchhook_model::E164;

use super::TwilioError;
use super::answers::{
    AccountInfo, CallInfo, CallerIdInfo, ConferenceInfo, MessageInfo, ParticipantInfo,
    PhoneNumberInfo, RecordingInfo,
};
use super::requests::{
    CallQuery, CallUpdate, ConferenceChange, MessageQuery, NewCall, NewMessage, NewParticipant,
    NewRecording, ParticipantUpdate, RecordingChange,
};
use crate::twilio::webhook::CallSid;

/// In which form a recording is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFile {
    Wav,
    Mp3,
}

/// A recording on its way.
pub struct RecordingMedia {
    /// `audio/x-wav`, `audio/mpeg`.
    pub content_type: Option<String>,
    /// In bytes, where the server says so.
    pub length: Option<u64>,
    /// Ends with an error if the connection breaks or stalls.
    pub bytes: BoxStream<'static, Result<Bytes, TwilioError>>,
}

hide!(RecordingMedia);

/// A carrier that is asked over REST. Every method is one request, tried again only where it was
/// certainly not carried out; [`TwilioError::kind`] says what became of it.
/// <https://www.twilio.com/docs/voice/api>
#[async_trait]
pub trait Carrier: Send + Sync + std::fmt::Debug {
    /// Places a call. After [`Unknown`](super::ErrorKind::Unknown), look for it with
    /// [`Carrier::calls`] before placing another.
    async fn create_call(&self, call: &NewCall) -> Result<CallInfo, TwilioError>;

    /// Redirects or ends a call. [`Gone`](super::ErrorKind::Gone): it has ended.
    async fn update_call(
        &self,
        call: &CallSid,
        update: &CallUpdate,
    ) -> Result<CallInfo, TwilioError>;

    /// A call as Twilio sees it, which may lag behind its callbacks.
    async fn call(&self, call: &CallSid) -> Result<CallInfo, TwilioError>;

    /// Calls, the newest first; at most a few hundred.
    async fn calls(&self, query: &CallQuery) -> Result<Vec<CallInfo>, TwilioError>;

    /// Sends a message. Accepted is not delivered: that is told by callback.
    async fn create_message(&self, message: &NewMessage) -> Result<MessageInfo, TwilioError>;

    /// A message by its id.
    async fn message(&self, sid: &str) -> Result<MessageInfo, TwilioError>;

    /// Messages, the newest first; at most a few hundred.
    async fn messages(&self, query: &MessageQuery) -> Result<Vec<MessageInfo>, TwilioError>;

    /// Dials somebody into a conference, by its id or name. A name that is not in use begins one.
    async fn add_participant(
        &self,
        conference: &str,
        participant: &NewParticipant,
    ) -> Result<ParticipantInfo, TwilioError>;

    /// Holds, mutes and the like, by the participant's call or label.
    async fn update_participant(
        &self,
        conference: &str,
        participant: &str,
        update: &ParticipantUpdate,
    ) -> Result<ParticipantInfo, TwilioError>;

    /// Takes somebody out; their document goes on behind its `<Dial>`.
    async fn remove_participant(
        &self,
        conference: &str,
        participant: &str,
    ) -> Result<(), TwilioError>;

    /// Conferences of this name that have not ended.
    async fn conferences(&self, name: &str) -> Result<Vec<ConferenceInfo>, TwilioError>;

    /// Ends a conference or plays something to all. By its id, not its name.
    async fn update_conference(
        &self,
        conference: &str,
        change: &ConferenceChange,
    ) -> Result<ConferenceInfo, TwilioError>;

    /// Begins to record a call that goes on.
    async fn start_recording(
        &self,
        call: &CallSid,
        recording: &NewRecording,
    ) -> Result<RecordingInfo, TwilioError>;

    /// Pauses, resumes or ends a recording; `None` = the one that runs.
    async fn update_recording(
        &self,
        call: &CallSid,
        recording: Option<&str>,
        change: RecordingChange,
    ) -> Result<RecordingInfo, TwilioError>;

    /// Fetches a recording that is complete. `two_channels` as it was recorded, else mixed.
    async fn recording_media(
        &self,
        recording: &str,
        file: AudioFile,
        two_channels: bool,
    ) -> Result<RecordingMedia, TwilioError>;

    /// The account's entry of this number: none if it is not the account's.
    async fn phone_numbers(&self, number: &E164) -> Result<Vec<PhoneNumberInfo>, TwilioError>;

    /// The account itself.
    async fn account(&self) -> Result<AccountInfo, TwilioError>;

    /// The entry of a number that was verified as caller id: none if it was not.
    async fn caller_ids(&self, number: &E164) -> Result<Vec<CallerIdInfo>, TwilioError>;
}
