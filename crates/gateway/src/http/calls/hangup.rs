//! `POST /api/calls/{id}/hangup`: end a live call.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::commanded;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::CallPath;
use crate::http::state::HttpState;

/// The call was told. What came of it is seen in its state.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Accepted {
    /// What is under way: `ending`, `transferring`, `holding`, `resuming`, `paused`, `recording`.
    pub status: &'static str,
}

/// End a call
#[utoipa::path(
    post, path = "/api/calls/{id}/hangup", tag = "calls",
    params(("id" = String, Path, description = "Call id")),
    responses(
        (status = 202, body = Accepted),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
        (status = 409, description = "call.ended", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn hangup(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    principal.require(Permission::ActOnCalls)?;
    let outcome = state.operator.hangup(&id, &principal.name).await;
    let told = ("operator ends the call", "ending");
    commanded(&state, &id, &principal, outcome, told).await
}
