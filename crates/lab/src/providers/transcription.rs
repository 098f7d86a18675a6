//! Transcription: what was "heard" is scripted, what really arrived is kept.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Multipart, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::log::Request;
use super::{Fault, State, authorization, echo, refusal};

/// A transcription request as it arrived.
#[derive(Clone, PartialEq, Default)]
pub struct TranscriptionRequest {
    /// File name of the audio part: by the book the format is told by it.
    pub file_name: String,
    /// Sample rate of the WAV file in Hz.
    pub rate_hz: u32,
    /// The audio.
    pub samples: Vec<i16>,
    pub model: String,
    pub language: String,
    pub prompt: String,
}

impl std::fmt::Debug for TranscriptionRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TranscriptionRequest")
            .field("file_name", &self.file_name)
            .field("rate_hz", &self.rate_hz)
            .field("samples", &self.samples.len())
            .field("model", &self.model)
            .field("language", &self.language)
            .field("prompt", &self.prompt)
            .finish()
    }
}

/// What a transcription gives.
#[derive(Debug, Clone, Default)]
pub struct TranscriptReply {
    text: String,
    after: Duration,
    fault: Option<Fault>,
}

impl TranscriptReply {
    /// This text.
    pub fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// No text but a fault.
    pub fn fault(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }

    /// The fault, with the text that was heard: what [`Fault::Echo`] repeats.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Time before the answer.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }
}

impl From<&str> for TranscriptReply {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

pub(super) async fn handle(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    form: Multipart,
) -> Response {
    let request = match read(form).await {
        Ok(request) => request,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let reply = {
        let mut script = state.script();
        let queued = script.transcripts.pop_front();
        queued.unwrap_or_else(|| script.transcript_otherwise.clone())
    };
    let guard = state
        .log
        .begin(Request::Transcription(request), authorization(&headers));
    tokio::time::sleep(reply.after).await;
    let refused = refusal(reply.fault.as_ref());
    if let Some(response) = refused.or_else(|| echo(reply.fault.as_ref(), &headers, &reply.text)) {
        guard.sent();
        return response;
    }
    if matches!(reply.fault, Some(Fault::StallAfter(_))) {
        std::future::pending::<()>().await;
    }
    guard.sent();
    match reply.fault {
        Some(Fault::GarbageAfter(_)) => "{\"text\":".into_response(),
        Some(Fault::Empty) => StatusCode::OK.into_response(),
        _ => (
            [("x-request-id", "req_lab_ears")],
            Json(json!({"text": reply.text})),
        )
            .into_response(),
    }
}

async fn read(mut form: Multipart) -> Result<TranscriptionRequest, String> {
    let mut request = TranscriptionRequest::default();
    let mut file = None;
    while let Some(field) = form.next_field().await.map_err(|e| e.to_string())? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            field
                .file_name()
                .unwrap_or_default()
                .clone_into(&mut request.file_name);
            file = Some(field.bytes().await.map_err(|e| e.to_string())?);
            continue;
        }
        let text = field.text().await.map_err(|e| e.to_string())?;
        match name.as_str() {
            "model" => request.model = text,
            "language" => request.language = text,
            "prompt" => request.prompt = text,
            _ => {}
        }
    }
    let file = file.ok_or("there is no field file")?;
    let reader = hound::WavReader::new(Cursor::new(file)).map_err(|e| e.to_string())?;
    request.rate_hz = reader.spec().sample_rate;
    request.samples = reader
        .into_samples::<i16>()
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    Ok(request)
}
