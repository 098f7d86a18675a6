//! The real espeak-ng, and programs that are not it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use switchhook_adapters::espeak::{Espeak, EspeakConfig};
use switchhook_adapters::{SpeakRequest, TextToSpeech, TtsError};
use switchhook_model::Language;
use tokio::time::timeout;

use super::SOON;
use super::speech::speak;

fn espeak() -> Espeak {
    Espeak::new(EspeakConfig {
        whole: SOON,
        ..EspeakConfig::default()
    })
    .expect("a valid configuration")
}

/// A program with this text, in a directory of its own.
fn program(script: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("espeak-ng");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    (dir, path)
}

async fn run(script: &str, whole: Duration) -> Result<usize, TtsError> {
    let (_dir, program) = program(script);
    let voice = Espeak::new(EspeakConfig {
        program,
        whole,
        ..EspeakConfig::default()
    })
    .expect("a valid configuration");
    let pieces = speak(&voice, "Hello", Language::En).await?;
    Ok(pieces.iter().map(|p| p.samples.len()).sum())
}

#[tokio::test]
async fn every_language_is_spoken() {
    for (language, text) in [
        (Language::En, "Good morning, how can I help you?"),
        (
            Language::De,
            "Guten Morgen, schöne Grüße. Wie kann ich helfen?",
        ),
        (Language::Ar, "صباح الخير"),
    ] {
        let pieces = speak(&espeak(), text, language).await.expect("audio");
        let ms: u64 = pieces
            .iter()
            .map(switchhook_adapters::Pcm::duration_ms)
            .sum();
        assert!(ms > 500, "{language}: {ms} ms");
        let loudest = pieces
            .iter()
            .flat_map(|p| &p.samples)
            .map(|s| s.unsigned_abs());
        assert!(loudest.max() > Some(2000), "{language} is heard");
    }
}

#[tokio::test]
async fn hostile_texts_are_only_spoken() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("made");
    let file = file.display();
    let text = format!(
        "$(touch {file}) `touch {file}`; touch {file} | -w {file} --version [[aa]] <speak> \0\u{7}\r\n-f /etc/passwd"
    );
    let pieces = speak(&espeak(), &text, Language::En).await.expect("audio");
    assert!(!pieces.is_empty());
    assert!(!dir.path().join("made").exists());
    assert_eq!(speak(&espeak(), "?!", Language::En).await, Ok(Vec::new()));
    let error = speak(&espeak(), &"a".repeat(5000), Language::En).await;
    assert!(matches!(error, Err(TtsError::TooLong { .. })));
}

#[test]
fn voices_that_look_like_options_are_refused() {
    for voice in ["-w/tmp/x", "", "../x", "de;x", "de x", "$(x)"] {
        let config = EspeakConfig {
            voices: [(Language::En, voice.to_owned())].into(),
            ..EspeakConfig::default()
        };
        let error = Espeak::new(config).expect_err(voice).to_string();
        assert!(error.contains("voice"), "{error}");
    }
}

#[tokio::test]
async fn programs_that_fail_are_named() {
    let missing = Espeak::new(EspeakConfig {
        program: PathBuf::from("/nonexistent/espeak-ng"),
        ..EspeakConfig::default()
    })
    .expect("a valid configuration");
    let error = speak(&missing, "Hello", Language::En)
        .await
        .expect_err("missing");
    assert!(
        error.to_string().contains("install the package espeak-ng"),
        "{error}"
    );

    let error = run("echo 'no such voice' >&2; exit 3", SOON)
        .await
        .expect_err("it fails");
    assert!(error.to_string().contains("no such voice"), "{error}");
    let error = run("echo 'this is not audio at all'", SOON)
        .await
        .expect_err("no WAV");
    assert!(matches!(error, TtsError::Audio { .. }), "{error}");
    let error = run("exit 0", SOON).await.expect_err("nothing");
    assert!(matches!(error, TtsError::Silent { .. }), "{error}");
    let error = run("exec sleep 1000", Duration::from_millis(200))
        .await
        .expect_err("slow");
    assert!(matches!(error, TtsError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_dropped_stream_ends_its_process_and_frees_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let pid = dir.path().join("pid");
    // Speaks a little, then stays.
    let script = format!(
        "echo $$ > {}; espeak-ng --stdin --stdout -v en; exec sleep 1000",
        pid.display()
    );
    let (_program_dir, program) = program(&script);
    let voice = Espeak::new(EspeakConfig {
        program,
        max_processes: 1,
        queue: Duration::from_millis(100),
        whole: SOON * 10,
        ..EspeakConfig::default()
    })
    .expect("a valid configuration");
    let request = SpeakRequest::new("Hello", Language::En);
    let mut stream = voice.synthesize(&request).await.expect("it begins");
    assert!(stream.next().await.expect("a piece").is_ok());
    let busy = voice.synthesize(&request).await.err();
    assert!(matches!(busy, Some(TtsError::Busy { .. })), "{busy:?}");
    let pid = std::fs::read_to_string(&pid).expect("the program ran");
    drop(stream);
    timeout(SOON, async {
        // Killed at once, reaped by the runtime a little later: a zombie is dead, too.
        while std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .is_ok_and(|stat| !stat.contains(") Z "))
        {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the process has ended");
    assert!(
        voice.synthesize(&request).await.is_ok(),
        "the place is free"
    );
}
