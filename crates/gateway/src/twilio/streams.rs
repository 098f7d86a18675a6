//! Media streams and their calls.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use hyper::upgrade::OnUpgrade;
use sha2::Sha256;
use switchhook_adapters::twilio::stream::{Incoming, Start, read};
use switchhook_conversation::Input;
use switchhook_model::CallId;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::engine::StepError;
use super::settings::Settings;
use super::socket::{Socket, Taken, close};
use super::stream::{Order, Stream, StreamHandle};

/// Parameters of the `<Stream>` by which it is known again.
pub(super) const CALL: &str = "call";
pub(super) const PROGRAM: &str = "program";
pub(super) const TOKEN: &str = "token";

/// How long the carrier may take to say whose stream it is.
const START_WAIT: Duration = Duration::from_secs(5);
/// Orders that may wait.
const ORDERS: usize = 1024;

/// Takes the carrier's socket to the threads of media streams.
pub(super) async fn accept(engine: Arc<Engine>, upgrade: OnUpgrade) {
    match Taken::from(upgrade).await {
        Ok(taken) => {
            let others = Handle::current();
            let stream = serve(Arc::clone(&engine), others, taken);
            engine.threads.spawn(stream);
        }
        Err(error) => tracing::warn!(%error, "a media stream broke off before it began"),
    }
}

/// Serves one stream to its end. What is no frame of it, `others` do.
async fn serve(engine: Arc<Engine>, others: Handle, taken: Taken) {
    let mut socket = match taken.open().await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "a media stream cannot be served");
            return;
        }
    };
    let Ok(Some(start)) = tokio::time::timeout(START_WAIT, first(&mut socket)).await else {
        tracing::warn!("a media stream did not say whose it is: closed");
        return close(socket).await;
    };
    let opening = others.spawn(Opened::of(engine, start));
    let Some(opened) = done(opening).await else {
        return close(socket).await;
    };
    metrics::gauge!("switchhook_streams_active").increment(1.0);
    opened
        .stream
        .run(&mut socket, opened.wanted, &opened.is_overrun)
        .await;
    metrics::gauge!("switchhook_streams_active").decrement(1.0);
    let told = others.spawn(opened.told.end());
    close(socket).await;
    done(told).await;
}

/// What a task of the others came to; nothing if it had a fault.
async fn done<T: Default>(task: JoinHandle<T>) -> T {
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a task of a media stream");
        T::default()
    })
}

/// A stream whose call waited for it.
struct Opened {
    stream: Stream,
    wanted: mpsc::Receiver<Order>,
    is_overrun: Arc<AtomicBool>,
    told: Told,
}

impl Opened {
    async fn of(engine: Arc<Engine>, start: Start) -> Option<Self> {
        let Some((call, program)) = engine.stream_of(&start).await else {
            tracing::warn!(
                stream.id = start.stream_sid,
                "a media stream of no call: closed"
            );
            return None;
        };
        if !start.format.is_mulaw_8k() {
            tracing::error!(call.id = %call, format = ?start.format, "a media stream in another format: closed");
            return None;
        }
        let (orders, wanted) = mpsc::channel(ORDERS);
        let is_overrun = Arc::new(AtomicBool::new(false));
        let handle = StreamHandle::new(orders, Arc::clone(&is_overrun));
        let Some(talk) = engine.stream_up(&call, program, handle).await else {
            tracing::warn!(call.id = %call, "nobody waits for this media stream: closed");
            return None;
        };
        let (stream, talker) = Stream::open(&engine, &call, talk, start.stream_sid);
        let over = CancellationToken::new();
        let telling = tokio::spawn(talker.run(over.clone()));
        Some(Self {
            stream,
            wanted,
            is_overrun,
            told: Told {
                engine,
                call,
                program,
                over,
                telling,
            },
        })
    }
}

/// What was heard is told before the stream's end is.
struct Told {
    engine: Arc<Engine>,
    call: CallId,
    program: u32,
    over: CancellationToken,
    telling: JoinHandle<()>,
}

impl Told {
    async fn end(self) {
        self.over.cancel();
        done(self.telling).await;
        self.engine.stream_down(&self.call, self.program).await;
    }
}

/// The `start` message. What comes before it says nothing.
async fn first(socket: &mut Socket) -> Option<Start> {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        match read(&text) {
            Ok(Incoming::Start(start)) => return Some(start),
            Ok(Incoming::Connected { .. } | Incoming::Unknown { .. }) => {}
            Ok(_) | Err(_) => return None,
        }
    }
    None
}

impl Settings {
    /// What only we and the carrier know of the stream of this program.
    pub(super) fn stream_token(&self, call: &CallId, program: u32) -> String {
        let tag = self.stream_mac(call, program).finalize().into_bytes();
        tag[..16].iter().map(|b| format!("{b:02x}")).collect()
    }

    fn is_stream_token(&self, call: &CallId, program: u32, token: &str) -> bool {
        let bytes: Option<Vec<u8>> = (0..token.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
            .collect();
        bytes.is_some_and(|bytes| {
            bytes.len() == 16
                && self
                    .stream_mac(call, program)
                    .verify_truncated_left(&bytes)
                    .is_ok()
        })
    }

    fn stream_mac(&self, call: &CallId, program: u32) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.stream_key.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(format!("media stream {call} {program}").as_bytes());
        mac
    }
}

impl Engine {
    /// The call and program a stream says it belongs to, if its token and its leg are right.
    pub(super) async fn stream_of(&self, start: &Start) -> Option<(CallId, u32)> {
        let call: CallId = start.parameters.get(CALL)?.parse().ok()?;
        let program: u32 = start.parameters.get(PROGRAM)?.parse().ok()?;
        let token = start.parameters.get(TOKEN)?;
        if !self.settings.is_stream_token(&call, program, token) {
            return None;
        }
        let of_leg = self.call_of(start.call_sid.as_str()).await.ok()??;
        (of_leg == call).then_some((call, program))
    }

    /// The stream stands: the number of the conversation it carries, if one waits for it.
    pub(super) async fn stream_up(
        self: &Arc<Self>,
        call: &CallId,
        program: u32,
        handle: StreamHandle,
    ) -> Option<u32> {
        let slot = self.slots.get(call);
        let talk = self
            .step(call, |channel, now| {
                if !channel.may_stream(program) {
                    return None;
                }
                // What it has to say leaves with the step.
                slot.set_stream(Some(handle.clone()));
                channel.stream_up(now);
                Some(channel.state.talks)
            })
            .await;
        match talk {
            Ok(talk) => talk,
            Err(error) => {
                tracing::error!(call.id = %call, %error, "a media stream cannot be taken");
                slot.set_stream(None);
                None
            }
        }
    }

    pub(super) async fn stream_down(self: &Arc<Self>, call: &CallId, program: u32) {
        let down = self
            .step_of_stream(call, |channel, now| {
                channel.stream_down(now, program);
            })
            .await;
        match down {
            Ok(()) | Err(StepError::Unknown) => {}
            Err(error) => tracing::error!(call.id = %call, %error, "a stream's end was not kept"),
        }
    }

    /// Reports of ears and mouth; true if the assistant is speaking now.
    pub(super) async fn listen(
        self: &Arc<Self>,
        call: &CallId,
        talk: u32,
        inputs: Vec<Input>,
    ) -> bool {
        let speaking = self
            .step_of_stream(call, |channel, now| {
                channel.listen(now, talk, inputs.iter().cloned());
                channel.is_speaking()
            })
            .await;
        match speaking {
            Ok(speaking) => speaking,
            Err(StepError::Unknown) => false,
            Err(error) => {
                tracing::error!(call.id = %call, %error, "what was heard could not be taken");
                false
            }
        }
    }
}
