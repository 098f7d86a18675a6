//! Callers who have to give a PIN, against the real binary: by key and by voice, over documents and
//! over a media stream; and what is left of the digits, which is nothing.

use std::path::Path;

use switchhook_e2e::api::{pretty, told};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::audio::speech;
use switchhook_lab::carrier::{Behaviour, Pace};

use crate::common::*;
use crate::twilio_line::*;

const DIGITS: &str = "739164";

fn asks(settings: GatewaySettings) -> GatewaySettings {
    settings
        .env("ENABLE_VOICE_PIN", "true")
        .env("VOICE_PIN", DIGITS)
}

/// Every file below, read as it is.
fn files_with(directory: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(needle.len()).any(|w| w == needle.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn a_pin_by_key_or_voice_and_no_digit_is_kept() {
    for by_voice in [false, true] {
        let line = line(asks(gather()), |_| {}).await;
        let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
        caller.until_hears("PIN", ANSWER).await.unwrap();
        // Once wrong.
        caller.presses("111222#");
        caller
            .until_hears("PIN is not right", ANSWER)
            .await
            .unwrap();
        if by_voice {
            caller.says("my PIN is seven three nine one six four");
        } else {
            caller.presses(&format!("{DIGITS}#"));
        }
        caller.until_hears("Welcome back", ANSWER).await.unwrap();
        caller.says("goodbye");
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        assert_eq!(call["outcome"]["code"], "completed", "{}", pretty(&call));
        line.is_clean(&call).await;
        let log = line.gateway.log();
        assert!(
            !log.contains(DIGITS) && !log.contains("seven three"),
            "{log}"
        );
        let shown = call.to_string();
        assert!(
            !shown.contains(DIGITS) && !shown.contains("111222"),
            "{shown}"
        );
        assert!(!told(&call).contains("seven"), "{}", told(&call));
        for needle in [DIGITS, "seven three nine"] {
            let files = files_with(&line.gateway.data_dir(), needle);
            assert!(files.is_empty(), "{needle} is in {files:?}");
        }
        // What is recorded begins after it.
        let verbs = line.carrier.log();
        let asked = verbs
            .rest
            .iter()
            .position(|r| r.path.contains("/Recordings"));
        assert!(asked.is_some(), "the rest of the call is recorded");
    }
}

#[tokio::test]
async fn wrong_pins_lock_the_number_for_the_next_call_too() {
    let settings = asks(gather()).env("SWITCHHOOK_PIN_LOCK_AFTER", "4");
    let line = line(settings, |_| {}).await;
    let call_with = async |number: &str, keys: &[&str], ends: &str| {
        let caller = line.carrier.call_in(number, OURS).await.unwrap();
        caller.until_hears("PIN", ANSWER).await.unwrap();
        for keys in keys {
            caller.presses(keys);
        }
        caller.until_hears(ends, ANSWER).await.unwrap();
        caller.hangs_up();
        caller.ended(ANSWER).await.unwrap();
    };
    let wrong = ["1111#", "2222#", "3333#"];
    call_with(CALLER, &wrong, "too many wrong PINs").await;
    call_with(CALLER, &["4444#"], "too many wrong PINs").await;
    // No further one is compared, right or wrong.
    let right = format!("{DIGITS}#");
    call_with(CALLER, &[&right], "too many wrong PINs").await;
    call_with("+12025550143", &[&right], "Welcome back").await;
}

#[tokio::test]
async fn a_caller_without_a_pin_reaches_a_human() {
    let line = line(asks(gather()), |_| {}).await;
    let phone = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_hears("PIN", ANSWER).await.unwrap();
    caller.says("I would like to speak to a human please");
    let agent = phone.until_answered(0, ANSWER).await.unwrap();
    agent.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert_eq!(phone.rung(), 1, "exactly one dial");
    line.is_clean(&call).await;
}

/// Keys over a media stream, with our own voice asking.
#[tokio::test]
async fn a_pin_over_a_media_stream() {
    let settings = asks(receptionist("stream"));
    let line = line(settings, |config| config.pace = Pace::real()).await;
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_answered(ANSWER).await.unwrap();
    let silent_after = |least_ms: u64| {
        move |heard: &switchhook_lab::audio::Audio| {
            let silent_ms = speech::silent_since_ms(heard);
            speech::speech_ms(heard) > least_ms && silent_ms.is_some_and(|ms| ms >= PAUSE_MS)
        }
    };
    caller
        .until_audio("the question", ANSWER, silent_after(1_500))
        .await
        .unwrap();
    let asked_ms = speech::speech_ms(&caller.audio());
    caller.presses_now(&format!("{DIGITS}#"));
    caller
        .until_audio("the welcome", ANSWER, silent_after(asked_ms + 800))
        .await
        .unwrap();
    caller.hangs_up();
    let call = line.ended().await;
    assert!(
        told(&call).contains("willkommen zurück"),
        "{}",
        pretty(&call)
    );
    assert!(!line.gateway.log().contains(DIGITS));
    let files = files_with(&line.gateway.data_dir(), DIGITS);
    assert!(files.is_empty(), "{files:?}");
    line.is_clean(&call).await;
}
