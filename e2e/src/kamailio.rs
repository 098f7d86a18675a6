//! Kamailio as a proxy between phones and the gateway, configured from `e2e/kamailio/*.cfg`.
//!
//! It listens on UDP and TCP, and with a certificate of the test's CA on TLS; a WebSocket can be
//! opened on both stream ports. Registrations pass through it with a Path, calls with a Record-Route.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::process::Command;

use crate::certs::Ca;
use crate::ports;
use crate::process::Process;
use crate::repository;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    sip: SocketAddr,
    tls: SocketAddr,
    process: Process,
    ca: Ca,
    _dir: TempDir,
}

impl Kamailio {
    /// Starts it before the gateway at this address, which it reaches over `udp` or `tcp`; returns
    /// when it answers.
    pub async fn start(gateway: SocketAddr, transport: &str) -> Self {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let ca = Ca::new();
        let certificate = ca.issue("127.0.0.1");
        let sip = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let tls = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let parameter = match transport {
            "udp" => String::new(),
            other => format!(";transport={other}"),
        };
        let values = [
            ("@SIP@", sip.port().to_string()),
            ("@TLS@", tls.port().to_string()),
            ("@GATEWAY@", gateway.to_string()),
            ("@GATEWAY_PORT@", gateway.port().to_string()),
            ("@GATEWAY_PARAMETER@", parameter),
            ("@KEY@", certificate.key.display().to_string()),
            (
                "@CERTIFICATE@",
                certificate.certificate.display().to_string(),
            ),
        ];
        let template = repository().join("e2e/kamailio/kamailio.cfg");
        let mut text = std::fs::read_to_string(&template)
            .unwrap_or_else(|e| panic!("{}: {e}", template.display()));
        for (name, value) in &values {
            text = text.replace(name, value);
        }
        let config = dir.path().join("kamailio.cfg");
        std::fs::write(&config, text).expect("the temporary directory is writable");
        let mut command = Command::new("kamailio");
        command
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
            .arg(&config)
            .arg("-Y")
            .arg(dir.path())
            .current_dir(dir.path());
        let package = "kamailio kamailio-websocket-modules kamailio-tls-modules";
        let log = dir.path().join("kamailio.log");
        let process = Process::start_group("kamailio", package, command, &log);
        let mut kamailio = Self {
            sip,
            tls,
            process,
            ca,
            _dir: dir,
        };
        kamailio.wait_ready().await;
        kamailio
    }

    /// Where it speaks SIP over UDP and TCP, and WebSocket without TLS.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where it speaks TLS, and WebSocket over TLS.
    pub fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// Who vouches for its certificate.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// Everything it printed.
    pub fn log(&self) -> String {
        self.process.output()
    }

    async fn wait_ready(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let here = socket.local_addr().expect("it is bound");
        let options = format!(
            "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKready\r\n\
             Max-Forwards: 70\r\nFrom: <sip:test@{here}>;tag=1\r\nTo: <sip:{0}>\r\n\
             Call-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            self.sip
        );
        let sip = self.sip;
        let answers = async || {
            let mut buffer = [0; 4096];
            // Before it listens, the port is unreachable: that is no answer either.
            let _ = socket.send_to(options.as_bytes(), sip).await;
            let answer = socket.recv_from(&mut buffer);
            let answer = tokio::time::timeout(Duration::from_millis(250), answer).await;
            answer.is_ok_and(|got| got.is_ok())
        };
        self.process.ready(READY_WITHIN, answers).await;
    }
}
