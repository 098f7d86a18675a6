//! The requests themselves: path, form, answer.
//! <https://www.twilio.com/docs/voice/api>, <https://www.twilio.com/docs/messaging/api>

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use switchhook_model::E164;
use tokio::time::timeout;

use super::requests::Form;
use super::{
    AccountInfo, AudioFile, CallInfo, CallQuery, CallUpdate, CallerIdInfo, Carrier,
    ConferenceChange, ConferenceInfo, MessageInfo, MessageQuery, NewCall, NewMessage,
    NewParticipant, NewRecording, ParticipantInfo, ParticipantUpdate, PhoneNumberInfo,
    RecordingChange, RecordingInfo, RecordingMedia, TwilioError, TwilioRest, refusal, unknown,
};
use crate::http;
use crate::twilio::webhook::CallSid;

#[async_trait]
impl Carrier for TwilioRest {
    async fn create_call(&self, call: &NewCall) -> Result<CallInfo, TwilioError> {
        let operation = "place a call";
        let url = self.url(operation, &["Calls"])?;
        self.ask(operation, Method::POST, &url, Some(&call.form()))
            .await
    }

    async fn update_call(
        &self,
        call: &CallSid,
        update: &CallUpdate,
    ) -> Result<CallInfo, TwilioError> {
        let operation = match update {
            CallUpdate::Url(_) | CallUpdate::Twiml(_) => "redirect a call",
            CallUpdate::Hangup | CallUpdate::Cancel => "end a call",
        };
        let url = self.url(operation, &["Calls", call.as_str()])?;
        self.ask(operation, Method::POST, &url, Some(&update.form()))
            .await
    }

    async fn call(&self, call: &CallSid) -> Result<CallInfo, TwilioError> {
        let operation = "look at a call";
        let url = self.url(operation, &["Calls", call.as_str()])?;
        self.ask(operation, Method::GET, &url, None).await
    }

    async fn calls(&self, query: &CallQuery) -> Result<Vec<CallInfo>, TwilioError> {
        self.list("list calls", "Calls", "calls", &query.form())
            .await
    }

    async fn create_message(&self, message: &NewMessage) -> Result<MessageInfo, TwilioError> {
        let operation = "send a message";
        let url = self.url(operation, &["Messages"])?;
        self.ask(operation, Method::POST, &url, Some(&message.form()))
            .await
    }

    async fn message(&self, sid: &str) -> Result<MessageInfo, TwilioError> {
        let operation = "look at a message";
        let url = self.url(operation, &["Messages", sid])?;
        self.ask(operation, Method::GET, &url, None).await
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Vec<MessageInfo>, TwilioError> {
        self.list("list messages", "Messages", "messages", &query.form())
            .await
    }

    async fn add_participant(
        &self,
        conference: &str,
        participant: &NewParticipant,
    ) -> Result<ParticipantInfo, TwilioError> {
        let operation = "dial into a conference";
        let url = self.url(operation, &["Conferences", conference, "Participants"])?;
        self.ask(operation, Method::POST, &url, Some(&participant.form()))
            .await
    }

    async fn update_participant(
        &self,
        conference: &str,
        participant: &str,
        update: &ParticipantUpdate,
    ) -> Result<ParticipantInfo, TwilioError> {
        let operation = "change a participant";
        let path = ["Conferences", conference, "Participants", participant];
        let url = self.url(operation, &path)?;
        self.ask(operation, Method::POST, &url, Some(&update.form()))
            .await
    }

    async fn remove_participant(
        &self,
        conference: &str,
        participant: &str,
    ) -> Result<(), TwilioError> {
        let operation = "take a participant out of a conference";
        let path = ["Conferences", conference, "Participants", participant];
        let url = self.url(operation, &path)?;
        self.tried(operation, &Method::DELETE, &url, None)
            .await
            .map(drop)
    }

    async fn conferences(&self, name: &str) -> Result<Vec<ConferenceInfo>, TwilioError> {
        let all: Vec<ConferenceInfo> = self
            .list(
                "list conferences",
                "Conferences",
                "conferences",
                &Form::name(name),
            )
            .await?;
        let has_ended = |c: &ConferenceInfo| c.status.as_deref() == Some("completed");
        Ok(all.into_iter().filter(|c| !has_ended(c)).collect())
    }

    async fn update_conference(
        &self,
        conference: &str,
        change: &ConferenceChange,
    ) -> Result<ConferenceInfo, TwilioError> {
        let operation = "change a conference";
        let url = self.url(operation, &["Conferences", conference])?;
        self.ask(operation, Method::POST, &url, Some(&change.form()))
            .await
    }

    async fn start_recording(
        &self,
        call: &CallSid,
        recording: &NewRecording,
    ) -> Result<RecordingInfo, TwilioError> {
        let operation = "record a call";
        let url = self.url(operation, &["Calls", call.as_str(), "Recordings"])?;
        self.ask(operation, Method::POST, &url, Some(&recording.form()))
            .await
    }

    async fn update_recording(
        &self,
        call: &CallSid,
        recording: Option<&str>,
        change: RecordingChange,
    ) -> Result<RecordingInfo, TwilioError> {
        let operation = "change a recording";
        let recording = recording.unwrap_or("Twilio.CURRENT");
        let url = self.url(
            operation,
            &["Calls", call.as_str(), "Recordings", recording],
        )?;
        self.ask(operation, Method::POST, &url, Some(&change.form()))
            .await
    }

    async fn recording_media(
        &self,
        recording: &str,
        file: AudioFile,
        two_channels: bool,
    ) -> Result<RecordingMedia, TwilioError> {
        let operation = "fetch a recording";
        let ending = match file {
            AudioFile::Wav => "wav",
            AudioFile::Mp3 => "mp3",
        };
        let mut url = self.url(operation, &["Recordings", recording])?;
        let path = url.path().trim_end_matches("json").to_owned() + ending;
        url.set_path(&path);
        if two_channels {
            url.query_pairs_mut().append_pair("RequestedChannels", "2");
        }
        let response = self.media(operation, url).await?;
        if !response.status().is_success() {
            return Err(refusal(operation, response).await);
        }
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let content_type = header(CONTENT_TYPE).map(str::to_owned);
        let length = header(CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let gap = self.limits.whole;
        let pieces = response
            .bytes_stream()
            .map_err(move |error| {
                unknown(
                    operation,
                    &format!("it broke off: {}", http::chain(&error.without_url())),
                )
            })
            .boxed();
        // An error is the last that comes.
        let bytes = futures::stream::unfold(Some(pieces), move |pieces| async move {
            let mut pieces = pieces?;
            match timeout(gap, pieces.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Err(_) => Some((Err(unknown(operation, "it stalled")), None)),
            }
        })
        .boxed();
        Ok(RecordingMedia {
            content_type,
            length,
            bytes,
        })
    }

    async fn phone_numbers(&self, number: &E164) -> Result<Vec<PhoneNumberInfo>, TwilioError> {
        let query = Form::number_of(number);
        let operation = "look up a number of the account";
        self.list(
            operation,
            "IncomingPhoneNumbers",
            "incoming_phone_numbers",
            &query,
        )
        .await
    }

    async fn account(&self) -> Result<AccountInfo, TwilioError> {
        let operation = "look at the account";
        let url = self.url(operation, &[])?;
        self.ask(operation, Method::GET, &url, None).await
    }

    async fn caller_ids(&self, number: &E164) -> Result<Vec<CallerIdInfo>, TwilioError> {
        let query = Form::number_of(number);
        let operation = "look up a verified caller id";
        self.list(
            operation,
            "OutgoingCallerIds",
            "outgoing_caller_ids",
            &query,
        )
        .await
    }
}
