//! UDP, TCP and WebSocket for the phone: one inbox, and a way to send to a peer.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::message::frame_len;
use super::web::{self, WebSettings};

/// UDP, TCP or WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// Streams (RFC 3261 §18).
    Tcp,
    /// WebSocket (RFC 7118): one socket to the server, for everything.
    Ws,
    /// The same over TLS.
    Wss,
}

impl Transport {
    /// As written in Via.
    pub fn as_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// What a browser speaks: nobody can open a connection to it.
    pub fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Where a message came from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address.
    pub addr: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// A message as bytes, from whom.
pub type Inbound = (Vec<u8>, Peer);

/// Sockets of one phone.
#[derive(Debug)]
pub struct Sockets {
    udp: Arc<UdpSocket>,
    local: SocketAddr,
    streams: HashMap<SocketAddr, mpsc::UnboundedSender<Vec<u8>>>,
    accepted: mpsc::UnboundedReceiver<(SocketAddr, mpsc::UnboundedSender<Vec<u8>>)>,
    inbox: mpsc::UnboundedSender<Inbound>,
    web: WebSettings,
}

impl Sockets {
    /// Binds UDP and TCP to the same port.
    pub async fn bind(
        bind: SocketAddr,
        web: WebSettings,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<Inbound>)> {
        let (udp, tcp) = bind_both(bind).await?;
        let local = udp.local_addr()?;
        let udp = Arc::new(udp);
        let (inbox, received) = mpsc::unbounded_channel();
        let (accepted_tx, accepted) = mpsc::unbounded_channel();

        let (socket, to) = (Arc::clone(&udp), inbox.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                tokio::select! {
                    () = to.closed() => return,
                    got = socket.recv_from(&mut buffer) => {
                        // A port-unreachable from an earlier datagram is reported here; go on.
                        let Ok((len, addr)) = got else { continue };
                        let peer = Peer { addr, transport: Transport::Udp };
                        if to.send((buffer[..len].to_vec(), peer)).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let to = inbox.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = to.closed() => return,
                    got = tcp.accept() => {
                        let Ok((stream, addr)) = got else { return };
                        let writer = serve_stream(stream, addr, to.clone());
                        if accepted_tx.send((addr, writer)).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok((
            Self {
                udp,
                local,
                streams: HashMap::new(),
                accepted,
                inbox,
                web,
            },
            received,
        ))
    }

    /// Our address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends one message, opening a connection when there is none to that address.
    pub async fn send(&mut self, bytes: &[u8], to: Peer) -> io::Result<()> {
        while let Ok((addr, writer)) = self.accepted.try_recv() {
            self.streams.insert(addr, writer);
        }
        match to.transport {
            Transport::Udp => self.udp.send_to(bytes, to.addr).await.map(|_| ()),
            Transport::Tcp | Transport::Ws | Transport::Wss => {
                if let Some(writer) = self.streams.get(&to.addr)
                    && writer.send(bytes.to_vec()).is_ok()
                {
                    return Ok(());
                }
                let inbox = self.inbox.clone();
                let writer = if to.transport.is_web() {
                    web::open(to, &self.web, inbox).await?
                } else {
                    serve_stream(TcpStream::connect(to.addr).await?, to.addr, inbox)
                };
                let sent = writer.send(bytes.to_vec());
                self.streams.insert(to.addr, writer);
                sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            }
        }
    }
}

async fn bind_both(bind: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..20 {
        let udp = UdpSocket::bind(bind).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(e) if bind.port() == 0 => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

fn serve_stream(
    stream: TcpStream,
    addr: SocketAddr,
    inbox: mpsc::UnboundedSender<Inbound>,
) -> mpsc::UnboundedSender<Vec<u8>> {
    let (mut reader, mut writer) = stream.into_split();
    let (to_write, mut written) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(bytes) = written.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer: Vec<u8> = Vec::new();
        let mut chunk = vec![0; 65_536];
        loop {
            let got = tokio::select! {
                () = inbox.closed() => return,
                got = reader.read(&mut chunk) => got,
            };
            let Ok(len @ 1..) = got else { return };
            buffer.extend_from_slice(&chunk[..len]);
            loop {
                // CRLF keep-alives (RFC 5626 §4.4.1) stand between messages.
                let skip = buffer
                    .iter()
                    .take_while(|b| matches!(b, b'\r' | b'\n'))
                    .count();
                buffer.drain(..skip);
                let Some(frame) = frame_len(&buffer) else {
                    break;
                };
                let message: Vec<u8> = buffer.drain(..frame).collect();
                let peer = Peer {
                    addr,
                    transport: Transport::Tcp,
                };
                if inbox.send((message, peer)).is_err() {
                    return;
                }
            }
        }
    });
    to_write
}
