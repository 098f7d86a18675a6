//! Callers who say who they are before anything else.

use std::sync::Arc;

use switchhook_call::FallbackStep;
use switchhook_conversation::{PinAnswer, PinConfig, PinRules, PinTexts};
use switchhook_model::Language;

use super::world::{Move, World, describe, rules};
use crate::twilio::channel::Rules;

const DIGITS: &str = "739164";

fn asking() -> Arc<Rules> {
    let back = |policy: &mut switchhook_call::CallPolicy| {
        policy.fallback = vec![FallbackStep::ReturnToAssistant];
    };
    let mut rules = Arc::into_inner(rules(back, None)).unwrap();
    rules.conversation.pin = Some(PinRules {
        config: PinConfig::default(),
        texts: PinTexts::defaults(Language::En),
    });
    Arc::new(rules)
}

fn accepted() -> Move {
    Move::PinIs(PinAnswer::Accepted {
        name: Some("Anna".to_owned()),
        account: "anna".to_owned(),
    })
}

fn told(world: &World) -> Vec<String> {
    world.programs.iter().map(describe).collect()
}

#[test]
fn the_pin_comes_first_and_the_recording_after_it() {
    let rules = asking();
    let world = World::run(&rules, &[Move::Presses(DIGITS)], None);
    assert!(
        told(&world)[0].starts_with("ask for a PIN"),
        "{:?}",
        told(&world)
    );
    assert_eq!(world.programs.len(), 1, "the carrier waits for the answer");
    assert!(world.effects.contains(&"check_pin"), "{:?}", world.effects);
    assert!(!world.effects.contains(&"record"), "{:?}", world.effects);
    let world = World::run(&rules, &[Move::Presses(DIGITS), accepted()], None);
    assert!(
        world.last().contains("Welcome back, Anna"),
        "{}",
        world.last()
    );
    assert!(world.last().starts_with("listen"), "{}", world.last());
    assert_eq!(world.effects.last(), Some(&"record"));
    assert_eq!(world.channel.state.identified.as_deref(), Some("anna"));
}

#[test]
fn a_pin_can_be_said_and_is_nowhere_to_be_read() {
    let rules = asking();
    let said = Move::Says("seven three nine one six four");
    let mut world = World::run(&rules, &[said], None);
    let (_, pin) = world.pin.clone().expect("it is looked up");
    assert_eq!(pin.digits(), DIGITS);
    world.step(Move::PinIs(PinAnswer::Refused { tries_left: 4 }));
    world.step(Move::Presses(DIGITS));
    let stored = serde_json::to_string(&world.channel.state).unwrap();
    let facts = format!("{:?}", world.facts);
    for traces in [&stored, &facts, &world.channel.call.snapshot()] {
        assert!(!traces.contains(DIGITS), "{traces}");
        assert!(!traces.contains("seven three"), "{traces}");
    }
    assert!(!world.turns.is_empty());
    for turn in &world.turns {
        assert!(!turn.text.contains("seven") && !turn.text.contains(DIGITS));
    }
}

#[test]
fn wrong_pins_end_the_call_and_say_why() {
    let rules = asking();
    let wrong = || Move::PinIs(PinAnswer::Refused { tries_left: 9 });
    let world = World::run(
        &rules,
        &[
            Move::Presses("1111"),
            wrong(),
            Move::Says("two two two two"),
            wrong(),
            Move::Presses("3333"),
            wrong(),
            Move::Back,
        ],
        None,
    );
    let programs = told(&world);
    assert!(programs[1].contains("not right"), "{programs:?}");
    assert!(programs[3].contains("too many wrong PINs"), "{programs:?}");
    assert_eq!(programs[4], "hangup");
    assert_eq!(world.outcome(), "not_identified");
    assert!(!world.effects.contains(&"record"));
    assert!(!world.effects.contains(&"think"));
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn whoever_has_no_pin_reaches_a_human_and_is_asked_again_afterwards() {
    let rules = asking();
    let world = World::run(
        &rules,
        &[
            Move::Presses("0"),
            Move::Dialled("busy", Some(false)),
            Move::Back,
        ],
        None,
    );
    let programs = told(&world);
    assert!(programs[1].starts_with("dial 2001"), "{programs:?}");
    assert!(
        programs.last().unwrap().starts_with("ask for a PIN"),
        "{programs:?}"
    );
    assert!(world.channel.state.identified.is_none());
}

#[test]
fn a_process_that_dies_over_a_pin_asks_again() {
    let rules = asking();
    let mut world = World::run(&rules, &[Move::Presses(DIGITS)], Some(1));
    // The carrier tries its webhook again.
    world.step(Move::Back);
    assert!(
        world.last().starts_with("ask for a PIN"),
        "{}",
        world.last()
    );
    assert!(world.last().contains("could not check"), "{}", world.last());
    world.step(Move::Presses(DIGITS));
    world.step(accepted());
    assert!(world.last().contains("Welcome back"), "{}", world.last());
}
