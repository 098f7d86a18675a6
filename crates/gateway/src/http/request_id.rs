//! One id for a request: in its error body, its header and every log line about it.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::error;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the client's id if it is harmless, else makes one.
pub(super) async fn attach(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_harmless(id))
        .map_or_else(new_id, ToOwned::to_owned);
    // The template, not the path: what stands in a path or query may be somebody's number.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let span =
        tracing::info_span!("http", request.id = %id, http.method = %method, http.route = %route);
    let began = tokio::time::Instant::now();
    let response = async {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        let took = began.elapsed();
        tracing::debug!(
            http.status = status,
            ms = took.as_millis() as u64,
            "answered"
        );
        super::metrics::count_request(&route, &method, status, took);
        response
    }
    .instrument(span)
    .await;
    let mut response = error::body(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

fn new_id() -> String {
    format!("req_{}", ulid::Ulid::generate().to_string().to_lowercase())
}

fn is_harmless(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
