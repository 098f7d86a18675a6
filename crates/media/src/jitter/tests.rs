use proptest::prelude::*;

use super::*;

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
        match self.buffer.pull(&mut self.out) {
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
    for (packet_samples, ticks_per_packet) in [(80u32, 0.5), (240, 1.5), (480, 3.0), (400, 2.5)] {
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
            if buffer.pull(&mut out) == Pulled::Audio {
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
                buffer.pull(&mut out);
            }
        }
        let mut audio = 0;
        for n in 0..200u32 {
            buffer.insert(3_000_000_000u32.wrapping_add(n * FRAME), &[9; FRAME_SAMPLES]);
            audio += u32::from(buffer.pull(&mut out) == Pulled::Audio);
        }
        prop_assert!(audio > 150, "{audio}");
    }
}
