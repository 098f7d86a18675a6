//! Bodies that are announced as too large. They are refused before a handler sees them, but only
//! after a bounded part of them was read: a client that is still writing when the connection closes
//! gets a reset instead of the refusal.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::error::ApiError;
use super::state::HttpState;

/// Read and thrown away at most, in bytes.
const DRAIN_MAX: usize = 32 * 1024 * 1024;
/// And for no longer than this.
const DRAIN_TIME: Duration = Duration::from_secs(5);

pub(super) async fn refuse(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok())
        .unwrap_or(0);
    let limit = state.config.body_max;
    if announced <= limit {
        return next.run(request).await;
    }
    let mut body = request.into_body().into_data_stream();
    let drain = async {
        let mut read = 0;
        while let Some(Ok(piece)) = body.next().await {
            read += piece.len();
            if read > DRAIN_MAX {
                break;
            }
        }
    };
    // Too slow counts as too large: the refusal is sent either way.
    let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "http.body_too_large",
        format!("the request body of {announced} bytes is too large; at most {limit} are read"),
    )
    .into_response()
}
