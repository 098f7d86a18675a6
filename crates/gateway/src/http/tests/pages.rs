//! The console's files and the headers of everything.

use axum::body::Body;
use axum::http::{Request, header};

use super::world::World;

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = World::memory().await;
    for path in [
        "/",
        "/calls/call_a",
        "/api/calls",
        "/api/docs",
        "/healthz",
        "/nothing.js",
    ] {
        let answer = world.get_as(None, path).await;
        let csp = answer.header("content-security-policy");
        assert!(
            csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}"
        );
        assert!(
            csp.contains("frame-ancestors 'none'") && !csp.contains("unsafe"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    let api = world.get("/api/calls").await;
    assert_eq!(api.header("cache-control"), "no-store");
    assert_eq!(api.header("strict-transport-security"), "");
    let https = World::with(|config| config.https = true).await;
    let answer = https.get_as(None, "/").await;
    assert!(
        answer
            .header("strict-transport-security")
            .starts_with("max-age=")
    );
}

#[tokio::test]
async fn pages_are_html_whether_the_console_is_built_or_not() {
    let world = World::memory().await;
    for path in ["/", "/calls/call_01abc", "/health"] {
        let page = world.get_as(None, path).await;
        assert!(page.status == 200 || page.status == 503, "{path}");
        assert!(
            page.header("content-type").starts_with("text/html"),
            "{path}"
        );
        assert!(page.text().contains("<!doctype html>"), "{path}");
        if page.status == 200 {
            assert_eq!(page.header("cache-control"), "no-cache");
            let tag = page.header("etag").to_owned();
            let again = Request::get(path)
                .header(header::IF_NONE_MATCH, tag)
                .body(Body::empty())
                .unwrap();
            let again = world.send(again).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        }
    }
}

#[tokio::test]
async fn no_file_outside_the_console_is_reached() {
    let world = World::memory().await;
    for path in [
        "/../Cargo.toml",
        "/..%2f..%2fCargo.toml",
        "/assets/../../package.json",
        "/%2e%2e/package.json",
        "//etc/passwd",
        "/.git/config",
        "/.env",
        "/assets/..%5c..%5cpackage.json",
    ] {
        let answer = world.get_as(None, path).await;
        let text = answer.text();
        assert!(
            !text.contains("[workspace")
                && !text.contains("devDependencies")
                && !text.contains("root:"),
            "{path}: {text}"
        );
    }
}
