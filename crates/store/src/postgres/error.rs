//! PostgreSQL's SQLSTATEs in our words
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use crate::error::StoreError;

const FOREIGN_KEY_VIOLATION: &str = "23503";
const UNIQUE_VIOLATION: &str = "23505";
const READ_ONLY_TRANSACTION: &str = "25006";
const IDLE_TOO_LONG: &str = "25P03";
const INVALID_AUTHORIZATION: &str = "28000";
const INVALID_PASSWORD: &str = "28P01";
const INVALID_CATALOG_NAME: &str = "3D000";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_COLUMN: &str = "42703";
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
const LOCK_NOT_AVAILABLE: &str = "55P03";
const QUERY_CANCELED: &str = "57014";
const DATA_CORRUPTED: &str = "XX001";
const INDEX_CORRUPTED: &str = "XX002";

pub(super) fn translate(database: &str, error: sqlx::Error) -> StoreError {
    let database = database.to_owned();
    match &error {
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default().into_owned();
            // Not the server's detail: it may hold a value.
            let detail = format!("{} [{code}]", refusal.message());
            of_code(database, &code, detail)
        }
        sqlx::Error::PoolClosed => StoreError::Closed,
        sqlx::Error::PoolTimedOut => StoreError::Unreachable {
            database,
            detail: "no connection in time: the server is away, or all of ours are busy".into(),
        },
        // rustls reports a certificate it does not trust this way.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => StoreError::Tls {
            database,
            detail: io.to_string(),
        },
        sqlx::Error::Io(io) => StoreError::Unreachable {
            database,
            detail: io.to_string(),
        },
        sqlx::Error::Tls(cause) => StoreError::Tls {
            database,
            detail: cause.to_string(),
        },
        _ => StoreError::Unavailable {
            database,
            detail: error.to_string(),
        },
    }
}

fn of_code(database: String, code: &str, detail: String) -> StoreError {
    match code {
        DISK_FULL => StoreError::Full { database, detail },
        READ_ONLY_TRANSACTION => StoreError::Standby { database, detail },
        INVALID_AUTHORIZATION | INVALID_PASSWORD | INSUFFICIENT_PRIVILEGE => {
            StoreError::Denied { database, detail }
        }
        INVALID_CATALOG_NAME => StoreError::NoDatabase { database, detail },
        TOO_MANY_CONNECTIONS => StoreError::Crowded { database, detail },
        SERIALIZATION_FAILURE | DEADLOCK_DETECTED | LOCK_NOT_AVAILABLE | QUERY_CANCELED => {
            StoreError::Locked { database, detail }
        }
        UNDEFINED_TABLE | UNDEFINED_COLUMN | DATA_CORRUPTED | INDEX_CORRUPTED => {
            StoreError::Corrupt { database, detail }
        }
        // Connection exceptions, a server that is shutting down or starting, one that gave up waiting
        // for us.
        code if code.starts_with("08") || code.starts_with("57P") || code == IDLE_TOO_LONG => {
            StoreError::Unreachable { database, detail }
        }
        // Data exceptions and limits: what was given cannot be stored.
        code if code.starts_with("22") || code.starts_with("54") => {
            StoreError::Refused { database, detail }
        }
        _ => StoreError::Unavailable { database, detail },
    }
}

/// Whether another transaction was faster: the same once more meets what that one has left.
pub(super) fn is_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    matches!(
        code.as_deref(),
        Some(FOREIGN_KEY_VIOLATION | UNIQUE_VIOLATION | SERIALIZATION_FAILURE | DEADLOCK_DETECTED)
    )
}
