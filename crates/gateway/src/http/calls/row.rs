//! The row of a call in lists and live events.

use serde::Serialize;
use serde_json::Value;
use switchhook_model::{CallId, Direction, Timestamp};
use switchhook_store::{CallHead, Store, StoreError};
use utoipa::ToSchema;

use super::latency::{CallLatency, of_turns};
use crate::http::rfc3339;

/// A call in one line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct CallListRow {
    #[schema(value_type = String, example = "call_01k9x3m5t7")]
    pub id: CallId,
    #[schema(value_type = String, example = "inbound")]
    pub direction: Direction,
    /// `sip`, `twilio`, `browser` or `livekit`.
    pub channel: String,
    /// Nobody was really called: the program acted both ends.
    pub simulated: bool,
    pub profile: String,
    pub assistant: Option<String>,
    /// `ringing`, `assistant`, `transferring`, `with_agent` or `ended`.
    pub status: String,
    /// As the caller said it: data, never markup.
    pub caller: String,
    pub caller_name: Option<String>,
    pub callee: String,
    /// The human the caller talks or talked to.
    pub agent: Option<String>,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// `{code, ended_by, responsible, detail, remedy?}` once there is one.
    pub outcome: Option<Value>,
    pub latency: Option<CallLatency>,
    /// How many findings the judge has.
    pub violations: u64,
}

/// Completes list rows with what is not in their columns, one read for each kind.
pub(in crate::http) async fn rows(
    store: &Store,
    heads: Vec<CallHead>,
) -> Result<Vec<CallListRow>, StoreError> {
    let ids: Vec<CallId> = heads.iter().map(|head| head.id.clone()).collect();
    let mut views = store.views(&ids).await?;
    let mut latencies = store.latencies(&ids).await?;
    let violations = store.violation_counts(&ids).await?;
    Ok(heads
        .into_iter()
        .map(|head| {
            let view = views.remove(&head.id).unwrap_or_default();
            let measured = latencies.remove(&head.id).unwrap_or_default();
            let found = violations.get(&head.id).copied().unwrap_or(0);
            row(head, &view, &measured, found)
        })
        .collect())
}

fn row(head: CallHead, view: &Value, latencies: &[Value], violations: u64) -> CallListRow {
    let outcome = match (&view["outcome"], &head.outcome) {
        (Value::Object(_), _) => Some(view["outcome"].clone()),
        (_, Some(code)) => Some(serde_json::json!({ "code": code })),
        (_, None) => None,
    };
    // The column stays empty while something is left to settle; the view says when it was over.
    let ended_at = view["ended_at"]
        .as_str()
        .and_then(Timestamp::parse_rfc3339)
        .or(head.ended_at);
    CallListRow {
        agent: agent(view),
        latency: of_turns(latencies),
        outcome,
        ended_at,
        violations,
        id: head.id,
        direction: head.direction,
        channel: head.channel,
        simulated: view["simulated"] == true,
        profile: head.profile,
        assistant: head.assistant,
        status: head.status,
        caller: head.caller,
        caller_name: head.caller_name,
        callee: head.callee,
        started_at: head.started_at,
        answered_at: head.answered_at,
    }
}

/// The human whose leg was answered last.
fn agent(view: &Value) -> Option<String> {
    view["legs"]
        .as_array()?
        .iter()
        .rev()
        .find(|leg| leg["party"] == "agent" && leg["answered_at"].is_string())
        .and_then(|leg| leg["target"].as_str())
        .map(ToOwned::to_owned)
}
