//! Calls and their lists.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqlSafeStr;
use sqlx::postgres::PgRow;
use switchhook_model::{CallId, Timestamp};

use super::PostgresBackend;
use crate::backend::Calls;
use crate::error::StoreError;
use crate::query::{CallCursor, CallFilter, Page};
use crate::rows::{CallHead, CallRow};
use crate::sql::columns::Columns;
use crate::sql::lists;
use crate::stats::Stats;

#[async_trait]
impl Calls for PostgresBackend {
    async fn call(&self, id: &CallId) -> Result<Option<CallRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM calls WHERE id = $1").bind(id.as_str());
        self.fetch_optional(query).await
    }

    async fn calls(&self, filter: &CallFilter) -> Result<Page<CallHead>, StoreError> {
        let heads = self.fetch(lists::calls(filter).build()).await?;
        Ok(Page::cut(heads, filter.page_size(), |head: &CallHead| {
            CallCursor {
                started_at: head.started_at,
                id: head.id.clone(),
            }
            .to_string()
        }))
    }

    async fn views(&self, calls: &[CallId]) -> Result<BTreeMap<CallId, Value>, StoreError> {
        self.of_calls("SELECT id, view FROM calls WHERE id = ANY($1)", calls)
            .await?
            .iter()
            .map(|row| {
                let row = Columns::new(row, self.origin(), "calls", "id");
                Ok((row.parsed("id")?, row.value("view")?))
            })
            .collect()
    }

    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError> {
        let sql = "SELECT * FROM calls WHERE ended_at IS NULL ORDER BY started_at, id";
        self.fetch(sqlx::query(sql)).await
    }

    async fn due_calls(&self, now: Timestamp, limit: u32) -> Result<Vec<CallId>, StoreError> {
        let query = sqlx::query(
            "SELECT id FROM calls WHERE ended_at IS NULL AND due_at IS NOT NULL AND due_at <= $1
             ORDER BY due_at, id LIMIT $2",
        )
        .bind(now.as_millis())
        .bind(i64::from(limit));
        let rows = self.rows(&self.read, query).await?;
        rows.iter()
            .map(|row| Columns::new(row, self.origin(), "calls", "id").parsed("id"))
            .collect()
    }

    async fn stats(&self, from: Timestamp, to: Timestamp) -> Result<Stats, StoreError> {
        self.read_stats(from, to).await
    }
}

impl PostgresBackend {
    /// The rows of a query over a list of calls, `$1`.
    pub(super) async fn of_calls(
        &self,
        sql: impl SqlSafeStr,
        calls: &[CallId],
    ) -> Result<Vec<PgRow>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let calls: Vec<&str> = calls.iter().map(CallId::as_str).collect();
        self.rows(&self.read, sqlx::query(sql).bind(calls)).await
    }
}
