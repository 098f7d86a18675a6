//! A world in which an hour of calls takes a second: events on a queue, a clock that jumps from
//! one to the next, chance from a seed, and weather between sender and receiver.
//!
//! The machines under test take time as an argument and return what they want done, so nothing
//! here sleeps and nothing is shared: the same seed replays the same hour. Print the seed of a
//! failing run.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What happens to events on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    /// How long an event travels, in milliseconds. Events overtake each other within it.
    pub delay_ms: RangeInclusive<u64>,
    /// Of a hundred events, how many never arrive.
    pub lost_percent: u64,
    /// Of a hundred events, how many arrive twice.
    pub twice_percent: u64,
}

impl Weather {
    /// Everything arrives once and at once.
    pub const FAIR: Self = Self {
        delay_ms: 0..=0,
        lost_percent: 0,
        twice_percent: 0,
    };
}

/// Clock, queue and chance of one simulated world.
#[derive(Debug, Clone)]
pub struct VirtualTime<E> {
    now_ms: u64,
    queue: BTreeMap<(u64, u64), E>,
    queued: u64,
    chance: u64,
    weather: Weather,
}

impl<E: Clone> VirtualTime<E> {
    /// An empty world at time 0.
    pub fn new(seed: u64, weather: Weather) -> Self {
        // Xorshift has no way out of zero.
        let chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            now_ms: 0,
            queue: BTreeMap::new(),
            queued: 0,
            chance,
            weather,
        }
    }

    /// Milliseconds since the beginning.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Puts an event at an exact time (not before now): timers, and what must not be lost.
    pub fn at(&mut self, at_ms: u64, event: E) {
        self.queued += 1;
        self.queue
            .insert((at_ms.max(self.now_ms), self.queued), event);
    }

    /// Puts an event `ms` from now.
    pub fn after(&mut self, ms: u64, event: E) {
        self.at(self.now_ms + ms, event);
    }

    /// Sends an event that takes `ms` and then goes through the weather.
    pub fn send(&mut self, ms: u64, event: E) {
        if self.happens(self.weather.lost_percent) {
            return;
        }
        let copies = if self.happens(self.weather.twice_percent) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let travel = self.pick(self.weather.delay_ms.clone());
            self.after(ms + travel, event.clone());
        }
    }

    /// Takes the next event and jumps to its time; `None` when nothing happens any more.
    pub fn step(&mut self) -> Option<E> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.now_ms = at;
        Some(event)
    }

    /// When the next event is due.
    pub fn next_at_ms(&self) -> Option<u64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Jumps to a time at which something outside the queue is due (a machine's deadline).
    pub fn jump_to(&mut self, at_ms: u64) {
        self.now_ms = self.now_ms.max(at_ms);
    }

    /// Drops events, as a process that dies drops what it had not stored.
    pub fn forget(&mut self, forgotten: impl Fn(&E) -> bool) {
        self.queue.retain(|_, event| !forgotten(event));
    }

    /// A number from the range, both ends included.
    pub fn pick(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.random() % (high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.random() % 100 < percent
    }

    fn random(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_jumps_in_order_and_ties_keep_theirs() {
        let mut world = VirtualTime::new(1, Weather::FAIR);
        world.after(50, "late");
        world.after(10, "first");
        world.after(10, "second");
        assert_eq!(world.step(), Some("first"));
        assert_eq!(world.step(), Some("second"));
        assert_eq!(world.now_ms(), 10);
        assert_eq!(world.step(), Some("late"));
        assert_eq!((world.now_ms(), world.step()), (50, None));
    }

    #[test]
    fn a_seed_replays_its_weather() {
        let run = |seed| {
            let weather = Weather {
                delay_ms: 0..=100,
                lost_percent: 20,
                twice_percent: 20,
            };
            let mut world = VirtualTime::new(seed, weather);
            for n in 0..200 {
                world.send(0, n);
            }
            let mut seen = Vec::new();
            while let Some(n) = world.step() {
                seen.push((world.now_ms(), n));
            }
            seen
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!((150..250).contains(&run(7).len()));
    }
}
