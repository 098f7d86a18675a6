//! SIPp as a phone or a caller, one scenario file per outcome (`e2e/sipp/*.xml`).

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;

use crate::ports;
use crate::process::Process;
use crate::repository;

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    process: Process,
    port: u16,
    dir: TempDir,
    scenario: PathBuf,
}

impl Sipp {
    /// Waits for `calls` calls and plays a scenario with each, then ends.
    pub async fn called(scenario: &str, calls: u32) -> Self {
        Self::start(scenario, calls, None, &[], true).await
    }

    /// Plays a scenario `calls` times towards `target` (`host:port`).
    pub async fn calling(scenario: &str, calls: u32, target: &str, extra: &[&str]) -> Self {
        Self::start(scenario, calls, Some(target), extra, true).await
    }

    /// The same for many calls: its messages are not kept.
    pub async fn load(scenario: &str, calls: u32, target: &str, extra: &[&str]) -> Self {
        Self::start(scenario, calls, Some(target), extra, false).await
    }

    async fn start(
        scenario: &str,
        calls: u32,
        target: Option<&str>,
        extra: &[&str],
        keep_messages: bool,
    ) -> Self {
        let path = repository().join("e2e/sipp").join(scenario);
        assert!(path.exists(), "{} is missing", path.display());
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let port = ports::free();
        let mut command = Command::new("sipp");
        command
            .arg("-sf")
            .arg(&path)
            .args([
                "-m",
                &calls.to_string(),
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .args(["-nostdin", "-trace_err", "-error_file"])
            .arg(dir.path().join("errors.log"))
            .args(["-mp", &ports::block(4).to_string()])
            .args(extra)
            .current_dir(dir.path());
        if keep_messages {
            let file = dir.path().join("messages.log");
            command.args(["-trace_msg", "-message_file"]).arg(file);
        }
        if let Some(target) = target {
            command.arg(target);
        }
        let log = dir.path().join("screen.log");
        let mut process = Process::start("sipp", "sip-tester", command, &log);
        // It listens once its port is taken; a caller may be done before anybody looks.
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.exited().is_none() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            assert!(
                Instant::now() < deadline,
                "sipp does not listen:\n{}",
                process.output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            process,
            port,
            dir,
            scenario: path,
        }
    }

    /// Its SIP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until all calls have followed the scenario to its end; panics with SIPp's messages
    /// when one did not.
    pub async fn succeed(&mut self, within: Duration) {
        let ended = tokio::time::timeout(within, self.process.wait()).await;
        assert!(
            matches!(ended, Ok(0)),
            "{} ended {ended:?} within {within:?}\n{}\n{}",
            self.scenario.display(),
            self.file("errors.log"),
            self.messages()
        );
    }

    /// Every message it sent and received.
    pub fn messages(&self) -> String {
        self.file("messages.log")
    }

    fn file(&self, name: &str) -> String {
        let path: &Path = &self.dir.path().join(name);
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }
}
