//! Where rows are kept, and under which name we serve there.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::problems::Problems;
use super::secret::Secret;

/// A database of ours. Shown without user's password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// SQLite, for one gateway.
    File(PathBuf),
    /// PostgreSQL, which several gateways may share: `postgres://USER:PASSWORD@HOST/DATABASE`.
    Server(Secret),
}

impl Database {
    /// As [`switchhook_store::Store::open`] takes it.
    pub fn url(&self) -> String {
        match self {
            Self::File(path) => format!("sqlite://{}", path.display()),
            Self::Server(url) => url.expose().to_owned(),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::File(path) => return path.display().fmt(f),
            Self::Server(url) => Url::parse(url.expose()),
        };
        let Ok(mut url) = url else {
            return f.write_str("postgres://…");
        };
        url.set_query(None);
        if url.password().is_some() {
            // Fails for a URL without a host, which has no password either.
            let _ = url.set_password(Some("***"));
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of its file where nothing else is said.
const FILE: &str = "switchhook.db";

pub(super) fn database(url: Option<&Secret>, dir: &Path, problems: &mut Problems) -> Database {
    let otherwise = Database::File(dir.join(FILE));
    let Some(url) = url else {
        return otherwise;
    };
    let text = url.expose();
    if let Some(path) = text.strip_prefix("sqlite://") {
        return Database::File(PathBuf::from(path));
    }
    // The text may hold a password: only the scheme is shown.
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    // Other languages' libraries write the driver into it: `postgresql+asyncpg`.
    let kind = scheme.split('+').next().unwrap_or_default();
    if !matches!(kind, "postgres" | "postgresql") {
        problems.add(format!(
            "data.database_url (DATABASE_URL): expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE, not {scheme}://…"
        ));
        return otherwise;
    }
    let text = format!("postgres://{rest}");
    let names_database = match Url::parse(&text) {
        Ok(url) => !matches!(url.path(), "" | "/") || url.query_pairs().any(|(k, _)| k == "dbname"),
        Err(error) => {
            problems.add(format!(
                "data.database_url (DATABASE_URL) is not a URL: {error}; in user and password, write special characters as %XX"
            ));
            return otherwise;
        }
    };
    if !names_database {
        problems.add(
            "data.database_url (DATABASE_URL) names no database: postgres://USER:PASSWORD@HOST/DATABASE",
        );
    }
    Database::Server(Secret::new(text))
}

/// Longest name of a node.
const NODE_MAX: usize = 64;

/// Ours among those that share a database; `None` where nobody shares it.
pub(super) fn node(
    named: Option<String>,
    database: &Database,
    problems: &mut Problems,
) -> Option<String> {
    match database {
        Database::File(_) => return None,
        Database::Server(_) => {}
    }
    let node = named.or_else(host_name).unwrap_or_default();
    let is_name = (1..=NODE_MAX).contains(&node.len())
        && node
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !is_name {
        problems.add(format!(
            "data.node (SWITCHHOOK_NODE): {node:?} is not a name of 1 to {NODE_MAX} letters, digits, '.', '-', '_'"
        ));
    }
    Some(node)
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}
