//! Other programs that are measured or measure: started on a core, killed in the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use switchhook_media::bench_io::pin_to_core;

use crate::machine;

/// Time a program has to become ready on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Tells the processor time of whatever is tested.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Program {
    /// Starts a program on a core (it inherits the core of the thread that starts it) with its
    /// output in a file.
    pub fn start(
        name: &str,
        mut command: Command,
        core: usize,
        log: &Path,
    ) -> anyhow::Result<Self> {
        pin_to_core(core).with_context(|| format!("cannot use core {core}"))?;
        let output = std::fs::File::create(log)
            .with_context(|| format!("cannot create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    /// Processor time so far. Zero when it has ended.
    pub fn time(&self) -> Duration {
        machine::process_time(self.child.id())
    }

    /// The same for another thread to read.
    pub fn clock(&self) -> Clock {
        let pid = self.child.id();
        Box::new(move || machine::process_time(pid))
    }

    /// Ends it as a power cut does, from another thread.
    pub fn killer(&self) -> impl FnOnce() + Send + use<> {
        let pid = self.child.id().to_string();
        move || {
            // Already gone is as good.
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    }

    /// Memory in RAM, in KiB.
    pub fn resident_kib(&self) -> anyhow::Result<f64> {
        machine::resident_kib(self.child.id())
            .map(|kib| kib as f64)
            .with_context(|| format!("{} has ended{}", self.name, self.last_words()))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        // What cannot be asked is not there any more.
        self.child
            .try_wait()
            .map_or(true, |status| status.is_some())
    }

    /// Waits until `ready` says so.
    pub fn wait_ready(&mut self, ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready() {
            if self.has_ended() {
                bail!("{} ended at its start{}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} was not ready in {} s{}",
                    self.name,
                    READY_WITHIN.as_secs(),
                    self.last_words()
                );
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines
            .into_iter()
            .rev()
            .fold(String::new(), |all, line| all + "\n    " + line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A UDP port of the loopback address that is free now, TCP as well.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let address = udp.local_addr()?;
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port of 127.0.0.1 is free for UDP and TCP")
}

/// Whether `GET path` is answered 200 now.
pub fn answers_http(address: SocketAddr, path: &str, authorization: Option<&str>) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let authorization =
            authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n"
        )?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(&status == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Whether a UDP port is taken, by a program that has begun to listen.
pub fn is_taken(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_err()
}
