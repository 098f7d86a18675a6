//! Somebody at the lab's page ([`crate::carrier::PageConfig`]) without a browser: for tests.

use std::time::Duration;

use futures::SinkExt as _;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::audio::g711::Law;
use crate::audio::{Audio, FRAME_SAMPLES};
use crate::transcribe::http_client;

/// Between two looks at the page.
const LOOK: Duration = Duration::from_millis(50);

/// A socket of the page.
pub type PageSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What did not work, and what the page showed.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct VisitError(String);

/// Whoever uses the page.
#[derive(Debug, Clone)]
pub struct Visitor {
    base: String,
    client: reqwest::Client,
    patience: Duration,
}

impl Visitor {
    /// At `http://HOST:PORT`; waits at most so long for anything.
    pub fn new(base: &str, patience: Duration) -> Self {
        Self {
            base: base.to_owned(),
            client: http_client(),
            patience,
        }
    }

    /// The address of something of the page.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// A request to the page that is not sent yet, for tests of who may send it.
    pub fn posts(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = self.url(&format!("lab/{path}"));
        self.client.post(url).json(body)
    }

    /// Asks for something below `/lab/`; status and answer.
    ///
    /// # Errors
    /// If the lab does not answer with JSON.
    pub async fn asks(&self, path: &str, body: Value) -> Result<(u16, Value), VisitError> {
        let failed = |error: reqwest::Error| VisitError(format!("{path}: {error}"));
        let answer = self.posts(path, &body).send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.map_err(failed)?))
    }

    /// The same for what must succeed.
    ///
    /// # Errors
    /// If it does not.
    pub async fn does(&self, path: &str, body: Value) -> Result<Value, VisitError> {
        match self.asks(path, body).await? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(VisitError(format!("{path}: {status} {answer}"))),
        }
    }

    /// Calls in from a number; gives the call's `sid`.
    ///
    /// # Errors
    /// If the page refuses.
    pub async fn calls_in(&self, from: &str) -> Result<String, VisitError> {
        let answer = self.does("calls", json!({ "from": from })).await?;
        Ok(answer["sid"].as_str().unwrap_or_default().to_owned())
    }

    /// Types words on a line.
    ///
    /// # Errors
    /// If the page refuses.
    pub async fn says(&self, sid: &str, text: &str) -> Result<(), VisitError> {
        let path = format!("calls/{sid}/say");
        self.does(&path, json!({ "text": text })).await.map(drop)
    }

    /// Presses a button of a line: `answer`, `decline`, `hangup`.
    ///
    /// # Errors
    /// If the page refuses.
    pub async fn presses(&self, sid: &str, button: &str) -> Result<(), VisitError> {
        let path = format!("calls/{sid}/{button}");
        self.does(&path, json!({})).await.map(drop)
    }

    /// Everything the page shows.
    ///
    /// # Errors
    /// If the lab does not answer.
    pub async fn state(&self) -> Result<Value, VisitError> {
        let failed = |error: reqwest::Error| VisitError(format!("state: {error}"));
        let asked = self.client.get(self.url("lab/state")).send().await;
        asked.map_err(failed)?.json().await.map_err(failed)
    }

    /// Waits until `look` finds something in what the page shows.
    ///
    /// # Errors
    /// If it does not in time; with what the page shows.
    pub async fn until<T>(
        &self,
        what: &str,
        look: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, VisitError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let state = self.state().await?;
            if let Some(found) = look(&state) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(VisitError(format!("waited in vain for {what}: {state:#}")));
            }
            sleep(LOOK).await;
        }
    }

    /// Waits for a step of a call: its kind, and something in its text.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn until_step(&self, sid: &str, kind: &str, text: &str) -> Result<(), VisitError> {
        let is_it = |step: &Value| {
            step["kind"] == kind && step["text"].as_str().is_some_and(|t| t.contains(text))
        };
        let found = |state: &Value| {
            let steps = call(state, sid)?["steps"].as_array()?;
            steps.iter().any(is_it).then_some(())
        };
        self.until(&format!("{kind} {text:?}"), found).await
    }

    /// Waits until a call is over.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn until_over(&self, sid: &str) -> Result<(), VisitError> {
        let over = |state: &Value| (call(state, sid)?["over"] == true).then_some(());
        self.until("the end of the call", over).await
    }

    /// Waits until a phone of the page is `ringing` or `talking`; gives the leg's `sid`.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn until_phone(&self, name: &str, does: &str) -> Result<String, VisitError> {
        let found = |state: &Value| {
            let phones = state["phones"].as_array()?;
            let phone = phones.iter().find(|phone| phone["name"] == name)?;
            let ring = &phone["rings"][0];
            let sid = ring["sid"].as_str()?;
            (ring["state"] == does).then(|| sid.to_owned())
        };
        self.until(&format!("{name} {does}"), found).await
    }

    /// Opens a socket below `/lab/`: `live`, or `calls/SID/audio`.
    ///
    /// # Errors
    /// If the lab refuses.
    pub async fn opens(&self, path: &str) -> Result<PageSocket, VisitError> {
        let url = self.url(&format!("lab/{path}")).replacen("http", "ws", 1);
        let opened = connect_async(url).await;
        let (socket, _) = opened.map_err(|error| VisitError(format!("{path}: {error}")))?;
        Ok(socket)
    }
}

/// Talks a sound into a socket of [`Visitor::opens`], as fast as it is spoken.
///
/// # Errors
/// If the lab closes it.
pub async fn talk(socket: &mut PageSocket, audio: &Audio) -> Result<(), VisitError> {
    let mut beat = interval(Duration::from_millis(20));
    for frame in audio.samples.chunks(FRAME_SAMPLES) {
        beat.tick().await;
        let bytes: Vec<u8> = frame.iter().map(|s| Law::Mu.encode(*s)).collect();
        let sent = socket.send(Message::Binary(bytes.into())).await;
        sent.map_err(|error| VisitError(format!("the line: {error}")))?;
    }
    Ok(())
}

/// A call in what the page shows.
pub fn call<'a>(state: &'a Value, sid: &str) -> Option<&'a Value> {
    let calls = state["calls"].as_array()?;
    calls.iter().find(|call| call["sid"] == sid)
}
