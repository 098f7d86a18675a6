//! The ladder: facts and messages on the wire in one order.

use serde_json::json;
use switchhook_model::LegId;
use switchhook_store::{NewEvent, NewWire, Step, WireDirection};

use super::world::{World, at, call, call_id, shown_with};
use crate::http::auth::Role;

fn wire(second: i64, direction: WireDirection, leg: Option<u32>, summary: &str) -> NewWire {
    NewWire {
        at: at(second),
        call: Some(call_id("a")),
        leg: leg.map(|n| LegId::derive(&call_id("a"), n)),
        direction,
        peer: "192.0.2.7:5060".into(),
        summary: summary.into(),
        sip_call_id: Some("x@y".into()),
        cseq: Some("1 INVITE".into()),
        raw: format!("{summary}\r\n<hostile>\r\n"),
    }
}

fn fact(second: i64, kind: &str, data: serde_json::Value) -> NewEvent {
    NewEvent {
        call: call_id("a"),
        at: at(second),
        kind: kind.into(),
        data: data.into(),
    }
}

#[tokio::test]
async fn the_ladder_has_facts_and_messages_in_order() {
    for world in World::each().await {
        let mut row = call("a", 0);
        let legs = json!([
            {"id": "leg_a-1", "party": "caller", "target": null},
            {"id": "leg_a-2", "party": "agent", "target": "2001"},
        ]);
        row.view = shown_with(&row, json!({ "legs": legs }));
        let started = json!({"emit": {"type": "call_started", "leg": "leg_a-1"}});
        world
            .store
            .commit(Step {
                wire: vec![
                    wire(0, WireDirection::Received, Some(1), "INVITE"),
                    wire(3, WireDirection::Sent, Some(2), "INVITE"),
                    wire(4, WireDirection::Received, Some(2), "180 Ringing"),
                    wire(5, WireDirection::Received, None, "OPTIONS"),
                ],
                events: vec![
                    fact(0, "action", started),
                    fact(1, "event", json!({"leg_ringing": {"leg": "leg_a-2"}})),
                    fact(
                        2,
                        "event",
                        json!({"assistant_asked_for_human": {"reason": "asked"}}),
                    ),
                    fact(6, "event", json!("restarted")),
                    fact(
                        7,
                        "shell",
                        json!({"one_way_audio": {"leg": "leg_a-1", "silent_ms": 3000}}),
                    ),
                ],
                ..Step::of(row)
            })
            .await
            .unwrap();
        let page = world.get("/api/calls/call_a/events").await.ok();
        let lines: Vec<String> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| {
                let text = |name: &str| line[name].as_str().unwrap().to_owned();
                format!(
                    "{} {}>{} {}",
                    text("kind"),
                    text("from"),
                    text("to"),
                    text("label")
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                "fact switchhook>switchhook call_started",
                "wire caller>switchhook INVITE",
                "fact assistant>switchhook assistant_asked_for_human",
                "wire switchhook>2001 INVITE",
                "wire 2001>switchhook 180 Ringing",
                "wire 192.0.2.7:5060>switchhook OPTIONS",
                "fact switchhook>switchhook restarted",
                "fact switchhook>switchhook one_way_audio",
            ]
        );
        let items = page["items"].as_array().unwrap();
        assert_eq!(items[1]["method"], "INVITE");
        assert_eq!(items[4]["status"], 180);
        assert_eq!(items[4]["method"], json!(null));
        assert_eq!(items[1]["text"], "INVITE\r\n<hostile>\r\n");
        assert_eq!(items[7]["leg"], "leg_a-1");

        let all = world.get("/api/calls/call_a/events?level=all").await.ok();
        assert_eq!(all["items"].as_array().unwrap().len(), 9);

        // Pages join without a gap.
        let mut joined = Vec::new();
        let mut path = "/api/calls/call_a/events?limit=3".to_owned();
        loop {
            let page = world.get(&path).await.ok();
            joined.extend(page["items"].as_array().unwrap().clone());
            let Some(cursor) = page["next_cursor"].as_str() else {
                break;
            };
            path = format!("/api/calls/call_a/events?limit=3&cursor={cursor}");
        }
        assert_eq!(&joined, items);

        // The text of messages is for those who run the switchboard.
        let viewer = world.token(Role::Viewer);
        let seen = world
            .get_as(Some(&viewer), "/api/calls/call_a/events")
            .await;
        assert_eq!(seen.ok()["items"][1]["text"], json!(null));
        for bad in ["cursor=1", "cursor=1.x2", "level=9", "limit=501"] {
            world
                .get(&format!("/api/calls/call_a/events?{bad}"))
                .await
                .refused(400, "request.query");
        }
    }
}
