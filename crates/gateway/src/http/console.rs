//! The console's files, built from `web/` and embedded in the program (in debug builds read from
//! `web/dist`). Every other address of the page leads to `index.html`: the page reads it itself.

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Files;

/// Prefixes that belong to programs: an unknown address there is an error, never a page.
const NOT_PAGES: [&str; 4] = ["/api", "/healthz", "/readyz", "/metrics"];

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
    <title>Switchhook</title></head><body><h1>Switchhook runs</h1>\
    <p>The console was not built into this program. Build it with <code>npm ci &amp;&amp; npm run \
    build</code> in <code>web/</code>, or start with <code>make run</code>.</p>\
    <p>The API is described at <a href=\"/api/docs\">/api/docs</a>.</p></body></html>";

/// Answers everything no other route takes.
pub(super) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let is_program = NOT_PAGES.iter().any(|prefix| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if is_program {
        return not_found();
    }
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = lookup(name) {
        return file_response(name, &file, &headers);
    }
    // A missing script answered with a page would only confuse the browser.
    let is_file = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains('.'));
    if is_file {
        return not_found();
    }
    match lookup("index.html") {
        Some(index) => file_response("index.html", &index, &headers),
        None => (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response(),
    }
}

/// Plain relative names only: debug builds read the disk.
fn lookup(name: &str) -> Option<EmbeddedFile> {
    let is_plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/'))
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'));
    is_plain.then(|| Files::get(name)).flatten()
}

fn file_response(name: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let tag: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    // The build puts a hash of the content into the names of assets.
    let caching = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| {
            list.split(',')
                .any(|one| one.trim().trim_start_matches("W/") == tag)
        });
    let common = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, caching.to_owned()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = match file.metadata.mimetype() {
        kind if kind.starts_with("text/") => format!("{kind}; charset=utf-8"),
        kind => kind.to_owned(),
    };
    (
        common,
        [(header::CONTENT_TYPE, kind)],
        file.data.clone().into_owned(),
    )
        .into_response()
}

fn not_found() -> Response {
    ApiError::not_found("http.not_found", "there is nothing at this address").into_response()
}
