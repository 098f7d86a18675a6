//! What changes nothing: probes.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Webhooks, twiml};
use crate::twilio::{document, invitation};

/// `GET …/twilio/health`, as older deployments read it.
pub(super) async fn health(State(webhooks): State<Webhooks>) -> Response {
    let settings = &webhooks.engine.settings;
    axum::Json(json!({
        "status": "ok",
        "twilio_configured": settings.section.account_sid.is_some()
            && !settings.section.is_lab
            && !settings.section.auth_tokens.is_empty(),
        "elevenlabs_number_configured": settings.section.assistant_number.is_some(),
        "elevenlabs_number": settings.section.assistant_number.as_ref().map(ToString::to_string),
    }))
    .into_response()
}

/// `POST …/twilio/test`.
pub(super) async fn test() -> Response {
    twiml(&document::test())
}

/// `GET …/twilio/ringback.wav`: what a caller hears in a conference while the agent rings.
pub(super) async fn ringback(State(webhooks): State<Webhooks>) -> Response {
    let tone = invitation::ringback(webhooks.engine.settings.language);
    (
        [
            ("content-type", "audio/wav"),
            ("cache-control", "public, max-age=86400"),
        ],
        tone,
    )
        .into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Bridge {
    extension: Option<String>,
}

/// `GET …/twilio/voice_assistant/transfer_bridge`.
pub(super) async fn transfer_bridge(
    State(webhooks): State<Webhooks>,
    Query(asked): Query<Bridge>,
) -> Response {
    let extension = asked
        .extension
        .or_else(|| Some(webhooks.engine.default_target()?.to_string()));
    axum::Json(json!({
        "status": "ok",
        "endpoint": "/twilio/voice_assistant/transfer_bridge",
        "extension": extension,
        "message": "POST here with CallSid to connect the caller with this extension",
    }))
    .into_response()
}
