//! What belongs to a call: legs, transfers, attempts, turns, recordings, messages, facts, findings.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, SqlSafeStr, Sqlite};
use switchhook_model::{CallId, MessageId};

use super::SqliteBackend;
use super::row::Columns;
use crate::backend::{Events, Legs, Messages, Recordings, Transfers, Turns, Violations};
use crate::error::StoreError;
use crate::query::{MessageFilter, Page, cursor_text};
use crate::rows::{
    AttemptRow, EventRow, LegRow, MessageRow, RecordingRow, RecordingState, TransferRow, TurnRow,
    ViolationRow, WireDirection, WireRow,
};

impl SqliteBackend {
    /// All rows of one query about one call, read with `convert`.
    async fn of_call<T>(
        &self,
        sql: impl SqlSafeStr,
        call: &CallId,
        convert: impl Fn(&Columns<'_>) -> Result<T, StoreError>,
        table: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        let rows = sqlx::query(sql)
            .bind(call.as_str())
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?;
        self.convert(&rows, convert, table)
    }

    fn convert<T>(
        &self,
        rows: &[SqliteRow],
        convert: impl Fn(&Columns<'_>) -> Result<T, StoreError>,
        table: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        rows.iter()
            .map(|row| convert(&Columns::new(row, &self.name, table, "id")))
            .collect()
    }
}

#[async_trait]
impl Legs for SqliteBackend {
    async fn legs(&self, call: &CallId) -> Result<Vec<LegRow>, StoreError> {
        let sql = "SELECT * FROM legs WHERE call_id = $1 ORDER BY started_at, seq";
        self.of_call(sql, call, leg, "legs").await
    }

    async fn open_legs(&self) -> Result<Vec<LegRow>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM legs WHERE ended_at IS NULL ORDER BY started_at, seq")
                .fetch_all(&self.read)
                .await
                .map_err(|error| self.error(error))?;
        self.convert(&rows, leg, "legs")
    }
}

fn leg(row: &Columns<'_>) -> Result<LegRow, StoreError> {
    Ok(LegRow {
        id: row.parsed("id")?,
        call: row.parsed("call_id")?,
        kind: row.text("kind")?,
        party: row.text("party")?,
        target: row.text("target")?,
        state: row.text("state")?,
        started_at: row.time("started_at")?,
        answered_at: row.opt_time("answered_at")?,
        ended_at: row.opt_time("ended_at")?,
        cause: row.opt_text("cause")?,
        dialog: row.opt_json("dialog")?,
    })
}

#[async_trait]
impl Transfers for SqliteBackend {
    async fn transfers(&self, call: &CallId) -> Result<Vec<TransferRow>, StoreError> {
        let sql = "SELECT * FROM transfers WHERE call_id = $1 ORDER BY requested_at, seq";
        self.of_call(sql, call, transfer, "transfers").await
    }

    async fn attempts(&self, call: &CallId) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = "SELECT * FROM attempts WHERE call_id = $1 ORDER BY started_at, seq";
        self.of_call(sql, call, attempt, "attempts").await
    }
}

fn transfer(row: &Columns<'_>) -> Result<TransferRow, StoreError> {
    Ok(TransferRow {
        id: row.parsed("id")?,
        call: row.parsed("call_id")?,
        reason: row.text("reason")?,
        department: row.opt_text("department")?,
        requested_at: row.time("requested_at")?,
        ended_at: row.opt_time("ended_at")?,
        outcome: row.opt_text("outcome")?,
    })
}

fn attempt(row: &Columns<'_>) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        id: row.parsed("id")?,
        transfer: row.parsed("transfer_id")?,
        call: row.parsed("call_id")?,
        leg: row.opt_parsed("leg_id")?,
        target: row.text("target")?,
        ring_timeout_s: row.number("ring_timeout_s")?,
        result: row.opt_text("result")?,
        sip_status: row.opt_number("sip_status")?,
        started_at: row.time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
    })
}

#[async_trait]
impl Turns for SqliteBackend {
    async fn turns(&self, call: &CallId) -> Result<Vec<TurnRow>, StoreError> {
        let sql = "SELECT * FROM turns WHERE call_id = $1 ORDER BY n, seq";
        self.of_call(sql, call, turn, "turns").await
    }

    async fn latencies(
        &self,
        calls: &[CallId],
    ) -> Result<BTreeMap<CallId, Vec<Value>>, StoreError> {
        let sql = "SELECT call_id, latency FROM turns WHERE latency IS NOT NULL AND call_id IN (";
        let mut found = BTreeMap::<CallId, Vec<Value>>::new();
        for row in self.of_calls(sql, calls, ") ORDER BY seq").await? {
            let row = Columns::new(&row, &self.name, "turns", "call_id");
            let latency = row.value("latency")?;
            found
                .entry(row.parsed("call_id")?)
                .or_default()
                .push(latency);
        }
        Ok(found)
    }
}

fn turn(row: &Columns<'_>) -> Result<TurnRow, StoreError> {
    Ok(TurnRow {
        id: row.parsed("id")?,
        call: row.parsed("call_id")?,
        n: row.number("n")?,
        speaker: row.text("speaker")?,
        text: row.text("text")?,
        started_at: row.time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
        interrupted: row.flag("interrupted")?,
        latency: row.opt_value("latency")?,
    })
}

#[async_trait]
impl Recordings for SqliteBackend {
    async fn recordings(&self, call: &CallId) -> Result<Vec<RecordingRow>, StoreError> {
        let sql = "SELECT * FROM recordings WHERE call_id = $1 ORDER BY started_at, seq";
        self.of_call(sql, call, recording, "recordings").await
    }

    async fn unfinished_recordings(&self) -> Result<Vec<RecordingRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM recordings WHERE state = 'recording' ORDER BY seq")
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?;
        self.convert(&rows, recording, "recordings")
    }
}

fn recording(row: &Columns<'_>) -> Result<RecordingRow, StoreError> {
    Ok(RecordingRow {
        id: row.parsed("id")?,
        call: row.parsed("call_id")?,
        file: row.text("file")?,
        state: row.word("state", RecordingState::from_text)?,
        started_at: row.time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
        duration_ms: row.opt_number("duration_ms")?,
        error: row.opt_text("error")?,
    })
}

#[async_trait]
impl Messages for SqliteBackend {
    async fn messages(&self, filter: &MessageFilter) -> Result<Page<MessageRow>, StoreError> {
        let limit = filter.page_size();
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM messages WHERE 1 = 1");
        if let Some(call) = &filter.call {
            query
                .push(" AND call_id = ")
                .push_bind(call.as_str().to_owned());
        }
        if let Some(state) = &filter.state {
            query.push(" AND state = ").push_bind(state.clone());
        }
        if let Some((at, id)) = &filter.cursor {
            query
                .push(" AND (created_at, id) < (")
                .push_bind(at.as_millis())
                .push(", ")
                .push_bind(id.as_str().to_owned())
                .push(")");
        }
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
        query.push_bind(i64::from(limit) + 1);
        let rows = query
            .build()
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?;
        let rows = self.convert(&rows, message, "messages")?;
        Ok(Page::cut(rows, limit, |row| {
            cursor_text(row.created_at, &row.id)
        }))
    }

    async fn message(&self, id: &MessageId) -> Result<Option<MessageRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM messages WHERE id = $1")
            .bind(id.as_str())
            .fetch_all(&self.read)
            .await
            .map_err(|error| self.error(error))?;
        Ok(self.convert(&rows, message, "messages")?.pop())
    }
}

fn message(row: &Columns<'_>) -> Result<MessageRow, StoreError> {
    Ok(MessageRow {
        id: row.parsed("id")?,
        call: row.opt_parsed("call_id")?,
        channel: row.text("channel")?,
        recipient: row.text("recipient")?,
        text: row.text("text")?,
        state: row.text("state")?,
        vendor_id: row.opt_text("vendor_id")?,
        error: row.opt_text("error")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

#[async_trait]
impl Events for SqliteBackend {
    async fn events(&self, call: &CallId) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT * FROM events WHERE call_id = $1 ORDER BY id";
        self.of_call(sql, call, event, "events").await
    }

    async fn wire(&self, call: &CallId) -> Result<Vec<WireRow>, StoreError> {
        let sql = "SELECT * FROM wire WHERE call_id = $1 ORDER BY id";
        self.of_call(sql, call, wire, "wire").await
    }
}

fn event(row: &Columns<'_>) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.int("id")?,
        call: row.parsed("call_id")?,
        at: row.time("at")?,
        kind: row.text("kind")?,
        data: row.json("data")?,
    })
}

fn wire(row: &Columns<'_>) -> Result<WireRow, StoreError> {
    Ok(WireRow {
        id: row.int("id")?,
        at: row.time("at")?,
        call: row.opt_parsed("call_id")?,
        leg: row.opt_parsed("leg_id")?,
        direction: row.word("direction", WireDirection::from_text)?,
        peer: row.text("peer")?,
        summary: row.text("summary")?,
        sip_call_id: row.opt_text("sip_call_id")?,
        cseq: row.opt_text("cseq")?,
        raw: row.text("raw")?,
    })
}

#[async_trait]
impl Violations for SqliteBackend {
    async fn violations(&self, call: &CallId) -> Result<Vec<ViolationRow>, StoreError> {
        let sql = "SELECT * FROM violations WHERE call_id = $1 ORDER BY seq";
        self.of_call(sql, call, violation, "violations").await
    }

    async fn violation_counts(
        &self,
        calls: &[CallId],
    ) -> Result<BTreeMap<CallId, u64>, StoreError> {
        let sql = "SELECT call_id, count(*) AS n FROM violations WHERE call_id IN (";
        self.of_calls(sql, calls, ") GROUP BY call_id")
            .await?
            .iter()
            .map(|row| {
                let row = Columns::new(row, &self.name, "violations", "call_id");
                Ok((row.parsed("call_id")?, row.number("n")?))
            })
            .collect()
    }
}

fn violation(row: &Columns<'_>) -> Result<ViolationRow, StoreError> {
    Ok(ViolationRow {
        call: row.parsed("call_id")?,
        code: row.text("code")?,
        detail: row.text("detail")?,
        at: row.time("at")?,
        cause: row.text("cause")?,
        cure: row.text("cure")?,
    })
}
