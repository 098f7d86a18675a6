//! A fake OpenAI-compatible server: chat completions, transcription and speech, scripted.
//!
//! Answers are prepared by the test ([`FakeProviders::chat`], [`FakeProviders::transcript`],
//! [`FakeProviders::speech`]); every request is kept, so that the test can say which history and
//! which audio really arrived. Delays and faults are part of the answers.

mod chat;
mod log;
mod speech;
mod transcription;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::oneshot;

pub use chat::{ChatReply, ChatRequest};
pub use log::{Ended, Exchange, Request, WaitError};
pub use speech::{SpeechReply, SpeechRequest};
pub use transcription::{TranscriptReply, TranscriptionRequest};

use log::Log;

/// What goes wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this status and an OpenAI-style error body.
    Status(u16),
    /// Refused with this status and an error body that repeats the request: what was said or is to
    /// be said (in message, code and type), and the key.
    Echo(u16),
    /// 429 with a `retry-after` header of this value.
    RateLimited(String),
    /// The connection breaks after this many events (chat) or pieces (speech).
    CutAfter(usize),
    /// After this many events or pieces nothing comes any more, and the connection stays open.
    StallAfter(usize),
    /// After this many events, an error object in the stream.
    ErrorAfter(usize),
    /// After this many events, something that is not JSON.
    GarbageAfter(usize),
    /// Everything comes but the end marker.
    NoDone,
    /// A web page instead of an answer, with status 200.
    WebPage,
    /// Status 200 and nothing else.
    Empty,
}

#[derive(Default)]
struct Script {
    chats: VecDeque<ChatReply>,
    chat_rules: Vec<(String, ChatReply)>,
    transcripts: VecDeque<TranscriptReply>,
    transcript_otherwise: TranscriptReply,
    speeches: VecDeque<SpeechReply>,
    speech_otherwise: SpeechReply,
}

struct State {
    script: Mutex<Script>,
    log: Arc<Log>,
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server on a loopback port. It stops when dropped.
pub struct FakeProviders {
    address: SocketAddr,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

impl std::fmt::Debug for FakeProviders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeProviders({})", self.address)
    }
}

impl FakeProviders {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts on a given address, for a server that "comes back".
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        let state = Arc::new(State {
            script: Mutex::default(),
            log: Arc::default(),
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat::handle))
            .route("/v1/audio/transcriptions", post(transcription::handle))
            .route("/v1/audio/speech", post(speech::handle))
            .route("/v1/models", get(models))
            .route("/healthz", get(|| async { r#"{"status":"ok"}"# }))
            .layer(DefaultBodyLimit::max(32 * 1024 * 1024))
            .with_state(Arc::clone(&state));
        let (address, stop) = serve(address, router).await?;
        Ok(Self {
            address,
            state,
            _stop: stop,
        })
    }

    /// `http://127.0.0.1:PORT/v1`, as providers are configured.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next chat request that no rule answers gets this; several are used in order. With
    /// nothing left, a request gets status 500 and says so.
    pub fn chat(&self, reply: ChatReply) -> &Self {
        self.state.script().chats.push_back(reply);
        self
    }

    /// Every chat request whose last caller message holds `text` (letter case ignored), and which
    /// is not a tool's result, gets this. Rules are tried in order, before the queue.
    pub fn chat_when(&self, text: &str, reply: ChatReply) -> &Self {
        let rule = (text.to_lowercase(), reply);
        self.state.script().chat_rules.push(rule);
        self
    }

    /// The next transcription gives this; several are used in order.
    pub fn transcript(&self, reply: impl Into<TranscriptReply>) -> &Self {
        self.state.script().transcripts.push_back(reply.into());
        self
    }

    /// What a transcription gives when none is queued (at first: an empty text).
    pub fn transcript_otherwise(&self, reply: impl Into<TranscriptReply>) -> &Self {
        self.state.script().transcript_otherwise = reply.into();
        self
    }

    /// The next text is spoken so; several are used in order.
    pub fn speech(&self, reply: SpeechReply) -> &Self {
        self.state.script().speeches.push_back(reply);
        self
    }

    /// How a text is spoken when nothing is queued (at first: a tone of 440 Hz, 60 ms for each
    /// character).
    pub fn speech_otherwise(&self, reply: SpeechReply) -> &Self {
        self.state.script().speech_otherwise = reply;
        self
    }

    /// Everything that was asked so far, in order of arrival.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state.log.all()
    }

    /// The chat requests so far.
    pub fn chats(&self) -> Vec<ChatRequest> {
        self.exchanges()
            .into_iter()
            .filter_map(|e| e.request.chat())
            .collect()
    }

    /// The transcriptions asked for so far.
    pub fn transcriptions(&self) -> Vec<TranscriptionRequest> {
        self.exchanges()
            .into_iter()
            .filter_map(|e| e.request.transcription())
            .collect()
    }

    /// The texts to be spoken so far.
    pub fn speeches(&self) -> Vec<SpeechRequest> {
        self.exchanges()
            .into_iter()
            .filter_map(|e| e.request.speech())
            .collect()
    }

    /// Waits until the exchanges satisfy `condition`, and gives them.
    ///
    /// # Errors
    /// If they do not within `limit`; the error shows what there was.
    pub async fn wait_until(
        &self,
        limit: Duration,
        condition: impl Fn(&[Exchange]) -> bool + Send,
    ) -> Result<Vec<Exchange>, WaitError> {
        self.state.log.wait_until(limit, condition).await
    }

    /// Waits for the `n`th chat request, counted from 1.
    ///
    /// # Errors
    /// If it has not come within `limit`.
    pub async fn wait_for_chat(&self, n: usize, limit: Duration) -> Result<ChatRequest, WaitError> {
        let chats = |all: &[Exchange]| -> Vec<ChatRequest> {
            all.iter()
                .filter_map(|e| e.request.clone().chat())
                .collect()
        };
        let all = self.wait_until(limit, |all| chats(all).len() >= n).await?;
        Ok(chats(&all).swap_remove(n.saturating_sub(1)))
    }
}

/// Serves a router on the lab's runtime until the sender is dropped.
pub(crate) async fn serve(
    address: SocketAddr,
    router: Router,
) -> std::io::Result<(SocketAddr, oneshot::Sender<()>)> {
    let (stop, stopped) = oneshot::channel::<()>();
    let started = crate::runtime().spawn(async move {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        crate::runtime().spawn(async move {
            // Not gracefully: an open stream must not outlive the server.
            let served = axum::serve(listener, router);
            tokio::select! {
                _ = served => {}
                _ = stopped => {}
            }
        });
        std::io::Result::Ok(address)
    });
    let address = started.await.map_err(std::io::Error::other)??;
    Ok((address, stop))
}

async fn models() -> axum::Json<serde_json::Value> {
    axum::Json(serde_json::json!({"object": "list", "data": [
        {"id": "fake-chat", "object": "model"},
        {"id": "fake-ears", "object": "model"},
        {"id": "fake-voice", "object": "model"},
    ]}))
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    value.to_str().ok().map(str::to_owned)
}

/// The refusal of [`Fault::Echo`], if that is the fault.
fn echo(fault: Option<&Fault>, headers: &HeaderMap, said: &str) -> Option<Response> {
    let Some(Fault::Echo(status)) = fault else {
        return None;
    };
    let key = authorization(headers).unwrap_or_default();
    let words = format!("cannot process {said:?} for {key}");
    let body = serde_json::json!({"error": {"message": words, "type": said, "code": said}});
    let response = Response::builder()
        .status(*status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .expect("a fault names a real status");
    Some(response)
}

/// The answer of a fault that needs no stream; `None` if the fault comes later.
fn refusal(fault: Option<&Fault>) -> Option<Response> {
    let error = |status: u16, code: &str| {
        let status = StatusCode::from_u16(status).expect("a fault names a real status");
        let body = serde_json::json!({"error": {
            "message": format!("the lab refuses with {status}"), "type": "lab", "code": code,
        }});
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-request-id", "req_lab_refused")
            .body(Body::from(body.to_string()))
            .expect("a valid response")
    };
    match fault? {
        Fault::Status(status) => Some(error(*status, "lab_fault")),
        Fault::RateLimited(after) => {
            let mut response = error(429, "rate_limit_exceeded");
            let after = after.parse().expect("a header value");
            response.headers_mut().insert(header::RETRY_AFTER, after);
            Some(response)
        }
        Fault::WebPage => Some(
            Response::builder()
                .header(header::CONTENT_TYPE, "text/html")
                .body(Body::from("<html><body>Please log in</body></html>"))
                .expect("a valid response"),
        ),
        Fault::Echo(_)
        | Fault::CutAfter(_)
        | Fault::StallAfter(_)
        | Fault::ErrorAfter(_)
        | Fault::GarbageAfter(_)
        | Fault::NoDone
        | Fault::Empty => None,
    }
}
