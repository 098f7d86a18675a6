//! RTP packets as on the wire (RFC 3550 §5.1).

use thiserror::Error;

/// Length of the fixed RTP header in octets.
pub const HEADER_LEN: usize = 12;

/// One received packet, borrowed from the receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// First packet of a talk spurt or of an event (RFC 3551 §4.1, RFC 4733 §2.5.1.1).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    pub sequence: u16,
    /// In units of the codec's RTP clock: 8 kHz for all our codecs.
    pub timestamp: u32,
    pub ssrc: u32,
    /// Without header extension and padding.
    pub payload: &'a [u8],
}

/// Why a datagram is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtpError {
    #[error("RTP packet of {0} octets is shorter than its header")]
    TooShort(usize),
    #[error("RTP version is {0}, expected 2")]
    Version(u8),
    #[error("packet is RTCP (packet type {0}), which does not belong on the RTP port")]
    Rtcp(u8),
    #[error("RTP padding count {padding} exceeds the {available} octets after the header")]
    Padding { padding: usize, available: usize },
}

impl<'a> RtpPacket<'a> {
    /// Reads one datagram. Nothing is copied.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let too_short = RtpError::TooShort(datagram.len());
        let header: &[u8; HEADER_LEN] = datagram.first_chunk().ok_or(too_short)?;
        let version = header[0] >> 6;
        if version != 2 {
            return Err(RtpError::Version(version));
        }
        // RFC 5761 §4: RTCP packet types 192 to 223 would be payload types 64 to 95 with marker.
        if (192..=223).contains(&header[1]) {
            return Err(RtpError::Rtcp(header[1]));
        }
        let has_padding = header[0] & 0x20 != 0;
        let has_extension = header[0] & 0x10 != 0;
        let csrc_count = usize::from(header[0] & 0x0F);

        let mut start = HEADER_LEN + 4 * csrc_count;
        if has_extension {
            let words = datagram.get(start + 2..start + 4).ok_or(too_short)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        let mut payload = datagram.get(start..).ok_or(too_short)?;
        if has_padding {
            // RFC 3550 §5.1: the last octet counts the padding, itself included.
            let padding = payload.last().map_or(0, |count| usize::from(*count));
            if padding == 0 || padding > payload.len() {
                return Err(RtpError::Padding {
                    padding,
                    available: payload.len(),
                });
            }
            payload = &payload[..payload.len() - padding];
        }
        Ok(Self {
            marker: header[1] & 0x80 != 0,
            payload_type: header[1] & 0x7F,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    }

    /// Writes the packet without CSRC, extension and padding; returns its length in octets.
    ///
    /// # Panics
    /// If `out` is shorter than header and payload: the sender owns a buffer of the right size.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let len = HEADER_LEN + self.payload.len();
        out[0] = 0x80;
        out[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7F);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        out[HEADER_LEN..len].copy_from_slice(self.payload);
        len
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(payload: &[u8]) -> RtpPacket<'_> {
        RtpPacket {
            marker: true,
            payload_type: 101,
            sequence: 0xABCD,
            timestamp: 0x0102_0304,
            ssrc: 0xDEAD_BEEF,
            payload,
        }
    }

    #[test]
    fn written_packets_are_read_back() {
        let mut buffer = [0u8; 64];
        let len = packet(b"hello").write(&mut buffer);
        assert_eq!(len, 17);
        assert_eq!(RtpPacket::parse(&buffer[..len]), Ok(packet(b"hello")));
    }

    #[test]
    fn csrc_extension_and_padding_are_skipped() {
        let mut wire = vec![0x80 | 0x20 | 0x10 | 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        wire.extend([9, 9, 9, 9]); // one CSRC
        wire.extend([0xBE, 0xDE, 0, 1, 7, 7, 7, 7]); // extension of one word
        wire.extend([1, 2, 3]); // payload
        wire.extend([0, 2]); // two octets of padding
        assert_eq!(RtpPacket::parse(&wire).unwrap().payload, [1, 2, 3]);
    }

    #[test]
    fn what_is_not_rtp_is_named() {
        assert_eq!(RtpPacket::parse(&[0x80; 11]), Err(RtpError::TooShort(11)));
        assert_eq!(RtpPacket::parse(&[0x40; 12]), Err(RtpError::Version(1)));
        let mut rtcp = [0u8; 28];
        (rtcp[0], rtcp[1]) = (0x80, 200);
        assert_eq!(RtpPacket::parse(&rtcp), Err(RtpError::Rtcp(200)));
        let mut padded = [0u8; 14];
        (padded[0], padded[13]) = (0xA0, 3);
        assert_eq!(
            RtpPacket::parse(&padded),
            Err(RtpError::Padding {
                padding: 3,
                available: 2
            })
        );
        // An extension that claims more words than the datagram has.
        let mut long = [0u8; 20];
        (long[0], long[15]) = (0x90, 200);
        assert_eq!(RtpPacket::parse(&long), Err(RtpError::TooShort(20)));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_refused(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = RtpPacket::parse(&datagram) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= datagram.len());
                let mut copy = [0u8; 256];
                let len = packet.write(&mut copy);
                prop_assert_eq!(RtpPacket::parse(&copy[..len]), Ok(packet));
            }
        }
    }
}
