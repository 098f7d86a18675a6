//! `GET /api/calls`: calls, newest first.

#![expect(
    unused_qualifications,
    reason = "the macro of utoipa qualifies the query type"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use switchhook_model::Direction;
use switchhook_store::{CallFilter, PAGE_MAX};
use utoipa::{IntoParams, ToSchema};

use super::row::{CallListRow, rows};
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{Params, limit, time};
use crate::http::state::HttpState;

const STATUSES: [&str; 5] = [
    "ringing",
    "assistant",
    "transferring",
    "with_agent",
    "ended",
];
/// Longer texts match nothing anybody stored.
const Q_MAX: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListQuery {
    /// One or several, with commas: `ringing`, `assistant`, `transferring`, `with_agent`, `ended`.
    status: Option<String>,
    /// `inbound` or `outbound`.
    direction: Option<String>,
    /// Started at or after, RFC 3339.
    from: Option<String>,
    /// Started before, RFC 3339.
    to: Option<String>,
    /// Part of the id, caller, caller's name, callee, assistant or outcome.
    q: Option<String>,
    /// 1 to 200, 50 if not given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CallPage {
    items: Vec<CallListRow>,
    /// Null on the last page.
    next_cursor: Option<String>,
}

/// List calls
#[utoipa::path(
    get, path = "/api/calls", tag = "calls", params(ListQuery),
    responses(
        (status = 200, body = CallPage),
        (status = 400, description = "request.query names the parameter", body = ErrorBody),
        (status = 401, body = ErrorBody),
    ),
)]
pub(in crate::http) async fn list(
    State(state): State<HttpState>,
    principal: Principal,
    Params(query): Params<ListQuery>,
) -> Result<Json<CallPage>, ApiError> {
    principal.require(Permission::SeeCalls)?;
    let page = state.store.calls(&filter(query)?).await?;
    Ok(Json(CallPage {
        items: rows(&state.store, page.items).await?,
        next_cursor: page.next_cursor,
    }))
}

fn filter(query: ListQuery) -> Result<CallFilter, ApiError> {
    let bad = |message: String| ApiError::bad_request("request.query", message);
    let statuses: Vec<String> = query
        .status
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|status| !status.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    if statuses.iter().any(|one| !STATUSES.contains(&one.as_str())) {
        return Err(bad(format!("status: use {}", STATUSES.join(", "))));
    }
    let direction = match query.direction.as_deref() {
        None | Some("") => None,
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        Some(_) => return Err(bad("direction: use inbound or outbound".into())),
    };
    let q = query.q.filter(|q| !q.is_empty());
    if q.as_ref().is_some_and(|q| q.len() > Q_MAX) {
        return Err(bad(format!("q is longer than {Q_MAX} bytes")));
    }
    Ok(CallFilter {
        statuses,
        direction,
        from: time("from", query.from.as_deref())?,
        to: time("to", query.to.as_deref())?,
        q,
        limit: limit(query.limit, 50, PAGE_MAX)?,
        cursor: query
            .cursor
            .map(|cursor| cursor.parse())
            .transpose()
            .map_err(|error: switchhook_store::BadCursor| bad(error.to_string()))?,
    })
}
