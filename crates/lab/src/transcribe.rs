//! Asks a speech server what was said (the OpenAI transcription route).

use serde::Deserialize;
use thiserror::Error;

use crate::audio::{Audio, wav};

/// Why there is no text.
#[derive(Debug, Error)]
pub enum TranscribeError {
    /// The server cannot be reached or gave no JSON.
    #[error("{url}: {cause}; is the speech server running?")]
    Unreachable {
        /// Which address.
        url: String,
        /// What the HTTP client said.
        cause: reqwest::Error,
    },
    /// It answered with an error.
    #[error("{url}: answered {status}: {body}")]
    Refused {
        /// Which address.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// An HTTP client; installs a TLS provider first when the process has none yet.
pub fn http_client() -> reqwest::Client {
    // Somebody else having installed one is just as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client without special settings can be built")
}

/// Text of some audio. `base_url` without `/v1`; `language` as `en` or `de`.
pub async fn transcribe(
    base_url: &str,
    audio: &Audio,
    language: &str,
) -> Result<String, TranscribeError> {
    let base = base_url.trim_end_matches('/').trim_end_matches("/v1");
    let url = format!("{base}/v1/audio/transcriptions");
    let unreachable = |cause| TranscribeError::Unreachable {
        url: url.clone(),
        cause,
    };
    let file = reqwest::multipart::Part::bytes(wav::to_bytes(audio)).file_name("heard.wav");
    let form = reqwest::multipart::Form::new()
        .part("file", file)
        .text("model", "whisper-1")
        .text("language", language.to_owned())
        .text("response_format", "json");
    let response = http_client()
        .post(&url)
        .multipart(form)
        .send()
        .await
        .map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().await.unwrap_or_default();
        return Err(TranscribeError::Refused {
            url,
            status: status.as_u16(),
            body,
        });
    }
    let answer: Answer = response.json().await.map_err(unreachable)?;
    Ok(answer.text.trim().to_owned())
}
