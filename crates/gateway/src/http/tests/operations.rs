//! Health, readiness, metrics, and the description of the API.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use switchhook_store::{Step, Store, StoreOptions};

use super::world::{World, call};
use crate::http::auth::Role;

#[tokio::test]
async fn health_follows_the_database() {
    for world in World::each().await {
        let health = world.get_as(None, "/healthz").await.ok();
        assert_eq!(
            health,
            json!({"status": "ok", "database": "ok", "waiting_steps": 0})
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("t.db").display());
    let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
    let world = World::over(store.clone(), directory, |_| {});
    store.close().await;
    let failing = world.get_as(None, "/healthz").await;
    assert_eq!(failing.status, 503);
    assert_eq!(failing.json()["database"], "store.closed");
    let unready = world.get_as(None, "/readyz").await;
    assert_eq!(
        (unready.status.as_u16(), &unready.json()["status"]),
        (503, &json!("unready"))
    );
    // The API says so without telling paths.
    let refused = world.get("/api/calls").await;
    assert!(refused.status.is_server_error());
    assert!(!refused.text().contains("t.db"), "{}", refused.text());
    assert!(store.commit(Step::of(call("a", 0))).await.is_err());
}

#[tokio::test]
async fn readiness_names_causes_only_to_those_who_signed_in() {
    let world = World::memory().await;
    let open = world.get_as(None, "/readyz").await;
    assert_eq!(open.status, 200);
    let open = open.json();
    assert_eq!(open["status"], "degraded");
    assert_eq!(open["integrations"][0]["name"], "database");
    assert_eq!(open["integrations"][1]["state"], "degraded");
    assert!(!open.to_string().contains("example.net"));
    assert_eq!(open["sip"], json!(null), "{open}");
    assert_eq!(open["integrations"][2]["name"], "trunk");
    let known = world.get("/readyz").await.ok();
    assert_eq!(
        known["integrations"][1]["cause"],
        "hooks.example.net answered 500"
    );
    assert_eq!(known["integrations"][2]["name"], "trunk:carrier");
    assert_eq!(
        known["capacity"],
        json!({"calls_active": 1, "calls_max": 200})
    );
    assert_eq!(
        known["sip"],
        json!({
            "assistant": "assistant",
            "host": "203.0.113.5",
            "listeners": [{"transport": "udp", "ip": "192.0.2.10", "port": 5070}],
        })
    );
    world
        .get_as(Some("wrong"), "/readyz")
        .await
        .refused(401, "auth.token_invalid");

    *world.operator.ready.lock().unwrap() = false;
    assert_eq!(world.get_as(None, "/readyz").await.status, 503);
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_users() {
    let world = World::memory().await;
    let from = |peer: &str, forwarded: bool, token: Option<String>| {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request = Request::get("/metrics");
        if forwarded {
            request = request.header("x-forwarded-for", "203.0.113.5");
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    let local = world.send(from("127.0.0.1:1", false, None)).await;
    assert_eq!(local.status, 200);
    assert!(local.header("content-type").starts_with("text/plain"));
    world
        .send(from("192.0.2.9:1", false, None))
        .await
        .refused(401, "auth.required");
    // A proxy on this machine is not this machine.
    world
        .send(from("127.0.0.1:1", true, None))
        .await
        .refused(401, "auth.required");
    let token = world.token(Role::Viewer);
    let remote = world.send(from("192.0.2.9:1", false, Some(token))).await;
    assert_eq!(remote.status, 200);
}

#[tokio::test]
async fn times_are_counted_in_buckets() {
    let world = World::memory().await;
    let _recording = metrics::set_default_local_recorder(&world.recorder);
    world.get_as(None, "/healthz").await.ok();
    metrics::histogram!("switchhook_turn_first_audio_seconds").record(0.55);
    metrics::histogram!("switchhook_turn_first_audio_seconds").record(7.0);
    let text = world.get("/metrics").await.text();
    let value = |series: &str| -> u64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(series))
            .unwrap_or_else(|| panic!("no {series} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let turn = |le: &str| {
        value(&format!(
            "switchhook_turn_first_audio_seconds_bucket{{le=\"{le}\"}}"
        ))
    };
    assert_eq!(["0.5", "0.6", "5", "10", "+Inf"].map(turn), [0, 1, 1, 2, 2]);
    assert_eq!(value("switchhook_turn_first_audio_seconds_count"), 2);
    assert!(text.contains("# TYPE switchhook_turn_first_audio_seconds histogram"));
    // Of each route, not of each path.
    let request = "switchhook_http_request_seconds_bucket{route=\"/healthz\",le=\"+Inf\"}";
    assert_eq!(value(request), 1);
    assert!(!text.contains("quantile="), "{text}");
}

#[tokio::test]
async fn the_description_lists_every_route() {
    let world = World::memory().await;
    let api = world.get_as(None, "/api/openapi.json").await.ok();
    let mut listed = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            listed.push(format!("{method} {path}"));
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path} has no summary");
            assert!(
                operation["responses"]
                    .as_object()
                    .is_some_and(|all| !all.is_empty())
            );
        }
    }
    listed.sort();
    // The list of the interface, by hand: a route that disappears is seen here.
    let mut expected = [
        "post /api/auth/token",
        "post /api/auth/refresh",
        "get /api/auth/me",
        "post /api/calls/initiate",
        "get /api/calls",
        "get /api/calls/{id}",
        "post /api/calls/{id}/hangup",
        "post /api/calls/{id}/hold",
        "post /api/calls/{id}/resume",
        "post /api/calls/{id}/transfer",
        "get /api/calls/{id}/transcript",
        "get /api/calls/{id}/recording",
        "post /api/calls/{id}/recording/pause",
        "post /api/calls/{id}/recording/resume",
        "get /api/calls/{id}/events",
        "get /api/events",
        "get /api/messages",
        "get /api/extensions",
        "get /api/trunks",
        "get /api/stats",
        "get /healthz",
        "get /readyz",
        "get /metrics",
        "get /api/openapi.json",
        "get /api/docs",
        "get /api/docs.css",
    ];
    expected.sort();
    assert_eq!(listed, expected);
    // A route that is not described could only be added past `routes!`.
    let source = include_str!("../router.rs");
    assert!(!source.contains(".route(") && !source.contains(".nest"));
    assert_eq!(api["security"], json!([{"bearer": []}]));
    assert_eq!(
        api["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
}

#[tokio::test]
async fn references_in_the_description_lead_somewhere() {
    let world = World::memory().await;
    let answer = world.get_as(None, "/api/openapi.json").await;
    let api = answer.json();
    let text = answer.text();
    let names: Vec<&str> = text
        .split("\"$ref\": \"#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(names.len() > 20);
    for name in names {
        let schema = &api["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is not described");
    }
}

#[tokio::test]
async fn the_description_is_readable_without_script() {
    let world = World::memory().await;
    let page = world.get_as(None, "/api/docs").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    assert!(html.contains("/api/calls/{id}/recording"));
    assert!(html.contains("call.unknown"));
    assert!(!html.contains("<script") && !html.contains("style=\""));
    assert!(!html.contains("//"), "nothing from elsewhere");
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    let css = world.get_as(None, "/api/docs.css").await;
    assert_eq!(css.header("content-type"), "text/css");
}
