//! A softphone in a home network behind a router that translates addresses and changes ports: it
//! registers, calls, is called, and either side can hang up. Its SDP and Contact name addresses
//! that lead nowhere from outside.

use serde_json::{Value, json};
use switchhook_e2e::api::pretty;
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::netns::{HOME, HomeNetwork};
use switchhook_e2e::ports;
use switchhook_lab::audio::speech;
use switchhook_lab::phone::PhoneEvent;

use crate::common::*;

/// The gateway outside of the home network; its HTTP stays on loopback.
async fn gateway_outside(network: &HomeNetwork) -> Gateway {
    let sip = format!("{}:{}", network.outside(), ports::free());
    GatewaySettings::demo()
        .env("SWITCHHOOK_SIP_BIND", sip)
        .start()
        .await
}

async fn phone_at_home(network: &HomeNetwork, gateway: &Gateway, user: &str) -> Baresip {
    let mut config = BaresipConfig::with_tone(user, gateway.sip(), HUMAN_HZ);
    config.place = Some(network.place());
    Baresip::start(config).await
}

/// Every message of the call, as the gateway saw it.
async fn wire(gateway: &Gateway, call: &Value) -> Vec<String> {
    let path = format!(
        "/api/calls/{}/events?limit=500",
        call["id"].as_str().unwrap()
    );
    let page = gateway.api().await.get(&path).await;
    let texts = page["items"].as_array().cloned().unwrap_or_default();
    texts
        .iter()
        .filter_map(|line| line["text"].as_str().map(str::to_owned))
        .collect()
}

/// A caller outside asks for a human; the phone at home is the human.
async fn caller_meets_home(
    gateway: &Gateway,
    home: &Baresip,
    n: usize,
) -> switchhook_lab::phone::PhoneCall {
    let phone = caller().await;
    let call = greeted(&phone, gateway).await;
    let from = call.now_ms();
    call.send_digits("0");
    home.wait_event("CALL_ESTABLISHED", n + 1, ANSWER).await;
    call.play_tone(CALLER_HZ);
    // Either way: what the phone at home says, and that we found the port its router chose.
    call.wait_tone(HUMAN_HZ, from, 1_000, ANSWER).await.unwrap();
    hears_in_all(home, n, CALLER_HZ, 1_000, ANSWER).await;
    call
}

#[tokio::test]
async fn a_phone_behind_nat_is_called_and_either_side_hangs_up() {
    let network = HomeNetwork::create();
    let gateway = gateway_outside(&network).await;
    let mut home = phone_at_home(&network, &gateway, "2001").await;

    let call = caller_meets_home(&gateway, &home, 0).await;
    home.hangup().await;
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
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        record["outcome"]["code"],
        "transferred",
        "{}",
        pretty(&record)
    );
    // The home network's own addresses were all that the phone told us.
    let messages = wire(&gateway, &record).await;
    let answer = messages
        .iter()
        .find(|m| m.starts_with("SIP/2.0 200") && m.contains(&format!("c=IN IP4 {HOME}")));
    assert!(
        answer.is_some(),
        "no answer with a private address: {messages:#?}"
    );

    let call = caller_meets_home(&gateway, &home, 1).await;
    call.hangup().await.unwrap();
    home.wait_event("CALL_CLOSED", 2, SOON).await;
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        record["outcome"]["code"],
        "transferred",
        "{}",
        pretty(&record)
    );
}

#[tokio::test]
async fn a_phone_behind_nat_calls_and_either_side_hangs_up() {
    let network = HomeNetwork::create();
    let gateway = gateway_outside(&network).await;
    let mut home = phone_at_home(&network, &gateway, "2005").await;
    let api = gateway.api().await;

    home.dial(&gateway.assistant()).await;
    home.wait_event("CALL_ESTABLISHED", 1, ANSWER).await;
    hears_speech(&home, 0).await;
    let record = api
        .wait_call("an assistant", SOON, |c| c["status"] == "assistant")
        .await;
    let id = record["id"].as_str().unwrap();
    let (status, body) = api
        .try_post(&format!("/api/calls/{id}/hangup"), &json!({}))
        .await;
    assert_eq!(status, 202, "{body}");
    home.wait_event("CALL_CLOSED", 1, SOON).await;
    let record = api.ended_call(ENDED).await;
    assert_ports_were_changed(&gateway, &network, &record).await;

    home.dial(&gateway.assistant()).await;
    home.wait_event("CALL_ESTABLISHED", 2, ANSWER).await;
    hears_speech(&home, 1).await;
    home.hangup().await;
    let record = api
        .wait_call("the caller's hang-up", ENDED, |c| {
            c["status"] == "ended" && c["id"] != record["id"]
        })
        .await;
    assert_eq!(
        record["outcome"]["code"],
        "caller_hung_up",
        "{}",
        pretty(&record)
    );
    assert_eq!(record["violations"], json!([]), "{}", pretty(&record));
}

/// The greeting arrives though the phone's SDP gave an address that leads nowhere.
async fn hears_speech(phone: &Baresip, call: usize) {
    until("the assistant to be heard at home", ANSWER, async || {
        check(speech::speech_ms(&phone.heard(call)) >= 500, || phone.log())
    })
    .await;
}

/// Our answer says where the request came from (RFC 3581 §4): the router's address and another
/// port than the phone's own.
async fn assert_ports_were_changed(gateway: &Gateway, network: &HomeNetwork, call: &Value) {
    let messages = wire(gateway, call).await;
    let via = messages
        .iter()
        .filter(|m| m.starts_with("SIP/2.0 200"))
        .flat_map(|m| m.lines())
        .find(|line| line.starts_with("Via:") && line.contains(&HOME.to_string()))
        .unwrap_or_else(|| panic!("no answer to the phone at home in {messages:#?}"));
    assert!(
        via.contains(&format!("received={}", network.router())),
        "{via}"
    );
    let number = |text: &str| -> u16 {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("no port in {via}"))
    };
    let (_, own) = via.split_once(&format!("{HOME}:")).unwrap();
    let (_, seen) = via.split_once("rport=").unwrap();
    assert_ne!(
        number(own),
        number(seen),
        "the router changed no port: {via}"
    );
}
