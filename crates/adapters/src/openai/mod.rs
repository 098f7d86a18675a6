//! The OpenAI HTTP routes, and every server that speaks them: chat completions with streaming and
//! tools, transcription, speech. Base URL, model and voice are configuration, never enums.
//!
//! The readers ([`sse`], [`tool_calls`], [`answer`]) take bytes and know no network.

pub mod answer;
mod chat;
mod speech;
pub mod sse;
pub mod think_filter;
pub mod tool_calls;
mod transcription;

pub use chat::{ChatConfig, MaxTokensField, OpenAiChat};
pub use speech::{OpenAiSpeech, SpeechConfig, SpeechFormat, SpeechLimits};
pub use transcription::{OpenAiTranscription, TranscriptionConfig, TranscriptionLimits};

use reqwest::header::{AUTHORIZATION, HeaderValue};

use crate::Secret;
use crate::http::ProviderConfigError;

/// The `Authorization` header. Servers that need no key ignore it, and some refuse a request
/// without one, so there is always a value.
fn authorization(key: Option<&Secret>) -> Result<HeaderValue, ProviderConfigError> {
    let key = key.filter(|k| !k.is_empty()).map_or("none", Secret::expose);
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| ProviderConfigError::HeaderValue { what: "API key" })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `AUTHORIZATION` with its value, ready for a request.
fn authorized(request: reqwest::RequestBuilder, value: &HeaderValue) -> reqwest::RequestBuilder {
    request.header(AUTHORIZATION, value.clone())
}

/// Provider name for logs: the route, the model and the host, nothing that could hold a key.
fn provider_name(what: &str, model: &str, url: &url::Url) -> String {
    format!("{what} {model} at {}", crate::http::host(url))
}

fn required_model(model: &str) -> Result<(), ProviderConfigError> {
    if model.trim().is_empty() {
        return Err(ProviderConfigError::Value {
            field: "model",
            given: model.to_owned(),
            problem: "name one that the server lists at GET /v1/models".into(),
        });
    }
    Ok(())
}
