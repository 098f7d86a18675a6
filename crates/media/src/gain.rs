//! Gain control for the recogniser: callers who are much too quiet or too loud are brought nearer.
//!
//! Voices of usual level are left alone: changing the gain within a phrase costs more words than it
//! saves (measured: `docs/media.md`).
//!
//! Runs on the reader's side, not on the media worker, and on nothing but what the recogniser gets:
//! the other party of a bridge and the recording have the audio as it came.

use crate::frame::{FRAME_SAMPLES, Frame};

/// Levels that need no help: the root mean square of frames with voice, -34 to -10 dB of full
/// scale. What is outside is brought to the nearer end.
const USUAL_MIN: f32 = 650.0;
const USUAL_MAX: f32 = 10_000.0;
/// Limits of the gain: +20 dB, because beyond it the line's noise is louder than the voice, and
/// -12 dB.
const GAIN_MAX: f32 = 10.0;
const GAIN_MIN: f32 = 0.25;
/// Up by 0.5 dB in a frame, down by 3 dB: a shout is heard at once, a whisper after a word.
const STEP_UP: f32 = 1.06;
const STEP_DOWN: f32 = 0.71;
/// The first frames of a voice decide faster: up by 3 dB each.
const FIRST_FRAMES: u32 = 8;
const STEP_FIRST: f32 = 1.41;
/// Share of a new frame in the level of the voice: half of it within 100 ms when it grows, within
/// 700 ms when it falls.
const ATTACK: f32 = 0.13;
const RELEASE: f32 = 0.02;
/// Peaks are kept below this: clipping costs more than quietness.
const PEAK_MAX: f32 = 30_000.0;

/// Follows one voice.
#[derive(Debug)]
pub struct GainControl {
    gain: f32,
    /// Smoothed root mean square of frames with voice; 0 before the first one.
    level: f32,
    voiced: u32,
}

impl Default for GainControl {
    fn default() -> Self {
        Self {
            gain: 1.0,
            level: 0.0,
            voiced: 0,
        }
    }
}

impl GainControl {
    /// Changes a frame. Only `voice` moves the gain, so that pauses do not turn the noise up.
    pub fn process(&mut self, frame: &mut Frame, voice: bool) {
        let before = self.gain;
        if voice {
            self.follow(frame);
        }
        let peak = frame.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        // The whole frame, from its first sample on: the peak may be anywhere in it.
        let most = PEAK_MAX / f32::from(peak).max(1.0);
        let (from, to) = (before.min(most), self.gain.min(most));
        for (n, sample) in frame.iter_mut().enumerate() {
            let gain = from + (to - from) * (n as f32 / FRAME_SAMPLES as f32);
            *sample = (f32::from(*sample) * gain) as i16;
        }
        self.gain = to;
    }

    fn follow(&mut self, frame: &Frame) {
        let energy: f32 = frame.iter().map(|s| f32::from(*s).powi(2)).sum();
        let now = (energy / FRAME_SAMPLES as f32).sqrt();
        self.voiced = self.voiced.saturating_add(1);
        let share = if self.level == 0.0 {
            1.0
        } else if now > self.level {
            ATTACK
        } else {
            RELEASE
        };
        self.level += (now - self.level) * share;
        let level = self.level.max(1.0);
        let wanted = (level.clamp(USUAL_MIN, USUAL_MAX) / level).clamp(GAIN_MIN, GAIN_MAX);
        let up = if self.voiced <= FIRST_FRAMES {
            STEP_FIRST
        } else {
            STEP_UP
        };
        self.gain = wanted.clamp(self.gain * STEP_DOWN, self.gain * up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f32, n: usize) -> Frame {
        std::array::from_fn(|i| {
            let t = (n * FRAME_SAMPLES + i) as f32 / 8_000.0;
            ((t * 300.0 * std::f32::consts::TAU).sin() * amplitude) as i16
        })
    }

    fn rms(frame: &Frame) -> f32 {
        let energy: f32 = frame.iter().map(|s| f32::from(*s).powi(2)).sum();
        (energy / FRAME_SAMPLES as f32).sqrt()
    }

    fn after_a_second(amplitude: f32) -> f32 {
        let mut control = GainControl::default();
        let mut frame = tone(amplitude, 0);
        for n in 0..50 {
            frame = tone(amplitude, n);
            control.process(&mut frame, true);
        }
        rms(&frame)
    }

    #[test]
    fn only_unusual_voices_are_changed_and_within_limits() {
        for amplitude in [1_000.0, 4_000.0, 12_000.0f32] {
            let level = after_a_second(amplitude);
            let as_it_came = amplitude / 2f32.sqrt();
            assert!((level - as_it_came).abs() < 5.0, "{amplitude}: {level}");
        }
        for (amplitude, expected) in [(200.0, 600.0..700.0), (28_000.0, 9_000.0..11_000.0)] {
            let level = after_a_second(amplitude);
            assert!(expected.contains(&level), "{amplitude}: {level}");
        }
        // Beyond 20 dB nothing is gained.
        let faint = after_a_second(40.0);
        assert!((200.0..320.0).contains(&faint), "{faint}");
    }

    #[test]
    fn noise_in_pauses_is_not_turned_up() {
        let mut control = GainControl::default();
        for n in 0..200 {
            let mut frame = tone(60.0, n);
            let before = rms(&frame);
            control.process(&mut frame, false);
            assert!((rms(&frame) - before).abs() < 2.0);
        }
    }

    #[test]
    fn a_shout_after_a_whisper_does_not_clip() {
        let mut control = GainControl::default();
        for n in 0..100 {
            control.process(&mut tone(200.0, n), true);
        }
        for n in 100..110 {
            let mut frame = tone(20_000.0, n);
            control.process(&mut frame, true);
            let peak = frame.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!(peak <= 30_000, "{peak}");
            // Round at the top, not flat.
            let at_top = frame.iter().filter(|s| s.unsigned_abs() == peak).count();
            assert!(at_top < 20, "{at_top}");
        }
    }

    #[test]
    fn silence_stays_silence() {
        let mut control = GainControl::default();
        let mut frame = [0; FRAME_SAMPLES];
        for voice in [true, false] {
            control.process(&mut frame, voice);
            assert_eq!(frame, [0; FRAME_SAMPLES]);
        }
    }
}
