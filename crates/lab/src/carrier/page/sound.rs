//! The sound of one line, both ways: µ-law of 8 kHz in binary messages, 20 ms and more each.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::{Desk, Refusal, Socket};
use crate::audio::g711::Law;
use crate::carrier::people::line::Line;
use crate::carrier::room;

/// A second at once is more than a microphone gives.
const MOST_BYTES: usize = 8_000;
/// A page that is further behind than this hears what is said now.
const MOST_BEHIND: usize = 8_000;
/// One write to a browser.
const WRITE: Duration = Duration::from_secs(5);

pub(super) async fn open(
    State(desk): State<Arc<Desk>>,
    Path(sid): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(leg) = desk.shared.leg(&sid) else {
        return Refusal(StatusCode::NOT_FOUND, "no_call", "there is no such call").into_response();
    };
    match desk.socket() {
        Ok(place) => upgrade
            .max_message_size(MOST_BYTES)
            .on_upgrade(move |socket| carry(socket, Arc::clone(&leg.line), place)),
        Err(refusal) => refusal.into_response(),
    }
}

async fn carry(mut socket: WebSocket, line: Arc<Line>, _place: Socket) {
    let mut at = line.state().ears.len();
    let mut beat = room::beat();
    let why = loop {
        tokio::select! {
            _ = beat.tick() => {
                let (bytes, is_over) = fresh(&line, &mut at);
                if bytes.is_empty() {
                    if is_over {
                        break close_code::NORMAL;
                    }
                    continue;
                }
                let sent = socket.send(Message::Binary(bytes.into()));
                if !matches!(timeout(WRITE, sent).await, Ok(Ok(()))) {
                    return;
                }
            }
            got = socket.recv() => match got {
                Some(Ok(Message::Binary(bytes))) => {
                    let samples: Vec<i16> = bytes.iter().map(|b| Law::Mu.decode(*b)).collect();
                    line.talk(&samples);
                }
                Some(Ok(Message::Text(_))) => break close_code::UNSUPPORTED,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    };
    let frame = CloseFrame {
        code: why,
        reason: Default::default(),
    };
    // Who is gone already need not be told.
    let _ = timeout(WRITE, socket.send(Message::Close(Some(frame)))).await;
}

/// What was heard since; and whether the line is over.
fn fresh(line: &Line, at: &mut usize) -> (Vec<u8>, bool) {
    let state = line.state();
    let ears = &state.ears;
    let oldest = ears.len().saturating_sub(MOST_BEHIND);
    let from = (*at).clamp(oldest, ears.len());
    *at = ears.len();
    let bytes = ears[from..].iter().map(|s| Law::Mu.encode(*s)).collect();
    (bytes, state.ended.is_some())
}
