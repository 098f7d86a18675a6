//! What can go wrong, with cause and cure.

use switchhook_model::CallId;

use crate::work::Queue;

/// The database could not do it. Nothing of the request was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("database {database}: the disk is full ({detail}); free space on its file system")]
    Full { database: String, detail: String },
    #[error(
        "database {database}: locked by another program ({detail}); close the program that holds it (a backup, a database browser)"
    )]
    Locked { database: String, detail: String },
    #[error(
        "database {database}: damaged or not a Switchhook database ({detail}); stop, keep a copy of the file, restore a backup or set DATABASE_URL to a new file"
    )]
    Corrupt { database: String, detail: String },
    #[error(
        "database {database}: not writable ({detail}); check the owner and mode of the file and its directory"
    )]
    ReadOnly { database: String, detail: String },
    #[error(
        "database {database}: table {table}, row {row}, column {column} holds {}, which this version cannot read",
        shown(found)
    )]
    Inconsistent {
        database: String,
        table: &'static str,
        column: &'static str,
        row: String,
        found: String,
    },
    #[error("database {database}: {detail}")]
    Unavailable { database: String, detail: String },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing the data.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Locked { .. } | Self::Unavailable { .. } => true,
            Self::Corrupt { .. }
            | Self::ReadOnly { .. }
            | Self::Inconsistent { .. }
            | Self::Closed => false,
        }
    }

    /// Stable code for metrics and the health page.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "store.full",
            Self::Locked { .. } => "store.locked",
            Self::Corrupt { .. } => "store.corrupt",
            Self::ReadOnly { .. } => "store.read_only",
            Self::Inconsistent { .. } => "store.inconsistent",
            Self::Unavailable { .. } => "store.unavailable",
            Self::Closed => "store.closed",
        }
    }
}

/// A word of ours (`answered`), or only how long it is: a column may hold a number or what somebody
/// said, and this is logged.
fn shown(found: &str) -> String {
    let is_word = (1..=32).contains(&found.len())
        && found.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_word {
        format!("{found:?}")
    } else {
        format!("{} characters", found.chars().count())
    }
}

/// Why a step was not committed. Other steps of the same transaction are not affected by the first
/// three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error(
        "call {call}: step has revision {given}, but revision {stored} is stored; another task owns this call, load it again"
    )]
    StaleRevision {
        call: CallId,
        stored: u64,
        given: u64,
    },
    #[error("call {call} is not stored, but the step adds {what} to it")]
    UnknownCall { call: CallId, what: &'static str },
    #[error(
        "{queue:?} work {key}: attempt {attempt} no longer holds the claim; its result was dropped"
    )]
    ClaimLost {
        queue: Queue,
        key: String,
        attempt: u32,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("DATABASE_URL {url:?}: {problem}; expected sqlite://PATH or memory:")]
    BadUrl { url: String, problem: &'static str },
    #[error(
        "database {database}: schema {found} is newer than {known}, the newest this version of switchhook knows; run the newer version, or restore the backup made before its upgrade"
    )]
    NewerSchema {
        database: String,
        found: i64,
        known: i64,
    },
    #[error(
        "database {database}: migration {version} differs from the one this version ships; the file was migrated by a modified build"
    )]
    AlteredMigration { database: String, version: i64 },
    #[error("database {database}: migration {version} failed: {source}")]
    Migration {
        database: String,
        version: i64,
        source: Box<StoreError>,
    },
    #[error(
        "database {database} is in use by another running switchhook (lock file {lock_file}); stop it, or set DATABASE_URL to another file"
    )]
    InUse { database: String, lock_file: String },
    #[error("cannot create {path}: {source}; check the owner and mode of its directory")]
    Directory {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error("user {name:?} exists already")]
    Exists { name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}
