//! What an operator does to calls.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use switchhook_model::Target;

use super::world::{Asked, World, call_id};
use crate::http::auth::Role;
use crate::http::ports::{CallTo, CommandError, InitiateError, TransferTo};

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
    assert_eq!(started["session_id"], "vs_new");
    assert_eq!(started["status"], "ringing");
    assert_eq!(started["twilio_configured"], false);
    let asked = world.operator.asked();
    let [Asked::Initiate(order)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(order.assistant.as_deref(), Some("Mia"));
    assert_eq!(order.customer_id, None);

    for phone in ["", "abc", "12", "sip:", "+1 202 555 <b>", "1;ext=2"] {
        let answer = world
            .post("/api/calls/initiate", json!({"phone": phone}))
            .await;
        if phone == "12" {
            assert_eq!(answer.status, 202, "two digits are an extension");
        } else {
            answer.refused(422, "target.invalid");
        }
    }
    // As people write it: the gateway knows of which region.
    for phone in ["555-0100", "+1 202 555 0100", "030 23125110"] {
        let answer = world
            .post("/api/calls/initiate", json!({"phone": phone}))
            .await;
        assert_eq!(answer.status, 202, "{phone}");
        let asked = world.operator.asked();
        let Some(Asked::Initiate(order)) = asked.last() else {
            panic!("{asked:?}");
        };
        assert_eq!(order.to, CallTo::National(phone.to_owned()));
    }
    let refusals = [
        (
            InitiateError::InvalidNumber { reason: "x".into() },
            422,
            "target.invalid",
        ),
        (
            InitiateError::OutsideHours {
                time_zone: "Asia/Riyadh".into(),
            },
            422,
            "outbound.hours",
        ),
        (
            InitiateError::Limit {
                code: "outbound.rate",
                message: "no more".into(),
                retry_after_s: 60,
            },
            429,
            "outbound.rate",
        ),
        (
            InitiateError::Carrier {
                call: call_id("failed"),
                message: "Twilio refused".into(),
            },
            502,
            "carrier.refused",
        ),
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
        if code == "carrier.refused" {
            assert_eq!(answer.json()["error"]["details"]["call_id"], "call_failed");
        }
        if code == "calls.full" {
            assert_eq!(answer.header("retry-after"), "7");
        }
    }
}
