//! The Elastic SIP trunk: who is let in, what is refused, and how it calls.

use std::time::Duration;

use switchhook_lab::audio::{Audio, tone};
use switchhook_lab::carrier::{
    Behaviour, Carrier, CarrierConfig, ElasticTrunk, Number, Terminated, Trunk, TrunkConfig,
};
use switchhook_lab::phone::{Dial, OnCall, Phone, PhoneConfig, PhoneEvent, Transport};

use crate::{AGENT, CALLER, OUR_NUMBER, SOON};

const PASSWORD: &str = "Not-A-Secret-1";

async fn trunk() -> Trunk {
    let trunk = Trunk::start(TrunkConfig {
        domain: "acme.pstn.twilio.com".into(),
        credentials: Some(("gw".into(), PASSWORD.into())),
        owned: vec![OUR_NUMBER.into()],
        account_sid: "AC00000000000000000000000000000001".into(),
    })
    .await
    .unwrap();
    trunk.number(AGENT, OnCall::AnswerAfter(Duration::from_millis(50)));
    trunk
}

async fn gateway(trunk: &Trunk) -> Phone {
    Phone::start(PhoneConfig::new("gw").server(trunk.address()))
        .await
        .unwrap()
}

fn dial(to: &str, host: &str, from: &str, password: &str) -> Dial {
    Dial::to(&format!("sip:{to}@{host}"))
        .from(&format!("<sip:{from}@{host}>"))
        .credentials("gw", password)
}

const HOST: &str = "acme.pstn.frankfurt.twilio.com";

#[tokio::test]
async fn a_call_is_let_in_after_its_digest_and_heard() {
    let trunk = trunk().await;
    let gateway = gateway(&trunk).await;
    let call = gateway
        .place(dial(AGENT, HOST, OUR_NUMBER, PASSWORD))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    let there = trunk.phone().incoming(0, SOON).await.unwrap();
    call.play_tone(500.0);
    there.wait_tone(500.0, 0, 500, SOON).await.unwrap();
    assert!(tone::present_ms(&there.heard().audio, 500.0) >= 500);
    call.hangup().await.unwrap();
    there.wait_ended(SOON).await.unwrap();
    let (from, to) = (OUR_NUMBER.to_owned(), AGENT.to_owned());
    assert_eq!(trunk.taken(), [Terminated { from, to }]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_the_vendors_words() {
    let trunk = trunk().await;
    let gateway = gateway(&trunk).await;
    for (dial, status, error) in [
        (
            dial(AGENT, "other.pstn.twilio.com", OUR_NUMBER, PASSWORD),
            404,
            "",
        ),
        (
            dial(AGENT, HOST, OUR_NUMBER, "Wrong-Secret-1"),
            403,
            "32202",
        ),
        (
            dial("03023125101", HOST, OUR_NUMBER, PASSWORD),
            400,
            "32101",
        ),
        (dial(AGENT, HOST, CALLER, PASSWORD), 403, "32204"),
        (dial("+493023125199", HOST, OUR_NUMBER, PASSWORD), 404, ""),
    ] {
        let shown = format!("{dial:?}");
        let call = gateway.place(dial).await.unwrap();
        let ended = call.wait_ended(SOON).await.unwrap();
        assert!(
            matches!(ended, PhoneEvent::Failed { status: s, .. } if s == status),
            "{shown}: {ended:?}"
        );
        let received = gateway.messages();
        let last = received
            .iter()
            .rev()
            .filter_map(|l| l.message.as_ref().ok())
            .find(|m| m.status() == Some(status))
            .unwrap();
        assert!(last.header("X-Twilio-Error").starts_with(error), "{shown}");
    }
}

#[tokio::test]
async fn it_calls_with_the_vendors_headers() {
    let trunk = trunk().await;
    let gateway = Phone::start(PhoneConfig::new("gw")).await.unwrap();
    let call = trunk
        .call_in(gateway.local(), Transport::Udp, CALLER, OUR_NUMBER)
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    let received = gateway.received("INVITE");
    let invite = received[0].message.as_ref().unwrap();
    assert_eq!(
        invite.header("Diversion"),
        format!("<sip:{OUR_NUMBER}@twilio.com>")
    );
    assert!(
        invite
            .header("From")
            .contains(&format!("sip:{CALLER}@sip.twilio.com"))
    );
    assert!(invite.header("X-Twilio-CallSid").starts_with("CA"));
    call.hangup().await.unwrap();
}

/// A carrier whose trunk leads to this gateway.
async fn carrier(gateway: &Phone) -> Carrier {
    Carrier::start(CarrierConfig {
        numbers: vec![Number::on_trunk(OUR_NUMBER)],
        trunk: Some(ElasticTrunk {
            domain: "127.0.0.1".into(),
            credentials: Some(("gw".into(), PASSWORD.into())),
            bind: ([127, 0, 0, 1], 0).into(),
            origination: gateway.local(),
        }),
        ..CarrierConfig::default()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn who_calls_a_number_of_the_trunk_is_heard_by_the_gateway() {
    let gateway = Phone::start(PhoneConfig::new("gw")).await.unwrap();
    let carrier = carrier(&gateway).await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let there = gateway.incoming(0, SOON).await.unwrap();
    there.wait_answered(SOON).await.unwrap();
    caller.until_answered(SOON).await.unwrap();
    there.play_tone(900.0);
    caller.plays_audio(&tone::sine(500.0, 4_000));
    there.wait_tone(500.0, 0, 800, SOON).await.unwrap();
    let present = |heard: &Audio| tone::present_ms(heard, 900.0) >= 800;
    caller.until_audio("900 Hz", SOON, present).await.unwrap();
    let received = gateway.received("INVITE");
    let invite = received[0].message.as_ref().unwrap();
    assert_eq!(
        invite.header("Diversion"),
        format!("<sip:{OUR_NUMBER}@twilio.com>")
    );
    assert_eq!(invite.header("X-Twilio-CallSid"), caller.call_sid());
    assert_eq!(invite.header("X-Twilio-ApiVersion"), "");
    // It calls from where it is called, so that it is known by address and port.
    let trunk = carrier.trunk_address().unwrap();
    assert!(
        invite.header("Via").contains(&trunk.to_string()),
        "{invite:?}"
    );
    caller.hangs_up();
    there.wait_ended(SOON).await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(carrier.calls()[0].direction, "trunking-originating");
    assert_eq!(carrier.calls()[0].status, "completed");
}

#[tokio::test]
async fn whoever_is_called_over_the_trunk_rings_and_talks() {
    let gateway = Phone::start(PhoneConfig::new("gw")).await.unwrap();
    let carrier = carrier(&gateway).await;
    let trunk = carrier.trunk_address().unwrap();
    let phone = carrier.phone(AGENT, Behaviour::AnswersWhenTold(Default::default()));
    let dial = || {
        Dial::to(&format!("sip:{AGENT}@{trunk}"))
            .from(&format!("<sip:{OUR_NUMBER}@127.0.0.1>"))
            .credentials("gw", PASSWORD)
    };
    let call = gateway.place(dial()).await.unwrap();
    phone.until_rung_by(OUR_NUMBER, SOON).await.unwrap();
    let rings = |e: &PhoneEvent| matches!(e, PhoneEvent::Progress { status: 180, .. });
    call.wait_for("180", rings, SOON).await.unwrap();
    phone.answers_now();
    call.wait_answered(SOON).await.unwrap();
    let human = phone.until_answered(0, SOON).await.unwrap();
    call.play_tone(500.0);
    let present = |heard: &Audio| tone::present_ms(heard, 500.0) >= 800;
    human.until_audio("500 Hz", SOON, present).await.unwrap();
    human.plays_audio(&tone::sine(900.0, 4_000));
    call.wait_tone(900.0, 0, 800, SOON).await.unwrap();
    human.hangs_up();
    call.wait_ended(SOON).await.unwrap();

    // Who does not want, is not there, or is called in vain; then a caller id that is nobody's.
    let refused = async |behaviour: Behaviour, dial: Dial, wanted: u16| {
        phone.behaves(behaviour);
        let call = gateway.place(dial).await.unwrap();
        let ended = call.wait_ended(SOON).await.unwrap();
        assert!(
            matches!(ended, PhoneEvent::Failed { status, .. } if status == wanted),
            "{wanted}: {ended:?}"
        );
    };
    refused(Behaviour::Busy, dial(), 486).await;
    refused(Behaviour::Unreachable, dial(), 404).await;
    let foreign = dial().from(&format!("<sip:{CALLER}@127.0.0.1>"));
    refused(Behaviour::Busy, foreign, 403).await;
    phone.behaves(Behaviour::NoAnswer);
    let call = gateway.place(dial()).await.unwrap();
    call.wait_for("180", rings, SOON).await.unwrap();
    call.hangup().await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    let seen: Vec<_> = carrier
        .calls()
        .into_iter()
        .filter(|call| call.direction == "trunking-terminating")
        .map(|call| call.status)
        .collect();
    assert_eq!(seen, ["completed", "busy", "failed", "canceled"]);
}
