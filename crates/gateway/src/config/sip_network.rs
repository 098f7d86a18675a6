//! How SIP travels: listeners, certificates. From the keys of `[sip]` to what the endpoint takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use switchhook_sip::{SipTransport, TlsConfig, TlsIdentity};

use super::raw::RawSip;
use super::resolve::Problems;

/// The part of `[sip]` that is about the network.
#[derive(Debug, Clone)]
pub struct SipNetwork {
    pub tls: TlsConfig,
    /// Empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
}

pub(super) fn resolve(raw: &mut RawSip, problems: &mut Problems) -> SipNetwork {
    SipNetwork {
        tls: tls(raw, problems),
        dns_servers: addresses("sip.dns_servers", &raw.dns_servers, problems),
    }
}

/// `udp` (default), `tcp` or `tls`.
pub(super) fn trunk_transport(
    key: &str,
    text: Option<&str>,
    problems: &mut Problems,
) -> SipTransport {
    match text {
        None | Some("udp") => SipTransport::Udp,
        Some("tcp") => SipTransport::Tcp,
        Some("tls") => SipTransport::Tls,
        Some(other) => {
            problems.add(format!(
                "{key}.transport: expected udp, tcp or tls, got {other:?}"
            ));
            SipTransport::Udp
        }
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
