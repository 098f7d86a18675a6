//! How a call begins: somebody calls, or somebody is to be called.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use switchhook_call::{Call, Event, Route, TransferMethod};
use switchhook_model::{CallId, Extension, LegId, Target};
use switchhook_sip::{InboundHandle, IncomingCall, Source};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::audio;
use super::inbox::{CallInput, Inbox};
use super::legs::{LegMedia, LegParts, Legs, Signalling, fault};
use super::policy;
use super::referring;
use super::registry::{Registry, call_of};
use super::shared::Shared;
use super::task::CallTask;
use crate::clock;
use crate::config::{Config, connection_address};

/// Why a call was not begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the database does not take new calls: {0}")]
    Store(String),
}

/// Takes an INVITE: from now on the leg's events reach its call, also while it is being decided
/// whether the call is taken.
pub fn accept(shared: &Arc<Shared>, incoming: IncomingCall) {
    if incoming.replaces.is_some() {
        return referring::replace(shared, incoming);
    }
    let Some(id) = call_of(&incoming.leg) else {
        tracing::error!(leg.id = %incoming.leg, "a leg id without its call");
        return refuse(&incoming.handle, 500, None);
    };
    let opened = Opened::new(shared, id);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let exchange = exchange_of(&shared.config, &incoming);
        match Box::pin(admit(&shared, incoming)).await {
            Ok((first, legs)) => opened.run(&shared, first, legs, exchange).await,
            Err((handle, status, reason)) => refuse(&handle, status, reason),
        }
    });
}

type Refusal = (InboundHandle, u16, Option<String>);

/// Routes the call and opens its media; or says with which status it is refused.
async fn admit(shared: &Shared, incoming: IncomingCall) -> Result<(Event, Legs), Refusal> {
    let Some(route) = route(shared, &incoming) else {
        tracing::info!(leg.id = %incoming.leg, "nobody has the dialled number");
        return Err((incoming.handle, 404, None));
    };
    if let Some(trouble) = shared.store.health().await.trouble {
        tracing::error!(%trouble, "a call is refused: its state could not be kept");
        return Err((incoming.handle, 503, None));
    }
    let peer = media_peer(&incoming);
    let leg = incoming.leg;
    let media = match shared.open_media(&leg, Some(peer)) {
        Ok(media) => media,
        Err(error) => {
            tracing::warn!(%error, "a call is refused: no media leg");
            metrics::counter!("switchhook_calls_refused_total", "reason" => "capacity")
                .increment(1);
            return Err((incoming.handle, 503, None));
        }
    };
    let audio = audio::of_source(&shared.config, &incoming.source);
    let may_refer_out = policy::source_may_refer_out(&shared.config, &incoming.source);
    let media = match &incoming.sdp_offer {
        Some(offer) => match LegMedia::answering(media, audio, offer) {
            Ok(media) => media,
            Err(error) => {
                tracing::info!(leg.id = %leg, reason = fault(&error), "the SDP offer cannot be used");
                let status = if error.is_malformed() { 400 } else { 488 };
                return Err((incoming.handle, status, Some(error.to_string())));
            }
        },
        // The caller wants our offer; its answer comes with the ACK.
        None => LegMedia::offering(media, audio),
    };
    let first = Event::CallerArrived {
        leg: leg.clone(),
        caller: incoming.from,
        callee: incoming.to_user,
        route,
        sip_headers: kept_headers(&shared.config, incoming.headers),
    };
    let mut legs = Legs::default();
    legs.insert(
        leg,
        LegParts {
            record: Some(incoming.record),
            signalling: Signalling::Offered(incoming.handle),
            media: Some(media),
            may_refer_out,
        },
    );
    Ok((first, legs))
}

/// Where the caller's media will come from, as far as that tells which of our addresses to name: it
/// may be of another family than signalling; the network is known by signalling.
pub(super) fn media_peer(incoming: &IncomingCall) -> IpAddr {
    let wanted = incoming.sdp_offer.as_deref().and_then(connection_address);
    wanted
        .filter(|wanted| wanted.is_ipv4() != incoming.peer.is_ipv4())
        .unwrap_or(incoming.peer.ip())
}

fn refuse(handle: &InboundHandle, status: u16, reason: Option<String>) {
    if handle.reject(status, reason).is_err() {
        tracing::debug!("the caller was gone before the refusal");
    }
}

/// Calls somebody and connects them with the assistant. The destination was checked by policy.
/// Returns once the call is stored.
pub async fn start_outbound(
    shared: &Arc<Shared>,
    target: Target,
    assistant: Option<String>,
) -> Result<CallId, StartError> {
    if let Some(trouble) = shared.store.health().await.trouble {
        return Err(StartError::Store(trouble.to_string()));
    }
    let id = clock::new_call_id();
    let assistant = assistant.or_else(|| Some(shared.config.assistant.name.clone()));
    let first = Event::OutboundRequested { target, assistant };
    let opened = Opened::new(shared, id.clone());
    let stored = opened.stored.clone();
    let shared = Arc::clone(shared);
    tokio::spawn(async move { opened.run(&shared, first, Legs::default(), None).await });
    stored.cancelled().await;
    Ok(id)
}

/// A call that is known to the registry. Dropping it, also by a panic of its task, makes it
/// unknown again.
struct Opened {
    id: CallId,
    inbox: Inbox,
    inputs: mpsc::Receiver<CallInput>,
    overrun: CancellationToken,
    /// Cancelled after the first commit.
    stored: CancellationToken,
    guard: Guard,
}

struct Guard {
    registry: Registry,
    id: CallId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.registry.remove(&self.id);
        metrics::gauge!("switchhook_calls_active").decrement(1.0);
    }
}

impl Opened {
    fn new(shared: &Shared, id: CallId) -> Self {
        let (inbox, inputs, overrun) = Inbox::open();
        shared.registry.insert(id.clone(), inbox.clone());
        metrics::gauge!("switchhook_calls_active").increment(1.0);
        let guard = Guard {
            registry: shared.registry.clone(),
            id: id.clone(),
        };
        Self {
            id,
            inbox,
            inputs,
            overrun,
            stored: CancellationToken::new(),
            guard,
        }
    }

    async fn run(self, shared: &Arc<Shared>, first: Event, legs: Legs, exchange: Option<String>) {
        let Self {
            id,
            inbox,
            inputs,
            overrun,
            stored,
            guard,
        } = self;
        let profile = shared.config.profile.clone();
        let mut policy = shared.policy.clone();
        if exchange.is_some() {
            policy.transfer_method = TransferMethod::Refer;
        }
        let call = Call::new(id.clone(), profile, policy, clock::now());
        let span = tracing::info_span!("call", call.id = %id);
        // Whoever waits for the first commit is let go also when the task fails before it.
        let _stored = stored.clone().drop_guard();
        let mut task = Box::new(CallTask::new(Arc::clone(shared), call, legs, inbox));
        task.exchange = exchange;
        task.run(first, inputs, overrun, stored)
            .instrument(span)
            .await;
        drop(guard);
    }
}

/// The host of the exchange that transfers this caller itself when asked by REFER; none if we do.
fn exchange_of(config: &Config, incoming: &IncomingCall) -> Option<String> {
    let trunk = match &incoming.source {
        Source::Trunk(id) => config.trunks.get(id.as_str())?,
        Source::Extension(_) | Source::Guest => return None,
    };
    match trunk.transfer {
        TransferMethod::Bridge => None,
        TransferMethod::Refer => {
            let known = trunk.termination.clone();
            Some(known.unwrap_or_else(|| incoming.peer.to_string()))
        }
    }
}

/// The headers that the configuration keeps, by the names it gives them.
fn kept_headers(config: &Config, given: Vec<(String, String)>) -> BTreeMap<String, String> {
    let kept = &config.sip.keep_headers;
    given
        .into_iter()
        .filter_map(|(name, value)| {
            let name = kept.iter().find(|kept| kept.eq_ignore_ascii_case(&name))?;
            Some((name.clone(), value))
        })
        .collect()
}

/// Where a dialled number leads: to the assistant, or to an extension. Whoever got this far was
/// vouched for; a trunk may reach both.
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
    let is_known = config.extensions.contains_key(&extension);
    is_known.then_some(Route::Extension(Target::Extension(extension)))
}

/// The id of the first leg of a new call: number 0, call control counts its own from 1.
pub fn new_leg_id() -> LegId {
    LegId::derive(&clock::new_call_id(), 0)
}
