//! WAV files, and making any of them sound as if it came over a telephone.

use std::f64::consts::PI;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::g711::Law;
use super::{Audio, PHONE_RATE_HZ};

/// Why a WAV could not be read or written.
#[derive(Debug, Error)]
pub enum WavError {
    /// The file cannot be opened, or is not a WAV.
    #[error("{path}: not a readable WAV file ({cause}); give a PCM WAV")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the reader said.
        cause: hound::Error,
    },
    /// A kind of sample we do not read.
    #[error("{path}: {bits}-bit samples are not supported; give 16-bit PCM or 32-bit float")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Bits per sample found.
        bits: u16,
    },
    /// The file cannot be written.
    #[error("{path}: cannot be written ({cause})")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// What the writer said.
        cause: hound::Error,
    },
}

/// Reads every channel of a WAV file.
pub fn read_channels(path: &Path) -> Result<Vec<Audio>, WavError> {
    let unreadable = |cause| WavError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let mut reader = hound::WavReader::open(path).map_err(unreadable)?;
    let spec = reader.spec();
    let all: Vec<i16> = match (spec.sample_format, spec.bits_per_sample) {
        (hound::SampleFormat::Int, 16) => reader
            .samples::<i16>()
            .collect::<Result<_, _>>()
            .map_err(unreadable)?,
        (hound::SampleFormat::Float, 32) => reader
            .samples::<f32>()
            .map(|s| s.map(|s| (s * 32767.0).clamp(-32768.0, 32767.0) as i16))
            .collect::<Result<_, _>>()
            .map_err(unreadable)?,
        (_, bits) => {
            return Err(WavError::Format {
                path: path.to_owned(),
                bits,
            });
        }
    };
    let channels = usize::from(spec.channels.max(1));
    Ok((0..channels)
        .map(|channel| Audio {
            rate_hz: spec.sample_rate,
            samples: all
                .iter()
                .skip(channel)
                .step_by(channels)
                .copied()
                .collect(),
        })
        .collect())
}

/// Reads the first channel of a WAV file at its own rate.
pub fn read(path: &Path) -> Result<Audio, WavError> {
    Ok(read_channels(path)?.swap_remove(0))
}

/// Reads a WAV file whose writer has not closed it (or was killed): the sizes in its header may
/// still be zero, so everything after the `data` chunk's header is taken. 16-bit PCM only.
pub fn read_unfinished(path: &Path) -> Result<Vec<Audio>, WavError> {
    let io = |e| WavError::Unreadable {
        path: path.to_owned(),
        cause: hound::Error::IoError(e),
    };
    let bad = |m| WavError::Unreadable {
        path: path.to_owned(),
        cause: hound::Error::FormatError(m),
    };
    let bytes = std::fs::read(path).map_err(io)?;
    let find = |tag: &[u8]| bytes.windows(4).position(|w| w == tag);
    let fmt = find(b"fmt ").ok_or_else(|| bad("no fmt chunk"))?;
    let data = find(b"data").ok_or_else(|| bad("no data chunk"))? + 8;
    if bytes.len() < fmt + 24 || bytes.len() < data {
        return Err(bad("the header is cut off"));
    }
    let channels = usize::from(u16::from_le_bytes([bytes[fmt + 10], bytes[fmt + 11]])).max(1);
    let rate_hz = u32::from_le_bytes([
        bytes[fmt + 12],
        bytes[fmt + 13],
        bytes[fmt + 14],
        bytes[fmt + 15],
    ]);
    let all: Vec<i16> = bytes[data..]
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    Ok((0..channels)
        .map(|channel| Audio {
            rate_hz,
            samples: all
                .iter()
                .skip(channel)
                .step_by(channels)
                .copied()
                .collect(),
        })
        .collect())
}

/// Reads a WAV file and brings it to 8 kHz.
pub fn read_phone(path: &Path) -> Result<Audio, WavError> {
    Ok(to_phone_rate(&read(path)?))
}

/// Writes 16-bit mono.
pub fn write(path: &Path, audio: &Audio) -> Result<(), WavError> {
    let unwritable = |cause| WavError::Unwritable {
        path: path.to_owned(),
        cause,
    };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: audio.rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(unwritable)?;
    for sample in &audio.samples {
        writer.write_sample(*sample).map_err(unwritable)?;
    }
    writer.finalize().map_err(unwritable)
}

/// The same as bytes of a WAV file, for an upload.
pub fn to_bytes(audio: &Audio) -> Vec<u8> {
    let data_len = audio.samples.len() as u32 * 2;
    let mut out = Vec::with_capacity(44 + data_len as usize);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + data_len).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16u32.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&audio.rate_hz.to_le_bytes());
    out.extend_from_slice(&(audio.rate_hz * 2).to_le_bytes());
    out.extend_from_slice(&2u16.to_le_bytes());
    out.extend_from_slice(&16u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&data_len.to_le_bytes());
    for sample in &audio.samples {
        out.extend_from_slice(&sample.to_le_bytes());
    }
    out
}

/// Brings audio of any rate to 8 kHz by windowed-sinc interpolation (cut at 3.6 kHz).
pub fn to_phone_rate(audio: &Audio) -> Audio {
    if audio.rate_hz == PHONE_RATE_HZ {
        return audio.clone();
    }
    let ratio = f64::from(audio.rate_hz) / f64::from(PHONE_RATE_HZ);
    let cutoff = (3_600.0 / f64::from(audio.rate_hz)).min(0.5);
    let half = (24.0 * ratio.max(1.0)) as isize;
    let count = (audio.samples.len() as f64 / ratio) as usize;
    let samples = (0..count)
        .map(|n| {
            let centre = n as f64 * ratio;
            let first = centre as isize - half;
            let sum: f64 = (first..=first + 2 * half)
                .filter_map(|i| {
                    let x = audio.samples.get(usize::try_from(i).ok()?)?;
                    let distance = i as f64 - centre;
                    let window = 0.5 + 0.5 * (PI * distance / (half as f64 + 1.0)).cos();
                    Some(f64::from(*x) * low_pass(distance, cutoff) * window)
                })
                .sum();
            sum.clamp(-32768.0, 32767.0) as i16
        })
        .collect();
    Audio::phone(samples)
}

/// Telephone sound: 8 kHz, 300 to 3400 Hz, one trip through µ-law.
pub fn telephone(audio: &Audio) -> Audio {
    mu_law_round_trip(&telephone_band(&to_phone_rate(audio)))
}

/// Keeps 300 to 3400 Hz of 8 kHz audio (FIR, 255 taps; delay compensated).
pub fn telephone_band(audio: &Audio) -> Audio {
    const HALF: isize = 127;
    let rate = f64::from(audio.rate_hz);
    let taps: Vec<f64> = (-HALF..=HALF)
        .map(|n| {
            let window = 0.54 + 0.46 * (PI * n as f64 / HALF as f64).cos();
            (low_pass(n as f64, 3_400.0 / rate) - low_pass(n as f64, 300.0 / rate)) * window
        })
        .collect();
    let samples = (0..audio.samples.len() as isize)
        .map(|at| {
            let sum: f64 = taps
                .iter()
                .enumerate()
                .filter_map(|(k, tap)| {
                    let index = usize::try_from(at + k as isize - HALF).ok()?;
                    Some(f64::from(*audio.samples.get(index)?) * tap)
                })
                .sum();
            sum.clamp(-32768.0, 32767.0) as i16
        })
        .collect();
    Audio {
        rate_hz: audio.rate_hz,
        samples,
    }
}

/// Through µ-law and back.
pub fn mu_law_round_trip(audio: &Audio) -> Audio {
    Audio {
        rate_hz: audio.rate_hz,
        samples: audio
            .samples
            .iter()
            .map(|s| Law::Mu.decode(Law::Mu.encode(*s)))
            .collect(),
    }
}

/// Ideal low-pass impulse response at `n` samples from its centre; cut-off as a fraction of the
/// sample rate.
fn low_pass(n: f64, cutoff: f64) -> f64 {
    if n.abs() < 1e-9 {
        2.0 * cutoff
    } else {
        (2.0 * PI * cutoff * n).sin() / (PI * n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{rms, tone};

    fn sine_at(rate_hz: u32, hz: f64) -> Audio {
        let samples = (0..rate_hz)
            .map(|n| ((2.0 * PI * hz * f64::from(n) / f64::from(rate_hz)).sin() * 8000.0) as i16)
            .collect();
        Audio { rate_hz, samples }
    }

    #[test]
    fn resampling_keeps_pitch_and_level() {
        let out = to_phone_rate(&sine_at(22_050, 1000.0));
        assert!(out.samples.len().abs_diff(8000) < 2);
        let middle = out.window(100, 900);
        assert!(tone::energy_share(&middle.samples, 8000, 1000.0) > 0.99);
        let level = rms(&middle.samples) / rms(&sine_at(22_050, 1000.0).samples);
        assert!((0.97..1.03).contains(&level), "{level}");
    }

    #[test]
    fn the_telephone_band_drops_hum() {
        let hum = telephone_band(&sine_at(8000, 100.0)).window(100, 900);
        let voice = telephone_band(&sine_at(8000, 1000.0)).window(100, 900);
        assert!(rms(&hum.samples) < rms(&voice.samples) / 50.0);
    }

    #[test]
    fn a_file_survives_writing_and_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wav");
        let audio = sine_at(8000, 440.0);
        write(&path, &audio).unwrap();
        assert_eq!(read(&path).unwrap(), audio);
        assert_eq!(std::fs::read(&path).unwrap(), to_bytes(&audio));
        assert_eq!(read_unfinished(&path).unwrap()[0], audio);
    }

    #[test]
    fn a_corrupt_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken.wav");
        std::fs::write(&path, b"RIFFnonsense").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("broken.wav"));
    }
}
