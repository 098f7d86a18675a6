//! G.722 and Opus against baresip's own, with a caller of another codec, and music on hold.

use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::audio::codec::PhoneCodec;
use switchhook_lab::audio::g711::Law;
use switchhook_lab::audio::tone;
use switchhook_lab::phone::{Phone, PhoneCall, PhoneConfig, PhoneEvent};

use crate::common::*;

/// How long the tones are exchanged.
const TALK_MS: u64 = 2_000;

/// A caller of one codec and a human of another, connected by the assistant.
async fn connected(gateway: &Gateway, human: &HumanPhone, codec: PhoneCodec) -> (Phone, PhoneCall) {
    let config = PhoneConfig::new("caller").codecs(&[codec]);
    let phone = Phone::start(config).await.unwrap();
    let call = greeted(&phone, gateway).await;
    call.send_digits("0");
    human
        .baresip
        .wait_event("CALL_ESTABLISHED", 1, ANSWER)
        .await;
    (phone, call)
}

async fn both_hear_each_other(codec: PhoneCodec, human_codec: &'static str) {
    let gateway = GatewaySettings::demo().start().await;
    let mut human = HumanPhone::with_codec(&gateway, human_codec).await;
    let (_phone, call) = connected(&gateway, &human, codec).await;
    call.play_tone(CALLER_HZ);
    let from = call.now_ms();
    let heard = call
        .wait_tone(HUMAN_HZ, from, TALK_MS, ANSWER)
        .await
        .unwrap();
    // The assistant's greeting and the human came in the same codec.
    let expected: Vec<u8> = heard.payload_types.iter().copied().collect();
    assert_eq!(expected, [codec.payload_type()]);

    // The caller holds: the human hears music in place of the caller.
    let held = call.hold().await.unwrap();
    assert!(
        matches!(held, PhoneEvent::ReInviteAnswered { status: 200, .. }),
        "{held:?}"
    );
    let log = human.baresip.log();
    let from = human.baresip.heard(0).duration_ms();
    until("music while held", SOON, async || {
        let heard = human.baresip.heard(0);
        let since = heard.window(from, heard.duration_ms());
        let is_heard = tone::present_ms(&since, CHIME_HZ) >= 100;
        check(is_heard, || format!("{} ms\n{log}", since.duration_ms()))
    })
    .await;
    call.resume().await.unwrap();
    call.wait_tone(HUMAN_HZ, call.now_ms(), 500, ANSWER)
        .await
        .unwrap();
    call.hangup().await.unwrap();
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    let heard = human.baresip.heard(0);
    assert!(
        tone::present_ms(&heard, CALLER_HZ) >= 1_000,
        "the human heard {} ms of the caller\n{}",
        tone::present_ms(&heard, CALLER_HZ),
        human.baresip.log()
    );
    human.baresip.kill().await;
}

#[tokio::test]
async fn a_human_with_opus_and_a_caller_with_g711() {
    both_hear_each_other(Law::A.into(), "opus/48000/2").await;
}

#[tokio::test]
async fn a_human_with_g722_and_a_caller_with_opus() {
    both_hear_each_other(PhoneCodec::Opus, "G722/16000/1").await;
}

#[tokio::test]
async fn g722_on_both_sides() {
    both_hear_each_other(PhoneCodec::G722, "G722/16000/1").await;
}
