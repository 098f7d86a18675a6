//! Comfort noise (RFC 3389): what a party that suppresses silence tells us to hear in its pauses.
//!
//! The payload is a level and reflection coefficients; from both we make noise of that loudness and
//! colour until audio comes again. We never send it: our silence keeps NAT bindings open.

use crate::frame::{FRAME_SAMPLES, Frame};

/// The static payload type (RFC 3551 §6). Taken from anybody, also if it was not agreed on: some
/// gateways send it unasked, and silence in its place is what it exists to avoid.
pub(crate) const PAYLOAD_TYPE: u8 = 13;

/// Order of the colour's model; senders use 10 or less, further coefficients are left out.
const ORDER_MAX: usize = 12;
/// A reflection coefficient of 1 would ring for ever.
const REFLECTION_MAX: f32 = 0.98;
/// Levels are in dB below the overload point; louder than this is no background noise but a fault
/// or an attack on ears (RFC 3389 §3 has no bound).
const LOUDEST_DBOV: u8 = 25;

/// Makes the noise.
#[derive(Debug, Clone)]
pub(crate) struct ComfortNoise {
    reflection: [f32; ORDER_MAX],
    order: usize,
    /// Of the excitation.
    gain: f32,
    /// Backward prediction errors of the lattice.
    state: [f32; ORDER_MAX + 1],
    random: u32,
}

/// Why a payload is no comfort noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoComfort;

impl ComfortNoise {
    pub fn new(seed: u32) -> Self {
        Self {
            reflection: [0.0; ORDER_MAX],
            order: 0,
            gain: 0.0,
            state: [0.0; ORDER_MAX + 1],
            random: seed | 1,
        }
    }

    /// Takes a packet's description of the noise (RFC 3389 §3).
    pub fn update(&mut self, payload: &[u8]) -> Result<(), NoComfort> {
        let (level, coefficients) = payload.split_first().ok_or(NoComfort)?;
        // The highest bit is zero, the value -dBov.
        if level & 0x80 != 0 {
            return Err(NoComfort);
        }
        let level = (*level).max(LOUDEST_DBOV);
        let rms = 32_768.0 * 10f32.powf(-f32::from(level) / 20.0);
        self.order = coefficients.len().min(ORDER_MAX);
        // What the model adds in power is taken from the excitation.
        let mut share = 1.0;
        for (reflection, octet) in self.reflection.iter_mut().zip(coefficients) {
            // §3.2: quantised to 127 steps on each side of zero.
            let value = (f32::from(*octet) - 127.0) / 127.0;
            *reflection = value.clamp(-REFLECTION_MAX, REFLECTION_MAX);
            share *= 1.0 - *reflection * *reflection;
        }
        self.gain = rms * share.sqrt();
        Ok(())
    }

    /// The next 20 ms.
    pub fn fill(&mut self, frame: &mut Frame) {
        for sample in frame.iter_mut().take(FRAME_SAMPLES) {
            let value = self.next_sample();
            *sample = value.clamp(-32_768.0, 32_767.0) as i16;
        }
    }

    /// All-pole lattice.
    fn next_sample(&mut self) -> f32 {
        let mut forward = self.excitation() * self.gain;
        for n in (0..self.order).rev() {
            forward -= self.reflection[n] * self.state[n];
            self.state[n + 1] = self.state[n] + self.reflection[n] * forward;
        }
        self.state[0] = forward;
        forward
    }

    /// White noise of power 1: the sum of four uniform values is bell-shaped enough.
    fn excitation(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            sum += self.random as f32 / u32::MAX as f32 - 0.5;
        }
        // Four times a variance of 1/12.
        sum * 3f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(payload: &[u8]) -> Vec<i16> {
        let mut noise = ComfortNoise::new(99);
        noise.update(payload).unwrap();
        let mut all = Vec::new();
        for _ in 0..50 {
            let mut frame = [0; FRAME_SAMPLES];
            noise.fill(&mut frame);
            all.extend(frame);
        }
        all
    }

    fn level_db(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        let rms = (power / samples.len() as f64).sqrt();
        20.0 * (rms / 32_768.0).log10()
    }

    /// Energy of the differences against energy: high for hiss, low for rumble.
    fn brightness(samples: &[i16]) -> f64 {
        let difference: f64 = samples
            .windows(2)
            .map(|pair| (f64::from(pair[1]) - f64::from(pair[0])).powi(2))
            .sum();
        let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        difference / energy
    }

    #[test]
    fn the_level_is_the_one_that_was_sent() {
        for level in [40u8, 50, 60] {
            let measured = level_db(&second(&[level]));
            assert!(
                (measured + f64::from(level)).abs() < 1.5,
                "{level}: {measured}"
            );
        }
        assert!(level_db(&second(&[127])) < -80.0);
        assert!(
            level_db(&second(&[0])) < -23.0,
            "never louder than background noise"
        );
    }

    #[test]
    fn coefficients_colour_the_noise_and_keep_its_level() {
        let white = second(&[40]);
        let dark = second(&[40, 127 - 100]);
        let bright = second(&[40, 127 + 100]);
        assert!(brightness(&dark) < brightness(&white) / 2.0);
        assert!(brightness(&bright) > brightness(&white) * 1.3);
        for coloured in [dark, bright] {
            assert!(
                (level_db(&coloured) + 40.0).abs() < 2.0,
                "{}",
                level_db(&coloured)
            );
        }
    }

    #[test]
    fn what_is_no_comfort_noise_is_refused() {
        let mut noise = ComfortNoise::new(1);
        assert_eq!(noise.update(&[]), Err(NoComfort));
        assert_eq!(noise.update(&[0x80]), Err(NoComfort));
    }

    proptest! {
        #[test]
        fn any_packet_makes_bounded_noise(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut noise = ComfortNoise::new(7);
            let _ = noise.update(&payload);
            let mut frame = [0; FRAME_SAMPLES];
            for _ in 0..200 {
                noise.fill(&mut frame);
            }
            prop_assert!(level_db(&frame) < -10.0, "{}", level_db(&frame));
        }
    }
}
