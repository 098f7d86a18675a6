//! `POST /api/calls/initiate`: call somebody and connect them with an assistant.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::transfer::parse_target;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Json;
use crate::http::ports::{CallOrder, CallTo, InitiateError};
use crate::http::state::HttpState;
use crate::twilio::session_of;

#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct InitiateRequest {
    /// A number with `+`, one of `outbound.region` as people write it, a configured extension, or a
    /// `sip:` URI that policy allows.
    #[schema(example = "2001")]
    phone: String,
    customer_id: Option<String>,
    agent_type: Option<String>,
    /// The assistant's name; the profile's if not given.
    assistant: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct InitiateAnswer {
    /// The call in the names of older deployments.
    #[schema(example = "vs_01k9x3m5t7")]
    session_id: String,
    call_id: String,
    /// Twilio's id, for calls by Twilio.
    call_sid: Option<String>,
    /// `ringing`, or `simulation`: nobody is really called.
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
        (status = 422, description = "request.body, target.invalid, target.not_allowed, assistant.unknown, trunk.none, twilio.number, outbound.hours", body = ErrorBody),
        (status = 429, description = "outbound.rate, outbound.customer_rate, outbound.customer_busy, outbound.concurrency, outbound.minutes, outbound.spend, with Retry-After", body = ErrorBody),
        (status = 502, description = "carrier.refused, with the failed call's id in details", body = ErrorBody),
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
        to: whom(&request.phone)?,
        assistant: short("assistant", request.assistant)?,
        agent_type: short("agent_type", request.agent_type)?,
        customer_id: short("customer_id", request.customer_id)?,
        by: principal.name.clone(),
    };
    let begun = state.operator.initiate(order).await.map_err(refused)?;
    tracing::info!(call.id = %begun.call, by = principal.name, "operator starts a call");
    let answer = InitiateAnswer {
        session_id: session_of(&begun.call),
        call_id: begun.call.to_string(),
        call_sid: begun.call_sid,
        status: begun.status,
        twilio_configured: begun.twilio_configured,
        message: begun.message,
    };
    Ok((StatusCode::ACCEPTED, Answer(answer)))
}

/// A target as it is written everywhere, else a number as people write it.
fn whom(phone: &str) -> Result<CallTo, ApiError> {
    let phone = phone.trim();
    let error = match parse_target(phone) {
        Ok(target) => return Ok(CallTo::Target(target)),
        Err(error) => error,
    };
    let is_number = phone.len() <= 40
        && phone.bytes().any(|b| b.is_ascii_digit())
        && phone
            .bytes()
            .all(|b| b.is_ascii_digit() || b" -()./+".contains(&b));
    if is_number {
        return Ok(CallTo::National(phone.to_owned()));
    }
    Err(error)
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
        InitiateError::NoNumber => ApiError::unprocessable("twilio.number", message),
        InitiateError::InvalidNumber { .. } => ApiError::unprocessable("target.invalid", message),
        InitiateError::OutsideHours { .. } => ApiError::unprocessable("outbound.hours", message),
        InitiateError::Limit {
            code,
            retry_after_s,
            ..
        } => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, message).retry_after_s(retry_after_s)
        }
        InitiateError::Carrier { call, .. } => {
            ApiError::new(StatusCode::BAD_GATEWAY, "carrier.refused", message)
                .with_details(json!({ "call_id": call.as_str(), "session_id": session_of(&call) }))
        }
        InitiateError::Internal { detail } => ApiError::internal(&detail),
    }
}
