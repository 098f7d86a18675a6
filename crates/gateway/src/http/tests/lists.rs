//! Messages, figures and extensions.

use serde_json::json;
use switchhook_store::{MessageRow, NewWork, Queue, Step};

use super::world::{World, at, call_id, ids};

#[tokio::test]
async fn messages_show_their_delivery() {
    for world in World::each().await {
        let message = |name: &str, second, state: &str| MessageRow {
            id: switchhook_model::MessageId::from_unique(name),
            call: Some(call_id("a")),
            channel: "webhook".into(),
            recipient: "staff".into(),
            text: "please call <b>back</b>".into(),
            state: state.into(),
            vendor_id: None,
            error: None,
            created_at: at(second),
            updated_at: at(second),
        };
        let work = NewWork {
            queue: Queue::Outbox,
            key: "msg_b".into(),
            kind: "notice".into(),
            call: None,
            payload: json!({}),
            at: at(0),
            next_at: at(99),
            claimed_until: None,
        };
        world
            .store
            .commit(Step {
                messages: vec![message("a", 1, "accepted"), message("b", 2, "queued")],
                work: vec![work],
                ..Step::default()
            })
            .await
            .unwrap();
        let page = world.get("/api/messages?limit=1").await.ok();
        let newest = &page["items"][0];
        assert_eq!(newest["id"], "msg_b");
        assert_eq!(newest["to"], "staff");
        assert_eq!(newest["call_id"], "call_a");
        assert_eq!(newest["attempts"], 0);
        assert_eq!(newest["next_attempt_at"], at(99).to_rfc3339());
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = world
            .get(&format!("/api/messages?cursor={cursor}"))
            .await
            .ok();
        assert_eq!(ids(&rest), ["msg_a"]);
        assert_eq!(rest["items"][0]["attempts"], json!(null));
        let none = world.get("/api/messages?call_id=call_b").await.ok();
        assert_eq!(ids(&none), [""; 0]);
        let accepted = world.get("/api/messages?state=accepted").await.ok();
        assert_eq!(ids(&accepted), ["msg_a"]);
        for bad in ["call_id=x", "cursor=x", "limit=0", "x=y"] {
            world
                .get(&format!("/api/messages?{bad}"))
                .await
                .refused(400, "request.query");
        }
    }
}

#[tokio::test]
async fn figures_are_of_the_span() {
    for world in World::each().await {
        world.call("a", -60).await;
        world.call("old", -100_000).await;
        let stats = world.get("/api/stats").await.ok();
        assert_eq!((&stats["calls"], &stats["live"]), (&json!(1), &json!(1)));
        assert_eq!(stats["by_status"], json!({"assistant": 1}));
        let all = world.get("/api/stats?from=2026-01-01T00:00:00Z").await.ok();
        assert_eq!(all["calls"], 2);
        for bad in [
            "from=x",
            "from=2026-12-01T00:00:00Z",
            "from=1999-01-01T00:00:00Z",
        ] {
            world
                .get(&format!("/api/stats?{bad}"))
                .await
                .refused(400, "request.query");
        }
    }
}

#[tokio::test]
async fn extensions_are_listed() {
    let world = World::memory().await;
    let page = world.get("/api/extensions").await.ok();
    assert_eq!(page["items"][0]["extension"], "2001");
    assert_eq!(page["items"][0]["display_name"], "<b>Jonas</b>");
    assert_eq!(
        page["items"][0]["contacts"][0]["expires_at"],
        at(60).to_rfc3339()
    );
}

#[tokio::test]
async fn trunks_are_listed() {
    let world = World::memory().await;
    let page = world.get("/api/trunks").await.ok();
    let trunk = &page["items"][0];
    assert_eq!(
        (&trunk["trunk"], &trunk["state"]),
        (&json!("pbx"), &json!("up"))
    );
    assert_eq!(trunk["round_trip_ms"], 12);
    assert_eq!(trunk["since"], at(0).to_rfc3339());
    assert_eq!(trunk["registration"]["state"], "failed");
    assert_eq!(trunk["registration"]["last_status"], 403);
    assert_eq!(
        trunk["registration"]["next_attempt_at"],
        at(90).to_rfc3339()
    );
}
