//! Sockets. They are ours, so that limits, framing, write deadlines and the ladder hold for every
//! byte; the adopted stack's transactions send through them.

mod connect;
mod seats;
mod stream;
mod web;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::platform::net::UdpSocket as StackSocket;
use rsipstack::sip::{SipMessage, Transport};
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, SipConnection};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::{SipConfig, SipStartError, SipTransport};
use crate::core::Core;
use crate::endpoint::bracketed;
use crate::event::WireDirection;
use crate::nat::Advertised;
use crate::tap::Tap;
use crate::tls::Tls;
use connect::Connecting;
use seats::Seats;
pub use web::{WebConnection, WebError, WebMessageError};

/// Where a message is to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub transport: SipTransport,
    pub address: SocketAddr,
    /// TLS: the name the certificate must be for (RFC 5922 §4). Without one only a connection the
    /// other side opened will do.
    pub name: Option<String>,
}

impl Target {
    /// One whose certificate is of no concern.
    pub(crate) fn unnamed(transport: SipTransport, address: SocketAddr) -> Self {
        Self {
            transport,
            address,
            name: None,
        }
    }
}

/// A way to one peer.
#[derive(Clone)]
pub(crate) struct Path {
    pub transport: SipTransport,
    pub remote: SocketAddr,
    /// `host:port` for Via and Contact.
    pub sent_by: String,
    pub connection: SipConnection,
    /// Fires when the connection is gone; never for UDP.
    pub closed: CancellationToken,
}

impl Path {
    /// The destination in the stack's terms.
    pub(crate) fn destination(&self) -> SipAddr {
        stack_address(self.transport, self.remote)
    }

    /// Sends a message outside any transaction (ACK for a 2xx).
    pub(crate) async fn send(&self, message: SipMessage) {
        let destination = self.destination();
        if let Err(error) = self.connection.send(message, Some(&destination)).await {
            tracing::debug!(peer = %self.remote, %error, "SIP send failed");
        }
    }
}

/// Where a stateless answer goes.
#[derive(Clone)]
pub(crate) enum RawReply {
    Udp(Arc<TappedSocket>),
    Stream(mpsc::UnboundedSender<Vec<u8>>),
}

impl RawReply {
    pub(crate) async fn send(&self, bytes: Vec<u8>, peer: SocketAddr) {
        match self {
            Self::Udp(socket) => {
                // A datagram that cannot be sent is a lost one.
                let _ = socket.send_to(&bytes, peer).await;
            }
            Self::Stream(sender) => {
                let _ = sender.send(bytes);
            }
        }
    }
}

/// A UDP socket that shows what it sends to the ladder.
pub(crate) struct TappedSocket {
    socket: UdpSocket,
    tap: Arc<Tap>,
}

#[async_trait::async_trait]
impl StackSocket for TappedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        Ok(self.socket.recv_from(buf).await?)
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        self.tap
            .message(WireDirection::Sent, SipTransport::Udp, addr, buf);
        Ok(self.socket.send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}

struct UdpEndpoint {
    local: SocketAddr,
    socket: Arc<TappedSocket>,
    connection: SipConnection,
}

/// An open connection.
#[derive(Clone)]
struct StreamPeer {
    connection: SipConnection,
    closed: CancellationToken,
    local: SocketAddr,
    /// For keep-alives, on connections that we opened.
    raw: Option<mpsc::UnboundedSender<Vec<u8>>>,
}

/// A TCP or TLS listener before it serves.
struct Listener {
    transport: SipTransport,
    socket: TcpListener,
}

/// All sockets of the endpoint.
pub(crate) struct Hub {
    udp: Vec<UdpEndpoint>,
    listeners: Mutex<Vec<Listener>>,
    tcp_local: Vec<SocketAddr>,
    tls_local: Vec<SocketAddr>,
    streams: Mutex<HashMap<Target, StreamPeer>>,
    connecting: Connecting,
    seats: Arc<Seats>,
    pub tls: Tls,
    domain: String,
    advertised_ip: Option<IpAddr>,
    advertised: Vec<Advertised>,
    max_message_bytes: usize,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    write_timeout: Duration,
    partial_timeout: Duration,
    reload_interval: Duration,
    tap: Arc<Tap>,
    stop: CancellationToken,
}

/// Why there is no way to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("no {} listener of the address family of {peer}", transport.as_via())]
    NoListener {
        transport: SipTransport,
        peer: SocketAddr,
    },
    #[error("{} connection to {peer} failed: {cause}", transport.as_via())]
    Connect {
        transport: SipTransport,
        peer: SocketAddr,
        cause: String,
    },
    #[error("the {} connection {peer} had opened is closed", transport.as_via())]
    Gone {
        transport: SipTransport,
        peer: SocketAddr,
    },
}

impl Hub {
    /// Binds all listeners; nothing is read yet.
    pub(crate) async fn bind(
        config: &SipConfig,
        tap: Arc<Tap>,
        stop: CancellationToken,
    ) -> Result<Self, SipStartError> {
        let mut udp = Vec::new();
        for address in &config.udp {
            let socket = bind_udp(*address).map_err(|e| start_error("UDP", *address, e))?;
            let local = socket
                .local_addr()
                .map_err(|e| start_error("UDP", *address, e))?;
            let socket = Arc::new(TappedSocket {
                socket,
                tap: tap.clone(),
            });
            let connection = UdpConnection::from_socket(socket.clone(), None, None)
                .await
                .map_err(|e| start_error("UDP", *address, std::io::Error::other(e)))?;
            udp.push(UdpEndpoint {
                local,
                socket,
                connection: SipConnection::Udp(connection),
            });
        }
        let mut listeners = Vec::new();
        let mut bind_all = |transport: SipTransport, addresses: &[SocketAddr]| {
            let mut local = Vec::new();
            for address in addresses {
                let named = |e| start_error(transport.as_via(), *address, e);
                let socket = bind_tcp(*address).map_err(named)?;
                local.push(socket.local_addr().map_err(named)?);
                listeners.push(Listener { transport, socket });
            }
            Ok::<_, SipStartError>(local)
        };
        let tcp_local = bind_all(SipTransport::Tcp, &config.tcp)?;
        let tls_local = bind_all(SipTransport::Tls, &config.tls.listen)?;
        Ok(Self {
            udp,
            listeners: Mutex::new(listeners),
            tcp_local,
            tls_local,
            streams: Mutex::default(),
            connecting: Connecting::default(),
            seats: Arc::new(Seats::new(
                config.limits.max_tcp_connections,
                config.limits.max_tcp_connections_per_ip,
            )),
            tls: Tls::new(config.tls.clone())?,
            domain: config.domain.clone(),
            advertised_ip: config.advertised_ip,
            advertised: config.advertised.clone(),
            max_message_bytes: config.limits.max_message_bytes,
            connect_timeout: config.timers.connect_timeout,
            handshake_timeout: config.timers.tls_handshake_timeout,
            write_timeout: config.timers.write_timeout,
            partial_timeout: config.timers.partial_message_timeout,
            reload_interval: config.timers.tls_reload_interval,
            tap,
            stop,
        })
    }

    /// Bound UDP and TCP addresses, with the ports the system chose.
    pub(crate) fn local_addrs(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        (
            self.udp.iter().map(|u| u.local).collect(),
            self.tcp_local.clone(),
        )
    }

    /// Bound TLS addresses.
    pub(crate) fn tls_addrs(&self) -> Vec<SocketAddr> {
        self.tls_local.clone()
    }

    /// Starts reading.
    pub(crate) fn serve(&self, core: &Arc<Core>) {
        for endpoint in &self.udp {
            let core = core.clone();
            let socket = endpoint.socket.clone();
            let connection = endpoint.connection.clone();
            let stop = self.stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = read_udp(core, socket, connection) => {}
                }
            });
        }
        let listeners = std::mem::take(
            &mut *self
                .listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for listener in listeners {
            let core = core.clone();
            let stop = self.stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = stream::accept(core, listener) => {}
                }
            });
        }
        tokio::spawn(watch_certificates(core.clone(), self.stop.clone()));
    }

    /// The way to a target; opens a connection when there is none.
    pub(crate) async fn path(&self, core: &Arc<Core>, target: &Target) -> Result<Path, PathError> {
        match target.transport {
            SipTransport::Udp => self.udp_path(target.address),
            SipTransport::Tcp | SipTransport::Tls | SipTransport::Ws | SipTransport::Wss => {
                let peer = self.connection(core, target).await?;
                Ok(self.stream_path(target, peer))
            }
        }
    }

    /// The way to a target over a connection that is open already.
    pub(crate) fn open_path(&self, target: &Target) -> Option<Path> {
        let peer = self.open_stream(target)?;
        Some(self.stream_path(target, peer))
    }

    fn stream_path(&self, target: &Target, peer: StreamPeer) -> Path {
        let sent_by = self
            .sent_by(target.transport, target.address)
            .unwrap_or_else(|_| self.advertise(peer.local, target.address));
        Path {
            transport: target.transport,
            remote: target.address,
            sent_by,
            connection: peer.connection,
            closed: peer.closed,
        }
    }

    /// The `host:port` we would put into Via, without opening anything.
    pub(crate) fn sent_by(
        &self,
        transport: SipTransport,
        remote: SocketAddr,
    ) -> Result<String, PathError> {
        let locals: Vec<SocketAddr> = match transport {
            SipTransport::Udp => self.udp.iter().map(|u| u.local).collect(),
            SipTransport::Tcp => self.tcp_local.clone(),
            SipTransport::Tls => self.tls_local.clone(),
            // Nobody can connect to this; answers come over the same connection (RFC 7118 §5).
            SipTransport::Ws | SipTransport::Wss => return Ok(bracketed(&self.domain)),
        };
        best_local(&locals, remote)
            .or_else(|| {
                // A connection can be opened without a listener; replies use the same one.
                transport.is_connection().then(|| {
                    let any: IpAddr = match remote {
                        SocketAddr::V4(_) => [0, 0, 0, 0].into(),
                        SocketAddr::V6(_) => [0u16; 8].into(),
                    };
                    SocketAddr::new(any, transport.default_port())
                })
            })
            .map(|local| self.advertise(local, remote))
            .ok_or(PathError::NoListener {
                transport,
                peer: remote,
            })
    }

    fn udp_path(&self, remote: SocketAddr) -> Result<Path, PathError> {
        let locals: Vec<SocketAddr> = self.udp.iter().map(|u| u.local).collect();
        let best = best_local(&locals, remote).ok_or(PathError::NoListener {
            transport: SipTransport::Udp,
            peer: remote,
        })?;
        let endpoint = self
            .udp
            .iter()
            .find(|u| u.local == best)
            .expect("best_local gives one of its inputs");
        Ok(Path {
            transport: SipTransport::Udp,
            remote,
            sent_by: self.advertise(best, remote),
            connection: endpoint.connection.clone(),
            closed: CancellationToken::new(),
        })
    }

    /// A double CRLF on each connection of ours; the other side answers with one.
    pub(crate) fn ping_connections(&self) {
        for peer in self.streams().values() {
            if let Some(raw) = &peer.raw {
                // A connection that is just closing needs none.
                let _ = raw.send(b"\r\n\r\n".to_vec());
            }
        }
    }

    /// A datagram without meaning: it keeps a NAT's way to the phone open.
    pub(crate) async fn ping_udp(&self, remote: SocketAddr) {
        let locals: Vec<SocketAddr> = self.udp.iter().map(|u| u.local).collect();
        let best = best_local(&locals, remote);
        if let Some(endpoint) = self.udp.iter().find(|u| Some(u.local) == best) {
            // Lost, it is sent again soon.
            let _ = endpoint.socket.socket.send_to(b"\r\n\r\n", remote).await;
        }
    }

    fn open_stream(&self, target: &Target) -> Option<StreamPeer> {
        self.streams()
            .get(target)
            .filter(|peer| !peer.closed.is_cancelled())
            .cloned()
    }

    fn forget(&self, target: &Target, closed: &CancellationToken) {
        let mut streams = self.streams();
        if streams
            .get(target)
            .is_some_and(|peer| peer.closed.is_cancelled() && closed.is_cancelled())
        {
            streams.remove(target);
        }
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<Target, StreamPeer>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address others can reach `local` at.
    fn advertise(&self, local: SocketAddr, remote: SocketAddr) -> String {
        let told = Advertised::towards(&self.advertised, remote.ip());
        let ip = if let Some(ip) = told {
            ip
        } else if local.ip().is_unspecified() {
            self.advertised_ip
                .unwrap_or_else(|| interface_towards(remote).unwrap_or_else(|| local.ip()))
        } else {
            local.ip()
        };
        SocketAddr::new(ip, local.port()).to_string()
    }
}

/// A listener of the peer's address family, one on the loopback for a loopback peer, one that is not
/// for others.
fn best_local(locals: &[SocketAddr], remote: SocketAddr) -> Option<SocketAddr> {
    let family = || locals.iter().filter(|l| l.is_ipv4() == remote.is_ipv4());
    family()
        .find(|l| l.ip().is_loopback() == remote.ip().is_loopback())
        .or_else(|| family().find(|l| l.ip().is_unspecified()))
        .or_else(|| family().next())
        .copied()
}

/// The address of the interface the system would use towards `remote`; nothing is sent.
fn interface_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let probe = std::net::UdpSocket::bind(any).ok()?;
    probe.connect(remote).ok()?;
    probe.local_addr().ok().map(|local| local.ip())
}

pub(crate) fn stack_address(transport: SipTransport, address: SocketAddr) -> SipAddr {
    SipAddr {
        r#type: Some(match transport {
            SipTransport::Udp => Transport::Udp,
            SipTransport::Tcp => Transport::Tcp,
            SipTransport::Tls => Transport::Tls,
            SipTransport::Ws => Transport::Ws,
            SipTransport::Wss => Transport::Wss,
        }),
        addr: address.into(),
    }
}

fn bind_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    // [::] and 0.0.0.0 are two listeners.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A burst of calls must not overflow the default buffer; the system may grant less.
    let _ = socket.set_recv_buffer_size(4 << 20);
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn bind_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of the process before us may linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(256)?;
    TcpListener::from_std(socket.into())
}

fn start_error(
    transport: &'static str,
    address: SocketAddr,
    source: std::io::Error,
) -> SipStartError {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        SipStartError::AddressInUse { transport, address }
    } else {
        SipStartError::Bind {
            transport,
            address,
            source,
        }
    }
}

async fn read_udp(core: Arc<Core>, socket: Arc<TappedSocket>, connection: SipConnection) {
    let mut buffer = vec![0u8; 65_536];
    let reply = RawReply::Udp(socket.clone());
    loop {
        match socket.socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                let bytes = &buffer[..length];
                if bytes.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                core.received(bytes, SipTransport::Udp, source, &connection, &reply)
                    .await;
            }
            Err(error) => {
                // Errors here belong to single datagrams; give the system a moment all the same.
                tracing::debug!(%error, "SIP UDP receive failed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn watch_certificates(core: Arc<Core>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(core.hub.reload_interval.max(Duration::from_millis(10)));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let core = core.clone();
        // Files may lie on a slow disk.
        let _ = tokio::task::spawn_blocking(move || core.hub.tls.look()).await;
    }
}
