//! The URLs Twilio may have signed, made from the configured base URL and the request target.
//! Nothing here is decoded or encoded again, except where a variant is exactly that.

use url::Url;

use super::UrlForm;
use crate::ProviderConfigError;

/// The public base URL, taken apart as text.
#[derive(Clone)]
pub(super) struct Base {
    /// Whether Twilio comes by TLS.
    is_tls: bool,
    /// `user:password`.
    userinfo: Option<String>,
    host: String,
    port: Option<u16>,
    /// Path without its last slash: `/prefix`, or nothing.
    prefix: String,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("prefix", &self.prefix)
            .field("userinfo", &self.userinfo.is_some())
            .finish_non_exhaustive()
    }
}

impl Base {
    pub(super) fn read(given: &str) -> Result<Self, ProviderConfigError> {
        let given = given.trim();
        let error = |problem: &str| ProviderConfigError::Value {
            field: "public_url",
            // A password may stand in it.
            given: match (given.find("://"), given.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => {
                    format!("{}***{}", &given[..scheme + 3], &given[at..])
                }
                _ => given.chars().take(200).collect(),
            },
            problem: format!(
                "{problem}; give the address Twilio calls, such as https://gw.example.com"
            ),
        };
        let url = Url::parse(given).map_err(|e| error(&e.to_string()))?;
        let is_tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            other => return Err(error(&format!("the scheme is {other:?}"))),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(error("it has a query or a fragment"));
        }
        // Taken from the text, not from the parsed URL: what is signed is what was configured.
        let rest = given.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };
        let (host, port) = match host_port.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                Some(port.parse().map_err(|_| error("its port is no number"))?),
            ),
            _ => (host_port, None),
        };
        if host.is_empty() {
            return Err(error("it names no host"));
        }
        Ok(Self {
            is_tls,
            userinfo,
            host: host.to_owned(),
            port,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }

    /// What may have been signed, likeliest first, none twice.
    pub(super) fn candidates(&self, target: &str, is_websocket: bool) -> Vec<(UrlForm, String)> {
        let targets = self.targets(target);
        let mut urls = Candidates::default();
        let (scheme, ports): (&str, &[u16]) = match (is_websocket, self.is_tls) {
            // The libraries of Twilio add 80 where the scheme is not https, also to wss.
            (true, true) => ("wss", &[443, 80]),
            (true, false) => ("ws", &[80]),
            (false, true) => ("https", &[443]),
            (false, false) => ("http", &[80]),
        };
        let origins = self.origins(scheme, ports);
        urls.add(UrlForm::Plain, &origins, &targets);
        if is_websocket {
            let turned: Vec<_> = targets.iter().map(|t| turn_slash(t)).collect();
            urls.add(UrlForm::Slash, &origins, &turned);
        }
        let legacy: Vec<_> = targets.iter().filter_map(|t| legacy_query(t)).collect();
        urls.add(UrlForm::LegacyQuery, &origins, &legacy);
        if is_websocket {
            let (scheme, port) = if self.is_tls {
                ("https", 443)
            } else {
                ("http", 80)
            };
            urls.add(UrlForm::Https, &self.origins(scheme, &[port]), &targets);
        }
        urls.0
    }

    /// Scheme, user, host and port: as configured, without port, with the scheme's port; the same
    /// without the user, because nobody could say whether Twilio signs it.
    fn origins(&self, scheme: &str, default_ports: &[u16]) -> Vec<String> {
        let mut ports = vec![self.port, None];
        ports.extend(default_ports.iter().map(|port| Some(*port)));
        let mut origins = Vec::new();
        for userinfo in [self.userinfo.as_deref(), None] {
            let user = userinfo.map_or(String::new(), |user| format!("{user}@"));
            for port in &ports {
                let port = port.map_or(String::new(), |port| format!(":{port}"));
                let origin = format!("{scheme}://{user}{}{port}", self.host);
                if !origins.contains(&origin) {
                    origins.push(origin);
                }
            }
        }
        origins
    }

    /// The target behind the configured path, which a proxy removed; and as it is, if it was not.
    fn targets(&self, target: &str) -> Vec<String> {
        let target = target.split('#').next().unwrap_or(target);
        let mut targets = vec![format!("{}{target}", self.prefix)];
        let kept = target
            .strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        if !self.prefix.is_empty() && kept {
            targets.insert(0, target.to_owned());
        }
        targets
    }
}

#[derive(Default)]
struct Candidates(Vec<(UrlForm, String)>);

impl Candidates {
    fn add(&mut self, form: UrlForm, origins: &[String], targets: &[String]) {
        for target in targets {
            for origin in origins {
                let url = format!("{origin}{target}");
                if !self.0.iter().any(|(_, known)| *known == url) {
                    self.0.push((form, url));
                }
            }
        }
    }
}

fn turn_slash(target: &str) -> String {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    match path.strip_suffix('/') {
        Some(shorter) => format!("{shorter}{query}"),
        None => format!("{path}/{query}"),
    }
}

/// The query decoded and written again as `querystring.stringify` of Node.js does: everything but
/// letters, digits and `-_.!~*'()` is escaped, a space as `%20`; except that some of Twilio's own
/// servers escape `'` too, which is the case this form exists for.
fn legacy_query(target: &str) -> Option<String> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'(')
        .remove(b')');
    let (path, query) = target.split_once('?')?;
    let pairs: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            let name = utf8_percent_encode(&name, KEPT);
            format!("{name}={}", utf8_percent_encode(&value, KEPT))
        })
        .collect();
    Some(format!("{path}?{}", pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(base: &str, target: &str, is_websocket: bool) -> Vec<String> {
        let base = Base::read(base).expect("a base URL");
        let candidates = base.candidates(target, is_websocket);
        candidates.into_iter().map(|(_, url)| url).collect()
    }

    #[test]
    fn the_port_is_tried_as_configured_without_and_as_usual() {
        assert_eq!(
            urls("https://gw.example.com:8443/", "/x", false),
            [
                "https://gw.example.com:8443/x",
                "https://gw.example.com/x",
                "https://gw.example.com:443/x"
            ]
        );
        assert_eq!(
            urls("https://gw.example.com", "/x", false),
            ["https://gw.example.com/x", "https://gw.example.com:443/x"]
        );
    }

    #[test]
    fn websockets_are_tried_with_their_scheme_their_slash_and_last_as_https() {
        let urls = urls("https://gw.example.com", "/m", true);
        assert_eq!(urls[0], "wss://gw.example.com/m");
        assert!(urls.contains(&"wss://gw.example.com:443/m".to_owned()));
        assert!(urls.contains(&"wss://gw.example.com/m/".to_owned()));
        assert_eq!(
            urls[urls.len() - 2..],
            ["https://gw.example.com/m", "https://gw.example.com:443/m"]
        );
    }

    #[test]
    fn a_path_that_a_proxy_removes_is_put_back_and_one_it_keeps_is_kept() {
        let removed = urls("https://gw.example.com/pbx/", "/twilio/voice?a=1", false);
        assert_eq!(removed[0], "https://gw.example.com/pbx/twilio/voice?a=1");
        let kept = urls("https://gw.example.com/pbx", "/pbx/twilio/voice", false);
        assert_eq!(kept[0], "https://gw.example.com/pbx/twilio/voice");
        let other = urls("https://gw.example.com/pbx", "/pbxtwilio", false);
        assert_eq!(other[0], "https://gw.example.com/pbx/pbxtwilio");
    }

    #[test]
    fn the_legacy_query_escapes_what_the_plain_one_does_not() {
        assert_eq!(
            legacy_query("/x?name=O'Hara+a&b"),
            Some("/x?name=O%27Hara%20a&b=".to_owned())
        );
        assert_eq!(legacy_query("/x"), None);
    }

    #[test]
    fn unusable_base_urls_are_named_without_their_password() {
        for bad in [
            "",
            "gw.example.com",
            "ftp://u:hunter2@gw.example.com",
            "https://u:hunter2@gw.example.com/?q=1",
            "https://gw.example.com/#x",
            "https://u:hunter2@gw.example.com:port",
        ] {
            let error = Base::read(bad).expect_err(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let base = Base::read("https://u:hunter2@[2001:db8::1]:8443/p").expect("IPv6");
        assert_eq!(
            (base.host.as_str(), base.port),
            ("[2001:db8::1]", Some(8443))
        );
        assert!(!format!("{base:?}").contains("hunter2"));
        let base = Base::read("https://[2001:db8::1]").expect("IPv6 without port");
        assert_eq!(base.port, None);
    }
}
