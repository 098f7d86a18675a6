//! SQLite's result codes in our words (<https://www.sqlite.org/rescode.html>).

use crate::error::StoreError;

const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;

pub(super) fn translate(database: &str, error: sqlx::Error) -> StoreError {
    let database = database.to_owned();
    let detail = error.to_string();
    match primary_code(&error) {
        Some(SQLITE_FULL) => StoreError::Full { database, detail },
        Some(SQLITE_BUSY | SQLITE_LOCKED) => StoreError::Locked { database, detail },
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => StoreError::Corrupt { database, detail },
        Some(SQLITE_READONLY | SQLITE_CANTOPEN) => StoreError::ReadOnly { database, detail },
        Some(_) => StoreError::Unavailable { database, detail },
        None if matches!(error, sqlx::Error::PoolClosed) => StoreError::Closed,
        None => StoreError::Unavailable { database, detail },
    }
}

/// The low byte of the extended result code.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Whether the row names a call that is not stored.
pub(super) fn is_foreign_key(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_foreign_key_violation())
}

/// Whether the row is there already.
pub(super) fn is_unique(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}
