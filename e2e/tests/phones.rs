//! What phones do to each other through the gateway: hold, resume, blind and attended transfer,
//! pick-up. Each phone plays a tone of its own, so that it is heard who hears whom.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::phone::message::SipMessage;
use switchhook_lab::phone::{
    Dial, OnCall, Peer, Phone, PhoneCall, PhoneConfig, PhoneEvent, Transport,
};

use crate::common::*;

const A_HZ: f64 = 1250.0;
const B_HZ: f64 = 1600.0;
const C_HZ: f64 = 2000.0;

async fn gateway() -> Gateway {
    speechless(GatewaySettings::demo()).start().await
}

/// Nobody says anything that has to be understood: no speech server is waited for.
fn speechless(settings: GatewaySettings) -> GatewaySettings {
    settings
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
}

/// A phone signed in as that extension.
async fn phone(gateway: &Gateway, extension: &str) -> Phone {
    let config = PhoneConfig::new(extension)
        .server(gateway.sip())
        .password(&format!("demo-{extension}"));
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    phone
}

fn address(gateway: &Gateway, user: &str) -> String {
    format!("sip:{user}@{}", gateway.sip())
}

/// `from` calls 2001; both play and hear each other.
async fn talking(gateway: &Gateway, from: &Phone, to: &Phone) -> (PhoneCall, PhoneCall) {
    let call = from.dial(&address(gateway, "2001")).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    let answered = to.incoming(0, SOON).await.unwrap();
    call.play_tone(A_HZ);
    answered.play_tone(B_HZ);
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;
    (call, answered)
}

fn events(record: &Value) -> &Vec<Value> {
    record["items"].as_array().unwrap()
}

#[tokio::test]
async fn a_phone_holds_and_takes_back() {
    let gateway = gateway().await;
    let desk = phone(&gateway, "2001").await;
    let guest = caller().await;
    let (call, answered) = talking(&gateway, &guest, &desk).await;
    let api = gateway.api().await;
    answered.hold().await.unwrap();
    let record = api
        .wait_call("a held leg", SOON, |one| {
            one["legs"].as_array().is_some_and(|legs| {
                legs.iter()
                    .any(|leg| leg["held_by_party_since"].is_string())
            })
        })
        .await;
    assert_eq!(record["status"], "with_agent", "{}", pretty(&record));
    let before = call.now_ms();
    answered.resume().await.unwrap();
    call.wait_tone(B_HZ, before, 1_000, SOON).await.unwrap();
    hears(&answered, A_HZ).await;
    call.hangup().await.unwrap();
    let record = api.ended_call(ENDED).await;
    clean(&record);
    let path = format!("/api/calls/{}/events", record["id"].as_str().unwrap());
    let told = api.get(&path).await;
    assert!(!events(&told).is_empty());
    assert!(
        has_fact(&told, "leg_held") && has_fact(&told, "leg_resumed"),
        "{}",
        pretty(&told)
    );
}

#[tokio::test]
async fn an_operator_holds_the_caller() {
    let gateway = gateway().await;
    let desk = phone(&gateway, "2001").await;
    let guest = caller().await;
    let (call, _answered) = talking(&gateway, &guest, &desk).await;
    let api = gateway.api().await;
    let record = api
        .wait_call("a bridged call", SOON, |one| one["status"] == "with_agent")
        .await;
    let id = record["id"].as_str().unwrap();
    operator_holds_and_resumes(&api, &record, &call).await;
    hears(&call, B_HZ).await;
    call.hangup().await.unwrap();
    clean(&api.ended_call(ENDED).await);
    let (status, body) = api
        .try_post(&format!("/api/calls/{id}/hold"), &json!({}))
        .await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (409, &json!("call.ended")),
        "{body}"
    );
}

#[tokio::test]
async fn a_phone_passes_its_caller_on() {
    let gateway = gateway().await;
    let (desk, sales) = (phone(&gateway, "2001").await, phone(&gateway, "2005").await);
    let guest = caller().await;
    let (call, answered) = talking(&gateway, &guest, &desk).await;
    let to = format!("<{}>", address(&gateway, "2005"));
    answered.request(
        "REFER",
        &[("Refer-To", &to), ("Referred-By", "<sip:2001@example.com>")],
        None,
    );
    let other = sales.incoming(0, SOON).await.unwrap();
    other.wait_answered(SOON).await.unwrap();
    other.play_tone(C_HZ);
    hears(&call, C_HZ).await;
    hears(&other, A_HZ).await;
    answered.wait_ended(SOON).await.unwrap();
    wait_notified(&desk, "SIP/2.0 200").await;
    assert!(
        notified(&desk)[0].starts_with("SIP/2.0 100"),
        "{}",
        desk.ladder()
    );
    let invite = &sales.received("INVITE")[0];
    let invite = invite.message.as_ref().unwrap();
    assert_eq!(invite.header("Referred-By"), "<sip:2001@example.com>");
    assert!(invite.header("X-Switchhook-Call-Id").starts_with("call_"));
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    clean(&record);
    assert_eq!(
        record["transfers"][0]["requested_by"],
        "party",
        "{}",
        pretty(&record)
    );
    assert_eq!(
        record["transfers"][0]["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
}

#[tokio::test]
async fn a_caller_passes_the_human_on() {
    let gateway = gateway().await;
    let (desk, sales) = (phone(&gateway, "2001").await, phone(&gateway, "2005").await);
    let guest = caller().await;
    let (call, answered) = talking(&gateway, &guest, &desk).await;
    call.request(
        "REFER",
        &[("Refer-To", &format!("<{}>", address(&gateway, "2005")))],
        None,
    );
    let other = sales.incoming(0, SOON).await.unwrap();
    other.wait_answered(SOON).await.unwrap();
    other.play_tone(C_HZ);
    hears(&answered, C_HZ).await;
    hears(&other, B_HZ).await;
    call.wait_ended(SOON).await.unwrap();
    other.hangup().await.unwrap();
    answered.wait_ended(SOON).await.unwrap();
    clean(&gateway.api().await.ended_call(ENDED).await);
}

#[tokio::test]
async fn a_target_that_does_not_take_the_call_brings_it_back() {
    let gateway = gateway().await;
    let (desk, sales) = (phone(&gateway, "2001").await, phone(&gateway, "2005").await);
    sales.set_on_call(OnCall::RejectAfter {
        status: 486,
        after: Duration::from_millis(300),
    });
    let guest = caller().await;
    let (call, answered) = talking(&gateway, &guest, &desk).await;
    // Nobody may be sent to where an operator could not dial.
    answered.request(
        "REFER",
        &[("Refer-To", "<sip:+12025550100@example.com>")],
        None,
    );
    answered.request("REFER", &[("Refer-To", "<sip:2005@127.0.0.1>")], None);
    wait_notified(&desk, "SIP/2.0 486").await;
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;
    let refused = desk
        .messages()
        .into_iter()
        .any(|line| !line.sent && line.message.as_ref().is_ok_and(|m| m.status() == Some(403)));
    assert!(refused, "{}", desk.ladder());
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    clean(&record);
    let transfers = record["transfers"].as_array().unwrap();
    assert_eq!(transfers.len(), 1, "{}", pretty(&record));
    assert_eq!(transfers[0]["outcome"], "returned_to_transferor");
    assert_eq!(
        transfers[0]["attempts"][0]["explanation"]["code"],
        "dial.busy"
    );
}

#[tokio::test]
async fn an_attended_transfer_joins_caller_and_target() {
    let gateway = gateway().await;
    let (desk, sales) = (phone(&gateway, "2001").await, phone(&gateway, "2005").await);
    let guest = caller().await;
    let (call, answered) = talking(&gateway, &guest, &desk).await;
    answered.hold().await.unwrap();
    let asked = desk.dial(&address(&gateway, "2005")).await.unwrap();
    asked.wait_answered(SOON).await.unwrap();
    let target = sales.incoming(0, SOON).await.unwrap();
    target.play_tone(C_HZ);
    hears(&asked, C_HZ).await;
    let to = replacing_last(&desk, &address(&gateway, "2005"));
    answered.request("REFER", &[("Refer-To", &to)], None);
    hears(&call, C_HZ).await;
    hears(&target, A_HZ).await;
    answered.wait_ended(SOON).await.unwrap();
    asked.wait_ended(SOON).await.unwrap();
    assert_eq!(
        sales.received("INVITE").len(),
        1,
        "no second INVITE\n{}",
        sales.ladder()
    );
    wait_notified(&desk, "SIP/2.0 200").await;
    call.hangup().await.unwrap();
    target.wait_ended(SOON).await.unwrap();
    let api = gateway.api().await;
    let records = ended_calls(&api, 2, ENDED).await;
    for record in records {
        let record = api.call(record["id"].as_str().unwrap()).await;
        clean(&record);
    }
}

#[tokio::test]
async fn a_ringing_phone_is_picked_up_by_another() {
    let gateway = gateway().await;
    let (desk, sales) = (phone(&gateway, "2001").await, phone(&gateway, "2005").await);
    desk.set_on_call(OnCall::RingOnly);
    let guest = caller().await;
    let call = guest.dial(&address(&gateway, "2001")).await.unwrap();
    desk.incoming(0, SOON).await.unwrap();
    call.wait_for(
        "180",
        |event| matches!(event, PhoneEvent::Progress { status: 180, .. }),
        SOON,
    )
    .await
    .unwrap();
    let rings = desk
        .messages()
        .into_iter()
        .filter(|line| line.sent)
        .filter_map(|line| line.message.ok())
        .rfind(|m| m.status() == Some(180))
        .unwrap();
    let replaces = format!(
        "{};to-tag={};from-tag={};early-only",
        rings.call_id(),
        rings.from_tag().unwrap(),
        rings.to_tag().unwrap(),
    );
    // A stranger may not.
    let stranger = guest
        .place(Dial::to(&address(&gateway, "2001")).header("Replaces", &replaces))
        .await
        .unwrap();
    let refused = stranger.wait_ended(SOON).await.unwrap();
    assert!(
        matches!(refused, PhoneEvent::Failed { status: 403, .. }),
        "{refused:?}"
    );
    let picked = sales
        .place(Dial::to(&address(&gateway, "2001")).header("Replaces", &replaces))
        .await
        .unwrap();
    picked.wait_answered(SOON).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.play_tone(A_HZ);
    picked.play_tone(C_HZ);
    hears(&call, C_HZ).await;
    hears(&picked, A_HZ).await;
    let cancel = &desk.received("CANCEL")[0];
    let cancel = cancel.message.as_ref().unwrap();
    assert!(
        cancel.header("Reason").starts_with("SIP;cause=200"),
        "{}",
        desk.ladder()
    );
    call.hangup().await.unwrap();
    picked.wait_ended(SOON).await.unwrap();
    clean(&gateway.api().await.ended_call(ENDED).await);
}

#[tokio::test]
async fn a_phone_that_forwards_its_calls_is_followed() {
    let gateway = gateway().await;
    let (desk, sales) = (phone(&gateway, "2001").await, phone(&gateway, "2005").await);
    desk.set_on_call(OnCall::Manual);
    let guest = caller().await;
    for (to, reached) in [("2005", true), ("2999", false)] {
        let seen = desk.received("INVITE").len();
        let call = guest.dial(&address(&gateway, "2001")).await.unwrap();
        desk.incoming(seen, SOON).await.unwrap();
        let line = desk.received("INVITE").pop().unwrap();
        let invite = line.message.unwrap();
        let moved = SipMessage::response_to(&invite, 302, "Moved Temporarily", "forwards")
            .with("Contact", format!("<{}>", address(&gateway, to)));
        let peer = Peer {
            addr: line.peer,
            transport: Transport::Udp,
        };
        desk.send_raw(moved.to_bytes(), peer);
        if reached {
            call.wait_answered(SOON).await.unwrap();
            let taken = sales.incoming(0, SOON).await.unwrap();
            // It is told who calls as the first was.
            let told = sales.received("INVITE").pop().unwrap().message.unwrap();
            assert_eq!(told.header("From"), invite.header("From"));
            call.play_tone(A_HZ);
            hears(&taken, A_HZ).await;
            call.hangup().await.unwrap();
        } else {
            let end = call.wait_ended(SOON).await.unwrap();
            assert!(matches!(end, PhoneEvent::Failed { .. }), "{end:?}");
        }
    }
    let api = gateway.api().await;
    let ended = ended_calls(&api, 2, ENDED).await;
    let refused = ended[0]["id"].as_str().unwrap().to_owned();
    // It says where to, and why not.
    let record = api.call(&refused).await;
    clean(&record);
    assert!(
        record["legs"][1]["detail"]
            .as_str()
            .is_some_and(|why| why.contains("2999") && why.contains("not configured")),
        "{}",
        pretty(&record)
    );
    assert!(has_fact(
        &api.get(&format!("/api/calls/{refused}/events")).await,
        "redirected"
    ));
}

const EXCHANGE: &str = r#"
mode = "development"
[sip]
assistant_numbers = ["assistant"]
keep_headers = ["X-Ticket", "Diversion"]
[trunks.pbx]
addresses = ["127.0.0.1"]
termination = "pbx.example.com"
transfer = "refer"
[transfer]
targets = ["+12025550100"]
[outbound]
allowed_prefixes = ["+1202555"]
trunk = "pbx"
[users.demo]
password = "demo"
role = "admin"
"#;

#[tokio::test]
async fn the_callers_exchange_is_asked_and_its_word_is_told() {
    for (report, outcome, code) in [
        ("SIP/2.0 200 OK", "handed_over", "handed_over"),
        ("SIP/2.0 486 Busy Here", "", ""),
    ] {
        let gateway = speechless(GatewaySettings::file(EXCHANGE)).start().await;
        let guest = caller().await;
        let dial = Dial::to(&gateway.assistant())
            .header(
                "P-Asserted-Identity",
                "\"Ada\" <sip:+12025550123@pbx.example.com>",
            )
            .header("X-Ticket", "7")
            .header("X-Other", "8");
        let call = guest.place(dial).await.unwrap();
        call.wait_answered(SOON).await.unwrap();
        let api = gateway.api().await;
        let record = api
            .wait_call("the assistant", SOON, |one| one["status"] == "assistant")
            .await;
        let id = record["id"].as_str().unwrap().to_owned();
        let record = api.call(&id).await;
        assert_eq!(record["caller"], "+12025550123", "{}", pretty(&record));
        assert_eq!(
            record["sip_headers"],
            json!({"X-Ticket": "7"}),
            "{}",
            pretty(&record)
        );
        let (status, body) = api
            .try_post(
                &format!("/api/calls/{id}/transfer"),
                &json!({"target": "+12025550100"}),
            )
            .await;
        assert_eq!(status, 202, "{body}");
        until("a REFER", ANSWER, async || {
            check(!guest.received("REFER").is_empty(), || guest.ladder())
        })
        .await;
        let refer = guest.received("REFER").remove(0).message.unwrap();
        assert_eq!(
            refer.header("Refer-To"),
            "<sip:+12025550100@pbx.example.com>"
        );
        let notify = |state: &str, body: &str| {
            call.request(
                "NOTIFY",
                &[("Event", "refer"), ("Subscription-State", state)],
                Some(("message/sipfrag", body)),
            );
        };
        notify("active;expires=60", "SIP/2.0 100 Trying");
        notify("terminated;reason=noresource", report);
        if code.is_empty() {
            // Refused: the caller is still ours, and is told so.
            let record = api
                .wait_call("a failed attempt", SOON, |one| {
                    one["transfers"][0]["attempts"][0]["result"] == "busy"
                })
                .await;
            assert_ne!(record["status"], "ended", "{}", pretty(&record));
            call.hangup().await.unwrap();
            let record = api.ended_call(ENDED).await;
            assert_ne!(
                record["transfers"][0]["outcome"],
                "handed_over",
                "{}",
                pretty(&record)
            );
        } else {
            call.wait_ended(SOON).await.unwrap();
            let record = api.ended_call(ENDED).await;
            clean(&record);
            assert_eq!(record["outcome"]["code"], code, "{}", pretty(&record));
            assert_eq!(
                record["transfers"][0]["outcome"],
                outcome,
                "{}",
                pretty(&record)
            );
            assert_eq!(record["transfers"][0]["attempts"][0]["report"], "completed");
        }
    }
}
