//! A conference on a worker: what each member hears is the sum of all others.

use super::command::Slot;
use super::leg::LegState;
use crate::frame::{FRAME_SAMPLES, Frame};

/// Members of one conference.
pub(crate) const MEMBERS_MAX: usize = 64;
/// Members heard at once, the loudest ones: each further one adds its room's noise and nothing that
/// could be understood.
const SPEAKERS_MAX: usize = 5;
/// A member's level falls to a half within 80 ms, so that nobody is cut off between two syllables.
const LEVEL_DECAY_SHIFT: u32 = 3;

#[derive(Clone, Copy)]
struct Member {
    slot: Slot,
    /// Smoothed mean of the samples' magnitudes.
    level: u32,
    /// In the sum of this tick.
    is_heard: bool,
}

/// Made on the signalling side with all the memory it will ever need.
pub(crate) struct Mixer {
    /// Unique in the engine: handles know it by this.
    pub id: u64,
    /// Slice in which all members are served.
    pub phase: usize,
    members: Vec<Member>,
    sum: [i32; FRAME_SAMPLES],
}

impl Mixer {
    pub fn new(id: u64, phase: usize) -> Self {
        Self {
            id,
            phase,
            members: Vec::with_capacity(MEMBERS_MAX),
            sum: [0; FRAME_SAMPLES],
        }
    }

    /// False when there is no place.
    pub fn join(&mut self, slot: Slot) -> bool {
        if self.members.len() == MEMBERS_MAX {
            return false;
        }
        self.members.push(Member {
            slot,
            level: 0,
            is_heard: false,
        });
        true
    }

    pub fn leave(&mut self, slot: Slot) {
        self.members.retain(|member| member.slot != slot);
    }

    pub fn members(&self) -> impl Iterator<Item = Slot> + '_ {
        self.members.iter().map(|member| member.slot)
    }

    /// After all members received and before the first one sends.
    pub fn mix(&mut self, legs: &mut [Option<Box<LegState>>]) {
        self.sum = [0; FRAME_SAMPLES];
        for member in &mut self.members {
            let Some(leg) = &mut legs[member.slot.index as usize] else {
                continue;
            };
            let pcm = leg.heard.pcm();
            let sum: u32 = pcm.iter().map(|s| u32::from(s.unsigned_abs())).sum();
            let now = sum / FRAME_SAMPLES as u32;
            let decayed = member.level - (member.level >> LEVEL_DECAY_SHIFT);
            member.level = now.max(decayed);
        }
        let threshold = self.speaking_from();
        let mut heard = 0;
        for member in &mut self.members {
            member.is_heard = member.level >= threshold && heard < SPEAKERS_MAX;
            if !member.is_heard {
                continue;
            }
            heard += 1;
            let Some(leg) = &mut legs[member.slot.index as usize] else {
                continue;
            };
            for (sum, sample) in self.sum.iter_mut().zip(leg.heard.pcm()) {
                *sum += i32::from(*sample);
            }
        }
    }

    /// The level of the last member who is heard.
    fn speaking_from(&self) -> u32 {
        if self.members.len() <= SPEAKERS_MAX {
            return 0;
        }
        let mut loudest = [0u32; SPEAKERS_MAX];
        for member in &self.members {
            // Inserted in order, the least falls out.
            let mut level = member.level;
            for place in &mut loudest {
                if level > *place {
                    std::mem::swap(&mut level, place);
                }
            }
        }
        loudest[SPEAKERS_MAX - 1]
    }

    /// What a member hears. Clipped, not wrapped, when several shout.
    pub fn without(&self, slot: Slot, own: &Frame, out: &mut Frame) {
        let is_heard = self
            .members
            .iter()
            .any(|member| member.slot == slot && member.is_heard);
        for ((out, sum), own) in out.iter_mut().zip(&self.sum).zip(own) {
            let own = if is_heard { i32::from(*own) } else { 0 };
            *out = (sum - own).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(index: u32) -> Slot {
        Slot {
            index,
            generation: 0,
        }
    }

    #[test]
    fn only_the_loudest_are_heard() {
        let mut mixer = Mixer::new(1, 0);
        for n in 0..20 {
            assert!(mixer.join(slot(n)));
            mixer.members[n as usize].level = n * 10;
        }
        assert_eq!(mixer.speaking_from(), 150);
        mixer.leave(slot(19));
        assert_eq!(mixer.speaking_from(), 140);
        for n in 0..15 {
            mixer.leave(slot(n));
        }
        assert_eq!(mixer.speaking_from(), 0, "few are all heard");
    }

    #[test]
    fn a_conference_is_bounded() {
        let mut mixer = Mixer::new(1, 0);
        for n in 0..MEMBERS_MAX as u32 {
            assert!(mixer.join(slot(n)));
        }
        assert!(!mixer.join(slot(900)));
    }

    #[test]
    fn the_sum_clips() {
        let mut mixer = Mixer::new(1, 0);
        mixer.join(slot(1));
        mixer.sum = [60_000; FRAME_SAMPLES];
        let mut out = [0; FRAME_SAMPLES];
        mixer.without(slot(2), &[100; FRAME_SAMPLES], &mut out);
        assert_eq!(out[0], i16::MAX);
        mixer.members[0].is_heard = true;
        mixer.sum = [700; FRAME_SAMPLES];
        mixer.without(slot(1), &[100; FRAME_SAMPLES], &mut out);
        assert_eq!(out[0], 600);
        mixer.without(slot(2), &[100; FRAME_SAMPLES], &mut out);
        assert_eq!(out[0], 700);
    }
}
