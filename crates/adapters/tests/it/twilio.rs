//! Twilio's REST interface, over real HTTP against a server that answers from a script and keeps
//! what it was asked.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt as _;
use serde_json::json;
use switchhook_adapters::Secret;
use switchhook_adapters::twilio::rest::{
    AudioFile, CallAmd, CallDocument, CallQuery, CallUpdate, Carrier, ConferenceChange,
    Credentials, ErrorKind, MessageContent, MessageQuery, NewCall, NewMessage, NewParticipant,
    NewRecording, ParticipantUpdate, RecordingChange, RestConfig, Sender, SipLogin, TwilioRest,
    product_url,
};
use switchhook_adapters::twilio::twiml::{AmdMode, Beep, CallEvent, ConferenceCallbackEvent};
use switchhook_adapters::twilio::webhook::{CallSid, CallStatus, MessageStatus};
use switchhook_model::E164;

mod failures;
mod server;

use server::{Answer, Server};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const CALL: &str = "CA00000000000000000000000000000002";

fn call() -> serde_json::Value {
    json!({"sid": CALL, "status": "queued", "to": "+12025550142", "from": "+12025550100"})
}

fn sid() -> CallSid {
    CALL.parse().expect("a call")
}

fn number() -> E164 {
    "+12025550100".parse().expect("a number")
}

fn new_call() -> NewCall {
    let url = "https://gw.example.com/twilio/outbound?job=17";
    NewCall::new(
        "+12025550142",
        "+12025550100",
        CallDocument::Url(url.into()),
    )
}

#[tokio::test]
async fn a_call_is_placed_with_lists_as_repeated_names() {
    let server = Server::start([Answer::Json(201, call())]).await;
    let mut new_call = new_call();
    new_call.status_callback = Some("https://gw.example.com/twilio/status".into());
    new_call.status_callback_events = CallEvent::ALL.to_vec();
    new_call.timeout = Some(25);
    new_call.amd = Some(CallAmd {
        mode: AmdMode::Enable,
        timeout: None,
        callback: Some("https://gw.example.com/twilio/amd".into()),
    });
    new_call.sip_login = Some(SipLogin {
        username: "gw".into(),
        password: Secret::new("p&w=1"),
    });
    let info = server.rest().create_call(&new_call).await.expect("placed");
    assert_eq!((info.sid, info.status), (sid(), CallStatus::Queued));

    let asked = server.only();
    assert_eq!(asked.method, "POST");
    assert_eq!(
        asked.path,
        format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
    );
    let basic = STANDARD.encode(format!("{ACCOUNT}:auth-token"));
    assert_eq!(asked.authorization, Some(format!("Basic {basic}")));
    assert_eq!(
        asked.all("StatusCallbackEvent"),
        ["initiated", "ringing", "answered", "completed"]
    );
    for (name, value) in [
        ("To", "+12025550142"),
        ("From", "+12025550100"),
        ("Url", "https://gw.example.com/twilio/outbound?job=17"),
        ("Timeout", "25"),
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        (
            "AsyncAmdStatusCallback",
            "https://gw.example.com/twilio/amd",
        ),
        ("SipAuthPassword", "p&w=1"),
    ] {
        assert_eq!(asked.all(name), [value], "{name}");
    }
}

#[tokio::test]
async fn an_api_key_logs_in_under_its_own_name() {
    let server = Server::start([Answer::Json(200, call())]).await;
    let key = "SK00000000000000000000000000000001";
    let mut config = server.config();
    config.credentials = Credentials::api_key(ACCOUNT, key, Secret::new("key-secret"));
    let rest = TwilioRest::new(config).expect("a client");
    rest.call(&sid()).await.expect("fetched");
    let asked = server.only();
    let basic = STANDARD.encode(format!("{key}:key-secret"));
    assert_eq!(asked.authorization, Some(format!("Basic {basic}")));
    assert_eq!(
        asked.path,
        format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json")
    );
    assert!(!format!("{rest:?}").contains("key-secret"));
}

#[tokio::test]
async fn every_request_has_its_path_and_form() {
    let conference = json!({"sid": "CF1", "status": "completed"});
    let participant = json!({"call_sid": CALL, "conference_sid": "CF1", "status": "queued"});
    let recording = json!({"sid": "RE1", "call_sid": CALL, "status": "in-progress"});
    let message = json!({"sid": "SM1", "status": "queued"});
    let server = Server::start([
        Answer::Json(200, call()),
        Answer::Json(200, call()),
        Answer::Json(201, message.clone()),
        Answer::Json(201, message.clone()),
        Answer::Json(200, message),
        Answer::Json(201, participant.clone()),
        Answer::Json(200, participant),
        Answer::Head(204, Vec::new(), ""),
        Answer::Json(200, conference),
        Answer::Json(201, recording.clone()),
        Answer::Json(200, recording.clone()),
        Answer::Json(200, recording),
        Answer::Json(
            200,
            json!({"sid": ACCOUNT, "status": "active", "type": "Full"}),
        ),
    ])
    .await;
    let rest = server.rest();
    let xml = "<Response/>";
    rest.update_call(&sid(), &CallUpdate::Twiml(xml.into()))
        .await
        .expect("redirected");
    rest.update_call(&sid(), &CallUpdate::Hangup)
        .await
        .expect("ended");
    let sms = NewMessage {
        to: "+12025550142".into(),
        from: Sender::Number("+12025550100".into()),
        content: MessageContent::Text("Rückruf erbeten & dringend".into()),
        status_callback: Some("https://gw.example.com/twilio/message_status".into()),
        validity_s: Some(3_600),
    };
    let sent = rest.create_message(&sms).await.expect("sent");
    assert_eq!(
        (sent.sid.as_str(), sent.status),
        ("SM1", MessageStatus::Queued)
    );
    let template = NewMessage {
        to: "whatsapp:+12025550142".into(),
        from: Sender::Service("MG00000000000000000000000000000001".into()),
        content: MessageContent::Template {
            content_sid: "HX00000000000000000000000000000001".into(),
            variables: BTreeMap::from([("1".into(), "Anna \"A\"".into())]),
        },
        status_callback: None,
        validity_s: None,
    };
    rest.create_message(&template).await.expect("sent");
    rest.message("SM1").await.expect("fetched");
    let agent = NewParticipant {
        to: "+12025550142".into(),
        from: "+12025550100".into(),
        label: Some("agent".into()),
        timeout: Some(2),
        beep: Some(Beep::Never),
        start_on_enter: Some(true),
        end_on_exit: Some(true),
        conference_status_callback: Some("https://gw.example.com/c".into()),
        conference_status_callback_events: vec![
            ConferenceCallbackEvent::Join,
            ConferenceCallbackEvent::Leave,
        ],
        ..NewParticipant::default()
    };
    rest.add_participant("room a/1", &agent)
        .await
        .expect("dialled");
    let hold = ParticipantUpdate {
        hold: Some(true),
        ..ParticipantUpdate::default()
    };
    rest.update_participant("CF1", "agent", &hold)
        .await
        .expect("held");
    rest.remove_participant("CF1", CALL)
        .await
        .expect("taken out");
    rest.update_conference("CF1", &ConferenceChange::End)
        .await
        .expect("ended");
    let dual = NewRecording {
        is_dual: true,
        ..NewRecording::default()
    };
    rest.start_recording(&sid(), &dual).await.expect("recorded");
    rest.update_recording(&sid(), None, RecordingChange::PauseSilent)
        .await
        .expect("paused");
    rest.update_recording(&sid(), Some("RE1"), RecordingChange::Stop)
        .await
        .expect("stopped");
    assert_eq!(
        rest.account().await.expect("fetched").kind.as_deref(),
        Some("Full")
    );

    let asked = server.asked();
    let base = format!("/2010-04-01/Accounts/{ACCOUNT}");
    let lines: Vec<String> = asked
        .iter()
        .map(|asked| {
            let path = asked.path.strip_prefix(&base).expect("the account");
            format!("{} {path}", asked.method)
        })
        .collect();
    assert_eq!(
        lines,
        [
            &*format!("POST /Calls/{CALL}.json"),
            &*format!("POST /Calls/{CALL}.json"),
            "POST /Messages.json",
            "POST /Messages.json",
            "GET /Messages/SM1.json",
            "POST /Conferences/room%20a%2F1/Participants.json",
            "POST /Conferences/CF1/Participants/agent.json",
            &*format!("DELETE /Conferences/CF1/Participants/{CALL}.json"),
            "POST /Conferences/CF1.json",
            &*format!("POST /Calls/{CALL}/Recordings.json"),
            &*format!("POST /Calls/{CALL}/Recordings/Twilio.CURRENT.json"),
            &*format!("POST /Calls/{CALL}/Recordings/RE1.json"),
            "GET .json",
        ]
    );
    assert_eq!(asked[0].all("Twiml"), [xml]);
    assert_eq!(asked[1].all("Status"), ["completed"]);
    assert_eq!(asked[2].all("Body"), ["Rückruf erbeten & dringend"]);
    assert_eq!(asked[2].all("ValidityPeriod"), ["3600"]);
    assert_eq!(asked[3].all("ContentVariables"), [r#"{"1":"Anna \"A\""}"#]);
    assert_eq!(asked[3].all("Body"), Vec::<&str>::new());
    assert_eq!(asked[5].all("Timeout"), ["5"]);
    assert_eq!(asked[5].all("Beep"), ["false"]);
    assert_eq!(
        asked[5].all("ConferenceStatusCallbackEvent"),
        ["join", "leave"]
    );
    assert_eq!(asked[6].all("Hold"), ["true"]);
    assert_eq!(asked[8].all("Status"), ["completed"]);
    assert_eq!(asked[9].all("RecordingChannels"), ["dual"]);
    assert_eq!(asked[10].all("Status"), ["paused"]);
    assert_eq!(asked[10].all("PauseBehavior"), ["silence"]);
    assert_eq!(asked[11].all("Status"), ["stopped"]);
}

#[tokio::test]
async fn lists_are_followed_page_by_page_and_nowhere_else() {
    let next = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json?Page=1&PageToken=PT%3D1");
    let server = Server::start([
        Answer::Json(
            200,
            json!({"calls": [call(), call()], "next_page_uri": next}),
        ),
        Answer::Json(200, json!({"calls": [call()], "next_page_uri": null})),
    ])
    .await;
    let query = CallQuery {
        parent: Some(sid()),
        ..CallQuery::default()
    };
    let calls = server.rest().calls(&query).await.expect("listed");
    assert_eq!(calls.len(), 3);
    let asked = server.asked();
    assert_eq!(asked[0].query, format!("ParentCallSid={CALL}&PageSize=50"));
    assert_eq!(asked[1].query, "Page=1&PageToken=PT%3D1", "as it was given");

    let elsewhere = "https://evil.example.com/2010-04-01/Messages.json";
    let server = Server::start([Answer::Json(
        200,
        json!({"messages": [], "next_page_uri": elsewhere}),
    )])
    .await;
    let error = server
        .rest()
        .messages(&MessageQuery::default())
        .await
        .expect_err("elsewhere");
    assert!(error.to_string().contains("another address"), "{error}");
}

#[tokio::test]
async fn numbers_are_looked_up_by_their_number_and_conferences_by_name() {
    let entry = json!({"sid": "PN1", "phone_number": "+12025550100", "voice_url": "https://gw.example.com/twilio/voice"});
    let rooms =
        json!([{"sid": "CF1", "status": "completed"}, {"sid": "CF2", "status": "in-progress"}]);
    let server = Server::start([
        Answer::Json(200, json!({"incoming_phone_numbers": [entry]})),
        Answer::Json(200, json!({"outgoing_caller_ids": []})),
        Answer::Json(200, json!({"conferences": rooms})),
    ])
    .await;
    let rest = server.rest();
    let numbers = rest.phone_numbers(&number()).await.expect("listed");
    assert_eq!(
        numbers[0].voice_url.as_deref(),
        Some("https://gw.example.com/twilio/voice")
    );
    assert!(rest.caller_ids(&number()).await.expect("listed").is_empty());
    let rooms = rest.conferences("room-1").await.expect("listed");
    assert_eq!(rooms.len(), 1);
    assert_eq!(rooms[0].sid, "CF2");
    let asked = server.asked();
    assert_eq!(asked[0].query, "PhoneNumber=%2B12025550100&PageSize=50");
    assert!(asked[1].path.ends_with("/OutgoingCallerIds.json"));
    assert_eq!(asked[2].query, "FriendlyName=room-1&PageSize=50");
}

#[tokio::test]
async fn a_recording_is_fetched_and_the_credentials_stay_with_twilio() {
    let store = Server::start([Answer::Head(
        200,
        vec![("content-type", "audio/x-wav".into())],
        "RIFF",
    )])
    .await;
    let target = format!("http://{}/stored.wav?signed=1", store.address);
    let server = Server::start([Answer::Head(302, vec![("location", target)], "")]).await;
    let media = server
        .rest()
        .recording_media("RE1", AudioFile::Wav, true)
        .await
        .expect("fetched");
    assert_eq!(media.content_type.as_deref(), Some("audio/x-wav"));
    assert_eq!(media.length, Some(4));
    let bytes: Vec<_> = media.bytes.try_collect().await.expect("to its end");
    assert_eq!(bytes.concat(), b"RIFF");

    let asked = server.only();
    assert!(asked.authorization.is_some());
    assert_eq!(
        asked.path,
        format!("/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE1.wav")
    );
    assert_eq!(asked.query, "RequestedChannels=2");
    let elsewhere = store.only();
    assert_eq!(elsewhere.authorization, None);
    assert_eq!(elsewhere.query, "signed=1");
}

#[tokio::test]
async fn ids_and_names_never_leave_their_place_in_the_path() {
    let server = Server::start([Answer::Json(200, json!({"sid": "CF1"}))]).await;
    let rest = server.rest();
    for bad in ["", ".", "..", "a\nb", &"x".repeat(129)] {
        let error = rest
            .update_conference(bad, &ConferenceChange::End)
            .await
            .expect_err(bad);
        assert_eq!(
            (error.kind, error.status),
            (ErrorKind::Refused, None),
            "{bad:?}"
        );
    }
    assert!(server.asked().is_empty());
    rest.update_conference("../../x?y#z%2e", &ConferenceChange::End)
        .await
        .expect("escaped");
    assert_eq!(
        server.only().path,
        format!("/2010-04-01/Accounts/{ACCOUNT}/Conferences/..%2F..%2Fx%3Fy%23z%252e.json")
    );
}

#[test]
fn products_regions_and_edges_make_the_host() {
    let url = |region, edge| product_url("api", region, edge);
    assert_eq!(url(None, None).expect("a host"), "https://api.twilio.com");
    assert_eq!(
        url(Some("ie1"), Some("dublin")).expect("a host"),
        "https://api.dublin.ie1.twilio.com"
    );
    assert_eq!(
        url(None, Some("ashburn")).expect("a host"),
        "https://api.ashburn.us1.twilio.com"
    );
    assert_eq!(
        product_url("trunking", None, None).expect("a host"),
        "https://trunking.twilio.com"
    );
    assert!(
        url(Some("ie1"), None)
            .expect_err("no edge")
            .to_string()
            .contains("edge")
    );
    assert!(url(Some("x.example.com/"), Some("a")).is_err());
}

#[test]
fn unusable_configurations_are_named_without_the_secret() {
    let made = |account: &str, token: &str, base: Option<&str>| {
        let credentials = Credentials::token(account, Secret::new(token));
        let mut config = RestConfig::new(credentials);
        config.base_url = Some(base.unwrap_or("http://127.0.0.1:9").to_owned());
        TwilioRest::new(config)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert_eq!(made(ACCOUNT, "hunter2", None), Ok(()));
    for (result, part) in [
        (made("", "hunter2", None), "account_sid"),
        (made("..", "hunter2", None), "account_sid"),
        (made(ACCOUNT, " ", None), "auth_token"),
        (made(ACCOUNT, "hunter2", Some("ftp://x")), "ftp"),
    ] {
        let error = result.expect_err(part);
        assert!(
            error.contains(part) && !error.contains("hunter2"),
            "{error}"
        );
    }
}
