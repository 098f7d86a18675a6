//! What the endpoint is told at start. Resolved and valid: files and environment are read by the
//! gateway.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{Extension, LegId, ParseError};

use crate::admission::CallLimits;
use crate::digest::DigestHash;
use crate::nat::Advertised;
use crate::registrar::Binding;
use crate::resolve::DnsConfig;
use crate::tls::{TlsConfig, TlsError};

/// Makes the id of each inbound leg (the gateway derives it from the call it creates).
pub type LegIdSource = Arc<dyn Fn() -> LegId + Send + Sync>;

/// Everything the endpoint needs.
#[derive(Clone)]
pub struct SipConfig {
    /// UDP listeners. The first of an address family is the one we send from.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners and what we trust and show as a client.
    pub tls: TlsConfig,
    /// How names of trunks and URIs are looked up.
    pub dns: DnsConfig,
    /// The address put into Via and Contact when a listener is bound to `0.0.0.0` or `::`. Without
    /// it the address of the interface towards the peer is used.
    pub advertised_ip: Option<IpAddr>,
    /// Addresses put there instead for peers of some networks; the first that fits.
    pub advertised: Vec<Advertised>,
    /// `User-Agent` in requests and `Server` in responses.
    pub user_agent: String,
    /// Digest realm. Stored HA1 values are bound to it.
    pub realm: String,
    /// Digest algorithms that callers and phones may use; challenges offer them strongest first
    /// (RFC 8760 §2.4). One is offered only if all accounts can be verified with it: a challenge
    /// must not tell who is known, and a phone answers the strongest it can.
    pub digest: Vec<DigestHash>,
    /// Host part of the addresses we write for ourselves and for extensions.
    pub domain: String,
    pub extensions: Vec<ExtensionAccount>,
    pub trunks: Vec<TrunkConfig>,
    /// Proxies of ours. Behind the address of one are many who prove themselves each for himself, so
    /// nothing is counted by it. It vouches for nobody.
    pub proxies: Vec<TrunkAddress>,
    /// Callers from a loopback address need no credentials, unless they claim to be an extension.
    pub allow_loopback_guests: bool,
    /// Session timers (RFC 4028); `None`: neither asked for nor answered.
    pub session_timer: Option<SessionTimerConfig>,
    /// 100rel (RFC 3262): offered in INVITEs, and used when a caller requires it, or supports it and
    /// early media is sent. Without it `Require: 100rel` gets 420.
    pub reliable_provisionals: bool,
    pub limits: SipLimits,
    pub timers: SipTimers,
    /// Bindings kept from before a restart; expired ones are dropped.
    pub initial_bindings: Vec<Binding>,
    pub leg_ids: LegIdSource,
}

impl SipConfig {
    /// A configuration that listens on `address` for UDP and TCP and knows nobody.
    pub fn new(address: SocketAddr, leg_ids: LegIdSource) -> Self {
        Self {
            udp: vec![address],
            tcp: vec![address],
            tls: TlsConfig::default(),
            dns: DnsConfig::default(),
            advertised_ip: None,
            advertised: Vec::new(),
            user_agent: "Switchhook".to_owned(),
            realm: "switchhook".to_owned(),
            digest: vec![DigestHash::Md5],
            domain: address.ip().to_string(),
            extensions: Vec::new(),
            trunks: Vec::new(),
            proxies: Vec::new(),
            allow_loopback_guests: false,
            session_timer: Some(SessionTimerConfig::default()),
            reliable_provisionals: true,
            limits: SipLimits::default(),
            timers: SipTimers::default(),
            initial_bindings: Vec::new(),
            leg_ids,
        }
    }

    /// Whether a proxy of ours has this address.
    pub(crate) fn is_proxy(&self, ip: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.matches_ip(ip))
    }
}

impl fmt::Debug for SipConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipConfig")
            .field("udp", &self.udp)
            .field("tcp", &self.tcp)
            .field("tls", &self.tls.listen)
            .field("realm", &self.realm)
            .field("domain", &self.domain)
            .field("extensions", &self.extensions.len())
            .field("trunks", &self.trunks.len())
            .field("allow_loopback_guests", &self.allow_loopback_guests)
            .finish_non_exhaustive()
    }
}

/// How an account is verified.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountSecret {
    /// Good for every algorithm.
    Password(String),
    /// MD5(user:realm:password) in hex (HA1, RFC 2617 §3.2.2.2): good for MD5 only.
    Ha1(String),
    /// HA1 in hex for each of these algorithms (RFC 7616 §3.4.2).
    Ha1s(Vec<(DigestHash, String)>),
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSecret(…)")
    }
}

/// An extension that may register and call.
#[derive(Debug, Clone)]
pub struct ExtensionAccount {
    pub extension: Extension,
    pub secret: AccountSecret,
}

/// Names a trunk in configuration, log and API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrunkId(String);

impl TrunkId {
    /// The name as configured.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A relation with a carrier or PBX. Inbound and outbound settings are separate.
#[derive(Debug, Clone)]
pub struct TrunkConfig {
    pub id: TrunkId,
    /// Inbound: INVITEs from these addresses belong to the trunk.
    pub addresses: Vec<TrunkAddress>,
    /// Inbound: credentials the other side must prove as well (or instead, when `addresses` is
    /// empty).
    pub inbound_auth: Option<TrunkAuth>,
    /// Outbound: `host` or `host:port` that takes our calls.
    pub termination: Option<String>,
    pub transport: SipTransport,
    /// Outbound: credentials for 401 and 407.
    pub auth: Option<TrunkAuth>,
    /// User part of From; the caller id when absent.
    pub from_user: Option<String>,
    /// Host part of From; our domain when absent.
    pub from_domain: Option<String>,
    /// Number shown to the called party when the dial names none.
    pub caller_id: Option<String>,
    /// How often the termination is asked by OPTIONS whether it is there; never when `None`.
    pub qualify_every: Option<Duration>,
    /// A dial over this trunk fails at once while OPTIONS gets no answer. Otherwise it is tried all
    /// the same: a trunk may refuse OPTIONS and take calls.
    pub skip_when_down: bool,
    /// Register there as an extension, with the credentials of `auth`.
    pub registration: Option<TrunkRegistration>,
    /// Inbound: how many calls, over all addresses of the trunk.
    pub calls: CallLimits,
}

/// Our registration at a PBX. The address of record is `from_user` (or the user of `auth`) at
/// `from_domain` (or the registrar's host).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkRegistration {
    /// `host` or `host:port`; the trunk's termination when absent.
    pub registrar: Option<String>,
    /// Seconds asked for.
    pub expires_s: u32,
}

impl TrunkConfig {
    /// A trunk with nothing but a name.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: TrunkId::new(id),
            addresses: Vec::new(),
            inbound_auth: None,
            termination: None,
            transport: SipTransport::Udp,
            auth: None,
            from_user: None,
            from_domain: None,
            caller_id: None,
            qualify_every: None,
            skip_when_down: false,
            registration: None,
            calls: CallLimits::default(),
        }
    }
}

/// User and password of a trunk.
#[derive(Clone, PartialEq, Eq)]
pub struct TrunkAuth {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for TrunkAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrunkAuth({:?}, …)", self.user)
    }
}

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    Udp,
    Tcp,
    Tls,
    /// SIP over WebSocket (RFC 7118), opened by the other side only.
    Ws,
    /// The same over TLS, which a proxy in front of our HTTP port may have ended.
    Wss,
}

impl SipTransport {
    /// As in Via (RFC 3261 §20.42).
    pub fn as_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As in Via, read back.
    pub fn from_via(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| transport.as_via().eq_ignore_ascii_case(text))
    }

    /// The `transport` parameter of a URI (RFC 3261 §19.1.1, RFC 7118 §5.2); none for UDP.
    pub fn uri_param(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            Self::Ws | Self::Wss => Some("ws"),
        }
    }

    /// Whether it is a connection that carries messages both ways and loses none.
    pub fn is_connection(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => true,
        }
    }

    /// Whether only the other side can open the connection: a browser, or one whose certificate
    /// cannot be checked.
    pub fn is_opened_by_peer(self) -> bool {
        match self {
            Self::Udp | Self::Tcp => false,
            Self::Tls | Self::Ws | Self::Wss => true,
        }
    }

    /// The port of a URI without one (RFC 3261 §19.1.2, RFC 7118 §5.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// An address or network inbound calls of a trunk, or the messages of a proxy, come from:
/// `203.0.113.7`, `203.0.113.0/24`, `127.0.0.1:5090`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkAddress {
    ip: IpAddr,
    prefix: u8,
    port: Option<u16>,
}

impl TrunkAddress {
    /// Whether `source` lies in the network (and has the port, if one is given).
    pub fn matches(&self, source: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == source.port()) && self.matches_ip(source.ip())
    }

    /// The same without a look at the port.
    pub fn matches_ip(&self, ip: IpAddr) -> bool {
        let (a, b, width) = match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u128::from(u32::from(a)), u128::from(u32::from(b)), 32u32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        let shift = width - u32::from(self.prefix);
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    }

    /// Whether every address of the family belongs to it.
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

impl FromStr for TrunkAddress {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new("an IP address, address:port or network/prefix", text);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                ip: address.ip(),
                prefix: if address.is_ipv4() { 32 } else { 128 },
                port: Some(address.port()),
            });
        }
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix.parse::<u8>().map_err(|_| fail())?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| fail())?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            return Err(fail());
        }
        Ok(Self {
            ip,
            prefix,
            port: None,
        })
    }
}

/// How long a dialog may go without a refresh (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimerConfig {
    /// Seconds asked for, and the longest we agree to.
    pub expires_s: u32,
    /// Shortest interval we accept, in seconds; below it callers get 422.
    pub min_s: u32,
}

impl Default for SessionTimerConfig {
    fn default() -> Self {
        Self {
            expires_s: 1_800,
            min_s: 90,
        }
    }
}

/// Bounds on what the network can make us do.
#[derive(Debug, Clone)]
pub struct SipLimits {
    /// Largest message, in bytes. Larger datagrams are answered 513, larger streams closed.
    pub max_message_bytes: usize,
    /// Most legs at once; further INVITEs get 503 with Retry-After.
    pub max_legs: usize,
    /// 3xx answers one dial follows; 0 follows none.
    pub max_redirects: usize,
    /// Messages one source address may send per second, after a burst. Addresses of trunks and
    /// proxies are exempt.
    pub messages_per_s: u32,
    /// Size of that burst, in messages.
    pub message_burst: u32,
    /// Source addresses we keep counters for.
    pub max_sources: usize,
    /// New inbound calls per second from everybody; 0: no limit. Further ones get 503.
    pub calls_per_s: u32,
    /// The same for each source address; trunks have limits of their own.
    pub source_calls: CallLimits,
    /// Requests without proof from one address within five minutes, after which it hears nothing
    /// until they are over; 0: no limit. Addresses of trunks and proxies are exempt.
    pub max_unproven: u32,
    /// Failed log-ins of one user from one address within a minute before it is refused unseen.
    pub max_auth_failures: u32,
    /// Digest nonces whose counters we keep.
    pub max_nonces: usize,
    /// TCP connections in total and from one address.
    pub max_tcp_connections: usize,
    pub max_tcp_connections_per_ip: usize,
    /// Bindings per extension; a further one replaces the oldest.
    pub max_contacts: usize,
    /// Shortest and longest registration, in seconds (423 below, shortened above).
    pub min_expires_s: u32,
    pub max_expires_s: u32,
}

impl Default for SipLimits {
    fn default() -> Self {
        Self {
            max_message_bytes: 65_535,
            max_legs: 2_000,
            max_redirects: 3,
            messages_per_s: 200,
            message_burst: 1_000,
            max_sources: 10_000,
            calls_per_s: 0,
            source_calls: CallLimits::default(),
            max_unproven: 200,
            max_auth_failures: 8,
            max_nonces: 8_192,
            max_tcp_connections: 1_024,
            max_tcp_connections_per_ip: 256,
            max_contacts: 5,
            min_expires_s: 10,
            max_expires_s: 3_600,
        }
    }
}

/// RFC 3261 timers and our own deadlines.
#[derive(Debug, Clone)]
pub struct SipTimers {
    /// Round-trip estimate T1 (RFC 3261 §17.1.1.1); Timers B, F, H are 64 times as long.
    pub t1: Duration,
    /// How long a TCP connection may take to open.
    pub connect_timeout: Duration,
    /// How long a TLS handshake may take, either way.
    pub tls_handshake_timeout: Duration,
    /// How often certificate and key files are looked at for a change.
    pub tls_reload_interval: Duration,
    /// How often phones behind a NAT and connections of ours hear something.
    pub keep_alive: Duration,
    /// How long one write to a TCP peer may take before the connection is closed.
    pub write_timeout: Duration,
    /// How long a TCP peer may take to finish a message it began.
    pub partial_message_timeout: Duration,
    /// How long a digest nonce is good for.
    pub nonce_lifetime: Duration,
    /// How long a trunk may take to answer OPTIONS.
    pub qualify_timeout: Duration,
    /// Wait after a registration that failed; it doubles up to the maximum, a tenth more or less.
    pub registration_retry: Duration,
    pub registration_retry_max: Duration,
}

impl Default for SipTimers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(4),
            tls_handshake_timeout: Duration::from_secs(5),
            tls_reload_interval: Duration::from_secs(10),
            keep_alive: Duration::from_secs(25),
            write_timeout: Duration::from_secs(5),
            partial_message_timeout: Duration::from_secs(20),
            nonce_lifetime: Duration::from_secs(300),
            qualify_timeout: Duration::from_secs(4),
            registration_retry: Duration::from_secs(2),
            registration_retry_max: Duration::from_secs(300),
        }
    }
}

/// Why the endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum SipStartError {
    #[error(
        "SIP {transport} address {address} is already in use: stop the other program or choose \
         another address"
    )]
    AddressInUse {
        transport: &'static str,
        address: SocketAddr,
    },
    #[error("cannot listen for SIP on {transport} {address}: {source}")]
    Bind {
        transport: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("no SIP listener is configured: give at least one UDP, TCP or TLS address")]
    NoListener,
    #[error("a TLS listener needs a certificate and a key file")]
    NoCertificate,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("extension {0} is configured twice")]
    DuplicateExtension(Extension),
    #[error("trunk {0} is configured twice")]
    DuplicateTrunk(TrunkId),
    #[error("trunk {trunk}: termination {value:?} is not host or host:port")]
    BadTermination { trunk: TrunkId, value: String },
    #[error("trunk {trunk}: registration {why}")]
    BadRegistration { trunk: TrunkId, why: String },
    #[error("session timer: {expires_s} s is shorter than the least of {min_s} s, or one is 0")]
    BadSessionTimer { expires_s: u32, min_s: u32 },
    #[error("no digest algorithm is left that all accounts can be verified with: {0}")]
    NoDigest(String),
    #[error("user agent, realm or domain holds a quote, a line break or nothing: {0:?}")]
    BadText(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trunk_addresses_match_networks_and_ports() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("valid");
        let net: TrunkAddress = "203.0.113.0/24".parse().expect("valid");
        assert!(net.matches(at("203.0.113.9:5060")));
        assert!(!net.matches(at("203.0.114.9:5060")));
        let one: TrunkAddress = "127.0.0.1:5090".parse().expect("valid");
        assert!(one.matches(at("127.0.0.1:5090")));
        assert!(!one.matches(at("127.0.0.1:5091")));
        let all: TrunkAddress = "0.0.0.0/0".parse().expect("valid");
        assert!(all.matches(at("8.8.8.8:1")));
        assert!("203.0.113.0/33".parse::<TrunkAddress>().is_err());
        assert!("carrier".parse::<TrunkAddress>().is_err());
    }

    #[test]
    fn debug_output_hides_secrets() {
        let account = ExtensionAccount {
            extension: "2001".parse().expect("valid"),
            secret: AccountSecret::Password("hunter2".to_owned()),
        };
        assert!(!format!("{account:?}").contains("hunter2"));
        let auth = TrunkAuth {
            user: "u".to_owned(),
            password: "hunter2".to_owned(),
        };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
