//! The whole gateway, as it is shipped: the release binary with its database on disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::carrier;
use crate::process::{Program, answers_http, free_port};
use crate::scenarios::{NotInstalled, Setting};

/// RTP ports, below those the system gives to others. Enough for a thousand short calls a second
/// with ports that rest 5 s.
const RTP_PORTS: &str = "10000-32000";

/// A running gateway.
pub struct Gateway {
    pub program: Program,
    pub sip: SocketAddr,
    pub http: SocketAddr,
    /// Its data; removed after it has ended.
    dir: TempDir,
}

/// What the configuration admits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_legs: usize,
}

impl Gateway {
    /// Starts it with room for all that is measured; see [`Self::start_limited`].
    pub fn start(setting: &Setting, speech_url: &str, config: &str) -> anyhow::Result<Self> {
        Self::start_limited(setting, speech_url, config, Limits { max_legs: 6_000 })
    }

    /// Starts it on the tested core. `config` is added to what every run needs.
    pub fn start_limited(
        setting: &Setting,
        speech_url: &str,
        config: &str,
        limits: Limits,
    ) -> anyhow::Result<Self> {
        let binary = binary()?;
        std::fs::create_dir_all(&setting.data_dir)
            .with_context(|| format!("cannot create {}", setting.data_dir.display()))?;
        let dir = tempfile::tempdir_in(&setting.data_dir)?;
        let (http, sip) = (free_port()?, free_port()?);
        let file = dir.path().join("bench.toml");
        let text = format!(
            r#"mode = "demo"
public_url = "{public_url}"

[http]
bind = "{http}"

[data]
dir = "{data}"

[media]
rtp_ports = "{RTP_PORTS}"
max_legs = {max_legs}
workers = 1

[speech]
url = "{speech_url}"

[recording]
enabled = false

[users.bench]
role = "admin"
password = "bench-password"

[sip]
bind = "{sip}"
loopback_guests = true
assistant_numbers = ["assistant"]
{config}"#,
            public_url = carrier::HOST,
            max_legs = limits.max_legs,
            data = dir.path().join("data").display(),
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(&binary);
        command
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(dir.path())
            .env_clear()
            .env("RUST_LOG", "warn");
        let log = dir.path().join("gateway.log");
        let mut program = Program::start("the gateway", command, setting.cores.tested, &log)?;
        program.wait_ready(|| answers_http(http, "/readyz", None))?;
        Ok(Self {
            program,
            sip,
            http,
            dir,
        })
    }

    /// Its database, as the store opens it.
    pub fn database(&self) -> String {
        let file = self.dir.path().join("data/switchhook.db");
        format!("sqlite://{}", file.display())
    }
}

/// `SWITCHHOOK_BIN`, else beside this program.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("SWITCHHOOK_BIN") {
        return Ok(PathBuf::from(path));
    }
    let path = std::env::current_exe()?.with_file_name("switchhook");
    if path.exists() {
        Ok(path)
    } else {
        let why = "the gateway is not built: cargo build --release -p switchhook-gateway";
        Err(NotInstalled(why.to_owned()).into())
    }
}
