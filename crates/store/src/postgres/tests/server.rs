//! What the server is, refuses, or goes through.

use std::sync::Arc;
use std::time::Duration;

use switchhook_lab::postgres::{Cluster, ServerTls};

use super::{open, options, raw, until};
use crate::contract::make::{at, call, id, turn, work};
use crate::error::{CommitError, OpenError, StoreError};
use crate::rows::AnswerRow;
use crate::step::Step;
use crate::store::{Store, StoreOptions};
use crate::work::Queue;

async fn refused(url: &str) -> OpenError {
    match Store::open(url, &options()).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => {
            assert!(!error.to_string().contains("hush"), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
            error
        }
    }
}

fn path(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_server_that_crashed_is_waited_for_and_nothing_is_lost() {
    let cluster = Cluster::start(None).unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.database();
    let store = Store::open(&url, &options()).await.unwrap();
    store.commit(Step::of(call("kept", 0))).await.unwrap();

    cluster.crash().unwrap();
    let lost = store.commit(Step::of(call("refused", 0))).await;
    let Err(CommitError::Store(error @ StoreError::Unreachable { .. })) = lost else {
        panic!("{lost:?}");
    };
    assert!(error.is_retryable());
    assert!(error.to_string().contains("start PostgreSQL"), "{error}");
    let read = store.call(&id("kept")).await;
    assert!(
        matches!(read, Err(StoreError::Unreachable { .. })),
        "{read:?}"
    );
    let trouble = store.health().await.trouble;
    assert!(matches!(trouble, Some(StoreError::Unreachable { .. })));

    cluster.resume().unwrap();
    until("steps are kept again", async || {
        store.commit(Step::of(call("later", 1))).await.is_ok()
    })
    .await;
    assert!(store.health().await.trouble.is_none());
    assert!(store.call(&id("kept")).await.unwrap().is_some());
    assert_eq!(store.call(&id("refused")).await.unwrap(), None);
    let mut ready = store.work_ready();
    let other = open(&url).await;
    until("it hears other nodes again", async || {
        ready.mark_unchanged();
        let key = format!("n{}", *ready.borrow());
        let step = Step {
            work: vec![work(&key, 0)],
            ..Step::default()
        };
        other.commit(step).await.unwrap();
        tokio::time::timeout(Duration::from_secs(1), ready.changed())
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_lock_held_by_another_program_is_named_and_passes() {
    let url = Cluster::shared().database();
    let store = Store::open(&url, &options()).await.unwrap();
    store.commit(Step::of(call("a", 0))).await.unwrap();
    let mut other = raw(&url).await;
    sqlx::raw_sql("BEGIN; SELECT * FROM calls FOR UPDATE")
        .execute(&mut other)
        .await
        .unwrap();
    let mut next = call("a", 0);
    next.revision = 2;
    let refused = store.commit(Step::of(next.clone())).await;
    let Err(CommitError::Store(error @ StoreError::Locked { .. })) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.is_retryable());
    // Other calls are not held up, in the same batch neither.
    let batch = [call("b", 0), next.clone(), call("c", 0)].map(Step::of);
    let results = store.commit_batch(batch.map(Arc::new).into()).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let held = Err(CommitError::Store(error));
    assert_eq!(results[1], held);
    assert!(store.call(&id("c")).await.unwrap().is_some());

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.commit(Step::of(next)).await.unwrap();
    assert!(store.health().await.trouble.is_none());
}

#[tokio::test]
async fn refusals_of_the_server_name_cause_and_cure() {
    let cluster = Cluster::shared();
    let url = cluster.database();
    let database = path(&url);
    cluster.sql(
        "postgres",
        "DO $$ BEGIN CREATE ROLE somebody LOGIN PASSWORD 'right';
         EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    let cases = [
        (
            cluster.tcp_url("somebody", "hush", database),
            "store.denied",
            "password",
        ),
        (
            cluster.tcp_url("nobody", "hush", database),
            "store.denied",
            "user",
        ),
        (cluster.url("never_made"), "store.no_database", "createdb"),
        (
            "postgres://somebody:hush@127.0.0.1:1/x".to_owned(),
            "store.unreachable",
            "start PostgreSQL",
        ),
        (
            "postgres://somebody:hush@%2Fnowhere/x".to_owned(),
            "store.unreachable",
            "/nowhere",
        ),
        (
            format!(
                "{}?sslmode=require",
                cluster.tcp_url("somebody", "hush", database)
            ),
            "store.tls",
            "sslmode",
        ),
    ];
    for (url, code, said) in cases {
        let OpenError::Store(error) = refused(&url).await else {
            panic!("{url}");
        };
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    // Since PostgreSQL 15 only the owner may make tables.
    cluster.sql(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let error = refused(&cluster.tcp_url("somebody", "right", database)).await;
    let text = error.to_string();
    assert!(text.contains("OWNER TO"), "{text}");
    cluster.sql(
        database,
        &format!("ALTER DATABASE {database} OWNER TO somebody"),
    );
    cluster.sql(database, "GRANT CREATE ON SCHEMA public TO somebody");
    let store = open(&cluster.tcp_url("somebody", "right", database)).await;
    store.commit(Step::of(call("a", 0))).await.unwrap();
    assert!(store.name().ends_with(database), "{}", store.name());
    assert!(!format!("{store:?}").contains("right"));
}

#[tokio::test]
async fn a_server_or_database_that_does_not_fit_is_refused() {
    let cluster = Cluster::shared();
    let options = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    let provider = match cluster.sql("postgres", "SHOW server_version_num").trim() {
        number if number.parse::<u32>().unwrap() >= 150_000 => "LOCALE_PROVIDER libc",
        _ => "",
    };
    cluster.sql(
        "postgres",
        &format!("CREATE DATABASE odd ENCODING 'SQL_ASCII' {options} {provider}"),
    );
    let error = refused(&cluster.url("odd")).await;
    assert!(matches!(error, OpenError::UnfitServer { .. }), "{error:?}");
    assert!(error.to_string().contains("UTF8"), "{error}");

    // A standby, as far as we can see.
    let url = cluster.database();
    open(&url).await.close().await;
    let read_only = format!("{url}?options[default_transaction_read_only]=on");
    let error = match Store::open(&read_only, &StoreOptions::default()).await {
        // The schema is there already: the first step meets it.
        Ok(store) => match store.commit(Step::of(call("a", 0))).await {
            Err(CommitError::Store(error)) => error,
            other => panic!("{other:?}"),
        },
        Err(OpenError::Store(error)) => error,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(error.code(), "store.standby", "{error}");
    assert!(error.to_string().contains("primary"), "{error}");
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_refused_without_their_password() {
    for bad in [
        "mysql://u:hush@h/db",
        "postgres://u:hush@h:port/db",
        "postgres://u:hush@h",
        "postgresql://u:hush@[::1/db",
        "hush",
    ] {
        let error = refused(bad).await;
        assert!(
            matches!(error, OpenError::BadUrl { .. }),
            "{bad}: {error:?}"
        );
        assert!(error.to_string().contains("postgres://USER"), "{error}");
    }
}

#[tokio::test]
async fn the_servers_certificate_is_checked_when_asked_for() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = ServerTls {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    };
    let cluster = Cluster::start(Some(&tls)).unwrap_or_else(|error| panic!("{error}"));
    let database = cluster.database();
    let database = path(&database);
    cluster.sql("postgres", "ALTER ROLE postgres PASSWORD 'hush'");
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.crt");
    std::fs::write(&root, &tls.certificate).unwrap();
    let url = cluster.tcp_url("postgres", "hush", database);
    let named = url.replace("127.0.0.1", "localhost");

    let untrusted = refused(&format!("{named}?sslmode=verify-full")).await;
    let OpenError::Store(error @ StoreError::Tls { .. }) = untrusted else {
        panic!("{untrusted:?}");
    };
    assert!(error.to_string().contains("sslrootcert"), "{error}");
    let rooted = format!("sslmode=verify-full&sslrootcert={}", root.display());
    // The certificate is of another name.
    let other_name = refused(&format!("{url}?{rooted}")).await;
    assert!(matches!(
        other_name,
        OpenError::Store(StoreError::Tls { .. })
    ));
    let store = open(&format!("{named}?{rooted}")).await;
    store.commit(Step::of(call("a", 0))).await.unwrap();
    let encrypted = cluster.sql(
        database,
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'switchhook'",
    );
    assert_eq!(encrypted.trim(), "t");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let url = Cluster::shared().database();
    open(&url).await.close().await;
    let newer = 29_991_231_000_000_i64;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, 'from the future', true, '', 0)",
    )
    .bind(newer)
    .execute(&mut raw(&url).await)
    .await
    .unwrap();
    match refused(&url).await {
        OpenError::NewerSchema { found, known, .. } => assert!(found == newer && known < newer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_altered_migration_is_refused() {
    let url = Cluster::shared().database();
    open(&url).await.close().await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = ''")
        .execute(&mut raw(&url).await)
        .await
        .unwrap();
    let error = refused(&url).await;
    assert!(
        matches!(error, OpenError::AlteredMigration { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_value_this_version_cannot_read_is_named() {
    let url = Cluster::shared().database();
    let store = open(&url).await;
    store.commit(Step::of(call("a", 0))).await.unwrap();
    sqlx::query("UPDATE calls SET direction = 'sideways'")
        .execute(&mut raw(&url).await)
        .await
        .unwrap();
    let error = store.call(&id("a")).await.unwrap_err();
    let text = error.to_string();
    for part in ["calls", "call_a", "direction", "sideways"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_stored_harms_its_own_step_only() {
    let store = open(&Cluster::shared().database()).await;
    // NUL has a place in a text that somebody sent, but none in PostgreSQL.
    let mut odd = call("odd", 0);
    odd.head.caller_name = Some("a\0b".into());
    let step = Step {
        turns: vec![turn("odd", 1, "\0")],
        answers: vec![AnswerRow {
            key: "k\0".into(),
            call: None,
            at: at(0),
            body: "\0".into(),
        }],
        work: vec![work("w\0", 0)],
        ..Step::of(odd.clone())
    };
    store.commit(step.clone()).await.unwrap();
    let stored = store.call(&id("odd")).await.unwrap().unwrap();
    assert_eq!(stored.head.caller_name.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(store.turns(&id("odd")).await.unwrap()[0].text, "\u{fffd}");
    assert!(store.answer("k\0").await.unwrap().is_some());
    assert!(store.work(Queue::Outbox, "w\0").await.unwrap().is_some());
    assert_eq!(store.user("x\0").await.unwrap(), None);
    let again = store.commit(step).await;
    assert!(
        matches!(again, Err(CommitError::Answered { .. })),
        "{again:?}"
    );

    // An index entry has a limit: nothing that we make comes near it.
    let endless: String = (0..20_000).map(|n| format!("{n:x}")).collect();
    let steps = [
        Step::of(call("a", 0)),
        Step {
            work: vec![work(&endless, 0)],
            ..Step::of(call("bad", 0))
        },
        Step::of(call("b", 0)),
    ];
    let results = store.commit_batch(steps.map(Arc::new).into()).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let Err(CommitError::Store(error @ StoreError::Refused { .. })) = &results[1] else {
        panic!("{results:?}");
    };
    assert!(!error.is_retryable());
    assert!(store.call(&id("a")).await.unwrap().is_some());
    assert_eq!(store.call(&id("bad")).await.unwrap(), None);
}
