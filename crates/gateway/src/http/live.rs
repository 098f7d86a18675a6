//! `GET /api/events`: what changes, as it changes (server-sent events, WHATWG HTML §9.2).
//!
//! One task turns changes into frames, once for all readers, and keeps the last of them so that a
//! reader that lost its connection can go on where it was. Nothing here waits for a reader: one that
//! falls behind is told to read everything again.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use serde::Serialize;
use switchhook_store::Store;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth::{Permission, Principal};
use super::calls::rows;
use super::error::{ApiError, ErrorBody};
use super::messages::message_views;
use super::state::HttpState;
use crate::bus::LiveEvent;

/// Frames kept for readers that come back.
const KEPT: usize = 512;
/// Frames a slow reader may be behind.
const BEHIND_MAX: usize = 256;
/// Changes turned into frames together: a burst of changes of one call becomes one frame.
const BURST_MAX: usize = 256;

#[derive(Debug, Clone)]
struct Frame {
    n: u64,
    event: &'static str,
    data: Arc<str>,
    needs: Permission,
}

/// Hands frames to all streams.
#[derive(Debug, Clone)]
pub(super) struct LiveFeed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Of this process: numbers of another one mean nothing here.
    run: String,
    /// How long readers that left are awaited.
    awaited: Duration,
    kept: Mutex<Kept>,
    sender: broadcast::Sender<Frame>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    frames: VecDeque<Frame>,
    /// When a reader was last seen.
    read_at: Option<Instant>,
}

/// What a new stream begins with.
struct Start {
    last: u64,
    backlog: Vec<Frame>,
    /// Frames between the reader's last one and the backlog are gone.
    gap: bool,
    receiver: broadcast::Receiver<Frame>,
}

impl LiveFeed {
    /// Follows the changes until `shutdown`.
    pub fn start(
        store: Store,
        changes: broadcast::Receiver<LiveEvent>,
        awaited: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        let feed = Self {
            shared: Arc::new(Shared {
                run: ulid::Ulid::generate().to_string().to_lowercase(),
                awaited,
                kept: Mutex::default(),
                sender: broadcast::Sender::new(BEHIND_MAX),
            }),
        };
        let following = feed.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = following.follow(store, changes) => {}
            }
        });
        feed
    }

    async fn follow(&self, store: Store, mut changes: broadcast::Receiver<LiveEvent>) {
        loop {
            let mut burst = Burst::default();
            match changes.recv().await {
                Ok(change) => burst.add(change),
                Err(RecvError::Lagged(_)) => burst.missed = true,
                Err(RecvError::Closed) => return,
            }
            for _ in 0..BURST_MAX {
                match changes.try_recv() {
                    Ok(change) => burst.add(change),
                    Err(TryRecvError::Lagged(_)) => burst.missed = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            self.publish_burst(&store, burst).await;
        }
    }

    async fn publish_burst(&self, store: &Store, burst: Burst) {
        if self.skip_unread() {
            return;
        }
        let mut missed = burst.missed;
        match rows(store, burst.calls.into_values().collect()).await {
            Ok(rows) => rows
                .iter()
                .for_each(|row| self.publish("call", row, Permission::SeeCalls)),
            Err(error) => {
                tracing::warn!("live events: {error}");
                missed = true;
            }
        }
        match message_views(store, burst.messages.into_values().collect()).await {
            Ok(messages) => messages
                .iter()
                .for_each(|row| self.publish("message", row, Permission::SeeMessages)),
            Err(error) => {
                tracing::warn!("live events: {error}");
                missed = true;
            }
        }
        if burst.extensions {
            self.publish("extension", &Nothing {}, Permission::SeeCalls);
        }
        if missed {
            self.publish("reset", &Nothing {}, Permission::SeeCalls);
        }
    }

    /// Whether nobody reads and nobody is to come back. What was to be told is counted, so that a
    /// reader who comes back all the same is told to read everything again.
    fn skip_unread(&self) -> bool {
        let mut kept = self.lock();
        let now = Instant::now();
        if self.shared.sender.receiver_count() > 0 {
            kept.read_at = Some(now);
            return false;
        }
        let awaited = self.shared.awaited;
        if kept.read_at.is_some_and(|at| now < at + awaited) {
            return false;
        }
        kept.last += 1;
        kept.frames.clear();
        true
    }

    fn publish(&self, event: &'static str, data: &impl Serialize, needs: Permission) {
        let data: Arc<str> = match serde_json::to_string(data) {
            Ok(json) => json.into(),
            Err(error) => {
                tracing::error!("live event {event}: {error}");
                return;
            }
        };
        let mut kept = self.lock();
        kept.last += 1;
        let frame = Frame {
            n: kept.last,
            event,
            data,
            needs,
        };
        kept.frames.push_back(frame.clone());
        if kept.frames.len() > KEPT {
            kept.frames.pop_front();
        }
        // Under the lock, so that a stream that begins now gets each frame once. Without readers
        // nobody misses it.
        let _ = self.shared.sender.send(frame);
    }

    /// `last_id` is the `Last-Event-ID` of the reader, if it has one.
    fn subscribe(&self, last_id: Option<&str>) -> Start {
        let kept = self.lock();
        let receiver = self.shared.sender.subscribe();
        let known = last_id.map(|id| {
            id.rsplit_once('-')
                .filter(|(run, _)| *run == self.shared.run)
                .and_then(|(_, n)| n.parse::<u64>().ok())
                .filter(|n| *n <= kept.last)
        });
        let oldest = kept.frames.front().map_or(kept.last + 1, |frame| frame.n);
        let (backlog, gap) = match known {
            // The first visit: what is now is read from the lists.
            None => (Vec::new(), false),
            Some(Some(n)) if n + 1 >= oldest => {
                let missed = kept.frames.iter().filter(|frame| frame.n > n);
                (missed.cloned().collect(), false)
            }
            Some(_) => (Vec::new(), true),
        };
        Start {
            last: kept.last,
            backlog,
            gap,
            receiver,
        }
    }

    fn id(&self, n: u64) -> String {
        format!("{}-{n}", self.shared.run)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes that came together; the latest of each thing.
#[derive(Default)]
struct Burst {
    calls: BTreeMap<switchhook_model::CallId, switchhook_store::CallHead>,
    messages: BTreeMap<switchhook_model::MessageId, switchhook_store::MessageRow>,
    extensions: bool,
    missed: bool,
}

impl Burst {
    fn add(&mut self, change: LiveEvent) {
        match change {
            LiveEvent::Call(head) => {
                self.calls.insert(head.id.clone(), head.as_ref().clone());
            }
            LiveEvent::Message(row) => {
                self.messages.insert(row.id.clone(), row.as_ref().clone());
            }
            LiveEvent::Extensions(_) => self.extensions = true,
        }
    }
}

#[derive(Serialize)]
struct Nothing {}

/// Live events
///
/// `call`: the row of a call as in `GET /api/calls`. `message`: a message as in `GET /api/messages`.
/// `extension`: read `GET /api/extensions` again. `hello`: the first event. `reset`: something was
/// missed, read everything again. A comment keeps the connection alive. After a lost connection send
/// the last id as `Last-Event-ID`: what was missed follows, or `reset`. The stream ends with the
/// access token; come back with a fresh one.
#[utoipa::path(
    get, path = "/api/events", tag = "live",
    params(("Last-Event-ID" = Option<String>, Header, description = "Id of the last event received")),
    responses(
        (status = 200, content_type = "text/event-stream", description = "Events until the token ends"),
        (status = 401, body = ErrorBody),
        (status = 503, description = "live.full, with Retry-After", body = ErrorBody),
    ),
)]
pub(super) async fn live(
    State(state): State<HttpState>,
    principal: Principal,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require(Permission::SeeCalls)?;
    let slot = state.streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "live.full",
            "too many live pages are open; close some",
        )
        .retry_after_s(10)
    })?;
    let last_id = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let remaining = Duration::from_millis(principal.until.millis_since(state.now()));
    let reader = Reader {
        start: state.live.subscribe(last_id),
        feed: state.live.clone(),
        role: principal.role,
        ends_at: Instant::now() + remaining,
        shutdown: state.shutdown.clone(),
        greeted: false,
        _slot: slot,
    };
    let keep_alive = KeepAlive::new()
        .interval(state.config.heartbeat)
        .text("beat");
    let mut response = Sse::new(frames(reader))
        .keep_alive(keep_alive)
        .into_response();
    // nginx would collect the events otherwise.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        axum::http::HeaderValue::from_static("no"),
    );
    Ok(response)
}

struct Reader {
    start: Start,
    feed: LiveFeed,
    role: super::auth::Role,
    ends_at: Instant,
    shutdown: CancellationToken,
    greeted: bool,
    _slot: OwnedSemaphorePermit,
}

fn frames(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

impl Reader {
    /// None when the stream is over.
    async fn next(&mut self) -> Option<Event> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.greeting());
        }
        loop {
            let frame = if self.start.backlog.is_empty() {
                tokio::select! {
                    () = self.shutdown.cancelled() => return None,
                    () = tokio::time::sleep_until(self.ends_at) => return None,
                    frame = self.start.receiver.recv() => frame,
                }
            } else {
                Ok(self.start.backlog.remove(0))
            };
            match frame {
                Ok(frame) if self.role.may(frame.needs) => {
                    return Some(
                        Event::default()
                            .id(self.feed.id(frame.n))
                            .event(frame.event)
                            .data(&*frame.data),
                    );
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    return Some(Event::default().event("reset").data("{}"));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Carries the number a reconnection begins from even if nothing happens until then.
    fn greeting(&self) -> Event {
        let name = if self.start.gap { "reset" } else { "hello" };
        let first = self
            .start
            .backlog
            .first()
            .map_or(self.start.last, |f| f.n - 1);
        Event::default()
            .id(self.feed.id(first))
            .retry(Duration::from_secs(2))
            .event(name)
            .data("{}")
    }
}
