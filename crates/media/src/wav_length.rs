//! How long a WAV file is, without reading its audio: a recording of hours is hundreds of MB.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::wav::{Format, WavError};

/// Chunks looked at before `data`: a file with more is not one of ours, nor of any common program.
const CHUNKS_MAX: usize = 10_000;

/// Length of a file's audio in milliseconds, of any size, from its header and its size. Reads a few
/// dozen octets, but blocks as reading does.
///
/// # Errors
/// The same as those of [`crate::wav::Wav::read`], but for the size.
pub fn duration_ms(path: &Path) -> Result<u64, WavError> {
    let read = |source| WavError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let file_len = file.metadata().map_err(read)?.len();
    let mut head = [0; 12];
    let got = read_at(&file, &mut head, 0).map_err(read)?;
    for (expected, offset) in [("RIFF", 0), ("WAVE", 8)] {
        if head[..got].get(offset..offset + 4) != Some(expected.as_bytes()) {
            return Err(WavError::NotWav { expected, offset });
        }
    }
    let mut format: Option<Format> = None;
    let mut offset = 12_u64;
    for _ in 0..CHUNKS_MAX {
        let mut chunk = [0; 8];
        if read_at(&file, &mut chunk, offset).map_err(read)? < chunk.len() {
            break;
        }
        let claimed = u64::from(u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
        let rest = file_len.saturating_sub(offset + 8);
        match &chunk[..4] {
            b"fmt " => {
                let mut body = [0; 40];
                let wanted = usize::try_from(claimed)
                    .unwrap_or(usize::MAX)
                    .min(body.len());
                let got = read_at(&file, &mut body[..wanted], offset + 8).map_err(read)?;
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                format = Some(Format::parse(&body[..got], at)?);
            }
            b"data" => {
                let format = format.ok_or(WavError::MissingChunk("fmt "))?;
                // As in `Wav::parse`: a streamed file claims 0 or 4 GB.
                let unknown = claimed == 0 || claimed >= 0x7FFF_FF00;
                let octets = if unknown { rest } else { claimed.min(rest) };
                return Ok(format.duration_ms(octets));
            }
            _ => {}
        }
        offset = offset + 8 + claimed + (claimed & 1);
    }
    Err(WavError::MissingChunk(if format.is_some() {
        "data"
    } else {
        "fmt "
    }))
}

/// Fills as much of `buffer` as the file has from `offset` on.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wav::{FILE_MAX, Wav, encode_mono, header};

    fn write(bytes: &[u8]) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file.into_temp_path()
    }

    #[test]
    fn hours_are_measured_without_reading_them() {
        // Three hours of 8 kHz stereo, a hole in the file system.
        let octets = 3 * 3_600 * 8_000 * 4_u32;
        let path = write(&header(8_000, 2, octets));
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(44 + u64::from(octets)).unwrap();
        assert!(
            u64::from(octets) > FILE_MAX,
            "larger than what is read whole"
        );
        assert_eq!(duration_ms(&path).unwrap(), 3 * 3_600_000);
        // Its writer was killed before the first header that counts anything.
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&header(8_000, 2, 0), 0)
            .unwrap();
        assert_eq!(duration_ms(&path).unwrap(), 3 * 3_600_000);
    }

    #[test]
    fn a_header_that_promises_more_than_there_is_is_not_believed() {
        let mut bytes = header(8_000, 1, 1_000_000).to_vec();
        bytes.extend([0; 16_000]);
        assert_eq!(duration_ms(&write(&bytes)).unwrap(), 1_000);
    }

    #[test]
    fn what_is_no_recording_says_what_is_wrong() {
        let error = |bytes: &[u8]| duration_ms(&write(bytes)).unwrap_err().to_string();
        assert!(error(b"").contains("RIFF"));
        assert!(error(b"RIFF").contains("WAVE"));
        assert!(error(b"RIFF....WAVE").contains("fmt "));
        assert!(error(&header(8_000, 1, 0)[..36]).contains("data"));
        let missing = duration_ms(Path::new("/nonexistent.wav")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent.wav"));
    }

    proptest! {
        #[test]
        fn it_agrees_with_reading_the_whole_file(
            samples in proptest::collection::vec(any::<i16>(), 0..5_000),
            damage in proptest::collection::vec((0_usize..60, any::<u8>()), 0..3),
        ) {
            let mut bytes = encode_mono(&samples, 8_000);
            for (at, value) in damage {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let path = write(&bytes);
            match (duration_ms(&path), Wav::parse(&bytes)) {
                (Ok(ms), Ok(wav)) => prop_assert_eq!(ms, wav.duration_ms()),
                (Err(ours), Err(theirs)) => prop_assert_eq!(ours.to_string(), theirs.to_string()),
                (ours, theirs) => prop_assert!(false, "{:?} and {:?}", ours, theirs.map(|w| w.rate_hz)),
            }
        }
    }
}
