//! Tone maker and tone finder: the proof of who hears whom.
//!
//! A tone is present in a window when more than a given share of the window's energy lies within
//! [`HALF_BAND_HZ`] of its frequency, and the window is not mere silence.

use std::f64::consts::TAU;

use realfft::RealFftPlanner;

use super::{Audio, PHONE_RATE_HZ, Span, rms};

/// Energy this far to either side of a frequency counts as that tone. Wide enough for a Hann
/// window over 200 ms and a slightly detuned clock, narrow enough to keep 440 and 480 Hz apart.
pub const HALF_BAND_HZ: f64 = 15.0;

/// Below this root mean square (−54 dBFS) a window is silence, whatever its spectrum says.
pub const SILENCE_RMS: f64 = 0.002;

/// The share at which the tests speak of a tone being heard.
pub const PRESENT: f64 = 0.8;

const WINDOW_MS: u64 = 200;
const HOP_MS: u64 = 50;

/// A sine of `hz` at 8 kHz, `ms` long, at a quarter of full scale (−12 dBFS).
pub fn sine(hz: f64, ms: u64) -> Audio {
    let count = (ms * u64::from(PHONE_RATE_HZ) / 1000) as usize;
    Audio::phone((0..count).map(|n| sine_sample(hz, n as u64)).collect())
}

/// Sample `n` of the endless version of [`sine`].
pub fn sine_sample(hz: f64, n: u64) -> i16 {
    ((TAU * hz * n as f64 / f64::from(PHONE_RATE_HZ)).sin() * 8192.0) as i16
}

/// Energy of one frequency by Goertzel's algorithm, as a share of the window's whole energy.
/// Cheap, and exact when the window holds whole periods; [`energy_share`] is the one to judge by.
pub fn goertzel_share(samples: &[i16], rate_hz: u32, hz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hz / f64::from(rate_hz)).cos();
    let (mut s1, mut s2, mut energy) = (0.0, 0.0, 0.0);
    for sample in samples {
        let x = f64::from(*sample);
        energy += x * x;
        let s0 = x + coefficient * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    if energy == 0.0 {
        return 0.0;
    }
    let power = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    (2.0 * power / (samples.len() as f64 * energy)).min(1.0)
}

/// Power per frequency bin, with the width of a bin in Hz; empty for fewer than 64 samples.
pub fn spectrum(samples: &[i16], rate_hz: u32) -> (Vec<f64>, f64) {
    if samples.len() < 64 {
        return (Vec::new(), 1.0);
    }
    let count = samples.len();
    let mut planner = RealFftPlanner::<f64>::new();
    let fft = planner.plan_fft_forward(count);
    let mut input: Vec<f64> = samples
        .iter()
        .enumerate()
        .map(|(n, s)| f64::from(*s) * (0.5 - 0.5 * (TAU * n as f64 / count as f64).cos()))
        .collect();
    let mut output = fft.make_output_vec();
    fft.process(&mut input, &mut output)
        .expect("both buffers were made for this length");
    (
        output.iter().map(|c| c.norm_sqr()).collect(),
        f64::from(rate_hz) / count as f64,
    )
}

/// Share (0 to 1) of the energy of `samples` that lies at `hz`. Silence has none of any tone.
pub fn energy_share(samples: &[i16], rate_hz: u32, hz: f64) -> f64 {
    let (power, bin_hz) = spectrum(samples, rate_hz);
    let total: f64 = power.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    band(&power, bin_hz, hz) / total
}

fn band(power: &[f64], bin_hz: f64, hz: f64) -> f64 {
    // A Hann window spreads a tone over two bins to either side of its own.
    let half = HALF_BAND_HZ.max(2.5 * bin_hz);
    power
        .iter()
        .enumerate()
        .filter(|(bin, _)| (*bin as f64 * bin_hz - hz).abs() <= half)
        .map(|(_, p)| p)
        .sum()
}

/// The strongest frequency and its share of the energy; `None` in silence.
pub fn strongest(samples: &[i16], rate_hz: u32) -> Option<(f64, f64)> {
    if rms(samples) < SILENCE_RMS {
        return None;
    }
    let (power, bin_hz) = spectrum(samples, rate_hz);
    let total: f64 = power.iter().sum();
    let (peak, _) = power.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    if total <= 0.0 {
        return None;
    }
    let hz = peak as f64 * bin_hz;
    Some((hz, band(&power, bin_hz, hz) / total))
}

/// The stretches in which the tone holds more than `share` of the energy, joined where they
/// touch. Resolution is 50 ms; a stretch shorter than 200 ms may be missed.
pub fn find(audio: &Audio, hz: f64, share: f64) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let mut from_ms = 0;
    while from_ms + WINDOW_MS <= audio.duration_ms() {
        let window = audio.window(from_ms, from_ms + WINDOW_MS);
        if is_steady(&window.samples) && energy_share(&window.samples, audio.rate_hz, hz) > share {
            let to_ms = from_ms + WINDOW_MS;
            match found.last_mut() {
                Some(last) if last.to_ms >= from_ms => last.to_ms = to_ms,
                _ => found.push(Span { from_ms, to_ms }),
            }
        }
        from_ms += HOP_MS;
    }
    found
}

/// Whether there is sound in every quarter of a window, about as loud as in the others: else a
/// window that a tone only touches would count whole.
fn is_steady(samples: &[i16]) -> bool {
    let whole = rms(samples);
    let quarter = (samples.len() / 4).max(1);
    whole >= SILENCE_RMS
        && samples
            .chunks_exact(quarter)
            .all(|part| rms(part) > whole / 3.0)
}

/// How long the tone is present in all, in milliseconds (more than 80 % of the energy).
pub fn present_ms(audio: &Audio, hz: f64) -> u64 {
    find(audio, hz, PRESENT).iter().map(Span::duration_ms).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_where_it_is_and_nowhere_else() {
        let mut samples = vec![0i16; 8000];
        samples.extend(sine(1000.0, 2000).samples);
        samples.extend(vec![0i16; 8000]);
        let audio = Audio::phone(samples);
        let found = find(&audio, 1000.0, PRESENT);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].from_ms >= 950 && found[0].from_ms <= 1050,
            "{found:?}"
        );
        assert!(
            found[0].to_ms >= 2950 && found[0].to_ms <= 3050,
            "{found:?}"
        );
        assert!(find(&audio, 1100.0, PRESENT).is_empty());
    }

    #[test]
    fn two_tones_share_the_energy() {
        let mixed: Vec<i16> = sine(700.0, 500)
            .samples
            .iter()
            .zip(&sine(1900.0, 500).samples)
            .map(|(a, b)| a + b)
            .collect();
        let share = energy_share(&mixed, 8000, 700.0);
        assert!((0.45..0.55).contains(&share), "{share}");
        assert!(find(&Audio::phone(mixed), 700.0, PRESENT).is_empty());
    }

    #[test]
    fn goertzel_agrees_with_the_spectrum_on_a_pure_tone() {
        let tone = sine(425.0, 400);
        assert!(goertzel_share(&tone.samples, 8000, 425.0) > 0.99);
        assert!(energy_share(&tone.samples, 8000, 425.0) > 0.99);
        let (hz, share) = strongest(&tone.samples, 8000).unwrap();
        assert!((hz - 425.0).abs() < 3.0 && share > 0.99);
    }

    #[test]
    fn silence_holds_no_tone() {
        assert_eq!(energy_share(&[0; 1600], 8000, 440.0), 0.0);
        assert!(strongest(&[1; 1600], 8000).is_none());
    }
}
