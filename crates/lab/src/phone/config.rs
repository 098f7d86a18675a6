//! What a phone is told before it starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::gate::Gate;
use super::srtp::Srtp;
use super::transport::Transport;
use super::web::WebSettings;
use crate::audio::codec::PhoneCodec;
use crate::audio::g711::Law;

/// User name and password for digest challenges.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.user)
    }
}

/// What the phone does when it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCall {
    /// Rings, then answers.
    AnswerAfter(Duration),
    /// Rings, then refuses with this status.
    RejectAfter {
        /// Final status, 300 to 699.
        status: u16,
        /// How long it rings first; zero means no 180 at all.
        after: Duration,
    },
    /// Rings until the caller gives up.
    RingOnly,
    /// Sends nothing at all, as a phone that lost its network.
    Dead,
    /// Sends 100, then waits for `ring`, `progress`, `answer` or `reject` by the test.
    Manual,
}

/// Ways to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Never acknowledges a 200 to our INVITE.
    pub drop_ack: bool,
    /// Answers a CANCEL with 200, and then the INVITE with 200 as well: the answer that crossed
    /// the CANCEL on its way.
    pub answer_after_cancel: bool,
    /// Sends every request this many times more.
    pub duplicate_requests: u8,
    /// Does not react to CANCEL.
    pub ignore_cancel: bool,
    /// Does not react to BYE.
    pub ignore_bye: bool,
    /// Sends no RTP at all.
    pub silent_rtp: bool,
}

/// Who the phone is.
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// User part of its address.
    pub user: String,
    /// Host part of its address.
    pub domain: String,
    /// Credentials for challenges.
    pub credentials: Option<Credentials>,
    /// Registrar and next hop; without one a dialled URI is sent to its own host.
    pub server: Option<SocketAddr>,
    /// How to reach the server.
    pub transport: Transport,
    /// For [`Transport::Ws`] and [`Transport::Wss`].
    pub web: WebSettings,
    /// Where SIP (UDP and TCP) is bound; port 0 takes any.
    pub bind: SocketAddr,
    /// Codecs in order of preference.
    pub codecs: Vec<PhoneCodec>,
    /// Payload type offered for keypad digits.
    pub telephone_event: Option<u8>,
    /// Whether its media is protected.
    pub srtp: Srtp,
    /// How often it reports of its audio (RTCP); never unless set. Plain RTP only.
    pub reports: Option<Duration>,
    /// What it does when called.
    pub on_call: OnCall,
    /// How it misbehaves.
    pub faults: Faults,
    /// Who is let in at all, for a phone that plays a trunk.
    pub gate: Option<Gate>,
}

impl PhoneConfig {
    /// A well-behaved phone on loopback that answers after a tenth of a second.
    pub fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            domain: "127.0.0.1".to_owned(),
            credentials: None,
            server: None,
            transport: Transport::Udp,
            web: WebSettings::default(),
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            codecs: vec![Law::Mu.into(), Law::A.into()],
            telephone_event: Some(101),
            srtp: Srtp::Off,
            reports: None,
            on_call: OnCall::AnswerAfter(Duration::from_millis(100)),
            faults: Faults::default(),
            gate: None,
        }
    }

    /// Who is let in at all.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Registrar and next hop.
    #[must_use]
    pub fn server(mut self, addr: SocketAddr) -> Self {
        self.server = Some(addr);
        self
    }

    /// Password for challenges; the user name is the phone's.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.credentials = Some(Credentials {
            user: self.user.clone(),
            password: password.to_owned(),
        });
        self
    }

    /// How to reach the server.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Whom the server's certificate must be from, for [`Transport::Wss`].
    #[must_use]
    pub fn trusting(mut self, ca_file: &Path) -> Self {
        self.web.ca_file = Some(ca_file.to_owned());
        self
    }

    /// What it does when called.
    #[must_use]
    pub fn on_call(mut self, on_call: OnCall) -> Self {
        self.on_call = on_call;
        self
    }

    /// How it misbehaves.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Whether its media is protected.
    #[must_use]
    pub fn srtp(mut self, srtp: Srtp) -> Self {
        self.srtp = srtp;
        self
    }

    /// How often it sends RTCP reports.
    #[must_use]
    pub fn reporting(mut self, every: Duration) -> Self {
        self.reports = Some(every);
        self
    }

    /// Laws of G.711 in order of preference.
    #[must_use]
    pub fn laws(mut self, laws: &[Law]) -> Self {
        self.codecs = laws.iter().map(|law| PhoneCodec::from(*law)).collect();
        self
    }

    /// The same with any codec.
    #[must_use]
    pub fn codecs(mut self, codecs: &[PhoneCodec]) -> Self {
        self.codecs = codecs.to_vec();
        self
    }
}
