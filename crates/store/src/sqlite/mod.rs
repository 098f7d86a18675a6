//! SQLite, for one node.
//!
//! One connection writes: SQLite has one writer anyway, and a second one would only wait for the
//! file lock where here it waits in a fair queue. A few connections read beside it (WAL).

mod calls;
mod channel;
mod error;
mod open;
mod parts;
mod people;
mod statements;
mod stats;
mod steps;
mod work;
mod writing;

#[cfg(test)]
mod tests;

use std::fs::File;

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqlitePool};
use tokio::sync::watch;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::sql::Origin;
use crate::sql::read::Readable;
use writing::{Transaction, WriteConnection};

/// One open database file.
#[derive(Debug)]
pub struct SqliteBackend {
    name: String,
    write: WriteConnection,
    read: SqlitePool,
    /// Held by [`crate::Access::Serve`] for as long as the database is open.
    _serving: Option<File>,
}

impl SqliteBackend {
    async fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        self.write.begin().await
    }

    fn error(&self, error: sqlx::Error) -> StoreError {
        error::translate(&self.name, error)
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            database: &self.name,
            translate: error::translate,
        }
    }

    /// One statement in a transaction of its own; returns how many rows it changed.
    async fn execute(&self, query: Asked<'_>) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let done = query.execute(transaction.connection()).await;
        let done = done.map_err(|error| self.error(error))?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    async fn fetch<T: Readable>(&self, query: Asked<'_>) -> Result<Vec<T>, StoreError> {
        let rows = query.fetch_all(&self.read).await;
        let rows = rows.map_err(|error| self.error(error))?;
        self.origin().read_all(&rows)
    }

    async fn fetch_optional<T: Readable>(&self, query: Asked<'_>) -> Result<Option<T>, StoreError> {
        let row = query.fetch_optional(&self.read).await;
        let row = row.map_err(|error| self.error(error))?;
        row.map(|row| self.origin().read(&row)).transpose()
    }
}

type Asked<'q> = Query<'q, Sqlite, SqliteArguments>;

#[async_trait]
impl Backend for SqliteBackend {
    fn name(&self) -> &str {
        &self.name
    }

    /// One gateway serves a file; commands beside it own no calls.
    fn is_shared(&self) -> bool {
        false
    }

    fn work_elsewhere(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Touches a page of ours: `SELECT 1` would answer without opening the file.
        sqlx::query("SELECT count(*) FROM users")
            .execute(&self.read)
            .await
            .map(|_| ())
            .map_err(|error| self.error(error))
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
