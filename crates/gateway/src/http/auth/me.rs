//! `GET /api/auth/me`: who the token says you are.

use axum::Json;
use serde::Serialize;
use switchhook_model::Timestamp;
use utoipa::ToSchema;

use super::principal::Principal;
use super::role::Role;
use crate::http::error::ErrorBody;
use crate::http::rfc3339;

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Me {
    username: String,
    role: Role,
    /// When the access token ends.
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Who am I
#[utoipa::path(
    get, path = "/api/auth/me", tag = "auth",
    responses(
        (status = 200, body = Me),
        (status = 401, description = "auth.required, auth.token_invalid, auth.token_type, auth.token_expired", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn me(principal: Principal) -> Json<Me> {
    Json(Me {
        username: principal.name,
        role: principal.role,
        expires_at: principal.until,
    })
}
