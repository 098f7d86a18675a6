//! What RTCP tells of a call, against baresip's own; and the alarm for audio that flows one way.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::pretty;
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::phone::PhoneCall;

use crate::common::*;

/// For two reports of each side: they are 2 to 6 s apart.
const REPORTS: Duration = Duration::from_secs(40);

/// Guests and extension 2001, whose media is protected or not.
async fn gateway(srtp: &str) -> Gateway {
    GatewaySettings::media(&format!(
        "mode = \"demo\"\n[sip]\nloopback_guests = true\n\
         [extensions.2001]\npassword = \"demo-2001\"\nsrtp = \"{srtp}\"\n\
         [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n"
    ))
    .start()
    .await
}

/// A caller on the lab's phone and baresip as extension 2001, talking.
async fn talking(
    gateway: &Gateway,
    media_encryption: Option<&'static str>,
) -> (Baresip, PhoneCall) {
    let mut config = BaresipConfig::with_tone("2001", gateway.sip(), HUMAN_HZ);
    config.media_encryption = media_encryption;
    let human = Baresip::start(config).await;
    let phone = caller().await;
    let call = phone
        .dial(&format!("sip:2001@{}", gateway.sip()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    human.wait_event("CALL_ESTABLISHED", 1, SOON).await;
    call.play_tone(CALLER_HZ);
    (human, call)
}

fn leg<'a>(record: &'a Value, party: &str) -> &'a Value {
    record["legs"]
        .as_array()
        .and_then(|legs| legs.iter().find(|leg| leg["party"] == party))
        .unwrap_or_else(|| panic!("no {party} in\n{}", pretty(record)))
}

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| value > 0.0)
}

/// Both sides count packets, lose none on loopback, and know the round trip; over plain RTCP and
/// over SRTCP.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_call_report_about_it() {
    for (srtp, media_encryption) in [("off", None), ("required", Some("srtp-mand"))] {
        let gateway = gateway(srtp).await;
        let (mut human, call) = talking(&gateway, media_encryption).await;
        let theirs = until("a complete report of baresip", REPORTS, async || {
            let reports = human.events("CALL_RTCP");
            let is_complete = |stats: &&Value| {
                positive(&stats["rtt"])
                    && positive(&stats["tx"]["sent"])
                    && positive(&stats["rx"]["sent"])
            };
            let mut all = reports.iter().map(|(_, event)| &event["rtcp_stats"]);
            let complete = all.find(is_complete).cloned();
            complete.ok_or_else(|| format!("{srtp}: {reports:?}"))
        })
        .await;
        call.hangup().await.unwrap();
        human.wait_event("CALL_CLOSED", 1, SOON).await;
        let record = gateway.api().await.ended_call(ENDED).await;
        let media = &leg(&record, "agent")["media"];
        for figure in ["packets_received", "packets_sent", "round_trip_ms", "mos"] {
            assert!(positive(&media[figure]), "{figure} in\n{}", pretty(&record));
        }
        assert!(positive(&media["far"]["reports"]), "{media}");
        assert_eq!(media["lost"], 0, "on loopback");
        assert_eq!(media["far"]["lost"], 0);
        assert_eq!(theirs["rx"]["lost"], 0, "baresip says the same: {theirs}");
        assert_eq!(media["alarms"].as_array().map(Vec::len), Some(0));
        assert_eq!(
            media["srtp"].is_null(),
            media_encryption.is_none(),
            "{media}"
        );
        // The lab's phone sends no RTCP here: nothing is made up for it.
        assert!(leg(&record, "caller")["media"]["far"].is_null());
        human.kill().await;
    }
}

/// A caller whose packets stop, as behind a NAT that forgot: told while the call runs, cleared
/// when they come again, and never on hold.
#[tokio::test(flavor = "multi_thread")]
async fn audio_that_flows_one_way_is_told_until_it_returns() {
    let gateway = gateway("off").await;
    let api = gateway.api().await;
    let (mut human, call) = talking(&gateway, None).await;
    let alarms = |record: &Value| leg(record, "caller")["media"]["alarms"].clone();
    call.set_sending_rtp(false);
    let record = api
        .wait_call("an alarm", ANSWER, |record| {
            alarms(record)[0]["kind"] == "nothing_heard"
        })
        .await;
    assert_eq!(alarms(&record)[0]["reason"], "nothing_arrives");
    call.set_sending_rtp(true);
    api.wait_call("no alarm", ANSWER, |record| {
        alarms(record).as_array().is_some_and(Vec::is_empty)
    })
    .await;
    call.hold().await.unwrap();
    call.set_sending_rtp(false);
    let held = human.events("CALL_RTCP").len();
    human.wait_event("CALL_RTCP", held + 2, REPORTS).await;
    call.resume().await.unwrap();
    call.hangup().await.unwrap();
    human.wait_event("CALL_CLOSED", 1, SOON).await;
    let record = api.ended_call(ENDED).await;
    let id = record["id"].as_str().unwrap();
    let events = api.get(&format!("/api/calls/{id}/events?limit=500")).await;
    let count = |name: &str| {
        events["items"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|e| e["label"] == name).count())
    };
    assert_eq!(
        (count("one_way_audio"), count("audio_resumed")),
        (1, 1),
        "not on hold, not before the answer: {}",
        pretty(&events)
    );
    human.kill().await;
}
