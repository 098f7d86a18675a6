//! Speech through Opus: what a caller sends, and whether what comes back is the frame it should be.
//!
//! Opus gives back no octet of what it was given, so frames are known by their waveform. What each
//! frame of the loop sounds like behind the gateway is computed beforehand with the same coders.
//! Every packet that comes back is decoded and compared with the last frames its caller sent: it is
//! the one most like it, if that is like enough and as loud. In pauses the noise of the line tells
//! frames apart as words do in speech.

use std::sync::LazyLock;

use anyhow::Context;
use opus::{Application, Bitrate, Channels, Decoder, Encoder};
use switchhook_media::{
    Codec, FRAME_SAMPLES, Frame, Law, OpusParams, PAYLOAD_MAX, SAMPLE_RATE_HZ, resample,
};

use crate::speech;

/// As softphones send: full band from a microphone of 48 kHz.
const CALLER_RATE_HZ: u32 = 48_000;
const CALLER_BITS_PER_SECOND: i32 = 32_000;
const CALLER_SAMPLES: usize = (CALLER_RATE_HZ / 50) as usize;

/// Least correlation of a frame with what it should be. Of the right frames 99.9 % have 0.85, of
/// wrong ones those in pauses at most 0.5; neighbours in a long vowel can have more.
const LIKE: f32 = 0.8;
/// How much louder or fainter a frame may be than it should; right ones are within a fifth.
const LOUDNESS: f32 = 1.5;
/// Frames back that are looked through: as long as delays are counted.
const AGO_MAX: u32 = 24;

/// Packets of a caller with Opus.
pub struct OpusCaller(Vec<Vec<u8>>);

/// The packets all callers share, as [`speech::caller`].
pub fn caller() -> &'static OpusCaller {
    static CALLER: LazyLock<OpusCaller> =
        LazyLock::new(|| OpusCaller::encode().expect("Opus encodes speech"));
    &CALLER
}

impl OpusCaller {
    fn encode() -> anyhow::Result<Self> {
        let frames: Vec<Frame> = speech::caller().decoded().map(|(frame, _)| frame).collect();
        // Twice, and the second kept: the loop is played around and around.
        let samples: Vec<i16> = [&frames[..], &frames[..]].concat().concat();
        let samples = resample::convert(&samples, SAMPLE_RATE_HZ, CALLER_RATE_HZ)?;
        let mut encoder = Encoder::new(CALLER_RATE_HZ, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::Bits(CALLER_BITS_PER_SECOND))?;
        let packets = samples
            .chunks_exact(CALLER_SAMPLES)
            .map(|frame| encoder.encode_vec(frame, 2 * PAYLOAD_MAX))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(packets[frames.len()..].to_vec()))
    }

    /// The packet at a place that may lie beyond the end.
    pub fn packet(&self, place: u32) -> &[u8] {
        &self.0[place as usize % self.0.len()]
    }
}

/// Computes what all streams share. Takes seconds, so before calls run.
pub fn prepare() {
    for codec in [Codec::Opus, Codec::Pcmu] {
        for other in [Codec::Opus, Codec::Pcmu] {
            let _ = Path::between(codec, other);
        }
    }
}

/// What the loop sounds like to the hearer.
struct Path(Vec<Shape>);

/// A frame to be compared with.
struct Shape {
    samples: [f32; FRAME_SAMPLES],
    /// Root of the sum of squares.
    norm: f32,
}

impl Shape {
    fn new(frame: &Frame) -> Self {
        let samples = frame.map(f32::from);
        let norm = product(&samples, &samples).sqrt();
        Self { samples, norm }
    }

    /// 1 when the waveforms are the same but for loudness, about 0 when they have nothing in
    /// common.
    fn likeness(&self, other: &Self) -> f32 {
        product(&self.samples, &other.samples) / (self.norm * other.norm).max(1.0)
    }

    fn is_as_loud(&self, other: &Self) -> bool {
        // Silence is as loud as silence.
        let (a, b) = (self.norm + 1.0, other.norm + 1.0);
        a < b * LOUDNESS && b < a * LOUDNESS
    }
}

/// Eight sums at once: the compiler vectorises them.
fn product(a: &[f32; FRAME_SAMPLES], b: &[f32; FRAME_SAMPLES]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

impl Path {
    /// Nothing when audio passes octet by octet.
    fn between(sent_as: Codec, back_as: Codec) -> Option<&'static Self> {
        static BOTH: LazyLock<Path> = LazyLock::new(|| Path::compute(Codec::Opus, Codec::Opus));
        static TO_OPUS: LazyLock<Path> = LazyLock::new(|| Path::compute(Codec::Pcmu, Codec::Opus));
        static FROM_OPUS: LazyLock<Path> =
            LazyLock::new(|| Path::compute(Codec::Opus, Codec::Pcmu));
        match (sent_as, back_as) {
            (Codec::Opus, Codec::Opus) => Some(&BOTH),
            (_, Codec::Opus) => Some(&TO_OPUS),
            (Codec::Opus, _) => Some(&FROM_OPUS),
            _ => None,
        }
    }

    fn compute(sent_as: Codec, back_as: Codec) -> Self {
        let mut way = Way::new(sent_as, back_as).expect("there is Opus");
        let mut hearer = Hearer::new(back_as).expect("there is Opus");
        let places = speech::caller().len();
        let frames = (0..2 * places).map(|place| {
            let frame = hearer.hear(&way.carry(place));
            Shape::new(&frame.expect("what we coded can be decoded"))
        });
        // Twice round, so that the coders' memory is that of a running call.
        Self(frames.skip(places as usize).collect())
    }

    fn at(&self, place: u32) -> &Shape {
        &self.0[place as usize % self.0.len()]
    }
}

/// The coders between a caller and a hearer, without network and gateway.
struct Way {
    sent_as: Codec,
    ear: Decoder,
    gateway: switchhook_media::Encoder,
}

impl Way {
    fn new(sent_as: Codec, back_as: Codec) -> anyhow::Result<Self> {
        Ok(Self {
            sent_as,
            ear: decoder()?,
            gateway: switchhook_media::Encoder::new(back_as, OpusParams::default()),
        })
    }

    /// The payload that reaches the hearer.
    fn carry(&mut self, place: u32) -> Vec<u8> {
        let mut frame = [0; FRAME_SAMPLES];
        if self.sent_as == Codec::Opus {
            let packet = caller().packet(place);
            let decoded = self.ear.decode(packet, &mut frame, false);
            debug_assert_eq!(decoded.ok(), Some(FRAME_SAMPLES));
        } else {
            Law::Mu.decode(speech::caller().frame(place), &mut frame);
        }
        let mut octets = [0; PAYLOAD_MAX];
        let len = self.gateway.encode(&frame, &mut octets);
        octets[..len].to_vec()
    }
}

fn decoder() -> anyhow::Result<Decoder> {
    Decoder::new(SAMPLE_RATE_HZ, Channels::Mono).context("no Opus decoder")
}

/// Decodes what comes back.
enum Hearer {
    Pcmu,
    Opus(Decoder),
}

impl Hearer {
    fn new(codec: Codec) -> anyhow::Result<Self> {
        Ok(match codec {
            Codec::Opus => Self::Opus(decoder()?),
            _ => Self::Pcmu,
        })
    }

    /// Nothing when it is not exactly a frame.
    fn hear(&mut self, payload: &[u8]) -> Option<Frame> {
        let mut frame = [0; FRAME_SAMPLES];
        let samples = match self {
            Self::Pcmu => {
                Law::Mu.decode(payload, &mut frame);
                payload.len()
            }
            Self::Opus(decoder) => decoder.decode(payload, &mut frame, false).ok()?,
        };
        (samples == FRAME_SAMPLES).then_some(frame)
    }
}

/// Recognises the frames of one stream.
pub struct Listener {
    path: &'static Path,
    hearer: Hearer,
}

impl Listener {
    /// Nothing when audio comes back octet by octet.
    pub fn new(sent_as: Codec, back_as: Codec) -> anyhow::Result<Option<Self>> {
        let Some(path) = Path::between(sent_as, back_as) else {
            return Ok(None);
        };
        let hearer = Hearer::new(back_as)?;
        Ok(Some(Self { path, hearer }))
    }

    /// Which frame this is, of a stream that began at `offset` and sends frame `now`.
    pub fn identify(&mut self, payload: &[u8], offset: u32, now: u32) -> Option<u32> {
        let heard = Shape::new(&self.hearer.hear(payload)?);
        let likeness = |frame: u32| self.path.at(offset + frame).likeness(&heard);
        let (frame, best) = (now.saturating_sub(AGO_MAX)..=now)
            .map(|frame| (frame, likeness(frame)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        (best >= LIKE && self.path.at(offset + frame).is_as_loud(&heard)).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [(Codec, Codec); 3] = [
        (Codec::Opus, Codec::Opus),
        (Codec::Pcmu, Codec::Opus),
        (Codec::Opus, Codec::Pcmu),
    ];
    const DELAY: u32 = 5;

    /// Plays calls from many places of the loop through fresh coders; returns how many frames came
    /// back, how many were recognised, and how many of these were taken for another.
    fn heard((sent_as, back_as): (Codec, Codec), spoil: impl Fn(u32, &mut Vec<u8>)) -> [u32; 3] {
        let [mut all, mut recognised, mut mistaken] = [0; 3];
        for offset in (0..speech::caller().len()).step_by(97) {
            let mut way = Way::new(sent_as, back_as).unwrap();
            let mut listener = Listener::new(sent_as, back_as).unwrap().unwrap();
            for frame in 0..60 {
                let mut payload = way.carry(offset + frame);
                spoil(frame, &mut payload);
                let found = listener.identify(&payload, offset, frame + DELAY);
                // The coders begin without memory, as calls do while nothing is measured.
                if frame >= 20 {
                    all += 1;
                    recognised += u32::from(found.is_some());
                    mistaken += u32::from(found.is_some_and(|found| found != frame));
                }
            }
        }
        [all, recognised, mistaken]
    }

    #[test]
    fn every_frame_is_known_by_its_waveform() {
        for path in PATHS {
            let [all, recognised, mistaken] = heard(path, |_, _| {});
            assert!(
                recognised * 1_000 >= all * 998,
                "{path:?}: {recognised} of {all}"
            );
            assert_eq!(mistaken, 0, "{path:?}");
        }
    }

    #[test]
    fn flipped_bits_silence_and_other_audio_are_not_counted() {
        for path @ (_, back_as) in PATHS {
            let [all, flipped, _] = heard(path, |frame, payload| {
                // Of G.711 one flip is one sample; the whole frame's signs are turned.
                match back_as {
                    Codec::Opus => payload[1] ^= 1 << (frame % 8),
                    _ => payload.iter_mut().for_each(|octet| *octet ^= 0x80),
                }
            });
            assert!(flipped * 20 < all, "{path:?}: {flipped} of {all} flipped");
            let [all, silent, _] = heard(path, |_, payload| {
                let mut octets = [0; PAYLOAD_MAX];
                let mut coder = switchhook_media::Encoder::new(back_as, OpusParams::default());
                let len = coder.encode(&[0; FRAME_SAMPLES], &mut octets);
                *payload = octets[..len].to_vec();
            });
            assert_eq!(silent, 0, "{path:?}: {silent} of {all} silent");
            let [all, short, _] = heard(path, |_, payload| payload.truncate(payload.len() / 2));
            assert!(short * 20 < all, "{path:?}: {short} of {all} cut short");
        }
    }

    #[test]
    fn another_callers_audio_is_not_counted() {
        for (sent_as, back_as) in PATHS {
            let places = speech::caller().len();
            let mut way = Way::new(sent_as, back_as).unwrap();
            let mut listener = Listener::new(sent_as, back_as).unwrap().unwrap();
            let counted = (0..places)
                .filter(|place| {
                    let payload = way.carry(*place);
                    let other = places / 2;
                    listener.identify(&payload, other, place + DELAY).is_some()
                })
                .count();
            assert!(counted * 50 < places as usize, "{counted} of {places}");
        }
    }
}
