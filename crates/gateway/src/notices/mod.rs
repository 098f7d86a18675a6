//! What is owed to staff. A notice is an outbox row, written in the transaction of the step that
//! owes it; [`worker`] takes due rows, sends them, and settles each together with its message row.
//!
//! Staff are reached by a list of [`ways`], the best one first. One that refuses, or that accepted and
//! then lost the message, is followed by the next; each way has a message row of its own.

mod ways;
mod wording;
mod worker;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_call::{NoticeBody, NoticeTemplate};
use switchhook_model::{CallId, CallerIdentity, MessageId, Timestamp};
use switchhook_store::{MessageRow, NewWork, Queue};

pub use ways::{Way, Ways, Words};
pub use worker::NoticeWorker;

/// The outbox kind of notices.
pub const KIND: &str = "notice";

/// What an outbox row of ours holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payload {
    /// The notice as the call knows it.
    pub message: MessageId,
    /// By which of the ways it goes.
    #[serde(default)]
    pub way: usize,
    /// For receivers that read JSON.
    pub body: Value,
    /// For people.
    #[serde(default)]
    pub text: String,
}

/// The rows that owe a notice, to be committed with the state that owes it.
pub fn owe(
    ways: &Ways,
    call: &CallId,
    message: &MessageId,
    template: NoticeTemplate,
    body: &NoticeBody,
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let text = if ways.first().reads_text() {
        wording::text(ways.words(), template, body)
    } else {
        wording::line(template, body)
    };
    let payload = Payload {
        message: message.clone(),
        way: 0,
        body: envelope(
            message,
            template_name(template),
            serde_json::json!(body),
            now,
        ),
        text: wording::text(ways.words(), template, body),
    };
    queue(ways, call, payload, text, now)
}

/// The rows of a booking the assistant took down.
pub fn booking(
    ways: &Ways,
    call: &CallId,
    message: &MessageId,
    caller: &CallerIdentity,
    details: &Value,
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let text = wording::booking(caller, details);
    let data = serde_json::json!({
        "call_id": call,
        "caller": caller.number,
        "caller_name": caller.display_name,
        "booking": details,
    });
    let payload = Payload {
        message: message.clone(),
        way: 0,
        body: envelope(message, "booking_taken", data, now),
        text: text.clone(),
    };
    queue(ways, call, payload, text, now)
}

/// The rows of what a caller said in a message of which a notice was owed before: who, and the words.
pub fn transcript(
    ways: &Ways,
    call: &CallId,
    message: &MessageId,
    (caller, words): (&str, &str),
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let text = wording::transcript(ways.words(), caller, words);
    let data = serde_json::json!({ "call_id": call, "caller": caller, "text": words });
    let payload = Payload {
        message: message.clone(),
        way: 0,
        body: envelope(message, "message_transcribed", data, now),
        text: text.clone(),
    };
    queue(ways, call, payload, text, now)
}

/// The same notice by the next way, if there is one.
pub fn next_way(
    ways: &Ways,
    call: Option<&CallId>,
    payload: &Payload,
    now: Timestamp,
) -> Option<(MessageRow, NewWork)> {
    let way = payload.way + 1;
    ways.get(way)?;
    let call = call?;
    let payload = Payload {
        way,
        ..payload.clone()
    };
    let text = payload.text.clone();
    Some(queue(ways, call, payload, text, now))
}

fn envelope(message: &MessageId, kind: &str, data: Value, now: Timestamp) -> Value {
    serde_json::json!({
        "type": format!("call.{kind}"),
        "message_id": message,
        "timestamp": now.to_rfc3339(),
        "data": data,
    })
}

fn queue(
    ways: &Ways,
    call: &CallId,
    payload: Payload,
    text: String,
    now: Timestamp,
) -> (MessageRow, NewWork) {
    let way = ways.get(payload.way).unwrap_or(&Way::Inbox);
    let id = row_id(&payload.message, payload.way);
    let row = MessageRow {
        id: id.clone(),
        call: Some(call.clone()),
        channel: way.channel().to_owned(),
        recipient: way.recipient(),
        text,
        state: "queued".to_owned(),
        vendor_id: None,
        error: None,
        created_at: now,
        updated_at: now,
    };
    let work = NewWork {
        queue: Queue::Outbox,
        key: id.to_string(),
        kind: KIND.to_owned(),
        call: Some(call.clone()),
        payload: serde_json::json!(payload),
        at: now,
        next_at: now,
        claimed_until: None,
    };
    (row, work)
}

/// Stands between a notice's id and the number of a later way.
const VIA: &str = "-via";

/// The message row of a notice by one of the ways: the first one has the notice's own id.
fn row_id(message: &MessageId, way: usize) -> MessageId {
    match way {
        0 => message.clone(),
        way => MessageId::from_unique(&format!("{}{VIA}{way}", message.unique())),
    }
}

/// The way of a message row, counted from 0.
pub fn way_of(row: &MessageId) -> u32 {
    let way = row.unique().split_once(VIA);
    way.and_then(|(_, way)| way.parse().ok()).unwrap_or(0)
}

/// The notice a message row belongs to.
pub fn notice_of(row: &MessageId) -> MessageId {
    match row.unique().split_once(VIA) {
        Some((notice, _)) => MessageId::from_unique(notice),
        None => row.clone(),
    }
}

fn template_name(template: NoticeTemplate) -> &'static str {
    match template {
        NoticeTemplate::MessageTaken => "message_taken",
        NoticeTemplate::MissedCall => "missed",
        NoticeTemplate::MessageUnread => "message_unread",
    }
}
