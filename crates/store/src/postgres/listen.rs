//! Hearing of other nodes, over one connection that also holds this node's name.
//!
//! What is said while the connection is down is lost, so whoever waits is woken when it is back.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::error::translate;
use super::{Asked, PATIENCE};

/// Said with each commit that queued work; the payload is who says it.
const CHANNEL: &str = "switchhook_work";
/// After so long a silence the connection is tried.
const SILENCE: Duration = Duration::from_secs(30);
/// Between tries to have it back.
const PAUSE: Duration = Duration::from_secs(1);

/// To be said in the transaction that queues work: it is heard when that is committed.
pub(super) fn tell(instance: &str) -> Asked<'static> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(instance.to_owned())
}

/// The listening half of a node.
#[derive(Debug)]
pub(super) struct Ears {
    pub database: String,
    /// Of one connection.
    pub pool: PgPool,
    pub instance: String,
    /// The name under which this process serves: nobody else may have it.
    pub node: Option<String>,
    pub heard: watch::Sender<u64>,
}

impl Ears {
    pub async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// Takes the node's name for as long as the connection lasts; false if another process has it.
    pub async fn take_name(&self, listener: &mut PgListener) -> Result<bool, sqlx::Error> {
        let Some(node) = &self.node else {
            return Ok(true);
        };
        sqlx::query_scalar(
            "SELECT pg_try_advisory_lock(hashtextextended('switchhook node ' || $1, 0))",
        )
        .bind(node)
        .fetch_one(listener)
        .await
    }

    /// Until the pool is closed.
    pub async fn run(self, mut listener: PgListener) {
        loop {
            let error = self.hear(&mut listener).await;
            drop(listener);
            if matches!(error, sqlx::Error::PoolClosed) {
                return;
            }
            tracing::warn!(
                "does not hear other nodes: {}",
                translate(&self.database, error)
            );
            listener = loop {
                sleep(PAUSE).await;
                match self.listen().await {
                    Ok(listener) => break listener,
                    Err(sqlx::Error::PoolClosed) => return,
                    Err(_) => {}
                }
            };
            tracing::info!("hears other nodes again");
            self.back(&mut listener).await;
        }
    }

    /// Wakes whoever waits for work with each notification of another node. Returns what ended it.
    async fn hear(&self, listener: &mut PgListener) -> sqlx::Error {
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(said))) if said.payload() == self.instance => {}
                Ok(Ok(Some(_))) => self.wake(),
                Ok(Ok(None)) => self.back(listener).await,
                Ok(Err(error)) => return error,
                Err(_) => {
                    let probe = sqlx::query("SELECT 1").execute(&mut *listener);
                    match timeout(PATIENCE, probe).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => return error,
                        Err(_) => return std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
                    }
                }
            }
        }
    }

    /// On a new connection.
    async fn back(&self, listener: &mut PgListener) {
        self.wake();
        if let Ok(false) = self.take_name(listener).await {
            tracing::error!(
                "another gateway serves {} as node {:?} as well: their calls will be mixed up; give each its own SWITCHHOOK_NODE",
                self.database,
                self.node.as_deref().unwrap_or_default(),
            );
        }
    }

    fn wake(&self) {
        self.heard.send_modify(|n| *n = n.wrapping_add(1));
    }
}
