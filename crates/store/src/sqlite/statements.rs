//! The statements that write rows, many to a statement.
//!
//! Numbers of rows are cut into [`SIZES`], so that each table has a few texts only and each is
//! prepared once.

use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use switchhook_model::CallId;

use super::error::{is_foreign_key, translate};
use super::row::{direction_text, signed};
use crate::error::{CommitError, StoreError};
use crate::json::Json;
use crate::rows::{
    AttemptRow, CallRow, LegRow, MessageRow, NewEvent, NewWire, RecordingRow, TransferRow, TurnRow,
    ViolationRow,
};

/// Rows to a statement.
const SIZES: [usize; 4] = [64, 16, 4, 1];

pub(super) type Cells<'q, 'r> = Separated<'r, Sqlite, &'static str>;

/// A row of one table.
pub(super) trait Stored {
    /// The statement before its rows and after them.
    const SQL: [&'static str; 2];
    /// The call that has to be stored, and what this row is called when it is not.
    fn needs(&self) -> Option<(&CallId, &'static str)> {
        None
    }
    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>);
}

/// Writes all rows of a table.
pub(super) async fn write<'a, T: Stored + 'a>(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &'a T>,
) -> Result<(), CommitError> {
    let rows: Vec<&T> = rows.collect();
    for piece in pieces(&rows) {
        // A broken reference means that the call is not stored. Of several rows this names the first.
        let refused = |error| match piece[0].needs() {
            Some((call, what)) if is_foreign_key(&error) => CommitError::UnknownCall {
                call: call.clone(),
                what,
            },
            Some(_) | None => translate(database, error).into(),
        };
        write_piece(connection, piece).await.map_err(refused)?;
    }
    Ok(())
}

/// The same for calls, of which only a newer revision is written.
pub(super) async fn write_calls(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &CallRow>,
) -> Result<(), CommitError> {
    let rows: Vec<&CallRow> = rows.collect();
    for piece in pieces(&rows) {
        let done = write_piece(connection, piece)
            .await
            .map_err(|error| translate(database, error))?;
        if done.rows_affected() != piece.len() as u64 {
            return Err(stale(connection, database, piece[0]).await?);
        }
    }
    Ok(())
}

/// The rows in pieces of [`SIZES`], none of them empty.
fn pieces<'r, T>(mut rows: &'r [&'r T]) -> impl Iterator<Item = &'r [&'r T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

async fn write_piece<T: Stored>(
    connection: &mut SqliteConnection,
    piece: &[&T],
) -> Result<SqliteQueryResult, sqlx::Error> {
    let [head, tail] = T::SQL;
    let mut query = QueryBuilder::new(head);
    query.push_values(piece, |mut cells, row| row.bind(&mut cells));
    query.push(tail);
    query.build().persistent(true).execute(connection).await
}

/// Says what is stored of the call already. Of several calls it need not be the one.
async fn stale(
    connection: &mut SqliteConnection,
    database: &str,
    row: &CallRow,
) -> Result<CommitError, StoreError> {
    let stored: i64 = sqlx::query_scalar("SELECT revision FROM calls WHERE id = $1")
        .bind(row.head.id.as_str())
        .fetch_one(connection)
        .await
        .map_err(|error| translate(database, error))?;
    Ok(CommitError::StaleRevision {
        call: row.head.id.clone(),
        stored: u64::try_from(stored).unwrap_or(0),
        given: row.revision,
    })
}

impl Stored for CallRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO calls (id, status, direction, channel, profile, assistant, caller,
            caller_name, callee, started_at, answered_at, ended_at, outcome, revision,
            snapshot_version, snapshot, view) ",
        "ON CONFLICT (id) DO UPDATE SET status = excluded.status,
            direction = excluded.direction, channel = excluded.channel,
            profile = excluded.profile, assistant = excluded.assistant,
            caller = excluded.caller, caller_name = excluded.caller_name,
            callee = excluded.callee, started_at = excluded.started_at,
            answered_at = excluded.answered_at, ended_at = excluded.ended_at,
            outcome = excluded.outcome, revision = excluded.revision,
            snapshot_version = excluded.snapshot_version, snapshot = excluded.snapshot,
            view = excluded.view WHERE calls.revision < excluded.revision",
    ];

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        let head = &self.head;
        cells
            .push_bind(head.id.as_str())
            .push_bind(head.status.as_str())
            .push_bind(direction_text(head.direction))
            .push_bind(head.channel.as_str())
            .push_bind(head.profile.as_str())
            .push_bind(head.assistant.as_deref())
            .push_bind(head.caller.as_str())
            .push_bind(head.caller_name.as_deref())
            .push_bind(head.callee.as_str())
            .push_bind(head.started_at.as_millis())
            .push_bind(head.answered_at.map(|t| t.as_millis()))
            .push_bind(head.ended_at.map(|t| t.as_millis()))
            .push_bind(head.outcome.as_deref())
            .push_bind(signed(self.revision))
            .push_bind(i64::from(self.snapshot_version))
            .push_bind(self.snapshot.as_str())
            .push_bind(self.view.as_str());
    }
}

impl Stored for LegRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO legs (id, call_id, kind, party, target, state, started_at,
            answered_at, ended_at, cause, dialog) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, kind = excluded.kind,
            party = excluded.party, target = excluded.target, state = excluded.state,
            started_at = excluded.started_at, answered_at = excluded.answered_at,
            ended_at = excluded.ended_at, cause = excluded.cause, dialog = excluded.dialog",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a leg"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.id.as_str())
            .push_bind(self.call.as_str())
            .push_bind(self.kind.as_str())
            .push_bind(self.party.as_str())
            .push_bind(self.target.as_str())
            .push_bind(self.state.as_str())
            .push_bind(self.started_at.as_millis())
            .push_bind(self.answered_at.map(|t| t.as_millis()))
            .push_bind(self.ended_at.map(|t| t.as_millis()))
            .push_bind(self.cause.as_deref())
            .push_bind(self.dialog.as_ref().map(Json::as_str));
    }
}

impl Stored for TransferRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO transfers (id, call_id, reason, department, requested_at, ended_at,
            outcome) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id,
            reason = excluded.reason, department = excluded.department,
            requested_at = excluded.requested_at, ended_at = excluded.ended_at,
            outcome = excluded.outcome",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a transfer"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.id.as_str())
            .push_bind(self.call.as_str())
            .push_bind(self.reason.as_str())
            .push_bind(self.department.as_deref())
            .push_bind(self.requested_at.as_millis())
            .push_bind(self.ended_at.map(|t| t.as_millis()))
            .push_bind(self.outcome.as_deref());
    }
}

impl Stored for AttemptRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO attempts (id, transfer_id, call_id, leg_id, target, ring_timeout_s,
            result, sip_status, started_at, ended_at) ",
        "ON CONFLICT (id) DO UPDATE SET transfer_id = excluded.transfer_id,
            call_id = excluded.call_id, leg_id = excluded.leg_id, target = excluded.target,
            ring_timeout_s = excluded.ring_timeout_s, result = excluded.result,
            sip_status = excluded.sip_status, started_at = excluded.started_at,
            ended_at = excluded.ended_at",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a dial attempt"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.id.as_str())
            .push_bind(self.transfer.as_str())
            .push_bind(self.call.as_str())
            .push_bind(self.leg.as_ref().map(|leg| leg.as_str()))
            .push_bind(self.target.as_str())
            .push_bind(i64::from(self.ring_timeout_s))
            .push_bind(self.result.as_deref())
            .push_bind(self.sip_status.map(i64::from))
            .push_bind(self.started_at.as_millis())
            .push_bind(self.ended_at.map(|t| t.as_millis()));
    }
}

impl Stored for TurnRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO turns (id, call_id, n, speaker, text, started_at, ended_at,
            interrupted, latency) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, n = excluded.n,
            speaker = excluded.speaker, text = excluded.text,
            started_at = excluded.started_at, ended_at = excluded.ended_at,
            interrupted = excluded.interrupted, latency = excluded.latency",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a turn"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.id.as_str())
            .push_bind(self.call.as_str())
            .push_bind(i64::from(self.n))
            .push_bind(self.speaker.as_str())
            .push_bind(self.text.as_str())
            .push_bind(self.started_at.as_millis())
            .push_bind(self.ended_at.map(|t| t.as_millis()))
            .push_bind(i64::from(self.interrupted))
            .push_bind(self.latency.as_ref().map(ToString::to_string));
    }
}

impl Stored for RecordingRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO recordings (id, call_id, file, state, started_at, ended_at,
            duration_ms, error) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, file = excluded.file,
            state = excluded.state, started_at = excluded.started_at,
            ended_at = excluded.ended_at, duration_ms = excluded.duration_ms,
            error = excluded.error",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a recording"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.id.as_str())
            .push_bind(self.call.as_str())
            .push_bind(self.file.as_str())
            .push_bind(self.state.as_str())
            .push_bind(self.started_at.as_millis())
            .push_bind(self.ended_at.map(|t| t.as_millis()))
            .push_bind(self.duration_ms.map(signed))
            .push_bind(self.error.as_deref());
    }
}

impl Stored for MessageRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO messages (id, call_id, channel, recipient, text, state, vendor_id,
            error, created_at, updated_at) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id,
            channel = excluded.channel, recipient = excluded.recipient,
            text = excluded.text, state = excluded.state, vendor_id = excluded.vendor_id,
            error = excluded.error, created_at = excluded.created_at,
            updated_at = excluded.updated_at",
    ];

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.id.as_str())
            .push_bind(self.call.as_ref().map(|call| call.as_str()))
            .push_bind(self.channel.as_str())
            .push_bind(self.recipient.as_str())
            .push_bind(self.text.as_str())
            .push_bind(self.state.as_str())
            .push_bind(self.vendor_id.as_deref())
            .push_bind(self.error.as_deref())
            .push_bind(self.created_at.as_millis())
            .push_bind(self.updated_at.as_millis());
    }
}

impl Stored for NewEvent {
    const SQL: [&'static str; 2] = ["INSERT INTO events (call_id, at, kind, data) ", ""];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "an event"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.call.as_str())
            .push_bind(self.at.as_millis())
            .push_bind(self.kind.as_str())
            .push_bind(self.data.as_str());
    }
}

impl Stored for NewWire {
    const SQL: [&'static str; 2] = [
        "INSERT INTO wire (at, call_id, leg_id, direction, peer, summary, sip_call_id,
            cseq, raw) ",
        "",
    ];

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.at.as_millis())
            .push_bind(self.call.as_ref().map(|call| call.as_str()))
            .push_bind(self.leg.as_ref().map(|leg| leg.as_str()))
            .push_bind(self.direction.as_str())
            .push_bind(self.peer.as_str())
            .push_bind(self.summary.as_str())
            .push_bind(self.sip_call_id.as_deref())
            .push_bind(self.cseq.as_deref())
            .push_bind(self.raw.as_str());
    }
}

impl Stored for ViolationRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO violations (call_id, code, detail, at, cause, cure) ",
        "ON CONFLICT (call_id, code, detail) DO NOTHING",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a violation"))
    }

    fn bind<'q>(&'q self, cells: &mut Cells<'q, '_>) {
        cells
            .push_bind(self.call.as_str())
            .push_bind(self.code.as_str())
            .push_bind(self.detail.as_str())
            .push_bind(self.at.as_millis())
            .push_bind(self.cause.as_str())
            .push_bind(self.cure.as_str());
    }
}
