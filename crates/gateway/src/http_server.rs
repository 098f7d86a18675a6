//! The HTTP port.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::calls::Shared;
use crate::clock;
use crate::config::Secret;
use crate::http::auth::TokenKeys;
use crate::http::{HttpConfig, HttpState, SipSockets};
use crate::switchboard::Switchboard;

/// Binds the port and serves until `stop`.
pub async fn start(
    shared: &Shared,
    board: Switchboard,
    signing_key: Secret,
    metrics: PrometheusHandle,
    webhooks: axum::Router,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let bind = shared.config.http.bind;
    let listener = tokio::net::TcpListener::bind(bind).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "HTTP address {bind} is already in use: stop the other program or set http.bind (SWITCHHOOK_HTTP_BIND, PORT)"
        ),
        _ => anyhow::anyhow!("cannot listen on HTTP address {bind}: {error}"),
    })?;
    let config = HttpConfig {
        recordings: shared.config.data.recordings.clone(),
        https: shared
            .config
            .public_url
            .as_ref()
            .is_some_and(|url| url.starts_with("https://")),
        trusted_proxies: shared.config.http.trusted_proxies.clone(),
        ..HttpConfig::default()
    };
    let network = &shared.config.sip.network;
    let sockets = network.websocket.then(|| SipSockets {
        sip: shared.sip.clone(),
        origins: network.websocket_origins.clone(),
        secure: config.https,
        trusted_proxies: config.trusted_proxies.clone(),
        ping_every: std::time::Duration::from_secs(25),
        stop: stop.clone(),
    });
    let state = HttpState::new(
        shared.store.clone(),
        Arc::new(board),
        TokenKeys::new(signing_key.expose())?,
        config,
        clock::now,
        Some(metrics),
        stop,
    );
    Ok(tokio::spawn(crate::http::serve(
        listener, state, sockets, webhooks,
    )))
}
