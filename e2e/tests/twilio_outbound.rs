//! Calls we place over Twilio, against the stand-in of the lab: ordered by the API, rung, judged by the
//! detector, talked to, and ended once whatever happens in between.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_e2e::api::{pretty, told};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{
    Answer, Behaviour, Carrier, Faults, Pace, Phone, RestFault, Then, Webhook,
};

use crate::common::*;
use crate::twilio_line::*;

pub const CUSTOMER: &str = "+12025550150";
/// An assistant of somebody else's.
pub const OTHER: &str = "+493023125177";

pub fn outbound() -> GatewaySettings {
    gather()
        .env("SWITCHHOOK_OUTBOUND_PREFIXES", "+1202555,+493023125")
        .env("SWITCHHOOK_OUTBOUND_REGION", "US")
}

/// Orders a call as an operator does.
async fn order(line: &Line, phone: &str) -> (u16, Value) {
    let api = line.gateway.api().await;
    let body = json!({ "phone": phone, "customer_id": "cust_1", "agent_type": "support" });
    api.try_post("/api/calls/initiate", &body).await
}

/// The same, and it is taken.
pub async fn ordered(line: &Line, phone: &str) -> Value {
    let (status, begun) = order(line, phone).await;
    assert_eq!(status, 202, "{begun:#}");
    begun
}

/// The only call of ours, once it has ended.
pub async fn once(line: &Line) -> Value {
    let call = line.ended().await;
    assert_eq!(call["direction"], "outbound", "{}", pretty(&call));
    assert_eq!(call["channel"], "twilio", "{}", pretty(&call));
    assert_eq!(line.gateway.api().await.calls().await.len(), 1);
    call
}

pub fn code(call: &Value) -> &str {
    call["outcome"]["code"].as_str().unwrap_or_default()
}

/// Calls the carrier was asked to place.
pub fn placed(carrier: &Carrier) -> usize {
    let calls = carrier.calls();
    calls
        .iter()
        .filter(|call| call.direction == "outbound-api")
        .count()
}

/// The phone rings, and the report of that has arrived, as have those before it.
async fn rings(line: &Line, phone: &Phone) {
    phone.until_rung(1, ANSWER).await.unwrap();
    let is_told = |told: &Webhook| told.param("CallStatus") == Some("ringing");
    let told = line.carrier.until_webhook("the report", ANSWER, is_told);
    told.await.unwrap();
    let all = line.carrier.until("the answers", ANSWER, |carrier| {
        let webhooks = carrier.log().webhooks;
        let answered = webhooks.iter().all(|w| w.answer != Answer::Pending);
        answered.then_some(())
    });
    all.await.unwrap();
}

#[tokio::test]
async fn a_customer_is_called_and_talks_with_the_assistant() {
    let line = line(outbound(), |_| {}).await;
    let phone = line.carrier.phone(CUSTOMER, Behaviour::answers());
    // As people of the region write it.
    let begun = ordered(&line, "(202) 555-0150").await;
    assert_eq!(begun["twilio_configured"], true, "{begun:#}");
    assert_eq!(begun["status"], "ringing");
    let id = begun["call_id"].as_str().unwrap();
    let session = begun["session_id"].as_str().unwrap();
    assert_eq!(session, id.replacen("call_", "vs_", 1));
    let customer = phone.until_answered(0, ANSWER).await.unwrap();
    assert_eq!(begun["call_sid"], customer.call_sid());
    customer.until_hears("this is Clara", ANSWER).await.unwrap();
    customer.says("goodbye");
    customer.ended(ANSWER).await.unwrap();
    let call = once(&line).await;
    assert_eq!(code(&call), "completed", "{}", pretty(&call));
    assert_eq!(call["callee"], CUSTOMER);
    assert_eq!(call["caller"], OURS);
    assert_ne!(call["simulated"], true);
    assert_eq!(phone.rung(), 1);
    assert_eq!(phone.rings()[0].from, OURS);
    line.is_clean(&call).await;
}

/// Whoever is not reached: which it was, once, with the cause.
#[tokio::test]
async fn whoever_is_not_reached_is_a_call_with_its_reason() {
    for (behaviour, outcome) in [
        (Behaviour::Busy, "busy"),
        (Behaviour::Rejects, "rejected"),
        (Behaviour::NoAnswer, "no_answer"),
        (Behaviour::Unreachable, "unreachable"),
    ] {
        let line = line(outbound(), |_| {}).await;
        let phone = line.carrier.phone(CUSTOMER, behaviour);
        ordered(&line, CUSTOMER).await;
        let call = once(&line).await;
        assert_eq!(code(&call), outcome, "{}", pretty(&call));
        assert!(call["answered_at"].is_null(), "{}", pretty(&call));
        assert_eq!(phone.rung(), 1);
        assert_eq!(call["turns"], json!([]), "nobody talked to nobody");
        line.is_clean(&call).await;
    }
}

/// The carrier says no: an error with cause and cure, and a failed call that shows the same.
#[tokio::test]
async fn a_number_the_carrier_refuses_is_a_failed_call() {
    let line = line(outbound(), |_| {}).await;
    line.carrier.rest_faults([RestFault::Status(400, 21_211)]);
    let (status, refused) = order(&line, CUSTOMER).await;
    assert_eq!(status, 502, "{refused:#}");
    let error = &refused["error"];
    assert_eq!(error["code"], "carrier.refused", "{refused:#}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("21211"), "{message}");
    let call = once(&line).await;
    assert_eq!(error["details"]["call_id"], call["id"]);
    assert_eq!(code(&call), "unreachable", "{}", pretty(&call));
    let detail = call["outcome"]["detail"].as_str().unwrap();
    assert!(detail.contains("country code"), "{detail}");
    assert_eq!(placed(&line.carrier), 0);
}

#[tokio::test]
async fn a_machine_is_hung_up_on_told_or_talked_to() {
    for (policy, outcome) in [
        ("hang_up", "voicemail"),
        ("message", "voicemail"),
        ("go_on", "caller_hung_up"),
    ] {
        let settings = outbound().env("SWITCHHOOK_OUTBOUND_MACHINE", policy);
        let line = line(settings, |_| {}).await;
        let greeting = Duration::from_secs(6);
        let phone = line.carrier.phone(CUSTOMER, Behaviour::machine(greeting));
        ordered(&line, CUSTOMER).await;
        let machine = phone.until_answered(0, ANSWER).await.unwrap();
        match policy {
            "message" => {
                machine
                    .until_hears("we tried to reach you", ANSWER)
                    .await
                    .unwrap();
            }
            "go_on" => {
                machine.until_hears("this is Clara", ANSWER).await.unwrap();
                machine.hangs_up();
            }
            _ => {}
        }
        machine.ended(ANSWER).await.unwrap();
        let call = once(&line).await;
        assert_eq!(code(&call), outcome, "{policy}: {}", pretty(&call));
        // What was heard of a greeting is estimated from time, which runs fast here.
        if policy != "go_on" {
            let told = told(&call);
            assert!(!told.contains("hello and welcome"), "{policy}: {told}");
        }
        if policy == "message" {
            let detail = call["outcome"]["detail"].as_str().unwrap();
            assert!(detail.contains("it has the message"), "{detail}");
        }
        assert_eq!(phone.rung(), 1);
        line.is_clean(&call).await;
    }
}

/// Reports backwards, doubled, or lost: the same end.
#[tokio::test]
async fn reports_backwards_doubled_or_lost_come_to_the_same_end() {
    let lost = ["initiated", "ringing", "answered"].map(str::to_owned);
    for faults in [
        Faults {
            duplicates: true,
            ..Faults::default()
        },
        Faults {
            duplicates: true,
            at_once: true,
            ..Faults::default()
        },
        Faults {
            reverse_status: true,
            ..Faults::default()
        },
        Faults {
            drop_status: lost.into(),
            ..Faults::default()
        },
    ] {
        for (behaviour, outcome) in [
            (
                Behaviour::answers_then(Then::stays().says("goodbye")),
                "completed",
            ),
            (Behaviour::Busy, "busy"),
        ] {
            let line = line(outbound(), |_| {}).await;
            line.carrier.faults(|now| *now = faults.clone());
            let phone = line.carrier.phone(CUSTOMER, behaviour);
            ordered(&line, CUSTOMER).await;
            let call = once(&line).await;
            assert_eq!(code(&call), outcome, "{faults:?}: {}", pretty(&call));
            assert_eq!(phone.rung(), 1);
        }
    }
}

/// The answer never comes: the call is found at the carrier, and not placed again.
#[tokio::test]
async fn a_request_without_an_answer_makes_one_call() {
    let mut line = line(outbound(), |config| config.pace = Pace::real()).await;
    line.carrier.rest_faults([RestFault::ProcessedButSilent]);
    let phone = line.carrier.phone(
        CUSTOMER,
        Behaviour::AnswersWhenTold(Then::stays().says("goodbye")),
    );
    let order = line.gateway.api().await;
    let asked = tokio::spawn(async move {
        let body = json!({ "phone": CUSTOMER });
        // The process dies under it.
        let ordering = order.try_post("/api/calls/initiate", &body);
        let _ = tokio::time::timeout(Duration::from_secs(60), ordering).await;
    });
    rings(&line, &phone).await;
    line.gateway.kill_9().await;
    asked.abort();
    line.gateway.start_again().await;
    phone.answers_now();
    let call = once(&line).await;
    assert_eq!(code(&call), "completed", "{}", pretty(&call));
    assert_eq!((phone.rung(), placed(&line.carrier)), (1, 1));
    line.is_clean(&call).await;
}

/// The process dies at any instant around the request: never two calls, and never a row without an
/// end.
#[tokio::test]
async fn a_crash_around_the_request_never_calls_twice() {
    for delay_ms in [0, 2, 5, 10, 20, 40] {
        let mut line = line(outbound(), |_| {}).await;
        let answers = Behaviour::answers_then(Then::stays().says("goodbye"));
        let phone = line.carrier.phone(CUSTOMER, answers);
        let api = line.gateway.api().await;
        let asked = tokio::spawn(async move {
            let body = json!({ "phone": CUSTOMER });
            let ordering = api.try_post("/api/calls/initiate", &body);
            let _ = tokio::time::timeout(Duration::from_secs(30), ordering).await;
        });
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        line.gateway.kill_9().await;
        asked.abort();
        line.gateway.start_again().await;
        let api = line.gateway.api().await;
        // The order came too late for the old process: then nobody was called.
        if api.calls().await.is_empty() {
            assert_eq!(placed(&line.carrier), 0);
            continue;
        }
        // What is not found at the carrier is looked for a while.
        let call = api.ended_call(Duration::from_secs(90)).await;
        assert_eq!(api.calls().await.len(), 1);
        assert!(phone.rung() <= 1, "{delay_ms} ms: {}", pretty(&call));
        let outcome = code(&call);
        let is_true = match phone.rung() {
            0 => outcome == "failed",
            _ => outcome == "completed" || outcome == "caller_hung_up",
        };
        assert!(is_true, "{delay_ms} ms: {}", pretty(&call));
    }
}

#[tokio::test]
async fn a_crash_while_it_rings_changes_nothing() {
    let mut line = line(outbound(), |config| config.pace = Pace::real()).await;
    let phone = line.carrier.phone(
        CUSTOMER,
        Behaviour::AnswersWhenTold(Then::stays().says("goodbye")),
    );
    ordered(&line, CUSTOMER).await;
    rings(&line, &phone).await;
    line.gateway.kill_9().await;
    line.gateway.start_again().await;
    phone.answers_now();
    let call = once(&line).await;
    assert_eq!(code(&call), "completed", "{}", pretty(&call));
    assert_eq!((phone.rung(), placed(&line.carrier)), (1, 1));
    line.is_clean(&call).await;
}

/// It was busy while no process of ours could hear of it.
#[tokio::test]
async fn what_happened_meanwhile_is_asked_for() {
    let mut line = line(outbound(), |_| {}).await;
    let phone = line.carrier.phone(CUSTOMER, Behaviour::NoAnswer);
    let begun = ordered(&line, CUSTOMER).await;
    rings(&line, &phone).await;
    line.gateway.kill_9().await;
    let sid = begun["call_sid"].as_str().unwrap();
    line.carrier
        .until("the end of the ringing", ANSWER, |carrier| {
            let calls = carrier.calls();
            let call = calls.iter().find(|call| call.sid == sid)?;
            (call.status == "no-answer").then_some(())
        })
        .await
        .unwrap();
    line.gateway.start_again().await;
    let call = once(&line).await;
    assert_eq!(code(&call), "no_answer", "{}", pretty(&call));
    assert_eq!(phone.rung(), 1);
}

#[tokio::test]
async fn limits_refuse_by_their_codes_and_call_nobody() {
    let settings = outbound()
        .env("SWITCHHOOK_OUTBOUND_CALLS_PER_DAY", "2")
        .env("SWITCHHOOK_OUTBOUND_PREFIXES", "+1202555");
    let line = line(settings, |config| config.pace = Pace::real()).await;
    let phone = line.carrier.phone(
        CUSTOMER,
        Behaviour::AnswersWhenTold(Then::stays().says("goodbye")),
    );
    let refusal = async |phone: &str| {
        let (status, body) = order(&line, phone).await;
        let code = body["error"]["code"].as_str().unwrap_or_default();
        (status, code.to_owned())
    };
    let not_allowed = (422, "target.not_allowed".to_owned());
    assert_eq!(refusal("+493023125110").await, not_allowed);
    assert_eq!(
        refusal("12345").await,
        (422, "target.not_allowed".to_owned())
    );
    assert_eq!(refusal("555").await.0, 422);
    assert_eq!(refusal("+1 20").await, (422, "target.invalid".to_owned()));
    ordered(&line, CUSTOMER).await;
    // While it rings.
    let busy = (429, "outbound.customer_busy".to_owned());
    assert_eq!(refusal(CUSTOMER).await, busy);
    rings(&line, &phone).await;
    phone.answers_now();
    line.ended().await;
    ordered(&line, CUSTOMER).await;
    phone.answers_now();
    let api = line.gateway.api().await;
    ended_calls(&api, 2, ENDED).await;
    let often = (429, "outbound.customer_rate".to_owned());
    assert_eq!(refusal(CUSTOMER).await, often);
    assert_eq!(placed(&line.carrier), 2);
    assert_eq!(api.calls().await.len(), 2, "a refusal is no call");
}

#[tokio::test]
async fn an_operator_hangs_up_and_transfers() {
    let line = line(outbound(), |_| {}).await;
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    let phone = line.carrier.phone(CUSTOMER, Behaviour::NoAnswer);
    let api = line.gateway.api().await;
    let begun = ordered(&line, CUSTOMER).await;
    rings(&line, &phone).await;
    let id = begun["call_id"].as_str().unwrap();
    let hangup = format!("/api/calls/{id}/hangup");
    assert_eq!(api.try_post(&hangup, &json!({})).await.0, 202);
    let call = line.ended().await;
    assert_eq!(code(&call), "operator_hangup", "{}", pretty(&call));
    line.carrier.until_quiet(ANSWER).await.unwrap();
    phone.behaves(Behaviour::answers());
    let begun = ordered(&line, CUSTOMER).await;
    let customer = phone.until_answered(0, ANSWER).await.unwrap();
    customer.until_hears("this is Clara", ANSWER).await.unwrap();
    let id = begun["call_id"].as_str().unwrap();
    let transfer = format!("/api/calls/{id}/transfer");
    let (status, _) = api.try_post(&transfer, &json!({ "target": "2001" })).await;
    assert_eq!(status, 202);
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    customer.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(code(&call), "transferred", "{}", pretty(&call));
    assert_eq!(agent.rung(), 1, "exactly one dial");
    line.is_clean(&call).await;
}

/// Somebody else's assistant, by its number and by SIP with our ids.
#[tokio::test]
async fn another_assistant_is_dialled() {
    for via in ["number", "sip"] {
        let settings = outbound()
            .env("ELEVENLABS_PHONE_NUMBER", OTHER)
            .env("SWITCHHOOK_ASSISTANT_VIA", via);
        let line = line(settings, |_| {}).await;
        let phone = line.carrier.phone(CUSTOMER, Behaviour::answers());
        let address = match via {
            "number" => OTHER.to_owned(),
            _ => format!("sip:{OTHER}@sip.rtc.elevenlabs.io:5060;transport=tcp"),
        };
        let other = line.carrier.phone(&address, Behaviour::answers());
        let begun = ordered(&line, CUSTOMER).await;
        let assistant = other.until_answered(0, ANSWER).await.unwrap();
        let rung = &other.rings()[0];
        assert_eq!(rung.from, OURS, "our number, and nothing else");
        if via == "sip" {
            let id = begun["call_id"].as_str().unwrap();
            assert!(rung.to.contains(&format!("X-CALL-ID={id}")), "{}", rung.to);
            assert!(rung.to.contains("X-CALLER-ID="), "{}", rung.to);
        }
        let customer = phone.until_answered(0, ANSWER).await.unwrap();
        assistant.hangs_up();
        customer.ended(ANSWER).await.unwrap();
        let call = once(&line).await;
        assert_eq!(code(&call), "completed", "{via}: {}", pretty(&call));
        line.is_clean(&call).await;
    }
}

/// Without an account the whole call is acted, and says so.
#[tokio::test]
async fn without_credentials_the_call_is_acted_and_marked() {
    let gateway = outbound().start().await;
    let api = gateway.api().await;
    let body = json!({ "phone": CUSTOMER });
    let (status, begun) = api.try_post("/api/calls/initiate", &body).await;
    assert_eq!(status, 202, "{begun:#}");
    assert_eq!(begun["status"], "simulation");
    assert_eq!(begun["twilio_configured"], false);
    let call = api.ended_call(Duration::from_secs(60)).await;
    assert_eq!(call["simulated"], true, "{}", pretty(&call));
    assert_eq!(call["direction"], "outbound");
    assert_eq!(code(&call), "completed", "{}", pretty(&call));
    assert!(told(&call).contains("clara"), "{}", pretty(&call));
    let row = &api.calls().await[0];
    assert_eq!(row["simulated"], true, "{row:#}");
}

/// `TELEPHONY_MOCK` with an account: the carrier hears nothing of it.
#[tokio::test]
async fn a_mock_asks_the_carrier_for_nothing() {
    let line = line(outbound().env("TELEPHONY_MOCK", "true"), |_| {}).await;
    let phone = line.carrier.phone(CUSTOMER, Behaviour::answers());
    let begun = ordered(&line, CUSTOMER).await;
    assert_eq!(begun["status"], "simulation", "{begun:#}");
    assert_eq!(begun["twilio_configured"], true);
    let api = line.gateway.api().await;
    let id = begun["call_id"].as_str().unwrap();
    // An operator ends it as any other.
    until("the assistant", ANSWER, async || {
        let call = api.call(id).await;
        check(call["status"] == "assistant", || pretty(&call))
    })
    .await;
    let (status, _) = api
        .try_post(&format!("/api/calls/{id}/hangup"), &json!({}))
        .await;
    assert_eq!(status, 202);
    let call = line.ended().await;
    assert_eq!(code(&call), "operator_hangup", "{}", pretty(&call));
    assert_eq!((phone.rung(), placed(&line.carrier)), (0, 0));
}
