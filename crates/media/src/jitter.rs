//! The jitter buffer: turns packets that come early, late, twice, out of order or never into one
//! frame per tick.
//!
//! All our codecs are one octet per RTP clock unit, so the buffer is a ring of octets addressed by
//! RTP timestamp. Packet time, reordering and gaps then need no special case: a packet of 10, 30
//! or 60 ms lands where its timestamp says. A packet-based codec (Opus) needs a buffer of its own.
//!
//! The delay adapts itself by the media clock alone, without arrival times:
//! - when the buffer runs dry while the talker goes on, playout waits, so the delay grows by the
//!   frames waited (never beyond the bound);
//! - when for a while there was always more than a frame in reserve, one frame is left out, so the
//!   delay shrinks. After a burst all that is too much is left out at once.
//!
//! A sender whose clock runs faster or slower than ours is followed by the same two rules.

use crate::frame::{FRAME_SAMPLES, samples};

/// Octets the ring holds: 512 ms. A power of two, so that timestamps wrap into it.
const RING: usize = 4096;
const RING_MASK: u32 = (RING - 1) as u32;

/// A timestamp further than this from the expected one is a new timeline, not a gap: 2 s.
const RESYNC: i32 = 16_000;

/// Ticks over which the reserve must have been too large before a frame is left out: 2 s.
const SHRINK_WINDOW_TICKS: u32 = 100;
/// The window doubles up to this when leaving out a frame was followed by running dry: 32 s.
const SHRINK_WINDOW_TICKS_MAX: u32 = 1_600;

/// Ticks a part of a frame waits for its rest before it is played alone: 60 ms.
const REMAINDER_WAIT_TICKS: u32 = 3;

/// No octet here. Octets are stored as 0 to 255.
const ABSENT: u16 = u16::MAX;

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
    /// A whole frame.
    Audio,
    /// A part of the frame or nothing of it came, but later audio did: lost. Holes hold the
    /// silence octet.
    Lost,
    /// Ran dry: the talker paused, or the network is late. Nothing was written.
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
    ring: Box<[u16; RING]>,
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
            ring: Box::new([ABSENT; RING]),
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

    /// Audio waiting, in milliseconds.
    pub fn depth_ms(&self) -> u32 {
        self.depth() / samples(1)
    }

    /// Forgets what waits and begins anew with the next packet. Counters stay.
    pub fn reset(&mut self) {
        self.ring.fill(ABSENT);
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
    pub fn pull(&mut self, out: &mut [u8; FRAME_SAMPLES], silence_octet: u8) -> Pulled {
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
        let missing = self.take(out, silence_octet);
        self.watch_reserve();
        if missing == 0 {
            Pulled::Audio
        } else {
            self.counters.lost_frames += 1;
            Pulled::Lost
        }
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
        self.ring.fill(ABSENT);
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
        let mut all_present = true;
        for (position, octet) in (0u32..).zip(octets) {
            let at = timestamp.wrapping_add(position);
            let ahead = at.wrapping_sub(self.cursor);
            // Before the cursor (wraps to a huge value) or beyond the ring: not storable.
            if ahead >= RING as u32 {
                continue;
            }
            let slot = &mut self.ring[(at & RING_MASK) as usize];
            if *slot == ABSENT {
                *slot = u16::from(*octet);
                all_present = false;
            }
        }
        if all_present {
            self.counters.duplicate_packets += 1;
            return Inserted::Duplicate;
        }
        let end_depth = timestamp
            .wrapping_add(u32::try_from(octets.len()).unwrap_or(0))
            .wrapping_sub(self.cursor);
        if end_depth <= RING as u32 && end_depth > self.depth() {
            self.newest = self.cursor.wrapping_add(end_depth);
        }
        stored
    }

    /// Moves one frame out of the ring; returns how many octets were missing.
    fn take(&mut self, out: &mut [u8; FRAME_SAMPLES], silence_octet: u8) -> u32 {
        let mut missing = 0;
        for (position, out) in (0u32..).zip(out.iter_mut()) {
            let slot = &mut self.ring[(self.cursor.wrapping_add(position) & RING_MASK) as usize];
            *out = match u8::try_from(*slot) {
                Ok(octet) => octet,
                Err(_) => {
                    missing += 1;
                    silence_octet
                }
            };
            *slot = ABSENT;
        }
        self.advance(FRAME);
        missing
    }

    fn skip(&mut self, frames: u32) {
        let octets = (frames * FRAME).min(RING as u32);
        for position in 0..octets {
            self.ring[(self.cursor.wrapping_add(position) & RING_MASK) as usize] = ABSENT;
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SILENCE: u8 = 0xFF;

    /// A buffer and the frames pulled from it; frame `n` of the talker is filled with octet `n`.
    struct Line {
        buffer: JitterBuffer,
        out: [u8; FRAME_SAMPLES],
    }

    impl Line {
        fn new(mode: JitterMode) -> Self {
            Self {
                buffer: JitterBuffer::new(mode),
                out: [0; FRAME_SAMPLES],
            }
        }

        fn put(&mut self, n: u32) -> Inserted {
            self.buffer
                .insert(n.wrapping_mul(FRAME), &[n as u8; FRAME_SAMPLES])
        }

        /// `Ok` with the frame's number when it came whole.
        fn pull(&mut self) -> Result<u8, Pulled> {
            match self.buffer.pull(&mut self.out, SILENCE) {
                Pulled::Audio => {
                    assert!(self.out.iter().all(|octet| *octet == self.out[0]));
                    Ok(self.out[0])
                }
                other => Err(other),
            }
        }
    }

    #[test]
    fn playout_starts_with_a_reserve_and_keeps_order() {
        let mut line = Line::new(JitterMode::default());
        assert_eq!(line.pull(), Err(Pulled::Idle));
        line.put(0);
        assert_eq!(line.pull(), Err(Pulled::Idle), "one frame is no reserve");
        for n in 1..50 {
            line.put(n);
            assert_eq!(line.pull(), Ok(n as u8 - 1));
        }
        assert_eq!(line.buffer.counters(), JitterCounters::default());
    }

    #[test]
    fn reordered_and_doubled_packets_are_put_right() {
        let mut line = Line::new(JitterMode::default());
        line.put(1);
        assert_eq!(line.put(1), Inserted::Duplicate);
        line.put(3);
        line.put(2);
        assert_eq!(
            [line.pull(), line.pull(), line.pull()],
            [Ok(1), Ok(2), Ok(3)]
        );
        assert_eq!(line.put(2), Inserted::Late);
        assert_eq!(line.buffer.counters().late_packets, 1);
        assert_eq!(line.buffer.counters().duplicate_packets, 1);
    }

    #[test]
    fn a_lost_packet_costs_its_frame_only() {
        let mut line = Line::new(JitterMode::default());
        for n in [0, 1, 3, 4] {
            line.put(n);
        }
        let pulled: Vec<_> = (0..5).map(|_| line.pull()).collect();
        assert_eq!(pulled, [Ok(0), Ok(1), Err(Pulled::Lost), Ok(3), Ok(4)]);
        assert_eq!(line.buffer.counters().lost_frames, 1);
    }

    #[test]
    fn timestamps_wrap() {
        let mut line = Line::new(JitterMode::default());
        let first = u32::MAX - 319;
        for n in 0..4u32 {
            line.buffer
                .insert(first.wrapping_add(n * FRAME), &[n as u8; FRAME_SAMPLES]);
        }
        let pulled: Vec<_> = (0..4).map(|_| line.pull()).collect();
        assert_eq!(pulled, [Ok(0), Ok(1), Ok(2), Ok(3)]);
    }

    #[test]
    fn any_packet_time_is_played_without_loss() {
        for (packet_samples, ticks_per_packet) in [(80u32, 0.5), (240, 1.5), (480, 3.0), (400, 2.5)]
        {
            let mut buffer = JitterBuffer::new(JitterMode::default());
            let (mut out, mut audio, mut sent) = ([0; FRAME_SAMPLES], 0u32, 0u32);
            for tick in 0..500u32 {
                while f64::from(sent) * ticks_per_packet <= f64::from(tick) {
                    let octets: Vec<u8> = (0..packet_samples)
                        .map(|i| ((sent * packet_samples + i) % 251) as u8)
                        .collect();
                    buffer.insert(sent * packet_samples, &octets);
                    sent += 1;
                }
                if buffer.pull(&mut out, SILENCE) == Pulled::Audio {
                    for octet in out {
                        assert_eq!(
                            octet,
                            (audio % 251) as u8,
                            "{packet_samples} samples a packet"
                        );
                        audio += 1;
                    }
                }
            }
            assert_eq!(buffer.counters().lost_frames, 0, "{packet_samples}");
            assert!(audio >= 490 * FRAME, "{packet_samples}: {audio}");
        }
    }

    #[test]
    fn a_late_network_grows_the_delay_and_a_calm_one_shrinks_it() {
        let mut line = Line::new(JitterMode::default());
        let mut sent = 0;
        for _ in 0..10 {
            line.put(sent);
            sent += 1;
            let _ = line.pull();
        }
        // The network holds packets back for 100 ms, then delivers all.
        for _ in 0..5 {
            let _ = line.pull();
        }
        for _ in 0..6 {
            line.put(sent);
            sent += 1;
        }
        let _ = line.pull();
        let grown = line.buffer.depth_ms();
        assert!(grown >= 80, "{grown}");
        for _ in 0..1_000 {
            line.put(sent);
            sent += 1;
            assert!(!matches!(line.pull(), Err(Pulled::Lost)));
        }
        let calm = line.buffer.depth_ms();
        assert!(calm <= 40, "{calm}");
        assert!(line.buffer.counters().dropped_frames >= 2);
        assert_eq!(line.buffer.counters().late_packets, 0);
    }

    #[test]
    fn a_burst_never_exceeds_the_bound() {
        let mode = JitterMode::Adaptive {
            initial_ms: 40,
            max_ms: 100,
        };
        let mut line = Line::new(mode);
        for n in 0..100 {
            line.put(n);
            assert!(line.buffer.depth_ms() <= 100);
        }
        assert_eq!(line.pull(), Ok(95), "the oldest were dropped");
        assert_eq!(line.buffer.counters().dropped_frames, 95);
    }

    #[test]
    fn a_talkers_pause_does_not_become_delay() {
        let mut line = Line::new(JitterMode::default());
        for n in 0..20 {
            line.put(n);
            let _ = line.pull();
        }
        for _ in 0..50 {
            let _ = line.pull(); // one second of silence suppression
        }
        assert_eq!(line.pull(), Err(Pulled::Dry));
        for n in 70..90 {
            line.put(n);
            let _ = line.pull();
        }
        assert!(line.buffer.depth_ms() <= 40, "{}", line.buffer.depth_ms());
        assert_eq!(line.buffer.counters().lost_frames, 0);
    }

    #[test]
    fn a_short_spurt_is_played_although_no_reserve_comes() {
        let mut line = Line::new(JitterMode::Fixed { delay_ms: 100 });
        line.put(7);
        let pulled: Vec<_> = (0..6).map(|_| line.pull()).collect();
        assert_eq!(pulled[..5], [Err(Pulled::Idle); 5]);
        assert_eq!(pulled[5], Ok(7));
    }

    #[test]
    fn one_wild_timestamp_is_dropped_and_two_begin_a_new_timeline() {
        let mut line = Line::new(JitterMode::default());
        for n in 0..4 {
            line.put(n);
        }
        assert_eq!(line.put(1_000_000), Inserted::Suspect);
        assert_eq!(line.put(4), Inserted::Stored);
        assert_eq!(line.put(2_000_000), Inserted::Suspect);
        assert_eq!(line.put(2_000_001), Inserted::Restarted);
        line.put(2_000_002);
        assert_eq!(line.pull(), Ok(2_000_001u32 as u8));
    }

    #[test]
    fn a_fast_sender_is_followed() {
        for mode in [JitterMode::default(), JitterMode::Fixed { delay_ms: 60 }] {
            let mut line = Line::new(mode);
            let mut sent = 0;
            // Half a percent fast: far beyond any real clock.
            for tick in 0..20_000 {
                line.put(sent);
                sent += 1;
                if tick % 200 == 0 {
                    line.put(sent);
                    sent += 1;
                }
                let _ = line.pull();
            }
            assert!(
                line.buffer.depth_ms() <= 140,
                "{mode:?} {}",
                line.buffer.depth_ms()
            );
            assert_eq!(line.buffer.counters().late_packets, 0);
        }
    }

    #[test]
    fn a_slow_sender_is_followed() {
        let mut line = Line::new(JitterMode::default());
        let mut sent = 0;
        for tick in 0..20_000 {
            if tick % 200 != 0 {
                line.put(sent);
                sent += 1;
            }
            let _ = line.pull();
        }
        let counters = line.buffer.counters();
        assert_eq!((counters.late_packets, counters.lost_frames), (0, 0));
        assert!(counters.underruns <= 110, "{counters:?}");
    }

    proptest! {
        /// Whatever comes: no panic, the bound holds, and in a calm stretch audio flows again.
        #[test]
        fn any_packets_leave_the_buffer_sound(
            steps in proptest::collection::vec((any::<u32>(), 0usize..700, 0u8..4), 0..300),
            spread in prop_oneof![Just(1u32), Just(160), Just(4_000), Just(u32::MAX)],
        ) {
            let mut buffer = JitterBuffer::new(JitterMode::default());
            let mut out = [0; FRAME_SAMPLES];
            for (timestamp, len, pulls) in steps {
                buffer.insert(timestamp % spread, &vec![1; len]);
                prop_assert!(buffer.depth_ms() <= 512);
                for _ in 0..pulls {
                    buffer.pull(&mut out, SILENCE);
                }
            }
            let mut audio = 0;
            for n in 0..200u32 {
                buffer.insert(3_000_000_000u32.wrapping_add(n * FRAME), &[9; FRAME_SAMPLES]);
                audio += u32::from(buffer.pull(&mut out, SILENCE) == Pulled::Audio);
            }
            prop_assert!(audio > 150, "{audio}");
        }
    }
}
