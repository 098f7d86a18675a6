//! A machine answers a call of ours, before anybody talked or while the assistant does.

mod world;

use switchhook_call::judge::CallFact;
use switchhook_call::{
    ActionKind, CallPolicy, Event, Heard, MachinePolicy, OutcomeCode, SayId, TextKey,
};
use switchhook_model::{EndedBy, HangupCause, LegId};
use world::{World, policy, target};

fn calling(machine: MachinePolicy) -> World {
    let mut world = World::new(CallPolicy {
        machine,
        ..policy()
    });
    world.event(Event::OutboundRequested {
        target: target("+12025550142"),
        assistant: None,
    });
    world
}

fn leg(world: &World) -> LegId {
    world.view().legs[0].id.clone()
}

fn machine(world: &World, is_fax: bool) -> Event {
    let leg = leg(world);
    Event::MachineAnswered { leg, is_fax }
}

fn ended(world: &World) -> (OutcomeCode, EndedBy, String) {
    let outcome = world.view().outcome.expect("the call has ended");
    (outcome.code, outcome.ended_by, outcome.detail)
}

fn assistants(world: &World) -> usize {
    world.count(|kind| matches!(kind, ActionKind::StartAssistant { .. }))
}

fn messages(world: &World) -> Vec<SayId> {
    let said = world
        .facts
        .iter()
        .filter_map(|stamped| match &stamped.fact {
            CallFact::Done(action) => match &action.kind {
                ActionKind::Say {
                    say,
                    key: TextKey::MachineMessage,
                    ..
                } => Some(*say),
                _ => None,
            },
            _ => None,
        });
    said.collect()
}

#[test]
fn a_machine_is_hung_up_on_before_the_assistant_says_a_word() {
    let mut world = calling(MachinePolicy::HangUp);
    let answered = machine(&world, false);
    world.event(answered);
    let (code, by, detail) = ended(&world);
    assert_eq!((code, by), (OutcomeCode::Voicemail, EndedBy::System));
    assert!(detail.contains("without a message"), "{detail}");
    assert_eq!(assistants(&world), 0);
    assert!(world.call.headline(&world.view()).en.contains("machine"));
}

#[test]
fn a_message_is_left_and_called_left_only_if_it_was_heard() {
    for (heard, words) in [
        (Heard::Full, "it has the message"),
        (Heard::Cut, "no more than a part"),
    ] {
        let mut world = calling(MachinePolicy::Message);
        let answered = machine(&world, false);
        world.event(answered);
        let say = messages(&world)[0];
        if world.view().outcome.is_none() {
            world.event(Event::SayFinished { say, heard });
        }
        let (code, by, detail) = ended(&world);
        assert_eq!((code, by), (OutcomeCode::Voicemail, EndedBy::System));
        assert!(detail.contains(words), "{detail}");
    }
    // The machine hangs up within it.
    let mut world = calling(MachinePolicy::Message);
    let answered = machine(&world, false);
    world.event(answered);
    let leg = leg(&world);
    world.event(Event::LegEnded {
        leg,
        cause: HangupCause::Normal,
    });
    assert!(ended(&world).2.contains("no more than a part"));
}

#[test]
fn nobody_talks_to_a_fax() {
    let mut world = calling(MachinePolicy::Message);
    let answered = machine(&world, true);
    world.event(answered);
    assert_eq!(ended(&world).0, OutcomeCode::Voicemail);
    assert_eq!(messages(&world), []);
}

#[test]
fn going_on_is_talking_as_to_a_person() {
    let mut world = calling(MachinePolicy::GoOn);
    let answered = machine(&world, false);
    world.event(answered);
    assert_eq!(assistants(&world), 1);
    assert!(world.view().outcome.is_none());
    // Once more, beside the talk: nothing changes.
    let again = machine(&world, false);
    world.event(again);
    assert!(world.view().outcome.is_none());
}

#[test]
fn what_is_found_out_late_stops_the_assistant() {
    for policy in [MachinePolicy::HangUp, MachinePolicy::Message] {
        let mut world = calling(policy);
        let leg = leg(&world);
        world.event(Event::LegAnswered { leg });
        let found = machine(&world, false);
        world.event(found);
        match policy {
            MachinePolicy::Message => assert_eq!(messages(&world).len(), 1),
            MachinePolicy::HangUp | MachinePolicy::GoOn => {
                assert_eq!(ended(&world).0, OutcomeCode::Voicemail);
            }
        }
    }
}

#[test]
fn whoever_hangs_up_before_we_took_it_up_was_reached() {
    let mut world = calling(MachinePolicy::HangUp);
    let leg = leg(&world);
    world.event(Event::LegEnded {
        leg,
        cause: HangupCause::Normal,
    });
    let (code, by, _) = ended(&world);
    assert_eq!((code, by), (OutcomeCode::CallerHungUp, EndedBy::Caller));
}
