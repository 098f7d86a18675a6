//! What a party hears while the other one holds: a clip played in a loop.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::frame::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ};
use crate::resample::{RateError, to_8k};
use crate::wav::{Wav, WavError};

/// Longest clip kept in memory, 10 min: 10 MB.
const CLIP_SECONDS_MAX: usize = 600;

/// Why a clip cannot be music on hold.
#[derive(Debug, Error)]
pub enum MusicError {
    #[error("{0}")]
    Wav(#[from] WavError),
    #[error("{0}")]
    Rate(#[from] RateError),
    #[error("the clip is empty")]
    Empty,
    #[error("the clip is longer than {CLIP_SECONDS_MAX} s")]
    TooLong,
}

/// A clip, shared by all who hear it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Music {
    samples: Arc<[i16]>,
}

impl Music {
    /// A WAV file of any usual rate and format; several channels are mixed.
    pub fn read(path: &Path) -> Result<Self, MusicError> {
        let wav = Wav::read(path)?;
        Self::of_samples(&to_8k(&wav.mono(), wav.rate_hz)?)
    }

    fn of_samples(samples: &[i16]) -> Result<Self, MusicError> {
        if samples.is_empty() {
            return Err(MusicError::Empty);
        }
        if samples.len() > CLIP_SECONDS_MAX * SAMPLE_RATE_HZ as usize {
            return Err(MusicError::TooLong);
        }
        Ok(Self {
            samples: samples.into(),
        })
    }

    /// A quiet chime made here: four struck notes of a major chord, then a pause; 6 s.
    pub fn chime() -> Self {
        let rate = SAMPLE_RATE_HZ as usize;
        let mut samples = vec![0.0f32; 6 * rate];
        // C5, E5, G5, C6, each a quarter of a second after the one before.
        for (n, hz) in [523.25f32, 659.26, 783.99, 1_046.5].into_iter().enumerate() {
            for (i, sample) in samples[n * rate / 4..].iter_mut().enumerate() {
                let t = i as f32 / rate as f32;
                let strike = (t / 0.004).min(1.0) * (-t / 0.55).exp();
                let angle = std::f32::consts::TAU * hz * t;
                let partials = angle.sin() + 0.25 * (2.0 * angle).sin();
                *sample += 1_600.0 * strike * partials;
            }
        }
        // The last note has died away by the end; what is left of it is made exactly nothing.
        let fade = rate / 2;
        let start = samples.len() - fade;
        for (i, sample) in samples[start..].iter_mut().enumerate() {
            *sample *= 1.0 - i as f32 / fade as f32;
        }
        let samples: Vec<i16> = samples.iter().map(|s| *s as i16).collect();
        Self {
            samples: samples.into(),
        }
    }
}

/// Plays a clip in a loop, without allocation.
pub(crate) struct MusicPlayer {
    music: Music,
    position: usize,
}

impl MusicPlayer {
    pub fn new(music: Music) -> Self {
        Self { music, position: 0 }
    }

    pub fn next_frame(&mut self) -> Frame {
        let samples = &self.music.samples;
        let mut frame = [0; FRAME_SAMPLES];
        let mut filled = 0;
        while filled < FRAME_SAMPLES {
            let n = (samples.len() - self.position).min(FRAME_SAMPLES - filled);
            frame[filled..filled + n].copy_from_slice(&samples[self.position..self.position + n]);
            filled += n;
            self.position = (self.position + n) % samples.len();
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_of_any_length_is_played_in_a_loop() {
        let music = Music::of_samples(&[1, 2, 3, 4, 5, 6, 7]).unwrap();
        let mut player = MusicPlayer::new(music);
        let all: Vec<i16> = (0..7).flat_map(|_| player.next_frame()).collect();
        for (n, sample) in all.iter().enumerate() {
            assert_eq!(usize::from(sample.unsigned_abs()), n % 7 + 1);
        }
    }

    #[test]
    fn the_chime_is_quiet_and_joins_without_a_step() {
        let chime = Music::chime().samples;
        let peak = chime.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((1_000..6_000).contains(&peak), "{peak}");
        assert!(chime[0].abs() < 50 && chime[chime.len() - 1].abs() < 50);
    }

    #[test]
    fn what_is_no_clip_is_refused() {
        assert!(matches!(Music::of_samples(&[]), Err(MusicError::Empty)));
        let long = vec![0; (CLIP_SECONDS_MAX + 1) * 8_000];
        assert!(matches!(Music::of_samples(&long), Err(MusicError::TooLong)));
        let missing = Music::read(Path::new("/nonexistent/tune.wav"));
        assert!(missing.unwrap_err().to_string().contains("tune.wav"));
    }
}
