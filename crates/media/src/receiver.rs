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
    InOrder,
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
    /// Interarrival jitter in timestamp units, scaled by 16 as in RFC 3550 A.8.
    jitter_q4: u64,
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
            return Order::InOrder;
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
        if first {
            Order::InOrder
        } else {
            Order::Restarted
        }
    }

    /// Feeds the arrival time, in nanoseconds of any steady clock, of an audio packet.
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
