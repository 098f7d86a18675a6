//! What belongs to a call: legs, transfers, attempts, turns, recordings, messages, facts, findings.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqlSafeStr;
use switchhook_model::{CallId, MessageId};

use super::PostgresBackend;
use crate::backend::{Events, Legs, Messages, Recordings, Transfers, Turns, Violations};
use crate::error::StoreError;
use crate::query::{MessageFilter, Page, cursor_text};
use crate::rows::{
    AttemptRow, EventRow, LegRow, MessageRow, RecordingRow, TransferRow, TurnRow, ViolationRow,
    WireRow,
};
use crate::sql::columns::Columns;
use crate::sql::lists::{self, storable};
use crate::sql::read::Readable;

impl PostgresBackend {
    /// All rows of one query about one call.
    async fn of_call<T: Readable>(
        &self,
        sql: impl SqlSafeStr,
        call: &CallId,
    ) -> Result<Vec<T>, StoreError> {
        self.fetch(sqlx::query(sql).bind(call.as_str())).await
    }
}

#[async_trait]
impl Legs for PostgresBackend {
    async fn legs(&self, call: &CallId) -> Result<Vec<LegRow>, StoreError> {
        let sql = "SELECT * FROM legs WHERE call_id = $1 ORDER BY started_at, seq";
        self.of_call(sql, call).await
    }

    async fn open_legs(&self) -> Result<Vec<LegRow>, StoreError> {
        let sql = "SELECT * FROM legs WHERE ended_at IS NULL ORDER BY started_at, seq";
        self.fetch(sqlx::query(sql)).await
    }
}

#[async_trait]
impl Transfers for PostgresBackend {
    async fn transfers(&self, call: &CallId) -> Result<Vec<TransferRow>, StoreError> {
        let sql = "SELECT * FROM transfers WHERE call_id = $1 ORDER BY requested_at, seq";
        self.of_call(sql, call).await
    }

    async fn attempts(&self, call: &CallId) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = "SELECT * FROM attempts WHERE call_id = $1 ORDER BY started_at, seq";
        self.of_call(sql, call).await
    }
}

#[async_trait]
impl Turns for PostgresBackend {
    async fn turns(&self, call: &CallId) -> Result<Vec<TurnRow>, StoreError> {
        let sql = "SELECT * FROM turns WHERE call_id = $1 ORDER BY n, seq";
        self.of_call(sql, call).await
    }

    async fn latencies(
        &self,
        calls: &[CallId],
    ) -> Result<BTreeMap<CallId, Vec<Value>>, StoreError> {
        let sql = "SELECT call_id, latency FROM turns
             WHERE latency IS NOT NULL AND call_id = ANY($1) ORDER BY seq";
        let mut found = BTreeMap::<CallId, Vec<Value>>::new();
        for row in self.of_calls(sql, calls).await? {
            let row = Columns::new(&row, self.origin(), "turns", "call_id");
            let latency = row.value("latency")?;
            found
                .entry(row.parsed("call_id")?)
                .or_default()
                .push(latency);
        }
        Ok(found)
    }
}

#[async_trait]
impl Recordings for PostgresBackend {
    async fn recordings(&self, call: &CallId) -> Result<Vec<RecordingRow>, StoreError> {
        let sql = "SELECT * FROM recordings WHERE call_id = $1 ORDER BY started_at, seq";
        self.of_call(sql, call).await
    }

    async fn unfinished_recordings(&self) -> Result<Vec<RecordingRow>, StoreError> {
        let sql = "SELECT * FROM recordings WHERE state = 'recording' ORDER BY seq";
        self.fetch(sqlx::query(sql)).await
    }
}

#[async_trait]
impl Messages for PostgresBackend {
    async fn messages(&self, filter: &MessageFilter) -> Result<Page<MessageRow>, StoreError> {
        let rows = self.fetch(lists::messages(filter).build()).await?;
        Ok(Page::cut(rows, filter.page_size(), |row: &MessageRow| {
            cursor_text(row.created_at, &row.id)
        }))
    }

    async fn message(&self, id: &MessageId) -> Result<Option<MessageRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM messages WHERE id = $1").bind(id.as_str());
        self.fetch_optional(query).await
    }

    async fn message_of_vendor(
        &self,
        channel: &str,
        vendor_id: &str,
    ) -> Result<Option<MessageRow>, StoreError> {
        let query = sqlx::query(
            "SELECT * FROM messages WHERE vendor_id = $1 AND channel = $2
             ORDER BY created_at DESC, id DESC LIMIT 1",
        )
        .bind(storable(vendor_id))
        .bind(storable(channel));
        self.fetch_optional(query).await
    }
}

#[async_trait]
impl Events for PostgresBackend {
    async fn events(&self, call: &CallId) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT * FROM events WHERE call_id = $1 ORDER BY id";
        self.of_call(sql, call).await
    }

    async fn wire(&self, call: &CallId) -> Result<Vec<WireRow>, StoreError> {
        let sql = "SELECT * FROM wire WHERE call_id = $1 ORDER BY id";
        self.of_call(sql, call).await
    }
}

#[async_trait]
impl Violations for PostgresBackend {
    async fn violations(&self, call: &CallId) -> Result<Vec<ViolationRow>, StoreError> {
        let sql = "SELECT * FROM violations WHERE call_id = $1 ORDER BY seq";
        self.of_call(sql, call).await
    }

    async fn violation_counts(
        &self,
        calls: &[CallId],
    ) -> Result<BTreeMap<CallId, u64>, StoreError> {
        let sql = "SELECT call_id, count(*) AS n FROM violations
             WHERE call_id = ANY($1) GROUP BY call_id";
        self.of_calls(sql, calls)
            .await?
            .iter()
            .map(|row| {
                let row = Columns::new(row, self.origin(), "violations", "call_id");
                Ok((row.parsed("call_id")?, row.number("n")?))
            })
            .collect()
    }
}
