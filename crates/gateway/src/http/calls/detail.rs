//! `GET /api/calls/{id}`: everything about one call.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use switchhook_model::Timestamp;
use switchhook_store::{CallRow, RecordingRow, TurnRow, ViolationRow};
use utoipa::ToSchema;

use super::latency::{CallLatency, of_turns};
use super::recording::of_call;
use super::shape::CallView;
use super::stored;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::CallPath;
use crate::http::rfc3339;
use crate::http::state::HttpState;

/// What the shell adds to the view the call itself made.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CallDetail {
    #[serde(flatten)]
    #[schema(value_type = CallView)]
    view: Map<String, Value>,
    turns: Vec<Turn>,
    latency: Option<CallLatency>,
    recording: Option<Recording>,
    violations: Vec<Violation>,
}

/// One party's go.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Turn {
    pub id: String,
    pub n: u32,
    /// `caller`, `assistant`, `agent` or `system`.
    pub speaker: String,
    /// For the assistant what was really heard.
    pub text: String,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    pub interrupted: bool,
    /// Milliseconds: `endpoint_ms, transcribe_ms, think_ms, synthesize_ms, ours_ms, first_audio_ms`.
    pub latency: Option<Value>,
}

impl From<TurnRow> for Turn {
    fn from(row: TurnRow) -> Self {
        Self {
            id: row.id.to_string(),
            n: row.n,
            speaker: row.speaker,
            text: row.text,
            started_at: row.started_at,
            ended_at: row.ended_at,
            interrupted: row.interrupted,
            latency: row.latency,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Recording {
    id: String,
    /// `recording`, `ready`, `failed` or `deleted`.
    state: &'static str,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    duration_ms: Option<u64>,
    error: Option<String>,
}

impl From<&RecordingRow> for Recording {
    fn from(row: &RecordingRow) -> Self {
        Self {
            id: row.id.to_string(),
            state: row.state.as_str(),
            started_at: row.started_at,
            duration_ms: row.duration_ms,
            error: row.error.clone(),
        }
    }
}

/// A finding of the judge.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Violation {
    code: String,
    detail: String,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    cause: String,
    cure: String,
}

impl From<ViolationRow> for Violation {
    fn from(row: ViolationRow) -> Self {
        Self {
            code: row.code,
            detail: row.detail,
            at: row.at,
            cause: row.cause,
            cure: row.cure,
        }
    }
}

/// One call
#[utoipa::path(
    get, path = "/api/calls/{id}", tag = "calls",
    params(("id" = String, Path, description = "Call id")),
    responses(
        (status = 200, body = CallDetail),
        (status = 401, body = ErrorBody),
        (status = 404, description = "call.unknown", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn detail(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
) -> Result<Json<CallDetail>, ApiError> {
    principal.require(Permission::SeeCalls)?;
    let call = stored(&state, &id).await?;
    let turns = state.store.turns(&id).await?;
    let recordings = state.store.recordings(&id).await?;
    let violations = state.store.violations(&id).await?;
    Ok(Json(CallDetail {
        view: view(call),
        latency: of_turns(turns.iter().filter_map(|turn| turn.latency.as_ref())),
        turns: turns.into_iter().map(Turn::from).collect(),
        recording: of_call(&recordings).map(Recording::from),
        violations: violations.into_iter().map(Violation::from).collect(),
    }))
}

/// The call's own view; from the columns if an old row has none that can be read.
fn view(call: CallRow) -> Map<String, Value> {
    let mut view = match call.view.value() {
        Value::Object(view) => view,
        _ => Map::new(),
    };
    let head = call.head;
    let from_columns = json!({
        "id": head.id,
        "direction": head.direction,
        "channel": head.channel,
        "profile": head.profile,
        "assistant": head.assistant,
        "status": head.status,
        "caller": head.caller,
        "caller_name": head.caller_name,
        "callee": head.callee,
        "started_at": head.started_at.to_rfc3339(),
        "answered_at": head.answered_at.map(Timestamp::to_rfc3339),
        "ended_at": head.ended_at.map(Timestamp::to_rfc3339),
        "outcome": head.outcome.map(|code| json!({ "code": code })),
        "legs": [],
        "transfers": [],
    });
    if let Value::Object(columns) = from_columns {
        for (name, value) in columns {
            view.entry(name).or_insert(value);
        }
    }
    // Written below, never taken from the view.
    for name in ["turns", "latency", "recording", "violations"] {
        view.remove(name);
    }
    view
}
