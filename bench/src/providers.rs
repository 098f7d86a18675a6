//! Recogniser and voice that cost the generator's core next to nothing: every utterance has the same
//! words, every text is one second of audio that was made before.
//!
//! Each answer of the voice is another steady level, so that the audio that arrives at a caller says
//! which answer it is, whatever resampling it went through on its way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// Sample rate of the audio, in Hz, as the OpenAI route has it for `pcm`.
const RATE_HZ: usize = 24_000;
/// What every caller says.
const WORDS: &str = "What are your opening hours?";
/// Levels: G.711 has that many steps above its quietest ones, and each is met again after this many
/// answers, later than any reply comes.
const LEVELS: usize = 96;

/// A running server, for as long as its runtime runs.
#[derive(Clone)]
pub struct Providers {
    shared: Arc<Shared>,
    pub address: SocketAddr,
}

struct Shared {
    spoken: AtomicUsize,
    /// When the last answer of each level was handed out.
    handed: Mutex<Vec<Option<Instant>>>,
    audio: Vec<Bytes>,
}

impl Providers {
    pub async fn start() -> anyhow::Result<Self> {
        let audio = (0..LEVELS)
            .map(|n| Bytes::from(second_of(level(n))))
            .collect();
        let shared = Arc::new(Shared {
            spoken: AtomicUsize::new(0),
            handed: Mutex::new(vec![None; LEVELS]),
            audio,
        });
        let router = Router::new()
            .route("/v1/audio/speech", post(speech))
            .route("/v1/audio/transcriptions", post(transcription))
            .route("/healthz", get(|| async { r#"{"status":"ok"}"# }))
            .layer(DefaultBodyLimit::max(32 * 1024 * 1024))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { shared, address })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// When the answer with this level in it was handed out; `octet` is µ-law.
    pub fn handed_at(&self, octet: u8) -> Option<Instant> {
        let n = number_of(octet)?;
        self.shared.lock()[n]
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Instant>>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octets of µ-law from the loudest downwards, positive ones only: `0x80` is the largest.
fn number_of(octet: u8) -> Option<usize> {
    let n = usize::from(octet.checked_sub(0x80)?);
    (n < LEVELS).then_some(n)
}

fn level(n: usize) -> i16 {
    let mut sample = [0];
    switchhook_media::Law::Mu.decode(&[0x80 + n as u8], &mut sample);
    sample[0]
}

fn second_of(level: i16) -> Vec<u8> {
    level.to_le_bytes().repeat(RATE_HZ)
}

async fn speech(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let n = shared.spoken.fetch_add(1, Ordering::Relaxed) % LEVELS;
    let audio = shared.audio[n].clone();
    let is_wav = body["response_format"] == "wav";
    let (kind, body) = if is_wav {
        let mut file = wav_head(audio.len());
        file.extend_from_slice(&audio);
        ("audio/wav", Body::from(file))
    } else {
        ("audio/pcm", Body::from(audio))
    };
    shared.lock()[n] = Some(Instant::now());
    Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .body(body)
        .expect("a valid response")
}

async fn transcription(_audio: Bytes) -> Json<Value> {
    Json(json!({ "text": WORDS }))
}

fn wav_head(bytes: usize) -> Vec<u8> {
    let mut head = b"RIFF".to_vec();
    head.extend_from_slice(&(bytes as u32 + 36).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    head.extend_from_slice(&(RATE_HZ as u32).to_le_bytes());
    head.extend_from_slice(&(RATE_HZ as u32 * 2).to_le_bytes());
    head.extend_from_slice(b"\x02\0\x10\0data");
    head.extend_from_slice(&(bytes as u32).to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_known_again_after_g711() {
        for n in 0..LEVELS {
            let mut octet = [0];
            switchhook_media::Law::Mu.encode(&[level(n)], &mut octet);
            assert_eq!(number_of(octet[0]), Some(n));
        }
        assert_eq!(number_of(0x7F), None, "negative");
        assert_eq!(number_of(0xFF), None, "silence");
    }
}
