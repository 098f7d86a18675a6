//! Who may ask how often.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use switchhook_model::Timestamp;

use super::state::Rate;

/// Requests in general, counted per source and per signed-in user.
#[derive(Debug)]
pub(super) struct RateLimits {
    sources: Keyed<IpAddr>,
    users: Keyed<String>,
}

impl RateLimits {
    pub fn new(source: Rate, user: Rate) -> Self {
        Self {
            sources: Keyed::new(source),
            users: Keyed::new(user),
        }
    }

    /// Or how long to wait.
    pub fn check_source(&self, source: IpAddr) -> Result<(), Duration> {
        self.sources.check(&source)
    }

    /// Or how long to wait.
    pub fn check_user(&self, user: &str) -> Result<(), Duration> {
        self.users.check(&user.to_owned())
    }
}

/// Above so many keys those that are back to normal are forgotten.
const KEYS_MAX: usize = 10_000;

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(rate: Rate) -> Self {
        let some = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(some(rate.per_second)).allow_burst(some(rate.burst));
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        }
    }

    fn check(&self, key: &K) -> Result<(), Duration> {
        if self.limiter.len() > KEYS_MAX {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(key)
            .map_err(|refusal| refusal.wait_time_from(self.clock.now()))
    }
}

/// Failed logins in a row a user name is allowed before it has to wait.
const FREE_TRIES_USER: u32 = 5;
/// The same for a source, which may be an office with many people.
const FREE_TRIES_SOURCE: u32 = 20;
/// The first wait; each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Failures older than this are forgotten.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Names and sources remembered; beyond it the oldest go.
const REMEMBERED_MAX: usize = 10_000;

/// Slows down guessing of passwords. Counts failures, not logins, so that whoever knows the password
/// is not held up; a wait applies to right passwords too, else it would tell which one is right.
#[derive(Debug, Default)]
pub(super) struct LoginThrottle {
    failures: Mutex<HashMap<Key, Failures>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Source(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
    wait_until: Timestamp,
}

impl LoginThrottle {
    /// Counts the try as failed until [`LoginThrottle::succeeded`] says otherwise: tries made at the
    /// same time all count. Or how long to wait.
    pub fn attempt(&self, user: &str, source: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED_MAX {
            forget_oldest(&mut failures, now);
        }
        let keys = [
            (Key::User(user.to_owned()), FREE_TRIES_USER),
            (Key::Source(source), FREE_TRIES_SOURCE),
        ];
        let wait = keys
            .iter()
            .filter_map(|(key, _)| failures.get(key))
            .map(|known| known.wait_until.millis_since(now))
            .max()
            .unwrap_or(0);
        if wait > 0 {
            return Err(Duration::from_millis(wait));
        }
        for (key, free) in keys {
            let known = failures
                .get(&key)
                .filter(|known| known.last + MEMORY > now)
                .map_or(0, |known| known.count);
            let count = known.saturating_add(1);
            failures.insert(
                key,
                Failures {
                    count,
                    last: now,
                    wait_until: now + wait_after(count, free),
                },
            );
        }
        Ok(())
    }

    /// Takes back what [`LoginThrottle::attempt`] counted. The name starts afresh; the source only
    /// gets its one try back, or one known password would allow any number of guesses.
    pub fn succeeded(&self, user: &str, source: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&Key::User(user.to_owned()));
        if let Some(known) = failures.get_mut(&Key::Source(source)) {
            known.count = known.count.saturating_sub(1);
            if known.count < FREE_TRIES_SOURCE {
                known.wait_until = known.last;
            }
        }
    }
}

fn wait_after(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(over) => FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(over.min(16)))
            .min(LONGEST_WAIT),
    }
}

fn forget_oldest(failures: &mut HashMap<Key, Failures>, now: Timestamp) {
    failures.retain(|_, known| known.last + MEMORY > now);
    if failures.len() < REMEMBERED_MAX {
        return;
    }
    // An attack with many names or sources: half of what is remembered makes room.
    let mut times: Vec<Timestamp> = failures.values().map(|known| known.last).collect();
    times.sort_unstable();
    let middle = times[times.len() / 2];
    failures.retain(|_, known| known.last > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn a_name_waits_longer_after_each_failure() {
        let throttle = LoginThrottle::default();
        for _ in 0..5 {
            assert_eq!(throttle.attempt("ada", HOME, at(0)), Ok(()));
        }
        assert_eq!(
            throttle.attempt("ada", HOME, at(0)),
            Err(Duration::from_secs(1))
        );
        assert_eq!(throttle.attempt("ada", HOME, at(1)), Ok(()));
        assert_eq!(
            throttle.attempt("ada", HOME, at(1)),
            Err(Duration::from_secs(2))
        );
        // Others are not held up by it.
        assert_eq!(throttle.attempt("eve", HOME, at(1)), Ok(()));
    }

    #[test]
    fn a_source_trying_many_names_is_stopped() {
        let throttle = LoginThrottle::default();
        for n in 0..20 {
            let name = format!("user{n}");
            assert_eq!(throttle.attempt(&name, HOME, at(0)), Ok(()), "{n}");
        }
        assert!(throttle.attempt("another", HOME, at(0)).is_err());
    }

    #[test]
    fn success_clears_the_name_but_not_the_source() {
        let throttle = LoginThrottle::default();
        for n in 0..15 {
            let name = format!("user{n}");
            throttle.attempt(&name, HOME, at(0)).unwrap();
        }
        for _ in 0..4 {
            throttle.attempt("own", HOME, at(0)).unwrap();
        }
        throttle.attempt("own", HOME, at(0)).unwrap();
        throttle.succeeded("own", HOME);
        // 19 failures of the source are left; the next two reach the limit.
        assert_eq!(throttle.attempt("own", HOME, at(0)), Ok(()));
        assert!(throttle.attempt("own", HOME, at(0)).is_err());
    }

    #[test]
    fn right_passwords_at_any_pace_are_not_held_up() {
        let throttle = LoginThrottle::default();
        for _ in 0..1000 {
            assert_eq!(throttle.attempt("ada", HOME, at(0)), Ok(()));
            throttle.succeeded("ada", HOME);
        }
    }

    #[test]
    fn failures_are_forgotten_and_memory_is_bounded() {
        let throttle = LoginThrottle::default();
        for _ in 0..5 {
            throttle.attempt("ada", HOME, at(0)).unwrap();
        }
        assert_eq!(throttle.attempt("ada", HOME, at(16 * 60)), Ok(()));
        assert_eq!(throttle.attempt("ada", HOME, at(16 * 60)), Ok(()));
        for n in 0..30_000_u32 {
            let source = IpAddr::V4(std::net::Ipv4Addr::from(n));
            throttle.attempt(&format!("u{n}"), source, at(2000)).ok();
        }
        let known = throttle.failures.lock().unwrap().len();
        assert!(known <= REMEMBERED_MAX + 2, "{known}");
    }
}
