//! A connection that breaks while the server commits: whether it did is found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use switchhook_lab::postgres::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::open;
use crate::contract::make::{call, event, id};
use crate::error::{CommitError, StoreError};
use crate::step::Step;

const PASS: u8 = 0;
/// The next COMMIT reaches the server, its answer nobody.
const CUT_AFTER: u8 = 1;
/// The next COMMIT does not reach the server.
const CUT_BEFORE: u8 = 2;

/// A wire between us and the server that breaks at the worst moment.
struct Wire {
    port: u16,
    cut: Arc<AtomicU8>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, cut }
    }
}

async fn carry(client: TcpStream, server: TcpStream, cut: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        // Ends with either side.
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        let said = &buffer[..length];
        let is_commit = said.windows(6).any(|word| word == b"COMMIT");
        let how = if is_commit {
            cut.swap(PASS, Ordering::SeqCst)
        } else {
            PASS
        };
        if how == CUT_AFTER {
            // The answer is not carried any more.
            back.abort();
            let _ = to_server.write_all(said).await;
            return;
        }
        if how == CUT_BEFORE {
            break;
        }
        if to_server.write_all(said).await.is_err() {
            break;
        }
    }
    back.abort();
}

#[tokio::test]
async fn whether_a_broken_commit_was_kept_is_found_out() {
    let cluster = Cluster::shared();
    let url = cluster.database();
    let database = url.rsplit('/').next().unwrap();
    cluster.sql("postgres", "ALTER ROLE postgres PASSWORD 'secret'");
    let wire = Wire::to(cluster.port()).await;
    let cut_url = format!(
        "postgres://postgres:secret@127.0.0.1:{}/{database}?sslmode=disable",
        wire.port
    );
    let store = open(&cut_url).await;
    let other = open(&url).await;
    for n in 0..5 {
        let step = |name: &str| Step {
            events: vec![event(name, "once")],
            ..Step::of(call(name, 0))
        };
        let kept = format!("kept{n}");
        wire.cut.store(CUT_AFTER, Ordering::SeqCst);
        store.commit(step(&kept)).await.unwrap();
        assert_eq!(other.events(&id(&kept)).await.unwrap().len(), 1);

        let lost = format!("lost{n}");
        wire.cut.store(CUT_BEFORE, Ordering::SeqCst);
        let refused = store.commit(step(&lost)).await;
        assert!(
            matches!(
                refused,
                Err(CommitError::Store(StoreError::Unreachable { .. }))
            ),
            "{refused:?}"
        );
        assert_eq!(other.call(&id(&lost)).await.unwrap(), None);
        // And the same once more, as who is refused may do.
        store.commit(step(&lost)).await.unwrap();
        assert_eq!(other.events(&id(&lost)).await.unwrap().len(), 1);
    }
}
