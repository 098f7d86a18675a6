//! Keeps the messages on the wire for the ladder. They are written in batches beside the calls'
//! steps: a full queue loses ladder lines (counted), never a call.

use std::time::Duration;

use switchhook_sip::{WireDirection, WireMessage};
use switchhook_store::{NewWire, Step, Store, WireDirection as StoredDirection};
use tokio::sync::mpsc;

use crate::calls::Registry;

/// Messages that may wait for the database.
const QUEUE: usize = 4096;
/// Messages of one transaction.
const BATCH: usize = 128;
/// How long a message waits for others.
const GATHER: Duration = Duration::from_millis(100);

/// Takes messages without waiting.
#[derive(Debug, Clone)]
pub struct WireLog {
    sender: mpsc::Sender<WireMessage>,
}

impl WireLog {
    /// Starts the writer task; it ends when the last handle is gone.
    pub fn start(store: Store, registry: Registry) -> Self {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                let more = tokio::time::timeout(GATHER, queue.recv()).await;
                if let Ok(Some(message)) = more {
                    batch.push(message);
                }
                let wire = batch
                    .drain(..)
                    .map(|message| row(message, &registry))
                    .collect();
                if let Err(error) = store
                    .commit(Step {
                        wire,
                        ..Step::default()
                    })
                    .await
                {
                    tracing::warn!(%error, "ladder messages could not be stored");
                    metrics::counter!("switchhook_wire_messages_lost_total").increment(1);
                }
            }
        });
        Self { sender }
    }

    pub fn keep(&self, message: WireMessage) {
        // What belongs to no call (OPTIONS, REGISTER) would only fill the database.
        if message.leg.is_some() && self.sender.try_send(message).is_err() {
            metrics::counter!("switchhook_wire_messages_lost_total").increment(1);
        }
    }
}

fn row(message: WireMessage, registry: &Registry) -> NewWire {
    let summary = match (&message.method, message.status) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => message.start_line.trim_start_matches("SIP/2.0 ").to_owned(),
        (None, None) => message.start_line.clone(),
    };
    NewWire {
        at: message.at,
        call: message
            .leg
            .as_ref()
            .and_then(|leg| registry.call_of_leg(leg)),
        leg: message.leg,
        direction: match message.direction {
            WireDirection::Received => StoredDirection::Received,
            WireDirection::Sent => StoredDirection::Sent,
        },
        peer: message.peer.to_string(),
        summary,
        sip_call_id: Some(message.sip_call_id),
        cseq: Some(message.cseq),
        raw: message.text,
    }
}
