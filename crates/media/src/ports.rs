//! RTP ports: taken in turn from the range, and left alone for a while after use.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Even ports of a range (RFC 3550 §11). A released port rests before it is used again: the former
/// party may still be sending, and the next call must not hear it.
#[derive(Debug)]
pub(crate) struct PortPool {
    free: VecDeque<u16>,
    /// In the order of release, with the time from which each may be used again.
    resting: VecDeque<(Instant, u16)>,
    rest: Duration,
    in_use: usize,
}

/// Why there is no port.
#[derive(Debug)]
pub(crate) enum NoPort {
    /// All in use or resting.
    Exhausted,
    /// None of the free ones could be bound.
    Bind(std::io::Error),
}

impl PortPool {
    pub fn new(range: &RangeInclusive<u16>, rest: Duration) -> Self {
        // The port above carries RTCP, so it must be in the range, too.
        let free = range
            .clone()
            .filter(|port| {
                port % 2 == 0
                    && *port != 0
                    && port.checked_add(1).is_some_and(|p| range.contains(&p))
            })
            .collect();
        Self {
            free,
            resting: VecDeque::new(),
            rest,
            in_use: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.free.is_empty() && self.resting.is_empty() && self.in_use == 0
    }

    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Binds the pair of ports that was unused for longest, RTP's and RTCP's. Ports that another
    /// program holds are passed over and tried again when their turn comes.
    pub fn take(
        &mut self,
        ip: IpAddr,
        now: Instant,
    ) -> Result<(u16, UdpSocket, UdpSocket), NoPort> {
        while let Some((until, port)) = self.resting.front().copied() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
        let mut refused = NoPort::Exhausted;
        for _ in 0..self.free.len() {
            let Some(port) = self.free.pop_front() else {
                break;
            };
            let bind = |port| UdpSocket::bind(SocketAddr::new(ip, port));
            match bind(port).and_then(|rtp| Ok((rtp, bind(port + 1)?))) {
                Ok((rtp, rtcp)) => {
                    self.in_use += 1;
                    return Ok((port, rtp, rtcp));
                }
                Err(error) => {
                    self.free.push_back(port);
                    let busy = error.kind() == std::io::ErrorKind::AddrInUse;
                    refused = NoPort::Bind(error);
                    if !busy {
                        break; // the address or the permission is wrong, whatever the port
                    }
                }
            }
        }
        Err(refused)
    }

    pub fn release(&mut self, port: u16, now: Instant) {
        self.in_use -= 1;
        self.resting.push_back((now + self.rest, port));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn ports_are_even_taken_in_turn_and_rest_after_use() {
        let mut pool = PortPool::new(&(34_101..=34_107), Duration::from_secs(5));
        let now = Instant::now();
        let (first, rtp, rtcp) = pool.take(LOOPBACK, now).unwrap();
        let (second, ..) = pool.take(LOOPBACK, now).unwrap();
        assert_eq!((first, second), (34_102, 34_104));
        assert_eq!(rtcp.local_addr().unwrap().port(), first + 1);
        drop((rtp, rtcp));
        pool.release(first, now);
        let (third, ..) = pool.take(LOOPBACK, now).unwrap();
        assert_eq!(third, 34_106, "a rested port before the one just released");
        assert!(matches!(pool.take(LOOPBACK, now), Err(NoPort::Exhausted)));
        let later = now + Duration::from_secs(5);
        assert_eq!(pool.take(LOOPBACK, later).unwrap().0, first);
        assert_eq!(pool.in_use(), 3);
    }

    #[test]
    fn a_port_held_by_another_program_is_passed_over() {
        // Its RTCP port is enough to keep a pair from being used.
        let busy = UdpSocket::bind("127.0.0.1:34203").unwrap();
        let mut pool = PortPool::new(&(34_202..=34_205), Duration::ZERO);
        let (port, _rtp, _rtcp) = pool.take(LOOPBACK, Instant::now()).unwrap();
        assert_eq!(port, 34_204);
        assert!(matches!(
            pool.take(LOOPBACK, Instant::now()),
            Err(NoPort::Bind(_))
        ));
        drop(busy);
        assert_eq!(pool.take(LOOPBACK, Instant::now()).unwrap().0, 34_202);
    }
}
