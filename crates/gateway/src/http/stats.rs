//! `GET /api/stats`: figures over a span of time.

#![expect(
    unused_qualifications,
    reason = "the macro of utoipa qualifies the query type"
)]

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use switchhook_model::Timestamp;
use switchhook_store::Count;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Permission, Principal};
use super::calls::{CallLatency, of_turns};
use super::error::{ApiError, ErrorBody};
use super::extract::{Params, time};
use super::rfc3339;
use super::state::HttpState;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer spans would read the whole database.
const SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// Started at or after, RFC 3339; a day before `to` if not given.
    from: Option<String>,
    /// Started before, RFC 3339; now if not given.
    to: Option<String>,
}

/// Calls started within the span.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsAnswer {
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[serde(serialize_with = "rfc3339::required")]
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    calls: u64,
    /// Not ended.
    live: u64,
    by_status: BTreeMap<String, u64>,
    by_direction: BTreeMap<String, u64>,
    by_outcome: BTreeMap<String, u64>,
    transfers_by_outcome: BTreeMap<String, u64>,
    /// Findings of the judge.
    violations: u64,
    /// Mean of answer to end.
    mean_talk_ms: Option<u64>,
    /// Over the newest 2000 measured turns of the span.
    latency: Option<CallLatency>,
}

/// Figures
#[utoipa::path(
    get, path = "/api/stats", tag = "calls", params(StatsQuery),
    responses(
        (status = 200, body = StatsAnswer),
        (status = 400, description = "request.query", body = ErrorBody),
        (status = 401, body = ErrorBody),
    ),
)]
pub(super) async fn stats(
    State(state): State<HttpState>,
    principal: Principal,
    Params(query): Params<StatsQuery>,
) -> Result<Json<StatsAnswer>, ApiError> {
    principal.require(Permission::SeeCalls)?;
    let to = time("to", query.to.as_deref())?.unwrap_or_else(|| state.now());
    let from = time("from", query.from.as_deref())?.unwrap_or(to - DAY);
    if from > to || to.millis_since(from) > SPAN_MAX.as_millis() as u64 {
        return Err(ApiError::bad_request(
            "request.query",
            "from must be before to, by at most 366 days",
        ));
    }
    let stats = state.store.stats(from, to).await?;
    let by_status = table(stats.by_status);
    let ended = by_status.get("ended").copied().unwrap_or(0);
    Ok(Json(StatsAnswer {
        from,
        to,
        calls: stats.calls,
        live: stats.calls.saturating_sub(ended),
        by_status,
        by_direction: table(stats.by_direction),
        by_outcome: table(stats.by_outcome),
        transfers_by_outcome: table(stats.transfers_by_outcome),
        violations: stats.violations,
        mean_talk_ms: stats.mean_talk_ms,
        latency: of_turns(&stats.latencies),
    }))
}

fn table(counts: Vec<Count>) -> BTreeMap<String, u64> {
    counts
        .into_iter()
        .map(|count| (count.value, count.count))
        .collect()
}
