//! A CA for one test, and certificates of it.

use std::path::PathBuf;

use rcgen::{CertificateParams, Issuer, KeyPair};
use tempfile::TempDir;

/// Certificate and key as PEM files.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, PKCS#8.
    pub key: PathBuf,
}

/// A CA that nobody but the test trusts; its files are removed with it.
#[derive(Debug)]
pub struct Ca {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "CA of a test");
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.self_signed(&key).expect("the key is good");
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        std::fs::write(dir.path().join("ca.pem"), certificate.pem())
            .expect("the temporary directory is writable");
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    /// The CA's own certificate.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a host name or an address.
    pub fn issue(&self, host: &str) -> CertificateFiles {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host or address");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, host);
        let key = KeyPair::generate().expect("the system has randomness");
        let signed = params.signed_by(&key, &self.issuer).expect("good keys");
        let files = CertificateFiles {
            certificate: self.dir.path().join(format!("{host}.pem")),
            key: self.dir.path().join(format!("{host}.key")),
        };
        for (file, text) in [
            (&files.certificate, signed.pem()),
            (&files.key, key.serialize_pem()),
        ] {
            std::fs::write(file, text).expect("the temporary directory is writable");
        }
        files
    }
}

impl Default for Ca {
    fn default() -> Self {
        Self::new()
    }
}
