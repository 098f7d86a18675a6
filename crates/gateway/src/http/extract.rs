//! Reading requests, with our error shape and the name of the offending field.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use switchhook_model::{CallId, Timestamp};

use super::error::ApiError;

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::JsonDataError(error)) => Err(ApiError::unprocessable(
                "request.body",
                format!("the body does not fit: {}", cause(&error)),
            )),
            Err(JsonRejection::JsonSyntaxError(error)) => Err(ApiError::bad_request(
                "request.json",
                format!("the body is not JSON: {}", cause(&error)),
            )),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "request.content_type",
                "send the body as JSON with Content-Type: application/json",
            )),
            Err(other) if other.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "http.body_too_large",
                "the request body is too large",
            )),
            Err(_) => Err(ApiError::bad_request(
                "request.body",
                "the body could not be read",
            )),
        }
    }
}

/// The query string.
#[derive(Debug)]
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => {
                Err(ApiError::bad_request(
                    "request.query",
                    format!("the query does not fit: {}", cause(&error)),
                ))
            }
            Err(_) => Err(ApiError::bad_request(
                "request.query",
                "the query could not be read",
            )),
        }
    }
}

/// The innermost error: it names the field. Cut, because it may quote what was sent.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().chars().take(200).collect()
}

/// The call named in the path.
#[derive(Debug)]
pub(super) struct CallPath(pub CallId);

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state)
            .await
            .ok()
            .and_then(|Path(id)| id.parse().ok());
        // A text that is no id names no call: the same answer, and nothing about its form.
        id.map(Self).ok_or_else(unknown_call)
    }
}

pub(super) fn unknown_call() -> ApiError {
    ApiError::not_found("call.unknown", "no call has this id")
}

/// A time in a query, RFC 3339.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    // A plus sign in a query string is a space once decoded.
    text.map(|text| {
        Timestamp::parse_rfc3339(&text.replace(' ', "+")).ok_or_else(|| {
            ApiError::bad_request(
                "request.query",
                format!("{name} is not a time; write it as 2026-11-21T14:30:00Z (RFC 3339)"),
            )
        })
    })
    .transpose()
}

/// How many rows: 1 to `most`, `default` if not said.
pub(super) fn limit(given: Option<u32>, default: u32, most: u32) -> Result<u32, ApiError> {
    match given {
        None => Ok(default),
        Some(n) if (1..=most).contains(&n) => Ok(n),
        Some(_) => Err(ApiError::bad_request(
            "request.query",
            format!("limit is outside 1 to {most}"),
        )),
    }
}
