//! Conferences: by document and by REST, who is told what, and who hears whom.

use std::time::Duration;

use switchhook_lab::audio::{Audio, tone};
use switchhook_lab::carrier::{Behaviour, Heard, WebhookKind};

use crate::app::{App, Reply, Rest, xml};
use crate::{AGENT, CALLER, OUR_NUMBER, SOON};

async fn room() -> App {
    App::start(|hit| match hit.path.as_str() {
        "/voice" => xml(
            "<Dial action=\"/after\"><Conference startConferenceOnEnter=\"false\" \
             endConferenceOnExit=\"true\" participantLabel=\"caller\" waitUrl=\"/wait\" \
             statusCallback=\"/conference\" statusCallbackEvent=\"start end join leave\">room-1\
             </Conference></Dial>",
        ),
        "/wait" => xml("<Say>please hold</Say><Pause length=\"20\"/>"),
        "/after" => xml("<Say>after</Say>"),
        _ => Reply::Status(204),
    })
    .await
}

const PARTICIPANTS: &str = "/Conferences/room-1/Participants.json";

fn invite() -> Vec<(&'static str, &'static str)> {
    vec![
        ("To", AGENT),
        ("From", OUR_NUMBER),
        ("Label", "human"),
        ("EndConferenceOnExit", "true"),
        ("Timeout", "20"),
    ]
}

#[tokio::test]
async fn a_warm_transfer_joins_two_with_one_ring() {
    let app = room().await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("please hold", SOON).await.unwrap();
    let rest = Rest::of(&carrier);
    let added = rest.post(PARTICIPANTS, &invite()).await;
    assert_eq!(added.status, 201);
    assert_eq!(added.body["label"], "human");
    assert_eq!(added.body["status"], "queued");
    let agent = phone.until_answered(0, SOON).await.unwrap();
    assert_eq!(added.body["call_sid"], agent.call_sid());
    agent.says("this is Clara");
    caller.until_hears("this is clara", SOON).await.unwrap();
    caller.says("hello Clara");
    agent.until_hears("hello clara", SOON).await.unwrap();
    let shown = rest.get("/Conferences.json?FriendlyName=room-1").await;
    assert_eq!(shown.body["conferences"][0]["status"], "in-progress");
    let listed = rest.get(PARTICIPANTS).await;
    assert_eq!(listed.body["participants"].as_array().unwrap().len(), 2);

    agent.hangs_up();
    caller.until_hears("after", SOON).await.unwrap();
    carrier.until_quiet(SOON).await.unwrap();
    assert_eq!(phone.rung(), 1);
    let after = &app.hits("/after")[0];
    assert_eq!(after.param("DialCallStatus"), Some("answered"));
    assert_eq!(after.param("DialCallSid"), None);
    let told = || app.hits("/conference");
    carrier
        .until("six events", SOON, |_| (told().len() == 6).then_some(()))
        .await
        .unwrap();
    let mut events: Vec<(u32, String)> = told()
        .iter()
        .map(|h| {
            let number = h.param("SequenceNumber").unwrap().parse().unwrap();
            (number, h.param("StatusCallbackEvent").unwrap().to_owned())
        })
        .collect();
    events.sort();
    let events: Vec<&str> = events.iter().map(|(_, e)| e.as_str()).collect();
    assert_eq!(
        events,
        [
            "participant-join",
            "participant-join",
            "conference-start",
            "participant-leave",
            "conference-end",
            "participant-leave",
        ]
    );
    let mut ends = told().into_iter();
    let end = ends.find(|h| h.param("StatusCallbackEvent") == Some("conference-end"));
    let reason = end
        .unwrap()
        .param("ReasonConferenceEnded")
        .unwrap()
        .to_owned();
    assert_eq!(reason, "participant-with-end-conference-on-exit-left");
}

#[tokio::test]
async fn a_participant_who_does_not_come_is_told_as_a_leave() {
    for (behaviour, status) in [
        (Behaviour::Busy, "busy"),
        (Behaviour::NoAnswer, "no-answer"),
        (Behaviour::Unreachable, "failed"),
    ] {
        let app = room().await;
        let carrier = app.carrier().await;
        let phone = carrier.phone(AGENT, behaviour);
        let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        caller.until_hears("please hold", SOON).await.unwrap();
        Rest::of(&carrier).post(PARTICIPANTS, &invite()).await;
        let leave = carrier
            .until_webhook("the leave", SOON, |w| {
                w.param("StatusCallbackEvent") == Some("participant-leave")
            })
            .await
            .unwrap();
        assert_eq!(leave.param("ParticipantCallStatus"), Some(status));
        assert_eq!(
            leave.param("ReasonParticipantLeft"),
            Some("participant_add_failed")
        );
        assert_eq!(phone.rung(), 1);
        assert!(!caller.is_over());
        caller.hangs_up();
        caller.ended(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn mute_hold_and_kick() {
    let app = room().await;
    let carrier = app.carrier().await;
    let phone = carrier.phone(AGENT, Behaviour::answers());
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("please hold", SOON).await.unwrap();
    let rest = Rest::of(&carrier);
    rest.post(PARTICIPANTS, &invite()).await;
    let agent = phone.until_answered(0, SOON).await.unwrap();
    agent.says("hello");
    caller.until_hears("hello", SOON).await.unwrap();
    let who = "/Conferences/room-1/Participants/human.json";
    let muted = rest.post(who, &[("Muted", "true")]).await;
    assert_eq!((muted.status, &muted.body["muted"]), (200, &true.into()));
    agent.says("unheard");
    carrier
        .until("the words to be taken", SOON, |_| {
            (!agent.has_more_to_say()).then_some(())
        })
        .await
        .unwrap();
    rest.post(
        who,
        &[
            ("Muted", "false"),
            ("Hold", "true"),
            ("HoldUrl", "https://gw.example.com/m"),
        ],
    )
    .await;
    agent
        .until_hears("https://gw.example.com/m", SOON)
        .await
        .unwrap();
    assert!(!caller.heard().contains(&Heard::Voice {
        text: "unheard".into()
    }));
    let kicked = rest
        .delete("/Conferences/room-1/Participants/caller.json")
        .await;
    assert_eq!(kicked.status, 204);
    // A participant who is put out goes on with its own document.
    caller.until_hears("after", SOON).await.unwrap();
    agent.ended(SOON).await.unwrap();
    assert_eq!(rest.get("/Conferences/room-1.json").await.status, 404);
}

#[tokio::test]
async fn a_waiting_caller_is_taken_back_by_a_live_update() {
    let app = room().await;
    let carrier = app.carrier().await;
    let caller = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
    caller.until_hears("please hold", SOON).await.unwrap();
    let path = format!("/Calls/{}.json", caller.call_sid());
    let twiml = "<Response><Say>nobody is there</Say></Response>";
    Rest::of(&carrier).post(&path, &[("Twiml", twiml)]).await;
    caller.until_hears("nobody is there", SOON).await.unwrap();
    caller.ended(SOON).await.unwrap();
    let ended = carrier
        .until_webhook("the end of the conference", SOON, |w| {
            w.param("StatusCallbackEvent") == Some("conference-end")
        })
        .await;
    assert!(ended.is_ok());
    assert!(app.hits("/after").is_empty());
    assert!(caller.until_rings(Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn three_hear_each_other_and_the_mix_is_recorded() {
    let app = App::start(|hit| match hit.path.as_str() {
        "/voice" => xml(
            "<Dial><Conference record=\"record-from-start\" beep=\"false\" \
             waitUrl=\"\" recordingStatusCallback=\"/recording\">room-1</Conference></Dial>",
        ),
        _ => Reply::Status(204),
    })
    .await;
    let carrier = app.carrier().await;
    let mut people = Vec::new();
    for _ in 0..3 {
        let person = carrier.call_in(CALLER, OUR_NUMBER).await.unwrap();
        person.until_listened_to(SOON).await.unwrap();
        people.push(person);
    }
    for (person, hz) in people.iter().zip([500.0, 900.0, 1_300.0]) {
        // One after the other: a mixture has no single tone.
        person.plays_audio(&tone::sine(hz, 1_000));
        let present = |a: &Audio| tone::present_ms(a, hz) >= 600;
        for other in people.iter().filter(|o| o.call_sid() != person.call_sid()) {
            other
                .until_audio("another's tone", SOON, present)
                .await
                .unwrap();
        }
        assert_eq!(tone::present_ms(&person.audio(), hz), 0, "an echo");
    }
    for person in &people {
        person.hangs_up();
    }
    let told = carrier
        .until_webhook("the recording", SOON, |w| w.kind == WebhookKind::Recording)
        .await
        .unwrap();
    assert_eq!(told.param("RecordingSource"), Some("Conference"));
    assert!(told.param("ConferenceSid").unwrap().starts_with("CF"));
    let recording = &carrier.recordings()[0];
    let wav = hound::WavReader::new(&recording.wav[..]).unwrap();
    let audio = Audio::phone(wav.into_samples().map(Result::unwrap).collect());
    for hz in [500.0, 900.0, 1_300.0] {
        assert!(tone::present_ms(&audio, hz) >= 500, "{hz}");
    }
}
