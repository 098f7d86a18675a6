//! Packets that say which frame of which stream they are, and are known octet by octet.

use switchhook_media::{FRAME_SAMPLES, Law};

pub const PAYLOAD: usize = FRAME_SAMPLES;

/// Octets that carry one bit each of stream and frame number, as the sign of a loud sample: that
/// survives transcoding. The rest is one value that follows from both numbers.
const MARKS: usize = 64;

pub fn payload(stream: u32, frame: u32, law: Law) -> [u8; PAYLOAD] {
    let marks = (u64::from(stream) << 32) | u64::from(frame);
    let mut payload = [filler(stream, frame); PAYLOAD];
    for (bit, octet) in payload[..MARKS].iter_mut().enumerate() {
        *octet = loud(marks >> bit & 1 == 1, law);
    }
    payload
}

/// The loudest positive or negative octet.
fn loud(positive: bool, law: Law) -> u8 {
    let magnitude = match law {
        Law::Mu => 0x00,
        Law::A => 0x2A,
    };
    magnitude | (u8::from(positive) << 7)
}

/// Positive octets only, so that no value has a second zero.
fn filler(stream: u32, frame: u32) -> u8 {
    0x80 | (stream.wrapping_mul(31).wrapping_add(frame.wrapping_mul(7)) % 127) as u8
}

/// Stream and frame number.
pub fn read(payload: &[u8; PAYLOAD]) -> (u32, u32) {
    let marks = (0..MARKS).fold(0u64, |marks, bit| {
        marks | (u64::from(payload[bit] >> 7) << bit)
    });
    ((marks >> 32) as u32, marks as u32)
}

/// What each octet becomes between two codecs, computed once.
pub struct Through([[[u8; 256]; 2]; 2]);

fn index(law: Law) -> usize {
    match law {
        Law::Mu => 0,
        Law::A => 1,
    }
}

impl Through {
    pub fn new() -> Self {
        let mut tables = [[[0; 256]; 2]; 2];
        for from in [Law::Mu, Law::A] {
            for to in [Law::Mu, Law::A] {
                for octet in 0..=255u8 {
                    let (mut pcm, mut back) = ([0; 1], [0; 1]);
                    from.decode(&[octet], &mut pcm);
                    to.encode(&pcm, &mut back);
                    let becomes = if from == to { octet } else { back[0] };
                    tables[index(from)][index(to)][usize::from(octet)] = becomes;
                }
            }
        }
        Self(tables)
    }

    /// Every octet is what the sent one becomes.
    pub fn is_right(
        &self,
        payload: &[u8; PAYLOAD],
        (stream, frame): (u32, u32),
        sent_as: Law,
        back_as: Law,
    ) -> bool {
        let table = &self.0[index(sent_as)][index(back_as)];
        let filler = table[usize::from(filler(stream, frame))];
        let plus = table[usize::from(loud(true, sent_as))];
        let minus = table[usize::from(loud(false, sent_as))];
        payload[..MARKS]
            .iter()
            .all(|octet| *octet == plus || *octet == minus)
            && payload[MARKS..].iter().all(|octet| *octet == filler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_and_wrong_octets_are_seen() {
        let through = Through::new();
        for (sent_as, back_as) in [(Law::Mu, Law::Mu), (Law::Mu, Law::A), (Law::A, Law::Mu)] {
            let sent = payload(4_321, 77, sent_as);
            let mut back = sent;
            if sent_as != back_as {
                let mut pcm = [0; PAYLOAD];
                sent_as.decode(&sent, &mut pcm);
                back_as.encode(&pcm, &mut back);
            }
            assert_eq!(read(&back), (4_321, 77));
            assert!(through.is_right(&back, (4_321, 77), sent_as, back_as));
            back[100] ^= 1;
            assert!(!through.is_right(&back, (4_321, 77), sent_as, back_as));
        }
    }
}
