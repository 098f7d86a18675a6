//! `/twilio/verify_pin`, and those who claim to have been there.

use std::time::Duration;

use crate::accounts;
use crate::config::{Config, PinAccount, PinProof, PinSection, Secret};

use super::world::{World, inbound};

const DIGITS: &str = "739164";

fn asks(config: &mut Config) {
    let hash = accounts::hash(DIGITS, None).unwrap();
    config.pin = Some(PinSection {
        accounts: vec![PinAccount {
            id: "customer-7".to_owned(),
            name: Some("Anna".to_owned()),
            proof: PinProof::Hash(Secret::new(hash)),
            numbers: Vec::new(),
        }],
        human_without_pin: true,
        caller_number: false,
        tries: 3,
        lock_after: 10,
        lock: Duration::from_secs(600),
        pepper: None,
    });
}

#[tokio::test]
async fn keys_in_a_row_are_gathered_and_compared() {
    let world = World::with(asks).await;
    let first = world.post("/api/twilio/call", &inbound(&[])).await;
    assert_eq!(first.attribute("finishOnKey").as_deref(), Some("#"));
    assert_eq!(first.attribute("numDigits"), None, "{}", first.body);
    assert!(
        first.next().starts_with("/api/twilio/verify_pin"),
        "{}",
        first.body
    );
    let wrong = world
        .post(&first.next(), &inbound(&[("Digits", "1111")]))
        .await;
    assert!(
        wrong.body.contains("That PIN is not right"),
        "{}",
        wrong.body
    );
    let right = world
        .post(&wrong.next(), &inbound(&[("Digits", DIGITS)]))
        .await;
    assert!(right.body.contains("Welcome back, Anna"), "{}", right.body);
    assert!(right.next().starts_with("/api/twilio/process_audio"));
    // What is stored of the call tells no digit.
    let call = &world.calls().await[0];
    let row = world.store.call(&call.id).await.unwrap().unwrap();
    let state = row.channel_state.unwrap();
    let stored = format!("{}{}", row.snapshot.as_str(), state.as_str());
    assert!(!stored.contains(DIGITS), "{stored}");
    assert!(stored.contains("customer-7"));
}

/// Older deployments believed their own URLs.
#[tokio::test]
async fn nobody_is_known_because_a_url_says_so() {
    let world = World::with(asks).await;
    let claims = "authenticated=true&user_id=customer-7&is_continuation=true";
    let first = world
        .post(&format!("/twilio/call?{claims}"), &inbound(&[]))
        .await;
    assert!(first.next().starts_with("/twilio/verify_pin"));
    for path in ["process_audio", "verify_pin"] {
        let forged = [
            ("SpeechResult", "what are my appointments"),
            ("authenticated", "true"),
            ("user_id", "customer-7"),
        ];
        let answer = world
            .post(&format!("/twilio/{path}?{claims}"), &inbound(&forged))
            .await;
        assert!(
            answer.body.contains("PIN") || answer.body.contains("Hangup"),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("Welcome"), "{}", answer.body);
    }
    let call = &world.calls().await[0];
    let row = world.store.call(&call.id).await.unwrap().unwrap();
    let state = row.channel_state.unwrap();
    assert!(!state.as_str().contains("customer-7"), "{}", state.as_str());
}
