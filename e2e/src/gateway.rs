//! The real `switchhook` binary in a temporary directory, on ports of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use switchhook_lab::transcribe::http_client;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::api::Api;
use crate::process::Process;
use crate::{ports, repository, speech};

/// Start-up on a busy machine, database and registrar included.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// RTP ports of one gateway: 20 calls with two legs and RTCP.
const RTP_PORTS: u16 = 80;

/// Settings of a gateway to start; everything not set is the demo profile's.
#[derive(Debug, Clone, Default)]
pub struct GatewaySettings {
    env: BTreeMap<String, String>,
    speech: bool,
    config: Option<String>,
    profile: Option<&'static str>,
    /// Beginnings of lines of the profile, with what stands there instead.
    lines: Vec<(&'static str, &'static str)>,
}

impl GatewaySettings {
    /// A configuration file of the test's own instead of the demo profile.
    pub fn file(toml: &str) -> Self {
        Self {
            env: BTreeMap::new(),
            speech: true,
            config: Some(toml.to_owned()),
            profile: None,
            lines: Vec::new(),
        }
    }

    /// A configuration file for tests in which nobody talks with the assistant.
    pub fn media(toml: &str) -> Self {
        Self::file(toml)
            .without_speech()
            .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
    }

    /// The demo with the shared speech server.
    pub fn demo() -> Self {
        Self {
            env: BTreeMap::new(),
            speech: true,
            config: None,
            profile: None,
            lines: Vec::new(),
        }
    }

    /// A shipped profile as an installation starts it. Nobody may look in
    /// ([`Gateway::api_of_a_new_user`]).
    pub fn profile(name: &'static str) -> Self {
        Self {
            profile: Some(name),
            ..Self::demo()
        }
        .env(
            "SWITCHHOOK_SIGNING_KEY",
            "a key of the end-to-end tests, long enough",
        )
    }

    /// Another line in place of the profile's that begins so, for what no variable sets: as an
    /// installation does it, with a file of its own in `profiles/`.
    #[must_use]
    pub fn profile_line(mut self, begins: &'static str, line: &'static str) -> Self {
        self.lines.push((begins, line));
        self
    }

    /// Without the shared speech server; set `SWITCHHOOK_SPEECH_URL` or leave it unreachable.
    #[must_use]
    pub fn without_speech(mut self) -> Self {
        self.speech = false;
        self
    }

    /// Any variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.insert(name.to_owned(), value.to_string());
        self
    }

    /// The assistant's language.
    #[must_use]
    pub fn language(self, language: &str) -> Self {
        self.env("SWITCHHOOK_LANGUAGE", language)
    }

    /// How long a human's phone rings.
    #[must_use]
    pub fn ring_timeout_s(self, seconds: u32) -> Self {
        self.env("SWITCHHOOK_RING_TIMEOUT_S", seconds)
    }

    /// Ports for this many calls at once, each with two legs and RTCP, and for those that rest.
    #[must_use]
    pub fn room_for(self, calls: u16) -> Self {
        let count = calls.saturating_mul(8).max(RTP_PORTS);
        let first = ports::block(count);
        self.env(
            "SWITCHHOOK_RTP_PORTS",
            format!("{first}-{}", first + count - 1),
        )
    }

    /// Where notices go.
    #[must_use]
    pub fn notices(self, url: &str, secret: &str) -> Self {
        self.env("SWITCHHOOK_NOTICE_URL", url)
            .env("SWITCHHOOK_NOTICE_SECRET", secret)
    }

    /// A brain behind a chat completions server.
    #[must_use]
    pub fn openai_brain(self, base_url: &str) -> Self {
        self.env("SWITCHHOOK_BRAIN", "openai")
            .env("SWITCHHOOK_LLM_BASE_URL", base_url)
            .env("SWITCHHOOK_LLM_API_KEY", "key-of-the-test")
            .env("SWITCHHOOK_LLM_MODEL", "test-model")
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let rtp = ports::block(RTP_PORTS);
        let mut env = self.env;
        let http = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let sip = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let mut default = |name: &str, value: String| {
            env.entry(name.to_owned()).or_insert(value);
        };
        default("SWITCHHOOK_HTTP_BIND", http.to_string());
        default("SWITCHHOOK_SIP_BIND", sip.to_string());
        default(
            "SWITCHHOOK_RTP_PORTS",
            format!("{rtp}-{}", rtp + RTP_PORTS - 1),
        );
        default(
            "SWITCHHOOK_DATA_DIR",
            dir.path().join("data").display().to_string(),
        );
        default(
            "RUST_LOG",
            "info,switchhook=debug,switchhook_gateway=debug".to_owned(),
        );
        if self.speech {
            default("SWITCHHOOK_SPEECH_URL", speech::url().await);
        }
        let arguments = match self.config {
            Some(toml) => {
                let path = dir.path().join("test.toml");
                std::fs::write(&path, toml).expect("the temporary directory is writable");
                vec![
                    "serve".into(),
                    "--config".into(),
                    path.display().to_string(),
                ]
            }
            None => {
                let profile = self.profile.unwrap_or("demo");
                if !self.lines.is_empty() {
                    write_profile(dir.path(), profile, &self.lines);
                }
                vec!["serve".into(), "--profile".into(), profile.into()]
            }
        };
        let mut gateway = Gateway {
            http: env["SWITCHHOOK_HTTP_BIND"]
                .parse()
                .expect("an address was set"),
            sip: env["SWITCHHOOK_SIP_BIND"]
                .parse()
                .expect("an address was set"),
            process: None,
            env,
            arguments,
            dir,
            starts: 0,
            client: http_client(),
        };
        gateway.start_again().await;
        gateway
    }
}

/// The shipped profile with other lines, where the program looks first.
fn write_profile(dir: &Path, name: &str, lines: &[(&str, &str)]) {
    let file = format!("{name}.toml");
    let shipped = repository().join("profiles").join(&file);
    let mut text = std::fs::read_to_string(&shipped).expect("the profile is shipped");
    for &(begins, line) in lines {
        let old = text.lines().find(|old| old.starts_with(begins));
        let old = old.unwrap_or_else(|| panic!("no line of {file} begins with {begins:?}"));
        text = text.replace(old, line);
    }
    let own = dir.join("profiles");
    std::fs::create_dir(&own).expect("the temporary directory is writable");
    std::fs::write(own.join(file), text).expect("the temporary directory is writable");
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    http: SocketAddr,
    sip: SocketAddr,
    process: Option<Process>,
    env: BTreeMap<String, String>,
    arguments: Vec<String>,
    dir: TempDir,
    starts: u32,
    client: reqwest::Client,
}

impl Gateway {
    /// Process id of the running (or last) process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it was started").pid()
    }

    /// Where its SIP is, UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where its HTTP is.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// `http://…/` with this path.
    pub fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// The assistant's address.
    pub fn assistant(&self) -> String {
        format!("sip:assistant@{}", self.sip)
    }

    /// Its temporary directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(&self.env["SWITCHHOOK_DATA_DIR"])
    }

    /// An HTTP client without credentials.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The operator API, logged in as the demo's user.
    pub async fn api(&self) -> Api {
        Api::log_in(self.http_url(""), self.client.clone(), "demo", "demo").await
    }

    /// The operator API as a user who is added for it, as an installation does.
    pub async fn api_of_a_new_user(&self) -> Api {
        const PASSWORD: &str = "wachsame Katze auf dem Dach";
        let mut arguments = vec!["user", "add", "tester", "--role", "admin"];
        arguments.extend(self.arguments.iter().skip(1).map(String::as_str));
        let mut command = command(&self.env, self.dir.path(), &arguments);
        command
            .kill_on_drop(true)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let mut input = child.stdin.take().expect("its input is piped");
        input
            .write_all(PASSWORD.as_bytes())
            .await
            .expect("it reads the password");
        drop(input);
        let output = child.wait_with_output().await.expect("it is our own child");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "user add: {errors}");
        Api::log_in(self.http_url(""), self.client.clone(), "tester", PASSWORD).await
    }

    /// What the running (or last) process has printed.
    pub fn log(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    /// `kill -9`, as a power cut does it.
    pub async fn kill_9(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().await;
        }
    }

    /// Asks it to end and waits for that; returns the exit code.
    pub async fn stop(&mut self, within: Duration) -> i32 {
        let process = self.process.as_mut().expect("it was started");
        process.terminate().await;
        tokio::time::timeout(within, process.wait())
            .await
            .unwrap_or_else(|_| panic!("it did not end within {within:?} of SIGTERM"))
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|p| p.exited().is_some())
    }

    /// Starts it on the same ports and the same data, and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.starts += 1;
        let log = self.dir.path().join(format!("gateway-{}.log", self.starts));
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let command = command(&self.env, self.dir.path(), &arguments);
        self.process = Some(Process::start(
            "switchhook",
            "it by cargo build",
            command,
            &log,
        ));
        let deadline = Instant::now() + READY_WITHIN;
        let url = self.http_url("/readyz");
        let mut last = String::new();
        loop {
            match self.client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(e) => last = if last.is_empty() { e.to_string() } else { last },
            }
            let process = self.process.as_mut().expect("it has just been started");
            if let Some(code) = process.exited() {
                panic!("switchhook ended with {code} instead of becoming ready");
            }
            assert!(
                Instant::now() < deadline,
                "not ready in {READY_WITHIN:?}: {last}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs the binary with other arguments in the same environment; exit code, output, errors.
    pub async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&self.env, self.dir.path(), arguments).await
    }

    /// The same with some variables set otherwise.
    pub async fn run_with(
        &self,
        changed: &[(&str, &str)],
        arguments: &[&str],
    ) -> (i32, String, String) {
        let mut env = self.env.clone();
        for (name, value) in changed {
            env.insert((*name).to_owned(), (*value).to_owned());
        }
        run(&env, self.dir.path(), arguments).await
    }
}

/// Runs the binary to its end with just these variables; exit code, output, errors.
pub async fn run(
    env: &BTreeMap<String, String>,
    dir: &Path,
    arguments: &[&str],
) -> (i32, String, String) {
    let mut command = command(env, dir, arguments);
    command
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .unwrap_or_else(|_| panic!("switchhook {arguments:?} did not end within a minute"))
        .unwrap_or_else(|e| panic!("{}: {e}", binary().display()));
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn command(env: &BTreeMap<String, String>, dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    // Nothing of the developer's environment reaches it but what a program needs to run.
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(env);
    for name in ["PATH", "HOME", "TMPDIR", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// `SWITCHHOOK_BIN`, else what `cargo build` has built.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SWITCHHOOK_BIN") {
        return PathBuf::from(path);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from);
    let path = target.join("debug/switchhook");
    assert!(
        path.exists(),
        "{} is missing; build it with: cargo build -p switchhook-gateway",
        path.display()
    );
    path
}
