//! baresip, a softphone nobody here wrote: registers, rings, talks, and records what it hears.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchhook_lab::audio::{Audio, tone, wav};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::process::Command;

use crate::netns::{Place, entering};
use crate::ports;
use crate::process::Process;
use switchhook_lab::wait::{check, until};

/// Directory of baresip's modules in Debian, for the common architectures.
const MODULE_DIRS: [&str; 3] = [
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/lib/aarch64-linux-gnu/baresip/modules",
];

/// What to start.
#[derive(Debug, Clone)]
pub struct BaresipConfig {
    /// Its extension.
    pub user: String,
    /// Password at the registrar.
    pub password: String,
    /// Registrar; a tap's address when the wire is watched.
    pub server: SocketAddr,
    /// `auto`, `manual` or `early` (see its `answermode`).
    pub answer_mode: &'static str,
    /// What its microphone hears; played once and followed by silence.
    pub microphone: Audio,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// Whose certificates it takes a server's from, over TLS.
    pub ca_file: Option<PathBuf>,
    /// Whether to register.
    pub register: bool,
    /// As baresip names it: `pcmu`, `pcma`, `G722/16000/1` or `opus/48000/2`; with another spelling it
    /// offers all it has.
    pub codec: &'static str,
    /// `srtp` (keys in RTP/AVP) or `srtp-mand` (RTP/SAVP); none for plain RTP.
    pub media_encryption: Option<&'static str>,
    /// In another network; `None`: on loopback.
    pub place: Option<Place>,
}

impl BaresipConfig {
    /// Extension with the demo's password, answering by itself, with two minutes of a tone.
    pub fn with_tone(user: &str, server: SocketAddr, hz: f64) -> Self {
        Self::with_microphone(user, server, tone::sine(hz, 120_000))
    }

    /// The same with any sound.
    pub fn with_microphone(user: &str, server: SocketAddr, microphone: Audio) -> Self {
        Self {
            user: user.to_owned(),
            password: format!("demo-{user}"),
            server,
            answer_mode: "auto",
            microphone,
            transport: "udp",
            ca_file: None,
            register: true,
            codec: "pcmu",
            media_encryption: None,
            place: None,
        }
    }
}

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    user: String,
    process: Process,
    dir: TempDir,
    control: OwnedWriteHalf,
    events: Arc<Mutex<Vec<(Instant, Value)>>>,
    started: Instant,
}

impl Baresip {
    /// Starts it; with `register`, returns once it is registered.
    pub async fn start(config: BaresipConfig) -> Self {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let control_port = ports::free();
        write_config(dir.path(), &config, control_port);
        let mut command = match &config.place {
            // `nsenter` becomes baresip: the process is the one that is watched and killed.
            Some(place) => {
                let mut command = Command::new("nsenter");
                command.args([&*entering(&place.namespace), "baresip"]);
                command
            }
            None => Command::new("baresip"),
        };
        command.arg("-f").arg(dir.path()).current_dir(dir.path());
        let log = dir.path().join("baresip.log");
        let name = format!("baresip {}", config.user);
        let process = Process::start(&name, "baresip-core", command, &log);
        let control = SocketAddr::new(control_address(&config), control_port);
        let stream = connect(control, &process).await;
        let (mut reader, control) = stream.into_split();
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        tokio::spawn(async move {
            let mut buffer = Vec::new();
            let mut chunk = [0u8; 16_384];
            while let Ok(len @ 1..) = reader.read(&mut chunk).await {
                buffer.extend_from_slice(&chunk[..len]);
                while let Some(text) = next_netstring(&mut buffer) {
                    if let Ok(value) = serde_json::from_slice::<Value>(&text) {
                        let mut log = log.lock().expect("no holder of this lock panics");
                        log.push((Instant::now(), value));
                    }
                }
            }
        });
        let phone = Self {
            user: config.user,
            process,
            dir,
            control,
            events,
            started: Instant::now(),
        };
        if config.register {
            phone.wait_registered(Duration::from_secs(20)).await;
        }
        phone
    }

    /// Dials a URI.
    pub async fn dial(&mut self, uri: &str) {
        self.command("dial", uri).await;
    }

    /// Answers the ringing call.
    pub async fn accept(&mut self) {
        self.command("accept", "").await;
    }

    /// Hangs up, or refuses a ringing call.
    pub async fn hangup(&mut self) {
        self.command("hangup", "").await;
    }

    /// Sends keypad digits in the current call.
    pub async fn digits(&mut self, digits: &str) {
        for digit in digits.chars() {
            self.command("sndcode", &digit.to_string()).await;
        }
    }

    /// Sends one command of its menu.
    pub async fn command(&mut self, command: &str, params: &str) {
        let text = json!({"command": command, "params": params, "token": "e2e"}).to_string();
        let framed = format!("{}:{text},", text.len());
        self.control
            .write_all(framed.as_bytes())
            .await
            .unwrap_or_else(|e| panic!("baresip {} is gone: {e}\n{}", self.user, self.log()));
    }

    /// Events of one type so far (`CALL_INCOMING`, `CALL_ESTABLISHED`, `CALL_CLOSED`, …) with
    /// their time since the phone was started.
    pub fn events(&self, kind: &str) -> Vec<(Duration, Value)> {
        self.events
            .lock()
            .expect("no holder of this lock panics")
            .iter()
            .filter(|(_, e)| e["type"] == kind)
            .map(|(at, e)| (at.duration_since(self.started), e.clone()))
            .collect()
    }

    /// Waits for the `n`th event (from 1) of a type.
    pub async fn wait_event(&self, kind: &str, n: usize, within: Duration) -> Value {
        let what = format!("{kind} no. {n} of baresip {}", self.user);
        until(&what, within, async || {
            let found = self.events(kind).get(n - 1).map(|(_, event)| event.clone());
            found.ok_or_else(|| format!("events: {}\n{}", self.all_events(), self.log()))
        })
        .await
    }

    /// By what it prints: it may be registered before its control port is open for us.
    async fn wait_registered(&self, within: Duration) {
        let what = format!("the registration of baresip {}", self.user);
        let printed = async || check(self.log().contains(" binding"), || self.log());
        until(&what, within, printed).await;
    }

    /// What it heard in its `n`th call (from 0) by its own recording.
    pub fn heard(&self, n: usize) -> Audio {
        self.recording(n, "dec")
    }

    /// What it sent in its `n`th call by its own recording.
    pub fn sent(&self, n: usize) -> Audio {
        self.recording(n, "enc")
    }

    fn recording(&self, n: usize, kind: &str) -> Audio {
        let ending = format!("-{kind}.wav");
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.dir.path().join("recordings"))
            .expect("it was created before the start")
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| p.to_string_lossy().ends_with(&ending))
            .collect();
        files.sort();
        let path = files.get(n).unwrap_or_else(|| {
            panic!(
                "baresip {} has recorded {} calls, not {}",
                self.user,
                files.len(),
                n + 1
            )
        });
        wav::read_unfinished(path)
            .unwrap_or_else(|e| panic!("{e}"))
            .swap_remove(0)
    }

    /// Everything it printed.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Ends it at once, as if its power were cut.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    fn all_events(&self) -> String {
        let mut out = String::new();
        for (at, event) in self
            .events
            .lock()
            .expect("no holder of this lock panics")
            .iter()
        {
            let seconds = at.duration_since(self.started).as_secs_f64();
            let _ = write!(out, "\n  {seconds:.3}s {event}");
        }
        out
    }
}

fn write_config(dir: &Path, config: &BaresipConfig, control_port: u16) {
    let modules = MODULE_DIRS
        .iter()
        .find(|d| Path::new(d).exists())
        .unwrap_or_else(|| panic!("no baresip modules in {MODULE_DIRS:?}; install baresip-core"));
    let microphone = dir.join("microphone.wav");
    // At the end of its file baresip hangs up: silence goes on for longer than any test.
    let sound = config.microphone.clone().padded(180_000);
    wav::write(&microphone, &sound).unwrap_or_else(|e| panic!("{e}"));
    let recordings = dir.join("recordings");
    std::fs::create_dir_all(&recordings).expect("the temporary directory is writable");
    let sip_port = ports::free();
    let rtp = ports::block(20);
    // The microphone is a file of 8 kHz: other codecs have it converted.
    let wideband = match config.codec {
        "opus/48000/2" => "module opus.so\nausrc_srate 8000\nausrc_channels 1\n",
        "G722/16000/1" => "module g722.so\nausrc_srate 8000\nausrc_channels 1\n",
        _ => "",
    };
    let place = config.place.as_ref();
    let ip = place.map_or(Ipv4Addr::LOCALHOST, |p| p.address);
    let control = control_address(config);
    let trust = config
        .ca_file
        .as_ref()
        .map(|file| format!("sip_cafile {}\n", file.display()))
        .unwrap_or_default();
    let text = format!(
        "sip_listen {ip}:{sip_port}\n{trust}net_interface {ip}\n\
         ctrl_tcp_listen {control}:{control_port}\nmodule_path {modules}\n\
         module g711.so\n{wideband}module aufile.so\nmodule sndfile.so\nmodule uuid.so\n\
         module srtp.so\n\
         module account.so\nmodule_app contact.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
         audio_source aufile,{}\nsnd_path {}\nrtp_ports {rtp}-{}\n\
         jitter_buffer_delay 1-3\nstatmode_default off\ncall_local_timeout 120\ncall_max_calls 4\n",
        microphone.display(),
        recordings.display(),
        rtp + 19,
    );
    let transport = match config.transport {
        "udp" => String::new(),
        other => format!(";transport={other}"),
    };
    let account = format!(
        "<sip:{user}@{server}{transport}>;auth_user={user};auth_pass={pass};regint={regint};\
         answermode={mode};audio_codecs={codec};ptime=20{encryption}\n",
        user = config.user,
        server = config.server,
        pass = config.password,
        regint = if config.register { 60 } else { 0 },
        mode = config.answer_mode,
        codec = config.codec,
        encryption = config
            .media_encryption
            .map(|mode| format!(";mediaenc={mode}"))
            .unwrap_or_default(),
    );
    for (name, content) in [
        ("config", text),
        ("accounts", account),
        ("contacts", String::new()),
    ] {
        std::fs::write(dir.join(name), content).expect("the temporary directory is writable");
    }
}

fn control_address(config: &BaresipConfig) -> IpAddr {
    let place = config.place.as_ref();
    IpAddr::V4(place.map_or(Ipv4Addr::LOCALHOST, |p| p.control))
}

async fn connect(control: SocketAddr, process: &Process) -> TcpStream {
    until(
        "baresip's control port",
        Duration::from_secs(10),
        async || {
            let connected = TcpStream::connect(control).await;
            connected.map_err(|e| format!("{e}\n{}", process.output()))
        },
    )
    .await
}

fn next_netstring(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let colon = buffer.iter().position(|b| *b == b':')?;
    let len: usize = std::str::from_utf8(&buffer[..colon])
        .ok()?
        .trim()
        .parse()
        .ok()?;
    if buffer.len() < colon + 1 + len + 1 {
        return None;
    }
    let text = buffer[colon + 1..colon + 1 + len].to_vec();
    buffer.drain(..colon + 1 + len + 1);
    Some(text)
}
