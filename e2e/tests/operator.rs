//! What an operator does over the API while real phones are on the line.

use std::time::Duration;

use serde_json::json;
use switchhook_e2e::api::{only_transfer, pretty};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::phone::{OnCall, Phone, PhoneConfig, PhoneEvent};

use crate::common::*;

#[tokio::test]
async fn starts_a_call_to_an_extension_and_ends_it() {
    let gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::answering(&gateway).await;
    let api = gateway.api().await;
    let (status, body) = api
        .try_post("/api/calls/initiate", &json!({"phone": "2001"}))
        .await;
    assert!((200..300).contains(&status), "{status} {body}");
    assert!(body["call_id"].is_string(), "{body}");
    human.baresip.wait_event("CALL_ESTABLISHED", 1, SOON).await;
    human.assert_rang_once();
    // The assistant greets whoever answers.
    until("the greeting at 2001", ANSWER, async || {
        let ms = switchhook_lab::audio::speech::speech_ms(&human.baresip.heard(0));
        check(ms >= 1_000, || ms)
    })
    .await;
    let id = body["call_id"].as_str().unwrap();
    let (status, body) = api
        .try_post(&format!("/api/calls/{id}/hangup"), &json!({}))
        .await;
    assert!((200..300).contains(&status), "{status} {body}");
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    let record = api.ended_call(ENDED).await;
    assert_eq!(record["id"], id);
    assert_eq!(record["direction"], "outbound", "{}", pretty(&record));
    assert_eq!(
        record["outcome"]["code"],
        "operator_hangup",
        "{}",
        pretty(&record)
    );
}

#[tokio::test]
async fn transfers_a_caller_to_a_human() {
    let gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::answering(&gateway).await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    let api = gateway.api().await;
    let record = api
        .wait_call("status assistant", SOON, |c| c["status"] == "assistant")
        .await;
    let path = format!("/api/calls/{}/transfer", record["id"].as_str().unwrap());
    let (status, body) = api.try_post(&path, &json!({"target": "2001"})).await;
    assert!((200..300).contains(&status), "{status} {body}");
    // Asked again and again, it stays one transfer with one dial.
    for _ in 0..10 {
        api.try_post(&path, &json!({"target": "2001"})).await;
    }
    call.wait_tone(HUMAN_HZ, 0, 1_000, ANSWER).await.unwrap();
    call.hangup().await.unwrap();
    let record = api.ended_call(ENDED).await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    human.assert_rang_once();
}

#[tokio::test]
async fn ends_a_callers_call_and_sees_it_in_the_events() {
    let gateway = GatewaySettings::demo().start().await;
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    let api = gateway.api().await;
    let record = api
        .wait_call("status assistant", SOON, |c| c["status"] == "assistant")
        .await;
    let id = record["id"].as_str().unwrap();
    let (status, _) = api
        .try_post(&format!("/api/calls/{id}/hangup"), &json!({}))
        .await;
    assert!((200..300).contains(&status));
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
    let record = api.ended_call(ENDED).await;
    assert_eq!(
        record["outcome"]["code"],
        "operator_hangup",
        "{}",
        pretty(&record)
    );
    let events = api.get(&format!("/api/calls/{id}/events")).await;
    assert!(
        events["items"].as_array().is_some_and(|e| !e.is_empty()),
        "{events}"
    );
    let transcript = api.get(&format!("/api/calls/{id}/transcript")).await;
    assert!(transcript.to_string().len() > 20, "{transcript}");
}

#[tokio::test]
async fn sees_who_is_registered() {
    let gateway = GatewaySettings::demo().start().await;
    let api = gateway.api().await;
    let registered = |list: &serde_json::Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["registered"] == true)
            .map(|e| e["extension"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert!(registered(&api.get("/api/extensions").await).is_empty());
    let config = PhoneConfig::new("2001")
        .server(gateway.sip())
        .password("demo-2001")
        .on_call(OnCall::RingOnly);
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    assert_eq!(registered(&api.get("/api/extensions").await), ["2001"]);
    phone.register_for(0).await.unwrap();
    assert!(registered(&api.get("/api/extensions").await).is_empty());
}

/// One extension calls another: no assistant takes part.
#[tokio::test]
async fn extensions_call_each_other() {
    let gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::answering(&gateway).await;
    let config = PhoneConfig::new("2005")
        .server(gateway.sip())
        .password("demo-2005");
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    let call = phone
        .dial(&format!("sip:2001@{}", gateway.sip()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.play_tone(CALLER_HZ);
    call.wait_tone(HUMAN_HZ, 0, 2_000, SOON).await.unwrap();
    call.hangup().await.unwrap();
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    human.assert_rang_once();
    assert!(switchhook_lab::audio::tone::present_ms(&human.baresip.heard(0), CALLER_HZ) > 1_000);
    gateway.api().await.ended_call(ENDED).await;
}

#[tokio::test]
async fn health_readiness_metrics_and_a_clean_stop() {
    let mut gateway = GatewaySettings::demo().start().await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/openapi.json"] {
        let answer = gateway
            .client()
            .get(gateway.http_url(path))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let phone = caller().await;
    let call = greeted(&phone, &gateway).await;
    let code = gateway.stop(Duration::from_secs(60)).await;
    assert_eq!(code, 0, "{}", gateway.log());
    call.wait_ended(SOON).await.unwrap();
}
