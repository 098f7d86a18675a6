//! Telling staff: a notice leaves the process and is accepted, or is not.

use std::time::Duration;

use async_trait::async_trait;
use switchhook_model::MessageId;

use crate::Secret;
use crate::http::ProviderConfigError;

/// One notice as it leaves. The id is the same at every try, so that the receiver can tell a
/// repetition from a second notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Idempotency key; sent as `webhook-id`.
    pub id: MessageId,
    /// Where it goes.
    pub url: String,
    /// JSON text. It is signed byte by byte as given here.
    pub body: String,
    /// Signing secret (`whsec_…`); `None` = unsigned.
    pub secret: Option<Secret>,
}

/// The receiver took the notice over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its HTTP status, 200 to 299.
    pub status: u16,
}

/// Why a notice was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    #[error(
        "notice receiver {host} cannot be reached: {cause}; check the notice URL and that the receiver runs"
    )]
    Unreachable { host: String, cause: String },
    #[error("notice receiver {host} did not answer within {limit_ms} ms")]
    TimedOut { host: String, limit_ms: u64 },
    #[error("notice receiver {host} answered {status}; it is tried again")]
    Failed {
        host: String,
        status: u16,
        body: String,
        /// As the receiver asked by `retry-after`.
        retry_after: Option<Duration>,
    },
    #[error(
        "notice receiver {host} refused with {status}; it is not tried again: check the notice URL and the signing secret on both sides"
    )]
    Refused {
        host: String,
        status: u16,
        body: String,
    },
    #[error("the notice of {bytes} bytes is larger than {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    #[error("notice signing secret: {0}; expected whsec_ and base64 of 24 to 64 bytes")]
    Secret(String),
    #[error("notice URL: {0}")]
    Url(ProviderConfigError),
}

impl NoticeError {
    /// The same notice may be accepted later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Failed { .. } => true,
            Self::Refused { .. } | Self::TooLarge { .. } | Self::Secret(_) | Self::Url(_) => false,
        }
    }

    /// What the receiver wrote with its refusal, one line. It may repeat the notice, so it is not
    /// part of the error's own text, which is logged: show it only beside the notice.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::Failed { body, .. } | Self::Refused { body, .. } => {
                Some(body.as_str()).filter(|body| !body.is_empty())
            }
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Secret(_)
            | Self::Url(_) => None,
        }
    }

    /// How long the receiver asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Secret(_)
            | Self::Url(_) => None,
        }
    }
}

/// Delivers notices. One call is one try; repeating is the outbox's affair.
#[async_trait]
pub trait NoticeSender: Send + Sync + std::fmt::Debug {
    /// Sends `notice` once.
    async fn deliver(&self, notice: &Notice) -> Result<Accepted, NoticeError>;
}
