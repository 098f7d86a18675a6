//! Programs others wrote about Twilio, run by the scripts in `e2e/outside`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use switchhook_lab::transcribe::http_client;
use tokio::process::Command;

use crate::process::Process;
use crate::{ports, repository};

/// A whole conversation at the real pace, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where they are installed: `SWITCHHOOK_OUTSIDE_DIR`, else `var/outside`.
pub fn directory() -> PathBuf {
    match std::env::var_os("SWITCHHOOK_OUTSIDE_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => repository().join("var/outside"),
    }
}

fn command(script: &str) -> Command {
    let python = directory().join("venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing; install it with scripts/install-outside.sh {}",
        python.display(),
        directory().display()
    );
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(repository().join("e2e/outside").join(script));
    command
}

/// Runs a script to its end; the JSON of its last line. Panics with its words when it fails.
pub async fn run(script: &str, arguments: &[&str]) -> Value {
    let mut command = command(script);
    command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .unwrap_or_else(|_| panic!("{script} did not end within {LIMIT:?}"))
        .unwrap_or_else(|error| panic!("{script} cannot be started: {error}"));
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = words.lines().next_back().unwrap_or_default();
    let said: Value = serde_json::from_str(last).unwrap_or_default();
    assert!(
        output.status.success(),
        "{script}: {said:#}\n{words}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A script that serves on a port of its own until it is dropped.
#[derive(Debug)]
pub struct Serving {
    pub port: u16,
    _process: Process,
}

impl Serving {
    /// Starts it with the port between `before` and `after`, and waits until it answers anything.
    pub async fn start(script: &str, before: &[&str], after: &[&str]) -> Self {
        let port = ports::free();
        let mut command = command(script);
        command.args(before).arg(port.to_string()).args(after);
        let log = std::env::temp_dir().join(format!("switchhook-e2e-{port}.log"));
        let mut process = Process::start(script, "scripts/install-outside.sh", command, &log);
        let client = http_client();
        let url = format!("http://127.0.0.1:{port}/healthz");
        let answers = async || client.get(&url).send().await.is_ok();
        process.ready(READY_WITHIN, answers).await;
        Self {
            port,
            _process: process,
        }
    }
}
