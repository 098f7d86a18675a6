//! The caller of `switchhook lab call` and the wire tap, against a phone that stands in for a
//! gateway.

use std::time::Duration;

use switchhook_lab::audio::speech::Sound;
use switchhook_lab::audio::{tone, wav};
use switchhook_lab::call::{self, CallArgs, Ending};
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent};
use switchhook_lab::tap::SipTap;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_report_says_what_was_heard() {
    let gateway = Phone::start(PhoneConfig::new("assistant")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (say, record) = (dir.path().join("say.wav"), dir.path().join("heard.wav"));
    wav::write(&say, &tone::sine(600.0, 500)).unwrap();
    let args = CallArgs {
        say: Some(say),
        to: format!("sip:assistant@{}", gateway.local()),
        digits: Some("0".into()),
        record: Some(record.clone()),
        greeting_within: Duration::from_secs(1),
        ..CallArgs::default()
    };
    let running = tokio::spawn(call::run(args));
    let there = gateway.incoming(0, SOON).await.unwrap();
    there.wait_answered(SOON).await.unwrap();
    there.play_tone(1300.0);
    there.wait_tone(600.0, 0, 300, SOON).await.unwrap();
    there
        .wait_for(
            "the 0",
            |e| matches!(e, PhoneEvent::DigitHeard { digit: '0', .. }),
            SOON,
        )
        .await
        .unwrap();
    there.hangup().await.unwrap();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.status, report.ended_by), (200, Ending::Gateway));
    // The frequency is a mean over windows, and a window is cut where a packet came late.
    let heard = report.heard.iter().find_map(|stretch| match stretch.sound {
        Sound::Tone { hz } if (hz - 1300.0).abs() <= 2.0 => Some(hz),
        _ => None,
    });
    let text = report.to_string();
    let hz = heard.unwrap_or_else(|| panic!("no tone of 1300 Hz: {text}"));
    assert!(text.contains(&format!("tone of {hz} Hz")), "{text}");
    assert!(tone::present_ms(&wav::read(&record).unwrap(), 1300.0) > 500);
}

#[tokio::test]
async fn a_refused_call_is_a_report() {
    let config = PhoneConfig::new("assistant").on_call(OnCall::RejectAfter {
        status: 486,
        after: Duration::ZERO,
    });
    let gateway = Phone::start(config).await.unwrap();
    let to = format!("sip:assistant@{}", gateway.local());
    let report = call::run(CallArgs {
        to,
        ..CallArgs::default()
    })
    .await
    .unwrap();
    assert_eq!((report.status, report.ended_by), (486, Ending::NotAnswered));
    assert!(report.to_string().contains("486 Busy Here"), "{report}");
}

#[tokio::test]
async fn the_tap_counts_what_passes_both_ways() {
    // The "gateway" here is a phone that calls back to the Contact it was given.
    let gateway = Phone::start(PhoneConfig::new("gw")).await.unwrap();
    let tap = SipTap::open(gateway.local()).await.unwrap();
    let phone = Phone::start(PhoneConfig::new("2001").server(tap.addr()))
        .await
        .unwrap();
    let call = phone
        .dial(&format!("sip:gw@{}", gateway.local()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.hangup().await.unwrap();
    let back = gateway
        .dial(&format!("sip:2001@{}", tap.phone_as_seen()))
        .await
        .unwrap();
    back.wait_answered(SOON).await.unwrap();
    back.hangup().await.unwrap();
    assert_eq!(tap.invites_to_phone(), 1, "{}", tap.ladder());
    assert_eq!(phone.invites().len(), 1);
    tap.wait_for(
        "BYE",
        |all| all.iter().any(|t| t.message.method() == "BYE"),
        SOON,
    )
    .await
    .unwrap();
}
