//! Text messages to staff, and what the carrier reports of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_adapters::twilio::catalogue;
use switchhook_adapters::twilio::rest::{MessageContent, NewMessage, Sender};
use switchhook_adapters::twilio::webhook::{MessageStatus, Webhook};
use switchhook_adapters::twilio::{Carrier, Params, TwilioError};
use switchhook_call::Event;
use switchhook_model::MessageId;
use switchhook_store::{MessageRow, Queue, Step};

use super::Engine;
use super::engine::StepError;
use crate::bus::LiveEvent;
use crate::calls;
use crate::clock;
use crate::notices::{Payload, Way, next_way, notice_of, way_of};

/// A message the carrier took.
#[derive(Debug)]
pub struct Sent {
    pub sid: String,
}

/// Sends once. `report` is where the carrier tells what becomes of it.
pub async fn send(
    carrier: &dyn Carrier,
    way: &Way,
    text: &str,
    report: Option<String>,
) -> Result<Sent, TwilioError> {
    let (to, from, content) = match way {
        Way::Sms { from, to } => (
            to.to_string(),
            from.to_string(),
            MessageContent::Text(text.to_owned()),
        ),
        Way::WhatsApp { from, to, template } => {
            let content = match template {
                Some(template) => MessageContent::Template {
                    content_sid: template.clone(),
                    // One line: a template's variable holds no line breaks.
                    variables: BTreeMap::from([(
                        "1".to_owned(),
                        text.split_whitespace().collect::<Vec<_>>().join(" "),
                    )]),
                },
                None => MessageContent::Text(text.to_owned()),
            };
            (
                format!("whatsapp:{to}"),
                format!("whatsapp:{from}"),
                content,
            )
        }
        Way::Webhook { .. } | Way::Inbox => {
            unreachable!("only text messages are sent by the carrier")
        }
    };
    let message = NewMessage {
        to,
        from: Sender::Number(from),
        content,
        status_callback: report,
        validity_s: None,
    };
    let sent = carrier.create_message(&message).await?;
    Ok(Sent { sid: sent.sid })
}

/// For the message's row: the code, its cause and its cure.
pub fn explained(error: &TwilioError) -> String {
    match error.vendor_message() {
        Some(message) => format!("{error}; Twilio wrote: {message}"),
        None => error.to_string(),
    }
}

/// Whether a message's state is the last one.
pub fn is_final(state: &str) -> bool {
    matches!(state, "delivered" | "failed")
}

impl Engine {
    /// The carrier tells what became of a message. Reports come in any order, and more than once.
    pub(super) async fn message_reported(
        self: &Arc<Self>,
        params: &Params,
    ) -> Result<(), StepError> {
        let webhook = Webhook::new(params);
        let Some(update) = webhook.message() else {
            return Ok(());
        };
        let Some(mut row) = self.reported_row(params, update.sid).await? else {
            return Ok(());
        };
        let was = row.state.clone();
        if is_final(&was) && was != "queued" {
            return Ok(());
        }
        let state = match &update.status {
            status if status.is_delivered() => "delivered",
            status if status.is_lost() => "failed",
            MessageStatus::Accepted
            | MessageStatus::Scheduled
            | MessageStatus::Queued
            | MessageStatus::Sending
            | MessageStatus::Sent => "accepted",
            _ => return Ok(()),
        };
        row.vendor_id = Some(update.sid.to_owned());
        row.updated_at = clock::now();
        let mut step = Step::default();
        let mut news = None;
        if state == "failed" {
            row.error = Some(why(update.error_code));
            let next = self.next_of(&row).await?;
            let has_next = next.is_some();
            if let Some((message, work)) = next {
                step.messages.push(message);
                step.work.push(work);
            }
            let code = update.error_code.map_or_else(
                || "the carrier could not deliver it".to_owned(),
                |code| format!("the carrier could not deliver it ({code})"),
            );
            news = told(&was, &row.id, code, has_next);
        }
        if let ("delivered", Some(call)) = (state, &row.call) {
            // A process may have died between the carrier's answer and telling the call of it.
            news = calls::untold_acceptance(&self.shared.store, call, &row.id).await;
        }
        // Before the answer to our own request it is only noted whose it is.
        if state == "failed" || state == "delivered" || was == "accepted" {
            row.state = state.to_owned();
        }
        step.messages.insert(0, row.clone());
        self.shared
            .store
            .commit(step)
            .await
            .map_err(|error| StepError::Store(error.to_string()))?;
        self.shared.bus.send(LiveEvent::message(&row));
        if let (Some(event), Some(call)) = (news, &row.call) {
            let shared = &self.shared;
            if !shared.registry.tell(call, event.clone()).await {
                let (store, bus) = (&shared.store, &shared.bus);
                calls::late_event(store, &shared.notices, bus, call, event).await;
                // What the judge said before did not know of this.
                calls::judge(store, call).await;
            }
        }
        Ok(())
    }

    /// The row a report is about: by the carrier's id, or by ours, which stands in the URL we gave.
    async fn reported_row(
        &self,
        params: &Params,
        sid: &str,
    ) -> Result<Option<MessageRow>, StepError> {
        let store = &self.shared.store;
        if let Some(id) = params.get("message") {
            let Ok(id) = id.parse::<MessageId>() else {
                return Ok(None);
            };
            let row = store.message(&id).await?;
            // Ours, and not another message's id.
            return Ok(row.filter(|row| row.vendor_id.as_deref().is_none_or(|known| known == sid)));
        }
        for channel in ["sms", "whatsapp"] {
            if let Some(row) = store.message_of_vendor(channel, sid).await? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The notice by its next way.
    async fn next_of(
        &self,
        row: &MessageRow,
    ) -> Result<Option<(MessageRow, switchhook_store::NewWork)>, StepError> {
        let work = self
            .shared
            .store
            .work(Queue::Outbox, row.id.as_str())
            .await?;
        let payload = work.and_then(|work| serde_json::from_value::<Payload>(work.payload).ok());
        Ok(payload.and_then(|payload| {
            next_way(
                &self.shared.notices,
                row.call.as_ref(),
                &payload,
                clock::now(),
            )
        }))
    }
}

fn why(code: Option<u32>) -> String {
    let Some(code) = code else {
        return "not delivered; the carrier does not say why".to_owned();
    };
    match catalogue::explain(code) {
        Some(known) => format!("{code}: {} {}", known.cause.en, known.cure.en),
        None => format!("{code}: not delivered; look the code up at Twilio"),
    }
}

/// What the call is told of a lost message.
fn told(was: &str, row: &MessageId, error: String, has_next: bool) -> Option<Event> {
    let message = notice_of(row);
    if was == "accepted" {
        return Some(Event::NoticeUndelivered {
            message,
            way: way_of(row),
            error,
            will_retry: has_next,
        });
    }
    // It was never told to have been accepted; the next way may be.
    (!has_next).then_some(Event::NoticeRefused {
        message,
        error,
        will_retry: false,
    })
}
