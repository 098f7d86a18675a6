//! Hold and transfers through a PBX nobody here wrote: Asterisk 22. Each phone plays a tone of its
//! own, so that it is heard who hears whom.

use serde_json::Value;
use switchhook_e2e::api::{Api, only_attempt, only_transfer, pretty};
use switchhook_e2e::asterisk::{AsteriskConfig, MUSIC_HZ, REFER_NUMBER, TONE_HZ, TONE_NUMBER};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::phone::PhoneCall;

use crate::common::*;
use crate::pbx::*;

/// Waits until the leg of that party is held by it.
async fn wait_held(api: &Api, party: &str) -> Value {
    api.wait_call("a held leg", SOON, |one| {
        one["legs"].as_array().is_some_and(|legs| {
            legs.iter()
                .any(|leg| leg["party"] == party && leg["held_by_party_since"].is_string())
        })
    })
    .await
}

/// From now on one note of the gateway's hold music is heard.
async fn hears_chime(call: &PhoneCall) {
    call.wait_tone(CHIME_HZ, call.now_ms(), 100, SOON)
        .await
        .unwrap();
}

#[tokio::test]
async fn hold_passes_through_the_pbx_in_both_directions() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let desk = extension(&gateway, "2001").await;
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    let api = gateway.api().await;

    // The PBX's phone: the PBX passes its hold on by re-INVITE.
    call.hold().await.unwrap();
    let record = wait_held(&api, "caller").await;
    hears_chime(&answered).await;
    call.resume().await.unwrap();
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;

    // The gateway's phone.
    answered.hold().await.unwrap();
    wait_held(&api, "agent").await;
    hears_chime(&call).await;
    answered.resume().await.unwrap();
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;

    // The operator: the PBX tells its phone.
    operator_holds_and_resumes(&api, &record, &call).await;
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;
    call.hangup().await.unwrap();
    clean(&api.ended_call(ENDED).await);
}

#[tokio::test]
async fn who_is_held_hears_the_pbxs_own_music() {
    let (gateway, asterisk) = start(
        |pbx| GatewaySettings::media(&mute_toml(pbx)),
        |_, config| AsteriskConfig {
            hold_by_reinvite: "no",
            ..config
        },
    )
    .await;
    let desk = extension(&gateway, "2001").await;
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    let api = gateway.api().await;
    call.hold().await.unwrap();
    hears(&answered, MUSIC_HZ).await;
    call.resume().await.unwrap();
    hears(&answered, A_HZ).await;
    hears(&call, B_HZ).await;

    let record = api.wait_call("a bridge", SOON, |one| one["status"] == "with_agent");
    let record = record.await;
    operate(&api, &record, "hold").await;
    hears(&call, MUSIC_HZ).await;
    operate(&api, &record, "resume").await;
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;
    call.hangup().await.unwrap();
    let record = api.ended_call(ENDED).await;
    clean(&record);
    let events = events_of(&api, record["id"].as_str().unwrap()).await;
    assert!(
        !on_the_wire(&events, |ours, text| !ours
            && text.starts_with("INVITE ")
            && text.contains("a=sendonly")),
        "the PBX held us by re-INVITE\n{}",
        drawn(&events)
    );
}

/// The caller's human is a number of the PBX that sends the caller on to our extension.
#[tokio::test]
async fn the_pbx_sends_the_caller_on_to_an_extension() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let desk = extension(&gateway, "2001").await;
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, id) = transferred(&gateway, &asterisk, &phone, REFER_NUMBER).await;
    let answered = desk.incoming(0, ANSWER).await.unwrap();
    answered.wait_answered(SOON).await.unwrap();
    call.play_tone(A_HZ);
    answered.play_tone(B_HZ);
    hears(&call, B_HZ).await;
    hears(&answered, A_HZ).await;
    let api = gateway.api().await;
    let events = wait_wire(&api, &id, "NOTIFY 200", SOON, |ours, text| {
        ours && text.starts_with("NOTIFY ") && text.contains("SIP/2.0 200 OK")
    })
    .await;
    assert!(
        on_the_wire(&events, |ours, text| !ours
            && text.starts_with("SIP/2.0 200")
            && text.contains(" NOTIFY\r\n")),
        "{}",
        drawn(&events)
    );
    // What the PBX made of it.
    asterisk.wait_log("transfer: SUCCESS", SOON).await;
    call.hangup().await.unwrap();
    answered.wait_ended(SOON).await.unwrap();
    let record = api.ended_call(ENDED).await;
    let transfers = record["transfers"].as_array().unwrap();
    assert_eq!(transfers.len(), 2, "{}", pretty(&record));
    assert_eq!(transfers[1]["requested_by"], "party", "{}", pretty(&record));
    assert_eq!(transfers[1]["outcome"], "bridged", "{}", pretty(&record));
    asterisk.wait_channels(0, SOON).await;
}

/// The caller's PBX is asked to transfer its caller itself: to its other phone, and, refused by it,
/// to a number it does not have.
#[tokio::test]
async fn the_pbx_is_asked_to_send_its_caller_on() {
    let refer =
        |toml: String| toml.replace("[trunks.pbx]\n", "[trunks.pbx]\ntransfer = \"refer\"\n");
    let (gateway, asterisk) = start_mute(refer).await;
    let phone = pbx_phone(&asterisk, "301").await;
    let other = pbx_phone(&asterisk, "302").await;
    let target = at_pbx(&asterisk, "302");
    let (call, _) = transferred(&gateway, &asterisk, &phone, &target).await;
    let answered = other.incoming(0, ANSWER).await.unwrap();
    answered.wait_answered(SOON).await.unwrap();
    call.play_tone(A_HZ);
    answered.play_tone(C_HZ);
    hears(&call, C_HZ).await;
    hears(&answered, A_HZ).await;
    let api = gateway.api().await;
    let record = api.ended_call(ENDED).await;
    assert_eq!(
        record["outcome"]["code"],
        "handed_over",
        "{}",
        pretty(&record)
    );
    assert_eq!(only_transfer(&record)["outcome"], "handed_over");
    assert_eq!(only_attempt(&record)["report"], "completed");
    assert!(!call.is_over(), "the two talk without us");
    // Both of its phones, and nothing towards us.
    asterisk.wait_channels(2, SOON).await;
    call.hangup().await.unwrap();
    answered.wait_ended(SOON).await.unwrap();

    let (call, id) = transferred(&gateway, &asterisk, &phone, "+493023125901").await;
    let record = api
        .wait_call("a refused transfer", ANSWER, |one| {
            one["id"] == id
                && one["transfers"][0]["attempts"][0]["report"]["failed"]["sip_status"] == 404
        })
        .await;
    assert_ne!(record["status"], "ended", "{}", pretty(&record));
    call.hangup().await.unwrap();
    let record = api.ended_call(ENDED).await;
    assert_ne!(only_transfer(&record)["outcome"], "handed_over");
}

/// An extension sends its caller on to a number of the PBX: out over the trunk by which it came.
#[tokio::test]
async fn an_extension_sends_its_caller_back_to_the_pbx() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let desk = extension(&gateway, "2001").await;
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    let to = format!("<sip:{TONE_NUMBER}@{}>", gateway.sip());
    answered.request("REFER", &[("Refer-To", &to)], None);
    hears(&call, TONE_HZ).await;
    answered.wait_ended(SOON).await.unwrap();
    wait_notified(&desk, "SIP/2.0 200").await;
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        only_transfer(&record)["outcome"],
        "bridged",
        "{}",
        pretty(&record)
    );
    asterisk.wait_channels(0, SOON).await;
}

/// A phone of the PBX sends our extension on to another one of ours: the PBX calls it over the trunk
/// and joins the two.
#[tokio::test]
async fn a_phone_of_the_pbx_sends_an_extension_on() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let (desk, sales) = (
        extension(&gateway, "2001").await,
        extension(&gateway, "2005").await,
    );
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    let to = format!("<{}>", at_pbx(&asterisk, "2005"));
    call.request("REFER", &[("Refer-To", &to)], None);
    let target = sales.incoming(0, SOON).await.unwrap();
    target.wait_answered(SOON).await.unwrap();
    target.play_tone(C_HZ);
    hears(&answered, C_HZ).await;
    hears(&target, B_HZ).await;
    wait_notified(&phone, "SIP/2.0 200").await;
    call.start_hangup();
    target.hangup().await.unwrap();
    answered.wait_ended(SOON).await.unwrap();
    all_ended(&gateway.api().await, 2).await;
    asterisk.wait_channels(0, SOON).await;
}

/// A phone of the PBX asks the other one first. The PBX joins them itself: our leg stays.
#[tokio::test]
async fn a_phone_of_the_pbx_hands_an_extension_over_after_asking() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let desk = extension(&gateway, "2001").await;
    let phone = pbx_phone(&asterisk, "301").await;
    let other = pbx_phone(&asterisk, "302").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    call.hold().await.unwrap();
    let asked = phone.dial(&at_pbx(&asterisk, "302")).await.unwrap();
    asked.wait_answered(SOON).await.unwrap();
    let target = other.incoming(0, SOON).await.unwrap();
    target.play_tone(C_HZ);
    hears(&asked, C_HZ).await;
    let to = replacing_last(&phone, &at_pbx(&asterisk, "302"));
    call.request("REFER", &[("Refer-To", &to)], None);
    wait_notified(&phone, "SIP/2.0 200").await;
    call.start_hangup();
    hears(&answered, C_HZ).await;
    hears(&target, B_HZ).await;
    answered.hangup().await.unwrap();
    target.wait_ended(SOON).await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        record["legs"].as_array().map(Vec::len),
        Some(2),
        "{}",
        pretty(&record)
    );
    asterisk.wait_channels(0, SOON).await;
}

/// A phone of the PBX has two of our extensions, one in each call over the trunk, and joins them.
#[tokio::test]
async fn a_phone_of_the_pbx_joins_two_extensions() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let (desk, sales) = (
        extension(&gateway, "2001").await,
        extension(&gateway, "2005").await,
    );
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    call.hold().await.unwrap();
    let asked = phone.dial(&at_pbx(&asterisk, "2005")).await.unwrap();
    asked.wait_answered(SOON).await.unwrap();
    let target = sales.incoming(0, SOON).await.unwrap();
    target.play_tone(C_HZ);
    hears(&asked, C_HZ).await;
    let to = replacing_last(&phone, &at_pbx(&asterisk, "2005"));
    call.request("REFER", &[("Refer-To", &to)], None);
    wait_notified(&phone, "SIP/2.0 200").await;
    call.start_hangup();
    hears(&answered, C_HZ).await;
    hears(&target, B_HZ).await;
    answered.hangup().await.unwrap();
    target.wait_ended(SOON).await.unwrap();
    all_ended(&gateway.api().await, 2).await;
    asterisk.wait_channels(0, SOON).await;
}

/// Our extension asks a colleague first; its caller came over the trunk.
#[tokio::test]
async fn an_extension_hands_its_caller_from_the_pbx_over_after_asking() {
    let (gateway, asterisk) = start_mute(|toml| toml).await;
    let (desk, sales) = (
        extension(&gateway, "2001").await,
        extension(&gateway, "2005").await,
    );
    let phone = pbx_phone(&asterisk, "301").await;
    let (call, answered) = talking(&asterisk, &phone, &desk).await;
    answered.hold().await.unwrap();
    let colleague = format!("sip:2005@{}", gateway.sip());
    let asked = desk.dial(&colleague).await.unwrap();
    asked.wait_answered(SOON).await.unwrap();
    let target = sales.incoming(0, SOON).await.unwrap();
    target.play_tone(C_HZ);
    hears(&asked, C_HZ).await;
    let to = replacing_last(&desk, &colleague);
    answered.request("REFER", &[("Refer-To", &to)], None);
    hears(&call, C_HZ).await;
    hears(&target, A_HZ).await;
    answered.wait_ended(SOON).await.unwrap();
    asked.wait_ended(SOON).await.unwrap();
    wait_notified(&desk, "SIP/2.0 200").await;
    assert_eq!(sales.received("INVITE").len(), 1, "{}", sales.ladder());
    call.hangup().await.unwrap();
    target.wait_ended(SOON).await.unwrap();
    all_ended(&gateway.api().await, 2).await;
    asterisk.wait_channels(0, SOON).await;
}
