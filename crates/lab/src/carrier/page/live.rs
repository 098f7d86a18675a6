//! The page is told everything, again each time it has changed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Desk, Socket};

/// Changes that follow one another faster are told together.
const GAP: Duration = Duration::from_millis(60);
/// The same is looked at again at least this often: seconds pass without a change.
const LOOK: Duration = Duration::from_secs(1);
/// One write to a browser.
const WRITE: Duration = Duration::from_secs(5);
/// A page has nothing to say here.
const MOST_BYTES: usize = 1_024;

/// `GET /lab/state`: the same once.
pub(super) async fn state(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(desk.snapshot())
}

pub(super) async fn open(State(desk): State<Arc<Desk>>, upgrade: WebSocketUpgrade) -> Response {
    match desk.socket() {
        Ok(place) => upgrade
            .max_message_size(MOST_BYTES)
            .on_upgrade(move |socket| serve(socket, place)),
        Err(refusal) => refusal.into_response(),
    }
}

async fn serve(mut socket: WebSocket, place: Socket) {
    let desk = Arc::clone(&place.0);
    let mut changes = desk.shared.pulse.changes();
    let mut told = String::new();
    while !desk.shared.is_stopped() {
        changes.borrow_and_update();
        let now = desk.snapshot().to_string();
        if now != told {
            let sent = socket.send(Message::Text(now.clone().into()));
            if !matches!(timeout(WRITE, sent).await, Ok(Ok(()))) {
                return;
            }
            told = now;
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                sleep(GAP).await;
            }
            () = sleep(LOOK) => {}
            got = socket.recv() => match got {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // Pings are answered below us.
                Some(Ok(_)) => {}
            },
        }
    }
}
