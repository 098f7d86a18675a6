//! Certificates and keys from files, checked before they are used.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;

use super::TlsIdentity;

/// What is wrong with a TLS file. Always names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("TLS file {file} cannot be read: {cause}", file = file.display())]
    Unreadable { file: PathBuf, cause: String },
    #[error("TLS file {file} holds no certificate in PEM", file = file.display())]
    NoCertificate { file: PathBuf },
    #[error("TLS file {file}: {cause}", file = file.display())]
    BadPem { file: PathBuf, cause: String },
    #[error("TLS file {file} holds no private key in PEM (PKCS#8, PKCS#1 or SEC1)", file = file.display())]
    NoKey { file: PathBuf },
    #[error("TLS key {key} does not belong to the certificate in {certificate}", key = key.display(), certificate = certificate.display())]
    Unmatched { certificate: PathBuf, key: PathBuf },
    #[error("TLS certificate {file} ended on {not_after}: it is expired", file = file.display())]
    Expired { file: PathBuf, not_after: String },
    #[error("TLS certificate {file} begins on {not_before}: it is not valid yet", file = file.display())]
    NotYet { file: PathBuf, not_before: String },
    #[error("TLS file {file} cannot be used: {cause}", file = file.display())]
    Unusable { file: PathBuf, cause: String },
    #[error("TLS cannot be set up: {0}")]
    General(String),
}

impl TlsError {
    pub(super) fn unusable(file: &Path, cause: impl std::fmt::Display) -> Self {
        Self::Unusable {
            file: file.to_owned(),
            cause: cause.to_string(),
        }
    }
}

/// A certificate chain with its key.
pub(super) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub not_after: SystemTime,
}

impl Identity {
    /// Reads both files; the certificate must be of today and the key its own.
    pub(super) fn load(
        files: &TlsIdentity,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate, &read(&files.certificate)?)?;
        let key = private_key(&files.key, &read(&files.key)?)?;
        let not_after = check_dates(&files.certificate, &chain, now)?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), provider) {
            Ok(_) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(TlsError::Unmatched {
                    certificate: files.certificate.clone(),
                    key: files.key.clone(),
                });
            }
            Err(error) => return Err(TlsError::unusable(&files.key, error)),
        }
        Ok(Self {
            chain,
            key,
            not_after,
        })
    }
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| TlsError::Unreadable {
        file: file.to_owned(),
        cause: error.to_string(),
    })
}

/// All certificates of a PEM file; at least one.
pub(super) fn certificates(
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::BadPem {
            file: file.to_owned(),
            cause: error.to_string(),
        })?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate {
            file: file.to_owned(),
        });
    }
    Ok(found)
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::NoKey {
            file: file.to_owned(),
        },
        error => TlsError::BadPem {
            file: file.to_owned(),
            cause: error.to_string(),
        },
    })
}

/// The end of the first certificate, which must lie ahead.
fn check_dates(
    file: &Path,
    chain: &[CertificateDer<'static>],
    now: SystemTime,
) -> Result<SystemTime, TlsError> {
    let own = chain.first().ok_or_else(|| TlsError::NoCertificate {
        file: file.to_owned(),
    })?;
    let parsed = x509_cert::Certificate::from_der(own)
        .map_err(|error| TlsError::unusable(file, format!("not an X.509 certificate: {error}")))?;
    let validity = parsed.tbs_certificate.validity;
    if validity.not_before.to_system_time() > now {
        return Err(TlsError::NotYet {
            file: file.to_owned(),
            not_before: validity.not_before.to_string(),
        });
    }
    let not_after = validity.not_after.to_system_time();
    if not_after <= now {
        return Err(TlsError::Expired {
            file: file.to_owned(),
            not_after: validity.not_after.to_string(),
        });
    }
    Ok(not_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Made {
        dir: tempfile::TempDir,
        files: TlsIdentity,
    }

    fn made(until: i32) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["gw.example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let files = TlsIdentity {
            certificate: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        Made { dir, files }
    }

    fn load(files: &TlsIdentity) -> Result<Identity, TlsError> {
        let provider = rustls::crypto::ring::default_provider();
        Identity::load(files, &provider, SystemTime::now())
    }

    #[test]
    fn keys_in_pkcs8_and_sec1() {
        let made = made(2099);
        assert!(load(&made.files).is_ok());
        // The SEC1 form lies within the PKCS#8 one, as its last field.
        let text = std::fs::read(&made.files.key).unwrap();
        let pkcs8 = private_key(&made.files.key, &text).unwrap();
        let der = pkcs8.secret_der();
        let at = der
            .windows(4)
            .position(|w| w[0] == 0x04 && w[2] == 0x30)
            .unwrap();
        let sec1 =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der[at + 2..]);
        let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{sec1}\n-----END EC PRIVATE KEY-----\n");
        std::fs::write(&made.files.key, pem).unwrap();
        assert!(load(&made.files).is_ok());
    }

    #[test]
    fn what_is_wrong_names_the_file() {
        let good = made(2099);
        let path = |name: &str| good.dir.path().join(name);
        let with = |certificate: PathBuf, key: PathBuf| {
            load(&TlsIdentity { certificate, key }).err().unwrap()
        };
        let (cert, key) = (good.files.certificate.clone(), good.files.key.clone());

        let missing = with(path("none.pem"), key.clone());
        assert!(
            matches!(missing, TlsError::Unreadable { ref file, .. } if *file == path("none.pem"))
        );
        std::fs::write(path("text.pem"), "no pem").unwrap();
        let empty = with(path("text.pem"), key.clone());
        assert!(matches!(empty, TlsError::NoCertificate { .. }), "{empty}");
        let no_key = with(cert.clone(), path("text.pem"));
        assert!(matches!(no_key, TlsError::NoKey { .. }), "{no_key}");
        // Key and certificate mixed up.
        assert!(matches!(
            with(cert.clone(), cert.clone()),
            TlsError::NoKey { .. }
        ));
        let other = made(2099);
        let unmatched = with(cert.clone(), other.files.key.clone());
        assert!(
            matches!(unmatched, TlsError::Unmatched { .. }),
            "{unmatched}"
        );
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(path("junk.pem"), junk).unwrap();
        let junk = with(path("junk.pem"), key);
        assert!(matches!(junk, TlsError::Unusable { .. }), "{junk}");
        let expired = load(&made(2020).files).err().unwrap();
        assert!(matches!(expired, TlsError::Expired { .. }), "{expired}");
        assert!(
            expired.to_string().contains("cert.pem ended on 2020-01-01"),
            "{expired}"
        );
        let early = SystemTime::UNIX_EPOCH;
        let provider = rustls::crypto::ring::default_provider();
        let early = Identity::load(&good.files, &provider, early).err().unwrap();
        assert!(matches!(early, TlsError::NotYet { .. }), "{early}");
    }
}
