//! Reports over real sockets: what a leg says, what it believes, and what it makes of it.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use support::{DEADLINE, Phone, Secure, engine, event, leg_id, srtp_params, until};
use switchhook_media::rtcp::wire::{COMPOUND_MAX, Compound, Reception, Report, SenderInfo};
use switchhook_media::srtp::Suite;
use switchhook_media::{Codec, MediaEngine, MediaEvent, MediaLeg, RtcpParams, RtpParams};

/// The SSRC of the support phone.
const PHONE: u32 = 7;

/// The phone's RTCP socket.
struct Reporter {
    socket: UdpSocket,
}

impl Reporter {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("works on loopback");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("works on loopback");
        Self { socket }
    }

    fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("works on loopback")
    }

    fn next(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 1_500];
        let (len, from) = self
            .socket
            .recv_from(&mut buffer)
            .expect("a report in time");
        (buffer[..len].to_vec(), from)
    }

    fn send(&self, to: SocketAddr, report: Report<'_>) {
        let mut buffer = [0; COMPOUND_MAX];
        let len = report.write(&mut buffer);
        self.socket
            .send_to(&buffer[..len], to)
            .expect("works on loopback");
    }
}

fn receiver_report(reception: Option<Reception>) -> Report<'static> {
    Report {
        ssrc: PHONE,
        sender: None,
        reception,
        cname: b"phone@example.co",
        bye: false,
    }
}

fn reception(ssrc: u32, highest: u32) -> Reception {
    Reception {
        ssrc,
        fraction_lost: 0,
        lost: 0,
        highest,
        jitter: 0,
        last_report: 0,
        delay: 0,
    }
}

fn rtcp_of(leg: &MediaLeg) -> SocketAddr {
    SocketAddr::new(leg.local_addr().ip(), leg.local_addr().port() + 1)
}

/// A leg with a phone that plays a tone, and the phone's reporter.
fn party(engine: &MediaEngine, id: &str) -> (MediaLeg, Phone, Reporter) {
    let leg = engine.open_leg(leg_id(id, 1)).expect("works on loopback");
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    let reporter = Reporter::new();
    leg.start(params(&phone, &reporter));
    leg.watch();
    (leg, phone, reporter)
}

fn params(phone: &Phone, reporter: &Reporter) -> RtpParams {
    RtpParams {
        rtcp: RtcpParams {
            remote: reporter.addr(),
            mux: false,
        },
        ..RtpParams::new(phone.addr, Codec::Pcmu)
    }
}

/// Middle of the NTP time now.
fn ntp_middle() -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("works on loopback");
    ((now.as_secs() + 2_208_988_800) << 16) as u32
        | (now.subsec_nanos() as u64 * 65_536 / 1_000_000_000) as u32
}

#[tokio::test]
async fn a_leg_reports_what_it_sent_and_heard_and_says_goodbye() {
    let (engine, _dir) = engine(1);
    let (leg, phone, reporter) = party(&engine, "reports");
    let (first, from) = reporter.next();
    assert_eq!(from, rtcp_of(&leg), "from the odd port");
    let first = Compound::parse(&first, PHONE).expect("works on loopback");
    let ours = phone.packets()[0].ssrc;
    assert_eq!(first.ssrc, ours);
    let sender = first.sender.expect("we send");
    assert!(sender.packets > 10 && sender.octets == sender.packets * 160);
    let at = phone.packets().last().expect("works on loopback").timestamp;
    let apart = at.wrapping_sub(sender.rtp_timestamp).cast_signed().abs();
    assert!(
        apart < 8_000,
        "the report's moment is that of the audio: {apart}"
    );
    let block = first.reception.expect("we hear the phone");
    assert!(block.highest > 10 && block.lost == 0, "{block:?}");
    assert_eq!(block.last_report, 0, "the phone has not reported");

    // The phone reports, and a second report answers it.
    let info = SenderInfo {
        ntp: 0xE000_0000_1234_0000,
        rtp_timestamp: 0,
        packets: 99,
        octets: 99 * 160,
    };
    let report = Report {
        sender: Some(info),
        ..receiver_report(None)
    };
    reporter.send(from, report);
    let (second, _) = reporter.next();
    let second = Compound::parse(&second, PHONE).expect("works on loopback");
    let block = second.reception.expect("works on loopback");
    assert_eq!(block.last_report, 0x0000_1234);
    assert!(block.delay > 0);
    assert_eq!(leg.stats().far_sent, 99);

    drop(leg);
    let (mut last, _) = reporter.next();
    while !Compound::parse(&last, PHONE)
        .expect("works on loopback")
        .bye
    {
        (last, _) = reporter.next();
    }
}

#[tokio::test]
async fn the_partys_view_and_the_round_trip_are_in_the_figures() {
    let (engine, _dir) = engine(1);
    let (leg, _phone, reporter) = party(&engine, "far");
    let (first, from) = reporter.next();
    let first = Compound::parse(&first, PHONE).expect("works on loopback");
    // Held for half a second, by our own account.
    let sent = (first.sender.expect("works on loopback").ntp >> 16) as u32;
    let block = Reception {
        fraction_lost: 128,
        lost: 3,
        jitter: 40,
        last_report: sent,
        delay: ntp_middle().wrapping_sub(sent),
        ..reception(first.ssrc, 20)
    };
    reporter.send(from, receiver_report(Some(block)));
    until("the report is read", || leg.stats().far_reports == 1).await;
    let stats = leg.stats();
    assert_eq!(
        (stats.far_lost, stats.far_fraction_lost, stats.far_jitter_us),
        (3, 128, 5_000)
    );
    assert!(stats.round_trip_us > 0, "{stats:?}");
    let quality = stats.quality();
    assert_eq!(quality.far.expect("works on loopback").jitter_ms, 5.0);
    assert!(
        quality.round_trip_ms.expect("works on loopback") > 0.0
            && quality.mos.expect("works on loopback") > 3.0
    );
}

#[tokio::test]
async fn nobody_else_is_believed_and_nonsense_is_counted() {
    let (engine, _dir) = engine(1);
    let (leg, phone, reporter) = party(&engine, "foreign");
    until("audio", || leg.stats().rx_packets > 5).await;
    let ssrc = phone.packets()[0].ssrc;
    reporter.send(rtcp_of(&leg), receiver_report(None));
    until("the phone is known", || leg.stats().rtcp_received == 1).await;
    let stranger = Reporter::new();
    stranger.send(rtcp_of(&leg), receiver_report(Some(reception(ssrc, 9))));
    until("the stranger is refused", || leg.stats().rx_foreign == 1).await;
    for nonsense in [&[0x80, 201][..], &[0x80, 202, 0, 0], &[0; 40]] {
        reporter
            .socket
            .send_to(nonsense, rtcp_of(&leg))
            .expect("works on loopback");
    }
    until("nonsense is counted", || leg.stats().rtcp_invalid == 3).await;
    assert_eq!(leg.stats().far_reports, 0);
    // Nor does the stranger get anything.
    stranger
        .socket
        .set_nonblocking(true)
        .expect("works on loopback");
    let (_, from) = reporter.next();
    assert_eq!(from, rtcp_of(&leg));
    assert!(stranger.socket.recv_from(&mut [0; 8]).is_err());
}

#[tokio::test]
async fn with_mux_reports_travel_with_the_audio() {
    let (engine, _dir) = engine(1);
    let leg = engine
        .open_leg(leg_id("mux", 1))
        .expect("works on loopback");
    // One socket for both, by hand.
    let phone = Reporter::new();
    leg.start(RtpParams {
        rtcp: RtcpParams {
            mux: true,
            ..RtcpParams::beside(phone.addr())
        },
        ..RtpParams::new(phone.addr(), Codec::Pcmu)
    });
    let ssrc = loop {
        let (packet, from) = phone.next();
        assert_eq!(from, leg.local_addr());
        if let Ok(report) = Compound::parse(&packet, PHONE) {
            break report.ssrc;
        }
    };
    phone.send(leg.local_addr(), receiver_report(Some(reception(ssrc, 30))));
    until("the report is read", || leg.stats().far_reports == 1).await;
    assert_eq!(leg.stats().rx_invalid, 0);
}

#[tokio::test]
async fn reports_of_a_protected_leg_are_protected() {
    let suite = Suite::AesCm128HmacSha1Tag32;
    let (engine, _dir) = engine(1);
    let leg = engine
        .open_leg(leg_id("srtcp", 1))
        .expect("works on loopback");
    let phone = Phone::secure(
        leg.local_addr(),
        Codec::Pcmu,
        700.0,
        Secure::new(suite, 2, 1),
    );
    let reporter = Reporter::new();
    leg.start(RtpParams {
        srtp: Some(srtp_params(suite, 1, 2)),
        ..params(&phone, &reporter)
    });
    let provider = rtc_srtp::crypto::default_provider().expect("works on loopback");
    let context = |octet: u8| {
        let profile = ProtectionProfile::Aes128CmHmacSha1_32;
        let (key, salt) = ([octet; 16], [octet; 14]);
        Context::new(&key, &salt, profile, None, None, provider.crypto())
            .expect("works on loopback")
    };
    let (wire, from) = reporter.next();
    let plain = context(1).decrypt_rtcp(&wire).expect("made with our key");
    let ours = Compound::parse(&plain, PHONE).expect("works on loopback");
    assert!(ours.sender.is_some() && ours.reception.is_some());

    let mut buffer = [0; COMPOUND_MAX];
    let report = receiver_report(Some(reception(ours.ssrc, 40)));
    let len = report.write(&mut buffer);
    reporter
        .socket
        .send_to(&buffer[..len], from)
        .expect("works on loopback");
    until("plain reports are refused", || {
        leg.stats().rx_unauthentic == 1
    })
    .await;
    let mut protect = context(2);
    let protected = protect
        .encrypt_rtcp(&buffer[..len])
        .expect("works on loopback");
    for _ in 0..2 {
        reporter
            .socket
            .send_to(&protected, from)
            .expect("works on loopback");
    }
    until("the report is read once", || {
        let stats = leg.stats();
        (stats.far_reports, stats.rx_replayed) == (1, 1)
    })
    .await;
}

#[tokio::test]
async fn a_party_that_reports_hearing_nothing_raises_the_alarm_until_it_hears() {
    let (engine, _dir) = engine(1);
    let (leg, phone, reporter) = party(&engine, "deaf");
    let mut events = leg.take_events().expect("works on loopback");
    until("audio", || phone.packet_count() > 5).await;
    let ssrc = phone.packets()[0].ssrc;
    let mut reports = tokio::time::interval(Duration::from_millis(500));
    let mut highest = 0;
    for (hears, expected) in [
        (false, MediaEvent::NotHeard),
        (true, MediaEvent::HeardAgain),
    ] {
        let found = event(&mut events, |event| (*event == expected).then_some(()));
        tokio::pin!(found);
        loop {
            tokio::select! {
                () = &mut found => break,
                _ = reports.tick() => {
                    highest += 25;
                    let block = hears.then(|| reception(ssrc, highest));
                    reporter.send(rtcp_of(&leg), receiver_report(block));
                }
            }
        }
    }
}
