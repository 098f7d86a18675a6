//! The Elastic SIP trunk: who is let in, what is refused, and how it calls.

use std::time::Duration;

use switchhook_lab::audio::tone;
use switchhook_lab::carrier::{Terminated, Trunk, TrunkConfig};
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
