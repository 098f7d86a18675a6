//! Which calls run here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use switchhook_call::Event;
use switchhook_model::{CallId, LegId};
use tokio::sync::Notify;

use super::inbox::{CallInput, Inbox};

/// A cheap handle to the running calls. The lock is held for a look-up only, never over an await.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    calls: Arc<Mutex<Calls>>,
    changed: Arc<Notify>,
    others: Arc<OnceLock<Arc<dyn OtherCalls>>>,
}

/// Calls that run without a task of this process.
#[async_trait]
pub trait OtherCalls: std::fmt::Debug + Send + Sync {
    /// Tells one of them; false if it is none of them, or over.
    async fn tell(&self, call: &CallId, event: Event) -> bool;
}

/// Running calls, and the legs that belong to another one than their id says.
#[derive(Debug, Default)]
struct Calls {
    inboxes: BTreeMap<CallId, Inbox>,
    adopted: BTreeMap<LegId, CallId>,
}

impl Registry {
    pub(super) fn insert(&self, call: CallId, inbox: Inbox) {
        self.lock().inboxes.insert(call, inbox);
    }

    pub(super) fn remove(&self, call: &CallId) {
        let mut calls = self.lock();
        calls.inboxes.remove(call);
        calls.adopted.retain(|_, owner| owner != call);
        drop(calls);
        self.changed.notify_waiters();
    }

    pub fn get(&self, call: &CallId) -> Option<Inbox> {
        self.lock().inboxes.get(call).cloned()
    }

    /// From now on the leg belongs to this call.
    pub(super) fn adopt(&self, leg: LegId, call: CallId) {
        self.lock().adopted.insert(leg, call);
    }

    /// The call a leg belongs to, whether it runs or not.
    pub fn call_of_leg(&self, leg: &LegId) -> Option<CallId> {
        let adopted = self.lock().adopted.get(leg).cloned();
        adopted.or_else(|| call_of(leg))
    }

    pub fn len(&self) -> usize {
        self.lock().inboxes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// To the call a leg belongs to; false if that call is over.
    pub fn send_to_leg(&self, leg: &LegId, input: CallInput) -> bool {
        let Some(inbox) = self.call_of_leg(leg).and_then(|call| self.get(&call)) else {
            return false;
        };
        inbox.send(input);
        true
    }

    /// To a call; false if it is over.
    pub fn send_event(&self, call: &CallId, event: Event) -> bool {
        let Some(inbox) = self.get(call) else {
            return false;
        };
        inbox.send(CallInput::Event(event));
        true
    }

    /// Calls that are not found here are looked for there. Set once, at the start.
    pub fn also_ask(&self, others: Arc<dyn OtherCalls>) {
        if self.others.set(others).is_err() {
            tracing::error!("the calls without a task are looked for in one place only");
        }
    }

    /// To a call, wherever it runs; false if it is over.
    pub async fn tell(&self, call: &CallId, event: Event) -> bool {
        if self.send_event(call, event.clone()) {
            return true;
        }
        match self.others.get() {
            Some(others) => others.tell(call, event).await,
            None => false,
        }
    }

    /// To all calls.
    pub fn send_all(&self, event: &Event) {
        let inboxes: Vec<Inbox> = self.lock().inboxes.values().cloned().collect();
        for inbox in inboxes {
            inbox.send(CallInput::Event(event.clone()));
        }
    }

    /// Waits until no call runs; false if that takes longer than `limit`.
    pub async fn wait_empty(&self, limit: Duration) -> bool {
        let empty = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if self.is_empty() {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, empty).await.is_ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A leg id holds the id of the call it was made for: `leg_X-N` belongs to `call_X`.
pub fn call_of(leg: &LegId) -> Option<CallId> {
    let (call, _) = leg.unique().rsplit_once('-')?;
    format!("{}{call}", CallId::PREFIX).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_names_its_call() {
        let call = CallId::from_unique("01k");
        assert_eq!(call_of(&LegId::derive(&call, 3)), Some(call));
        assert_eq!(call_of(&LegId::from_unique("loose")), None);
    }
}
