//! The memory of the jitter buffer: octets by RTP timestamp.

use crate::frame::FRAME_SAMPLES;
use crate::sys::prefetch;

/// Octets the ring holds: 512 ms. A power of two, so that timestamps wrap into it.
pub(super) const RING: usize = 4096;
const RING_MASK: u32 = (RING - 1) as u32;

/// Octets by timestamp, and which of them are there. Whole packets and frames are copied; single
/// octets are looked at only when packets overlap or something is missing.
#[derive(Debug)]
pub(super) struct Ring {
    octets: [u8; RING],
    present: [u64; RING / 64],
}

impl Ring {
    pub fn new() -> Self {
        Self {
            octets: [0; RING],
            present: [0; RING / 64],
        }
    }

    pub fn clear(&mut self) {
        self.present = [0; RING / 64];
    }

    /// Stores octets where nothing is yet; false when all were there.
    pub fn put(&mut self, timestamp: u32, octets: &[u8]) -> bool {
        match self.count(timestamp, octets.len()) {
            0 => {
                let start = (timestamp & RING_MASK) as usize;
                let until_end = (RING - start).min(octets.len());
                let (before, after) = octets.split_at(until_end);
                self.octets[start..start + until_end].copy_from_slice(before);
                self.octets[..after.len()].copy_from_slice(after);
            }
            there if there as usize == octets.len() => return false,
            _ => {
                for (position, octet) in (0u32..).zip(octets) {
                    let at = timestamp.wrapping_add(position);
                    if self.count(at, 1) == 0 {
                        self.octets[(at & RING_MASK) as usize] = *octet;
                    }
                }
            }
        }
        self.mark(timestamp, octets.len(), |word, mask| *word |= mask);
        true
    }

    /// Takes a frame out; returns how many octets were missing. Only a whole frame is written.
    pub fn take(&mut self, timestamp: u32, out: &mut [u8; FRAME_SAMPLES]) -> u32 {
        let there = self.count(timestamp, FRAME_SAMPLES);
        if there as usize == FRAME_SAMPLES {
            let start = (timestamp & RING_MASK) as usize;
            let until_end = (RING - start).min(FRAME_SAMPLES);
            let (before, after) = out.split_at_mut(until_end);
            before.copy_from_slice(&self.octets[start..start + until_end]);
            after.copy_from_slice(&self.octets[..after.len()]);
        }
        self.forget(timestamp, FRAME_SAMPLES);
        FRAME_SAMPLES as u32 - there
    }

    /// Reads what is or was at `timestamp`, without taking it.
    pub fn peek(&self, timestamp: u32, out: &mut [u8]) {
        let start = (timestamp & RING_MASK) as usize;
        let until_end = (RING - start).min(out.len());
        let (before, after) = out.split_at_mut(until_end);
        before.copy_from_slice(&self.octets[start..start + until_end]);
        after.copy_from_slice(&self.octets[..after.len()]);
    }

    pub fn forget(&mut self, timestamp: u32, len: usize) {
        self.mark(timestamp, len, |word, mask| *word &= !mask);
    }

    /// Fetches what storing or taking a frame at `timestamp` touches.
    pub fn prefetch(&self, timestamp: u32) {
        let at = (timestamp & RING_MASK) as usize;
        prefetch(&self.octets[at..(at + FRAME_SAMPLES).min(RING)]);
        prefetch(&self.present[at / 64]);
    }

    fn count(&mut self, timestamp: u32, len: usize) -> u32 {
        let mut there = 0;
        self.mark(timestamp, len, |word, mask| {
            there += (*word & mask).count_ones()
        });
        there
    }

    /// Visits the words that cover a range, with a mask of the bits in it.
    fn mark(&mut self, timestamp: u32, len: usize, mut visit: impl FnMut(&mut u64, u64)) {
        let mut at = (timestamp & RING_MASK) as usize;
        let mut left = len;
        while left > 0 {
            let bit = at % 64;
            let n = (64 - bit).min(left);
            let mask = (u64::MAX >> (64 - n)) << bit;
            visit(&mut self.present[at / 64], mask);
            at = (at + n) % RING;
            left -= n;
        }
    }
}
