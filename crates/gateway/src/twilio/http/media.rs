//! `GET …/twilio/media`: the carrier's websocket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use switchhook_adapters::twilio::Signed;
use switchhook_adapters::twilio::stream::MAX_MESSAGE;

use super::{Webhooks, guard};
use crate::http::Source;
use crate::twilio::stream;

/// Whoever comes this far without a signature, while developing, still needs the stream's token.
pub(super) async fn open(
    State(webhooks): State<Webhooks>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
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
    let engine = Arc::clone(&webhooks.engine);
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| stream::serve(engine, socket))
}
