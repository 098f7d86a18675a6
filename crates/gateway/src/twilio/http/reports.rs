//! Webhooks about legs the carrier dialled, and reports that are answered with nothing.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use switchhook_adapters::twilio::catalogue;
use switchhook_adapters::twilio::webhook::{CallStatus, Webhook};
use switchhook_model::{CallId, LegId};

use super::guard::{Asked, refuse};
use super::{given, taken, twiml};
use crate::twilio::channel::{CalledStatus, Channel, ChildStatus, LegEnd};
use crate::twilio::engine::{Engine, StepError};
use crate::twilio::{document, invitation, outgoing};

/// The call and the leg a webhook of an agent's leg is about: both are in the URL we gave, and the
/// leg must be one the call knows.
fn about(asked: &Asked) -> Option<(CallId, LegId)> {
    let call = outgoing::call_of_session(asked.session.as_deref()?)?;
    let leg = given(&asked.params, "leg")?.parse().ok()?;
    Some((call, leg))
}

/// An agent picked up: who calls, before the bridge.
pub(super) async fn whisper(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let Some((call, leg)) = about(asked) else {
        return twiml(&document::decline());
    };
    let settings = &engine.settings;
    let asks = engine
        .step(&call, |channel, now| {
            let knows = channel.state.children.contains_key(&leg);
            // Without a key to press, hearing who calls is taking the call.
            if knows && settings.section.accept_key.is_none() {
                channel.accepted(now, &leg);
            }
            knows.then(|| document::whisper(channel, &leg, settings))
        })
        .await;
    match asks {
        Ok(Some(document)) => twiml(&document),
        Ok(None) | Err(_) => twiml(&document::decline()),
    }
}

/// The caller is in the conference and waits for the agent. Whatever is answered here is all that the
/// caller hears until then; an error would drop them out of the conference.
pub(super) async fn room(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let Some((call, leg)) = about(asked) else {
        return twiml(&invitation::silence());
    };
    let settings = &engine.settings;
    let waits = engine
        .step(&call, |channel, now| {
            channel.waits(now, &leg);
            channel
                .has_seat(&leg)
                .then(|| invitation::waiting(channel, settings))
        })
        .await;
    match waits {
        Ok(Some(document)) => twiml(&document),
        Ok(None) | Err(StepError::Unknown) => twiml(&invitation::silence()),
        Err(error) => {
            tracing::error!(%error, "a caller who waits could not be kept");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "webhook.not_stored",
                "the step could not be stored; see the log",
            )
        }
    }
}

/// The agent pressed a key.
pub(super) async fn accept(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let Some((call, leg)) = about(asked) else {
        return twiml(&document::decline());
    };
    let wanted = engine.settings.section.accept_key;
    let pressed = given(&asked.params, "Digits").and_then(|keys| keys.chars().next());
    let takes = wanted.is_none() || pressed == wanted;
    if !takes {
        return twiml(&document::decline());
    }
    let accepted = engine
        .step(&call, |channel, now| {
            let knows = channel.state.children.contains_key(&leg);
            if knows {
                channel.accepted(now, &leg);
            }
            if !knows || channel.call.is_ended() {
                return document::decline();
            }
            if channel.has_seat(&leg) {
                return invitation::seat(&leg);
            }
            document::bridge()
        })
        .await;
    match accepted {
        Ok(document) => twiml(&document),
        Err(_) => twiml(&document::decline()),
    }
}

/// A call status callback: of the caller's leg, or of one the carrier dialled.
pub(super) async fn status(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let Some(status) = Webhook::new(&asked.params).call_status() else {
        return taken();
    };
    let done = match about(asked) {
        Some((call, leg)) => child(engine, asked, &call, &leg, &status).await,
        None => caller(engine, asked, &status).await,
    };
    match done {
        Ok(()) | Err(StepError::Unknown) => taken(),
        Err(error) => {
            tracing::error!(%error, "a status callback could not be kept");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "webhook.not_stored",
                "the database does not take the step; see the log",
            )
        }
    }
}

async fn child(
    engine: &Arc<Engine>,
    asked: &Asked,
    call: &CallId,
    leg: &LegId,
    status: &CallStatus,
) -> Result<(), StepError> {
    let webhook = Webhook::new(&asked.params);
    let sip_status = webhook.sip_response();
    let told = match (status, status.cause(sip_status)) {
        (CallStatus::Ringing, _) => ChildStatus::Ringing,
        (CallStatus::InProgress, _) => ChildStatus::Answered,
        (_, Some(cause)) => ChildStatus::Over(LegEnd {
            answered: *status == CallStatus::Completed,
            cause,
            sip_status,
        }),
        // It was dialled, which is worth knowing of one that was dialled over REST.
        (_, None) => ChildStatus::Dialled,
    };
    let sid = webhook.call_sid().ok().map(|sid| sid.to_string());
    let sequence = webhook.sequence_number();
    engine
        .step(call, |channel: &mut Channel, now| {
            channel.child(now, leg, sid.as_deref(), sequence, told);
        })
        .await
}

async fn caller(engine: &Arc<Engine>, asked: &Asked, status: &CallStatus) -> Result<(), StepError> {
    let webhook = Webhook::new(&asked.params);
    let Ok(sid) = webhook.call_sid() else {
        return Ok(());
    };
    let sid = sid.as_str();
    let known = match (engine.call_of(sid).await?, &asked.session) {
        (Some(call), _) => Some(call),
        (None, Some(session)) => engine.call_of_session(session, sid).await?,
        (None, None) => None,
    };
    let Some(call) = known else {
        return Ok(());
    };
    let sequence = webhook.sequence_number();
    let detail = webhook.error_code().map(explained);
    let picker = webhook.answered_by().and_then(outgoing::picker);
    let called = outgoing::called_status(status, webhook.sip_response(), detail, picker);
    engine
        .step(&call, |channel: &mut Channel, now| {
            // A later dial of the carrier may be reported here, too.
            if channel.state.caller_sid != sid {
                return;
            }
            match &called {
                Some(called) if channel.is_outbound() => {
                    channel.called(now, sequence, called.clone());
                }
                Some(CalledStatus::Over { .. }) => channel.caller_gone(now),
                Some(_) | None => {}
            }
        })
        .await
}

/// The carrier's number of an error, with its cause and cure.
fn explained(code: u32) -> String {
    match catalogue::explain(code) {
        Some(known) => format!("Twilio {code}: {}; {}", known.cause.en, known.cure.en),
        None => format!("Twilio {code}: see https://www.twilio.com/docs/errors/{code}"),
    }
}

/// What answered a call of ours was found out while the assistant talked.
pub(super) async fn detected(engine: &Arc<Engine>, asked: &Asked) -> Response {
    let webhook = Webhook::new(&asked.params);
    let session = asked.session.as_deref().unwrap_or_default();
    let picker = webhook.answered_by().and_then(outgoing::picker);
    let (Some(call), Some(picker), Ok(sid)) = (
        outgoing::call_of_session(session),
        picker,
        webhook.call_sid(),
    ) else {
        return taken();
    };
    let told = engine
        .step(&call, |channel, now| {
            if channel.state.caller_sid == sid.as_str() {
                channel.detected(now, picker);
            }
        })
        .await;
    match told {
        Ok(()) | Err(StepError::Unknown) => taken(),
        Err(error) => {
            tracing::error!(%error, "what answered a call could not be kept");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "webhook.not_stored",
                "the database does not take the report; see the log",
            )
        }
    }
}

/// A recording was made.
pub(super) async fn recording(engine: &Arc<Engine>, asked: &Asked) -> Response {
    if let Err(error) = engine.recording_reported(&asked.params).await {
        tracing::error!(%error, "a recording's report could not be kept");
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "webhook.not_stored",
            "the database does not take the report; see the log",
        );
    }
    taken()
}

/// A message was delivered, or was not.
pub(super) async fn message(engine: &Arc<Engine>, asked: &Asked) -> Response {
    if let Err(error) = engine.message_reported(&asked.params).await {
        tracing::error!(%error, "a message's report could not be kept");
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "webhook.not_stored",
            "the database does not take the report; see the log",
        );
    }
    taken()
}
