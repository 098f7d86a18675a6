//! `kill -9` at the worst moments: after the restart the call is closed with the truth, phones
//! that still ring or talk are released, and what was owed happens once.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::notices::Answer;
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent};

use crate::common::*;

/// Everything closed: the call, its legs, its transfer and the attempts.
fn assert_closed(record: &Value) {
    assert_eq!(record["status"], "ended", "{}", pretty(record));
    assert!(record["ended_at"].is_string(), "{}", pretty(record));
    for leg in record["legs"].as_array().unwrap() {
        assert_eq!(leg["state"], "ended", "{}", pretty(record));
    }
    for transfer in record["transfers"].as_array().unwrap() {
        assert!(transfer["outcome"].is_string(), "{}", pretty(record));
        for attempt in transfer["attempts"].as_array().unwrap() {
            assert!(attempt["result"].is_string(), "{}", pretty(record));
        }
    }
}

async fn only_call(gateway: &Gateway) -> Value {
    let api = gateway.api().await;
    let record = api.ended_call(ENDED).await;
    assert_eq!(api.calls().await.len(), 1);
    record
}

#[tokio::test]
async fn while_the_humans_phone_rings() {
    let mut gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::ringing(&gateway).await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    human.rings().await;
    gateway.kill_9().await;
    gateway.start_again().await;
    // The phone stops ringing, by a CANCEL that belongs to the INVITE of the dead process.
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    let cancels = human.tap.requests_to_phone("CANCEL");
    let invites = human.tap.requests_to_phone("INVITE");
    assert_eq!(invites.len(), 1, "{}", human.tap.ladder());
    assert_eq!(cancels[0].message.branch(), invites[0].message.branch());
    let end = call.wait_ended(SOON).await.unwrap();
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
    let record = only_call(&gateway).await;
    assert_closed(&record);
    assert_eq!(
        record["outcome"]["code"],
        "restarted",
        "{}",
        pretty(&record)
    );
    assert_ne!(
        only_attempt(&record)["result"],
        "answered",
        "{}",
        pretty(&record)
    );
    assert!(human.baresip.events("CALL_ESTABLISHED").is_empty());
}

#[tokio::test]
async fn while_caller_and_human_talk() {
    let mut gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::answering(&gateway).await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    call.wait_tone(HUMAN_HZ, 0, 1_000, ANSWER).await.unwrap();
    gateway.kill_9().await;
    gateway.start_again().await;
    let end = call.wait_ended(SOON).await.unwrap();
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
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    let record = only_call(&gateway).await;
    assert_closed(&record);
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        only_attempt(&record)["result"],
        "answered",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        record["outcome"]["code"],
        "restarted",
        "{}",
        pretty(&record)
    );
    human.assert_rang_once();
}

#[tokio::test]
async fn while_the_assistant_talks() {
    let mut gateway = GatewaySettings::demo().start().await;
    let phone = caller().await;
    let call = phone.dial(&gateway.assistant()).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.wait_heard(
        "some speech",
        |h| switchhook_lab::audio::speech::speech_ms(&h.audio) > 300,
        ANSWER,
    )
    .await
    .unwrap();
    gateway.kill_9().await;
    gateway.start_again().await;
    let end = call.wait_ended(SOON).await.unwrap();
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
    let record = only_call(&gateway).await;
    assert_closed(&record);
    assert_eq!(
        record["outcome"]["code"],
        "restarted",
        "{}",
        pretty(&record)
    );
    // The next call is answered as ever.
    let again = greeted(&phone, &gateway).await;
    again.hangup().await.unwrap();
}

/// The message is stored, its notice not yet delivered: it is delivered after the restart, once.
#[tokio::test]
async fn after_the_message() {
    let receiver = notice_receiver().await;
    receiver.otherwise(Answer::Status(500));
    let mut gateway = GatewaySettings::demo()
        .notices(&receiver.url(), NOTICE_SECRET)
        .start()
        .await;
    let config = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001")
        .on_call(OnCall::RejectAfter {
            status: 486,
            after: Duration::from_millis(500),
        });
    let human = Phone::start(config).await.unwrap();
    human.register().await.unwrap();
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.send_digits("0");
    wait_beep(&call, call.now_ms()).await;
    call.say(MESSAGE.audio().await).await.unwrap();
    // The first try shows that the message is stored and its notice is owed.
    receiver
        .wait_until(ANSWER, |all| !all.is_empty())
        .await
        .unwrap();
    gateway.kill_9().await;
    receiver.otherwise(Answer::Status(200));
    gateway.start_again().await;
    wait_accepted(&receiver, 1, Duration::from_secs(120)).await;
    let record = only_call(&gateway).await;
    assert_closed(&record);
    assert_eq!(
        only_transfer(&record)["outcome"],
        "message_taken",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        record["outcome"]["code"],
        "message_taken",
        "{}",
        pretty(&record)
    );
    assert_eq!(receiver.accepted().len(), 1);
    let deliveries = receiver.deliveries();
    let last = deliveries.last().expect("one was accepted");
    assert!(
        last.body
            .to_string()
            .to_lowercase()
            .contains("call me back"),
        "{last:?}"
    );
    // Every try carried the same id, so that a receiver could tell repetitions apart.
    let ids: std::collections::BTreeSet<String> = deliveries.iter().map(|d| d.id.clone()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    // A second restart owes nothing.
    gateway.kill_9().await;
    gateway.start_again().await;
    assert_eq!(receiver.accepted().len(), 1);
}
