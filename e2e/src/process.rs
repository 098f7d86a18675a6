//! Child processes that never outlive the test run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, ChildStdin, Command};

/// How often it is looked whether a program is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running program; killed when dropped, and when the test process itself is killed. Its output
/// goes to a file and is printed when the test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: u32,
    /// It has children of its own, which end with it.
    is_group: bool,
    log: PathBuf,
    leash: Option<Leash>,
}

/// A shell that waits for the end of its input, which comes when this process dies in any way,
/// and then kills the program.
#[derive(Debug)]
struct Leash {
    shell: Child,
    _input: ChildStdin,
}

impl Process {
    /// Starts a program with its output in `log`. Panics, naming the package, when it is missing.
    pub fn start(name: &str, package: &str, command: Command, log: &Path) -> Self {
        Self::launch(name, package, command, log, false)
    }

    /// The same for a program of several processes, which are all killed.
    pub fn start_group(name: &str, package: &str, mut command: Command, log: &Path) -> Self {
        command.process_group(0);
        Self::launch(name, package, command, log, true)
    }

    fn launch(name: &str, package: &str, mut command: Command, log: &Path, is_group: bool) -> Self {
        let file = File::create(log).expect("the temporary directory is writable");
        let errors = file.try_clone().expect("a file handle can be duplicated");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started ({e}); install {package}"));
        let pid = child.id().expect("the child has just been started");
        let leash = leash(pid, is_group);
        Self {
            name: name.to_owned(),
            child,
            pid,
            is_group,
            log: log.to_owned(),
            leash: Some(leash),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended, with its exit code (−1 for a signal).
    pub fn exited(&mut self) -> Option<i32> {
        self.child
            .try_wait()
            .ok()
            .flatten()
            .map(|status| status.code().unwrap_or(-1))
    }

    /// Waits until it does what it was started for; panics with its output if it ends before, or does
    /// not `within` this time.
    pub async fn ready(&mut self, within: Duration, mut is_ready: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + within;
        while !is_ready().await {
            if let Some(code) = self.exited() {
                panic!("{} ended with {code}:\n{}", self.name, self.output());
            }
            assert!(
                Instant::now() < deadline,
                "{} was not ready in {within:?}:\n{}",
                self.name,
                self.output()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> i32 {
        let status = self
            .child
            .wait()
            .await
            .expect("our own child can be waited for");
        self.leash = None;
        status.code().unwrap_or(-1)
    }

    /// `kill -9`, returning when it is gone.
    pub async fn kill(&mut self) {
        self.leash = None;
        self.kill_group();
        // It may have ended by itself a moment ago.
        let _ = self.child.kill().await;
    }

    fn kill_group(&self) {
        if self.is_group {
            let group = format!("-{}", self.pid);
            let mut kill = std::process::Command::new("kill");
            // Already gone is as good.
            let _ = kill
                .args(["-KILL", "--", &group])
                .stderr(Stdio::null())
                .status();
        }
    }

    /// Asks it to end (SIGTERM).
    pub async fn terminate(&self) {
        let pid = self.pid.to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status().await;
    }

    /// Everything it has printed, without colours.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut plain = String::with_capacity(text.len());
        let mut rest = text.as_ref();
        while let Some(at) = rest.find("\u{1b}[") {
            plain.push_str(&rest[..at]);
            let code = &rest[at + 2..];
            rest = code
                .find(|c: char| c.is_ascii_alphabetic())
                .map_or("", |end| &code[end + 1..]);
        }
        plain.push_str(rest);
        plain
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(150)..];
            eprintln!(
                "---- last lines of {} ({} in all) ----\n{}\n----",
                self.name,
                lines.len(),
                tail.join("\n")
            );
        }
        self.leash = None;
        self.kill_group();
        // Already gone is as good.
        let _ = self.child.start_kill();
    }
}

fn leash(pid: u32, is_group: bool) -> Leash {
    let group = if is_group { "-" } else { "" };
    let mut shell = Command::new("sh")
        .args([
            "-c",
            &format!("cat >/dev/null; kill -9 {group}{pid} 2>/dev/null"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("every system has a shell");
    let input = shell.stdin.take().expect("its input is piped");
    Leash {
        shell,
        _input: input,
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // The program ended in order: the watcher must not act on its number any more.
        let _ = self.shell.start_kill();
    }
}
