//! TLS for SIP (RFC 3261 §26.3, RFC 5922): our certificates, what we trust, and both read again
//! when their files change. One provider (ring) whatever else is linked.

mod files;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

pub use files::TlsError;
use files::{Identity, read};

/// A certificate chain and its key, both PEM; the key as PKCS#8, PKCS#1 or SEC1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The server's own certificate first, then those that sign it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What TLS needs. By default: no listener, and the system's roots for connections of ours.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Addresses to listen on, usually port 5061.
    pub listen: Vec<std::net::SocketAddr>,
    /// What we show to those who connect.
    pub server: Option<TlsIdentity>,
    /// What we show where we connect, to those who ask for it.
    pub client: Option<TlsIdentity>,
    /// Certificates (PEM) that may sign those of the servers we connect to.
    pub ca_file: Option<PathBuf>,
    /// Trust what the system trusts as well.
    pub system_roots: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            server: None,
            client: None,
            ca_file: None,
            system_roots: true,
        }
    }
}

impl TlsConfig {
    /// Everything that is wrong with the files named here.
    pub fn check(&self) -> Vec<TlsError> {
        let provider = rustls::crypto::ring::default_provider();
        let now = SystemTime::now();
        let identities = [&self.server, &self.client].into_iter().flatten();
        let mut errors: Vec<TlsError> = identities
            .filter_map(|files| Identity::load(files, &provider, now).err())
            .collect();
        if let Some(file) = &self.ca_file {
            errors.extend(
                read(file)
                    .and_then(|pem| files::certificates(file, &pem))
                    .err(),
            );
        }
        errors
    }
}

/// How long before its end a certificate is warned about.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// The configurations in use. Connections that are open keep theirs.
pub(crate) struct Tls {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    server: Option<Arc<ServerConfig>>,
    /// Made at the first use: reading the system's roots takes a while.
    client: Option<Arc<ClientConfig>>,
    /// The files as they were when they were last looked at, good or not.
    seen: Vec<Vec<u8>>,
    warned_at: Option<SystemTime>,
}

impl Tls {
    /// Reads and checks all files.
    pub(crate) fn new(config: TlsConfig) -> Result<Self, TlsError> {
        let tls = Self {
            config,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            state: Mutex::default(),
        };
        tls.reload()?;
        Ok(tls)
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = [&self.config.server, &self.config.client];
        own.into_iter()
            .flatten()
            .flat_map(|identity| [&identity.certificate, &identity.key])
            .chain(&self.config.ca_file)
    }

    /// Reads everything again; on error all stays as it was.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let seen = self
            .files()
            .map(|path| std::fs::read(path).unwrap_or_default())
            .collect();
        // Noted first: broken files are told about once, not with every look.
        self.state().seen = seen;
        let now = SystemTime::now();
        let server = match &self.config.server {
            Some(files) => Some(self.server_config(files, now)?),
            None => None,
        };
        let needs_check = self.config.client.is_some() || self.config.ca_file.is_some();
        let client = needs_check.then(|| self.client_config(now)).transpose()?;
        let mut state = self.state();
        state.server = server;
        state.client = client;
        state.warned_at = None;
        Ok(())
    }

    /// Called every so often: reads changed files again, warns of certificates that end soon.
    pub(crate) fn look(&self) {
        let seen: Vec<Vec<u8>> = self
            .files()
            .map(|path| std::fs::read(path).unwrap_or_default())
            .collect();
        if seen != self.state().seen {
            match self.reload() {
                Ok(()) => tracing::info!("TLS certificates read again"),
                Err(error) => {
                    tracing::error!(%error, "TLS files changed but cannot be used; the old ones stay");
                }
            }
        }
        self.warn_of_end();
    }

    fn warn_of_end(&self) {
        let now = SystemTime::now();
        let recently = |at: SystemTime| {
            now.duration_since(at)
                .is_ok_and(|since| since < Duration::from_secs(86_400))
        };
        if self.state().warned_at.is_some_and(recently) {
            return;
        }
        self.state().warned_at = Some(now);
        for files in [&self.config.server, &self.config.client]
            .into_iter()
            .flatten()
        {
            let identity = Identity::load(files, &self.provider, now);
            match identity {
                Ok(identity) if identity.not_after < now + WARN_BEFORE => tracing::warn!(
                    file = %files.certificate.display(),
                    "TLS certificate ends within 14 days"
                ),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "TLS certificate"),
            }
        }
    }

    fn server_config(
        &self,
        files: &TlsIdentity,
        now: SystemTime,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let identity = Identity::load(files, &self.provider, now)?;
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(identity.chain, identity.key)
            })
            .map_err(|error| TlsError::unusable(&files.certificate, error))?;
        Ok(Arc::new(config))
    }

    fn client_config(&self, now: SystemTime) -> Result<Arc<ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.config.ca_file {
            for certificate in files::certificates(file, &read(file)?)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::unusable(file, error))?;
            }
        }
        if self.config.system_roots {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() && self.config.ca_file.is_none() {
                let causes = found.errors.iter().map(ToString::to_string);
                tracing::warn!(
                    cause = causes.collect::<Vec<_>>().join("; "),
                    "the system has no root certificates: no TLS server can be trusted"
                );
            }
            // Systems carry roots that no longer parse; the rest serves.
            roots.add_parsable_certificates(found.certs);
        }
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::General(error.to_string()))?
            .with_root_certificates(roots);
        let config = match &self.config.client {
            Some(files) => {
                let identity = Identity::load(files, &self.provider, now)?;
                builder
                    .with_client_auth_cert(identity.chain, identity.key)
                    .map_err(|error| TlsError::unusable(&files.certificate, error))?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// For those who connect to us now.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.state().server.clone()
    }

    /// For a connection of ours. Reads the system's roots at first: not for a hurried task.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(client) = self.state().client.clone() {
            return Ok(client);
        }
        let client = self.client_config(SystemTime::now())?;
        self.state().client = Some(client.clone());
        Ok(client)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a handshake of ours failed, for people.
pub(crate) fn handshake_cause(error: &std::io::Error, name: &str) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(inner) = inner else {
        return format!("TLS handshake: {error}");
    };
    match inner {
        rustls::Error::InvalidCertificate(cause) => match cause {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("TLS: the certificate of {name} has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("TLS: the certificate of {name} is not valid yet")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("TLS: the certificate shown is not for {name}")
            }
            CertificateError::UnknownIssuer => {
                format!("TLS: the certificate of {name} is signed by nobody we trust (tls_ca_file)")
            }
            other => format!("TLS: the certificate of {name} is not accepted: {other}"),
        },
        rustls::Error::AlertReceived(alert) => {
            format!("TLS: {name} refused the handshake: {alert:?}")
        }
        other => format!("TLS handshake with {name}: {other}"),
    }
}
