//! Transcription.

use std::time::Duration;

use switchhook_adapters::openai::{OpenAiTranscription, TranscriptionConfig};
use switchhook_adapters::{ListenHints, Pcm, SpeechToText, SttError};
use switchhook_lab::providers::{Ended, FakeProviders, Fault, TranscriptReply};
use switchhook_model::Language;

use super::SOON;

fn config(server: &FakeProviders) -> TranscriptionConfig {
    let mut config = TranscriptionConfig::new(server.base_url(), "fake-ears");
    config.limits.whole = SOON;
    config
}

async fn listen(config: TranscriptionConfig, audio: &Pcm) -> Result<String, SttError> {
    let ears = OpenAiTranscription::new(config).expect("a valid configuration");
    let hints = ListenHints {
        words: vec!["Müller".into(), "extension".into()],
    };
    ears.transcribe(audio, Language::De, &hints)
        .await
        .map(|t| t.text)
}

fn audio() -> Pcm {
    Pcm::new((0..8000).map(|n| (n % 100) as i16).collect(), 8000)
}

#[tokio::test]
async fn the_audio_arrives_as_a_wav_file() {
    let server = FakeProviders::start().await.expect("a free port");
    server.transcript(" Guten Tag. \n");
    let text = listen(config(&server), &audio()).await;
    assert_eq!(text.as_deref(), Ok("Guten Tag."));
    let request = server.transcriptions().remove(0);
    assert_eq!(request.samples, audio().samples);
    assert_eq!(request.rate_hz, 8000);
    assert_eq!(request.file_name, "utterance.wav");
    assert_eq!(request.language, "de");
    assert_eq!(request.model, "fake-ears");
    assert_eq!(request.prompt, "Müller, extension");
}

#[tokio::test]
async fn nothing_is_asked_about_no_audio_or_another_language() {
    let server = FakeProviders::start().await.expect("a free port");
    let text = listen(config(&server), &Pcm::new(Vec::new(), 8000)).await;
    assert_eq!(text.as_deref(), Ok(""));
    let mut english = config(&server);
    english.languages = vec![Language::En];
    let error = listen(english, &audio()).await.expect_err("German");
    assert!(matches!(error, SttError::Language { .. }));
    let mut short = config(&server);
    short.limits.max_audio_s = 0;
    let error = listen(short, &audio()).await.expect_err("too long");
    assert!(error.to_string().contains("1 s"), "{error}");
    assert!(server.exchanges().is_empty());
}

#[tokio::test]
async fn failures_that_may_pass_are_repeated_once() {
    let server = FakeProviders::start().await.expect("a free port");
    server
        .transcript(TranscriptReply::fault(Fault::Status(503)))
        .transcript("hello");
    let text = listen(config(&server), &audio()).await;
    assert_eq!(text.as_deref(), Ok("hello"));

    for _ in 0..3 {
        server.transcript(TranscriptReply::fault(Fault::Status(500)));
    }
    let error = listen(config(&server), &audio()).await.expect_err("down");
    assert!(error.to_string().contains("500"), "{error}");
    assert_eq!(server.transcriptions().len(), 4);
}

#[tokio::test]
async fn odd_answers_are_errors_that_say_so() {
    for (fault, named) in [
        (Fault::GarbageAfter(0), "not understood"),
        (Fault::Empty, "not understood"),
        (Fault::WebPage, "not understood"),
        (Fault::Status(400), "refused: status 400"),
    ] {
        let server = FakeProviders::start().await.expect("a free port");
        server.transcript(TranscriptReply::fault(fault.clone()));
        let error = listen(config(&server), &audio()).await.expect_err("odd");
        assert!(error.to_string().contains(named), "{fault:?}: {error}");
        assert_eq!(server.transcriptions().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_slow_recogniser_is_given_up() {
    let server = FakeProviders::start().await.expect("a free port");
    server.transcript(TranscriptReply::text("late").after(SOON * 10));
    let mut config = config(&server);
    config.limits.whole = Duration::from_millis(200);
    let error = listen(config, &audio()).await.expect_err("late");
    assert!(matches!(error, SttError::TimedOut { .. }), "{error}");
    server
        .wait_until(SOON, |all| all[0].ended == Ended::Cancelled)
        .await
        .expect("the connection is closed");
}
