//! What the carrier records is fetched, kept once, and played by whoever may hear calls.

use switchhook_e2e::api::pretty;
use switchhook_lab::audio::{Audio, tone, wav};
use switchhook_lab::carrier::{Behaviour, Pace, RestFault, Then};

use crate::common::*;
use crate::twilio_line::*;

/// Milliseconds each party sounds a tone.
const TONE_MS: u64 = 2_000;

/// The recording the API offers, as soon as it is there: one list of samples for each channel.
async fn recording(line: &Line, call: &serde_json::Value) -> Vec<Audio> {
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
