//! What handlers share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use switchhook_model::Timestamp;
use switchhook_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::auth::{PasswordCheck, TokenKeys};
use super::limits::{LoginThrottle, RateLimits};
use super::live::LiveFeed;
use super::ports::Operator;
use crate::network::Network;

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where [`switchhook_store::RecordingRow::file`] is found.
    pub recordings: PathBuf,
    /// Life of an access token. At most 30 minutes is sensible: it cannot be taken back.
    pub access_ttl: Duration,
    /// Life of a refresh token, void earlier when the user's password, role or state changes.
    pub refresh_ttl: Duration,
    /// Requests a source may make per second, and at once.
    pub source_rate: Rate,
    /// Requests a signed-in user may make per second, and at once.
    pub user_rate: Rate,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Largest request body in bytes.
    pub body_max: usize,
    /// Live streams open at once, over all users.
    pub streams_max: usize,
    /// Time between two heartbeats of a live stream.
    pub heartbeat: Duration,
    /// How long after the last reader of a live stream left its events are still made: it may come back.
    pub reader_awaited: Duration,
    /// Whether the public address is https: then browsers are told never to use anything else.
    pub https: bool,
}

/// Tokens flow in at `per_second` up to `burst`.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            recordings: PathBuf::from("var/recordings"),
            access_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: Duration::from_secs(12 * 60 * 60),
            // A console page makes about ten requests when it opens.
            source_rate: Rate {
                per_second: 50,
                burst: 300,
            },
            user_rate: Rate {
                per_second: 25,
                burst: 200,
            },
            trusted_proxies: Vec::new(),
            body_max: 64 * 1024,
            streams_max: 128,
            heartbeat: Duration::from_secs(15),
            reader_awaited: Duration::from_secs(30),
            https: false,
        }
    }
}

pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    pub(super) store: Store,
    pub(super) operator: Arc<dyn Operator>,
    pub(super) keys: Arc<TokenKeys>,
    pub(super) config: Arc<HttpConfig>,
    pub(super) clock: Clock,
    pub(super) metrics: Option<PrometheusHandle>,
    pub(super) passwords: Arc<PasswordCheck>,
    pub(super) logins: Arc<LoginThrottle>,
    pub(super) limits: Arc<RateLimits>,
    pub(super) live: LiveFeed,
    /// One permit for each open live stream.
    pub(super) streams: Arc<Semaphore>,
    /// Ends live streams, so that a graceful shutdown does not wait for them.
    pub(super) shutdown: CancellationToken,
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl HttpState {
    /// Starts the task that feeds live streams; it ends with `shutdown`. Must run within tokio.
    pub fn new(
        store: Store,
        operator: Arc<dyn Operator>,
        keys: TokenKeys,
        config: HttpConfig,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        metrics: Option<PrometheusHandle>,
        shutdown: CancellationToken,
    ) -> Self {
        let live = LiveFeed::start(
            store.clone(),
            operator.subscribe(),
            config.reader_awaited,
            shutdown.clone(),
        );
        Self {
            live,
            streams: Arc::new(Semaphore::new(config.streams_max)),
            store,
            operator,
            keys: Arc::new(keys),
            limits: Arc::new(RateLimits::new(config.source_rate, config.user_rate)),
            config: Arc::new(config),
            clock: Arc::new(clock),
            metrics,
            passwords: Arc::new(PasswordCheck::new()),
            logins: Arc::new(LoginThrottle::default()),
            shutdown,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
