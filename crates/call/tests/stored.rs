//! What is stored: calls from earlier builds read back and go on, others are refused with a reason;
//! events, actions and records survive JSON.

mod world;

use switchhook_call::judge::CallRecord;
use switchhook_call::{ActionKind, Call, CallView, Event, TransferOutcome};
use switchhook_model::{LegId, Timestamp};
use world::{Phone, World, policy};

const STORED: &str = include_str!("stored/call-v1.json");

/// A call in the middle of its second transfer, with all the parts a call can have.
fn busy_call() -> World {
    let policy = switchhook_call::CallPolicy {
        fallback: vec![
            switchhook_call::FallbackStep::TakeMessage,
            switchhook_call::FallbackStep::NotifyStaff,
            switchhook_call::FallbackStep::ReturnToAssistant,
        ],
        open_hours: serde_json::from_str(
            r#"{"time_zone": "Europe/Berlin", "holidays": ["2026-12-25"],
                "weekly": [{"days": ["mon", "tue"], "from": "00:00", "to": "24:00"}]}"#,
        )
        .expect("a good configuration"),
        texts: switchhook_call::Texts::from_config([("goodbye", "Bye from {department}.")])
            .expect("a good configuration"),
        ..policy()
    };
    let mut world = World::with_assistant(policy)
        .phone("2001", Phone::Busy)
        .phone("2001", Phone::NeverAnswers);
    world.ask(1);
    world.run_until_s(40);
    world.ask(2);
    world.run_until_s(45);
    world
}

#[test]
fn a_call_stored_by_version_1_goes_on() {
    let mut call = Call::restore(STORED).expect("version 1 is read");
    let leg: LegId = "leg_t-3".parse().unwrap();
    let now = Timestamp::parse_rfc3339("2026-01-13T09:00:50Z").unwrap();
    let actions = call.handle(now, Event::LegAnswered { leg });
    assert!(
        actions
            .iter()
            .any(|action| matches!(action.kind, ActionKind::Bridge { .. })),
        "{actions:?}"
    );
    let view = call.view();
    assert_eq!(
        view.transfers[0].outcome,
        Some(TransferOutcome::MessageTaken)
    );
    assert_eq!(view.transfers[1].outcome, Some(TransferOutcome::Bridged));
}

/// The stored form has not changed unnoticed. If it has to: raise `SNAPSHOT_VERSION`, or give new
/// fields a default, and keep the old file as another test.
#[test]
fn the_stored_form_is_still_version_1() {
    let today: serde_json::Value = serde_json::from_str(&busy_call().call.snapshot()).unwrap();
    let then: serde_json::Value = serde_json::from_str(STORED).unwrap();
    assert_eq!(today, then);
}

#[test]
fn other_versions_and_damage_are_refused_with_the_reason() {
    let next = STORED.replacen("\"version\": 1", "\"version\": 2", 1);
    let error = Call::restore(&next).unwrap_err().to_string();
    assert!(
        error.contains("snapshot version 2, but this program reads version 1"),
        "{error}"
    );
    for damaged in ["", "null", "{}", &STORED[..STORED.len() / 2]] {
        let error = Call::restore(damaged).unwrap_err().to_string();
        assert!(
            error.starts_with("the stored call cannot be read"),
            "{error}"
        );
    }
}

#[test]
fn records_and_views_survive_json() {
    let mut world = busy_call();
    world.run_until_s(80);
    world.caller_hangs_up();
    world.run_to_the_end();
    let record = world.record();
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<CallRecord>(&json).unwrap(), record);
    let view = serde_json::to_string(&record.view).unwrap();
    assert_eq!(
        serde_json::from_str::<CallView>(&view).unwrap(),
        record.view
    );
    let headline = world.call.headline(&world.call.view());
    let json = serde_json::to_string(&headline).unwrap();
    assert_eq!(
        serde_json::from_str::<switchhook_call::Headline>(&json).unwrap(),
        headline
    );
}

#[test]
fn hostile_words_are_data_and_have_a_limit() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::Busy);
    let hostile = "<script>{target}\r\nX: y\u{0}😀".repeat(10_000);
    world.event(Event::AssistantAskedForHuman {
        request: world::request(1),
        target: None,
        department: Some(hostile.clone()),
        reason: hostile.clone(),
        summary: hostile.clone(),
    });
    world.run_until_s(10);
    world.event(Event::MessageTaken {
        text: hostile,
        duration_ms: 1,
        recorded: true,
    });
    let size = world.call.snapshot().len();
    assert!(size < 100_000, "{size} bytes");
    world.run_to_the_end();
    assert_eq!(world.violations(), vec![]);
}
