//! How many calls are let in: per second and at once, for all and for each source. What is beyond
//! gets 503 with Retry-After, so that a carrier goes elsewhere; running calls never notice.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchhook_model::Timestamp;

use crate::config::{SipConfig, TrunkAddress, TrunkConfig, TrunkId};
use crate::event::Source;
use crate::throttle::RateLimiter;

/// Bounds on inbound calls. 0 means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallLimits {
    /// New calls a second; that many may come at once.
    pub per_s: u32,
    /// Calls at the same time.
    pub at_once: usize,
}

/// Why a call was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Rate,
    SourceRate,
    SourceFull,
}

impl Refused {
    /// As counted in metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Rate => "call_rate",
            Self::SourceRate => "source_call_rate",
            Self::SourceFull => "source_calls",
        }
    }

    /// Seconds after which another try is worth it.
    pub(crate) fn retry_after_s(self) -> u32 {
        match self {
            Self::Rate | Self::SourceRate => 2,
            Self::SourceFull => 10,
        }
    }
}

/// Who is counted together: a trunk, whatever address it calls from, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Trunk(TrunkId),
    Address(IpAddr),
}

/// Counts inbound calls.
pub(crate) struct Admission {
    /// For all; one bucket.
    all: Option<Mutex<RateLimiter<()>>>,
    per_address: Option<Mutex<RateLimiter<IpAddr>>>,
    trunks: HashMap<TrunkId, Option<Mutex<RateLimiter<()>>>>,
    limits: HashMap<TrunkId, usize>,
    at_once_per_address: usize,
    /// Not counted by their address.
    proxies: Vec<TrunkAddress>,
    running: Arc<Mutex<HashMap<Key, usize>>>,
}

/// One call's place; given back when dropped.
pub(crate) struct Admitted {
    running: Arc<Mutex<HashMap<Key, usize>>>,
    key: Key,
}

impl Admission {
    pub(crate) fn new(config: &SipConfig) -> Self {
        let limits = &config.limits;
        let rate_of = |trunk: &TrunkConfig| (trunk.id.clone(), limiter(trunk.calls.per_s, 1));
        Self {
            all: limiter(limits.calls_per_s, 1),
            per_address: limiter(limits.source_calls.per_s, limits.max_sources),
            trunks: config.trunks.iter().map(rate_of).collect(),
            limits: config
                .trunks
                .iter()
                .map(|trunk| (trunk.id.clone(), trunk.calls.at_once))
                .collect(),
            at_once_per_address: limits.source_calls.at_once,
            proxies: config.proxies.clone(),
            running: Arc::default(),
        }
    }

    /// Lets a call in or says why not. The source's own limit is asked first, so that one that
    /// floods does not use up what all share.
    pub(crate) fn admit(
        &self,
        source: &Source,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Admitted, Refused> {
        let is_proxy = self.proxies.iter().any(|proxy| proxy.matches_ip(address));
        let (key, at_once) = match source {
            Source::Trunk(id) => {
                let at_once = self.limits.get(id).copied().unwrap_or(0);
                (Key::Trunk(id.clone()), at_once)
            }
            Source::Extension(_) | Source::Guest => (
                Key::Address(address.to_canonical()),
                if is_proxy {
                    0
                } else {
                    self.at_once_per_address
                },
            ),
        };
        let admitted = self.place(key, at_once).ok_or(Refused::SourceFull)?;
        let in_rate = match &admitted.key {
            Key::Trunk(id) => {
                let rate = self.trunks.get(id).and_then(Option::as_ref);
                rate.is_none_or(|rate| lock(rate).allow((), now))
            }
            Key::Address(_) if is_proxy => true,
            Key::Address(ip) => {
                let rate = self.per_address.as_ref();
                rate.is_none_or(|rate| lock(rate).allow(*ip, now))
            }
        };
        if !in_rate {
            return Err(Refused::SourceRate);
        }
        if self
            .all
            .as_ref()
            .is_some_and(|all| !lock(all).allow((), now))
        {
            return Err(Refused::Rate);
        }
        Ok(admitted)
    }

    /// Counts first what is asked after: calls come at the same time.
    fn place(&self, key: Key, at_once: usize) -> Option<Admitted> {
        let mut running = lock(&self.running);
        let count = running.entry(key.clone()).or_default();
        if at_once > 0 && *count >= at_once {
            return None;
        }
        *count += 1;
        Some(Admitted {
            running: self.running.clone(),
            key,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        if let Some(n) = running.get_mut(&self.key) {
            *n -= 1;
            if *n == 0 {
                running.remove(&self.key);
            }
        }
    }
}

fn limiter<K: Hash + Eq>(per_s: u32, capacity: usize) -> Option<Mutex<RateLimiter<K>>> {
    (per_s > 0).then(|| Mutex::new(RateLimiter::new(per_s, per_s, capacity)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchhook_model::LegId;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn admission(change: impl Fn(&mut SipConfig)) -> Admission {
        let address = "127.0.0.1:5060".parse().unwrap();
        let mut config = SipConfig::new(address, Arc::new(|| LegId::from_unique("1")));
        change(&mut config);
        Admission::new(&config)
    }

    #[test]
    fn by_default_nothing_is_refused() {
        let admission = admission(|_| {});
        let calls: Vec<_> = (0..1_000)
            .map(|_| admission.admit(&Source::Guest, ip(1), at(0)))
            .collect();
        assert!(calls.iter().all(Result::is_ok));
        drop(calls);
        assert!(lock(&admission.running).is_empty());
    }

    #[test]
    fn a_source_that_floods_leaves_the_others_their_share() {
        let admission = admission(|config| {
            config.limits.calls_per_s = 3;
            config.limits.source_calls.per_s = 2;
        });
        let admit = |n, ms| admission.admit(&Source::Guest, ip(n), at(ms)).err();
        let first: Vec<_> = (0..4).map(|_| admit(1, 0)).collect();
        let beyond = Some(Refused::SourceRate);
        assert_eq!(first, [None, None, beyond, beyond]);
        assert_eq!(admit(2, 0), None, "the flood did not use up what all share");
        assert_eq!(admit(3, 0), Some(Refused::Rate));
        assert_eq!(admit(3, 1_000), None);
    }

    #[test]
    fn places_come_back_and_trunks_have_their_own() {
        let trunk = Source::Trunk(TrunkId::new("carrier"));
        let admission = admission(|config| {
            config.limits.source_calls.at_once = 1;
            let mut trunk = TrunkConfig::new("carrier");
            trunk.calls.at_once = 2;
            config.trunks.push(trunk);
        });
        let first = admission.admit(&Source::Guest, ip(1), at(0)).unwrap();
        let full = admission.admit(&Source::Guest, ip(1), at(0)).err();
        assert_eq!(full, Some(Refused::SourceFull));
        // The trunk calls from the same address and is counted apart, over all its addresses.
        let _a = admission.admit(&trunk, ip(1), at(0)).unwrap();
        let _b = admission.admit(&trunk, ip(2), at(0)).unwrap();
        assert!(admission.admit(&trunk, ip(3), at(0)).is_err());
        drop(first);
        assert!(admission.admit(&Source::Guest, ip(1), at(0)).is_ok());
    }

    #[test]
    fn callers_behind_a_proxy_are_counted_with_all_only() {
        let admission = admission(|config| {
            config.limits.source_calls = CallLimits {
                per_s: 1,
                at_once: 1,
            };
            config.limits.calls_per_s = 3;
            config.proxies = vec!["192.0.2.1".parse().unwrap()];
        });
        let admit = |n| admission.admit(&Source::Guest, ip(n), at(0));
        let _calls = [admit(1).unwrap(), admit(1).unwrap()];
        let _other = admit(2).unwrap();
        assert_eq!(admit(2).err(), Some(Refused::SourceFull));
        assert_eq!(admit(1).err(), Some(Refused::Rate));
    }

    #[test]
    fn calls_that_come_together_do_not_share_the_last_place() {
        let admission = admission(|config| {
            config.limits.source_calls.at_once = 1;
            config.limits.source_calls.per_s = 100;
        });
        // While the rate is held here, nobody gets further than having a place.
        let rate = lock(admission.per_address.as_ref().unwrap());
        let (answered, answers) = std::sync::mpsc::channel();
        let wait = std::time::Duration::from_secs(20);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (admission, answered) = (&admission, answered.clone());
                scope.spawn(move || {
                    let answer = admission.admit(&Source::Guest, ip(1), at(0));
                    answered.send(answer).unwrap();
                });
            }
            for _ in 0..3 {
                let answer = answers.recv_timeout(wait).expect("an answer in time");
                assert_eq!(answer.err(), Some(Refused::SourceFull));
            }
            drop(rate);
            let last = answers.recv_timeout(wait).expect("an answer in time");
            assert!(last.is_ok());
        });
    }

    #[test]
    fn a_call_refused_for_its_rate_takes_no_place() {
        let admission = admission(|config| {
            config.limits.source_calls.at_once = 2;
            config.limits.source_calls.per_s = 1;
        });
        let first = admission.admit(&Source::Guest, ip(1), at(0)).unwrap();
        for _ in 0..3 {
            let refused = admission.admit(&Source::Guest, ip(1), at(0)).err();
            assert_eq!(refused, Some(Refused::SourceRate));
        }
        drop(first);
        assert!(lock(&admission.running).is_empty());
    }
}
