//! Speech: a tone as long as the text, so that a test can find it by its frequency.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;

use super::chat::send;
use super::log::Request;
use super::{Fault, State, authorization, echo, refusal};

/// Sample rate of the audio, in Hz, as the route has it for `pcm`.
pub const RATE_HZ: u32 = 24_000;

/// A request for speech as it arrived.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpeechRequest {
    pub input: String,
    pub voice: String,
    pub language: String,
    pub format: String,
    pub model: String,
}

/// How a text is spoken.
#[derive(Debug, Clone)]
pub struct SpeechReply {
    tone_hz: f32,
    ms_per_character: u32,
    first_after: Duration,
    gap: Duration,
    piece_bytes: usize,
    fault: Option<Fault>,
}

impl Default for SpeechReply {
    fn default() -> Self {
        Self {
            tone_hz: 440.0,
            ms_per_character: 60,
            first_after: Duration::ZERO,
            gap: Duration::ZERO,
            // 100 ms and one byte more: samples are cut in the middle.
            piece_bytes: 4801,
            fault: None,
        }
    }
}

impl SpeechReply {
    /// A tone of this frequency, 60 ms for each character.
    pub fn tone(hz: f32) -> Self {
        Self {
            tone_hz: hz,
            ..Self::default()
        }
    }

    /// No audio, or not all of it.
    pub fn fault(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }

    /// Length for each character of the text.
    #[must_use]
    pub fn ms_per_character(mut self, ms: u32) -> Self {
        self.ms_per_character = ms;
        self
    }

    /// Time before the first piece.
    #[must_use]
    pub fn first_after(mut self, wait: Duration) -> Self {
        self.first_after = wait;
        self
    }

    /// Time between two pieces of 100 ms: more than that is slower than real time.
    #[must_use]
    pub fn gap(mut self, wait: Duration) -> Self {
        self.gap = wait;
        self
    }

    fn samples(&self, text: &str) -> Vec<i16> {
        let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let ms = characters
            .saturating_mul(self.ms_per_character)
            .min(600_000);
        let step = TAU * self.tone_hz / RATE_HZ as f32;
        (0..ms * (RATE_HZ / 1000))
            .map(|n| ((n as f32 * step % TAU).sin() * 10_000.0) as i16)
            .collect()
    }
}

pub(super) async fn handle(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let request = SpeechRequest {
        input: text("input"),
        voice: text("voice"),
        language: text("language"),
        format: text("response_format"),
        model: text("model"),
    };
    let reply = {
        let mut script = state.script();
        let queued = script.speeches.pop_front();
        queued.unwrap_or_else(|| script.speech_otherwise.clone())
    };
    let guard = state
        .log
        .begin(Request::Speech(request.clone()), authorization(&headers));
    let refused = refusal(reply.fault.as_ref());
    if let Some(response) = refused.or_else(|| echo(reply.fault.as_ref(), &headers, &request.input))
    {
        tokio::time::sleep(reply.first_after).await;
        guard.sent();
        return response;
    }
    let samples = reply.samples(&request.input);
    let is_wav = request.format == "wav";
    let mut audio = if is_wav { wav_head() } else { Vec::new() };
    audio.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    let mut pieces: Vec<&[u8]> = audio.chunks(reply.piece_bytes).collect();
    match reply.fault {
        Some(Fault::CutAfter(n) | Fault::StallAfter(n)) => pieces.truncate(n),
        Some(Fault::Empty) => pieces.clear(),
        _ => {}
    }
    let writes = pieces
        .into_iter()
        .enumerate()
        .map(|(n, piece)| {
            let wait = if n == 0 { reply.first_after } else { reply.gap };
            (wait, Bytes::copy_from_slice(piece))
        })
        .collect();
    let body: Body = send(writes, &reply.fault, guard);
    Response::builder()
        .header(
            header::CONTENT_TYPE,
            if is_wav { "audio/wav" } else { "audio/pcm" },
        )
        .header("x-request-id", "req_lab_voice")
        .body(body)
        .expect("a valid response")
}

/// A header as programs write it that do not know the length yet.
fn wav_head() -> Vec<u8> {
    let mut head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    head.extend_from_slice(&RATE_HZ.to_le_bytes());
    head.extend_from_slice(&(RATE_HZ * 2).to_le_bytes());
    head.extend_from_slice(b"\x02\0\x10\0data\xff\xff\xff\xff");
    head
}
