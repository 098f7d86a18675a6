//! What Twilio answers, as far as it is of use. Fields that are not known are ignored.

use serde::{Deserialize, Deserializer};
use switchhook_model::Timestamp;

use crate::twilio::webhook::{CallSid, CallStatus, MessageStatus};

/// A leg.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct CallInfo {
    pub sid: CallSid,
    pub status: CallStatus,
    #[serde(default)]
    pub to: Option<String>,
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub parent_call_sid: Option<CallSid>,
    /// `inbound`, `outbound-api`, `outbound-dial`, …
    #[serde(default)]
    pub direction: Option<String>,
    /// In seconds; once it has ended.
    #[serde(default, deserialize_with = "number")]
    pub duration: Option<u64>,
    /// See [`AnsweredBy`](crate::twilio::webhook::AnsweredBy).
    #[serde(default)]
    pub answered_by: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub date_created: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub end_time: Option<Timestamp>,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct MessageInfo {
    pub sid: String,
    pub status: MessageStatus,
    #[serde(default)]
    pub to: Option<String>,
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
    /// See [`catalogue`](crate::twilio::catalogue).
    #[serde(default, deserialize_with = "number")]
    pub error_code: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    pub num_segments: Option<u64>,
    #[serde(default, deserialize_with = "time")]
    pub date_created: Option<Timestamp>,
}

/// Somebody in a conference, or on the way into it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ParticipantInfo {
    pub call_sid: CallSid,
    pub conference_sid: String,
    #[serde(default)]
    pub label: Option<String>,
    /// `queued`, `connecting`, `ringing`, `connected`, `complete`, `failed`.
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub muted: bool,
    #[serde(default)]
    pub hold: bool,
}

/// A conference.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConferenceInfo {
    pub sid: String,
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// `init`, `in-progress`, `completed`.
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub reason_conference_ended: Option<String>,
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordingInfo {
    pub sid: String,
    #[serde(default)]
    pub call_sid: Option<CallSid>,
    /// See [`RecordingStatus`](crate::twilio::webhook::RecordingStatus).
    #[serde(default)]
    pub status: Option<String>,
    /// In seconds.
    #[serde(default, deserialize_with = "number")]
    pub duration: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    pub channels: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    pub error_code: Option<u64>,
}

/// A number of the account, and where its calls go. With an application or a trunk, its voice URL
/// does not count.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct PhoneNumberInfo {
    pub sid: String,
    pub phone_number: String,
    #[serde(default)]
    pub voice_url: Option<String>,
    #[serde(default)]
    pub voice_method: Option<String>,
    #[serde(default)]
    pub voice_fallback_url: Option<String>,
    #[serde(default)]
    pub status_callback: Option<String>,
    #[serde(default)]
    pub voice_application_sid: Option<String>,
    #[serde(default)]
    pub trunk_sid: Option<String>,
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// What a number can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Capabilities {
    #[serde(default)]
    pub voice: bool,
    #[serde(default, alias = "SMS")]
    pub sms: bool,
}

/// The account.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct AccountInfo {
    pub sid: String,
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// `active`, `suspended`, `closed`.
    #[serde(default)]
    pub status: Option<String>,
    /// `Trial`, `Full`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// A number that was verified as caller id.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct CallerIdInfo {
    pub sid: String,
    pub phone_number: String,
}

/// Twilio writes many numbers as strings.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Written>::deserialize(deserializer)? {
        Some(Written::Number(number)) => Some(number),
        Some(Written::Text(text)) => text.parse().ok(),
        Some(Written::Other(_)) | None => None,
    })
}

/// RFC 2822, as all dates of this API.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| jiff::fmt::rfc2822::parse(&text).ok())
        .map(|at| Timestamp::from_millis(at.timestamp().as_millisecond())))
}

hide!(
    CallInfo,
    MessageInfo,
    PhoneNumberInfo,
    AccountInfo,
    CallerIdInfo
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_call_is_read() {
        let call: CallInfo = serde_json::from_str(
            r#"{"sid":"CA00000000000000000000000000000002","account_sid":"AC1","to":"+12025550142",
            "from":"+12025550100","parent_call_sid":null,"status":"queued","direction":"outbound-api",
            "start_time":null,"end_time":null,"duration":null,"price":null,"answered_by":null,
            "queue_time":"0","date_created":"Fri, 20 Nov 2026 10:15:00 +0000","new":{"a":1}}"#,
        )
        .expect("a call");
        assert_eq!(call.status, CallStatus::Queued);
        assert_eq!(call.duration, None);
        assert_eq!(
            call.date_created.expect("a date").as_millis(),
            1_795_169_700_000
        );
        assert!(!format!("{call:?}").contains("2025550142"));
        let call: CallInfo =
            serde_json::from_str(r#"{"sid":"CA1","status":"no-answer","duration":"37"}"#)
                .expect("a call");
        assert_eq!(
            (call.status, call.duration),
            (CallStatus::NoAnswer, Some(37))
        );
    }

    #[test]
    fn the_other_answers_are_read() {
        let message: MessageInfo = serde_json::from_str(
            r#"{"sid":"SM1","status":"queued","num_segments":"2","error_code":null,"body":"hello"}"#,
        )
        .expect("a message");
        assert_eq!((message.num_segments, message.error_code), (Some(2), None));
        let failed: MessageInfo =
            serde_json::from_str(r#"{"sid":"SM1","status":"failed","error_code":63016}"#)
                .expect("a message");
        assert_eq!(failed.error_code, Some(63_016));
        let number: PhoneNumberInfo = serde_json::from_str(
            r#"{"sid":"PN1","phone_number":"+12025550100","voice_url":"","trunk_sid":null,
            "capabilities":{"voice":true,"SMS":true,"MMS":false}}"#,
        )
        .expect("a number");
        assert!(number.capabilities.voice && number.capabilities.sms);
        let account: AccountInfo =
            serde_json::from_str(r#"{"sid":"AC1","status":"active","type":"Trial"}"#)
                .expect("an account");
        assert_eq!(account.kind.as_deref(), Some("Trial"));
    }
}
