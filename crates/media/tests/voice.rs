//! Voice detection on real telephone speech and on what must not be taken for it.

use std::path::PathBuf;

use switchhook_media::vad::{VoiceDetector, rms};
use switchhook_media::wav::Wav;
use switchhook_media::{FRAME_SAMPLES, Frame, Law, Tone, ToneCountry};
use switchhook_model::Digit;

fn speech() -> Vec<(String, Vec<i16>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../e2e/speech");
    ["human-a", "human-b", "book-a", "mensch-de", "tisch-de"]
        .iter()
        .map(|name| {
            let wav = Wav::read(&directory.join(format!("{name}.wav"))).expect("test speech");
            assert_eq!(wav.rate_hz, 8_000);
            ((*name).to_owned(), wav.mono())
        })
        .collect()
}

/// White noise of this RMS, the same each time.
struct Noise(u32);

impl Noise {
    fn sample(&mut self, rms: f32) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 as f32 / u32::MAX as f32 - 0.5) * rms * 12f32.sqrt()
    }
}

/// One flag for each frame, after a trip through the codec.
fn flags(pcm: &[i16]) -> Vec<bool> {
    let mut detector = VoiceDetector::new();
    pcm.chunks_exact(FRAME_SAMPLES)
        .map(|chunk| {
            let mut octets = [0u8; FRAME_SAMPLES];
            Law::Mu.encode(chunk, &mut octets);
            let mut frame: Frame = [0; FRAME_SAMPLES];
            Law::Mu.decode(&octets, &mut frame);
            detector.is_voice(&frame)
        })
        .collect()
}

fn count(flags: &[bool]) -> usize {
    flags.iter().filter(|voice| **voice).count()
}

#[test]
fn speech_is_found_at_any_level_over_line_noise() {
    for (name, pcm) in speech() {
        let loud: Vec<bool> = pcm
            .chunks_exact(FRAME_SAMPLES)
            .map(|chunk| rms(chunk.try_into().expect("one frame")) > 500.0)
            .collect();
        for (gain, noise_rms) in [(1.0, 0.0), (1.0, 30.0), (0.3, 10.0), (0.1, 5.0)] {
            let mut noise = Noise(1);
            // A second of line noise before the words, as on a real line.
            let line: Vec<i16> = std::iter::repeat_n(0, 8_000)
                .chain(pcm.iter().copied())
                .map(|s| (f32::from(s) * gain + noise.sample(noise_rms)) as i16)
                .collect();
            let found = flags(&line);
            let case = format!("{name}, gain {gain}, noise {noise_rms}");
            assert_eq!(count(&found[..45]), 0, "{case}: line noise is no voice");
            let words = found[50..].iter().zip(&loud);
            let hits = words.filter(|(voice, loud)| **voice && **loud).count();
            let share = hits as f32 / count(&loud) as f32;
            assert!(share > 0.85, "{case}: {share}");
        }
    }
}

/// The most frames in a row that were taken for voice.
fn longest_run(flags: &[bool]) -> usize {
    flags
        .split(|voice| !voice)
        .map(<[bool]>::len)
        .max()
        .unwrap_or(0)
}

#[test]
fn what_is_no_speech_is_not_taken_for_it() {
    let noise = |level: f32| {
        let mut noise = Noise(7);
        (0..80_000)
            .map(|_| noise.sample(level) as i16)
            .collect::<Vec<i16>>()
    };
    let steady = |hz: f32| Tone::sine(hz, 8_000).render().repeat(10);
    let keys = "1234567890*#".repeat(4);
    let keys = keys.chars().map(|key| Digit::try_from(key).expect("a key"));
    let cases = [
        ("silence", vec![0; 80_000]),
        ("line noise", noise(20.0)),
        ("loud noise", noise(500.0)),
        ("very loud noise", noise(2_000.0)),
        ("hum", steady(50.0)),
        ("German ringback and busy tone", steady(425.0)),
        ("test tone", steady(1_000.0)),
        (
            "ringback",
            Tone::ringback(ToneCountry::De).render().repeat(2),
        ),
        (
            "British ringback",
            Tone::ringback(ToneCountry::Gb).render().repeat(2),
        ),
        (
            "American ringback",
            Tone::ringback(ToneCountry::Us).render().repeat(2),
        ),
        ("beep", Tone::beep().render()),
        (
            "keys",
            keys.flat_map(|key| Tone::dtmf(key).render()).collect(),
        ),
    ];
    for (name, pcm) in cases {
        let found = flags(&pcm);
        // Barge-in takes 200 ms of voice, ten frames in a row: a tone must be known well before.
        assert!(
            longest_run(&found) <= 6,
            "{name}: {} frames in a row",
            longest_run(&found)
        );
        let share = count(&found) as f32 / found.len() as f32;
        assert!(share < 0.5, "{name}: {share}");
    }
}
