//! Digest authentication (RFC 2617 as profiled by RFC 3261 §22), MD5 with `qop=auth` or without.
//!
//! Ours, because the adopted stack's rejects other algorithms, keeps the nonce count in a byte and
//! does not check it. SHA-256 (RFC 8760) has its place in [`Algorithm`].

mod client;
mod header;
mod server;

pub use client::{Credentials, answer_challenges};
pub use header::{Authorization, Challenge, DigestParseError};
pub use server::{NonceBook, NonceVerdict};

use md5::{Digest as _, Md5};

/// A digest algorithm we compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
}

/// Lower-case hex of MD5 over `text`.
pub fn md5_hex(text: &[u8]) -> String {
    hex(&Md5::digest(text))
}

/// MD5(user:realm:password), as it may be stored (RFC 2617 §3.2.2.2).
pub fn ha1(user: &str, realm: &str, password: &str) -> String {
    md5_hex(format!("{user}:{realm}:{password}").as_bytes())
}

/// The inputs of a digest response, as they stand in the header.
#[derive(Debug, Clone, Copy)]
pub struct DigestInput<'a> {
    pub ha1: &'a str,
    pub method: &'a str,
    pub uri: &'a str,
    pub nonce: &'a str,
    /// `(nc, cnonce)` with `qop=auth`, `None` for the form without qop (RFC 2069).
    pub counted: Option<(&'a str, &'a str)>,
}

/// `request-digest` (RFC 2617 §3.2.2.1).
pub fn digest_response(input: DigestInput<'_>) -> String {
    let ha2 = md5_hex(format!("{}:{}", input.method, input.uri).as_bytes());
    let text = match input.counted {
        Some((nc, cnonce)) => {
            format!("{}:{}:{nc}:{cnonce}:auth:{ha2}", input.ha1, input.nonce)
        }
        None => format!("{}:{}:{ha2}", input.ha1, input.nonce),
    };
    md5_hex(text.as_bytes())
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

    #[test]
    fn rfc_2617_section_3_5_example() {
        let ha1 = ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        let response = digest_response(DigestInput {
            ha1: &ha1,
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            counted: Some(("00000001", "0a4f113b")),
        });
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn rfc_7616_section_3_9_1_example_md5() {
        let ha1 = ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        let response = digest_response(DigestInput {
            ha1: &ha1,
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            counted: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        });
        assert_eq!(response, "8ca523f5e9506fed4657c9700eebdbec");
    }

    #[test]
    fn rfc_2069_form_without_qop() {
        // RFC 2069 §2.4 with the erratum's corrected digest.
        let ha1 = ha1("Mufasa", "testrealm@host.com", "CircleOfLife");
        let response = digest_response(DigestInput {
            ha1: &ha1,
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            counted: None,
        });
        assert_eq!(response, "1949323746fe6a43ef61f9606e7febea");
    }

    #[test]
    fn comparison_is_exact() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }
}
