//! Compound RTCP packets as on the wire (RFC 3550 §6.1, §6.4 to §6.6).

use thiserror::Error;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const BLOCK_LEN: usize = 24;
/// Packets in one compound; ours have three at most, conferences' a few more.
const PACKETS_MAX: usize = 32;

/// Octets of a CNAME of ours.
pub const CNAME_LEN: usize = 16;
/// Octets of the longest compound we send: report with one block, CNAME, BYE.
pub const COMPOUND_MAX: usize = 28 + BLOCK_LEN + (8 + 2 + CNAME_LEN + 2) + 8;

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock at sending: seconds since 1900 and a fraction of 32 bits each.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    pub packets: u32,
    /// Of payload.
    pub octets: u32,
}

/// What a receiver says of a source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reception {
    /// Of whom.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning; negative with duplicates. 24 bits.
    pub lost: i32,
    /// Highest sequence number, extended by its wrap-arounds.
    pub highest: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// Middle of the NTP time of the last sender report, 0 for none.
    pub last_report: u32,
    /// Time since it came, in 1/65536 s.
    pub delay: u32,
}

/// A compound packet as far as a leg needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compound {
    /// Who reports.
    pub ssrc: u32,
    /// Present in a sender report.
    pub sender: Option<SenderInfo>,
    /// What it says of the source that was asked for.
    pub reception: Option<Reception>,
    /// The party leaves.
    pub bye: bool,
}

/// Why a datagram is no compound RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtcpError {
    #[error("RTCP of {0} octets ends within a packet")]
    Truncated(usize),
    #[error("RTCP version is {0}, expected 2")]
    Version(u8),
    #[error("a compound begins with a report, not with packet type {0}")]
    FirstType(u8),
    #[error("packet type {0} is not RTCP")]
    Type(u8),
    #[error("RTCP packet type {packet_type} is too short for its count of {count}")]
    Count { packet_type: u8, count: u8 },
    #[error("padding only in the last packet, and at most as long as it")]
    Padding,
    #[error("more than {PACKETS_MAX} packets in one compound")]
    TooMany,
}

fn word(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(
        data[at..at + 4]
            .try_into()
            .expect("the caller checked the length"),
    )
}

impl Compound {
    /// Reads a datagram by the rules of RFC 3550 appendix A.2. `about` is the source whose
    /// reception is wanted.
    pub fn parse(datagram: &[u8], about: u32) -> Result<Self, RtcpError> {
        let mut compound = None;
        let mut rest = datagram;
        for _ in 0..PACKETS_MAX {
            let (packet, tail) = split(rest, datagram.len())?;
            let (count, packet_type) = (packet[0] & 0x1F, packet[1]);
            if compound.is_none() && packet[0] & 0x20 != 0 && !tail.is_empty() {
                return Err(RtcpError::Padding);
            }
            let body = without_padding(packet, tail.is_empty())?;
            match &mut compound {
                None => compound = Some(Self::first(body, count, packet_type, about)?),
                Some(compound) => compound.further(body, count, packet_type, about)?,
            }
            rest = tail;
            if rest.is_empty() {
                return compound.ok_or(RtcpError::Truncated(datagram.len()));
            }
        }
        Err(RtcpError::TooMany)
    }

    fn first(body: &[u8], count: u8, packet_type: u8, about: u32) -> Result<Self, RtcpError> {
        let blocks_at = match packet_type {
            SENDER_REPORT => 28,
            RECEIVER_REPORT => 8,
            other => return Err(RtcpError::FirstType(other)),
        };
        require(
            body,
            blocks_at + BLOCK_LEN * usize::from(count),
            packet_type,
            count,
        )?;
        let sender = (packet_type == SENDER_REPORT).then(|| SenderInfo {
            ntp: u64::from(word(body, 8)) << 32 | u64::from(word(body, 12)),
            rtp_timestamp: word(body, 16),
            packets: word(body, 20),
            octets: word(body, 24),
        });
        Ok(Self {
            ssrc: word(body, 4),
            sender,
            reception: find_block(body, blocks_at, count, about),
            bye: false,
        })
    }

    fn further(
        &mut self,
        body: &[u8],
        count: u8,
        packet_type: u8,
        about: u32,
    ) -> Result<(), RtcpError> {
        let blocks = BLOCK_LEN * usize::from(count);
        match packet_type {
            SENDER_REPORT => require(body, 28 + blocks, packet_type, count)?,
            // More blocks than one packet holds come in further receiver reports (§6.4.2).
            RECEIVER_REPORT => {
                require(body, 8 + blocks, packet_type, count)?;
                self.reception = self.reception.or(find_block(body, 8, count, about));
            }
            SOURCE_DESCRIPTION => require(body, 4 + 8 * usize::from(count), packet_type, count)?,
            GOODBYE => {
                require(body, 4 + 4 * usize::from(count), packet_type, count)?;
                let leaves = (0..usize::from(count)).any(|n| word(body, 4 + 4 * n) == self.ssrc);
                self.bye |= leaves;
            }
            // Application-defined, feedback, extended reports and what is to come.
            192..=199 | 204..=223 => {}
            other => return Err(RtcpError::Type(other)),
        }
        Ok(())
    }
}

/// The first packet by its length, and what follows.
fn split(rest: &[u8], total: usize) -> Result<(&[u8], &[u8]), RtcpError> {
    let header: &[u8; 4] = rest.first_chunk().ok_or(RtcpError::Truncated(total))?;
    let version = header[0] >> 6;
    if version != 2 {
        return Err(RtcpError::Version(version));
    }
    let len = 4 * (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1);
    rest.split_at_checked(len)
        .ok_or(RtcpError::Truncated(total))
}

fn without_padding(packet: &[u8], is_last: bool) -> Result<&[u8], RtcpError> {
    if packet[0] & 0x20 == 0 {
        return Ok(packet);
    }
    let padding = packet.last().map_or(0, |count| usize::from(*count));
    if !is_last || padding == 0 || !padding.is_multiple_of(4) || padding + 4 > packet.len() {
        return Err(RtcpError::Padding);
    }
    Ok(&packet[..packet.len() - padding])
}

fn require(body: &[u8], len: usize, packet_type: u8, count: u8) -> Result<(), RtcpError> {
    if body.len() < len {
        return Err(RtcpError::Count { packet_type, count });
    }
    Ok(())
}

fn find_block(body: &[u8], start: usize, count: u8, about: u32) -> Option<Reception> {
    let at = (0..usize::from(count))
        .map(|n| start + n * BLOCK_LEN)
        .find(|at| word(body, *at) == about)?;
    let lost = word(body, at + 4);
    Some(Reception {
        ssrc: about,
        fraction_lost: (lost >> 24) as u8,
        // 24 bits with a sign.
        lost: (lost << 8).cast_signed() >> 8,
        highest: word(body, at + 8),
        jitter: word(body, at + 12),
        last_report: word(body, at + 16),
        delay: word(body, at + 20),
    })
}

/// What we send.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    pub ssrc: u32,
    /// Given when we have sent audio: a sender report then.
    pub sender: Option<SenderInfo>,
    pub reception: Option<Reception>,
    pub cname: &'a [u8; CNAME_LEN],
    pub bye: bool,
}

impl Report<'_> {
    /// Writes report, CNAME and perhaps BYE; returns the length.
    ///
    /// # Panics
    /// If `out` is shorter than [`COMPOUND_MAX`].
    pub fn write(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer { out, len: 0 };
        let packet_type = match self.sender {
            Some(_) => SENDER_REPORT,
            None => RECEIVER_REPORT,
        };
        let start = writer.begin(packet_type, u8::from(self.reception.is_some()));
        writer.word(self.ssrc);
        if let Some(sender) = &self.sender {
            writer.word((sender.ntp >> 32) as u32);
            writer.word(sender.ntp as u32);
            writer.word(sender.rtp_timestamp);
            writer.word(sender.packets);
            writer.word(sender.octets);
        }
        if let Some(block) = &self.reception {
            writer.word(block.ssrc);
            let lost = block.lost.clamp(-0x80_0000, 0x7F_FFFF).cast_unsigned() & 0xFF_FFFF;
            writer.word(u32::from(block.fraction_lost) << 24 | lost);
            writer.word(block.highest);
            writer.word(block.jitter);
            writer.word(block.last_report);
            writer.word(block.delay);
        }
        writer.end(start);

        let start = writer.begin(SOURCE_DESCRIPTION, 1);
        writer.word(self.ssrc);
        writer.octets(&[1, CNAME_LEN as u8]);
        writer.octets(self.cname);
        // At least one zero ends the items, and the chunk ends at a word (§6.5).
        writer.octets(&[0, 0]);
        writer.end(start);

        if self.bye {
            let start = writer.begin(GOODBYE, 1);
            writer.word(self.ssrc);
            writer.end(start);
        }
        writer.len
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn octets(&mut self, octets: &[u8]) {
        self.out[self.len..self.len + octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }

    fn word(&mut self, word: u32) {
        self.octets(&word.to_be_bytes());
    }

    fn begin(&mut self, packet_type: u8, count: u8) -> usize {
        let start = self.len;
        self.octets(&[0x80 | count, packet_type, 0, 0]);
        start
    }

    fn end(&mut self, start: usize) {
        let words = u16::try_from((self.len - start) / 4 - 1).expect("ours are short");
        self.out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const US: u32 = 0xABCD_0001;

    fn reception() -> Reception {
        Reception {
            ssrc: US,
            fraction_lost: 64,
            lost: -3,
            highest: 0x0002_FFFE,
            jitter: 80,
            last_report: 0x1234_5678,
            delay: 65_536,
        }
    }

    fn sender() -> SenderInfo {
        SenderInfo {
            ntp: 0xE000_0000_8000_0000,
            rtp_timestamp: 160,
            packets: 50,
            octets: 8_000,
        }
    }

    fn written(report: Report<'_>) -> Vec<u8> {
        let mut out = [0; COMPOUND_MAX];
        let len = report.write(&mut out);
        out[..len].to_vec()
    }

    fn report() -> Report<'static> {
        Report {
            ssrc: 7,
            sender: Some(sender()),
            reception: Some(reception()),
            cname: b"0123456789abcdef",
            bye: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let full = written(report());
        assert_eq!(full.len(), COMPOUND_MAX);
        let expected = Compound {
            ssrc: 7,
            sender: Some(sender()),
            reception: Some(reception()),
            bye: true,
        };
        assert_eq!(Compound::parse(&full, US), Ok(expected));
        let other = Compound::parse(&full, US + 1).unwrap();
        assert_eq!(other.reception, None, "a block about somebody else");

        let bare = written(Report {
            sender: None,
            reception: None,
            bye: false,
            ..report()
        });
        assert_eq!((bare[1], bare.len() % 4), (RECEIVER_REPORT, 0));
        let read = Compound::parse(&bare, US).unwrap();
        assert_eq!((read.sender, read.reception, read.bye), (None, None, false));
    }

    #[test]
    fn what_is_not_a_compound_is_named() {
        let good = written(report());
        for len in 1..good.len() {
            // A cut at a packet's border leaves a shorter compound.
            if let Err(error) = Compound::parse(&good[..len], US) {
                assert_eq!(error, RtcpError::Truncated(len));
            }
        }
        assert_eq!(Compound::parse(&[], US), Err(RtcpError::Truncated(0)));
        let changed = |at: usize, octet: u8| {
            let mut bad = good.clone();
            bad[at] = octet;
            Compound::parse(&bad, US).unwrap_err()
        };
        assert_eq!(changed(0, 0x41), RtcpError::Version(1));
        assert_eq!(changed(1, GOODBYE), RtcpError::FirstType(GOODBYE));
        assert_eq!(
            changed(0, 0x9F),
            RtcpError::Count {
                packet_type: SENDER_REPORT,
                count: 31
            }
        );
        assert_eq!(
            changed(0, 0xA1),
            RtcpError::Padding,
            "in the first of three"
        );
        assert_eq!(changed(52 + 1, 100), RtcpError::Type(100));
        // An SDES and a BYE that name more sources than they hold.
        assert!(matches!(changed(52, 0x9F), RtcpError::Count { .. }));
        assert!(matches!(
            changed(good.len() - 8, 0x9F),
            RtcpError::Count { .. }
        ));
    }

    #[test]
    fn padding_and_further_packets_are_skipped() {
        let mut wire = written(Report {
            bye: false,
            reception: None,
            ..report()
        });
        // A second receiver report with our block, an application packet, a padded BYE of others.
        let mut second = written(Report {
            sender: None,
            bye: false,
            ..report()
        });
        second.truncate(8 + BLOCK_LEN);
        wire.extend(second);
        wire.extend([0x80, 204, 0, 2, 0, 0, 0, 7, b'n', b'a', b'm', b'e']);
        wire.extend([0xA1, 203, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4]);
        let read = Compound::parse(&wire, US).unwrap();
        assert_eq!(read.reception, Some(reception()));
        assert!(!read.bye, "the BYE is not the reporter's");
        let many: Vec<u8> = std::iter::repeat_n([0x80, 201, 0, 1, 0, 0, 0, 7], 33)
            .flatten()
            .collect();
        assert_eq!(Compound::parse(&many, US), Err(RtcpError::TooMany));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_refused(
            mut datagram in proptest::collection::vec(any::<u8>(), 0..200),
            as_report in any::<bool>(),
        ) {
            if as_report && datagram.len() >= 2 {
                (datagram[0], datagram[1]) = (datagram[0] & 0x3F | 0x80, 200 + datagram[1] % 4);
            }
            let _ = Compound::parse(&datagram, US);
        }
    }
}
