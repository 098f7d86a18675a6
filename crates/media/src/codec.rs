//! The telephone codecs a plain RTP leg may use.
//!
//! Both are one octet per sample at 8 kHz (ITU-T G.711), which the jitter buffer relies on: it
//! addresses octets by RTP timestamp. A codec with other framing needs a packet buffer of its own.

use audio_codec::{Decoder, Encoder, pcma, pcmu};
use serde::{Deserialize, Serialize};

/// A narrowband audio codec (RFC 3551 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 µ-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
}

impl Codec {
    /// The name in `a=rtpmap` (RFC 3551 table 4).
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// The static payload type (RFC 3551 table 4).
    pub fn static_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// The octet that decodes to silence.
    pub fn silence_octet(self) -> u8 {
        match self {
            Self::Pcmu => 0xFF,
            Self::Pcma => 0xD5,
        }
    }

    /// Decodes as many octets as fit into `out`; the rest of `out` stays as it is.
    pub fn decode(self, octets: &[u8], out: &mut [i16]) {
        let n = octets.len().min(out.len());
        let result = match self {
            Self::Pcmu => pcmu::PcmuDecoder::new().decode_into(&octets[..n], &mut out[..n]),
            Self::Pcma => pcma::PcmaDecoder::new().decode_into(&octets[..n], &mut out[..n]),
        };
        debug_assert!(result.is_ok(), "both slices hold n values");
    }

    /// Encodes as many samples as fit into `out`; the rest of `out` stays as it is.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) {
        let n = samples.len().min(out.len());
        let result = match self {
            Self::Pcmu => pcmu::PcmuEncoder::new().encode_into(&samples[..n], &mut out[..n]),
            Self::Pcma => pcma::PcmaEncoder::new().encode_into(&samples[..n], &mut out[..n]),
        };
        debug_assert!(result.is_ok(), "both slices hold n values");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decode_and_encode() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for octet in 0..=255u8 {
                let mut pcm = [0i16; 1];
                codec.decode(&[octet], &mut pcm);
                let mut back = [0u8; 1];
                codec.encode(&pcm, &mut back);
                // The smallest negative value is sent as the smallest positive one: in µ-law both
                // are zero, in A-law the library rounds half a step up.
                let expected = match (codec, octet) {
                    (Codec::Pcmu, 0x7F) => 0xFF,
                    (Codec::Pcma, 0x55) => 0xD5,
                    _ => octet,
                };
                assert_eq!(back[0], expected, "{codec:?} {octet:#04x}");
            }
        }
    }

    #[test]
    fn golden_values_of_g711() {
        let mut pcm = [0i16; 4];
        Codec::Pcmu.decode(&[0x00, 0x80, 0xFF, 0xF0], &mut pcm);
        assert_eq!(pcm, [-32124, 32124, 0, 120]);
        Codec::Pcma.decode(&[0x2A, 0xAA, 0xD5, 0x55], &mut pcm);
        assert_eq!(pcm, [-32256, 32256, 8, -8]);
    }

    #[test]
    fn the_silence_octet_is_silent() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut pcm = [1000i16; 1];
            codec.decode(&[codec.silence_octet()], &mut pcm);
            assert!(pcm[0].abs() <= 8, "{codec:?} {}", pcm[0]);
        }
    }
}
