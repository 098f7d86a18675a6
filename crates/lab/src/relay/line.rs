//! One direction of a relay: a queue of datagrams that leave when their time has come.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::fate::{Fates, Impairment};

/// What one direction did, by what really left and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that came in.
    pub received: u64,
    /// Of these never sent on.
    pub lost: u64,
    /// Of these sent on twice.
    pub doubled: u64,
    /// Of these held back.
    pub held_back: u64,
    /// Of these sent on after one that had come in later.
    pub overtaken: u64,
    /// Datagrams sent on, copies included.
    pub sent: u64,
    /// Time between coming in and leaving, all first copies together.
    pub delay: Duration,
    /// Change of that time from one first copy to the next, all together, without its sign: what
    /// RFC 3550 §6.4.1 calls D, provided that the sender is regular.
    pub variation: Duration,
    /// Of RTP with a clock of 8000 Hz: the interarrival jitter of RFC 3550 §6.4.1 as of the last
    /// first copy, by its time of leaving. Unlike the mean it sees what the sender does, too.
    pub rtp_jitter: Duration,
}

impl Counts {
    /// Share of what came in that was lost.
    pub fn loss_share(&self) -> f64 {
        self.lost as f64 / self.received.max(1) as f64
    }

    /// Mean delay in milliseconds.
    pub fn delay_ms(&self) -> f64 {
        self.delay.as_secs_f64() * 1_000.0 / self.passed().max(1) as f64
    }

    /// [`Counts::rtp_jitter`] in milliseconds.
    pub fn rtp_jitter_ms(&self) -> f64 {
        self.rtp_jitter.as_secs_f64() * 1_000.0
    }

    /// Mean |D| in milliseconds; RFC 3550's jitter follows it.
    pub fn jitter_ms(&self) -> f64 {
        let pairs = self.passed().saturating_sub(1).max(1);
        self.variation.as_secs_f64() * 1_000.0 / pairs as f64
    }

    /// Datagrams that were sent on and have left.
    fn passed(&self) -> u64 {
        self.sent.saturating_sub(self.doubled)
    }
}

/// When a datagram came in and left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub arrived: Instant,
    pub left: Instant,
}

/// So many of the last ones are remembered.
const REMEMBERED: usize = 64;
/// A jump of the transit time beyond this is a new timeline, not jitter.
const JUMP_S: f64 = 2.0;

#[derive(Debug)]
struct Waiting {
    arrived: Instant,
    bytes: Vec<u8>,
    copies: u8,
}

/// One direction. It reads no clock and owns no socket.
#[derive(Debug)]
pub(super) struct Line {
    fates: Fates,
    counts: Counts,
    /// By the time of leaving, then by arrival.
    queue: BTreeMap<(Instant, u64), Waiting>,
    arrivals: u64,
    last_leaving: Option<Instant>,
    latest_left: Option<u64>,
    last_delay: Option<Duration>,
    passed: VecDeque<Passed>,
    /// Time of leaving minus RTP timestamp of the last packet, in seconds.
    last_transit: Option<f64>,
    started: Option<Instant>,
}

impl Line {
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            fates: Fates::new(impairment, seed),
            counts: Counts::default(),
            queue: BTreeMap::new(),
            arrivals: 0,
            last_leaving: None,
            latest_left: None,
            last_delay: None,
            passed: VecDeque::new(),
            last_transit: None,
            started: None,
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The last ones that left, oldest first.
    pub fn passed(&self) -> Vec<Passed> {
        self.passed.iter().copied().collect()
    }

    /// Takes a datagram in.
    pub fn take(&mut self, now: Instant, bytes: Vec<u8>) {
        let fate = self.fates.next_fate();
        self.arrivals += 1;
        self.counts.received += 1;
        if fate.copies == 0 {
            self.counts.lost += 1;
            return;
        }
        let mut leaving = now + fate.delay;
        if fate.held_back {
            self.counts.held_back += 1;
        } else {
            leaving = self.last_leaving.map_or(leaving, |last| last.max(leaving));
            self.last_leaving = Some(leaving);
        }
        let waiting = Waiting {
            arrived: now,
            bytes,
            copies: fate.copies,
        };
        self.queue.insert((leaving, self.arrivals), waiting);
    }

    /// When [`Line::leaving`] has something again.
    pub fn next_leaving(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next datagram whose time has come, and how often to send it.
    pub fn leaving(&mut self, now: Instant) -> Option<(Vec<u8>, u8)> {
        let entry = self.queue.first_entry()?;
        let (at, number) = *entry.key();
        if at > now {
            return None;
        }
        let waiting = entry.remove();
        let delay = now.duration_since(waiting.arrived);
        self.counts.sent += u64::from(waiting.copies);
        self.counts.doubled += u64::from(waiting.copies > 1);
        self.counts.delay += delay;
        if let Some(last) = self.last_delay.replace(delay) {
            self.counts.variation += delay.abs_diff(last);
        }
        if self.latest_left.is_some_and(|latest| latest > number) {
            self.counts.overtaken += 1;
        }
        self.latest_left = self.latest_left.max(Some(number));
        if self.passed.len() == REMEMBERED {
            self.passed.pop_front();
        }
        self.passed.push_back(Passed {
            arrived: waiting.arrived,
            left: now,
        });
        self.follow_jitter(now, &waiting.bytes);
        Some((waiting.bytes, waiting.copies))
    }

    fn follow_jitter(&mut self, now: Instant, bytes: &[u8]) {
        let Some(timestamp) = rtp_timestamp(bytes) else {
            return;
        };
        let started = *self.started.get_or_insert(now);
        let transit = now.duration_since(started).as_secs_f64() - f64::from(timestamp) / 8_000.0;
        if let Some(last) = self.last_transit.replace(transit) {
            let (d, before) = ((transit - last).abs(), self.counts.rtp_jitter.as_secs_f64());
            if d < JUMP_S {
                self.counts.rtp_jitter = Duration::from_secs_f64(before + (d - before) / 16.0);
            }
        }
    }
}

/// Nothing for what is no RTP. Types 64 to 95 are RTCP (RFC 5761 §4).
fn rtp_timestamp(bytes: &[u8]) -> Option<u32> {
    let &[first, kind, _, _, t0, t1, t2, t3, _, _, _, _, ..] = bytes else {
        return None;
    };
    let is_rtp = first >> 6 == 2 && !(64..96).contains(&(kind & 0x7f));
    is_rtp.then(|| u32::from_be_bytes([t0, t1, t2, t3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends `count` numbered datagrams every 20 ms; what left, in order, with its time.
    fn run(line: &mut Line, count: u16) -> Vec<(u16, Duration)> {
        let start = Instant::now();
        let mut left = Vec::new();
        let mut drain = |line: &mut Line, until: Instant| {
            while let Some(at) = line.next_leaving().filter(|at| *at <= until) {
                while let Some((bytes, copies)) = line.leaving(at) {
                    let number = u16::from_be_bytes([bytes[0], bytes[1]]);
                    left.extend((0..copies).map(|_| (number, at - start)));
                }
            }
        };
        for n in 0..count {
            let now = start + MS * 20 * u32::from(n);
            drain(line, now);
            line.take(now, n.to_be_bytes().to_vec());
        }
        drain(
            line,
            start + MS * 20 * u32::from(count) + Duration::from_secs(5),
        );
        left
    }

    #[test]
    fn untouched_everything_leaves_at_once_and_in_order() {
        let mut line = Line::new(Impairment::default(), 1);
        let left = run(&mut line, 500);
        let expected: Vec<_> = (0..500).map(|n| (n, MS * 20 * u32::from(n))).collect();
        assert_eq!(left, expected);
        let counts = line.counts();
        let nothing = Counts {
            received: 500,
            sent: 500,
            ..Counts::default()
        };
        assert_eq!(counts, nothing);
    }

    #[test]
    fn the_counts_are_what_happened() {
        let how = Impairment {
            loss: 0.1,
            doubled: 0.1,
            held_back: 0.1,
            hold_back: MS * 50,
            delay: MS * 10,
            jitter: MS * 5,
        };
        let mut line = Line::new(how, 42);
        let left = run(&mut line, 5_000);
        let counts = line.counts();
        assert_eq!(counts.received, 5_000);
        assert_eq!(counts.sent, left.len() as u64);
        let mut times = vec![0u64; 5_000];
        for (n, _) in &left {
            times[usize::from(*n)] += 1;
        }
        let of = |count: u64| times.iter().filter(|t| **t == count).count() as u64;
        assert_eq!((of(0), of(2)), (counts.lost, counts.doubled));
        assert!(counts.lost > 400 && counts.doubled > 350, "{counts:?}");
        // Held back for 50 ms among packets 20 ms apart: overtaken, and only these.
        let mut highest = 0;
        let mut overtaken = 0;
        for (n, _) in left.iter().map(|(n, at)| (*n, at)) {
            overtaken += u64::from(n < highest && times[usize::from(n)] > 0);
            highest = highest.max(n);
            // A second copy is not overtaken once more.
            times[usize::from(n)] = 0;
        }
        assert_eq!(overtaken, counts.overtaken);
        assert!(counts.overtaken > 300 && counts.overtaken <= counts.held_back);
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let how = Impairment {
            loss: 0.05,
            held_back: 0.05,
            jitter: MS * 60,
            ..Impairment::default()
        };
        let one = run(&mut Line::new(how, 9), 1_000);
        assert_eq!(one, run(&mut Line::new(how, 9), 1_000));
        assert_ne!(one, run(&mut Line::new(how, 10), 1_000));
    }

    #[test]
    fn jitter_delays_and_changes_no_order() {
        let how = Impairment {
            delay: MS * 30,
            jitter: MS * 60,
            ..Impairment::default()
        };
        let mut line = Line::new(how, 5);
        let left = run(&mut line, 5_000);
        assert!(left.is_sorted(), "a queue keeps its order");
        let counts = line.counts();
        assert_eq!(counts.overtaken, 0);
        // The mean of the uniform part is 30 ms; waiting for those before adds a little.
        assert!((60.0..72.0).contains(&counts.delay_ms()), "{counts:?}");
        assert!((10.0..22.0).contains(&counts.jitter_ms()), "{counts:?}");
        assert!(left.iter().all(|(n, at)| {
            let delay = *at - MS * 20 * u32::from(*n);
            (MS * 30..=MS * 90).contains(&delay)
        }));
    }

    #[test]
    fn jitter_of_rtp_is_that_of_rfc_3550() {
        let packet = |n: u32, kind: u8| {
            let mut bytes = vec![0x80, kind, 0, n as u8];
            bytes.extend((n * 160).to_be_bytes());
            bytes.extend([0; 4]);
            bytes
        };
        for (kind, expected_ms) in [(0, 8.0), (72, 0.0)] {
            let mut line = Line::new(Impairment::default(), 1);
            let start = Instant::now();
            for n in 0..200 {
                // Every other one 8 ms late, by its sender: the line passes each at once.
                let now = start + MS * 20 * n + MS * 8 * (n % 2);
                line.take(now, packet(n, kind));
                assert!(line.leaving(now).is_some());
            }
            let counts = line.counts();
            let jitter_ms = counts.rtp_jitter_ms();
            assert!((jitter_ms - expected_ms).abs() < 0.1, "{kind}: {jitter_ms}");
            assert_eq!(counts.jitter_ms(), 0.0, "of the line itself");
            assert_eq!(line.passed().len(), REMEMBERED);
        }
    }
}
