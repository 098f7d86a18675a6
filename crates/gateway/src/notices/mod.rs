//! Delivers what is owed to staff. A notice is an outbox row, written in the transaction of the step
//! that owes it; this worker takes due rows, posts them, and settles each together with its message
//! row. A crash between the receiver's answer and our commit leads to one more try under the same
//! `webhook-id`, by which the receiver knows it again.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_adapters::{Notice, NoticeError, NoticeSender, Secret};
use switchhook_call::{Event, NoticeBody, NoticeTemplate};
use switchhook_model::{CallId, CallerIdentity, MessageId, Timestamp};
use switchhook_store::{Claim, MessageRow, NewWork, Queue, Settlement, Step, Store, WorkRow};
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, LiveEvent};
use crate::calls::{self, Registry};
use crate::clock;

/// The outbox kind of notices.
pub const KIND: &str = "notice";

/// A claim is another worker's after this time: longer than any delivery takes.
const LEASE: Duration = Duration::from_secs(60);
/// Tries before a notice counts as failed for good: with the waits below about an hour.
const TRIES: u32 = 12;

/// What an outbox row of ours holds.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    message: MessageId,
    body: Value,
}

/// Where notices go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// To this URL, signed when there is a secret.
    Webhook { url: String, secret: Option<Secret> },
    /// Nowhere else: the message row is the inbox, shown by `/api/messages`.
    Inbox,
}

impl Destination {
    fn channel(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Inbox => "inbox",
        }
    }

    /// Who receives it, as the console shows it: the host, never a path that may hold a token.
    fn recipient(&self) -> String {
        match self {
            Self::Webhook { url, .. } => url::Url::parse(url)
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_else(|| "webhook".to_owned()),
            Self::Inbox => "staff".to_owned(),
        }
    }
}

/// The rows that owe a notice, to be committed with the state that owes it.
pub fn owe(
    destination: &Destination,
    call: &CallId,
    message: &MessageId,
    template: NoticeTemplate,
    body: &NoticeBody,
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let text = summary(template, body);
    queue(
        destination,
        call,
        message,
        template_name(template),
        text,
        serde_json::json!(body),
        now,
    )
}

/// The rows of a booking the assistant took down.
pub fn booking(
    destination: &Destination,
    call: &CallId,
    message: &MessageId,
    caller: &CallerIdentity,
    details: &Value,
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let people = details.get("people").and_then(Value::as_u64);
    let when = details
        .get("datetime")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let text = match people {
        Some(people) => format!("{} booked for {people} on {when}", caller.number),
        None => format!("{} booked {when}", caller.number),
    };
    let data = serde_json::json!({
        "call_id": call,
        "caller": caller.number,
        "caller_name": caller.display_name,
        "booking": details,
    });
    queue(destination, call, message, "booking_taken", text, data, now)
}

fn queue(
    destination: &Destination,
    call: &CallId,
    message: &MessageId,
    kind: &str,
    text: String,
    data: Value,
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let body = serde_json::json!({
        "type": format!("call.{kind}"),
        "message_id": message,
        "timestamp": now.to_rfc3339(),
        "data": data,
    });
    let row = MessageRow {
        id: message.clone(),
        call: Some(call.clone()),
        channel: destination.channel().to_owned(),
        recipient: destination.recipient(),
        text,
        state: "queued".to_owned(),
        vendor_id: None,
        error: None,
        created_at: now,
        updated_at: now,
    };
    let work = NewWork {
        queue: Queue::Outbox,
        key: message.to_string(),
        kind: KIND.to_owned(),
        call: Some(call.clone()),
        payload: serde_json::json!(Payload {
            message: message.clone(),
            body
        }),
        at: now,
        next_at: now,
        claimed_until: None,
    };
    (row, work)
}

fn template_name(template: NoticeTemplate) -> &'static str {
    match template {
        NoticeTemplate::MessageTaken => "message_taken",
        NoticeTemplate::MissedCall => "missed",
        NoticeTemplate::MessageUnread => "message_unread",
    }
}

/// One line for the inbox. Data from outside: whoever shows it escapes it.
fn summary(template: NoticeTemplate, body: &NoticeBody) -> String {
    let who = match &body.caller_name {
        Some(name) => format!("{name} ({})", body.caller),
        None => body.caller.clone(),
    };
    match template {
        NoticeTemplate::MessageTaken if body.text.is_empty() => {
            format!(
                "{who} left a spoken message of {} s",
                body.duration_ms.div_ceil(1000)
            )
        }
        NoticeTemplate::MessageTaken => format!("{who}: {}", body.text),
        NoticeTemplate::MissedCall => format!("{who} asked for a human and reached nobody"),
        NoticeTemplate::MessageUnread => {
            format!("{who} was cut off while leaving a message: listen to the recording")
        }
    }
}

/// The worker.
pub struct NoticeWorker {
    pub store: Store,
    pub destination: Destination,
    pub sender: Arc<dyn NoticeSender>,
    pub calls: Registry,
    pub bus: Bus,
}

impl NoticeWorker {
    /// Delivers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ready = self.store.work_ready();
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
                self.settle(row, None, Settlement::Failed { error }, "failed")
                    .await;
                return;
            }
        };
        let outcome = match &self.destination {
            Destination::Inbox => Ok(()),
            Destination::Webhook { url, secret } => self
                .sender
                .deliver(&Notice {
                    id: payload.message.clone(),
                    url: url.clone(),
                    body: payload.body.to_string(),
                    secret: secret.clone(),
                })
                .await
                .map(|_accepted| ()),
        };
        match outcome {
            Ok(()) => {
                let message = payload.message;
                self.settle(row, Some(&message), Settlement::Done, "accepted")
                    .await;
                self.tell(row, Event::NoticeAccepted { message }).await;
            }
            Err(error) => self.refused(row, payload.message, error).await,
        }
    }

    async fn refused(&self, row: &WorkRow, message: MessageId, error: NoticeError) {
        let will_retry = error.is_retryable() && row.attempts < TRIES;
        tracing::warn!(message.id = %message, attempt = row.attempts, will_retry, %error, "notice not accepted");
        metrics::counter!("switchhook_notices_refused_total").increment(1);
        // What the receiver answered may repeat the notice: it stands in the message's row only.
        let shown = match error.answer() {
            Some(answer) => format!("{error}; it wrote: {answer}"),
            None => error.to_string(),
        };
        let (settlement, state) = if will_retry {
            let wait = error.retry_after().unwrap_or_else(|| backoff(row.attempts));
            let next_at = clock::now() + wait.min(Duration::from_secs(3600));
            (
                Settlement::Retry {
                    next_at,
                    error: shown,
                },
                "queued",
            )
        } else {
            (Settlement::Failed { error: shown }, "failed")
        };
        self.settle(row, Some(&message), settlement, state).await;
        let error = error.to_string();
        self.tell(
            row,
            Event::NoticeRefused {
                message,
                error,
                will_retry,
            },
        )
        .await;
    }

    /// Settles the outbox row and its message row in one transaction.
    async fn settle(
        &self,
        row: &WorkRow,
        message: Option<&MessageId>,
        settlement: Settlement,
        state: &str,
    ) {
        let mut step = Step::default();
        let error = match &settlement {
            Settlement::Done => None,
            Settlement::Retry { error, .. } | Settlement::Failed { error } => Some(error.clone()),
        };
        if let Some(id) = message
            && let Ok(Some(mut stored)) = self.store.message(id).await
        {
            stored.state = state.to_owned();
            stored.error = error;
            stored.updated_at = clock::now();
            self.bus.send(LiveEvent::message(&stored));
            step.messages.push(stored);
        }
        step.settle.push(row.settle(clock::now(), settlement));
        if let Err(error) = self.store.commit(step).await {
            // The lease runs out and the row is taken again, under the same id.
            tracing::error!(key = row.key, %error, "the outbox row could not be settled");
        }
    }

    /// Tells the call: a waiting caller hears the truth, and the page of an ended call shows it.
    async fn tell(&self, row: &WorkRow, event: Event) {
        if let Some(call) = &row.call
            && !self.calls.send_event(call, event.clone())
        {
            calls::late_event(&self.store, &self.destination, &self.bus, call, event).await;
        }
    }
}

/// 2 s, 4 s, 8 s … 30 min.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(attempt.clamp(1, 11)).min(1800))
}
