//! Calls in Arabic: the texts of a call, the phrases callers use, and the carrier's Arabic voice.

use switchhook_e2e::api::{only_attempt, only_transfer, pretty, told};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_lab::carrier::{Behaviour, Heard, Pace};

use crate::common::*;
use crate::twilio_line::*;

/// What a caller says who wants a human, in some dialects.
const WISHES: [&str; 3] = [
    "أريد التحدث مع موظف من فضلك",
    "حولني إلى موظف",
    "ابغى اتكلم مع موظف",
];

#[tokio::test]
async fn a_conversation_in_arabic() {
    // What was heard is told from the time it takes to say it.
    let settings = gather().language("ar");
    let line = line(settings, |config| config.pace = Pace::real()).await;
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    let greeting = caller
        .until_hears("كيف يمكنني مساعدتك", ANSWER)
        .await
        .unwrap();
    let Heard::Said {
        voice, language, ..
    } = greeting
    else {
        panic!("{greeting:?}");
    };
    assert_eq!(language.as_deref(), Some("ar-AE"));
    assert_eq!(voice.as_deref(), Some("Polly.Hala-Neural"));
    caller.says("ما هي أوقات العمل");
    caller.until_hears("مفتوحون", ANSWER).await.unwrap();
    caller.says("أين العنوان");
    caller.until_hears("ساحة السوق", ANSWER).await.unwrap();
    caller.says("شكرا مع السلامة");
    caller.until_hears("مع السلامة", ANSWER).await.unwrap();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "completed", "{}", pretty(&call));
    let log = line.carrier.log();
    let gathers: Vec<_> = log.verbs.iter().filter(|v| v.name == "Gather").collect();
    assert!(!gathers.is_empty());
    for gather in gathers {
        let language = gather
            .attributes
            .iter()
            .find(|(name, _)| name == "language");
        assert_eq!(language.map(|(_, value)| value.as_str()), Some("ar-AE"));
    }
    line.is_clean(&call).await;
}

#[tokio::test]
async fn a_human_is_asked_for_in_arabic() {
    let line = line(gather().language("ar").ring_timeout_s(5), |_| {}).await;
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    for (n, wish) in WISHES.iter().enumerate() {
        let from = format!("+120255501{n:02}");
        let caller = line.carrier.call_in(&from, OURS).await.unwrap();
        caller
            .until_hears("كيف يمكنني مساعدتك", ANSWER)
            .await
            .unwrap();
        caller.says(wish);
        let colleague = agent.until_answered(n, ANSWER).await.unwrap();
        colleague.hangs_up();
        caller.ended(ANSWER).await.unwrap();
        let call = line.ended().await;
        assert_eq!(call["caller"], from);
        assert_eq!(only_transfer(&call)["outcome"], "bridged");
        assert_eq!(agent.rung(), n + 1, "exactly one dial");
        line.is_clean(&call).await;
    }
}

/// Nobody answers: everything the caller hears is Arabic, and so is what staff get.
#[tokio::test]
async fn nobody_answers_in_arabic() {
    let settings = gather()
        .language("ar")
        .ring_timeout_s(5)
        .env("TWILIO_SMS_TO", STAFF);
    let line = line(settings, |_| {}).await;
    line.carrier.phone(EXTENSION, Behaviour::NoAnswer);
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    caller
        .until_hears("كيف يمكنني مساعدتك", ANSWER)
        .await
        .unwrap();
    caller.when_hears_says("الصافرة", "اتصلوا بي غدا من فضلكم");
    caller.says(WISHES[0]);
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(
        only_attempt(&call)["result"],
        "no_answer",
        "{}",
        pretty(&call)
    );
    assert_eq!(only_transfer(&call)["outcome"], "message_taken");
    for said in caller.transcript() {
        let is_latin = said.chars().any(|c| c.is_ascii_alphabetic());
        // Her name is as it was configured.
        assert!(!is_latin || said.contains("Clara"), "no Arabic: {said}");
    }
    let messages = line.carrier.messages();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert!(messages[0].body.contains(CALLER));
    line.is_clean(&call).await;
}

/// Over a media stream the voice is ours, and Arabic; who is not understood has the keypad.
#[tokio::test]
async fn an_arabic_voice_over_a_media_stream() {
    let settings = GatewaySettings::demo()
        .language("ar")
        .env("SWITCHHOOK_TWILIO_TALK", "stream");
    let line = line(settings, |_| {}).await;
    let agent = line.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = line.carrier.call_in(CALLER, OURS).await.unwrap();
    hears_greeting(&caller).await;
    caller.presses("0");
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(call["outcome"]["code"], "transferred", "{}", pretty(&call));
    assert!(told(&call).contains("مساعدتك"), "{}", pretty(&call));
    line.is_clean(&call).await;
}
