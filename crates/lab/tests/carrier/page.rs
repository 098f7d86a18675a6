//! The lab's page, as a visitor uses it: calls in, handsets, messages, sound, and who may not.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchhook_lab::audio::g711::Law;
use switchhook_lab::audio::{Audio, tone};
use switchhook_lab::carrier::{Carrier, Pace, PageConfig, SpeechAt};
use switchhook_lab::providers::{FakeProviders, TranscriptReply};
use switchhook_lab::transcribe::http_client;
use switchhook_lab::visitor::{PageSocket, Visitor, call, talk};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::app::{App, Hit, Reply, Rest, xml};
use crate::{CALLER, OUR_NUMBER, SOON};

async fn start(app: &App, pace: Pace, speech: Option<SpeechAt>) -> (Carrier, Visitor) {
    let mut config = app.config();
    config.pace = pace;
    config.page = Some(PageConfig {
        phones: vec!["2001".to_owned(), "+493023125101".to_owned()],
        gateway: app.url(""),
        speech,
    });
    let carrier = Carrier::start(config).await.unwrap();
    let visitor = Visitor::new(&carrier.url(), SOON);
    (carrier, visitor)
}

/// Repeats what it is told, and dials a phone of the page.
fn answers(hit: &Hit) -> Reply {
    match hit.path.as_str() {
        "/voice" => xml(
            "<Gather input=\"speech dtmf\" numDigits=\"1\" language=\"en-US\" \
             timeout=\"20\" action=\"/heard\"><Say>How can I help?</Say></Gather>",
        ),
        "/heard" => match (hit.param("SpeechResult"), hit.param("Digits")) {
            (Some("a human"), _) => xml("<Dial action=\"/after\" timeout=\"60\">\
                 <Sip>sip:2001@pbx.example.com;transport=udp</Sip></Dial>"),
            (Some(words), _) => xml(&format!("<Say>You said {words}</Say><Hangup/>")),
            (None, Some(key)) => xml(&format!("<Say>You pressed {key}</Say><Hangup/>")),
            (None, None) => xml("<Hangup/>"),
        },
        "/after" => xml("<Say>Goodbye</Say>"),
        _ => Reply::Status(204),
    }
}

#[tokio::test]
async fn a_caller_types_and_the_page_tells_each_step() {
    let app = App::start(answers).await;
    let (_carrier, visitor) = start(&app, Pace::fast(), None).await;
    let sid = visitor.calls_in(CALLER).await.unwrap();
    visitor
        .until_step(&sid, "said", "How can I help?")
        .await
        .unwrap();
    visitor
        .until("the Gather to listen", |state| {
            (call(state, &sid)?["listens"] == "both").then_some(())
        })
        .await
        .unwrap();
    visitor.says(&sid, " tell me ").await.unwrap();
    visitor
        .until_step(&sid, "said", "You said tell me")
        .await
        .unwrap();
    visitor.until_over(&sid).await.unwrap();
    let state = visitor.state().await.unwrap();
    let steps = call(&state, &sid).unwrap()["steps"].as_array().unwrap();
    let at = |kind: &str, text: &str| {
        let place = steps
            .iter()
            .position(|step| step["kind"] == kind && step["text"].as_str().unwrap().contains(text));
        place.unwrap_or_else(|| panic!("{kind} {text}: {steps:#?}"))
    };
    let order = [
        at("status", "ringing"),
        at("webhook", "/voice"),
        at("verb", "Gather"),
        at("said", "How can I help?"),
        at("mine", "tell me"),
        at("webhook", "/heard"),
        at("said", "You said tell me"),
        at("status", "completed"),
    ];
    assert!(order.is_sorted(), "{order:?} in {steps:#?}");
    assert_eq!(app.hits("/voice")[0].param("From"), Some(CALLER));
    // Keys, and nobody on the line afterwards.
    let sid = visitor.calls_in(CALLER).await.unwrap();
    visitor
        .until_step(&sid, "said", "How can I help?")
        .await
        .unwrap();
    visitor
        .does(&format!("calls/{sid}/keys"), json!({ "digits": "5" }))
        .await
        .unwrap();
    visitor
        .until_step(&sid, "said", "You pressed 5")
        .await
        .unwrap();
    visitor.until_over(&sid).await.unwrap();
    let (status, body) = visitor
        .asks(&format!("calls/{sid}/say"), json!({ "text": "hello" }))
        .await
        .unwrap();
    assert_eq!((status, &body["error"]["code"]), (410, &json!("over")));
}

#[tokio::test]
async fn a_handset_is_answered_and_both_hear_each_other() {
    let app = App::start(answers).await;
    let (_carrier, visitor) = start(&app, Pace::real(), None).await;
    let sid = visitor.calls_in(CALLER).await.unwrap();
    visitor.says(&sid, "a human").await.unwrap();
    let agent = visitor.until_phone("2001", "ringing").await.unwrap();
    visitor.presses(&agent, "answer").await.unwrap();
    assert_eq!(visitor.until_phone("2001", "talking").await.unwrap(), agent);
    // Words one way, sound the other.
    visitor.says(&sid, "is it you?").await.unwrap();
    visitor
        .until_step(&agent, "voice", "is it you?")
        .await
        .unwrap();
    let mut ear = visitor.opens(&format!("calls/{sid}/audio")).await.unwrap();
    let mut mouth = visitor
        .opens(&format!("calls/{agent}/audio"))
        .await
        .unwrap();
    let hz = 700.0;
    let heard = hears(&mut ear, &mut mouth, hz).await;
    assert!(tone::present_ms(&heard, hz) > 500, "the tone is not heard");
    visitor.presses(&agent, "hangup").await.unwrap();
    visitor.until_step(&sid, "said", "Goodbye").await.unwrap();
    let after = &app.hits("/after")[0];
    assert_eq!(after.param("DialCallStatus"), Some("completed"));
    assert_eq!(after.param("DialBridged"), Some("true"));
}

/// Talks a tone into one socket in real time until the other has given a second of sound with it.
async fn hears(ear: &mut PageSocket, mouth: &mut PageSocket, hz: f64) -> Audio {
    let said = tone::sine(hz, 60_000);
    let mut frames = said.samples.chunks(160);
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let (mut heard, mut due) = (Vec::new(), 4_000);
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        tokio::select! {
            _ = beat.tick() => {
                let frame: Vec<u8> = frames.next().unwrap().iter().map(|s| Law::Mu.encode(*s)).collect();
                mouth.send(Message::Binary(frame.into())).await.unwrap();
            }
            got = ear.next() => if let Message::Binary(bytes) = got.unwrap().unwrap() {
                heard.extend(bytes.iter().map(|byte| Law::Mu.decode(*byte)));
            }
        }
        // Not after every frame: finding a tone takes its time.
        if heard.len() >= due {
            due = heard.len() + 4_000;
            let audio = Audio::phone(heard.clone());
            if tone::present_ms(&audio, hz) > 1_000 {
                return audio;
            }
        }
    }
    Audio::phone(heard)
}

#[tokio::test]
async fn a_handset_declines_and_another_is_busy() {
    let app = App::start(answers).await;
    let (_carrier, visitor) = start(&app, Pace::fast(), None).await;
    let sid = visitor.calls_in(CALLER).await.unwrap();
    visitor.says(&sid, "a human").await.unwrap();
    let agent = visitor.until_phone("2001", "ringing").await.unwrap();
    visitor.presses(&agent, "decline").await.unwrap();
    visitor.until_step(&sid, "said", "Goodbye").await.unwrap();
    assert_eq!(
        app.hits("/after")[0].param("DialSipResponseCode"),
        Some("603")
    );
    let (status, _) = visitor
        .asks(&format!("calls/{agent}/answer"), json!({}))
        .await
        .unwrap();
    assert_eq!(status, 410, "it rings no more");
    visitor
        .does("phones", json!({ "name": "2001", "does": "busy" }))
        .await
        .unwrap();
    let sid = visitor.calls_in(CALLER).await.unwrap();
    visitor.says(&sid, "a human").await.unwrap();
    visitor.until_step(&sid, "said", "Goodbye").await.unwrap();
    assert_eq!(
        app.hits("/after")[1].param("DialSipResponseCode"),
        Some("486")
    );
}

#[tokio::test]
async fn messages_are_shown_as_they_go() {
    let app = App::start(answers).await;
    let (carrier, visitor) = start(&app, Pace::real(), None).await;
    let mut live = visitor.opens("live").await.unwrap();
    let fate = json!({ "address": "+493023125190", "fate": "undelivered" });
    visitor.does("recipients", fate).await.unwrap();
    let form = [
        ("To", "+493023125190"),
        ("From", OUR_NUMBER),
        ("Body", "A call was missed"),
    ];
    assert_eq!(
        Rest::of(&carrier)
            .post("/Messages.json", &form)
            .await
            .status,
        201
    );
    let mut seen: Vec<String> = Vec::new();
    while seen.last().map(String::as_str) != Some("undelivered") {
        let told = timeout(SOON, live.next()).await.expect("the page is told");
        let Message::Text(text) = told.unwrap().unwrap() else {
            continue;
        };
        let state: Value = serde_json::from_str(&text).unwrap();
        let Some(message) = state["messages"].get(0) else {
            continue;
        };
        assert_eq!(message["body"], "A call was missed");
        let status = message["status"].as_str().unwrap();
        if seen.last().map(String::as_str) != Some(status) {
            seen.push(status.to_owned());
        }
    }
    assert_eq!(seen, ["queued", "sent", "undelivered"]);
    assert_eq!(
        visitor.state().await.unwrap()["messages"][0]["error"],
        30005
    );
}

/// With a speech server what is said aloud is understood, and Say is heard.
#[tokio::test]
async fn sound_becomes_words_and_words_sound() {
    let app = App::start(answers).await;
    let speech = FakeProviders::start().await.unwrap();
    speech.transcript(TranscriptReply::text("good morning"));
    let url = speech.url();
    let at: SpeechAt = std::sync::Arc::new(move || Some(url.clone()));
    let (_carrier, visitor) = start(&app, Pace::real(), Some(at)).await;
    visitor
        .until("the speech server", |state| {
            (state["speech"] == true).then_some(())
        })
        .await
        .unwrap();
    let sid = visitor.calls_in(CALLER).await.unwrap();
    let mut line = visitor.opens(&format!("calls/{sid}/audio")).await.unwrap();
    let mut heard = Vec::new();
    let deadline = Instant::now() + SOON;
    // The stand-in speaks a tone of 440 Hz.
    while tone::present_ms(&Audio::phone(heard.clone()), 440.0) < 500 {
        assert!(Instant::now() < deadline, "Say is not heard");
        let got = timeout(SOON, line.next()).await.unwrap().unwrap().unwrap();
        if let Message::Binary(bytes) = got {
            heard.extend(bytes.iter().map(|byte| Law::Mu.decode(*byte)));
        }
    }
    let said = tone::sine(600.0, 1_500);
    talk(&mut line, &said).await.unwrap();
    visitor
        .until_step(&sid, "said", "You said good morning")
        .await
        .unwrap();
}

/// DNS rebinding, and what another site's page can send with the same visitor.
#[tokio::test]
async fn pages_from_elsewhere_may_do_nothing() {
    let app = App::start(answers).await;
    let (carrier, visitor) = start(&app, Pace::fast(), None).await;
    let own = format!("http://{}", carrier.address());
    let body = json!({ "from": CALLER });
    for (name, value) in [
        (HOST, "evil.example.com:8090"),
        (ORIGIN, "https://evil.example.com"),
        (ORIGIN, "http://127.0.0.1:1"),
        (ORIGIN, "null"),
    ] {
        let request = visitor.posts("calls", &body).header(name.clone(), value);
        let status = request.send().await.unwrap().status();
        assert_eq!(status, 403, "{name} {value}");
    }
    let request = visitor
        .posts("calls", &body)
        .header("sec-fetch-site", "cross-site");
    assert_eq!(request.send().await.unwrap().status(), 403);
    // What a form of another site can send.
    let request = http_client().post(visitor.url("lab/calls"));
    let request = request.header(CONTENT_TYPE, "text/plain");
    let sent = request.body(body.to_string()).send().await.unwrap();
    assert_eq!(sent.status(), 415);
    for path in ["", "lab/state", "lab/live"] {
        let request = http_client().get(visitor.url(path));
        let request = request.header(HOST, "evil.example.com");
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
    let ours = visitor.posts("calls", &body).header(ORIGIN, own.clone());
    assert_eq!(ours.send().await.unwrap().status(), 200);
    assert_eq!(carrier.calls().len(), 1, "nobody else has called");
    let sid = carrier.calls()[0].sid.clone();
    for path in ["live".to_owned(), format!("calls/{sid}/audio")] {
        let url = visitor
            .url(&format!("lab/{path}"))
            .replacen("http", "ws", 1);
        let mut request = url.as_str().into_client_request().unwrap();
        let evil = "https://evil.example.com".parse().unwrap();
        request.headers_mut().insert("origin", evil);
        let refused = connect_async(request).await.unwrap_err();
        assert!(refused.to_string().contains("403"), "{path}: {refused}");
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("origin", own.parse().unwrap());
        connect_async(request).await.expect("our own page may");
    }
    let page = http_client().get(visitor.url("")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(page.text().await.unwrap().contains("lab.js"));
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Pause length=\"600\"/>"),
        _ => Reply::Status(204),
    })
    .await;
    let (_carrier, visitor) = start(&app, Pace::real(), None).await;
    for (path, body, code) in [
        ("calls", json!({ "from": "me" }), "bad_number"),
        (
            "calls",
            json!({ "from": CALLER, "to": CALLER }),
            "bad_request",
        ),
        ("calls", json!({}), "bad_request"),
        ("calls/CA0/say", json!({ "text": "hello" }), "no_call"),
        ("calls/CA0/answer", json!({}), "no_call"),
        (
            "phones",
            json!({ "name": "me", "does": "busy" }),
            "bad_number",
        ),
        (
            "phones",
            json!({ "name": "2001", "does": "dance" }),
            "bad_request",
        ),
        (
            "recipients",
            json!({ "address": "me", "fate": "read" }),
            "bad_number",
        ),
    ] {
        let (status, answer) = visitor.asks(path, body).await.unwrap();
        assert!((400..500).contains(&status), "{path}: {status}");
        assert_eq!(answer["error"]["code"], code, "{path}: {answer}");
    }
    for _ in 0..20 {
        visitor.calls_in(CALLER).await.unwrap();
    }
    let (status, _) = visitor
        .asks("calls", json!({ "from": CALLER }))
        .await
        .unwrap();
    assert_eq!(status, 429);
    let long = "x".repeat(20_000);
    let request = visitor.posts("calls", &json!({ "from": long }));
    assert!(request.send().await.unwrap().status().is_client_error());
}
