//! Live events: what arrives, what does not, and going on after a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use futures::StreamExt;
use serde_json::{Value, json};
use switchhook_store::{MessageRow, Step};
use tower::ServiceExt;

use super::world::{World, at, call};
use crate::bus::LiveEvent;
use crate::http::auth::Role;

/// One event as it arrived.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    event: String,
    id: String,
    data: Value,
}

struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(world: &World, role: Role, last_id: Option<&str>) -> Self {
        Self::try_open(world, &world.token(role), last_id)
            .await
            .unwrap_or_else(|status| panic!("{status}"))
    }

    async fn try_open(
        world: &World,
        token: &str,
        last_id: Option<&str>,
    ) -> Result<Self, StatusCode> {
        let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let mut request = Request::get("/api/events")
            .extension(ConnectInfo(peer))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT_ENCODING, "gzip");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = world.router.clone().oneshot(request).await.unwrap();
        if response.status() != 200 {
            return Err(response.status());
        }
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
        Ok(Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        })
    }

    /// The next event, comments skipped; None when the stream ended.
    async fn next(&mut self) -> Option<Seen> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(seen) = read(&block) {
                    return Some(seen);
                }
            }
            let chunk = self.chunk().await?;
            self.text.push_str(&chunk);
        }
    }

    async fn chunk(&mut self) -> Option<String> {
        let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next())
            .await
            .expect("something within the deadline")?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }
}

fn read(block: &str) -> Option<Seen> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
            .map(ToOwned::to_owned)
    };
    Some(Seen {
        event: field("event")?,
        id: field("id").unwrap_or_default(),
        data: serde_json::from_str(&field("data")?).unwrap(),
    })
}

/// Stores a change of call `a` and tells the bus, as the gateway does.
async fn change(world: &World, revision: u64, status: &str) {
    let mut row = call("a", 0);
    row.revision = revision;
    row.head.status = status.into();
    let head = Arc::new(row.head.clone());
    world.store.commit(Step::of(row)).await.unwrap();
    world.operator.changes.send(LiveEvent::Call(head)).unwrap();
}

fn message() -> LiveEvent {
    LiveEvent::Message(Arc::new(MessageRow {
        id: switchhook_model::MessageId::from_unique("m"),
        call: None,
        channel: "inbox".into(),
        recipient: "staff".into(),
        text: "private".into(),
        state: "queued".into(),
        vendor_id: None,
        error: None,
        created_at: at(0),
        updated_at: at(0),
    }))
}

#[tokio::test]
async fn changes_arrive_as_they_happen() {
    for world in World::each().await {
        let mut stream = Stream::open(&world, Role::Operator, None).await;
        assert_eq!(stream.next().await.unwrap().event, "hello");
        change(&world, 1, "ringing").await;
        let seen = stream.next().await.unwrap();
        assert_eq!(seen.event, "call");
        assert_eq!(seen.data["id"], "call_a");
        assert_eq!(seen.data["status"], "ringing");
        // The same row as in the list.
        let list = world.get("/api/calls").await.ok();
        assert_eq!(seen.data, list["items"][0]);

        world.operator.changes.send(message()).unwrap();
        let seen = stream.next().await.unwrap();
        assert_eq!(
            (seen.event.as_str(), &seen.data["text"]),
            ("message", &json!("private"))
        );
        let extensions = LiveEvent::Extensions(Arc::new(json!({})));
        world.operator.changes.send(extensions).unwrap();
        assert_eq!(stream.next().await.unwrap().event, "extension");
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let world = World::memory().await;
    let mut first = Stream::open(&world, Role::Operator, None).await;
    first.next().await.unwrap();
    change(&world, 1, "ringing").await;
    let ringing = first.next().await.unwrap();
    drop(first);
    // Another reader shows when the feed has seen it.
    let mut other = Stream::open(&world, Role::Operator, None).await;
    other.next().await.unwrap();
    change(&world, 2, "assistant").await;
    let missed = other.next().await.unwrap();

    let mut again = Stream::open(&world, Role::Operator, Some(&ringing.id)).await;
    assert_eq!(again.next().await.unwrap().event, "hello");
    assert_eq!(again.next().await.unwrap(), missed);
    change(&world, 3, "ended").await;
    assert_eq!(again.next().await.unwrap().data["status"], "ended");
}

#[tokio::test]
async fn going_on_from_the_greeting_works_too() {
    let world = World::memory().await;
    let mut first = Stream::open(&world, Role::Operator, None).await;
    let hello = first.next().await.unwrap();
    drop(first);
    let mut again = Stream::open(&world, Role::Operator, Some(&hello.id)).await;
    assert_eq!(again.next().await.unwrap().event, "hello");
    change(&world, 1, "ringing").await;
    assert_eq!(again.next().await.unwrap().event, "call");
}

#[tokio::test]
async fn an_id_of_another_run_or_nonsense_means_read_again() {
    let world = World::memory().await;
    for id in ["01abc-5", "x", "-1", "99999999999999999999", "a-b-c"] {
        let mut stream = Stream::open(&world, Role::Operator, Some(id)).await;
        assert_eq!(stream.next().await.unwrap().event, "reset", "{id}");
    }
}

#[tokio::test]
async fn a_reader_that_was_away_too_long_reads_again() {
    let world = World::memory().await;
    let mut first = Stream::open(&world, Role::Operator, None).await;
    let hello = first.next().await.unwrap();
    drop(first);
    let mut watching = Stream::open(&world, Role::Operator, None).await;
    watching.next().await.unwrap();
    for _ in 0..513 {
        let extensions = LiveEvent::Extensions(Arc::new(json!({})));
        world.operator.changes.send(extensions).unwrap();
        // One by one, so that none are joined.
        watching.next().await.unwrap();
    }
    let mut again = Stream::open(&world, Role::Operator, Some(&hello.id)).await;
    assert_eq!(again.next().await.unwrap().event, "reset");
}

#[tokio::test]
async fn a_slow_reader_is_told_and_nobody_waits_for_it() {
    let world = World::memory().await;
    let mut slow = Stream::open(&world, Role::Operator, None).await;
    slow.next().await.unwrap();
    let mut quick = Stream::open(&world, Role::Operator, None).await;
    quick.next().await.unwrap();
    for _ in 0..300 {
        let extensions = LiveEvent::Extensions(Arc::new(json!({})));
        world.operator.changes.send(extensions).unwrap();
        assert_eq!(quick.next().await.unwrap().event, "extension");
    }
    assert_eq!(slow.next().await.unwrap().event, "reset");
}

#[tokio::test]
async fn roles_that_may_not_see_messages_do_not_get_them() {
    let world = World::memory().await;
    let mut viewer = Stream::open(&world, Role::Viewer, None).await;
    viewer.next().await.unwrap();
    world.operator.changes.send(message()).unwrap();
    change(&world, 1, "ringing").await;
    assert_eq!(viewer.next().await.unwrap().event, "call");
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats() {
    let world = World::with(|config| config.heartbeat = Duration::from_millis(20)).await;
    let mut stream = Stream::open(&world, Role::Operator, None).await;
    stream.next().await.unwrap();
    assert!(stream.chunk().await.unwrap().starts_with(": beat"));
}

#[tokio::test]
async fn streams_end_with_the_token_and_with_the_gateway() {
    let world = World::memory().await;
    let mut stream = Stream::open(&world, Role::Operator, None).await;
    stream.next().await.unwrap();
    world.shutdown.cancel();
    assert_eq!(stream.next().await, None);

    let world = World::memory().await;
    let second = Duration::from_secs(1);
    let short = world.keys.issue("ada", Role::Operator, world.now(), second);
    let mut stream = Stream::try_open(&world, &short, None).await.unwrap();
    stream.next().await.unwrap();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn streams_are_bounded_and_places_come_back() {
    let world = World::with(|config| config.streams_max = 2).await;
    let first = Stream::open(&world, Role::Operator, None).await;
    let _second = Stream::open(&world, Role::Operator, None).await;
    let third = Stream::try_open(&world, &world.token(Role::Operator), None).await;
    assert_eq!(third.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    drop(first);
    Stream::open(&world, Role::Operator, None).await;
}

/// Nobody reads: nothing is looked up for nobody.
#[tokio::test]
async fn what_was_not_made_because_nobody_read_is_read_again() {
    let world = World::with(|config| config.reader_awaited = Duration::ZERO).await;
    let mut first = Stream::open(&world, Role::Operator, None).await;
    first.next().await.unwrap();
    change(&world, 1, "ringing").await;
    let seen = first.next().await.unwrap();
    drop(first);
    for revision in 2.. {
        change(&world, revision, "assistant").await;
        // Until the feed has taken a change with nobody there.
        tokio::task::yield_now().await;
        let mut again = Stream::open(&world, Role::Operator, Some(&seen.id)).await;
        if again.next().await.unwrap().event == "reset" {
            change(&world, revision + 1, "ended").await;
            assert_eq!(again.next().await.unwrap().data["status"], "ended");
            return;
        }
        assert!(revision < 1_000, "made though nobody read");
    }
}
