//! The calls this process has in memory, each behind a lock of its own: two webhooks of one call are
//! taken one after the other, those of different calls side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use switchhook_model::{CallId, LegId, Timestamp};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::channel::Channel;
use super::stream::{self, StreamHandle};

/// A call as it was loaded or stored last.
#[derive(Debug)]
pub(super) struct Loaded {
    pub channel: Channel,
    pub revision: u64,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// Empty until it is loaded, and after a step that could not be stored.
    pub call: tokio::sync::Mutex<Option<Loaded>>,
    /// Counts stored steps: whoever waits for a program looks again.
    pub stored: watch::Sender<u64>,
    /// The media stream that stands.
    stream: Mutex<Option<StreamHandle>>,
    thoughts: Mutex<BTreeMap<(u32, u32), AbortHandle>>,
    /// Agents who are being dialled over REST by this process.
    invitations: Mutex<BTreeSet<LegId>>,
    alarm: Mutex<Option<(Timestamp, AbortHandle)>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            call: tokio::sync::Mutex::new(None),
            stored: watch::Sender::new(0),
            stream: Mutex::default(),
            thoughts: Mutex::default(),
            invitations: Mutex::default(),
            alarm: Mutex::default(),
        }
    }
}

impl Slot {
    pub fn set_stream(&self, stream: Option<StreamHandle>) {
        *lock(&self.stream) = stream;
    }

    /// The carrier comes for the next program.
    pub fn close_stream(&self) {
        if let Some(stream) = lock(&self.stream).take() {
            stream.send(stream::Order::Leave);
        }
    }

    pub fn stream(&self) -> Option<StreamHandle> {
        lock(&self.stream).clone()
    }

    pub fn keep_thought(&self, talk: u32, request: u32, task: AbortHandle) {
        let mut thoughts = lock(&self.thoughts);
        thoughts.retain(|_, task| !task.is_finished());
        thoughts.insert((talk, request), task);
    }

    pub fn drop_thought(&self, talk: u32, request: u32) {
        if let Some(task) = lock(&self.thoughts).remove(&(talk, request)) {
            task.abort();
        }
    }

    /// Whether somebody waits for the next program.
    pub fn is_awaited(&self) -> bool {
        self.stored.receiver_count() > 0
    }

    /// False if that agent is being dialled already.
    pub fn begin_invitation(&self, leg: &LegId) -> bool {
        lock(&self.invitations).insert(leg.clone())
    }

    pub fn end_invitation(&self, leg: &LegId) {
        lock(&self.invitations).remove(leg);
    }

    /// Sees to it that the call is looked at by then. An alarm that is set for an earlier time stays:
    /// when it rings, the next one is set.
    pub fn set_alarm(&self, at: Option<Timestamp>, ring: impl FnOnce(Timestamp) -> AbortHandle) {
        let Some(at) = at else { return };
        let mut alarm = lock(&self.alarm);
        if alarm.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        if let Some((_, old)) = alarm.take() {
            old.abort();
        }
        *alarm = Some((at, ring(at)));
    }

    /// The alarm rang: the next one may be for the same time.
    pub fn alarm_rang(&self) {
        *lock(&self.alarm) = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        for task in lock(&self.thoughts).values() {
            task.abort();
        }
        if let Some((_, task)) = lock(&self.alarm).take() {
            task.abort();
        }
    }
}

/// By call, and by the carrier's id of the caller's leg.
#[derive(Debug, Default)]
pub(super) struct Slots {
    calls: Mutex<HashMap<CallId, Arc<Slot>>>,
    sids: Mutex<HashMap<String, CallId>>,
}

impl Slots {
    pub fn get(&self, call: &CallId) -> Arc<Slot> {
        Arc::clone(lock(&self.calls).entry(call.clone()).or_default())
    }

    pub fn find(&self, call: &CallId) -> Option<Arc<Slot>> {
        lock(&self.calls).get(call).cloned()
    }

    pub fn know(&self, sid: &str, call: &CallId) {
        lock(&self.sids).insert(sid.to_owned(), call.clone());
    }

    pub fn call_of(&self, sid: &str) -> Option<CallId> {
        lock(&self.sids).get(sid).cloned()
    }

    pub fn forget(&self, call: &CallId) {
        lock(&self.calls).remove(call);
        lock(&self.sids).retain(|_, known| known != call);
    }

    pub fn len(&self) -> usize {
        lock(&self.calls).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
