//! Messages callers leave, of which the carrier tells twice.

use switchhook_call::judge::{CallFact, Stamped};
use switchhook_call::{ActionKind, Event, NoticeTemplate};

use super::ladders::{WISH, survives};
use super::world::{Move, World, describe, rules};

/// The caller is asked for a message, and the carrier records; then what is given.
fn records(then: &[Move]) -> Vec<Move> {
    let before = [WISH, Move::Dialled("busy", Some(false)), Move::Back];
    before.iter().chain(then).cloned().collect()
}

/// Notices of a message that are owed.
fn left(world: &World) -> usize {
    let of_message = |stamped: &&Stamped<CallFact>| match &stamped.fact {
        CallFact::Done(action) => matches!(
            action.kind,
            ActionKind::Notify {
                template: NoticeTemplate::MessageTaken,
                ..
            }
        ),
        _ => false,
    };
    world.facts.iter().filter(of_message).count()
}

#[test]
fn a_report_that_comes_with_the_action_changes_nothing() {
    let rules = rules(|_| {}, None);
    let before = [Move::Reports(7000), Move::Leaves(7000), Move::Accepted];
    let after = [Move::Leaves(7000), Move::ReportsLate(7000), Move::Accepted];
    for order in [before, after] {
        let mut moves = records(&order);
        moves.extend([Move::Back, Move::HangsUp]);
        let world = survives(&rules, &moves);
        assert_eq!((world.outcome(), left(&world)), ("message_taken", 1));
    }
}

#[test]
fn a_message_whose_action_is_lost_is_known_by_its_report() {
    let rules = rules(|_| {}, None);
    let moves = records(&[
        Move::Reports(7000),
        Move::Back,
        Move::Accepted,
        Move::Back,
        Move::Back,
        Move::HangsUp,
    ]);
    let world = survives(&rules, &moves);
    assert_eq!((world.outcome(), left(&world)), ("message_taken", 1));
    let programs: Vec<String> = world.programs.iter().map(describe).collect();
    let heard = programs.concat();
    assert!(!heard.contains("did not hear a message"), "{programs:?}");
    assert!(heard.contains("I have informed the team"), "{programs:?}");
}

/// The caller was told already that nothing was heard: the staff learn of it all the same, once.
#[test]
fn a_report_behind_the_loss_reaches_the_staff() {
    let rules = rules(|_| {}, None);
    let moves = records(&[
        Move::Back,
        Move::Accepted,
        Move::ReportsLate(7000),
        Move::ReportsLate(7000),
        Move::Accepted,
        Move::Back,
        Move::HangsUp,
    ]);
    let world = survives(&rules, &moves);
    assert_eq!((world.outcome(), left(&world)), ("staff_notified", 1));
    let programs: Vec<String> = world.programs.iter().map(describe).collect();
    assert!(programs.concat().contains("did not hear"), "{programs:?}");
}

#[test]
fn a_caller_who_hangs_up_within_a_message_has_left_it_once() {
    let rules = rules(|_| {}, None);
    for told in [
        &[Move::HangsUp, Move::Reports(5000)][..],
        &[Move::Reports(5000), Move::HangsUp],
        &[Move::HangsUp, Move::Leaves(5000), Move::Reports(5000)],
        &[Move::Reports(5000), Move::HangsUp, Move::Leaves(5000)],
    ] {
        let world = survives(&rules, &records(told));
        assert_eq!((world.outcome(), left(&world)), ("message_taken", 1));
    }
}

/// The same of a message that the assistant takes of its own accord: it is gone with the caller.
#[test]
fn a_message_to_the_assistant_is_left_once() {
    let rules = rules(|_| {}, None);
    for told in [
        &[Move::HangsUp, Move::Leaves(5000)][..],
        &[Move::HangsUp, Move::Reports(5000)],
        &[Move::Reports(5000), Move::HangsUp],
        &[Move::HangsUp, Move::Leaves(5000), Move::Reports(5000)],
        &[Move::Reports(5000), Move::HangsUp, Move::Leaves(5000)],
    ] {
        let mut world = World::begin(&rules);
        world.step(Move::Says("Could you write something down for them"));
        world.step(Move::Calls("take_message"));
        while !world.last().starts_with("record") {
            world.step(Move::Back);
        }
        for one in told {
            world.step(one.clone());
        }
        assert_eq!(left(&world), 1, "{told:?}");
        assert_eq!(world.findings(), Vec::<String>::new(), "{told:?}");
    }
}

/// An operator ends the call while a message is recorded.
#[test]
fn a_message_that_is_cut_off_is_kept() {
    let rules = rules(|_| {}, None);
    let end = Move::Operator(Event::OperatorHangup {
        by: "olga".to_owned(),
    });
    for told in [
        &[end.clone(), Move::HangsUp, Move::Leaves(5000)][..],
        &[end.clone(), Move::HangsUp, Move::Reports(5000)],
        &[end, Move::Reports(5000), Move::HangsUp],
    ] {
        let world = survives(&rules, &records(told));
        assert_eq!(left(&world), 1);
    }
}

/// It says that nothing was recorded, and the report says otherwise.
#[test]
fn an_action_without_a_length_does_not_hide_the_report() {
    let rules = rules(|_| {}, None);
    let mut moves = records(&[Move::Reports(7000), Move::Leaves(0), Move::Accepted]);
    moves.extend([Move::Back, Move::Back, Move::HangsUp]);
    let world = survives(&rules, &moves);
    assert_eq!((world.outcome(), left(&world)), ("message_taken", 1));
}

/// Silence is recorded, too, when the carrier is called away: what was said is taken again.
#[test]
fn what_is_recorded_by_another_program_is_no_message() {
    let rules = rules(|_| {}, None);
    let moves = records(&[
        Move::ReportsLate(5000),
        Move::Reports(0),
        Move::Back,
        Move::Accepted,
        Move::Back,
        Move::HangsUp,
    ]);
    let world = survives(&rules, &moves);
    assert_eq!((world.outcome(), left(&world)), ("staff_notified", 0));
}
