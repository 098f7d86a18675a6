//! The phone's SRTP with keys in SDP (RFC 4568). The packets are protected by a library that the
//! gateway does not use, so that an error of ours cannot agree with itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::rtp::Media;

/// Octets of key and salt of both suites.
const KEY_LEN: usize = 30;

/// Whether the phone's media is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Srtp {
    /// Plain RTP; an offer of RTP/SAVP is refused with 488.
    #[default]
    Off,
    /// Offers RTP/SAVP with this suite; takes offers with either, also keys in RTP/AVP.
    On(Suite),
}

/// A crypto suite of RFC 4568 §6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`.
    Tag80,
    /// `AES_CM_128_HMAC_SHA1_32`.
    Tag32,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Tag32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    fn profile(self) -> ProtectionProfile {
        match self {
            Self::Tag80 => ProtectionProfile::Aes128CmHmacSha1_80,
            Self::Tag32 => ProtectionProfile::Aes128CmHmacSha1_32,
        }
    }
}

/// One `a=crypto` line.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Which offered line an answer means.
    pub tag: u32,
    /// How packets are protected.
    pub suite: Suite,
    key: [u8; KEY_LEN],
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crypto({}, {:?}, …)", self.tag, self.suite)
    }
}

impl Crypto {
    /// A line with this key.
    pub(super) fn new(tag: u32, suite: Suite, key: [u8; KEY_LEN]) -> Self {
        Self { tag, suite, key }
    }

    /// Reads what follows `a=crypto:`; nothing when it is of no use to the phone.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let tag = words.next()?.parse().ok()?;
        let name = words.next()?;
        let suite = [Suite::Tag80, Suite::Tag32]
            .into_iter()
            .find(|suite| suite.name() == name)?;
        let key = words.next()?.strip_prefix("inline:")?;
        let key = STANDARD.decode(key.split('|').next()?).ok()?;
        Some(Self::new(tag, suite, key.try_into().ok()?))
    }

    fn line(&self) -> String {
        let key = STANDARD.encode(self.key);
        format!(
            "a=crypto:{} {} inline:{key}\r\n",
            self.tag,
            self.suite.name()
        )
    }
}

/// Our offer, over RTP/SAVP if the phone's media is to be protected.
pub(super) fn offer_keys(srtp: Srtp, sdp: String, media: &Media) -> String {
    match srtp {
        Srtp::Off => sdp,
        Srtp::On(suite) => protect_sdp(&sdp, "RTP/SAVP", &media.crypto(1, suite)),
    }
}

/// Adds a key to an SDP of ours; `profile` is what its stream then goes over.
pub(super) fn protect_sdp(sdp: &str, profile: &str, crypto: &Crypto) -> String {
    let sdp = sdp.replacen(" RTP/AVP ", &format!(" {profile} "), 1);
    let at_end_of_media_line = sdp
        .find("m=audio")
        .and_then(|at| Some(at + sdp[at..].find("\r\n")? + 2));
    match at_end_of_media_line {
        Some(at) => format!("{}{}{}", &sdp[..at], crypto.line(), &sdp[at..]),
        None => sdp,
    }
}

/// Both directions of one call.
pub(super) struct SecureMedia {
    ours: Crypto,
    theirs: Crypto,
    protect: Context,
    open: Context,
}

impl std::fmt::Debug for SecureMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecureMedia({:?})", self.ours.suite)
    }
}

impl SecureMedia {
    pub(super) fn new(ours: Crypto, theirs: Crypto) -> Option<Self> {
        let provider = rtc_srtp::crypto::default_provider().ok()?;
        let context = |crypto: &Crypto| {
            let (key, salt) = crypto.key.split_at(16);
            let profile = crypto.suite.profile();
            Context::new(key, salt, profile, None, None, provider.crypto()).ok()
        };
        Some(Self {
            protect: context(&ours)?,
            open: context(&theirs)?,
            ours,
            theirs,
        })
    }

    /// Whether these are the keys already in use.
    pub(super) fn is(&self, ours: &Crypto, theirs: &Crypto) -> bool {
        self.ours.key == ours.key && self.theirs == *theirs
    }

    pub(super) fn protect(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        Some(self.protect.encrypt_rtp(packet).ok()?.to_vec())
    }

    pub(super) fn open(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        Some(self.open.decrypt_rtp(packet).ok()?.to_vec())
    }
}
