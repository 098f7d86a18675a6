//! What a softphone nobody here wrote does in a call: baresip holds, takes back, and passes its
//! caller on. Each phone plays a tone of its own, so that it is heard who hears whom.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_e2e::api::{only_transfer, pretty};
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::phone::{OnCall, Phone, PhoneCall, PhoneConfig};
use switchhook_lab::relay::{SipRelay, SipRelaySettings};

use crate::common::*;

/// Frequency of the phone a call is passed on to.
const OTHER_HZ: f64 = 2000.0;
/// A note of the chime a held party hears.
const CHIME_HZ: f64 = 523.25;

/// Nobody says anything that has to be understood: no speech server is waited for.
async fn gateway() -> Gateway {
    GatewaySettings::demo()
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
        .start()
        .await
}

/// baresip as 2001, called by a guest; they hear each other.
async fn talking(gateway: &Gateway, human: &Baresip, n: usize) -> (Phone, PhoneCall) {
    let guest = caller().await;
    let call = guest
        .dial(&format!("sip:2001@{}", gateway.sip()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    human.wait_event("CALL_ESTABLISHED", n + 1, SOON).await;
    call.play_tone(CALLER_HZ);
    hears(&call, HUMAN_HZ).await;
    baresip_hears(human, n, CALLER_HZ).await;
    (guest, call)
}

/// It answers by itself and plays [`HUMAN_HZ`].
async fn baresip(gateway: &Gateway) -> Baresip {
    Baresip::start(BaresipConfig::with_tone("2001", gateway.sip(), HUMAN_HZ)).await
}

/// 2005, not baresip.
async fn other_phone(gateway: &Gateway) -> Phone {
    let config = PhoneConfig::new("2005")
        .server(gateway.sip())
        .password("demo-2005");
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    phone
}

async fn ended(gateway: &Gateway) -> Value {
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(record["violations"], json!([]), "{}", pretty(&record));
    record
}

/// Audio packets that went to the phone behind the relay.
fn to_phone(relay: &SipRelay) -> u64 {
    relay.media(0).map_or(0, |counts| counts.to_phone.sent)
}

/// baresip 1.0 records nothing more after a hold of its own, whoever its peer is: that it is sent
/// audio again is seen on the wire.
async fn holds_and_takes_back(codec: &'static str) {
    let gateway = gateway().await;
    let relay = SipRelay::open(gateway.sip(), SipRelaySettings::default()).unwrap();
    let mut config = BaresipConfig::with_tone("2001", relay.addr(), HUMAN_HZ);
    config.codec = codec;
    let mut human = Baresip::start(config).await;
    let (_guest, call) = talking(&gateway, &human, 0).await;
    let api = gateway.api().await;
    for _ in 0..2 {
        human.command("hold", "").await;
        let is_held = |record: &Value| {
            record["legs"].as_array().is_some_and(|legs| {
                legs.iter()
                    .any(|leg| leg["held_by_party_since"].is_string())
            })
        };
        api.wait_call("a held leg", SOON, is_held).await;
        let sent = to_phone(&relay);
        call.wait_tone(CHIME_HZ, call.now_ms(), 100, SOON)
            .await
            .unwrap();
        assert_eq!(to_phone(&relay), sent, "it does not want to hear anything");
        human.command("resume", "").await;
        api.wait_call("no held leg", SOON, |one| !is_held(one))
            .await;
        hears(&call, HUMAN_HZ).await;
        until("audio after it took the call back", SOON, async || {
            let now = to_phone(&relay);
            check(now >= sent + 50, || now)
        })
        .await;
    }
    human.hangup().await;
    call.wait_ended(SOON).await.unwrap();
    ended(&gateway).await;
    human.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_holds_and_takes_back() {
    holds_and_takes_back("pcmu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_holds_and_takes_back_with_opus() {
    holds_and_takes_back("opus/48000/2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_passes_its_caller_on() {
    let gateway = gateway().await;
    let other = other_phone(&gateway).await;
    let mut human = baresip(&gateway).await;
    let (_guest, call) = talking(&gateway, &human, 0).await;
    let to = format!("sip:2005@{}", gateway.sip());
    human.command("transfer", &to).await;
    let taken = other.incoming(0, SOON).await.unwrap();
    taken.wait_answered(SOON).await.unwrap();
    taken.play_tone(OTHER_HZ);
    hears(&call, OTHER_HZ).await;
    hears(&taken, CALLER_HZ).await;
    human.wait_event("CALL_CLOSED", 1, SOON).await;
    assert!(human.events("TRANSFER_FAILED").is_empty());
    assert!(!call.is_over());
    call.hangup().await.unwrap();
    taken.wait_ended(SOON).await.unwrap();
    let record = ended(&gateway).await;
    let transfer = only_transfer(&record);
    assert_eq!(transfer["requested_by"], "party", "{}", pretty(&record));
    assert_eq!(transfer["outcome"], "bridged", "{}", pretty(&record));
    human.kill().await;
}

/// It is told why, and then hangs up by itself, as this softphone does.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_told_why_nobody_took_its_caller() {
    let gateway = gateway().await;
    let other = other_phone(&gateway).await;
    other.set_on_call(OnCall::RejectAfter {
        status: 486,
        after: Duration::from_millis(300),
    });
    let mut human = baresip(&gateway).await;
    // Nobody may be sent to where an operator could not dial.
    let tries = [
        ("sip:+12025550100@example.com", "403 Forbidden", None),
        (
            "sip:2005@127.0.0.1",
            "486 Busy Here",
            Some("returned_to_transferor"),
        ),
    ];
    for (n, (to, told, outcome)) in tries.into_iter().enumerate() {
        let (_guest, call) = talking(&gateway, &human, n).await;
        human.command("transfer", to).await;
        human.wait_event("TRANSFER_FAILED", n + 1, SOON).await;
        assert!(
            human.log().contains(&format!("transfer failed: {told}")),
            "{}",
            human.log()
        );
        call.wait_ended(SOON).await.unwrap();
        let record = ended(&gateway).await;
        let transfers = record["transfers"].as_array().unwrap();
        let found: Vec<_> = transfers.iter().map(|t| t["outcome"].as_str()).collect();
        let expected: Vec<_> = outcome.into_iter().map(Some).collect();
        assert_eq!(found, expected, "{}", pretty(&record));
    }
    assert_eq!(other.received("INVITE").len(), 1, "{}", other.ladder());
    human.kill().await;
}
