//! Audio: ranges, states, and files that must not be reached.

use axum::body::Body;
use axum::http::{Request, header};
use switchhook_store::{RecordingState, Step};

use serde_json::json;

use super::world::{Answer, Asked, World, call, call_id};
use crate::http::auth::Role;
use crate::http::ports::{CommandError, RecordingOrder};

const PATH: &str = "/api/calls/call_a/recording";

async fn ask(world: &World, headers: &[(header::HeaderName, &str)]) -> Answer {
    let mut request = Request::get(PATH).header(
        header::AUTHORIZATION,
        format!("Bearer {}", world.token(Role::Operator)),
    );
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

async fn ready() -> World {
    let world = World::memory().await;
    world.call("a", 0).await;
    let content: Vec<u8> = (0..=255).collect();
    world
        .recording("a", RecordingState::Ready, Some(&content))
        .await;
    world
}

#[tokio::test]
async fn all_of_it_and_parts_of_it() {
    for world in World::each().await {
        world.call("a", 0).await;
        let content: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        world
            .recording("a", RecordingState::Ready, Some(&content))
            .await;
        let whole = ask(&world, &[]).await;
        assert_eq!(whole.status, 200);
        assert_eq!(whole.body, content);
        assert_eq!(whole.header("content-type"), "audio/wav");
        assert_eq!(whole.header("accept-ranges"), "bytes");
        assert_eq!(whole.header("content-length"), "200000");
        assert_eq!(whole.header("cache-control"), "private, no-cache");

        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=100-199", 100, 199),
            ("bytes=199999-", 199_999, 199_999),
            ("bytes=-10", 199_990, 199_999),
            ("bytes=150000-999999", 150_000, 199_999),
        ] {
            let part = ask(&world, &[(header::RANGE, range)]).await;
            assert_eq!(part.status, 206, "{range}");
            assert_eq!(part.body, content[first..=last], "{range}");
            assert_eq!(
                part.header("content-range"),
                format!("bytes {first}-{last}/200000")
            );
        }
        // Neither one we cannot read nor several: the whole is a right answer.
        for range in ["bytes=0-1,5-6", "bytes=9-1", "lines=1-2"] {
            assert_eq!(ask(&world, &[(header::RANGE, range)]).await.status, 200);
        }
    }
}

#[tokio::test]
async fn ranges_beyond_the_end_are_416() {
    let world = ready().await;
    for range in ["bytes=256-", "bytes=9999-10000", "bytes=-0"] {
        let answer = ask(&world, &[(header::RANGE, range)]).await;
        answer.refused(416, "recording.range");
        assert_eq!(answer.header("content-range"), "bytes */256");
    }
}

#[tokio::test]
async fn the_entity_tag_saves_and_protects() {
    let world = ready().await;
    let tag = ask(&world, &[]).await.header("etag").to_owned();
    let unchanged = ask(&world, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    let range = (header::RANGE, "bytes=0-9");
    let same = ask(&world, &[range.clone(), (header::IF_RANGE, &tag)]).await;
    assert_eq!(same.status, 206);
    let other = ask(&world, &[range, (header::IF_RANGE, "\"old\"")]).await;
    assert_eq!((other.status.as_u16(), other.body.len()), (200, 256));
}

#[tokio::test]
async fn head_says_the_size_without_the_audio() {
    let world = ready().await;
    let request = Request::head(PATH)
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", world.token(Role::Operator)),
        )
        .body(Body::empty())
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), "256");
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn audio_is_not_compressed() {
    let world = ready().await;
    let answer = ask(&world, &[(header::ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.body.len(), 256);
}

#[tokio::test]
async fn not_ready_missing_failed_and_deleted_are_told_apart() {
    let world = World::memory().await;
    world.call("a", 0).await;
    ask(&world, &[]).await.refused(404, "recording.none");
    world.recording("a", RecordingState::Recording, None).await;
    let waits = ask(&world, &[]).await;
    assert_eq!(waits.header("retry-after"), "5");
    waits.refused(409, "recording.not_ready");
    // None of these becomes one that is still recorded.
    let states = [
        (RecordingState::Failed, 410, "recording.failed"),
        (RecordingState::Deleted, 410, "recording.deleted"),
        // The row says ready, but the file is gone.
        (RecordingState::Ready, 404, "recording.file_missing"),
    ];
    for (state, status, code) in states {
        world.recording("a", state, None).await;
        ask(&world, &[]).await.refused(status, code);
    }
}

#[tokio::test]
async fn no_file_outside_the_directory_is_reached() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let secret = world.recordings.parent().unwrap().join("secret.txt");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::create_dir(world.recordings.join("folder")).unwrap();
    let absolute = secret.to_str().unwrap();
    for file in [
        "../secret.txt",
        "folder/../../secret.txt",
        "./x.wav",
        "..",
        ".",
        "",
        "folder/",
        absolute,
    ] {
        world.recording_row("a", RecordingState::Ready, file).await;
        let answer = ask(&world, &[]).await;
        assert!(
            answer.status.is_server_error() || answer.status == 404,
            "{file}"
        );
        assert!(!answer.text().contains("secret"), "{file}");
    }
    world
        .recording_row("a", RecordingState::Ready, "folder")
        .await;
    ask(&world, &[])
        .await
        .refused(404, "recording.file_missing");
}

#[tokio::test]
async fn the_newest_playable_recording_is_played() {
    let world = ready().await;
    let failed = switchhook_store::RecordingRow {
        id: switchhook_model::RecordingId::from_unique("later"),
        call: call("a", 0).head.id,
        file: "later.wav".into(),
        state: RecordingState::Failed,
        started_at: super::world::at(9),
        ended_at: None,
        duration_ms: None,
        error: Some("disk full".into()),
    };
    world
        .store
        .commit(Step {
            recordings: vec![failed],
            ..Step::default()
        })
        .await
        .unwrap();
    assert_eq!(ask(&world, &[]).await.status, 200);
}

#[tokio::test]
async fn it_is_paused_and_resumed_by_who_may_act_on_calls() {
    let world = World::memory().await;
    world.call("a", 0).await;
    for (path, order, status) in [
        ("pause", RecordingOrder::Pause, "paused"),
        ("resume", RecordingOrder::Resume, "recording"),
    ] {
        let path = format!("/api/calls/call_a/recording/{path}");
        let answer = world.post(&path, json!({})).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json()["status"], status);
        assert_eq!(
            world.operator.asked.lock().unwrap().pop(),
            Some(Asked::Recording {
                call: call_id("a"),
                order,
                by: "test-operator".into(),
            })
        );
        world
            .post_as(None, &path, json!({}))
            .await
            .refused(401, "auth.required");
        *world.operator.command_error.lock().unwrap() = Some(CommandError::Conflict {
            reason: "the call is not recorded".into(),
        });
        let refused = world.post(&path, json!({})).await;
        refused.refused(409, "call.conflict");
        assert!(refused.text().contains("not recorded"));
        *world.operator.command_error.lock().unwrap() = None;
    }
    world
        .post("/api/calls/nonsense/recording/pause", json!({}))
        .await
        .refused(404, "call.unknown");
}
