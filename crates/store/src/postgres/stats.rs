//! Figures over a span of time.

use serde_json::Value;
use sqlx::{AssertSqlSafe, SqlSafeStr};
use switchhook_model::Timestamp;

use super::{Asked, PostgresBackend};
use crate::error::StoreError;
use crate::sql::columns::Columns;
use crate::stats::{Count, LATENCIES_MAX, Stats};

impl PostgresBackend {
    pub(super) async fn read_stats(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Stats, StoreError> {
        let span = (from.as_millis(), to.as_millis());
        let calls = over(
            "SELECT count(*) AS calls,
                floor(avg(CASE WHEN answered_at IS NOT NULL THEN ended_at - answered_at END))
                    ::bigint AS mean_talk_ms
             FROM calls WHERE started_at >= $1 AND started_at < $2",
            span,
        );
        let calls = self.rows(&self.read, calls).await?;
        let calls = calls
            .first()
            .map(|row| Columns::new(row, self.origin(), "calls", "calls"));
        let violations = over(
            "SELECT count(*) AS n FROM violations JOIN calls ON calls.id = violations.call_id
             WHERE started_at >= $1 AND started_at < $2",
            span,
        );
        let (count, mean_talk_ms) = match calls {
            Some(row) => (row.number("calls")?, row.opt_int("mean_talk_ms")?),
            None => (0, None),
        };
        let violations = self.rows(&self.read, violations).await?;
        let violations = violations.first().map_or(Ok(0), |row| {
            Columns::new(row, self.origin(), "violations", "n").number("n")
        })?;
        let latencies = over(
            "SELECT latency FROM turns
             WHERE latency IS NOT NULL AND started_at >= $1 AND started_at < $2
             ORDER BY started_at DESC, seq DESC LIMIT $3",
            span,
        )
        .bind(LATENCIES_MAX as i64);
        let latencies = self.rows(&self.read, latencies).await?;
        Ok(Stats {
            calls: count,
            by_status: self.count("status", CALLS, span).await?,
            by_direction: self.count("direction", CALLS, span).await?,
            by_outcome: self.count("outcome", CALLS, span).await?,
            transfers_by_outcome: self.count("transfers.outcome", TRANSFERS, span).await?,
            violations,
            mean_talk_ms: mean_talk_ms.map(|mean| u64::try_from(mean).unwrap_or(0)),
            latencies: latencies
                .iter()
                .map(|row| Columns::new(row, self.origin(), "turns", "latency").value("latency"))
                .collect::<Result<Vec<Value>, _>>()?,
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
        let rows = self
            .rows(&self.read, over(AssertSqlSafe(sql), span))
            .await?;
        rows.iter()
            .map(|row| {
                let row = Columns::new(row, self.origin(), "calls", "value");
                Ok(Count {
                    value: row.text("value")?,
                    count: row.number("n")?,
                })
            })
            .collect()
    }
}

fn over(sql: impl SqlSafeStr, (from, to): (i64, i64)) -> Asked<'static> {
    sqlx::query(sql).bind(from).bind(to)
}

const CALLS: &str = "calls";
const TRANSFERS: &str = "transfers JOIN calls ON calls.id = transfers.call_id";
