//! Digest authentication (RFC 7616 and RFC 2617 as profiled by RFC 3261 §22 and RFC 8760): MD5,
//! SHA-256 and SHA-512-256, each also as `-sess`, with `qop=auth` or without.
//!
//! Ours, because the adopted stack's rejects other algorithms, keeps the nonce count in a byte and
//! does not check it.

mod client;
mod header;
mod server;

pub use client::{Credentials, answer_challenges};
pub use header::{Authorization, Challenge, DigestParseError};
pub use server::{NonceBook, NonceVerdict};

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};

/// A hash function, the weakest first: comparing tells which is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestHash {
    Md5,
    Sha256,
    Sha512_256,
}

impl DigestHash {
    /// Strongest first, as challenges are written (RFC 8760 §2.4).
    pub const STRONGEST_FIRST: [Self; 3] = [Self::Sha512_256, Self::Sha256, Self::Md5];

    /// As in the `algorithm` parameter (RFC 8760 §2.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// By its name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut all = Self::STRONGEST_FIRST.into_iter();
        all.find(|hash| hash.name().eq_ignore_ascii_case(name))
    }

    /// Hex digits of a digest: 32 or 64 (RFC 7616 §3.4.6).
    pub fn hex_digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }

    /// Lower-case hex of the digest of `text`. SHA-512-256 is the function of FIPS 180-4 §5.3.6.2
    /// with its own start values, not a cut SHA-512 (RFC 7616 erratum 4897).
    pub fn hex(self, text: &[u8]) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
        }
    }

    /// H(user:realm:password), as it may be stored (RFC 7616 §3.4.2).
    pub fn ha1(self, user: &str, realm: &str, password: &str) -> String {
        self.hex(format!("{user}:{realm}:{password}").as_bytes())
    }
}

impl std::fmt::Display for DigestHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A value of the `algorithm` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm {
    pub hash: DigestHash,
    /// `-sess`: HA1 is bound to the nonce and the client's nonce (RFC 7616 §3.4.2).
    pub session: bool,
}

impl Algorithm {
    /// The hash without `-sess`.
    pub fn plain(hash: DigestHash) -> Self {
        Self {
            hash,
            session: false,
        }
    }

    /// By its name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        let cut = name.len().checked_sub("-sess".len());
        let (base, session) = match cut.and_then(|at| name.split_at_checked(at)) {
            Some((base, end)) if end.eq_ignore_ascii_case("-sess") => (base, true),
            Some(_) | None => (name, false),
        };
        let hash = DigestHash::by_name(base)?;
        Some(Self { hash, session })
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let session = if self.session { "-sess" } else { "" };
        write!(f, "{}{session}", self.hash)
    }
}

/// The inputs of a digest response, as they stand in the header.
#[derive(Debug, Clone, Copy)]
pub struct DigestInput<'a> {
    pub algorithm: Algorithm,
    /// [`DigestHash::ha1`], also for `-sess`.
    pub ha1: &'a str,
    pub method: &'a str,
    pub uri: &'a str,
    pub nonce: &'a str,
    /// `(nc, cnonce)` with `qop=auth`, `None` for the form without qop (RFC 2069).
    pub counted: Option<(&'a str, &'a str)>,
}

/// `response` (RFC 7616 §3.4.1).
pub fn digest_response(input: DigestInput<'_>) -> String {
    let hash = input.algorithm.hash;
    let ha2 = hash.hex(format!("{}:{}", input.method, input.uri).as_bytes());
    let cnonce = input.counted.map_or("", |(_, cnonce)| cnonce);
    let ha1 = if input.algorithm.session {
        hash.hex(format!("{}:{}:{cnonce}", input.ha1, input.nonce).as_bytes())
    } else {
        input.ha1.to_owned()
    };
    let text = match input.counted {
        Some((nc, cnonce)) => {
            format!("{ha1}:{}:{nc}:{cnonce}:auth:{ha2}", input.nonce)
        }
        None => format!("{ha1}:{}:{ha2}", input.nonce),
    };
    hash.hex(text.as_bytes())
}

/// Compares without an early exit, so that the time tells nothing about the place of a difference.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0u8, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    std::hint::black_box(difference) == 0
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(algorithm: &str, user: [&str; 3], uri: &str, nonce: &str, cnonce: &str) -> String {
        let algorithm = Algorithm::by_name(algorithm).expect("known");
        let [name, realm, password] = user;
        digest_response(DigestInput {
            algorithm,
            ha1: &algorithm.hash.ha1(name, realm, password),
            method: "GET",
            uri,
            nonce,
            counted: (!cnonce.is_empty()).then_some(("00000001", cnonce)),
        })
    }

    #[test]
    fn rfc_2617_section_3_5_example() {
        let user = ["Mufasa", "testrealm@host.com", "Circle Of Life"];
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let got = response("MD5", user, "/dir/index.html", nonce, "0a4f113b");
        assert_eq!(got, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn rfc_7616_section_3_9_1_examples() {
        let user = ["Mufasa", "http-auth@example.org", "Circle of Life"];
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let of = |algorithm| response(algorithm, user, "/dir/index.html", nonce, cnonce);
        assert_eq!(of("MD5"), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            of("SHA-256"),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        // Not in the RFC; computed with OpenSSL's sha512-256.
        assert_eq!(
            of("SHA-512-256"),
            "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0"
        );
    }

    #[test]
    fn rfc_7616_section_3_9_2_example_as_corrected() {
        // The RFC's own figures are of a cut SHA-512; erratum 4897 gives this `username` (a hash of
        // user and realm). The response was computed with OpenSSL's sha512-256.
        let name = "J\u{e4}s\u{f8}n Doe";
        assert_eq!(
            DigestHash::Sha512_256.hex(format!("{name}:api@example.org").as_bytes()),
            "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        );
        let got = response(
            "SHA-512-256",
            [name, "api@example.org", "Secret, or not?"],
            "/doe.json",
            "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
        );
        assert_eq!(
            got,
            "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
        );
    }

    #[test]
    fn rfc_2069_form_without_qop() {
        // RFC 2069 §2.4 with the erratum's corrected digest.
        let user = ["Mufasa", "testrealm@host.com", "CircleOfLife"];
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let got = response("MD5", user, "/dir/index.html", nonce, "");
        assert_eq!(got, "1949323746fe6a43ef61f9606e7febea");
    }

    #[test]
    fn session_algorithms_bind_ha1_to_the_nonces() {
        let user = ["a", "r", "pw"];
        let ha1 = DigestHash::Sha256.hex(b"a:r:pw");
        let bound = DigestHash::Sha256.hex(format!("{ha1}:n:c").as_bytes());
        let ha2 = DigestHash::Sha256.hex(b"GET:/");
        let expected =
            DigestHash::Sha256.hex(format!("{bound}:n:00000001:c:auth:{ha2}").as_bytes());
        assert_eq!(response("sha-256-SESS", user, "/", "n", "c"), expected);
        assert_ne!(response("SHA-256", user, "/", "n", "c"), expected);
    }

    #[test]
    fn names_both_ways() {
        for name in ["MD5", "SHA-256-sess", "SHA-512-256", "MD5-sess"] {
            assert_eq!(Algorithm::by_name(name).expect("known").to_string(), name);
        }
        for name in [
            "",
            "-sess",
            "SHA-1",
            "MD5-",
            "SHA-512-256-sess-sess",
            "\u{fc}sess",
        ] {
            assert_eq!(Algorithm::by_name(name), None, "{name}");
        }
        assert!(DigestHash::STRONGEST_FIRST.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn comparison_is_exact() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }
}
