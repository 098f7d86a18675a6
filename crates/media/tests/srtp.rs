//! Protected legs over real sockets. The other side's SRTP is a library nobody here wrote.

mod support;

use std::time::Duration;

use support::{
    Phone, Secure, engine, engine_with, event, leg_id, share, srtp_params, start_leg, until,
};
use switchhook_media::srtp::Suite;
use switchhook_media::{Codec, MediaEngine, MediaEvent, MediaLeg, RtpParams, SilenceReason};

const SUITE: Suite = Suite::AesCm128HmacSha1Tag80;

/// A leg that sends with key 1 and hears key 2, and the phone that belongs to it.
fn secure_party(
    engine: &MediaEngine,
    id: &str,
    n: u32,
    suite: Suite,
    hz: f32,
) -> (MediaLeg, Phone) {
    let leg = engine.open_leg(leg_id(id, n)).expect("a free port");
    let secure = Secure::new(suite, 2, 1);
    let phone = Phone::secure(leg.local_addr(), Codec::Pcmu, hz, secure);
    leg.start(secured(&phone, suite));
    (leg, phone)
}

fn secured(phone: &Phone, suite: Suite) -> RtpParams {
    RtpParams {
        srtp: Some(srtp_params(suite, 1, 2)),
        ..RtpParams::new(phone.addr, Codec::Pcmu)
    }
}

/// The share of `hz` in the last second the phone heard.
fn hears(phone: &Phone, hz: f32) -> f32 {
    let all = phone.audio(Codec::Pcmu, 0);
    share(&all[all.len().saturating_sub(8_000)..], hz)
}

#[tokio::test]
async fn every_suite_carries_audio_both_ways_between_plain_and_protected_legs() {
    for suite in Suite::ALL {
        let (engine, _dir) = engine(1);
        let (a, secure) = secure_party(&engine, suite.name(), 1, suite, 700.0);
        let plain = Phone::silent();
        let b = start_leg(&engine, leg_id(suite.name(), 2), plain.addr, Codec::Pcmu);
        engine.bridge(&a, &b);
        until("the plain phone hears the protected one", || {
            plain.packet_count() > 60 && hears(&plain, 700.0) > 0.9
        })
        .await;
        until("the protected phone hears", || secure.packet_count() > 50).await;
        assert_eq!(secure.refused(), 0, "{suite:?}");
        let stats = a.stats();
        assert_eq!((stats.rx_unauthentic, stats.rx_replayed), (0, 0));
    }
}

#[tokio::test]
async fn two_protected_legs_hear_each_other() {
    let (engine, _dir) = engine(2);
    let (a, first) = secure_party(&engine, "both", 1, SUITE, 700.0);
    let (b, second) = secure_party(&engine, "both", 2, SUITE, 1_300.0);
    engine.bridge(&a, &b);
    until("both hear each other", || {
        hears(&first, 1_300.0) > 0.9 && hears(&second, 700.0) > 0.9
    })
    .await;
    assert_eq!((first.refused(), second.refused()), (0, 0));
}

#[tokio::test]
async fn another_key_is_silence_and_an_alarm_with_its_reason() {
    let (engine, _dir) = engine_with(1, |config| config.no_rtp_after = Duration::from_millis(400));
    let leg = engine.open_leg(leg_id("wrongkey", 1)).unwrap();
    let mut events = leg.take_events().unwrap();
    let wrong = Secure::new(SUITE, 9, 1);
    let phone = Phone::secure(leg.local_addr(), Codec::Pcmu, 700.0, wrong);
    leg.start(secured(&phone, SUITE));
    leg.watch();
    let (mut ear, _mouth) = leg.assistant();
    let reason = event(&mut events, |event| match event {
        MediaEvent::NoRtp { reason, .. } => Some(*reason),
        MediaEvent::RtpStarted { .. } => panic!("a packet of another key was believed"),
        _ => None,
    })
    .await;
    assert_eq!(reason, SilenceReason::NotAuthentic);
    for _ in 0..25 {
        let frame = ear.recv().await.expect("frames go on");
        assert!(frame.samples.iter().all(|sample| *sample == 0), "no noise");
    }
    let stats = leg.stats();
    assert!(stats.rx_unauthentic > 10, "{stats:?}");
    assert_eq!(stats.rx_packets, 0);
}

#[tokio::test]
async fn plain_rtp_is_not_heard_on_a_protected_leg() {
    let (engine, _dir) = engine(1);
    let leg = engine.open_leg(leg_id("plain", 1)).unwrap();
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    leg.start(secured(&phone, SUITE));
    until("it is refused", || leg.stats().rx_unauthentic > 10).await;
    assert_eq!(leg.stats().rx_packets, 0);
}

#[tokio::test]
async fn copies_are_dropped_and_counted() {
    let (engine, _dir) = engine(1);
    let (leg, phone) = secure_party(&engine, "replay", 1, SUITE, 700.0);
    until("audio", || leg.stats().rx_packets > 10).await;
    for _ in 0..5 {
        phone.replay(leg.local_addr());
    }
    until("the copies are counted", || leg.stats().rx_replayed >= 5).await;
    assert_eq!(
        leg.stats().rx_duplicate,
        0,
        "dropped before they are looked at"
    );
}

#[tokio::test]
async fn keys_are_kept_over_re_invites_and_can_be_changed() {
    let (engine, _dir) = engine(1);
    let (leg, phone) = secure_party(&engine, "rekey", 1, SUITE, 700.0);
    until("audio", || {
        leg.stats().rx_packets > 10 && phone.packet_count() > 10
    })
    .await;
    leg.update(secured(&phone, SUITE));
    let (taken, heard) = (leg.stats().rx_packets, phone.packet_count());
    until("audio goes on", || {
        leg.stats().rx_packets > taken + 10 && phone.packet_count() > heard + 10
    })
    .await;
    assert_eq!((leg.stats().rx_unauthentic, phone.refused()), (0, 0));

    // The party has another key now; what it sends with the old one is refused.
    leg.update(RtpParams {
        srtp: Some(srtp_params(SUITE, 1, 3)),
        ..secured(&phone, SUITE)
    });
    until("the old key is refused", || leg.stats().rx_unauthentic > 10).await;
    let heard = phone.packet_count();
    until("our side goes on", || phone.packet_count() > heard + 10).await;
    assert_eq!(phone.refused(), 0);

    // And plain again.
    leg.update(RtpParams::new(phone.addr, Codec::Pcmu));
    until("what we send is plain", || phone.refused() > 5).await;
}
