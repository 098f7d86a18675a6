//! Calls the API begins.

use std::time::Duration;

use switchhook_lab::carrier::{Behaviour, Carrier, WebhookKind};

use crate::app::{App, Hit, Reply, Rest, xml};
use crate::{AGENT, OUR_NUMBER, SOON};

async fn app() -> App {
    App::start(|hit| match hit.path.as_str() {
        "/outbound" => xml("<Say>This is Clara</Say><Gather input=\"speech\" action=\"/heard\"/>"),
        "/heard" => xml("<Hangup/>"),
        _ => Reply::Status(204),
    })
    .await
}

fn order<'a>(url: &'a str, status: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("To", AGENT),
        ("From", OUR_NUMBER),
        ("Url", url),
        ("Timeout", "20"),
        ("StatusCallback", status),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
    ]
}

fn sorted(mut hits: Vec<Hit>) -> Vec<(String, String)> {
    hits.sort_by_key(|h| h.param("SequenceNumber").unwrap().to_owned());
    hits.iter()
        .map(|h| {
            let text = |name: &str| h.param(name).unwrap().to_owned();
            (text("SequenceNumber"), text("CallStatus"))
        })
        .collect()
}

async fn call(app: &App, carrier: &Carrier, more: &[(&str, &str)]) -> String {
    let (url, status) = (app.url("/outbound"), app.url("/status"));
    let mut form = order(&url, &status);
    form.extend(more);
    let created = Rest::of(carrier).post("/Calls.json", &form).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.body["status"], "queued");
    assert_eq!(created.body["direction"], "outbound-api");
    created.body["sid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_is_made_and_its_progress_told() {
    let app = app().await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::answers());
    let sid = call(&app, &carrier, &[]).await;
    let person = phone.until_answered(0, SOON).await.unwrap();
    assert_eq!(person.call_sid(), sid);
    person.until_hears("this is clara", SOON).await.unwrap();
    person.says("hello");
    assert_eq!(person.ended(SOON).await.unwrap().status, "completed");
    carrier.until_quiet(SOON).await.unwrap();
    let first = &app.hits("/outbound")[0];
    assert_eq!(first.param("CallStatus"), Some("in-progress"));
    assert_eq!(first.param("Direction"), Some("outbound-api"));
    assert_eq!(first.param("To"), Some(AGENT));
    carrier
        .until("four callbacks", SOON, |_| {
            (app.hits("/status").len() == 4).then_some(())
        })
        .await
        .unwrap();
    let told = sorted(app.hits("/status"));
    let told: Vec<(&str, &str)> = told.iter().map(|(n, s)| (n.as_str(), s.as_str())).collect();
    assert_eq!(
        told,
        [
            ("0", "initiated"),
            ("1", "ringing"),
            ("2", "in-progress"),
            ("3", "completed")
        ]
    );
    let shown = Rest::of(&carrier).get(&format!("/Calls/{sid}.json")).await;
    assert_eq!(shown.body["status"], "completed");
    assert!(shown.body["duration"].is_string());
    assert!(
        shown.body["start_time"]
            .as_str()
            .unwrap()
            .ends_with("+0000")
    );
}

#[tokio::test]
async fn whoever_does_not_answer_gets_no_document() {
    for (behaviour, status, sip) in [
        (Behaviour::Busy, "busy", "486"),
        (Behaviour::NoAnswer, "no-answer", "487"),
        (Behaviour::Unreachable, "failed", "404"),
    ] {
        let app = app().await;
        let carrier = app.carrier().await;
        let phone = carrier.phone(AGENT, behaviour);
        call(&app, &carrier, &[]).await;
        let end = carrier
            .until_webhook("the end", SOON, |w| {
                w.kind == WebhookKind::CallStatus && w.param("CallDuration").is_some()
            })
            .await
            .unwrap();
        assert_eq!(end.param("CallStatus"), Some(status));
        assert_eq!(end.param("SipResponseCode"), Some(sip));
        assert_eq!(end.param("Duration"), None);
        assert!(app.hits("/outbound").is_empty());
        assert_eq!(phone.rung(), 1);
    }
}

#[tokio::test]
async fn machines_are_found_before_the_document_or_beside_it() {
    let machine = Behaviour::machine(Duration::from_secs(6));
    let app = app().await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, machine);
    call(&app, &carrier, &[("MachineDetection", "DetectMessageEnd")]).await;
    let asked = carrier
        .until_webhook("the document", SOON, |w| w.path() == "/outbound")
        .await
        .unwrap();
    assert_eq!(asked.param("AnsweredBy"), Some("machine_end_beep"));
    assert_eq!(asked.param("MachineDetectionDuration"), Some("6400"));
    carrier.until_quiet(SOON).await.unwrap();

    phone.behaves(Behaviour::answers());
    let amd = app.url("/amd");
    let more = [
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", amd.as_str()),
    ];
    let sid = call(&app, &carrier, &more).await;
    let found = carrier
        .until_webhook("the detection", SOON, |w| w.kind == WebhookKind::Amd)
        .await
        .unwrap();
    assert_eq!(found.param("AnsweredBy"), Some("human"));
    assert_eq!(found.param("CallSid"), Some(sid.as_str()));
    assert_eq!(found.param("To"), None);
    let document = app.hits("/outbound").pop().unwrap();
    assert_eq!(document.param("AnsweredBy"), None);
    let shown = Rest::of(&carrier).get(&format!("/Calls/{sid}.json")).await;
    assert_eq!(shown.body["answered_by"], "human");
}

#[tokio::test]
async fn ringing_calls_are_cancelled_and_finished_ones_are_gone() {
    let app = app().await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::AnswersWhenTold(Default::default()));
    let sid = call(&app, &carrier, &[]).await;
    phone.until_rung(1, SOON).await.unwrap();
    let rest = Rest::of(&carrier);
    let path = format!("/Calls/{sid}.json");
    let url = app.url("/outbound");
    let early = rest.post(&path, &[("Url", url.as_str())]).await;
    assert_eq!((early.status, &early.body["code"]), (400, &21220.into()));
    assert_eq!(
        rest.post(&path, &[("Status", "canceled")]).await.status,
        200
    );
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(rest.get(&path).await.body["status"], "canceled");
    let late = rest.post(&path, &[("Status", "completed")]).await;
    assert_eq!((late.status, &late.body["code"]), (404, &20404.into()));
    let redirect = rest.post(&path, &[("Url", url.as_str())]).await;
    assert_eq!(redirect.body["code"], 21220);
}

#[tokio::test]
async fn calls_above_the_rate_wait_in_order() {
    let app = app().await;
    let mut config = app.config();
    config.calls_per_second = Some(0.1);
    let carrier = Carrier::start(config).await.unwrap();
    let phone = carrier.phone(AGENT, Behaviour::Busy);
    let sids = [
        call(&app, &carrier, &[]).await,
        call(&app, &carrier, &[]).await,
        call(&app, &carrier, &[]).await,
    ];
    phone.until_rung(3, SOON).await.unwrap();
    let rung: Vec<String> = phone.rings().into_iter().map(|r| r.call_sid).collect();
    assert_eq!(rung, sids);
    carrier.until_quiet(SOON).await.unwrap();
    let shown = Rest::of(&carrier)
        .get(&format!("/Calls/{}.json", sids[2]))
        .await;
    let queued: u64 = shown.body["queue_time"].as_str().unwrap().parse().unwrap();
    assert!(queued > 0, "{queued}");
}

#[tokio::test]
async fn a_message_is_left_after_the_beep_and_a_greeting_is_heard_as_speech() {
    let app = App::start(|hit| match (hit.path.as_str(), hit.param("AnsweredBy")) {
        ("/outbound", Some("machine_end_beep")) => xml("<Say>Please call us back.</Say>"),
        ("/outbound", None) => xml("<Gather input=\"speech\" action=\"/heard\"/>"),
        _ => xml("<Hangup/>"),
    })
    .await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::machine(Duration::from_secs(6)));
    call(&app, &carrier, &[("MachineDetection", "DetectMessageEnd")]).await;
    let machine = phone.until_answered(0, SOON).await.unwrap();
    machine.ended(SOON).await.unwrap();
    assert_eq!(machine.after_beep(), ["Please call us back."]);

    call(&app, &carrier, &[]).await;
    let machine = phone.until_answered(1, SOON).await.unwrap();
    machine.ended(SOON).await.unwrap();
    let heard = app.hits("/heard");
    assert!(heard[0].param("SpeechResult").unwrap().contains("mailbox"));
    assert!(machine.after_beep().is_empty());
}

#[tokio::test]
async fn a_client_is_called_with_keys_a_limit_and_a_recording() {
    let app = App::start(|_| Reply::Status(204)).await;
    let carrier = app.carrier().await;
    let phone = carrier.phone("client:desk", Behaviour::answers());
    let rest = Rest::of(&carrier);
    let form = [
        ("To", "client:desk"),
        ("From", "clara"),
        (
            "Twiml",
            "<Response><Foo/><Say>hello</Say><Pause length=\"600\"/></Response>",
        ),
        ("SendDigits", "12#"),
        ("TimeLimit", "30"),
        ("Record", "true"),
    ];
    let created = rest.post("/Calls.json", &form).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let person = phone.until_answered(0, SOON).await.unwrap();
    person.until_hears("12#", SOON).await.unwrap();
    person.until_hears("hello", SOON).await.unwrap();
    // The limit ends it: the pause is longer.
    assert_eq!(person.ended(SOON).await.unwrap().status, "completed");
    let path = format!("/Calls/{}/Recordings.json", person.call_sid());
    let recordings = rest.get(&path).await;
    assert_eq!(recordings.body["recordings"][0]["source"], "OutboundAPI");
    assert_eq!(recordings.body["recordings"][0]["status"], "completed");
    let path = format!("/Calls/{}/Notifications.json", person.call_sid());
    let shown = rest.get(&path).await;
    assert_eq!(shown.body["notifications"][0]["error_code"], "12200");
}
