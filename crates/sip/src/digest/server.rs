//! Nonces: made by HMAC, so that an old or foreign one is known without memory; counted, so that a
//! recorded request cannot be used again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use switchhook_model::Timestamp;

use super::constant_time_eq;

const TIME_BYTES: usize = 8;
const SALT_BYTES: usize = 8;
const MAC_BYTES: usize = 16;

/// What a nonce in a request is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceVerdict {
    /// Ours, in time, and counted higher than ever before.
    Fresh,
    /// Ours once, but too old, used up or replayed: challenge again with `stale=true`
    /// (RFC 2617 §3.2.1), but only when the digest is right.
    Stale,
    /// Not made by us for this source.
    Foreign,
}

/// Makes and judges nonces. Memory is bounded: when it is full the oldest nonce is given up and
/// from then on all nonces up to its time count as used.
pub struct NonceBook {
    key: [u8; 32],
    lifetime_ms: u64,
    capacity: usize,
    /// Highest count seen per nonce; a use without qop counts as the highest possible.
    used: HashMap<String, u32>,
    /// Nonces by age, to forget in order.
    by_time: BTreeMap<(Timestamp, String), ()>,
    /// Nonces made at or before this time are used up.
    floor: Option<Timestamp>,
}

impl std::fmt::Debug for NonceBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceBook")
            .field("used", &self.used.len())
            .finish_non_exhaustive()
    }
}

impl NonceBook {
    /// `key` is random per process or shared by a cluster; `lifetime_ms` is how long a nonce is
    /// good; at most `capacity` used nonces are remembered.
    pub fn new(key: [u8; 32], lifetime_ms: u64, capacity: usize) -> Self {
        Self {
            key,
            lifetime_ms,
            capacity: capacity.max(1),
            used: HashMap::new(),
            by_time: BTreeMap::new(),
            floor: None,
        }
    }

    /// A nonce for a client at `source`. `salt` makes nonces of one millisecond differ.
    pub fn make(&self, now: Timestamp, source: IpAddr, salt: [u8; SALT_BYTES]) -> String {
        let mut bytes = Vec::with_capacity(TIME_BYTES + SALT_BYTES + MAC_BYTES);
        bytes.extend_from_slice(&now.as_millis().to_be_bytes());
        bytes.extend_from_slice(&salt);
        let mac = self.mac(&bytes, source);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether the nonce is ours for this source, and when it was made. Changes nothing.
    pub fn inspect(&self, nonce: &str, source: IpAddr) -> Option<Timestamp> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        if bytes.len() != TIME_BYTES + SALT_BYTES + MAC_BYTES {
            return None;
        }
        let (signed, mac) = bytes.split_at(TIME_BYTES + SALT_BYTES);
        if !constant_time_eq(&self.mac(signed, source), mac) {
            return None;
        }
        let millis: [u8; TIME_BYTES] = signed[..TIME_BYTES].try_into().ok()?;
        Some(Timestamp::from_millis(i64::from_be_bytes(millis)))
    }

    /// Whether the nonce is ours for this source and not too old. It may be used up all the same.
    pub fn is_current(&self, now: Timestamp, source: IpAddr, nonce: &str) -> bool {
        self.inspect(nonce, source)
            .is_some_and(|made| !self.is_expired(now, made))
    }

    fn is_expired(&self, now: Timestamp, made: Timestamp) -> bool {
        now.millis_since(made) > self.lifetime_ms || made > now
    }

    /// Takes the nonce into use with count `nc`; `None` is a use without qop, which is good once.
    /// Call it only after the digest was found right, else anybody could use up a nonce.
    pub fn take(
        &mut self,
        now: Timestamp,
        source: IpAddr,
        nonce: &str,
        nc: Option<u32>,
    ) -> NonceVerdict {
        let Some(made) = self.inspect(nonce, source) else {
            return NonceVerdict::Foreign;
        };
        self.forget_expired(now);
        if self.is_expired(now, made) || self.floor.is_some_and(|floor| made <= floor) {
            return NonceVerdict::Stale;
        }
        let count = nc.unwrap_or(u32::MAX);
        if let Some(last) = self.used.get_mut(nonce) {
            if count <= *last {
                return NonceVerdict::Stale;
            }
            *last = count;
            return NonceVerdict::Fresh;
        }
        if count == 0 {
            return NonceVerdict::Stale;
        }
        if self.used.len() >= self.capacity {
            if let Some(((oldest, name), ())) = self.by_time.pop_first() {
                self.used.remove(&name);
                self.floor = Some(self.floor.map_or(oldest, |floor| floor.max(oldest)));
            }
            if self.floor.is_some_and(|floor| made <= floor) {
                return NonceVerdict::Stale;
            }
        }
        self.used.insert(nonce.to_owned(), count);
        self.by_time.insert((made, nonce.to_owned()), ());
        NonceVerdict::Fresh
    }

    /// How many nonces are remembered.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(entry) = self.by_time.first_entry() {
            if now.millis_since(entry.key().0) <= self.lifetime_ms {
                break;
            }
            let ((_, nonce), ()) = entry.remove_entry();
            self.used.remove(&nonce);
        }
    }

    fn mac(&self, signed: &[u8], source: IpAddr) -> [u8; MAC_BYTES] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(signed);
        mac.update(source.to_canonical().to_string().as_bytes());
        let full = mac.finalize().into_bytes();
        let mut cut = [0; MAC_BYTES];
        cut.copy_from_slice(&full[..MAC_BYTES]);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn counts_must_grow() {
        let mut book = NonceBook::new([7; 32], 1_000, 10);
        let nonce = book.make(at(0), HOME, [1; 8]);
        let mut take = |nc| book.take(at(1), HOME, &nonce, Some(nc));
        assert_eq!(take(1), NonceVerdict::Fresh);
        assert_eq!(take(1), NonceVerdict::Stale);
        assert_eq!(take(5), NonceVerdict::Fresh);
        assert_eq!(take(4), NonceVerdict::Stale);
        // 256 and more: an eight-bit counter would wrap here.
        assert_eq!(take(0x100), NonceVerdict::Fresh);
        assert_eq!(take(0x101), NonceVerdict::Fresh);
    }

    #[test]
    fn without_qop_a_nonce_is_good_once() {
        let mut book = NonceBook::new([7; 32], 1_000, 10);
        let nonce = book.make(at(0), HOME, [1; 8]);
        assert_eq!(book.take(at(1), HOME, &nonce, None), NonceVerdict::Fresh);
        assert_eq!(book.take(at(1), HOME, &nonce, None), NonceVerdict::Stale);
        assert_eq!(book.take(at(1), HOME, &nonce, Some(9)), NonceVerdict::Stale);
    }

    #[test]
    fn age_source_and_tampering() {
        let mut book = NonceBook::new([7; 32], 1_000, 10);
        let nonce = book.make(at(0), HOME, [1; 8]);
        let away = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(
            book.take(at(1), away, &nonce, Some(1)),
            NonceVerdict::Foreign
        );
        assert_eq!(
            book.take(at(1_001), HOME, &nonce, Some(1)),
            NonceVerdict::Stale
        );
        assert_eq!(
            book.take(at(-1), HOME, &nonce, Some(1)),
            NonceVerdict::Stale
        );
        let mut tampered = nonce.into_bytes();
        tampered[3] ^= 1;
        let tampered = String::from_utf8(tampered).expect("ascii");
        assert_eq!(
            book.take(at(1), HOME, &tampered, Some(1)),
            NonceVerdict::Foreign
        );
        let other = NonceBook::new([8; 32], 1_000, 10).make(at(0), HOME, [1; 8]);
        assert_eq!(
            book.take(at(1), HOME, &other, Some(1)),
            NonceVerdict::Foreign
        );
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_stays_used() {
        let mut book = NonceBook::new([7; 32], 60_000, 3);
        let nonces: Vec<String> = (0..6)
            .map(|n| book.make(at(n), HOME, [u8::try_from(n).expect("small"); 8]))
            .collect();
        for nonce in &nonces {
            assert_eq!(book.take(at(10), HOME, nonce, Some(1)), NonceVerdict::Fresh);
            assert!(book.len() <= 3);
        }
        for nonce in &nonces {
            assert_eq!(book.take(at(11), HOME, nonce, Some(1)), NonceVerdict::Stale);
        }
        // Expired ones leave by themselves.
        let late = book.make(at(70_000), HOME, [9; 8]);
        assert_eq!(
            book.take(at(70_000), HOME, &late, Some(1)),
            NonceVerdict::Fresh
        );
        assert_eq!(book.len(), 1);
    }
}
