//! Messages of Media Streams, Twilio's websocket: text frames with one JSON object each.
//!
//! What belongs here: reading and writing messages and their audio (µ-law, 8000 Hz, mono). What does
//! not: the socket, pacing, and what a mark stood for.
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use switchhook_model::Digit;

use super::webhook::CallSid;
use crate::http::json_fault;

/// Longest message that is read, in bytes: half a minute of audio. Twilio's hold 20 ms.
pub const MAX_MESSAGE: usize = 384 * 1024;

/// Why a message cannot be read. The stream can go on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("a stream message of {bytes} bytes, more than {MAX_MESSAGE}; it is dropped")]
    TooLong { bytes: usize },
    #[error("a stream message is unreadable: {0}; it is dropped")]
    Unreadable(String),
    #[error("a {event:?} message lacks {field}; it is dropped")]
    Incomplete {
        event: &'static str,
        field: &'static str,
    },
    #[error("audio of a stream is not base64; it is dropped")]
    Audio,
}

/// A message from Twilio. Absent numbers are 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming<'a> {
    /// The first message.
    Connected {
        protocol: Cow<'a, str>,
        version: Cow<'a, str>,
    },
    /// The second, once.
    Start(Start),
    Media(Media<'a>),
    /// A key was pressed; only on bidirectional streams.
    Dtmf {
        sequence: u64,
        digit: Digit,
    },
    /// Everything sent before this mark was played, or a clear discarded it.
    Mark {
        sequence: u64,
        name: Cow<'a, str>,
    },
    /// The call or the stream ended. The socket may also close without it.
    Stop {
        sequence: u64,
    },
    /// An event this program does not know, at most 32 characters.
    Unknown {
        event: String,
    },
}

/// What a stream is of.
#[derive(Clone, PartialEq)]
pub struct Start {
    /// Place among all messages behind `connected`, from 1.
    pub sequence: u64,
    pub account_sid: String,
    pub stream_sid: String,
    pub call_sid: CallSid,
    /// `inbound`, `outbound`.
    pub tracks: Vec<String>,
    pub format: MediaFormat,
    /// From `<Parameter>`. One of them is the secret that opens the stream: not in `Debug`.
    pub parameters: BTreeMap<String, String>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("stream_sid", &self.stream_sid)
            .field("call_sid", &self.call_sid)
            .field("tracks", &self.tracks)
            .field("format", &self.format)
            .field("parameters", &self.parameters.keys())
            .finish_non_exhaustive()
    }
}

/// How the audio is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaFormat {
    pub encoding: String,
    /// In Hz.
    #[serde(deserialize_with = "number")]
    pub sample_rate: u64,
    #[serde(deserialize_with = "number")]
    pub channels: u64,
}

impl MediaFormat {
    /// µ-law at 8000 Hz on one channel: all there is so far. Close the stream otherwise.
    pub fn is_mulaw_8k(&self) -> bool {
        self.encoding == "audio/x-mulaw" && self.sample_rate == 8_000 && self.channels == 1
    }
}

/// A piece of audio, usually 20 ms.
#[derive(Clone, PartialEq, Eq)]
pub struct Media<'a> {
    pub sequence: u64,
    /// `inbound` (from the caller) or `outbound`.
    pub track: Cow<'a, str>,
    /// Place among the media messages, from 1.
    pub chunk: u64,
    /// Since the start of the stream, in milliseconds.
    pub timestamp_ms: u64,
    payload: Cow<'a, str>,
}

impl fmt::Debug for Media<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("chunk", &self.chunk)
            .field("timestamp_ms", &self.timestamp_ms)
            .finish_non_exhaustive()
    }
}

/// Reads base64 with and without its padding.
static LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Media<'_> {
    /// Appends the µ-law bytes to `out`. Does not allocate where `out` has room, which a buffer that
    /// is cleared and used again soon has.
    ///
    /// # Errors
    /// If it is not base64; `out` is then as before.
    pub fn decode(&self, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let before = out.len();
        LENIENT
            .decode_vec(self.payload.as_bytes(), out)
            .map_err(|_| {
                out.truncate(before);
                StreamError::Audio
            })
    }

    /// Audio of the caller.
    pub fn is_inbound(&self) -> bool {
        matches!(&*self.track, "inbound" | "inbound_track")
    }
}

/// All messages in one form: serde reads a tagged enum by way of a tree of its own, fifty times a
/// second for each call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default, deserialize_with = "number")]
    sequence_number: u64,
    #[serde(borrow, default)]
    stream_sid: Cow<'a, str>,
    #[serde(borrow, default)]
    protocol: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<MediaBody<'a>>,
    start: Option<StartBody>,
    dtmf: Option<DtmfBody>,
    #[serde(borrow)]
    mark: Option<MarkBody<'a>>,
}

#[derive(Deserialize)]
struct MediaBody<'a> {
    #[serde(borrow, default)]
    track: Cow<'a, str>,
    #[serde(default, deserialize_with = "number")]
    chunk: u64,
    #[serde(default, deserialize_with = "number")]
    timestamp: u64,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartBody {
    #[serde(default)]
    account_sid: String,
    #[serde(default)]
    stream_sid: String,
    call_sid: CallSid,
    #[serde(default)]
    tracks: Vec<String>,
    #[serde(default)]
    media_format: MediaFormat,
    #[serde(default)]
    custom_parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct DtmfBody {
    digit: Digit,
}

#[derive(Deserialize)]
struct MarkBody<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Numbers come as strings, in the format's description as numbers; both are taken everywhere.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = u64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or one in a string")
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            text.parse().map_err(|_| E::custom("not a number"))
        }
    }
    deserializer.deserialize_any(Number)
}

/// Reads one text frame. Fields that are not known are ignored.
///
/// # Errors
/// If it is too long, not such an object, or lacks what its event is about.
pub fn read(text: &str) -> Result<Incoming<'_>, StreamError> {
    if text.len() > MAX_MESSAGE {
        return Err(StreamError::TooLong { bytes: text.len() });
    }
    let message: Envelope<'_> =
        serde_json::from_str(text).map_err(|e| StreamError::Unreadable(json_fault(&e)))?;
    let sequence = message.sequence_number;
    let lacks = |event, field| StreamError::Incomplete { event, field };
    Ok(match &*message.event {
        "connected" => Incoming::Connected {
            protocol: message.protocol,
            version: message.version,
        },
        "start" => {
            let body = message.start.ok_or_else(|| lacks("start", "start"))?;
            // It stands in the envelope and in the body.
            let stream_sid = if body.stream_sid.is_empty() {
                message.stream_sid.into_owned()
            } else {
                body.stream_sid
            };
            if stream_sid.is_empty() {
                return Err(lacks("start", "streamSid"));
            }
            Incoming::Start(Start {
                sequence,
                account_sid: body.account_sid,
                stream_sid,
                call_sid: body.call_sid,
                tracks: body.tracks,
                format: body.media_format,
                parameters: body.custom_parameters,
            })
        }
        "media" => {
            let body = message.media.ok_or_else(|| lacks("media", "media"))?;
            Incoming::Media(Media {
                sequence,
                track: body.track,
                chunk: body.chunk,
                timestamp_ms: body.timestamp,
                payload: body.payload,
            })
        }
        "dtmf" => Incoming::Dtmf {
            sequence,
            digit: message.dtmf.ok_or_else(|| lacks("dtmf", "dtmf"))?.digit,
        },
        "mark" => Incoming::Mark {
            sequence,
            name: message.mark.ok_or_else(|| lacks("mark", "mark"))?.name,
        },
        "stop" => Incoming::Stop { sequence },
        other => Incoming::Unknown {
            event: crate::http::clean(other, 32),
        },
    })
}

/// A message to Twilio. It has exactly the documented fields: with one more it would be dropped
/// (31951).
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Outgoing<'a> {
    /// Audio for the caller, of any length. It is queued behind what was sent before.
    Media {
        stream_sid: &'a str,
        media: Audio<'a>,
    },
    /// Comes back when everything before it was played or cleared.
    Mark {
        stream_sid: &'a str,
        mark: MarkName<'a>,
    },
    /// Discards what is queued. All marks under way come back at once.
    Clear { stream_sid: &'a str },
}

/// µ-law bytes, written as base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Audio<'a> {
    #[serde(rename = "payload", serialize_with = "as_base64")]
    pub mulaw: &'a [u8],
}

/// A mark's name, ours to choose.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MarkName<'a> {
    pub name: &'a str,
}

fn as_base64<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

impl<'a> Outgoing<'a> {
    pub fn media(stream_sid: &'a str, mulaw: &'a [u8]) -> Self {
        Self::Media {
            stream_sid,
            media: Audio { mulaw },
        }
    }

    pub fn mark(stream_sid: &'a str, name: &'a str) -> Self {
        Self::Mark {
            stream_sid,
            mark: MarkName { name },
        }
    }

    pub fn clear(stream_sid: &'a str) -> Self {
        Self::Clear { stream_sid }
    }

    /// The text frame, written in one allocation.
    pub fn to_json(&self) -> String {
        let payload = match self {
            Self::Media { media, .. } => media.mulaw.len().div_ceil(3) * 4,
            Self::Mark { mark, .. } => mark.name.len(),
            Self::Clear { .. } => 0,
        };
        let mut json = Vec::with_capacity(payload + 128);
        serde_json::to_writer(&mut json, self).expect("nothing in it can fail");
        String::from_utf8(json).expect("JSON is UTF-8")
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Media { media, .. } => write!(f, "Media({} bytes)", media.mulaw.len()),
            Self::Mark { mark, .. } => write!(f, "Mark({:?})", mark.name),
            Self::Clear { .. } => f.write_str("Clear"),
        }
    }
}

impl fmt::Debug for Audio<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audio({} bytes)", self.mulaw.len())
    }
}

impl fmt::Debug for MarkName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)
    }
}

#[cfg(test)]
mod tests;
