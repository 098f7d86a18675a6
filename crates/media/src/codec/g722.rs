//! G.722 for a leg: 16 kHz inside the codec, 8 kHz on our side (ITU-T G.722, RFC 3551 §4.5.2).
//!
//! Its RTP clock is 8000 although it samples at 16 kHz, and 160 octets are 20 ms: the jitter
//! buffer treats it as G.711. Unlike G.711 both ends remember: each stream needs a coder of its own.

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

use crate::frame::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ};
use crate::resample::FrameResampler;

const WIDE_RATE_HZ: u32 = 16_000;
const WIDE_SAMPLES: usize = 2 * FRAME_SAMPLES;
/// Frames from elsewhere that are remembered. After so many a decoder that begins in the middle of
/// a stream is where all others are (measured: below 1.5 times the level; with none, full scale).
const PASSED: usize = 4;

pub(crate) struct G722In {
    decoder: G722Decoder,
    down: FrameResampler,
    wide: [i16; WIDE_SAMPLES],
}

impl G722In {
    pub fn new() -> Self {
        Self {
            decoder: G722Decoder::new(),
            down: FrameResampler::new(WIDE_RATE_HZ, SAMPLE_RATE_HZ).expect("both rates are ours"),
            wide: [0; WIDE_SAMPLES],
        }
    }

    pub fn decode(&mut self, octets: &[u8; FRAME_SAMPLES], out: &mut Frame) {
        let made = self.decoder.decode_into(octets, &mut self.wide);
        debug_assert_eq!(made.ok(), Some(WIDE_SAMPLES), "two samples for each octet");
        self.down.process(&self.wide, out);
    }
}

pub(crate) struct G722Out {
    encoder: G722Encoder,
    up: FrameResampler,
    wide: [i16; WIDE_SAMPLES],
    /// The last frames that went to the far end without us, in a ring, and how many there are.
    passed: [[u8; FRAME_SAMPLES]; PASSED],
    next: usize,
    count: usize,
}

impl G722Out {
    pub fn new() -> Self {
        Self {
            encoder: G722Encoder::new(),
            up: FrameResampler::new(SAMPLE_RATE_HZ, WIDE_RATE_HZ).expect("both rates are ours"),
            wide: [0; WIDE_SAMPLES],
            passed: [[0; FRAME_SAMPLES]; PASSED],
            next: 0,
            count: 0,
        }
    }

    /// Notes a frame of another encoder that was sent in this stream.
    pub fn pass(&mut self, octets: &[u8; FRAME_SAMPLES]) {
        self.passed[self.next] = *octets;
        self.next = (self.next + 1) % PASSED;
        self.count = (self.count + 1).min(PASSED);
    }

    /// True while the far end's decoder follows another encoder.
    pub fn is_passing(&self) -> bool {
        self.count > 0
    }

    /// G.722 scales each sample by those before it, at both ends alike. What the far end heard while
    /// octets were passed on, this encoder did not say; going on from its own past it would burst
    /// at the far end. So it says the last frames again, to nobody.
    fn catch_up(&mut self) {
        let mut decoder = G722Decoder::new();
        let first = (self.next + PASSED - self.count) % PASSED;
        for n in 0..self.count {
            let octets = &self.passed[(first + n) % PASSED];
            let decoded = decoder.decode_into(octets, &mut self.wide);
            let said = self
                .encoder
                .encode_into(&self.wide, &mut [0; FRAME_SAMPLES]);
            debug_assert!(
                decoded.is_ok() && said.is_ok(),
                "both have room for a frame"
            );
        }
        self.count = 0;
    }

    pub fn encode(&mut self, samples: &Frame, out: &mut [u8; FRAME_SAMPLES]) {
        if self.count > 0 {
            self.catch_up();
        }
        self.up.process(samples, &mut self.wide);
        let made = self.encoder.encode_into(&self.wide, out);
        debug_assert_eq!(made.ok(), Some(FRAME_SAMPLES), "one octet for two samples");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, TonePlayer};

    fn rms(pcm: &[i16]) -> f64 {
        let energy: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
        (energy / pcm.len() as f64).sqrt()
    }

    #[test]
    fn taking_over_from_another_encoder_does_not_burst() {
        for (hz, amplitude) in [(300.0, 12_000), (700.0, 4_000), (2_500.0, 12_000)] {
            let mut player = TonePlayer::new(Tone::sine(hz, amplitude));
            let (mut far, mut ours, mut ear) = (G722Out::new(), G722Out::new(), G722In::new());
            let mut heard = Vec::new();
            for n in 0..60 {
                let (mut frame, mut octets) = ([0; FRAME_SAMPLES], [0; FRAME_SAMPLES]);
                player.fill(&mut frame);
                far.encode(&frame, &mut octets);
                if (20..40).contains(&n) {
                    ours.encode(&frame, &mut octets);
                } else {
                    ours.pass(&octets);
                }
                ear.decode(&octets, &mut frame);
                heard.extend_from_slice(&frame);
            }
            let peak = heard.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!(
                f64::from(peak) < 1.6 * f64::from(amplitude),
                "{hz} Hz: {peak} of {amplitude}"
            );
        }
    }

    #[test]
    fn a_tone_passes_at_its_level() {
        for hz in [300.0, 1_000.0, 3_000.0] {
            let mut player = TonePlayer::new(Tone::sine(hz, 10_000));
            let (mut encoder, mut decoder) = (G722Out::new(), G722In::new());
            let mut heard = Vec::new();
            for _ in 0..50 {
                let (mut frame, mut octets) = ([0; FRAME_SAMPLES], [0; FRAME_SAMPLES]);
                player.fill(&mut frame);
                encoder.encode(&frame, &mut octets);
                decoder.decode(&octets, &mut frame);
                heard.extend_from_slice(&frame);
            }
            let level = 20.0 * (rms(&heard[2_000..]) / (10_000.0 / 2f64.sqrt())).log10();
            assert!(level.abs() < 0.5, "{hz} Hz: {level:.2} dB");
        }
    }
}
