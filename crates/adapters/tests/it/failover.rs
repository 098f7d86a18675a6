//! Providers that stand in for one another.

use switchhook_adapters::espeak::{Espeak, EspeakConfig};
use switchhook_adapters::failover::{FailoverModel, FailoverSpeech, FailoverTranscription};
use switchhook_adapters::openai::{
    ChatConfig, OpenAiChat, OpenAiSpeech, OpenAiTranscription, SpeechConfig, TranscriptionConfig,
};
use switchhook_adapters::{
    LanguageModel, ListenHints, Pcm, SpeechToText, TextToSpeech, ThinkRequest, TtsError,
};
use switchhook_lab::providers::{ChatReply, FakeProviders, Fault, SpeechReply};
use switchhook_model::Language;
use switchhook_model::chat::ChatMessage;

use super::speech::speak;
use super::{SOON, closed_port};

fn server_voice(base_url: String) -> Box<dyn TextToSpeech> {
    let mut config = SpeechConfig::new(base_url, "fake-voice", "alloy");
    config.limits.first = SOON;
    Box::new(OpenAiSpeech::new(config).expect("a valid configuration"))
}

fn espeak() -> Box<dyn TextToSpeech> {
    Box::new(Espeak::new(EspeakConfig::default()).expect("a valid configuration"))
}

#[tokio::test]
async fn espeak_stands_in_when_the_speech_server_is_down() {
    let voice = FailoverSpeech::new(vec![
        server_voice(format!("http://{}/v1", closed_port())),
        espeak(),
    ]);
    let pieces = speak(&voice, "Guten Tag", Language::De)
        .await
        .expect("audio");
    assert_eq!(pieces[0].rate_hz, 22_050, "espeak-ng spoke");
    assert!(voice.capabilities().name.contains("espeak-ng"));
}

#[tokio::test]
async fn a_voice_that_failed_is_not_asked_again_at_once() {
    let server = FakeProviders::start().await.expect("a free port");
    server.speech(SpeechReply::fault(Fault::Status(500)));
    let voice = FailoverSpeech::new(vec![server_voice(server.base_url()), espeak()]);
    for _ in 0..3 {
        let pieces = speak(&voice, "Hello", Language::En).await.expect("audio");
        assert_eq!(pieces[0].rate_hz, 22_050);
    }
    assert_eq!(server.speeches().len(), 1);
}

#[tokio::test]
async fn half_a_sentence_is_not_begun_again() {
    let server = FakeProviders::start().await.expect("a free port");
    server.speech(SpeechReply::fault(Fault::CutAfter(2)));
    let voice = FailoverSpeech::new(vec![server_voice(server.base_url()), espeak()]);
    let error = speak(&voice, "Hello everybody", Language::En)
        .await
        .expect_err("cut");
    assert!(matches!(error, TtsError::CutShort { .. }), "{error}");
}

#[tokio::test]
async fn with_all_down_the_last_reason_is_given() {
    let gone = || server_voice(format!("http://{}/v1", closed_port()));
    let voice = FailoverSpeech::new(vec![gone(), gone()]);
    let error = speak(&voice, "Hello", Language::En)
        .await
        .expect_err("all down");
    assert!(matches!(error, TtsError::Unreachable { .. }), "{error}");
    // Both failed just now, yet both are asked again: there is nothing better.
    let error = speak(&voice, "Hello", Language::En)
        .await
        .expect_err("all down");
    assert!(matches!(error, TtsError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn models_and_recognisers_stand_in_as_well() {
    let broken = FakeProviders::start().await.expect("a free port");
    let works = FakeProviders::start().await.expect("a free port");
    broken.chat(ChatReply::fault(Fault::Status(400)));
    works.chat(ChatReply::text("here")).transcript("heard");
    let chat = |server: &FakeProviders| -> Box<dyn LanguageModel> {
        let mut config = ChatConfig::new(server.base_url(), "m");
        config.limits.first = SOON;
        Box::new(OpenAiChat::new(config).expect("a valid configuration"))
    };
    let model = FailoverModel::new(vec![chat(&broken), chat(&works)]);
    let request = ThinkRequest {
        messages: vec![ChatMessage::user("hello")],
        tools: Vec::new(),
    };
    assert!(model.stream(request).await.is_ok());
    assert_eq!((broken.chats().len(), works.chats().len()), (1, 1));

    let ears = |base_url: String| -> Box<dyn SpeechToText> {
        let config = TranscriptionConfig::new(base_url, "m");
        Box::new(OpenAiTranscription::new(config).expect("a valid configuration"))
    };
    let ears = FailoverTranscription::new(vec![
        ears(format!("http://{}/v1", closed_port())),
        ears(works.base_url()),
    ]);
    let audio = Pcm::new(vec![1; 800], 8000);
    let heard = ears
        .transcribe(&audio, Language::En, &ListenHints::default())
        .await
        .expect("the second one");
    assert_eq!(heard.text, "heard");
}
