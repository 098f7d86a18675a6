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
use crate::rows::{
    AttemptRow, CallRow, LegRow, MessageRow, NewEvent, NewWire, RecordingRow, TransferRow, TurnRow,
    ViolationRow,
};

/// Rows to a statement.
const SIZES: [usize; 4] = [64, 16, 4, 1];

type Cells<'q, 'r> = Separated<'r, Sqlite, &'static str>;

/// One statement with these rows between its two ends.
async fn write<'a, T>(
    connection: &mut SqliteConnection,
    [head, tail]: [&'static str; 2],
    rows: &[&'a T],
    bind: impl Fn(&mut Cells<'a, '_>, &'a T),
) -> Result<SqliteQueryResult, sqlx::Error> {
    let mut query = QueryBuilder::new(head);
    query.push_values(rows, |mut cells, row| bind(&mut cells, row));
    query.push(tail);
    query.build().persistent(true).execute(connection).await
}

/// The rows in pieces of [`SIZES`].
fn pieces<'r, T>(mut rows: &'r [&'r T]) -> impl Iterator<Item = &'r [&'r T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// A broken reference means that the call is not stored.
fn refused(
    database: &str,
    error: sqlx::Error,
    call: Option<&CallId>,
    what: &'static str,
) -> CommitError {
    match call {
        Some(call) if is_foreign_key(&error) => CommitError::UnknownCall {
            call: call.clone(),
            what,
        },
        Some(_) | None => translate(database, error).into(),
    }
}

pub(super) async fn calls(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &CallRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO calls (id, status, direction, channel, profile, assistant, caller,
            caller_name, callee, started_at, answered_at, ended_at, outcome, revision,
            snapshot_version, snapshot, view) ",
        "ON CONFLICT (id) DO UPDATE SET status = excluded.status, direction =
            excluded.direction, channel = excluded.channel, profile = excluded.profile,
            assistant = excluded.assistant, caller = excluded.caller, caller_name =
            excluded.caller_name, callee = excluded.callee, started_at = excluded.started_at,
            answered_at = excluded.answered_at, ended_at = excluded.ended_at, outcome =
            excluded.outcome, revision = excluded.revision, snapshot_version =
            excluded.snapshot_version, snapshot = excluded.snapshot, view = excluded.view
            WHERE calls.revision < excluded.revision",
    ];
    let rows: Vec<&CallRow> = rows.collect();
    for piece in pieces(&rows) {
        let done = write(connection, sql, piece, |cells, row| {
            let head = &row.head;
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
                .push_bind(signed(row.revision))
                .push_bind(i64::from(row.snapshot_version))
                .push_bind(row.snapshot.to_string())
                .push_bind(row.view.to_string());
        })
        .await
        .map_err(|error| translate(database, error))?;
        if done.rows_affected() != piece.len() as u64 {
            return Err(stale(connection, database, piece[0]).await?);
        }
    }
    Ok(())
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

pub(super) async fn legs(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &LegRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO legs (id, call_id, kind, party, target, state, started_at,
            answered_at, ended_at, cause, dialog) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, kind = excluded.kind,
            party = excluded.party, target = excluded.target, state = excluded.state,
            started_at = excluded.started_at, answered_at = excluded.answered_at, ended_at =
            excluded.ended_at, cause = excluded.cause, dialog = excluded.dialog",
    ];
    let rows: Vec<&LegRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.id.as_str())
                .push_bind(row.call.as_str())
                .push_bind(row.kind.as_str())
                .push_bind(row.party.as_str())
                .push_bind(row.target.as_str())
                .push_bind(row.state.as_str())
                .push_bind(row.started_at.as_millis())
                .push_bind(row.answered_at.map(|t| t.as_millis()))
                .push_bind(row.ended_at.map(|t| t.as_millis()))
                .push_bind(row.cause.as_deref())
                .push_bind(row.dialog.as_ref().map(ToString::to_string));
        })
        .await
        .map_err(|error| refused(database, error, piece.first().map(|row| &row.call), "a leg"))?;
    }
    Ok(())
}

pub(super) async fn transfers(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &TransferRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO transfers (id, call_id, reason, department, requested_at, ended_at,
            outcome) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, reason =
            excluded.reason, department = excluded.department, requested_at =
            excluded.requested_at, ended_at = excluded.ended_at, outcome = excluded.outcome",
    ];
    let rows: Vec<&TransferRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.id.as_str())
                .push_bind(row.call.as_str())
                .push_bind(row.reason.as_str())
                .push_bind(row.department.as_deref())
                .push_bind(row.requested_at.as_millis())
                .push_bind(row.ended_at.map(|t| t.as_millis()))
                .push_bind(row.outcome.as_deref());
        })
        .await
        .map_err(|error| {
            refused(
                database,
                error,
                piece.first().map(|row| &row.call),
                "a transfer",
            )
        })?;
    }
    Ok(())
}

pub(super) async fn attempts(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &AttemptRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO attempts (id, transfer_id, call_id, leg_id, target, ring_timeout_s,
            result, sip_status, started_at, ended_at) ",
        "ON CONFLICT (id) DO UPDATE SET transfer_id = excluded.transfer_id, call_id =
            excluded.call_id, leg_id = excluded.leg_id, target = excluded.target,
            ring_timeout_s = excluded.ring_timeout_s, result = excluded.result, sip_status =
            excluded.sip_status, started_at = excluded.started_at, ended_at =
            excluded.ended_at",
    ];
    let rows: Vec<&AttemptRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.id.as_str())
                .push_bind(row.transfer.as_str())
                .push_bind(row.call.as_str())
                .push_bind(row.leg.as_ref().map(|leg| leg.as_str()))
                .push_bind(row.target.as_str())
                .push_bind(i64::from(row.ring_timeout_s))
                .push_bind(row.result.as_deref())
                .push_bind(row.sip_status.map(i64::from))
                .push_bind(row.started_at.as_millis())
                .push_bind(row.ended_at.map(|t| t.as_millis()));
        })
        .await
        .map_err(|error| {
            refused(
                database,
                error,
                piece.first().map(|row| &row.call),
                "a dial attempt",
            )
        })?;
    }
    Ok(())
}

pub(super) async fn turns(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &TurnRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO turns (id, call_id, n, speaker, text, started_at, ended_at,
            interrupted, latency) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, n = excluded.n, speaker
            = excluded.speaker, text = excluded.text, started_at = excluded.started_at,
            ended_at = excluded.ended_at, interrupted = excluded.interrupted, latency =
            excluded.latency",
    ];
    let rows: Vec<&TurnRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.id.as_str())
                .push_bind(row.call.as_str())
                .push_bind(i64::from(row.n))
                .push_bind(row.speaker.as_str())
                .push_bind(row.text.as_str())
                .push_bind(row.started_at.as_millis())
                .push_bind(row.ended_at.map(|t| t.as_millis()))
                .push_bind(i64::from(row.interrupted))
                .push_bind(row.latency.as_ref().map(ToString::to_string));
        })
        .await
        .map_err(|error| {
            refused(
                database,
                error,
                piece.first().map(|row| &row.call),
                "a turn",
            )
        })?;
    }
    Ok(())
}

pub(super) async fn recordings(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &RecordingRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO recordings (id, call_id, file, state, started_at, ended_at,
            duration_ms, error) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, file = excluded.file,
            state = excluded.state, started_at = excluded.started_at, ended_at =
            excluded.ended_at, duration_ms = excluded.duration_ms, error = excluded.error",
    ];
    let rows: Vec<&RecordingRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.id.as_str())
                .push_bind(row.call.as_str())
                .push_bind(row.file.as_str())
                .push_bind(row.state.as_str())
                .push_bind(row.started_at.as_millis())
                .push_bind(row.ended_at.map(|t| t.as_millis()))
                .push_bind(row.duration_ms.map(signed))
                .push_bind(row.error.as_deref());
        })
        .await
        .map_err(|error| {
            refused(
                database,
                error,
                piece.first().map(|row| &row.call),
                "a recording",
            )
        })?;
    }
    Ok(())
}

pub(super) async fn messages(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &MessageRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO messages (id, call_id, channel, recipient, text, state, vendor_id,
            error, created_at, updated_at) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, channel =
            excluded.channel, recipient = excluded.recipient, text = excluded.text, state =
            excluded.state, vendor_id = excluded.vendor_id, error = excluded.error, created_at
            = excluded.created_at, updated_at = excluded.updated_at",
    ];
    let rows: Vec<&MessageRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.id.as_str())
                .push_bind(row.call.as_ref().map(|call| call.as_str()))
                .push_bind(row.channel.as_str())
                .push_bind(row.recipient.as_str())
                .push_bind(row.text.as_str())
                .push_bind(row.state.as_str())
                .push_bind(row.vendor_id.as_deref())
                .push_bind(row.error.as_deref())
                .push_bind(row.created_at.as_millis())
                .push_bind(row.updated_at.as_millis());
        })
        .await
        .map_err(|error| translate(database, error))?;
    }
    Ok(())
}

pub(super) async fn events(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &NewEvent>,
) -> Result<(), CommitError> {
    let sql = ["INSERT INTO events (call_id, at, kind, data) ", ""];
    let rows: Vec<&NewEvent> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.call.as_str())
                .push_bind(row.at.as_millis())
                .push_bind(row.kind.as_str())
                .push_bind(row.data.to_string());
        })
        .await
        .map_err(|error| {
            refused(
                database,
                error,
                piece.first().map(|row| &row.call),
                "an event",
            )
        })?;
    }
    Ok(())
}

pub(super) async fn wire(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &NewWire>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO wire (at, call_id, leg_id, direction, peer, summary, sip_call_id,
            cseq, raw) ",
        "",
    ];
    let rows: Vec<&NewWire> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.at.as_millis())
                .push_bind(row.call.as_ref().map(|call| call.as_str()))
                .push_bind(row.leg.as_ref().map(|leg| leg.as_str()))
                .push_bind(row.direction.as_str())
                .push_bind(row.peer.as_str())
                .push_bind(row.summary.as_str())
                .push_bind(row.sip_call_id.as_deref())
                .push_bind(row.cseq.as_deref())
                .push_bind(row.raw.as_str());
        })
        .await
        .map_err(|error| translate(database, error))?;
    }
    Ok(())
}

pub(super) async fn violations(
    connection: &mut SqliteConnection,
    database: &str,
    rows: impl Iterator<Item = &ViolationRow>,
) -> Result<(), CommitError> {
    let sql = [
        "INSERT INTO violations (call_id, code, detail, at, cause, cure) ",
        "ON CONFLICT (call_id, code, detail) DO NOTHING",
    ];
    let rows: Vec<&ViolationRow> = rows.collect();
    for piece in pieces(&rows) {
        write(connection, sql, piece, |cells, row| {
            cells
                .push_bind(row.call.as_str())
                .push_bind(row.code.as_str())
                .push_bind(row.detail.as_str())
                .push_bind(row.at.as_millis())
                .push_bind(row.cause.as_str())
                .push_bind(row.cure.as_str());
        })
        .await
        .map_err(|error| {
            refused(
                database,
                error,
                piece.first().map(|row| &row.call),
                "a violation",
            )
        })?;
    }
    Ok(())
}
