//! The write path: many steps, one transaction.
//!
//! First everything that could refuse a step is locked and read, then the steps are judged
//! (`known.rs`), then the rows of those that were accepted go table by table, many to a statement.
//! Should another node be faster all the same, by a row that was not there to be locked, everything
//! is undone and done once more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::{Instant, sleep, timeout};

use super::error::is_race;
use super::known::Known;
use super::statements::{write, write_returning};
use super::work::settle_work;
use super::{PATIENCE, PostgresBackend, listen};
use crate::backend::Steps;
use crate::error::{CommitError, StoreError};
use crate::sql::lists::storable;
use crate::sql::tables::Stored;
use crate::step::{Committed, Step};

type Results = Vec<Result<Committed, CommitError>>;

/// How often a transaction is begun anew because another was faster.
const TRIES: u32 = 10;
/// How long the server is asked whether it kept what it was told to keep when the connection broke.
const DOUBT: Duration = Duration::from_secs(5);

/// Why a transaction came to nothing.
enum Undone {
    /// Another one was faster.
    Raced,
    /// Nobody answered.
    Silent,
    /// The connection broke while the server was committing, or was silent.
    Doubtful {
        transaction: String,
        results: Results,
        error: Option<sqlx::Error>,
    },
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Undone {
    fn from(error: sqlx::Error) -> Self {
        if is_race(&error) {
            Self::Raced
        } else {
            Self::Failed(error)
        }
    }
}

#[async_trait]
impl Steps for PostgresBackend {
    async fn commit_batch(&self, steps: Vec<Arc<Step>>) -> Results {
        match self.try_batch(&steps).await {
            Ok(results) => results,
            // Something that one of them holds cannot be stored, or somebody holds one of their calls:
            // alone, it harms only itself.
            Err(StoreError::Refused { .. } | StoreError::Locked { .. }) if steps.len() > 1 => {
                let mut results = Vec::with_capacity(steps.len());
                for step in &steps {
                    match self.try_batch(std::slice::from_ref(step)).await {
                        Ok(result) => results.extend(result),
                        Err(error) => results.push(Err(error.into())),
                    }
                }
                results
            }
            // The transaction as a whole failed: nothing of any step was kept.
            Err(error) => steps.iter().map(|_| Err(error.clone().into())).collect(),
        }
    }
}

impl PostgresBackend {
    async fn try_batch(&self, steps: &[Arc<Step>]) -> Result<Results, StoreError> {
        for _ in 0..TRIES {
            let mut connection = self
                .write
                .acquire()
                .await
                .map_err(|error| self.error(error))?;
            match self.transact(&mut connection, steps).await {
                Ok(results) => return Ok(results),
                Err(Undone::Raced) => {}
                Err(Undone::Silent) => return Err(self.silent(&mut connection)),
                Err(Undone::Failed(error)) => return Err(self.error(error)),
                Err(Undone::Doubtful {
                    transaction,
                    results,
                    error,
                }) => {
                    let error = match error {
                        Some(error) => self.error(error),
                        None => self.silent(&mut connection),
                    };
                    drop(connection);
                    return if self.was_kept(&transaction).await {
                        Ok(results)
                    } else {
                        Err(error)
                    };
                }
            }
        }
        Err(StoreError::Locked {
            database: self.name.clone(),
            detail: format!("another node was faster {TRIES} times"),
        })
    }

    async fn transact(
        &self,
        connection: &mut PgConnection,
        steps: &[Arc<Step>],
    ) -> Result<Results, Undone> {
        let writing = async move {
            let mut transaction = connection.begin().await?;
            let mut known = Known::lock(&mut transaction, steps).await?;
            let mut results = known.judge(steps);
            let is_whole = self
                .write_all(&mut transaction, steps, &mut results)
                .await?;
            Ok::<_, sqlx::Error>((transaction, known.transaction, results, is_whole))
        };
        let written = timeout(PATIENCE, writing).await;
        let (transaction, number, results, is_whole) = written.map_err(|_| Undone::Silent)??;
        if !is_whole {
            // Dropped, it is rolled back.
            return Err(Undone::Raced);
        }
        let error = match timeout(PATIENCE, transaction.commit()).await {
            Ok(Ok(())) => return Ok(results),
            // The server's own word.
            Ok(Err(error @ sqlx::Error::Database(_))) => return Err(error.into()),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        Err(Undone::Doubtful {
            transaction: number,
            results,
            error,
        })
    }

    /// Writes what was accepted and completes its results; false if another transaction was faster.
    async fn write_all(
        &self,
        connection: &mut PgConnection,
        steps: &[Arc<Step>],
        results: &mut Results,
    ) -> Result<bool, sqlx::Error> {
        let accepted: Vec<&Step> = steps
            .iter()
            .zip(&*results)
            .filter(|(_, result)| result.is_ok())
            .map(|(step, _)| step.as_ref())
            .collect();
        macro_rules! table {
            ($table:ident) => {
                write(connection, accepted.iter().flat_map(|step| &step.$table)).await?
            };
            (sorted $table:ident) => {
                let rows = sorted(accepted.iter().flat_map(|step| &step.$table));
                write(connection, rows.into_iter()).await?
            };
        }
        table!(sorted answers);
        let calls = sorted(accepted.iter().filter_map(|step| step.call.as_ref()));
        let expected = calls.len() as u64;
        if write(connection, calls.into_iter()).await? != expected {
            return Ok(false);
        }
        table!(legs);
        table!(transfers);
        table!(attempts);
        table!(turns);
        table!(recordings);
        table!(sorted messages);
        table!(events);
        table!(wire);
        // One after the other: a call may be judged twice in a batch.
        for step in &accepted {
            if let Some(call) = &step.judged {
                sqlx::query("DELETE FROM violations WHERE call_id = $1")
                    .bind(call.as_str())
                    .execute(&mut *connection)
                    .await?;
            }
            write(connection, step.violations.iter()).await?;
        }
        table!(sorted vendor_ids);

        let work = accepted.iter().flat_map(|step| &step.work);
        let mut queued = HashSet::new();
        for row in write_returning(connection, work).await? {
            queued.insert((row.try_get("queue")?, row.try_get("key")?));
        }
        let has_queued = !queued.is_empty();
        for (step, result) in steps.iter().zip(results) {
            if let Ok(committed) = result {
                committed.known_work = known_work(step, &mut queued);
            }
        }
        for settle in accepted.iter().flat_map(|step| &step.settle) {
            if settle_work(settle)
                .execute(&mut *connection)
                .await?
                .rows_affected()
                != 1
            {
                return Ok(false);
            }
        }
        if has_queued {
            listen::tell(&self.instance).execute(connection).await?;
        }
        Ok(true)
    }

    /// The connection broke while the server was committing. False also if it cannot be asked.
    async fn was_kept(&self, transaction: &str) -> bool {
        let deadline = Instant::now() + DOUBT;
        loop {
            let query =
                sqlx::query("SELECT pg_xact_status($1::text::xid8) AS status").bind(transaction);
            let rows = self.rows(&self.write, query).await.unwrap_or_default();
            let status = rows
                .first()
                .and_then(|row| row.try_get::<Option<String>, _>("status").ok().flatten());
            match status.as_deref() {
                Some("committed") => return true,
                Some("aborted") => return false,
                // In progress: the server has not noticed yet that nobody is there any more.
                _ if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                _ => {
                    tracing::error!(
                        "database {}: whether the last transaction was kept is not known",
                        self.name
                    );
                    return false;
                }
            }
        }
    }
}

/// What belongs to no call that is locked goes in an order, so that two nodes cannot wait for each
/// other. Rows of one identity stay as they came.
fn sorted<'a, T: Stored + 'a>(rows: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut rows: Vec<&T> = rows.collect();
    rows.sort_by_key(|row| row.identity());
    rows
}

/// The keys of a step's work that were queued before; takes what it queued itself out of `queued`.
fn known_work(step: &Step, queued: &mut HashSet<(String, String)>) -> Vec<String> {
    step.work
        .iter()
        .filter(|work| !queued.remove(&(work.queue.as_str().to_owned(), storable(&work.key))))
        .map(|work| work.key.clone())
        .collect()
}
