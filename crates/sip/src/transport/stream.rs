//! TCP and TLS connections: framing, keep-alives, write deadlines (RFC 3261 §18.3, RFC 5626
//! §3.5.1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::SipMessage;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::{SipConnection, TransportEvent};
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::seats::Seat;
use super::{Hub, Listener, RawReply, StreamPeer, Target, stack_address};
use crate::config::SipTransport;
use crate::core::Core;
use crate::event::WireDirection;
use crate::scanner::count_refused;
use crate::tap::Tap;
use crate::wire::{Frame, next_frame};

impl Hub {
    /// Starts the reader and writer of a connection. `seat` is given back at its end.
    pub(super) async fn adopt<S>(
        &self,
        core: &Arc<Core>,
        stream: S,
        local: SocketAddr,
        target: Target,
        seat: Option<Seat>,
    ) -> std::io::Result<StreamPeer>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        // The stack sends into this channel; it never reads from the other one.
        let (_, unused) = mpsc::unbounded_channel();
        let (to_peer, messages) = mpsc::unbounded_channel();
        let (raw, raw_messages) = mpsc::unbounded_channel();
        let closed = self.stop.child_token();
        let connection = ChannelConnection::create_connection(
            unused,
            to_peer,
            stack_address(target.transport, target.address),
            None,
        )
        .await
        .map_err(std::io::Error::other)?;
        let peer = StreamPeer {
            connection: SipConnection::Channel(connection),
            closed: closed.clone(),
            local,
            raw: seat.is_none().then(|| raw.clone()),
        };
        self.streams().insert(target.clone(), peer.clone());
        let writer = Writer {
            write,
            transport: target.transport,
            remote: target.address,
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
            let _seat = seat;
            let last_words = raw.clone();
            tokio::select! {
                () = closed.cancelled() => {}
                () = read_stream(&core, read, &target, connection, raw) => {
                    // An answer to a broken message goes out before the writer stops.
                    if last_words.send(CLOSE.to_vec()).is_ok() {
                        closed.cancelled().await;
                    }
                }
            }
            closed.cancel();
            core.hub.forget(&target, &closed);
            core.connection_closed(target.transport, target.address);
        });
        Ok(peer)
    }
}

/// Small messages leave at once, and the system finds peers that are gone.
pub(super) fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

pub(super) async fn accept(core: Arc<Core>, listener: Listener) {
    let transport = listener.transport;
    loop {
        match listener.socket.accept().await {
            Ok((stream, remote)) => {
                let Some(seat) = core.hub.seats.take(remote.ip()) else {
                    count_refused("connections");
                    tracing::debug!(%remote, "SIP connection refused: too many");
                    continue;
                };
                let core = core.clone();
                // A handshake may take its time; the next connection does not wait for it.
                tokio::spawn(async move {
                    if let Err(error) = welcome(&core, stream, remote, transport, seat).await {
                        tracing::debug!(
                            %remote, %error, transport = transport.as_via(),
                            "SIP connection not usable"
                        );
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait until some are free.
                tracing::warn!(%error, "SIP accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn welcome(
    core: &Arc<Core>,
    stream: TcpStream,
    remote: SocketAddr,
    transport: SipTransport,
    seat: Seat,
) -> std::io::Result<()> {
    tune(&stream)?;
    let local = stream.local_addr()?;
    let target = Target::unnamed(transport, remote);
    if transport != SipTransport::Tls {
        core.hub
            .adopt(core, stream, local, target, Some(seat))
            .await?;
        return Ok(());
    }
    let config = core
        .hub
        .tls
        .server()
        .ok_or_else(|| std::io::Error::other("no certificate is configured"))?;
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::select! {
        () = core.stop.cancelled() => return Ok(()),
        done = tokio::time::timeout(core.hub.handshake_timeout, handshake) => {
            done.map_err(|_| std::io::Error::other("TLS handshake not done in time"))??
        }
    };
    core.hub
        .adopt(core, stream, local, target, Some(seat))
        .await?;
    Ok(())
}

async fn read_stream(
    core: &Arc<Core>,
    mut read: impl AsyncRead + Unpin,
    target: &Target,
    connection: SipConnection,
    raw: mpsc::UnboundedSender<Vec<u8>>,
) {
    let (transport, remote) = (target.transport, target.address);
    let max = core.hub.max_message_bytes;
    let reply = RawReply::Stream(raw.clone());
    let mut buffer = bytes::BytesMut::with_capacity(4_096);
    loop {
        match next_frame(&buffer, max) {
            Frame::Message(length) => {
                let message = buffer.split_to(length);
                core.received(&message, transport, remote, &connection, &reply)
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

struct Writer<W> {
    write: W,
    transport: SipTransport,
    remote: SocketAddr,
    tap: Arc<Tap>,
    timeout: Duration,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
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
            if bytes != b"\r\n" && bytes != b"\r\n\r\n" {
                self.tap
                    .message(WireDirection::Sent, self.transport, self.remote, &bytes);
            }
            // A peer that does not read must not hold us up. TLS keeps bytes until it is flushed.
            let write = async {
                self.write.write_all(&bytes).await?;
                self.write.flush().await
            };
            if !matches!(tokio::time::timeout(self.timeout, write).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}
