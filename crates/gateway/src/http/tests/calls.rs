//! Calls: reading and acting.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use switchhook_model::{LegId, Target};
use switchhook_store::{
    CallRow, MessageRow, NewEvent, NewWire, NewWork, Queue, Step, ViolationRow, WireDirection,
};

use super::world::{Asked, World, at, call, call_id, turn};
use crate::http::auth::Role;
use crate::http::ports::{CommandError, InitiateError, TransferTo};

fn ids(page: &serde_json::Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    for world in World::each().await {
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            world.call(name, n as i64).await;
        }
        let mut ended: CallRow = call("z", 10);
        ended.head.status = "ended".into();
        ended.head.outcome = Some("transfer.bridged".into());
        world.store.commit(Step::of(ended)).await.unwrap();

        let first = world.get("/api/calls?limit=2").await.ok();
        assert_eq!(ids(&first), ["call_z", "call_c"]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = world
            .get(&format!("/api/calls?limit=2&cursor={cursor}"))
            .await;
        let second = second.ok();
        assert_eq!(ids(&second), ["call_b", "call_a"]);
        assert_eq!(second["next_cursor"], json!(null));

        let live = world
            .get("/api/calls?status=ringing,assistant&direction=inbound")
            .await;
        assert_eq!(ids(&live.ok()), ["call_c", "call_b", "call_a"]);
        let found = world.get("/api/calls?q=BRIDGED").await.ok();
        assert_eq!(ids(&found), ["call_z"]);
        // The plus of an offset may arrive as a space.
        for to in [
            "2026-11-21T14:30:01Z",
            "2026-11-21T15:30:01%2B01:00",
            "2026-11-21T15:30:01+01:00",
        ] {
            let page = world.get(&format!("/api/calls?to={to}")).await.ok();
            assert_eq!(ids(&page), ["call_a"], "{to}");
        }
        assert_eq!(
            ids(&world.get("/api/calls?status=&q=&direction=").await.ok()).len(),
            4
        );
    }
}

#[tokio::test]
async fn a_row_says_what_a_list_needs() {
    for world in World::each().await {
        let mut row = call("a", 0);
        row.view["outcome"] = json!({"code": "transfer.bridged", "ended_by": "caller"});
        // Not yet settled: the column is empty, but the call is over.
        row.view["ended_at"] = json!("2026-11-21T14:40:00.000Z");
        row.view["legs"] = json!([
            {"id": "leg_a-1", "party": "caller", "answered_at": "x", "target": null},
            {"id": "leg_a-2", "party": "agent", "answered_at": null, "target": "2005"},
            {"id": "leg_a-3", "party": "agent", "answered_at": "x", "target": "2001"},
        ]);
        let finding = ViolationRow {
            call: call_id("a"),
            code: "caller.lost".into(),
            detail: "leg_a-1".into(),
            at: at(5),
            cause: "cause".into(),
            cure: "cure".into(),
        };
        world
            .store
            .commit(Step {
                turns: vec![turn("a", 2, "x", Some(500)), turn("a", 4, "y", Some(900))],
                violations: vec![finding],
                ..Step::of(row)
            })
            .await
            .unwrap();
        let page = world.get("/api/calls").await.ok();
        let row = &page["items"][0];
        assert_eq!(row["agent"], "2001");
        assert_eq!(row["ended_at"], "2026-11-21T14:40:00.000Z");
        assert_eq!(row["outcome"]["ended_by"], "caller");
        assert_eq!(row["violations"], 1);
        assert_eq!(
            row["latency"]["first_audio_ms"],
            json!({"p50": 500, "p95": 900, "turns": 2})
        );
        assert_eq!(row["latency"]["ours_ms"]["p50"], 50);
    }
}

#[tokio::test]
async fn queries_that_make_no_sense_are_named() {
    let world = World::memory().await;
    for (query, named) in [
        ("status=sleeping", "status"),
        ("status=ended,x", "status"),
        ("direction=sideways", "direction"),
        ("from=yesterday", "from"),
        ("to=1", "to"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=ten", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=1.call_'--", "cursor"),
        ("colour=red", "colour"),
        ("status=ended&status=ringing", "status"),
    ] {
        let answer = world.get(&format!("/api/calls?{query}")).await;
        answer.refused(400, "request.query");
        assert!(answer.text().contains(named), "{query}: {}", answer.text());
    }
    let long = "x".repeat(201);
    world
        .get(&format!("/api/calls?q={long}"))
        .await
        .refused(400, "request.query");
}

#[tokio::test]
async fn hostile_queries_find_nothing_and_break_nothing() {
    for world in World::each().await {
        world.call("a", 0).await;
        for q in [
            "%27%20OR%201%3D1--",
            "%25",
            "%00",
            "%FF%FE",
            "%3Cscript%3E",
            "..%2F..%2Fetc%2Fpasswd",
            "%F0%9F%92%A9",
        ] {
            let answer = world.get(&format!("/api/calls?q={q}")).await;
            assert!(answer.status == 200 || answer.status == 400, "{q}");
            if answer.status == 200 {
                assert_eq!(ids(&answer.json()).len(), 0, "{q}");
            }
        }
        assert_eq!(ids(&world.get("/api/calls").await.ok()), ["call_a"]);
    }
}

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
    row.view = json!(null);
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
        row.view["caller_name"] = json!(hostile);
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
        data,
    }
}

#[tokio::test]
async fn the_ladder_has_facts_and_messages_in_order() {
    for world in World::each().await {
        let mut row = call("a", 0);
        row.view["legs"] = json!([
            {"id": "leg_a-1", "party": "caller", "target": null},
            {"id": "leg_a-2", "party": "agent", "target": "2001"},
        ]);
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

#[tokio::test]
async fn an_operator_ends_a_call() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let answer = world.post("/api/calls/call_a/hangup", json!({})).await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        world.operator.asked(),
        [Asked::Hangup {
            call: call_id("a"),
            by: "test-operator".into()
        }]
    );
    *world.operator.command_error.lock().unwrap() = Some(CommandError::NotLive);
    world
        .post("/api/calls/call_a/hangup", json!({}))
        .await
        .refused(409, "call.ended");
}

#[tokio::test]
async fn an_operator_holds_a_call_and_takes_it_back() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let by = || "test-operator".to_owned();
    let held = world.post("/api/calls/call_a/hold", json!({})).await;
    assert_eq!(
        (held.status.as_u16(), &held.json()["status"]),
        (202, &json!("holding"))
    );
    let back = world.post("/api/calls/call_a/resume", json!({})).await;
    assert_eq!(
        (back.status.as_u16(), &back.json()["status"]),
        (202, &json!("resuming"))
    );
    let call = call_id("a");
    assert_eq!(
        world.operator.asked(),
        [
            Asked::Hold {
                call: call.clone(),
                by: by()
            },
            Asked::Resume { call, by: by() },
        ]
    );
    let reason = "the call is not answered yet".to_owned();
    *world.operator.command_error.lock().unwrap() = Some(CommandError::Conflict { reason });
    world
        .post("/api/calls/call_a/hold", json!({}))
        .await
        .refused(409, "call.conflict");
    *world.operator.command_error.lock().unwrap() = Some(CommandError::NotLive);
    for tail in ["hold", "resume"] {
        world
            .post(&format!("/api/calls/call_a/{tail}"), json!({}))
            .await
            .refused(409, "call.ended");
        world
            .post(&format!("/api/calls/call_none/{tail}"), json!({}))
            .await
            .refused(404, "call.unknown");
    }
}

#[tokio::test]
async fn a_repeated_transfer_request_is_recognisable() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let send = async |key: Option<&str>, body: serde_json::Value| {
        let mut request = Request::post("/api/calls/call_a/transfer")
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", world.token(Role::Operator)),
            );
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        world.send(request).await
    };
    for key in [Some("k1"), Some("k1"), Some("k2"), None, None] {
        assert_eq!(send(key, json!({"target": " 2001 "})).await.status, 202);
    }
    let requests: Vec<String> = world
        .operator
        .asked()
        .into_iter()
        .map(|asked| match asked {
            Asked::Transfer { order, .. } => {
                let target: Target = "2001".parse().unwrap();
                assert_eq!(order.to, TransferTo::Target(target));
                order.request.to_string()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(requests[0], requests[1]);
    let mut distinct = requests.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 4);
    send(Some(&"k".repeat(201)), json!({"target": "2001"}))
        .await
        .refused(400, "request.header");
}

#[tokio::test]
async fn transfers_that_cannot_be_are_refused_with_the_reason() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let path = "/api/calls/call_a/transfer";
    for (body, code) in [
        (json!({}), "request.body"),
        (
            json!({"target": "2001", "department": "sales"}),
            "request.body",
        ),
        (json!({"target": ""}), "request.body"),
        (json!({"target": 2001}), "request.body"),
        (json!({"traget": "2001"}), "request.body"),
        (json!([]), "request.body"),
        (json!({"department": "x".repeat(101)}), "request.body"),
        (json!({"target": "front desk"}), "target.invalid"),
        (json!({"target": "sip:a@b>\r\nX: y"}), "target.invalid"),
        (json!({"target": "+0123"}), "target.invalid"),
    ] {
        world.post(path, body).await.refused(422, code);
    }
    assert_eq!(world.operator.asked(), []);

    let department = json!({"department": "sales"});
    let refusals = [
        (
            CommandError::UnknownDepartment {
                given: "sales".into(),
                known: vec!["support".into()],
            },
            422,
            "transfer.unknown_department",
        ),
        (
            CommandError::NotAllowed {
                target: "+1900".into(),
                reason: "prefix".into(),
            },
            422,
            "target.not_allowed",
        ),
        (
            CommandError::Conflict {
                reason: "a transfer is under way".into(),
            },
            409,
            "call.conflict",
        ),
        (CommandError::Busy, 503, "call.busy"),
        (
            CommandError::Internal {
                detail: "a secret path".into(),
            },
            500,
            "internal",
        ),
    ];
    for (error, status, code) in refusals {
        *world.operator.command_error.lock().unwrap() = Some(error);
        let answer = world.post(path, department.clone()).await;
        answer.refused(status, code);
        assert!(!answer.text().contains("a secret path"));
    }
}

#[tokio::test]
async fn an_operator_starts_a_call() {
    let world = World::memory().await;
    let body = json!({"phone": "2001", "assistant": "Mia", "customer_id": "", "extra": 1});
    let answer = world.post("/api/calls/initiate", body).await;
    assert_eq!(answer.status, 202);
    let started = answer.json();
    assert_eq!(started["call_id"], "call_new");
    assert_eq!(started["session_id"], "call_new");
    assert_eq!(started["status"], "ringing");
    assert_eq!(started["twilio_configured"], false);
    let asked = world.operator.asked();
    let [Asked::Initiate(order)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(order.assistant.as_deref(), Some("Mia"));
    assert_eq!(order.customer_id, None);

    for phone in ["", "abc", "12", "555-0100", "sip:", "+1 202 555 0100"] {
        let answer = world
            .post("/api/calls/initiate", json!({"phone": phone}))
            .await;
        if phone == "12" {
            assert_eq!(answer.status, 202, "two digits are an extension");
        } else {
            answer.refused(422, "target.invalid");
        }
    }
    let refusals = [
        (
            InitiateError::Unregistered {
                extension: "2005".into(),
            },
            409,
            "extension.unregistered",
        ),
        (InitiateError::NoTrunk, 422, "trunk.none"),
        (
            InitiateError::Full {
                calls_max: 2,
                retry_after_s: 7,
            },
            503,
            "calls.full",
        ),
        (InitiateError::Draining, 503, "gateway.draining"),
    ];
    for (error, status, code) in refusals {
        *world.operator.initiate_error.lock().unwrap() = Some(error);
        let answer = world
            .post("/api/calls/initiate", json!({"phone": "2005"}))
            .await;
        answer.refused(status, code);
        if code == "calls.full" {
            assert_eq!(answer.header("retry-after"), "7");
        }
    }
}

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
