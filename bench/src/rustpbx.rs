//! rustpbx as another product that bridges calls. Building it takes twenty minutes and more, so it
//! is measured only where `SWITCHHOOK_RUSTPBX` names its program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Program, free_port};
use crate::scenarios::{NotInstalled, Setting};
use crate::ua::Phones;

/// A running rustpbx.
pub struct Rustpbx {
    pub program: Program,
    pub phones: Phones,
    /// Its database; removed after it has ended.
    _dir: TempDir,
}

impl Rustpbx {
    /// Starts it on the tested core and registers the called phone as `extension`.
    pub fn start(setting: &Setting, extension: &str, password: &str) -> anyhow::Result<Self> {
        let binary = binary()?;
        std::fs::create_dir_all(&setting.data_dir)?;
        let dir = tempfile::tempdir_in(&setting.data_dir)?;
        let (http, sip) = (free_port()?, free_port()?);
        let phones = Phones::new(sip)?;
        let file = dir.path().join("rustpbx.toml");
        std::fs::write(&file, config(http, sip, extension, password))?;
        let mut command = Command::new(&binary);
        command
            .arg("--conf")
            .arg(&file)
            .current_dir(dir.path())
            .env_clear();
        let log = dir.path().join("rustpbx.log");
        let mut program = Program::start("rustpbx", command, setting.cores.tested, &log)?;
        // It answers no OPTIONS of strangers.
        program.wait_ready(|| phones.register(extension, password).is_ok())?;
        Ok(Self {
            program,
            phones,
            _dir: dir,
        })
    }
}

/// All media through it and nothing recorded; who calls is not asked for a password, as with the
/// others. Threads as many as it has cores: one.
fn config(http: SocketAddr, sip: SocketAddr, extension: &str, password: &str) -> String {
    format!(
        r#"http_addr = "{http}"
log_level = "warn"
database_url = "sqlite://rustpbx.sqlite3"
rtp_start_port = 10000
rtp_end_port = 31999

[recording]
enabled = false

[proxy]
addr = "{ip}"
udp_port = {port}
modules = ["registrar", "call"]
media_proxy = "all"
audio_codecs = ["pcmu"]
session_timer = false
sip_worker_threads = 1
media_worker_threads = 1

[[proxy.user_backends]]
type = "memory"
users = [{{ username = "{extension}", password = "{password}" }}]
"#,
        ip = sip.ip(),
        port = sip.port(),
    )
}

fn binary() -> anyhow::Result<PathBuf> {
    let Some(path) = std::env::var_os("SWITCHHOOK_RUSTPBX") else {
        let why = "SWITCHHOOK_RUSTPBX does not name the program (cargo install rustpbx)";
        return Err(NotInstalled(why.to_owned()).into());
    };
    // Before the working directory is another.
    Ok(std::path::absolute(path)?)
}
