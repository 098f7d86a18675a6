//! The caller hangs up while the human's phone rings: nobody is put into an empty call.

use std::time::Duration;

use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::phone::{Faults, OnCall, Phone, PhoneConfig, PhoneEvent};

use crate::common::*;

/// The contract's figure: CANCEL follows the caller's BYE within this time.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_ringing_phone_is_cancelled_within_a_second() {
    let gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::ringing(&gateway).await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    human.rings().await;
    call.start_hangup();
    human
        .tap
        .wait_for(
            "a CANCEL to the human's phone",
            |all| {
                all.iter()
                    .any(|t| t.to_phone && t.message.method() == "CANCEL")
            },
            CANCEL_WITHIN,
        )
        .await
        .unwrap();
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        record["outcome"]["code"],
        "caller_gone",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        only_transfer(&record)["outcome"],
        "caller_gone",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        only_attempt(&record)["result"],
        "canceled",
        "{}",
        pretty(&record)
    );
    human.assert_rang_once();
    assert!(human.baresip.events("CALL_ESTABLISHED").is_empty());
}

/// The human answers in the instant of the CANCEL: the late call is hung up at once.
#[tokio::test]
async fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let gateway = GatewaySettings::demo().start().await;
    let faults = Faults {
        answer_after_cancel: true,
        ..Faults::default()
    };
    let config = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001")
        .on_call(OnCall::RingOnly)
        .faults(faults);
    let human = Phone::start(config).await.unwrap();
    human.register().await.unwrap();
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    let rung = human.incoming(0, ANSWER).await.unwrap();
    call.start_hangup();
    let end = rung.wait_ended(SOON).await.unwrap();
    assert!(
        matches!(
            end,
            PhoneEvent::Ended {
                by_remote: true,
                ..
            }
        ),
        "{end:?}"
    );
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "caller_gone",
        "{}",
        pretty(&record)
    );
    assert_eq!(human.invites().len(), 1);
}

/// The phone does not react to CANCEL at all: the call still ends in order.
#[tokio::test]
async fn a_phone_that_ignores_cancel_does_not_keep_the_call() {
    let gateway = GatewaySettings::demo().start().await;
    let faults = Faults {
        ignore_cancel: true,
        ..Faults::default()
    };
    let config = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001")
        .on_call(OnCall::RingOnly)
        .faults(faults);
    let human = Phone::start(config).await.unwrap();
    human.register().await.unwrap();
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    human.incoming(0, ANSWER).await.unwrap();
    call.hangup().await.unwrap();
    let record = gateway
        .api()
        .await
        .ended_call(Duration::from_secs(90))
        .await;
    assert_eq!(
        record["outcome"]["code"],
        "caller_gone",
        "{}",
        pretty(&record)
    );
}
