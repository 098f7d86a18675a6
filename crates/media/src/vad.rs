//! Voice activity: is somebody speaking in this frame?
//!
//! A small neural network (earshot) decides. An energy gate before it saves its cost in silence
//! and keeps it from hearing words in line noise; a tone guard behind it keeps it from taking key
//! tones and ringback for a voice, which it does at 8 kHz. Endpointing (has the caller finished?)
//! is not decided here.

use std::sync::LazyLock;

use earshot::Detector;

use crate::frame::{FRAME_SAMPLES, Frame};

/// The network's frame: 16 ms at 16 kHz.
const DETECTOR_FRAME: usize = 256;
/// Score above which the network means voice.
const SCORE_VOICE: f32 = 0.5;
/// Quietest speech we listen to: −54 dBFS RMS. Telephone speech is some 25 dB louder.
const GATE_RMS_MIN: f32 = 65.0;
/// Speech stands above the background by this factor (8 dB).
const ABOVE_BACKGROUND: f32 = 2.5;
/// The gate never rises above this (−30 dBFS), so that speech over loud music is still heard.
const GATE_RMS_MAX: f32 = 1_000.0;
/// Frames the network goes on listening after the gate closed, for quiet word endings: 100 ms.
const GATE_HOLD_FRAMES: u32 = 5;

/// Voice detection of one party's audio at 8 kHz.
pub struct VoiceDetector {
    detector: Box<Detector>,
    upsampler: Upsampler,
    pending: [i16; DETECTOR_FRAME],
    filled: usize,
    score: f32,
    /// RMS of the quiet stretches.
    background: f32,
    gate_held: u32,
    tones: ToneGuard,
}

impl std::fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VoiceDetector")
            .field("score", &self.score)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}

impl Default for VoiceDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl VoiceDetector {
    pub fn new() -> Self {
        Self {
            detector: Box::new(Detector::default()),
            upsampler: Upsampler::default(),
            pending: [0; DETECTOR_FRAME],
            filled: 0,
            score: 0.0,
            background: GATE_RMS_MIN / ABOVE_BACKGROUND,
            gate_held: 0,
            tones: ToneGuard::default(),
        }
    }

    /// Feeds the next frame; true when somebody speaks in it.
    pub fn is_voice(&mut self, frame: &Frame) -> bool {
        let rms = rms(frame);
        let gate = (self.background * ABOVE_BACKGROUND).clamp(GATE_RMS_MIN, GATE_RMS_MAX);
        // The background follows quickly down and slowly up (doubling takes some 3 s).
        self.background = if rms < self.background {
            self.background * 0.9 + rms * 0.1
        } else {
            (self.background * 1.005).min(rms).max(1.0)
        };
        if rms >= gate {
            self.gate_held = GATE_HOLD_FRAMES;
        } else if self.gate_held > 0 {
            self.gate_held -= 1;
        } else {
            // The network's memory of 48 ms ages by itself once it is fed again.
            self.score = 0.0;
            self.filled = 0;
            self.tones.forget();
            return false;
        }
        self.feed(frame);
        if self.score <= SCORE_VOICE {
            self.tones.forget();
            return false;
        }
        if rms < gate && self.tones.known {
            return false; // the network still hears the tone that has just ended
        }
        !self.tones.is_tone(frame, rms)
    }

    fn feed(&mut self, frame: &Frame) {
        let mut wide = [0i16; 2 * FRAME_SAMPLES];
        self.upsampler.double(frame, &mut wide);
        let mut rest = &wide[..];
        while !rest.is_empty() {
            let n = rest.len().min(DETECTOR_FRAME - self.filled);
            self.pending[self.filled..self.filled + n].copy_from_slice(&rest[..n]);
            self.filled += n;
            rest = &rest[n..];
            if self.filled == DETECTOR_FRAME {
                self.filled = 0;
                self.score = self.detector.predict_i16(&self.pending);
            }
        }
    }
}

/// Frames a tone must last to be known as one: 60 ms. A key press is twice as long.
const TONE_FRAMES: usize = 3;
/// Share of the energy in two spectral lines: 0.999 for tones through G.711, above this bound for
/// one frame of speech in fifty, and hardly ever for three of the same level.
const TONE_SHARE: f32 = 0.995;
/// Loudest over quietest of those frames (1.5 dB).
const TONE_STEADY: f32 = 1.19;

/// Recognises steady tones of one or two frequencies: keys, ringback, busy, test tones.
#[derive(Default)]
struct ToneGuard {
    /// RMS of the frames before, zero for one that was no tone.
    before: [f32; TONE_FRAMES - 1],
    /// The last frame was part of a tone.
    known: bool,
}

impl ToneGuard {
    fn forget(&mut self) {
        *self = Self::default();
    }

    fn is_tone(&mut self, frame: &Frame, rms: f32) -> bool {
        let level = if two_line_share(frame) > TONE_SHARE {
            rms
        } else {
            0.0
        };
        let quietest = self.before.iter().copied().fold(level, f32::min);
        let loudest = self.before.iter().copied().fold(level, f32::max);
        self.before.rotate_left(1);
        self.before[TONE_FRAMES - 2] = level;
        self.known = quietest > 0.0 && loudest < quietest * TONE_STEADY;
        self.known
    }
}

/// Bins of 50 Hz.
const BINS: usize = FRAME_SAMPLES / 2;
/// Sums kept side by side, so that the compiler may use vector instructions: the order of
/// floating-point additions is not its to change.
const LANES: usize = 8;

/// Per bin a cosine and a sine, under a Hann window.
static WAVES: LazyLock<Box<[[[f32; FRAME_SAMPLES]; 2]; BINS]>> = LazyLock::new(|| {
    let angle = |n: usize| std::f32::consts::TAU * n as f32 / FRAME_SAMPLES as f32;
    let mut waves = Box::new([[[0.0; FRAME_SAMPLES]; 2]; BINS]);
    for (bin, [cosine, sine]) in waves.iter_mut().enumerate() {
        for n in 0..FRAME_SAMPLES {
            let window = 1.0 - angle(n).cos();
            // Reduced first: small angles are exact.
            let phase = angle(n * bin % FRAME_SAMPLES);
            cosine[n] = window * phase.cos();
            sine[n] = window * phase.sin();
        }
    }
    waves
});

fn dot(a: &[f32; FRAME_SAMPLES], b: &[f32; FRAME_SAMPLES]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// Share of a frame's energy in its two strongest spectral lines, 0 to 1.
fn two_line_share(frame: &Frame) -> f32 {
    /// A line seen through a Hann window is this many bins wide to each side.
    const REACH: usize = 2;
    let samples = frame.map(f32::from);
    let mut power = [0f32; BINS];
    for (power, [cosine, sine]) in power.iter_mut().zip(WAVES.iter()) {
        let (real, imaginary) = (dot(&samples, cosine), dot(&samples, sine));
        *power = real * real + imaginary * imaginary;
    }
    let total: f32 = power.iter().sum();
    let mut lines = 0.0;
    for _ in 0..2 {
        let (strongest, _) = power
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .expect("there are bins");
        let line = strongest.saturating_sub(REACH)..(strongest + REACH + 1).min(BINS);
        for bin in &mut power[line] {
            lines += std::mem::take(bin);
        }
    }
    lines / total.max(1.0)
}

/// Root mean square of a frame, 0 to 32768.
pub fn rms(frame: &Frame) -> f32 {
    let energy: f32 = frame.iter().map(|s| f32::from(*s) * f32::from(*s)).sum();
    (energy / FRAME_SAMPLES as f32).sqrt()
}

/// Taps of the half-band interpolator between the given samples (windowed sinc, symmetric).
const TAPS: [f32; 8] = [
    0.6298, -0.1932, 0.0987, -0.0543, 0.0291, -0.0143, 0.0061, -0.0019,
];
const HISTORY: usize = 2 * TAPS.len();

/// Doubles the rate: given samples stay, those between are interpolated.
#[derive(Default)]
struct Upsampler {
    history: [f32; HISTORY],
}

impl Upsampler {
    fn double(&mut self, frame: &Frame, out: &mut [i16; 2 * FRAME_SAMPLES]) {
        for (i, sample) in frame.iter().enumerate() {
            self.history.copy_within(1.., 0);
            self.history[HISTORY - 1] = f32::from(*sample);
            let middle = HISTORY / 2;
            let mut between = 0.0;
            for (distance, tap) in TAPS.iter().enumerate() {
                between +=
                    tap * (self.history[middle - 1 - distance] + self.history[middle + distance]);
            }
            out[2 * i] = self.history[middle - 1] as i16;
            out[2 * i + 1] = between as i16;
        }
    }
}
