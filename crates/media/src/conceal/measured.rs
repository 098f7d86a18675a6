//! How well losses are hidden, on telephone speech. `cargo test -p switchhook-media measured --
//! --nocapture` prints the figures of `docs/media.md`.

use std::path::Path;

use super::*;
use crate::wav::Wav;

type Clip = Vec<Frame>;
/// Hides the lost frames of a clip.
type Method = fn(&Clip, &[bool]) -> Clip;

fn speech() -> Vec<Clip> {
    ["book-a", "human-a", "human-b", "mensch-de", "tisch-de"]
        .iter()
        .map(|name| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/speech");
            let wav = Wav::read(&directory.join(format!("{name}.wav"))).expect("test speech");
            wav.mono().as_chunks::<FRAME_SAMPLES>().0.to_vec()
        })
        .collect()
}

/// The same losses for every method: single ones, or bursts of two on average.
fn losses(len: usize, rate: f64, bursts: bool, seed: u64) -> Vec<bool> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut lost = false;
    (0..len)
        .map(|_| {
            let probability = match (bursts, lost) {
                (false, _) => rate,
                (true, true) => 0.5,
                (true, false) => 0.5 * rate / (1.0 - rate),
            };
            lost = random() < probability;
            lost
        })
        .collect()
}

fn ours(clip: &Clip, lost: &[bool]) -> Clip {
    let mut concealer = Concealer::new();
    let mut played: Clip = Vec::new();
    for (frame, lost) in clip.iter().zip(lost) {
        let mut out = *frame;
        if *lost {
            let past = |out: &mut [i16]| {
                let frames = out.len() / FRAME_SAMPLES;
                let before = played[played.len() - frames..].concat();
                out.copy_from_slice(&before);
            };
            if !concealer.conceal(&mut out, past) {
                out = [0; FRAME_SAMPLES];
            }
        } else {
            concealer.blend(&mut out);
            concealer.good();
        }
        played.push(out);
    }
    played
}

/// The last frame again, mirrored by turns and fading over 60 ms: what we did before.
fn mirrored(clip: &Clip, lost: &[bool]) -> Clip {
    let mut last = [0; FRAME_SAMPLES];
    let mut run = 0;
    let mut played = Vec::new();
    for (frame, lost) in clip.iter().zip(lost) {
        let mut out = *frame;
        if *lost {
            for (i, sample) in out.iter_mut().enumerate() {
                let source = if run % 2 == 0 {
                    FRAME_SAMPLES - 1 - i
                } else {
                    i
                };
                let left = (3 * FRAME_SAMPLES).saturating_sub(run * FRAME_SAMPLES + i);
                let faded = i32::from(last[source]) * left as i32 / (3 * FRAME_SAMPLES) as i32;
                *sample = faded as i16;
            }
            run += 1;
        } else {
            last = out;
            run = 0;
        }
        played.push(out);
    }
    played
}

/// Segmental signal-to-noise ratio of the lost frames that hold speech, each within -10 to 35 dB.
fn segmental_snr_db(method: Method, rate: f64, bursts: bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for clip in speech() {
        for seed in 1..=20 {
            let lost = losses(clip.len(), rate, bursts, seed);
            let played = method(&clip, &lost);
            for ((frame, played), lost) in clip.iter().zip(&played).zip(&lost) {
                let signal: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
                if !lost || signal < 40_000.0 * FRAME_SAMPLES as f64 {
                    continue;
                }
                let pairs = frame.iter().zip(played);
                let noise: f64 = pairs
                    .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                    .sum();
                sum += (10.0 * (signal / noise.max(1.0)).log10()).clamp(-10.0, 35.0);
                count += 1;
            }
        }
    }
    sum / f64::from(count)
}

#[test]
fn better_than_repeating_the_last_frame() {
    for bursts in [false, true] {
        for rate in [0.03, 0.05, 0.10] {
            let new = segmental_snr_db(ours, rate, bursts);
            let old = segmental_snr_db(mirrored, rate, bursts);
            println!(
                "loss {rate}, bursts {bursts}: {new:.1} dB, mirrored {old:.1} dB, silence 0 dB"
            );
            assert!(new > 0.2, "better than silence: {new}");
            assert!(new > old + 1.5, "{new} against {old}");
        }
    }
}
