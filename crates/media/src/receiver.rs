//! Whose packets a leg listens to, and what they say about the network.

use std::net::SocketAddr;

use crate::rtp::RtpPacket;

/// Packets in sequence that a source other than the announced one must send before we believe it.
/// One is too few: a stray or forged packet would take the call's audio away.
const PROBATION_PACKETS: u8 = 3;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    /// First packet of the source we now listen to and send to.
    Latched,
    /// A source on probation; not yet used.
    Probation,
    /// Not from the party of this call.
    Foreign,
}

/// Symmetric RTP with latching (RFC 4961, RFC 7362 §4): behind a NAT the SDP names an address
/// nobody can reach, so we answer to where the party's packets come from.
///
/// The announced address is believed at once. Another source must first send a few valid packets
/// in sequence. Once latched, every other source is foreign until signalling announces anew.
#[derive(Debug)]
pub(crate) struct SourceGuard {
    announced: SocketAddr,
    latched: Option<SocketAddr>,
    candidate: Option<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    last_sequence: u16,
    packets: u8,
}

impl SourceGuard {
    pub fn new(announced: SocketAddr) -> Self {
        Self {
            announced,
            latched: None,
            candidate: None,
        }
    }

    /// Signalling announced an address: the same one changes nothing, another one starts anew.
    pub fn announce(&mut self, announced: SocketAddr) {
        if announced != self.announced {
            *self = Self::new(announced);
        }
    }

    /// Where to send.
    pub fn target(&self) -> SocketAddr {
        self.latched.unwrap_or(self.announced)
    }

    /// Judges the source of a packet that is valid RTP of a negotiated payload type.
    pub fn judge(&mut self, from: SocketAddr, packet: &RtpPacket<'_>) -> Verdict {
        if let Some(latched) = self.latched {
            return if latched == from {
                Verdict::Accept
            } else {
                Verdict::Foreign
            };
        }
        if from == self.announced || self.passes_probation(from, packet) {
            self.latched = Some(from);
            self.candidate = None;
            return Verdict::Latched;
        }
        Verdict::Probation
    }

    fn passes_probation(&mut self, from: SocketAddr, packet: &RtpPacket<'_>) -> bool {
        match &mut self.candidate {
            Some(candidate) if candidate.from == from && candidate.ssrc == packet.ssrc => {
                let step = packet.sequence.wrapping_sub(candidate.last_sequence);
                candidate.last_sequence = packet.sequence;
                // In sequence, allowing for a lost packet or two.
                if (1..=3).contains(&step) {
                    candidate.packets += 1;
                } else {
                    candidate.packets = 1;
                }
                candidate.packets >= PROBATION_PACKETS
            }
            Some(_) | None => {
                self.candidate = Some(Candidate {
                    from,
                    ssrc: packet.ssrc,
                    last_sequence: packet.sequence,
                    packets: 1,
                });
                false
            }
        }
    }
}

/// How a packet stands in the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Newer than all before.
    Next,
    /// Older than the newest, not seen before.
    Reordered,
    Duplicate,
    /// The source began a new sequence: new SSRC, or a jump confirmed by a second packet.
    Restarted,
    /// A jump not yet confirmed (RFC 3550 A.1).
    Suspect,
}

/// Sequence and jitter statistics of the latched source (RFC 3550 A.1, A.3, A.8).
#[derive(Debug, Default)]
pub(crate) struct SequenceStats {
    ssrc: u32,
    started: bool,
    /// Extended by its wrap-arounds.
    highest: u64,
    base: u64,
    received: u64,
    /// Bit n: the packet `highest - n` came.
    history: u64,
    suspect: Option<u16>,
    /// Lost in sequences that have ended.
    lost_before: u64,
    /// Interarrival jitter in units of 1/8000 s, scaled by 16 as in RFC 3550 A.8.
    jitter_q4: u64,
    /// Units of the RTP clock in one of those; 0 before it is told.
    clock_per_sample: u32,
    last_transit: Option<i64>,
}

/// RFC 3550 A.1: a forward jump beyond this is a restart, a backward one beyond `MAX_MISORDER` too.
const MAX_DROPOUT: u16 = 3_000;
const MAX_MISORDER: u16 = 100;

impl SequenceStats {
    pub fn on_packet(&mut self, packet: &RtpPacket<'_>) -> Order {
        if !self.started || packet.ssrc != self.ssrc {
            return self.restart(packet);
        }
        let newest = (self.highest & 0xFFFF) as u16;
        let ahead = packet.sequence.wrapping_sub(newest);
        let behind = newest.wrapping_sub(packet.sequence);
        if ahead == 0 {
            return Order::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            self.suspect = None;
            self.highest += u64::from(ahead);
            self.history = self.history.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.received += 1;
            return Order::Next;
        }
        if behind <= MAX_MISORDER {
            self.suspect = None;
            let bit = 1u64.checked_shl(u32::from(behind)).unwrap_or(0);
            if self.history & bit != 0 {
                return Order::Duplicate;
            }
            self.history |= bit;
            self.received += 1;
            return Order::Reordered;
        }
        if self.suspect == Some(packet.sequence) {
            return self.restart(packet);
        }
        self.suspect = Some(packet.sequence.wrapping_add(1));
        Order::Suspect
    }

    fn restart(&mut self, packet: &RtpPacket<'_>) -> Order {
        self.lost_before = self.lost();
        let first = !self.started;
        self.started = true;
        self.ssrc = packet.ssrc;
        // Room below, so that a reordered packet before the first one does not underflow.
        self.highest = 0x1_0000 + u64::from(packet.sequence);
        self.base = self.highest;
        self.received = 1;
        self.history = 1;
        self.suspect = None;
        self.last_transit = None;
        if first { Order::Next } else { Order::Restarted }
    }

    /// How much faster than 8000 Hz the RTP clock runs.
    pub fn set_clock_per_sample(&mut self, clock_per_sample: u32) {
        self.clock_per_sample = clock_per_sample;
    }

    /// Feeds the arrival time, in nanoseconds of any steady clock, of an audio packet; `timestamp`
    /// in units of 1/8000 s.
    pub fn on_arrival(&mut self, timestamp: u32, arrival_ns: u64) {
        // Both in units of 1/8000 s, modulo 2^32 as the timestamp is.
        let arrival = (arrival_ns / 125_000) as u32;
        let transit = i64::from(arrival.wrapping_sub(timestamp));
        if let Some(last) = self.last_transit.replace(transit) {
            let difference = (transit - last).unsigned_abs();
            // A jump beyond 2 s is a new timeline or the wrap, not jitter.
            if difference < 16_000 {
                self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
            }
        }
    }

    /// Of the running sequence, for reports: nothing before the first packet.
    pub fn source(&self) -> Option<u32> {
        self.started.then_some(self.ssrc)
    }

    /// Packets of the running sequence that should have come, and that came.
    pub fn expected_and_received(&self) -> (u64, u64) {
        if !self.started {
            return (0, 0);
        }
        (self.highest - self.base + 1, self.received)
    }

    /// Highest sequence number with its wrap-arounds, as reports carry it.
    pub fn extended_highest(&self) -> u32 {
        self.highest.wrapping_sub(0x1_0000) as u32
    }

    /// Interarrival jitter in units of the RTP clock.
    pub fn jitter_units(&self) -> u32 {
        let units = (self.jitter_q4 >> 4) * u64::from(self.clock_per_sample.max(1));
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// Packets that never came, as far as the sequence numbers tell.
    pub fn lost(&self) -> u64 {
        if !self.started {
            return self.lost_before;
        }
        let expected = self.highest - self.base + 1;
        self.lost_before + expected.saturating_sub(self.received)
    }

    /// Interarrival jitter in microseconds.
    pub fn jitter_us(&self) -> u64 {
        self.jitter_q4 * 125 / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, ssrc: u32) -> RtpPacket<'static> {
        RtpPacket {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc,
            payload: &[0; 160],
        }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_announced_address_is_believed_at_once() {
        let announced = addr("192.0.2.1:4000");
        let mut guard = SourceGuard::new(announced);
        assert_eq!(guard.judge(announced, &packet(1, 1)), Verdict::Latched);
        assert_eq!(guard.judge(announced, &packet(2, 1)), Verdict::Accept);
        assert_eq!(
            guard.judge(addr("192.0.2.9:4000"), &packet(3, 1)),
            Verdict::Foreign
        );
    }

    #[test]
    fn another_source_must_send_in_sequence_before_it_is_believed() {
        let nat = addr("198.51.100.7:31000");
        let stray = addr("203.0.113.5:9");
        let mut guard = SourceGuard::new(addr("10.0.0.2:4000"));
        assert_eq!(guard.judge(nat, &packet(10, 1)), Verdict::Probation);
        assert_eq!(guard.judge(stray, &packet(99, 2)), Verdict::Probation);
        assert_eq!(guard.judge(nat, &packet(11, 1)), Verdict::Probation);
        assert_eq!(guard.judge(nat, &packet(12, 1)), Verdict::Probation);
        assert_eq!(guard.target(), addr("10.0.0.2:4000"));
        assert_eq!(guard.judge(nat, &packet(13, 1)), Verdict::Latched);
        assert_eq!(guard.target(), nat);
        // Even the announced address comes too late now.
        assert_eq!(
            guard.judge(addr("10.0.0.2:4000"), &packet(1, 3)),
            Verdict::Foreign
        );
        // Random packets never pass.
        let mut guard = SourceGuard::new(addr("10.0.0.2:4000"));
        for sequence in [5u16, 900, 17, 40_000, 3, 2, 1] {
            assert_eq!(guard.judge(stray, &packet(sequence, 2)), Verdict::Probation);
        }
    }

    #[test]
    fn a_new_announcement_starts_anew_and_the_same_one_does_not() {
        let first = addr("192.0.2.1:4000");
        let mut guard = SourceGuard::new(first);
        guard.judge(first, &packet(1, 1));
        guard.announce(first);
        assert_eq!(guard.judge(first, &packet(2, 1)), Verdict::Accept);
        let second = addr("192.0.2.1:5000");
        guard.announce(second);
        assert_eq!(guard.target(), second);
        assert_eq!(guard.judge(second, &packet(1, 2)), Verdict::Latched);
    }

    #[test]
    fn loss_order_and_duplicates_are_counted() {
        let mut stats = SequenceStats::default();
        let orders: Vec<Order> = [65_534u16, 65_535, 1, 0, 0, 1, 4]
            .iter()
            .map(|sequence| stats.on_packet(&packet(*sequence, 1)))
            .collect();
        assert_eq!(
            orders,
            [
                Order::Next,
                Order::Next,
                Order::Next,
                Order::Reordered,
                Order::Duplicate,
                Order::Duplicate,
                Order::Next
            ]
        );
        assert_eq!(stats.lost(), 2, "packets 2 and 3");
    }

    #[test]
    fn a_jump_needs_a_second_packet() {
        let mut stats = SequenceStats::default();
        stats.on_packet(&packet(100, 1));
        assert_eq!(stats.on_packet(&packet(30_000, 1)), Order::Suspect);
        assert_eq!(stats.on_packet(&packet(101, 1)), Order::Next);
        assert_eq!(stats.on_packet(&packet(40_000, 1)), Order::Suspect);
        assert_eq!(stats.on_packet(&packet(40_001, 1)), Order::Restarted);
        assert_eq!(stats.on_packet(&packet(40_002, 1)), Order::Next);
        assert_eq!(stats.lost(), 0);
    }

    #[test]
    fn a_new_ssrc_is_a_new_sequence() {
        let mut stats = SequenceStats::default();
        stats.on_packet(&packet(1, 1));
        stats.on_packet(&packet(3, 1));
        assert_eq!(stats.on_packet(&packet(9_000, 2)), Order::Restarted);
        assert_eq!(stats.lost(), 1, "of the first sequence");
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut stats = SequenceStats::default();
        for n in 0..1_000u32 {
            // Every other packet 8 ms late.
            let late_ms = u64::from(n % 2) * 8;
            stats.on_arrival(n * 160, (u64::from(n) * 20 + late_ms) * 1_000_000);
        }
        let jitter_ms = stats.jitter_us() / 1_000;
        assert!((7..=8).contains(&jitter_ms), "{jitter_ms}");
        // Steady arrival brings it down.
        let mut steady = SequenceStats::default();
        for n in 0..100u32 {
            steady.on_arrival(n * 160, 5_000_000 + u64::from(n) * 20_000_000);
        }
        assert_eq!(steady.jitter_us(), 0);
    }
}
