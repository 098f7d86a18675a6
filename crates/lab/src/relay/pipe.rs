//! Two sockets and what passes between them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::line::{Counts, Line, Passed};
use super::{BothWays, Impairment};

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToGateway,
    ToPhone,
}

/// Looks at a datagram before it enters the line; the result is what passes.
pub(super) type Rewrite = Box<dyn FnMut(Way, SocketAddr, Vec<u8>) -> Vec<u8> + Send>;

/// Where the two ends are; unknown ones get nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    pub phone: Option<SocketAddr>,
    pub gateway: Option<SocketAddr>,
    /// Whether the phone is whoever sent last.
    pub learn_phone: bool,
}

#[derive(Debug)]
struct Inner {
    ends: Ends,
    to_gateway: Line,
    to_phone: Line,
}

impl Inner {
    fn line(&mut self, way: Way) -> &mut Line {
        match way {
            Way::ToGateway => &mut self.to_gateway,
            Way::ToPhone => &mut self.to_phone,
        }
    }
}

/// A running pipe; it ends when dropped, and what waits in it is lost.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Faces the phone.
    pub front: SocketAddr,
    /// Faces the gateway.
    pub back: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pipe {
    /// Starts forwarding between two bound sockets.
    pub fn start(
        sockets: [StdSocket; 2],
        ends: Ends,
        how: BothWays<Impairment>,
        seed: u64,
        rewrite: Rewrite,
    ) -> io::Result<Self> {
        let [front, back] = sockets;
        let addresses = (front.local_addr()?, back.local_addr()?);
        let _runtime = crate::runtime().enter();
        let front = UdpSocket::from_std(front)?;
        let back = UdpSocket::from_std(back)?;
        let inner = Arc::new(Mutex::new(Inner {
            ends,
            to_gateway: Line::new(how.to_gateway, seed),
            // Another sequence than the other way's.
            to_phone: Line::new(how.to_phone, !seed),
        }));
        let task = crate::runtime().spawn(run(front, back, Arc::clone(&inner), rewrite));
        Ok(Self {
            front: addresses.0,
            back: addresses.1,
            inner,
            task,
        })
    }

    /// Changes the ends.
    pub fn set_ends(&self, change: impl FnOnce(&mut Ends)) {
        change(&mut lock(&self.inner).ends);
    }

    /// What happened so far.
    pub fn counts(&self) -> BothWays<Counts> {
        let inner = lock(&self.inner);
        BothWays {
            to_gateway: inner.to_gateway.counts(),
            to_phone: inner.to_phone.counts(),
        }
    }

    /// The last ones that left.
    pub fn passed(&self) -> BothWays<Vec<Passed>> {
        let inner = lock(&self.inner);
        BothWays {
            to_gateway: inner.to_gateway.passed(),
            to_phone: inner.to_phone.passed(),
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().expect("no holder of this lock panics")
}

async fn run(front: UdpSocket, back: UdpSocket, inner: Arc<Mutex<Inner>>, mut rewrite: Rewrite) {
    let (mut from_phone, mut from_gateway) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let next = {
            let inner = lock(&inner);
            let next = [&inner.to_gateway, &inner.to_phone];
            next.into_iter().filter_map(Line::next_leaving).min()
        };
        let wait = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        // A receive error is a port-unreachable of an earlier datagram: as on a wire, nobody hears.
        let (way, got) = tokio::select! {
            got = front.recv_from(&mut from_phone) => (Way::ToGateway, got.ok()),
            got = back.recv_from(&mut from_gateway) => (Way::ToPhone, got.ok()),
            () = wait => (Way::ToGateway, None),
        };
        if let Some((len, from)) = got {
            let bytes = match way {
                Way::ToGateway => from_phone[..len].to_vec(),
                Way::ToPhone => from_gateway[..len].to_vec(),
            };
            if way == Way::ToGateway {
                let mut inner = lock(&inner);
                if inner.ends.learn_phone {
                    inner.ends.phone = Some(from);
                }
            }
            let bytes = rewrite(way, from, bytes);
            lock(&inner).line(way).take(Instant::now(), bytes);
        }
        for (way, socket) in [(Way::ToGateway, &back), (Way::ToPhone, &front)] {
            loop {
                let (leaving, to) = {
                    let mut inner = lock(&inner);
                    let leaving = inner.line(way).leaving(Instant::now());
                    let to = match way {
                        Way::ToGateway => inner.ends.gateway,
                        Way::ToPhone => inner.ends.phone,
                    };
                    (leaving, to)
                };
                let Some((bytes, copies)) = leaving else {
                    break;
                };
                let Some(to) = to else { continue };
                for _ in 0..copies {
                    // Whoever is gone loses it, as on a wire.
                    let _ = socket.send_to(&bytes, to).await;
                }
            }
        }
    }
}

/// A socket on loopback.
pub(super) fn bind() -> io::Result<StdSocket> {
    let socket = StdSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sockets for RTP and RTCP: an even port and the next one (RFC 3550 §11).
pub(super) fn bind_pair() -> io::Result<[StdSocket; 2]> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let rtp = bind()?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        match StdSocket::bind((Ipv4Addr::LOCALHOST, port + 1)) {
            Ok(rtcp) => {
                rtcp.set_nonblocking(true)?;
                return Ok([rtp, rtcp]);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}
