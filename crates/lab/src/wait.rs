//! Waiting for what another process does, where nothing tells when it has happened: a question asked
//! again and again, with a deadline. What happens in this process is waited for by its own event.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// Pause between two questions. Whoever asks twice a time stays below the gateway's limit for a user.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Asks until the answer is `Ok`, and gives it. `Err` is what was seen instead.
///
/// # Panics
/// If it is not within `limit` (wall time), with `what` and what was seen last.
pub async fn until<T, S: Display>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let seen = match ask().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} in vain for {what}; the last that was seen:\n{seen}"
        );
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The same where a look is enough: `Ok` if it `holds`, else what `shows` says.
pub fn check<S>(holds: bool, shows: impl FnOnce() -> S) -> Result<(), S> {
    if holds { Ok(()) } else { Err(shows()) }
}
