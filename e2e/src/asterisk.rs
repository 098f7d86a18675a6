//! Asterisk 22 as a PBX beside the gateway: in a root folder of its own (see
//! `scripts/install-asterisk.sh`), configured from `e2e/asterisk/*.conf`.
//!
//! Its phones are [`PHONES`]; they dial `800` for the assistant. The gateway knows it as a trunk, and
//! each proves to the other who it is by digest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use switchhook_lab::audio::{Audio, tone, wav};
use switchhook_lab::transcribe::http_client;
use tempfile::TempDir;
use tokio::process::Command;

use crate::certs::CertificateFiles;
use crate::ports;
use crate::process::Process;
use crate::repository;
use switchhook_lab::wait::{check, until};

/// Extensions of its phones; the password is `phone-` and the extension.
pub const PHONES: [&str; 2] = ["301", "302"];
/// Number it answers with a tone of [`TONE_HZ`], recording what it hears.
pub const TONE_NUMBER: &str = "+493023125501";
/// Number it answers to send the caller on to the gateway's extension 2001 by REFER.
pub const REFER_NUMBER: &str = "+493023125601";
/// Number it answers as [`TONE_NUMBER`] after it has played [`EARLY_HZ`] for eight seconds.
pub const EARLY_NUMBER: &str = "+493023125701";
/// Number that is busy after the same.
pub const EARLY_BUSY_NUMBER: &str = "+493023125711";
/// What it plays before an answer.
pub const EARLY_HZ: f64 = 900.0;
/// What it plays.
pub const TONE_HZ: f64 = 1250.0;
/// What its music on hold is.
pub const MUSIC_HZ: f64 = 700.0;

const ARI_USER: &str = "test";
const ARI_PASSWORD: &str = "ari-password-of-the-test";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// RTP ports of one Asterisk: ten calls with two legs and RTCP.
const RTP_PORTS: u16 = 40;

/// What to start.
#[derive(Debug, Clone)]
pub struct AsteriskConfig {
    /// The gateway's SIP address, or a tap's before it.
    pub gateway: SocketAddr,
    /// Where Asterisk is to listen.
    pub sip: SocketAddr,
    /// `udp`, `tcp` or `tls`, towards the gateway.
    pub transport: &'static str,
    /// For `tls`: its own certificate, and that of the CA.
    pub certificates: Option<(CertificateFiles, PathBuf)>,
    /// In order of preference, in Asterisk's words: `ulaw`, `alaw`, `g722`.
    pub codecs: &'static str,
    /// Session timers towards the gateway: `yes`, `no`, `always`, `required`.
    pub timers: &'static str,
    /// `no` or `sdes`.
    pub media_encryption: &'static str,
    /// Whether who is held is told by re-INVITE (`yes`) or hears Asterisk's music (`no`).
    pub hold_by_reinvite: &'static str,
}

impl AsteriskConfig {
    /// UDP, PCMU and PCMA. `sip` is chosen before so that the gateway can be told.
    pub fn new(gateway: SocketAddr, sip: SocketAddr) -> Self {
        Self {
            gateway,
            sip,
            transport: "udp",
            certificates: None,
            codecs: "ulaw,alaw",
            timers: "yes",
            media_encryption: "no",
            hold_by_reinvite: "yes",
        }
    }
}

/// An address for an Asterisk to be.
pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports::free()))
}

/// The gateway's configuration that has this Asterisk as its trunk; calls that ask for a human go
/// to `target`.
pub fn trunk_toml(asterisk: SocketAddr, target: &str) -> String {
    format!(
        r#"mode = "demo"

[sip]
loopback_guests = false

[extensions.2001]
name = "Front desk"
password = "demo-2001"

[trunks.pbx]
termination = "{asterisk}"
addresses = ["127.0.0.1"]
username = "switchhook"
password = "trunk-password-of-the-test"
inbound_username = "asterisk"
inbound_password = "pbx-password-of-the-test"
caller_id = "+493023125000"

[transfer]
targets = ["{target}"]
ring_timeout_s = 10

[users.demo]
role = "admin"
password = "demo"
"#
    )
}

/// A running Asterisk.
#[derive(Debug)]
pub struct Asterisk {
    config: AsteriskConfig,
    http: SocketAddr,
    rtp: u16,
    process: Process,
    /// Of its log.
    dir: TempDir,
    home: Home,
    client: reqwest::Client,
    starts: u32,
}

/// Its two directories inside the root; removed in the end.
#[derive(Debug)]
struct Home {
    root: PathBuf,
    name: String,
}

impl Home {
    fn etc(&self) -> PathBuf {
        self.root.join("etc").join(&self.name)
    }

    fn run(&self) -> PathBuf {
        self.root.join("run").join(&self.name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Left-overs in a folder that only tests use harm nobody.
        let _ = std::fs::remove_dir_all(self.etc());
        let _ = std::fs::remove_dir_all(self.run());
    }
}

impl Asterisk {
    /// Starts it and waits until its REST interface answers.
    pub async fn start(config: AsteriskConfig) -> Self {
        let home = Home {
            root: root(),
            // Test processes in different network namespaces may have the same port.
            name: format!("switchhook-{}-{}", std::process::id(), config.sip.port()),
        };
        let http = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let rtp = ports::block(RTP_PORTS);
        write_config(&config, &home, http, rtp);
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let process = launch(&home, dir.path(), 1);
        let mut asterisk = Self {
            config,
            http,
            rtp,
            process,
            dir,
            home,
            client: http_client(),
            starts: 1,
        };
        asterisk.wait_ready().await;
        asterisk
    }

    /// Its SIP address.
    pub fn sip(&self) -> SocketAddr {
        self.config.sip
    }

    /// As a power cut does it.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again where it was.
    pub async fn start_again(&mut self) {
        self.starts += 1;
        write_config(&self.config, &self.home, self.http, self.rtp);
        self.process = launch(&self.home, self.dir.path(), self.starts);
        self.wait_ready().await;
    }

    async fn wait_ready(&mut self) {
        until("asterisk", READY_WITHIN, async || {
            if let Some(code) = self.process.exited() {
                panic!("asterisk ended with {code}:\n{}", self.process.output());
            }
            let info = self.try_get("asterisk/info").await;
            check(info.is_some(), || self.process.output())
        })
        .await;
    }

    async fn try_get(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}/ari/{path}", self.http);
        let request = self
            .client
            .get(url)
            .basic_auth(ARI_USER, Some(ARI_PASSWORD));
        request.send().await.ok()?.json().await.ok()
    }

    /// Waits until it holds the gateway for reachable (its OPTIONS were answered).
    pub async fn wait_reaches_gateway(&self, within: Duration) {
        until("asterisk to reach the gateway", within, async || {
            let endpoint = self.try_get("endpoints/PJSIP/switchhook").await;
            let is_online = endpoint.as_ref().is_some_and(|e| e["state"] == "online");
            let output = || format!("{endpoint:?}\n{}", self.process.output());
            check(is_online, output)
        })
        .await;
    }

    /// How many channels it has.
    pub async fn channels(&self) -> usize {
        let channels = self.try_get("channels").await;
        channels
            .and_then(|list| list.as_array().map(Vec::len))
            .unwrap_or(0)
    }

    /// Waits until it has this many channels.
    pub async fn wait_channels(&self, count: usize, within: Duration) {
        until(&format!("{count} channels"), within, async || {
            let channels = self.channels().await;
            let output = || format!("asterisk has {channels}:\n{}", self.process.output());
            check(channels == count, output)
        })
        .await;
    }

    /// Waits until it printed that.
    pub async fn wait_log(&self, words: &str, within: Duration) {
        let say = async || check(self.log().contains(words), || self.log());
        until(words, within, say).await;
    }

    /// What it heard on [`TONE_NUMBER`]; complete once the call is over.
    pub fn heard(&self) -> Audio {
        let path = self.home.run().join("heard.wav");
        wav::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.process.output()
    }
}

/// Where it is unpacked: `SWITCHHOOK_ASTERISK_DIR`, else `var/asterisk`.
fn root() -> PathBuf {
    let dir = std::env::var_os("SWITCHHOOK_ASTERISK_DIR")
        .map_or_else(|| repository().join("var/asterisk"), PathBuf::from);
    let root = dir.join("root");
    assert!(
        dir.join("complete").exists(),
        "no Asterisk in {}: run scripts/install-asterisk.sh",
        dir.display()
    );
    root
}

fn launch(home: &Home, dir: &Path, start: u32) -> Process {
    let mut command = Command::new("chroot");
    command
        .arg(&home.root)
        .args(["/usr/sbin/asterisk", "-f", "-n", "-C"])
        .arg(format!("/etc/{}/asterisk.conf", home.name));
    let log = dir.join(format!("asterisk-{start}.log"));
    let how = "it by scripts/install-asterisk.sh and run the tests as root";
    Process::start("asterisk", how, command, &log)
}

/// The transport's settings; the files have to be inside Asterisk's root.
fn tls_settings((own, ca): &(CertificateFiles, PathBuf), home: &Home) -> String {
    for (from, to) in [
        (ca, "ca.pem"),
        (&own.certificate, "asterisk.pem"),
        (&own.key, "asterisk.key"),
    ] {
        std::fs::copy(from, home.etc().join(to))
            .unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }
    let etc = format!("/etc/{}", home.name);
    format!(
        "cert_file={etc}/asterisk.pem\npriv_key_file={etc}/asterisk.key\n\
         ca_list_file={etc}/ca.pem\nverify_server=yes\nmethod=tlsv1_2\n"
    )
}

fn write_config(config: &AsteriskConfig, home: &Home, http: SocketAddr, rtp: u16) {
    for dir in [home.etc(), home.run()] {
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    }
    let library = home.root.join("usr/lib");
    let modules = std::fs::read_dir(&library)
        .unwrap_or_else(|e| panic!("{}: {e}", library.display()))
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| library.join(name).join("asterisk/modules").exists())
        .map(|name| format!("/usr/lib/{name}/asterisk/modules"))
        .expect("the Asterisk package has modules");
    let transport_parameter = match config.transport {
        "udp" => String::new(),
        other => format!(";transport={other}"),
    };
    // One port number: UDP for the phones, TCP or TLS beside it.
    let (transport, stream) = match config.transport {
        "udp" => ("udp", "tcp"),
        stream => ("stream", stream),
    };
    let tls = match &config.certificates {
        Some(from) => tls_settings(from, home),
        None => String::new(),
    };
    let music = home.run().join("music");
    std::fs::create_dir_all(&music).unwrap_or_else(|e| panic!("{}: {e}", music.display()));
    wav::write(&music.join("tone.wav"), &tone::sine(MUSIC_HZ, 30_000))
        .unwrap_or_else(|e| panic!("{}: {e}", music.display()));
    let values = [
        ("@ETC@", format!("/etc/{}", home.name)),
        ("@RUN@", format!("/run/{}", home.name)),
        ("@MODULES@", modules),
        ("@HTTP@", http.port().to_string()),
        ("@SIP@", config.sip.port().to_string()),
        ("@RTP_FIRST@", rtp.to_string()),
        ("@RTP_LAST@", (rtp + RTP_PORTS - 1).to_string()),
        ("@TRANSPORT@", transport.to_owned()),
        ("@STREAM@", stream.to_owned()),
        ("@TLS@", tls),
        ("@TRANSPORT_PARAMETER@", transport_parameter),
        ("@CODECS@", config.codecs.to_owned()),
        ("@TIMERS@", config.timers.to_owned()),
        ("@MEDIA_ENCRYPTION@", config.media_encryption.to_owned()),
        ("@HOLD_BY_REINVITE@", config.hold_by_reinvite.to_owned()),
        ("@GATEWAY@", config.gateway.to_string()),
    ];
    let templates = repository().join("e2e/asterisk");
    let entries = std::fs::read_dir(&templates).expect("e2e/asterisk is in the repository");
    for entry in entries.filter_map(Result::ok) {
        let mut text = std::fs::read_to_string(entry.path()).expect("a text file");
        for (name, value) in &values {
            text = text.replace(name, value);
        }
        std::fs::write(home.etc().join(entry.file_name()), text)
            .unwrap_or_else(|e| panic!("{}: {e}", home.etc().display()));
    }
}
