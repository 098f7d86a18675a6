//! PostgreSQL 13 or newer, for several nodes at one database.
//!
//! A step locks its call's row before its revision is compared, work is claimed with `SKIP LOCKED`,
//! and who queues work says so by `NOTIFY`. Reads and writes have a few connections each, so that a
//! long list cannot delay a step; one more listens.

mod calls;
mod channel;
mod error;
mod known;
mod listen;
mod open;
mod parts;
mod people;
mod statements;
mod stats;
mod steps;
mod work;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgPool, Postgres};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::sql::Origin;
use crate::sql::read::Readable;

/// Longest wait for an answer. The server gives a statement up before that (`open.rs`), so this is
/// for a server that is gone without a word.
const PATIENCE: Duration = Duration::from_secs(15);

/// One open database.
pub struct PostgresBackend {
    name: String,
    write: PgPool,
    read: PgPool,
    /// The connection of the listener, which also holds the node's name.
    ears: PgPool,
    /// Who we are in our own notifications.
    instance: String,
    elsewhere: watch::Receiver<u64>,
}

impl fmt::Debug for PostgresBackend {
    /// Without the pools: their options hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBackend")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

type Asked<'q> = Query<'q, Postgres, PgArguments>;

impl PostgresBackend {
    fn error(&self, error: sqlx::Error) -> StoreError {
        error::translate(&self.name, error)
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            database: &self.name,
            translate: error::translate,
        }
    }

    /// Nobody answered. The connection's state is unknown, so nobody gets it again.
    fn silent(&self, connection: &mut PoolConnection<Postgres>) -> StoreError {
        connection.close_on_drop();
        StoreError::Unreachable {
            database: self.name.clone(),
            detail: format!("no answer within {} s", PATIENCE.as_secs()),
        }
    }

    async fn rows(&self, pool: &PgPool, query: Asked<'_>) -> Result<Vec<PgRow>, StoreError> {
        let mut connection = pool.acquire().await.map_err(|error| self.error(error))?;
        match timeout(PATIENCE, query.fetch_all(&mut *connection)).await {
            Ok(rows) => rows.map_err(|error| self.error(error)),
            Err(_) => Err(self.silent(&mut connection)),
        }
    }

    async fn fetch<T: Readable>(&self, query: Asked<'_>) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(&self.read, query).await?;
        self.origin().read_all(&rows)
    }

    async fn fetch_optional<T: Readable>(&self, query: Asked<'_>) -> Result<Option<T>, StoreError> {
        let rows = self.rows(&self.read, query).await?;
        rows.first().map(|row| self.origin().read(row)).transpose()
    }

    /// One statement that writes; returns how many rows it changed.
    async fn execute(&self, query: Asked<'_>) -> Result<u64, StoreError> {
        let mut connection = self
            .write
            .acquire()
            .await
            .map_err(|error| self.error(error))?;
        match timeout(PATIENCE, query.execute(&mut *connection)).await {
            Ok(Ok(done)) => Ok(done.rows_affected()),
            Ok(Err(error)) => Err(self.error(error)),
            Err(_) => Err(self.silent(&mut connection)),
        }
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn work_elsewhere(&self) -> Option<watch::Receiver<u64>> {
        Some(self.elsewhere.clone())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A table of ours: another database under the same name would answer `SELECT 1` as well.
        let query = sqlx::query("SELECT count(*) FROM users");
        self.rows(&self.read, query).await.map(|_| ())
    }

    async fn close(&self) {
        let closing = async {
            self.ears.close().await;
            self.write.close().await;
            self.read.close().await;
        };
        if timeout(PATIENCE, closing).await.is_err() {
            tracing::warn!("database {}: connections left open", self.name);
        }
    }
}
