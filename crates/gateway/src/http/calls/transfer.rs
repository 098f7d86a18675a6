//! `POST /api/calls/{id}/transfer`: hand a live call to a human.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use switchhook_model::{CallId, RequestId, Target};
use utoipa::ToSchema;

use super::commanded;
use super::hangup::Accepted;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{CallPath, Json};
use crate::http::ports::{TransferOrder, TransferTo};
use crate::http::state::HttpState;

/// Exactly one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TransferRequest {
    /// An extension, a number with `+`, or a `sip:` URI that policy allows.
    #[schema(example = "2001")]
    target: Option<String>,
    /// A department of the dial plan.
    department: Option<String>,
}

/// Transfer a call
///
/// Repeating a request with the same `Idempotency-Key` header starts no second transfer.
#[utoipa::path(
    post, path = "/api/calls/{id}/transfer", tag = "calls",
    params(
        ("id" = String, Path, description = "Call id"),
        ("Idempotency-Key" = Option<String>, Header, description = "At most 200 characters"),
    ),
    request_body = TransferRequest,
    responses(
        (status = 202, body = Accepted),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
        (status = 409, description = "call.ended, call.conflict", body = ErrorBody),
        (status = 422, description = "request.body, target.invalid, target.not_allowed, transfer.unknown_department", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn transfer(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
    headers: HeaderMap,
    Json(request): Json<TransferRequest>,
) -> Result<(StatusCode, Answer<Accepted>), ApiError> {
    principal.require(Permission::ActOnCalls)?;
    let order = TransferOrder {
        request: request_id(&id, &principal.name, &headers)?,
        to: destination(request)?,
        by: principal.name.clone(),
    };
    let outcome = state.operator.transfer(&id, order).await;
    let told = ("operator transfers the call", "transferring");
    commanded(&state, &id, &principal, outcome, told).await
}

fn destination(request: TransferRequest) -> Result<TransferTo, ApiError> {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    match (given(request.target), given(request.department)) {
        (Some(target), None) => parse_target(&target).map(TransferTo::Target),
        (None, Some(department)) if department.len() <= 100 => {
            Ok(TransferTo::Department(department))
        }
        (None, Some(_)) => Err(ApiError::unprocessable(
            "request.body",
            "department is longer than 100 bytes",
        )),
        (Some(_), Some(_)) | (None, None) => Err(ApiError::unprocessable(
            "request.body",
            "give either target or department",
        )),
    }
}

pub(super) fn parse_target(text: &str) -> Result<Target, ApiError> {
    text.trim().parse().map_err(|_| {
        ApiError::unprocessable(
            "target.invalid",
            "expected an extension of 2 to 8 digits, a number with + and 7 to 15 digits, or a sip: URI",
        )
    })
}

/// The same id for the same key, user and call; a fresh one without a key.
fn request_id(call: &CallId, user: &str, headers: &HeaderMap) -> Result<RequestId, ApiError> {
    let Some(key) = headers.get("idempotency-key") else {
        let unique = ulid::Ulid::generate().to_string().to_lowercase();
        return Ok(RequestId::from_unique(&unique));
    };
    if key.is_empty() || key.len() > 200 {
        return Err(ApiError::bad_request(
            "request.header",
            "Idempotency-Key: use 1 to 200 characters",
        ));
    }
    let mut hash = Sha256::new();
    for part in [call.as_str().as_bytes(), user.as_bytes(), key.as_bytes()] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let hex: String = hash
        .finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(RequestId::from_unique(&hex))
}
