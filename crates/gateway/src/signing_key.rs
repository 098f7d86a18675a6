//! The key that signs our tokens: configured, or made once and kept in the data directory (demo and
//! development only).

use std::io::Write;
use std::path::Path;

use rand::Rng;

use crate::config::{Config, Secret};

#[derive(Debug, thiserror::Error)]
#[error("signing key {path}: {cause}")]
pub struct SigningKeyError {
    path: String,
    cause: std::io::Error,
}

/// The configured key, or the one in `signing.key` of the data directory, which is made (256 random
/// bits, readable by its owner only) when it is not there.
pub fn load(config: &Config) -> Result<Secret, SigningKeyError> {
    if let Some(key) = &config.http.signing_key {
        return Ok(key.clone());
    }
    let path = config.data.dir.join("signing.key");
    let fail = |cause| SigningKeyError {
        path: path.display().to_string(),
        cause,
    };
    std::fs::create_dir_all(&config.data.dir).map_err(fail)?;
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(&path, &key).map_err(fail)?;
    Ok(Secret::new(key))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
