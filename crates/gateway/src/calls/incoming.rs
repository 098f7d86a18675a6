//! How a call begins: somebody calls, or somebody is to be called.

use std::sync::Arc;

use switchhook_call::{Call, Event, Route};
use switchhook_model::{CallId, Extension, LegId, Target};
use switchhook_sip::{InboundHandle, IncomingCall, Source};
use tracing::Instrument;

use super::inbox::Inbox;
use super::legs::{LegMedia, LegParts, Legs, Signalling};
use super::registry::call_of;
use super::shared::Shared;
use super::task::CallTask;
use crate::clock;

/// Why a call was not begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the database does not take new calls: {0}")]
    Store(String),
}

/// Takes an INVITE: routes it, opens its media, starts its task; or refuses it with the status that
/// says why.
pub async fn accept(shared: &Arc<Shared>, mut incoming: IncomingCall) {
    let Some(route) = route(shared, &incoming) else {
        tracing::info!(leg.id = %incoming.leg, "nobody has the dialled number");
        return refuse(&incoming.handle, 404, None);
    };
    if let Some(trouble) = shared.store.health().await.trouble {
        tracing::error!(%trouble, "a call is refused: its state could not be kept");
        return refuse(&incoming.handle, 503, None);
    }
    let leg = incoming.leg.clone();
    let Some(id) = call_of(&leg) else {
        tracing::error!(leg.id = %leg, "a leg id without its call");
        return refuse(&incoming.handle, 500, None);
    };
    let (inbox, inputs, overrun) = Inbox::open();
    let media = match shared.open_media(&leg, &inbox) {
        Ok(media) => media,
        Err(error) => {
            tracing::warn!(%error, "a call is refused: no media leg");
            metrics::counter!("switchhook_calls_refused_total", "reason" => "capacity")
                .increment(1);
            return refuse(&incoming.handle, 503, None);
        }
    };
    let media = match incoming.sdp_offer.take() {
        Some(offer) => match LegMedia::answering(media, &offer) {
            Ok(media) => media,
            Err(error) => {
                tracing::info!(leg.id = %leg, %error, "the SDP offer cannot be used");
                let status = if error.is_malformed() { 400 } else { 488 };
                return refuse(&incoming.handle, status, Some(error.to_string()));
            }
        },
        // The caller wants our offer; its answer comes with the ACK.
        None => LegMedia::offering(media),
    };
    let first = Event::CallerArrived {
        leg: leg.clone(),
        caller: incoming.from.clone(),
        callee: incoming.to_user.clone(),
        route,
    };
    let mut legs = Legs::default();
    legs.insert(
        leg,
        LegParts {
            record: Some(incoming.record),
            signalling: Signalling::Offered(incoming.handle),
            media: Some(media),
        },
    );
    spawn(shared, id, legs, inbox, inputs, overrun, first);
}

fn refuse(handle: &InboundHandle, status: u16, reason: Option<String>) {
    if handle.reject(status, reason).is_err() {
        tracing::debug!("the caller was gone before the refusal");
    }
}

/// Calls somebody and connects them with the assistant. The destination was checked by policy.
pub async fn start_outbound(
    shared: &Arc<Shared>,
    target: Target,
    assistant: Option<String>,
) -> Result<CallId, StartError> {
    if let Some(trouble) = shared.store.health().await.trouble {
        return Err(StartError::Store(trouble.to_string()));
    }
    let id = clock::new_call_id();
    let (inbox, inputs, overrun) = Inbox::open();
    let assistant = assistant.or_else(|| Some(shared.config.assistant.name.clone()));
    let first = Event::OutboundRequested { target, assistant };
    spawn(
        shared,
        id.clone(),
        Legs::default(),
        inbox,
        inputs,
        overrun,
        first,
    );
    Ok(id)
}

fn spawn(
    shared: &Arc<Shared>,
    id: CallId,
    legs: Legs,
    inbox: Inbox,
    inputs: tokio::sync::mpsc::Receiver<super::CallInput>,
    overrun: tokio_util::sync::CancellationToken,
    first: Event,
) {
    let call = Call::new(
        id.clone(),
        shared.config.profile.clone(),
        shared.policy.clone(),
        clock::now(),
    );
    shared.registry.insert(id.clone(), inbox.clone());
    metrics::gauge!("switchhook_calls_active").increment(1.0);
    let span = tracing::info_span!("call", call.id = %id);
    let task = CallTask::new(Arc::clone(shared), call, legs, inbox);
    tokio::spawn(task.run(first, inputs, overrun).instrument(span));
}

/// Where a dialled number leads, for this caller.
fn route(shared: &Shared, incoming: &IncomingCall) -> Option<Route> {
    let config = &shared.config;
    let dialled = incoming.to_user.as_str();
    if config
        .sip
        .assistant_numbers
        .iter()
        .any(|number| number == dialled)
    {
        return Some(Route::Assistant {
            name: config.assistant.name.clone(),
        });
    }
    let extension: Extension = dialled.parse().ok()?;
    // A trunk reaches the assistant's numbers only: extensions are for those who belong here.
    let is_internal = match incoming.source {
        Source::Extension(_) | Source::Guest => true,
        Source::Trunk(_) => false,
    };
    let is_known = config.extensions.contains_key(&extension);
    (is_internal && is_known).then_some(Route::Extension(Target::Extension(extension)))
}

/// The id of the first leg of a new call: number 0, call control counts its own from 1.
pub fn new_leg_id() -> LegId {
    LegId::derive(&clock::new_call_id(), 0)
}
