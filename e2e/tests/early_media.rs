//! What a caller hears of the called party's network before the answer (RFC 3960): a lab phone as
//! the carrier of a trunk, and Asterisk.

use std::time::Duration;

use serde_json::json;
use switchhook_e2e::api::{Api, only_attempt, only_transfer, pretty};
use switchhook_e2e::asterisk::{EARLY_BUSY_NUMBER, EARLY_HZ, EARLY_NUMBER, TONE_HZ};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_lab::audio::{Audio, tone};
use switchhook_lab::phone::{Faults, OnCall, Phone, PhoneCall, PhoneConfig};

use crate::common::*;
use crate::pbx;

/// Of our own ringing tone.
const RINGBACK_HZ: f64 = 425.0;
/// What the carrier plays before the answer.
const ANNOUNCED_HZ: f64 = 2_000.0;
/// A number that goes over the trunk.
const NUMBER: &str = "+493023125801";

/// A carrier that does what the test says, the gateway with a trunk to it, and a caller with the
/// assistant.
struct Scene {
    gateway: Gateway,
    api: Api,
    carrier: Phone,
    call: PhoneCall,
    id: String,
}

impl Scene {
    async fn start(carrier: PhoneConfig, trunk: &str) -> Self {
        let carrier = Phone::start(carrier.on_call(OnCall::Manual)).await.unwrap();
        let gateway = GatewaySettings::media(&format!(
            "mode = \"demo\"\n[sip]\nloopback_guests = true\n\
             [extensions.2001]\npassword = \"demo-2001\"\n\
             [trunks.carrier]\ntermination = \"{}\"\nqualify_s = 0\n\
             caller_id = \"+493023125000\"\n{trunk}\n\
             [outbound]\nallowed_prefixes = [\"+49\"]\n\
             [transfer]\nring_timeout_s = 60\n\
             [transfer.departments]\nsales = [\"{NUMBER}\", \"2001\"]\n\
             [users.demo]\npassword = \"demo\"\nrole = \"admin\"\n",
            carrier.local()
        ))
        .start()
        .await;
        let call = caller().await.dial(&gateway.assistant()).await.unwrap();
        call.wait_answered(SOON).await.unwrap();
        let api = gateway.api().await;
        let record = api
            .wait_call("the assistant", SOON, |one| one["status"] == "assistant")
            .await;
        Self {
            id: record["id"].as_str().unwrap().to_owned(),
            gateway,
            api,
            carrier,
            call,
        }
    }

    /// An operator transfers the caller; the carrier's first call.
    async fn transferred(&self, to: serde_json::Value) -> PhoneCall {
        let path = format!("/api/calls/{}/transfer", self.id);
        let (status, body) = self.api.try_post(&path, &to).await;
        assert_eq!(status, 202, "{body}");
        self.carrier.incoming(0, SOON).await.unwrap()
    }

    /// Whether the call's facts have early media.
    async fn has_early_media(&self) -> bool {
        let path = format!("/api/calls/{}/events?limit=500", self.id);
        has_fact(&self.api.get(&path).await, "leg_early_media")
    }

    async fn is_bridged(&self) {
        self.call.hangup().await.unwrap();
        let record = self.api.ended_call(ENDED).await;
        let outcome = &only_transfer(&record)["outcome"];
        assert_eq!(outcome, "bridged", "{}", pretty(&record));
    }
}

/// What a call heard from then on.
fn since(call: &PhoneCall, from_ms: u64) -> Audio {
    let audio = call.heard().audio;
    audio.window(from_ms, audio.duration_ms())
}

/// The caller hears the carrier before the answer, the carrier nothing; after it they hear each
/// other, and what was heard before goes on.
#[tokio::test]
async fn the_caller_hears_the_carrier_before_the_answer_and_not_the_other_way() {
    let scene = Scene::start(PhoneConfig::new("carrier"), "").await;
    let call = &scene.call;
    let rung = scene.transferred(json!({ "target": NUMBER })).await;
    rung.ring();
    call.wait_tone(RINGBACK_HZ, 0, 500, SOON).await.unwrap();
    rung.play_tone(ANNOUNCED_HZ);
    call.play_tone(CALLER_HZ);
    rung.progress();
    call.wait_tone(ANNOUNCED_HZ, 0, 500, SOON).await.unwrap();
    let from = call.now_ms();
    // Longer than a round of the ringing tone.
    call.wait_tone(ANNOUNCED_HZ, from, 5_500, ANSWER)
        .await
        .unwrap();
    let ours = tone::present_ms(&since(call, from), RINGBACK_HZ);
    assert_eq!(ours, 0, "our ringing tone is off");
    let heard = rung.heard();
    let packets = heard.arrivals.len();
    assert!(packets > 100, "{packets} packets open a NAT");
    let leaked = tone::present_ms(&heard.audio, CALLER_HZ);
    assert_eq!(leaked, 0, "nobody has answered");
    assert!(scene.has_early_media().await);

    let answered_ms = call.now_ms();
    rung.answer();
    hears(&rung, CALLER_HZ).await;
    call.wait_tone(ANNOUNCED_HZ, answered_ms, 1_000, SOON)
        .await
        .unwrap();
    let part = since(call, answered_ms);
    let (present, all) = (tone::present_ms(&part, ANNOUNCED_HZ), part.duration_ms());
    assert!(present * 5 >= all * 4, "{present} ms of {all} ms: a gap");
    scene.is_bridged().await;
    assert_eq!(scene.carrier.invites().len(), 1);
}

/// An announcement that ends in a refusal: our ringing tone again, for the next target.
#[tokio::test]
async fn a_refusal_after_early_media_goes_on_to_the_next_target() {
    let scene = Scene::start(PhoneConfig::new("carrier"), "").await;
    let human = PhoneConfig::new("2001")
        .server(scene.gateway.sip())
        .password("demo-2001")
        .on_call(OnCall::Manual);
    let human = Phone::start(human).await.unwrap();
    human.register().await.unwrap();
    let call = &scene.call;
    let rung = scene.transferred(json!({ "department": "sales" })).await;
    rung.play_tone(ANNOUNCED_HZ);
    rung.progress();
    call.wait_tone(ANNOUNCED_HZ, 0, 1_000, SOON).await.unwrap();
    rung.reject(486);
    let next = human.incoming(0, SOON).await.unwrap();
    next.ring();
    let from = call.now_ms();
    call.wait_tone(RINGBACK_HZ, from, 800, SOON).await.unwrap();
    // The rest of what was on its way may still come at first.
    let later = since(call, from + 1_000);
    assert_eq!(tone::present_ms(&later, ANNOUNCED_HZ), 0);
    next.play_tone(HUMAN_HZ);
    call.play_tone(CALLER_HZ);
    next.answer();
    hears(call, HUMAN_HZ).await;
    hears(&next, CALLER_HZ).await;
    scene.is_bridged().await;
    let record = scene.api.call(&scene.id).await;
    let attempts = &only_transfer(&record)["attempts"];
    assert_eq!(attempts[0]["result"], "busy", "{}", pretty(&record));
    assert_eq!(attempts[0]["sip_status"], 486);
}

/// A description that no audio follows, and a trunk whose early media is not wanted.
#[tokio::test]
async fn without_early_media_the_caller_hears_our_ringing_tone() {
    for (silent_rtp, trunk) in [(true, ""), (false, "early_media = false")] {
        let faults = Faults {
            silent_rtp,
            ..Faults::default()
        };
        let carrier = PhoneConfig::new("carrier").faults(faults);
        let scene = Scene::start(carrier, trunk).await;
        let call = &scene.call;
        let rung = scene.transferred(json!({ "target": NUMBER })).await;
        rung.play_tone(ANNOUNCED_HZ);
        rung.progress();
        call.wait_tone(RINGBACK_HZ, 0, 1_800, ANSWER).await.unwrap();
        let early = tone::present_ms(&call.heard().audio, ANNOUNCED_HZ);
        assert_eq!(early, 0, "silent: {silent_rtp}");
        assert!(!scene.has_early_media().await, "silent: {silent_rtp}");
        rung.answer();
        rung.wait_answered(SOON).await.unwrap();
        rung.set_sending_rtp(true);
        hears(call, ANNOUNCED_HZ).await;
        scene.is_bridged().await;
    }
}

/// Asterisk as the trunk: a tone before its answer, and another one after it.
#[tokio::test]
async fn asterisk_is_heard_before_its_answer() {
    let (gateway, asterisk) = pbx::start_mute(|toml| toml).await;
    let phone = pbx::pbx_phone(&asterisk, "301").await;
    let (call, _) = pbx::transferred(&gateway, &asterisk, &phone, EARLY_NUMBER).await;
    call.play_tone(pbx::A_HZ);
    call.wait_tone(EARLY_HZ, 0, 1_000, ANSWER).await.unwrap();
    call.wait_tone(TONE_HZ, 0, 2_000, ANSWER).await.unwrap();
    call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    let outcome = &only_transfer(&record)["outcome"];
    assert_eq!(outcome, "bridged", "{}", pretty(&record));
    asterisk.wait_channels(0, Duration::from_secs(15)).await;
    let found = tone::present_ms(&asterisk.heard(), pbx::A_HZ);
    assert!(found >= 1_000, "Asterisk heard {found} ms of the caller");
}

/// The same, and busy.
#[tokio::test]
async fn asterisk_is_busy_after_early_media() {
    let (gateway, asterisk) = pbx::start_mute(|toml| toml).await;
    let phone = pbx::pbx_phone(&asterisk, "301").await;
    let (call, id) = pbx::transferred(&gateway, &asterisk, &phone, EARLY_BUSY_NUMBER).await;
    call.wait_tone(EARLY_HZ, 0, 1_000, ANSWER).await.unwrap();
    let api = gateway.api().await;
    let record = api
        .wait_call("its attempt over", ANSWER, |one| {
            one["id"] == id.as_str() && one["transfers"][0]["attempts"][0]["result"] == "busy"
        })
        .await;
    assert_eq!(only_attempt(&record)["sip_status"], 486);
    call.hangup().await.unwrap();
    api.ended_call(ENDED).await;
}
