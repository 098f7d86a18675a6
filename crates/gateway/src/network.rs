//! A network as it stands in the configuration: an address, or an address and the length of the
//! prefix that its members share (`10.0.0.0/8`, `2001:db8::/32`; RFC 4632, RFC 4291 §2.3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses with a common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("it is neither an IP address nor a network such as 10.0.0.0/8")]
    Address,
    #[error("the length after / is not from 0 to {0}")]
    Prefix(u8),
    #[error("bits after the first {0} are set: write {1}")]
    HostBits(u8, Network),
}

impl Network {
    /// Whether the address belongs to it. An IPv4 address mapped into IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                first_bits(address.to_canonical(), self.prefix) == self.address
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether every address of the family belongs to it.
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

/// The address with everything after the prefix set to zero.
fn first_bits(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= longest)
                .ok_or(NetworkError::Prefix(longest))?,
            Some(_) => return Err(NetworkError::Prefix(longest)),
        };
        let network = Self {
            address: first_bits(address, prefix),
            prefix,
        };
        // 10.0.0.1/8 is more often a slip for 10.0.0.1 than the network it would mean.
        if network.address == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits(prefix, network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn has(network_: &str, address: &str) -> bool {
        network(network_).contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_own_addresses_only() {
        assert!(has("192.0.2.0/24", "192.0.2.255"));
        assert!(!has("192.0.2.0/24", "192.0.3.0"));
        assert!(has("192.0.2.1", "192.0.2.1") && !has("192.0.2.1", "192.0.2.2"));
        assert!(has("0.0.0.0/0", "203.0.113.9") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(has("::/0", "::1") && !has("::/0", "192.0.2.1"));
        assert!(has("192.0.2.0/24", "::ffff:192.0.2.7"));
    }

    #[test]
    fn what_is_no_network_is_refused_with_its_reason() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("proxy.example.com", NetworkError::Address),
            ("192.0.2.0/33", NetworkError::Prefix(32)),
            ("192.0.2.0/", NetworkError::Prefix(32)),
            ("192.0.2.0/+8", NetworkError::Prefix(32)),
            ("2001:db8::/129", NetworkError::Prefix(128)),
            (
                "192.0.2.1/24",
                NetworkError::HostBits(24, network("192.0.2.0/24")),
            ),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        assert_eq!(network("192.0.2.0/24").to_string(), "192.0.2.0/24");
    }
}
