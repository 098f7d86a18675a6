//! Transfers that phones ask for, and those we ask the caller's exchange for, drawn as ladders. Each
//! drawing also passed the judge.

mod world;

use switchhook_call::{
    ActionKind, CallPolicy, Event, OutcomeCode, ReferReport, Route, TransferKind, TransferMethod,
    TransferOutcome,
};
use switchhook_model::{CallId, EndedBy};
use world::{Phone, World, policy, request, target};

/// Caller and 2001 talk; the assistant had the caller before.
fn with_human(world: World) -> World {
    let mut world = world.phone("2001", Phone::AnswersAfter(1000));
    world.ask(1);
    world.run_until_s(10);
    world
}

/// 2002 calls 2001 directly.
fn direct(world: World) -> World {
    let mut world = world.phone("2001", Phone::AnswersAfter(1000));
    world.caller_arrives(Route::Extension(target("2001")));
    world.run_until_s(10);
    world
}

fn outcomes(world: &World) -> Vec<Option<TransferOutcome>> {
    let view = world.view();
    view.transfers.iter().map(|one| one.outcome).collect()
}

fn ended(world: &World) -> (OutcomeCode, EndedBy) {
    let outcome = world.view().outcome.expect("the call has ended");
    (outcome.code, outcome.ended_by)
}

fn notifies(world: &World) -> Vec<u16> {
    let mut told = Vec::new();
    world.count(|kind| matches!(kind, ActionKind::NotifyTransferor { .. }));
    for stamped in &world.facts {
        if let switchhook_call::judge::CallFact::Done(action) = &stamped.fact
            && let ActionKind::NotifyTransferor { status, .. } = action.kind
        {
            told.push(status);
        }
    }
    told
}

#[test]
fn the_human_passes_the_caller_on() {
    let mut world =
        with_human(World::with_assistant(policy())).phone("2005", Phone::AnswersAfter(4000));
    let agent = world.agent_leg();
    world.event(Event::LegHeld { leg: agent.clone() });
    world.refer(agent, 50, "2005");
    world.run_until_s(30);
    assert_eq!(notifies(&world), [100, 180, 200]);
    assert_eq!(outcomes(&world), [Some(TransferOutcome::Bridged); 2]);
    let view = world.view();
    assert_eq!(
        view.transfers[1].referred_by.as_deref(),
        Some("<sip:2001@example.com>")
    );
    world.caller_hangs_up();
    world.run_to_the_end();
    assert_eq!(ended(&world), (OutcomeCode::Transferred, EndedBy::Caller));
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_target_does_not_answer_and_the_two_talk_on() {
    let mut world = with_human(World::with_assistant(policy())).phone("2005", Phone::NeverAnswers);
    let agent = world.agent_leg();
    world.refer(agent.clone(), 50, "2005");
    world.run_until_s(50);
    assert_eq!(notifies(&world), [100, 180, 480]);
    assert_eq!(
        outcomes(&world)[1],
        Some(TransferOutcome::ReturnedToTransferor)
    );
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Unbridge { .. })),
        0
    );
    // The phone may try again.
    world.phones.insert("2002".to_owned(), vec![Phone::Busy]);
    world.refer(agent, 51, "2002");
    world.run_until_s(60);
    assert_eq!(notifies(&world)[3..], [100, 486]);
    world.agent_hangs_up_first();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn a_transferor_who_leaves_at_once_is_rung_again() {
    let mut world = direct(World::new(policy())).phone("2005", Phone::Busy);
    let agent = world.agent_leg();
    world.refer(agent.clone(), 50, "2005");
    world.event(Event::LegEnded {
        leg: agent,
        cause: switchhook_model::HangupCause::Normal,
    });
    world.run_until_s(20);
    assert_eq!(outcomes(&world), [Some(TransferOutcome::Bridged)]);
    let view = world.view();
    let tried: Vec<_> = view.transfers[0]
        .attempts
        .iter()
        .map(|one| one.target.to_string())
        .collect();
    assert_eq!(tried, ["2005", "2001"]);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_recall_is_not_counted_among_the_attempts() {
    let policy = CallPolicy {
        max_attempts: 1,
        ..policy()
    };
    let mut world = direct(World::new(policy)).phone("2005", Phone::Busy);
    let agent = world.agent_leg();
    world.refer(agent.clone(), 50, "2005");
    world.event(Event::LegEnded {
        leg: agent,
        cause: switchhook_model::HangupCause::Normal,
    });
    world.run_until_s(20);
    assert_eq!(outcomes(&world), [Some(TransferOutcome::Bridged)]);
    world.caller_hangs_up();
    world.run_to_the_end();
}

#[test]
fn parties_may_not_transfer_without_end() {
    let mut world = direct(World::new(policy()));
    for _ in 0..25 {
        world = world.phone("2005", Phone::Busy);
    }
    let agent = world.agent_leg();
    for (request, until_s) in (50..75).zip(12..) {
        world.refer(agent.clone(), request, "2005");
        world.run_until_s(until_s);
    }
    assert_eq!(world.view().transfers.len(), 20);
    let refused = |kind: &ActionKind| matches!(kind, ActionKind::RefuseRefer { status: 403, .. });
    assert_eq!(world.count(refused), 5);
    assert!(!world.call.is_ended());
    world.caller_hangs_up();
    world.run_to_the_end();
}

#[test]
fn the_caller_passes_the_human_on_and_the_two_go_on_without() {
    let mut world = direct(World::new(policy())).phone("2005", Phone::AnswersAfter(3000));
    let caller = world.caller_leg();
    world.refer(caller, 50, "2005");
    world.run_until_s(30);
    assert_eq!(notifies(&world), [100, 180, 200]);
    assert!(!world.call.is_ended());
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_caller_leaves_before_the_target_answers_and_it_does_not() {
    let mut world = direct(World::new(policy())).phone("2005", Phone::NeverAnswers);
    let caller = world.caller_leg();
    world.refer(caller, 50, "2005");
    world.run_until_s(12);
    world.caller_hangs_up();
    assert!(!world.call.is_ended());
    world.run_to_the_end();
    assert_eq!(
        ended(&world),
        (OutcomeCode::TransferFailed, EndedBy::System)
    );
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn whoever_is_passed_on_may_hang_up() {
    for by_caller in [true, false] {
        let mut world = direct(World::new(policy())).phone("2005", Phone::NeverAnswers);
        let (caller, agent) = (world.caller_leg(), world.agent_leg());
        let (transferor, other) = if by_caller {
            (caller, agent)
        } else {
            (agent, caller)
        };
        world.refer(transferor, 50, "2005");
        world.run_until_s(12);
        world.event(Event::LegEnded {
            leg: other,
            cause: switchhook_model::HangupCause::Normal,
        });
        assert!(world.call.is_ended());
        world.run_to_the_end();
        assert_eq!(notifies(&world), [100, 180, 487]);
        assert_eq!(world.violations(), vec![]);
    }
}

#[test]
fn a_refer_that_cannot_be_followed_changes_nothing() {
    let mut world = World::with_assistant(policy()).phone("2005", Phone::NeverAnswers);
    let caller = world.caller_leg();
    // Nobody but the assistant is there.
    world.refer(caller.clone(), 50, "2005");
    let mut world = with_human(world);
    let agent = world.agent_leg();
    world.refer(agent.clone(), 51, "2005");
    // The same once more, and another one meanwhile.
    world.refer(agent.clone(), 51, "2005");
    world.refer(agent, 52, "2002");
    world.refer(caller, 53, "2002");
    let refused = world.count(|kind| {
        matches!(
            kind,
            ActionKind::RefuseRefer {
                status: 403 | 491,
                ..
            }
        )
    });
    assert_eq!(refused, 3);
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Dial { .. })),
        2
    );
    world.run_until_s(60);
    world.caller_hangs_up();
    world.run_to_the_end();
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn a_process_that_dies_within_a_refer_ends_everybody() {
    let mut world = direct(World::new(policy())).phone("2005", Phone::NeverAnswers);
    let agent = world.agent_leg();
    world.refer(agent, 50, "2005");
    world.run_until_s(12);
    world.restart();
    world.run_to_the_end();
    assert_eq!(world.violations(), vec![]);
    assert_eq!(ended(&world).0, OutcomeCode::Restarted);
}

#[test]
fn an_attended_transfer_joins_the_two_far_parties() {
    let mut world = with_human(World::with_assistant(policy()));
    let agent = world.agent_leg();
    world.event(Event::LegHeld { leg: agent.clone() });
    let leg = world.foreign_leg("2009");
    world.event(Event::LegTakenIn {
        leg: leg.clone(),
        request: request(50),
        replaces: agent,
        target: Some(target("2009")),
        referred_by: None,
    });
    world.run_until_s(30);
    let view = world.view();
    assert_eq!(view.transfers[1].kind, TransferKind::Attended);
    assert_eq!(view.transfers[1].outcome, Some(TransferOutcome::Bridged));
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Dial { .. })),
        1
    );
    world.event(Event::LegEnded {
        leg,
        cause: switchhook_model::HangupCause::Normal,
    });
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_consultation_ends_when_its_far_party_goes_over() {
    let mut world = direct(World::new(policy()));
    let leg = world.agent_leg();
    assert_eq!(
        world.call.partner_of(&world.caller_leg()),
        Some(leg.clone())
    );
    world.event(Event::LegTakenAway {
        leg: leg.clone(),
        into: CallId::from_unique("u"),
    });
    world.run_to_the_end();
    // It is not ours any more: nothing is sent to it.
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Hangup { leg: ended, .. } if *ended == leg)),
        0
    );
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn a_ringing_call_is_picked_up_elsewhere() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::NeverAnswers);
    world.ask(1);
    world.run_until_s(6);
    let rings = world.agent_leg();
    let leg = world.foreign_leg("2009");
    assert!(world.call.can_replace(&rings));
    world.event(Event::ReplacementArrived {
        leg: leg.clone(),
        replaces: rings,
    });
    world.run_until_s(20);
    assert_eq!(outcomes(&world), [Some(TransferOutcome::Bridged)]);
    world.event(Event::LegEnded {
        leg,
        cause: switchhook_model::HangupCause::Normal,
    });
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn a_talking_leg_is_taken_over_by_another_device() {
    for caller_moves in [true, false] {
        let mut world = direct(World::new(policy()));
        let (caller, agent) = (world.caller_leg(), world.agent_leg());
        let moved = if caller_moves { caller } else { agent };
        let leg = world.foreign_leg("mobile");
        world.event(Event::ReplacementArrived {
            leg: leg.clone(),
            replaces: moved.clone(),
        });
        world.run_until_s(20);
        assert!(!world.call.is_ended());
        assert_eq!(
            world.count(|kind| matches!(kind, ActionKind::Hangup { leg, .. } if *leg == moved)),
            1
        );
        world.event(Event::LegEnded {
            leg,
            cause: switchhook_model::HangupCause::Normal,
        });
        world.run_to_the_end();
        assert_eq!(world.violations(), vec![]);
    }
}

#[test]
fn what_cannot_be_replaced_declines_the_phone_and_goes_on() {
    let mut world = World::with_assistant(policy());
    let leg = world.foreign_leg("mobile");
    let replaces = world.caller_leg();
    world.event(Event::ReplacementArrived { leg, replaces });
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Reject { status: 603, .. })),
        1
    );
    world.run_until_s(20);
    assert!(!world.call.is_ended());
    world.caller_hangs_up();
    world.run_to_the_end();
    assert_eq!(world.violations(), vec![]);
}

fn by_exchange() -> CallPolicy {
    CallPolicy {
        transfer_method: TransferMethod::Refer,
        ..policy()
    }
}

#[test]
fn the_callers_exchange_takes_over() {
    let mut world = World::with_assistant(by_exchange());
    world.exchange = vec![
        (50, ReferReport::Accepted),
        (800, ReferReport::Started),
        (4000, ReferReport::Completed),
    ];
    world.ask(1);
    world.run_to_the_end();
    assert_eq!(outcomes(&world), [Some(TransferOutcome::HandedOver)]);
    assert_eq!(ended(&world), (OutcomeCode::HandedOver, EndedBy::System));
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_callers_exchange_refuses_and_the_call_is_kept() {
    let mut world = World::with_assistant(by_exchange());
    world.exchange = vec![
        (50, ReferReport::Accepted),
        (
            900,
            ReferReport::Failed {
                sip_status: Some(486),
            },
        ),
    ];
    world.ask(1);
    world.run_to_the_end();
    assert_eq!(outcomes(&world), [Some(TransferOutcome::MessageTaken)]);
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn an_exchange_that_says_nothing_more_is_waited_for_and_then_not() {
    let mut world = World::with_assistant(by_exchange());
    world.exchange = vec![(50, ReferReport::Accepted)];
    world.ask(1);
    world.run_to_the_end();
    assert_eq!(outcomes(&world), [Some(TransferOutcome::MessageTaken)]);
    assert_eq!(world.violations(), vec![]);
}

#[test]
fn an_exchange_that_agreed_may_end_our_leg() {
    for (agreed, outcome) in [
        (true, TransferOutcome::HandedOver),
        (false, TransferOutcome::CallerGone),
    ] {
        let mut world = World::with_assistant(by_exchange());
        if agreed {
            world.exchange = vec![(50, ReferReport::Accepted)];
        }
        world.ask(1);
        world.run_until_s(8);
        world.caller_hangs_up();
        world.run_to_the_end();
        assert_eq!(outcomes(&world), [Some(outcome)]);
        assert_eq!(world.violations(), vec![]);
    }
}
