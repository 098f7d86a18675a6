//! Audio as the speech providers exchange it: signed 16-bit mono PCM, and the WAV framing around it.

use std::fmt;

/// A piece of signed 16-bit mono audio.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Pcm {
    /// Samples in order of time.
    pub samples: Vec<i16>,
    /// Sample rate in Hz.
    pub rate_hz: u32,
}

impl Pcm {
    /// Audio of the given rate.
    pub fn new(samples: Vec<i16>, rate_hz: u32) -> Self {
        Self { samples, rate_hz }
    }

    /// Length in milliseconds, rounded down; 0 at a rate of 0.
    pub fn duration_ms(&self) -> u64 {
        (self.samples.len() as u64 * 1000)
            .checked_div(u64::from(self.rate_hz))
            .unwrap_or(0)
    }

    /// The audio as a complete RIFF/WAVE file (format 1, 16 bit, mono).
    pub fn to_wav(&self) -> Vec<u8> {
        let data_bytes = u32::try_from(self.samples.len() * 2).unwrap_or(u32::MAX);
        let mut wav = Vec::with_capacity(44 + self.samples.len() * 2);
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt ");
        wav.extend_from_slice(&16u32.to_le_bytes());
        wav.extend_from_slice(&1u16.to_le_bytes());
        wav.extend_from_slice(&1u16.to_le_bytes());
        wav.extend_from_slice(&self.rate_hz.to_le_bytes());
        wav.extend_from_slice(&self.rate_hz.saturating_mul(2).to_le_bytes());
        wav.extend_from_slice(&2u16.to_le_bytes());
        wav.extend_from_slice(&16u16.to_le_bytes());
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&data_bytes.to_le_bytes());
        for sample in &self.samples {
            wav.extend_from_slice(&sample.to_le_bytes());
        }
        wav
    }
}

impl fmt::Debug for Pcm {
    /// The length, not the samples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Pcm({} samples at {} Hz)",
            self.samples.len(),
            self.rate_hz
        )
    }
}

/// Reads little-endian 16-bit samples from pieces of any length: a piece may end in the middle of
/// a sample, the odd byte is kept for the next one.
#[derive(Debug, Default)]
pub struct SampleReader {
    carried: Option<u8>,
}

impl SampleReader {
    /// The samples completed by `bytes`.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<i16> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        let mut rest = bytes;
        if let (Some(low), Some((&high, tail))) = (self.carried, rest.split_first()) {
            samples.push(i16::from_le_bytes([low, high]));
            self.carried = None;
            rest = tail;
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        samples.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        if let [last] = odd {
            self.carried = Some(*last);
        }
        samples
    }
}

/// Why a WAV stream cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// The first bytes are not those of a RIFF/WAVE file.
    #[error("not a WAV file: it begins with {0:02x?} instead of RIFF....WAVE")]
    NotWav(Vec<u8>),
    /// `data` came first, or the header is longer than [`MAX_WAV_HEADER`] bytes.
    #[error("the WAV header has no usable fmt chunk before its data")]
    NoFormat,
    /// Something else than 16-bit mono PCM.
    #[error(
        "WAV format {format}, {channels} channel(s), {bits} bit: only PCM (1), 1 channel, 16 bit can be played"
    )]
    Unsupported {
        format: u16,
        channels: u16,
        bits: u16,
    },
    /// A sample rate telephony cannot have meant.
    #[error("WAV sample rate {0} Hz is outside 4000 to 192000 Hz")]
    Rate(u32),
}

/// Longest header read before `data` must have begun, in bytes.
pub const MAX_WAV_HEADER: usize = 64 * 1024;

/// Reads a WAV file that arrives in pieces. The lengths in the header are not relied on: programs
/// that write to a pipe do not know them and put 0 or the largest number there.
#[derive(Debug)]
pub struct WavReader {
    header: Vec<u8>,
    rate_hz: Option<u32>,
    /// Bytes of the `data` chunk still to come; `None` = until the end of the stream.
    remaining: Option<u64>,
    samples: SampleReader,
    in_data: bool,
}

impl Default for WavReader {
    fn default() -> Self {
        Self::new()
    }
}

impl WavReader {
    /// A reader at the start of the file.
    pub fn new() -> Self {
        Self {
            header: Vec::new(),
            rate_hz: None,
            remaining: None,
            samples: SampleReader::default(),
            in_data: false,
        }
    }

    /// The sample rate in Hz, once the header has been read.
    pub fn rate_hz(&self) -> Option<u32> {
        if self.in_data { self.rate_hz } else { None }
    }

    /// The samples completed by `bytes`; none while the header is incomplete.
    ///
    /// # Errors
    /// If the stream is not a 16-bit mono PCM WAV file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, WavError> {
        if self.in_data {
            return Ok(self.take_data(bytes));
        }
        self.header.extend_from_slice(bytes);
        match self.read_header()? {
            Some(start) => {
                self.in_data = true;
                let header = std::mem::take(&mut self.header);
                Ok(self.take_data(&header[start..]))
            }
            None if self.header.len() > MAX_WAV_HEADER => Err(WavError::NoFormat),
            None => Ok(Vec::new()),
        }
    }

    /// Offset of the first data byte, once it is known.
    fn read_header(&mut self) -> Result<Option<usize>, WavError> {
        let bytes = &self.header;
        if bytes.len() < 12 {
            return Ok(None);
        }
        if &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
            return Err(WavError::NotWav(bytes[..12].to_vec()));
        }
        let mut at = 12usize;
        while let Some(chunk) = bytes.get(at..at + 8) {
            let size = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
            let body = at + 8;
            if &chunk[..4] == b"data" {
                if self.rate_hz.is_none() {
                    return Err(WavError::NoFormat);
                }
                // 0 and numbers near the 32-bit limit stand for "unknown" in piped files.
                self.remaining = (1..0x7fff_f000).contains(&size).then_some(u64::from(size));
                return Ok(Some(body));
            }
            if &chunk[..4] == b"fmt " {
                let Some(fmt) = bytes.get(body..body + 16) else {
                    return Ok(None);
                };
                if size < 16 {
                    return Err(WavError::NoFormat);
                }
                self.rate_hz = Some(read_format(fmt)?);
            }
            // Chunks are padded to an even length.
            at = body
                .saturating_add(size as usize)
                .saturating_add(size as usize % 2);
        }
        Ok(None)
    }

    fn take_data(&mut self, bytes: &[u8]) -> Vec<i16> {
        let usable = match &mut self.remaining {
            None => bytes.len(),
            Some(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= n as u64;
                n
            }
        };
        self.samples.push(&bytes[..usable])
    }
}

fn read_format(fmt: &[u8]) -> Result<u32, WavError> {
    let u16_at = |i: usize| u16::from_le_bytes([fmt[i], fmt[i + 1]]);
    let (format, channels, bits) = (u16_at(0), u16_at(2), u16_at(14));
    // 0xfffe is "extensible", whose sub-format of 16-bit mono is PCM.
    if !matches!(format, 1 | 0xfffe) || channels != 1 || bits != 16 {
        return Err(WavError::Unsupported {
            format,
            channels,
            bits,
        });
    }
    let rate = u32::from_le_bytes([fmt[4], fmt[5], fmt[6], fmt[7]]);
    if !(4_000..=192_000).contains(&rate) {
        return Err(WavError::Rate(rate));
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_survive_any_cutting(samples in prop::collection::vec(any::<i16>(), 0..200),
                                       cuts in prop::collection::vec(1usize..7, 1..300)) {
            let wav = Pcm::new(samples.clone(), 22_050).to_wav();
            let mut reader = WavReader::new();
            let mut got = Vec::new();
            let mut rest = wav.as_slice();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let n = (*cuts.next().expect("a cycle never ends")).min(rest.len());
                got.extend(reader.push(&rest[..n]).expect("a valid file"));
                rest = &rest[n..];
            }
            prop_assert_eq!(got, samples);
            prop_assert_eq!(reader.rate_hz(), Some(22_050));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = WavReader::new().push(&bytes);
            let mut framed = Pcm::new(vec![1; 10], 8000).to_wav();
            let n = bytes.len().min(44);
            framed[12..12 + n.min(32)].copy_from_slice(&bytes[..n.min(32)]);
            let _ = WavReader::new().push(&framed);
        }
    }

    #[test]
    fn unknown_lengths_and_extra_chunks_are_accepted() {
        let mut wav = Pcm::new(vec![1, -2, 3], 24_000).to_wav();
        wav[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        let list = b"LIST\x03\0\0\0abc\0";
        wav.splice(36..36, list.iter().copied());
        let mut reader = WavReader::new();
        assert_eq!(reader.push(&wav), Ok(vec![1, -2, 3]));
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        let mut stereo = Pcm::new(vec![0; 4], 8000).to_wav();
        stereo[22] = 2;
        let error = WavReader::new().push(&stereo).expect_err("stereo");
        assert!(error.to_string().contains("2 channel"), "{error}");
        let error = WavReader::new()
            .push(b"{\"error\":\"x\"}")
            .expect_err("json");
        assert!(matches!(error, WavError::NotWav(_)));
        assert_eq!(Pcm::new(vec![0; 160], 8000).duration_ms(), 20);
        assert_eq!(Pcm::default().duration_ms(), 0);
    }
}
