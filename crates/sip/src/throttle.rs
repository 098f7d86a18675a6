//! Bounds per source address: messages per second and failed log-ins. Memory is bounded too.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use switchhook_model::Timestamp;

/// A token bucket per source.
#[derive(Debug)]
pub struct RateLimiter<K = IpAddr> {
    per_s: f64,
    burst: f64,
    capacity: usize,
    buckets: HashMap<K, Bucket>,
    /// Shared by all sources beyond `capacity`.
    crowd: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    fn take(&mut self, now: Timestamp, per_s: f64, burst: f64) -> bool {
        let elapsed_ms = now.millis_since(self.at);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between messages")]
        let refill = elapsed_ms as f64 * per_s / 1_000.0;
        self.tokens = (self.tokens + refill).min(burst);
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

impl<K: Hash + Eq> RateLimiter<K> {
    /// `per_s` messages a second after a burst, counted for at most `capacity` sources.
    pub fn new(per_s: u32, burst: u32, capacity: usize) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            per_s: f64::from(per_s),
            burst,
            capacity: capacity.max(1),
            buckets: HashMap::new(),
            crowd: Bucket {
                tokens: burst,
                at: Timestamp::from_millis(0),
            },
        }
    }

    /// Whether one more message of this source is let in.
    pub fn allow(&mut self, source: K, now: Timestamp) -> bool {
        let (per_s, burst) = (self.per_s, self.burst);
        if let Some(bucket) = self.buckets.get_mut(&source) {
            return bucket.take(now, per_s, burst);
        }
        if self.buckets.len() >= self.capacity {
            self.forget_idle(now);
        }
        if self.buckets.len() >= self.capacity {
            return self.crowd.take(now, per_s, burst);
        }
        let mut bucket = Bucket {
            tokens: burst,
            at: now,
        };
        let allowed = bucket.take(now, per_s, burst);
        self.buckets.insert(source, bucket);
        allowed
    }

    /// How many sources are counted.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// A full bucket says the same as none.
    fn forget_idle(&mut self, now: Timestamp) {
        let (per_s, burst) = (self.per_s, self.burst);
        self.buckets.retain(|_, bucket| {
            let mut probe = *bucket;
            probe.take(now, per_s, burst);
            probe.tokens < burst - 1.0
        });
    }
}

/// Counts failed log-ins per key within a window.
#[derive(Debug)]
pub struct FailureCounter<K> {
    max: u32,
    window_ms: u64,
    capacity: usize,
    failures: HashMap<K, (Timestamp, u32)>,
}

impl<K: Hash + Eq> FailureCounter<K> {
    /// Blocks a key after `max` failures within `window_ms`, until the window is over.
    pub fn new(max: u32, window_ms: u64, capacity: usize) -> Self {
        Self {
            max: max.max(1),
            window_ms,
            capacity: capacity.max(1),
            failures: HashMap::new(),
        }
    }

    /// Whether the key has failed too often.
    pub fn is_blocked(&self, key: &K, now: Timestamp) -> bool {
        self.failures.get(key).is_some_and(|(since, count)| {
            *count >= self.max && now.millis_since(*since) < self.window_ms
        })
    }

    /// Notes a failure.
    pub fn failed(&mut self, key: K, now: Timestamp) {
        let window_ms = self.window_ms;
        if self.failures.len() >= self.capacity && !self.failures.contains_key(&key) {
            self.failures
                .retain(|_, (since, _)| now.millis_since(*since) < window_ms);
            if self.failures.len() >= self.capacity {
                // Under attack from everywhere: the per-address limit is what holds then.
                return;
            }
        }
        let entry = self.failures.entry(key).or_insert((now, 0));
        if now.millis_since(entry.0) >= window_ms {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Forgets the failures of a key that logged in.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut limiter = RateLimiter::new(10, 3, 100);
        let passed = (0..5).filter(|_| limiter.allow(ip(1), at(0))).count();
        assert_eq!(passed, 3);
        assert!(
            limiter.allow(ip(2), at(0)),
            "another source is not affected"
        );
        assert!(!limiter.allow(ip(1), at(50)));
        assert!(limiter.allow(ip(1), at(200)));
    }

    #[test]
    fn memory_is_bounded_and_strangers_share() {
        let mut limiter = RateLimiter::new(1, 2, 2);
        for n in 0..2 {
            assert!(limiter.allow(ip(n), at(0)));
            assert!(limiter.allow(ip(n), at(0)));
        }
        let passed = (10..100).filter(|n| limiter.allow(ip(*n), at(0))).count();
        assert_eq!((passed, limiter.len()), (2, 2));
        assert!(
            limiter.allow(ip(200), at(10_000)),
            "idle sources are forgotten"
        );
    }

    #[test]
    fn failures_block_for_the_window() {
        let mut counter = FailureCounter::new(2, 1_000, 2);
        assert!(!counter.is_blocked(&"a", at(0)));
        counter.failed("a", at(0));
        counter.failed("a", at(1));
        assert!(counter.is_blocked(&"a", at(2)));
        assert!(!counter.is_blocked(&"a", at(1_000)));
        counter.failed("b", at(0));
        counter.failed("c", at(0));
        assert!(counter.failures.len() <= 2);
        counter.succeeded(&"a");
        assert!(!counter.is_blocked(&"a", at(2)));
    }
}
