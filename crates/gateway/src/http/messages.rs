//! `GET /api/messages`: what was sent to whom, and what became of it.

#![expect(
    unused_qualifications,
    reason = "the macro of utoipa qualifies the query type"
)]

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;
use switchhook_store::{
    MessageFilter, MessageRow, PAGE_MAX, Queue, Store, StoreError, WorkRow, WorkState,
};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Permission, Principal};
use super::error::{ApiError, ErrorBody};
use super::extract::{Params, limit};
use super::rfc3339;
use super::state::HttpState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// Only those of this call.
    call_id: Option<String>,
    /// `queued`, `sending`, `accepted`, `delivered` or `failed`.
    state: Option<String>,
    /// 1 to 200, 50 if not given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A message to somebody.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Message {
    id: String,
    call_id: Option<String>,
    /// `webhook`, `inbox`, `sms`, `whatsapp` or `email`.
    channel: String,
    to: String,
    text: String,
    /// `queued`, `sending`, `accepted`, `delivered` or `failed`.
    state: String,
    vendor_id: Option<String>,
    /// Why the last try failed.
    error: Option<String>,
    /// Tries so far.
    attempts: Option<u32>,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When it is tried again.
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MessagePage {
    items: Vec<Message>,
    next_cursor: Option<String>,
}

/// List messages
#[utoipa::path(
    get, path = "/api/messages", tag = "messages", params(MessagesQuery),
    responses(
        (status = 200, body = MessagePage),
        (status = 400, description = "request.query", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
    ),
)]
pub(super) async fn messages(
    State(state): State<HttpState>,
    principal: Principal,
    Params(query): Params<MessagesQuery>,
) -> Result<Json<MessagePage>, ApiError> {
    principal.require(Permission::SeeMessages)?;
    let bad = |message: &str| ApiError::bad_request("request.query", message);
    let call = query
        .call_id
        .map(|id| id.parse())
        .transpose()
        .map_err(|_| bad("call_id is not the id of a call"))?;
    let cursor = query
        .cursor
        .map(|cursor| MessageFilter::parse_cursor(&cursor))
        .transpose()
        .map_err(|error| bad(&error.to_string()))?;
    let filter = MessageFilter {
        call,
        state: query.state,
        limit: limit(query.limit, 50, PAGE_MAX)?,
        cursor,
    };
    let page = state.store.messages(&filter).await?;
    Ok(Json(MessagePage {
        items: message_views(&state.store, page.items).await?,
        next_cursor: page.next_cursor,
    }))
}

/// Completes messages with the state of their delivery: the outbox row has the message's id as key.
pub(super) async fn message_views(
    store: &Store,
    rows: Vec<MessageRow>,
) -> Result<Vec<Message>, StoreError> {
    let keys: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    let mut deliveries: BTreeMap<String, WorkRow> = store
        .works(Queue::Outbox, &keys)
        .await?
        .into_iter()
        .map(|row| (row.key.clone(), row))
        .collect();
    Ok(rows
        .into_iter()
        .map(|row| {
            let delivery = deliveries.remove(row.id.as_str());
            view(row, delivery)
        })
        .collect())
}

fn view(row: MessageRow, delivery: Option<WorkRow>) -> Message {
    Message {
        id: row.id.to_string(),
        call_id: row.call.map(|call| call.to_string()),
        channel: row.channel,
        to: row.recipient,
        text: row.text,
        state: row.state,
        vendor_id: row.vendor_id,
        error: row.error,
        attempts: delivery.as_ref().map(|work| work.attempts),
        created_at: row.created_at,
        updated_at: row.updated_at,
        next_attempt_at: delivery
            .filter(|work| work.state == WorkState::Pending)
            .map(|work| work.next_at),
    }
}
