//! Which server first (RFC 3263 §4, RFC 2782). Pure: chance comes in.

use std::net::IpAddr;

use crate::config::SipTransport;

/// One service record with the addresses of its host, or the host itself with priority 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub transport: SipTransport,
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub addresses: Vec<IpAddr>,
}

/// A NAPTR record as SIP uses it (RFC 3263 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub service: String,
    pub replacement: String,
}

/// Services in the order they are to be tried: lower priority first; among equals by weight, drawn
/// anew each time. `draw(n)` gives a number from 0 to n.
pub(crate) fn in_order(
    mut services: Vec<Service>,
    mut draw: impl FnMut(u32) -> u32,
) -> Vec<Service> {
    // Unweighted ones first within a priority: they get their small chance (RFC 2782).
    services.sort_by_key(|s| (s.priority, s.weight));
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(first) = services.first() {
        let priority = first.priority;
        let end = services.partition_point(|s| s.priority == priority);
        let mut group: Vec<Service> = services.drain(..end).collect();
        while !group.is_empty() {
            let sum: u32 = group.iter().map(|s| u32::from(s.weight)).sum();
            let drawn = draw(sum).min(sum);
            let mut running = 0;
            let at = group.iter().position(|s| {
                running += u32::from(s.weight);
                running >= drawn
            });
            ordered.push(group.remove(at.unwrap_or(0)));
        }
    }
    ordered
}

/// The service names to ask for, best first, with the transports we have. `secure`: TLS only.
pub(crate) fn usable(mut records: Vec<Naptr>, secure: bool) -> Vec<(SipTransport, String)> {
    records.sort_by_key(|r| (r.order, r.preference));
    records
        .into_iter()
        .filter(|r| r.flags.eq_ignore_ascii_case("s"))
        .filter_map(|r| {
            let transport = match r.service.to_ascii_uppercase().as_str() {
                "SIPS+D2T" => SipTransport::Tls,
                "SIP+D2T" if !secure => SipTransport::Tcp,
                "SIP+D2U" if !secure => SipTransport::Udp,
                _ => return None,
            };
            Some((transport, r.replacement))
        })
        .collect()
}

/// `_sip._udp` and so on (RFC 3263 §4.2).
pub(crate) fn service_name(transport: SipTransport, host: &str) -> Option<String> {
    let prefix = match transport {
        SipTransport::Udp => "_sip._udp",
        SipTransport::Tcp => "_sip._tcp",
        SipTransport::Tls => "_sips._tcp",
        SipTransport::Ws | SipTransport::Wss => return None,
    };
    Some(format!("{prefix}.{}.", host.trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, port: u16) -> Service {
        Service {
            transport: SipTransport::Udp,
            priority,
            weight,
            port,
            addresses: Vec::new(),
        }
    }

    fn ports(services: Vec<Service>, draw: impl FnMut(u32) -> u32) -> Vec<u16> {
        in_order(services, draw).iter().map(|s| s.port).collect()
    }

    #[test]
    fn priority_decides_before_weight() {
        let all = || vec![service(20, 100, 3), service(10, 1, 1), service(10, 60, 2)];
        assert_eq!(ports(all(), |_| 0), [1, 2, 3]);
        assert_eq!(ports(all(), |sum| sum), [2, 1, 3]);
    }

    #[test]
    fn weights_share_the_first_place() {
        let mut firsts = [0u32; 3];
        for n in 0..100u32 {
            let all = vec![service(1, 0, 0), service(1, 25, 1), service(1, 75, 2)];
            let mut first = true;
            let order = ports(all, |sum| {
                if std::mem::take(&mut first) {
                    assert_eq!(sum, 100);
                    n + 1
                } else {
                    0
                }
            });
            firsts[usize::from(order[0])] += 1;
            assert_eq!(order.len(), 3);
        }
        assert_eq!(firsts, [0, 25, 75]);
        // The unweighted one comes first when nothing is drawn.
        let all = vec![service(1, 25, 1), service(1, 0, 0)];
        assert_eq!(ports(all, |_| 0), [0, 1]);
    }

    #[test]
    fn naptr_in_order_and_only_what_we_have() {
        let record = |order, preference, flags: &str, service: &str| Naptr {
            order,
            preference,
            flags: flags.to_owned(),
            service: service.to_owned(),
            replacement: format!("{service}."),
        };
        let all = || {
            vec![
                record(50, 50, "s", "SIP+D2U"),
                record(50, 10, "S", "SIPS+D2T"),
                record(10, 10, "s", "SIP+D2S"),
                record(90, 50, "s", "sip+d2t"),
                record(1, 1, "u", "SIP+D2U"),
            ]
        };
        let transports: Vec<_> = usable(all(), false).into_iter().map(|(t, _)| t).collect();
        assert_eq!(
            transports,
            [SipTransport::Tls, SipTransport::Udp, SipTransport::Tcp]
        );
        assert_eq!(usable(all(), true).len(), 1);
        assert_eq!(
            service_name(SipTransport::Tls, "example.com").as_deref(),
            Some("_sips._tcp.example.com.")
        );
    }
}
