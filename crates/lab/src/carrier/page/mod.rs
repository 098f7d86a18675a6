//! The page of the lab: a telephone to call in with, handsets that ring, and the messages sent.
//!
//! What belongs here: what the page is told (one snapshot of everything, sent again when it changes),
//! what it may do, its sound, and who may open it. What does not: what the carrier does; that is the
//! same whether a page looks on or not.
//!
//! The page has no password: whoever sits at this machine may use it. Web pages from elsewhere may
//! not ([`guard`]).

mod actions;
mod files;
mod guard;
mod journal;
mod live;
mod snapshot;
mod sound;
mod speech;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::config::CarrierConfig;
use super::log::lock;
use super::people::{Behaviour, Phone, Then};
use super::shared::{Shared, spawn};
use journal::Journal;
use speech::Speech;

pub use speech::SpeechAt;

/// Largest request of the page.
const MOST_BYTES: usize = 16 * 1024;
/// Sockets open at once.
const MOST_SOCKETS: usize = 64;

/// What the page is to know.
#[derive(Clone)]
pub struct PageConfig {
    /// Who rings at the page: extensions (`2001`, at whatever host), numbers, SIP addresses.
    pub phones: Vec<String>,
    /// The application's base URL, shown.
    pub gateway: String,
    /// A speech server: makes Say audible and understands what is said aloud into a Gather. Without
    /// one only typed words are understood there, and Say is shown.
    pub speech: Option<SpeechAt>,
}

impl std::fmt::Debug for PageConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PageConfig({:?} for {})", self.phones, self.gateway)
    }
}

/// What the page prepares before there is a carrier.
pub(super) struct Page {
    config: PageConfig,
    speech: Option<Arc<Speech>>,
}

impl Page {
    /// Ears and voice of the carrier come from the page's speech server.
    pub(super) fn prepare(config: PageConfig, carrier: &mut CarrierConfig) -> Self {
        let speech = config.speech.clone().map(Speech::new);
        if let Some(speech) = &speech {
            carrier.voice = Some(speech.voice());
            carrier.recogniser = Some(speech.recogniser());
        }
        Self { config, speech }
    }

    /// The page's routes; what is none of them is left to the caller.
    pub(super) fn router(self, shared: &Arc<Shared>) -> Router {
        let desk = Arc::new(Desk {
            shared: Arc::clone(shared),
            gateway: self.config.gateway,
            speech: self.speech,
            handsets: Mutex::default(),
            journal: Mutex::default(),
            sockets: AtomicUsize::new(0),
        });
        for address in &self.config.phones {
            desk.plug_in(address, Behaviour::AnswersWhenTold(Then::stays().by_hand()));
        }
        spawn(journal::keep(Arc::clone(&desk)));
        if let Some(speech) = &desk.speech {
            spawn(speech::watch(Arc::clone(speech), Arc::clone(shared)));
        }
        files::routes()
            .route("/lab/state", get(live::state))
            .route("/lab/live", get(live::open))
            .route("/lab/calls", post(actions::call_in))
            .route("/lab/calls/{sid}/say", post(actions::say))
            .route("/lab/calls/{sid}/keys", post(actions::keys))
            .route("/lab/calls/{sid}/hangup", post(actions::hang_up))
            .route("/lab/calls/{sid}/audio", get(sound::open))
            .route("/lab/calls/{sid}/answer", post(actions::answer))
            .route("/lab/calls/{sid}/decline", post(actions::decline))
            .route("/lab/phones", post(actions::phone))
            .route("/lab/recipients", post(actions::recipient))
            .layer(middleware::from_fn_with_state(
                Arc::clone(&desk),
                guard::admit,
            ))
            .layer(DefaultBodyLimit::max(MOST_BYTES))
            .with_state(desk)
    }
}

/// A phone that is on the page.
struct Handset {
    /// As it was named: `2001`, a number, a SIP address.
    name: String,
    /// What it does when it is rung, as the page calls it.
    does: &'static str,
    phone: Phone,
}

/// What the routes share.
struct Desk {
    shared: Arc<Shared>,
    gateway: String,
    speech: Option<Arc<Speech>>,
    handsets: Mutex<Vec<Handset>>,
    journal: Mutex<Journal>,
    sockets: AtomicUsize,
}

impl Desk {
    /// A phone of this name does this from now on; one that is new is put on the page.
    fn plug_in(&self, name: &str, behaviour: Behaviour) {
        let does = name_of(&behaviour);
        let mut handsets = lock(&self.handsets);
        if let Some(known) = handsets.iter_mut().find(|one| one.name == name) {
            known.does = does;
            known.phone.behaves(behaviour);
            return;
        }
        let is_extension = name.bytes().all(|b| b.is_ascii_digit());
        let address = if is_extension {
            format!("sip:{name}@*")
        } else {
            name.to_owned()
        };
        let phone = Phone::plug_in(&self.shared, &address, behaviour);
        handsets.push(Handset {
            name: name.to_owned(),
            does,
            phone,
        });
    }

    fn speech_is_ready(&self) -> bool {
        self.speech.as_ref().is_some_and(|speech| speech.is_ready())
    }

    /// Room for one more socket, given back when dropped.
    fn socket(self: &Arc<Self>) -> Result<Socket, Refusal> {
        if self.sockets.fetch_add(1, Ordering::SeqCst) >= MOST_SOCKETS {
            self.sockets.fetch_sub(1, Ordering::SeqCst);
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Refusal(status, "too_many", "too many pages are open"));
        }
        Ok(Socket(Arc::clone(self)))
    }
}

/// A socket of the page.
struct Socket(Arc<Desk>);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How the page calls what a phone does.
fn name_of(behaviour: &Behaviour) -> &'static str {
    match behaviour {
        Behaviour::AnswersWhenTold(_) => "by_hand",
        Behaviour::Answers { .. } => "answers",
        Behaviour::NoAnswer => "no_answer",
        Behaviour::Busy => "busy",
        Behaviour::Rejects => "declines",
        Behaviour::Unreachable | Behaviour::Fails(_) => "unreachable",
        Behaviour::Machine { .. } | Behaviour::Fax => "machine",
    }
}

/// Why the page does not get what it asks for: status, a code it has words for, words for others.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let body = json!({ "error": { "code": code, "message": message } });
        (status, axum::Json(body)).into_response()
    }
}
