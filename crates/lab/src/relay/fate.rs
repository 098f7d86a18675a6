//! What happens to a datagram, decided by a seed.

use std::time::Duration;

/// What one direction does to what passes. The default passes everything at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Share of datagrams that are lost, 0.0 to 1.0, each independently of the others.
    pub loss: f64,
    /// Share of the others that arrive twice.
    pub doubled: f64,
    /// Share of the others that are held back for [`Impairment::hold_back`] while later ones pass.
    pub held_back: f64,
    /// How long, on top of the delay.
    pub hold_back: Duration,
    /// Delay of every datagram.
    pub delay: Duration,
    /// Upper bound of a further delay, drawn for each datagram from the uniform distribution
    /// between zero and this. It changes no order: who would overtake leaves together with the one
    /// before, as in a queue.
    pub jitter: Duration,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            loss: 0.0,
            doubled: 0.0,
            held_back: 0.0,
            hold_back: Duration::from_millis(50),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
        }
    }
}

impl Impairment {
    /// Nothing but loss.
    pub fn loss(share: f64) -> Self {
        Self {
            loss: share,
            ..Self::default()
        }
    }
}

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// 0 when it is lost, 2 when it is doubled.
    pub copies: u8,
    /// Whether later ones may pass.
    pub held_back: bool,
    /// From its arrival, before its place in the queue is looked at.
    pub delay: Duration,
}

/// The fates of one direction, one after the other.
#[derive(Debug, Clone)]
pub struct Fates {
    impairment: Impairment,
    state: u64,
}

impl Fates {
    /// The same seed gives the same fates, whatever happens on the clock.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            state: seed,
        }
    }

    /// Of the next datagram. Four numbers are drawn for each, so that changing one figure leaves
    /// the decisions about the others as they were.
    pub fn next_fate(&mut self) -> Fate {
        let [lost, doubled, held_back, jitter] = [(); 4].map(|()| self.draw());
        let how = &self.impairment;
        let held_back = held_back < how.held_back;
        let extra = if held_back {
            how.hold_back
        } else {
            Duration::ZERO
        };
        let copies = match (lost < how.loss, doubled < how.doubled) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        Fate {
            copies,
            held_back,
            delay: how.delay + how.jitter.mul_f64(jitter) + extra,
        }
    }

    /// Uniform in [0, 1). SplitMix64 (Steele, Lea, Flood 2014), written out: a seed that was printed
    /// means the same whatever version of a random number library is built in.
    fn draw(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn fates(impairment: Impairment, seed: u64, count: usize) -> Vec<Fate> {
        let mut fates = Fates::new(impairment, seed);
        (0..count).map(|_| fates.next_fate()).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        let how = Impairment {
            loss: 0.1,
            doubled: 0.1,
            held_back: 0.1,
            jitter: MS * 40,
            ..Impairment::default()
        };
        assert_eq!(fates(how, 7, 1_000), fates(how, 7, 1_000));
        assert_ne!(fates(how, 7, 1_000), fates(how, 8, 1_000));
        // More jitter loses the same ones.
        let wilder = Impairment {
            jitter: MS * 80,
            ..how
        };
        let copies = |f: Vec<Fate>| f.iter().map(|f| f.copies).collect::<Vec<_>>();
        assert_eq!(
            copies(fates(how, 7, 1_000)),
            copies(fates(wilder, 7, 1_000))
        );
    }

    #[test]
    fn shares_and_delays_are_those_asked_for() {
        let how = Impairment {
            loss: 0.05,
            doubled: 0.02,
            held_back: 0.03,
            hold_back: MS * 100,
            delay: MS * 30,
            jitter: MS * 40,
        };
        let all = fates(how, 1, 100_000);
        let share = |test: &dyn Fn(&Fate) -> bool| {
            all.iter().filter(|f| test(f)).count() as f64 / all.len() as f64
        };
        assert!((share(&|f| f.copies == 0) - 0.05).abs() < 0.003);
        assert!((share(&|f| f.copies == 2) - 0.02 * 0.95).abs() < 0.002);
        assert!((share(&|f| f.held_back) - 0.03).abs() < 0.002);
        let steady: Vec<Duration> = all
            .iter()
            .filter(|f| !f.held_back)
            .map(|f| f.delay)
            .collect();
        assert!(steady.iter().all(|d| (MS * 30..MS * 70).contains(d)));
        // Uniform: each quarter of the range has a quarter of them.
        for quarter in 0..4 {
            let from = MS * 30 + MS * 10 * quarter;
            let within = steady
                .iter()
                .filter(|d| (from..from + MS * 10).contains(*d));
            let share = within.count() as f64 / steady.len() as f64;
            assert!((share - 0.25).abs() < 0.01, "{quarter}: {share}");
        }
    }

    #[test]
    fn nothing_asked_for_is_nothing_done() {
        let untouched = Fate {
            copies: 1,
            held_back: false,
            delay: Duration::ZERO,
        };
        assert!(
            fates(Impairment::default(), 3, 1_000)
                .iter()
                .all(|f| *f == untouched)
        );
    }
}
