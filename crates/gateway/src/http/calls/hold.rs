//! `POST /api/calls/{id}/hold` and `/resume`: the caller waits, and is taken back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::commanded;
use super::hangup::Accepted;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::CallPath;
use crate::http::state::HttpState;

/// Put the caller on hold
///
/// The caller hears hold music, the other party and the assistant wait. The caller's phone is told by
/// a re-INVITE; whether it agreed is a fact of the call. Doing it twice changes nothing.
#[utoipa::path(
    post, path = "/api/calls/{id}/hold", tag = "calls",
    params(("id" = String, Path, description = "Call id")),
    responses(
        (status = 202, body = Accepted),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
        (status = 409, description = "call.ended, call.conflict", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn hold(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    principal.require(Permission::ActOnCalls)?;
    let outcome = state.operator.hold(&id, &principal.name).await;
    let told = ("operator holds the call", "holding");
    commanded(&state, &id, &principal, outcome, told).await
}

/// Take the caller back from hold
///
/// A call that no operator holds stays as it is; what a party's own phone holds only that phone
/// resumes.
#[utoipa::path(
    post, path = "/api/calls/{id}/resume", tag = "calls",
    params(("id" = String, Path, description = "Call id")),
    responses(
        (status = 202, body = Accepted),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
        (status = 409, description = "call.ended", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn resume(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    principal.require(Permission::ActOnCalls)?;
    let outcome = state.operator.resume(&id, &principal.name).await;
    let told = ("operator resumes the call", "resuming");
    commanded(&state, &id, &principal, outcome, told).await
}
