//! Opus for a leg (RFC 6716, RFC 7587): a buffer of packets, loss concealment and in-band error
//! correction of the decoder, and an encoder for telephone speech.
//!
//! The octet ring of the jitter buffer keeps the time line: for a packet of 20 ms it holds 160
//! units, as if it were G.711, and decides by them when to play, wait or leave out. The packets
//! wait here, under the same time, and are decoded when their turn comes.

use opus::{Application, Bitrate, Channels, Decoder, Encoder, Signal};
use serde::{Deserialize, Serialize};

use crate::frame::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ, SILENCE};
use crate::jitter::{Inserted, JitterBuffer, Pulled};

/// RTP clock of Opus, whatever it encodes (RFC 7587 §4.1).
pub(crate) const CLOCK_HZ: u32 = 48_000;
/// Clock units per 8 kHz sample.
pub(crate) const CLOCK_PER_SAMPLE: u32 = CLOCK_HZ / SAMPLE_RATE_HZ;
/// Bits per second we encode with: transparent for narrowband speech, with room for the
/// redundancy of in-band error correction.
pub(crate) const BIT_RATE: i32 = 24_000;
/// Loss the encoder prepares for when the party wants error correction, in per cent. Without an
/// expected loss libopus sends no redundancy at all.
const EXPECTED_LOSS: i32 = 10;
/// Of 0 to 10. From 5 to 10 the processor time doubles for a difference nobody hears at 8 kHz.
const COMPLEXITY: i32 = 5;

/// Longest packet, 120 ms (RFC 6716 §2.1.4), in samples at 8 kHz.
const PACKET_SAMPLES: usize = 960;
/// Shortest frame of Opus, 2.5 ms, in samples at 8 kHz.
const GRAIN: u32 = 20;
/// Frames of concealment in a row. The decoder fades by itself.
const CONCEALED_MAX: u32 = 5;
/// The same in a pause announced by discontinuous transmission: the decoder makes comfort noise,
/// and the talker refreshes it every 400 ms.
const PAUSE_MAX: u32 = 50;

/// What the party's `a=fmtp` asks of our encoder (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OpusParams {
    /// `useinbandfec=1`: the party can use redundancy.
    pub inband_fec: bool,
    /// `cbr=1`.
    pub constant_bit_rate: bool,
    /// `maxaveragebitrate`, bits per second.
    pub max_bit_rate: Option<u32>,
}

/// Encoded packets by their time, without allocation.
struct Packets {
    octets: Box<[u8; ARENA]>,
    slots: [Slot; SLOTS],
    /// Where the next packet is written.
    head: usize,
}

/// The deepest buffer, 420 ms, at the highest rate of Opus, 510 kbit/s, is 27 KB; telephony uses a
/// tenth of it.
const ARENA: usize = 16 * 1024;
/// 420 ms in packets of 10 ms, and some.
const SLOTS: usize = 48;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// In samples at 8 kHz.
    start: u32,
    /// Length in the same; 0 in a free slot.
    samples: u32,
    at: usize,
    len: usize,
}

impl Packets {
    fn new() -> Self {
        Self {
            octets: Box::new([0; ARENA]),
            slots: [Slot::default(); SLOTS],
            head: 0,
        }
    }

    fn clear(&mut self) {
        self.slots = [Slot::default(); SLOTS];
    }

    fn put(&mut self, start: u32, samples: u32, packet: &[u8]) {
        if packet.len() > ARENA {
            return;
        }
        if self.head + packet.len() > ARENA {
            self.head = 0;
        }
        let (at, end) = (self.head, self.head + packet.len());
        self.octets[at..end].copy_from_slice(packet);
        self.head = end;
        // What was written over is gone.
        for slot in &mut self.slots {
            if slot.at < end && at < slot.at + slot.len {
                slot.samples = 0;
            }
        }
        // A free place, else the oldest packet's.
        let oldest_first = |slot: &&mut Slot| match slot.samples {
            0 => u32::MAX,
            _ => start.wrapping_sub(slot.start),
        };
        if let Some(slot) = self.slots.iter_mut().max_by_key(oldest_first) {
            *slot = Slot {
                start,
                samples,
                at,
                len: packet.len(),
            };
        }
    }

    /// The packet that holds the sample at `position`.
    fn covering(&self, position: u32) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| position.wrapping_sub(slot.start) < slot.samples)
    }

    /// The next packet after `position`, and how far away it is.
    fn following(&self, position: u32) -> Option<(usize, u32)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.samples > 0)
            .map(|(index, slot)| (index, slot.start.wrapping_sub(position)))
            .filter(|(_, distance)| *distance <= PACKET_SAMPLES as u32)
            .min_by_key(|(_, distance)| *distance)
    }

    fn octets(&self, slot: Slot) -> &[u8] {
        &self.octets[slot.at..slot.at + slot.len]
    }
}

/// What a frame is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpusHeard {
    Audio,
    /// Made up by the decoder, wholly or in part.
    Concealed,
    Silence,
}

/// The receiving half.
pub(crate) struct OpusIn {
    decoder: Decoder,
    packets: Packets,
    /// RTP timestamp of the packet before, extended beyond its 32 bits, so that the division by
    /// six does not jump where it wraps.
    clock: Option<(u32, u64)>,
    /// Decoded audio: from `start`, `len` samples.
    pcm: [i16; PACKET_SAMPLES],
    start: u32,
    len: u32,
    /// Frames made up in a row.
    made_up: u32,
    /// The last packet announced a pause (RFC 6716 §2.1.9).
    pausing: bool,
}

impl OpusIn {
    pub fn new() -> Self {
        Self {
            decoder: Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)
                .expect("8 kHz mono is a format of Opus and memory is there"),
            packets: Packets::new(),
            clock: None,
            pcm: [0; PACKET_SAMPLES],
            start: 0,
            len: 0,
            made_up: CONCEALED_MAX,
            pausing: false,
        }
    }

    /// Forgets what waits; the decoder goes on.
    pub fn reset(&mut self) {
        self.packets.clear();
        self.len = 0;
        self.made_up = CONCEALED_MAX;
        self.pausing = false;
    }

    /// Stores a packet.
    pub fn insert(&mut self, jitter: &mut JitterBuffer, timestamp: u32, packet: &[u8]) -> Inserted {
        const UNITS: [u8; PACKET_SAMPLES] = [0; PACKET_SAMPLES];
        let samples = opus::packet::get_nb_samples(packet, SAMPLE_RATE_HZ);
        let Some(samples) = samples.ok().filter(|n| (1..=PACKET_SAMPLES).contains(n)) else {
            return Inserted::Refused;
        };
        let start = self.sample_of(timestamp);
        let inserted = jitter.insert(start, &UNITS[..samples]);
        match inserted {
            Inserted::Restarted => self.reset(),
            Inserted::Stored | Inserted::Overflowed => {}
            Inserted::Late | Inserted::Duplicate | Inserted::Suspect | Inserted::Refused => {
                return inserted;
            }
        }
        self.packets.put(start, samples as u32, packet);
        inserted
    }

    /// In samples at 8 kHz, wrapping where 32 bits of those do.
    fn sample_of(&mut self, timestamp: u32) -> u32 {
        let extended = match self.clock {
            // Far from both ends, so that a step back is possible.
            None => 6 << 40,
            Some((last, extended)) => {
                let step = i64::from(timestamp.wrapping_sub(last).cast_signed());
                extended.wrapping_add_signed(step)
            }
        };
        self.clock = Some((timestamp, extended));
        (extended / u64::from(CLOCK_PER_SAMPLE)) as u32
    }

    /// Takes this tick's audio. Exactly once per tick.
    pub fn pull(&mut self, jitter: &mut JitterBuffer, out: &mut Frame) -> OpusHeard {
        let mut units = [0; FRAME_SAMPLES];
        let at = jitter.cursor();
        match jitter.pull(&mut units) {
            Pulled::Audio | Pulled::Lost => self.fill(at, out),
            Pulled::Dry => self.bridge_gap(out),
            Pulled::Idle if self.pausing => self.bridge_gap(out),
            Pulled::Idle => {
                *out = SILENCE;
                OpusHeard::Silence
            }
        }
    }

    /// Composes a frame of packets and of what is made up between them.
    fn fill(&mut self, at: u32, out: &mut Frame) -> OpusHeard {
        let mut heard = OpusHeard::Audio;
        let mut filled = 0;
        while filled < FRAME_SAMPLES {
            let position = at.wrapping_add(filled as u32);
            let offset = position.wrapping_sub(self.start);
            if offset < self.len {
                let offset = offset as usize;
                let n = (self.len as usize - offset).min(FRAME_SAMPLES - filled);
                out[filled..filled + n].copy_from_slice(&self.pcm[offset..offset + n]);
                filled += n;
                continue;
            }
            let decoded = match self.packets.covering(position) {
                Some(index) => self.decode(index),
                None => false,
            };
            if !decoded {
                heard = OpusHeard::Concealed;
                self.make_up(position, (FRAME_SAMPLES - filled) as u32);
            }
        }
        match heard {
            OpusHeard::Audio => self.made_up = 0,
            OpusHeard::Concealed | OpusHeard::Silence => {
                self.made_up = self.made_up.saturating_add(1);
            }
        }
        heard
    }

    fn decode(&mut self, index: usize) -> bool {
        let slot = std::mem::take(&mut self.packets.slots[index]);
        let packet = self.packets.octets(slot);
        match self.decoder.decode(packet, &mut self.pcm, false) {
            Ok(made) => {
                self.start = slot.start;
                self.len = made as u32;
                self.pausing = slot.len <= 2;
                made > 0
            }
            Err(_) => false,
        }
    }

    /// Fills the gap at `position`: with the redundancy of the packet right behind it if there is
    /// one, else with the decoder's guess. At least one sample, so that the caller gets on.
    fn make_up(&mut self, position: u32, wanted: u32) {
        let following = self.packets.following(position);
        self.start = position;
        let (len, from) = match following {
            Some((index, gap)) => {
                let slot = self.packets.slots[index];
                // Redundancy is of the packet before, which is taken to be as long.
                if gap > slot.samples {
                    ((gap - slot.samples).min(wanted), None)
                } else {
                    (gap, Some(slot))
                }
            }
            None => (wanted, None),
        };
        self.len = len.clamp(1, PACKET_SAMPLES as u32);
        let room = &mut self.pcm[..self.len as usize];
        let made = if self.len.is_multiple_of(GRAIN) && self.made_up < PAUSE_MAX {
            let packet = from.map_or(&[][..], |slot| self.packets.octets(slot));
            self.decoder.decode(packet, room, from.is_some())
        } else {
            Ok(0)
        };
        let made = made.unwrap_or(0).min(room.len());
        room[made..].fill(0);
    }

    /// Nothing is there to play: the network is late, or the talker pauses.
    fn bridge_gap(&mut self, out: &mut Frame) -> OpusHeard {
        let limit = if self.pausing {
            PAUSE_MAX
        } else {
            CONCEALED_MAX
        };
        if self.made_up >= limit {
            *out = SILENCE;
            return OpusHeard::Silence;
        }
        self.made_up += 1;
        match self.decoder.decode(&[], out, false) {
            Ok(made) => out[made.min(FRAME_SAMPLES)..].fill(0),
            Err(_) => *out = SILENCE,
        }
        OpusHeard::Concealed
    }
}

/// The sending half: 20 ms of mono at a time.
pub(crate) struct OpusOut {
    encoder: Encoder,
}

impl OpusOut {
    pub fn new(params: OpusParams) -> Self {
        let encoder = Encoder::new(SAMPLE_RATE_HZ, Channels::Mono, Application::Voip)
            .expect("8 kHz mono is a format of Opus and memory is there");
        let mut this = Self { encoder };
        this.configure(params);
        this
    }

    /// Changes while the call runs, after a re-INVITE.
    pub fn configure(&mut self, params: OpusParams) {
        let most = params.max_bit_rate.map_or(BIT_RATE, |most| {
            // RFC 7587 §6.1: 6000 to 510000.
            i32::try_from(most).unwrap_or(BIT_RATE).max(6_000)
        });
        let encoder = &mut self.encoder;
        let loss = if params.inband_fec { EXPECTED_LOSS } else { 0 };
        let set = [
            encoder.set_bitrate(Bitrate::Bits(BIT_RATE.min(most))),
            encoder.set_vbr(!params.constant_bit_rate),
            encoder.set_complexity(COMPLEXITY),
            encoder.set_signal(Signal::Voice),
            encoder.set_inband_fec(params.inband_fec),
            encoder.set_packet_loss_perc(loss),
        ];
        debug_assert!(set.iter().all(Result::is_ok), "every value is in range");
    }

    /// Returns how many octets of `out` are the packet.
    pub fn encode(&mut self, samples: &Frame, out: &mut [u8]) -> usize {
        self.encoder.encode(samples, out).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::JitterMode;
    use crate::tone::{Tone, TonePlayer};

    struct Line {
        jitter: JitterBuffer,
        ear: OpusIn,
    }

    impl Line {
        fn new() -> Self {
            Self {
                jitter: JitterBuffer::new(JitterMode::default()),
                ear: OpusIn::new(),
            }
        }

        fn arrive(&mut self, n: u32, packet: &[u8]) -> Inserted {
            // Begins shortly before the timestamp wraps.
            let timestamp = (u32::MAX - 5_000).wrapping_add(n * 960);
            self.ear.insert(&mut self.jitter, timestamp, packet)
        }

        fn hear(&mut self) -> (OpusHeard, Frame) {
            let mut frame = SILENCE;
            let heard = self.ear.pull(&mut self.jitter, &mut frame);
            (heard, frame)
        }
    }

    fn tone_packets(count: usize, params: OpusParams) -> Vec<Vec<u8>> {
        let mut player = TonePlayer::new(Tone::sine(500.0, 8_000));
        let mut encoder = OpusOut::new(params);
        (0..count)
            .map(|_| {
                let (mut frame, mut octets) = (SILENCE, [0; 160]);
                player.fill(&mut frame);
                let len = encoder.encode(&frame, &mut octets);
                octets[..len].to_vec()
            })
            .collect()
    }

    fn rms(pcm: &[i16]) -> f64 {
        let energy: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
        (energy / pcm.len() as f64).sqrt()
    }

    #[test]
    fn a_tone_is_heard_over_the_wrap_of_the_timestamp() {
        let mut line = Line::new();
        let mut all = Vec::new();
        for (n, packet) in (0..).zip(tone_packets(60, OpusParams::default())) {
            assert_eq!(line.arrive(n, &packet), Inserted::Stored);
            let (heard, frame) = line.hear();
            if n >= 2 {
                assert_eq!(heard, OpusHeard::Audio, "packet {n}");
                all.extend_from_slice(&frame);
            }
        }
        let level = rms(&all[1_600..]);
        assert!((4_500.0..6_800.0).contains(&level), "{level}");
    }

    #[test]
    fn a_lost_packet_comes_from_the_redundancy_of_the_next() {
        let fec = OpusParams {
            inband_fec: true,
            ..OpusParams::default()
        };
        // Bursts, so that a guess from the past cannot know what was lost.
        let burst = |params| {
            let mut encoder = OpusOut::new(params);
            let mut packets = Vec::new();
            for n in 0..40 {
                let mut frame = SILENCE;
                if n % 8 >= 4 {
                    for (i, sample) in frame.iter_mut().enumerate() {
                        let t = (n * FRAME_SAMPLES + i) as f64 / 8_000.0;
                        let voice: f64 = (1..8)
                            .map(|h| (t * 150.0 * f64::from(h) * std::f64::consts::TAU).sin())
                            .sum();
                        *sample = (voice * 2_500.0) as i16;
                    }
                }
                let mut octets = [0; 160];
                let len = encoder.encode(&frame, &mut octets);
                packets.push(octets[..len].to_vec());
            }
            packets
        };
        // The second frame of a burst is lost: the redundancy holds it, a guess is poorer.
        let loudness_of_lost = |params| {
            let mut line = Line::new();
            let mut lost = 0.0;
            for (n, packet) in (0u32..).zip(burst(params)) {
                // The packets arrive one tick ahead, as with a reserve.
                if n != 28 {
                    line.arrive(n, &packet);
                }
                if n >= 2 {
                    let (heard, frame) = line.hear();
                    if heard == OpusHeard::Concealed {
                        lost = rms(&frame);
                    }
                }
            }
            lost
        };
        let (with, without) = (
            loudness_of_lost(fec),
            loudness_of_lost(OpusParams::default()),
        );
        assert!(
            with > 2.0 * without.max(100.0),
            "the first frame of a burst: {with} with redundancy, {without} guessed"
        );
    }

    #[test]
    fn loss_fades_to_silence_and_a_pause_does_not() {
        let mut line = Line::new();
        let packets = tone_packets(20, OpusParams::default());
        for (n, packet) in (0..).zip(&packets) {
            line.arrive(n, packet);
            line.hear();
        }
        let mut last = OpusHeard::Audio;
        for _ in 0..12 {
            last = line.hear().0;
        }
        assert_eq!(last, OpusHeard::Silence);
        // Discontinuous transmission: one octet is a packet without audio (RFC 6716 §3.1).
        for (n, packet) in (20..).zip(packets) {
            line.arrive(n, &packet);
            line.hear();
        }
        line.arrive(40, &[0x08]);
        for _ in 0..15 {
            last = line.hear().0;
        }
        assert_eq!(last, OpusHeard::Concealed, "comfort noise");
    }

    #[test]
    fn packets_of_other_lengths_and_nonsense() {
        // 60 ms of silence in one packet, code 3 of the TOC is not needed: SILK NB 60 ms.
        let mut line = Line::new();
        let mut encoder = Encoder::new(8_000, Channels::Mono, Application::Voip).unwrap();
        let samples: Vec<i16> = (0..480)
            .map(|n| ((f64::from(n) * 0.4).sin() * 9_000.0) as i16)
            .collect();
        for n in 0..10 {
            let packet = encoder.encode_vec(&samples, 400).unwrap();
            assert_eq!(line.arrive(3 * n, &packet), Inserted::Stored);
            for _ in 0..3 {
                let (heard, _) = line.hear();
                assert!(n < 1 || heard == OpusHeard::Audio, "{n}");
            }
        }
        assert_eq!(line.arrive(30, &[]), Inserted::Refused);
        assert_eq!(line.arrive(30, &[0xFF, 0xFF, 0xFF]), Inserted::Refused);
        assert_eq!(line.arrive(30, &[0x03, 0x00]), Inserted::Refused);
    }
}
