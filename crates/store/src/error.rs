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
    #[error(
        "database {database}: no server answers ({detail}); start PostgreSQL, check host and port in DATABASE_URL and what is between"
    )]
    Unreachable { database: String, detail: String },
    #[error(
        "database {database}: the server refuses us ({detail}); check user and password in DATABASE_URL and pg_hba.conf, and let that user own the database (ALTER DATABASE … OWNER TO …)"
    )]
    Denied { database: String, detail: String },
    #[error(
        "database {database}: the server has no such database ({detail}); create it (createdb -O USER -E UTF8 NAME) or correct DATABASE_URL"
    )]
    NoDatabase { database: String, detail: String },
    #[error(
        "database {database}: no TLS with the server ({detail}); check sslmode, sslrootcert and the host name in DATABASE_URL against the server's certificate"
    )]
    Tls { database: String, detail: String },
    #[error(
        "database {database}: the server has no connection left ({detail}); raise its max_connections (a gateway takes up to ten) or end other programs"
    )]
    Crowded { database: String, detail: String },
    #[error(
        "database {database}: the server does not take changes ({detail}); it is a standby or set to read only, name the primary in DATABASE_URL"
    )]
    Standby { database: String, detail: String },
    #[error("database {database}: cannot store what was given ({detail}); report it")]
    Refused { database: String, detail: String },
    #[error("database {database}: {detail}")]
    Unavailable { database: String, detail: String },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing the data.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. }
            | Self::Locked { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Crowded { .. }
            | Self::Standby { .. }
            | Self::Unavailable { .. } => true,
            Self::Corrupt { .. }
            | Self::ReadOnly { .. }
            | Self::Inconsistent { .. }
            | Self::Denied { .. }
            | Self::NoDatabase { .. }
            | Self::Refused { .. }
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
            Self::Unreachable { .. } => "store.unreachable",
            Self::Denied { .. } => "store.denied",
            Self::NoDatabase { .. } => "store.no_database",
            Self::Tls { .. } => "store.tls",
            Self::Crowded { .. } => "store.crowded",
            Self::Standby { .. } => "store.standby",
            Self::Refused { .. } => "store.refused",
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

/// Why a step was not committed. Other steps of the same transaction are not affected by any but the
/// last.
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
    #[error("{key} was answered before; send what is stored and do nothing again")]
    Answered { key: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "DATABASE_URL {url:?}: {problem}; expected sqlite://PATH, postgres://USER:PASSWORD@HOST/DATABASE or memory:"
    )]
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
        "database {database}: migration {version} differs from the one this version ships; it was migrated by a modified build"
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
    #[error(
        "database {database}: another running switchhook serves as node {node:?}; stop it, or give this one a name of its own (SWITCHHOOK_NODE)"
    )]
    NodeInUse { database: String, node: String },
    #[error("database {database} {problem}")]
    UnfitServer { database: String, problem: String },
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
