//! Is somebody talking, and since when: stretches of sound, told apart into speech and tones.

use serde::Serialize;

use super::{Audio, Span, rms, tone};

/// A 20 ms frame louder than this (−46 dBFS) is sound.
const SOUND_RMS: f64 = 0.005;

/// Pauses shorter than this stay inside a stretch: people and synthesizers pause between words.
const JOIN_GAP_MS: u64 = 300;

/// Shorter than this is a click.
const MIN_STRETCH_MS: u64 = 60;

const FRAME_MS: u64 = 20;

/// What a stretch of sound is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sound {
    /// Anything that is not a steady tone.
    Speech,
    /// One or two frequencies hold more than 80 % of the energy; this is the strongest.
    Tone {
        /// Frequency in Hz.
        hz: f64,
    },
}

/// One stretch and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stretch {
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// What.
    #[serde(flatten)]
    pub sound: Sound,
}

/// All stretches of sound in order, pauses below 300 ms joined.
pub fn stretches(audio: &Audio) -> Vec<Stretch> {
    sound_spans(audio, JOIN_GAP_MS)
        .into_iter()
        .map(|span| Stretch {
            span,
            sound: classify(&audio.window(span.from_ms, span.to_ms)),
        })
        .collect()
}

/// How long there is speech in all, in milliseconds.
pub fn speech_ms(audio: &Audio) -> u64 {
    stretches(audio)
        .iter()
        .filter(|s| s.sound == Sound::Speech)
        .map(|s| s.span.duration_ms())
        .sum()
}

/// For how long it has been silent at the end, in milliseconds; `None` when nothing was ever heard.
pub fn silent_since_ms(audio: &Audio) -> Option<u64> {
    let last = sound_spans(audio, 0).last().copied()?;
    Some(audio.duration_ms().saturating_sub(last.to_ms))
}

fn sound_spans(audio: &Audio, join_gap_ms: u64) -> Vec<Span> {
    let frame = (u64::from(audio.rate_hz) * FRAME_MS / 1000) as usize;
    let mut spans: Vec<Span> = Vec::new();
    for (n, samples) in audio.samples.chunks(frame.max(1)).enumerate() {
        if rms(samples) < SOUND_RMS {
            continue;
        }
        let from_ms = n as u64 * FRAME_MS;
        let to_ms = from_ms + FRAME_MS;
        match spans.last_mut() {
            Some(last) if from_ms <= last.to_ms + join_gap_ms => last.to_ms = to_ms,
            _ => spans.push(Span { from_ms, to_ms }),
        }
    }
    spans.retain(|s| s.duration_ms() >= MIN_STRETCH_MS);
    spans
}

fn classify(audio: &Audio) -> Sound {
    // Judged in windows: a vowel is tonal for a moment, a tone is tonal all along.
    let windows = audio.duration_ms().div_ceil(200).max(1);
    let mut tonal = 0;
    let mut hz_sum = 0.0;
    for n in 0..windows {
        let part = audio.window(n * 200, (n + 1) * 200);
        if let Some((hz, share)) = tonality(&part)
            && share > tone::PRESENT
        {
            tonal += 1;
            hz_sum += hz;
        }
    }
    if tonal * 10 >= windows * 8 && tonal > 0 {
        Sound::Tone {
            hz: (hz_sum / tonal as f64).round(),
        }
    } else {
        Sound::Speech
    }
}

/// The strongest frequency, and what share of the energy it and the second strongest hold.
fn tonality(audio: &Audio) -> Option<(f64, f64)> {
    let (first, share) = tone::strongest(&audio.samples, audio.rate_hz)?;
    let (mut power, bin_hz) = tone::spectrum(&audio.samples, audio.rate_hz);
    let total: f64 = power.iter().sum();
    for (bin, p) in power.iter_mut().enumerate() {
        if (bin as f64 * bin_hz - first).abs() <= 2.5 * bin_hz {
            *p = 0.0;
        }
    }
    let (peak, _) = power.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let second: f64 = power
        .iter()
        .skip(peak.saturating_sub(2))
        .take(5)
        .sum::<f64>()
        / total.max(f64::MIN_POSITIVE);
    Some((first, share.max(share.min(1.0 - second) + second)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::sine;

    #[test]
    fn a_tone_is_not_speech() {
        let audio = Audio::phone(vec![0; 4000]);
        let mut samples = audio.samples;
        samples.extend(sine(425.0, 1000).samples);
        samples.extend(vec![0; 8000]);
        let audio = Audio::phone(samples);
        let found = stretches(&audio);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(matches!(found[0].sound, Sound::Tone { hz } if (hz - 425.0).abs() < 6.0));
        assert_eq!(speech_ms(&audio), 0);
        assert_eq!(silent_since_ms(&audio), Some(1000));
    }

    #[test]
    fn the_american_ringback_pair_is_a_tone() {
        let samples = sine(440.0, 2000)
            .samples
            .iter()
            .zip(&sine(480.0, 2000).samples)
            .map(|(a, b)| a + b)
            .collect();
        let found = stretches(&Audio::phone(samples));
        assert!(matches!(found[0].sound, Sound::Tone { .. }), "{found:?}");
    }

    #[test]
    fn noise_in_bursts_counts_as_speech() {
        let mut state = 1u32;
        let noise: Vec<i16> = (0..8000)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let loud = (n / 1200) % 2 == 0;
                if loud { (state >> 18) as i16 - 8192 } else { 0 }
            })
            .collect();
        let found = stretches(&Audio::phone(noise));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].sound, Sound::Speech);
    }
}
