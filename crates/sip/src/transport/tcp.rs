//! TCP: framing, keep-alives, write deadlines (RFC 3261 §18.3, RFC 5626 §3.5.1).

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rsipstack::sip::SipMessage;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::{SipConnection, TransportEvent};
use socket2::TcpKeepalive;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Hub, RawReply, TcpPeer, stack_address};
use crate::config::SipTransport;
use crate::core::Core;
use crate::event::WireDirection;
use crate::tap::Tap;
use crate::wire::{Frame, next_frame};

impl Hub {
    /// Starts the reader and writer of a TCP connection.
    pub(super) async fn adopt(
        &self,
        core: &Arc<Core>,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> std::io::Result<TcpPeer> {
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15));
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let local = stream.local_addr()?;
        let (read, write) = stream.into_split();
        // The stack sends into this channel; it never reads from the other one.
        let (_, unused) = mpsc::unbounded_channel();
        let (to_peer, messages) = mpsc::unbounded_channel();
        let (raw, raw_messages) = mpsc::unbounded_channel();
        let closed = self.stop.child_token();
        let connection = ChannelConnection::create_connection(
            unused,
            to_peer,
            stack_address(SipTransport::Tcp, remote),
            None,
        )
        .await
        .map_err(std::io::Error::other)?;
        let peer = TcpPeer {
            connection: SipConnection::Channel(connection),
            closed: closed.clone(),
            local,
        };
        self.tcp
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(remote, peer.clone());
        let writer = TcpWriter {
            write,
            remote,
            tap: self.tap.clone(),
            timeout: self.write_timeout,
        };
        let stop = closed.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = writer.run(messages, raw_messages) => {}
            }
            stop.cancel();
        });
        let core = core.clone();
        let connection = peer.connection.clone();
        tokio::spawn(async move {
            let last_words = raw.clone();
            tokio::select! {
                () = closed.cancelled() => {}
                () = read_tcp(&core, read, remote, connection, raw) => {
                    // An answer to a broken message goes out before the writer stops.
                    if last_words.send(CLOSE.to_vec()).is_ok() {
                        closed.cancelled().await;
                    }
                }
            }
            closed.cancel();
            core.hub.forget(remote, &closed);
        });
        Ok(peer)
    }
}

pub(super) async fn accept_tcp(core: Arc<Core>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if !core.hub.has_room(remote.ip()) {
                    tracing::debug!(%remote, "SIP TCP connection refused: too many");
                    continue;
                }
                if let Err(error) = core.hub.adopt(&core, stream, remote).await {
                    tracing::debug!(%remote, %error, "SIP TCP connection not usable");
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait until some are free.
                tracing::warn!(%error, "SIP TCP accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn read_tcp(
    core: &Arc<Core>,
    mut read: tokio::net::tcp::OwnedReadHalf,
    remote: SocketAddr,
    connection: SipConnection,
    raw: mpsc::UnboundedSender<Vec<u8>>,
) {
    let max = core.hub.max_message_bytes;
    let reply = RawReply::Tcp(raw.clone());
    let mut buffer = bytes::BytesMut::with_capacity(4_096);
    loop {
        match next_frame(&buffer, max) {
            Frame::Message(length) => {
                let message = buffer.split_to(length);
                core.received(&message, SipTransport::Tcp, remote, &connection, &reply)
                    .await;
                continue;
            }
            Frame::KeepAlive { length, answer } => {
                let _ = buffer.split_to(length);
                if answer && raw.send(b"\r\n".to_vec()).is_err() {
                    return;
                }
                continue;
            }
            Frame::Broken { status, reason } => {
                core.refuse(&buffer, status, reason, remote, &reply).await;
                return;
            }
            Frame::Incomplete => {}
        }
        let resting = buffer.is_empty();
        let read_some = read.read_buf(&mut buffer);
        let result = if resting {
            // Between messages a connection may rest; the system's keep-alive finds dead peers.
            read_some.await
        } else {
            match tokio::time::timeout(core.hub.partial_timeout, read_some).await {
                Ok(result) => result,
                Err(_) => return,
            }
        };
        match result {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// In the raw queue: close when everything before is written.
const CLOSE: &[u8] = b"";

struct TcpWriter {
    write: tokio::net::tcp::OwnedWriteHalf,
    remote: SocketAddr,
    tap: Arc<Tap>,
    timeout: Duration,
}

impl TcpWriter {
    async fn run(
        mut self,
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
            if bytes == CLOSE {
                return;
            }
            if bytes != b"\r\n" {
                self.tap
                    .message(WireDirection::Sent, SipTransport::Tcp, self.remote, &bytes);
            }
            // A peer that does not read must not hold us up.
            let write = self.write.write_all(&bytes);
            if !matches!(tokio::time::timeout(self.timeout, write).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}
