//! Stand-in and gateway checked by what others wrote: Twilio's own Python library and an independent
//! client of its Media Streams. What they are asked is in `e2e/outside`.

use std::collections::BTreeSet;

use serde_json::Value;
use switchhook_e2e::api::{only_attempt, pretty};
use switchhook_e2e::audio;
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_e2e::outside::{self, Serving};
use switchhook_lab::carrier::{
    Behaviour, CallIn, Carrier, CarrierConfig, Number, Then, WebhookKind,
};
use switchhook_lab::providers::FakeProviders;

use crate::common::*;
use crate::twilio_line::*;

/// As `CarrierConfig` has it.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const APPLICATION: &str = "https://app.example.com";

/// Every kind of request the stand-in signs is believed by the vendor's validator: forms, queries,
/// umlauts, ports, websockets; and none by it under another token or with another content.
#[tokio::test]
async fn the_vendors_library_believes_the_stand_in() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("requests.jsonl");
    let log_name = log.display().to_string();
    let application = Serving::start("application.py", &[], &[TOKEN, &log_name]).await;
    let address = ([127, 0, 0, 1], application.port).into();
    let with_port = format!("{APPLICATION}:8443");
    let second = "+493023125001";
    let mut config = CarrierConfig {
        numbers: vec![
            Number::new(
                OURS,
                &format!("{APPLICATION}/voice?tenant=m%C3%BCller&leg=a%20b"),
            )
            .status_callback(&format!("{APPLICATION}/status#rc=2&rp=5xx")),
            Number {
                voice_method: "GET".to_owned(),
                ..Number::new(second, &format!("{with_port}/voice?of=a+b"))
            },
        ],
        ..CarrierConfig::default()
    };
    for origin in [APPLICATION, &with_port] {
        config.offload.insert(origin.to_owned(), vec![address]);
    }
    let carrier = Carrier::start(config).await.unwrap();
    let agent = carrier.phone(HUMAN, Behaviour::answers());
    for (called, nth) in [(OURS, 0), (second, 1)] {
        let call = CallIn::new(CALLER, called).with("CallerName", "Frau Müller & Söhne");
        let caller = carrier.place(call).await.unwrap();
        caller.says("Bitte rufen Sie mich zurück");
        let colleague = agent.until_answered(nth, ANSWER).await.unwrap();
        colleague
            .until_hears("Anruf für Sie", ANSWER)
            .await
            .unwrap();
        colleague.hangs_up();
        caller.stays_silent();
        caller.ended(ANSWER).await.unwrap();
    }
    carrier.until_quiet(ENDED).await.unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    let requests: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for request in &requests {
        assert_eq!(request["is_valid"], true, "{}", pretty(request));
        assert_eq!(request["is_valid_by_another_token"], false);
    }
    let is_form = |request: &&Value| request["params"]["CallSid"].is_array();
    let forms: Vec<&Value> = requests.iter().filter(is_form).collect();
    assert!(forms.len() > 10, "{requests:#?}");
    assert!(
        forms
            .iter()
            .all(|form| form["is_valid_when_altered"] == false)
    );
    let has = |what: &str, look: &dyn Fn(&str, &str) -> bool| {
        let found = requests.iter().any(|request| {
            let method = request["method"].as_str().unwrap_or_default();
            look(method, request["url"].as_str().unwrap_or_default())
        });
        assert!(found, "no {what}: {requests:#?}");
    };
    has("form with a query", &|method, url| {
        method == "POST" && url.contains("tenant=m%C3%BCller&leg=a%20b")
    });
    has("GET with its parameters and a port", &|method, url| {
        method == "GET" && url.starts_with(&with_port) && url.contains("CallSid=CA")
    });
    has("websocket", &|_, url| url == "wss://app.example.com/media");
    has("websocket with a port", &|_, url| {
        url == "wss://app.example.com:8443/media"
    });
    for path in [
        "/child",
        "/status",
        "/recording",
        "/whisper",
        "/dialled",
        "/recorded",
        "/gathered",
    ] {
        has(path, &|_, url| {
            url.split('?').next().is_some_and(|url| url.ends_with(path))
        });
    }
    let sent = carrier.log().webhooks.len();
    assert_eq!(
        forms.len() + gets(&requests),
        sent,
        "each webhook was looked at"
    );
}

fn gets(requests: &[Value]) -> usize {
    let is_get = |request: &&Value| {
        let url = request["url"].as_str().unwrap_or_default();
        request["method"] == "GET" && url.starts_with("https:")
    };
    requests.iter().filter(is_get).count()
}

/// The other way round: what the vendor's library signs is taken by the gateway, and what was changed
/// on the way is not.
#[tokio::test]
async fn the_gateway_believes_the_vendors_library() {
    let line = line(gather(), |_| {}).await;
    let url = line.gateway.http_url("");
    let said = outside::run("signing.py", &[&url, HOST, TOKEN]).await;
    assert!(said["asked"].as_u64() >= Some(15), "{said:#}");
    assert!(line.gateway.api().await.calls().await.is_empty());
}

/// Documents of the gateway in real calls, against the builder of the vendor's library.
#[tokio::test]
async fn every_document_is_one_the_vendors_builder_knows() {
    let mut documents = BTreeSet::new();
    let mut keep = |line: &Line| {
        let log = line.carrier.log();
        let asked = log.webhooks.iter().filter(|w| w.kind == WebhookKind::Twiml);
        documents.extend(asked.map(|webhook| webhook.body().to_owned()));
    };
    // An extension that asks for a password and a key, at a PBX, recorded; then nobody; a message.
    let settings = gather()
        .env("SWITCHHOOK_TWILIO_ACCEPT_KEY", "1")
        .env("FREEPBX_SIP_USERNAME", "gateway")
        .env("FREEPBX_SIP_PASSWORD", "not-a-secret-1");
    let at_pbx = line(settings, |_| {}).await;
    let agent = at_pbx.carrier.phone(
        EXTENSION,
        Behaviour::answers_then(Then::stays().presses("Press 1", "1")),
    );
    let caller = wants_a_human(&at_pbx.carrier, CALLER).await;
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    agent.behaves(Behaviour::NoAnswer);
    let caller = wants_a_human(&at_pbx.carrier, CALLER).await;
    caller.until_hears("leave a message", ANSWER).await.unwrap();
    caller.says("Please call me back about the order.");
    caller.stays_silent();
    caller.ended(ANSWER).await.unwrap();
    keep(&at_pbx);
    // A number, in German; nobody answers.
    let by_number = line(receptionist("gather").env("TWILIO_SMS_TO", STAFF), |_| {}).await;
    by_number.carrier.phone(HUMAN, Behaviour::NoAnswer);
    let caller = wants_a_human_in_german(&by_number.carrier, CALLER).await;
    caller
        .until_hears("Ich habe das Team informiert", ANSWER)
        .await
        .unwrap();
    caller.hangs_up();
    by_number.ended().await;
    keep(&by_number);
    // Caller and agent in a conference.
    let settings = gather().env("SWITCHHOOK_TWILIO_TRANSFER", "conference");
    let rooms = line(settings, |_| {}).await;
    let agent = rooms.carrier.phone(EXTENSION, Behaviour::answers());
    let caller = wants_a_human(&rooms.carrier, CALLER).await;
    let colleague = agent.until_answered(0, ANSWER).await.unwrap();
    colleague.hangs_up();
    caller.ended(ANSWER).await.unwrap();
    rooms.ended().await;
    keep(&rooms);
    // Our own speech.
    let settings = receptionist("stream")
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9");
    let streams = line(settings, |_| {}).await;
    let caller = streams.carrier.call_in(CALLER, OURS).await.unwrap();
    caller.until_answered(ANSWER).await.unwrap();
    caller.hangs_up();
    streams.ended().await;
    keep(&streams);
    // What needs no call: the probe and the apology.
    let client = at_pbx.gateway.client();
    for path in ["/twilio/test", "/twilio/error"] {
        let url = at_pbx.gateway.http_url(path);
        let answer = client.post(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        documents.insert(answer.text().await.unwrap());
    }
    documents.remove("");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("documents.jsonl");
    let lines: Vec<String> = documents
        .into_iter()
        .map(|document| Value::from(document).to_string())
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let said = outside::run("documents.py", &[&file.display().to_string()]).await;
    for element in [
        "Say",
        "Gather",
        "Dial",
        "Sip",
        "Number",
        "Record",
        "Redirect",
        "Conference",
        "Connect",
        "Stream",
        "Parameter",
        "Hangup",
    ] {
        assert!(said["seen"][element].is_u64(), "no {element}: {said:#}");
    }
}

/// A client of Media Streams that is not ours: every message of the gateway is one it knows, the
/// greeting is cut when it speaks, and marks come in order.
#[tokio::test]
async fn an_independent_client_talks_over_a_media_stream() {
    let providers = FakeProviders::start().await.unwrap();
    providers.transcript_otherwise("What are your opening hours?");
    let settings = GatewaySettings::demo()
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", providers.url())
        .env("SWITCHHOOK_TWILIO_TALK", "stream");
    let line = line(settings, |_| {}).await;
    let url = line.gateway.http_url("");
    let phrase = audio("human-b.wav").display().to_string();
    let said = outside::run("stream.py", &[&url, HOST, TOKEN, &phrase]).await;
    assert_eq!(said["violations"], serde_json::json!([]), "{said:#}");
    assert_eq!(said["unknown"], serde_json::json!([]), "{said:#}");
    assert_eq!(said["warnings"], serde_json::json!([]), "{said:#}");
    assert_eq!(said["timed_out"], false, "{said:#}");
    assert_eq!(said["closed_by"], "caller", "{said:#}");
    assert!(said["clears"].as_u64() >= Some(1), "{said:#}");
    assert!(said["audio_s"].as_f64() > Some(1.0), "{said:#}");
    let sizes = said["sizes"].as_object().unwrap();
    assert_eq!(sizes.keys().collect::<Vec<_>>(), ["160"], "{said:#}");
    let marks = said["marks"].as_array().unwrap();
    // Of the greeting, before it was cut, and of the answer.
    let generations: BTreeSet<_> = marks
        .iter()
        .filter_map(|mark| mark.as_str()?.split(':').next())
        .collect();
    assert!(generations.len() >= 2, "{said:#}");
    let call = line.ended().await;
    assert_eq!(
        call["violations"],
        serde_json::json!([]),
        "{}",
        pretty(&call)
    );
    assert!(!providers.transcriptions().is_empty(), "it was understood");
}

/// REST both ways: the vendor's client against the stand-in, and the gateway against it, each form
/// and answer against schemas written from the published description.
#[tokio::test]
async fn rest_keeps_to_the_published_description() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("rest.jsonl").display().to_string();
    let port = switchhook_e2e::ports::free();
    let number = Number::new(OURS, &format!("{HOST}/twilio/voice"))
        .status_callback(&format!("{HOST}/twilio/status"));
    let mut config = CarrierConfig {
        numbers: vec![number],
        ..CarrierConfig::default()
    };
    config
        .offload
        .insert(HOST.to_owned(), vec![([127, 0, 0, 1], port).into()]);
    let account = config.account_sid.clone();
    let carrier = Carrier::start(config).await.unwrap();
    let upstream = carrier.url();
    let proxy = Serving::start("rest.py", &["proxy"], &[&upstream, &log]).await;
    let api = format!("http://127.0.0.1:{}", proxy.port);

    let phone = "+493023125102";
    carrier.phone(phone, Behaviour::answers_then(Then::stays()));
    let said = outside::run("client.py", &[&api, &account, TOKEN, OURS, phone]).await;
    assert!(
        said["done"].as_array().is_some_and(|done| done.len() > 15),
        "{said:#}"
    );

    let gateway = known_to(
        receptionist("gather")
            .env("TWILIO_SMS_TO", STAFF)
            .env("SWITCHHOOK_TWILIO_TRANSFER", "conference"),
        port,
        &carrier,
    )
    .env("SWITCHHOOK_TWILIO_API_URL", &api)
    .start()
    .await;
    let line = Line { gateway, carrier };
    line.carrier.phone(HUMAN, Behaviour::NoAnswer);
    let caller = wants_a_human_in_german(&line.carrier, CALLER).await;
    caller
        .until_hears("Ich habe das Team informiert", ANSWER)
        .await
        .unwrap();
    // An operator ends it: over REST.
    let api = line.gateway.api().await;
    let calls = api.calls().await;
    let id = calls[0]["id"].as_str().unwrap();
    api.try_post(&format!("/api/calls/{id}/hangup"), &serde_json::json!({}))
        .await;
    caller.ended(ANSWER).await.unwrap();
    let call = line.ended().await;
    assert_eq!(
        only_attempt(&call)["result"],
        "no_answer",
        "{}",
        pretty(&call)
    );
    let schemas = switchhook_e2e::repository().join("e2e/schemas");
    let schemas = schemas.display().to_string();
    let operations = [
        "fetch the account",
        "create a call",
        "list calls",
        "fetch a call",
        "change a call",
        "record a call",
        "send a message",
        "fetch a message",
        "list messages",
        "list phone numbers",
    ];
    // The last answer may be on its way.
    until("every operation", SOON, async || {
        let said = outside::run("rest.py", &["check", &schemas, &log]).await;
        let has_all = operations.iter().all(|name| said["seen"][name].is_u64());
        check(has_all, || format!("{said:#}"))
    })
    .await;
}
