//! The jitter buffer: turns packets that come early, late, twice, out of order or never into one
//! frame per tick.
//!
//! G.711 and G.722 are one octet per RTP clock unit, so the buffer is a ring of octets addressed by
//! RTP timestamp. Packet time, reordering and gaps then need no special case: a packet of 10, 30
//! or 60 ms lands where its timestamp says. For Opus it keeps the time line only, with as many empty
//! octets as a packet has samples at 8 kHz; the packets wait in `codec::opus`.
//!
//! The delay adapts itself by the media clock alone, without arrival times:
//! - when the buffer runs dry while the talker goes on, playout waits, so the delay grows by the
//!   frames waited (never beyond the bound);
//! - when for a while there was always more than a frame in reserve, one frame is left out, so the
//!   delay shrinks. After a burst all that is too much is left out at once.
//!
//! A sender whose clock runs faster or slower than ours is followed by the same two rules.

mod ring;
#[cfg(test)]
mod tests;

use crate::frame::{FRAME_SAMPLES, samples};
use ring::{RING, Ring};

/// A timestamp further than this from the expected one is a new timeline, not a gap: 2 s.
const RESYNC: i32 = 16_000;

/// Ticks over which the reserve must have been too large before a frame is left out: 2 s.
const SHRINK_WINDOW_TICKS: u32 = 100;
/// The window doubles up to this when leaving out a frame was followed by running dry: 32 s.
const SHRINK_WINDOW_TICKS_MAX: u32 = 1_600;

/// Ticks a part of a frame waits for its rest before it is played alone: 60 ms.
const REMAINDER_WAIT_TICKS: u32 = 3;

const FRAME: u32 = FRAME_SAMPLES as u32;

/// How the buffer chooses its delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JitterMode {
    /// Starts with `initial_ms` and follows the network up to `max_ms`.
    Adaptive { initial_ms: u32, max_ms: u32 },
    /// Keeps `delay_ms`; only clock drift is corrected.
    Fixed { delay_ms: u32 },
}

impl Default for JitterMode {
    /// 40 ms to start with: one frame in reserve when packets arrive between two ticks.
    fn default() -> Self {
        Self::Adaptive {
            initial_ms: 40,
            max_ms: 240,
        }
    }
}

impl JitterMode {
    /// Frames that must be there before playout starts, 1 to 20.
    fn target_frames(self) -> u32 {
        let ms = match self {
            Self::Adaptive { initial_ms, .. } => initial_ms,
            Self::Fixed { delay_ms } => delay_ms,
        };
        ms.div_ceil(20).clamp(1, 20)
    }

    /// The most octets kept; the ring keeps 80 ms of room for the packet that exceeds it.
    fn max_depth(self) -> u32 {
        let ms = match self {
            Self::Adaptive { max_ms, .. } => max_ms,
            Self::Fixed { delay_ms } => delay_ms.saturating_mul(2).saturating_add(60),
        };
        samples(ms.clamp(60, 420)).max((self.target_frames() + 1) * FRAME)
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    Stored,
    /// Its time to be played had passed.
    Late,
    /// All of it was there already.
    Duplicate,
    /// Stored, but so much older audio waited that some was dropped.
    Overflowed,
    /// First of a new timeline: what waited was dropped.
    Restarted,
    /// Timestamp far away from the others. Dropped, unless the next packet continues it.
    Suspect,
    /// Empty or longer than the ring.
    Refused,
}

/// What the buffer had for a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// A whole frame. Only then something was written.
    Audio,
    /// A part of the frame or nothing of it came, but later audio did: lost.
    Lost,
    /// Ran dry: the talker paused, or the network is late.
    Dry,
    /// Nothing to play yet: no packet so far, or waiting for the first frames of a talk spurt.
    Idle,
}

/// Counters since the buffer was made. Units are frames of 20 ms unless named otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterCounters {
    pub late_packets: u64,
    pub duplicate_packets: u64,
    /// Frames left out to bring the delay down or because the bound was reached.
    pub dropped_frames: u64,
    /// Frames for which something was missing.
    pub lost_frames: u64,
    /// Times the buffer ran dry.
    pub underruns: u64,
    pub restarts: u64,
}

/// See the module text.
#[derive(Debug)]
pub struct JitterBuffer {
    ring: Box<Ring>,
    mode: JitterMode,
    /// Timestamp of the next octet to play.
    cursor: u32,
    /// Timestamp after the last octet stored.
    newest: u32,
    state: State,
    /// A timestamp that would begin a new timeline if the next packet continues it.
    suspect_next: Option<u32>,
    /// Lowest reserve, in octets, seen after a pull in the current window.
    window_min: u32,
    window_ticks: u32,
    window_len: u32,
    ticks_since_shrink: u32,
    counters: JitterCounters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No packet yet.
    Empty,
    /// Collecting the first frames; ticks waited so far.
    Filling {
        waited: u32,
    },
    Playing,
    /// Ran dry; playout waits at the cursor. Ticks waited so far.
    Dry {
        waited: u32,
    },
}

impl JitterBuffer {
    pub fn new(mode: JitterMode) -> Self {
        Self {
            ring: Box::new(Ring::new()),
            mode,
            cursor: 0,
            newest: 0,
            state: State::Empty,
            suspect_next: None,
            window_min: u32::MAX,
            window_ticks: 0,
            window_len: SHRINK_WINDOW_TICKS,
            ticks_since_shrink: u32::MAX,
            counters: JitterCounters::default(),
        }
    }

    pub fn counters(&self) -> JitterCounters {
        self.counters
    }

    /// Timestamp of the next octet to play: where a frame pulled now begins.
    pub(crate) fn cursor(&self) -> u32 {
        self.cursor
    }

    /// The octets up to `before`, as far as they came: what was played last, when a frame at
    /// `before` is missing. Kept for 90 ms.
    pub(crate) fn past(&self, before: u32, out: &mut [u8]) {
        self.ring.peek(before.wrapping_sub(out.len() as u32), out);
    }

    /// Audio waiting, in milliseconds.
    pub fn depth_ms(&self) -> u32 {
        self.depth() / samples(1)
    }

    /// Forgets what waits and begins anew with the next packet. Counters stay.
    pub fn reset(&mut self) {
        self.ring.clear();
        self.state = State::Empty;
        self.suspect_next = None;
        self.newest = self.cursor;
    }

    /// Stores a packet's octets where its timestamp says.
    pub fn insert(&mut self, timestamp: u32, octets: &[u8]) -> Inserted {
        let Ok(len) = u32::try_from(octets.len()) else {
            return Inserted::Refused;
        };
        if len == 0 || len > samples(200) {
            return Inserted::Refused;
        }
        if self.state == State::Empty {
            self.begin_at(timestamp);
            return self.store(timestamp, octets, Inserted::Stored);
        }

        let ahead = timestamp.wrapping_sub(self.cursor).cast_signed();
        if !(-RESYNC..=RESYNC).contains(&ahead) {
            return self.insert_far_away(timestamp, octets);
        }
        self.suspect_next = None;
        if ahead + len.cast_signed() <= 0 {
            self.counters.late_packets += 1;
            return Inserted::Late;
        }
        // After a pause the talker's timestamps have moved on: begin anew there, with a reserve,
        // instead of playing the pause and keeping it as delay for ever.
        let dry = matches!(self.state, State::Dry { .. }) && self.depth() == 0;
        if dry && ahead >= (2 * FRAME).cast_signed() {
            self.begin_at(timestamp);
            return self.store(timestamp, octets, Inserted::Stored);
        }

        let max_depth = self.mode.max_depth();
        let end = timestamp.wrapping_add(len);
        let depth_after = end.wrapping_sub(self.cursor);
        let mut inserted = Inserted::Stored;
        if ahead > 0 && depth_after > max_depth {
            // Oldest first, in whole frames so that packet borders and frame borders stay aligned.
            let frames = (depth_after - max_depth).div_ceil(FRAME);
            self.skip(frames);
            self.counters.dropped_frames += u64::from(frames);
            inserted = Inserted::Overflowed;
        }
        self.store(timestamp, octets, inserted)
    }

    /// Takes the next frame. Exactly once per tick.
    pub fn pull(&mut self, out: &mut [u8; FRAME_SAMPLES]) -> Pulled {
        self.ticks_since_shrink = self.ticks_since_shrink.saturating_add(1);
        match self.state {
            State::Empty => return Pulled::Idle,
            State::Filling { waited } => {
                let target = self.mode.target_frames();
                // A spurt shorter than the target is played too, after the time the target takes.
                if self.depth() < target * FRAME && waited < target {
                    self.state = State::Filling { waited: waited + 1 };
                    return Pulled::Idle;
                }
                self.state = State::Playing;
            }
            State::Playing | State::Dry { .. } => {}
        }
        // Less than a frame is worth waiting for: with a packet time of 30 ms the rest is on its
        // way. Only when it does not come the remainder is played.
        if self.depth() < FRAME && !self.remainder_is_due() {
            return Pulled::Dry;
        }
        let flushing = self.depth() < FRAME;
        if !flushing {
            self.state = State::Playing;
        }
        let missing = self.take(out);
        self.watch_reserve();
        if missing == 0 {
            Pulled::Audio
        } else {
            self.counters.lost_frames += 1;
            Pulled::Lost
        }
    }

    /// Fetches what the next packet and the next pull touch.
    pub(crate) fn prefetch(&self) {
        self.ring.prefetch(self.cursor);
        self.ring.prefetch(self.newest);
    }

    /// Leaves out `ticks` frames that the clock skipped, so that the delay stays as it was.
    pub fn skip_ticks(&mut self, ticks: u32) {
        if self.state == State::Playing {
            let frames = ticks.min(self.depth() / FRAME);
            self.skip(frames);
            self.counters.dropped_frames += u64::from(frames);
        }
    }

    /// Notes that the buffer ran dry; true when part of a frame waits and its rest did not come.
    fn remainder_is_due(&mut self) -> bool {
        match self.state {
            State::Dry { waited } => {
                self.state = State::Dry {
                    waited: waited.saturating_add(1),
                };
                waited == REMAINDER_WAIT_TICKS && self.depth() > 0
            }
            State::Empty | State::Filling { .. } | State::Playing => {
                self.state = State::Dry { waited: 1 };
                self.counters.underruns += 1;
                // The last shrink was a mistake: be slower next time.
                if self.ticks_since_shrink < 500 {
                    self.window_len = (self.window_len * 2).min(SHRINK_WINDOW_TICKS_MAX);
                }
                self.open_window();
                false
            }
        }
    }

    fn depth(&self) -> u32 {
        // Never negative: `newest` is moved with the cursor when the cursor passes it.
        self.newest.wrapping_sub(self.cursor)
    }

    fn begin_at(&mut self, timestamp: u32) {
        self.ring.clear();
        self.cursor = timestamp;
        self.newest = timestamp;
        self.state = State::Filling { waited: 0 };
        self.suspect_next = None;
        self.open_window();
    }

    fn open_window(&mut self) {
        self.window_min = u32::MAX;
        self.window_ticks = 0;
    }

    /// One packet with a wild timestamp must not throw away a call's audio; two that continue each
    /// other are a sender that began a new timeline (RFC 3550 A.1 does the same for sequences).
    fn insert_far_away(&mut self, timestamp: u32, octets: &[u8]) -> Inserted {
        let continues = self.suspect_next == Some(timestamp);
        if continues {
            self.counters.restarts += 1;
            self.begin_at(timestamp);
            return self.store(timestamp, octets, Inserted::Restarted);
        }
        let len = u32::try_from(octets.len()).expect("length was checked by insert");
        self.suspect_next = Some(timestamp.wrapping_add(len));
        Inserted::Suspect
    }

    fn store(&mut self, timestamp: u32, octets: &[u8], stored: Inserted) -> Inserted {
        // What lies before the cursor has been played.
        let played = self.cursor.wrapping_sub(timestamp);
        let (timestamp, octets) = match usize::try_from(played) {
            Ok(played) if played > 0 && played < octets.len() => (self.cursor, &octets[played..]),
            _ => (timestamp, octets),
        };
        let ahead = timestamp.wrapping_sub(self.cursor) as usize;
        if ahead + octets.len() > RING {
            return Inserted::Refused; // the bounds kept by `insert` leave room for any packet
        }
        if !self.ring.put(timestamp, octets) {
            self.counters.duplicate_packets += 1;
            return Inserted::Duplicate;
        }
        let end_depth = (ahead + octets.len()) as u32;
        if end_depth > self.depth() {
            self.newest = self.cursor.wrapping_add(end_depth);
        }
        stored
    }

    /// Moves one frame out of the ring; returns how many octets were missing.
    fn take(&mut self, out: &mut [u8; FRAME_SAMPLES]) -> u32 {
        let missing = self.ring.take(self.cursor, out);
        self.advance(FRAME);
        missing
    }

    fn skip(&mut self, frames: u32) {
        self.ring
            .forget(self.cursor, ((frames * FRAME) as usize).min(RING));
        self.advance(frames * FRAME);
    }

    fn advance(&mut self, octets: u32) {
        let depth = self.depth();
        self.cursor = self.cursor.wrapping_add(octets);
        if octets > depth {
            self.newest = self.cursor;
        }
    }

    /// The second rule of the module text: brings the delay down when it was not needed.
    fn watch_reserve(&mut self) {
        self.window_min = self.window_min.min(self.depth());
        self.window_ticks += 1;
        if self.window_ticks < self.window_len {
            return;
        }
        // Reserve after a pull that is normal: one frame less than the target.
        let (normal, tolerated) = match self.mode {
            JitterMode::Adaptive { .. } => (1, 1),
            JitterMode::Fixed { .. } => (self.mode.target_frames() - 1, 2),
        };
        let excess = (self.window_min / FRAME).saturating_sub(normal);
        let leave_out = match excess {
            0 => 0,
            e if e >= 3 => e,
            e if e >= tolerated => 1,
            _ => 0,
        };
        if leave_out > 0 {
            self.skip(leave_out);
            self.counters.dropped_frames += u64::from(leave_out);
            self.ticks_since_shrink = 0;
        }
        self.open_window();
    }
}
