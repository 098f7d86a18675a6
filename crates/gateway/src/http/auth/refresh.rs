//! `POST /api/auth/refresh`: a new pair of tokens for a refresh token.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::principal::of_token;
use super::token::{TokenAnswer, role_of};
use super::tokens::TokenUse;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Json;
use crate::http::state::HttpState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RefreshRequest {
    refresh_token: String,
}

/// Refresh
///
/// Refused once the user's password, role or state has changed. The role in the answer is the
/// present one.
#[utoipa::path(
    post, path = "/api/auth/refresh", tag = "auth", security(()),
    request_body = RefreshRequest,
    responses(
        (status = 200, body = TokenAnswer),
        (status = 401, description = "auth.token_invalid, auth.token_type, auth.token_expired, auth.token_void", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn refresh(
    State(state): State<HttpState>,
    Json(request): Json<RefreshRequest>,
) -> Result<Answer<TokenAnswer>, ApiError> {
    let claims = state
        .keys
        .read(&request.refresh_token, TokenUse::Refresh, state.now())
        .map_err(of_token)?;
    let user = state
        .store
        .user(&claims.sub)
        .await?
        .filter(|user| !user.disabled && Some(user.credential_version) == claims.ver)
        .ok_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "auth.token_void",
                "the user was changed since; sign in again",
            )
        })?;
    let role = role_of(&user)?;
    Ok(Answer(TokenAnswer::for_user(
        &state,
        &user.name,
        role,
        user.credential_version,
    )))
}
