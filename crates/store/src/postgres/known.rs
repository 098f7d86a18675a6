//! What is stored of the things a batch of steps touches, locked, and what of the batch may be
//! written: everything is judged before anything is written, so a refused step leaves no trace.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgConnection;
use switchhook_model::CallId;

use crate::error::CommitError;
use crate::sql::lists::storable;
use crate::step::{Committed, Step};
use crate::work::Queue;

/// Locked until the transaction ends.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The transaction's own number, to ask about it should its end stay unknown.
    pub transaction: String,
    revisions: HashMap<CallId, u64>,
    answered: HashSet<String>,
    /// Of stored work, the attempt in flight.
    claims: HashMap<(Queue, String), Option<u32>>,
}

impl Known {
    /// Locks go by id, so that two nodes cannot wait for each other.
    pub async fn lock(
        connection: &mut PgConnection,
        steps: &[Arc<Step>],
    ) -> Result<Self, sqlx::Error> {
        let mut known = Self::default();
        known.lock_calls(connection, steps).await?;
        known.read_answers(connection, steps).await?;
        known.lock_claims(connection, steps).await?;
        Ok(known)
    }

    /// Every call the steps touch, also those that only get a turn or a recording: so what belongs
    /// to a call is numbered in the order of its commits.
    ///
    /// `NO KEY UPDATE` keeps everybody out who wants the same; `UPDATE` would also hold up rows that
    /// only refer to the call.
    async fn lock_calls(
        &mut self,
        connection: &mut PgConnection,
        steps: &[Arc<Step>],
    ) -> Result<(), sqlx::Error> {
        let ids: BTreeSet<&str> = steps
            .iter()
            .flat_map(|step| {
                let own = step.call.iter().map(|row| &row.head.id);
                own.chain(step.references().map(|(call, _)| call))
            })
            .map(CallId::as_str)
            .collect();
        let rows: Vec<(String, Option<String>, Option<i64>)> = sqlx::query_as(
            "SELECT own.xid, stored.id, stored.revision
             FROM (SELECT pg_current_xact_id()::text AS xid) AS own
             LEFT JOIN (SELECT id, revision FROM calls WHERE id = ANY($1) ORDER BY id
                        FOR NO KEY UPDATE) AS stored ON true",
        )
        .bind(ids.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for (transaction, id, revision) in rows {
            self.transaction = transaction;
            if let (Some(id), Some(revision)) = (id.and_then(|id| id.parse().ok()), revision) {
                let revision = u64::try_from(revision).unwrap_or(0);
                self.revisions.insert(id, revision);
            }
        }
        Ok(())
    }

    async fn read_answers(
        &mut self,
        connection: &mut PgConnection,
        steps: &[Arc<Step>],
    ) -> Result<(), sqlx::Error> {
        let keys: Vec<String> = steps
            .iter()
            .flat_map(|step| &step.answers)
            .map(|row| storable(&row.key))
            .collect();
        if keys.is_empty() {
            return Ok(());
        }
        let stored: Vec<String> = sqlx::query_scalar("SELECT key FROM answers WHERE key = ANY($1)")
            .bind(keys)
            .fetch_all(connection)
            .await?;
        self.answered.extend(stored);
        Ok(())
    }

    async fn lock_claims(
        &mut self,
        connection: &mut PgConnection,
        steps: &[Arc<Step>],
    ) -> Result<(), sqlx::Error> {
        let (queues, keys): (Vec<&str>, Vec<String>) = steps
            .iter()
            .flat_map(|step| &step.settle)
            .map(|settle| (settle.queue.as_str(), storable(&settle.key)))
            .unzip();
        if keys.is_empty() {
            return Ok(());
        }
        let rows: Vec<(String, String, bool, i64)> = sqlx::query_as(
            "SELECT queue, key, state = 'in_flight', attempts FROM work
             WHERE (queue, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
             ORDER BY queue, key FOR NO KEY UPDATE",
        )
        .bind(queues)
        .bind(keys)
        .fetch_all(connection)
        .await?;
        for (queue, key, in_flight, attempts) in rows {
            if let Some(queue) = Queue::from_text(&queue) {
                let attempt = in_flight.then(|| u32::try_from(attempts).ok()).flatten();
                self.claims.insert((queue, key), attempt);
            }
        }
        Ok(())
    }

    /// Whether each step may be written, as if they came one after the other. What is accepted
    /// counts for those behind it.
    pub fn judge(&mut self, steps: &[Arc<Step>]) -> Vec<Result<Committed, CommitError>> {
        steps
            .iter()
            .map(|step| {
                self.check(step)?;
                self.accept(step);
                Ok(Committed::default())
            })
            .collect()
    }

    fn check(&self, step: &Step) -> Result<(), CommitError> {
        let mut keys = HashSet::new();
        for answer in &step.answers {
            let key = storable(&answer.key);
            if self.answered.contains(&key) || !keys.insert(key) {
                return Err(CommitError::Answered {
                    key: answer.key.clone(),
                });
            }
        }
        if let Some(call) = &step.call
            && let Some(stored) = self.revisions.get(&call.head.id)
            && call.revision <= *stored
        {
            return Err(CommitError::StaleRevision {
                call: call.head.id.clone(),
                stored: *stored,
                given: call.revision,
            });
        }
        for (call, what) in step.references() {
            let in_step = step.call.as_ref().is_some_and(|row| row.head.id == *call);
            if !in_step && !self.revisions.contains_key(call) {
                return Err(CommitError::UnknownCall {
                    call: call.clone(),
                    what,
                });
            }
        }
        let mut settled = HashSet::new();
        for settle in &step.settle {
            let claim = (settle.queue, storable(&settle.key));
            let held = self.claims.get(&claim) == Some(&Some(settle.attempt));
            if !held || !settled.insert(claim) {
                return Err(CommitError::ClaimLost {
                    queue: settle.queue,
                    key: settle.key.clone(),
                    attempt: settle.attempt,
                });
            }
        }
        Ok(())
    }

    fn accept(&mut self, step: &Step) {
        for answer in &step.answers {
            self.answered.insert(storable(&answer.key));
        }
        if let Some(call) = &step.call {
            self.revisions.insert(call.head.id.clone(), call.revision);
        }
        for settle in &step.settle {
            self.claims
                .insert((settle.queue, storable(&settle.key)), None);
        }
        for work in &step.work {
            // Of stored work nothing changes. Of other work nobody but this batch knows.
            self.claims
                .entry((work.queue, storable(&work.key)))
                .or_insert_with(|| work.claimed_until.map(|_| 1));
        }
    }
}
