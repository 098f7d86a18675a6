//! Sends what is due. A crash between the receiver's answer and our commit leads to one more try
//! under the same id, by which a receiver of webhooks knows it again; of a text message the carrier's
//! own report comes first, because it names our row.

use std::sync::Arc;
use std::time::Duration;

use switchhook_adapters::twilio::Carrier;
use switchhook_adapters::{Notice, NoticeSender};
use switchhook_call::Event;
use switchhook_model::{CallId, MessageId};
use switchhook_store::{Claim, MessageFilter, Queue, Settlement, Step, Store, WorkRow};
use tokio_util::sync::CancellationToken;

use super::{KIND, Payload, Way, Ways, next_way, row_id, way_of};
use crate::bus::{Bus, LiveEvent};
use crate::calls::{self, Registry};
use crate::clock;
use crate::twilio::messages::{self, Sent};

/// A claim is another worker's after this time: longer than any delivery takes.
const LEASE: Duration = Duration::from_secs(60);
/// Tries before a notice counts as failed for good: with the waits below about an hour.
const TRIES: u32 = 12;
/// Newest messages whose calls are looked at when the program starts.
const LOOKED_AT: u32 = 100;

/// The worker.
pub struct NoticeWorker {
    pub store: Store,
    pub ways: Ways,
    pub sender: Arc<dyn NoticeSender>,
    /// None: text messages cannot be sent.
    pub carrier: Option<Arc<dyn Carrier>>,
    /// Where the carrier reports what becomes of a message; without a slash at its end.
    pub report_url: Option<String>,
    pub calls: Registry,
    pub bus: Bus,
}

/// Why a try came to nothing.
struct Fault {
    /// For the log: nothing the receiver wrote, which may repeat the notice.
    plain: String,
    /// For the message's row.
    shown: String,
    is_retryable: bool,
    retry_after: Option<Duration>,
}

impl NoticeWorker {
    /// Delivers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ready = self.store.work_ready();
        self.tell_again().await;
        loop {
            let wait = match self.deliver_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "outbox cannot be read");
                    Duration::from_secs(5)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = ready.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// A process may have died between storing that a notice was accepted and telling its call: a call
    /// that does not know is told now.
    async fn tell_again(&self) {
        let filter = MessageFilter {
            limit: LOOKED_AT,
            ..MessageFilter::default()
        };
        let page = match self.store.messages(&filter).await {
            Ok(page) => page,
            Err(error) => return tracing::error!(%error, "messages cannot be read"),
        };
        for row in page.items {
            if !matches!(row.state.as_str(), "accepted" | "delivered") {
                continue;
            }
            if let Some(call) = &row.call
                && let Some(event) = calls::untold_acceptance(&self.store, call, &row.id).await
            {
                self.tell_call(call, event).await;
            }
        }
    }

    /// Delivers everything due; returns how long nothing is due.
    async fn deliver_due(&self) -> Result<Duration, switchhook_store::StoreError> {
        loop {
            let now = clock::now();
            let claimed = self
                .store
                .claim(Claim {
                    queue: Queue::Outbox,
                    kinds: &[KIND],
                    now,
                    until: now + LEASE,
                    limit: 16,
                })
                .await?;
            if claimed.is_empty() {
                let due = self.store.next_due(Queue::Outbox).await?;
                let wait = due.map_or(Duration::from_secs(60), clock::until);
                return Ok(wait.clamp(Duration::from_millis(50), Duration::from_secs(60)));
            }
            futures::future::join_all(claimed.iter().map(|row| self.deliver(row))).await;
        }
    }

    async fn deliver(&self, row: &WorkRow) {
        let payload: Payload = match serde_json::from_value(row.payload.clone()) {
            Ok(payload) => payload,
            Err(error) => {
                let error = format!("{:?} error at column {}", error.classify(), error.column());
                tracing::error!(key = row.key, error, "outbox row cannot be read");
                self.settle(row, None, Settlement::Failed { error }, "failed", None)
                    .await;
                return;
            }
        };
        match self.send(row, &payload).await {
            Ok(vendor_id) => {
                let id = row_id(&payload.message, payload.way);
                let is_lost = self.is_lost(&id).await;
                self.settle(row, Some(&id), Settlement::Done, "accepted", vendor_id)
                    .await;
                // The carrier may have reported the loss before it answered.
                if !is_lost {
                    let way = way_of(&id);
                    let message = payload.message;
                    self.tell(row, Event::NoticeAccepted { message, way }).await;
                }
            }
            Err(fault) => self.refused(row, &payload, fault).await,
        }
    }

    async fn is_lost(&self, id: &MessageId) -> bool {
        match self.store.message(id).await {
            Ok(Some(row)) => row.state == "failed",
            Ok(None) | Err(_) => false,
        }
    }

    /// One try by the notice's way. A text message's id at the carrier comes back.
    async fn send(&self, row: &WorkRow, payload: &Payload) -> Result<Option<String>, Fault> {
        let way = self.ways.get(payload.way).unwrap_or(&Way::Inbox);
        match way {
            Way::Inbox => Ok(None),
            Way::Webhook { url, secret } => {
                let notice = Notice {
                    id: payload.message.clone(),
                    url: url.clone(),
                    body: payload.body.to_string(),
                    secret: secret.clone(),
                };
                let delivered = self.sender.deliver(&notice).await;
                delivered.map(|_| None).map_err(|error| Fault {
                    // What the receiver answered may repeat the notice.
                    shown: match error.answer() {
                        Some(answer) => format!("{error}; it wrote: {answer}"),
                        None => error.to_string(),
                    },
                    is_retryable: error.is_retryable(),
                    retry_after: error.retry_after(),
                    plain: error.to_string(),
                })
            }
            Way::Sms { .. } | Way::WhatsApp { .. } => self.text(row, payload, way).await,
        }
    }

    async fn text(
        &self,
        row: &WorkRow,
        payload: &Payload,
        way: &Way,
    ) -> Result<Option<String>, Fault> {
        let lacking = |what: &str| Fault {
            plain: what.to_owned(),
            shown: what.to_owned(),
            is_retryable: false,
            retry_after: None,
        };
        let Some(carrier) = &self.carrier else {
            return Err(lacking(
                "text messages need the account of Twilio: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
            ));
        };
        let id = row_id(&payload.message, payload.way);
        // Another process sent it and died: the carrier's report has named the row since.
        if row.attempts > 1
            && let Ok(Some(known)) = self.store.message(&id).await
            && let Some(sid) = known.vendor_id
        {
            return Ok(Some(sid));
        }
        let report = self
            .report_url
            .as_ref()
            .map(|base| format!("{base}/twilio/message_status?message={id}"));
        match messages::send(carrier.as_ref(), way, &payload.text, report).await {
            Ok(Sent { sid }) => Ok(Some(sid)),
            Err(error) => Err(Fault {
                is_retryable: error.is_retryable(),
                retry_after: error.retry_after,
                shown: messages::explained(&error),
                plain: error.to_string(),
            }),
        }
    }

    async fn refused(&self, row: &WorkRow, payload: &Payload, fault: Fault) {
        let has_next = !self.ways.is_last(payload.way);
        let will_retry = !has_next && fault.is_retryable && row.attempts < TRIES;
        tracing::warn!(message.id = %payload.message, attempt = row.attempts, will_retry, has_next, error = fault.plain, "notice not accepted");
        metrics::counter!("switchhook_notices_refused_total").increment(1);
        let id = row_id(&payload.message, payload.way);
        let settlement = if will_retry {
            let wait = fault.retry_after.unwrap_or_else(|| backoff(row.attempts));
            let next_at = clock::now() + wait.min(Duration::from_secs(3600));
            Settlement::Retry {
                next_at,
                error: fault.shown,
            }
        } else {
            Settlement::Failed { error: fault.shown }
        };
        let state = if will_retry { "queued" } else { "failed" };
        if has_next {
            // The caller waits for the last word, not for the first refusal.
            self.go_on(row, payload, &id, settlement).await;
            return;
        }
        self.settle(row, Some(&id), settlement, state, None).await;
        self.tell(
            row,
            Event::NoticeRefused {
                message: payload.message.clone(),
                error: fault.plain,
                will_retry,
            },
        )
        .await;
    }

    /// Settles this way and queues the next one, in one transaction.
    async fn go_on(
        &self,
        row: &WorkRow,
        payload: &Payload,
        id: &MessageId,
        settlement: Settlement,
    ) {
        let now = clock::now();
        let mut step = self
            .settlement(row, Some(id), settlement, "failed", None)
            .await;
        if let Some((message, work)) = next_way(&self.ways, row.call.as_ref(), payload, now) {
            self.bus.send(LiveEvent::message(&message));
            step.messages.push(message);
            step.work.push(work);
        }
        self.commit(row, step).await;
    }

    /// Settles the outbox row and its message row in one transaction.
    async fn settle(
        &self,
        row: &WorkRow,
        message: Option<&MessageId>,
        settlement: Settlement,
        state: &str,
        vendor_id: Option<String>,
    ) {
        let step = self
            .settlement(row, message, settlement, state, vendor_id)
            .await;
        self.commit(row, step).await;
    }

    async fn settlement(
        &self,
        row: &WorkRow,
        message: Option<&MessageId>,
        settlement: Settlement,
        state: &str,
        vendor_id: Option<String>,
    ) -> Step {
        let mut step = Step::default();
        let error = match &settlement {
            Settlement::Done => None,
            Settlement::Retry { error, .. } | Settlement::Failed { error } => Some(error.clone()),
        };
        if let Some(id) = message
            && let Ok(Some(mut stored)) = self.store.message(id).await
        {
            // The carrier's report may have come before its answer.
            if !messages::is_final(&stored.state) {
                stored.state = state.to_owned();
                stored.error = error;
            }
            stored.vendor_id = vendor_id.or(stored.vendor_id);
            stored.updated_at = clock::now();
            self.bus.send(LiveEvent::message(&stored));
            step.messages.push(stored);
        }
        step.settle.push(row.settle(clock::now(), settlement));
        step
    }

    async fn commit(&self, row: &WorkRow, step: Step) {
        if let Err(error) = self.store.commit(step).await {
            // The lease runs out and the row is taken again, under the same id.
            tracing::error!(key = row.key, %error, "the outbox row could not be settled");
        }
    }

    /// Tells the call: a waiting caller hears the truth, and the page of an ended call shows it.
    async fn tell(&self, row: &WorkRow, event: Event) {
        if let Some(call) = &row.call {
            self.tell_call(call, event).await;
        }
    }

    async fn tell_call(&self, call: &CallId, event: Event) {
        if !self.calls.tell(call, event.clone()).await {
            calls::late_event(&self.store, &self.ways, &self.bus, call, event).await;
            // What the judge said before did not know of this.
            calls::judge(&self.store, call).await;
        }
    }
}

/// 2 s, 4 s, 8 s … 30 min.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(attempt.clamp(1, 11)).min(1800))
}
