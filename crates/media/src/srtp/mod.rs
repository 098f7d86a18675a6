//! SRTP and SRTCP (RFC 3711), keyed by SDES (RFC 4568).
//!
//! [`sdes`] reads and writes `a=crypto`; `keys` derives session keys; `outbound` and `inbound`
//! protect and open packets in place. A media worker calls only those two: they do not allocate.
//! Keys are derived, and everything is allocated, by the signalling side before a session reaches
//! a worker.
//!
//! Left out on purpose: MKI, key derivation rates, `UNENCRYPTED_*` and `UNAUTHENTICATED_SRTP`
//! (a crypto line that asks for one is passed over), AES-GCM, DTLS-SRTP.

mod inbound;
mod keys;
mod outbound;
pub mod sdes;

pub use keys::{MasterKey, Suite};

pub(crate) use inbound::Inbound;
pub(crate) use outbound::Outbound;

use thiserror::Error;

use crate::rtp::HEADER_LEN;

/// Octets protection adds to a packet at most: SRTCP's index and an 80 bit tag.
pub(crate) const OVERHEAD_MAX: usize = 4 + 10;

/// What was agreed on for one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtpParams {
    /// What we send is protected with this key.
    pub local: MasterKey,
    /// What the party sends is protected with this one.
    pub remote: MasterKey,
}

/// Why a packet was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum SrtpError {
    #[error("shorter than header and tag, or not version 2")]
    Malformed,
    #[error("the tag does not fit: wrong key or changed on the way")]
    NotAuthentic,
    #[error("seen before, or too old to tell")]
    Replayed,
}

/// Both directions of a leg.
pub(crate) struct SrtpSession {
    pub outbound: Outbound,
    pub inbound: Inbound,
}

impl SrtpSession {
    pub fn new(params: &SrtpParams) -> Self {
        Self {
            outbound: Outbound::new(params.local),
            inbound: Inbound::new(params.remote),
        }
    }

    /// Takes over what a new agreement changed. A direction whose key is the same goes on with its
    /// counters: a re-INVITE must not open the way for packets that were seen before, nor use a
    /// key stream twice. With a new key the roll-over counter goes on too (RFC 3711 §3.3.1).
    pub fn adopt(&mut self, new: &mut Self) {
        if self.outbound.key() != new.outbound.key() {
            new.outbound.go_on_from(&self.outbound);
            std::mem::swap(&mut self.outbound, &mut new.outbound);
        }
        if self.inbound.key() != new.inbound.key() {
            new.inbound.go_on_from(&self.inbound);
            std::mem::swap(&mut self.inbound, &mut new.inbound);
        }
    }
}

/// A party that measuring tools play: its own protection, apart from any leg.
#[cfg(feature = "bench")]
#[doc(hidden)]
pub struct FarEnd(SrtpSession);

#[cfg(feature = "bench")]
impl std::fmt::Debug for FarEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FarEnd").finish_non_exhaustive()
    }
}

#[cfg(feature = "bench")]
impl FarEnd {
    /// Octets that protection adds to a packet at most.
    pub const OVERHEAD: usize = OVERHEAD_MAX;

    /// `local` protects what the party sends.
    pub fn new(params: &SrtpParams) -> Self {
        Self(SrtpSession::new(params))
    }

    /// Protects the packet in the first `len` octets; returns its new length.
    ///
    /// # Panics
    /// If the buffer has no room for [`Self::OVERHEAD`], or holds no RTP packet.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> usize {
        self.0.outbound.protect_rtp(buffer, len)
    }

    /// Authenticates and decrypts a packet in place; returns its length, nothing when it is not
    /// authentic or was there before.
    pub fn open(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.0.inbound.open_rtp(packet).ok()
    }
}

/// Length of header, CSRCs and extension: what is not encrypted (RFC 3711 §3.1).
fn clear_len(packet: &[u8]) -> Result<usize, SrtpError> {
    if packet.len() < HEADER_LEN || packet[0] >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    let mut len = HEADER_LEN + 4 * usize::from(packet[0] & 0x0F);
    if packet[0] & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4).ok_or(SrtpError::Malformed)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    Ok(len)
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(
        packet[at..at + 4]
            .try_into()
            .expect("the caller checked the length"),
    )
}

#[cfg(test)]
mod tests;
