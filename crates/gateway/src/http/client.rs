//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;

use crate::network::Network;

/// The address of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub address: IpAddr,
    /// Came straight to us from this machine, not through a proxy.
    pub is_local: bool,
}

impl Source {
    /// Believes `X-Forwarded-For` only from proxies we know, and only its last unknown address:
    /// everything before it was written by the client. What cannot be read ends the search at the
    /// proxy that sent it on: an entry before it is the client's own text.
    pub fn of(request: &Request, trusted: &[Network]) -> Self {
        let peer = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
                peer.ip().to_canonical()
            });
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let mut address = peer;
        for hop in forwarded(request.headers()).rev() {
            if !is_trusted(address) {
                break;
            }
            match hop {
                Some(hop) => address = hop,
                None => break,
            }
        }
        let was_forwarded = [FORWARDED_FOR, "forwarded", "x-real-ip"]
            .iter()
            .any(|name| request.headers().contains_key(*name));
        Self {
            address,
            is_local: peer.is_loopback() && !was_forwarded,
        }
    }

    /// What is counted together: an IPv4 address, or the /64 network one IPv6 customer has.
    pub fn bucket(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(address) => {
                let mut bytes = address.octets();
                bytes[8..].fill(0);
                IpAddr::V6(Ipv6Addr::from(bytes))
            }
        }
    }
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The addresses in the header, the client's own words first; `None` for what is no address.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = Option<IpAddr>> {
    headers
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(|text| address(text.trim()))
}

/// An address, alone or with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text.parse::<IpAddr>().ok();
    alone
        .or_else(|| {
            text.parse::<SocketAddr>()
                .ok()
                .map(|with_port| with_port.ip())
        })
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn source(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Source {
        let mut request = Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let trusted: Vec<Network> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        Source::of(&request, &trusted)
    }

    #[test]
    fn strangers_cannot_choose_their_address() {
        let direct = source("203.0.113.9:1", &["10.0.0.1"], &[]);
        assert_eq!(direct.address.to_string(), "203.0.113.9");
        let proxied = source(
            "10.0.0.2:1",
            &["1.2.3.4, 198.51.100.7", "10.0.0.3"],
            &["10.0.0.2", "10.0.0.3"],
        );
        assert_eq!(proxied.address.to_string(), "198.51.100.7");
        let network = source("10.9.8.7:1", &["1.2.3.4, 198.51.100.7"], &["10.0.0.0/8"]);
        assert_eq!(network.address.to_string(), "198.51.100.7");
        let nonsense = source("10.0.0.2:1", &["x, y"], &["10.0.0.2"]);
        assert_eq!(nonsense.address.to_string(), "10.0.0.2");
        // The client wrote the first one; what the proxy added cannot be read.
        let unreadable = source("10.0.0.2:1", &["1.2.3.4, unknown"], &["10.0.0.2"]);
        assert_eq!(unreadable.address.to_string(), "10.0.0.2");
        let with_ports = source(
            "10.0.0.2:1",
            &["1.2.3.4, 198.51.100.7:4711", "[::ffff:10.0.0.3]:80"],
            &["10.0.0.0/8"],
        );
        assert_eq!(with_ports.address.to_string(), "198.51.100.7");
        let only_proxies = source("10.0.0.2:1", &["10.0.0.3"], &["10.0.0.0/8"]);
        assert_eq!(only_proxies.address.to_string(), "10.0.0.3");
    }

    #[test]
    fn a_forwarded_request_is_never_local() {
        assert!(source("127.0.0.1:1", &[], &[]).is_local);
        assert!(!source("127.0.0.1:1", &["203.0.113.9"], &[]).is_local);
        assert!(!source("127.0.0.1:1", &["unknown"], &[]).is_local);
        assert!(!source("127.0.0.1:1", &["127.0.0.1"], &["127.0.0.1"]).is_local);
        assert!(!source("203.0.113.9:1", &[], &[]).is_local);
        assert!(source("[::ffff:127.0.0.1]:1", &[], &[]).is_local);
    }

    #[test]
    fn one_ipv6_customer_is_one_source() {
        let a = source("[2001:db8:1:2:3::4]:1", &[], &[]);
        let b = source("[2001:db8:1:2:ffff::1]:1", &[], &[]);
        let c = source("[2001:db8:1:3::1]:1", &[], &[]);
        assert_eq!(a.bucket(), b.bucket());
        assert_ne!(a.bucket(), c.bucket());
    }
}
