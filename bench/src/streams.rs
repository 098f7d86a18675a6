//! The carrier's side of many media streams: callers who speak and listen, 20 ms at a time, over
//! websockets. One thread on the generator's core.
//!
//! A caller sends the phrases all callers of the bench say, marks are answered when what is before
//! them would have been played, and what the assistant says is looked at as it arrives: how even its
//! frames come, and how long after the voice gave its first audio.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use switchhook_media::FRAME_SAMPLES;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async};

use crate::carrier::{self, Connection, call_sid};
use crate::providers::Providers;
use crate::speech;

const FRAME: Duration = Duration::from_millis(20);
/// Callers are spread over this many beats of a frame, so that they do not all send at once.
const BEATS: usize = 20;
/// Frames further apart than this belong to different replies.
const PAUSE: Duration = Duration::from_millis(150);
/// Steady audio begins after the resampler's edge.
const SETTLED_FRAMES: usize = 2;
const ACCOUNT: &str = "AC00000000000000000000000000000001";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Who answers the streams.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// Announces each call by webhook first, as the carrier does.
    Gateway,
    /// Takes any stream on `/media`.
    Pipecat,
}

/// What callers of one run heard while it was measured.
#[derive(Debug, Default)]
pub struct Heard {
    /// Milliseconds by which frames left the even rhythm of their reply, in order.
    pub pacing_ms: Vec<f64>,
    /// Milliseconds from the voice's first audio to the first frame, in order.
    pub first_ms: Vec<f64>,
    pub replies: usize,
    /// Milliseconds by which the generator's own frames were late, in order.
    pub own_ms: Vec<f64>,
    /// Streams that ended before the run did.
    pub lost: usize,
}

/// One frame or more of the assistant.
#[derive(Debug, Clone, Copy)]
struct Came {
    at: Instant,
    octets: usize,
}

/// What reader and sender of one call share.
#[derive(Debug, Default)]
struct Ear {
    came: Vec<Came>,
    /// When everything so far would have been played.
    played: Option<Instant>,
    marks: VecDeque<(Instant, String)>,
    is_over: bool,
    /// The reply that comes: its first frame, its last one so far, and how many came after the first.
    reply: Option<(Instant, Instant, usize)>,
    /// Of replies that began while measuring.
    first_ms: Vec<f64>,
}

struct Caller {
    sink: SplitSink<Socket, Message>,
    stream_sid: String,
    offset: u32,
    sent: u32,
    ear: Arc<Mutex<Ear>>,
}

/// Calls that stand, on the runtime of whoever opened them.
pub struct Streams {
    callers: Vec<Caller>,
    readers: JoinSet<()>,
}

impl Streams {
    /// Connects `calls` streams one after the other, the first being the `first`th of this gateway.
    pub async fn open(
        side: Side,
        to: SocketAddr,
        first: u64,
        calls: usize,
        providers: &Providers,
    ) -> anyhow::Result<Self> {
        let mut streams = Self {
            callers: Vec::with_capacity(calls),
            readers: JoinSet::new(),
        };
        let mut connection = match side {
            Side::Gateway => Some(Connection::open(to).await?),
            Side::Pipecat => None,
        };
        for n in 0..calls {
            let sid = call_sid(first + n as u64);
            let (path, parameters) = match &mut connection {
                Some(connection) => {
                    let answer = connection
                        .webhook("/twilio/voice", &sid, "ringing", &[])
                        .await?;
                    let parameters = answer.parameters();
                    if parameters.is_empty() {
                        bail!("no stream in the answer {}: {}", answer.status, answer.body);
                    }
                    ("/twilio/media", parameters)
                }
                None => ("/media", Vec::new()),
            };
            let caller = connect(to, path, &sid, parameters, n).await?;
            let (caller, source) = caller;
            streams
                .readers
                .spawn(listen(source, Arc::clone(&caller.ear), providers.clone()));
            streams.callers.push(caller);
        }
        Ok(streams)
    }

    /// Lets everybody talk for `warm_up` and then for `measure`; calls `at_begin` in between.
    pub async fn talk(
        mut self,
        warm_up: Duration,
        measure: Duration,
        at_begin: impl FnOnce(),
    ) -> Heard {
        let began = Instant::now();
        let (counted, until) = (began + warm_up, began + warm_up + measure);
        let ears: Vec<_> = self.callers.iter().map(|c| Arc::clone(&c.ear)).collect();
        let mut beats: Vec<Vec<Caller>> = (0..BEATS).map(|_| Vec::new()).collect();
        for (n, caller) in self.callers.drain(..).enumerate() {
            beats[n % BEATS].push(caller);
        }
        let mut senders = JoinSet::new();
        for (n, callers) in beats.into_iter().enumerate() {
            let from = began + FRAME * n as u32 / BEATS as u32;
            senders.spawn(speak(callers, from, counted, until));
        }
        tokio::time::sleep_until(counted.into()).await;
        for ear in &ears {
            lock(ear).came.clear();
            lock(ear).first_ms.clear();
        }
        at_begin();
        let mut heard = Heard::default();
        for late in senders.join_all().await {
            heard.own_ms.extend(late);
        }
        for ear in &ears {
            let ear = lock(ear);
            heard.lost += usize::from(ear.is_over);
            heard.first_ms.extend(&ear.first_ms);
            for reply in replies(&ear.came) {
                heard.replies += 1;
                heard.pacing_ms.extend(pacing(reply));
            }
        }
        self.readers.abort_all();
        for figures in [&mut heard.pacing_ms, &mut heard.first_ms, &mut heard.own_ms] {
            figures.sort_by(f64::total_cmp);
        }
        heard
    }
}

async fn connect(
    to: SocketAddr,
    path: &str,
    sid: &str,
    parameters: Vec<(String, String)>,
    n: usize,
) -> anyhow::Result<(Caller, SplitStream<Socket>)> {
    let mut request = format!("ws://{to}{path}").into_client_request()?;
    let signature = carrier::sign_socket(path).parse()?;
    request
        .headers_mut()
        .insert("x-twilio-signature", signature);
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    let (socket, _) = client_async(request, MaybeTlsStream::Plain(tcp))
        .await
        .context("the media stream was refused")?;
    let (mut sink, source) = socket.split();
    let stream_sid = sid.replacen("CA", "MZ", 1);
    let parameters: serde_json::Map<String, serde_json::Value> = parameters
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    let start = serde_json::json!({
        "event": "start", "sequenceNumber": "1", "streamSid": stream_sid,
        "start": {
            "accountSid": ACCOUNT, "streamSid": stream_sid, "callSid": sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        },
    });
    let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    sink.send(Message::text(connected)).await?;
    sink.send(Message::text(start.to_string())).await?;
    let caller = Caller {
        sink,
        stream_sid,
        offset: speech::spread(n),
        sent: 0,
        ear: Arc::default(),
    };
    Ok((caller, source))
}

/// Some callers' voices, on one beat. How late each round was, while measuring.
async fn speak(
    mut callers: Vec<Caller>,
    from: Instant,
    counted: Instant,
    until: Instant,
) -> Vec<f64> {
    let mut late = Vec::new();
    for round in 0u32.. {
        let due = from + FRAME * round;
        if due >= until {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        if due >= counted {
            late.push(due.elapsed().as_secs_f64() * 1e3);
        }
        for caller in &mut callers {
            // A stream that is gone shows as lost.
            let _ = caller.say().await;
        }
    }
    late
}

impl Caller {
    /// The next 20 ms, and the marks that are due.
    async fn say(&mut self) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let now = Instant::now();
        loop {
            let due = {
                let mut ear = lock(&self.ear);
                let is_due = ear.marks.front().is_some_and(|(at, _)| *at <= now);
                is_due.then(|| ear.marks.pop_front()).flatten()
            };
            let Some((_, name)) = due else { break };
            let mark = format!(
                r#"{{"event":"mark","sequenceNumber":"{}","streamSid":"{}","mark":{{"name":"{name}"}}}}"#,
                self.sent + 2,
                self.stream_sid,
            );
            self.sink.feed(Message::text(mark)).await?;
        }
        let payload = STANDARD.encode(speech::caller().frame(self.offset + self.sent));
        self.sent += 1;
        let media = format!(
            r#"{{"event":"media","sequenceNumber":"{}","streamSid":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":"{payload}"}}}}"#,
            self.sent + 1,
            self.stream_sid,
            self.sent,
            self.sent * 20,
        );
        self.sink.feed(Message::text(media)).await?;
        self.sink.flush().await
    }
}

/// One caller's ear.
async fn listen(mut source: SplitStream<Socket>, ear: Arc<Mutex<Ear>>, providers: Providers) {
    while let Some(Ok(message)) = source.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let now = Instant::now();
        let mut ear = lock(&ear);
        if text.contains(r#""media""#) {
            if let Some((octets, last)) = audio(&text) {
                ear.hear(now, octets, last, &providers);
            }
        } else if text.contains(r#""clear""#) {
            // Everything comes back at once.
            ear.played = None;
            for (at, _) in &mut ear.marks {
                *at = now;
            }
        } else if let Some(name) = text
            .split_once(r#""name":""#)
            .and_then(|(_, rest)| rest.split_once('"'))
        {
            let at = ear.played.unwrap_or(now);
            ear.marks.push_back((at, name.0.to_owned()));
        }
    }
    lock(&ear).is_over = true;
}

/// Length in octets and the last octet of a media message.
fn audio(text: &str) -> Option<(usize, u8)> {
    let (_, rest) = text.split_once(r#""payload":"#)?;
    let payload = rest.trim_start().strip_prefix('"')?.split('"').next()?;
    let tail = payload.get(payload.len().checked_sub(4)?..)?;
    let tail = STANDARD.decode(tail).ok()?;
    let octets = (payload.len() / 4 - 1) * 3 + tail.len();
    Some((octets, *tail.last()?))
}

impl Ear {
    fn hear(&mut self, now: Instant, octets: usize, last: u8, providers: &Providers) {
        let length = FRAME.mul_f64(octets as f64 / FRAME_SAMPLES as f64);
        self.played = Some(self.played.map_or(now, |at| at.max(now)) + length);
        self.came.push(Came { at: now, octets });
        let (first, after) = match self.reply {
            Some((first, before, after)) if now.duration_since(before) <= PAUSE => {
                (first, after + 1)
            }
            _ => (now, 0),
        };
        self.reply = Some((first, now, after));
        if after == SETTLED_FRAMES
            && let Some(handed) = providers.handed_at(last)
            && let Some(waited) = first.checked_duration_since(handed)
        {
            self.first_ms.push(waited.as_secs_f64() * 1e3);
        }
    }
}

/// What came, cut at pauses; the first one may be the rest of a reply.
fn replies(came: &[Came]) -> impl Iterator<Item = &[Came]> {
    came.chunk_by(|a, b| b.at.duration_since(a.at) <= PAUSE)
        .filter(|reply| reply.len() > SETTLED_FRAMES)
}

/// How far each message of a reply is from where an even rhythm has it, in milliseconds. Not the first
/// one: who sends it ahead of the rhythm, as a head start, keeps the rhythm all the same.
fn pacing(reply: &[Came]) -> Vec<f64> {
    let Some(start) = reply.first() else {
        return Vec::new();
    };
    let mut octets = 0;
    let mut offsets: Vec<f64> = reply
        .iter()
        .map(|came| {
            let due = octets as f64 / 8.0;
            octets += came.octets;
            came.at.duration_since(start.at).as_secs_f64() * 1e3 - due
        })
        .skip(1)
        .collect();
    let mut sorted = offsets.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted[sorted.len() / 2];
    for offset in &mut offsets {
        *offset = (*offset - middle).abs();
    }
    offsets
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_measured_without_being_decoded() {
        let payload = STANDARD.encode([0x55; 160]);
        let text = format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#);
        assert_eq!(audio(&text), Some((160, 0x55)));
        let spaced = format!(r#"{{"event": "media", "media": {{"payload": "{payload}"}}}}"#);
        assert_eq!(audio(&spaced), Some((160, 0x55)));
    }

    #[test]
    fn a_late_frame_leaves_the_rhythm_and_a_pause_does_not() {
        let start = Instant::now();
        let came = |ms: u64| Came {
            at: start + Duration::from_millis(ms),
            octets: 160,
        };
        let all: Vec<Came> = [0, 20, 47, 60, 80, 1_000, 1_020, 1_040].map(came).to_vec();
        let replies: Vec<&[Came]> = replies(&all).collect();
        assert_eq!(replies.len(), 2);
        let worst = pacing(replies[0]).into_iter().fold(0.0, f64::max);
        assert!((worst - 7.0).abs() < 1e-6, "{worst}");
        assert!(pacing(replies[1]).iter().all(|ms| *ms < 1e-6));
        let ahead: Vec<Came> = [0, 1, 21, 41, 61].map(came).to_vec();
        assert!(pacing(&ahead).iter().all(|ms| *ms < 1e-6), "a head start");
    }
}
