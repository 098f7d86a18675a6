//! Signing in, tokens and what roles allow.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::world::{KEY, World};
use crate::http::auth::{Role, add_user, set_password};

const PASSWORD: &str = "correct horse battery";

async fn with_user(world: &World, name: &str, role: Role) {
    add_user(&world.store, name, role, PASSWORD, world.now())
        .await
        .unwrap();
}

async fn sign_in(world: &World, name: &str, password: &str) -> super::world::Answer {
    let body = json!({"username": name, "password": password});
    world.post_as(None, "/api/auth/token", body).await
}

#[tokio::test]
async fn a_user_signs_in_refreshes_and_is_known() {
    for world in World::each().await {
        with_user(&world, "ada", Role::Operator).await;
        let tokens = sign_in(&world, "ada", PASSWORD).await.ok();
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 900);
        assert_eq!(tokens["role"], "operator");
        let access = tokens["access_token"].as_str().unwrap();
        let me = world.get_as(Some(access), "/api/auth/me").await.ok();
        assert_eq!(me["username"], "ada");
        assert_eq!(me["expires_at"], "2026-11-21T14:45:00.000Z");

        world.pass(Duration::from_secs(901));
        world
            .get_as(Some(access), "/api/auth/me")
            .await
            .refused(401, "auth.token_expired");
        let refresh = json!({"refresh_token": tokens["refresh_token"]});
        let renewed = world.post_as(None, "/api/auth/refresh", refresh).await.ok();
        let access = renewed["access_token"].as_str().unwrap();
        world.get_as(Some(access), "/api/auth/me").await.ok();
    }
}

#[tokio::test]
async fn wrong_names_and_passwords_get_one_answer() {
    let world = World::memory().await;
    with_user(&world, "ada", Role::Operator).await;
    with_user(&world, "gone", Role::Operator).await;
    let mut gone = world.store.user("gone").await.unwrap().unwrap();
    gone.disabled = true;
    world.store.update_user(gone).await.unwrap();
    let mut answers = Vec::new();
    for (name, password) in [
        ("ada", "wrong"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("ADA", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("ada\u{0}", PASSWORD),
        ("", ""),
    ] {
        let answer = sign_in(&world, name, password).await;
        answer.refused(401, "auth.invalid");
        answers.push(answer.json()["error"]["message"].clone());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_then_forgiven() {
    let world = World::memory().await;
    with_user(&world, "ada", Role::Operator).await;
    for _ in 0..5 {
        sign_in(&world, "ada", "guess")
            .await
            .refused(401, "auth.invalid");
    }
    let waits = sign_in(&world, "ada", PASSWORD).await;
    waits.refused(429, "auth.throttled");
    assert_eq!(waits.header("retry-after"), "1");
    world.pass(Duration::from_secs(1));
    sign_in(&world, "ada", PASSWORD).await.ok();
}

#[tokio::test]
async fn a_changed_password_ends_what_was_signed_in() {
    let world = World::memory().await;
    with_user(&world, "ada", Role::Operator).await;
    let tokens = sign_in(&world, "ada", PASSWORD).await.ok();
    set_password(&world.store, "ada", "another long phrase")
        .await
        .unwrap();
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    world
        .post_as(None, "/api/auth/refresh", refresh)
        .await
        .refused(401, "auth.token_void");
    sign_in(&world, "ada", "another long phrase").await.ok();
}

#[tokio::test]
async fn tokens_of_the_other_kind_are_refused() {
    let world = World::memory().await;
    with_user(&world, "ada", Role::Admin).await;
    let tokens = sign_in(&world, "ada", PASSWORD).await.ok();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    world
        .get_as(Some(refresh), "/api/calls")
        .await
        .refused(401, "auth.token_type");
    let access = json!({"refresh_token": tokens["access_token"]});
    world
        .post_as(None, "/api/auth/refresh", access)
        .await
        .refused(401, "auth.token_type");
    // A token of the command line has no user behind it to refresh for.
    let issued = json!({"refresh_token": world.token(Role::Admin)});
    world
        .post_as(None, "/api/auth/refresh", issued)
        .await
        .refused(401, "auth.token_type");
}

/// A token of these parts, signed with `key`.
fn forge(header: &Value, claims: &Value, key: Option<&str>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.map_or_else(String::new, |key| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    });
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::memory().await;
    let hs256 = json!({"alg": "HS256", "typ": "JWT"});
    let now = world.now().as_millis() / 1000;
    let claims = json!({
        "iss": "switchhook", "aud": "switchhook-api", "sub": "eve", "role": "admin",
        "use": "access", "iat": now, "exp": now + 600, "jti": "x", "ver": 1,
    });
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    // The forge itself is right: this one is accepted.
    let right = forge(&hs256, &claims, Some(KEY));
    world.get_as(Some(&right), "/api/auth/me").await.ok();

    let other_key = "ffffffffffffffffffffffffffffffff";
    let mut changed = right.clone();
    changed.replace_range(changed.len() - 2.., "AA");
    let invalid = [
        forge(&json!({"alg": "none"}), &claims, None),
        forge(&json!({"alg": "None", "typ": "JWT"}), &claims, None),
        forge(&json!({"alg": "none"}), &claims, Some(KEY)),
        forge(&json!({"alg": "HS512"}), &claims, Some(KEY)),
        forge(&json!({"alg": "RS256"}), &claims, Some(KEY)),
        forge(&hs256, &claims, None),
        forge(&hs256, &claims, Some(other_key)),
        forge(&hs256, &claims, Some("")),
        forge(&hs256, &with("aud", json!("another-api")), Some(KEY)),
        forge(&hs256, &with("iss", json!("somebody")), Some(KEY)),
        forge(&hs256, &with("role", json!("root")), Some(KEY)),
        forge(&hs256, &with("exp", json!("never")), Some(KEY)),
        forge(&hs256, &without("exp"), Some(KEY)),
        forge(&hs256, &without("aud"), Some(KEY)),
        forge(&hs256, &without("use"), Some(KEY)),
        changed,
        "a.b.c".to_owned(),
        "..".to_owned(),
        "x".repeat(100_000),
    ];
    for token in &invalid {
        world
            .get_as(Some(token), "/api/auth/me")
            .await
            .refused(401, "auth.token_invalid");
    }
    let over = forge(&hs256, &with("exp", json!(now)), Some(KEY));
    world
        .get_as(Some(&over), "/api/auth/me")
        .await
        .refused(401, "auth.token_expired");
}

#[tokio::test]
async fn other_schemes_and_doubled_headers_are_refused() {
    let world = World::memory().await;
    let token = world.token(Role::Admin);
    for value in ["", "Bearer", "Basic YTpi", &token] {
        let request = Request::get("/api/auth/me")
            .header(header::AUTHORIZATION, value)
            .body(Body::empty())
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, 401, "{value}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let doubled = Request::get("/api/auth/me")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::AUTHORIZATION, "Bearer x")
        .body(Body::empty())
        .unwrap();
    world.send(doubled).await.refused(401, "auth.required");
    // In an address tokens end up in logs.
    world
        .get_as(None, &format!("/api/auth/me?access_token={token}"))
        .await
        .refused(401, "auth.required");
}

/// Every operation of the description that does not say it is public.
async fn closed_operations(world: &World) -> Vec<(String, String)> {
    let api = world.get_as(None, "/api/openapi.json").await.ok();
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation.get("security").and_then(Value::as_array);
            if security.is_none_or(|list| !list.contains(&json!({}))) {
                found.push((method.clone(), path.replace("{id}", "call_a")));
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_closed_answers_without_a_token() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let operations = closed_operations(&world).await;
    assert!(operations.len() >= 13, "{operations:?}");
    for (method, path) in operations {
        let answer = match method.as_str() {
            "get" => world.get_as(None, &path).await,
            "post" => world.post_as(None, &path, json!({"phone": "2001"})).await,
            other => panic!("{other} {path}: extend this test"),
        };
        answer.refused(401, "auth.required");
    }
    assert_eq!(world.operator.asked(), []);
}

#[tokio::test]
async fn roles_allow_what_the_table_says() {
    let world = World::memory().await;
    world.call("a", 0).await;
    let gets = [
        ("/api/calls", "vdoa"),
        ("/api/calls/call_a", "vdoa"),
        ("/api/calls/call_a/transcript", "vdoa"),
        ("/api/calls/call_a/events", "vdoa"),
        ("/api/calls/call_a/recording", "oa"),
        ("/api/messages", "doa"),
        ("/api/extensions", "vdoa"),
        ("/api/trunks", "vdoa"),
        ("/api/stats", "vdoa"),
        ("/readyz", "vdoa"),
    ];
    let posts = [
        ("/api/calls/call_a/hangup", json!({}), "oa"),
        (
            "/api/calls/call_a/transfer",
            json!({"target": "2001"}),
            "oa",
        ),
        ("/api/calls/initiate", json!({"phone": "2001"}), "oa"),
    ];
    for role in Role::ALL {
        let token = world.token(role);
        let letter = &role.as_str()[..1];
        for (path, allowed) in gets {
            let answer = world.get_as(Some(&token), path).await;
            assert_eq!(
                answer.status == 403,
                !allowed.contains(letter),
                "{role} {path}"
            );
        }
        for (path, body, allowed) in &posts {
            let answer = world.post_as(Some(&token), path, body.clone()).await;
            if allowed.contains(letter) {
                assert_eq!(answer.status, 202, "{role} {path}");
            } else {
                answer.refused(403, "auth.forbidden");
            }
        }
    }
    // Refused requests reached nobody.
    assert_eq!(world.operator.asked().len(), 2 * posts.len());
}

#[tokio::test]
async fn short_signing_keys_are_refused() {
    use crate::http::auth::TokenKeys;
    for weak in ["", "secret", "                                        "] {
        let error = TokenKeys::new(weak).unwrap_err();
        assert!(error.to_string().contains("SWITCHHOOK_SIGNING_KEY"));
    }
}
