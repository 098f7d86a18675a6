//! All routes, once: each is registered together with its description.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::serve::ListenerExt as _;
use axum::{Extension, Router, middleware};
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::{Description, General};
use super::sip_socket::SipSockets;
use super::state::HttpState;
use super::{
    auth, calls, console, extensions, headers, live, messages, openapi, operations, oversized,
    request_id, sip_socket, stats, trunks,
};

/// How long an answer may take to begin. Streams go on after that.
const TIMEOUT: Duration = Duration::from_secs(30);

fn api() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(General::openapi())
        .routes(routes!(auth::token))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::me))
        .routes(routes!(calls::initiate))
        .routes(routes!(calls::list))
        .routes(routes!(calls::detail))
        .routes(routes!(calls::hangup))
        .routes(routes!(calls::hold))
        .routes(routes!(calls::resume))
        .routes(routes!(calls::transfer))
        .routes(routes!(calls::transcript))
        .routes(routes!(calls::recording))
        .routes(routes!(calls::pause_recording))
        .routes(routes!(calls::resume_recording))
        .routes(routes!(calls::events))
        .routes(routes!(live::live))
        .routes(routes!(messages::messages))
        .routes(routes!(extensions::extensions))
        .routes(routes!(trunks::trunks))
        .routes(routes!(stats::stats))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::prometheus))
        .routes(routes!(openapi::openapi_json))
        .routes(routes!(openapi::docs))
        .routes(routes!(openapi::docs_css))
}

/// The whole HTTP side. To know where requests come from it must be served with
/// [`Router::into_make_service_with_connect_info`]; [`serve`] does.
pub fn router(state: HttpState) -> Router {
    let (routes, description) = api().split_for_parts();
    let description = Arc::new(Description::of(&description));
    // Audio does not shrink, and a compressed body has no byte ranges.
    let compress = DefaultPredicate::new().and(NotForContentType::const_new("audio/"));
    routes
        .fallback(console::page)
        .layer(Extension(description))
        .layer(DefaultBodyLimit::max(state.config.body_max))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            oversized::refuse,
        ))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            TIMEOUT,
        ))
        .layer(CompressionLayer::new().compress_when(compress))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            headers::guard,
        ))
        .layer(middleware::from_fn(request_id::attach))
        .with_state(state)
}

/// Serves until the state's shutdown token is cancelled, then finishes what is being answered.
///
/// # Errors
/// Of the listener.
pub async fn serve(
    listener: TcpListener,
    state: HttpState,
    sockets: Option<SipSockets>,
    webhooks: Router,
) -> std::io::Result<()> {
    let shutdown = state.shutdown.clone();
    let mut routes = router(state).merge(webhooks);
    if let Some(sockets) = sockets {
        routes = routes.merge(sip_socket::routes(sockets));
    }
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    // A carrier's websocket carries a small frame every 20 ms: none waits for the answer to the last.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps small packets back");
        }
    });
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
