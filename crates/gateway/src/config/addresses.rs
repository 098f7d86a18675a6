//! Which of our addresses a leg's media uses.

use std::net::IpAddr;

use switchhook_media::LegAddress;
use switchhook_sip::Advertised;

use super::Config;

impl Config {
    /// For a peer at this address; none: the usual ones.
    pub fn media_address(&self, peer: Option<IpAddr>) -> LegAddress {
        let usual = LegAddress {
            bind_ip: self.media.bind_ip,
            advertised_ip: self.media.advertised_ip,
        };
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
            return usual;
        };
        let other = self
            .media
            .bind_ip6
            .filter(|bind| bind.is_ipv4() == peer.is_ipv4());
        let bind_ip = if peer.is_ipv4() == usual.bind_ip.is_ipv4() {
            usual.bind_ip
        } else {
            match other {
                Some(bind_ip) => bind_ip,
                // We have no address it could reach: let it try the one we have.
                None => return usual,
            }
        };
        let told = Advertised::towards(&self.sip.network.advertised, peer);
        let own = if bind_ip == usual.bind_ip {
            usual.advertised_ip
        } else {
            bind_ip
        };
        LegAddress {
            bind_ip,
            advertised_ip: told.unwrap_or(own),
        }
    }
}

/// The address a session description wants media at (RFC 8866 §5.7).
pub fn connection_address(sdp: &str) -> Option<IpAddr> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP"))?;
    let (_, address) = line.split_once(' ')?;
    address.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Source, load};
    use super::*;

    #[test]
    fn each_peer_gets_an_address_it_can_reach() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("switchhook.toml");
        let text = "mode = \"demo\"\n[sip]\nlisten = [\"[::1]:5060\"]\n\
                    [[sip.advertise]]\nnetworks = [\"10.0.0.0/8\"]\naddress = \"10.1.2.3\"\n\
                    [[sip.advertise]]\nnetworks = [\"@twilio\"]\naddress = \"203.0.113.5\"\n";
        std::fs::write(&path, text).unwrap();
        let config = load(&Source::File(path), &Environment::default()).unwrap();
        let of = |peer: Option<&str>| {
            let address = config.media_address(peer.map(|peer| peer.parse().unwrap()));
            (
                address.bind_ip.to_string(),
                address.advertised_ip.to_string(),
            )
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of(None), pair("127.0.0.1", "127.0.0.1"));
        assert_eq!(of(Some("10.9.9.9")), pair("127.0.0.1", "10.1.2.3"));
        assert_eq!(of(Some("54.172.60.1")), pair("127.0.0.1", "203.0.113.5"));
        assert_eq!(of(Some("::1")), pair("::1", "::1"));
    }

    #[test]
    fn the_offer_says_which_family() {
        let of = |line: &str| connection_address(&format!("v=0\r\n{line}\r\nt=0 0\r\n"));
        assert_eq!(of("c=IN IP6 ::1"), Some("::1".parse().unwrap()));
        assert_eq!(of("c=IN IP4 192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(of("c=IN IP4 pbx.example.com"), None);
        assert_eq!(of("a=x"), None);
    }
}
