//! `GET /metrics`: figures for Prometheus.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::auth::OptionalPrincipal;
use crate::http::client::Source;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::state::HttpState;

/// Metrics
///
/// Free for collectors on the same machine; others need a token of any role.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", security((), ("bearer" = [])),
    responses(
        (status = 200, content_type = "text/plain", description = "Prometheus text format"),
        (status = 401, description = "auth.required: not from this machine and no token", body = ErrorBody),
        (status = 404, description = "metrics.off", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn prometheus(
    State(state): State<HttpState>,
    Extension(source): Extension<Source>,
    OptionalPrincipal(principal): OptionalPrincipal,
) -> Result<Response, ApiError> {
    if principal.is_none() && !source.is_local {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "auth.required",
            "from another machine, metrics need Authorization: Bearer with an access token",
        ));
    }
    let handle = state
        .metrics
        .as_ref()
        .ok_or_else(|| ApiError::not_found("metrics.off", "metrics are not collected"))?;
    // Read when asked for; a figure that grows from day to day is a leak.
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    metrics::gauge!("switchhook_tasks").set(tasks as f64);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], handle.render()).into_response())
}
