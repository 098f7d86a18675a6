//! A gateway that a number of the lab's carrier leads to, with what its tests share.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::{audio, ports};
use switchhook_lab::audio::{Audio, speech, wav};
use switchhook_lab::carrier::{Carrier, CarrierConfig, Number, Party};

use crate::common::{ANSWER, ENDED, PAUSE_MS};

/// What was under way when a process died, a notice or a fetch, is taken again after a minute or two, and
/// a call of which nothing is heard is looked up after three quarters of one.
pub const AFTER_LEASE: Duration = Duration::from_secs(240);
/// The account's number.
pub const OURS: &str = "+493023125000";
/// Who calls.
pub const CALLER: &str = "+12025550142";
/// Who gets text messages.
pub const STAFF: &str = "+493023125190";
/// Where the receptionist's callers are passed on to.
pub const HUMAN: &str = "+493023125101";
/// Where the demo's callers are passed on to.
pub const EXTENSION: &str = "sip:2001@pbx.example.com";
/// The gateway's public address.
pub const HOST: &str = "https://gw.example.com";

/// A house with a front desk, without what it does with its callers.
const HOUSE: &str = r#"
mode = "demo"
time_zone = "Europe/Berlin"
language = "en"
[assistant]
name = "Clara"
company = "Example Hotel"
brain = "scripted"
[extensions.2001]
password = "demo-2001"
[users.demo]
password = "demo"
role = "admin"
"#;

/// A gateway known to a carrier under a public address.
pub struct Line {
    pub gateway: Gateway,
    pub carrier: Carrier,
}

/// `settings` on top of a gateway that the carrier's number leads to.
pub async fn line(settings: GatewaySettings, change: impl FnOnce(&mut CarrierConfig)) -> Line {
    let port = ports::free();
    line_by(settings, port, ([127, 0, 0, 1], port).into(), change).await
}

/// The same with something between the carrier and the gateway, which listens at `port`.
pub async fn line_by(
    settings: GatewaySettings,
    port: u16,
    between: SocketAddr,
    change: impl FnOnce(&mut CarrierConfig),
) -> Line {
    let carrier = carrier(vec![between], change).await;
    let gateway = known_to(settings, port, &carrier).start().await;
    Line { gateway, carrier }
}

/// A carrier whose number leads to these addresses, in turn.
pub async fn carrier(to: Vec<SocketAddr>, change: impl FnOnce(&mut CarrierConfig)) -> Carrier {
    let number = Number::new(OURS, &format!("{HOST}/twilio/voice"))
        .fallback(&format!("{HOST}/twilio/error"))
        .status_callback(&format!("{HOST}/twilio/status"));
    let mut config = CarrierConfig {
        numbers: vec![number],
        ..CarrierConfig::default()
    };
    config.offload.insert(HOST.to_owned(), to);
    change(&mut config);
    Carrier::start(config).await.unwrap()
}

/// What a gateway has to know of the carrier.
pub fn known_to(settings: GatewaySettings, port: u16, carrier: &Carrier) -> GatewaySettings {
    settings
        .env("SWITCHHOOK_HTTP_BIND", format!("127.0.0.1:{port}"))
        .env("SWITCHHOOK_PUBLIC_URL", HOST)
        .env("SWITCHHOOK_TWILIO_API_URL", carrier.url())
        .env("TWILIO_ACCOUNT_SID", carrier.account_sid())
        .env("TWILIO_AUTH_TOKEN", CarrierConfig::default().auth_token)
        .env("TWILIO_PHONE_NUMBER", OURS)
        .env("FREEPBX_DOMAIN", "pbx.example.com")
}

/// The demo's assistant with the carrier's ears and mouth.
pub fn gather() -> GatewaySettings {
    GatewaySettings::demo()
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
}

/// A house that these sections of its configuration tell what to do with callers.
pub fn house(sections: &str) -> GatewaySettings {
    GatewaySettings::media(&format!("{HOUSE}{sections}"))
}

/// Callers and agents meet in a conference.
pub fn in_rooms(settings: GatewaySettings) -> GatewaySettings {
    settings.env("SWITCHHOOK_TWILIO_TRANSFER", "conference")
}

impl Line {
    /// Everything the carrier says was wrong with what we sent, and what the judge found.
    pub async fn is_clean(&self, call: &Value) {
        let log = self.carrier.log();
        assert!(log.problems.is_empty(), "{:#?}", log.problems);
        assert_eq!(
            call["violations"],
            serde_json::json!([]),
            "{}",
            pretty(call)
        );
    }

    /// The only call, judged and stored.
    pub async fn ended(&self) -> Value {
        self.gateway.api().await.ended_call(ENDED).await
    }
}

/// The German receptionist, who talks by `gather` or `stream` and passes callers on to [`HUMAN`].
pub fn receptionist(talk: &str) -> GatewaySettings {
    let settings = match talk {
        "gather" => gather(),
        _ => GatewaySettings::demo(),
    };
    settings
        .language("de")
        .ring_timeout_s(25)
        .env("SWITCHHOOK_TWILIO_TALK", talk)
        .env("DEFAULT_FORWARD_NUMBER", HUMAN)
}

/// A caller of [`gather`] who asks for a human as soon as the assistant listens.
pub async fn wants_a_human(carrier: &Carrier, number: &str) -> Party {
    let caller = carrier.call_in(number, OURS).await.unwrap();
    caller.until_hears("How can I help", ANSWER).await.unwrap();
    caller.says("I would like to speak to a human please");
    caller
}

/// The same at the [`receptionist`].
pub async fn wants_a_human_in_german(carrier: &Carrier, number: &str) -> Party {
    let caller = carrier.call_in(number, OURS).await.unwrap();
    caller.until_hears("Clara", ANSWER).await.unwrap();
    caller.says("Ich möchte mit einem Menschen sprechen");
    caller
}

/// Somebody has spoken for so long, and is silent.
fn has_spoken(heard: &Audio, ms: u64) -> bool {
    let silent_ms = speech::silent_since_ms(heard);
    speech::speech_ms(heard) > ms && silent_ms.is_some_and(|silent| silent >= PAUSE_MS)
}

/// Over a media stream: listens until the greeting is over.
pub async fn hears_greeting(party: &Party) {
    party
        .until_audio("the greeting", ANSWER, |heard| has_spoken(heard, 1_500))
        .await
        .unwrap();
}

/// Over a media stream: plays a phrase and listens until the answer to it is over.
pub async fn asks_aloud(party: &Party, name: &str) {
    let phrase = wav::read_phone(&audio(name)).unwrap();
    let from = party.audio().duration_ms();
    party.plays_audio(&phrase);
    party
        .until_audio("an answer", ANSWER, |heard| {
            has_spoken(&heard.window(from, heard.duration_ms()), 500)
        })
        .await
        .unwrap();
}
