//! The outbound agent as he is shipped, who calls in Arabic: the test list of the deployment he
//! replaces (described-systems.md §7, D3), and answering machines that are found out while he talks
//! already. And a customer who talks with the assistant over a media stream.

use std::time::Duration;

use serde_json::{Value, json};
use switchhook_e2e::api::{Api, pretty, told, understood};
use switchhook_e2e::gateway::GatewaySettings;
use switchhook_e2e::speech;
use switchhook_lab::carrier::{
    Behaviour, Carrier, Heard, Pace, Phone, RestRequest, Then, Webhook, WebhookKind,
};

use crate::common::*;
use crate::twilio_line::*;
use crate::twilio_outbound::{CUSTOMER, OTHER, code, once, ordered, outbound, placed};

/// The profile's hours are right, and a test runs at any.
const AT_ANY_HOUR: &str = "hours = { weekly = [{ days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', \
    'sun'], from = '00:00', to = '24:00' }] }";
/// A question of a customer.
const HOURS: &str = "ما هي أوقات العمل";
/// In what a machine is told.
const TRIED: &str = "حاولنا الاتصال بك";

/// The shipped profile, for numbers that are nobody's.
fn shipped() -> GatewaySettings {
    GatewaySettings::profile("outbound-agent")
        .profile_line("hours = ", AT_ANY_HOUR)
        .without_speech()
        .env("SWITCHHOOK_SPEECH_URL", "http://127.0.0.1:9")
        .env("SWITCHHOOK_OUTBOUND_REGION", "US")
        .env("SWITCHHOOK_OUTBOUND_PREFIXES", "+1202555")
}

/// What was heard is told from the time it takes to say it; and people are patient with the test.
fn unhurried() -> Pace {
    Pace {
        grace: Duration::from_secs(20),
        ..Pace::real()
    }
}

/// A deployment of the profile, with somebody who may order calls.
struct Office {
    line: Line,
    api: Api,
}

impl Office {
    async fn open(settings: GatewaySettings, pace: Pace) -> Self {
        let line = line(settings, |config| config.pace = pace).await;
        let api = line.gateway.api_of_a_new_user().await;
        Self { line, api }
    }

    async fn order(&self) -> (u16, Value) {
        let order = json!({ "phone": CUSTOMER, "customer_id": "cust_1", "agent_type": "support" });
        self.api.try_post("/api/calls/initiate", &order).await
    }

    /// The same, and it is taken.
    async fn ordered(&self) -> Value {
        let (status, begun) = self.order().await;
        assert_eq!(status, 202, "{begun:#}");
        begun
    }

    /// The only call, after all reports: asked for once, rung once, and with one end everywhere.
    async fn ended(&self, phone: &Phone) -> Value {
        let carrier = &self.line.carrier;
        carrier.until_quiet(ANSWER).await.unwrap();
        let call = self.api.ended_call(ENDED).await;
        assert_eq!(self.api.calls().await.len(), 1);
        assert_eq!((phone.rung(), placed(carrier)), (1, 1), "called once");
        assert_eq!(carrier.calls()[0].status, "completed");
        for (name, value) in [
            ("profile", "outbound-agent"),
            ("direction", "outbound"),
            ("channel", "twilio"),
            ("caller", OURS),
            ("callee", CUSTOMER),
        ] {
            assert_eq!(call[name], value, "{name}: {}", pretty(&call));
        }
        assert_ne!(call["simulated"], true, "{}", pretty(&call));
        assert!(call["answered_at"].is_string(), "{}", pretty(&call));
        assert!(call["ended_at"].is_string(), "{}", pretty(&call));
        for leg in call["legs"].as_array().unwrap() {
            assert_eq!(leg["state"], "ended", "{}", pretty(&call));
        }
        self.line.is_clean(&call).await;
        call
    }
}

/// Said by the carrier's Arabic voice, in Arabic.
fn is_arabic(heard: &Heard) {
    let Heard::Said {
        text,
        voice,
        language,
        ..
    } = heard
    else {
        panic!("{heard:?}");
    };
    let tag = language.as_deref().unwrap_or_default();
    assert!(tag.starts_with("ar-"), "{tag}: {text}");
    assert_eq!(voice.as_deref(), Some("Polly.Hala-Neural"), "{text}");
    let is_latin = text.chars().any(|c| c.is_ascii_alphabetic());
    assert!(!is_latin, "no Arabic: {text}");
}

/// A parameter of the request for the call.
fn asked(carrier: &Carrier, name: &str) -> Option<String> {
    let log = carrier.log();
    let is_order =
        |request: &&RestRequest| request.method == "POST" && request.path.ends_with("/Calls.json");
    let order = log.rest.iter().find(is_order)?;
    let found = order.params.iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value.clone())
}

/// The carrier asks what to do with whoever answered.
fn is_connect(webhook: &Webhook) -> bool {
    webhook.path().contains("/twilio/connect/")
}

/// D3 1 and 2: what the deployment's own checks look at, under both of its paths. Nobody has to
/// sign.
#[tokio::test]
async fn the_probes_answer_as_the_deployment_reads_them() {
    for number in [None, Some(OTHER)] {
        let settings = match number {
            Some(number) => shipped().env("ELEVENLABS_PHONE_NUMBER", number),
            None => shipped(),
        };
        let office = Office::open(settings, Pace::fast()).await;
        let gateway = &office.line.gateway;
        let get = async |path: &str| {
            let request = gateway.client().get(gateway.http_url(path));
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap())
        };
        let (status, health) = get("/healthz").await;
        assert_eq!(status, 200, "{health:#}");
        assert_eq!(health["status"], "ok", "{health:#}");
        assert_eq!(health["database"], "ok", "{health:#}");
        for prefix in ["", "/api"] {
            let health = get(&format!("{prefix}/twilio/health")).await;
            let expected = json!({
                "status": "ok",
                "twilio_configured": true,
                "elevenlabs_number_configured": number.is_some(),
                "elevenlabs_number": number,
            });
            assert_eq!(health, (200, expected), "{prefix}");
            let url = gateway.http_url(&format!("{prefix}/twilio/test"));
            let answer = gateway.client().post(url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let kind = answer.headers()["content-type"].to_str().unwrap();
            assert!(kind.starts_with("text/xml"), "{kind}");
            let xml = answer.text().await.unwrap();
            let words = "<Say>Hello, this is a test call from the system.</Say><Hangup/>";
            let document = format!("<Response>{words}</Response>");
            assert!(xml.ends_with(&document), "{xml}");
        }
        assert!(office.api.calls().await.is_empty(), "a probe is no call");
    }
}

/// D3 3, up to the assistant's talk: ordered, session, rung once, answered by a human, a talk in
/// Arabic, hung up, and one end.
#[tokio::test]
async fn a_customer_is_called_and_talks_in_arabic() {
    let office = Office::open(shipped(), unhurried()).await;
    let carrier = &office.line.carrier;
    let answers = Behaviour::answers_then(Then::stays().by_hand());
    let phone = carrier.phone(CUSTOMER, answers);
    let begun = office.ordered().await;
    assert_eq!(begun["status"], "ringing", "{begun:#}");
    assert_eq!(begun["twilio_configured"], true, "{begun:#}");
    let session = begun["session_id"].as_str().unwrap();
    assert!(session.starts_with("vs_"), "{session}");
    let customer = phone.until_answered(0, ANSWER).await.unwrap();
    assert_eq!(begun["call_sid"], customer.call_sid());
    let greeting = customer
        .until_hears("كيف يمكنني مساعدتك", ANSWER)
        .await
        .unwrap();
    is_arabic(&greeting);
    assert!(greeting.text().contains("محسن"), "{greeting:?}");
    // Who answered was found out before a word was said.
    let first = carrier.until_webhook("the first document", ANSWER, is_connect);
    let first = first.await.unwrap();
    assert_eq!(first.path(), format!("/twilio/connect/{session}"));
    assert_eq!(first.param("AnsweredBy"), Some("human"));
    customer.says(HOURS);
    let hours = customer.until_hears("مفتوحون", ANSWER).await.unwrap();
    is_arabic(&hours);
    customer.says("أين العنوان");
    let address = customer.until_hears("ساحة السوق", ANSWER).await.unwrap();
    is_arabic(&address);
    let talks = |call: &Value| call["status"] == "assistant";
    let live = office.api.wait_call("the assistant", SOON, talks).await;
    assert_eq!(live["id"], begun["call_id"]);
    customer.hangs_up();
    let end = customer.ended(ANSWER).await.unwrap();
    assert!(end.by_person, "{end:?}");
    let call = office.ended(&phone).await;
    assert_eq!(call["id"], begun["call_id"]);
    assert_eq!(code(&call), "caller_hung_up", "{}", pretty(&call));
    assert_eq!(phone.rings()[0].from, OURS);
    assert!(understood(&call).contains(HOURS), "{}", pretty(&call));
    assert!(told(&call).contains("محسن"), "{}", pretty(&call));
}

/// D3 3, where the deployment talked to mailboxes (F3.7): a machine hears nothing of us.
#[tokio::test]
async fn the_shipped_agent_hangs_up_on_a_machine() {
    let office = Office::open(shipped(), Pace::fast()).await;
    let carrier = &office.line.carrier;
    let phone = carrier.phone(CUSTOMER, Behaviour::machine(Duration::from_secs(6)));
    office.ordered().await;
    let machine = phone.until_answered(0, ANSWER).await.unwrap();
    machine.ended(ANSWER).await.unwrap();
    let call = office.ended(&phone).await;
    assert_eq!(code(&call), "voicemail", "{}", pretty(&call));
    assert_eq!(machine.transcript(), Vec::<String>::new());
    assert_eq!(call["turns"], json!([]), "{}", pretty(&call));
}

/// The profile has hours, and keeps them.
#[tokio::test]
async fn nobody_is_called_outside_the_hours() {
    let closed = shipped().profile_line("hours = ", "hours = { weekly = [] }");
    let office = Office::open(closed, Pace::fast()).await;
    let phone = office.line.carrier.phone(CUSTOMER, Behaviour::answers());
    let (status, refused) = office.order().await;
    assert_eq!(status, 422, "{refused:#}");
    assert_eq!(refused["error"]["code"], "outbound.hours", "{refused:#}");
    assert_eq!((phone.rung(), placed(&office.line.carrier)), (0, 0));
    assert!(office.api.calls().await.is_empty(), "a refusal is no call");
}

/// The shipped profile, which does not wait for the detector before it talks.
fn beside() -> GatewaySettings {
    shipped().profile_line("machine_detection = ", "machine_detection = \"beside\"")
}

/// What the detector found, as it was reported while the assistant talked.
async fn reported(carrier: &Carrier) -> String {
    let is_amd = |webhook: &Webhook| webhook.kind == WebhookKind::Amd;
    let report = carrier.until_webhook("what was found", ANSWER, is_amd);
    let report = report.await.unwrap();
    assert_eq!(report.status(), 204, "{report:?}");
    assert_eq!(asked(carrier, "AsyncAmd").as_deref(), Some("true"));
    let first = carrier.until_webhook("the first document", ANSWER, is_connect);
    let first = first.await.unwrap();
    assert_eq!(first.param("AnsweredBy"), None, "nobody waited for it");
    report.param("AnsweredBy").unwrap_or_default().to_owned()
}

/// Issue 5, outbound, answering machines: found out while the assistant talks to it, a machine is
/// hung up on, gets the message behind its beep, or is talked to, as configured.
#[tokio::test]
async fn a_machine_is_found_out_while_the_assistant_talks() {
    for (policy, found, outcome) in [
        ("hang_up", "machine_start", "voicemail"),
        ("message", "machine_end_beep", "voicemail"),
        ("go_on", "machine_start", "caller_hung_up"),
    ] {
        let settings = beside().env("SWITCHHOOK_OUTBOUND_MACHINE", policy);
        let office = Office::open(settings, unhurried()).await;
        let carrier = &office.line.carrier;
        let phone = carrier.phone(CUSTOMER, Behaviour::machine(Duration::from_secs(6)));
        office.ordered().await;
        let machine = phone.until_answered(0, ANSWER).await.unwrap();
        machine.until_hears("محسن", ANSWER).await.unwrap();
        assert_eq!(reported(carrier).await, found, "{policy}");
        match policy {
            "message" => {
                let message = machine.until_hears(TRIED, ANSWER).await.unwrap();
                is_arabic(&message);
            }
            "go_on" => {
                machine.hangs_up();
            }
            _ => {}
        }
        machine.ended(ANSWER).await.unwrap();
        let call = office.ended(&phone).await;
        assert_eq!(code(&call), outcome, "{policy}: {}", pretty(&call));
        let is_recorded = machine.after_beep().iter().any(|said| said.contains(TRIED));
        assert_eq!(is_recorded, policy == "message", "{policy}");
        let detail = call["outcome"]["detail"].as_str().unwrap_or_default();
        let says = match policy {
            "hang_up" => "without a message",
            "message" => "it has the message",
            _ => "",
        };
        assert!(detail.contains(says), "{policy}: {detail}");
    }
}

/// The same with a human: nothing comes of the report, and the talk goes on to its end.
#[tokio::test]
async fn a_human_is_found_out_while_the_assistant_talks() {
    let office = Office::open(beside(), unhurried()).await;
    let carrier = &office.line.carrier;
    let answers = Behaviour::answers_then(Then::stays().by_hand());
    let phone = carrier.phone(CUSTOMER, answers);
    office.ordered().await;
    let customer = phone.until_answered(0, ANSWER).await.unwrap();
    customer.until_hears("محسن", ANSWER).await.unwrap();
    assert_eq!(reported(carrier).await, "human");
    customer.says(HOURS);
    customer.until_hears("مفتوحون", ANSWER).await.unwrap();
    customer.says("شكرا مع السلامة");
    customer.until_hears("مع السلامة", ANSWER).await.unwrap();
    customer.ended(ANSWER).await.unwrap();
    let call = office.ended(&phone).await;
    assert_eq!(code(&call), "completed", "{}", pretty(&call));
}

/// Issue 5, outbound, "assistant by Media Streams": our own voice and ears, in a call of ours.
#[tokio::test]
async fn a_customer_is_called_and_talks_over_a_media_stream() {
    let settings = outbound()
        .env("SWITCHHOOK_TWILIO_TALK", "stream")
        .env("SWITCHHOOK_SPEECH_URL", speech::url().await);
    let line = line(settings, |config| {
        // Audio keeps its own pace.
        config.pace = Pace {
            speed: 8.0,
            ..Pace::fast()
        };
    })
    .await;
    let phone = line.carrier.phone(CUSTOMER, Behaviour::answers());
    ordered(&line, CUSTOMER).await;
    let customer = phone.until_answered(0, ANSWER).await.unwrap();
    hears_greeting(&customer).await;
    asks_aloud(&customer, "book-a.wav").await;
    customer.hangs_up();
    customer.ended(ANSWER).await.unwrap();
    let call = once(&line).await;
    assert_eq!(code(&call), "caller_hung_up", "{}", pretty(&call));
    assert_eq!((phone.rung(), placed(&line.carrier)), (1, 1), "called once");
    assert!(told(&call).contains("clara"), "{}", pretty(&call));
    let words = words_in_common("Book a table for two tomorrow at seven", &understood(&call));
    assert!(words >= 0.5, "{}", pretty(&call));
    let streams = line.carrier.streams();
    assert_eq!(streams.len(), 1, "{streams:#?}");
    assert_eq!(streams[0].call_sid, customer.call_sid());
    line.is_clean(&call).await;
}
