//! `GET …/twilio/media`: the carrier's websocket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use switchhook_adapters::twilio::Signed;

use super::{Webhooks, guard};
use crate::http::Source;
use crate::twilio::{socket, streams};

/// Whoever comes this far without a signature, while developing, still needs the stream's token.
pub(super) async fn open(
    State(webhooks): State<Webhooks>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    request.extensions_mut().insert(ConnectInfo(peer));
    let source = Source::of(&request, &webhooks.trusted_proxies);
    let target = request
        .uri()
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let signed = Signed {
        path_and_query: &target,
        is_websocket: true,
        ..Signed::default()
    };
    if let Some(refusal) = guard::refusal(&webhooks, request.headers(), signed, source) {
        return refusal;
    }
    match socket::upgrade(&mut request) {
        Ok((response, upgrade)) => {
            tokio::spawn(streams::accept(Arc::clone(&webhooks.engine), upgrade));
            response
        }
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}
