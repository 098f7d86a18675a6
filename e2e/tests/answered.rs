//! The main job: a caller asks for a human, the human's phone rings once, both hear each other.

use std::time::Duration;

use serde_json::Value;
use switchhook_e2e::api::{only_attempt, only_transfer, pretty, told, understood};
use switchhook_e2e::baresip::{Baresip, BaresipConfig};
use switchhook_e2e::gateway::{Gateway, GatewaySettings};
use switchhook_e2e::{audio, speech as recogniser};
use switchhook_lab::audio::{Audio, speech, tone, wav};
use switchhook_lab::phone::{PhoneCall, PhoneEvent};

use crate::common::*;

/// How long the tones are exchanged.
const TALK_MS: u64 = 3_000;

enum Request<'a> {
    Says(&'a str),
    Presses(&'a str),
}

/// The whole story for a caller on the lab's phone; returns the call's record.
async fn caller_meets_human(gateway: &Gateway, request: Request<'_>, language: &str) -> Value {
    let human = HumanPhone::answering(gateway).await;
    meet(gateway, human, request, language).await
}

async fn meet(
    gateway: &Gateway,
    mut human: HumanPhone,
    request: Request<'_>,
    language: &str,
) -> Value {
    let phone = caller().await;
    let call = greeted(&phone, gateway).await;
    let greeting_ms = call.now_ms();
    match request {
        Request::Says(file) => say(&call, &audio(file)).await,
        Request::Presses(digits) => call.send_digits(digits),
    }
    if human.answers_by_hand {
        human.rings().await;
        wait_ringing_tone(&call, call.now_ms()).await;
        human.baresip.accept().await;
    }
    human
        .baresip
        .wait_event("CALL_ESTABLISHED", 1, ANSWER)
        .await;
    // The tone goes on from here to the end: where it is heard is for the gateway to decide.
    call.play_tone(CALLER_HZ);
    call.wait_tone(HUMAN_HZ, greeting_ms, TALK_MS, ANSWER)
        .await
        .unwrap();
    let hung_up_ms = call.now_ms();
    call.hangup().await.unwrap();
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;

    let record = gateway.api().await.ended_call(ENDED).await;
    human.assert_rang_once();
    assert_bridged(&record);
    assert_heard_only_while_bridged(&call, greeting_ms, hung_up_ms);
    assert_steady_tone(&human.baresip.heard(0), CALLER_HZ);
    assert_greeting_was_heard(
        &call.heard().audio.window(0, greeting_ms),
        &record,
        language,
    )
    .await;
    human.baresip.kill().await;
    record
}

fn assert_bridged(record: &Value) {
    assert_eq!(
        only_transfer(record)["outcome"],
        "bridged",
        "{}",
        pretty(record)
    );
    let attempt = only_attempt(record);
    assert_eq!(attempt["result"], "answered", "{}", pretty(record));
    assert!(attempt["target"].to_string().contains("2001"), "{attempt}");
    assert_eq!(
        record["outcome"]["code"],
        "transferred",
        "{}",
        pretty(record)
    );
}

/// The human's tone is in the caller's recording after the request and before the hang-up, in one
/// piece, with more than 80 % of the energy, and nothing is heard after the hang-up.
fn assert_heard_only_while_bridged(call: &PhoneCall, from_ms: u64, to_ms: u64) {
    let heard = call.heard();
    let found = tone::find(&heard.audio, HUMAN_HZ, tone::PRESENT);
    let first = found.first().expect("the tone was waited for").from_ms;
    let last = found.last().expect("the tone was waited for").to_ms;
    assert!(
        first > from_ms && last <= to_ms + 300,
        "{found:?} not in {from_ms}..{to_ms}"
    );
    assert_steady_tone(&heard.audio.window(first, last), HUMAN_HZ);
    let late = heard.packets_after(Duration::from_millis(to_ms + 1_000));
    assert_eq!(late, 0, "packets after the hang-up");
}

/// Between its first and last occurrence the tone holds more than 80 % of the energy.
fn assert_steady_tone(audio: &Audio, hz: f64) {
    let found = tone::find(audio, hz, tone::PRESENT);
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        panic!("no tone of {hz} Hz in {} ms of audio", audio.duration_ms());
    };
    let part = audio.window(first.from_ms, last.to_ms);
    let share = tone::energy_share(&part.samples, part.rate_hz, hz);
    assert!(
        share > 0.8,
        "{hz} Hz has {share:.2} of the energy in {first:?}..{last:?}"
    );
    assert!(
        part.duration_ms() >= TALK_MS - 500,
        "only {} ms of {hz} Hz",
        part.duration_ms()
    );
}

async fn assert_greeting_was_heard(heard: &Audio, record: &Value, language: &str) {
    let first = record["turns"][0]["text"].as_str().unwrap_or("").to_owned();
    let text = recogniser::text_of(heard, language).await;
    let share = words_in_common(&first, &text);
    assert!(share > 0.5, "greeting \"{first}\" was heard as \"{text}\"");
}

#[tokio::test]
async fn a_caller_asks_for_a_human_and_both_hear_each_other() {
    let gateway = GatewaySettings::demo().start().await;
    // This human lets it ring until the caller has heard the sentence and the ringing tone.
    let human = HumanPhone::ringing(&gateway).await;
    let record = meet(&gateway, human, Request::Says("human-a.wav"), "en").await;
    assert!(
        understood(&record).contains("human agent"),
        "{}",
        pretty(&record)
    );
    assert!(
        told(&record).contains("calling a colleague"),
        "{}",
        pretty(&record)
    );
    assert_recording(&gateway, &record).await;
}

/// The gateway's own recording: the caller on the left, what they heard on the right; byte ranges.
async fn assert_recording(gateway: &Gateway, record: &Value) {
    let api = gateway.api().await;
    let path = format!("/api/calls/{}/recording", record["id"].as_str().unwrap());
    let (status, bytes) = api.bytes(&path, None).await;
    assert_eq!(status, 200, "{}", pretty(record));
    let file = gateway.dir().join("recording.wav");
    std::fs::write(&file, &bytes).unwrap();
    let channels = wav::read_channels(&file).unwrap();
    assert_eq!(channels.len(), 2);
    assert!(tone::present_ms(&channels[0], CALLER_HZ) >= TALK_MS - 500);
    assert!(tone::present_ms(&channels[1], HUMAN_HZ) >= TALK_MS - 500);
    assert_eq!(tone::present_ms(&channels[0], HUMAN_HZ), 0);
    assert_eq!(tone::present_ms(&channels[1], CALLER_HZ), 0);
    let (status, part) = api.bytes(&path, Some("bytes=100-199")).await;
    assert_eq!((status, part.as_slice()), (206, &bytes[100..200]));
}

#[tokio::test]
async fn another_voice_is_understood_as_well() {
    let gateway = GatewaySettings::demo().start().await;
    caller_meets_human(&gateway, Request::Says("human-b.wav"), "en").await;
}

#[tokio::test]
async fn the_same_in_german() {
    let gateway = GatewaySettings::demo().language("de").start().await;
    let record = caller_meets_human(&gateway, Request::Says("mensch-de.wav"), "de").await;
    assert!(
        understood(&record).contains("mitarbeiter"),
        "{}",
        pretty(&record)
    );
}

#[tokio::test]
async fn zero_on_the_keypad_is_a_request_for_a_human() {
    let gateway = GatewaySettings::demo().start().await;
    caller_meets_human(&gateway, Request::Presses("0"), "en").await;
}

/// Both ends are baresip: the caller is the registered extension 2005 with a microphone that says
/// the phrase and then sounds a tone, and each recording is baresip's own.
#[tokio::test]
async fn a_registered_softphone_calls_and_meets_the_human() {
    let gateway = GatewaySettings::demo().start().await;
    let mut human = HumanPhone::answering(&gateway).await;
    let mut microphone = Audio::phone(vec![0; 8_000 * 12]);
    microphone
        .samples
        .extend(wav::read_phone(&audio("human-a.wav")).unwrap().samples);
    let tone_at = microphone.duration_ms() + 4_000;
    microphone = microphone.padded(4_000);
    microphone
        .samples
        .extend(tone::sine(CALLER_HZ, 60_000).samples);
    let config = BaresipConfig::with_microphone("2005", gateway.sip(), microphone);
    let mut caller = Baresip::start(config).await;
    caller.dial(&gateway.assistant()).await;
    caller.wait_event("CALL_ESTABLISHED", 1, SOON).await;
    human
        .baresip
        .wait_event("CALL_ESTABLISHED", 1, ANSWER)
        .await;
    hears_in_all(&human.baresip, 0, CALLER_HZ, TALK_MS, ANSWER).await;
    human.baresip.hangup().await;
    caller.wait_event("CALL_CLOSED", 1, ANSWER).await;
    let record = gateway.api().await.ended_call(ENDED).await;
    human.assert_rang_once();
    assert_bridged(&record);
    assert_steady_tone(&human.baresip.heard(0), CALLER_HZ);
    let heard = caller.heard(0);
    assert_steady_tone(&heard, HUMAN_HZ);
    let found = tone::find(&heard, HUMAN_HZ, tone::PRESENT);
    assert!(
        found[0].from_ms + 8_000 > tone_at,
        "the human's tone before the request: {found:?}"
    );
    assert!(
        record["caller"].to_string().contains("2005"),
        "{}",
        pretty(&record)
    );
}

/// A caller over TCP with A-law: another transport and codec than the human's phone.
#[tokio::test]
async fn a_caller_over_tcp_with_another_codec() {
    use switchhook_lab::audio::g711::Law;
    use switchhook_lab::phone::{Phone, PhoneConfig, Transport};
    let gateway = GatewaySettings::demo().start().await;
    let human = HumanPhone::answering(&gateway).await;
    let config = PhoneConfig::new("2005")
        .server(gateway.sip())
        .password("demo-2005")
        .transport(Transport::Tcp)
        .laws(&[Law::A]);
    let phone = Phone::start(config).await.unwrap();
    phone.register().await.unwrap();
    let call = phone.dial(&gateway.assistant()).await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.wait_speech_ended(0, 500, PAUSE_MS, ANSWER)
        .await
        .unwrap();
    call.send_digits("0");
    human
        .baresip
        .wait_event("CALL_ESTABLISHED", 1, ANSWER)
        .await;
    call.play_tone(CALLER_HZ);
    let from = call.now_ms();
    let heard = call
        .wait_tone(HUMAN_HZ, from, TALK_MS, ANSWER)
        .await
        .unwrap();
    assert_eq!(
        heard.payload_types.iter().copied().collect::<Vec<_>>(),
        [8],
        "A-law throughout"
    );
    // The human's phone is put on hold and taken back by the caller.
    let held = call.hold().await.unwrap();
    assert!(
        matches!(held, PhoneEvent::ReInviteAnswered { status: 200, .. }),
        "{held:?}"
    );
    call.wait_heard(
        "silence while on hold",
        |h| speech::silent_since_ms(&h.audio).is_some_and(|ms| ms >= 1_000),
        SOON,
    )
    .await
    .unwrap();
    let resumed = call.resume().await.unwrap();
    assert!(
        matches!(resumed, PhoneEvent::ReInviteAnswered { status: 200, .. }),
        "{resumed:?}"
    );
    call.wait_tone(HUMAN_HZ, call.now_ms(), 1_000, ANSWER)
        .await
        .unwrap();
    call.hangup().await.unwrap();
    human.baresip.wait_event("CALL_CLOSED", 1, SOON).await;
    assert_bridged(&gateway.api().await.ended_call(ENDED).await);
    human.assert_rang_once();
}
