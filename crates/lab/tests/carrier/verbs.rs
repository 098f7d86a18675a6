//! Say, Gather, Record, Redirect, Reject, and documents that cannot be executed.

use switchhook_lab::audio::tone;
use switchhook_lab::carrier::{Heard, WebhookKind};

use crate::app::{App, Reply, Rest, xml};
use crate::{CALLER, OUR_NUMBER, SOON};

#[tokio::test]
async fn a_caller_is_heard_and_answered() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml(
            "<Gather input=\"speech\" action=\"/heard?step=1\" language=\"de-DE\">\
             <Say language=\"de-DE\">Wie kann ich helfen?</Say></Gather><Say>Nichts</Say>",
        ),
        "/heard" => xml("<Say>Auf Wiedersehen</Say><Hangup/>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("wie kann ich", SOON).await.unwrap();
    caller.says_surely("einen Termin", 0.5);
    caller.until_hears("auf wiedersehen", SOON).await.unwrap();
    let ended = caller.ended(SOON).await.unwrap();
    assert_eq!(
        (ended.status.as_str(), ended.by_person),
        ("completed", false)
    );
    carrier.until_quiet(SOON).await.unwrap();

    let first = &app.hits("/voice")[0];
    for (name, value) in [
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", CALLER),
        ("Caller", CALLER),
        ("To", OUR_NUMBER),
        ("Called", OUR_NUMBER),
        ("ApiVersion", "2010-04-01"),
        ("FromCity", ""),
    ] {
        assert_eq!(first.param(name), Some(value), "{name}");
    }
    assert_eq!(first.param("CallSid"), Some(caller.call_sid()));
    assert!(first.signed && first.method == "POST");
    let heard = &app.hits("/heard")[0];
    assert_eq!(heard.param("SpeechResult"), Some("einen Termin"));
    assert!(heard.param("Confidence").unwrap().starts_with("0.5"));
    assert_eq!(heard.param("CallStatus"), Some("in-progress"));
    assert_ne!(heard.token, first.token);
    // A number's own callback fires only `completed`.
    let status = app.hits("/number-status");
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].param("CallStatus"), Some("completed"));
    assert_eq!(status[0].param("SequenceNumber"), Some("0"));
    let log = carrier.log();
    let verbs = log.verbs_of(caller.call_sid());
    assert_eq!(verbs, ["Gather", "Say", "Say", "Hangup"]);
    assert!(log.problems.is_empty(), "{:?}", log.problems);
    assert_eq!(
        log.webhooks_of(caller.call_sid(), WebhookKind::Twiml).len(),
        2
    );
}

#[tokio::test]
async fn keys_end_by_number_by_key_and_by_time() {
    let app = App::start(|hit| match (hit.path.as_str(), hit.param("Digits")) {
        ("/voice", None) => xml("<Gather numDigits=\"4\"><Say>pin</Say></Gather>"),
        ("/voice", Some("1234")) => {
            xml("<Gather action=\"/second\" finishOnKey=\"#\"><Say>again</Say></Gather>")
        }
        ("/second", Some("12")) => {
            xml("<Gather action=\"/third\" timeout=\"3\"><Say>slowly</Say></Gather>")
        }
        ("/third", Some("7")) => xml("<Say>right</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    // The fifth key is for the next Gather.
    caller.presses("1234").presses("12#").presses("7");
    caller.until_hears("right", SOON).await.unwrap();
    caller.ended(SOON).await.unwrap();
    let by_key = &app.hits("/second")[0];
    assert_eq!(by_key.param("FinishedOnKey"), Some("#"));
    assert_eq!(app.hits("/third")[0].param("FinishedOnKey"), None);
}

#[tokio::test]
async fn silence_falls_through_unless_an_empty_result_is_wanted() {
    let app = App::start(|hit| match (hit.path.as_str(), hit.param("Digits")) {
        ("/voice", None) => xml("<Gather action=\"/never\"><Say>one</Say></Gather>\
             <Gather action=\"/empty\" input=\"dtmf\" actionOnEmptyResult=\"true\"/>"),
        ("/empty", Some("")) => xml("<Say>empty</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.stays_silent();
    caller.until_hears("empty", SOON).await.unwrap();
    caller.ended(SOON).await.unwrap();
    assert!(app.hits("/never").is_empty());
}

#[tokio::test]
async fn speech_cuts_a_prompt_short_unless_it_must_not() {
    let long = "a long prompt ".repeat(400);
    let app = App::start(
        move |hit| match (hit.path.as_str(), hit.param("SpeechResult")) {
            ("/voice", None) => xml(&format!(
                "<Gather input=\"speech\"><Say>{long}</Say></Gather>"
            )),
            ("/voice", Some("stop")) => xml("<Gather input=\"dtmf speech\" bargeIn=\"false\" \
             numDigits=\"1\" action=\"/done\"><Say>hear me out</Say></Gather>"),
            ("/done", None) => xml("<Say>thanks</Say>"),
            _ => Reply::Status(500),
        },
    )
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("a long prompt", SOON).await.unwrap();
    caller.interrupts("stop");
    // Without barge-in speech is lost and keys are kept.
    caller.when_hears_says("never said", "x");
    caller.until_hears("hear me out", SOON).await.unwrap();
    caller.interrupts("lost").presses_now("5");
    caller.until_hears("thanks", SOON).await.unwrap();
    assert_eq!(app.hits("/done")[0].param("Digits"), Some("5"));
    assert_eq!(caller.missed(), ["lost"]);
    let heard = caller.heard();
    let cut = |h: &Heard| matches!(h, Heard::Said { to_end: false, text, .. } if text.starts_with("a long"));
    assert!(cut(&heard[0]), "{heard:?}");
}

#[tokio::test]
async fn a_recording_is_made_and_fetched() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml(
            "<Say>After the beep.</Say><Record action=\"/recorded\" finishOnKey=\"#\" \
             recordingStatusCallback=\"/recording\"/><Say>nothing</Say>",
        ),
        "/recorded" => xml("<Say>kept</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("after the beep", SOON).await.unwrap();
    caller.plays_audio(&tone::sine(600.0, 800));
    caller.presses("#");
    caller.until_hears("kept", SOON).await.unwrap();
    let recorded = &app.hits("/recorded")[0];
    assert_eq!(recorded.param("Digits"), Some("#"));
    let told = carrier
        .until_webhook("the recording", SOON, |w| w.kind == WebhookKind::Recording)
        .await
        .unwrap();
    assert_eq!(told.param("RecordingStatus"), Some("completed"));
    assert_eq!(told.param("RecordingSource"), Some("RecordVerb"));
    assert_eq!(told.param("RecordingUrl"), recorded.param("RecordingUrl"));
    let file = Rest::of(&carrier)
        .bytes(recorded.param("RecordingUrl").unwrap())
        .await;
    let mut wav = hound::WavReader::new(&file[..]).unwrap();
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let audio = switchhook_lab::audio::Audio::phone(samples);
    assert!(tone::present_ms(&audio, 600.0) >= 500);
    assert!(caller.heard().contains(&Heard::Beep));
}

#[tokio::test]
async fn a_recording_survives_a_hang_up_and_silence_falls_through() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Record action=\"/recorded\"/><Say>silent</Say>\
             <Record action=\"/recorded\" timeout=\"0\"/>"),
        _ => xml("<Say>unheard</Say>"),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.stays_silent();
    caller.until_hears("silent", SOON).await.unwrap();
    assert!(app.hits("/recorded").is_empty());
    caller
        .says("please call back")
        .until_listened_to(SOON)
        .await
        .unwrap();
    carrier
        .until("the words to be taken", SOON, |_| {
            (!caller.has_more_to_say()).then_some(())
        })
        .await
        .unwrap();
    caller.hangs_up();
    let recorded = carrier
        .until_webhook("the action", SOON, |w| w.path() == "/recorded")
        .await
        .unwrap();
    assert_eq!(recorded.param("Digits"), Some("hangup"));
    assert_eq!(recorded.param("CallStatus"), Some("completed"));
    assert!(caller.ended(SOON).await.unwrap().by_person);
    assert_eq!(carrier.recordings().len(), 1);
}

#[tokio::test]
async fn a_call_is_rejected_before_it_is_answered() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Redirect>/other</Redirect>"),
        "/other" => xml("<Reject reason=\"busy\"/>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    assert_eq!(caller.ended(SOON).await.unwrap().status, "busy");
    assert!(
        caller
            .until_answered(std::time::Duration::ZERO)
            .await
            .is_err()
    );
    carrier.until_quiet(SOON).await.unwrap();
    let told = carrier
        .until_webhook("the end", SOON, |w| w.path() == "/number-status")
        .await
        .unwrap();
    assert_eq!(told.param("CallStatus"), Some("busy"));
    assert_eq!(told.param("SipResponseCode"), Some("486"));
}

#[tokio::test]
async fn what_cannot_be_executed_is_named_and_ends_the_call() {
    for (answer, code) in [
        (Reply::Status(500), 11200),
        (Reply::Body("text/xml", String::new()), 11770),
        (
            Reply::Body("text/xml", "<Response><Say>a & b</Say></Response>".into()),
            12100,
        ),
        (Reply::Body("application/json", "{}".into()), 12300),
        (Reply::Redirect(302, "/voice".into()), 11215),
    ] {
        let shown = format!("{answer:?}");
        let app = App::start(move |hit| match hit.path.as_str() {
            "/voice" => answer.clone(),
            _ => Reply::Status(204),
        })
        .await;
        let carrier = app.carrier().await;
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        caller.until_hears("application error", SOON).await.unwrap();
        caller.ended(SOON).await.unwrap();
        let codes: Vec<u32> = carrier.log().problems.iter().map(|p| p.code).collect();
        assert_eq!(codes, [code], "{shown}");
    }
}

#[tokio::test]
async fn the_fallback_is_told_what_failed() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => Reply::Status(503),
        "/fallback" => xml("<Say>We call you back.</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let mut config = app.config();
    config.numbers[0].voice_fallback_url = app.url("/fallback");
    let carrier = switchhook_lab::carrier::Carrier::start(config)
        .await
        .unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("call you back", SOON).await.unwrap();
    let asked = &app.hits("/fallback")[0];
    assert_eq!(asked.param("ErrorCode"), Some("11200"));
    assert_eq!(asked.param("ErrorUrl"), Some(app.url("/voice").as_str()));
    assert_eq!(asked.param("CallSid"), Some(caller.call_sid()));
}

#[tokio::test]
async fn a_redirect_becomes_a_get_without_what_was_entered_and_cookies_return() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => Reply::Cookie(
            "a=1; Path=/",
            "<Gather action=\"/entered\" numDigits=\"1\"/>".into(),
        ),
        "/entered" => Reply::Redirect(302, "/moved?x=1".into()),
        "/moved" => xml("<Say>moved</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller
        .presses("5")
        .until_hears("moved", SOON)
        .await
        .unwrap();
    assert_eq!(app.hits("/entered")[0].param("Digits"), Some("5"));
    let moved = &app.hits("/moved")[0];
    assert_eq!(moved.method, "GET");
    assert_eq!(moved.param("Digits"), None);
    assert_eq!(moved.param("CallSid"), Some(caller.call_sid()));
    assert_eq!(moved.cookie.as_deref(), Some("a=1"));
}

#[tokio::test]
async fn unknown_attributes_are_warned_of_and_plain_text_is_read() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Say Voice=\"man\">hello</Say><Redirect>/plain</Redirect>"),
        "/plain" => Reply::Body("text/plain", "read this aloud".into()),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("hello", SOON).await.unwrap();
    caller.until_hears("read this aloud", SOON).await.unwrap();
    caller.ended(SOON).await.unwrap();
    let log = carrier.log();
    assert_eq!(log.problems.len(), 1, "{:?}", log.problems);
    assert_eq!(log.problems[0].code, 12200);
}

/// Speaks a tone, and understands how long the tone was that it heard.
#[tokio::test]
async fn people_may_talk_and_listen_with_real_audio() {
    let app = App::start(|hit| match (hit.path.as_str(), hit.param("SpeechResult")) {
        ("/voice", None) => xml("<Gather input=\"speech\" language=\"de-DE\">\
             <Say language=\"de-DE\">Ja bitte?</Say></Gather><Say>nobody spoke</Say>"),
        ("/voice", Some("a tone in de-DE")) => xml("<Say>understood</Say>"),
        _ => Reply::Status(204),
    })
    .await;
    let mut config = app.config();
    config.voice = Some(std::sync::Arc::new(|words| {
        let audio = tone::sine(900.0, 40 * words.text.len() as u64);
        Box::pin(async move { Some(audio) })
    }));
    config.recogniser = Some(std::sync::Arc::new(|audio, language| {
        let is_tone = tone::present_ms(&audio, 500.0) >= 400;
        let text = format!("a tone in {}", language.unwrap_or_default());
        Box::pin(async move { is_tone.then_some(text) })
    }));
    let carrier = switchhook_lab::carrier::Carrier::start(config)
        .await
        .unwrap();
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    let heard = |a: &switchhook_lab::audio::Audio| tone::present_ms(a, 900.0) >= 150;
    caller.until_audio("the voice", SOON, heard).await.unwrap();
    caller.plays_audio(&tone::sine(500.0, 900));
    caller.until_hears("understood", SOON).await.unwrap();
    assert!(!caller.transcript().contains(&"nobody spoke".to_owned()));
}
