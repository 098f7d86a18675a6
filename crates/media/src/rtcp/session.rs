//! When a leg reports, what it says, and what the party's reports mean.

use std::net::SocketAddr;

use super::wire::{CNAME_LEN, Compound, Reception, Report, SenderInfo};
use super::{ntp, ntp_middle};
use crate::params::RtpParams;
use crate::receiver::SequenceStats;

/// Ticks of the minimum interval of 5 s (RFC 3550 §6.2). Two members never use up the bandwidth
/// that would make it longer.
const INTERVAL_TICKS: f64 = 250.0;
/// What makes up for the random factor's bias (RFC 3550 §6.3.1).
const COMPENSATION: f64 = 1.218_28;
/// A longer round trip is a wrong report.
const ROUND_TRIP_MAX: u32 = 20 << 16;
/// Packets we must have sent between two reports to conclude from them that we are not heard.
const JUDGED_PACKETS: u64 = 100;
/// Reports in a row that say so before it is told.
const JUDGED_REPORTS: u8 = 2;

/// Whether the party hears us, by its own reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deafness {
    /// No change.
    Same,
    NotHeard,
    HeardAgain,
}

/// What the figures of a leg gain by a report of the party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FarView {
    pub reception: Option<Reception>,
    /// In 1/65536 s, at least 1.
    pub round_trip: Option<u32>,
    /// Packets it says it has sent.
    pub sent: Option<u32>,
}

/// One leg's RTCP.
pub(crate) struct RtcpSession {
    cname: [u8; CNAME_LEN],
    random: u64,
    /// Ticks until the next report.
    due_in: u32,
    /// Middle of the NTP time of the party's last sender report, and when it came.
    last_sender_report: Option<(u32, u64)>,
    /// At our last report, for the fraction lost.
    expected_before: u64,
    received_before: u64,
    ssrc_before: u32,
    /// Packets and octets of payload we have sent, in all and at the last report.
    packets: u64,
    octets: u64,
    packets_reported: u64,
    /// Where the party's reports come from.
    source: Option<SocketAddr>,
    has_reported: bool,
    far: Far,
}

#[derive(Default)]
struct Far {
    highest: Option<u32>,
    packets_then: u64,
    deaf_reports: u8,
    is_deaf: bool,
}

impl RtcpSession {
    /// `random` names us to the party for this call only (RFC 7022 §4.2) and spreads the reports.
    pub fn new(random: u64) -> Self {
        let mut cname = [0; CNAME_LEN];
        for (n, octet) in cname.iter_mut().enumerate() {
            *octet = b"0123456789abcdef"[(random >> (4 * n)) as usize & 15];
        }
        let mut session = Self {
            cname,
            random: random.rotate_left(32) | 1,
            due_in: 0,
            last_sender_report: None,
            expected_before: 0,
            received_before: 0,
            ssrc_before: 0,
            packets: 0,
            octets: 0,
            packets_reported: 0,
            source: None,
            has_reported: false,
            far: Far::default(),
        };
        // The first one after half the time (RFC 3550 §6.2).
        session.due_in = session.interval() / 2;
        session
    }

    /// 5 s, times a random factor between 0.5 and 1.5 (RFC 3550 §6.3.1), in ticks.
    fn interval(&mut self) -> u32 {
        // xorshift64: it only has to differ from leg to leg.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let factor = 0.5 + (self.random >> 32) as f64 / f64::from(u32::MAX);
        (INTERVAL_TICKS * factor / COMPENSATION) as u32
    }

    pub fn sent(&mut self, payload: usize) {
        self.packets += 1;
        self.octets += payload as u64;
    }

    pub fn packets_sent(&self) -> u64 {
        self.packets
    }

    /// Once per tick; true when a report is due.
    pub fn is_due(&mut self) -> bool {
        if self.due_in > 0 {
            self.due_in -= 1;
            return false;
        }
        self.due_in = self.interval();
        true
    }

    /// Where reports go: to where they come from, else beside where the audio comes from (RFC 4961),
    /// else where signalling said.
    pub fn target(&self, params: &RtpParams, rtp_target: SocketAddr) -> SocketAddr {
        if params.rtcp.mux {
            return rtp_target;
        }
        if let Some(source) = self.source {
            return source;
        }
        if rtp_target == params.remote {
            return params.rtcp.remote;
        }
        SocketAddr::new(rtp_target.ip(), rtp_target.port().saturating_add(1))
    }

    /// Signalling announced something new: the party is looked for again.
    pub fn forget_source(&mut self) {
        self.source = None;
    }

    /// Whether a report from there may be the party's: its address is that of the audio or the
    /// announced one; once a source was heard, no other.
    pub fn is_party(&self, from: SocketAddr, params: &RtpParams, rtp_target: SocketAddr) -> bool {
        if params.rtcp.mux {
            return from == rtp_target;
        }
        match self.source {
            Some(source) => source == from,
            None => from.ip() == rtp_target.ip() || from == params.rtcp.remote,
        }
    }

    /// What we say now.
    pub fn report<'a>(
        &'a mut self,
        our_ssrc: u32,
        rtp_timestamp: u32,
        now_ns: u64,
        heard: &SequenceStats,
        bye: bool,
    ) -> Report<'a> {
        // A sender is who sent since the report before the last (§6.4); silence of ours is sent
        // too, so the last one will do.
        let is_sender = self.packets > self.packets_reported;
        self.packets_reported = self.packets;
        self.has_reported = true;
        let sender = is_sender.then(|| SenderInfo {
            ntp: ntp(now_ns),
            rtp_timestamp,
            packets: self.packets as u32,
            octets: self.octets as u32,
        });
        let reception = heard
            .source()
            .map(|ssrc| self.reception(ssrc, heard, now_ns));
        Report {
            ssrc: our_ssrc,
            sender,
            reception,
            cname: &self.cname,
            bye,
        }
    }

    /// RFC 3550 appendix A.3.
    fn reception(&mut self, ssrc: u32, heard: &SequenceStats, now_ns: u64) -> Reception {
        let (expected, received) = heard.expected_and_received();
        if ssrc != self.ssrc_before || expected < self.expected_before {
            (self.expected_before, self.received_before) = (0, 0);
        }
        let expected_now = expected - self.expected_before;
        let received_now = received.saturating_sub(self.received_before);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        self.ssrc_before = ssrc;
        self.expected_before = expected;
        self.received_before = received;
        let (last_report, delay) = self.last_sender_report.map_or((0, 0), |(report, came)| {
            let delay_ns = now_ns.saturating_sub(came);
            (
                report,
                (u128::from(delay_ns) * 65_536 / 1_000_000_000) as u32,
            )
        });
        Reception {
            ssrc,
            fraction_lost: fraction.min(255) as u8,
            lost: i32::try_from(expected.saturating_sub(received)).unwrap_or(i32::MAX),
            highest: heard.extended_highest(),
            jitter: heard.jitter_units(),
            last_report,
            delay,
        }
    }

    /// A report of the party.
    pub fn on_report(&mut self, from: SocketAddr, compound: &Compound, arrival_ns: u64) -> FarView {
        self.source = Some(from);
        if let Some(sender) = &compound.sender {
            self.last_sender_report = Some(((sender.ntp >> 16) as u32, arrival_ns));
        }
        let round_trip = compound
            .reception
            .filter(|block| block.last_report != 0 && self.has_reported)
            .map(|block| {
                ntp_middle(arrival_ns)
                    .wrapping_sub(block.last_report)
                    .wrapping_sub(block.delay)
                    .cast_signed()
            })
            // Less than nothing is the rounding of two clocks; much less, or much, is nonsense.
            .filter(|units| *units > -66 && *units < ROUND_TRIP_MAX.cast_signed())
            .map(|units| units.max(1).cast_unsigned());
        FarView {
            reception: compound.reception,
            round_trip,
            sent: compound.sender.map(|sender| sender.packets),
        }
    }

    /// Whether the party's reports say that it does not hear what we send. A party that never
    /// heard us reports nothing about us; one that lost us repeats the same sequence number.
    pub fn judge_hearing(&mut self, reception: Option<Reception>) -> Deafness {
        if self.packets - self.far.packets_then < JUDGED_PACKETS {
            return Deafness::Same;
        }
        self.far.packets_then = self.packets;
        let hears = reception.is_some_and(|block| {
            block.fraction_lost < 255 && self.far.highest != Some(block.highest)
        });
        self.far.highest = reception.map(|block| block.highest).or(self.far.highest);
        if hears {
            self.far.deaf_reports = 0;
            return if std::mem::take(&mut self.far.is_deaf) {
                Deafness::HeardAgain
            } else {
                Deafness::Same
            };
        }
        self.far.deaf_reports = self.far.deaf_reports.saturating_add(1);
        if self.far.deaf_reports < JUDGED_REPORTS || self.far.is_deaf {
            return Deafness::Same;
        }
        self.far.is_deaf = true;
        Deafness::NotHeard
    }
}

impl RtcpSession {
    /// On hold nobody has to hear us.
    pub fn hearing_is_not_expected(&mut self) -> Deafness {
        let was_deaf = self.far.is_deaf;
        self.far = Far {
            packets_then: self.packets,
            ..Far::default()
        };
        if was_deaf {
            Deafness::HeardAgain
        } else {
            Deafness::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::rtp::RtpPacket;

    const SECOND: u64 = 1_000_000_000;

    fn heard(sequences: impl IntoIterator<Item = u16>) -> SequenceStats {
        let mut stats = SequenceStats::default();
        hear(&mut stats, sequences);
        stats
    }

    fn hear(stats: &mut SequenceStats, sequences: impl IntoIterator<Item = u16>) {
        for sequence in sequences {
            stats.on_packet(&RtpPacket {
                marker: false,
                payload_type: 0,
                sequence,
                timestamp: 0,
                ssrc: 99,
                payload: &[0; 160],
            });
        }
    }

    #[test]
    fn reports_are_five_seconds_apart_more_or_less() {
        let mut session = RtcpSession::new(0x1234_5678_9ABC_DEF0);
        let mut last = 0u32;
        let mut gaps = Vec::new();
        for tick in 0..100_000u32 {
            if session.is_due() {
                gaps.push(tick - last);
                last = tick;
            }
        }
        assert!((51..=155).contains(&gaps[0]), "{}", gaps[0]);
        let rest = &gaps[1..];
        assert!(rest.iter().all(|gap| (102..=309).contains(gap)), "{rest:?}");
        let mean = rest.iter().sum::<u32>() as usize / rest.len();
        assert!((190..=220).contains(&mean), "{mean} ticks");
        assert!(rest.iter().any(|gap| *gap < 150) && rest.iter().any(|gap| *gap > 250));
    }

    #[test]
    fn loss_is_counted_in_all_and_since_the_last_report() {
        let mut session = RtcpSession::new(1);
        let mut stats = heard((1..=10).filter(|n| *n != 4));
        let block = |session: &mut RtcpSession, stats: &SequenceStats| {
            session
                .report(7, 0, SECOND, stats, false)
                .reception
                .unwrap()
        };
        let first = block(&mut session, &stats);
        assert_eq!((first.ssrc, first.lost, first.highest), (99, 1, 10));
        assert_eq!(first.fraction_lost, 25, "a tenth of 256");
        hear(&mut stats, 11..=20);
        let second = block(&mut session, &stats);
        assert_eq!(
            (second.lost, second.fraction_lost, second.highest),
            (1, 0, 20)
        );
        hear(&mut stats, [22, 24]);
        assert_eq!(block(&mut session, &stats).fraction_lost, 128);
    }

    #[test]
    fn who_sent_nothing_reports_as_receiver() {
        let mut session = RtcpSession::new(1);
        let stats = SequenceStats::default();
        let report = session.report(7, 0, SECOND, &stats, false);
        assert!(report.sender.is_none() && report.reception.is_none());
        session.sent(160);
        let report = session.report(7, 480, SECOND, &stats, false);
        let sender = report.sender.unwrap();
        assert_eq!(
            (sender.packets, sender.octets, sender.rtp_timestamp),
            (1, 160, 480)
        );
        assert!(session.report(7, 0, SECOND, &stats, false).sender.is_none());
    }

    #[test]
    fn the_round_trip_is_what_the_party_did_not_wait() {
        let from: SocketAddr = "192.0.2.1:4001".parse().unwrap();
        let sent_ns = 1_700_000_000 * SECOND;
        let mut session = RtcpSession::new(1);
        let block = |delay_ms: u32| Reception {
            ssrc: 7,
            fraction_lost: 0,
            lost: 0,
            highest: 1,
            jitter: 0,
            last_report: ntp_middle(sent_ns),
            delay: delay_ms * 65_536 / 1_000,
        };
        let report = |reception| Compound {
            ssrc: 99,
            sender: None,
            reception: Some(reception),
            bye: false,
        };
        let arrival = sent_ns + 2 * SECOND + 80_000_000;
        let unasked = session.on_report(from, &report(block(2_000)), arrival);
        assert_eq!(unasked.round_trip, None, "we have not reported yet");
        session.report(7, 0, sent_ns, &SequenceStats::default(), false);
        let view = session.on_report(from, &report(block(2_000)), arrival);
        let ms = u64::from(view.round_trip.unwrap()) * 1_000 / 65_536;
        assert!((79..=81).contains(&ms), "{ms}");
        // A clock that rounds up is not a negative time; nonsense is none at all.
        let rounded = session.on_report(from, &report(block(2_080)), arrival);
        assert_eq!(rounded.round_trip.map(|units| units <= 8), Some(true));
        for nonsense in [3_000, 60_000] {
            let view = session.on_report(from, &report(block(nonsense)), arrival);
            assert_eq!(view.round_trip, None, "{nonsense}");
        }
    }

    #[test]
    fn our_block_tells_how_long_we_held_the_partys_report() {
        let mut session = RtcpSession::new(1);
        let from: SocketAddr = "192.0.2.1:4001".parse().unwrap();
        let compound = Compound {
            ssrc: 99,
            sender: Some(SenderInfo {
                ntp: 0xE000_1234_5678_0000,
                rtp_timestamp: 0,
                packets: 1,
                octets: 160,
            }),
            reception: None,
            bye: false,
        };
        session.on_report(from, &compound, 10 * SECOND);
        let stats = heard([1]);
        let report = session.report(7, 0, 11 * SECOND + SECOND / 2, &stats, false);
        let block = report.reception.unwrap();
        assert_eq!(
            (block.last_report, block.delay),
            (0x1234_5678, 65_536 * 3 / 2)
        );
    }

    #[test]
    fn reports_go_to_the_party_only() {
        let announced: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let nat: SocketAddr = "198.51.100.1:31000".parse().unwrap();
        let mut session = RtcpSession::new(1);
        let params = RtpParams::new(announced, Codec::Pcmu);
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        assert_eq!(session.target(&params, announced), at("192.0.2.1:4001"));
        assert_eq!(session.target(&params, nat), at("198.51.100.1:31001"));
        assert!(session.is_party(at("198.51.100.1:7"), &params, nat));
        assert!(!session.is_party(at("203.0.113.1:4001"), &params, nat));
        let compound = Compound {
            ssrc: 1,
            sender: None,
            reception: None,
            bye: false,
        };
        session.on_report(at("198.51.100.1:7"), &compound, SECOND);
        assert_eq!(session.target(&params, nat), at("198.51.100.1:7"));
        assert!(!session.is_party(at("198.51.100.1:8"), &params, nat));
        let mut muxed = params;
        muxed.rtcp.mux = true;
        assert_eq!(session.target(&muxed, nat), nat);
        assert!(!session.is_party(at("198.51.100.1:7"), &muxed, nat));
    }

    #[test]
    fn a_party_that_hears_nothing_is_noticed_and_its_recovery_too() {
        let mut session = RtcpSession::new(1);
        let block = |highest: u32| {
            Some(Reception {
                ssrc: 7,
                fraction_lost: 0,
                lost: 0,
                highest,
                jitter: 0,
                last_report: 0,
                delay: 0,
            })
        };
        let judge = |session: &mut RtcpSession, reception| {
            for _ in 0..JUDGED_PACKETS {
                session.sent(160);
            }
            session.judge_hearing(reception)
        };
        // It never heard us.
        assert_eq!(judge(&mut session, None), Deafness::Same);
        assert_eq!(judge(&mut session, None), Deafness::NotHeard);
        assert_eq!(judge(&mut session, None), Deafness::Same, "told once");
        assert_eq!(judge(&mut session, block(100)), Deafness::HeardAgain);
        // It lost us: the same number again, and its fraction is zero.
        assert_eq!(judge(&mut session, block(200)), Deafness::Same);
        assert_eq!(judge(&mut session, block(200)), Deafness::Same);
        assert_eq!(
            session.judge_hearing(block(200)),
            Deafness::Same,
            "nothing was sent"
        );
        assert_eq!(judge(&mut session, block(200)), Deafness::NotHeard);
        // Put on hold, it has no reason to.
        assert_eq!(session.hearing_is_not_expected(), Deafness::HeardAgain);
        assert_eq!(session.hearing_is_not_expected(), Deafness::Same);
    }
}
