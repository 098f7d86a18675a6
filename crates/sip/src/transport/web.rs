//! SIP over WebSocket (RFC 7118). The HTTP server accepts the socket; here it is a connection like
//! any other that the other side opened: one message of the socket is one SIP message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::sip::SipMessage;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::{SipConnection, TransportEvent};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::seats::Seat;
use super::{Hub, RawReply, StreamPeer, Target, stack_address};
use crate::config::SipTransport;
use crate::core::Core;
use crate::event::WireDirection;
use crate::scanner::count_refused;
use crate::tap::{Tap, now};
use crate::throttle::RateLimiter;

/// Messages one browser may send per second, and at once. A call takes about ten.
const MESSAGES_PER_S: u32 = 50;
const MESSAGE_BURST: u32 = 200;

/// Messages that wait for a browser to take them.
const OUTBOX: usize = 128;

/// Why a socket is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    #[error("too many connections")]
    Full,
    #[error("the endpoint has stopped")]
    Stopped,
}

/// A message that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebMessageError {
    #[error("too many messages")]
    TooMany,
    #[error("the connection is closed")]
    Closed,
}

/// A browser's connection: give it what the socket receives, send what it hands out. Dropped, the
/// connection is closed and what was registered over it is gone.
pub struct WebConnection {
    core: Arc<Core>,
    target: Target,
    connection: SipConnection,
    reply: RawReply,
    closed: CancellationToken,
    limiter: Mutex<RateLimiter<()>>,
    outbox: mpsc::Receiver<Vec<u8>>,
    _seat: Seat,
}

impl std::fmt::Debug for WebConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebConnection({})", self.target.address)
    }
}

impl WebConnection {
    /// What the socket received as one message. It is answered over [`Self::next`].
    ///
    /// # Errors
    /// When the socket is to be closed.
    pub async fn message(&self, bytes: &[u8]) -> Result<(), WebMessageError> {
        if self.closed.is_cancelled() {
            return Err(WebMessageError::Closed);
        }
        let within = self
            .limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .allow((), now());
        if !within {
            count_refused("web_rate");
            return Err(WebMessageError::TooMany);
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            // Keep-alives as on a stream (RFC 5626 §3.5.1).
            if bytes == b"\r\n\r\n" {
                self.reply.send(b"\r\n".to_vec(), self.target.address).await;
            }
            return Ok(());
        }
        let (transport, from) = (self.target.transport, self.target.address);
        self.core
            .received(bytes, transport, from, &self.connection, &self.reply)
            .await;
        Ok(())
    }

    /// The next message to send; `None` when the socket is to be closed.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        tokio::select! {
            () = self.closed.cancelled() => None,
            message = self.outbox.recv() => message,
        }
    }
}

impl Drop for WebConnection {
    fn drop(&mut self) {
        self.closed.cancel();
        self.core.hub.forget(&self.target, &self.closed);
        let (transport, from) = (self.target.transport, self.target.address);
        self.core.connection_closed(transport, from);
    }
}

impl Hub {
    /// Takes a socket that the HTTP server accepted. `remote` is the client's address, with a port
    /// that no other socket of that client has.
    pub(crate) async fn attach_web(
        &self,
        core: &Arc<Core>,
        remote: SocketAddr,
        secure: bool,
    ) -> Result<WebConnection, WebError> {
        let Some(seat) = self.seats.take(remote.ip()) else {
            count_refused("connections");
            return Err(WebError::Full);
        };
        let transport = if secure {
            SipTransport::Wss
        } else {
            SipTransport::Ws
        };
        let target = Target::unnamed(transport, remote);
        let (_, unused) = mpsc::unbounded_channel();
        let (to_peer, messages) = mpsc::unbounded_channel();
        let (raw, raw_messages) = mpsc::unbounded_channel();
        let (out, outbox) = mpsc::channel(OUTBOX);
        let closed = self.stop.child_token();
        let connection = ChannelConnection::create_connection(
            unused,
            to_peer,
            stack_address(transport, remote),
            None,
        )
        .await
        .map_err(|_| WebError::Stopped)?;
        let connection = SipConnection::Channel(connection);
        let peer = StreamPeer {
            connection: connection.clone(),
            closed: closed.clone(),
            local: remote,
            raw: None,
        };
        self.streams().insert(target.clone(), peer);
        let forwarder = Forwarder {
            target: target.clone(),
            tap: self.tap.clone(),
            out,
            timeout: self.write_timeout,
        };
        let stop = closed.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = forwarder.run(messages, raw_messages) => {}
            }
            stop.cancel();
        });
        Ok(WebConnection {
            core: core.clone(),
            target,
            connection,
            reply: RawReply::Stream(raw),
            closed,
            limiter: Mutex::new(RateLimiter::new(MESSAGES_PER_S, MESSAGE_BURST, 1)),
            outbox,
            _seat: seat,
        })
    }
}

/// From the stack to the socket.
struct Forwarder {
    target: Target,
    tap: Arc<Tap>,
    out: mpsc::Sender<Vec<u8>>,
    timeout: Duration,
}

impl Forwarder {
    async fn run(
        self,
        mut messages: mpsc::UnboundedReceiver<TransportEvent>,
        mut raw: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        loop {
            let bytes = tokio::select! {
                event = messages.recv() => match event {
                    Some(TransportEvent::Incoming(SipMessage::Request(r), ..)) => r.to_bytes(),
                    Some(TransportEvent::Incoming(SipMessage::Response(r), ..)) => r.to_bytes(),
                    Some(TransportEvent::New(_) | TransportEvent::Closed(_)) => continue,
                    None => return,
                },
                bytes = raw.recv() => match bytes {
                    Some(bytes) => bytes,
                    None => return,
                },
            };
            if bytes != b"\r\n" {
                let (transport, peer) = (self.target.transport, self.target.address);
                self.tap
                    .message(WireDirection::Sent, transport, peer, &bytes);
            }
            // A browser that does not read must not hold us up.
            if !matches!(
                tokio::time::timeout(self.timeout, self.out.send(bytes)).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
    }
}
