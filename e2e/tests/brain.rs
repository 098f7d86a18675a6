//! The OpenAI-compatible brain: the same job by a tool call, against a fake server that keeps
//! every request. What the caller said arrives there; what was cut off by the caller does not.

use std::time::Duration;

use serde_json::json;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty};
use switchhook_e2e::audio;
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_e2e::phrases::Phrase;
use switchhook_lab::audio::speech;
use switchhook_lab::providers::{ChatReply, FakeProviders, Fault};

use crate::common::*;

const TOOL: &str = "request_human_transfer";

#[tokio::test]
async fn a_tool_call_split_over_many_deltas_reaches_the_human() {
    let model = FakeProviders::start().await.unwrap();
    let arguments = json!({
        "department": null,
        "reason": "The caller asked for a human.",
        "summary": "Wants to talk to a human agent.",
    });
    // Events are cut into writes of seven bytes, as a proxy may do it.
    model.chat(
        ChatReply::tool_call(TOOL, &arguments)
            .write_bytes(7)
            .crlf_and_comments(),
    );
    let gateway = GatewaySettings::demo()
        .openai_brain(&model.base_url())
        .start()
        .await;
    let human = HumanPhone::answering(&gateway).await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    say(&call, &audio("human-a.wav")).await;
    call.wait_tone(HUMAN_HZ, 0, 2_000, ANSWER).await.unwrap();
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
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
    human.assert_rang_once();

    let chats = model.chats();
    let asked = chats.first().expect("the model was asked");
    let user = asked.last_user().unwrap_or_default().to_lowercase();
    assert!(
        user.contains("human agent"),
        "the transcript did not arrive: {user}"
    );
    assert!(
        asked.tools().iter().any(|t| t == TOOL),
        "{:?}",
        asked.tools()
    );
    assert_eq!(asked.body["model"], "test-model");
    let exchange = &model.exchanges()[0];
    assert_eq!(
        exchange.authorization.as_deref(),
        Some("Bearer key-of-the-test")
    );
}

/// The caller speaks over a long answer: it stops, and the next request to the model holds the
/// beginning of that answer and not its end.
#[tokio::test]
async fn after_a_barge_in_the_history_holds_only_what_was_heard() {
    let model = FakeProviders::start().await.unwrap();
    let numbers = "Our rooms are numbered as follows. One, two, three, four, five, six, seven, \
                   eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, sixteen, \
                   seventeen, eighteen, nineteen, twenty. And the very last one is called \
                   pineapple.";
    model.chat(ChatReply::text(numbers));
    model.chat(ChatReply::text("All right."));
    let gateway = GatewaySettings::demo()
        .openai_brain(&model.base_url())
        .start()
        .await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    call.say(
        Phrase::new("Which rooms do you have?", "en-us+f2")
            .audio()
            .await,
    )
    .await
    .unwrap();
    let from = call.now_ms();
    let spoken = |h: &switchhook_lab::phone::Heard| {
        speech::speech_ms(&h.audio.window(from, h.audio.duration_ms())) >= 3_000
    };
    call.wait_heard("three seconds of the answer", spoken, ANSWER)
        .await
        .unwrap();
    let interruption = Phrase::new("Wait, stop please, that is too much for me.", "en-us+f2");
    call.say(interruption.audio().await).await.unwrap();
    let second = model.wait_for_chat(2, ANSWER).await.unwrap();
    let said = second.assistant_text().to_lowercase();
    assert!(
        said.contains("our rooms"),
        "what was heard is missing: {said}"
    );
    assert!(
        !said.contains("pineapple"),
        "what was not heard is there: {said}"
    );
    let user = second.last_user().unwrap_or_default().to_lowercase();
    assert!(
        user.contains("stop") || user.contains("too much"),
        "the interruption: {user}"
    );
    call.wait_speech_ended(call.now_ms(), 200, PAUSE_MS, ANSWER)
        .await
        .unwrap();
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    let cut = record["turns"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["interrupted"] == true)
        .unwrap_or_else(|| panic!("no turn is marked as interrupted: {}", pretty(&record)));
    assert!(!cut["text"].to_string().contains("pineapple"), "{cut}");
}

/// The model fails in every way it can: the caller is not lost, the keypad works.
#[tokio::test]
async fn a_failing_model_does_not_lose_the_caller() {
    let model = FakeProviders::start().await.unwrap();
    for fault in [
        Fault::Status(500),
        Fault::GarbageAfter(2),
        Fault::CutAfter(1),
    ] {
        model.chat(ChatReply::text("This answer breaks off.").with_fault(fault));
    }
    let gateway = GatewaySettings::demo()
        .openai_brain(&model.base_url())
        .start()
        .await;
    let human = HumanPhone::answering(&gateway).await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    let question = Phrase::new("Do you have a parking garage?", "en-us+f2")
        .audio()
        .await;
    say_and_listen(&call, question).await;
    assert!(
        !call.is_over(),
        "one failure ended the call:\n{}",
        phone.ladder()
    );
    let from = call.now_ms();
    call.send_digits("0");
    call.wait_tone(HUMAN_HZ, from, 1_000, ANSWER).await.unwrap();
    call.hangup().await.unwrap();
    let record = gateway
        .api()
        .await
        .ended_call(Duration::from_secs(30))
        .await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    human.assert_rang_once();
}
