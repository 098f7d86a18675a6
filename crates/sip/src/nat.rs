//! Addresses that mean something only elsewhere: what we say of ourselves, whom we believe about
//! themselves, and keeping the way back open.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::config::{SipTransport, TrunkAddress};
use crate::core::Core;
use crate::tap::now;
use crate::uri::SipUri;

/// What peers of these networks are told to reach us at.
#[derive(Debug, Clone)]
pub struct Advertised {
    pub networks: Vec<TrunkAddress>,
    pub address: IpAddr,
}

impl Advertised {
    /// The first entry for a peer; of its address family, or it could not use it.
    pub fn towards(list: &[Self], peer: IpAddr) -> Option<IpAddr> {
        let peer = SocketAddr::new(peer.to_canonical(), 0);
        list.iter()
            .filter(|entry| entry.address.is_ipv4() == peer.is_ipv4())
            .find(|entry| entry.networks.iter().any(|n| n.matches_ip(peer.ip())))
            .map(|entry| entry.address)
    }
}

/// From where an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Host,
    Private,
    Public,
}

fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Scope::Host,
        IpAddr::V4(v4) => {
            // RFC 6598: what carriers use behind their own NAT.
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            if v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared {
                Scope::Private
            } else {
                Scope::Public
            }
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || v6.is_unspecified() {
                Scope::Private
            } else {
                Scope::Public
            }
        }
    }
}

/// Whether a Contact names an address that only the other side's own network knows, so that requests
/// go to where it wrote from instead.
pub(crate) fn is_hidden(contact: &SipUri, peer: SocketAddr) -> bool {
    contact
        .ip()
        .is_some_and(|ip| scope(ip) != Scope::Public && scope(ip) != scope(peer.ip()))
}

impl Core {
    /// A datagram to every phone behind a NAT, and a ping on every connection of ours, so that what
    /// lies between does not forget them (RFC 5626 §3.5.1, §4.4.1).
    pub(crate) async fn keep_alive(self: Arc<Self>) {
        let mut tick =
            tokio::time::interval(self.config.timers.keep_alive.max(Duration::from_millis(10)));
        tick.reset();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.hub.ping_connections();
            let bindings = {
                let registrar = self.registrar.lock();
                registrar.unwrap_or_else(PoisonError::into_inner).all(now())
            };
            for binding in bindings {
                let contact = SipUri::parse(&binding.contact).ok();
                let direct = contact.and_then(|uri| uri.socket_addr()) == Some(binding.source);
                if binding.transport == SipTransport::Udp && !direct {
                    self.hub.ping_udp(binding.source).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_address() {
        let entry = |network: &str, address: &str| Advertised {
            networks: vec![network.parse().unwrap()],
            address: address.parse().unwrap(),
        };
        let list = [
            entry("10.0.0.0/8", "10.1.2.3"),
            entry("0.0.0.0/0", "203.0.113.5"),
            entry("::/0", "2001:db8::5"),
        ];
        let towards =
            |peer: &str| Advertised::towards(&list, peer.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(towards("10.9.9.9").as_deref(), Some("10.1.2.3"));
        assert_eq!(towards("198.51.100.1").as_deref(), Some("203.0.113.5"));
        assert_eq!(towards("2001:db8::9").as_deref(), Some("2001:db8::5"));
        assert_eq!(towards("::ffff:10.0.0.1").as_deref(), Some("10.1.2.3"));
    }

    #[test]
    fn contacts_that_cannot_be_reached() {
        let hidden = |contact: &str, peer: &str| {
            is_hidden(&SipUri::parse(contact).unwrap(), peer.parse().unwrap())
        };
        assert!(hidden("sip:a@192.168.1.5:5060", "203.0.113.9:5060"));
        assert!(hidden("sip:a@100.64.0.9", "203.0.113.9:5060"));
        assert!(hidden("sip:a@[fd00::1]", "[2001:db8::1]:5060"));
        assert!(!hidden("sip:a@192.168.1.5", "192.168.1.1:5060"));
        assert!(!hidden("sip:a@203.0.113.10", "203.0.113.9:5060"));
        assert!(!hidden("sip:a@pbx.example.com", "203.0.113.9:5060"));
    }
}
