//! What the phone reports of the audio it gets, and what it learns from the other side's reports
//! (RFC 3550 §6.4, appendices A.3 and A.8). Plain RTCP only.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::wire::{Block, Report, RtpHeader, Sender};
use crate::audio::PHONE_RATE_HZ;

/// 1900 to 1970 in seconds.
const NTP_EPOCH_S: u64 = 2_208_988_800;
/// A jump of the transit time beyond this is a new timeline, not jitter.
const JUMP_S: f64 = 2.0;

/// Loss and jitter as one side sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reception {
    /// Packets that did not come, since the beginning.
    pub lost: u32,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
}

/// What two sides told each other of a call's audio so far.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    /// What we said of the other side's audio, one for each report.
    pub said: Vec<Reception>,
    /// What the other side said of ours.
    pub told: Vec<Reception>,
    /// There and back in milliseconds, by each report that tells it.
    pub round_trips_ms: Vec<f64>,
}

/// The stream that is being received. Each packet counts once, as where copies are thrown away
/// before anybody counts (SRTP does so): doubled packets hide no loss.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    base: u64,
    highest: u64,
    came: BTreeSet<u64>,
    /// In units of the RTP clock.
    jitter: f64,
    last_transit: Option<f64>,
    expected_before: u64,
    came_before: u64,
}

/// One call's reports.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    source: Option<Source>,
    /// Middle of the NTP time of the other side's last sender report, and when it came.
    last_report: Option<(u32, Instant)>,
    packets: u32,
    octets: u32,
    reports: Reports,
}

impl Reporter {
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// An RTP packet came.
    pub fn heard(&mut self, rtp: &RtpHeader, clock_hz: u32, at: Instant, started: Instant) {
        let number = u64::from(rtp.sequence);
        if self.source.as_ref().is_none_or(|s| s.ssrc != rtp.ssrc) {
            // Room below for one that was overtaken by the first.
            let base = 0x1_0000 + number;
            self.source = Some(Source {
                ssrc: rtp.ssrc,
                base,
                highest: base,
                came: BTreeSet::new(),
                jitter: 0.0,
                last_transit: None,
                expected_before: 0,
                came_before: 0,
            });
        }
        let Some(source) = &mut self.source else {
            return;
        };
        let step = rtp.sequence.wrapping_sub(source.highest as u16);
        let number = source
            .highest
            .wrapping_add_signed(i64::from(step.cast_signed()));
        if number < source.base || !source.came.insert(number) {
            return;
        }
        source.highest = source.highest.max(number);
        let arrival = at.duration_since(started).as_secs_f64() * f64::from(clock_hz);
        let transit = arrival - f64::from(rtp.timestamp);
        if let Some(last) = source.last_transit.replace(transit) {
            let d = (transit - last).abs();
            if d < JUMP_S * f64::from(clock_hz) {
                source.jitter += (d - source.jitter) / 16.0;
            }
        }
    }

    /// We sent an RTP packet.
    pub fn sent(&mut self, packet: &[u8]) {
        self.packets += 1;
        self.octets += packet.len().saturating_sub(12) as u32;
    }

    /// What we say now, in an RTP clock of `clock_hz`.
    pub fn report(&mut self, ssrc: u32, timestamp: u32, clock_hz: u32) -> Vec<u8> {
        let now = Instant::now();
        let last = self.last_report.map_or((0, 0), |(ntp, came)| {
            let held = now.duration_since(came).as_secs_f64();
            (ntp, (held * 65_536.0) as u32)
        });
        let block = self.source.as_mut().map(|source| {
            let expected = source.highest - source.base + 1;
            let came = source.came.len() as u64;
            let expected_now = expected - source.expected_before;
            let lost_now = expected_now.saturating_sub(came - source.came_before);
            (source.expected_before, source.came_before) = (expected, came);
            Block {
                ssrc: source.ssrc,
                fraction_lost: (lost_now * 256)
                    .checked_div(expected_now)
                    .unwrap_or(0)
                    .min(255) as u8,
                lost: expected.saturating_sub(came) as u32,
                highest: (source.highest - 0x1_0000) as u32,
                jitter: source.jitter as u32,
                last_report: last.0,
                delay: last.1,
            }
        });
        self.reports
            .said
            .extend(block.map(|b| reception(&b, clock_hz)));
        let report = Report {
            ssrc,
            sender: (self.packets > 0).then(|| Sender {
                ntp: ntp(SystemTime::now()),
                timestamp,
                packets: self.packets,
                octets: self.octets,
            }),
            block,
        };
        report.write("phone@lab.example.com")
    }

    /// A report of the other side, which sees us as `ssrc`.
    pub fn told(&mut self, datagram: &[u8], ssrc: u32, clock_hz: u32) {
        let (now, ntp_now) = (Instant::now(), middle(ntp(SystemTime::now())));
        let Some(report) = Report::parse(datagram, ssrc) else {
            return;
        };
        if let Some(sender) = report.sender {
            self.last_report = Some((middle(sender.ntp), now));
        }
        let Some(block) = report.block else { return };
        self.reports.told.push(reception(&block, clock_hz));
        if block.last_report != 0 {
            let units = ntp_now
                .wrapping_sub(block.last_report)
                .wrapping_sub(block.delay);
            let ms = f64::from(units.cast_signed()) * 1_000.0 / 65_536.0;
            self.reports.round_trips_ms.push(ms);
        }
    }
}

fn reception(block: &Block, clock_hz: u32) -> Reception {
    Reception {
        lost: block.lost,
        jitter_ms: f64::from(block.jitter) * 1_000.0 / f64::from(clock_hz.max(PHONE_RATE_HZ)),
    }
}

fn ntp(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + NTP_EPOCH_S) << 32 | fraction
}

fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn packet(sequence: u16) -> RtpHeader {
        RtpHeader {
            payload_type: 0,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc: 99,
            payload_at: 12,
        }
    }

    fn block(reporter: &mut Reporter) -> Block {
        let wire = reporter.report(7, 0, 8_000);
        Report::parse(&wire, 99).unwrap().block.unwrap()
    }

    #[test]
    fn copies_hide_no_loss_and_order_does_not_matter() {
        let started = Instant::now();
        let mut reporter = Reporter::default();
        for sequence in [65_533, 65_533, 65_535, 65_534, 1, 2, 2, 4] {
            reporter.heard(&packet(sequence), 8_000, started, started);
        }
        let first = block(&mut reporter);
        assert_eq!((first.lost, first.highest), (2, 0x1_0004), "0 and 3");
        assert_eq!(first.fraction_lost, 64, "two of eight");
        reporter.heard(&packet(5), 8_000, started, started);
        assert_eq!(block(&mut reporter).fraction_lost, 0);
    }

    #[test]
    fn jitter_is_the_smoothed_change_of_the_transit_time() {
        let started = Instant::now();
        let mut reporter = Reporter::default();
        for n in 0..200u16 {
            let late = MS * 8 * u32::from(n % 2);
            let at = started + MS * 20 * u32::from(n) + late;
            reporter.heard(&packet(n), 8_000, at, started);
        }
        let jitter = block(&mut reporter).jitter;
        assert!((60..=64).contains(&jitter), "{jitter} of 64 units");
    }

    #[test]
    fn the_round_trip_is_what_the_other_side_did_not_wait() {
        let sent = middle(ntp(SystemTime::now()));
        let mut reporter = Reporter::default();
        let theirs = |last_report, delay_ms: u32| Report {
            ssrc: 99,
            sender: Some(Sender {
                ntp: 0x1111_2222_3333_4444,
                timestamp: 0,
                packets: 1,
                octets: 160,
            }),
            block: Some(Block {
                ssrc: 7,
                fraction_lost: 0,
                lost: 3,
                highest: 1,
                jitter: 80,
                last_report,
                delay: delay_ms * 65_536 / 1_000,
            }),
        };
        reporter.told(&theirs(0, 0).write("x"), 7, 8_000);
        assert!(reporter.reports().round_trips_ms.is_empty());
        let ten_seconds_ago = sent.wrapping_sub(10 << 16);
        reporter.told(&theirs(ten_seconds_ago, 9_000).write("x"), 7, 8_000);
        let reports = reporter.reports();
        let ms = reports.round_trips_ms[0];
        assert!((999.0..60_000.0).contains(&ms), "{ms}");
        let told = Reception {
            lost: 3,
            jitter_ms: 10.0,
        };
        assert_eq!(reports.told, [told, told]);
        // Their report's time comes back in ours.
        reporter.heard(&packet(1), 8_000, Instant::now(), Instant::now());
        assert_eq!(block(&mut reporter).last_report, 0x2222_3333);
    }
}
