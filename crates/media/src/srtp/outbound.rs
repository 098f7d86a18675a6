//! Protecting what we send (RFC 3711 §3.3).

use super::keys::{MasterKey, RTCP_TAG_LEN, SessionKeys, Stream};
use super::{clear_len, word};

/// Protects the packets of one direction.
pub(crate) struct Outbound {
    key: MasterKey,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    roll_over: u32,
    last_sequence: Option<u16>,
    /// Of the last SRTCP packet, 31 bits.
    rtcp_index: u32,
}

impl Outbound {
    pub fn new(key: MasterKey) -> Self {
        Self {
            key,
            rtp: SessionKeys::derive(&key, Stream::Rtp),
            rtcp: SessionKeys::derive(&key, Stream::Rtcp),
            roll_over: 0,
            last_sequence: None,
            rtcp_index: 0,
        }
    }

    pub fn key(&self) -> &MasterKey {
        &self.key
    }

    pub fn go_on_from(&mut self, former: &Self) {
        self.roll_over = former.roll_over;
        self.last_sequence = former.last_sequence;
        self.rtcp_index = former.rtcp_index;
    }

    /// Protects the RTP packet in the first `len` octets; returns its new length. Packets come in
    /// the order of their sequence numbers.
    ///
    /// # Panics
    /// If the buffer has no room for the tag, or holds no RTP packet: both are ours.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> usize {
        let sequence = u16::from_be_bytes([buffer[2], buffer[3]]);
        if self.last_sequence.is_some_and(|last| sequence < last) {
            self.roll_over = self.roll_over.wrapping_add(1);
        }
        self.last_sequence = Some(sequence);
        let index = u64::from(self.roll_over) << 16 | u64::from(sequence);
        let clear = clear_len(&buffer[..len]).expect("a packet of ours is well formed");
        let ssrc = word(buffer, 8);
        self.rtp.apply(ssrc, index, &mut buffer[clear..len]);
        let protected = len + self.key.suite().rtp_tag_len();
        let (covered, tag) = buffer[..protected].split_at_mut(len);
        self.rtp.sign(covered, &self.roll_over.to_be_bytes(), tag);
        protected
    }

    /// Protects the compound RTCP packet in the first `len` octets (RFC 3711 §3.4).
    ///
    /// # Panics
    /// If the buffer has no room for index and tag.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> usize {
        // 2^31 packets are 300 years of reports: the wrap is of no interest.
        self.rtcp_index = (self.rtcp_index + 1) & 0x7FFF_FFFF;
        let ssrc = word(buffer, 4);
        self.rtcp
            .apply(ssrc, u64::from(self.rtcp_index), &mut buffer[8..len]);
        let with_index = len + 4;
        // The highest bit says that it is encrypted.
        let index = self.rtcp_index | 0x8000_0000;
        buffer[len..with_index].copy_from_slice(&index.to_be_bytes());
        let protected = with_index + RTCP_TAG_LEN;
        let (covered, tag) = buffer[..protected].split_at_mut(with_index);
        self.rtcp.sign(covered, &[], tag);
        protected
    }
}
