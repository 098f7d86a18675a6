//! Calls over Twilio, against the stand-in of the lab: real HTTP, real websockets, real signatures.

use switchhook_e2e::api::{only_attempt, only_transfer, pretty, told};
use switchhook_e2e::audio;
use switchhook_lab::audio::wav;
use switchhook_lab::carrier::{Behaviour, Faults, Forgery, Pace, Then};

use crate::common::*;
use crate::twilio_line::*;

#[tokio::test]
async fn a_caller_reaches_the_extension_by_one_dial() {
    let line = line(gather(), |_| {}).await;
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = wants_a_human(&line.carrier, CALLER).await;
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    let api = line.gateway.api().await;
    api.wait_call("with a human", ANSWER, |call| {
        call["status"] == "with_agent"
    })
    .await;
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["channel"], "twilio", "{}", pretty(&call));
    assert_eq!(
        only_transfer(&call)["outcome"],
        "bridged",
        "{}",
        pretty(&call)
    );
    assert_eq!(call["outcome"]["code"], "transferred");
    assert_eq!(agent.rung(), 1, "exactly one dial");
    let ring = &agent.rings()[0];
    assert_eq!(ring.from, CALLER, "the agent sees who calls");
    line.is_clean(&call).await;
}

/// Every outcome, with its sentence, and the assistant back afterwards.
#[tokio::test]
async fn what_the_caller_hears_is_what_happened() {
    for (behaviour, result, words) in [
        (Behaviour::NoAnswer, "no_answer", "nobody answered"),
        (Behaviour::Busy, "busy", "the line is busy"),
        (Behaviour::Unreachable, "failed", "could not reach anyone"),
    ] {
        let line = line(gather(), |_| {}).await;
        let agent = line.carrier.phone(EXTENSION, behaviour);
        let caller = wants_a_human(&line.carrier, CALLER).await;
        caller.until_hears(words, ANSWER).await.unwrap();
        caller.until_hears("leave a message", ANSWER).await.unwrap();
        caller.hangs_up();
        let call = line.ended().await;
        assert_eq!(only_attempt(&call)["result"], result, "{}", pretty(&call));
        assert_eq!(agent.rung(), 1, "exactly one dial");
        line.is_clean(&call).await;
    }
}

#[tokio::test]
async fn an_agent_presses_a_key_or_has_not_taken_the_call() {
    let line = line(gather().env("SWITCHHOOK_TWILIO_ACCEPT_KEY", "1"), |_| {}).await;
    // A mailbox picks up, and presses nothing.
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = wants_a_human(&line.carrier, CALLER).await;
    caller
        .until_hears("nobody can take your call", ANSWER)
        .await
        .unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(only_attempt(&call)["result"], "failed", "{}", pretty(&call));
    // A human does.
    agent.behaves(Behaviour::answers_then(
        Then::stays().presses("Press 1", "1"),
    ));
    let caller = line.carrier.call_in("+12025550143", OURS).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    caller.says("I would like to speak to a human please");
    let api = line.gateway.api().await;
    api.wait_call("with a human", ANSWER, |call| {
        call["status"] == "with_agent"
    })
    .await;
    caller.hangs_up();
    assert_eq!(agent.rung(), 2);
}

/// The German receptionist: nobody answers, staff get one SMS, and the caller is told so.
#[tokio::test]
async fn nobody_answers_and_the_team_gets_one_sms() {
    let settings = receptionist("gather").env("TWILIO_SMS_TO", STAFF);
    let line = line(settings, |_| {}).await;
    let human = line.carrier.phone(HUMAN, Behaviour::NoAnswer);
    let caller = wants_a_human_in_german(&line.carrier, CALLER).await;
    caller
        .until_hears("Einen Moment bitte", ANSWER)
        .await
        .unwrap();
    caller
        .until_hears("Ich habe das Team informiert", ANSWER)
        .await
        .unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(human.rung(), 1);
    let messages = line.carrier.messages();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert_eq!(messages[0].to, STAFF);
    let text = &messages[0].body;
    assert!(text.starts_with("Clara: "), "{text}");
    assert!(
        text.contains("25 Sekunden") && text.contains(CALLER),
        "{text}"
    );
    assert_eq!(only_attempt(&call)["ring_timeout_s"], 25);
    line.is_clean(&call).await;
}

/// WhatsApp outside its window is accepted and lost: the SMS follows, the call is marked only if
/// nothing arrives.
#[tokio::test]
async fn a_message_that_is_lost_is_followed_by_another_way() {
    let settings = receptionist("gather")
        .env("TWILIO_WHATSAPP_FROM", "whatsapp:+12025550187")
        .env("TWILIO_WHATSAPP_TO", format!("whatsapp:{STAFF}"))
        .env("TWILIO_SMS_TO", STAFF)
        .env("SWITCHHOOK_NOTICE_WAYS", "whatsapp,sms");
    let line = line(settings, |config| {
        config.whatsapp_senders = vec!["+12025550187".to_owned()];
    })
    .await;
    line.carrier.phone(HUMAN, Behaviour::Busy);
    let caller = wants_a_human_in_german(&line.carrier, CALLER).await;
    let api = line.gateway.api().await;
    let messages = until("a delivered SMS", ANSWER, async || {
        let messages = api.messages().await;
        let sms = messages.iter().find(|message| message["channel"] == "sms");
        if sms.is_some_and(|sms| sms["state"] == "delivered") {
            Ok(messages)
        } else {
            Err(format!("{messages:#?}"))
        }
    })
    .await;
    let whatsapp = messages
        .iter()
        .find(|message| message["channel"] == "whatsapp");
    let whatsapp = whatsapp.expect("a WhatsApp message");
    assert_eq!(whatsapp["state"], "failed", "{whatsapp:#}");
    assert!(
        whatsapp["error"].as_str().unwrap().contains("63016"),
        "{whatsapp:#}"
    );
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(
        call["violations"],
        serde_json::json!([]),
        "{}",
        pretty(&call)
    );
}

/// What comes twice, forged and late changes nothing twice.
#[tokio::test]
async fn doubled_and_forged_webhooks_change_nothing() {
    for faults in [
        Faults {
            duplicates: true,
            ..Faults::default()
        },
        Faults {
            forge: Some(Forgery::WrongToken),
            ..Faults::default()
        },
        Faults {
            reverse_status: true,
            ..Faults::default()
        },
    ] {
        let line = line(gather(), |_| {}).await;
        line.carrier.faults(|now| *now = faults.clone());
        let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
        let caller = wants_a_human(&line.carrier, CALLER).await;
        let colleague = agent.until_answered(0, ANSWER).await.unwrap();
        colleague.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
        assert_eq!(agent.rung(), 1, "exactly one dial");
        assert_eq!(line.gateway.api().await.calls().await.len(), 1);
    }
}

/// The process dies while an agent's phone rings, and again while both talk: the call goes on.
#[tokio::test]
async fn a_call_outlives_the_process() {
    let mut line = line(gather(), |_| {}).await;
    let agent = line
        .carrier
        .phone(EXTENSION, Behaviour::answers_then(Then::stays()));
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    line.gateway.kill_9().await;
    line.gateway.start_again().await;
    caller.says("I would like to speak to a human please");
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    line.gateway.kill_9().await;
    line.gateway.start_again().await;
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert_eq!(agent.rung(), 1, "exactly one dial");
    assert_eq!(
        call["violations"],
        serde_json::json!([]),
        "{}",
        pretty(&call)
    );
}

/// Our own ears and mouth over a media stream, in German: understood, answered, passed on.
#[tokio::test]
async fn a_caller_talks_over_a_media_stream() {
    let settings = receptionist("stream");
    let line = line(settings, |config| config.pace = Pace::real()).await;
    let human = line.carrier.phone(HUMAN, Behaviour::answers());
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_answered(ANSWER).await.unwrap();
    hears_greeting(&caller).await;
    caller.plays_audio(&wav::read_phone(&audio("mensch-de.wav")).unwrap());
    let colleague = human.until_answered(0, ANSWER).await.unwrap();
    assert_eq!(human.rung(), 1, "exactly one dial");
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert!(told(&call).contains("clara"), "{}", pretty(&call));
    line.is_clean(&call).await;
}
