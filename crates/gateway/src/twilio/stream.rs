//! The carrier's websocket: frames of 20 ms in both directions, and what was really heard.
//!
//! The carrier keeps what we send until it is played, so what was sent is not what was heard. Marks
//! tell: the carrier sends each back when everything before it was played. After `clear` all of them
//! come back at once; those count for nothing.
//!
//! The first frame after a pause leaves when its audio is there, the others 20 ms after one another;
//! in a pause no clock ticks.
//!
//! Nothing here waits for the call: what ears, mouth and marks report goes to a task of its own, which
//! takes the call's lock and has steps stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use switchhook_adapters::twilio::stream::{self, Incoming, Outgoing};
use switchhook_conversation::{Input, Output};
use switchhook_media::{FRAME_MS, FRAME_SAMPLES, Law, Line, PlayoutReport, SILENCE};
use switchhook_model::{CallId, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::socket::Socket;
use crate::calls::{Ears, Mouth, TalkInbox, recognise};
use crate::clock;

/// Reports of ears and mouth that may wait.
const REPORTS: usize = 1024;
/// From one frame to the next.
const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
/// One write to the carrier.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// What the call wants of ears and mouth.
#[derive(Debug)]
pub(super) enum Order {
    Voice(Output),
    Leave,
}

/// The stream of one call, as the engine reaches it.
#[derive(Debug, Clone)]
pub(super) struct StreamHandle {
    orders: mpsc::Sender<Order>,
    is_overrun: Arc<AtomicBool>,
}

impl StreamHandle {
    pub fn new(orders: mpsc::Sender<Order>, is_overrun: Arc<AtomicBool>) -> Self {
        Self { orders, is_overrun }
    }

    /// Never waits. Nothing of a stream that is gone is missed: the carrier comes. One that is so far
    /// behind that its orders do not fit is left, and the carrier comes for the next program, too.
    pub fn send(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(order)
            && !self.is_overrun.swap(true, Ordering::Relaxed)
        {
            tracing::error!("a media stream does not keep up with its orders: left");
        }
    }
}

/// Tells the call what was reported, in order.
pub(super) struct Talker {
    engine: Arc<Engine>,
    call: CallId,
    talk: u32,
    reports: mpsc::Receiver<Input>,
    assistant_speaks: Arc<AtomicBool>,
}

impl Talker {
    /// Until `over`, and then what is left.
    pub async fn run(mut self, over: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                input = self.reports.recv() => input,
                () = over.cancelled() => return,
            };
            let Some(first) = first else { return };
            let mut inputs = vec![first];
            while let Ok(more) = self.reports.try_recv() {
                inputs.push(more);
            }
            let speaks = self.engine.listen(&self.call, self.talk, inputs).await;
            self.assistant_speaks.store(speaks, Ordering::Relaxed);
        }
    }
}

pub(super) struct Stream {
    engine: Arc<Engine>,
    /// Where everything but frames is done.
    others: Handle,
    call: CallId,
    sid: String,
    line: Line,
    ears: Ears,
    mouth: Mouth,
    report: TalkInbox,
    /// Of the current item, after the last `clear`.
    heard: Heard,
    /// Counts `clear`.
    generation: u32,
    /// Part of a frame: carriers send 20 ms, but need not.
    pending: Vec<u8>,
    decoded: Vec<u8>,
}

/// How far the carrier came with what was sent.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    item: u32,
    /// By the last mark that came back, and when it did.
    marked_ms: u64,
    marked_at: Option<Timestamp>,
    sent_ms: u64,
}

impl Heard {
    /// Between marks the carrier plays on.
    fn now_ms(&self, now: Timestamp) -> u64 {
        let since = self.marked_at.map_or(0, |at| now.millis_since(at));
        (self.marked_ms + since).min(self.sent_ms)
    }
}

impl Stream {
    /// On the runtime that is to do everything but frames.
    pub fn open(engine: &Arc<Engine>, call: &CallId, talk: u32, sid: String) -> (Self, Talker) {
        let shared = &engine.shared;
        let (mut input, out, line) = Line::new();
        input.set_gain_control(shared.config.speech.gain_control);
        let (report, reports) = mpsc::channel(REPORTS);
        let report = TalkInbox::channel(report);
        let ears = Ears::open(input, shared.endpointing, report.clone());
        let mouth = Mouth::open(
            out,
            Arc::clone(&shared.voice),
            shared.config.language,
            shared.config.speech.voice.clone(),
            report.clone(),
        );
        let talker = Talker {
            engine: Arc::clone(engine),
            call: call.clone(),
            talk,
            reports,
            assistant_speaks: ears.assistant_speaks(),
        };
        let stream = Self {
            engine: Arc::clone(engine),
            others: Handle::current(),
            call: call.clone(),
            sid,
            line,
            ears,
            mouth,
            report,
            heard: Heard::default(),
            generation: 0,
            pending: Vec::with_capacity(FRAME_SAMPLES * 2),
            decoded: Vec::with_capacity(FRAME_SAMPLES),
        };
        (stream, talker)
    }

    /// Until the carrier ends it, or the call does: the socket is to be closed then.
    pub async fn run(
        mut self,
        socket: &mut Socket,
        mut wanted: mpsc::Receiver<Order>,
        is_overrun: &AtomicBool,
    ) {
        let mut due = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut is_speaking = false;
        while !is_overrun.load(Ordering::Relaxed) {
            tokio::select! {
                biased;
                () = &mut due, if is_speaking => {
                    let Ok(has_more) = self.speak(socket).await else {
                        return;
                    };
                    is_speaking = has_more;
                    // Frames that are late are sent at once: the carrier's buffer takes them.
                    let next = due.deadline() + FRAME;
                    due.as_mut().reset(next);
                }
                () = self.line.written(), if !is_speaking => {
                    is_speaking = true;
                    due.as_mut().reset(Instant::now());
                }
                order = wanted.recv() => match order {
                    Some(Order::Voice(output)) => {
                        if self.carry_out(socket, output).await.is_err() {
                            return;
                        }
                    }
                    Some(Order::Leave) | None => return,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if self.take(&text).is_break() {
                            return;
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    // The library answers pings.
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    /// The next 20 ms and a mark where it matters, in one write; false if there is nothing to say.
    async fn speak(&mut self, socket: &mut Socket) -> Result<bool, Gone> {
        let mut frame = SILENCE;
        let mut reports = Vec::new();
        let has_audio = self.line.speak(&mut frame, |report| reports.push(report));
        let mut texts = Vec::new();
        if has_audio {
            let mut mulaw = [0; FRAME_SAMPLES];
            Law::Mu.encode(&frame, &mut mulaw);
            texts.push(Outgoing::media(&self.sid, &mulaw).to_json());
        }
        for report in reports {
            match report {
                PlayoutReport::Progress { item, played_ms } => {
                    self.sent(item, played_ms);
                    texts.push(self.mark('p', item, played_ms));
                }
                PlayoutReport::Finished { item, played_ms } => {
                    self.sent(item, played_ms);
                    texts.push(self.mark('f', item, played_ms));
                }
                // Told when it was cut.
                PlayoutReport::Cut { .. } | PlayoutReport::Underrun => {}
            }
        }
        send(socket, texts).await?;
        Ok(has_audio)
    }

    fn sent(&mut self, item: u32, sent_ms: u64) {
        if self.heard.item != item && self.heard.item != 0 {
            // The former one is told by its own mark.
            return;
        }
        self.heard.item = item;
        self.heard.sent_ms = sent_ms;
    }

    fn mark(&self, kind: char, item: u32, ms: u64) -> String {
        let name = format!("{}:{kind}:{item}:{ms}", self.generation);
        Outgoing::mark(&self.sid, &name).to_json()
    }

    /// A mark came back: so much was heard, unless it was thrown away.
    fn marked(&mut self, name: &str) {
        let mut parts = name.split(':');
        let generation = parts.next().and_then(|part| part.parse::<u32>().ok());
        let kind = parts.next();
        let item = parts.next().and_then(|part| part.parse::<u32>().ok());
        let ms = parts.next().and_then(|part| part.parse::<u64>().ok());
        let (Some(generation), Some(kind), Some(item), Some(ms)) = (generation, kind, item, ms)
        else {
            return;
        };
        if generation != self.generation {
            return;
        }
        self.heard = Heard {
            item,
            marked_ms: ms,
            marked_at: Some(clock::now()),
            sent_ms: self.heard.sent_ms.max(ms),
        };
        let input = if kind == "f" {
            self.heard = Heard::default();
            Input::PlayoutFinished { item }
        } else {
            Input::PlayoutProgress {
                item,
                played_ms: ms,
                total_ms: self.mouth.total_ms(item),
            }
        };
        self.report.send(input);
    }

    async fn carry_out(&mut self, socket: &mut Socket, output: Output) -> Result<(), Gone> {
        match output {
            Output::Speak { item, text } => self.mouth.speak(item, text),
            Output::Beep { item } => self.mouth.beep(item),
            Output::StopPlayout => {
                self.mouth.cut();
                send(socket, vec![Outgoing::clear(&self.sid).to_json()]).await?;
                self.generation += 1;
                let heard = std::mem::take(&mut self.heard);
                if heard.item != 0 {
                    let input = Input::PlayoutProgress {
                        item: heard.item,
                        played_ms: heard.now_ms(clock::now()),
                        total_ms: self.mouth.total_ms(heard.item),
                    };
                    self.report.send(input);
                }
            }
            Output::Transcribe { utterance } => {
                let samples = self.ears.take(utterance);
                let shared = &self.engine.shared;
                let listener = Arc::clone(&shared.listener);
                let language = shared.config.language;
                let report = self.report.clone();
                self.others.spawn(async move {
                    report.send(recognise(listener, language, utterance, samples).await);
                });
            }
            Output::DropUtterance { utterance } => drop(self.ears.take(utterance)),
            Output::EndUtterance => self.ears.finish(),
            // Carried out by the call.
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, text: &str) -> std::ops::ControlFlow<()> {
        match stream::read(text) {
            Ok(Incoming::Media(media)) => {
                if media.is_inbound() {
                    self.decoded.clear();
                    if media.decode(&mut self.decoded).is_ok() {
                        self.hear();
                    }
                }
            }
            Ok(Incoming::Dtmf { digit, .. }) => self.report.send(Input::Digit(digit)),
            Ok(Incoming::Mark { name, .. }) => self.marked(&name),
            Ok(Incoming::Stop { .. }) => return std::ops::ControlFlow::Break(()),
            Ok(Incoming::Start(_) | Incoming::Connected { .. } | Incoming::Unknown { .. }) => {}
            Err(error) => tracing::debug!(call.id = %self.call, %error, "a stream message"),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Whole frames for the ears.
    fn hear(&mut self) {
        self.pending.extend_from_slice(&self.decoded);
        let mut frames = self.pending.chunks_exact(FRAME_SAMPLES);
        for octets in frames.by_ref() {
            let mut frame = SILENCE;
            Law::Mu.decode(octets, &mut frame);
            if !self.line.hear(&frame) {
                metrics::counter!("switchhook_stream_frames_dropped_total").increment(1);
            }
        }
        let rest = frames.remainder().len();
        self.pending.drain(..self.pending.len() - rest);
    }
}

/// The carrier closed the socket, or does not read.
struct Gone;

async fn send(socket: &mut Socket, texts: Vec<String>) -> Result<(), Gone> {
    if texts.is_empty() {
        return Ok(());
    }
    let write = async {
        for text in texts {
            socket.feed(Message::Text(text.into())).await?;
        }
        socket.flush().await
    };
    match tokio::time::timeout(WRITE_LIMIT, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_what_the_carrier_played() {
        let at = Timestamp::from_millis(1_000);
        let heard = Heard {
            item: 3,
            marked_ms: 400,
            marked_at: Some(at),
            sent_ms: 900,
        };
        assert_eq!(heard.now_ms(at), 400);
        assert_eq!(heard.now_ms(at + Duration::from_millis(150)), 550);
        assert_eq!(
            heard.now_ms(at + Duration::from_secs(5)),
            900,
            "no more than was sent"
        );
        assert_eq!(Heard::default().now_ms(at), 0);
    }
}
