//! Media Streams: the carrier's side of the websocket, with real audio both ways.
//!
//! What is sent and when follows "Media Streams websocket messages": `connected`, one `start`, then
//! `media` every 20 ms, `dtmf`, `mark`, and `stop` when the call or the stream ends.

mod message;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Shared;
use super::leg::Leg;
use super::log::{WebhookKind, lock};
use super::people::line::{Act, Wanted};
use super::room;
use super::sign::{Params, pair, sign};
use super::webhooks::Ask;
use crate::audio::FRAME_SAMPLES;
use crate::audio::g711::Law;
use message::Message;

/// Media Streams, audio: more than ten minutes buffered are discarded (31931).
const MOST_BUFFERED: usize = 600 * 8_000;

/// A stream to be opened.
#[derive(Debug, Clone)]
pub(super) struct StreamSpec {
    pub sid: String,
    pub name: String,
    pub url: String,
    pub bidirectional: bool,
    /// `inbound`, `outbound`.
    pub tracks: Vec<&'static str>,
    pub parameters: Params,
    /// URL and method.
    pub callback: Option<(String, String)>,
}

/// What was seen of a stream.
#[derive(Debug, Clone)]
pub struct StreamSeen {
    /// `MZ…`.
    pub sid: String,
    /// Whose it is.
    pub call_sid: String,
    /// As in the document.
    pub url: String,
    /// `<Parameter>`s.
    pub parameters: Params,
    /// Messages with audio from the application.
    pub media: usize,
    /// Names of the marks it set, in order.
    pub marks: Vec<String>,
    /// How often it cleared.
    pub clears: usize,
    /// Milliseconds of audio thrown away by clearing.
    pub cleared_ms: u64,
    /// Whether it is over, and if so whether the application closed it.
    pub closed_by_application: Option<bool>,
}

/// What is to be played, in order.
enum Item {
    Audio(VecDeque<u8>),
    Mark(String),
}

struct Live {
    shared: Arc<Shared>,
    leg: Arc<Leg>,
    spec: StreamSpec,
    socket: WebSocketStream<TcpStream>,
    began: Instant,
    sequence: u64,
    chunk: u64,
    queue: VecDeque<Item>,
    complained: bool,
}

/// Opens a stream and carries it to its end.
pub(super) async fn live(
    shared: Arc<Shared>,
    leg: Arc<Leg>,
    spec: StreamSpec,
    stop: CancellationToken,
) {
    let socket = match open(&shared, &spec).await {
        Ok(socket) => socket,
        Err((code, cause)) => {
            shared.problem(code, &leg.sid, cause.clone());
            tell(&shared, &leg, &spec, "stream-error", Some(&cause));
            return;
        }
    };
    shared.state().streams.push(StreamSeen {
        sid: spec.sid.clone(),
        call_sid: leg.sid.clone(),
        url: spec.url.clone(),
        parameters: spec.parameters.clone(),
        media: 0,
        marks: Vec::new(),
        clears: 0,
        cleared_ms: 0,
        closed_by_application: None,
    });
    tell(&shared, &leg, &spec, "stream-started", None);
    let mut live = Live {
        shared: Arc::clone(&shared),
        leg: Arc::clone(&leg),
        spec: spec.clone(),
        socket,
        began: Instant::now(),
        sequence: 0,
        chunk: 0,
        queue: VecDeque::new(),
        complained: false,
    };
    let by_application = live.carry(stop).await;
    live.seen(|seen| seen.closed_by_application = Some(by_application));
    tell(&shared, &leg, &spec, "stream-stopped", None);
    shared.pulse.beat();
}

/// Stream errors: 31902 refused, 31910 TLS, 31920 no upgrade.
async fn open(
    shared: &Shared,
    spec: &StreamSpec,
) -> Result<WebSocketStream<TcpStream>, (u32, String)> {
    let parsed = Url::parse(&spec.url).map_err(|e| (31923, e.to_string()))?;
    let host = parsed.host_str().unwrap_or_default().to_owned();
    let port = parsed.port_or_known_default().unwrap_or(80);
    let address = match shared.offloaded(&parsed) {
        Some(address) => address.to_string(),
        None if parsed.scheme() == "ws" => format!("{host}:{port}"),
        None => return Err((31910, format!("{} is not offloaded anywhere", spec.url))),
    };
    let connected = timeout(Duration::from_secs(5), TcpStream::connect(&address)).await;
    let stream = match connected {
        Err(_) => return Err((31901, format!("{address}: timeout"))),
        Ok(connected) => connected.map_err(|e| (31902, format!("{address}: {e}")))?,
    };
    let bad = |e: &dyn std::error::Error| (31923, e.to_string());
    let mut request = format!("ws://{address}{}", parsed.path())
        .into_client_request()
        .map_err(|e| bad(&e))?;
    let named = match parsed.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    // Media Streams, connection: signed is the URL exactly as in the document, without parameters.
    let signature = sign(&shared.config.auth_token, &spec.url, &[]);
    for (name, value) in [
        ("host", named.as_str()),
        ("x-forwarded-host", named.as_str()),
        ("x-forwarded-proto", "https"),
        ("x-twilio-signature", signature.as_str()),
        ("user-agent", "TwilioProxy/1.1"),
    ] {
        let value = HeaderValue::from_str(value).map_err(|e| bad(&e))?;
        request.headers_mut().insert(name, value);
    }
    let opening = tokio_tungstenite::client_async(request, stream);
    match timeout(Duration::from_secs(15), opening).await {
        Err(_) => Err((31901, format!("{}: no upgrade in time", spec.url))),
        Ok(Err(error)) => Err((31920, format!("{}: {error}", spec.url))),
        Ok(Ok((socket, _))) => Ok(socket),
    }
}

/// Stream status callback; its time is ISO 8601.
fn tell(shared: &Arc<Shared>, leg: &Leg, spec: &StreamSpec, event: &str, error: Option<&str>) {
    let Some((url, method)) = spec.callback.clone() else {
        return;
    };
    let mut params = vec![
        pair("AccountSid", &shared.config.account_sid),
        pair("CallSid", &leg.sid),
        pair("StreamSid", &spec.sid),
        pair("StreamName", &spec.name),
        pair("StreamEvent", event),
        pair("Timestamp", Timestamp::now().to_string()),
    ];
    if let Some(error) = error {
        params.push(pair("StreamError", error));
    }
    let ask = Ask {
        kind: WebhookKind::Stream,
        leg: None,
        url,
        method,
        params,
    };
    shared.notify_beside(ask);
}

impl Live {
    /// True if the application closed the socket.
    async fn carry(&mut self, stop: CancellationToken) -> bool {
        let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
        if self.send(connected).await.is_err() || self.start().await.is_err() {
            return true;
        }
        let line = Arc::clone(&self.leg.line);
        let tap = (!self.spec.bidirectional).then(|| line.put_tap());
        let _listening = self.spec.bidirectional.then(|| {
            line.attach();
            line.listen()
        });
        let mut beat = room::beat();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.stop().await;
                    return false;
                }
                _ = beat.tick() => {
                    let sent = match &tap {
                        None => self.both_ways().await,
                        Some(tap) => self.one_way(tap).await,
                    };
                    if sent.is_err() {
                        return true;
                    }
                }
                got = self.socket.next() => match got {
                    Some(Ok(Frame::Text(text))) => {
                        if self.take(&text).await.is_err() {
                            return true;
                        }
                    }
                    Some(Ok(Frame::Binary(_))) => {
                        // Stream errors: 31950, undecodable.
                        self.problem(31950, "a binary frame");
                    }
                    Some(Ok(Frame::Close(close))) => {
                        let code = close.map_or(1000, |c| u16::from(c.code));
                        if !matches!(code, 1000 | 1001) {
                            self.problem(31921, &format!("closed with {code}"));
                        }
                        self.close().await;
                        return true;
                    }
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
                    Some(Err(_)) | None => return true,
                },
            }
        }
    }

    async fn start(&mut self) -> Result<(), ()> {
        let custom: serde_json::Map<String, Value> = self
            .spec
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        let start = json!({
            "accountSid": self.shared.config.account_sid,
            "streamSid": self.spec.sid,
            "callSid": self.leg.sid,
            "tracks": self.spec.tracks,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": custom,
        });
        self.event("start", start).await
    }

    async fn stop(&mut self) {
        let stop = json!({
            "accountSid": self.shared.config.account_sid,
            "callSid": self.leg.sid,
        });
        // The application may be gone already; there is nobody to tell then.
        let _ = self.event("stop", stop).await;
        self.close().await;
    }

    /// Closes, or answers a close. A connection closed with something unread in it is reset, and the
    /// `stop` may be lost.
    async fn close(&mut self) {
        let closing = async {
            if self.socket.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(Duration::from_secs(1), closing).await;
    }

    /// 20 ms from the person and 20 ms to the person.
    async fn both_ways(&mut self) -> Result<(), ()> {
        let line = Arc::clone(&self.leg.line);
        let frame = line.frame().unwrap_or([0; FRAME_SAMPLES]);
        self.media("inbound", &frame).await?;
        if let Some(Act::Presses(digit)) = line.take(Wanted::DIGITS, true) {
            let dtmf = json!({"track": "inbound_track", "digit": digit.to_string()});
            self.event("dtmf", dtmf).await?;
        }
        let mut heard = [0i16; FRAME_SAMPLES];
        let mut at = 0;
        let mut reached = Vec::new();
        while let Some(item) = self.queue.front_mut() {
            match item {
                Item::Mark(name) => {
                    reached.push(std::mem::take(name));
                    self.queue.pop_front();
                }
                Item::Audio(bytes) if bytes.is_empty() => {
                    self.queue.pop_front();
                }
                Item::Audio(_) if at == FRAME_SAMPLES => break,
                Item::Audio(bytes) => {
                    if let Some(byte) = bytes.pop_front() {
                        heard[at] = Law::Mu.decode(byte);
                        at += 1;
                    }
                }
            }
        }
        line.hear_frame(&heard);
        self.marks(reached).await
    }

    async fn one_way(
        &mut self,
        tap: &std::sync::Mutex<super::people::line::Tap>,
    ) -> Result<(), ()> {
        for track in self.spec.tracks.clone() {
            let mut frame = [0i16; FRAME_SAMPLES];
            {
                let mut tap = lock(tap);
                let samples = if track == "inbound" {
                    &mut tap.inbound
                } else {
                    &mut tap.outbound
                };
                let count = samples.len().min(FRAME_SAMPLES);
                for (sample, value) in frame.iter_mut().zip(samples.drain(..count)) {
                    *sample = value;
                }
            }
            self.media(track, &frame).await?;
        }
        Ok(())
    }

    /// Media: numbers in the envelope are strings.
    async fn media(&mut self, track: &str, frame: &[i16; FRAME_SAMPLES]) -> Result<(), ()> {
        self.chunk += 1;
        let payload = STANDARD.encode(frame.map(|sample| Law::Mu.encode(sample)));
        let media = json!({
            "track": track,
            "chunk": self.chunk.to_string(),
            "timestamp": self.began.elapsed().as_millis().to_string(),
            "payload": payload,
        });
        self.event("media", media).await
    }

    async fn marks(&mut self, names: Vec<String>) -> Result<(), ()> {
        for name in names {
            self.event("mark", json!({ "name": name })).await?;
        }
        Ok(())
    }

    /// A message with its number, counted from 1 after `connected`.
    async fn event(&mut self, name: &str, content: Value) -> Result<(), ()> {
        self.sequence += 1;
        let mut message = json!({
            "event": name,
            "sequenceNumber": self.sequence.to_string(),
            "streamSid": self.spec.sid,
        });
        message[name] = content;
        self.send(message).await
    }

    async fn send(&mut self, message: Value) -> Result<(), ()> {
        let text = Frame::Text(message.to_string().into());
        self.socket.send(text).await.map_err(drop)
    }

    /// A message from the application: exactly the documented fields, or 31951 and it is dropped.
    async fn take(&mut self, text: &str) -> Result<(), ()> {
        let Some(message) = Message::read(text, &self.spec.sid, self.spec.bidirectional) else {
            if !std::mem::replace(&mut self.complained, true) {
                self.problem(31951, "a message that does not conform");
            }
            return Ok(());
        };
        match message {
            Message::Media(bytes) => {
                self.seen(|seen| seen.media += 1);
                let buffered: usize = self.queue.iter().map(Item::len).sum();
                if buffered + bytes.len() > MOST_BUFFERED {
                    self.problem(31931, "more than ten minutes of audio are buffered");
                    return Ok(());
                }
                match self.queue.back_mut() {
                    Some(Item::Audio(last)) => last.extend(bytes),
                    Some(Item::Mark(_)) | None => self.queue.push_back(Item::Audio(bytes.into())),
                }
            }
            Message::Mark(name) => {
                self.seen(|seen| seen.marks.push(name.clone()));
                let is_idle = self.queue.iter().all(|item| item.len() == 0);
                self.queue.push_back(Item::Mark(name));
                // Mark: immediately, if nothing is queued.
                if is_idle {
                    let marks = self.pending_marks();
                    self.marks(marks).await?;
                }
            }
            Message::Clear => {
                let cleared: usize = self.queue.iter().map(Item::len).sum();
                self.seen(|seen| {
                    seen.clears += 1;
                    seen.cleared_ms += cleared as u64 / 8;
                });
                // Clear: all pending marks come back at once.
                let marks = self.pending_marks();
                self.marks(marks).await?;
            }
        }
        Ok(())
    }

    /// Empties the queue; gives the marks that were in it.
    fn pending_marks(&mut self) -> Vec<String> {
        self.queue
            .drain(..)
            .filter_map(|item| match item {
                Item::Mark(name) => Some(name),
                Item::Audio(_) => None,
            })
            .collect()
    }

    fn problem(&self, code: u32, text: &str) {
        self.shared.problem(code, &self.leg.sid, text.to_owned());
    }

    fn seen(&self, with: impl FnOnce(&mut StreamSeen)) {
        let mut state = self.shared.state();
        let mut streams = state.streams.iter_mut();
        if let Some(seen) = streams.find(|s| s.sid == self.spec.sid) {
            with(seen);
        }
    }
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Audio(bytes) => bytes.len(),
            Self::Mark(_) => 0,
        }
    }
}
