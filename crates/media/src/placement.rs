//! Which worker carries a leg.

use std::collections::HashMap;

use crate::worker::{PHASES, Slot};

/// Where a leg lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub worker: usize,
    pub slot: Slot,
    pub phase: usize,
}

/// Legs of one call share a worker and a slice of its tick, so that bridging them is free.
pub(crate) struct Placement {
    open: usize,
    next_generation: u32,
    workers: Vec<WorkerLoad>,
    calls: HashMap<String, CallPlace>,
}

struct WorkerLoad {
    /// Indices.
    free_slots: Vec<u32>,
    legs: usize,
    legs_in_phase: [usize; PHASES],
}

struct CallPlace {
    worker: usize,
    phase: usize,
    legs: usize,
}

impl Placement {
    pub fn new(workers: usize, legs_max: usize) -> Self {
        let load = |_| WorkerLoad {
            free_slots: (0..legs_max as u32).rev().collect(),
            legs: 0,
            legs_in_phase: [0; PHASES],
        };
        Self {
            open: 0,
            next_generation: 0,
            workers: (0..workers).map(load).collect(),
            calls: HashMap::new(),
        }
    }

    /// Legs open now.
    pub fn open(&self) -> usize {
        self.open
    }

    /// A place for a leg of `call`; nothing when all are taken.
    pub fn take(&mut self, call: &str) -> Option<Place> {
        let legs_max = self
            .workers
            .first()
            .map_or(0, |w| w.free_slots.len() + w.legs);
        if self.open >= legs_max {
            return None;
        }
        let (worker, phase) = match self.calls.get_mut(call) {
            Some(place) => {
                place.legs += 1;
                (place.worker, place.phase)
            }
            None => {
                let (worker, load) = self
                    .workers
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, load)| load.legs)?;
                let phases = load.legs_in_phase.iter().enumerate();
                let (phase, _) = phases.min_by_key(|(_, legs)| **legs)?;
                let place = CallPlace {
                    worker,
                    phase,
                    legs: 1,
                };
                self.calls.insert(call.to_owned(), place);
                (worker, phase)
            }
        };
        let load = &mut self.workers[worker];
        let index = load
            .free_slots
            .pop()
            .expect("fewer legs are open than each worker has slots");
        let slot = Slot {
            index,
            generation: self.next_generation,
        };
        self.next_generation = self.next_generation.wrapping_add(1);
        load.legs += 1;
        load.legs_in_phase[phase] += 1;
        self.open += 1;
        Some(Place {
            worker,
            slot,
            phase,
        })
    }

    /// The leg's socket is closed and its place may be used again.
    pub fn give_back(&mut self, place: Place, call: &str) {
        let load = &mut self.workers[place.worker];
        load.free_slots.push(place.slot.index);
        load.legs -= 1;
        load.legs_in_phase[place.phase] -= 1;
        self.open -= 1;
        if let Some(call_place) = self.calls.get_mut(call) {
            call_place.legs -= 1;
            if call_place.legs == 0 {
                self.calls.remove(call);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_of_a_call_share_worker_and_slice_and_calls_are_spread() {
        let mut placement = Placement::new(2, 100);
        let first = placement.take("a").unwrap();
        let second = placement.take("b").unwrap();
        assert_ne!(first.worker, second.worker);
        let third = placement.take("a").unwrap();
        assert_eq!((third.worker, third.phase), (first.worker, first.phase));
        assert_ne!(third.slot, first.slot);
        for n in 0..PHASES * 2 {
            placement.take(&format!("c{n}"));
        }
        for load in &placement.workers {
            assert!(load.legs_in_phase.iter().all(|legs| (1..=3).contains(legs)));
        }
        placement.give_back(first, "a");
        placement.give_back(third, "a");
        assert!(!placement.calls.contains_key("a"));
    }
}
