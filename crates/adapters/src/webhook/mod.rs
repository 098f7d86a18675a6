//! Notices as signed webhooks (Standard Webhooks).

pub mod signature;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;

use crate::http::{self, ProviderConfigError};
use crate::notice::{Accepted, Notice, NoticeError, NoticeSender};
use signature::SigningKey;

/// Largest body that is sent, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// Longest piece of the receiver's answer that is kept, in characters.
const ANSWER_TEXT: usize = 200;

/// Time limits of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookLimits {
    /// For the connection.
    pub connect: Duration,
    /// From the start to the receiver's status line.
    pub whole: Duration,
}

impl Default for WebhookLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            whole: Duration::from_secs(10),
        }
    }
}

/// Posts notices. Redirects are refused: a signed notice goes where it was configured to go.
#[derive(Debug, Clone)]
pub struct WebhookSender {
    limits: WebhookLimits,
    /// For receivers reached by http, and for those by https.
    plain: reqwest::Client,
    local: reqwest::Client,
    tls: Result<reqwest::Client, ProviderConfigError>,
}

impl WebhookSender {
    /// A sender with these limits.
    ///
    /// # Errors
    /// If the HTTP client cannot be prepared. Missing certificates are reported only when a
    /// notice goes to an https address.
    pub fn new(limits: WebhookLimits) -> Result<Self, ProviderConfigError> {
        let make = |url: &str| {
            let url = http::base_url(url).expect("a constant URL");
            http::client(&url, limits.connect)
        };
        Ok(Self {
            limits,
            plain: make("http://example.org")?,
            local: make("http://127.0.0.1")?,
            tls: make("https://example.org"),
        })
    }

    fn client_for(&self, url: &url::Url) -> Result<&reqwest::Client, NoticeError> {
        if url.scheme() == "https" {
            self.tls.as_ref().map_err(|e| NoticeError::Url(e.clone()))
        } else if http::is_loopback(url) {
            Ok(&self.local)
        } else {
            Ok(&self.plain)
        }
    }
}

#[async_trait]
impl NoticeSender for WebhookSender {
    async fn deliver(&self, notice: &Notice) -> Result<Accepted, NoticeError> {
        if notice.body.len() > MAX_BODY {
            return Err(NoticeError::TooLarge {
                bytes: notice.body.len(),
                limit: MAX_BODY,
            });
        }
        let url = http::checked_url(&notice.url).map_err(NoticeError::Url)?;
        let host = http::host(&url);
        let timestamp = unix_seconds();
        let mut request = self
            .client_for(&url)?
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", notice.id.as_str())
            .header("webhook-timestamp", timestamp);
        if let Some(secret) = &notice.secret {
            let key = SigningKey::from_secret(secret).map_err(NoticeError::Secret)?;
            let signature = key.sign(notice.id.as_str(), timestamp, notice.body.as_bytes());
            request = request.header("webhook-signature", signature);
        }
        let sent = request.body(notice.body.clone()).send();
        let response = match tokio::time::timeout(self.limits.whole, sent).await {
            Err(_) => return Err(self.timed_out(host)),
            Ok(Err(error)) if error.is_timeout() && !error.is_connect() => {
                return Err(self.timed_out(host));
            }
            Ok(Err(error)) => {
                return Err(NoticeError::Unreachable {
                    host,
                    cause: http::chain(&error.without_url()),
                });
            }
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Accepted {
                status: status.as_u16(),
            });
        }
        let retry_after = http::retry_after(response.headers(), SystemTime::now());
        let body = http::read_error_body(response).await;
        let body = http::clean(&String::from_utf8_lossy(&body), ANSWER_TEXT);
        let status = status.as_u16();
        Err(if matches!(status, 408 | 429) || status >= 500 {
            NoticeError::Failed {
                host,
                status,
                body,
                retry_after,
            }
        } else {
            NoticeError::Refused { host, status, body }
        })
    }
}

impl WebhookSender {
    fn timed_out(&self, host: String) -> NoticeError {
        NoticeError::TimedOut {
            host,
            limit_ms: u64::try_from(self.limits.whole.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_secs()).ok())
        .unwrap_or(0)
}
