//! `switchhook lab`, the real binary, beside a gateway that shares its data directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use switchhook_lab::visitor::Visitor;
use tokio::process::Command;

use crate::gateway::binary;
use crate::ports;
use crate::process::Process;
use switchhook_lab::wait::{check, until};

/// For everything the page shows, real ringing and talking included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    process: Process,
    /// Somebody at its page.
    pub page: Visitor,
}

impl Lab {
    /// Starts it with this data directory and gateway, and waits until the page is there.
    pub async fn start(dir: &Path, gateway: SocketAddr) -> Self {
        let listen = format!("127.0.0.1:{}", ports::free());
        let mut command = Command::new(binary());
        command
            .args(["lab", "--listen", &listen])
            .args(["--gateway", &format!("http://{gateway}")])
            .current_dir(dir)
            .env_clear()
            .envs(environment(dir));
        let log = dir.join("lab.log");
        let process = Process::start("switchhook lab", "it by cargo build", command, &log);
        let page = Visitor::new(&format!("http://{listen}"), PATIENCE);
        until("the lab", PATIENCE, async || {
            check(page.state().await.is_ok(), || process.output())
        })
        .await;
        Self { process, page }
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Asks it to end and waits for that; its exit code.
    pub async fn stop(&mut self) -> i32 {
        self.process.terminate().await;
        let ended = tokio::time::timeout(PATIENCE, self.process.wait());
        ended.await.expect("the lab ends when it is asked to")
    }
}

/// What a lab needs of the environment.
pub fn environment(dir: &Path) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    env.insert("SWITCHHOOK_DATA_DIR".to_owned(), data(dir));
    for name in ["PATH", "HOME", "TMPDIR", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            env.insert(name.to_owned(), value.to_string_lossy().into_owned());
        }
    }
    env
}

/// The data directory that lab and gateway share.
pub fn data(dir: &Path) -> String {
    dir.join("data").display().to_string()
}
