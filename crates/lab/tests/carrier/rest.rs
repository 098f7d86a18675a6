//! The REST API: who may, what is refused, and lists.

use switchhook_lab::carrier::{Carrier, RestFault};

use crate::app::{App, Reply, Rest, xml};
use crate::{AGENT, CALLER, OUR_NUMBER, SOON};

async fn plain() -> (App, Carrier) {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Pause length=\"3600\"/>"),
        _ => Reply::Status(204),
    })
    .await;
    let mut config = app.config();
    config.api_keys.insert("SK1".into(), "key-secret".into());
    config.verified.push("+493023125900".into());
    let carrier = Carrier::start(config).await.unwrap();
    (app, carrier)
}

#[tokio::test]
async fn only_the_account_and_its_keys_are_let_in() {
    let (_app, carrier) = plain().await;
    let account = carrier.account_sid().to_owned();
    let of = |user: &str, password: &str| Rest::of(&carrier).with_credentials(user, password);
    let answered = of(&account, "wrong").get("/Calls.json").await;
    assert_eq!(
        (answered.status, &answered.body["code"]),
        (401, &20003.into())
    );
    assert_eq!(
        answered.body["more_info"],
        "https://www.twilio.com/docs/errors/20003"
    );
    assert_eq!(of("SK1", "key-secret").get("/Calls.json").await.status, 200);
    assert_eq!(of("SK1", "wrong").get("/Calls.json").await.status, 401);
    // Standard keys cannot use /Accounts.
    assert_eq!(of("SK1", "key-secret").get(".json").await.status, 401);
    let shown = Rest::of(&carrier).get(".json").await;
    assert_eq!(
        (shown.status, &shown.body["status"]),
        (200, &"active".into())
    );
    let missing = Rest::of(&carrier).get("/Calls/CA1.json").await;
    assert_eq!(
        (missing.status, &missing.body["code"]),
        (404, &20404.into())
    );
}

#[tokio::test]
async fn bad_calls_are_refused_by_their_number() {
    let (app, carrier) = plain().await;
    let rest = Rest::of(&carrier);
    let url = app.url("/voice");
    let url = url.as_str();
    let long = format!("<Response><Say>{}</Say></Response>", "a".repeat(4_000));
    for (form, code) in [
        (vec![("From", OUR_NUMBER), ("Url", url)], 21201),
        (vec![("To", AGENT), ("Url", url)], 21213),
        (
            vec![("To", "030 1"), ("From", OUR_NUMBER), ("Url", url)],
            21211,
        ),
        (vec![("To", AGENT), ("From", "Clara"), ("Url", url)], 21212),
        (vec![("To", AGENT), ("From", CALLER), ("Url", url)], 21210),
        (
            vec![("To", OUR_NUMBER), ("From", OUR_NUMBER), ("Url", url)],
            21211,
        ),
        (vec![("To", AGENT), ("From", OUR_NUMBER)], 21205),
        (
            vec![("To", AGENT), ("From", OUR_NUMBER), ("Url", "/voice")],
            21205,
        ),
        (
            vec![
                ("To", AGENT),
                ("From", OUR_NUMBER),
                ("Url", url),
                ("Timeout", "x"),
            ],
            21208,
        ),
        (
            vec![
                ("To", AGENT),
                ("From", OUR_NUMBER),
                ("Url", url),
                ("SendDigits", "x"),
            ],
            21206,
        ),
        (
            vec![
                ("To", AGENT),
                ("From", OUR_NUMBER),
                ("Url", url),
                ("Method", "PUT"),
            ],
            21209,
        ),
        (
            vec![("To", AGENT), ("From", OUR_NUMBER), ("Twiml", &long)],
            32018,
        ),
        (
            vec![
                ("To", AGENT),
                ("From", OUR_NUMBER),
                ("Url", url),
                ("MachineDetection", "x"),
            ],
            21234,
        ),
    ] {
        let answered = rest.post("/Calls.json", &form).await;
        assert_eq!(answered.status, 400, "{form:?}");
        assert_eq!(answered.body["code"], code, "{form:?}");
        assert_eq!(answered.body["status"], 400);
    }
    assert!(carrier.calls().is_empty());
    // A verified number and the token of an incoming call are allowed.
    let verified = vec![("To", AGENT), ("From", "+493023125900"), ("Url", url)];
    assert_eq!(rest.post("/Calls.json", &verified).await.status, 201);
    let token = vec![
        ("To", AGENT),
        ("From", CALLER),
        ("Url", url),
        ("CallToken", "t"),
    ];
    assert_eq!(rest.post("/Calls.json", &token).await.status, 201);
}

#[tokio::test]
async fn faults_come_once_each_and_say_whether_it_was_done() {
    let (app, carrier) = plain().await;
    let rest = Rest::of(&carrier);
    let url = app.url("/voice");
    let form = [("To", AGENT), ("From", OUR_NUMBER), ("Url", url.as_str())];
    carrier.rest_faults([
        RestFault::TooMany(Some(7)),
        RestFault::TooMany(None),
        RestFault::Status(503, 20500),
        RestFault::ProcessedButSilent,
    ]);
    let first = rest.post("/Calls.json", &form).await;
    assert_eq!((first.status, &first.body["code"]), (429, &20429.into()));
    assert_eq!(first.retry_after.as_deref(), Some("7"));
    assert_eq!(rest.post("/Calls.json", &form).await.retry_after, None);
    assert_eq!(rest.post("/Calls.json", &form).await.status, 503);
    assert!(carrier.calls().is_empty());
    let silent = rest.post("/Calls.json", &form);
    tokio::select! {
        _ = silent => panic!("the answer must never come"),
        done = carrier.until("the call", SOON, |c| (c.calls().len() == 1).then_some(())) => {
            done.unwrap();
        }
    }
    assert_eq!(rest.post("/Calls.json", &form).await.status, 201);
    assert_eq!(carrier.calls().len(), 2);
}

#[tokio::test]
async fn lists_come_in_pages_and_by_parent() {
    let (_app, carrier) = plain().await;
    let rest = Rest::of(&carrier);
    for _ in 0..3 {
        carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    }
    let page = rest.get("/Calls.json?PageSize=2&From=%2B12025550123").await;
    assert_eq!(page.body["calls"].as_array().unwrap().len(), 2);
    let next = page.body["next_page_uri"].as_str().unwrap();
    let path = next.split(carrier.account_sid()).nth(1).unwrap();
    let rest_of = rest.get(path).await;
    assert_eq!(rest_of.body["calls"].as_array().unwrap().len(), 1);
    assert!(rest_of.body["next_page_uri"].is_null());
    let none = rest.get("/Calls.json?ParentCallSid=CA1").await;
    assert_eq!(none.body["calls"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn numbers_are_shown_and_changed() {
    let (app, carrier) = plain().await;
    let rest = Rest::of(&carrier);
    let listed = rest
        .get("/IncomingPhoneNumbers.json?PhoneNumber=%2B493023125000")
        .await;
    let number = &listed.body["incoming_phone_numbers"][0];
    assert_eq!(number["voice_url"], app.url("/voice"));
    let sid = number["sid"].as_str().unwrap();
    let path = format!("/IncomingPhoneNumbers/{sid}.json");
    let changed = rest
        .post(&path, &[("VoiceUrl", "https://gw.example.com/voice")])
        .await;
    assert_eq!(changed.body["voice_url"], "https://gw.example.com/voice");
    let refused = rest
        .post(
            &path,
            &[
                ("VoiceUrl", ""),
                ("VoiceFallbackUrl", "https://gw.example.com/f"),
            ],
        )
        .await;
    assert_eq!(refused.body["code"], 21405);
    let ids = rest
        .get("/OutgoingCallerIds.json?PhoneNumber=%2B493023125900")
        .await;
    assert_eq!(
        ids.body["outgoing_caller_ids"][0]["phone_number"],
        "+493023125900"
    );
}

#[tokio::test]
async fn a_recording_of_a_live_call_is_paused_and_stopped() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml("<Say>hello</Say><Pause length=\"3600\"/>"),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("hello", SOON).await.unwrap();
    let rest = Rest::of(&carrier);
    let path = format!("/Calls/{}/Recordings.json", caller.call_sid());
    let callback = app.url("/recording");
    let started = rest
        .post(&path, &[("RecordingStatusCallback", callback.as_str())])
        .await;
    assert_eq!(
        (started.status, &started.body["status"]),
        (201, &"in-progress".into())
    );
    let current = format!(
        "/Calls/{}/Recordings/Twilio.CURRENT.json",
        caller.call_sid()
    );
    let paused = rest.post(&current, &[("Status", "paused")]).await;
    assert_eq!(paused.body["status"], "paused");
    let stopped = rest.post(&current, &[("Status", "stopped")]).await;
    assert_eq!(stopped.body["status"], "completed");
    assert_eq!(
        rest.post(&current, &[("Status", "paused")]).await.status,
        404
    );
    let told = carrier
        .until_webhook("the recording", SOON, |w| w.path() == "/recording")
        .await
        .unwrap();
    assert_eq!(told.param("RecordingSource"), Some("StartCallRecordingAPI"));
    caller.hangs_up();
    caller.ended(SOON).await.unwrap();
    assert_eq!(rest.post(&path, &[]).await.status, 400);
}
