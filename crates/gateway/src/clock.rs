//! The one place that reads the wall clock and makes ids; everything behind takes them as data.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use switchhook_model::{CallId, Timestamp};

/// Now, in milliseconds since the epoch.
pub fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long until `at`; zero if it has passed.
pub fn until(at: Timestamp) -> Duration {
    Duration::from_millis(at.millis_since(now()))
}

/// A new call id: a ULID, so that ids sort by time.
pub fn new_call_id() -> CallId {
    CallId::from_unique(&ulid::Ulid::generate().to_string().to_lowercase())
}
