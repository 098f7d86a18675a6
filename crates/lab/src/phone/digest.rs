//! The client's side of digest authentication (RFC 7616 §3.4, RFC 8760): MD5, SHA-256 and
//! SHA-512-256; other challenges are passed over.

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};

/// A challenge of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// `realm`.
    pub realm: String,
    /// `nonce`.
    pub nonce: String,
    /// `opaque`, echoed when given.
    pub opaque: Option<String>,
    /// Whether `qop=auth` is offered.
    pub qop_auth: bool,
    /// `MD5` when absent.
    pub algorithm: String,
    /// The nonce was good but too old.
    pub stale: bool,
}

impl Challenge {
    /// Reads `Digest realm="…", nonce="…", …`. `None` when it is no digest or of an unknown algorithm.
    pub fn parse(value: &str) -> Option<Self> {
        let rest = value.trim().strip_prefix("Digest")?;
        let field = |name: &str| {
            split_fields(rest)
                .into_iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|f| f.1)
        };
        let algorithm = field("algorithm").unwrap_or_else(|| "MD5".into());
        let known = ["MD5", "SHA-256", "SHA-512-256"];
        if !known
            .iter()
            .any(|name| algorithm.eq_ignore_ascii_case(name))
        {
            return None;
        }
        Some(Self {
            realm: field("realm")?,
            nonce: field("nonce")?,
            opaque: field("opaque"),
            qop_auth: field("qop").is_some_and(|q| q.split(',').any(|q| q.trim() == "auth")),
            algorithm,
            stale: field("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    /// The header value that answers this challenge; `nc` counts uses of the nonce from 1.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        nc: u32,
        cnonce: &str,
    ) -> String {
        let hash = |text: String| {
            if self.algorithm.eq_ignore_ascii_case("SHA-512-256") {
                hex(&Sha512_256::digest(text.as_bytes()))
            } else if self.algorithm.eq_ignore_ascii_case("SHA-256") {
                hex(&Sha256::digest(text.as_bytes()))
            } else {
                hex(&Md5::digest(text.as_bytes()))
            }
        };
        let ha1 = hash(format!("{user}:{}:{password}", self.realm));
        let ha2 = hash(format!("{method}:{uri}"));
        let nonce = &self.nonce;
        let response = if self.qop_auth {
            hash(format!("{ha1}:{nonce}:{nc:08x}:{cnonce}:auth:{ha2}"))
        } else {
            hash(format!("{ha1}:{nonce}:{ha2}"))
        };
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={}",
            self.realm, self.algorithm
        );
        if self.qop_auth {
            value.push_str(&format!(", qop=auth, nc={nc:08x}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        value
    }
}

/// The names and values of a header such as `Digest a="b", c=d`, without its first word.
pub(crate) fn split_fields(text: &str) -> Vec<(String, String)> {
    let (mut quoted, mut from, mut parts) = (false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
        .into_iter()
        .filter_map(|p| p.split_once('='))
        .map(|(n, v)| (n.trim().to_owned(), v.trim().trim_matches('"').to_owned()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 2617 §3.5.
    #[test]
    fn the_example_of_the_rfc() {
        let challenge = Challenge::parse(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        )
        .unwrap();
        let answer = challenge.answer(
            "Mufasa",
            "Circle Of Life",
            "GET",
            "/dir/index.html",
            1,
            "0a4f113b",
        );
        assert!(
            answer.contains("response=\"6629fae49393a05397450978507c4ef1\""),
            "{answer}"
        );
    }

    /// The worked example of RFC 7616 §3.9.1, and a challenge nobody here can answer.
    #[test]
    fn stronger_algorithms() {
        let challenge = |algorithm: &str| {
            Challenge::parse(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\""
            ))
        };
        let answer = challenge("SHA-256").unwrap().answer(
            "Mufasa",
            "Circle of Life",
            "GET",
            "/dir/index.html",
            1,
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        assert!(
            answer.contains("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            "{answer}"
        );
        assert_eq!(challenge("AKAv1-MD5"), None);
    }
}
