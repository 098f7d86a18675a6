//! Keys across a bridge, in the way each side takes them.

use std::time::Duration;

use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent};

use crate::common::*;

/// The caller's keys come as telephone-events and leave by INFO, in order, each once; and back.
#[tokio::test(flavor = "multi_thread")]
async fn keys_reach_a_phone_that_wants_them_by_info() {
    let gateway = GatewaySettings::media(
        "mode = \"demo\"\n[sip]\nloopback_guests = true\n\
         [extensions.2005]\npassword = \"demo-2005\"\ndtmf = \"info\"\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n",
    )
    .start()
    .await;
    let called = Phone::start(
        PhoneConfig::new("2005")
            .server(gateway.sip())
            .password("demo-2005")
            .on_call(OnCall::AnswerAfter(Duration::ZERO)),
    )
    .await
    .unwrap();
    called.register().await.unwrap();
    let phone = caller().await;
    let call = phone
        .dial(&format!("sip:2005@{}", gateway.sip()))
        .await
        .unwrap();
    let answered = called.incoming(0, SOON).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.send_digits("17*#");
    let keys = |phone: &Phone| -> String {
        phone
            .events()
            .iter()
            .filter_map(|(_, event)| match event {
                PhoneEvent::DigitHeard { digit, .. } => Some(*digit),
                _ => None,
            })
            .collect()
    };
    until("17*#", SOON, async || {
        let pressed = keys(&called);
        check(pressed == "17*#", || {
            format!("{pressed:?}\n{}", called.ladder())
        })
    })
    .await;
    assert_eq!(
        called.ladder().matches("INFO sip:").count(),
        4,
        "{}",
        called.ladder()
    );
    assert!(answered.heard().digits.is_empty(), "not twice");
    // Back: an INFO of this phone is a telephone-event for the caller.
    answered.send_info_digit('5');
    let heard = call
        .wait_heard("the key", |heard| !heard.digits.is_empty(), SOON)
        .await
        .unwrap();
    assert_eq!(heard.digits[0].0, '5');
    call.hangup().await.unwrap();
    gateway.api().await.ended_call(ENDED).await;
}
