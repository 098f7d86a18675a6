//! What only a file can go through: restarts, newer schemas, locks, full disks, damage.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use crate::Json;
use crate::contract::make::{at, call, id, work};
use crate::error::{CommitError, OpenError, StoreError};
use crate::step::Step;
use crate::store::{Access, Store, StoreOptions};
use crate::work::{Claim, Queue};

fn url(directory: &Path) -> String {
    format!("sqlite://{}", directory.join("sub/t.db").display())
}

/// A short wait for locks, so that a test of them is short.
fn options(access: Access) -> StoreOptions {
    StoreOptions {
        access,
        busy_timeout: Duration::from_millis(50),
        ..StoreOptions::default()
    }
}

async fn open(directory: &Path) -> Store {
    Store::open(&url(directory), &options(Access::Tool))
        .await
        .unwrap()
}

async fn raw(directory: &Path) -> SqliteConnection {
    SqliteConnection::connect(&url(directory)).await.unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let step = Step {
        work: vec![work("notice", 0)],
        ..Step::of(call("a", 0))
    };
    store.commit(step).await.unwrap();
    // Not closed: the file is read as a killed process leaves it.
    let again = open(directory.path()).await;
    assert_eq!(again.open_calls().await.unwrap(), vec![call("a", 0)]);
    let claim = Claim {
        queue: Queue::Outbox,
        kinds: &[],
        now: at(0),
        until: at(30),
        limit: 1,
    };
    assert_eq!(again.claim(claim).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    let newer = 29_991_231_000_000_i64;
    let mut file = raw(directory.path()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, 'from the future', 1, x'00', 0)",
    )
    .bind(newer)
    .execute(&mut file)
    .await
    .unwrap();
    let refused = Store::open(&url(directory.path()), &options(Access::Tool)).await;
    match refused {
        Err(OpenError::NewerSchema { found, known, .. }) => {
            assert!(found == newer && known < newer)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_altered_migration_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'")
        .execute(&mut raw(directory.path()).await)
        .await
        .unwrap();
    let refused = Store::open(&url(directory.path()), &options(Access::Tool)).await;
    assert!(
        matches!(refused, Err(OpenError::AlteredMigration { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn only_one_gateway_serves_a_file_while_commands_may_use_it() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Store::open(&url(directory.path()), &options(Access::Serve))
        .await
        .unwrap();
    let second = Store::open(&url(directory.path()), &options(Access::Serve)).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    let command = open(directory.path()).await;
    command.commit(Step::of(call("a", 0))).await.unwrap();
    assert!(serving.call(&id("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lock_held_by_another_program_is_named_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut other = raw(directory.path()).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let refused = store.commit(Step::of(call("a", 0))).await;
    let Err(CommitError::Store(error @ StoreError::Locked { .. })) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.is_retryable());
    assert!(error.to_string().contains("t.db"), "{error}");
    let trouble = store.health().await.trouble;
    assert!(matches!(trouble, Some(StoreError::Locked { .. })));

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.commit(Step::of(call("a", 0))).await.unwrap();
    assert!(store.health().await.trouble.is_none());
}

#[tokio::test]
async fn a_full_disk_is_named_and_everything_before_it_stays() {
    let directory = tempfile::tempdir().unwrap();
    let backend = super::SqliteBackend::open(&url(directory.path()), &options(Access::Tool))
        .await
        .unwrap();
    let backend = std::sync::Arc::new(backend);
    let store = Store::over(backend.clone(), 8);
    store.commit(Step::of(call("kept", 0))).await.unwrap();
    // SQLite reports a database that may not grow exactly as it reports a full file system.
    let mut settings = backend.begin().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(settings.connection())
        .await
        .unwrap();
    settings.commit().await.unwrap();
    let mut large = call("large", 1);
    large.snapshot = Json::of(&"x".repeat(1_000_000));
    let refused = store.commit(Step::of(large.clone())).await;
    let Err(CommitError::Store(error @ StoreError::Full { .. })) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(store.call(&id("kept")).await.unwrap().is_some());
    assert!(store.call(&id("large")).await.unwrap().is_none());

    // The connection that met it was closed, and the new one has no such limit.
    store.commit(Step::of(large)).await.unwrap();
    assert!(store.health().await.trouble.is_none());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sub/t.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let garbage = b"this is somebody's diary, not a database at all".repeat(100);
    std::fs::write(&path, &garbage).unwrap();
    let refused = Store::open(&url(directory.path()), &options(Access::Tool)).await;
    let Err(OpenError::Store(error @ StoreError::Corrupt { .. })) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("DATABASE_URL"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[tokio::test]
async fn damage_inside_the_file_is_met_as_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for n in 0..50 {
        let mut row = call(&format!("c{n}"), n);
        row.snapshot = Json::of(&"x".repeat(2_000));
        store.commit(Step::of(row)).await.unwrap();
    }
    store.close().await;
    let path = directory.path().join("sub/t.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096 * 4..middle + 4096].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let found = match Store::open(&url(directory.path()), &options(Access::Tool)).await {
        Err(OpenError::Store(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(store) => store
            .open_calls()
            .await
            .expect_err("the pages of calls are gone"),
    };
    assert!(matches!(found, StoreError::Corrupt { .. }), "{found}");
}

#[tokio::test]
async fn a_value_this_version_cannot_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store.commit(Step::of(call("a", 0))).await.unwrap();
    sqlx::query("UPDATE calls SET direction = 'sideways'")
        .execute(&mut raw(directory.path()).await)
        .await
        .unwrap();
    let error = store.call(&id("a")).await.unwrap_err();
    let text = error.to_string();
    for part in ["calls", "call_a", "direction", "sideways"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn urls_that_name_no_file_are_refused() {
    for bad in ["", "sqlite://", "mysql://x", "sqlite://x?mode=ro"] {
        let refused = Store::open(bad, &StoreOptions::default()).await;
        assert!(matches!(refused, Err(OpenError::BadUrl { .. })), "{bad}");
    }
    assert!(
        Store::open("memory:", &StoreOptions::default())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sub"), b"a file, not a directory").unwrap();
    let refused = Store::open(&url(directory.path()), &options(Access::Tool)).await;
    assert!(
        matches!(refused, Err(OpenError::Directory { .. })),
        "{refused:?}"
    );
}
