//! How SIP travels: listeners, certificates. From the keys of `[sip]` to what the endpoint takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use switchhook_sip::{Advertised, CallLimits, TlsConfig, TlsIdentity, TrunkAddress};

use super::networks::Networks;
use super::problems::Problems;
use super::raw::RawSip;

/// The part of `[sip]` that is about the network.
#[derive(Debug, Clone)]
pub struct SipNetwork {
    pub tls: TlsConfig,
    /// Empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Besides `sip.bind`, for UDP and TCP.
    pub listen: Vec<SocketAddr>,
    pub advertised: Vec<Advertised>,
    /// `GET /sip` is there.
    pub websocket: bool,
    pub websocket_origins: Vec<String>,
    /// New calls a second from everybody; 0: no limit.
    pub calls_per_s: u32,
    /// For each source address that is no trunk's.
    pub source_calls: CallLimits,
    pub max_unproven: u32,
    /// Whose addresses stand for everybody behind them.
    pub proxies: Vec<TrunkAddress>,
}

pub(super) fn resolve(
    raw: &mut RawSip,
    public_url: Option<&str>,
    networks: &Networks,
    problems: &mut Problems,
) -> SipNetwork {
    SipNetwork {
        tls: tls(raw, problems),
        listen: addresses("sip.listen", &raw.listen, problems),
        advertised: advertised(raw, networks, problems),
        websocket: raw.websocket.unwrap_or(false),
        websocket_origins: origins(raw, public_url, problems),
        calls_per_s: raw.calls_per_s.unwrap_or(0),
        source_calls: call_limits(raw.source_calls_per_s, raw.source_calls),
        max_unproven: raw.max_unproven.unwrap_or(200),
        proxies: proxies(raw, networks, problems),
        dns_servers: addresses("sip.dns_servers", &raw.dns_servers, problems),
    }
}

/// `sip.proxies`, but never everybody.
fn proxies(raw: &RawSip, networks: &Networks, problems: &mut Problems) -> Vec<TrunkAddress> {
    let proxies = networks.addresses("sip.proxies", &raw.proxies, problems);
    if proxies.iter().any(TrunkAddress::is_everybody) {
        problems.add("sip.proxies: a network of everybody, and then nobody's log-ins are bounded");
    }
    proxies
}

/// 0 and absent: no limit.
pub(super) fn call_limits(per_s: Option<u32>, at_once: Option<u32>) -> CallLimits {
    CallLimits {
        per_s: per_s.unwrap_or(0),
        at_once: at_once.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)),
    }
}

fn tls(raw: &mut RawSip, problems: &mut Problems) -> TlsConfig {
    let listen = addresses("sip.tls", &raw.tls, problems);
    let server = identity(
        "sip.tls",
        raw.tls_certificate_file.take(),
        raw.tls_key_file.take(),
        problems,
    );
    let client = identity(
        "sip.tls_client",
        raw.tls_client_certificate_file.take(),
        raw.tls_client_key_file.take(),
        problems,
    );
    if !listen.is_empty() && server.is_none() {
        problems
            .add("sip.tls: a listener needs sip.tls_certificate_file and sip.tls_key_file (PEM)");
    }
    let config = TlsConfig {
        listen,
        server,
        client,
        ca_file: raw.tls_ca_file.take(),
        system_roots: raw.tls_system_roots.unwrap_or(true),
    };
    for error in config.check() {
        problems.add(format!("sip: {error}"));
    }
    config
}

fn addresses(key: &str, texts: &[String], problems: &mut Problems) -> Vec<SocketAddr> {
    texts
        .iter()
        .filter_map(|text| problems.parse(key, text))
        .collect()
}

fn advertised(raw: &RawSip, networks: &Networks, problems: &mut Problems) -> Vec<Advertised> {
    let entries = raw.advertise.iter().filter_map(|entry| {
        let networks = networks.addresses("sip.advertise.networks", &entry.networks, problems);
        let address = problems.parse("sip.advertise.address", &entry.address)?;
        Some(Advertised { networks, address })
    });
    entries.collect()
}

/// Scheme, host and port of each, as browsers write them (RFC 6454 §6.2).
fn origins(raw: &RawSip, public_url: Option<&str>, problems: &mut Problems) -> Vec<String> {
    let parse = |text: &str| {
        let url = url::Url::parse(text).ok()?;
        let origin = url.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    };
    if raw.websocket_origins.is_empty() {
        return public_url.and_then(parse).into_iter().collect();
    }
    let mut origins = Vec::new();
    for text in &raw.websocket_origins {
        match parse(text) {
            _ if text == "*" => origins.push(text.clone()),
            Some(origin) => origins.push(origin),
            None => problems.add(format!(
                "sip.websocket_origins: {text:?} is not an origin such as https://app.example.com"
            )),
        }
    }
    origins
}

fn identity(
    key: &str,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
    problems: &mut Problems,
) -> Option<TlsIdentity> {
    match (certificate, private_key) {
        (Some(certificate), Some(key)) => Some(TlsIdentity { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            problems.add(format!("{key}_key_file is missing"));
            None
        }
        (None, Some(_)) => {
            problems.add(format!("{key}_certificate_file is missing"));
            None
        }
    }
}
