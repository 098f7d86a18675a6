//! The write path: many steps, one transaction.
//!
//! Every statement is an errand to SQLite's own thread and back, which costs more than the statement.
//! So the rows of all steps go table by table, many to a statement. If a step is refused (its call
//! is unknown, its revision old, its claim lost, its webhook answered), everything is undone and each step is written
//! alone behind a savepoint, so that only that one fails.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteBackend;
use super::error::translate;
use super::statements;
use super::work::{queue_work, settle_work};
use crate::backend::Steps;
use crate::error::{CommitError, StoreError};
use crate::step::{Committed, Step};

type Results = Vec<Result<Committed, CommitError>>;

#[async_trait]
impl Steps for SqliteBackend {
    async fn commit_batch(&self, steps: Vec<Arc<Step>>) -> Results {
        let count = steps.len();
        match self.try_batch(&steps).await {
            Ok(results) => results,
            // The transaction as a whole failed: nothing of any step was kept.
            Err(error) => (0..count).map(|_| Err(error.clone().into())).collect(),
        }
    }
}

impl SqliteBackend {
    async fn try_batch(&self, steps: &[Arc<Step>]) -> Result<Results, StoreError> {
        let mut transaction = self.begin().await?;
        let mut writing = Writing {
            database: &self.name,
            connection: transaction.connection(),
        };
        let results = match writing.together(steps).await? {
            Some(results) => results,
            None => writing.one_by_one(steps).await?,
        };
        transaction.commit().await?;
        Ok(results)
    }
}

/// An open transaction.
struct Writing<'a> {
    database: &'a str,
    connection: &'a mut SqliteConnection,
}

impl Writing<'_> {
    /// None if one of them was refused: then nothing is written.
    async fn together(&mut self, steps: &[Arc<Step>]) -> Result<Option<Results>, StoreError> {
        if steps.len() < 2 {
            return Ok(None);
        }
        self.run("SAVEPOINT steps").await?;
        let written = match self.rows(steps).await {
            Ok(()) => self.work_of_all(steps).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(results) => {
                self.run("RELEASE steps").await?;
                Ok(Some(results))
            }
            // SQLite may have rolled everything back by itself (disk full, I/O error), and what
            // follows would meet the same trouble.
            Err(CommitError::Store(error)) => Err(error),
            Err(_) => {
                self.run("ROLLBACK TO steps").await?;
                self.run("RELEASE steps").await?;
                Ok(None)
            }
        }
    }

    async fn one_by_one(&mut self, steps: &[Arc<Step>]) -> Result<Results, StoreError> {
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            self.run("SAVEPOINT step").await?;
            let step = std::slice::from_ref(step);
            let written = match self.rows(step).await {
                Ok(()) => self.work_of_all(step).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(committed) => {
                    self.run("RELEASE step").await?;
                    results.extend(committed);
                }
                Err(CommitError::Store(error)) => return Err(error),
                Err(refused) => {
                    self.run("ROLLBACK TO step").await?;
                    self.run("RELEASE step").await?;
                    results.push(Err(refused));
                }
            }
        }
        Ok(results)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql)
            .execute(&mut *self.connection)
            .await
            .map(|_| ())
            .map_err(|error| translate(self.database, error))
    }

    /// Answers first: a step that was answered before is told so, however old its revision is. Then
    /// calls: the rest refers to them.
    async fn rows(&mut self, steps: &[Arc<Step>]) -> Result<(), CommitError> {
        let (connection, database) = (&mut *self.connection, self.database);
        macro_rules! table {
            ($table:ident) => {
                let rows = steps.iter().flat_map(|step| &step.$table);
                statements::write(connection, database, rows).await?;
            };
        }
        let answers = steps.iter().flat_map(|step| &step.answers);
        statements::write_answers(connection, database, answers).await?;
        let calls = steps.iter().filter_map(|step| step.call.as_ref());
        statements::write_calls(connection, database, calls).await?;
        table!(legs);
        table!(transfers);
        table!(attempts);
        table!(turns);
        table!(recordings);
        table!(messages);
        table!(events);
        table!(wire);
        // One after the other: a call may be judged twice in a batch.
        for step in steps {
            if let Some(call) = &step.judged {
                sqlx::query("DELETE FROM violations WHERE call_id = ?")
                    .bind(call.as_str())
                    .execute(&mut *connection)
                    .await
                    .map_err(|error| translate(database, error))?;
            }
            statements::write(connection, database, step.violations.iter()).await?;
        }
        table!(vendor_ids);
        Ok(())
    }

    async fn work_of_all(&mut self, steps: &[Arc<Step>]) -> Result<Results, CommitError> {
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            let mut committed = Committed::default();
            for settle in &step.settle {
                settle_work(self.connection, self.database, settle).await?;
            }
            for work in &step.work {
                if !queue_work(self.connection, self.database, work).await? {
                    committed.known_work.push(work.key.clone());
                }
            }
            results.push(Ok(committed));
        }
        Ok(results)
    }
}
