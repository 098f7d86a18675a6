//! Bounds on what a client may send, and the one error shape.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, header};
use serde_json::json;

use super::world::World;
use crate::http::HttpConfig;
use crate::http::auth::Role;
use crate::http::state::Rate;

#[tokio::test]
async fn a_source_that_asks_too_often_waits_and_others_do_not() {
    let world = World::with(|config| {
        config.source_rate = Rate {
            per_second: 1,
            burst: 3,
        };
    })
    .await;
    let from = |peer: &str| {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request = Request::get("/healthz").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    for _ in 0..3 {
        world.send(from("192.0.2.1:1000")).await.ok();
    }
    let refused = world.send(from("192.0.2.1:2000")).await;
    refused.refused(429, "http.too_many_requests");
    assert_eq!(refused.header("retry-after"), "1");
    world.send(from("192.0.2.2:1000")).await.ok();
}

/// From whom, and what it says about whom it asks for.
fn forwarded(peer: &str, header: &str, mut request: Request<Body>) -> Request<Body> {
    let peer: SocketAddr = peer.parse().unwrap();
    let header = header.parse().unwrap();
    request.headers_mut().insert("x-forwarded-for", header);
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

#[tokio::test]
async fn a_stranger_cannot_write_itself_another_address() {
    let world = World::with(|config| {
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.source_rate = Rate {
            per_second: 1,
            burst: 3,
        };
    })
    .await;
    let ask = async |peer: &str, header: &str| {
        world
            .send(forwarded(
                peer,
                header,
                Request::get("/healthz").body(Body::empty()).unwrap(),
            ))
            .await
    };
    // Not through a proxy of ours: each claims to be somebody else, and is the same one.
    for n in 1..=3 {
        ask("203.0.113.9:1", &format!("198.51.100.{n}")).await.ok();
    }
    ask("203.0.113.9:1", "198.51.100.4")
        .await
        .refused(429, "http.too_many_requests");
    // Through the proxy: what the client wrote before its own address counts for nothing.
    for n in 1..=3 {
        let header = format!("198.51.100.{n}, 203.0.113.10");
        ask("10.0.0.2:1", &header).await.ok();
    }
    ask("10.0.0.3:1", "198.51.100.4, 203.0.113.10")
        .await
        .refused(429, "http.too_many_requests");
    // Another client behind the same proxy is another source.
    ask("10.0.0.2:1", "203.0.113.11").await.ok();
}

#[tokio::test]
async fn failed_logins_are_counted_by_the_address_the_proxy_saw() {
    let world = World::with(|config| {
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    // Always another name, so that only the address is counted.
    let login = async |n: u32, peer: &str, header: &str| {
        let body = json!({"username": format!("user{n}"), "password": "wrong"});
        let request = Request::post("/api/auth/token")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        world.send(forwarded(peer, header, request)).await
    };
    for n in 0..20 {
        let claimed = format!("198.51.100.{n}");
        login(n, "203.0.113.9:1", &claimed)
            .await
            .refused(401, "auth.invalid");
    }
    login(20, "203.0.113.9:1", "198.51.100.20")
        .await
        .refused(429, "auth.throttled");
    // What the client writes before its own address counts for nothing behind the proxy either,
    // and others behind it are not held up.
    for n in 100..120 {
        let claimed = format!("198.51.100.{n}, 203.0.113.10");
        login(n, "10.0.0.2:1", &claimed)
            .await
            .refused(401, "auth.invalid");
    }
    login(120, "10.0.0.2:1", "198.51.100.120, 203.0.113.10")
        .await
        .refused(429, "auth.throttled");
    login(121, "10.0.0.2:1", "203.0.113.11")
        .await
        .refused(401, "auth.invalid");
}

#[tokio::test]
async fn a_user_that_asks_too_often_waits_from_wherever_it_asks() {
    let world = World::with(|config| {
        config.user_rate = Rate {
            per_second: 1,
            burst: 2,
        };
    })
    .await;
    for _ in 0..2 {
        world.get("/api/auth/me").await.ok();
    }
    world
        .get("/api/auth/me")
        .await
        .refused(429, "http.too_many_requests");
    let admin = world.token(Role::Admin);
    world.get_as(Some(&admin), "/api/auth/me").await.ok();
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let world = World::memory().await;
    let send = async |kind: &str, body: Vec<u8>| {
        let request = Request::post("/api/auth/token")
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        world.send(request).await
    };
    let most = HttpConfig::default().body_max;
    let huge = json!({"username": "x".repeat(most), "password": ""});
    send("application/json", huge.to_string().into_bytes())
        .await
        .refused(413, "http.body_too_large");
    send("application/json", b"{\"username\":".to_vec())
        .await
        .refused(400, "request.json");
    send("application/json", vec![0xff, 0xfe])
        .await
        .refused(400, "request.json");
    let missing = send("application/json", b"{}".to_vec()).await;
    missing.refused(422, "request.body");
    assert!(missing.text().contains("username"));
    send(
        "application/json",
        b"{\"username\":\"a\",\"password\":\"b\",\"x\":1}".to_vec(),
    )
    .await
    .refused(422, "request.body");
    // A form on another site can send this without asking the browser.
    send(
        "text/plain",
        b"{\"username\":\"a\",\"password\":\"b\"}".to_vec(),
    )
    .await
    .refused(415, "request.content_type");
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep = send("application/json", nested.into_bytes()).await;
    assert!(deep.status.is_client_error());
}

#[tokio::test]
async fn every_refusal_has_the_one_shape() {
    let world = World::memory().await;
    let token = world.token(Role::Operator);
    let send = async |method: Method, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        world.send(request).await
    };
    send(Method::GET, "/api/nothing")
        .await
        .refused(404, "http.not_found");
    send(Method::GET, "/api")
        .await
        .refused(404, "http.not_found");
    send(Method::GET, "/api/calls/call_a/nothing")
        .await
        .refused(404, "http.not_found");
    let method = send(Method::DELETE, "/api/calls").await;
    method.refused(405, "http.method");
    assert!(method.header("allow").contains("GET"));
    send(Method::POST, "/some/page")
        .await
        .refused(405, "http.method");
    send(Method::GET, "/missing.js")
        .await
        .refused(404, "http.not_found");
    send(Method::GET, "/metrics/x")
        .await
        .refused(404, "http.not_found");
}

#[tokio::test]
async fn request_ids_are_taken_when_harmless_and_made_otherwise() {
    let world = World::memory().await;
    let ask = async |id: Option<&[u8]>| {
        let mut request = Request::get("/api/nothing");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        answer.refused(404, "http.not_found");
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask(Some(b"trace-1.a_B")).await, "trace-1.a_B");
    let made = [
        ask(None).await,
        ask(Some(b"")).await,
        ask(Some(b"a b")).await,
        ask(Some(b"<script>")).await,
        ask(Some(&[0xff])).await,
        ask(Some(&[b'a'; 65])).await,
    ];
    assert!(made.iter().all(|id| id.starts_with("req_")), "{made:?}");
    let mut distinct = made.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), made.len());
}
