//! The one connection that writes.
//!
//! Not a pool of one: when SQLite rolls a transaction back by itself (disk full, I/O error) or the
//! task that holds it is dropped half-way, the connection's state is unknown, to sqlx too. It is
//! then closed, which rolls back whatever is open, and the next transaction opens a new one.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::error::translate;
use crate::error::StoreError;

#[derive(Debug)]
pub(super) struct WriteConnection {
    database: String,
    options: SqliteConnectOptions,
    /// Fair: whoever asks first writes first. Empty while a transaction is open, and after one
    /// that did not end in order.
    idle: Mutex<Option<SqliteConnection>>,
    closed: std::sync::atomic::AtomicBool,
}

/// An open transaction. Dropped without [`Transaction::commit`], nothing of it is kept.
pub(super) struct Transaction<'a> {
    owner: &'a WriteConnection,
    idle: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl WriteConnection {
    pub fn new(
        database: String,
        options: SqliteConnectOptions,
        connection: SqliteConnection,
    ) -> Self {
        Self {
            database,
            options,
            idle: Mutex::new(Some(connection)),
            closed: false.into(),
        }
    }

    /// Has the write lock from the start, so that a lock held by another program is met here and
    /// not half-way.
    pub async fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let mut idle = self.idle.lock().await;
        if self.closed.load(std::sync::atomic::Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let mut connection = match idle.take() {
            Some(connection) => connection,
            None => self
                .options
                .connect()
                .await
                .map_err(|error| self.error(error))?,
        };
        match connection.execute("BEGIN IMMEDIATE").await {
            Ok(_) => Ok(Transaction {
                owner: self,
                idle,
                connection,
            }),
            Err(error) => {
                let error = self.error(error);
                if matches!(error, StoreError::Locked { .. }) {
                    // No transaction was opened; the connection is as before.
                    *idle = Some(connection);
                }
                Err(error)
            }
        }
    }

    pub async fn close(&self) {
        self.closed
            .store(true, std::sync::atomic::Ordering::Release);
        if let Some(connection) = self.idle.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!("database {}: closing: {error}", self.database);
        }
    }

    fn error(&self, error: sqlx::Error) -> StoreError {
        translate(&self.database, error)
    }
}

impl Transaction<'_> {
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Returns when the transaction is on the disk.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// As dropping it, but keeps the connection.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &'static str) -> Result<(), StoreError> {
        self.connection
            .execute(how)
            .await
            .map_err(|error| self.owner.error(error))?;
        *self.idle = Some(self.connection);
        Ok(())
    }
}
