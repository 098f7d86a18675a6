//! The way out for events, and the wire messages among them.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use switchhook_model::{LegId, Timestamp};
use tokio::sync::mpsc;

use crate::config::SipTransport;
use crate::event::{SipEvent, SipLegEvent, WireDirection, WireMessage};
use crate::wire::{Peek, redact};

/// Wire messages waiting beyond this are dropped and counted; events of legs never are.
const MAX_WAITING_WIRE_MESSAGES: usize = 20_000;

/// How many calls that have no leg yet we hold messages for, how many of each, and how long.
const MAX_HELD_CALLS: usize = 256;
const MAX_HELD_PER_CALL: usize = 32;
const HELD_FOR: Duration = Duration::from_secs(5);

/// Wall-clock time. The one place of this crate that reads it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Sends events without ever blocking the network side. A task hands them on through a bounded
/// channel; what waits in between is bounded by the limit on legs and by dropping wire messages.
#[derive(Clone)]
pub(crate) struct EventQueue {
    sender: mpsc::UnboundedSender<SipEvent>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl EventQueue {
    /// The queue and the receiver for the user. Ends when either is dropped.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<SipEvent>) {
        let (sender, mut waiting_events) = mpsc::unbounded_channel();
        let (out, receiver) = mpsc::channel(capacity);
        let waiting = Arc::new(AtomicUsize::new(0));
        let queue = Self {
            sender,
            waiting: waiting.clone(),
            dropped: Arc::default(),
        };
        tokio::spawn(async move {
            while let Some(event) = waiting_events.recv().await {
                waiting.fetch_sub(1, Ordering::Relaxed);
                if out.send(event).await.is_err() {
                    return;
                }
            }
        });
        (queue, receiver)
    }

    pub(crate) fn send(&self, event: SipEvent) {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        if matches!(event, SipEvent::WireMessage(_)) && waiting > MAX_WAITING_WIRE_MESSAGES {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "SIP ladder messages dropped: nobody takes them");
            }
            return;
        }
        if self.sender.send(event).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn leg(&self, leg: &LegId, event: SipLegEvent) {
        self.send(SipEvent::Leg {
            leg: leg.clone(),
            event,
        });
    }
}

/// Sees every message on its way in and out and ties it to its leg.
pub(crate) struct Tap {
    events: EventQueue,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    legs: HashMap<String, LegId>,
    /// Messages of calls that may become a leg (an INVITE being challenged), oldest call first.
    held: VecDeque<Held>,
}

struct Held {
    sip_call_id: String,
    since: Timestamp,
    messages: Vec<WireMessage>,
}

impl Tap {
    pub(crate) fn new(events: EventQueue) -> Self {
        Self {
            events,
            index: Mutex::default(),
        }
    }

    /// A message passed the socket.
    pub(crate) fn message(
        &self,
        direction: WireDirection,
        transport: SipTransport,
        peer: SocketAddr,
        bytes: &[u8],
    ) {
        let peek = Peek::of(bytes);
        let mut message = WireMessage {
            at: now(),
            leg: None,
            direction,
            transport,
            peer,
            method: peek.method().map(str::to_owned),
            status: peek.status(),
            start_line: peek.start_line,
            sip_call_id: peek.sip_call_id,
            cseq: peek.cseq,
            text: redact(bytes),
        };
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leg) = index.legs.get(&message.sip_call_id) {
            message.leg = Some(leg.clone());
            self.events.send(SipEvent::WireMessage(Box::new(message)));
            return;
        }
        let held = index
            .held
            .iter_mut()
            .find(|held| held.sip_call_id == message.sip_call_id);
        if let Some(held) = held {
            if held.messages.len() < MAX_HELD_PER_CALL {
                held.messages.push(message);
                return;
            }
        } else if message.method.as_deref() == Some("INVITE") && !message.sip_call_id.is_empty() {
            if index.held.len() >= MAX_HELD_CALLS
                && let Some(oldest) = index.held.pop_front()
            {
                self.flush(oldest, None);
            }
            index.held.push_back(Held {
                sip_call_id: message.sip_call_id.clone(),
                since: message.at,
                messages: vec![message],
            });
            return;
        }
        self.events.send(SipEvent::WireMessage(Box::new(message)));
    }

    /// From now on the call's messages belong to `leg`, and those held so far too.
    pub(crate) fn bind(&self, sip_call_id: &str, leg: &LegId) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.legs.insert(sip_call_id.to_owned(), leg.clone());
        let at = index
            .held
            .iter()
            .position(|held| held.sip_call_id == sip_call_id);
        if let Some(held) = at.and_then(|at| index.held.remove(at)) {
            self.flush(held, Some(leg));
        }
    }

    /// The leg is over and its late messages are through.
    pub(crate) fn release(&self, sip_call_id: &str) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.legs.remove(sip_call_id);
    }

    /// Lets go of messages that no leg claimed.
    pub(crate) fn sweep(&self) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = now() - HELD_FOR;
        while index.held.front().is_some_and(|held| held.since < deadline) {
            if let Some(oldest) = index.held.pop_front() {
                self.flush(oldest, None);
            }
        }
    }

    fn flush(&self, held: Held, leg: Option<&LegId>) {
        for mut message in held.messages {
            message.leg = leg.cloned();
            self.events.send(SipEvent::WireMessage(Box::new(message)));
        }
    }
}
