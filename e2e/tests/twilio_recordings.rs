//! What the carrier records is fetched, kept once, and played by whoever may hear calls.

use serde_json::{Value, json};
use switchhook_e2e::api::pretty;
use switchhook_e2e::audio;
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::audio::{Audio, tone, wav};
use switchhook_lab::carrier::{Behaviour, Heard, Pace, RestFault, Then};

use crate::common::*;
use crate::twilio_line::*;

/// Milliseconds each party sounds a tone.
const TONE_MS: u64 = 2_000;

/// The recording the API offers, as soon as it is there: one list of samples for each channel.
async fn recording(line: &Line, call: &Value) -> Vec<Audio> {
    let api = line.gateway.api().await;
    let path = format!("/api/calls/{}/recording", call["id"].as_str().unwrap());
    let bytes = until("the recording", ANSWER, async || {
        let (status, bytes) = api.bytes(&path, None).await;
        let text = || format!("{status} {}", String::from_utf8_lossy(&bytes));
        check(status == 200, text).map(|()| bytes.clone())
    })
    .await;
    let file = line.gateway.dir().join("fetched.wav");
    std::fs::write(&file, bytes).unwrap();
    wav::read_channels(&file).unwrap()
}

#[tokio::test]
async fn a_call_is_recorded_once_with_both_sides_and_fetched_when_the_carrier_can() {
    let line = line(gather(), |_| {}).await;
    let talks = Then::stays().by_hand();
    let agent = line
        .carrier
        .phone(EXTENSION, Behaviour::answers_then(talks));
    let caller = wants_a_human(&line.carrier, CALLER).await;
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    caller.plays_audio(&tone::sine(CALLER_HZ, TONE_MS));
    colleague.plays_audio(&tone::sine(HUMAN_HZ, TONE_MS));
    let hears = |hz| move |audio: &Audio| tone::present_ms(audio, hz) >= TONE_MS - 500;
    colleague
        .until_audio("the caller", ANSWER, hears(CALLER_HZ))
        .await
        .unwrap();
    caller
        .until_audio("the agent", ANSWER, hears(HUMAN_HZ))
        .await
        .unwrap();
    // The first tries to fetch it fail.
    line.carrier
        .rest_faults([RestFault::Status(503, 20_503), RestFault::Drop]);
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    let channels = recording(&line, &call).await;
    assert_eq!(channels.len(), 2);
    assert!(tone::present_ms(&channels[0], CALLER_HZ) >= TONE_MS - 500);
    assert!(tone::present_ms(&channels[1], HUMAN_HZ) >= TONE_MS - 500);
    assert_eq!(tone::present_ms(&channels[0], HUMAN_HZ), 0);
    assert_eq!(line.carrier.recordings().len(), 1, "recorded once");
    line.is_clean(&call).await;
}

/// A card number is not kept: an operator pauses, and the file holds silence for so long.
#[tokio::test]
async fn a_pause_is_silence_in_the_file() {
    const SECRET_HZ: f64 = 2_000.0;
    let line = line(gather(), |config| config.pace = Pace::real()).await;
    let talks = Then::stays().by_hand();
    let agent = line
        .carrier
        .phone(EXTENSION, Behaviour::answers_then(talks));
    let caller = wants_a_human(&line.carrier, CALLER).await;
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    // Until it is over: nothing of it is left for what comes then.
    let says = async |hz: f64| {
        caller.plays_audio(&tone::sine(hz, TONE_MS));
        let is_over = move |heard: &Audio| {
            let end = heard.duration_ms();
            let last = heard.window(end.saturating_sub(400), end);
            tone::present_ms(heard, hz) >= TONE_MS - 500 && tone::present_ms(&last, hz) == 0
        };
        colleague.until_audio("it", ANSWER, is_over).await.unwrap();
    };
    let api = line.gateway.api().await;
    let connected = |call: &Value| call["status"] == "with_agent";
    let call = api.wait_call("connected", ANSWER, connected).await;
    let order = |what: &str| {
        let id = call["id"].as_str().unwrap();
        format!("/api/calls/{id}/recording/{what}")
    };
    says(CALLER_HZ).await;
    let (status, body) = api.try_post(&order("pause"), &json!({})).await;
    assert_eq!(status, 202, "{body}");
    says(SECRET_HZ).await;
    let (status, body) = api.try_post(&order("resume"), &json!({})).await;
    assert_eq!(status, 202, "{body}");
    says(HUMAN_HZ).await;
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let ended = line.ended().await;
    let (status, body) = api.try_post(&order("pause"), &json!({})).await;
    assert_eq!(status, 409, "it is over: {body}");
    let channels = recording(&line, &ended).await;
    let heard = |hz| tone::present_ms(&channels[0], hz);
    let kept = [CALLER_HZ, SECRET_HZ, HUMAN_HZ].map(heard);
    assert!(
        kept[0] >= TONE_MS - 500 && kept[1] == 0 && kept[2] >= TONE_MS - 500,
        "{kept:?}"
    );
    assert!(
        channels[0].duration_ms() >= 3 * (TONE_MS - 500),
        "times still fit: {} ms",
        channels[0].duration_ms()
    );
    line.is_clean(&ended).await;
}

/// What was said in a message follows the notice that there is one, and both its sound and its words are
/// kept.
#[tokio::test]
async fn the_words_of_a_message_follow_its_notice() {
    let with_ears = GatewaySettings::demo();
    let line = line(with_ears, |config| config.pace = Pace::real()).await;
    line.carrier.phone(EXTENSION, Behaviour::Busy);
    let caller = wants_a_human(&line.carrier, CALLER).await;
    caller.until_hears("leave a message", ANSWER).await.unwrap();
    until("the beep", ANSWER, async || {
        let heard = caller.heard();
        check(heard.contains(&Heard::Beep), || format!("{heard:?}"))
    })
    .await;
    caller.plays_audio(&wav::read_phone(&audio("book-a.wav")).unwrap());
    caller.stays_silent();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(
        call["outcome"]["code"],
        "message_taken",
        "{}",
        pretty(&call)
    );
    let api = line.gateway.api().await;
    let texts = until("the words", AFTER_LEASE, async || {
        let texts: Vec<String> = api
            .messages()
            .await
            .iter()
            .map(|message| message["text"].as_str().unwrap_or_default().to_owned())
            .collect();
        check(texts.len() >= 2, || format!("{texts:?}")).map(|()| texts.clone())
    })
    .await;
    let (words, notice) = (&texts[0], &texts[1]);
    assert!(notice.contains("spoken message"), "{texts:?}");
    assert!(words.contains(CALLER), "{texts:?}");
    let share = words_in_common("Book a table for two tomorrow at seven", words);
    assert!(share >= 0.5, "{share} of it in {words}");
    line.is_clean(&call).await;
}

/// The message is in the call's recording, which is the one that is shown.
#[tokio::test]
async fn a_message_does_not_hide_the_call_and_a_crash_loses_neither() {
    // At its real pace a call is longer than a message in it.
    let mut line = line(gather(), |config| config.pace = Pace::real()).await;
    line.carrier.phone(EXTENSION, Behaviour::Busy);
    let caller = wants_a_human(&line.carrier, CALLER).await;
    caller.until_hears("leave a message", ANSWER).await.unwrap();
    caller.says("Please call me back tomorrow");
    // Nothing is fetched before the process dies.
    line.carrier
        .rest_faults(std::iter::repeat_n(RestFault::Drop, 3));
    caller.stays_silent();
    caller.ended(ANSWER).await.unwrap();
    line.carrier.until_quiet(ANSWER).await.unwrap();
    line.gateway.kill_9().await;
    line.gateway.start_again().await;
    let call = line.ended().await;
    assert_eq!(
        call["outcome"]["code"],
        "message_taken",
        "{}",
        pretty(&call)
    );
    let made = line.carrier.recordings();
    assert_eq!(made.len(), 2, "the call and the message: {made:#?}");
    let api = line.gateway.api().await;
    let id = call["id"].as_str().unwrap();
    until("both to be fetched", AFTER_LEASE, async || {
        let kept = std::fs::read_dir(line.gateway.data_dir().join("recordings"));
        let kept = kept.map_or(0, |all| {
            let wav =
                |file: &std::fs::DirEntry| file.path().extension().is_some_and(|e| e == "wav");
            all.flatten().filter(wav).count()
        });
        let shown = api.call(id).await["recording"].clone();
        check(kept == 2 && shown["state"] == "ready", || {
            format!("{kept} {shown}")
        })
    })
    .await;
    assert_eq!(recording(&line, &call).await.len(), 2, "the call's");
}
