//! `POST /api/calls/{id}/recording/pause` and `…/resume`: nothing is kept while a card number is
//! spoken.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::commanded;
use super::hangup::Accepted;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::CallPath;
use crate::http::ports::RecordingOrder;
use crate::http::state::HttpState;

/// Pause the recording of a call
///
/// The file goes on with silence, so that its times are the call's. Pausing twice is the same as once.
#[utoipa::path(
    post, path = "/api/calls/{id}/recording/pause", tag = "calls",
    params(("id" = String, Path, description = "Call id")),
    responses(
        (status = 202, body = Accepted),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
        (status = 409, description = "call.ended, or call.conflict: not recorded", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn pause_recording(
    state: State<HttpState>,
    principal: Principal,
    path: CallPath,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    order(state, principal, path, RecordingOrder::Pause).await
}

/// Resume the recording of a call
///
/// Before the caller was told that the call is recorded nothing is kept, whoever resumes.
#[utoipa::path(
    post, path = "/api/calls/{id}/recording/resume", tag = "calls",
    params(("id" = String, Path, description = "Call id")),
    responses(
        (status = 202, body = Accepted),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
        (status = 409, description = "call.ended, or call.conflict: not recorded", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn resume_recording(
    state: State<HttpState>,
    principal: Principal,
    path: CallPath,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    order(state, principal, path, RecordingOrder::Resume).await
}

async fn order(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
    order: RecordingOrder,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    principal.require(Permission::ActOnCalls)?;
    let outcome = state.operator.recording(&id, order, &principal.name).await;
    let status = match order {
        RecordingOrder::Pause => "paused",
        RecordingOrder::Resume => "recording",
    };
    commanded(
        &state,
        &id,
        &principal,
        outcome,
        ("operator and recording", status),
    )
    .await
}
