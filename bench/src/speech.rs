//! What callers say: recorded phrases with pauses between them, over the faint noise of a line.
//!
//! Voice detection costs nothing in silence and much in speech, so calls are measured with real
//! speech for a stated share of the time. The noise is below the detector's gate; it also makes
//! every frame different from all others, so that a frame that comes back says which one it was.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context;
use switchhook_media::vad::VoiceDetector;
use switchhook_media::wav::Wav;
use switchhook_media::{FRAME_SAMPLES, Frame, Law};

use crate::machine;

/// Share of the time a caller speaks.
pub const DUTY: f64 = 0.3;
/// Largest sample of the line's noise: some 63 dB below full scale in all.
const NOISE_PEAK: i32 = 40;

const PHRASES: [&[u8]; 5] = [
    include_bytes!("../../e2e/speech/human-a.wav"),
    include_bytes!("../../e2e/speech/book-a.wav"),
    include_bytes!("../../e2e/speech/mensch-de.wav"),
    include_bytes!("../../e2e/speech/human-b.wav"),
    include_bytes!("../../e2e/speech/tisch-de.wav"),
];

pub type Payload = [u8; FRAME_SAMPLES];

/// A caller's audio, played around and around; each call begins at another place.
pub struct SpeechLoop {
    frames: Vec<Payload>,
    /// Whether the frame lies in a phrase.
    spoken: Vec<bool>,
    index: HashMap<Payload, u32>,
}

/// The audio all callers share.
pub fn caller() -> &'static SpeechLoop {
    static CALLER: LazyLock<SpeechLoop> =
        LazyLock::new(|| SpeechLoop::build().expect("the phrases of the repository are readable"));
    &CALLER
}

/// Where a call begins: spread over the loop, so that at any moment the same share of callers
/// speaks.
pub fn spread(call: usize) -> u32 {
    (call as u32).wrapping_mul(617) % caller().len()
}

impl SpeechLoop {
    fn build() -> anyhow::Result<Self> {
        let mut noise = Noise(1);
        let mut built = Self {
            frames: Vec::new(),
            spoken: Vec::new(),
            index: HashMap::new(),
        };
        for file in PHRASES {
            let phrase = trimmed(Wav::parse(file).context("a phrase of e2e/speech")?.mono());
            let frames = phrase.chunks_exact(FRAME_SAMPLES);
            let pause = (frames.len() as f64 * (1.0 / DUTY - 1.0)).round() as usize;
            for frame in frames {
                let frame = frame.try_into().expect("chunks are exact");
                built.push(frame, true, &mut noise);
            }
            for _ in 0..pause {
                built.push(&[0; FRAME_SAMPLES], false, &mut noise);
            }
        }
        Ok(built)
    }

    fn push(&mut self, frame: &Frame, spoken: bool, noise: &mut Noise) {
        let payload = loop {
            let payload = to_payload(&frame.map(|sample| sample.saturating_add(noise.next())));
            if !self.index.contains_key(&payload) {
                break payload;
            }
        };
        self.index.insert(payload, self.frames.len() as u32);
        self.frames.push(payload);
        self.spoken.push(spoken);
    }

    pub fn len(&self) -> u32 {
        self.frames.len() as u32
    }

    /// The frame at a place that may lie beyond the end.
    pub fn frame(&self, place: u32) -> &Payload {
        &self.frames[(place % self.len()) as usize]
    }

    /// Where a frame that came back lies; nothing when it is none of ours, octet by octet.
    pub fn place_of(&self, payload: &[u8]) -> Option<u32> {
        let payload: &Payload = payload.try_into().ok()?;
        self.index.get(payload).copied()
    }

    /// The loop as linear samples, with whether each frame lies in a phrase.
    pub fn decoded(&self) -> impl Iterator<Item = (Frame, bool)> + '_ {
        self.frames
            .iter()
            .zip(&self.spoken)
            .map(|(octets, spoken)| {
                let mut samples = [0; FRAME_SAMPLES];
                Law::Mu.decode(octets, &mut samples);
                (samples, *spoken)
            })
    }

    /// The first phrase and the pause after it.
    pub fn phrase_and_pause(&self) -> (Vec<Payload>, Vec<Payload>) {
        let changes = |n: &usize| self.spoken[*n] != self.spoken[*n - 1];
        let mut bounds = (1..self.frames.len()).filter(changes);
        let end = bounds.next().unwrap_or(self.frames.len());
        let next = bounds.next().unwrap_or(self.frames.len());
        (self.frames[..end].to_vec(), self.frames[end..next].to_vec())
    }
}

/// Without the silence of the file before and after.
fn trimmed(samples: Vec<i16>) -> Vec<i16> {
    let loud = |sample: &i16| sample.unsigned_abs() > 300;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(0);
    samples[first..=last.max(first)].to_vec()
}

/// As PCMU, only octets that decoding and encoding leave as they are (there are two zeroes).
fn to_payload(frame: &Frame) -> Payload {
    let (mut octets, mut samples) = ([0; FRAME_SAMPLES], [0; FRAME_SAMPLES]);
    Law::Mu.encode(frame, &mut octets);
    Law::Mu.decode(&octets, &mut samples);
    Law::Mu.encode(&samples, &mut octets);
    octets
}

/// A fixed sequence (Knuth's MMIX generator): every run measures the same audio.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> i16 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let range = 2 * NOISE_PEAK + 1;
        ((self.0 >> 33) as i32 % range - NOISE_PEAK) as i16
    }
}

/// What voice detection costs on this machine, on one core.
#[derive(Debug, Clone, Copy)]
pub struct VoiceCost {
    pub speech_us: f64,
    pub pause_us: f64,
    /// Share of frames with the verdict "voice" within phrases and within pauses.
    pub voiced_in_speech: f64,
    pub voiced_in_pauses: f64,
}

/// Runs the detector over the pauses alone and over the whole loop, several times. The rest of a
/// thread's processor time is too coarse to look at single frames.
pub fn voice_cost(rounds: u32) -> VoiceCost {
    let frames: Vec<(Frame, bool)> = caller().decoded().collect();
    let pauses: Vec<Frame> = frames
        .iter()
        .filter(|(_, spoken)| !spoken)
        .map(|(frame, _)| *frame)
        .collect();
    let mut detector = VoiceDetector::new();
    let began = machine::own_thread_time();
    for frame in (0..rounds).flat_map(|_| &pauses) {
        let _ = std::hint::black_box(detector.is_voice(frame));
    }
    let between = machine::own_thread_time();
    // Frames and frames with voice; in pauses and in speech.
    let mut sums = [(0u32, 0u32); 2];
    for (frame, spoken) in (0..rounds).flat_map(|_| &frames) {
        let sum = &mut sums[usize::from(*spoken)];
        sum.0 += 1;
        sum.1 += u32::from(detector.is_voice(frame));
    }
    let (silent, whole) = (between - began, machine::own_thread_time() - between);
    let us = |time: Duration, n: usize| time.as_secs_f64() * 1e6 / f64::from(sums[n].0.max(1));
    let voiced = |n: usize| f64::from(sums[n].1) / f64::from(sums[n].0.max(1));
    VoiceCost {
        speech_us: us(whole.saturating_sub(silent), 1),
        pause_us: us(silent, 0),
        voiced_in_speech: voiced(1),
        voiced_in_pauses: voiced(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_known_by_its_octets_and_speech_has_its_share() {
        let caller = caller();
        for place in 0..caller.len() {
            assert_eq!(caller.place_of(caller.frame(place)), Some(place));
        }
        let spoken = caller.decoded().filter(|(_, spoken)| *spoken).count();
        let share = spoken as f64 / f64::from(caller.len());
        assert!((share - DUTY).abs() < 0.01, "{share}");
        let (phrase, pause) = caller.phrase_and_pause();
        assert!(phrase.len() > 50 && pause.len() > phrase.len());
    }

    #[test]
    fn octets_survive_decoding_and_encoding() {
        let caller = caller();
        for (place, (samples, _)) in caller.decoded().enumerate() {
            let mut octets = [0; FRAME_SAMPLES];
            Law::Mu.encode(&samples, &mut octets);
            assert_eq!(&octets, caller.frame(place as u32));
        }
    }

    #[test]
    fn the_detector_hears_the_phrases_and_not_the_pauses() {
        let cost = voice_cost(1);
        assert!(cost.voiced_in_speech > 0.5, "{cost:?}");
        assert!(cost.voiced_in_pauses < 0.1, "{cost:?}");
    }
}
