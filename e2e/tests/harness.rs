//! The harness itself: if these fail, no other result means anything.

use std::time::Duration;

use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::phrases::Phrase;
use switchhook_e2e::sipp::Sipp;
use switchhook_lab::audio::{speech, tone};
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent};

const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn baresip_and_our_phone_hear_each_other() {
    let phone = Phone::start(PhoneConfig::new("lab")).await.unwrap();
    let mut config = BaresipConfig::with_tone("2001", phone.local(), 1000.0);
    config.register = false;
    let mut baresip = Baresip::start(config).await;
    baresip.dial(&format!("sip:lab@{}", phone.local())).await;
    let call = phone.incoming(0, SOON).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    baresip.wait_event("CALL_ESTABLISHED", 1, SOON).await;
    call.play_tone(1500.0);
    call.wait_tone(1000.0, 0, 1500, SOON).await.unwrap();
    baresip.digits("5").await;
    call.wait_for(
        "digit 5",
        |e| matches!(e, PhoneEvent::DigitHeard { digit: '5', .. }),
        SOON,
    )
    .await
    .unwrap();
    baresip.hangup().await;
    call.wait_ended(SOON).await.unwrap();
    baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    let heard = baresip.heard(0);
    assert!(
        tone::present_ms(&heard, 1500.0) > 1000,
        "{:?}",
        speech::stretches(&heard)
    );
    assert!(tone::present_ms(&baresip.sent(0), 1000.0) > 1000);
}

#[tokio::test]
async fn sipp_plays_its_scenarios_against_our_phone() {
    let phone = Phone::start(PhoneConfig::new("lab")).await.unwrap();
    for (scenario, status) in [
        ("called-busy-486.xml", 486),
        ("called-decline-603.xml", 603),
    ] {
        let mut sipp = Sipp::called(scenario, 1).await;
        let call = phone
            .dial(&format!("sip:x@127.0.0.1:{}", sipp.port()))
            .await
            .unwrap();
        let end = call.wait_ended(SOON).await.unwrap();
        assert!(
            matches!(end, PhoneEvent::Failed { status: s, .. } if s == status),
            "{end:?}"
        );
        sipp.succeed(SOON).await;
    }
    let mut sipp = Sipp::called("called-rings-until-cancelled.xml", 1).await;
    let call = phone
        .dial(&format!("sip:x@127.0.0.1:{}", sipp.port()))
        .await
        .unwrap();
    call.wait_for(
        "180",
        |e| matches!(e, PhoneEvent::Progress { status: 180, .. }),
        SOON,
    )
    .await
    .unwrap();
    let end = call.hangup().await.unwrap();
    assert!(
        matches!(end, PhoneEvent::Failed { status: 487, .. }),
        "{end:?}"
    );
    sipp.succeed(SOON).await;

    phone.set_on_call(OnCall::AnswerAfter(Duration::ZERO));
    let target = phone.local().to_string();
    let mut sipp = Sipp::calling(
        "caller-hangs-up-after-answer.xml",
        1,
        &target,
        &["-s", "lab"],
    )
    .await;
    sipp.succeed(SOON).await;
}

#[tokio::test]
async fn a_phrase_sounds_like_speech_on_a_telephone() {
    let audio = Phrase::new("I want to talk to a person.", "en-us+f2")
        .audio()
        .await;
    assert!((800..8000).contains(&audio.duration_ms()));
    assert!(
        speech::speech_ms(&audio) > 600,
        "{:?}",
        speech::stretches(&audio)
    );
}
