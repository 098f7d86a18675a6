//! WAV files: the header we write, and a reader that says what is wrong with a file.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::codec::Law;

/// Octets of the header we write: RIFF, `fmt ` of 16 octets, `data`.
pub const HEADER_LEN: usize = 44;

/// Largest file read into memory: an hour of 8 kHz stereo, 16 bit, and some.
pub const FILE_MAX: u64 = 128 * 1024 * 1024;

const FORMAT_PCM: u16 = 1;
const FORMAT_ALAW: u16 = 6;
const FORMAT_MULAW: u16 = 7;
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;

/// The header of a 16 bit file with `data_len` octets of audio.
pub fn header(rate_hz: u32, channels: u16, data_len: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let block = channels * 2;
    header[0..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&data_len.saturating_add(36).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&FORMAT_PCM.to_le_bytes());
    header[22..24].copy_from_slice(&channels.to_le_bytes());
    header[24..28].copy_from_slice(&rate_hz.to_le_bytes());
    header[28..32].copy_from_slice(&(rate_hz * u32::from(block)).to_le_bytes());
    header[32..34].copy_from_slice(&block.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&data_len.to_le_bytes());
    header
}

/// A 16 bit mono file in memory.
pub fn encode_mono(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let data_len = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(HEADER_LEN + samples.len() * 2);
    file.extend_from_slice(&header(rate_hz, 1, data_len));
    for sample in samples {
        file.extend_from_slice(&sample.to_le_bytes());
    }
    file
}

/// The audio of a file, as 16 bit samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    pub rate_hz: u32,
    pub channels: u16,
    /// Interleaved.
    pub samples: Vec<i16>,
    /// The header promised more audio than the file has: its writer was interrupted.
    pub truncated: bool,
}

/// What is wrong with a file. Offsets are octets from its start.
#[derive(Debug, Error)]
pub enum WavError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the file has {0} octets; at most {FILE_MAX} are read")]
    TooLarge(u64),
    #[error("not a WAV file: expected {expected:?} at offset {offset}")]
    NotWav {
        expected: &'static str,
        offset: usize,
    },
    #[error("chunk \"fmt \" at offset {offset} has {len} octets, expected at least 16")]
    ShortFormat { offset: usize, len: usize },
    #[error("the file has no {0:?} chunk")]
    MissingChunk(&'static str),
    #[error("field {field} in chunk \"fmt \" is {value}, expected {expected}")]
    Format {
        field: &'static str,
        value: u32,
        expected: &'static str,
    },
}

impl Wav {
    /// Reads a file. Formats: PCM of 8, 16, 24 or 32 bit, µ-law, A-law.
    pub fn read(path: &Path) -> Result<Self, WavError> {
        let read = |source| WavError::Read {
            path: path.to_owned(),
            source,
        };
        let len = std::fs::metadata(path).map_err(read)?.len();
        if len > FILE_MAX {
            return Err(WavError::TooLarge(len));
        }
        Self::parse(&std::fs::read(path).map_err(read)?)
    }

    /// Reads a file in memory. The data chunk may be longer or shorter than it claims.
    pub fn parse(file: &[u8]) -> Result<Self, WavError> {
        if file.len() as u64 > FILE_MAX {
            return Err(WavError::TooLarge(file.len() as u64));
        }
        expect_tag(file, 0, "RIFF")?;
        expect_tag(file, 8, "WAVE")?;
        let mut format = None;
        let mut offset = 12;
        while let Some(head) = file.get(offset..offset + 8) {
            let claimed = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let rest = &file[offset + 8..];
            let body = &rest[..claimed.min(rest.len())];
            match &head[..4] {
                b"fmt " => format = Some(Format::parse(body, offset)?),
                b"data" => {
                    let format = format.ok_or(WavError::MissingChunk("fmt "))?;
                    // A streamed file claims 0 or 4 GB; a killed writer less than there is. Only
                    // the last chunk can have a wrong length, so the rest of the file is audio.
                    let unknown = claimed == 0 || claimed >= 0x7FFF_FF00;
                    let audio = if unknown { rest } else { body };
                    return Ok(Self {
                        rate_hz: format.rate_hz,
                        channels: format.channels,
                        samples: format.decode(audio),
                        truncated: !unknown && claimed > rest.len(),
                    });
                }
                _ => {}
            }
            // Chunks begin at even offsets.
            offset = offset
                .saturating_add(8)
                .saturating_add(claimed)
                .saturating_add(claimed & 1);
        }
        Err(WavError::MissingChunk(if format.is_some() {
            "data"
        } else {
            "fmt "
        }))
    }

    /// One channel of the file; the first is 0. Empty when there is no such channel.
    pub fn channel(&self, channel: u16) -> Vec<i16> {
        if channel >= self.channels {
            return Vec::new();
        }
        self.samples
            .chunks_exact(usize::from(self.channels))
            .map(|all| all[usize::from(channel)])
            .collect()
    }

    /// All channels mixed into one.
    pub fn mono(&self) -> Vec<i16> {
        let channels = i32::from(self.channels);
        self.samples
            .chunks_exact(usize::from(self.channels))
            .map(|all| (all.iter().map(|s| i32::from(*s)).sum::<i32>() / channels) as i16)
            .collect()
    }

    pub fn duration_ms(&self) -> u64 {
        let frames = self.samples.len() as u64 / u64::from(self.channels);
        frames * 1_000 / u64::from(self.rate_hz)
    }
}

fn expect_tag(file: &[u8], offset: usize, expected: &'static str) -> Result<(), WavError> {
    if file.get(offset..offset + 4) == Some(expected.as_bytes()) {
        Ok(())
    } else {
        Err(WavError::NotWav { expected, offset })
    }
}

/// How a file's audio is coded.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    encoding: Encoding,
    channels: u16,
    rate_hz: u32,
}

#[derive(Clone, Copy)]
enum Encoding {
    /// Octets of a sample: 1 to 4.
    Pcm(usize),
    Law(Law),
}

impl Format {
    /// Reads the body of a `fmt ` chunk that stands at `offset`.
    pub(crate) fn parse(body: &[u8], offset: usize) -> Result<Self, WavError> {
        if body.len() < 16 {
            return Err(WavError::ShortFormat {
                offset,
                len: body.len(),
            });
        }
        let u16_at = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
        let (channels, bits) = (u16_at(2), u16_at(14));
        let rate_hz = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
        let wrong = |field, value: u32, expected| WavError::Format {
            field,
            value,
            expected,
        };
        let mut tag = u16_at(0);
        if tag == FORMAT_EXTENSIBLE && body.len() >= 26 {
            tag = u16_at(24);
        }
        let encoding = match (tag, bits) {
            (FORMAT_PCM, 8 | 16 | 24 | 32) => Encoding::Pcm(usize::from(bits / 8)),
            (FORMAT_MULAW, 8) => Encoding::Law(Law::Mu),
            (FORMAT_ALAW, 8) => Encoding::Law(Law::A),
            (FORMAT_PCM | FORMAT_MULAW | FORMAT_ALAW, _) => {
                return Err(wrong(
                    "bits per sample",
                    bits.into(),
                    "8, 16, 24 or 32 for PCM, 8 for µ-law and A-law",
                ));
            }
            _ => {
                return Err(wrong(
                    "format tag",
                    tag.into(),
                    "1 (PCM), 6 (A-law) or 7 (µ-law); convert the file",
                ));
            }
        };
        if !(1..=8).contains(&channels) {
            return Err(wrong("channels", channels.into(), "1 to 8"));
        }
        if !(1_000..=192_000).contains(&rate_hz) {
            return Err(wrong("sample rate", rate_hz, "1000 to 192000 Hz"));
        }
        Ok(Self {
            encoding,
            channels,
            rate_hz,
        })
    }

    /// Octets of one sample of every channel.
    fn block(self) -> usize {
        let width = match self.encoding {
            Encoding::Pcm(width) => width,
            Encoding::Law(_) => 1,
        };
        width * usize::from(self.channels)
    }

    /// Milliseconds of so many octets of audio.
    pub(crate) fn duration_ms(self, octets: u64) -> u64 {
        octets / self.block() as u64 * 1_000 / u64::from(self.rate_hz)
    }

    /// Decodes whole sample groups; a torn last one is left out.
    fn decode(self, audio: &[u8]) -> Vec<i16> {
        let block = self.block();
        let audio = &audio[..audio.len() / block * block];
        match self.encoding {
            Encoding::Law(law) => {
                let mut samples = vec![0; audio.len()];
                law.decode(audio, &mut samples);
                samples
            }
            // 8 bit is unsigned, wider is signed; the upper 16 bits are kept.
            Encoding::Pcm(1) => audio.iter().map(|o| (i16::from(*o) - 128) << 8).collect(),
            Encoding::Pcm(width) => audio
                .chunks_exact(width)
                .map(|o| i16::from_le_bytes([o[width - 2], o[width - 1]]))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file with any format chunk and 16 octets of data.
    fn file(tag: u16, channels: u16, rate_hz: u32, bits: u16) -> Vec<u8> {
        let mut file = header(8_000, 1, 16).to_vec();
        file[20..22].copy_from_slice(&tag.to_le_bytes());
        file[22..24].copy_from_slice(&channels.to_le_bytes());
        file[24..28].copy_from_slice(&rate_hz.to_le_bytes());
        file[34..36].copy_from_slice(&bits.to_le_bytes());
        file.extend(1..=16u8);
        file
    }

    fn message(file: &[u8]) -> String {
        Wav::parse(file).unwrap_err().to_string()
    }

    #[test]
    fn what_we_write_is_read_back_by_us_and_by_others() {
        let file = encode_mono(&[1, -2, 300], 16_000);
        let wav = Wav::parse(&file).unwrap();
        assert_eq!(
            (wav.rate_hz, wav.channels, wav.truncated),
            (16_000, 1, false)
        );
        assert_eq!(wav.samples, [1, -2, 300]);
        let mut judge = hound::WavReader::new(file.as_slice()).unwrap();
        let samples: Vec<i16> = judge.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, -2, 300]);
    }

    #[test]
    fn files_of_other_writers_are_read() {
        for (bits, format) in [
            (8, hound::SampleFormat::Int),
            (16, hound::SampleFormat::Int),
            (24, hound::SampleFormat::Int),
            (32, hound::SampleFormat::Int),
        ] {
            let spec = hound::WavSpec {
                channels: 2,
                sample_rate: 44_100,
                bits_per_sample: bits,
                sample_format: format,
            };
            let mut octets = std::io::Cursor::new(Vec::new());
            let mut writer = hound::WavWriter::new(&mut octets, spec).unwrap();
            let scale = 1i32 << (bits - 8);
            for value in [64, -64, 0, 32] {
                writer.write_sample(value * scale).unwrap();
            }
            writer.finalize().unwrap();
            let wav = Wav::parse(octets.get_ref()).unwrap();
            assert_eq!(wav.samples, [64 << 8, -64 << 8, 0, 32 << 8], "{bits} bit");
            assert_eq!(wav.channel(1), [-64 << 8, 32 << 8]);
            assert_eq!(wav.mono(), [0, 16 << 8]);
            assert_eq!(wav.channel(2), Vec::<i16>::new());
        }
    }

    #[test]
    fn law_coded_files_are_decoded() {
        let wav = Wav::parse(&file(FORMAT_MULAW, 1, 8_000, 8)).unwrap();
        assert_eq!(wav.samples.len(), 16);
        assert_eq!(wav.samples[0], -31_100);
        assert!(Wav::parse(&file(FORMAT_ALAW, 1, 8_000, 8)).is_ok());
    }

    #[test]
    fn an_interrupted_file_is_read_as_far_as_it_goes() {
        let mut file = encode_mono(&[7; 100], 8_000);
        file.truncate(HEADER_LEN + 51);
        let wav = Wav::parse(&file).unwrap();
        assert_eq!(wav.samples, [7; 25]);
        assert!(wav.truncated);
        // A header that was never completed.
        let mut file = encode_mono(&[7; 100], 8_000);
        file[40..44].fill(0);
        assert_eq!(Wav::parse(&file).unwrap().samples.len(), 100);
    }

    #[test]
    fn errors_name_chunk_field_and_offset() {
        assert_eq!(
            message(b""),
            "not a WAV file: expected \"RIFF\" at offset 0"
        );
        assert_eq!(
            message(b"RIFF\0\0\0\0AVI "),
            "not a WAV file: expected \"WAVE\" at offset 8"
        );
        assert_eq!(
            message(b"RIFF\0\0\0\0WAVE"),
            "the file has no \"fmt \" chunk"
        );
        assert_eq!(
            message(&header(8_000, 1, 0)[..36]),
            "the file has no \"data\" chunk"
        );
        assert!(
            message(&file(1, 1, 8_000, 12))
                .starts_with("field bits per sample in chunk \"fmt \" is 12")
        );
        assert!(
            message(&file(85, 1, 8_000, 16))
                .starts_with("field format tag in chunk \"fmt \" is 85")
        );
        assert!(
            message(&file(1, 0, 8_000, 16)).starts_with("field channels in chunk \"fmt \" is 0")
        );
        assert!(
            message(&file(1, 1, 0, 16)).starts_with("field sample rate in chunk \"fmt \" is 0")
        );
        let missing = Wav::read(Path::new("/nonexistent/a.wav"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("cannot read /nonexistent/a.wav:"),
            "{missing}"
        );
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(mut octets in proptest::collection::vec(any::<u8>(), 0..200), keep in 0usize..44) {
            let good = header(8_000, 1, 100);
            let keep = keep.min(octets.len());
            octets[..keep].copy_from_slice(&good[..keep]);
            if let Ok(wav) = Wav::parse(&octets) {
                prop_assert!(wav.samples.len() <= octets.len());
                let _ = (wav.mono(), wav.duration_ms());
            }
        }
    }
}
