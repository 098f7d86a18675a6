//! The page's files, part of the program. Colours and measures are the console's.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use super::Desk;

/// Path, type, content.
const FILES: [(&str, &str, &str); 10] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("files/index.html"),
    ),
    (
        "/lab.css",
        "text/css; charset=utf-8",
        include_str!("files/lab.css"),
    ),
    (
        "/tokens.css",
        "text/css; charset=utf-8",
        include_str!("../../../../../web/src/styles/tokens.css"),
    ),
    (
        "/lab.js",
        "text/javascript; charset=utf-8",
        include_str!("files/lab.js"),
    ),
    (
        "/dom.js",
        "text/javascript; charset=utf-8",
        include_str!("files/dom.js"),
    ),
    (
        "/messages.js",
        "text/javascript; charset=utf-8",
        include_str!("files/messages.js"),
    ),
    (
        "/phones.js",
        "text/javascript; charset=utf-8",
        include_str!("files/phones.js"),
    ),
    (
        "/steps.js",
        "text/javascript; charset=utf-8",
        include_str!("files/steps.js"),
    ),
    (
        "/texts.js",
        "text/javascript; charset=utf-8",
        include_str!("files/texts.js"),
    ),
    (
        "/sound.js",
        "text/javascript; charset=utf-8",
        include_str!("files/sound.js"),
    ),
];

/// Runs where the browser's sound is made, so it is a file of its own.
const WORKLET: &str = include_str!("files/worklet.js");

pub(super) fn routes() -> Router<Arc<Desk>> {
    let mut router = Router::new();
    for (path, kind, text) in FILES {
        router = router.route(path, get(move || file(kind, text)));
    }
    router.route(
        "/worklet.js",
        get(|| file("text/javascript; charset=utf-8", WORKLET)),
    )
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}
