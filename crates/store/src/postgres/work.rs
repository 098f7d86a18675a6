//! Outbox and jobs.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use switchhook_model::Timestamp;

use super::{Asked, PostgresBackend};
use crate::backend::Work;
use crate::error::{CommitError, StoreError};
use crate::sql::columns::Columns;
use crate::sql::lists::storable;
use crate::sql::tables::{Put, Stored};
use crate::work::{Claim, NewWork, Queue, Settle, Settlement, WorkRow, WorkState};

impl Stored for NewWork {
    const SQL: [&'static str; 2] = [
        "INSERT INTO work (queue, key, kind, call_id, payload, state, attempts, next_at,
            created_at, updated_at) ",
        "ON CONFLICT (queue, key) DO NOTHING RETURNING queue, key",
    ];

    fn put(&self, cells: &mut impl Put) {
        let state = match self.claimed_until {
            Some(_) => WorkState::InFlight,
            None => WorkState::Pending,
        };
        cells
            .text(self.queue.as_str())
            .text(&self.key)
            .text(&self.kind)
            .opt_text(self.call.as_ref().map(|call| call.as_str()))
            .text(&self.payload.to_string())
            .text(state.as_str())
            .int(i64::from(self.claimed_until.is_some()))
            .int(self.claimed_until.unwrap_or(self.next_at).as_millis())
            .int(self.at.as_millis())
            .int(self.at.as_millis());
    }
}

/// Changes one row, or none if the claim is lost.
pub(super) fn settle_work(settle: &Settle) -> Asked<'static> {
    let (state, next_at, error) = match &settle.result {
        Settlement::Done => (WorkState::Done, None, None),
        Settlement::Retry { next_at, error } => (WorkState::Pending, Some(next_at), Some(error)),
        Settlement::Failed { error } => (WorkState::Failed, None, Some(error)),
    };
    sqlx::query(
        "UPDATE work SET state = $1, next_at = coalesce($2, next_at),
            last_error = coalesce($3, last_error), updated_at = $4
         WHERE queue = $5 AND key = $6 AND attempts = $7 AND state = 'in_flight'",
    )
    .bind(state.as_str())
    .bind(next_at.map(|at| at.as_millis()))
    .bind(error.map(|error| storable(error)))
    .bind(settle.at.as_millis())
    .bind(settle.queue.as_str())
    .bind(storable(&settle.key))
    .bind(i64::from(settle.attempt))
}

#[async_trait]
impl Work for PostgresBackend {
    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<WorkRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(
            // Materialized: as a plain subquery it may be carried out more than once, and then locks
            // more than the limit.
            "WITH due AS MATERIALIZED (
                SELECT id, next_at AS was_due FROM work WHERE queue = ",
        );
        query.push_bind(claim.queue.as_str());
        query.push(" AND state IN ('pending', 'in_flight') AND next_at <= ");
        query.push_bind(claim.now.as_millis());
        if !claim.kinds.is_empty() {
            query
                .push(" AND kind = ANY(")
                .push_bind(claim.kinds)
                .push(")");
        }
        query.push(" ORDER BY next_at, id LIMIT ");
        query.push_bind(i64::from(claim.limit));
        query.push(
            " FOR NO KEY UPDATE SKIP LOCKED)
             UPDATE work SET state = 'in_flight', attempts = attempts + 1, next_at = ",
        );
        query.push_bind(claim.until.as_millis());
        query
            .push(", updated_at = ")
            .push_bind(claim.now.as_millis());
        query.push(" FROM due WHERE work.id = due.id RETURNING work.*, due.was_due");
        let rows = self.rows(&self.write, query.build()).await?;
        let mut claimed = rows
            .iter()
            .map(|row| {
                let was_due = Columns::new(row, self.origin(), "work", "key").int("was_due")?;
                Ok((was_due, self.origin().read(row)?))
            })
            .collect::<Result<Vec<(i64, WorkRow)>, StoreError>>()?;
        // What an update returns has no order.
        claimed.sort_by_key(|(was_due, row)| (*was_due, row.id));
        Ok(claimed.into_iter().map(|(_, row)| row).collect())
    }

    async fn settle(&self, settle: Settle) -> Result<(), CommitError> {
        match self.execute(settle_work(&settle)).await? {
            1 => Ok(()),
            _ => Err(CommitError::ClaimLost {
                queue: settle.queue,
                key: settle.key,
                attempt: settle.attempt,
            }),
        }
    }

    async fn work(&self, queue: Queue, key: &str) -> Result<Option<WorkRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM work WHERE queue = $1 AND key = $2")
            .bind(queue.as_str())
            .bind(storable(key));
        self.fetch_optional(query).await
    }

    async fn works(&self, queue: Queue, keys: &[String]) -> Result<Vec<WorkRow>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = keys.iter().map(|key| storable(key)).collect();
        let query = sqlx::query("SELECT * FROM work WHERE queue = $1 AND key = ANY($2)")
            .bind(queue.as_str())
            .bind(keys);
        self.fetch(query).await
    }

    async fn next_due(&self, queue: Queue) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query(
            "SELECT next_at FROM work WHERE queue = $1 AND state IN ('pending', 'in_flight')
             ORDER BY next_at, id LIMIT 1",
        )
        .bind(queue.as_str());
        let rows = self.rows(&self.read, query).await?;
        rows.first()
            .map(|row| Columns::new(row, self.origin(), "work", "key").time("next_at"))
            .transpose()
    }

    async fn forget_done(&self, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM work WHERE state = 'done' AND updated_at < $1";
        self.execute(sqlx::query(sql).bind(before.as_millis()))
            .await
    }
}
