//! The codecs a plain RTP leg may use.
//!
//! G.711 and G.722 are one octet per unit of an 8 kHz clock, which the jitter buffer relies on: it
//! addresses octets by RTP timestamp. Opus has packets of any length: [`opus`] keeps them beside.
//!
//! G.711 has no memory and is handled here; what remembers is in [`coders`], one for each stream.

pub(crate) mod coders;
mod g722;
pub(crate) mod opus;

use audio_codec::{Decoder, Encoder, pcma, pcmu};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 µ-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, static payload type 9 (RFC 3551 §4.5.2).
    G722,
    /// Opus, dynamic payload type (RFC 7587).
    Opus,
}

/// A name that is none of a codec of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no codec; expected opus, g722, pcmu or pcma")]
pub struct UnknownCodec(String);

impl std::str::FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus]
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownCodec(text.to_owned()))
    }
}

/// Payload type we offer for Opus: of the dynamic range (RFC 3551 §6), below telephone-event.
const OPUS_PAYLOAD_TYPE: u8 = 96;

impl Codec {
    /// The name in `a=rtpmap` (RFC 3551 table 4, RFC 7587 §7).
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// The static payload type (RFC 3551 table 4), or the dynamic one we offer. An answer uses the
    /// offer's number.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::Opus => OPUS_PAYLOAD_TYPE,
        }
    }

    /// RTP clock in Hz. That of G.722 is 8000 although it samples at 16 kHz (RFC 3551 §4.5.2), that
    /// of Opus always 48000 (RFC 7587 §4.1).
    pub fn clock_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => crate::frame::SAMPLE_RATE_HZ,
            Self::Opus => opus::CLOCK_HZ,
        }
    }

    /// Clock units per sample inside the process, which has 8 kHz.
    pub(crate) fn clock_per_sample(self) -> u32 {
        self.clock_hz() / crate::frame::SAMPLE_RATE_HZ
    }

    /// Channels in `a=rtpmap`. Opus must say 2, whatever is sent (RFC 7587 §7).
    pub(crate) fn map_channels(self) -> u8 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 1,
            Self::Opus => 2,
        }
    }
}

/// G.711, which has no memory: an octet is a sample (ITU-T G.711).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    Mu,
    A,
}

impl Law {
    /// The octet that decodes to silence.
    pub fn silence_octet(self) -> u8 {
        match self {
            Self::Mu => 0xFF,
            Self::A => 0xD5,
        }
    }

    /// Decodes as many octets as fit into `out`; the rest of `out` stays as it is.
    pub fn decode(self, octets: &[u8], out: &mut [i16]) {
        let n = octets.len().min(out.len());
        let result = match self {
            Self::Mu => pcmu::PcmuDecoder::new().decode_into(&octets[..n], &mut out[..n]),
            Self::A => pcma::PcmaDecoder::new().decode_into(&octets[..n], &mut out[..n]),
        };
        debug_assert!(result.is_ok(), "both slices hold n values");
    }

    /// Encodes as many samples as fit into `out`; the rest of `out` stays as it is.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) {
        let n = samples.len().min(out.len());
        let result = match self {
            Self::Mu => pcmu::PcmuEncoder::new().encode_into(&samples[..n], &mut out[..n]),
            Self::A => pcma::PcmaEncoder::new().encode_into(&samples[..n], &mut out[..n]),
        };
        debug_assert!(result.is_ok(), "both slices hold n values");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decode_and_encode() {
        for law in [Law::Mu, Law::A] {
            for octet in 0..=255u8 {
                let mut pcm = [0i16; 1];
                law.decode(&[octet], &mut pcm);
                let mut back = [0u8; 1];
                law.encode(&pcm, &mut back);
                // The smallest negative value is sent as the smallest positive one: in µ-law both
                // are zero, in A-law the library rounds half a step up.
                let expected = match (law, octet) {
                    (Law::Mu, 0x7F) => 0xFF,
                    (Law::A, 0x55) => 0xD5,
                    _ => octet,
                };
                assert_eq!(back[0], expected, "{law:?} {octet:#04x}");
            }
        }
    }

    #[test]
    fn codecs_are_named_in_configuration() {
        assert_eq!("g722".parse(), Ok(Codec::G722));
        assert_eq!("Opus".parse(), Ok(Codec::Opus));
        let error = "g729".parse::<Codec>().unwrap_err().to_string();
        assert!(
            error.contains("\"g729\"") && error.contains("opus, g722"),
            "{error}"
        );
    }

    #[test]
    fn golden_values_of_g711() {
        let mut pcm = [0i16; 4];
        Law::Mu.decode(&[0x00, 0x80, 0xFF, 0xF0], &mut pcm);
        assert_eq!(pcm, [-32124, 32124, 0, 120]);
        Law::A.decode(&[0x2A, 0xAA, 0xD5, 0x55], &mut pcm);
        assert_eq!(pcm, [-32256, 32256, 8, -8]);
    }

    #[test]
    fn the_silence_octet_is_silent() {
        for law in [Law::Mu, Law::A] {
            let mut pcm = [1000i16; 1];
            law.decode(&[law.silence_octet()], &mut pcm);
            assert!(pcm[0].abs() <= 8, "{law:?} {}", pcm[0]);
        }
    }
}
