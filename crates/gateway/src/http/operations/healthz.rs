//! `GET /healthz`: alive, and the database takes steps.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::HttpState;

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// `ok`, or the code of what is wrong: `store.full`, `store.locked`, `store.corrupt` …
    database: &'static str,
    /// Steps of calls that wait for the disk.
    waiting_steps: usize,
}

/// Alive and able to keep what happens
#[utoipa::path(
    get, path = "/healthz", tag = "operations", security(()),
    responses(
        (status = 200, body = Health),
        (status = 503, body = Health, description = "The database does not answer or does not commit"),
    ),
)]
pub(in crate::http) async fn healthz(State(state): State<HttpState>) -> (StatusCode, Json<Health>) {
    let health = state.store.health().await;
    let (code, status, database) = match &health.trouble {
        None => (StatusCode::OK, "ok", "ok"),
        Some(error) => (StatusCode::SERVICE_UNAVAILABLE, "failing", error.code()),
    };
    let body = Health {
        status,
        database,
        waiting_steps: health.waiting_steps,
    };
    (code, Json(body))
}
