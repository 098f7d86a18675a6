//! A private PostgreSQL server for tests: a directory and a port of its own, gone with the process.
//!
//! The server is the installed one, nothing of it is imitated. It keeps nothing safe (`fsync` off),
//! trusts whoever comes by its socket and wants a password over TCP. Its databases sort by the rules
//! of English where it can (15 or newer), so that a test notices who relies on the order of bytes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "PostgreSQL's initdb is neither in PATH nor below /usr/lib/postgresql: install it, scripts/install.sh postgres (Debian package postgresql)"
    )]
    NotInstalled,
    #[error(
        "PostgreSQL does not run as root and there is no user postgres: install the Debian package postgresql, or run as somebody else"
    )]
    NoUser,
    #[error("PostgreSQL did not start: {0}")]
    NotStarted(String),
    #[error("PostgreSQL's {program} failed: {detail}")]
    Failed {
        program: &'static str,
        detail: String,
    },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The server's certificate and its key, PEM.
#[derive(Clone)]
pub struct ServerTls {
    pub certificate: String,
    pub key: String,
}

impl std::fmt::Debug for ServerTls {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// A running server. Dropped, it is stopped and its files are removed; so they are when the process
/// ends in whatever way.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    directory: PathBuf,
    port: u16,
    keeper: Child,
    databases: AtomicUsize,
}

/// Runs the server until its standard input ends, which it does when the process that holds the other
/// end is no more.
const KEEPER: &str = r#"
set -e
"$PROGRAMS/initdb" -D data -U postgres -E UTF8 $LOCALE --auth-local=trust \
  --auth-host=scram-sha-256 --no-sync >initdb.log 2>&1
printf '%s' "$SETTINGS" >>data/postgresql.conf
"$PROGRAMS/pg_ctl" -D data -l server.log -w -t 60 start >start.log 2>&1
echo ready
cat >/dev/null || true
"$PROGRAMS/pg_ctl" -D data -m immediate stop >/dev/null 2>&1 || true
rm -rf "$DIRECTORY"
"#;

impl Cluster {
    /// The one that all tests of this process share, each with a [`Cluster::database`] of its own.
    ///
    /// # Panics
    /// If there is none: with what to install.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start(None) {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error}"),
        })
    }

    /// Takes some seconds. With `tls`, it offers TLS over TCP.
    pub fn start(tls: Option<&ServerTls>) -> Result<Self, ClusterError> {
        // Another process may take the port between our look and the server's.
        let mut last = None;
        for _ in 0..3 {
            match Self::try_start(tls) {
                Err(ClusterError::NotStarted(detail)) => last = Some(detail),
                other => return other,
            }
        }
        Err(ClusterError::NotStarted(last.unwrap_or_default()))
    }

    fn try_start(tls: Option<&ServerTls>) -> Result<Self, ClusterError> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let programs = programs().ok_or(ClusterError::NotInstalled)?;
        let owner = owner()?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has room for about a hundred bytes.
        let directory =
            std::env::temp_dir().join(format!("switchhook-pg-{}-{number}", std::process::id()));
        fs::create_dir(&directory)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut settings = format!(
            "port = {port}\nunix_socket_directories = '{}'\nlisten_addresses = '127.0.0.1'\n\
             fsync = off\nfull_page_writes = off\nmax_connections = 300\nshared_buffers = 32MB\n",
            directory.display()
        );
        if let Some(tls) = tls {
            for (name, text) in [("server.crt", &tls.certificate), ("server.key", &tls.key)] {
                let path = directory.join(name);
                fs::write(&path, text)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                give(&path, owner)?;
                let setting = if name == "server.crt" { "cert" } else { "key" };
                settings += &format!("ssl_{setting}_file = '{}'\n", path.display());
            }
            settings += "ssl = on\n";
        }
        give(&directory, owner)?;
        let mut keeper = command("sh", owner, &directory)
            .args(["-c", KEEPER])
            .env("PROGRAMS", &programs)
            .env("SETTINGS", settings)
            .env("LOCALE", locale(&programs)?)
            .env("DIRECTORY", &directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Apart from ours, so that Ctrl-C ends it by way of us.
            .process_group(0)
            .spawn()?;
        let mut said = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        if said.trim() != "ready" {
            keeper.wait()?;
            let mut detail = String::new();
            for log in ["initdb.log", "start.log", "server.log"] {
                if let Ok(mut file) = fs::File::open(directory.join(log)) {
                    file.read_to_string(&mut detail)?;
                }
            }
            fs::remove_dir_all(&directory)?;
            return Err(ClusterError::NotStarted(detail));
        }
        Ok(Self {
            programs,
            owner,
            directory,
            port,
            keeper,
            databases: AtomicUsize::new(0),
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new, empty database, as a URL by way of the socket.
    ///
    /// # Panics
    /// If the server does not make it.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// By way of the socket, as the superuser.
    pub fn url(&self, database: &str) -> String {
        let socket = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}:{}/{database}", self.port)
    }

    /// Over TCP; the role is made by [`Cluster::sql`].
    pub fn tcp_url(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// What `psql` says to these statements, without headings.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let done = command(self.programs.join("psql"), None, &self.directory)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U"])
            .args(["postgres", "-d", database, "-p", &self.port.to_string()])
            .arg("-h")
            .arg(&self.directory)
            .args(["-c", statements])
            .output();
        match done {
            Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).into(),
            Ok(done) => panic!("psql: {}", String::from_utf8_lossy(&done.stderr)),
            Err(error) => panic!("psql: {error}"),
        }
    }

    /// Ends every connection, as a crash of the server does; [`Cluster::resume`] starts it again.
    pub fn crash(&self) -> Result<(), ClusterError> {
        self.control(&["-m", "immediate", "stop"])
    }

    /// Starts it again on the same port, with what it had.
    pub fn resume(&self) -> Result<(), ClusterError> {
        self.control(&["-l", "server.log", "-w", "-t", "60", "start"])
    }

    fn control(&self, arguments: &[&str]) -> Result<(), ClusterError> {
        let done = command(self.programs.join("pg_ctl"), self.owner, &self.directory)
            .args(["-D", "data"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(ClusterError::Failed {
            program: "pg_ctl",
            detail: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing can be done about one that does not end.
        let _ = self.keeper.wait();
    }
}

/// Where `initdb` is.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|dir| dir.join("initdb").exists());
    // A link points to the directory that has the other programs too.
    if let Some(real) = found.and_then(|dir| dir.join("initdb").canonicalize().ok()) {
        return real.parent().map(Path::to_owned);
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, path)| path)
}

/// Whom the server runs as, if not as us: it refuses to be root.
fn owner() -> Result<Option<(u32, u32)>, ClusterError> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            ["postgres", _, uid, gid, ..] => Some((uid.parse().ok()?, gid.parse().ok()?)),
            _ => None,
        }
    });
    ids.map(Some).ok_or(ClusterError::NoUser)
}

fn give(path: &Path, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    match owner {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn command(
    program: impl AsRef<std::ffi::OsStr>,
    owner: Option<(u32, u32)>,
    directory: &Path,
) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env("LC_ALL", "C.UTF-8");
    // Settings of whoever runs the tests are not meant for this server.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

/// What `initdb` is told about sorting.
fn locale(programs: &Path) -> Result<&'static str, ClusterError> {
    let said = Command::new(programs.join("initdb"))
        .arg("--version")
        .output()?;
    // initdb (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
    let text = String::from_utf8_lossy(&said.stdout);
    let version: u32 = text
        .split(|c: char| !c.is_ascii_digit())
        .find_map(|number| number.parse().ok())
        .unwrap_or(0);
    Ok(if version >= 15 {
        "--locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US"
    } else {
        "--locale=C.UTF-8"
    })
}
