//! The media plane: one thread that owns its legs' sockets and the 20 ms clock.
//!
//! The tick is cut into [`PHASES`] slices and each leg has its place in one of them, so that
//! thousands of legs do not all send in the same instant. In a slice all its legs first receive
//! and then send; the legs of a bridge share a slice, so a frame crosses in the tick it came.
//!
//! Sockets are not watched by epoll. A frame can leave only at its leg's tick, so that is when the
//! socket is read, with one `recvmmsg`; waking earlier would cost and gain nothing. Arrival times
//! come from the kernel.
//!
//! In the loop nothing is allocated, freed, locked, logged or awaited. Commands come through a
//! bounded lock-free queue, what is to be freed leaves through another.

mod command;
mod heard;
mod leg;
mod mixer;
mod packets;
mod reports;
mod sender;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use rtrb::Producer;

pub(crate) use command::{Command, Grave, LINK_FRAMES, Link, Slot};
pub(crate) use leg::{LegShared, LegState};
pub(crate) use mixer::Mixer;
use sender::Other;
pub(crate) use watch::SilenceLimits;

use crate::conference::CONFERENCES_MAX;
use crate::event::MediaEvent;
use crate::frame::{FRAME_MS, SILENCE};
use crate::sys::RecvBatch;

/// Slices of a tick.
pub(crate) const PHASES: usize = 10;
const SLICE: Duration = Duration::from_micros(FRAME_MS as u64 * 1_000 / PHASES as u64);
/// Ticks a late worker catches up; later ones are left out. 100 ms are what jitter buffers bear.
const CATCH_UP_TICKS: u64 = 5;
/// Commands that may wait. The sender waits when it is full: commands are never dropped.
pub(crate) const COMMANDS: usize = 4_096;
/// Ticks over which lateness is watched for admission: 1 s.
const OVERLOAD_WINDOW_SLICES: u64 = 50 * PHASES as u64;

/// Shared by a worker and the signalling side.
pub(crate) struct WorkerShared {
    pub commands: ArrayQueue<Command>,
    pub stop: AtomicBool,
    /// Late by a tick or more in most slices of the last second.
    pub overloaded: AtomicBool,
    pub skipped_ticks: AtomicU64,
    pub worst_lateness_us: AtomicU64,
    pub faults: AtomicU64,
}

impl WorkerShared {
    pub fn new() -> Self {
        Self {
            commands: ArrayQueue::new(COMMANDS),
            stop: AtomicBool::new(false),
            overloaded: AtomicBool::new(false),
            skipped_ticks: AtomicU64::new(0),
            worst_lateness_us: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }
}

/// Runs on its own thread until stopped.
pub(crate) struct Worker {
    shared: Arc<WorkerShared>,
    legs: Vec<Option<Box<LegState>>>,
    /// Slots of the legs in each slice.
    phases: [Vec<Slot>; PHASES],
    /// As many as are open, at most.
    conferences: Vec<Option<Box<Mixer>>>,
    /// The leg that is sending: out of the table, so that its peer can be borrowed as well.
    in_hand: Option<Box<LegState>>,
    /// The leg being served, for the case of a fault.
    busy: Slot,
    count: usize,
    batch: RecvBatch,
    graves: Producer<Grave>,
    /// Waiting because the queue to the reaper is full.
    unburied: Vec<Grave>,
    reaper: Thread,
    window_slices: u64,
    window_late: u64,
}

impl Worker {
    pub fn new(
        shared: Arc<WorkerShared>,
        legs_max: usize,
        graves: Producer<Grave>,
        reaper: Thread,
    ) -> Self {
        Self {
            shared,
            legs: (0..legs_max).map(|_| None).collect(),
            phases: std::array::from_fn(|_| Vec::with_capacity(legs_max)),
            conferences: (0..CONFERENCES_MAX).map(|_| None).collect(),
            in_hand: None,
            busy: Slot {
                index: 0,
                generation: 0,
            },
            count: 0,
            batch: RecvBatch::new(),
            graves,
            unburied: Vec::with_capacity(legs_max + 64),
            reaper,
            window_slices: 0,
            window_late: 0,
        }
    }

    pub fn run(mut self) {
        let epoch = Instant::now();
        // Slices since the epoch: tick * PHASES + phase.
        let mut slice: u64 = 0;
        while !self.shared.stop.load(Ordering::Acquire) {
            self.take_commands();
            if self.count == 0 {
                // Unparked by the next command. The timeout only guards against a lost wake-up.
                std::thread::park_timeout(Duration::from_millis(500));
                slice = slices(epoch.elapsed());
                continue;
            }
            let now = slices(epoch.elapsed());
            if now.saturating_sub(slice) > CATCH_UP_TICKS * PHASES as u64 {
                let kept = now - CATCH_UP_TICKS * PHASES as u64;
                let skipped = (kept - slice).div_ceil(PHASES as u64);
                self.shared
                    .skipped_ticks
                    .fetch_add(skipped, Ordering::Relaxed);
                slice = kept;
            }
            while slice <= now {
                self.note_lateness(epoch.elapsed(), slice);
                self.run_slice((slice % PHASES as u64) as usize, slice / PHASES as u64);
                slice += 1;
            }
            let due = self.next_busy(slice);
            if let Some(wait) = time_of(due).checked_sub(epoch.elapsed())
                && !wait.is_zero()
            {
                std::thread::park_timeout(wait);
            }
        }
    }

    /// The next slice that has legs, within one tick.
    fn next_busy(&self, slice: u64) -> u64 {
        (slice..slice + PHASES as u64)
            .find(|s| !self.phases[(s % PHASES as u64) as usize].is_empty())
            .unwrap_or(slice)
    }

    fn note_lateness(&mut self, elapsed: Duration, slice: u64) {
        let late = elapsed.saturating_sub(time_of(slice));
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        // Also reset by the reader: a lost maximum in between does not matter.
        if late_us > self.shared.worst_lateness_us.load(Ordering::Relaxed) {
            self.shared
                .worst_lateness_us
                .store(late_us, Ordering::Relaxed);
        }
        self.window_slices += 1;
        self.window_late += u64::from(late_us >= u64::from(FRAME_MS) * 1_000);
        if self.window_slices >= OVERLOAD_WINDOW_SLICES {
            let overloaded = self.window_late * 2 > self.window_slices;
            self.shared.overloaded.store(overloaded, Ordering::Relaxed);
            self.window_slices = 0;
            self.window_late = 0;
        }
    }

    fn run_slice(&mut self, phase: usize, tick: u64) {
        if self.phases[phase].is_empty() {
            return;
        }
        let slots = std::mem::take(&mut self.phases[phase]);
        let mut faulted = false;
        while catch_unwind(AssertUnwindSafe(|| self.serve(&slots, phase, tick))).is_err() {
            // A fault of ours in one leg must not end the calls of a whole worker. The others of
            // this slice are served again; each notes what it has done in this tick.
            self.shared.faults.fetch_add(1, Ordering::Relaxed);
            self.give_up(self.busy);
            faulted = true;
        }
        self.phases[phase] = slots;
        if faulted {
            self.phases[phase].retain(|slot| self.legs[slot.index as usize].is_some());
        }
    }

    /// First all receive, then all send: a frame crosses a bridge at once, and the processor stays
    /// on one path through the kernel (measured: 3 % cheaper than leg by leg).
    fn serve(&mut self, slots: &[Slot], phase: usize, tick: u64) {
        for (n, slot) in slots.iter().enumerate() {
            self.look_ahead(slots.get(n + 2), LegState::prefetch);
            self.look_ahead(slots.get(n + 1), LegState::prefetch_contents);
            self.receive(*slot, tick);
        }
        for mixer in self.conferences.iter_mut().flatten() {
            if mixer.phase == phase {
                mixer.mix(&mut self.legs);
            }
        }
        for (n, slot) in slots.iter().enumerate() {
            self.look_ahead(slots.get(n + 1), LegState::prefetch_sender);
            self.send(*slot, tick);
        }
    }

    /// Has a later leg's memory fetched while this one is in a system call (measured: 4 to 7 %).
    fn look_ahead(&self, slot: Option<&Slot>, prefetch: fn(&LegState)) {
        if let Some(slot) = slot
            && let Some(leg) = &self.legs[slot.index as usize]
        {
            prefetch(leg);
        }
    }

    fn receive(&mut self, slot: Slot, tick: u64) {
        self.busy = slot;
        if let Some(leg) = &mut self.legs[slot.index as usize]
            && leg.received_tick != tick
        {
            leg.received_tick = tick;
            leg.receive(&mut self.batch, tick);
        }
    }

    fn send(&mut self, slot: Slot, tick: u64) {
        self.busy = slot;
        let index = slot.index as usize;
        if self.legs[index]
            .as_ref()
            .is_none_or(|leg| leg.sent_tick == tick)
        {
            return;
        }
        self.in_hand = self.legs[index].take();
        if let Some(leg) = &mut self.in_hand {
            leg.sent_tick = tick;
            let peer = leg.peer.local;
            let peer = peer.and_then(|peer| self.legs[peer.index as usize].as_mut());
            let mixer = leg.peer.conference;
            let mixer = mixer.and_then(|index| self.conferences[index].as_ref());
            let mut mix = SILENCE;
            let other = match (peer, mixer) {
                (Some(peer), _) => Other::Leg(&mut peer.heard),
                (None, Some(mixer)) => {
                    mixer.without(slot, leg.heard.pcm(), &mut mix);
                    Other::Mix(&mix)
                }
                (None, None) => Other::Nobody,
            };
            leg.send(other);
        }
        self.legs[index] = self.in_hand.take();
    }

    /// Closes a leg after a fault in it.
    fn give_up(&mut self, slot: Slot) {
        if let Some(leg) = self.in_hand.take() {
            self.legs[slot.index as usize] = Some(leg);
        }
        if let Some(leg) = &self.legs[slot.index as usize] {
            leg.shared.failed.store(true, Ordering::Relaxed);
            leg.report(MediaEvent::Failed {
                error: "the media worker had a fault in this leg; please report it".to_owned(),
            });
        }
        self.close(slot);
    }

    fn take_commands(&mut self) {
        while let Some(grave) = self.unburied.pop() {
            if let Err(rtrb::PushError::Full(grave)) = self.graves.push(grave) {
                self.unburied.push(grave);
                break;
            }
        }
        // Bounded, so that a flood of commands does not delay a slice.
        for _ in 0..256 {
            match self.shared.commands.pop() {
                Some(command) => self.obey(command),
                None => break,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open { slot, phase, leg } => self.open(slot, phase, leg),
            Command::Start {
                slot,
                params,
                coders,
                srtp,
            } => {
                let (left, former) = match self.leg(slot) {
                    Some(leg) => (leg.start(params, coders), leg.set_srtp(srtp)),
                    None => (Some(Grave::Coders(coders)), srtp.map(Grave::Srtp)),
                };
                self.bury(left);
                self.bury(former);
            }
            Command::Watch { slot } => {
                if let Some(leg) = self.leg(slot) {
                    leg.watch();
                }
            }
            Command::Assistant { slot, tap } => match self.leg(slot) {
                Some(leg) => {
                    let former = leg.set_assistant(tap);
                    self.bury(former);
                }
                None => self.bury(tap.map(Grave::Assistant)),
            },
            Command::Record { slot, tap } => match self.leg(slot) {
                Some(leg) => {
                    let former = leg.set_recording(tap);
                    self.bury(former);
                }
                None => self.bury(Some(Grave::Recording(tap))),
            },
            Command::Ringback { slot, tone } => {
                if let Some(leg) = self.leg(slot) {
                    leg.set_ringback(tone);
                }
            }
            Command::Tone { slot, tone } => {
                if let Some(leg) = self.leg(slot) {
                    leg.set_tone(tone);
                }
            }
            Command::Music { slot, player } => {
                let former = match self.leg(slot) {
                    Some(leg) => leg.set_music(player),
                    None => player.map(Grave::Music),
                };
                self.bury(former);
            }
            Command::Deafen { slot, on } => {
                if let Some(leg) = self.leg(slot) {
                    leg.is_deaf = on;
                }
            }
            Command::SendDigit { slot, digit } => {
                if let Some(leg) = self.leg(slot) {
                    leg.send_digit(digit);
                }
            }
            Command::Bridge { a, b } => self.bridge(a, b),
            Command::Link { slot, link } => {
                self.unbridge(slot);
                match self.leg(slot) {
                    Some(leg) => {
                        let former = leg.set_link(Some(link));
                        self.bury(former);
                    }
                    None => self.bury(Some(Grave::Link(link))),
                }
            }
            Command::OpenConference { mixer } => {
                // The engine opens no more than there are places.
                match self.conferences.iter_mut().find(|place| place.is_none()) {
                    Some(place) => *place = Some(mixer),
                    None => self.bury(Some(Grave::Mixer(mixer))),
                }
            }
            Command::Join { id, slot } => self.join(id, slot),
            Command::CloseConference { id } => self.close_conference(id),
            Command::Unbridge { slot } => self.unbridge(slot),
            Command::Close { slot } => self.close(slot),
            #[cfg(test)]
            Command::Fault {
                slot,
                while_sending,
            } => {
                if let Some(leg) = self.leg(slot) {
                    leg.fault = Some(while_sending);
                }
            }
        }
    }

    fn leg(&mut self, slot: Slot) -> Option<&mut LegState> {
        let leg = self.legs.get_mut(slot.index as usize)?.as_deref_mut()?;
        (leg.slot == slot).then_some(leg)
    }

    fn open(&mut self, slot: Slot, phase: usize, mut leg: Box<LegState>) {
        leg.slot = slot;
        leg.phase = phase;
        self.legs[slot.index as usize] = Some(leg);
        self.phases[phase].push(slot);
        self.count += 1;
    }

    /// Both legs hear each other from the next tick on; former bridges of both end.
    fn bridge(&mut self, a: Slot, b: Slot) {
        self.unbridge(a);
        self.unbridge(b);
        if a == b {
            return;
        }
        let (Some(phase), Some(former_phase)) = (
            self.leg(a).map(|leg| leg.phase),
            self.leg(b).map(|leg| leg.phase),
        ) else {
            return;
        };
        if phase != former_phase {
            self.phases[former_phase].retain(|slot| *slot != b);
            self.phases[phase].push(b);
        }
        if let Some(leg) = self.leg(a) {
            leg.peer.local = Some(b);
        }
        if let Some(leg) = self.leg(b) {
            leg.phase = phase;
            leg.peer.local = Some(a);
        }
    }

    fn join(&mut self, id: u64, slot: Slot) {
        self.unbridge(slot);
        let Some(index) = self.conference(id) else {
            return;
        };
        let Some(former_phase) = self.leg(slot).map(|leg| leg.phase) else {
            return;
        };
        let Some(mixer) = &mut self.conferences[index] else {
            return;
        };
        if !mixer.join(slot) {
            return;
        }
        let phase = mixer.phase;
        if phase != former_phase {
            self.phases[former_phase].retain(|other| *other != slot);
            self.phases[phase].push(slot);
        }
        if let Some(leg) = self.leg(slot) {
            leg.phase = phase;
            leg.peer.conference = Some(index);
        }
    }

    fn conference(&self, id: u64) -> Option<usize> {
        self.conferences
            .iter()
            .position(|place| place.as_ref().is_some_and(|mixer| mixer.id == id))
    }

    fn close_conference(&mut self, id: u64) {
        let Some(index) = self.conference(id) else {
            return;
        };
        let Some(mixer) = self.conferences[index].take() else {
            return;
        };
        for slot in mixer.members() {
            if let Some(leg) = self.leg(slot) {
                leg.peer.conference = None;
            }
        }
        self.bury(Some(Grave::Mixer(mixer)));
    }

    fn unbridge(&mut self, slot: Slot) {
        let Some(leg) = self.leg(slot) else {
            return;
        };
        let peer = leg.peer.local.take();
        let conference = leg.peer.conference.take();
        let link = leg.set_link(None);
        self.bury(link);
        if let Some(mixer) = conference.and_then(|index| self.conferences[index].as_mut()) {
            mixer.leave(slot);
        }
        if let Some(peer) = peer
            && let Some(other) = self.leg(peer)
            && other.peer.local == Some(slot)
        {
            other.peer.local = None;
        }
    }

    fn close(&mut self, slot: Slot) {
        self.unbridge(slot);
        if self.leg(slot).is_none() {
            return;
        }
        let Some(mut leg) = self.legs[slot.index as usize].take() else {
            return;
        };
        leg.say_goodbye();
        self.phases[leg.phase].retain(|other| *other != slot);
        self.count -= 1;
        self.bury(Some(Grave::Leg { slot, leg }));
    }

    fn bury(&mut self, grave: Option<Grave>) {
        let Some(grave) = grave else {
            return;
        };
        if let Err(rtrb::PushError::Full(grave)) = self.graves.push(grave) {
            self.unburied.push(grave);
        }
        self.reaper.unpark();
    }
}

fn slices(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros() / SLICE.as_micros()).unwrap_or(u64::MAX)
}

fn time_of(slice: u64) -> Duration {
    Duration::from_micros(slice.saturating_mul(SLICE.as_micros() as u64))
}
