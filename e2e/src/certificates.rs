//! Certificates made for one test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// A CA of its own and what it issued, as PEM files: `ca.pem`, `NAME.pem` and `NAME.key`.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    /// A new CA.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "CA of a test");
        let key = KeyPair::generate().expect("a key is made");
        let ca = params.self_signed(&key).expect("a CA signs itself");
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).expect("it is writable");
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a certificate for 127.0.0.1 and its key.
    pub fn issue(&self, name: &str) {
        let params =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address is a name");
        let key = KeyPair::generate().expect("a key is made");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the CA signs it");
        let write = |end: &str, text: String| {
            std::fs::write(self.dir.path().join(format!("{name}.{end}")), text)
                .expect("it is writable");
        };
        write("pem", certificate.pem());
        write("key", key.serialize_pem());
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}
