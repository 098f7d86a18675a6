//! What a leg reports of a bad network is what the network did, by the relay's own account.

mod support;

use std::time::Duration;

use support::{Phone, engine, leg_id, until};
use switchhook_lab::relay::{BothWays, Counts, Impairment, UdpRelay};
use switchhook_media::{Codec, LegStats, RtpParams};

/// How far a reported share of lost packets may be from the real one: 1 point.
const LOSS_TOLERANCE: f64 = 0.01;
/// The same for jitter, in milliseconds.
const JITTER_TOLERANCE_MS: f64 = 10.0;

/// `jitter_ms` is the mean of what was reported over the time.
fn assert_figures(reported: LegStats, jitter_ms: f64, injected: Counts) {
    let taken = reported.rx_packets + reported.rx_lost;
    let lost = reported.rx_lost as f64 / taken as f64;
    assert!(
        (lost - injected.loss_share()).abs() <= LOSS_TOLERANCE,
        "reported {reported:?}, injected {injected:?}"
    );
    assert!(
        (jitter_ms - injected.jitter_ms()).abs() <= JITTER_TOLERANCE_MS,
        "reported {jitter_ms:.1} ms, injected {:.1} ms",
        injected.jitter_ms()
    );
}

async fn figures(how: Impairment, seed: u64) -> (LegStats, f64, Counts) {
    let (engine, _dir) = engine(1);
    let leg = engine.open_leg(leg_id("network", 1)).expect("a free leg");
    let ways = BothWays {
        to_gateway: how,
        to_phone: Impairment::default(),
    };
    let relay = UdpRelay::open(leg.local_addr(), ways, seed).expect("free ports");
    leg.start(RtpParams::new(relay.client_as_seen(), Codec::Pcmu));
    let _phone = Phone::with_tone(relay.addr(), Codec::Pcmu, 700.0);
    let (mut jitter_ms, mut looks, mut seen) = (0.0, 0.0, 0);
    until("ten seconds of audio", || {
        let received = relay.counts().to_gateway.received;
        // The estimate settles over some 16 packets (RFC 3550 §6.4.1).
        if received > 64 && received != seen {
            seen = received;
            jitter_ms += leg.stats().jitter_ms();
            looks += 1.0;
        }
        received >= 500
    })
    .await;
    (leg.stats(), jitter_ms / looks, relay.counts().to_gateway)
}

#[tokio::test]
async fn loss_and_jitter_are_reported_as_injected() {
    let how = Impairment {
        loss: 0.05,
        doubled: 0.03,
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(100),
        ..Impairment::default()
    };
    let (reported, jitter_ms, injected) = figures(how, 3).await;
    assert!(injected.lost >= 10 && injected.doubled >= 5, "{injected:?}");
    // Else a report of nothing would be near enough.
    assert!(
        injected.jitter_ms() > JITTER_TOLERANCE_MS + 2.0,
        "{injected:?}"
    );
    assert_figures(reported, jitter_ms, injected);
    let on_the_way = injected.doubled - reported.rx_duplicate;
    assert!(on_the_way <= 1, "{reported:?}, {injected:?}");
}

#[tokio::test]
async fn a_good_network_is_reported_as_one() {
    let how = Impairment {
        delay: Duration::from_millis(40),
        ..Impairment::default()
    };
    let (reported, jitter_ms, injected) = figures(how, 4).await;
    assert_eq!((injected.lost, reported.rx_lost), (0, 0));
    assert_figures(reported, jitter_ms, injected);
}
