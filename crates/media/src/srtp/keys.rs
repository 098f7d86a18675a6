//! Master keys, and the session keys made of them (RFC 3711 §4.3, RFC 6188).

use aes::cipher::{Block, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::SrtpError;

pub(crate) const SALT_LEN: usize = 14;
const AUTH_KEY_LEN: usize = 20;
/// SRTCP has an 80 bit tag with every suite of ours (RFC 4568 §6.2, RFC 6188 §4).
pub(crate) const RTCP_TAG_LEN: usize = 10;
/// Blocks handed to the cipher at once: it works on eight in parallel.
const BLOCKS: usize = 8;
const BLOCK_LEN: usize = 16;

/// A crypto suite of SDES (RFC 4568 §6.2, RFC 6188 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    AesCm128HmacSha1Tag80,
    AesCm128HmacSha1Tag32,
    Aes256CmHmacSha1Tag80,
    Aes256CmHmacSha1Tag32,
}

impl Suite {
    pub const ALL: [Self; 4] = [
        Self::AesCm128HmacSha1Tag80,
        Self::AesCm128HmacSha1Tag32,
        Self::Aes256CmHmacSha1Tag80,
        Self::Aes256CmHmacSha1Tag32,
    ];

    /// The name in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256CmHmacSha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256CmHmacSha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Octets of the master key, without salt.
    fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1Tag80 | Self::AesCm128HmacSha1Tag32 => 16,
            Self::Aes256CmHmacSha1Tag80 | Self::Aes256CmHmacSha1Tag32 => 32,
        }
    }

    /// Octets of master key and salt: what `inline:` carries.
    pub fn inline_len(self) -> usize {
        self.key_len() + SALT_LEN
    }

    /// Octets of the tag of an SRTP packet.
    pub(crate) fn rtp_tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1Tag80 | Self::Aes256CmHmacSha1Tag80 => 10,
            Self::AesCm128HmacSha1Tag32 | Self::Aes256CmHmacSha1Tag32 => 4,
        }
    }
}

/// Master key and salt of one direction. `Debug` shows the suite only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    /// Key, then salt, then zeroes.
    octets: [u8; 46],
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({}, …)", self.suite.name())
    }
}

impl MasterKey {
    /// From key and salt as they stand after `inline:`; nothing when the length is wrong.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.inline_len() {
            return None;
        }
        let mut octets = [0; 46];
        octets[..key_and_salt.len()].copy_from_slice(key_and_salt);
        Some(Self { suite, octets })
    }

    /// From a cryptographic generator seeded by the system.
    pub fn random(suite: Suite) -> Self {
        let mut octets: [u8; 46] = rand::random();
        octets[suite.inline_len()..].fill(0);
        Self { suite, octets }
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, for `inline:` only.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.octets[..self.suite.inline_len()]
    }
}

/// What a stream's kind adds to the derivation (RFC 3711 §4.3.1, §4.3.2).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Rtp,
    Rtcp,
}

#[derive(Clone)]
enum Cipher {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl Cipher {
    fn new(key: &[u8]) -> Self {
        match Aes128Enc::new_from_slice(key) {
            Ok(cipher) => Self::Aes128(cipher),
            Err(_) => Self::Aes256(
                Aes256Enc::new_from_slice(key).expect("a suite's key has 16 or 32 octets"),
            ),
        }
    }

    /// Adds the key stream of counter mode that begins at `iv` (RFC 3711 §4.1.1). The low 16 bits
    /// count blocks, and `iv` leaves them zero.
    fn apply(&self, iv: &[u8; BLOCK_LEN], data: &mut [u8]) {
        let mut counter = 0u16;
        for chunk in data.chunks_mut(BLOCKS * BLOCK_LEN) {
            let mut stream = [Block::<Aes128Enc>::default(); BLOCKS];
            let used = &mut stream[..chunk.len().div_ceil(BLOCK_LEN)];
            for block in used.iter_mut() {
                block.copy_from_slice(iv);
                block[14..].copy_from_slice(&counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            match self {
                Self::Aes128(cipher) => cipher.encrypt_blocks(used),
                Self::Aes256(cipher) => cipher.encrypt_blocks(used),
            }
            for (piece, block) in chunk.chunks_mut(BLOCK_LEN).zip(used.iter()) {
                for (octet, key) in piece.iter_mut().zip(block.iter()) {
                    *octet ^= key;
                }
            }
        }
    }
}

/// Session keys of one direction and one kind of stream.
#[derive(Clone)]
pub(crate) struct SessionKeys {
    cipher: Cipher,
    salt: [u8; SALT_LEN],
    mac: Hmac<Sha1>,
}

impl SessionKeys {
    /// RFC 3711 §4.3, with a key derivation rate of zero: derived once.
    pub fn derive(master: &MasterKey, stream: Stream) -> Self {
        let (key, salt) = master.expose().split_at(master.suite.key_len());
        let generator = Cipher::new(key);
        let derive = |label: u8, out: &mut [u8]| {
            let mut iv = [0; BLOCK_LEN];
            iv[..SALT_LEN].copy_from_slice(salt);
            iv[7] ^= label;
            out.fill(0);
            generator.apply(&iv, out);
        };
        let first_label = match stream {
            Stream::Rtp => 0,
            Stream::Rtcp => 3,
        };
        let mut cipher_key = [0; 32];
        let cipher_key = &mut cipher_key[..key.len()];
        derive(first_label, cipher_key);
        let mut auth_key = [0; AUTH_KEY_LEN];
        derive(first_label + 1, &mut auth_key);
        let mut session_salt = [0; SALT_LEN];
        derive(first_label + 2, &mut session_salt);
        Self {
            cipher: Cipher::new(cipher_key),
            salt: session_salt,
            mac: Hmac::new_from_slice(&auth_key).expect("HMAC takes a key of any length"),
        }
    }

    /// Encrypts or decrypts. `index` has 48 bits for SRTP, 31 for SRTCP (RFC 3711 §4.1.1).
    pub fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut iv = [0; BLOCK_LEN];
        iv[..SALT_LEN].copy_from_slice(&self.salt);
        for (octet, part) in iv[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *octet ^= part;
        }
        for (octet, part) in iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *octet ^= part;
        }
        self.cipher.apply(&iv, data);
    }

    /// The tag over `covered` and `roll_over` (nothing for SRTCP), cut to `tag`'s length.
    pub fn sign(&self, covered: &[u8], roll_over: &[u8], tag: &mut [u8]) {
        let mut mac = self.mac.clone();
        mac.update(covered);
        mac.update(roll_over);
        let full = mac.finalize().into_bytes();
        tag.copy_from_slice(&full[..tag.len()]);
    }

    /// Compares a tag in constant time.
    pub fn verify(&self, covered: &[u8], roll_over: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        let mut mac = self.mac.clone();
        mac.update(covered);
        mac.update(roll_over);
        mac.verify_truncated_left(tag)
            .map_err(|_| SrtpError::NotAuthentic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter_map(|b| (b as char).to_digit(16))
            .map(|d| d as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    /// RFC 3711 B.2.
    #[test]
    fn key_stream_of_rfc_3711() {
        let cipher = Cipher::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let mut stream = vec![0; 0xFF02 * 16];
        cipher.apply(&iv, &mut stream);
        let block = |n: usize| &stream[n * 16..n * 16 + 16];
        assert_eq!(block(0), hex("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(block(1), hex("D23513162B02D0F72A43A2FE4A5F97AB"));
        assert_eq!(block(2), hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
        assert_eq!(block(0xFEFF), hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
        assert_eq!(block(0xFF00), hex("362B7C3C6773516318A077D7FC5073AE"));
        assert_eq!(block(0xFF01), hex("6A2CC3787889374FBEB4C81B17BA6C44"));
    }

    /// RFC 3711 B.3: derived values are the key stream over zeroes, so they are derived over them.
    #[test]
    fn key_derivation_of_rfc_3711() {
        let generator = Cipher::new(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"));
        let derive = |label: u8, len: usize| {
            let mut iv = [0; 16];
            iv[..14].copy_from_slice(&hex("0EC675AD498AFEEBB6960B3AABE6"));
            iv[7] ^= label;
            let mut out = vec![0; len];
            generator.apply(&iv, &mut out);
            out
        };
        assert_eq!(derive(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derive(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            derive(1, 94),
            hex(
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE \
                 E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25 \
                 6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
            )
        );
        // And the same through the door that the sessions use.
        let master = MasterKey::new(
            Suite::AesCm128HmacSha1Tag80,
            &hex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let session = SessionKeys::derive(&master, Stream::Rtp);
        assert_eq!(session.salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    }

    /// RFC 6188 §7.2.
    #[test]
    fn key_derivation_of_rfc_6188() {
        let master = MasterKey::new(
            Suite::Aes256CmHmacSha1Tag80,
            &hex(
                "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 \
                 3b04803de51ee7c96423ab5b78d2",
            ),
        )
        .unwrap();
        let session = SessionKeys::derive(&master, Stream::Rtp);
        assert_eq!(session.salt.to_vec(), hex("fa31791685ca444a9e07c6c64e93"));
        let (mut ours, mut expected) = ([0; 64], [0; 64]);
        session.cipher.apply(&[0; 16], &mut ours);
        Cipher::new(&hex(
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
        ))
        .apply(&[0; 16], &mut expected);
        assert_eq!(ours, expected);
    }

    #[test]
    fn keys_are_not_shown() {
        let key = MasterKey::random(Suite::AesCm128HmacSha1Tag80);
        assert_eq!(format!("{key:?}"), "MasterKey(AES_CM_128_HMAC_SHA1_80, …)");
        assert_ne!(key, MasterKey::random(Suite::AesCm128HmacSha1Tag80));
        assert_eq!(MasterKey::new(key.suite(), &[0; 29]), None);
    }
}
