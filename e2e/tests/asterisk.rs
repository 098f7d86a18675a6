//! A PBX nobody here wrote as the gateway's trunk: Asterisk 22.

use std::time::Duration;

use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::asterisk::{
    Asterisk, AsteriskConfig, TONE_HZ, TONE_NUMBER, free_address, trunk_toml,
};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::audio::tone;
use switchhook_lab::phone::{Phone, PhoneCall, PhoneConfig, PhoneEvent};

use crate::common::*;
use crate::pbx::{self, drawn, events_of, mute_toml, on_the_wire, pbx_phone};

/// How long the tones are exchanged.
const TALK_MS: u64 = 2_000;

/// With the assistant's speech; calls that ask for a human go to a number of the PBX.
async fn start(change: impl FnOnce(AsteriskConfig) -> AsteriskConfig) -> (Gateway, Asterisk) {
    pbx::start(
        |pbx| GatewaySettings::file(&trunk_toml(pbx, TONE_NUMBER)),
        |_, config| change(config),
    )
    .await
}

/// Calls the assistant through the PBX and hears its greeting.
async fn greeted_through(asterisk: &Asterisk, phone: &Phone) -> PhoneCall {
    let call = phone
        .dial(&format!("sip:800@{}", asterisk.sip()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.wait_speech_ended(0, 500, PAUSE_MS, ANSWER)
        .await
        .unwrap();
    call
}

/// A phone of the PBX calls in over the trunk, asks for a human by key, and is connected over the
/// trunk to a number of the PBX: digest both ways, OPTIONS both ways, and audio both ways.
async fn in_and_out(change: impl FnOnce(AsteriskConfig) -> AsteriskConfig) {
    let (gateway, asterisk) = start(change).await;
    let phone = pbx_phone(&asterisk, "301").await;
    let call = greeted_through(&asterisk, &phone).await;
    let asked_ms = call.now_ms();
    call.send_digits("0");
    call.play_tone(CALLER_HZ);
    call.wait_tone(TONE_HZ, asked_ms, TALK_MS, ANSWER)
        .await
        .unwrap();
    call.hangup().await.unwrap();

    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    assert_eq!(only_attempt(&record)["result"], "answered");
    assert_eq!(record["violations"], serde_json::json!([]));
    let id = record["id"].as_str().unwrap();
    let events = events_of(&gateway.api().await, id).await;
    for ours in [true, false] {
        let challenged = |sent: bool, text: &str| {
            sent == ours && text.starts_with("SIP/2.0 401") && text.contains(" INVITE\r\n")
        };
        let proven = |sent: bool, text: &str| {
            sent != ours && text.starts_with("INVITE ") && text.contains("\r\nAuthorization: ")
        };
        assert!(
            on_the_wire(&events, challenged) && on_the_wire(&events, proven),
            "challenged by us: {ours}\n{}",
            drawn(&events)
        );
    }
    asterisk.wait_channels(0, SOON).await;
    let found = tone::present_ms(&asterisk.heard(), CALLER_HZ);
    // Its recording begins and ends a little inside the bridge.
    assert!(
        found >= TALK_MS / 4 * 3,
        "the PBX heard {found} ms of the caller"
    );
}

#[tokio::test]
async fn a_call_in_and_out_over_the_trunk() {
    in_and_out(|config| config).await;
}

#[tokio::test]
async fn a_call_in_and_out_over_tcp_with_a_law() {
    in_and_out(|config| AsteriskConfig {
        transport: "tcp",
        codecs: "alaw",
        ..config
    })
    .await;
}

/// A phone of the PBX reaches an extension of the gateway.
#[tokio::test]
async fn an_extension_is_called_over_the_trunk() {
    let (gateway, asterisk) = start(|config| config).await;
    let desk = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001");
    let desk = Phone::start(desk).await.unwrap();
    desk.register().await.unwrap();
    let phone = pbx_phone(&asterisk, "301").await;
    let call = phone
        .dial(&format!("sip:2001@{}", asterisk.sip()))
        .await
        .unwrap();
    let answered = desk.incoming(0, SOON).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.play_tone(CALLER_HZ);
    answered.play_tone(HUMAN_HZ);
    answered.wait_tone(CALLER_HZ, 0, 500, SOON).await.unwrap();
    call.wait_tone(HUMAN_HZ, 0, 500, SOON).await.unwrap();
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(record["violations"], serde_json::json!([]));
}

/// Waits until the gateway holds its trunk for that.
async fn wait_trunk(gateway: &Gateway, state: &str) {
    let api = gateway.api().await;
    until(state, SOON, async || {
        let trunk = api.get("/api/trunks").await["items"][0].clone();
        check(trunk["state"] == state, || pretty(&trunk))
    })
    .await;
}

/// OPTIONS both ways, through a restart of the PBX.
#[tokio::test]
async fn both_sides_know_whether_the_other_is_there() {
    let often = "[trunks.pbx]\nqualify_s = 1\n";
    let (gateway, mut asterisk) = pbx::start(
        |pbx| GatewaySettings::media(&mute_toml(pbx).replace("[trunks.pbx]\n", often)),
        |_, config| config,
    )
    .await;
    wait_trunk(&gateway, "up").await;
    asterisk.kill().await;
    wait_trunk(&gateway, "down").await;
    asterisk.start_again().await;
    asterisk.wait_reaches_gateway(SOON).await;
    wait_trunk(&gateway, "up").await;
}

/// The trunk's password is wrong on the PBX's side: the call is refused, and the gateway has no
/// call.
#[tokio::test]
async fn a_trunk_that_cannot_prove_itself_is_refused() {
    let address = free_address();
    let toml =
        trunk_toml(address, TONE_NUMBER).replace("pbx-password-of-the-test", "another-password-1");
    let gateway = GatewaySettings::file(&toml).start().await;
    let asterisk = Asterisk::start(AsteriskConfig::new(gateway.sip(), address)).await;
    asterisk.wait_reaches_gateway(SOON).await;
    let phone = pbx_phone(&asterisk, "301").await;
    let call = phone
        .dial(&format!("sip:800@{}", asterisk.sip()))
        .await
        .unwrap();
    let end = call.wait_ended(SOON).await.unwrap();
    assert!(
        matches!(end, PhoneEvent::Failed { status: 403, .. }),
        "{end:?}"
    );
    assert!(gateway.api().await.calls().await.is_empty());
}

/// The PBX dies in the middle of a bridged call: the call ends with the truth, and the next one
/// over the restarted PBX works.
#[tokio::test]
async fn the_pbx_restarts_in_the_middle_of_a_call() {
    let address = free_address();
    let gateway = GatewaySettings::file(&trunk_toml(address, TONE_NUMBER))
        .env("SWITCHHOOK_RTP_TIMEOUT_S", 5)
        .start()
        .await;
    let mut asterisk = Asterisk::start(AsteriskConfig::new(gateway.sip(), address)).await;
    asterisk.wait_reaches_gateway(SOON).await;
    let phone = pbx_phone(&asterisk, "301").await;
    let call = greeted_through(&asterisk, &phone).await;
    call.send_digits("0");
    call.wait_tone(TONE_HZ, call.now_ms(), 500, ANSWER)
        .await
        .unwrap();
    asterisk.kill().await;
    let record = gateway
        .api()
        .await
        .ended_call(Duration::from_secs(90))
        .await;
    assert_eq!(record["status"], "ended", "{}", pretty(&record));
    assert_eq!(record["violations"], serde_json::json!([]));

    asterisk.start_again().await;
    asterisk.wait_reaches_gateway(SOON).await;
    let phone = pbx_phone(&asterisk, "302").await;
    let call = greeted_through(&asterisk, &phone).await;
    call.hangup().await.unwrap();
}
