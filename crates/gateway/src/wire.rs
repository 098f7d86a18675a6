//! Keeps the messages on the wire for the ladder. They are written in batches beside the calls'
//! steps: a full queue loses ladder lines (counted), never a call.

use std::time::Duration;

use switchhook_sip::{WireDirection, WireMessage};
use switchhook_store::{NewWire, Step, Store, WireDirection as StoredDirection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::calls::Registry;

/// Messages that may wait for the database.
const QUEUE: usize = 4096;
/// Messages of one transaction.
const BATCH: usize = 128;
/// How long a message waits for others.
const GATHER: Duration = Duration::from_millis(100);

/// Takes messages without waiting.
#[derive(Debug)]
pub struct WireLog {
    sender: mpsc::Sender<WireMessage>,
    writer: JoinHandle<()>,
}

impl WireLog {
    /// Starts the writer task; [`WireLog::close`] ends it.
    pub fn start(store: Store, registry: Registry) -> Self {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(async move {
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
        Self { sender, writer }
    }

    /// Writes what waits. Returns when it is in the store, which may be closed then.
    pub async fn close(self) {
        drop(self.sender);
        if self.writer.await.is_err() {
            tracing::error!("the writer of ladder messages had a fault");
        }
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

#[cfg(test)]
mod tests {
    use switchhook_model::{CallId, LegId};
    use switchhook_sip::SipTransport;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn what_was_taken_before_the_end_is_in_the_store_after_it() {
        let store = Store::memory();
        let call = CallId::from_unique("a");
        let wire = WireLog::start(store.clone(), Registry::default());
        for n in 0..300 {
            wire.keep(WireMessage {
                at: clock::now(),
                leg: Some(LegId::derive(&call, 0)),
                direction: WireDirection::Sent,
                transport: SipTransport::Udp,
                peer: ([192, 0, 2, 1], 5060).into(),
                method: Some("INVITE".to_owned()),
                status: None,
                start_line: "INVITE sip:2001@192.0.2.1 SIP/2.0".to_owned(),
                sip_call_id: format!("{n}@example.com"),
                cseq: "1 INVITE".to_owned(),
                text: String::new(),
            });
        }
        wire.close().await;
        assert_eq!(store.wire(&call).await.unwrap().len(), 300);
    }
}
