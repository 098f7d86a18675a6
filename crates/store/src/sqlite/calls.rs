//! Calls and their lists.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};
use switchhook_model::{CallId, Timestamp};

use super::SqliteBackend;
use super::row::{Columns, direction_from, direction_text};
use crate::backend::Calls;
use crate::error::StoreError;
use crate::query::{CallCursor, CallFilter, Page};
use crate::rows::{CallHead, CallRow};
use crate::stats::Stats;

#[async_trait]
impl Calls for SqliteBackend {
    async fn call(&self, id: &CallId) -> Result<Option<CallRow>, StoreError> {
        sqlx::query("SELECT * FROM calls WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.read)
            .await
            .map_err(|error| self.error(error))?
            .map(|row| self.call_row(&row))
            .transpose()
    }

    async fn calls(&self, filter: &CallFilter) -> Result<Page<CallHead>, StoreError> {
        let limit = filter.page_size();
        let mut query = list_query(filter);
        query.push(" ORDER BY started_at DESC, id DESC LIMIT ");
        // One more than asked for tells whether there is a next page.
        query.push_bind(i64::from(limit) + 1);
        let heads = query
            .build()
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?
            .iter()
            .map(|row| self.call_head(row))
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(heads, limit, |head: &CallHead| {
            CallCursor {
                started_at: head.started_at,
                id: head.id.clone(),
            }
            .to_string()
        }))
    }

    async fn views(&self, calls: &[CallId]) -> Result<BTreeMap<CallId, Value>, StoreError> {
        self.of_calls("SELECT id, view FROM calls WHERE id IN (", calls, ")")
            .await?
            .iter()
            .map(|row| {
                let row = Columns::new(row, &self.name, "calls", "id");
                Ok((row.parsed("id")?, row.value("view")?))
            })
            .collect()
    }

    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError> {
        sqlx::query("SELECT * FROM calls WHERE ended_at IS NULL ORDER BY started_at, id")
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?
            .iter()
            .map(|row| self.call_row(row))
            .collect()
    }

    async fn stats(&self, from: Timestamp, to: Timestamp) -> Result<Stats, StoreError> {
        self.read_stats(from, to).await
    }
}

fn list_query(filter: &CallFilter) -> QueryBuilder<Sqlite> {
    let CallFilter {
        statuses,
        direction,
        from,
        to,
        q,
        limit: _,
        cursor,
    } = filter;
    let mut query = QueryBuilder::new(
        "SELECT id, status, direction, channel, profile, assistant, caller, caller_name, callee,
            started_at, answered_at, ended_at, outcome
         FROM calls WHERE 1 = 1",
    );
    if !statuses.is_empty() {
        query.push(" AND status IN (");
        let mut list = query.separated(", ");
        for status in statuses {
            list.push_bind(status.clone());
        }
        query.push(")");
    }
    if let Some(direction) = direction {
        query
            .push(" AND direction = ")
            .push_bind(direction_text(*direction));
    }
    if let Some(from) = from {
        query
            .push(" AND started_at >= ")
            .push_bind(from.as_millis());
    }
    if let Some(to) = to {
        query.push(" AND started_at < ").push_bind(to.as_millis());
    }
    if q.as_ref().is_some_and(|q| q.contains('\0')) {
        query.push(" AND 1 = 0");
    } else if let Some(q) = q {
        let pattern = like_pattern(q);
        query.push(" AND (");
        for (i, column) in [
            "id",
            "caller",
            "caller_name",
            "callee",
            "assistant",
            "outcome",
        ]
        .into_iter()
        .enumerate()
        {
            if i > 0 {
                query.push(" OR ");
            }
            query
                .push(column)
                .push(" LIKE ")
                .push_bind(pattern.clone())
                .push(" ESCAPE '\\'");
        }
        query.push(")");
    }
    if let Some(cursor) = cursor {
        query
            .push(" AND (started_at, id) < (")
            .push_bind(cursor.started_at.as_millis())
            .push(", ")
            .push_bind(cursor.id.as_str().to_owned())
            .push(")");
    }
    query
}

/// Finds `text` anywhere; no character of it is special.
fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

impl SqliteBackend {
    /// The rows of a query over a list of calls, which goes between `before` and `after`.
    pub(super) async fn of_calls(
        &self,
        before: &'static str,
        calls: &[CallId],
        after: &'static str,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(before);
        let mut list = query.separated(", ");
        for call in calls {
            list.push_bind(call.as_str().to_owned());
        }
        query.push(after);
        query
            .build()
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))
    }

    fn call_head(&self, row: &SqliteRow) -> Result<CallHead, StoreError> {
        let row = Columns::new(row, &self.name, "calls", "id");
        Ok(CallHead {
            id: row.parsed("id")?,
            status: row.text("status")?,
            direction: row.word("direction", direction_from)?,
            channel: row.text("channel")?,
            profile: row.text("profile")?,
            assistant: row.opt_text("assistant")?,
            caller: row.text("caller")?,
            caller_name: row.opt_text("caller_name")?,
            callee: row.text("callee")?,
            started_at: row.time("started_at")?,
            answered_at: row.opt_time("answered_at")?,
            ended_at: row.opt_time("ended_at")?,
            outcome: row.opt_text("outcome")?,
        })
    }

    fn call_row(&self, row: &SqliteRow) -> Result<CallRow, StoreError> {
        let head = self.call_head(row)?;
        let row = Columns::new(row, &self.name, "calls", "id");
        Ok(CallRow {
            head,
            revision: row.number("revision")?,
            snapshot_version: row.number("snapshot_version")?,
            snapshot: row.json("snapshot")?,
            view: row.json("view")?,
        })
    }
}
