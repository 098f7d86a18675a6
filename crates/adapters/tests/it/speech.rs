//! Speech over the OpenAI route.

use std::time::Duration;

use futures::StreamExt as _;
use switchhook_adapters::openai::{OpenAiSpeech, SpeechConfig, SpeechFormat};
use switchhook_adapters::{Limit, Pcm, SpeakRequest, TextToSpeech, TtsError};
use switchhook_lab::providers::{Ended, FakeProviders, Fault, SpeechReply};
use switchhook_model::Language;

use super::{SOON, closed_port};

fn config(server: &FakeProviders) -> SpeechConfig {
    let mut config = SpeechConfig::new(server.base_url(), "fake-voice", "alloy");
    config.limits.first = SOON;
    config.limits.gap = SOON;
    config
}

pub(super) async fn speak(
    voice: &dyn TextToSpeech,
    text: &str,
    language: Language,
) -> Result<Vec<Pcm>, TtsError> {
    let mut stream = voice.synthesize(&SpeakRequest::new(text, language)).await?;
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await {
        pieces.push(piece?);
    }
    Ok(pieces)
}

async fn say(config: SpeechConfig, text: &str) -> Result<Vec<Pcm>, TtsError> {
    let voice = OpenAiSpeech::new(config).expect("a valid configuration");
    speak(&voice, text, Language::De).await
}

#[tokio::test]
async fn audio_cut_in_the_middle_of_samples_comes_whole_in_both_formats() {
    for format in [SpeechFormat::Pcm { rate_hz: 24_000 }, SpeechFormat::Wav] {
        let server = FakeProviders::start().await.expect("a free port");
        let mut config = config(&server);
        config.format = format;
        config.send_language = true;
        config.voices = [(Language::De, "anna".to_owned())].into();
        let pieces = say(config, "Guten Morgen").await.expect("audio");
        assert!(
            pieces
                .iter()
                .all(|p| p.rate_hz == 24_000 && !p.samples.is_empty())
        );
        let samples: Vec<i16> = pieces.into_iter().flat_map(|p| p.samples).collect();
        assert_eq!(samples.len(), 12 * 60 * 24, "{format:?}");
        // A sine never jumps: a lost or doubled byte would.
        let jump = samples
            .windows(2)
            .map(|w| (i32::from(w[0]) - i32::from(w[1])).abs());
        assert!(jump.max() < Some(2000), "{format:?}");
        let request = server.speeches().remove(0);
        assert_eq!(request.input, "Guten Morgen");
        assert_eq!(request.voice, "anna");
        assert_eq!(request.language, "de");
    }
}

#[tokio::test]
async fn audio_begins_before_it_is_complete_and_dropping_stops_it() {
    let server = FakeProviders::start().await.expect("a free port");
    server.speech(SpeechReply::tone(300.0).gap(Duration::from_secs(3600)));
    let mut config = config(&server);
    config.limits.gap = Duration::from_secs(7200);
    config.limits.whole = Duration::from_secs(7200);
    let voice = OpenAiSpeech::new(config).expect("a valid configuration");
    let mut stream = voice
        .synthesize(&SpeakRequest::new("A long sentence.", Language::En))
        .await
        .expect("it begins");
    assert!(stream.next().await.expect("a piece").is_ok());
    drop(stream);
    server
        .wait_until(SOON, |all| all[0].ended == Ended::Cancelled)
        .await
        .expect("the connection is closed");
}

#[tokio::test]
async fn faults_are_told_apart() {
    for (fault, named) in [
        (Fault::Status(500), "refused: status 500"),
        (Fault::Status(401), "check the API key"),
        (Fault::WebPage, "instead of audio"),
        (Fault::Empty, "gave no audio"),
        (Fault::CutAfter(2), "broke off"),
    ] {
        let server = FakeProviders::start().await.expect("a free port");
        server.speech(SpeechReply::fault(fault.clone()));
        let error = say(config(&server), "Good morning")
            .await
            .expect_err("a fault");
        assert!(error.to_string().contains(named), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn limits_hold() {
    let server = FakeProviders::start().await.expect("a free port");
    server
        .speech(SpeechReply::default().first_after(SOON * 10))
        .speech(SpeechReply::fault(Fault::StallAfter(2)));
    let mut first = config(&server);
    first.limits.first = Duration::from_millis(150);
    let error = say(first, "Hello").await.expect_err("late");
    assert!(
        matches!(
            error,
            TtsError::TimedOut {
                limit: Limit::First,
                ..
            }
        ),
        "{error}"
    );

    let mut gap = config(&server);
    gap.limits.gap = Duration::from_millis(150);
    let error = say(gap, "Hello everybody").await.expect_err("stalled");
    assert!(
        matches!(
            error,
            TtsError::TimedOut {
                limit: Limit::Gap,
                ..
            }
        ),
        "{error}"
    );

    let mut long = config(&server);
    long.limits.max_audio_s = 1;
    let error = say(long, &"a".repeat(100)).await.expect_err("6 s");
    assert!(matches!(error, TtsError::TooMuchAudio { .. }), "{error}");
}

#[tokio::test]
async fn what_needs_no_server_asks_none() {
    let server = FakeProviders::start().await.expect("a free port");
    assert_eq!(say(config(&server), " … ").await, Ok(Vec::new()));
    let error = say(config(&server), &"a".repeat(4097))
        .await
        .expect_err("long");
    assert!(matches!(
        error,
        TtsError::TooLong {
            characters: 4097,
            ..
        }
    ));
    let mut english = config(&server);
    english.default_voice = None;
    english.voices = [(Language::En, "alloy".to_owned())].into();
    let error = say(english, "Guten Tag")
        .await
        .expect_err("no German voice");
    assert!(matches!(error, TtsError::Language { .. }));
    assert!(server.exchanges().is_empty());

    let gone = SpeechConfig::new(format!("http://{}/v1", closed_port()), "m", "v");
    let error = say(gone, "Hello").await.expect_err("nobody listens");
    assert!(matches!(error, TtsError::Unreachable { .. }), "{error}");
}
