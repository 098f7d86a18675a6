//! Webhooks of calls we place, from those who have no business with them.

use super::world::{CALL, World, inbound};

const OTHER: &str = "CA00000000000000000000000000000077";

#[tokio::test]
async fn an_unknown_session_gets_an_apology_and_no_call() {
    let world = World::new().await;
    for path in ["vs_none", "call_none", "%3Cb%3E"] {
        let target = format!("/twilio/connect/{path}");
        let answer = world.post(&target, &inbound(&[])).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("<Hangup"), "{}", answer.body);
        assert!(answer.body.contains("<Say"), "{}", answer.body);
    }
    assert!(world.calls().await.is_empty());
}

/// A leg is one call's; another one cannot be put in its place by a path.
#[tokio::test]
async fn a_leg_cannot_take_another_calls_place() {
    let world = World::new().await;
    let greeted = world.post("/twilio/voice", &inbound(&[])).await;
    let id = world.calls().await[0].id.clone();
    for session in [id.to_string(), format!("vs_{}", id.unique())] {
        for path in ["connect", "dial_status", "status", "amd"] {
            let target = format!("/twilio/{path}/{session}");
            let form = inbound(&[
                ("CallSid", OTHER),
                ("CallStatus", "completed"),
                ("AnsweredBy", "machine_start"),
            ]);
            world.post(&target, &form).await;
        }
    }
    let calls = world.calls().await;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].status, "assistant", "nothing ended it");
    // The caller's own leg goes on.
    let next = greeted.next();
    let form = inbound(&[("CallSid", CALL), ("SpeechResult", "goodbye")]);
    assert_eq!(world.post(&next, &form).await.status, 200);
}

#[tokio::test]
async fn nobody_reports_a_machine_without_a_signature() {
    let world = World::new().await;
    let form = "CallSid=CA00000000000000000000000000000001&AnsweredBy=machine_start";
    for target in [
        "/twilio/amd/vs_a",
        "/twilio/connect/vs_a",
        "/api/twilio/status/vs_a",
    ] {
        let answer = world.raw("POST", target, form, &[]).await;
        assert_eq!(answer.status, 403, "{target}");
        let signature = vec![(
            "x-twilio-signature",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        )];
        let answer = world.raw("POST", target, form, &signature).await;
        assert_eq!(answer.status, 403, "{target}");
    }
}
