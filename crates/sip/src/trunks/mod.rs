//! What we know of trunks: whether they answer (`qualify.rs`) and whether they know us
//! (`register.rs`).

mod qualify;
mod register;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rsipstack::sip::{Method, Request};
use switchhook_model::Timestamp;
use tokio::sync::mpsc;

use crate::client::{Outcome, run_client};
use crate::config::{SipConfig, TrunkConfig, TrunkId};
use crate::core::Core;
use crate::event::SipEvent;
use crate::message::{RequestParts, build_request, random_token};
use crate::tap::{EventQueue, now};
use crate::transport::Path;
use crate::uri::SipUri;

pub(crate) use register::{Line, check as check_registration};

/// Whether a trunk answers OPTIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// Not asked yet, or never asked.
    Unknown,
    /// It answered the last OPTIONS, whatever the status, except 408, 503 and 504.
    Up,
    Down,
}

impl Reachability {
    /// The stable word for API and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Where our registration at a PBX stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    /// The first REGISTER is on its way.
    Registering,
    /// Until `registered_until`; a renewal that failed shows in `last_error` meanwhile.
    Registered,
    /// Refused or unanswered; tried again at `next_attempt_at`.
    Failed,
    /// Taken back by us.
    Unregistered,
}

impl RegistrationState {
    /// The stable word for API and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::Failed => "failed",
            Self::Unregistered => "unregistered",
        }
    }
}

/// Our registration at a trunk's registrar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationStatus {
    pub state: RegistrationState,
    pub registered_until: Option<Timestamp>,
    /// Status of the refusal, when there was one.
    pub last_status: Option<u16>,
    /// Why the last REGISTER failed; empty after one that succeeded.
    pub last_error: Option<String>,
    pub next_attempt_at: Option<Timestamp>,
}

/// What we know of a trunk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkStatus {
    pub trunk: TrunkId,
    pub reachability: Reachability,
    /// Since when it has been so.
    pub since: Timestamp,
    /// Last OPTIONS that was answered or given up.
    pub checked_at: Option<Timestamp>,
    /// Round trip of the last OPTIONS that was answered, in milliseconds.
    pub rtt_ms: Option<u64>,
    /// Why the last OPTIONS counts as failed; empty after one that succeeded.
    pub last_error: Option<String>,
    /// Only for trunks we register at.
    pub registration: Option<RegistrationStatus>,
}

/// All trunks, by name.
pub(crate) struct TrunkBook {
    events: EventQueue,
    trunks: Mutex<BTreeMap<TrunkId, TrunkStatus>>,
}

impl TrunkBook {
    pub(crate) fn new(config: &SipConfig, events: EventQueue) -> Self {
        let status = |trunk: &TrunkConfig| TrunkStatus {
            trunk: trunk.id.clone(),
            reachability: Reachability::Unknown,
            since: now(),
            checked_at: None,
            rtt_ms: None,
            last_error: None,
            registration: trunk.registration.as_ref().map(|_| RegistrationStatus {
                state: RegistrationState::Registering,
                registered_until: None,
                last_status: None,
                last_error: None,
                next_attempt_at: None,
            }),
        };
        let trunks = config.trunks.iter().map(|t| (t.id.clone(), status(t)));
        Self {
            events,
            trunks: Mutex::new(trunks.collect()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TrunkId, TrunkStatus>> {
        self.trunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<TrunkStatus> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn get(&self, id: &TrunkId) -> Option<TrunkStatus> {
        self.lock().get(id).cloned()
    }

    /// Changes a status and reports it when something an operator would look at has changed. The
    /// lock is held while reporting, so that reports keep the order of the changes.
    fn update(&self, id: &TrunkId, change: impl FnOnce(&mut TrunkStatus)) {
        let mut trunks = self.lock();
        let Some(status) = trunks.get_mut(id) else {
            return;
        };
        let before = status.clone();
        change(status);
        if status.reachability != before.reachability {
            status.since = now();
        }
        let told = |status: &TrunkStatus| {
            let registration = status.registration.as_ref();
            (
                status.reachability,
                registration.map(|r| (r.state, r.last_status, r.last_error.clone())),
            )
        };
        if told(status) != told(&before) {
            let changed = SipEvent::TrunkChanged(Box::new(status.clone()));
            self.events.send(changed);
        }
    }
}

impl Core {
    /// Starts what looks after the trunks; all of it ends with the endpoint.
    pub(crate) fn watch_trunks(self: &Arc<Self>) {
        for trunk in &self.config.trunks {
            if let (Some(every), Some(_)) = (trunk.qualify_every, &trunk.termination) {
                tokio::spawn(self.clone().qualify(trunk.clone(), every));
            }
            if let Some(registration) = trunk.registration.clone() {
                let task = self.clone().keep_registered(trunk.clone(), registration);
                self.registrations
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(tokio::spawn(task));
            }
        }
    }

    /// Takes all registrations back, for at most `within`.
    pub(crate) async fn unregister_trunks(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        self.leaving.cancel();
        let tasks = std::mem::take(
            &mut *self
                .registrations
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for task in tasks {
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                tracing::warn!("a registrar did not answer when we left; its binding expires");
            }
        }
    }

    /// A request outside a dialog.
    fn trunk_request(&self, method: Method, parts: Standalone<'_>) -> Request {
        let branch = format!("z9hG4bK{}", random_token(16));
        let Standalone { path, uri, aor, .. } = parts;
        build_request(RequestParts {
            method,
            uri,
            via: format!(
                "SIP/2.0/{} {};branch={branch};rport",
                path.transport.as_via(),
                path.sent_by
            ),
            from: format!("<{aor}>;tag={}", parts.tag),
            to: format!("<{}>", parts.to),
            call_id: parts.call_id,
            cseq: parts.cseq,
            user_agent: &self.config.user_agent,
        })
    }
}

/// What a request outside a dialog is made of.
struct Standalone<'a> {
    path: &'a Path,
    uri: &'a SipUri,
    /// Address of From.
    aor: &'a SipUri,
    to: &'a SipUri,
    tag: &'a str,
    call_id: &'a str,
    cseq: u32,
}

/// The final outcome of a request.
async fn final_outcome(core: &Arc<Core>, path: &Path, request: Request) -> Outcome {
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    run_client(core, path, request, move |outcome| {
        let _ = sender.send(outcome);
    });
    loop {
        match outcomes.recv().await {
            Some(Outcome::Response(response)) if response.status_code.code() < 200 => {}
            Some(outcome) => return outcome,
            None => {
                return Outcome::NoResponse {
                    connection_lost: false,
                };
            }
        }
    }
}

/// `wait`, up to a tenth less or more, so that many trunks are not asked at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.9 + rand::random::<f64>() * 0.2)
}

/// A moment `wait` from now, as clocks on the wall show it.
fn in_future(wait: Duration) -> Timestamp {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now().as_millis().saturating_add(millis))
}

/// `503 Service Unavailable`.
fn status_line(response: &rsipstack::sip::Response) -> String {
    let phrase = response.wire_reason.clone();
    let phrase = phrase.unwrap_or_else(|| response.status_code.text().to_owned());
    let phrase: String = phrase
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect();
    format!("{} {phrase}", response.status_code.code())
}
