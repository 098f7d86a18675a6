//! The handle everybody holds.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::Backend;
use crate::error::{CommitError, OpenError, StoreError};
use crate::memory::MemoryBackend;
use crate::postgres::PostgresBackend;
use crate::sqlite::SqliteBackend;
use crate::step::{Committed, Step};
use crate::writer::{self, Order, WriterState};

/// Who opens a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// A gateway. Of a file it is the only one that may look after open calls, so a second one is
    /// refused; of a server it is one of several nodes, see [`StoreOptions::node`].
    Serve,
    /// A command (`user add`, `doctor`, `migrate`) beside a running gateway.
    #[default]
    Tool,
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub access: Access,
    /// Of a gateway at a database that is shared: the name it serves under, the same after each
    /// restart. A second one of that name is refused; each looks after its own calls
    /// ([`crate::CallRow::node`]).
    pub node: Option<String>,
    /// How long a statement waits for another program's lock, or for a connection, before it fails.
    pub busy_timeout: Duration,
    /// Most steps waiting for their commit. When it is reached, [`Store::commit`] waits for room:
    /// a step is never dropped.
    pub queue_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            access: Access::Tool,
            node: None,
            busy_timeout: Duration::from_secs(5),
            queue_max: 1024,
        }
    }
}

/// Whether steps are being kept.
#[derive(Debug, Clone)]
pub struct Health {
    /// Why the database does not answer, or why the last transaction failed.
    pub trouble: Option<StoreError>,
    /// Steps waiting for their commit.
    pub waiting_steps: usize,
}

/// A cheap handle to one open database. Reads go straight to the back end (see [`crate::backend`]);
/// steps go through the writer task.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    orders: mpsc::Sender<Order>,
    state: Arc<WriterState>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("database", &self.backend.name())
            .finish_non_exhaustive()
    }
}

impl Deref for Store {
    type Target = dyn Backend;
    fn deref(&self) -> &Self::Target {
        self.backend.as_ref()
    }
}

impl Store {
    /// Opens `sqlite://PATH` (created if need be), `postgres://USER:PASSWORD@HOST/DATABASE` or
    /// `memory:`, and brings the schema up to date. Must run within tokio.
    ///
    /// # Errors
    /// With cause and cure: see [`OpenError`].
    pub async fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        if url == "memory:" {
            return Ok(Self::over(
                Arc::new(MemoryBackend::new()),
                options.queue_max,
            ));
        }
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let backend: Arc<dyn Backend> = match scheme {
            "sqlite" => Arc::new(SqliteBackend::open(url, options).await?),
            "postgres" | "postgresql" => Arc::new(PostgresBackend::open(url, options).await?),
            // It may hold a password.
            _ => {
                return Err(OpenError::BadUrl {
                    url: format!("{scheme}:…"),
                    problem: "unknown kind of database",
                });
            }
        };
        Ok(Self::over(backend, options.queue_max))
    }

    /// A store that forgets everything with the process.
    pub fn memory() -> Self {
        Self::over(
            Arc::new(MemoryBackend::new()),
            StoreOptions::default().queue_max,
        )
    }

    /// Over any back end; starts the writer task.
    pub fn over(backend: Arc<dyn Backend>, queue_max: usize) -> Self {
        let (orders, queue) = mpsc::channel(queue_max);
        let state = Arc::new(WriterState {
            waiting: AtomicUsize::new(0),
            trouble: watch::Sender::new(None),
            work_ready: watch::Sender::new(0),
        });
        tokio::spawn(writer::run(backend.clone(), queue, state.clone()));
        if let Some(mut elsewhere) = backend.work_elsewhere() {
            // Ends with the back end, which holds the other side.
            let state = state.clone();
            tokio::spawn(async move {
                while elsewhere.changed().await.is_ok() {
                    state.work_ready.send_modify(|n| *n = n.wrapping_add(1));
                }
            });
        }
        Self {
            backend,
            orders,
            state,
        }
    }

    /// Returns when the step is on the disk. Outward effects belong after it.
    ///
    /// Who wants to try again what failed keeps an `Arc` of it. Dropping the future does not take the step back once it is queued.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the step was kept.
    pub async fn commit(&self, step: impl Into<Arc<Step>>) -> Result<Committed, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        let order = Order::Commit {
            step: step.into(),
            reply,
        };
        if self.orders.send(order).await.is_err() {
            self.state.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Closed.into());
        }
        answer.await.unwrap_or(Err(StoreError::Closed.into()))
    }

    /// Changes whenever a commit queued work, of this process or another one at the same database:
    /// wait on it instead of polling.
    pub fn work_ready(&self) -> watch::Receiver<u64> {
        self.state.work_ready.subscribe()
    }

    /// Asks the database and reports the writer's last transaction.
    pub async fn health(&self) -> Health {
        let trouble = match self.backend.ping().await {
            Err(error) => Some(error),
            Ok(()) => self.state.trouble.borrow().clone(),
        };
        Health {
            trouble,
            waiting_steps: self.state.waiting.load(Ordering::Relaxed),
        }
    }

    /// Commits what is queued and closes the database. Later commits get [`StoreError::Closed`].
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.orders.send(Order::Close { reply }).await.is_ok() {
            // An error means that the writer is gone already.
            let _ = closed.await;
        }
    }
}
