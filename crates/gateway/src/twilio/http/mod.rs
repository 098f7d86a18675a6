//! The carrier's door: paths and prefixes, signatures, answers.
//!
//! Older deployments called the same endpoints under other prefixes. All of them answer alike, and
//! what we ask the carrier to call next keeps the prefix it used.

mod calls;
mod faults;
mod guard;
mod media;
mod probes;
mod reports;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use switchhook_adapters::twilio::twiml::Document;
use switchhook_adapters::twilio::{Params, Verifier};

use super::Engine;
use super::giving::written;
use crate::network::Network;
use guard::Asked;

/// Prefixes of the paths, the plain one first.
pub const PREFIXES: [&str; 4] = ["", "/api", "/anthropic/convonet_todo", "/convonet_todo"];

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Webhooks {
    engine: Arc<Engine>,
    verifier: Option<Arc<Verifier>>,
    trusted_proxies: Vec<Network>,
}

impl Webhooks {
    /// Without a verifier only unsigned requests of this machine are taken, and those only if the
    /// settings allow it.
    pub fn new(
        engine: Arc<Engine>,
        verifier: Option<Verifier>,
        trusted_proxies: Vec<Network>,
    ) -> Self {
        Self {
            engine,
            verifier: verifier.map(Arc::new),
            trusted_proxies,
        }
    }
}

/// A webhook's meaning, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    /// A call comes in, or is to go on.
    Voice,
    /// Keys and speech.
    Heard,
    /// Everything was said.
    Back,
    /// To be transferred.
    Transfer,
    /// To be transferred, in a conference.
    Bridge,
    /// The caller waits in a conference.
    Room,
    /// The dial is over.
    DialEnded,
    /// The message is recorded.
    Recorded,
    /// An agent picked up.
    Whisper,
    /// An agent pressed a key.
    Accept,
    /// What answered a call of ours.
    Detected,
    /// The state of a leg.
    Status,
    /// The state of a recording.
    RecordingStatus,
    /// The state of a message.
    MessageStatus,
    /// The carrier could not use our answer.
    Error,
}

/// Webhooks with their methods.
const ENDPOINTS: [(&str, Endpoint); 19] = [
    ("voice", Endpoint::Voice),
    ("call", Endpoint::Voice),
    ("verify_pin", Endpoint::Heard),
    ("process_audio", Endpoint::Heard),
    ("transfer", Endpoint::Transfer),
    ("transfer_callback", Endpoint::DialEnded),
    ("voice_assistant/transfer_bridge", Endpoint::Bridge),
    ("room/{session}", Endpoint::Room),
    ("connect/{session}", Endpoint::Back),
    ("dial_status/{session}", Endpoint::DialEnded),
    ("message/{session}", Endpoint::Recorded),
    ("whisper/{session}", Endpoint::Whisper),
    ("accept/{session}", Endpoint::Accept),
    ("amd/{session}", Endpoint::Detected),
    ("status", Endpoint::Status),
    ("status/{session}", Endpoint::Status),
    ("recording", Endpoint::RecordingStatus),
    ("message_status", Endpoint::MessageStatus),
    ("error", Endpoint::Error),
];

/// Paths of the webhooks below `{prefix}/twilio/`, as [`routes`] has them.
pub const PATHS: [&str; ENDPOINTS.len()] = {
    let mut paths = [""; ENDPOINTS.len()];
    let mut n = 0;
    while n < paths.len() {
        paths[n] = ENDPOINTS[n].0;
        n += 1;
    }
    paths
};

/// All routes.
pub fn routes(webhooks: Webhooks) -> Router {
    let mut router = Router::new();
    for prefix in PREFIXES {
        for (path, endpoint) in ENDPOINTS {
            let take = move |state: State<Webhooks>,
                             peer: ConnectInfo<SocketAddr>,
                             session: Option<Path<String>>,
                             request: Request| {
                webhook(state, peer, session, prefix, endpoint, request)
            };
            let mut methods = post(take);
            // A probe of older deployments; it changes nothing.
            if path == "voice_assistant/transfer_bridge" {
                methods = methods.get(probes::transfer_bridge);
            }
            router = router.route(&format!("{prefix}/twilio/{path}"), methods);
        }
        router = router
            .route(&format!("{prefix}/twilio/health"), get(probes::health))
            .route(&format!("{prefix}/twilio/test"), post(probes::test))
            .route(&format!("{prefix}/twilio/media"), get(media::open))
            .route(
                &format!("{prefix}/twilio/ringback.wav"),
                get(probes::ringback),
            );
    }
    router.with_state(webhooks)
}

async fn webhook(
    State(webhooks): State<Webhooks>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    session: Option<Path<String>>,
    prefix: &'static str,
    endpoint: Endpoint,
    request: Request,
) -> Response {
    let asked = match guard::admit(&webhooks, peer, prefix, request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let asked = Asked {
        session: session.map(|Path(session)| session),
        ..asked
    };
    let engine = &webhooks.engine;
    match endpoint {
        Endpoint::Voice => calls::first(engine, &asked).await,
        Endpoint::Heard => calls::heard(engine, &asked).await,
        Endpoint::Back => calls::back(engine, &asked).await,
        Endpoint::Transfer => calls::transfer(engine, &asked, false).await,
        Endpoint::Bridge => calls::transfer(engine, &asked, true).await,
        Endpoint::Room => reports::room(engine, &asked).await,
        Endpoint::DialEnded => calls::dial_ended(engine, &asked).await,
        Endpoint::Recorded => calls::recorded(engine, &asked).await,
        Endpoint::Whisper => reports::whisper(engine, &asked).await,
        Endpoint::Accept => reports::accept(engine, &asked).await,
        Endpoint::Detected => reports::detected(engine, &asked).await,
        Endpoint::Status => reports::status(engine, &asked).await,
        Endpoint::RecordingStatus => reports::recording(engine, &asked).await,
        Endpoint::MessageStatus => reports::message(engine, &asked).await,
        Endpoint::Error => faults::error(engine, &asked).await,
    }
}

/// A document for the carrier.
fn twiml(document: &Document) -> Response {
    xml(written(document))
}

fn xml(text: String) -> Response {
    (
        StatusCode::OK,
        [
            ("content-type", "text/xml; charset=utf-8"),
            ("cache-control", "no-store"),
        ],
        text,
    )
        .into_response()
}

/// A report was taken: the carrier expects nothing.
fn taken() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A parameter that is there and not empty.
fn given<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).filter(|value| !value.is_empty())
}
