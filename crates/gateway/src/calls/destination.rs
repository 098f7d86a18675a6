//! Which destinations may be dialled, and which of ours a SIP URI means. Whoever asks (an operator,
//! a phone's REFER, a redirection) is held to the same list.

use std::net::SocketAddr;

use switchhook_model::{E164, Extension, Target};
use switchhook_sip::uri::SipUri;

use crate::config::Config;

/// Whether policy allows this to be dialled, and why not.
pub fn check(config: &Config, target: &Target) -> Result<(), String> {
    match target {
        Target::Extension(extension) if config.extensions.contains_key(extension) => Ok(()),
        Target::Extension(_) => Err("this extension is not configured".to_owned()),
        Target::Number(number) => {
            let allowed = &config.outbound.allowed_prefixes;
            if allowed
                .iter()
                .any(|prefix| number.as_str().starts_with(prefix))
            {
                Ok(())
            } else {
                Err("its prefix is not in outbound.allowed_prefixes".to_owned())
            }
        }
        Target::SipUri(uri) => {
            if is_allowed_host(config, uri_host(uri)) {
                Ok(())
            } else {
                Err("its host is not in outbound.allowed_sip_hosts".to_owned())
            }
        }
    }
}

/// The destination a SIP URI of a phone or a redirecting server means, if it may be dialled. At a
/// host that is allowed by name the URI is taken as it stands; anywhere else only its user part
/// counts: a configured extension, or a number over the trunk.
pub fn of_uri(config: &Config, text: &str) -> Result<Target, String> {
    let uri = SipUri::parse(text).map_err(|error| error.to_string())?;
    let target = if !is_ours(config, &uri) && is_allowed_host(config, uri_host(text)) {
        // Nothing but the address: parameters could send it elsewhere (`maddr`, `transport`).
        let plain = SipUri::new(uri.user.as_deref(), &uri.host, uri.port);
        Target::SipUri(plain.to_string())
    } else {
        let user = uri.user.unwrap_or_default();
        let user = user.split(';').next().unwrap_or_default();
        match (user.parse::<Extension>(), user.parse::<E164>()) {
            (Ok(extension), _) => Target::Extension(extension),
            (Err(_), Ok(number)) => Target::Number(number),
            (Err(_), Err(_)) => {
                return Err(
                    "neither an extension nor a number, and its host is not in outbound.allowed_sip_hosts"
                        .to_owned(),
                );
            }
        }
    };
    check(config, &target).map(|()| target)
}

/// Whether a URI leads to this very program, which would call itself.
fn is_ours(config: &Config, uri: &SipUri) -> bool {
    let network = &config.sip.network;
    let listeners: Vec<SocketAddr> = [config.sip.bind]
        .into_iter()
        .chain(network.listen.iter().copied())
        .chain(network.tls.listen.iter().copied())
        .collect();
    let is_our_ip = uri.ip().is_some_and(|ip| {
        listeners.iter().any(|bind| bind.ip() == ip)
            || network.advertised.iter().any(|told| told.address == ip)
            || ip == config.media.advertised_ip
            || ip == config.media.bind_ip
    });
    let is_our_port = |port: u16| listeners.iter().any(|bind| bind.port() == port);
    is_our_ip && uri.port.is_none_or(is_our_port)
}

fn is_allowed_host(config: &Config, host: &str) -> bool {
    let allowed = &config.outbound.allowed_sip_hosts;
    allowed.iter().any(|allowed| allowed == host)
}

/// The host of a SIP URI, without user, port and parameters. What cannot be read is no host.
fn uri_host(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    // The last @: a user part may hold an escaped one only, so a second one is an attempt to
    // show one host and call another.
    let host = match rest.split_once('@') {
        Some((_, host)) if host.contains('@') => "",
        Some((_, host)) => host,
        None => rest,
    };
    let end = host.find([';', '?']).unwrap_or(host.len());
    let host = &host[..end];
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or("");
    }
    host.split(':').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::{of_uri, uri_host};
    use crate::config::{Environment, Source, load};

    #[test]
    fn a_uri_means_what_an_operator_could_dial_or_nothing() {
        let config = load(&Source::Profile("demo".into()), &Environment::default()).unwrap();
        let meant = |uri: &str| of_uri(&config, uri).map(|target| target.to_string());
        for (uri, target) in [
            ("sip:2005@127.0.0.1:5060", "2005"),
            ("sip:2005@127.0.0.1", "2005"),
            ("sip:2005@pbx.example.com;user=phone", "2005"),
            ("sip:bob@127.0.0.1:5070", "sip:bob@127.0.0.1:5070"),
            // Nothing in it may lead elsewhere.
            (
                "sip:bob@127.0.0.1:5070;maddr=192.0.2.1",
                "sip:bob@127.0.0.1:5070",
            ),
        ] {
            assert_eq!(meant(uri).as_deref(), Ok(target), "{uri}");
        }
        for uri in [
            "",
            "tel:2005",
            "sip:2999@127.0.0.1:5060",
            "sip:bob@example.com",
            "sip:+12025550100@example.com",
            "sip:bob@127.0.0.1@example.com",
            "sip:@127.0.0.1@example.com",
        ] {
            assert!(meant(uri).is_err(), "{uri}: {:?}", meant(uri));
        }
    }

    #[test]
    fn the_host_that_would_be_called_is_the_one_checked() {
        assert_eq!(uri_host("sip:a@127.0.0.1:5080;transport=udp"), "127.0.0.1");
        assert_eq!(uri_host("sip:127.0.0.1"), "127.0.0.1");
        assert_eq!(uri_host("sip:a@[::1]:5060"), "[::1]");
        assert_eq!(uri_host("sip:127.0.0.1@evil.example"), "evil.example");
        assert_eq!(uri_host("sip:a@127.0.0.1@evil.example"), "");
    }
}
