//! Figures over a span of time.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use switchhook_model::Timestamp;

use super::SqliteBackend;
use crate::error::StoreError;
use crate::stats::{Count, LATENCIES_MAX, Stats};

impl SqliteBackend {
    pub(super) async fn read_stats(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Stats, StoreError> {
        let failed = |error| self.error(error);
        let span = (from.as_millis(), to.as_millis());
        let (calls, mean_talk_ms): (i64, Option<f64>) = sqlx::query_as(
            "SELECT count(*), avg(CASE WHEN answered_at IS NOT NULL THEN ended_at - answered_at END)
             FROM calls WHERE started_at >= $1 AND started_at < $2",
        )
        .bind(span.0)
        .bind(span.1)
        .fetch_one(&self.read)
        .await
        .map_err(failed)?;
        let violations: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM violations JOIN calls ON calls.id = violations.call_id
             WHERE started_at >= $1 AND started_at < $2",
        )
        .bind(span.0)
        .bind(span.1)
        .fetch_one(&self.read)
        .await
        .map_err(failed)?;
        let latencies = sqlx::query_scalar::<_, String>(
            "SELECT latency FROM turns
             WHERE latency IS NOT NULL AND started_at >= $1 AND started_at < $2
             ORDER BY started_at DESC, seq DESC LIMIT $3",
        )
        .bind(span.0)
        .bind(span.1)
        .bind(LATENCIES_MAX as i64)
        .fetch_all(&self.read)
        .await
        .map_err(failed)?;
        Ok(Stats {
            calls: u64::try_from(calls).unwrap_or(0),
            by_status: self.count("status", CALLS, span).await?,
            by_direction: self.count("direction", CALLS, span).await?,
            by_outcome: self.count("outcome", CALLS, span).await?,
            transfers_by_outcome: self.count("transfers.outcome", TRANSFERS, span).await?,
            violations: u64::try_from(violations).unwrap_or(0),
            mean_talk_ms: mean_talk_ms.map(|mean| mean.max(0.0) as u64),
            latencies: latencies
                .iter()
                .filter_map(|text| serde_json::from_str::<Value>(text).ok())
                .collect(),
        })
    }

    /// How many rows share each value of a column, values in order.
    async fn count(
        &self,
        column: &'static str,
        from: &'static str,
        span: (i64, i64),
    ) -> Result<Vec<Count>, StoreError> {
        // Both parts are constants of this file.
        let sql = format!(
            "SELECT {column} AS value, count(*) AS n FROM {from}
             WHERE started_at >= $1 AND started_at < $2 AND {column} IS NOT NULL
             GROUP BY {column} ORDER BY {column}"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(span.0)
            .bind(span.1)
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?
            .iter()
            .map(|row| {
                let count: i64 = row.try_get("n").map_err(|error| self.error(error))?;
                Ok(Count {
                    value: row.try_get("value").map_err(|error| self.error(error))?,
                    count: u64::try_from(count).unwrap_or(0),
                })
            })
            .collect()
    }
}

const CALLS: &str = "calls";
const TRANSFERS: &str = "transfers JOIN calls ON calls.id = transfers.call_id";
