//! Sample rate conversion at telephone quality, for synthesised speech and files.
//!
//! [`FrameResampler`] converts between the rates of our codecs, on the media workers too;
//! [`Converter`] takes any rate and uses it where it can.

mod fir;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};
use thiserror::Error;

use crate::frame::SAMPLE_RATE_HZ;
pub use fir::FrameResampler;

/// Input samples converted at once, per 8 kHz of input rate: 20 ms.
const CHUNK_PER_8K: usize = 160;
/// Zero crossings of the filter at the lower rate: a transition band of 600 Hz at 8 kHz.
const FILTER_PER_RATE: usize = 192;
/// Pass band as a share of half the lower rate: flat to 3400 Hz at 8 kHz, where the telephone
/// channel ends (ITU-T G.712).
const CUTOFF: f32 = 0.925;

/// A rate we do not convert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("sample rate {0} Hz is not supported; expected 4000 to 192000 Hz")]
pub struct RateError(pub u32);

/// Converts a stream chunk by chunk.
pub struct Converter {
    kind: Kind,
    from_hz: u32,
    to_hz: u32,
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Output samples still to be left out: the filter's delay.
    skip: usize,
    given: u64,
    made: u64,
}

enum Kind {
    /// Both rates are the same.
    Copy,
    Ours(FrameResampler),
    Any(Box<Async<f32>>),
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converter")
            .field("from_hz", &self.from_hz)
            .field("to_hz", &self.to_hz)
            .finish_non_exhaustive()
    }
}

impl Converter {
    /// A converter of mono audio.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, RateError> {
        for rate in [from_hz, to_hz] {
            if !(4_000..=192_000).contains(&rate) {
                return Err(RateError(rate));
            }
        }
        let (kind, skip, output) = if from_hz == to_hz {
            (Kind::Copy, 0, Vec::new())
        } else if let Some(ours) = FrameResampler::new(from_hz, to_hz) {
            let skip = ours.delay();
            (Kind::Ours(ours), skip, Vec::new())
        } else {
            let any = Box::new(build(from_hz, to_hz));
            let (skip, room) = (any.output_delay(), any.output_frames_max());
            (Kind::Any(any), skip, vec![0.0; room])
        };
        Ok(Self {
            kind,
            from_hz,
            to_hz,
            pending: Vec::new(),
            output,
            skip,
            given: 0,
            made: 0,
        })
    }

    /// Converts the next chunk of any length. Up to 40 ms stay inside until [`Self::finish`].
    pub fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        self.given += samples.len() as u64;
        let mut converted = Vec::new();
        match &mut self.kind {
            Kind::Copy => converted.extend_from_slice(samples),
            Kind::Ours(ours) => {
                let room = samples.len() as u64 * u64::from(self.to_hz) / u64::from(self.from_hz);
                converted.resize(usize::try_from(room).unwrap_or(usize::MAX - 1) + 1, 0);
                let made = ours.process(samples, &mut converted);
                converted.truncate(made);
                let skipped = self.skip.min(made);
                self.skip -= skipped;
                converted.drain(..skipped);
            }
            Kind::Any(_) => {
                self.pending.extend(samples.iter().map(|s| f32::from(*s)));
                self.convert_pending(&mut converted);
            }
        }
        self.made += converted.len() as u64;
        converted
    }

    /// The rest of the stream; the whole output is then as long as the input was.
    pub fn finish(mut self) -> Vec<i16> {
        let (from, to) = (u64::from(self.from_hz), u64::from(self.to_hz));
        let wanted = (self.given * to + from / 2) / from;
        let missing = usize::try_from(wanted.saturating_sub(self.made)).unwrap_or(usize::MAX);
        let mut rest = Vec::with_capacity(missing);
        // Silence pushes out what is still inside the filter.
        while rest.len() < missing {
            let needed = match &self.kind {
                Kind::Copy => break,
                Kind::Ours(_) => CHUNK_PER_8K,
                Kind::Any(any) => any.input_frames_next().max(1),
            };
            rest.extend(self.push(&vec![0; needed]));
        }
        rest.truncate(missing);
        rest
    }

    fn convert_pending(&mut self, converted: &mut Vec<i16>) {
        let Kind::Any(resampler) = &mut self.kind else {
            return;
        };
        let mut used = 0;
        loop {
            let needed = resampler.input_frames_next();
            if self.pending.len() - used < needed {
                break;
            }
            let room = self.output.len();
            let input = SequentialSlice::new(&self.pending[used..used + needed], 1, needed)
                .expect("the slice has the stated length");
            let mut output = SequentialSlice::new_mut(&mut self.output, 1, room)
                .expect("the slice has the stated length");
            let (consumed, made) = resampler
                .process_into_buffer(&input, &mut output, None)
                .expect("both buffers have the length the resampler asked for");
            used += consumed;
            let skipped = self.skip.min(made);
            self.skip -= skipped;
            converted.extend(
                self.output[skipped..made]
                    .iter()
                    .map(|s| s.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16),
            );
        }
        self.pending.drain(..used);
    }
}

fn build(from_hz: u32, to_hz: u32) -> Async<f32> {
    let ratio = f64::from(to_hz) / f64::from(from_hz);
    // The filter works at the input rate: going down it must be longer by the ratio.
    let filter_len = (FILTER_PER_RATE as f64 / ratio.min(1.0)).ceil() as usize;
    let parameters = SincInterpolationParameters::new(filter_len, WindowFunction::BlackmanHarris2)
        .f_cutoff(CUTOFF)
        .oversampling_factor(128)
        .interpolation(SincInterpolationType::Quadratic);
    let chunk = (CHUNK_PER_8K * from_hz as usize / SAMPLE_RATE_HZ as usize).max(80);
    Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input)
        .expect("ratio and chunk size are positive")
}

/// Converts a whole clip.
pub fn convert(samples: &[i16], from_hz: u32, to_hz: u32) -> Result<Vec<i16>, RateError> {
    let mut converter = Converter::new(from_hz, to_hz)?;
    let mut converted = converter.push(samples);
    converted.extend(converter.finish());
    Ok(converted)
}

/// Converts a whole clip to the rate used inside the process.
pub fn to_8k(samples: &[i16], rate_hz: u32) -> Result<Vec<i16>, RateError> {
    convert(samples, rate_hz, SAMPLE_RATE_HZ)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATES: [u32; 7] = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000];

    fn sine(rate_hz: u32, hz: f64, seconds: f64) -> Vec<i16> {
        let len = (f64::from(rate_hz) * seconds) as usize;
        (0..len)
            .map(|n| ((n as f64 * hz / f64::from(rate_hz) * TAU).sin() * 16_000.0) as i16)
            .collect()
    }

    /// Level of the middle of a clip relative to the test sine, in dB.
    fn level_db(pcm: &[i16]) -> f64 {
        let middle = &pcm[pcm.len() / 4..pcm.len() * 3 / 4];
        let energy: f64 = middle.iter().map(|s| f64::from(*s).powi(2)).sum();
        let rms = (energy / middle.len() as f64).sqrt();
        20.0 * (rms.max(0.01) / (16_000.0 / 2f64.sqrt())).log10()
    }

    #[test]
    fn the_telephone_band_is_flat_and_nothing_folds_back() {
        for rate in RATES {
            // Flat within half a dB to 3400 Hz, where ITU-T G.712 allows -3 dB.
            for (hz, tolerance_db) in [
                (300.0, 0.2),
                (1_000.0, 0.2),
                (2_000.0, 0.2),
                (3_000.0, 0.3),
                (3_200.0, 0.5),
                (3_400.0, 0.5),
            ] {
                let level = level_db(&to_8k(&sine(rate, hz, 1.0), rate).unwrap());
                assert!(
                    level.abs() < tolerance_db,
                    "{hz} Hz at {rate}: {level:.2} dB"
                );
            }
            // What is above half the new rate would come back as a wrong tone in the band.
            for hz in [
                4_200.0, 4_300.0, 4_600.0, 5_000.0, 6_000.0, 7_000.0, 9_000.0, 15_000.0, 20_000.0,
            ] {
                if hz < f64::from(rate) / 2.0 - 100.0 {
                    let level = level_db(&to_8k(&sine(rate, hz, 1.0), rate).unwrap());
                    assert!(level < -50.0, "{hz} Hz at {rate}: {level:.1} dB");
                }
            }
        }
    }

    #[test]
    fn going_up_adds_no_mirror() {
        let up = convert(&sine(8_000, 3_000.0, 1.0), 8_000, 16_000).unwrap();
        assert!(level_db(&up).abs() < 0.3);
        // Back down, the tone is the same; a mirror at 5 kHz would have been cut off.
        let back = to_8k(&up, 16_000).unwrap();
        assert!((level_db(&back) - level_db(&up)).abs() < 0.1);
    }

    #[test]
    fn lengths_fit_and_chunks_make_no_difference() {
        for rate in RATES {
            let input = sine(rate, 700.0, 0.5);
            let whole = to_8k(&input, rate).unwrap();
            assert_eq!(whole.len(), 4_000, "{rate}");
            let mut converter = Converter::new(rate, 8_000).unwrap();
            let mut chunked = Vec::new();
            for chunk in input.chunks(777) {
                chunked.extend(converter.push(chunk));
            }
            chunked.extend(converter.finish());
            assert_eq!(chunked, whole, "{rate}");
        }
    }

    #[test]
    fn audio_is_not_shifted() {
        // A click in the middle stays in the middle: playout positions refer to it.
        let mut input = vec![0i16; 24_000];
        input[12_000] = 30_000;
        let output = to_8k(&input, 24_000).unwrap();
        let (at, _) = output
            .iter()
            .enumerate()
            .max_by_key(|(_, s)| s.unsigned_abs())
            .unwrap();
        assert!((3_999..=4_001).contains(&at), "{at}");
    }

    #[test]
    fn short_empty_and_impossible_clips() {
        assert_eq!(to_8k(&[], 48_000).unwrap(), Vec::<i16>::new());
        assert_eq!(to_8k(&[5; 6], 48_000).unwrap().len(), 1);
        assert_eq!(to_8k(&[5; 3], 8_000).unwrap(), [5; 3]);
        assert_eq!(to_8k(&[0; 10], 0), Err(RateError(0)));
        assert_eq!(to_8k(&[0; 10], 1_000_000), Err(RateError(1_000_000)));
    }

    #[test]
    fn full_scale_does_not_wrap() {
        let square: Vec<i16> = (0..48_000)
            .map(|n| if n / 60 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let output = to_8k(&square, 48_000).unwrap();
        // Wrapping would show as a jump from one end to the other within one plateau.
        for pair in output[100..output.len() - 100].windows(2) {
            assert!(
                (i32::from(pair[0]) - i32::from(pair[1])).abs() < 50_000,
                "{pair:?}"
            );
        }
    }
}
