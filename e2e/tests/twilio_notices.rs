//! Staff's messages that are accepted and then lost while the caller is still there: the next way is
//! tried, the caller hears of it, and a call about which nothing arrived is marked.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{Behaviour, Fate, Heard, MessageFate, Party};

use crate::common::*;
use crate::twilio_line::*;

const INFORMED: &str = "I have informed the team";
/// The sender of the sandbox.
const SANDBOX: &str = "+12025550186";

fn whatsapp(number: &str) -> String {
    format!("whatsapp:{number}")
}

/// Staff are told by these ways, and the caller is back with the assistant.
fn tells_staff(ways: &str, more: &str) -> GatewaySettings {
    let sections = format!(
        "[transfer]\ntargets = [\"2001\"]\nfallback = [\"notify_staff\", \"return_to_assistant\"]\n{more}"
    );
    house(&sections)
        .env("TWILIO_SMS_TO", STAFF)
        .env("TWILIO_WHATSAPP_FROM", whatsapp(SANDBOX))
        .env("TWILIO_WHATSAPP_TO", whatsapp(STAFF))
        .env("SWITCHHOOK_NOTICE_WAYS", ways)
}

/// Reported long after the caller was told that the team knows.
fn late(fate: Fate) -> MessageFate {
    MessageFate {
        step: Duration::from_secs(100),
        ..MessageFate::of(fate)
    }
}

/// A caller who reached nobody, was told that the team knows, and is with the assistant again.
async fn informed(line: &Line) -> Party {
    line.carrier.phone(EXTENSION, Behaviour::Busy);
    let caller = wants_a_human(&line.carrier, CALLER).await;
    caller.until_hears(INFORMED, ANSWER).await.unwrap();
    caller
        .until_hears("How else can I help", ANSWER)
        .await
        .unwrap();
    let api = line.gateway.api().await;
    let is_back = |call: &Value| call["status"] == "assistant";
    api.wait_call("the assistant", SOON, is_back).await;
    caller
}

/// To whom something was sent, in order.
fn recipients(line: &Line) -> Vec<String> {
    let messages = line.carrier.messages().into_iter();
    messages.map(|message| message.to).collect()
}

#[tokio::test]
async fn a_loss_is_told_and_the_next_way_informs_the_team() {
    let line = line(tells_staff("sms,whatsapp", ""), |_| {}).await;
    line.carrier
        .recipient(STAFF, late(Fate::Undelivered(30005)));
    line.carrier.writes_in(&whatsapp(STAFF));
    let caller = informed(&line).await;
    caller
        .until_hears("I am trying another way", ANSWER)
        .await
        .unwrap();
    caller.until_hears(INFORMED, ANSWER).await.unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert_eq!(recipients(&line), [STAFF.to_owned(), whatsapp(STAFF)]);
    line.is_clean(&call).await;
}

/// By the last way it is lost, too, or there is no other.
#[tokio::test]
async fn a_caller_hears_that_nothing_arrived_and_the_call_is_marked() {
    for ways in ["sms", "sms,whatsapp"] {
        let line = line(tells_staff(ways, ""), |_| {}).await;
        line.carrier
            .recipient(STAFF, late(Fate::Undelivered(30005)));
        line.carrier
            .recipient(&whatsapp(STAFF), late(Fate::Failed(63016)));
        let caller = informed(&line).await;
        let mut sent = vec![STAFF.to_owned()];
        if ways.contains("whatsapp") {
            caller
                .until_hears("I am trying another way", ANSWER)
                .await
                .unwrap();
            caller.until_hears(INFORMED, ANSWER).await.unwrap();
            sent.push(whatsapp(STAFF));
        }
        let told = caller
            .until_hears("did not arrive. Please call again later", ANSWER)
            .await
            .unwrap();
        let Heard::Said { text, .. } = told else {
            panic!("{told:?}");
        };
        assert!(!text.contains("another way"), "{text}");
        caller.hangs_up();
        let api = line.gateway.api().await;
        let is_judged = |call: &Value| {
            let marks = call["violations"].as_array();
            call["status"] == "ended" && marks.is_some_and(|marks| !marks.is_empty())
        };
        let call = api.wait_call("a mark", ENDED, is_judged).await;
        let marks = call["violations"].as_array().unwrap();
        let codes: Vec<&Value> = marks.iter().map(|mark| &mark["code"]).collect();
        assert_eq!(codes, ["informed_arrives"], "{}", pretty(&call));
        assert_eq!(api.calls().await[0]["violations"], 1, "in the list, too");
        assert_eq!(recipients(&line), sent);
        for message in api.messages().await {
            let code = match message["channel"].as_str() {
                Some("sms") => "30005",
                _ => "63016",
            };
            assert_eq!(message["state"], "failed", "{message:#}");
            let error = message["error"].as_str().unwrap();
            assert!(error.contains(code), "{message:#}");
        }
        let problems = line.carrier.log().problems;
        assert!(problems.is_empty(), "{problems:#?}");
    }
}

/// Outside of the 24 hours after the receiver's last word only an approved template arrives.
#[tokio::test]
async fn a_template_arrives_outside_the_window() {
    const TEMPLATE: &str = "HX00000000000000000000000000000001";
    let notice = format!("[notice]\nwhatsapp_template = \"{TEMPLATE}\"\n");
    let line = line(tells_staff("whatsapp", &notice), |_| {}).await;
    let caller = informed(&line).await;
    let api = line.gateway.api().await;
    until("its delivery", ANSWER, async || {
        let messages = api.messages().await;
        let is_there = messages.iter().any(|one| one["state"] == "delivered");
        check(is_there, || format!("{messages:#?}"))
    })
    .await;
    caller.hangs_up();
    let call = line.ended().await;
    let messages = line.carrier.messages();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    let message = &messages[0];
    assert_eq!(message.to, whatsapp(STAFF));
    assert_eq!(message.from, whatsapp(SANDBOX));
    assert_eq!(message.content_sid.as_deref(), Some(TEMPLATE));
    assert_eq!(message.body, "");
    let variables = message.content_variables.as_deref().unwrap();
    let variables: Value = serde_json::from_str(variables).unwrap();
    let text = variables["1"].as_str().unwrap();
    assert!(
        text.starts_with("Clara: ") && text.contains(CALLER),
        "{text}"
    );
    line.is_clean(&call).await;
}
