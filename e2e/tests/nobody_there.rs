//! Nobody answers, is busy, or refuses: the caller hears what is true, leaves a message, and the
//! staff are told exactly once, or the caller is not told that they were.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty, told};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::sipp::Sipp;
use switchhook_e2e::{audio, speech};
use switchhook_lab::audio::Audio;
use switchhook_lab::notices::{Answer, NoticeReceiver, Signature};
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig};

use crate::common::*;

const RING_TIMEOUT_S: u32 = 5;

/// A caller who says that they want a human, hears that there is none, and leaves a message;
/// returns the call's record and what was heard after the message.
async fn asks_and_leaves_a_message(gateway: &Gateway) -> (Value, Audio) {
    let phone = caller().await;
    let call = greeted(&phone, gateway).await;
    say(&call, &audio("human-a.wav")).await;
    let afterwards = leave_message(&call, call.now_ms()).await;
    (gateway.api().await.ended_call(ENDED).await, afterwards)
}

fn assert_message_taken(record: &Value, result: &str) {
    assert_eq!(only_attempt(record)["result"], result, "{}", pretty(record));
    assert_eq!(
        only_transfer(record)["outcome"],
        "message_taken",
        "{}",
        pretty(record)
    );
    assert_eq!(
        record["outcome"]["code"],
        "message_taken",
        "{}",
        pretty(record)
    );
}

/// The receiver got the message once, with the caller's words, and the API shows it as delivered.
async fn assert_told_once(gateway: &Gateway, receiver: &NoticeReceiver, record: &Value) {
    let id = only_transfer(record)["notices"][0]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let api = gateway.api().await;
    until("the message to be accepted", SOON, async || {
        let messages = api.messages().await;
        let message = messages.iter().find(|message| message["id"] == id);
        let state = message.map(|message| &message["state"]);
        let is_there = state.is_some_and(|state| *state == "delivered" || *state == "accepted");
        check(is_there, || format!("message {id} is {state:?}"))
    })
    .await;
    assert_eq!(receiver.accepted(), [id.as_str()]);
    let deliveries = receiver.deliveries();
    let delivery = deliveries.last().expect("one was accepted");
    assert_eq!(delivery.signature, Signature::Valid);
    let body = delivery.body.to_string().to_lowercase();
    assert!(
        body.contains("call me back"),
        "the caller's words are missing: {body}"
    );
}

/// Both by the call's own record and by what the caller's phone recorded.
async fn assert_caller_was_told(record: &Value, heard: &Audio, yes: &[&str], no: &[&str]) {
    let text = speech::text_of(heard, "en").await;
    let told = told(record);
    for words in yes {
        assert!(told.contains(words), "\"{words}\" was not told: {told}");
    }
    for words in no {
        assert!(!told.contains(words), "\"{words}\" was told: {told}");
        assert!(!text.contains(words), "\"{words}\" was heard: {text}");
    }
    assert!(text.contains("saved"), "the caller heard \"{text}\"");
}

#[tokio::test]
async fn nobody_answers() {
    let receiver = notice_receiver().await;
    let gateway = GatewaySettings::demo()
        .ring_timeout_s(RING_TIMEOUT_S)
        .notices(&receiver.url(), NOTICE_SECRET)
        .start()
        .await;
    let human = HumanPhone::ringing(&gateway).await;
    let (record, heard) = asks_and_leaves_a_message(&gateway).await;
    assert_message_taken(&record, "no_answer");
    assert_caller_was_told(
        &record,
        &heard,
        &[
            "nobody answered",
            "i saved your message",
            "informed the team",
        ],
        &["could not reach"],
    )
    .await;
    assert_told_once(&gateway, &receiver, &record).await;
    human.assert_rang_once();
    let cancels = human.tap.requests_to_phone("CANCEL");
    let invites = human.tap.requests_to_phone("INVITE");
    assert_eq!(cancels.len(), 1, "{}", human.tap.ladder());
    assert_eq!(
        cancels[0].message.branch(),
        invites[0].message.branch(),
        "RFC 3261 §9.1"
    );
    // Not before the timeout; how long after depends on the machine.
    let rang = cancels[0].at - invites[0].at;
    assert!(
        rang >= Duration::from_millis(u64::from(RING_TIMEOUT_S) * 1000 - 100),
        "{rang:?}"
    );
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
}

/// The human's number is behind a trunk, and SIPp plays the carrier.
async fn carrier_answers(scenario: &str, result: &str, status: u16, words: &str) {
    let receiver = notice_receiver().await;
    let mut carrier = Sipp::called(scenario, 1).await;
    let gateway = GatewaySettings::demo()
        .ring_timeout_s(RING_TIMEOUT_S)
        .notices(&receiver.url(), NOTICE_SECRET)
        .env(
            "SWITCHHOOK_TRUNK_TERMINATION",
            format!("127.0.0.1:{}", carrier.port()),
        )
        // SIPp plays calls only: OPTIONS is not in its scenario.
        .env("SWITCHHOOK_TRUNK_QUALIFY_S", 0)
        .env("SWITCHHOOK_TRANSFER_TARGETS", "+493023125110")
        .start()
        .await;
    let (record, heard) = asks_and_leaves_a_message(&gateway).await;
    assert_message_taken(&record, result);
    if status != 0 {
        assert_eq!(
            only_attempt(&record)["sip_status"],
            status,
            "{}",
            pretty(&record)
        );
    }
    assert_caller_was_told(
        &record,
        &heard,
        &[words, "informed the team"],
        &["could not reach"],
    )
    .await;
    assert_told_once(&gateway, &receiver, &record).await;
    carrier.succeed(SOON).await;
    let messages = carrier.messages();
    assert!(messages.contains("INVITE sip:+493023125110@"), "{messages}");
}

#[tokio::test]
async fn the_line_is_busy() {
    carrier_answers("called-busy-486.xml", "busy", 486, "the line is busy").await;
}

#[tokio::test]
async fn the_human_declines() {
    carrier_answers(
        "called-decline-603.xml",
        "failed",
        603,
        "nobody can take your call",
    )
    .await;
}

#[tokio::test]
async fn a_number_behind_a_trunk_does_not_answer() {
    carrier_answers(
        "called-rings-until-cancelled.xml",
        "no_answer",
        0,
        "nobody answered",
    )
    .await;
}

#[tokio::test]
async fn nobody_is_registered() {
    let gateway = GatewaySettings::demo()
        .ring_timeout_s(RING_TIMEOUT_S)
        .start()
        .await;
    let (record, heard) = asks_and_leaves_a_message(&gateway).await;
    let told = told(&record);
    assert_eq!(
        record["outcome"]["code"],
        "message_taken",
        "{}",
        pretty(&record)
    );
    assert!(told.contains("could not reach anyone"), "{told}");
    assert!(speech::text_of(&heard, "en").await.contains("saved"));
    // Without a receiver the built-in inbox takes the notice.
    let messages = gateway.api().await.messages().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0]
            .to_string()
            .to_lowercase()
            .contains("call me back"),
        "{messages:?}"
    );
}

/// The receiver is broken: nobody was informed, and the caller is told so.
#[tokio::test]
async fn a_broken_receiver_is_not_called_the_team_being_informed() {
    let receiver = notice_receiver().await;
    receiver.otherwise(Answer::Status(500));
    let gateway = GatewaySettings::demo()
        .ring_timeout_s(RING_TIMEOUT_S)
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
    let (record, heard) = asks_and_leaves_a_message(&gateway).await;
    assert_message_taken(&record, "busy");
    assert_caller_was_told(
        &record,
        &heard,
        &["i saved your message", "could not reach the team"],
        &["informed the team", "have informed"],
    )
    .await;
    assert_eq!(human.invites().len(), 1);
    assert!(receiver.accepted().is_empty());
    assert!(!receiver.deliveries().is_empty());
    // The message is still owed: when the receiver works again it arrives, once.
    receiver.otherwise(Answer::Status(200));
    wait_accepted(&receiver, 1, Duration::from_secs(120)).await;
    assert_told_once(&gateway, &receiver, &record).await;
}
