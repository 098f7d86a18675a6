//! Hold and resume, drawn as ladders. Each drawing also passed the judge.

mod world;

use switchhook_call::judge::{CallFact, Stamped};
use switchhook_call::{ActionKind, CallEvent, Event, HeldBy, Route};
use world::{Phone, World, policy, request, target};

fn with_human() -> World {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(3000));
    world.ask(1);
    world.run_until_s(10);
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Bridge { .. })),
        1
    );
    world
}

#[test]
fn the_human_holds_and_resumes() {
    let mut world = with_human();
    let agent = world.agent_leg();
    world.event(Event::LegHeld { leg: agent.clone() });
    let view = world.view();
    let held = view.legs.iter().find(|leg| leg.id == agent).unwrap();
    assert_eq!(held.held_by_party_since, Some(world.now));
    world.run_until_s(20);
    // Once more changes nothing.
    let before = world.facts.len();
    world.event(Event::LegHeld { leg: agent.clone() });
    assert_eq!(world.facts.len(), before + 1);
    world.event(Event::LegResumed { leg: agent.clone() });
    let view = world.view();
    let held = view.legs.iter().find(|leg| leg.id == agent).unwrap();
    assert_eq!(held.held_by_party_since, None);
    world.run_until_s(30);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn both_hold_and_only_the_last_resume_joins_them() {
    let mut world = with_human();
    let (caller, agent) = (world.caller_leg(), world.agent_leg());
    world.event(Event::LegHeld { leg: agent.clone() });
    world.event(Event::LegHeld {
        leg: caller.clone(),
    });
    world.event(Event::LegResumed { leg: agent });
    let bridges = |world: &World| world.count(|kind| matches!(kind, ActionKind::Bridge { .. }));
    assert_eq!(bridges(&world), 1);
    world.event(Event::LegResumed { leg: caller });
    assert_eq!(bridges(&world), 2);
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_assistant_waits_while_the_caller_holds() {
    let mut world = World::with_assistant(policy());
    let leg = world.caller_leg();
    world.event(Event::LegHeld { leg: leg.clone() });
    world.run_until_s(30);
    world.event(Event::LegResumed { leg });
    world.run_until_s(40);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn an_operator_holds_the_caller_and_takes_them_back() {
    let mut world = World::with_assistant(policy());
    let by = || "olga".to_owned();
    world.event(Event::OperatorHold { by: by() });
    world.event(Event::OperatorHold { by: by() });
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Hold { .. })),
        1
    );
    let leg = world.caller_leg();
    world.event(Event::HoldRefused {
        leg,
        sip_status: Some(488),
    });
    world.run_until_s(20);
    world.event(Event::OperatorResume { by: by() });
    world.run_until_s(30);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn a_transfer_takes_the_caller_out_of_an_operators_hold() {
    let mut world = with_human().phone("2005", Phone::AnswersAfter(2000));
    world.event(Event::OperatorHold {
        by: "olga".to_owned(),
    });
    world.event(Event::OperatorTransfer {
        target: Some(target("2005")),
        department: None,
        request: request(70),
        anew: false,
    });
    world.run_until_s(30);
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn a_phones_transfer_takes_the_caller_out_of_an_operators_hold() {
    let mut world = with_human().phone("2005", Phone::AnswersAfter(1000));
    world.event(Event::OperatorHold {
        by: "olga".to_owned(),
    });
    let agent = world.agent_leg();
    world.refer(agent, 50, "2005");
    world.run_until_s(40);
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Resume { .. })),
        1
    );
    let view = world.view();
    assert!(
        view.legs
            .iter()
            .all(|leg| leg.held_by_operator_since.is_none())
    );
    assert_eq!(
        view.transfers[1].outcome,
        Some(switchhook_call::TransferOutcome::Bridged)
    );
    world.caller_hangs_up();
    world.run_to_the_end();
}

#[test]
fn a_leg_that_is_not_answered_cannot_hold() {
    let mut world = World::new(policy()).phone("2005", Phone::NeverAnswers);
    world.caller_arrives(Route::Extension(target("2005")));
    let leg = world.agent_leg();
    world.event(Event::LegHeld { leg });
    world.event(Event::OperatorHold {
        by: "olga".to_owned(),
    });
    let held = |kind: &ActionKind| {
        matches!(
            kind,
            ActionKind::Hold { .. }
                | ActionKind::Emit(CallEvent::LegHeld {
                    by: HeldBy::Party | HeldBy::Operator,
                    ..
                })
        )
    };
    assert_eq!(world.count(held), 0);
    assert_eq!(ignored(&world), ["the caller is not connected yet"]);
    world.run_to_the_end();
}

/// Why holds of an operator changed nothing.
fn ignored(world: &World) -> Vec<String> {
    let fact = |stamped: &Stamped<CallFact>| match &stamped.fact {
        CallFact::Done(action) => match &action.kind {
            ActionKind::Emit(CallEvent::HoldIgnored { detail }) => Some(detail.clone()),
            _ => None,
        },
        _ => None,
    };
    world.facts.iter().filter_map(fact).collect()
}

/// The operator was told 202 before the call knew: that nothing came of it stands in its facts.
#[test]
fn a_hold_that_comes_too_late_is_told_with_its_reason() {
    let hold = || Event::OperatorHold {
        by: "olga".to_owned(),
    };
    let mut world = World::with_assistant(policy()).phone("2001", Phone::NeverAnswers);
    world.ask(1);
    world.run_for_ms(3_000);
    world.event(hold());
    assert_eq!(ignored(&world), ["a transfer is under way"]);
    world.caller_hangs_up();
    world.event(hold());
    assert_eq!(ignored(&world).last().unwrap(), "the call is over");
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Hold { .. })),
        0
    );
    world.run_to_the_end();
    assert_eq!(world.violations(), []);

    // Twice is no fault.
    let mut world = World::with_assistant(policy());
    world.event(hold());
    world.event(hold());
    assert_eq!(ignored(&world), [] as [&str; 0]);
    world.caller_hangs_up();
    world.run_to_the_end();
}
