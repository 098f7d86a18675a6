//! The codecs of the lab's phone, each with its memory: samples of 8 kHz on one side, packets of
//! 20 ms on the other. G.711 is our own; G.722 and Opus are the libraries.

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

use super::g711::Law;
use super::{FRAME_SAMPLES, PHONE_RATE_HZ};

/// What a phone speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneCodec {
    /// G.711.
    Law(Law),
    /// G.722 at 64 kbit/s (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 7587).
    Opus,
}

impl From<Law> for PhoneCodec {
    fn from(law: Law) -> Self {
        Self::Law(law)
    }
}

impl PhoneCodec {
    /// The payload type of our offers; that of Opus differs from the gateway's, so that nobody gets
    /// away with assuming it.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Law(law) => law.payload_type(),
            Self::G722 => 9,
            Self::Opus => 107,
        }
    }

    /// As in `a=rtpmap`.
    pub fn map(self) -> String {
        match self {
            Self::Law(law) => format!("{}/8000", law.encoding_name()),
            Self::G722 => "G722/8000".to_owned(),
            Self::Opus => "opus/48000/2".to_owned(),
        }
    }

    /// Units of the RTP clock for one sample at 8 kHz.
    pub fn clock_per_sample(self) -> u32 {
        match self {
            Self::Law(_) | Self::G722 => 1,
            Self::Opus => 6,
        }
    }

    /// The codec of a payload type: by its map, else by its number (RFC 3551 §6).
    pub fn of(payload_type: u8, map: Option<&str>) -> Option<Self> {
        let all = [
            Self::Law(Law::Mu),
            Self::Law(Law::A),
            Self::G722,
            Self::Opus,
        ];
        match map {
            Some(map) => all
                .into_iter()
                .find(|codec| codec.map().eq_ignore_ascii_case(map)),
            None => all
                .into_iter()
                .find(|codec| codec.payload_type() == payload_type && payload_type < 96),
        }
    }
}

/// 16 kHz and 8 kHz, by a half-band filter: good to 3.4 kHz.
#[derive(Debug, Clone)]
struct HalfBand {
    taps: Vec<f32>,
    line: Vec<f32>,
}

impl HalfBand {
    fn new() -> Self {
        let middle = 40;
        let taps = (-middle..=middle)
            .map(|n| {
                let x = n as f32 * std::f32::consts::PI * 0.4625;
                let sinc = if n == 0 { 1.0 } else { x.sin() / x };
                let window = (n as f32 * std::f32::consts::PI / (2 * middle + 2) as f32).cos();
                0.4625 * sinc * window * window
            })
            .collect();
        Self {
            taps,
            line: vec![0.0; 2 * middle as usize],
        }
    }

    fn filter(&mut self, wide: &[f32]) -> Vec<i16> {
        self.line.extend_from_slice(wide);
        let filtered = self
            .line
            .windows(self.taps.len())
            .map(|window| {
                let sum: f32 = window.iter().zip(&self.taps).map(|(a, b)| a * b).sum();
                sum.clamp(-32_768.0, 32_767.0) as i16
            })
            .collect();
        self.line.drain(..wide.len());
        filtered
    }
}

/// Makes packets.
pub struct PhoneEncoder {
    codec: PhoneCodec,
    g722: G722Encoder,
    up: HalfBand,
    opus: Option<opus::Encoder>,
}

impl std::fmt::Debug for PhoneEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PhoneEncoder({:?})", self.codec)
    }
}

impl PhoneEncoder {
    /// At the beginning of a stream.
    pub fn new(codec: PhoneCodec) -> Self {
        let opus = (codec == PhoneCodec::Opus).then(|| {
            let mut encoder =
                opus::Encoder::new(PHONE_RATE_HZ, opus::Channels::Mono, opus::Application::Voip)
                    .expect("8 kHz mono is a format of Opus");
            encoder.set_inband_fec(true).expect("a boolean");
            encoder.set_packet_loss_perc(10).expect("a percentage");
            encoder
        });
        Self {
            codec,
            g722: G722Encoder::new(),
            up: HalfBand::new(),
            opus,
        }
    }

    /// What it encodes to.
    pub fn codec(&self) -> PhoneCodec {
        self.codec
    }

    /// The next 20 ms.
    pub fn encode(&mut self, frame: &[i16; FRAME_SAMPLES]) -> Vec<u8> {
        match (self.codec, &mut self.opus) {
            (PhoneCodec::Law(law), _) => frame.iter().map(|s| law.encode(*s)).collect(),
            (PhoneCodec::Opus, Some(encoder)) => encoder
                .encode_vec(frame, 400)
                .expect("20 ms are a frame of Opus"),
            (PhoneCodec::G722 | PhoneCodec::Opus, _) => {
                let stuffed: Vec<f32> = frame
                    .iter()
                    .flat_map(|s| [2.0 * f32::from(*s), 0.0])
                    .collect();
                self.g722.encode(&self.up.filter(&stuffed))
            }
        }
    }
}

/// Reads packets.
pub struct PhoneDecoder {
    codec: PhoneCodec,
    g722: G722Decoder,
    down: HalfBand,
    opus: Option<opus::Decoder>,
}

impl std::fmt::Debug for PhoneDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PhoneDecoder({:?})", self.codec)
    }
}

impl PhoneDecoder {
    /// At the beginning of a stream.
    pub fn new(codec: PhoneCodec) -> Self {
        let opus = (codec == PhoneCodec::Opus).then(|| {
            opus::Decoder::new(PHONE_RATE_HZ, opus::Channels::Mono)
                .expect("8 kHz mono is a format of Opus")
        });
        Self {
            codec,
            g722: G722Decoder::new(),
            down: HalfBand::new(),
            opus,
        }
    }

    /// What it decodes.
    pub fn codec(&self) -> PhoneCodec {
        self.codec
    }

    /// One packet of any length; nothing for one that is broken.
    pub fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        match (self.codec, &mut self.opus) {
            (PhoneCodec::Law(law), _) => payload.iter().map(|b| law.decode(*b)).collect(),
            (PhoneCodec::Opus, Some(decoder)) => {
                let mut pcm = vec![0; 960];
                let made = decoder.decode(payload, &mut pcm, false).unwrap_or(0);
                pcm.truncate(made);
                pcm
            }
            (PhoneCodec::G722 | PhoneCodec::Opus, _) => {
                let wide: Vec<f32> = self
                    .g722
                    .decode(payload)
                    .into_iter()
                    .map(f32::from)
                    .collect();
                self.down.filter(&wide).into_iter().step_by(2).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone;

    #[test]
    fn a_tone_passes_every_codec() {
        for codec in [PhoneCodec::Law(Law::A), PhoneCodec::G722, PhoneCodec::Opus] {
            let (mut encoder, mut decoder) = (PhoneEncoder::new(codec), PhoneDecoder::new(codec));
            let sent = tone::sine(1_250.0, 1_000).samples;
            let heard: Vec<i16> = sent
                .as_chunks::<FRAME_SAMPLES>()
                .0
                .iter()
                .flat_map(|frame| decoder.decode(&encoder.encode(frame)))
                .collect();
            assert_eq!(heard.len(), sent.len());
            let share = tone::energy_share(&heard[2_000..], PHONE_RATE_HZ, 1_250.0);
            assert!(share > 0.95, "{codec:?} {share}");
            let level = |pcm: &[i16]| pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
            let ratio = level(&heard[2_000..]) / level(&sent[2_000..]);
            assert!((0.8..1.25).contains(&ratio), "{codec:?} {ratio}");
        }
    }

    #[test]
    fn a_map_decides_and_static_types_need_none() {
        assert_eq!(PhoneCodec::of(9, None), Some(PhoneCodec::G722));
        assert_eq!(PhoneCodec::of(107, None), None);
        assert_eq!(
            PhoneCodec::of(96, Some("OPUS/48000/2")),
            Some(PhoneCodec::Opus)
        );
        assert_eq!(PhoneCodec::of(0, Some("G726-32/8000")), None);
    }
}
