//! Counters of a leg: written by its worker only, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// A counter with one writer: plain load and store instead of a locked addition.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct LegCounters { $(pub $name: Counter,)* }

        /// A leg's counters since it was opened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct LegStats { $($(#[$doc])* pub $name: u64,)* }

        impl LegCounters {
            pub fn snapshot(&self) -> LegStats {
                LegStats { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Packets taken from the party, audio and events.
    rx_packets,
    /// Packets that never came, by their sequence numbers (RFC 3550 A.3).
    rx_lost,
    /// Packets that came after their turn.
    rx_late,
    rx_duplicate,
    rx_reordered,
    /// Datagrams that are no RTP, too long, or of a payload type that was not negotiated.
    rx_invalid,
    /// Valid RTP, or RTCP, from somebody else.
    rx_foreign,
    /// SRTP packets whose tag does not fit: another key, changed on the way, or plain RTP.
    rx_unauthentic,
    /// SRTP packets that had come before, or too old to tell (RFC 3711 §3.3.2).
    rx_replayed,
    /// Frames of 20 ms replaced because their audio was missing.
    concealed_frames,
    /// Frames left out to keep the delay bounded.
    dropped_frames,
    /// Times the jitter buffer ran dry.
    underruns,
    /// Audio waiting in the jitter buffer now.
    buffered_ms,
    /// Interarrival jitter in microseconds (RFC 3550 A.8).
    jitter_us,
    /// Frames from a bridge peer on another worker left out after a hiccup.
    link_dropped,
    tx_packets,
    tx_errors,
    /// RTCP packets of the party, and what came to that port that is none.
    rtcp_received,
    rtcp_invalid,
    rtcp_sent,
    /// There and back in microseconds by the party's last report (RFC 3550 §6.4.1); 0 until known.
    round_trip_us,
    /// Packets the party says it has sent.
    far_sent,
    /// Reports of the party about our audio.
    far_reports,
    /// What the last one said: packets lost in all, of how many sent until then, in the last
    /// interval in 1/256, and jitter in microseconds.
    far_lost,
    far_expected,
    far_fraction_lost,
    far_jitter_us,
    /// Ticks the worker came too late for and left out.
    skipped_ticks,
    /// Frames for the assistant dropped because it did not read.
    assistant_in_dropped,
    /// Frames of silence within an item because the assistant's audio came too slowly.
    assistant_out_underruns,
    /// Frames for the recording dropped because the disk was too slow.
    recording_dropped,
    /// Keys received.
    digits,
    /// Events dropped because nobody read them.
    events_dropped,
}

impl LegStats {
    /// Interarrival jitter in milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        self.jitter_us as f64 / 1_000.0
    }
}

/// The engine as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    pub legs: u64,
    pub legs_max: u64,
    /// Ports in use; those waiting to be used again are not counted.
    pub ports_in_use: u64,
    /// Ticks of 20 ms that were left out because a worker came too late, all workers.
    pub skipped_ticks: u64,
    /// Longest time a worker came late for a tick since the last question, in microseconds.
    pub worst_lateness_us: u64,
    /// Legs given up because of a fault of ours.
    pub faults: u64,
}
