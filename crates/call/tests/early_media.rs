//! What a waiting caller hears when the target plays something before its answer. Each call also
//! passed the judge.

mod world;

use switchhook_call::judge::CallFact;
use switchhook_call::{ActionKind, Event};
use switchhook_model::{HangupCause, LegId};
use world::{Phone, World, policy, target};

/// What the caller heard while waiting, in order.
fn heard(world: &World) -> Vec<String> {
    let caller = world.caller_leg();
    let of = |kind: &ActionKind| match kind {
        ActionKind::Ringback { leg, on } => {
            assert_eq!(*leg, caller);
            Some(format!("ringback {on}"))
        }
        ActionKind::EarlyMedia { leg, from, on } => {
            assert_eq!(*leg, caller);
            Some(format!("{from} {on}"))
        }
        ActionKind::Bridge { b, .. } => Some(format!("bridge {b}")),
        _ => None,
    };
    let facts = world.facts.iter();
    let actions = facts.filter_map(|stamped| match &stamped.fact {
        CallFact::Done(action) => of(&action.kind),
        _ => None,
    });
    actions.collect()
}

fn plays(leg: &LegId, plays: bool) -> Event {
    let leg = leg.clone();
    Event::LegEarlyMedia { leg, plays }
}

/// The caller has heard the sentence and waits for 2001, of whom nothing came but ringing.
fn waiting(phone: Phone) -> World {
    let mut policy = policy();
    policy.default_targets.push(target("2002"));
    let mut world = World::with_assistant(policy)
        .phone("2001", phone)
        .phone("2002", Phone::NeverAnswers);
    world.ask(1);
    world.run_until_s(10);
    assert_eq!(heard(&world), ["ringback true"]);
    world
}

#[test]
fn early_media_takes_the_place_of_ringback_until_the_answer() {
    let mut world = waiting(Phone::AnswersAfter(15_000));
    let agent = world.agent_leg();
    world.event(plays(&agent, true));
    // Said again it changes nothing.
    world.event(plays(&agent, true));
    world.run_until_s(30);
    assert_eq!(
        heard(&world),
        [
            "ringback true".to_owned(),
            "ringback false".to_owned(),
            format!("{agent} true"),
            format!("bridge {agent}"),
        ],
        "the bridge takes it over without a gap"
    );
    // After the answer it means nothing.
    world.event(plays(&agent, false));
    world.event(plays(&agent, true));
    assert_eq!(heard(&world).len(), 4);
    world.agent_hangs_up();
    world.run_to_the_end();
}

#[test]
fn early_media_waits_for_the_sentence() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::NeverAnswers);
    world.ask(1);
    let agent = world.agent_leg();
    world.event(plays(&agent, true));
    assert!(
        heard(&world).is_empty(),
        "the caller is being told something"
    );
    world.run_until_s(10);
    assert_eq!(heard(&world), [format!("{agent} true")]);
    world.caller_hangs_up();
    world.run_to_the_end();
}

#[test]
fn a_target_that_fails_after_early_media_is_followed_by_ringback_and_the_next() {
    let mut world = waiting(Phone::NeverAnswers);
    let first = world.agent_leg();
    world.event(plays(&first, true));
    world.event(Event::LegFailed {
        leg: first.clone(),
        cause: HangupCause::Busy,
        sip_status: Some(486),
        detail: None,
    });
    let second = world.agent_leg();
    assert_ne!(first, second);
    let mut expected = vec![
        "ringback true".to_owned(),
        "ringback false".to_owned(),
        format!("{first} true"),
        format!("{first} false"),
        "ringback true".to_owned(),
    ];
    assert_eq!(heard(&world), expected);
    // Of the former target nothing is heard any more.
    world.event(plays(&first, true));
    assert_eq!(heard(&world), expected);
    // The second one plays until it has rung out; then the caller is told.
    world.event(plays(&second, true));
    world.run_to_the_end();
    expected.extend([
        "ringback false".to_owned(),
        format!("{second} true"),
        format!("{second} false"),
    ]);
    assert_eq!(heard(&world), expected);
}

#[test]
fn ringback_returns_when_several_phones_ring() {
    let mut world = waiting(Phone::AnswersAfter(15_000));
    let agent = world.agent_leg();
    world.event(plays(&agent, true));
    world.event(plays(&agent, false));
    world.run_until_s(30);
    assert_eq!(
        heard(&world),
        [
            "ringback true".to_owned(),
            "ringback false".to_owned(),
            format!("{agent} true"),
            format!("{agent} false"),
            "ringback true".to_owned(),
            "ringback false".to_owned(),
            format!("bridge {agent}"),
        ]
    );
    world.caller_hangs_up();
    world.run_to_the_end();
}

#[test]
fn a_caller_who_leaves_cancels_the_target_that_plays() {
    let mut world = waiting(Phone::NeverAnswers);
    let agent = world.agent_leg();
    world.event(plays(&agent, true));
    world.caller_hangs_up();
    world.run_to_the_end();
    let cancelled = world.count(|kind| matches!(kind, ActionKind::Cancel { leg } if *leg == agent));
    assert_eq!(cancelled, 1);
}
