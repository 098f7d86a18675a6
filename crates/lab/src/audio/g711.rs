//! G.711, written from the recommendation, so that the lab judges the gateway's codec with one of
//! its own.

/// Which of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// PCMU, payload type 0.
    Mu,
    /// PCMA, payload type 8.
    A,
}

impl Law {
    /// The static RTP payload type (RFC 3551 §6).
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// The law of a static payload type, if it is one of ours.
    pub fn of_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Mu),
            8 => Some(Self::A),
            _ => None,
        }
    }

    /// Name in `a=rtpmap`.
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Mu => "PCMU",
            Self::A => "PCMA",
        }
    }

    /// One sample to one byte.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => mu_encode(sample),
            Self::A => a_encode(sample),
        }
    }

    /// One byte to one sample.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Mu => mu_decode(byte),
            Self::A => a_decode(byte),
        }
    }
}

const MU_BIAS: i32 = 0x84;

fn mu_encode(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + MU_BIAS;
    let exponent = 31 - magnitude.leading_zeros() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

fn mu_decode(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i32::from(byte) & 0x0f) << 3) + MU_BIAS) << ((byte & 0x70) >> 4);
    let value = magnitude - MU_BIAS;
    (if byte & 0x80 != 0 { -value } else { value }) as i16
}

fn a_encode(sample: i16) -> u8 {
    let (mask, magnitude) = if sample >= 0 {
        (0xd5u8, i32::from(sample) >> 3)
    } else {
        (0x55u8, (-i32::from(sample) - 1) >> 3)
    };
    let segment = (0..8).find(|s| magnitude < 0x20 << s).unwrap_or(7);
    let shift = segment.max(1);
    let value = (segment as u8) << 4 | ((magnitude >> shift) & 0x0f) as u8;
    value ^ mask
}

fn a_decode(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let segment = (byte & 0x70) >> 4;
    let mantissa = (i32::from(byte) & 0x0f) << 4;
    let magnitude = match segment {
        0 => mantissa + 8,
        s => (mantissa + 0x108) << (s - 1),
    };
    (if byte & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_byte_encodes_to_itself() {
        for byte in 0..=255u8 {
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte, "A-law {byte:#x}");
            // µ-law has two zeros; 0x7f is the negative one and comes back as the positive.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(
                Law::Mu.encode(Law::Mu.decode(byte)),
                expected,
                "µ-law {byte:#x}"
            );
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(Law::Mu.encode(0), 0xff);
        assert_eq!(Law::A.encode(0), 0xd5);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::A.decode(0xaa), 32_256);
    }
}
