//! What live pages are told: bounded, and whoever falls behind is told to read again.

use std::sync::Arc;

use serde_json::Value;
use switchhook_store::{CallHead, MessageRow};
use tokio::sync::broadcast;

/// Events kept for a slow reader; beyond that it gets a lag notice and fetches anew.
const KEPT: usize = 1024;

/// One thing that changed.
#[derive(Debug, Clone)]
pub enum LiveEvent {
    /// The list row of a call as it is now.
    Call(Arc<CallHead>),
    /// A message as it is now.
    Message(Arc<MessageRow>),
    /// A registration changed.
    Extensions(Arc<Value>),
}

impl LiveEvent {
    pub fn call(head: &CallHead) -> Self {
        Self::Call(Arc::new(head.clone()))
    }

    pub fn message(row: &MessageRow) -> Self {
        Self::Message(Arc::new(row.clone()))
    }
}

/// Sends to every subscriber; never waits.
#[derive(Debug, Clone)]
pub struct Bus {
    sender: broadcast::Sender<LiveEvent>,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(KEPT),
        }
    }
}

impl Bus {
    /// Without subscribers the event is nobody's loss.
    pub fn send(&self, event: LiveEvent) {
        let _ = self.sender.send(event);
    }

    pub fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.sender.subscribe()
    }
}
