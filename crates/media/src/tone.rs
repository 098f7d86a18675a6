//! Tones: ringback, busy, beep, keypad and test tones.

use std::f32::consts::TAU;

use serde::{Deserialize, Serialize};
use switchhook_model::Digit;

use crate::frame::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ, samples};

/// Steps a cadence may have.
const STEPS: usize = 4;

/// One or two frequencies in a cadence. Small and without pointers, so that it travels in a
/// command to the media worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// In Hz; 0 is no tone.
    frequencies: [f32; 2],
    /// Peak of each frequency, 0 to 32767.
    amplitude: f32,
    /// On and off by turns, in milliseconds, beginning with on.
    cadence_ms: [u32; STEPS],
    steps: u8,
    repeats: bool,
}

/// Whose ringback the caller expects (ITU-T E.180).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToneCountry {
    /// 425 Hz, 1 s on, 4 s off: Germany and most of continental Europe.
    #[default]
    De,
    /// 440 and 480 Hz, 2 s on, 4 s off: North America.
    Us,
    /// 400 and 450 Hz, 0.4 s on, 0.2 s off, 0.4 s on, 2 s off.
    Gb,
}

/// −15 dBm0 for each frequency, about what exchanges send.
const SIGNAL_AMPLITUDE: f32 = 4_000.0;

impl Tone {
    /// A tone that does not end. `frequency_hz` above 0 and below 4000, `amplitude` the peak.
    pub fn sine(frequency_hz: f32, amplitude: i16) -> Self {
        Self {
            frequencies: [frequency_hz, 0.0],
            amplitude: f32::from(amplitude),
            cadence_ms: [1_000, 0, 0, 0],
            steps: 1,
            repeats: true,
        }
    }

    /// The tone a caller hears while the target rings.
    pub fn ringback(country: ToneCountry) -> Self {
        let (frequencies, cadence_ms, steps) = match country {
            ToneCountry::De => ([425.0, 0.0], [1_000, 4_000, 0, 0], 2),
            ToneCountry::Us => ([440.0, 480.0], [2_000, 4_000, 0, 0], 2),
            ToneCountry::Gb => ([400.0, 450.0], [400, 200, 400, 2_000], 4),
        };
        Self {
            frequencies,
            amplitude: SIGNAL_AMPLITUDE,
            cadence_ms,
            steps,
            repeats: true,
        }
    }

    /// The beep after which a message is spoken: 1000 Hz for 300 ms.
    pub fn beep() -> Self {
        Self {
            frequencies: [1_000.0, 0.0],
            amplitude: 8_000.0,
            cadence_ms: [300, 0, 0, 0],
            steps: 1,
            repeats: false,
        }
    }

    /// The two frequencies of a key for 100 ms and a pause of 60 ms (ITU-T Q.23), for peers that
    /// negotiated no telephone-event.
    pub fn dtmf(digit: Digit) -> Self {
        let (row, column) = match digit.as_char() {
            '1' => (697.0, 1209.0),
            '2' => (697.0, 1336.0),
            '3' => (697.0, 1477.0),
            'A' => (697.0, 1633.0),
            '4' => (770.0, 1209.0),
            '5' => (770.0, 1336.0),
            '6' => (770.0, 1477.0),
            'B' => (770.0, 1633.0),
            '7' => (852.0, 1209.0),
            '8' => (852.0, 1336.0),
            '9' => (852.0, 1477.0),
            'C' => (852.0, 1633.0),
            '*' => (941.0, 1209.0),
            '0' => (941.0, 1336.0),
            '#' => (941.0, 1477.0),
            _ => (941.0, 1633.0),
        };
        Self {
            frequencies: [row, column],
            amplitude: 7_000.0,
            cadence_ms: [100, 60, 0, 0],
            steps: 2,
            repeats: false,
        }
    }

    /// Plays the tone once, or one round of its cadence, into a buffer: for texts and tests.
    pub fn render(self) -> Vec<i16> {
        let once = Self {
            repeats: false,
            ..self
        };
        let mut player = TonePlayer::new(once);
        let mut all = Vec::new();
        let mut frame = [0; FRAME_SAMPLES];
        while player.fill(&mut frame) {
            all.extend_from_slice(&frame);
        }
        all
    }

    fn round_samples(&self) -> u32 {
        self.cadence_ms[..usize::from(self.steps)]
            .iter()
            .map(|ms| samples(*ms))
            .sum()
    }
}

/// Samples over which a tone fades in and out, so that it does not click: 4 ms.
const RAMP: u32 = 32;

/// Plays a [`Tone`] frame by frame without allocation.
#[derive(Debug, Clone)]
pub struct TonePlayer {
    tone: Tone,
    round_samples: u32,
    /// Sample within the current round.
    position: u32,
    finished: bool,
    /// Of each frequency, in turns.
    phase: [f32; 2],
}

impl TonePlayer {
    pub fn new(tone: Tone) -> Self {
        Self {
            round_samples: tone.round_samples(),
            tone,
            position: 0,
            finished: false,
            phase: [0.0; 2],
        }
    }

    /// Writes the next frame; false when the tone is over and nothing was written.
    pub fn fill(&mut self, frame: &mut Frame) -> bool {
        if self.finished || self.round_samples == 0 {
            return false;
        }
        for sample in frame.iter_mut() {
            *sample = self.next_sample();
        }
        true
    }

    fn next_sample(&mut self) -> i16 {
        if self.finished {
            return 0;
        }
        let mut value = 0.0;
        for (phase, frequency) in self.phase.iter_mut().zip(self.tone.frequencies) {
            if frequency > 0.0 {
                value += (*phase * TAU).sin();
                *phase = (*phase + frequency / SAMPLE_RATE_HZ as f32).fract();
            }
        }
        let value = value * self.tone.amplitude * self.gain();
        self.position += 1;
        if self.position == self.round_samples {
            self.position = 0;
            self.finished = !self.tone.repeats;
        }
        value as i16
    }

    /// 0 in the pauses, 1 in the tone, a ramp between. A tone without pause has no ramps.
    fn gain(&self) -> f32 {
        let continuous = self.tone.repeats && self.tone.steps == 1;
        if continuous {
            return 1.0;
        }
        let mut start = 0;
        for (step, ms) in self.tone.cadence_ms[..usize::from(self.tone.steps)]
            .iter()
            .enumerate()
        {
            let end = start + samples(*ms);
            if self.position < end {
                let is_on = step % 2 == 0;
                let edge = (self.position - start).min(end - 1 - self.position);
                return if is_on {
                    (edge as f32 / RAMP as f32).min(1.0)
                } else {
                    0.0
                };
            }
            start = end;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of the energy at `frequency` (Goertzel), 0 to 1.
    fn share(pcm: &[i16], frequency: f32) -> f32 {
        let omega = TAU * frequency / SAMPLE_RATE_HZ as f32;
        let (mut s1, mut s2) = (0.0f32, 0.0f32);
        for sample in pcm {
            let s0 = f32::from(*sample) + 2.0 * omega.cos() * s1 - s2;
            (s2, s1) = (s1, s0);
        }
        let power = s1 * s1 + s2 * s2 - 2.0 * omega.cos() * s1 * s2;
        let energy: f32 = pcm.iter().map(|s| f32::from(*s).powi(2)).sum();
        2.0 * power / (pcm.len() as f32 * energy.max(1.0))
    }

    #[test]
    fn ringback_has_its_frequency_and_cadence() {
        let round = Tone::ringback(ToneCountry::De).render();
        assert_eq!(round.len(), 40_000, "one round of 5 s");
        assert!(share(&round[..8_000], 425.0) > 0.98);
        assert!(round[8_000..].iter().all(|s| *s == 0));
    }

    #[test]
    fn a_repeating_tone_goes_on_and_a_beep_ends() {
        let mut ringback = TonePlayer::new(Tone::ringback(ToneCountry::Us));
        let mut frame = [0; FRAME_SAMPLES];
        for _ in 0..1_000 {
            assert!(ringback.fill(&mut frame));
        }
        assert_eq!(Tone::beep().render().len(), 2_400);
    }

    #[test]
    fn keys_have_both_frequencies() {
        let key = Tone::dtmf(Digit::try_from('5').unwrap()).render();
        let tone = &key[..800];
        assert!(share(tone, 770.0) > 0.4 && share(tone, 1336.0) > 0.4);
    }

    #[test]
    fn a_sine_is_continuous_over_frames() {
        let mut player = TonePlayer::new(Tone::sine(1_000.0, 10_000));
        let (mut all, mut frame) = (Vec::new(), [0; FRAME_SAMPLES]);
        for _ in 0..100 {
            assert!(player.fill(&mut frame));
            all.extend_from_slice(&frame);
        }
        assert!(share(&all, 1_000.0) > 0.99);
    }
}
