//! What only a server can go through: several nodes, its own crash, refusals, a broken connection.

mod doubt;
mod nodes;
mod server;

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use switchhook_lab::postgres::Cluster;
use tokio::time::{Instant, sleep};

use crate::store::{Access, Store, StoreOptions};

/// A short wait for locks, so that a test of them is short.
fn options() -> StoreOptions {
    StoreOptions {
        busy_timeout: Duration::from_millis(500),
        ..StoreOptions::default()
    }
}

fn serving(node: &str) -> StoreOptions {
    StoreOptions {
        access: Access::Serve,
        node: Some(node.into()),
        ..StoreOptions::default()
    }
}

async fn open(url: &str) -> Store {
    Store::open(url, &StoreOptions::default()).await.unwrap()
}

/// Two nodes at one new database.
async fn two() -> (Store, Store) {
    let url = Cluster::shared().database();
    (open(&url).await, open(&url).await)
}

async fn raw(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
