//! Opening: the file, its settings, its schema.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::SqliteBackend;
use super::error::translate;
use super::writing::WriteConnection;
use crate::error::OpenError;
use crate::store::{Access, StoreOptions};

/// Forward only: what is wrong with one is put right by the next.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// Readers beside the writer. SQLite reads from the page cache; more connections than cores would
/// only hold more caches.
const READERS: u32 = 4;

impl SqliteBackend {
    pub(crate) async fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        let path = path_of(url)?;
        let name = path.display().to_string();
        if let Some(directory) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(|source| OpenError::Directory {
                path: directory.display().to_string(),
                source,
            })?;
        }
        let serving = match options.access {
            Access::Serve => Some(serve_lock(&path)?),
            Access::Tool => None,
        };
        let connect = connect_options(&path, options.busy_timeout);
        let mut write = connect
            .connect()
            .await
            .map_err(|error| translate(&name, error))?;
        migrate(&mut write, &name).await?;
        let write = WriteConnection::new(name.clone(), connect.clone(), write);
        let read = readers(options.busy_timeout)
            .connect_with(connect.pragma("query_only", "ON"))
            .await
            .map_err(|error| translate(&name, error))?;
        Ok(Self {
            name,
            write,
            read,
            _serving: serving,
        })
    }
}

fn path_of(url: &str) -> Result<PathBuf, OpenError> {
    let bad = |problem| OpenError::BadUrl {
        url: url.to_owned(),
        problem,
    };
    let path = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .ok_or_else(|| bad("unknown kind of database"))?;
    if path.is_empty() {
        return Err(bad("no file named"));
    }
    if path.contains('?') {
        return Err(bad("options after ? are not read"));
    }
    Ok(PathBuf::from(path))
}

/// A file lock beside the database. It vanishes with the process, so a crash leaves nothing to
/// clean up.
fn serve_lock(database: &Path) -> Result<File, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".serving");
    let path = PathBuf::from(path);
    let failed = |source| OpenError::Directory {
        path: path.display().to_string(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            database: database.display().to_string(),
            lock_file: path.display().to_string(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn connect_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // Readers do not wait for the writer, and a commit is one append.
        .journal_mode(SqliteJournalMode::Wal)
        // A commit returns when it is on the disk. NORMAL would survive a killed process but not a
        // power cut: a notice that left after its commit could be forgotten and sent again. Group
        // commit shares the flush among all steps that wait, which is what makes FULL affordable.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(busy_timeout)
        // The statements are fewer than this and each is prepared once per connection.
        .statement_cache_capacity(128)
        // After a burst the log shrinks back to this many bytes.
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
}

fn readers(busy_timeout: Duration) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(1)
        // Connections to a file do not go stale; opening one reads the schema again.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // The query ahead in the queue may wait for a lock that long itself.
        .acquire_timeout(busy_timeout * 2)
}

async fn migrate(write: &mut SqliteConnection, name: &str) -> Result<(), OpenError> {
    refuse_newer(write, name).await?;
    MIGRATIONS.run(write).await.map_err(|error| match error {
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
async fn refuse_newer(write: &mut SqliteConnection, name: &str) -> Result<(), OpenError> {
    let failed = |error| OpenError::Store(translate(name, error));
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .expect("at least one migration is embedded");
    let has_table: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *write)
            .await
            .map_err(failed)?;
    if has_table == 0 {
        return Ok(());
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *write)
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
