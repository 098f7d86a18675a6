//! How many connections others may hold, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Seats {
    max: usize,
    max_per_ip: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One connection's place, from the accept on; given back when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
}

impl Seats {
    pub(super) fn new(max: usize, max_per_ip: usize) -> Self {
        Self {
            max,
            max_per_ip,
            taken: Mutex::default(),
        }
    }

    pub(super) fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let ip = ip.to_canonical();
        let mut taken = self.lock();
        if taken.total >= self.max || taken.by_ip.get(&ip).is_some_and(|n| *n >= self.max_per_ip) {
            return None;
        }
        taken.total += 1;
        *taken.by_ip.entry(ip).or_default() += 1;
        drop(taken);
        Some(Seat {
            seats: self.clone(),
            ip,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(n) = taken.by_ip.get_mut(&self.ip) {
            *n -= 1;
            if *n == 0 {
                taken.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_come_back() {
        let seats = Arc::new(Seats::new(3, 2));
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = seats.take(a).unwrap();
        let _second = seats.take(a).unwrap();
        assert!(seats.take(a).is_none(), "two for one address");
        let _third = seats.take(b).unwrap();
        assert!(seats.take(b).is_none(), "three in all");
        drop(first);
        assert!(seats.take(b).is_some());
        assert_eq!(seats.lock().by_ip.len(), 2);
    }
}
