//! `GET /api/calls/{id}/events`: what happened and what was on the wire, for the ladder.

#![expect(
    unused_qualifications,
    reason = "the macro of utoipa qualifies the query type"
)]

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchhook_model::Timestamp;
use switchhook_store::{EventRow, WireDirection, WireRow};
use utoipa::{IntoParams, ToSchema};

use super::stored;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{CallPath, Params, limit};
use crate::http::rfc3339;
use crate::http::state::HttpState;

const LIMIT_MAX: u32 = 500;
/// How we stand in the ladder.
const GATEWAY: &str = "switchhook";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct EventsQuery {
    /// `ladder` (default): what a reader of the ladder wants. `all`: every event and action too.
    level: Option<String>,
    /// 1 to 500, 200 if not given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One line of the ladder. Unlike other lists, oldest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct LadderEvent {
    id: String,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `wire`: a message on the wire. `fact`: something that happened.
    kind: &'static str,
    leg: Option<String>,
    /// `caller`, `switchhook`, `assistant`, `notices`, or who was dialled.
    from: String,
    to: String,
    /// Method or status line, or the name of the fact.
    label: String,
    /// For requests on the wire.
    method: Option<String>,
    /// For responses on the wire.
    status: Option<u16>,
    /// The whole message without its secrets, for roles that may see it.
    text: Option<String>,
    /// What else a fact says.
    data: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct EventPage {
    items: Vec<LadderEvent>,
    next_cursor: Option<String>,
}

/// Events of a call
#[utoipa::path(
    get, path = "/api/calls/{id}/events", tag = "calls",
    params(("id" = String, Path, description = "Call id"), EventsQuery),
    responses(
        (status = 200, body = EventPage),
        (status = 401, body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn events(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
    Params(query): Params<EventsQuery>,
) -> Result<Json<EventPage>, ApiError> {
    principal.require(Permission::SeeCalls)?;
    let bad = |message: &str| ApiError::bad_request("request.query", message);
    let everything = match query.level.as_deref() {
        None | Some("ladder") => false,
        Some("all") => true,
        Some(_) => return Err(bad("level: use ladder or all")),
    };
    let limit = limit(query.limit, 200, LIMIT_MAX)? as usize;
    let after = query
        .cursor
        .map(|cursor| {
            Place::parse(&cursor).ok_or_else(|| bad("cursor is not one this API gave out"))
        })
        .transpose()?;
    let call = stored(&state, &id).await?;
    let parties = parties(&call.view.value());
    let with_text = principal.role.may(Permission::SeeWire);

    let facts = state.store.events(&id).await?;
    let wire = state.store.wire(&id).await?;
    let mut lines: Vec<(Place, LadderEvent)> = facts
        .into_iter()
        .filter_map(|row| fact(row, everything))
        .chain(
            wire.into_iter()
                .map(|row| message(row, &parties, with_text)),
        )
        .filter(|(place, _)| after.is_none_or(|after| *place > after))
        .collect();
    lines.sort_by_key(|(place, _)| *place);
    let next_cursor = (lines.len() > limit).then(|| lines[limit - 1].0.to_text());
    Ok(Json(EventPage {
        items: lines
            .into_iter()
            .take(limit)
            .map(|(_, line)| line)
            .collect(),
        next_cursor,
    }))
}

/// Where a line stands: by time, then facts before the messages they caused, then as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    is_wire: bool,
    id: i64,
}

impl Place {
    fn to_text(self) -> String {
        let kind = if self.is_wire { 'w' } else { 'f' };
        format!("{}.{kind}{}", self.at, self.id)
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once('.')?;
        let (is_wire, id) = match rest.split_at_checked(1)? {
            ("w", id) => (true, id),
            ("f", id) => (false, id),
            _ => return None,
        };
        Some(Self {
            at: at.parse().ok()?,
            is_wire,
            id: id.parse().ok()?,
        })
    }
}

/// Who is at the other end of each leg.
fn parties(view: &Value) -> BTreeMap<String, String> {
    let legs = view["legs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    legs.iter()
        .filter_map(|leg| {
            let party = match (leg["party"].as_str(), leg["target"].as_str()) {
                (Some("caller"), _) => "caller",
                (_, Some(target)) => target,
                (Some(party), None) => party,
                (None, None) => return None,
            };
            Some((leg["id"].as_str()?.to_owned(), party.to_owned()))
        })
        .collect()
}

fn message(
    row: WireRow,
    parties: &BTreeMap<String, String>,
    with_text: bool,
) -> (Place, LadderEvent) {
    let leg = row.leg.map(|leg| leg.to_string());
    let party = leg
        .as_ref()
        .and_then(|leg| parties.get(leg))
        .cloned()
        .unwrap_or(row.peer);
    let (from, to) = match row.direction {
        WireDirection::Received => (party, GATEWAY.to_owned()),
        WireDirection::Sent => (GATEWAY.to_owned(), party),
    };
    // A status line begins with three digits, a request with its method.
    let first = row.summary.split(' ').next().unwrap_or_default();
    let status = first.parse::<u16>().ok().filter(|n| (100..700).contains(n));
    let place = Place {
        at: row.at.as_millis(),
        is_wire: true,
        id: row.id,
    };
    let line = LadderEvent {
        id: format!("ev_w{}", row.id),
        at: row.at,
        kind: "wire",
        leg,
        from,
        to,
        method: status.is_none().then(|| first.to_owned()),
        status,
        label: row.summary,
        text: with_text.then_some(row.raw),
        data: None,
    };
    (place, line)
}

/// None for what only repeats the wire or is for the machine, unless everything is asked for.
fn fact(row: EventRow, everything: bool) -> Option<(Place, LadderEvent)> {
    let Told { kind, name, data } = told(&row);
    let (from, to) = match (kind, name.as_str()) {
        (EMIT | "shell", _) => (GATEWAY, GATEWAY),
        ("action", "say" | "start_assistant" | "resume_assistant" | "stop_assistant") => {
            (GATEWAY, "assistant")
        }
        ("action", "take_message") => (GATEWAY, "assistant"),
        ("action", "notify") => (GATEWAY, "notices"),
        (
            "event",
            "assistant_asked_for_human"
            | "assistant_takes_message"
            | "message_taken"
            | "assistant_ended",
        ) => ("assistant", GATEWAY),
        ("event", "notice_accepted" | "notice_refused") => ("notices", GATEWAY),
        (
            "event",
            "operator_hangup" | "operator_transfer" | "operator_hold" | "operator_resume"
            | "restarted",
        ) => (GATEWAY, GATEWAY),
        ("event" | "action", _) if !everything => return None,
        _ => (GATEWAY, GATEWAY),
    };
    let place = Place {
        at: row.at.as_millis(),
        is_wire: false,
        id: row.id,
    };
    let line = LadderEvent {
        id: format!("ev_{}", row.id),
        at: row.at,
        kind: "fact",
        leg: data["leg"].as_str().map(ToOwned::to_owned),
        from: from.to_owned(),
        to: to.to_owned(),
        label: name,
        method: None,
        status: None,
        text: None,
        data: (!data.is_null()).then_some(data),
    };
    Some((place, line))
}

/// A stored fact, read.
struct Told<'a> {
    kind: &'a str,
    name: String,
    data: Value,
}

/// The kind of what the call itself reports.
const EMIT: &str = "emit";

/// Facts are stored as serde writes enums: `"name"` or `{"name": {…}}`; what the call reports is an
/// action `{"emit": {"type": "name", …}}`. A judge's fact wraps them once more: `{"seen": event}`,
/// `{"done": {"seq": 7, "kind": action}}`.
fn told(row: &EventRow) -> Told<'_> {
    let stored = row.data.value();
    let (kind, fact) = if let Some(event) = stored.get("seen") {
        ("event", event)
    } else if let Some(action) = stored.get("done").and_then(|done| done.get("kind")) {
        ("action", action)
    } else {
        (row.kind.as_str(), &stored)
    };
    let (name, data) = match fact {
        Value::String(name) => (name.clone(), Value::Null),
        Value::Object(fields) if fields.len() == 1 => {
            let (name, inner) = fields.iter().next().expect("one field");
            (name.clone(), inner.clone())
        }
        other => (kind.to_owned(), other.clone()),
    };
    match data["type"].as_str() {
        Some(reported) if name == EMIT => Told {
            kind: EMIT,
            name: reported.to_owned(),
            data,
        },
        _ => Told { kind, name, data },
    }
}
