//! `POST /api/calls/initiate`: call somebody and connect them with an assistant.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transfer::parse_target;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Json;
use crate::http::ports::{CallOrder, InitiateError};
use crate::http::state::HttpState;

#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct InitiateRequest {
    /// A number with `+`, a configured extension, or a `sip:` URI that policy allows.
    #[schema(example = "2001")]
    phone: String,
    customer_id: Option<String>,
    agent_type: Option<String>,
    /// The assistant's name; the profile's if not given.
    assistant: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct InitiateAnswer {
    /// The same as `call_id`: the name older deployments read.
    session_id: String,
    call_id: String,
    /// Twilio's id, for calls by Twilio.
    call_sid: Option<String>,
    /// `ringing`.
    status: String,
    twilio_configured: bool,
    message: String,
}

/// Start a call
#[utoipa::path(
    post, path = "/api/calls/initiate", tag = "calls",
    request_body = InitiateRequest,
    responses(
        (status = 202, body = InitiateAnswer),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 409, description = "extension.unregistered", body = ErrorBody),
        (status = 422, description = "request.body, target.invalid, target.not_allowed, assistant.unknown, trunk.none", body = ErrorBody),
        (status = 503, description = "calls.full, gateway.draining, with Retry-After", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn initiate(
    State(state): State<HttpState>,
    principal: Principal,
    Json(request): Json<InitiateRequest>,
) -> Result<(StatusCode, Answer<InitiateAnswer>), ApiError> {
    principal.require(Permission::ActOnCalls)?;
    let order = CallOrder {
        to: parse_target(&request.phone)?,
        assistant: short("assistant", request.assistant)?,
        agent_type: short("agent_type", request.agent_type)?,
        customer_id: short("customer_id", request.customer_id)?,
        by: principal.name.clone(),
    };
    let begun = state.operator.initiate(order).await.map_err(refused)?;
    tracing::info!(call.id = %begun.call, by = principal.name, "operator starts a call");
    let answer = InitiateAnswer {
        session_id: begun.call.to_string(),
        call_id: begun.call.to_string(),
        call_sid: None,
        status: begun.status,
        twilio_configured: false,
        message: "the phone is being called".to_owned(),
    };
    Ok((StatusCode::ACCEPTED, Answer(answer)))
}

fn short(name: &str, text: Option<String>) -> Result<Option<String>, ApiError> {
    let text = text.filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.len() > 100) {
        return Err(ApiError::unprocessable(
            "request.body",
            format!("{name} is longer than 100 bytes"),
        ));
    }
    Ok(text)
}

fn refused(error: InitiateError) -> ApiError {
    let message = error.to_string();
    let busy = |code, seconds| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message.clone()).retry_after_s(seconds)
    };
    match error {
        InitiateError::NotAllowed { .. } => ApiError::unprocessable("target.not_allowed", message),
        InitiateError::Unregistered { .. } => ApiError::conflict("extension.unregistered", message),
        InitiateError::UnknownAssistant { .. } => {
            ApiError::unprocessable("assistant.unknown", message)
        }
        InitiateError::NoTrunk => ApiError::unprocessable("trunk.none", message),
        InitiateError::Full { retry_after_s, .. } => busy("calls.full", retry_after_s.into()),
        InitiateError::Draining => busy("gateway.draining", 30),
        InitiateError::Internal { detail } => ApiError::internal(&detail),
    }
}
