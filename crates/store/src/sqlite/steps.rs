//! The write path: many steps, one transaction, a savepoint for each.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use switchhook_model::CallId;

use super::SqliteBackend;
use super::error::{is_foreign_key, translate};
use super::row::{direction_text, signed};
use super::work::{queue_work, settle_work};
use crate::backend::Steps;
use crate::error::{CommitError, StoreError};
use crate::rows::{
    AttemptRow, CallRow, LegRow, MessageRow, NewEvent, NewWire, RecordingRow, TransferRow, TurnRow,
    ViolationRow,
};
use crate::step::{Committed, Step};

type Results = Vec<Result<Committed, CommitError>>;

#[async_trait]
impl Steps for SqliteBackend {
    async fn commit_batch(&self, steps: Vec<Step>) -> Results {
        let count = steps.len();
        match self.try_batch(steps).await {
            Ok(results) => results,
            // The transaction as a whole failed: nothing of any step was kept.
            Err(error) => (0..count).map(|_| Err(error.clone().into())).collect(),
        }
    }
}

impl SqliteBackend {
    async fn try_batch(&self, steps: Vec<Step>) -> Result<Results, StoreError> {
        let mut transaction = self.begin().await?;
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            let mut writing = Writing {
                database: &self.name,
                connection: transaction.connection(),
            };
            writing.run("SAVEPOINT step").await?;
            match writing.step(step).await {
                Ok(committed) => {
                    writing.run("RELEASE step").await?;
                    results.push(Ok(committed));
                }
                // SQLite may have rolled everything back by itself (disk full, I/O error), and what
                // follows would meet the same trouble.
                Err(CommitError::Store(error)) => return Err(error),
                Err(refused) => {
                    writing.run("ROLLBACK TO step").await?;
                    writing.run("RELEASE step").await?;
                    results.push(Err(refused));
                }
            }
        }
        transaction.commit().await?;
        Ok(results)
    }
}

/// One step being written.
struct Writing<'a> {
    database: &'a str,
    connection: &'a mut SqliteConnection,
}

impl Writing<'_> {
    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql)
            .execute(&mut *self.connection)
            .await
            .map(|_| ())
            .map_err(|error| translate(self.database, error))
    }

    async fn step(&mut self, step: Step) -> Result<Committed, CommitError> {
        if let Some(call) = &step.call {
            self.call(call).await?;
        }
        for row in &step.legs {
            self.leg(row).await?;
        }
        for row in &step.transfers {
            self.transfer(row).await?;
        }
        for row in &step.attempts {
            self.attempt(row).await?;
        }
        for row in &step.turns {
            self.turn(row).await?;
        }
        for row in &step.recordings {
            self.recording(row).await?;
        }
        for row in &step.messages {
            self.message(row).await?;
        }
        let mut committed = Committed::default();
        for event in &step.events {
            committed.events.push(self.event(event).await?);
        }
        for wire in &step.wire {
            self.wire(wire).await?;
        }
        for violation in &step.violations {
            self.violation(violation).await?;
        }
        for settle in &step.settle {
            settle_work(self.connection, self.database, settle).await?;
        }
        for work in &step.work {
            if !queue_work(self.connection, self.database, work).await? {
                committed.known_work.push(work.key.clone());
            }
        }
        Ok(committed)
    }

    async fn call(&mut self, row: &CallRow) -> Result<(), CommitError> {
        let head = &row.head;
        let done = sqlx::query(
            "INSERT INTO calls (id, status, direction, channel, profile, assistant, caller,
                caller_name, callee, started_at, answered_at, ended_at, outcome, revision,
                snapshot_version, snapshot, view)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
             ON CONFLICT (id) DO UPDATE SET status = excluded.status,
                direction = excluded.direction, channel = excluded.channel,
                profile = excluded.profile, assistant = excluded.assistant,
                caller = excluded.caller, caller_name = excluded.caller_name,
                callee = excluded.callee, started_at = excluded.started_at,
                answered_at = excluded.answered_at, ended_at = excluded.ended_at,
                outcome = excluded.outcome, revision = excluded.revision,
                snapshot_version = excluded.snapshot_version, snapshot = excluded.snapshot,
                view = excluded.view
             WHERE calls.revision < excluded.revision",
        )
        .bind(head.id.as_str())
        .bind(&head.status)
        .bind(direction_text(head.direction))
        .bind(&head.channel)
        .bind(&head.profile)
        .bind(&head.assistant)
        .bind(&head.caller)
        .bind(&head.caller_name)
        .bind(&head.callee)
        .bind(head.started_at.as_millis())
        .bind(head.answered_at.map(|t| t.as_millis()))
        .bind(head.ended_at.map(|t| t.as_millis()))
        .bind(&head.outcome)
        .bind(signed(row.revision))
        .bind(i64::from(row.snapshot_version))
        .bind(row.snapshot.to_string())
        .bind(row.view.to_string())
        .execute(&mut *self.connection)
        .await
        .map_err(|error| translate(self.database, error))?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        let stored: i64 = sqlx::query_scalar("SELECT revision FROM calls WHERE id = $1")
            .bind(head.id.as_str())
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|error| translate(self.database, error))?;
        Err(CommitError::StaleRevision {
            call: head.id.clone(),
            stored: u64::try_from(stored).unwrap_or(0),
            given: row.revision,
        })
    }

    async fn leg(&mut self, row: &LegRow) -> Result<(), CommitError> {
        let result = sqlx::query(
            "INSERT INTO legs (id, call_id, kind, party, target, state, started_at, answered_at,
                ended_at, cause, dialog)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, kind = excluded.kind,
                party = excluded.party, target = excluded.target, state = excluded.state,
                started_at = excluded.started_at, answered_at = excluded.answered_at,
                ended_at = excluded.ended_at, cause = excluded.cause, dialog = excluded.dialog",
        )
        .bind(row.id.as_str())
        .bind(row.call.as_str())
        .bind(&row.kind)
        .bind(&row.party)
        .bind(&row.target)
        .bind(&row.state)
        .bind(row.started_at.as_millis())
        .bind(row.answered_at.map(|t| t.as_millis()))
        .bind(row.ended_at.map(|t| t.as_millis()))
        .bind(&row.cause)
        .bind(row.dialog.as_ref().map(ToString::to_string))
        .execute(&mut *self.connection)
        .await;
        self.belongs(result, &row.call, "a leg").map(|_| ())
    }

    async fn transfer(&mut self, row: &TransferRow) -> Result<(), CommitError> {
        let result = sqlx::query(
            "INSERT INTO transfers (id, call_id, reason, department, requested_at, ended_at,
                outcome)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, reason = excluded.reason,
                department = excluded.department, requested_at = excluded.requested_at,
                ended_at = excluded.ended_at, outcome = excluded.outcome",
        )
        .bind(row.id.as_str())
        .bind(row.call.as_str())
        .bind(&row.reason)
        .bind(&row.department)
        .bind(row.requested_at.as_millis())
        .bind(row.ended_at.map(|t| t.as_millis()))
        .bind(&row.outcome)
        .execute(&mut *self.connection)
        .await;
        self.belongs(result, &row.call, "a transfer").map(|_| ())
    }

    async fn attempt(&mut self, row: &AttemptRow) -> Result<(), CommitError> {
        let result = sqlx::query(
            "INSERT INTO attempts (id, transfer_id, call_id, leg_id, target, ring_timeout_s, result,
                sip_status, started_at, ended_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (id) DO UPDATE SET transfer_id = excluded.transfer_id,
                call_id = excluded.call_id, leg_id = excluded.leg_id, target = excluded.target,
                ring_timeout_s = excluded.ring_timeout_s, result = excluded.result,
                sip_status = excluded.sip_status, started_at = excluded.started_at,
                ended_at = excluded.ended_at",
        )
        .bind(row.id.as_str())
        .bind(row.transfer.as_str())
        .bind(row.call.as_str())
        .bind(row.leg.as_ref().map(|leg| leg.as_str()))
        .bind(&row.target)
        .bind(i64::from(row.ring_timeout_s))
        .bind(&row.result)
        .bind(row.sip_status.map(i64::from))
        .bind(row.started_at.as_millis())
        .bind(row.ended_at.map(|t| t.as_millis()))
        .execute(&mut *self.connection)
        .await;
        self.belongs(result, &row.call, "a dial attempt")
            .map(|_| ())
    }

    async fn turn(&mut self, row: &TurnRow) -> Result<(), CommitError> {
        let result = sqlx::query(
            "INSERT INTO turns (id, call_id, n, speaker, text, started_at, ended_at, interrupted,
                latency)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, n = excluded.n,
                speaker = excluded.speaker, text = excluded.text,
                started_at = excluded.started_at, ended_at = excluded.ended_at,
                interrupted = excluded.interrupted, latency = excluded.latency",
        )
        .bind(row.id.as_str())
        .bind(row.call.as_str())
        .bind(i64::from(row.n))
        .bind(&row.speaker)
        .bind(&row.text)
        .bind(row.started_at.as_millis())
        .bind(row.ended_at.map(|t| t.as_millis()))
        .bind(i64::from(row.interrupted))
        .bind(row.latency.as_ref().map(ToString::to_string))
        .execute(&mut *self.connection)
        .await;
        self.belongs(result, &row.call, "a turn").map(|_| ())
    }

    async fn recording(&mut self, row: &RecordingRow) -> Result<(), CommitError> {
        let result = sqlx::query(
            "INSERT INTO recordings (id, call_id, file, state, started_at, ended_at, duration_ms,
                error)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, file = excluded.file,
                state = excluded.state, started_at = excluded.started_at,
                ended_at = excluded.ended_at, duration_ms = excluded.duration_ms,
                error = excluded.error",
        )
        .bind(row.id.as_str())
        .bind(row.call.as_str())
        .bind(&row.file)
        .bind(row.state.as_str())
        .bind(row.started_at.as_millis())
        .bind(row.ended_at.map(|t| t.as_millis()))
        .bind(row.duration_ms.map(signed))
        .bind(&row.error)
        .execute(&mut *self.connection)
        .await;
        self.belongs(result, &row.call, "a recording").map(|_| ())
    }

    async fn message(&mut self, row: &MessageRow) -> Result<(), CommitError> {
        sqlx::query(
            "INSERT INTO messages (id, call_id, channel, recipient, text, state, vendor_id, error,
                created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id,
                channel = excluded.channel, recipient = excluded.recipient, text = excluded.text,
                state = excluded.state, vendor_id = excluded.vendor_id, error = excluded.error,
                created_at = excluded.created_at, updated_at = excluded.updated_at",
        )
        .bind(row.id.as_str())
        .bind(row.call.as_ref().map(|call| call.as_str()))
        .bind(&row.channel)
        .bind(&row.recipient)
        .bind(&row.text)
        .bind(&row.state)
        .bind(&row.vendor_id)
        .bind(&row.error)
        .bind(row.created_at.as_millis())
        .bind(row.updated_at.as_millis())
        .execute(&mut *self.connection)
        .await
        .map(|_| ())
        .map_err(|error| translate(self.database, error).into())
    }

    async fn event(&mut self, event: &NewEvent) -> Result<i64, CommitError> {
        let result = sqlx::query_scalar(
            "INSERT INTO events (call_id, at, kind, data) VALUES ($1, $2, $3, $4) RETURNING id",
        )
        .bind(event.call.as_str())
        .bind(event.at.as_millis())
        .bind(&event.kind)
        .bind(event.data.to_string())
        .fetch_one(&mut *self.connection)
        .await;
        self.belongs(result, &event.call, "an event")
    }

    async fn wire(&mut self, wire: &NewWire) -> Result<(), CommitError> {
        sqlx::query(
            "INSERT INTO wire (at, call_id, leg_id, direction, peer, summary, sip_call_id, cseq,
                raw)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(wire.at.as_millis())
        .bind(wire.call.as_ref().map(|call| call.as_str()))
        .bind(wire.leg.as_ref().map(|leg| leg.as_str()))
        .bind(wire.direction.as_str())
        .bind(&wire.peer)
        .bind(&wire.summary)
        .bind(&wire.sip_call_id)
        .bind(&wire.cseq)
        .bind(&wire.raw)
        .execute(&mut *self.connection)
        .await
        .map(|_| ())
        .map_err(|error| translate(self.database, error).into())
    }

    async fn violation(&mut self, row: &ViolationRow) -> Result<(), CommitError> {
        let result = sqlx::query(
            "INSERT INTO violations (call_id, code, detail, at, cause, cure)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (call_id, code, detail) DO NOTHING",
        )
        .bind(row.call.as_str())
        .bind(&row.code)
        .bind(&row.detail)
        .bind(row.at.as_millis())
        .bind(&row.cause)
        .bind(&row.cure)
        .execute(&mut *self.connection)
        .await;
        self.belongs(result, &row.call, "a violation").map(|_| ())
    }

    /// A broken reference means that the call is not stored.
    fn belongs<T>(
        &self,
        result: Result<T, sqlx::Error>,
        call: &CallId,
        what: &'static str,
    ) -> Result<T, CommitError> {
        result.map_err(|error| {
            if is_foreign_key(&error) {
                CommitError::UnknownCall {
                    call: call.clone(),
                    what,
                }
            } else {
                translate(self.database, error).into()
            }
        })
    }
}
