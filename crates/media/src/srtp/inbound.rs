//! Opening what the party sends (RFC 3711 §3.3, appendix A).

use super::keys::{MasterKey, RTCP_TAG_LEN, SessionKeys, Stream};
use super::{SrtpError, clear_len, word};

/// Sources (SSRC) that are remembered; of more, the one heard least recently is forgotten. A party
/// begins a new one when it transfers or restarts its media. Only authentic packets make one.
const SOURCES: usize = 8;

/// Opens the packets of one direction.
pub(crate) struct Inbound {
    key: MasterKey,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    rtp_sources: [Option<Source>; SOURCES],
    rtcp_sources: [Option<Source>; SOURCES],
    /// Packets opened; tells which source was heard last.
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    window: ReplayWindow,
    heard: u64,
}

/// Which of the last packets came (RFC 3711 §3.3.2), and the highest index: roll-over counter and
/// sequence number.
#[derive(Debug, Clone, Copy)]
struct ReplayWindow {
    highest: u64,
    /// Bit n: the packet `highest - n` came.
    seen: u128,
}

impl ReplayWindow {
    /// Nothing seen, but the counting begins at `highest`.
    fn at(highest: u64) -> Self {
        Self { highest, seen: 0 }
    }

    fn check(&self, index: u64) -> Result<(), SrtpError> {
        let Some(behind) = self.highest.checked_sub(index) else {
            return Ok(());
        };
        let is_new = u32::try_from(behind)
            .ok()
            .and_then(|behind| 1u128.checked_shl(behind))
            .is_some_and(|bit| self.seen & bit == 0);
        if is_new {
            Ok(())
        } else {
            Err(SrtpError::Replayed)
        }
    }

    fn accept(&mut self, index: u64) {
        if index > self.highest {
            let ahead = u32::try_from(index - self.highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = index;
        } else if let Ok(behind) = u32::try_from(self.highest - index) {
            self.seen |= 1u128.checked_shl(behind).unwrap_or(0);
        }
    }

    /// The index a sequence number most likely has (RFC 3711 appendix A); nothing before the first
    /// roll-over.
    fn guess(&self, sequence: u16) -> Option<u64> {
        let roll_over = self.highest >> 16;
        let (newest, sequence_wide) = (i32::from(self.highest as u16), i32::from(sequence));
        let roll_over = if newest < 0x8000 && sequence_wide - newest > 0x8000 {
            roll_over.checked_sub(1)?
        } else if newest - 0x8000 > sequence_wide {
            roll_over + 1
        } else {
            roll_over
        };
        Some(roll_over << 16 | u64::from(sequence))
    }
}

impl Inbound {
    pub fn new(key: MasterKey) -> Self {
        Self {
            key,
            rtp: SessionKeys::derive(&key, Stream::Rtp),
            rtcp: SessionKeys::derive(&key, Stream::Rtcp),
            rtp_sources: [None; SOURCES],
            rtcp_sources: [None; SOURCES],
            opened: 0,
        }
    }

    pub fn key(&self) -> &MasterKey {
        &self.key
    }

    /// With a new key nothing has been seen, but the roll-over counters go on. A party that begins
    /// anew at zero is understood as well: see `first_index`.
    pub fn go_on_from(&mut self, former: &Self) {
        self.rtp_sources = former.rtp_sources.map(|source| {
            source.map(|source| Source {
                window: ReplayWindow::at(source.window.highest),
                ..source
            })
        });
        self.opened = former.opened;
    }

    /// Authenticates and decrypts an SRTP packet in place; returns the length of the RTP packet.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let clear = clear_len(packet)?;
        let len = packet
            .len()
            .checked_sub(self.key.suite().rtp_tag_len())
            .filter(|len| *len >= clear)
            .ok_or(SrtpError::Malformed)?;
        let (sequence, ssrc) = (u16::from_be_bytes([packet[2], packet[3]]), word(packet, 8));
        let known = position(&self.rtp_sources, ssrc);
        let window = known.and_then(|at| self.rtp_sources[at]).map(|s| s.window);
        let (covered, tag) = packet.split_at(len);
        let verify = |index: u64| {
            let roll_over = ((index >> 16) as u32).to_be_bytes();
            self.rtp.verify(covered, &roll_over, tag)
        };
        let (index, window) = match window {
            Some(window) => {
                let guess = window.guess(sequence).ok_or(SrtpError::Replayed)?;
                // Before the tag: a flood of copies costs next to nothing.
                window.check(guess)?;
                match verify(guess) {
                    Ok(()) => (guess, window),
                    // After a change of key some begin anew at zero instead of going on.
                    Err(_) if window.seen == 0 => first_index(sequence, verify)?,
                    Err(error) => return Err(error),
                }
            }
            None => first_index(sequence, verify)?,
        };
        self.rtp.apply(ssrc, index, &mut packet[clear..len]);
        self.opened += 1;
        remember(&mut self.rtp_sources, ssrc, index, window, self.opened);
        Ok(len)
    }

    /// Authenticates and decrypts a compound SRTCP packet in place; returns its length without
    /// index and tag.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let len = packet
            .len()
            .checked_sub(4 + RTCP_TAG_LEN)
            .filter(|len| *len >= 8)
            .ok_or(SrtpError::Malformed)?;
        if packet[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let (ssrc, trailer) = (word(packet, 4), word(packet, len));
        let index = u64::from(trailer & 0x7FFF_FFFF);
        let known = position(&self.rtcp_sources, ssrc);
        let window = known
            .and_then(|at| self.rtcp_sources[at])
            .map_or(ReplayWindow::at(index), |source| source.window);
        window.check(index)?;
        let (covered, tag) = packet.split_at(len + 4);
        self.rtcp.verify(covered, &[], tag)?;
        if trailer & 0x8000_0000 == 0 {
            // UNENCRYPTED_SRTCP is never agreed on.
            return Err(SrtpError::Malformed);
        }
        self.rtcp.apply(ssrc, index, &mut packet[8..len]);
        self.opened += 1;
        remember(&mut self.rtcp_sources, ssrc, index, window, self.opened);
        Ok(len)
    }
}

/// The index of a source's first packet: its counter is zero (RFC 3711 §3.3.1), or one when the
/// source began just below the wrap and we missed that.
fn first_index(
    sequence: u16,
    verify: impl Fn(u64) -> Result<(), SrtpError>,
) -> Result<(u64, ReplayWindow), SrtpError> {
    let zero = u64::from(sequence);
    let one = 1 << 16 | zero;
    let index = match verify(zero) {
        Ok(()) => zero,
        Err(_) => verify(one).map(|()| one)?,
    };
    Ok((index, ReplayWindow::at(index)))
}

fn position(sources: &[Option<Source>], ssrc: u32) -> Option<usize> {
    sources
        .iter()
        .position(|source| source.is_some_and(|source| source.ssrc == ssrc))
}

/// Notes an authentic packet.
fn remember(
    sources: &mut [Option<Source>; SOURCES],
    ssrc: u32,
    index: u64,
    mut window: ReplayWindow,
    heard: u64,
) {
    // Its place, else a free one, else that of the source not heard for longest.
    let at = position(sources, ssrc).unwrap_or_else(|| {
        (0..SOURCES)
            .min_by_key(|at| sources[*at].map_or(0, |source| source.heard))
            .expect("there are places")
    });
    window.accept(index);
    sources[at] = Some(Source {
        ssrc,
        window,
        heard,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_each_packet_once() {
        let mut window = ReplayWindow::at(10);
        window.accept(10);
        assert_eq!(window.check(10), Err(SrtpError::Replayed));
        for index in [11, 13, 12, 200] {
            assert_eq!(window.check(index), Ok(()), "{index}");
            window.accept(index);
            assert_eq!(window.check(index), Err(SrtpError::Replayed), "{index}");
        }
        assert_eq!(window.check(199), Ok(()));
        assert_eq!(window.check(73), Ok(()), "127 behind");
        assert_eq!(
            window.check(72),
            Err(SrtpError::Replayed),
            "too old to tell"
        );
        window.accept(1 << 40);
        assert_eq!(window.check(200), Err(SrtpError::Replayed));
    }

    #[test]
    fn the_counter_is_guessed_across_the_wrap() {
        let at = |highest: u64, sequence: u16| ReplayWindow::at(highest).guess(sequence);
        assert_eq!(at(0xFFFE, 1), Some(0x1_0001));
        assert_eq!(at(0x1_0001, 0xFFFF), Some(0xFFFF));
        assert_eq!(at(0x5_8000, 0x7000), Some(0x5_7000));
        assert_eq!(at(5, 0xFFFF), None, "before the first packet of all");
    }
}
