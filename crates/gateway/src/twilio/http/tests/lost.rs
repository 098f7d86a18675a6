//! The carrier got no answer and asks at the fallback URL.

use switchhook_store::Queue;

use super::ladders::WISH;
use super::world::{Answer, BASE, World, inbound};

const RECORDING: &str = "RE00000000000000000000000000000001";

/// Asks as the carrier does when a request to `target` failed.
async fn ask_again(world: &World, target: &str, code: &str) -> Answer {
    let url = format!("{BASE}{target}");
    let form = inbound(&[("ErrorCode", code), ("ErrorUrl", &url)]);
    world.post("/twilio/error", &form).await
}

/// An answer that was lost is given again, and its step is not made twice.
#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let world = World::new().await;
    let mut target = "/twilio/voice".to_owned();
    let mut more: Vec<(&str, &str)> = vec![("CallStatus", "ringing")];
    let rest = [
        vec![("SpeechResult", WISH)],
        vec![("DialCallStatus", "busy"), ("DialBridged", "false")],
        vec![],
        vec![("RecordingDuration", "5"), ("Digits", "#")],
    ];
    for next in rest {
        let answer = world.post(&target, &inbound(&more)).await;
        for code in ["11200", "11205"] {
            assert_eq!(ask_again(&world, &target, code).await, answer, "{target}");
        }
        target = answer.next();
        more = next;
    }
    assert_eq!(world.calls().await.len(), 1);
}

/// The carrier was told to come; the answer to that was lost, or it never reached us.
#[tokio::test]
async fn a_lost_answer_to_an_order_is_given_again() {
    let world = World::new().await;
    let mut last = world
        .post("/twilio/voice", &inbound(&[("CallStatus", "ringing")]))
        .await;
    let id = world.calls().await[0].id.clone();
    let ordered = format!("/twilio/connect/{id}");
    let steps = [
        vec![("SpeechResult", WISH)],
        vec![("DialCallStatus", "busy"), ("DialBridged", "false")],
    ];
    for form in steps {
        last = world.post(&last.next(), &inbound(&form)).await;
        assert_eq!(ask_again(&world, &ordered, "11200").await, last);
    }
    // No words are taken for a caller's silence.
    assert!(last.body.contains("leave a message"), "{}", last.body);
    assert_eq!(ask_again(&world, &ordered, "11205").await, last);
}

/// A report that did not reach us is lost, and nothing is done twice for it.
#[tokio::test]
async fn a_lost_report_dials_nobody_again() {
    let world = World::new().await;
    let announced = ask_again(&world, "/twilio/voice", "11205").await;
    assert!(announced.body.contains("<Gather"), "{}", announced.body);
    // What the caller said is lost: it is asked again.
    let prompt = ask_again(&world, &announced.next(), "11200").await;
    assert!(prompt.body.contains("still there"), "{}", prompt.body);
    let dial = world
        .post(&prompt.next(), &inbound(&[("SpeechResult", WISH)]))
        .await;
    assert!(dial.body.contains("<Dial "), "{}", dial.body);
    // The end of the dial is lost.
    let after = ask_again(&world, &dial.next(), "11200").await;
    assert!(!after.body.contains("<Dial "), "{}", after.body);
    assert_ne!(after.status, 500);
    let calls = world.calls().await;
    assert_eq!(calls.len(), 1);
}

/// The document that has the carrier record a message.
async fn asked_for_a_message(world: &World) -> Answer {
    let mut last = world
        .post("/twilio/voice", &inbound(&[("CallStatus", "ringing")]))
        .await;
    let steps = [
        vec![("SpeechResult", WISH)],
        vec![("DialCallStatus", "busy"), ("DialBridged", "false")],
        vec![],
    ];
    for form in steps {
        last = world.post(&last.next(), &inbound(&form)).await;
    }
    assert!(last.body.contains("<Record "), "{}", last.body);
    last
}

/// The action of a Record did not reach us; the report of the recording did.
#[tokio::test]
async fn a_message_is_known_by_the_report_of_its_recording() {
    let world = World::new().await;
    let record = asked_for_a_message(&world).await;
    let target = record.next();
    let (_, query) = target.split_once('?').unwrap();
    let report = inbound(&[
        ("RecordingSid", RECORDING),
        ("RecordingStatus", "completed"),
        ("RecordingSource", "RecordVerb"),
        ("RecordingDuration", "5"),
    ]);
    for _ in 0..2 {
        let path = format!("/twilio/recording?{query}");
        let answer = world.post(&path, &report).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    let saved = ask_again(&world, &target, "11200").await;
    assert!(saved.body.contains("saved"), "{}", saved.body);
}

/// The report of the recording did not reach us; the action of the Record did.
#[tokio::test]
async fn a_recording_is_known_by_the_action() {
    let world = World::new().await;
    let record = asked_for_a_message(&world).await;
    let url = format!("https://api.example.com/Recordings/{RECORDING}");
    let action = inbound(&[("RecordingUrl", &url), ("RecordingDuration", "5")]);
    let saved = world.post(&record.next(), &action).await;
    assert!(saved.body.contains("saved"), "{}", saved.body);
    let key = format!("recording:{RECORDING}");
    let job = world.store.work(Queue::Jobs, &key).await.unwrap();
    assert_eq!(job.expect("a job").payload["is_message"], true);
    let call = &world.calls().await[0].id;
    assert_eq!(world.store.recordings(call).await.unwrap().len(), 1);
}

/// A carrier that never gets an answer of ours is sent away in the end.
#[tokio::test]
async fn a_call_does_not_go_in_circles() {
    let world = World::new().await;
    let greeting = world
        .post("/twilio/voice", &inbound(&[("CallStatus", "ringing")]))
        .await;
    for _ in 0..20 {
        let answer = ask_again(&world, "/twilio/voice", "11200").await;
        if answer != greeting {
            assert!(answer.body.contains("technical problem"), "{}", answer.body);
            assert!(answer.body.ends_with("<Hangup/></Response>"));
            return;
        }
    }
    panic!("it goes on for ever");
}

/// A leg that was dialled is no caller, and somebody else's call is not touched.
#[tokio::test]
async fn an_agents_leg_gets_an_apology() {
    let world = World::new().await;
    let form = [
        ("CallSid", "CA00000000000000000000000000000002"),
        ("ParentCallSid", "CA00000000000000000000000000000001"),
        ("ErrorCode", "11200"),
    ];
    let answer = world.post("/twilio/error", &form).await;
    assert!(answer.body.contains("technical problem"), "{}", answer.body);
    assert!(world.calls().await.is_empty());
}
