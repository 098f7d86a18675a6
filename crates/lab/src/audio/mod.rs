//! Sound as the tests need it: made, read, written, and judged by frequency.
//!
//! Everything here is offline and plain: a `Vec<i16>` and its rate. The phone's live audio is in
//! [`crate::phone`]. Start reading at [`Audio`], then [`tone`] for "who hears whom".

pub mod codec;
pub mod g711;
pub mod speech;
pub mod tone;
pub mod wav;

/// Samples of one channel and how many of them make a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Samples per second.
    pub rate_hz: u32,
    /// Signed 16-bit samples.
    pub samples: Vec<i16>,
}

/// The telephone's sample rate.
pub const PHONE_RATE_HZ: u32 = 8_000;

/// Samples in 20 ms at the telephone's rate.
pub const FRAME_SAMPLES: usize = 160;

impl Audio {
    /// Samples at 8 kHz.
    pub fn phone(samples: Vec<i16>) -> Self {
        Self {
            rate_hz: PHONE_RATE_HZ,
            samples,
        }
    }

    /// How long it lasts.
    pub fn duration_ms(&self) -> u64 {
        self.samples.len() as u64 * 1000 / u64::from(self.rate_hz.max(1))
    }

    /// The part between two times in milliseconds; what lies outside the audio is left out.
    pub fn window(&self, from_ms: u64, to_ms: u64) -> Self {
        let at = |ms: u64| ((ms * u64::from(self.rate_hz) / 1000) as usize).min(self.samples.len());
        let (from, to) = (at(from_ms), at(to_ms));
        Self {
            rate_hz: self.rate_hz,
            samples: self.samples[from..to.max(from)].to_vec(),
        }
    }

    /// This audio followed by `ms` of silence.
    #[must_use]
    pub fn padded(mut self, ms: u64) -> Self {
        let more = (ms * u64::from(self.rate_hz) / 1000) as usize;
        self.samples.resize(self.samples.len() + more, 0);
        self
    }
}

/// A stretch of time within some audio, in milliseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Span {
    /// Start in milliseconds.
    pub from_ms: u64,
    /// End in milliseconds.
    pub to_ms: u64,
}

impl Span {
    /// How long it lasts, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms)
    }
}

/// Root mean square of some samples, 0.0 for none; full scale is 1.0.
pub fn rms(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: f64 = samples
        .iter()
        .map(|s| (f64::from(*s) / 32768.0).powi(2))
        .sum();
    (sum / samples.len() as f64).sqrt()
}
