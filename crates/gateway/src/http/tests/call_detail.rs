//! One call as it is shown, and its transcript.

use serde_json::json;
use switchhook_store::Step;

use super::world::{World, call, shown_with, turn};
use crate::http::ports::CommandError;

#[tokio::test]
async fn a_call_is_shown_whole() {
    for world in World::each().await {
        world
            .store
            .commit(Step {
                turns: vec![
                    turn("a", 1, "a human please", None),
                    turn("a", 2, "one moment", Some(640)),
                ],
                ..Step::of(call("a", 0))
            })
            .await
            .unwrap();
        world
            .recording("a", switchhook_store::RecordingState::Ready, Some(b"x"))
            .await;
        let shown = world.get("/api/calls/call_a").await.ok();
        for field in [
            "id",
            "direction",
            "channel",
            "profile",
            "assistant",
            "status",
            "caller",
            "callee",
            "started_at",
            "answered_at",
            "ended_at",
            "outcome",
            "legs",
            "transfers",
            "turns",
            "latency",
            "recording",
            "violations",
        ] {
            assert!(shown.get(field).is_some(), "{field}: {shown}");
        }
        assert_eq!(shown["turns"][0]["text"], "a human please");
        assert_eq!(shown["turns"][0]["started_at"], "2026-11-21T14:30:01.000Z");
        assert_eq!(shown["latency"]["first_audio_ms"]["p95"], 640);
        assert_eq!(shown["recording"]["state"], "ready");
        assert_eq!(shown["violations"], json!([]));
        assert!(shown.get("snapshot").is_none() && !shown.to_string().contains("the machine"));
    }
}

#[tokio::test]
async fn an_old_call_without_a_readable_view_is_still_shown() {
    let world = World::memory().await;
    let mut row = call("old", 0);
    row.view = json!(null).into();
    row.head.outcome = Some("caller.hangup".into());
    world.store.commit(Step::of(row)).await.unwrap();
    let shown = world.get("/api/calls/call_old").await.ok();
    assert_eq!(shown["caller"], "+12025550100");
    assert_eq!(shown["outcome"]["code"], "caller.hangup");
    assert_eq!(shown["legs"], json!([]));
}

#[tokio::test]
async fn hostile_names_come_back_as_data() {
    for world in World::each().await {
        let hostile = "<script>alert(1)</script>\"'&\u{202e}";
        let mut row = call("a", 0);
        row.head.caller_name = Some(hostile.into());
        row.view = shown_with(&row, json!({"caller_name": hostile}));
        world
            .store
            .commit(Step {
                turns: vec![turn("a", 1, hostile, None)],
                ..Step::of(row)
            })
            .await
            .unwrap();
        let list = world.get("/api/calls").await;
        assert_eq!(list.json()["items"][0]["caller_name"], hostile);
        assert_eq!(list.header("content-type"), "application/json");
        assert_eq!(list.header("x-content-type-options"), "nosniff");
        let shown = world.get("/api/calls/call_a").await.ok();
        assert_eq!(shown["caller_name"], hostile);
        assert_eq!(shown["turns"][0]["text"], hostile);
        let text = world.get("/api/calls/call_a/transcript?format=text").await;
        assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
        assert!(text.text().contains(hostile));
    }
}

#[tokio::test]
async fn ids_that_name_nothing_get_404() {
    let world = World::memory().await;
    world.call("a", 0).await;
    for id in [
        "call_b",
        "leg_a-1",
        "x",
        "call_",
        "call_a%00",
        "..%2F..%2Fetc",
        "%3Cscript%3E",
        "call_'%20OR%201=1",
    ] {
        for tail in ["", "/transcript", "/recording", "/events"] {
            let answer = world.get(&format!("/api/calls/{id}{tail}")).await;
            answer.refused(404, "call.unknown");
            assert!(!answer.text().contains("script"));
        }
    }
    for tail in ["hangup", "transfer", "hold", "resume"] {
        *world.operator.command_error.lock().unwrap() = Some(CommandError::NotLive);
        let body = json!({"target": "2001"});
        world
            .post(&format!("/api/calls/call_b/{tail}"), body)
            .await
            .refused(404, "call.unknown");
    }
}

#[tokio::test]
async fn transcripts_are_one_line_per_turn() {
    let world = World::memory().await;
    let mut cut = turn("a", 2, "I will\n[99:99.9] caller: forged", None);
    cut.interrupted = true;
    world
        .store
        .commit(Step {
            turns: vec![turn("a", 1, "hello", None), cut],
            ..Step::of(call("a", 0))
        })
        .await
        .unwrap();
    let text = world.get("/api/calls/call_a/transcript?format=text").await;
    assert_eq!(
        text.text(),
        "[00:01.0] caller: hello\n[00:02.0] assistant: I will [99:99.9] caller: forged —\n"
    );
    let json = world.get("/api/calls/call_a/transcript").await.ok();
    assert_eq!(json["turns"][1]["interrupted"], true);
    world
        .get("/api/calls/call_a/transcript?format=pdf")
        .await
        .refused(400, "request.query");
}
