//! `a=crypto` (RFC 4568): read strictly, written in the one form we use; and who decides whether a
//! leg is protected.
//!
//! Keys never appear in errors: these are logged and sent to the party.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::keys::{MasterKey, Suite};

/// Crypto lines read of one stream; more is an error.
pub const CRYPTO_LINES_MAX: usize = 16;
/// Longest value of a crypto line: a 256 bit key with lifetime, MKI and session parameters needs
/// some 150.
const VALUE_MAX: usize = 512;

/// Whether a leg's media is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpPolicy {
    /// Plain RTP only; an offer of RTP/SAVP is refused.
    #[default]
    Off,
    /// Offers are answered in kind. We offer RTP/AVP with keys (opportunistic, RFC 8643), which a
    /// party that knows nothing of it answers with plain RTP.
    Optional,
    /// RTP/SAVP only; plain RTP is refused.
    Required,
}

impl std::str::FromStr for SrtpPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            other => Err(format!("expected off, optional or required, got {other:?}")),
        }
    }
}

/// Our side: policy, and a key for each suite. Made once for a leg, so that re-INVITEs repeat the
/// same keys.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalSrtp {
    policy: SrtpPolicy,
    keys: Option<Box<[MasterKey; Suite::ALL.len()]>>,
}

impl std::fmt::Debug for LocalSrtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSrtp({:?})", self.policy)
    }
}

impl Default for LocalSrtp {
    fn default() -> Self {
        Self::new(SrtpPolicy::Off)
    }
}

impl LocalSrtp {
    /// Draws keys unless SRTP is off.
    pub fn new(policy: SrtpPolicy) -> Self {
        let keys = match policy {
            SrtpPolicy::Off => None,
            SrtpPolicy::Optional | SrtpPolicy::Required => {
                Some(Box::new(Suite::ALL.map(MasterKey::random)))
            }
        };
        Self { policy, keys }
    }

    pub fn policy(&self) -> SrtpPolicy {
        self.policy
    }

    pub(crate) fn key(&self, suite: Suite) -> Option<&MasterKey> {
        self.keys.as_ref()?.iter().find(|key| key.suite() == suite)
    }

    /// What we offer, in order; the tags are the places, from 1. 256 bit suites are taken when
    /// offered, but not offered: hardly anybody has them, and lists of keys grow long.
    pub(crate) fn offered(&self) -> impl Iterator<Item = CryptoLine> + '_ {
        [Suite::AesCm128HmacSha1Tag80, Suite::AesCm128HmacSha1Tag32]
            .into_iter()
            .zip(1..)
            .filter_map(|(suite, tag)| {
                Some(CryptoLine {
                    tag,
                    key: *self.key(suite)?,
                })
            })
    }
}

/// A crypto line that we can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoLine {
    pub tag: u32,
    pub key: MasterKey,
}

/// One `a=crypto`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Crypto {
    Usable(CryptoLine),
    /// Well formed, but of a suite or with parameters that we do not have.
    Unusable {
        tag: u32,
        suite: String,
    },
}

impl Crypto {
    pub fn tag(&self) -> u32 {
        match self {
            Self::Usable(line) => line.tag,
            Self::Unusable { tag, .. } => *tag,
        }
    }

    pub fn suite_name(&self) -> &str {
        match self {
            Self::Usable(line) => line.key.suite().name(),
            Self::Unusable { suite, .. } => suite,
        }
    }

    /// Reads what follows `a=crypto:` (RFC 4568 §9.2). The error says what is wrong, without the
    /// key.
    pub fn parse(value: &str) -> Result<Self, String> {
        if value.len() > VALUE_MAX {
            return Err(format!(
                "{} octets; at most {VALUE_MAX} are read",
                value.len()
            ));
        }
        let mut fields = value.split_ascii_whitespace();
        let (Some(tag), Some(suite), Some(keys)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err("expected tag, suite and inline: key".to_owned());
        };
        let tag = read_tag(tag)?;
        if suite.len() > 64
            || !suite
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err("the suite is not a name".to_owned());
        }
        let unusable = Self::Unusable {
            tag,
            suite: suite.to_owned(),
        };
        let Some(known) = Suite::of_name(suite) else {
            return Ok(unusable);
        };
        let Some(inline) = keys.strip_prefix("inline:") else {
            return Err("the key method is not \"inline:\"".to_owned());
        };
        // Several keys are told apart by MKI, which we do not have.
        if inline.contains(';') {
            return Ok(unusable);
        }
        let mut parts = inline.split('|');
        let octets = STANDARD
            .decode(parts.next().unwrap_or(""))
            .map_err(|_| "the key is not base64".to_owned())?;
        let key = MasterKey::new(known, &octets).ok_or_else(|| {
            format!(
                "the key and salt have {} octets, {suite} needs {}",
                octets.len(),
                known.inline_len()
            )
        })?;
        for part in parts {
            if part.contains(':') {
                return Ok(unusable); // MKI and its length
            }
            // A lifetime only limits how long the key may be used: 2^31 packets and more, or what
            // ends it (RFC 4568 §6.1). A call ends before any sensible one.
            let digits = part.strip_prefix("2^").unwrap_or(part);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err("the key's lifetime is not a number".to_owned());
            }
        }
        if fields.any(|parameter| !is_harmless(parameter)) {
            return Ok(unusable);
        }
        Ok(Self::Usable(CryptoLine { tag, key }))
    }
}

/// RFC 4568 §6.3: parameters with a minus may be passed over, as may the hint on the window's
/// size; any other changes what is on the wire.
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.starts_with("WSH=")
}

fn read_tag(text: &str) -> Result<u32, String> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_number && let Ok(tag) = text.parse() {
        return Ok(tag);
    }
    Err("the tag is not a number of at most 9 digits".to_owned())
}

/// What stands after `a=`: the only place where a key leaves this module.
pub(crate) fn write(line: &CryptoLine) -> String {
    format!(
        "crypto:{} {} inline:{}",
        line.tag,
        line.key.suite().name(),
        STANDARD.encode(line.key.expose())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4568 §9.1's key, 30 octets.
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn usable(value: &str) -> CryptoLine {
        match Crypto::parse(value) {
            Ok(Crypto::Usable(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_of_the_rfc_are_read() {
        let line = usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20"));
        assert_eq!(line.tag, 1);
        assert_eq!(line.key.suite(), Suite::AesCm128HmacSha1Tag80);
        assert_eq!(line.key.expose().len(), 30);
        usable(&format!(
            "2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|1048576 WSH=64 -NEW=1"
        ));
        assert_eq!(
            write(&line),
            format!("crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
        );
    }

    #[test]
    fn what_we_do_not_have_is_passed_over() {
        for value in [
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            "7 AEAD_AES_256_GCM inline:short".to_owned(),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1"),
        ] {
            let read = Crypto::parse(&value);
            assert!(matches!(read, Ok(Crypto::Unusable { .. })), "{value}");
        }
    }

    #[test]
    fn what_is_broken_is_named_without_the_key() {
        let long = "x".repeat(VALUE_MAX + 1);
        let secret = "c2VjcmV0c2VjcmV0";
        for (value, expected) in [
            (String::new(), "expected tag"),
            ("x AES_CM_128_HMAC_SHA1_80 inline:a".to_owned(), "tag"),
            (
                "1234567890 AES_CM_128_HMAC_SHA1_80 inline:a".to_owned(),
                "tag",
            ),
            (format!("1 AES/CM inline:{secret}"), "suite"),
            (format!("1 AES_CM_128_HMAC_SHA1_80 {secret}"), "inline"),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}"),
                "12 octets",
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{secret}!"),
                "base64",
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|x"),
                "lifetime",
            ),
            (long, "at most"),
        ] {
            let error = Crypto::parse(&value).unwrap_err();
            assert!(error.contains(expected), "{value}: {error}");
            assert!(!error.contains("c2Vj") && !error.contains(KEY), "{error}");
        }
    }

    #[test]
    fn a_leg_keeps_its_keys_and_shows_none() {
        let local = LocalSrtp::new(SrtpPolicy::Required);
        let offered: Vec<CryptoLine> = local.offered().collect();
        assert_eq!(offered.len(), 2);
        assert_eq!(offered, local.offered().collect::<Vec<_>>());
        assert_ne!(offered[0].key.expose(), offered[1].key.expose());
        assert_eq!(format!("{local:?}"), "LocalSrtp(Required)");
        assert_eq!(LocalSrtp::default().offered().count(), 0);
        assert!("on".parse::<SrtpPolicy>().unwrap_err().contains("required"));
    }
}
