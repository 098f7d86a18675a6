//! Opening: the server, its settings, the schema, the node's name.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::error::translate;
use super::listen::Ears;
use super::{PATIENCE, PostgresBackend};
use crate::error::{OpenError, StoreError};
use crate::store::{Access, StoreOptions};

/// Forward only: what is wrong with one is put right by the next.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// Connections of one node. With the listener's they are ten: PostgreSQL takes 100 by default.
const WRITERS: u32 = 3;
const READERS: u32 = 6;

/// `pg_current_xact_id` and what it belongs to.
const OLDEST_SERVER: i32 = 130_000;

/// The server gives up a statement after this, and a transaction whose client is silent that long:
/// a node that is frozen or cut off must not hold on to its locks.
const SERVER_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that was used this recently is taken to be alive.
const FRESH: Duration = Duration::from_secs(1);

impl PostgresBackend {
    pub(crate) async fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        let connect = connect_options(url)?;
        let name = name_of(&connect);
        let failed = |error| OpenError::Store(translate(&name, error));

        // Not from a pool: a pool waits where this says what is wrong.
        let first = timeout(PATIENCE, connect.connect()).await;
        let mut first = first
            .map_err(|_| {
                OpenError::Store(StoreError::Unreachable {
                    database: name.clone(),
                    detail: format!("no answer within {} s", PATIENCE.as_secs()),
                })
            })?
            .map_err(failed)?;
        refuse_unfit(&mut first, &name).await?;
        refuse_newer(&mut first, &name).await?;
        migrate(&mut first, &name).await?;
        // Of no interest any more.
        let _ = first.close().await;

        let session = connect.options([
            ("lock_timeout", options.busy_timeout.as_millis()),
            ("statement_timeout", SERVER_PATIENCE.as_millis()),
            (
                "idle_in_transaction_session_timeout",
                SERVER_PATIENCE.as_millis(),
            ),
            // Seconds until the server asks whether a silent client is still there.
            ("tcp_keepalives_idle", 30),
            ("tcp_keepalives_interval", 10),
            ("tcp_keepalives_count", 3),
        ]);
        let pool =
            |size| pool_options(size, options.busy_timeout).connect_lazy_with(session.clone());
        let ears_pool = pool(1);
        let (heard, elsewhere) = watch::channel(0);
        let instance = instance();
        let ears = Ears {
            database: name.clone(),
            pool: ears_pool.clone(),
            instance: instance.clone(),
            node: match options.access {
                Access::Serve => options.node.clone(),
                Access::Tool => None,
            },
            heard,
        };
        listen(ears, options.busy_timeout).await?;
        Ok(Self {
            write: pool(WRITERS),
            read: pool(READERS),
            ears: ears_pool,
            instance,
            elsewhere,
            name,
        })
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let bad = |problem| OpenError::BadUrl {
        url: "postgres://…".to_owned(),
        problem,
    };
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        bad("cannot be read; special characters of user and password are percent-encoded")
    })?;
    if options.get_database().is_none() {
        return Err(bad("no database named"));
    }
    let has_name = options.get_application_name().is_some();
    let options = options
        // Each statement is prepared once per connection; there are four sizes for each table.
        .statement_cache_capacity(256);
    Ok(if has_name {
        options
    } else {
        options.application_name("switchhook")
    })
}

/// Without user and password.
fn name_of(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options.get_database().unwrap_or_default();
    format!("postgres://{place}/{database}")
}

fn pool_options(size: u32, busy_timeout: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(busy_timeout)
        // Only of a connection that rested: to ask before each statement doubles its way.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for < FRESH {
                    return Ok(true);
                }
                let answer = timeout(FRESH, connection.ping()).await;
                Ok(matches!(answer, Ok(Ok(()))))
            })
        })
}

/// Tells our own notifications from others': two processes at the same time never have the same.
fn instance() -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since_epoch.map_or(0, |since| since.as_nanos());
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), nanos);
    format!("{}-{nanos:x}-{random:x}", std::process::id())
}

/// Returns when notifications are heard and the node's name is ours.
async fn listen(ears: Ears, patience: Duration) -> Result<(), OpenError> {
    let failed = |error| OpenError::Store(translate(&ears.database, error));
    let mut listener = ears.listen().await.map_err(failed)?;
    // The server may not have noticed yet that the process before us is gone.
    let deadline = Instant::now() + patience;
    while !ears.take_name(&mut listener).await.map_err(failed)? {
        if Instant::now() >= deadline {
            let refused = OpenError::NodeInUse {
                database: ears.database.clone(),
                node: ears.node.clone().unwrap_or_default(),
            };
            drop(listener);
            ears.pool.close().await;
            return Err(refused);
        }
        sleep(Duration::from_millis(200)).await;
    }
    tokio::spawn(ears.run(listener));
    Ok(())
}

async fn refuse_unfit(connection: &mut PgConnection, name: &str) -> Result<(), OpenError> {
    let (version, encoding): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| translate(name, error))?;
    let unfit = |problem| OpenError::UnfitServer {
        database: name.to_owned(),
        problem,
    };
    if version < OLDEST_SERVER {
        return Err(unfit(format!(
            "is served by PostgreSQL {}; 13 or newer is needed",
            version / 10_000
        )));
    }
    if encoding != "UTF8" {
        return Err(unfit(format!(
            "has the encoding {encoding}; create one by CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    Ok(())
}

/// One node migrates, the others wait for it.
async fn migrate(connection: &mut PgConnection, name: &str) -> Result<(), OpenError> {
    MIGRATIONS
        .run(connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMismatch(version) => OpenError::AlteredMigration {
                database: name.to_owned(),
                version,
            },
            MigrateError::ExecuteMigration(source, version) => OpenError::Migration {
                database: name.to_owned(),
                version,
                source: Box::new(translate(name, source)),
            },
            MigrateError::Execute(source) => OpenError::Store(translate(name, source)),
            other => OpenError::Store(translate(name, sqlx::Error::Migrate(Box::new(other)))),
        })
}

/// Before anything is changed.
async fn refuse_newer(connection: &mut PgConnection, name: &str) -> Result<(), OpenError> {
    let failed = |error| OpenError::Store(translate(name, error));
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .expect("at least one migration is embedded");
    let has_table: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !has_table {
        return Ok(());
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    match found {
        Some(found) if found > known => Err(OpenError::NewerSchema {
            database: name.to_owned(),
            found,
            known,
        }),
        _ => Ok(()),
    }
}
