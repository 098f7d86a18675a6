//! The one error shape: `{"error":{"code","message","request_id","details"?}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use switchhook_store::StoreError;
use utoipa::ToSchema;

/// A refusal or failure as the client sees it. The request id is added on the way out.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub status: StatusCode,
    /// Stable, dotted: what programs compare.
    pub code: &'static str,
    /// One English sentence with cause and cure.
    pub message: String,
    pub details: Option<Value>,
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: None,
            retry_after_s: None,
        }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// The detail is logged, not shown.
    pub fn internal(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!("request failed: {detail}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the gateway could not answer; its log has the cause under this request id",
        )
    }

    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // Cause and cure are for whoever runs the gateway: they name files.
        tracing::error!(error.code = error.code(), "store: {error}");
        if error.is_retryable() {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store.unavailable",
                "the database does not answer right now; try again",
            )
            .retry_after_s(2)
        } else {
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                error.code(),
                "the database cannot be read; /healthz and the log name the cause",
            )
        }
    }
}

impl IntoResponse for ApiError {
    /// The body is written by [`body`], which knows the request id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The error shape.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    pub error: ErrorFields,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorFields {
    /// Stable, dotted.
    #[schema(example = "call.unknown")]
    pub code: String,
    /// One English sentence with cause and cure.
    pub message: String,
    /// Also in the header `X-Request-Id` and in the log.
    pub request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// Gives every refusal its body: ours from the [`ApiError`] it carries, those of the framework (no
/// such path, wrong method, body too large) from their status.
pub(super) fn body(response: Response, request_id: &str) -> Response {
    let status = response.status();
    let (mut parts, old) = response.into_parts();
    let error = match parts.extensions.remove::<ApiError>() {
        Some(error) => error,
        None if is_bare_refusal(status, &parts.headers) => of_status(status),
        None => return Response::from_parts(parts, old),
    };
    let body = Json(ErrorBody {
        error: ErrorFields {
            code: error.code.to_owned(),
            message: error.message,
            request_id: request_id.to_owned(),
            details: error.details,
        },
    });
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let headers = parts.headers;
    (status, headers, body).into_response()
}

/// Plain text or nothing: what the framework answers by itself.
fn is_bare_refusal(status: StatusCode, headers: &axum::http::HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    (status.is_client_error() || status.is_server_error())
        && kind.is_none_or(|kind| kind.starts_with("text/plain"))
}

fn of_status(status: StatusCode) -> ApiError {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => ("http.not_found", "there is nothing at this address"),
        StatusCode::METHOD_NOT_ALLOWED => (
            "http.method",
            "this address does not take this method; the header Allow says which",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("http.body_too_large", "the request body is too large"),
        StatusCode::REQUEST_TIMEOUT => ("http.timeout", "the request took too long to arrive"),
        status if status.is_server_error() => ("internal", "the gateway could not answer"),
        _ => ("http.refused", "the request was refused"),
    };
    ApiError::new(status, code, message)
}
