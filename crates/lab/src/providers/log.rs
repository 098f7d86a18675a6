//! What was asked, and how each answer ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{ChatRequest, SpeechRequest, TranscriptionRequest};

/// One request.
#[derive(Debug, Clone)]
pub enum Request {
    Chat(ChatRequest),
    Transcription(TranscriptionRequest),
    Speech(SpeechRequest),
}

impl Request {
    /// The chat request, if it is one.
    pub fn chat(self) -> Option<ChatRequest> {
        match self {
            Self::Chat(request) => Some(request),
            Self::Transcription(_) | Self::Speech(_) => None,
        }
    }

    /// The transcription, if it is one.
    pub fn transcription(self) -> Option<TranscriptionRequest> {
        match self {
            Self::Transcription(request) => Some(request),
            Self::Chat(_) | Self::Speech(_) => None,
        }
    }

    /// The text to be spoken, if it is one.
    pub fn speech(self) -> Option<SpeechRequest> {
        match self {
            Self::Speech(request) => Some(request),
            Self::Chat(_) | Self::Transcription(_) => None,
        }
    }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has not.
    NotYet,
    /// Everything was sent that was to be sent.
    Sent,
    /// The client went away before.
    Cancelled,
}

/// One request with what became of its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub request: Request,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    pub ended: Ended,
}

/// A wait that was in vain.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not within {limit:?}; so far: {seen}")]
pub struct WaitError {
    pub limit: Duration,
    pub seen: String,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    exchanges: Mutex<Vec<Exchange>>,
    changed: Notify,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Exchange> {
        self.lock().clone()
    }

    /// Keeps a request; the guard notes how its answer ends.
    pub(super) fn begin(
        self: &Arc<Self>,
        request: Request,
        authorization: Option<String>,
    ) -> AnswerGuard {
        let mut exchanges = self.lock();
        exchanges.push(Exchange {
            request,
            authorization,
            ended: Ended::NotYet,
        });
        let index = exchanges.len() - 1;
        drop(exchanges);
        self.changed.notify_waiters();
        AnswerGuard {
            log: Arc::clone(self),
            index,
            sent: false,
        }
    }

    pub(super) async fn wait_until(
        &self,
        limit: Duration,
        condition: impl Fn(&[Exchange]) -> bool,
    ) -> Result<Vec<Exchange>, WaitError> {
        let deadline = Instant::now() + limit;
        loop {
            // Listened for before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            let all = self.all();
            if condition(&all) {
                return Ok(all);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(WaitError {
                    limit,
                    seen: format!("{all:?}"),
                });
            }
        }
    }
}

/// Notes the end of an answer: sent if somebody says so, cancelled if it is dropped before.
#[derive(Debug)]
pub(super) struct AnswerGuard {
    log: Arc<Log>,
    index: usize,
    sent: bool,
}

impl AnswerGuard {
    pub(super) fn sent(mut self) {
        self.sent = true;
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let ended = if self.sent {
            Ended::Sent
        } else {
            Ended::Cancelled
        };
        self.log.lock()[self.index].ended = ended;
        self.log.changed.notify_waiters();
    }
}
