//! What the carrier did, kept for tests: webhooks with their answers, verbs executed, problems, and
//! REST requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::sign::{Params, first};

/// What a webhook is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// Asks for a document.
    Twiml,
    /// A call's progress.
    CallStatus,
    /// A recording's progress.
    Recording,
    /// Who answered (answering machine detection).
    Amd,
    /// A media stream's progress.
    Stream,
    /// A conference's progress.
    Conference,
    /// A message's delivery.
    Message,
    /// A partial result of speech recognition.
    Partial,
}

/// What came of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Still waited for.
    Pending,
    /// The application answered.
    Http {
        /// Status of the last answer.
        status: u16,
        /// Its `Content-Type`.
        content_type: String,
        /// Its body.
        body: String,
    },
    /// Nothing came.
    Failed {
        /// Number of the error catalogue: 11200, 11205, …
        code: u32,
        /// What went wrong.
        cause: String,
    },
}

/// One webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What it is about.
    pub kind: WebhookKind,
    /// `POST` or `GET`.
    pub method: String,
    /// The URL that was signed.
    pub url: String,
    /// Parameters of the form or, for a GET, of the query.
    pub params: Params,
    /// `I-Twilio-Idempotency-Token`.
    pub token: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it was a forged copy; its answer had no effect on the call.
    pub forged: bool,
    /// Whether it was the second delivery of a duplicated webhook; its answer had no effect.
    pub duplicate: bool,
    /// What came of it.
    pub answer: Answer,
}

impl Webhook {
    /// A parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        first(&self.params, name)
    }

    /// The status of the answer, 0 if there is none.
    pub fn status(&self) -> u16 {
        match &self.answer {
            Answer::Http { status, .. } => *status,
            Answer::Pending | Answer::Failed { .. } => 0,
        }
    }

    /// The body of the answer, empty if there is none.
    pub fn body(&self) -> &str {
        match &self.answer {
            Answer::Http { body, .. } => body,
            Answer::Pending | Answer::Failed { .. } => "",
        }
    }

    /// The path of its URL.
    pub fn path(&self) -> String {
        let parsed = url::Url::parse(&self.url);
        parsed.map_or_else(|_| self.url.clone(), |u| u.path().to_owned())
    }
}

/// One verb that was begun.
#[derive(Debug, Clone)]
pub struct Verb {
    /// Whose document it was in.
    pub call_sid: String,
    /// `Say`, `Dial`, …
    pub name: String,
    /// Its attributes.
    pub attributes: Params,
    /// Its text, and that of the nouns in it.
    pub text: String,
}

/// Something the carrier's debugger would show.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Number of the error catalogue.
    pub code: u32,
    /// Which call.
    pub call_sid: String,
    /// What it is.
    pub text: String,
}

/// One REST request.
#[derive(Debug, Clone)]
pub struct RestRequest {
    /// `GET`, `POST`, `DELETE`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Parameters of its form.
    pub params: Params,
    /// Status of the answer; 0 if none was given.
    pub status: u16,
    /// Code of an error answer.
    pub code: Option<u32>,
}

/// Everything the carrier did so far.
#[derive(Debug, Clone, Default)]
pub struct CarrierLog {
    /// In the order in which they were begun.
    pub webhooks: Vec<Webhook>,
    /// In the order in which they were begun.
    pub verbs: Vec<Verb>,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
    /// In the order in which they were answered.
    pub rest: Vec<RestRequest>,
}

impl CarrierLog {
    /// Webhooks of one call and kind, forged and duplicate ones left out.
    pub fn webhooks_of(&self, call_sid: &str, kind: WebhookKind) -> Vec<&Webhook> {
        let of = |w: &&Webhook| {
            w.kind == kind && !w.forged && !w.duplicate && w.param("CallSid") == Some(call_sid)
        };
        self.webhooks.iter().filter(of).collect()
    }

    /// The names of the verbs begun for one call.
    pub fn verbs_of(&self, call_sid: &str) -> Vec<&str> {
        let of = self.verbs.iter().filter(|v| v.call_sid == call_sid);
        of.map(|v| v.name.as_str()).collect()
    }
}

/// A wait that was in vain.
#[derive(Error)]
#[error("waited {limit:?} in vain for {what}; so far: {seen}")]
pub struct CarrierError {
    /// For what.
    pub what: String,
    /// How long.
    pub limit: Duration,
    /// What happened instead.
    pub seen: String,
}

/// As [`std::fmt::Display`]: tests unwrap.
impl std::fmt::Debug for CarrierError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Tells everybody who waits that something has changed.
#[derive(Debug)]
pub(super) struct Pulse(watch::Sender<u64>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn beat(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Changes with every beat.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Waits until `look` finds something.
    pub(super) async fn when<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut changed = self.0.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            // The sender is ours and lives as long as this wait.
            let _ = changed.changed().await;
        }
    }

    /// The same, at most until the deadline.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        timeout_at(deadline, self.when(look)).await.ok()
    }
}

/// A lock whose holder may have panicked: a test's assertion must not hide behind a second panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
