//! The unit of audio inside the process: 20 ms of 8 kHz mono, 16 bit linear.

/// Samples per second of all audio inside the process.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// Samples in one frame: 20 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 160;

/// Milliseconds in one frame. It is also the tick of the media clock and the packet time we send.
pub const FRAME_MS: u32 = 20;

/// One frame of linear audio.
pub type Frame = [i16; FRAME_SAMPLES];

/// A frame of digital silence.
pub const SILENCE: Frame = [0; FRAME_SAMPLES];

/// Samples in `ms` milliseconds.
pub const fn samples(ms: u32) -> u32 {
    ms * (SAMPLE_RATE_HZ / 1_000)
}

/// Adds `other` to `frame`, saturating: two talkers at full scale clip instead of wrapping.
pub(crate) fn mix_into(frame: &mut Frame, other: &Frame) {
    for (sample, add) in frame.iter_mut().zip(other) {
        *sample = sample.saturating_add(*add);
    }
}
