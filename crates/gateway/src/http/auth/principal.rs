//! The signed-in user of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use switchhook_model::Timestamp;

use super::role::{Permission, Role};
use super::tokens::{TokenError, TokenUse};
use crate::http::error::ApiError;
use crate::http::headers::too_many;
use crate::http::state::HttpState;

/// Who asks. Having one means that the token was valid and the user has not asked too often.
#[derive(Debug, Clone)]
pub(in crate::http) struct Principal {
    pub name: String,
    pub role: Role,
    /// When the token ends: what lasts longer than a request stops then.
    pub until: Timestamp,
}

impl Principal {
    /// Refuses with 403 what the role does not allow.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.role.may(permission) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "auth.forbidden",
            format!("the role {} does not include this", self.role),
        ))
    }
}

impl FromRequestParts<HttpState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else {
            return Err(refused(
                "auth.required",
                "sign in: send Authorization: Bearer with an access token",
            ));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| refused("auth.required", "use the scheme Bearer"))?;
        let claims = state
            .keys
            .read(token, TokenUse::Access, state.now())
            .map_err(of_token)?;
        state
            .limits
            .check_user(&claims.sub)
            .map_err(|wait| too_many("this user", wait))?;
        Ok(Self {
            name: claims.sub,
            role: claims.role,
            until: Timestamp::from_millis(claims.exp.saturating_mul(1000)),
        })
    }
}

/// Absent without an `Authorization` header; a header that is wrong is refused all the same.
#[derive(Debug, Clone)]
pub(in crate::http) struct OptionalPrincipal(pub Option<Principal>);

impl FromRequestParts<HttpState> for OptionalPrincipal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        let principal =
            <Principal as FromRequestParts<HttpState>>::from_request_parts(parts, state).await?;
        Ok(Self(Some(principal)))
    }
}

fn refused(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
}

pub(super) fn of_token(error: TokenError) -> ApiError {
    let code = match error {
        TokenError::Invalid => "auth.token_invalid",
        TokenError::WrongUse => "auth.token_type",
        TokenError::Expired => "auth.token_expired",
    };
    refused(code, &error.to_string())
}
