//! The process is killed in every state: after it is back the call is closed with its true outcome,
//! phones stop ringing, talks end, and what was owed is still owed, once.

mod world;

use switchhook_call::{ActionKind, Event, OutcomeCode, Route, TransferOutcome};
use world::{Message, Phone, Receiver, World, policy, target};

/// Kills the world at `s` seconds and lets it come to its end.
fn killed_at(mut world: World, s: u64) -> World {
    world.run_until_s(s);
    world.restart();
    assert!(world.call.is_ended());
    world.run_to_the_end();
    world
}

fn code(world: &World) -> OutcomeCode {
    world.view().outcome.expect("ended").code
}

fn transfer(world: &World) -> Option<TransferOutcome> {
    world.view().transfers[0].outcome
}

fn notices(world: &World) -> usize {
    world.count(|kind| matches!(kind, ActionKind::Notify { .. }))
}

fn asked(phone: Phone) -> World {
    let mut world = World::with_assistant(policy()).phone("2001", phone);
    world.ask(1);
    world
}

#[test]
fn before_anything_happened() {
    let world = killed_at(World::new(policy()), 1);
    assert_eq!(code(&world), OutcomeCode::Restarted);
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn while_the_answer_is_under_way() {
    let mut world = World::new(policy());
    world.caller_arrives(Route::Assistant {
        name: "reception".to_owned(),
    });
    let world = killed_at(world, 0);
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn while_a_direct_call_rings() {
    let mut world = World::new(policy());
    world.caller_arrives(Route::Extension(target("2005")));
    let world = killed_at(world, 3);
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn while_an_outbound_call_rings() {
    let mut world = World::new(policy());
    world.event(Event::OutboundRequested {
        target: target("2005"),
        assistant: None,
    });
    let world = killed_at(world, 3);
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn with_the_assistant() {
    let world = killed_at(World::with_assistant(policy()), 30);
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn while_the_target_rings() {
    let world = killed_at(asked(Phone::NeverAnswers), 12);
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfer(&world), Some(TransferOutcome::Failed));
    assert_eq!(code(&world), OutcomeCode::Restarted);
}

#[test]
fn while_the_target_rings_and_back_only_after_an_hour() {
    let mut world = asked(Phone::NeverAnswers);
    world.run_until_s(12);
    world.restart_after_s(3600);
    world.run_to_the_end();
    assert_eq!(world.violations(), vec![], "no fault of the call's");
    assert_eq!(transfer(&world), Some(TransferOutcome::Failed));
}

#[test]
fn while_the_target_rings_and_answers_all_the_same() {
    let world = killed_at(asked(Phone::AnswersTheCancel), 12);
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn while_caller_and_human_talk() {
    let world = killed_at(asked(Phone::AnswersAfter(2000)), 12);
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfer(&world), Some(TransferOutcome::Bridged));
    assert_eq!(code(&world), OutcomeCode::Restarted);
}

#[test]
fn while_the_caller_is_told_that_nobody_answered() {
    let world = killed_at(asked(Phone::Busy), 3);
    assert_eq!(transfer(&world), Some(TransferOutcome::Failed));
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn while_the_caller_leaves_a_message() {
    let world = asked(Phone::Busy).message(Message::TalksOn("this is Ada"));
    let world = killed_at(world, 14);
    insta::assert_snapshot!(world.ladder());
    assert_eq!(notices(&world), 1, "a human has to listen");
}

#[test]
fn while_the_message_of_a_caller_who_hung_up_is_made_out() {
    let mut world = asked(Phone::Busy).message(Message::TalksOn("this is Ada"));
    world.run_until_s(14);
    world.caller_hangs_up();
    world.restart();
    world.run_to_the_end();
    assert_eq!(transfer(&world), Some(TransferOutcome::CallerGone));
    assert_eq!(notices(&world), 1);
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn while_the_assistant_takes_a_message_of_its_own_accord() {
    let mut world = World::with_assistant(policy());
    world.event(Event::AssistantTakesMessage { taking: true });
    let world = killed_at(world, 30);
    assert_eq!(notices(&world), 1, "a human has to listen");
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn while_the_assistants_message_of_a_caller_who_hung_up_is_made_out() {
    let mut world = World::with_assistant(policy());
    world.event(Event::AssistantTakesMessage { taking: true });
    world.run_until_s(20);
    world.caller_hangs_up();
    let before = world.view().outcome;
    world.restart();
    world.run_to_the_end();
    assert_eq!(notices(&world), 1, "a human has to listen");
    assert_eq!(world.view().outcome, before, "the caller ended it");
    assert_eq!(world.violations(), vec![]);
    world.restart();
    assert_eq!(notices(&world), 1, "owed once");
}

#[test]
fn after_the_assistants_message_nobody_is_alarmed() {
    let mut world = World::with_assistant(policy());
    world.event(Event::AssistantTakesMessage { taking: true });
    world.event(Event::MessageTaken {
        text: "this is Ada".to_owned(),
        duration_ms: 2_000,
        recorded: true,
    });
    // Killed before it was noted that the message is over.
    let world = killed_at(world, 30);
    assert_eq!(notices(&world), 1, "the message's own");
    assert_eq!(world.violations(), vec![]);

    let mut world = World::with_assistant(policy());
    world.event(Event::AssistantTakesMessage { taking: true });
    world.event(Event::AssistantTakesMessage { taking: false });
    let world = killed_at(world, 30);
    assert_eq!(notices(&world), 0, "nothing was said");
}

#[test]
fn after_the_message_before_the_notice_is_accepted() {
    let world = killed_at(
        asked(Phone::Busy).receiver(Receiver::AcceptsAfter(4000)),
        15,
    );
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfer(&world), Some(TransferOutcome::MessageTaken));
    assert_eq!(code(&world), OutcomeCode::MessageTaken);
    assert_eq!(notices(&world), 1, "still owed, not owed again");
}

#[test]
fn during_the_goodbye() {
    let world = killed_at(asked(Phone::Busy), 17);
    insta::assert_snapshot!(world.ladder());
    assert_eq!(code(&world), OutcomeCode::MessageTaken);
    assert_eq!(notices(&world), 1);
}

#[test]
fn after_the_end_repeats_what_may_not_have_left_the_machine() {
    let mut world = asked(Phone::NeverAnswers);
    world.run_until_s(8);
    world.caller_hangs_up();
    let before = world.view().outcome;
    world.restart();
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Cancel { .. })),
        2,
        "nobody knows whether the first one was sent"
    );
    world.run_to_the_end();
    assert_eq!(world.view().outcome, before);
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn a_second_restart_changes_nothing() {
    let mut world = killed_at(asked(Phone::NeverAnswers), 12);
    let (before, actions) = (world.view(), world.facts.len());
    world.restart();
    world.run_to_the_end();
    assert_eq!(world.view(), before);
    assert_eq!(world.facts.len(), actions + 1, "only the event itself");
}
