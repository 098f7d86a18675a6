//! `GET /api/calls/{id}/transcript`: what was said, as JSON or as plain text.

#![expect(
    unused_qualifications,
    reason = "the macro of utoipa qualifies the query type"
)]

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::detail::Turn;
use super::stored;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{CallPath, Params};
use crate::http::state::HttpState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct TranscriptQuery {
    /// `json` (default) or `text`.
    format: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Transcript {
    call_id: String,
    turns: Vec<Turn>,
}

/// Transcript
#[utoipa::path(
    get, path = "/api/calls/{id}/transcript", tag = "calls",
    params(("id" = String, Path, description = "Call id"), TranscriptQuery),
    responses(
        (status = 200, body = Transcript, description = "With format=text: one line per turn, `[00:12.4] caller: …`"),
        (status = 401, body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn transcript(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
    Params(query): Params<TranscriptQuery>,
) -> Result<Response, ApiError> {
    principal.require(Permission::SeeCalls)?;
    let as_text = match query.format.as_deref() {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => {
            return Err(ApiError::bad_request(
                "request.query",
                "format: use json or text",
            ));
        }
    };
    let call = stored(&state, &id).await?;
    let turns: Vec<Turn> = state
        .store
        .turns(&id)
        .await?
        .into_iter()
        .map(Turn::from)
        .collect();
    if as_text {
        let text = plain_text(call.head.started_at, &turns);
        return Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response());
    }
    let call_id = id.to_string();
    Ok(Json(Transcript { call_id, turns }).into_response())
}

/// One line per turn: nothing a turn says can look like another line.
fn plain_text(started_at: Timestamp, turns: &[Turn]) -> String {
    let mut lines = String::new();
    for turn in turns {
        let ms = turn.started_at.millis_since(started_at);
        let (minutes, seconds, tenths) = (ms / 60_000, ms / 1000 % 60, ms / 100 % 10);
        let text: String = turn
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let cut = if turn.interrupted { " —" } else { "" };
        lines.push_str(&format!(
            "[{minutes:02}:{seconds:02}.{tenths}] {}: {text}{cut}\n",
            turn.speaker
        ));
    }
    lines
}
