//! What is wrong before or around a call: a busy port, bad settings, a corrupt WAV, a provider that
//! cannot be reached.

use std::collections::BTreeMap;

use switchhook_e2e::api::pretty;
use switchhook_e2e::gateway::{self, GatewaySettings};
use switchhook_lab::audio::wav;

use crate::bad_input::Witness;
use crate::common::*;

#[tokio::test]
async fn a_busy_port_is_named() {
    let gateway = GatewaySettings::demo().start().await;
    let http = gateway.http().to_string();
    let sip = gateway.sip().to_string();
    for (taken, names, http, sip) in [
        (
            &sip,
            ["SWITCHHOOK_SIP_BIND", "sip.bind"],
            "127.0.0.1:0",
            sip.as_str(),
        ),
        (
            &http,
            ["SWITCHHOOK_HTTP_BIND", "http.bind"],
            http.as_str(),
            "127.0.0.1:0",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let env = BTreeMap::from([
            ("SWITCHHOOK_HTTP_BIND".to_owned(), http.to_owned()),
            ("SWITCHHOOK_SIP_BIND".to_owned(), sip.to_owned()),
            ("SWITCHHOOK_RTP_PORTS".to_owned(), "31000-31019".to_owned()),
            (
                "SWITCHHOOK_SPEECH_URL".to_owned(),
                "http://127.0.0.1:9".to_owned(),
            ),
            (
                "SWITCHHOOK_DATA_DIR".to_owned(),
                dir.path().join("data").display().to_string(),
            ),
        ]);
        let (code, _, errors) =
            gateway::run(&env, dir.path(), &["serve", "--profile", "demo"]).await;
        assert!(matches!(code, 1 | 2), "exit {code}: {errors}");
        assert!(
            errors.contains(taken.as_str()),
            "{taken} is not named: {errors}"
        );
        assert!(
            names.iter().any(|n| errors.contains(n)),
            "{names:?} is not named: {errors}"
        );
    }
}

#[tokio::test]
async fn bad_settings_are_named_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let occupied = dir.path().join("not-a-directory");
    std::fs::write(&occupied, "a file").unwrap();
    let env = BTreeMap::from([
        (
            "SWITCHHOOK_SIP_BIND".to_owned(),
            "not-an-address".to_owned(),
        ),
        ("SWITCHHOOK_RTP_PORTS".to_owned(), "20000-10000".to_owned()),
        ("SWITCHHOOK_RING_TIMEOUT_S".to_owned(), "soon".to_owned()),
    ]);
    let (code, _, errors) = gateway::run(&env, dir.path(), &["serve", "--profile", "demo"]).await;
    assert_eq!(code, 2, "{errors}");
    for variable in env.keys() {
        assert!(
            errors.contains(variable),
            "{variable} is not named: {errors}"
        );
    }
    let env = BTreeMap::from([
        (
            "SWITCHHOOK_DATA_DIR".to_owned(),
            occupied.display().to_string(),
        ),
        ("SWITCHHOOK_SIP_BIND".to_owned(), "127.0.0.1:0".to_owned()),
        ("SWITCHHOOK_HTTP_BIND".to_owned(), "127.0.0.1:0".to_owned()),
        ("SWITCHHOOK_RTP_PORTS".to_owned(), "31040-31059".to_owned()),
    ]);
    let (code, _, errors) = gateway::run(&env, dir.path(), &["serve", "--profile", "demo"]).await;
    assert!(matches!(code, 1 | 2), "exit {code}: {errors}");
    assert!(
        errors.contains("not-a-directory"),
        "the path is not named: {errors}"
    );
}

/// `switchhook lab call` with a file that is no WAV, and with a good one.
#[tokio::test]
async fn lab_call_names_a_corrupt_wav_and_prints_what_was_heard() {
    let gateway = GatewaySettings::demo().start().await;
    let broken = gateway.dir().join("broken.wav");
    std::fs::write(&broken, b"RIFF\x10\x00\x00\x00WAVEjunk").unwrap();
    let to = gateway.assistant();
    let say = broken.display().to_string();
    let (code, _, errors) = gateway
        .run(&["lab", "call", "--to", &to, "--say", &say])
        .await;
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("broken.wav"), "{errors}");
    assert_eq!(
        errors.trim().lines().count(),
        1,
        "one line expected: {errors}"
    );

    let good = gateway.dir().join("hello.wav");
    wav::write(&good, &MESSAGE.audio().await).unwrap();
    let record = gateway.dir().join("heard.wav");
    let (say, record_to) = (good.display().to_string(), record.display().to_string());
    let (code, output, errors) = gateway
        .run(&[
            "lab", "call", "--to", &to, "--say", &say, "--record", &record_to,
        ])
        .await;
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("speech"), "{output}");
    assert!(wav::read(&record).unwrap().duration_ms() > 1_000);
}

/// No speech server at all: the greeting is spoken by espeak-ng, the keypad works.
#[tokio::test]
async fn an_unreachable_speech_server_leaves_the_keypad() {
    let gateway = GatewaySettings::demo()
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
        .start()
        .await;
    let witness = Witness::start(&gateway).await;
    witness.assert_unharmed(&gateway).await;
    witness.call.hangup().await.unwrap();
    let record = gateway.api().await.ended_call(ENDED).await;
    assert_eq!(
        record["outcome"]["code"],
        "transferred",
        "{}",
        pretty(&record)
    );
}
