//! The `[http]` section.

use std::net::SocketAddr;

use super::problems::Problems;
use super::raw::RawHttp;
use super::types::{HttpConfig, Mode};
use crate::network::Network;

pub(super) fn resolve(raw: RawHttp, mode: Mode, problems: &mut Problems) -> HttpConfig {
    let mut bind: SocketAddr = raw
        .bind
        .as_deref()
        .and_then(|text| problems.parse("http.bind", text))
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    if let Some(port) = raw.port {
        bind.set_port(port);
    }
    let trusted_proxies: Vec<Network> = raw
        .trusted_proxies
        .iter()
        .filter_map(|text| problems.parse("http.trusted_proxies", text))
        .collect();
    for network in trusted_proxies.iter().filter(|n| n.is_everybody()) {
        problems.add(format!(
            "http.trusted_proxies: {network} trusts everybody, and then any client can choose its address"
        ));
    }
    let signing_key = problems.secret("http.signing_key", raw.signing_key, raw.signing_key_file);
    match (&signing_key, mode) {
        (Some(key), _) if key.expose().chars().count() < 32 => problems.add(
            "http.signing_key (SWITCHHOOK_SIGNING_KEY) is shorter than 32 characters: make one with `openssl rand -hex 32`",
        ),
        (None, Mode::Production) => problems.add(
            "http.signing_key (SWITCHHOOK_SIGNING_KEY) is missing: make one with `openssl rand -hex 32`",
        ),
        _ => {}
    }
    HttpConfig {
        bind,
        trusted_proxies,
        signing_key,
    }
}
