//! What tests against Asterisk begin with: it is the gateway's trunk, and has phones of its own.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use switchhook_e2e::api::Api;
use switchhook_e2e::asterisk::{Asterisk, AsteriskConfig, TONE_NUMBER, free_address, trunk_toml};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::phone::{Phone, PhoneCall, PhoneConfig};

use crate::common::*;

/// Frequency of the PBX's phone 301.
pub const A_HZ: f64 = 1600.0;
/// Frequency of the gateway's extension 2001.
pub const B_HZ: f64 = 2000.0;
/// Frequency of a third one.
pub const C_HZ: f64 = 2400.0;

/// The gateway with a trunk at that address, and Asterisk there, given the gateway's SIP address.
pub async fn start(
    settings: impl FnOnce(SocketAddr) -> GatewaySettings,
    change: impl FnOnce(&Gateway, AsteriskConfig) -> AsteriskConfig,
) -> (Gateway, Asterisk) {
    let address = free_address();
    let gateway = settings(address).start().await;
    let config = change(&gateway, AsteriskConfig::new(gateway.sip(), address));
    let asterisk = Asterisk::start(config).await;
    asterisk.wait_reaches_gateway(SOON).await;
    (gateway, asterisk)
}

/// The same with nobody who speaks: tones only, two extensions, and numbers that may be dialled.
/// `change` makes of the configuration what the test needs.
pub async fn start_mute(change: impl FnOnce(String) -> String) -> (Gateway, Asterisk) {
    start(
        |pbx| GatewaySettings::media(&change(mute_toml(pbx))),
        |_, config| config,
    )
    .await
}

/// Its configuration.
pub fn mute_toml(pbx: SocketAddr) -> String {
    trunk_toml(pbx, TONE_NUMBER)
        + "\n[extensions.2005]\npassword = \"demo-2005\"\n\
           [outbound]\nallowed_prefixes = [\"+49\"]\nallowed_sip_hosts = [\"127.0.0.1\"]\n"
}

/// A phone of the PBX.
pub async fn pbx_phone(asterisk: &Asterisk, extension: &str) -> Phone {
    pbx_phone_with(asterisk, extension, |config| config).await
}

/// The same, another way.
pub async fn pbx_phone_with(
    asterisk: &Asterisk,
    extension: &str,
    change: impl FnOnce(PhoneConfig) -> PhoneConfig,
) -> Phone {
    let config = PhoneConfig::new(extension)
        .server(asterisk.sip())
        .password(&format!("phone-{extension}"));
    registered(change(config)).await
}

/// A phone of the gateway.
pub async fn extension(gateway: &Gateway, extension: &str) -> Phone {
    let config = PhoneConfig::new(extension)
        .server(gateway.sip())
        .password(&format!("demo-{extension}"));
    registered(config).await
}

/// A phone that is signed in where it belongs.
pub async fn registered(config: PhoneConfig) -> Phone {
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    phone
}

/// What a phone of the PBX dials.
pub fn at_pbx(asterisk: &Asterisk, user: &str) -> String {
    format!("sip:{user}@{}", asterisk.sip())
}

/// Phone 301 of the PBX calls extension 2001 over the trunk; both play and hear each other.
pub async fn talking(asterisk: &Asterisk, phone: &Phone, desk: &Phone) -> (PhoneCall, PhoneCall) {
    let call = phone.dial(&at_pbx(asterisk, "2001")).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    let answered = desk.incoming(0, SOON).await.unwrap();
    call.play_tone(A_HZ);
    answered.play_tone(B_HZ);
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;
    (call, answered)
}

/// Phone 301 of the PBX is with the assistant, and an operator transfers it; returns the call's id.
pub async fn transferred(
    gateway: &Gateway,
    asterisk: &Asterisk,
    phone: &Phone,
    target: &str,
) -> (PhoneCall, String) {
    let call = phone.dial(&at_pbx(asterisk, "800")).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    let api = gateway.api().await;
    let record = api
        .wait_call("the assistant", SOON, |one| one["status"] == "assistant")
        .await;
    let id = record["id"].as_str().unwrap().to_owned();
    let path = format!("/api/calls/{id}/transfer");
    let (status, body) = api.try_post(&path, &json!({ "target": target })).await;
    assert_eq!(status, 202, "{body}");
    (call, id)
}

/// The messages and facts of a call, oldest first.
pub async fn events_of(api: &Api, id: &str) -> Vec<Value> {
    let page = api.get(&format!("/api/calls/{id}/events?limit=500")).await;
    page["items"].as_array().cloned().unwrap()
}

/// Whether one message of the call satisfies the test: whether we sent it, and its text.
pub fn on_the_wire(events: &[Value], matches: impl Fn(bool, &str) -> bool) -> bool {
    events
        .iter()
        .filter(|one| one["kind"] == "wire")
        .any(|one| {
            one["text"]
                .as_str()
                .is_some_and(|text| matches(one["from"] == "switchhook", text))
        })
}

/// Waits until a message of the call satisfies the test.
pub async fn wait_wire(
    api: &Api,
    id: &str,
    what: &str,
    within: Duration,
    matches: impl Fn(bool, &str) -> bool,
) -> Vec<Value> {
    until(what, within, async || {
        let events = events_of(api, id).await;
        if on_the_wire(&events, &matches) {
            Ok(events)
        } else {
            Err(drawn(&events))
        }
    })
    .await
}

/// For messages.
pub fn drawn(events: &[Value]) -> String {
    events
        .iter()
        .map(|one| {
            let text = one["text"].as_str().unwrap_or_default();
            format!("{} -> {}: {}\n{text}", one["from"], one["to"], one["label"])
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Waits until every call of the gateway has ended, and returns them in full, newest first.
pub async fn all_ended(api: &Api, count: usize) -> Vec<Value> {
    let mut records = Vec::new();
    for call in ended_calls(api, count, ENDED).await {
        let record = api.call(call["id"].as_str().unwrap()).await;
        clean(&record);
        records.push(record);
    }
    records
}
