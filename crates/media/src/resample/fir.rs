//! Sample rate conversion for the media workers: between 8, 16, 24 and 48 kHz, frame by frame and
//! without allocation.
//!
//! A polyphase filter: the input is thought of as filled up with zeros to a common multiple of both
//! rates, filtered by a windowed sinc, and thinned out; only what is kept is computed. Flat to 85 %
//! of half the lower rate (3.4 kHz at 8 kHz, where ITU-T G.712 ends), and silent from that half on,
//! so that nothing folds back into the band.

use std::f64::consts::PI;
use std::sync::{Arc, OnceLock};

/// End of the pass band as a share of half the lower rate: 3400 of 4000 Hz. At 16 kHz and above the
/// same share would waste band, so there it is 7000 of 8000 Hz.
const PASS_NARROW: f64 = 0.85;
const PASS_WIDE: f64 = 0.875;
/// Attenuation in the stop band, in dB. G.711 itself is some 38 dB above its own noise.
const STOP_DB: f64 = 70.0;

/// The rates of our codecs.
const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];
/// Pieces converted at once, per second: 20 ms each.
const PIECES_PER_SECOND: u32 = 50;

/// Coefficients of one pair of rates, shared by all streams.
#[derive(Debug)]
struct Filter {
    up: usize,
    down: usize,
    /// For each phase its coefficients, oldest sample first, `taps` each.
    phases: Vec<f32>,
    taps: usize,
    /// Delay in samples of the inner rate.
    delay: usize,
}

impl Filter {
    fn design(from_hz: u32, to_hz: u32) -> Self {
        let common = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / common) as usize, (from_hz / common) as usize);
        let inner_hz = f64::from(from_hz) * up as f64;
        let lower = from_hz.min(to_hz);
        let stop = f64::from(lower) / 2.0;
        let pass = stop
            * if lower <= 8_000 {
                PASS_NARROW
            } else {
                PASS_WIDE
            };
        // Kaiser's formulas for length and shape of the window.
        let width = (stop - pass) / inner_hz;
        let wanted = ((STOP_DB - 7.95) / (14.36 * width)).ceil() as usize | 1;
        let beta = 0.1102 * (STOP_DB - 8.7);
        // Even in each phase count by eights: the sum runs in lanes of eight.
        let taps = wanted.div_ceil(up).next_multiple_of(8);
        let length = taps * up;
        let cutoff = (stop + pass) / 2.0 / inner_hz;
        let centre = (wanted - 1) as f64 / 2.0;
        let mut prototype = vec![0.0; length];
        for (n, value) in prototype.iter_mut().enumerate().take(wanted) {
            let x = n as f64 - centre;
            let sinc = if x == 0.0 {
                2.0 * cutoff
            } else {
                (2.0 * PI * cutoff * x).sin() / (PI * x)
            };
            let t = x / centre;
            let window = bessel_i0(beta * (1.0 - t * t).max(0.0).sqrt()) / bessel_i0(beta);
            *value = sinc * window;
        }
        // Unity at 0 Hz, exactly: a constant stays a constant.
        let sum: f64 = prototype.iter().sum();
        let gain = up as f64 / sum;
        let mut phases = vec![0.0; length];
        for phase in 0..up {
            for tap in 0..taps {
                // Newest sample has tap 0 of the prototype; the row is written oldest first.
                phases[phase * taps + (taps - 1 - tap)] =
                    (prototype[phase + tap * up] * gain) as f32;
            }
        }
        Self {
            up,
            down,
            phases,
            taps,
            delay: (wanted - 1) / 2,
        }
    }

    /// Designed once for each pair.
    fn of(from_hz: u32, to_hz: u32) -> Option<Arc<Self>> {
        static FILTERS: [OnceLock<Arc<Filter>>; 16] = [const { OnceLock::new() }; 16];
        let from = RATES.iter().position(|rate| *rate == from_hz)?;
        let to = RATES.iter().position(|rate| *rate == to_hz)?;
        let filter =
            FILTERS[from * RATES.len() + to].get_or_init(|| Arc::new(Self::design(from_hz, to_hz)));
        Some(Arc::clone(filter))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Modified Bessel function of the first kind, order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Converts one stream. Makes all its memory at the beginning.
#[derive(Debug, Clone)]
pub struct FrameResampler {
    filter: Arc<Filter>,
    /// `taps - 1` samples of before, then the piece at hand.
    line: Box<[f32]>,
    /// Longest piece converted at once.
    piece: usize,
    /// Where in the inner rate the next output lies, counted from the next input sample.
    position: usize,
}

impl FrameResampler {
    /// None unless both rates are of 8, 16, 24 and 48 kHz and differ.
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        if from_hz == to_hz {
            return None;
        }
        let filter = Filter::of(from_hz, to_hz)?;
        let piece = (from_hz / PIECES_PER_SECOND) as usize;
        let line = vec![0.0; filter.taps - 1 + piece].into_boxed_slice();
        Some(Self {
            filter,
            line,
            piece,
            position: 0,
        })
    }

    /// Delay of the filter in output samples.
    pub fn delay(&self) -> usize {
        (self.filter.delay + self.filter.down / 2) / self.filter.down
    }

    /// Converts the next piece of any length; returns how many samples were written. Pieces whose
    /// length is a multiple of the ratio give the same number of samples each time. `output` must
    /// have room; what does not fit is left out.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let mut written = 0;
        for piece in input.chunks(self.piece) {
            written += self.convert(piece, &mut output[written..]);
        }
        written
    }

    fn convert(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let Filter {
            up,
            down,
            ref phases,
            taps,
            delay: _,
        } = *self.filter;
        let history = taps - 1;
        for (value, sample) in self.line[history..].iter_mut().zip(input) {
            *value = f32::from(*sample);
        }
        let mut written = 0;
        let mut position = self.position;
        while position < input.len() * up {
            let (newest, phase) = (position / up, position % up);
            let row = &phases[phase * taps..(phase + 1) * taps];
            let sum = dot(row, &self.line[newest..newest + taps]);
            if let Some(sample) = output.get_mut(written) {
                *sample = sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
                written += 1;
            }
            position += down;
        }
        self.position = position - input.len() * up;
        self.line.copy_within(input.len()..input.len() + history, 0);
        written
    }
}

/// In eight lanes, so that the compiler may use vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for n in 0..8 {
            lanes[n] += a[n] * b[n];
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const AMPLITUDE: f64 = 16_000.0;

    /// The middle of a converted second of a sine.
    fn converted(from_hz: u32, to_hz: u32, hz: f64) -> Vec<i16> {
        let input: Vec<i16> = (0..from_hz)
            .map(|n| ((f64::from(n) * hz / f64::from(from_hz) * TAU).sin() * AMPLITUDE) as i16)
            .collect();
        let mut resampler = FrameResampler::new(from_hz, to_hz).unwrap();
        let mut all = Vec::new();
        let mut frame = vec![0; (to_hz / 50) as usize];
        for piece in input.chunks((from_hz / 50) as usize) {
            let made = resampler.process(piece, &mut frame);
            assert_eq!(made, frame.len(), "20 ms in, 20 ms out");
            all.extend_from_slice(&frame);
        }
        all[all.len() / 4..all.len() * 3 / 4].to_vec()
    }

    fn rms_db(pcm: &[i16]) -> f64 {
        let energy: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
        let rms = (energy / pcm.len() as f64).sqrt();
        20.0 * (rms.max(0.01) / (AMPLITUDE / 2f64.sqrt())).log10()
    }

    /// Level of one frequency, in dB relative to the test sine. The clip holds whole periods.
    fn tone_db(pcm: &[i16], rate_hz: u32, hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in pcm.iter().enumerate() {
            let angle = n as f64 * hz / f64::from(rate_hz) * TAU;
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        let amplitude = 2.0 * (re * re + im * im).sqrt() / pcm.len() as f64;
        20.0 * (amplitude.max(0.001) / AMPLITUDE).log10()
    }

    fn pairs() -> impl Iterator<Item = (u32, u32)> {
        RATES
            .into_iter()
            .flat_map(|from| RATES.into_iter().map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
    }

    #[test]
    fn the_pass_band_is_flat() {
        for (from, to) in pairs() {
            let end = if from.min(to) == 8_000 { 3_400 } else { 7_000 };
            for hz in (100..=end).step_by(100) {
                let pcm = converted(from, to, f64::from(hz));
                let level = tone_db(&pcm, to, f64::from(hz));
                assert!(level.abs() <= 0.5, "{from} to {to}, {hz} Hz: {level:.2} dB");
            }
        }
    }

    #[test]
    fn what_is_above_the_band_does_not_fold_back() {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            for hz in (to / 2..from / 2).step_by(150) {
                let level = rms_db(&converted(from, to, f64::from(hz)));
                assert!(level <= -50.0, "{from} to {to}, {hz} Hz: {level:.1} dB");
            }
        }
    }

    #[test]
    fn going_up_makes_no_mirror() {
        for (from, to) in pairs().filter(|(from, to)| from < to) {
            for hz in (100..from * 17 / 40).step_by(300) {
                let pcm = converted(from, to, f64::from(hz));
                // Every multiple of the old rate has the tone mirrored on both sides.
                for centre in (1..=to / from).map(|n| n * from) {
                    for image in [centre - hz, centre + hz] {
                        if image <= to / 2 {
                            let level = tone_db(&pcm, to, f64::from(image));
                            assert!(level <= -50.0, "{from} to {to}, {hz} Hz: {level:.1} dB");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_make_no_difference_and_loud_audio_does_not_wrap() {
        let input: Vec<i16> = (0..4_800)
            .map(|n| if n / 31 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let mut whole = vec![0; 900];
        let made = FrameResampler::new(48_000, 8_000)
            .unwrap()
            .process(&input, &mut whole);
        let mut resampler = FrameResampler::new(48_000, 8_000).unwrap();
        let mut pieces = Vec::new();
        let mut buffer = [0; 200];
        for piece in input.chunks(77) {
            let made = resampler.process(piece, &mut buffer);
            pieces.extend_from_slice(&buffer[..made]);
        }
        assert_eq!(made, 800);
        assert_eq!(pieces, whole[..made]);
        for pair in pieces.windows(2) {
            let step = (i32::from(pair[0]) - i32::from(pair[1])).abs();
            assert!(step < 62_000, "{pair:?}");
        }
    }

    #[test]
    fn other_rates_are_not_ours() {
        assert!(FrameResampler::new(44_100, 8_000).is_none());
        assert!(FrameResampler::new(8_000, 8_000).is_none());
    }
}
