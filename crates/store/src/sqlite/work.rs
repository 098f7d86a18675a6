//! Outbox and jobs.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use switchhook_model::Timestamp;

use super::SqliteBackend;
use super::error::translate;
use crate::backend::Work;
use crate::error::{CommitError, StoreError};
use crate::work::{Claim, NewWork, Queue, Settle, Settlement, WorkRow, WorkState};

/// False if the key was queued before.
pub(super) async fn queue_work(
    connection: &mut SqliteConnection,
    database: &str,
    new: &NewWork,
) -> Result<bool, CommitError> {
    let state = match new.claimed_until {
        Some(_) => WorkState::InFlight,
        None => WorkState::Pending,
    };
    sqlx::query(
        "INSERT INTO work (queue, key, kind, call_id, payload, state, attempts, next_at,
            created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
         ON CONFLICT (queue, key) DO NOTHING",
    )
    .bind(new.queue.as_str())
    .bind(&new.key)
    .bind(&new.kind)
    .bind(new.call.as_ref().map(|call| call.as_str()))
    .bind(new.payload.to_string())
    .bind(state.as_str())
    .bind(i64::from(new.claimed_until.is_some()))
    .bind(new.claimed_until.unwrap_or(new.next_at).as_millis())
    .bind(new.at.as_millis())
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
    .map_err(|error| translate(database, error).into())
}

pub(super) async fn settle_work(
    connection: &mut SqliteConnection,
    database: &str,
    settle: &Settle,
) -> Result<(), CommitError> {
    let (state, next_at, error) = match &settle.result {
        Settlement::Done => (WorkState::Done, None, None),
        Settlement::Retry { next_at, error } => (WorkState::Pending, Some(next_at), Some(error)),
        Settlement::Failed { error } => (WorkState::Failed, None, Some(error)),
    };
    let done = sqlx::query(
        "UPDATE work SET state = $1, next_at = coalesce($2, next_at),
            last_error = coalesce($3, last_error), updated_at = $4
         WHERE queue = $5 AND key = $6 AND attempts = $7 AND state = 'in_flight'",
    )
    .bind(state.as_str())
    .bind(next_at.map(|t| t.as_millis()))
    .bind(error)
    .bind(settle.at.as_millis())
    .bind(settle.queue.as_str())
    .bind(&settle.key)
    .bind(i64::from(settle.attempt))
    .execute(connection)
    .await
    .map_err(|error| translate(database, error))?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(CommitError::ClaimLost {
            queue: settle.queue,
            key: settle.key.clone(),
            attempt: settle.attempt,
        })
    }
}

#[async_trait]
impl Work for SqliteBackend {
    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<WorkRow>, StoreError> {
        let failed = |error| self.error(error);
        // PostgreSQL takes the rows with FOR UPDATE SKIP LOCKED here; SQLite has one writer.
        let mut transaction = self.begin().await?;
        let mut select = QueryBuilder::<Sqlite>::new("SELECT * FROM work WHERE queue = ");
        select.push_bind(claim.queue.as_str());
        select.push(" AND state IN ('pending', 'in_flight') AND next_at <= ");
        select.push_bind(claim.now.as_millis());
        if !claim.kinds.is_empty() {
            select.push(" AND kind IN (");
            let mut kinds = select.separated(", ");
            for kind in claim.kinds {
                kinds.push_bind(*kind);
            }
            select.push(")");
        }
        select.push(" ORDER BY next_at, id LIMIT ");
        select.push_bind(i64::from(claim.limit));
        let rows = select
            .build()
            .fetch_all(transaction.connection())
            .await
            .map_err(failed)?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut row: WorkRow = self.origin().read(row)?;
            row.state = WorkState::InFlight;
            row.attempts += 1;
            row.next_at = claim.until;
            row.updated_at = claim.now;
            sqlx::query(
                "UPDATE work SET state = 'in_flight', attempts = $1, next_at = $2, updated_at = $3
                 WHERE id = $4",
            )
            .bind(i64::from(row.attempts))
            .bind(claim.until.as_millis())
            .bind(claim.now.as_millis())
            .bind(row.id)
            .execute(transaction.connection())
            .await
            .map_err(failed)?;
            claimed.push(row);
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    async fn settle(&self, settle: Settle) -> Result<(), CommitError> {
        let mut transaction = self.begin().await?;
        match settle_work(transaction.connection(), &self.name, &settle).await {
            Ok(()) => Ok(transaction.commit().await?),
            Err(refused) => {
                transaction.rollback().await?;
                Err(refused)
            }
        }
    }

    async fn work(&self, queue: Queue, key: &str) -> Result<Option<WorkRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM work WHERE queue = $1 AND key = $2")
            .bind(queue.as_str())
            .bind(key);
        self.fetch_optional(query).await
    }

    async fn works(&self, queue: Queue, keys: &[String]) -> Result<Vec<WorkRow>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM work WHERE queue = ");
        query.push_bind(queue.as_str()).push(" AND key IN (");
        let mut list = query.separated(", ");
        for key in keys {
            list.push_bind(key.clone());
        }
        query.push(")");
        self.fetch(query.build()).await
    }

    async fn next_due(&self, queue: Queue) -> Result<Option<Timestamp>, StoreError> {
        let due: Option<i64> = sqlx::query_scalar(
            "SELECT min(next_at) FROM work
             WHERE queue = $1 AND state IN ('pending', 'in_flight')",
        )
        .bind(queue.as_str())
        .fetch_one(&self.read)
        .await
        .map_err(|error| self.error(error))?;
        Ok(due.map(Timestamp::from_millis))
    }

    async fn forget_done(&self, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM work WHERE state = 'done' AND updated_at < $1";
        self.execute(sqlx::query(sql).bind(before.as_millis()))
            .await
    }
}
