//! Client transactions of ours, each in a task that forwards its responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rsipstack::sip::{Header, Request, Response, SipMessage};
use rsipstack::transaction::Transaction;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::TransactionEvent;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::message::{self, LOCAL_HEADER, header_of};
use crate::stack_error;
use crate::transport::Path;

/// What a client transaction brought.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A response from the wire.
    Response(Box<Response>),
    /// None came: timer B or F fired (RFC 3261 §17.1), or the connection was lost.
    NoResponse { connection_lost: bool },
}

/// Keeps the requests of one dialog in their order on the wire, although each has a task of its own:
/// a BYE that overtakes the last NOTIFY leaves it unread, and CSeq must not go down.
#[derive(Debug, Default)]
pub(crate) struct Order {
    last: Option<oneshot::Receiver<()>>,
}

impl Order {
    /// The place of the next request.
    pub(crate) fn next(&mut self) -> Turn {
        let (left, last) = oneshot::channel();
        Turn {
            before: self.last.replace(last),
            _left: left,
        }
    }
}

/// The place of one request; dropped once it left, or will not leave any more.
#[derive(Debug)]
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _left: oneshot::Sender<()>,
}

impl Turn {
    async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // The sender is dropped, never used.
            let _ = before.await;
        }
    }
}

/// Sends the request and forwards every response; exactly one final [`Outcome`] comes, last.
pub(crate) fn run_client(
    core: &Arc<Core>,
    path: &Path,
    request: Request,
    forward: impl Fn(Outcome) + Send + 'static,
) {
    run_client_in(core, path, request, Order::default().next(), forward);
}

/// The same in its turn.
pub(crate) fn run_client_in(
    core: &Arc<Core>,
    path: &Path,
    request: Request,
    mut turn: Turn,
    forward: impl Fn(Outcome) + Send + 'static,
) {
    let Ok(key) = TransactionKey::from_request(&request, TransactionRole::Client) else {
        tracing::error!("a request of ours has no transaction key");
        return forward(Outcome::NoResponse {
            connection_lost: false,
        });
    };
    let is_invite = request.method == rsipstack::sip::Method::Invite;
    let mut transaction = Transaction::new_client(
        key,
        request,
        core.endpoint.clone(),
        Some(path.connection.clone()),
    );
    transaction.destination = Some(path.destination());
    let heard = Arc::new(AtomicBool::new(false));
    let done = CancellationToken::new();
    if path.transport.is_connection() {
        // The stack does not tell a transaction that its connection is gone. An INVITE that was
        // heard keeps waiting: the other side may connect to us with its answer.
        let (closed, done, heard) = (path.closed.clone(), done.clone(), heard.clone());
        let sender = transaction.tu_sender.clone();
        let mut lost = message::respond(&transaction.original, 503, None, "local");
        lost.headers.push(header_of(LOCAL_HEADER, "lost"));
        tokio::spawn(async move {
            tokio::select! {
                () = done.cancelled() => return,
                () = closed.cancelled() => {}
            }
            if !(is_invite && heard.load(Ordering::Relaxed)) {
                let event = TransactionEvent::Received(SipMessage::Response(lost), None);
                let _ = sender.send(event);
            }
        });
    }
    tokio::spawn(async move {
        let mut finished = false;
        turn.comes().await;
        let sent = transaction.send().await;
        drop(turn);
        if let Err(error) = sent {
            tracing::debug!(
                error.kind = stack_error::kind(&error),
                "SIP request not sent"
            );
        } else {
            while let Some(message) = transaction.receive().await {
                let SipMessage::Response(mut response) = message else {
                    continue;
                };
                let local = message::header(&response.headers, LOCAL_HEADER).map(str::to_owned);
                let is_final = response.status_code.code() >= 200;
                if is_final && finished {
                    continue;
                }
                finished |= is_final;
                heard.store(true, Ordering::Relaxed);
                forward(match local {
                    Some(mark) => Outcome::NoResponse {
                        connection_lost: mark == "lost",
                    },
                    None => {
                        response.headers.retain(
                            |h| !matches!(h, Header::Other(name, _) if name == LOCAL_HEADER),
                        );
                        Outcome::Response(Box::new(response))
                    }
                });
                if is_final && !is_invite {
                    break;
                }
            }
        }
        done.cancel();
        if !finished {
            forward(Outcome::NoResponse {
                connection_lost: true,
            });
        }
    });
}
