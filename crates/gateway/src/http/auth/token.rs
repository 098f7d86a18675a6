//! `POST /api/auth/token`: sign in with a name and a password.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json as Answer};
use serde::{Deserialize, Serialize};
use switchhook_store::UserRow;
use utoipa::ToSchema;

use super::password::{LENGTH_MAX, Verdict};
use super::role::Role;
use super::tokens::TokenUse;
use crate::http::client::Source;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Json;
use crate::http::state::HttpState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Credentials {
    #[schema(example = "demo")]
    username: String,
    password: String,
}

/// A pair of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TokenAnswer {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// For `/api/auth/refresh` only.
    pub refresh_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Life of the access token in seconds.
    pub expires_in: u64,
    pub role: Role,
}

impl TokenAnswer {
    pub fn for_user(state: &HttpState, name: &str, role: Role, version: u32) -> Self {
        let now = state.now();
        let sign = |token_use, ttl| {
            state
                .keys
                .sign(name, role, token_use, Some(version), now, ttl)
        };
        Self {
            access_token: sign(TokenUse::Access, state.config.access_ttl),
            refresh_token: sign(TokenUse::Refresh, state.config.refresh_ttl),
            token_type: "Bearer",
            expires_in: state.config.access_ttl.as_secs(),
            role,
        }
    }
}

/// Sign in
///
/// Repeated failures make the name and the address wait, longer each time.
#[utoipa::path(
    post, path = "/api/auth/token", tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 200, body = TokenAnswer),
        (status = 401, description = "auth.invalid: name or password is wrong", body = ErrorBody),
        (status = 422, description = "request.body", body = ErrorBody),
        (status = 429, description = "auth.throttled, with Retry-After", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn token(
    State(state): State<HttpState>,
    Extension(source): Extension<Source>,
    Json(credentials): Json<Credentials>,
) -> Result<Answer<TokenAnswer>, ApiError> {
    let Credentials { username, password } = credentials;
    if username.len() > 64 || password.len() > LENGTH_MAX {
        return Err(wrong());
    }
    let bucket = source.bucket();
    state
        .logins
        .attempt(&username, bucket, state.now())
        .map_err(throttled)?;
    let user = state.store.user(&username).await?;
    let enabled = user.filter(|user| !user.disabled);
    let hash = enabled.as_ref().map(|user| user.password_hash.clone());
    match state.passwords.check(password, hash).await {
        Verdict::Right => {}
        Verdict::Wrong => {
            metrics::counter!("switchhook_logins_total", "result" => "refused").increment(1);
            // Neither the name nor whether it exists: people type passwords into the wrong field.
            tracing::warn!(client.address = %source.address, "login refused");
            return Err(wrong());
        }
        Verdict::Busy => return Err(busy()),
    }
    let user = enabled.ok_or_else(wrong)?;
    let role = role_of(&user)?;
    state.logins.succeeded(&username, bucket);
    metrics::counter!("switchhook_logins_total", "result" => "accepted").increment(1);
    Ok(Answer(TokenAnswer::for_user(
        &state,
        &user.name,
        role,
        user.credential_version,
    )))
}

pub(super) fn role_of(user: &UserRow) -> Result<Role, ApiError> {
    user.role
        .parse()
        .map_err(|error| ApiError::internal(&format!("table users: {error}")))
}

/// The same whether the name exists, is disabled, or the password is wrong.
fn wrong() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "auth.invalid",
        "user name or password is wrong",
    )
}

fn busy() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "auth.busy",
        "too many people sign in at once; try again",
    )
    .retry_after_s(2)
}

fn throttled(wait: std::time::Duration) -> ApiError {
    metrics::counter!("switchhook_logins_total", "result" => "throttled").increment(1);
    let seconds = wait.as_millis().div_ceil(1000) as u64;
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "auth.throttled",
        format!("too many failed logins; wait {seconds} s"),
    )
    .retry_after_s(seconds)
}
