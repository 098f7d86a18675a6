//! SQLite, for one node.
//!
//! One connection writes: SQLite has one writer anyway, and a second one would only wait for the
//! file lock where here it waits in a fair queue. A few connections read beside it (WAL).

mod calls;
mod error;
mod open;
mod parts;
mod people;
mod row;
mod statements;
mod stats;
mod steps;
mod work;
mod writing;

#[cfg(test)]
mod tests;

use std::fs::File;

use async_trait::async_trait;
use sqlx::SqlitePool;

use crate::backend::Backend;
use crate::error::StoreError;
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
}

#[async_trait]
impl Backend for SqliteBackend {
    fn name(&self) -> &str {
        &self.name
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
