//! Headers of RTP, and reports of RTCP, as on the wire (RFC 3550 §5.1, §6.4 to §6.6).

/// What the phone reads of an RTP packet.
pub(super) struct RtpHeader {
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload_at: usize,
}

impl RtpHeader {
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let &[v, pt, n0, n1, t0, t1, t2, t3, s0, s1, s2, s3, ..] = packet else {
            return None;
        };
        if v >> 6 != 2 {
            return None;
        }
        let mut payload_at = 12 + 4 * usize::from(v & 0x0f);
        if v & 0x10 != 0 {
            let words = packet.get(payload_at + 2..payload_at + 4)?;
            payload_at += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        (payload_at <= packet.len()).then_some(Self {
            payload_type: pt & 0x7f,
            sequence: u16::from_be_bytes([n0, n1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            payload_at,
        })
    }
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;

/// What a report says of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub ssrc: u32,
    /// Since the report before, in 1/256.
    pub fraction_lost: u8,
    /// In all; 24 bits on the wire.
    pub lost: u32,
    pub highest: u32,
    /// In units of the RTP clock.
    pub jitter: u32,
    /// Middle of the NTP time of the source's last sender report; 0 for none.
    pub last_report: u32,
    /// Since that came, in 1/65536 s.
    pub delay: u32,
}

/// A report, with what its sender says of itself if it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub ssrc: u32,
    pub sender: Option<Sender>,
    pub block: Option<Block>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender {
    /// Seconds since 1900 and their fraction.
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

impl Report {
    /// A compound packet: the report, and our name.
    pub fn write(&self, cname: &str) -> Vec<u8> {
        let mut words = vec![self.ssrc];
        if let Some(sender) = &self.sender {
            words.extend([
                (sender.ntp >> 32) as u32,
                sender.ntp as u32,
                sender.timestamp,
                sender.packets,
                sender.octets,
            ]);
        }
        if let Some(block) = &self.block {
            words.extend([
                block.ssrc,
                u32::from(block.fraction_lost) << 24 | block.lost.min(0x7f_ffff),
                block.highest,
                block.jitter,
                block.last_report,
                block.delay,
            ]);
        }
        let kind = match self.sender {
            Some(_) => SENDER_REPORT,
            None => RECEIVER_REPORT,
        };
        let mut out = vec![0x80 | u8::from(self.block.is_some()), kind];
        out.extend((words.len() as u16).to_be_bytes());
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        // SDES with a CNAME; zeros end the items and fill the last word (§6.5).
        let mut chunk = self.ssrc.to_be_bytes().to_vec();
        chunk.extend([1, cname.len() as u8]);
        chunk.extend(cname.as_bytes());
        chunk.resize(chunk.len() / 4 * 4 + 4, 0);
        out.extend([0x81, 202]);
        out.extend((chunk.len() as u16 / 4).to_be_bytes());
        out.extend(chunk);
        out
    }

    /// The report a compound packet begins with, and the block in it about `about`.
    pub fn parse(datagram: &[u8], about: u32) -> Option<Self> {
        let &[first, kind, l0, l1, ..] = datagram else {
            return None;
        };
        let words: Vec<u32> = datagram
            .get(4..4 + 4 * usize::from(u16::from_be_bytes([l0, l1])))?
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_be_bytes(*word))
            .collect();
        let (sender, blocks) = match (first >> 6, kind, words.as_slice()) {
            (2, SENDER_REPORT, [_, n0, n1, timestamp, packets, octets, blocks @ ..]) => {
                let sender = Sender {
                    ntp: u64::from(*n0) << 32 | u64::from(*n1),
                    timestamp: *timestamp,
                    packets: *packets,
                    octets: *octets,
                };
                (Some(sender), blocks)
            }
            (2, RECEIVER_REPORT, [_, blocks @ ..]) => (None, blocks),
            _ => return None,
        };
        let block = blocks
            .as_chunks::<6>()
            .0
            .iter()
            .take(usize::from(first & 0x1f))
            .find(|block| block[0] == about)
            .map(|block| Block {
                ssrc: block[0],
                fraction_lost: (block[1] >> 24) as u8,
                lost: block[1] & 0xff_ffff,
                highest: block[2],
                jitter: block[3],
                last_report: block[4],
                delay: block[5],
            });
        Some(Self {
            ssrc: *words.first()?,
            sender,
            block,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block {
        ssrc: 0xabcd_0001,
        fraction_lost: 13,
        lost: 17,
        highest: 0x0001_0203,
        jitter: 80,
        last_report: 0x1234_5678,
        delay: 65_536,
    };

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let sender = Sender {
            ntp: 0xe000_0000_8000_0000,
            timestamp: 160,
            packets: 50,
            octets: 8_000,
        };
        for sender in [None, Some(sender)] {
            for block in [None, Some(BLOCK)] {
                let report = Report {
                    ssrc: 7,
                    sender,
                    block,
                };
                let wire = report.write("lab");
                assert_eq!(wire.len() % 4, 0);
                assert_eq!(Report::parse(&wire, BLOCK.ssrc), Some(report));
                let other = Report::parse(&wire, 1).unwrap();
                assert_eq!(other.block, None, "a block about somebody else");
            }
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        let report = Report {
            ssrc: 7,
            sender: None,
            block: Some(BLOCK),
        };
        let wire = report.write("lab");
        assert_eq!(Report::parse(&wire[..20], BLOCK.ssrc), None);
        assert_eq!(Report::parse(&[0x80, 0, 0, 0], 1), None);
        assert_eq!(Report::parse(&[], 1), None);
    }
}
