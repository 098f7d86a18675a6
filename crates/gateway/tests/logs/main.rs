//! No PIN, keypad digit, token, password, full number or transcript stands in the log, at any level
//! (docs/testing.md). A process of its own: it takes the whole process's log.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod capture;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use capture::Capture;
use serde_json::{Value, json};
use switchhook_gateway::app;
use switchhook_gateway::config::{Environment, Source, load};
use switchhook_lab::audio::wav;
use switchhook_lab::notices::{Answer, NoticeReceiver};
use switchhook_lab::phone::{Phone, PhoneConfig};
use switchhook_lab::providers::{ChatReply, FakeProviders, Fault, SpeechReply, TranscriptReply};
use tokio_util::sync::CancellationToken;

const CALLER: &str = "+12025550142";
const WANTED: &str = "+12025550177";
const SAID: &str = "my secret word is marzipan and you reach me at +12025550177";
const DIGITS: &str = "47110815";
const API_KEY: &str = "sk-of-the-model-0123456789";
const PASSWORD: &str = "password-of-the-operator";
const PHONE_PASSWORD: &str = "password-of-the-phone";
const NOTICE_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A provider, a recogniser, the model: each waits for the other on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_call_with_providers_that_repeat_everything_leaves_no_secret_in_the_log() {
    let capture = Capture::install();
    let providers = FakeProviders::start().await.unwrap();
    let staff = NoticeReceiver::start(Some(NOTICE_SECRET)).await.unwrap();
    staff.otherwise(Answer::Status(400));
    let directory = tempfile::tempdir().unwrap();
    let (http, sip) = (free_port(), free_port());
    let config = directory.path().join("private.toml");
    std::fs::write(&config, configuration(http, sip, &providers, &staff)).unwrap();
    let data = directory.path().join("data").display().to_string();
    let environment = Environment::from_pairs([("SWITCHHOOK_DATA_DIR", data.as_str())]);
    let config = load(&Source::File(config), &environment).unwrap();
    let stop = CancellationToken::new();
    let gateway = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(app::run(config, stop))
        })
    };
    capture.wait_for("=ready ", LONG).await;

    // Somebody signs in, with the wrong password first; a phone registers.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = async |password: &str| {
        let body = json!({"username": "anna", "password": password});
        let url = format!("http://{http}/api/auth/token");
        client.post(url).json(&body).send().await.unwrap()
    };
    assert_eq!(login("password-of-a-stranger").await.status(), 401);
    let token: Value = login(PASSWORD).await.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let get = async |path: &str| -> Value {
        let request = client
            .get(format!("http://{http}{path}"))
            .bearer_auth(&token);
        request.send().await.unwrap().json().await.unwrap()
    };
    let desk = PhoneConfig::new("2001")
        .server(sip)
        .password(PHONE_PASSWORD);
    let desk = Phone::start(desk).await.unwrap();
    desk.register().await.unwrap();

    // Recogniser, model and voice fail, each repeating what it was given and the key.
    providers
        .transcript(TranscriptReply::text(SAID).with_fault(Fault::Echo(503)))
        .transcript(SAID)
        .transcript_otherwise(SAID)
        .chat(ChatReply::fault(Fault::Echo(400)))
        .chat(ChatReply::deltas(vec![json!(SAID)]))
        .chat(ChatReply::tool_call(SAID, &json!({"to": WANTED})))
        .chat(ChatReply::tool_call(
            "request_human_transfer",
            &json!({"reason": SAID, "summary": SAID, "department": null}),
        ))
        .speech_otherwise(SpeechReply::tone(440.0).ms_per_character(10))
        .speech(SpeechReply::fault(Fault::Echo(500)));
    let phone = Phone::start(PhoneConfig::new(CALLER).server(sip))
        .await
        .unwrap();
    let call = phone.dial(&format!("sip:assistant@{sip}")).await.unwrap();
    call.wait_answered(LONG).await.unwrap();
    let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/speech/human-a.wav");
    let speech = wav::read_phone(&speech).unwrap();
    let mut asked = 0;
    // Until the model asked for a human: each time the caller is heard once more.
    for chats in 1..=3 {
        call.wait_speech_ended(call.now_ms(), 0, 500, LONG)
            .await
            .unwrap();
        call.say(speech.clone()).await.unwrap();
        providers.wait_for_chat(chats, LONG).await.unwrap();
        asked += 1;
    }
    assert_eq!(asked, 3);
    call.send_digits(DIGITS);
    capture.wait_for("dial attempt started", LONG).await;
    capture.wait_for("transfer ended", LONG).await;
    call.hangup().await.unwrap();
    capture.wait_for("call ended", LONG).await;
    // The operator looks at all of it.
    let calls = get("/api/calls?q=2025550142").await;
    let id = calls["items"][0]["id"].as_str().unwrap().to_owned();
    let detail = get(&format!("/api/calls/{id}")).await.to_string();
    get(&format!("/api/calls/{id}/transcript")).await;
    assert!(detail.contains(CALLER), "{detail}");
    stop.cancel();
    tokio::task::spawn_blocking(|| gateway.join().unwrap())
        .await
        .unwrap()
        .unwrap();

    let lines = capture.lines();
    let all = lines.join("\n");
    for expected in [
        "asking the recogniser again",
        "the language model failed",
        "a voice failed, the next one is used",
        "login refused",
        "answered",
        "notice not accepted",
    ] {
        assert!(
            all.contains(expected),
            "{expected:?} did not happen:\n{all}"
        );
    }
    let number = |text: &str| text.trim_start_matches('+').to_owned();
    for secret in [
        number(CALLER),
        number(WANTED),
        DIGITS.to_owned(),
        "marzipan".to_owned(),
        API_KEY.to_owned(),
        PASSWORD.to_owned(),
        PHONE_PASSWORD.to_owned(),
        "password-of-a-stranger".to_owned(),
        NOTICE_SECRET.trim_start_matches("whsec_").to_owned(),
        token,
    ] {
        for line in &lines {
            assert!(!line.contains(&secret), "{secret} is logged: {line}");
        }
    }
    for line in &lines {
        let lower = line.to_lowercase();
        for word in ["digit", "dtmf", "bearer ", "digest "] {
            assert!(!lower.contains(word), "a line about {word:?}: {line}");
        }
    }
}

/// UDP and TCP, free now.
fn free_port() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn configuration(
    http: SocketAddr,
    sip: SocketAddr,
    providers: &FakeProviders,
    staff: &NoticeReceiver,
) -> String {
    let (url, base, notices) = (providers.url(), providers.base_url(), staff.url());
    format!(
        r#"
mode = "development"

[http]
bind = "{http}"

[sip]
bind = "{sip}"
loopback_guests = true
assistant_numbers = ["assistant"]

[users.anna]
role = "admin"
password = "{PASSWORD}"

[extensions.2001]
name = "Front desk"
password = "{PHONE_PASSWORD}"

[trunks.carrier]
termination = "127.0.0.1:9"
addresses = ["192.0.2.7"]
caller_id = "+12025550100"

[outbound]
allowed_prefixes = ["+1202555"]
trunk = "carrier"

[assistant]
name = "Clara"
brain = "openai"

[llm]
base_url = "{base}"
model = "some-model"
api_key = "{API_KEY}"

[speech]
url = "{url}"
api_key = "{API_KEY}"

[transfer]
ring_timeout_s = 2
targets = ["{WANTED}"]
fallback = ["notify_staff", "goodbye"]
closed_fallback = ["notify_staff", "goodbye"]

[notice]
url = "{notices}"
secret = "{NOTICE_SECRET}"
wait_s = 2
"#
    )
}
