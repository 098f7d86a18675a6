//! What happens in a call, drawn as the ladder telephony people read. Each drawing also passed the
//! judge, and each step a round trip through the stored form.

mod world;

use std::collections::BTreeMap;

use switchhook_call::hours::{RawOpenHours, WeeklySpan};
use switchhook_call::{
    ActionKind, CallPolicy, Event, FallbackStep, OutcomeCode, RecordPolicy, Route, TransferOutcome,
    TransferRefusal,
};
use switchhook_model::{EndedBy, HangupCause};
use world::{Message, Phone, Receiver, World, goodbye, policy, request, target};

fn outcome(world: &World) -> (OutcomeCode, EndedBy) {
    let outcome = world.view().outcome.expect("the call has ended");
    (outcome.code, outcome.ended_by)
}

fn transfers(world: &World) -> Vec<Option<TransferOutcome>> {
    let view = world.view();
    view.transfers
        .iter()
        .map(|transfer| transfer.outcome)
        .collect()
}

fn json(world: &World) -> String {
    serde_json::to_string_pretty(&world.view()).expect("a view is plain data")
}

fn dials(world: &World) -> usize {
    world.count(|kind| matches!(kind, ActionKind::Dial { .. }))
}

fn returning(policy: CallPolicy) -> CallPolicy {
    CallPolicy {
        fallback: vec![FallbackStep::ReturnToAssistant],
        ..policy
    }
}

#[test]
fn goodbye_ends_the_call() {
    let mut world = World::with_assistant(policy());
    world.run_until_s(40);
    world.event(goodbye());
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn answered_transfer_joins_caller_and_human() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(6000));
    world.run_until_s(12);
    world.ask(1);
    world.run_until_s(60);
    assert_eq!(
        serde_json::to_value(world.view()).unwrap()["status"],
        "with_agent"
    );
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(outcome(&world), (OutcomeCode::Transferred, EndedBy::Agent));
    insta::assert_snapshot!("answered_transfer_view", json(&world));
}

#[test]
fn answered_before_the_hold_sentence_is_over() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(800));
    world.ask(1);
    world.run_until_s(30);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(outcome(&world), (OutcomeCode::Transferred, EndedBy::Caller));
}

#[test]
fn no_answer_takes_a_message_and_tells_the_truth() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::NeverAnswers);
    world.run_until_s(18);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfers(&world), [Some(TransferOutcome::MessageTaken)]);
    assert_eq!(
        outcome(&world),
        (OutcomeCode::MessageTaken, EndedBy::Assistant)
    );
}

#[test]
fn no_answer_in_german() {
    let policy = CallPolicy {
        language: switchhook_model::Language::De,
        ..policy()
    };
    let mut world = World::with_assistant(policy).receiver(Receiver::Refuses);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn busy_and_a_receiver_that_refuses_the_notice() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::Busy)
        .receiver(Receiver::Refuses);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn rejected_and_a_receiver_that_never_answers() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::Rejects)
        .receiver(Receiver::Silent);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn unreachable_and_no_message() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::NotRegistered)
        .message(Message::SaysNothing);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfers(&world), [Some(TransferOutcome::Notified)]);
}

#[test]
fn no_message_and_nobody_to_be_told() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::NotRegistered)
        .message(Message::SaysNothing)
        .receiver(Receiver::Refuses);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfers(&world), [Some(TransferOutcome::Failed)]);
}

#[test]
fn closed_office_dials_nobody() {
    let hours = RawOpenHours {
        time_zone: "Europe/Berlin".to_owned(),
        weekly: vec![WeeklySpan {
            days: vec!["mon".to_owned()],
            from: "08:00".to_owned(),
            to: "17:00".to_owned(),
        }],
        holidays: Vec::new(),
    };
    let policy = CallPolicy {
        open_hours: Some(hours.try_into().unwrap()),
        closed_fallback: vec![FallbackStep::TakeMessage],
        ..policy()
    };
    let mut world = World::with_assistant(policy);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(dials(&world), 0);
}

#[test]
fn an_operator_is_not_bound_to_open_hours() {
    let hours = RawOpenHours {
        time_zone: "Europe/Berlin".to_owned(),
        weekly: Vec::new(),
        holidays: Vec::new(),
    };
    let policy = CallPolicy {
        open_hours: Some(hours.try_into().unwrap()),
        ..policy()
    };
    let mut world = World::with_assistant(policy).phone("2005", Phone::AnswersAfter(1000));
    world.event(Event::OperatorTransfer {
        target: Some(target("2005")),
        department: None,
        request: request(70),
        anew: false,
    });
    world.run_until_s(20);
    assert_eq!(transfers(&world), [Some(TransferOutcome::Bridged)]);
}

#[test]
fn targets_are_tried_in_order_until_one_answers() {
    let policy = CallPolicy {
        targets: BTreeMap::from([(
            "sales".to_owned(),
            vec![target("2005"), target("2002"), target("2001")],
        )]),
        ring_timeouts_s: BTreeMap::from([(target("2005"), 8)]),
        ..policy()
    };
    let mut world = World::with_assistant(policy)
        .phone("2005", Phone::NeverAnswers)
        .phone("2002", Phone::Busy)
        .phone("2001", Phone::AnswersAfter(3000));
    world.ask_for(1, None, Some("Sales"));
    world.run_until_s(40);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn different_failures_are_summed_up_truthfully_and_attempts_are_bounded() {
    let policy = returning(CallPolicy {
        default_targets: ["2001", "2002", "2003", "2004"].map(target).to_vec(),
        max_attempts: 2,
        ..policy()
    });
    let mut world = World::with_assistant(policy)
        .phone("2001", Phone::Busy)
        .phone("2002", Phone::NeverAnswers);
    world.ask(1);
    world.run_until_s(60);
    world.event(goodbye());
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(dials(&world), 2);
}

#[test]
fn caller_hangs_up_while_the_target_rings() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(9000));
    world.ask(1);
    world.run_until_s(8);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(outcome(&world), (OutcomeCode::CallerGone, EndedBy::Caller));
}

#[test]
fn target_answers_the_cancel_of_a_caller_who_is_gone() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersTheCancel);
    world.ask(1);
    world.run_until_s(8);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn target_answers_in_the_instant_of_the_timeout_answer_first() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(20_000));
    world.ask(1);
    world.run_until_s(40);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfers(&world), [Some(TransferOutcome::Bridged)]);
}

#[test]
fn target_answers_in_the_instant_of_the_timeout_timeout_first() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersTheCancel);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfers(&world), [Some(TransferOutcome::MessageTaken)]);
}

#[test]
fn both_hang_up_together() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(3000));
    world.ask(1);
    world.run_until_s(20);
    world.caller_hangs_up();
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(
        world.count(|kind| matches!(
            kind,
            ActionKind::Emit(switchhook_call::CallEvent::CallEnded { .. })
        )),
        1
    );
}

#[test]
fn a_second_transfer_after_a_failed_one() {
    let mut world = World::with_assistant(returning(policy()))
        .phone("2001", Phone::Busy)
        .phone("2001", Phone::AnswersAfter(2000));
    world.ask(1);
    world.run_until_s(20);
    world.ask(2);
    world.run_until_s(40);
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(
        transfers(&world),
        [
            Some(TransferOutcome::ReturnedToAssistant),
            Some(TransferOutcome::Bridged)
        ]
    );
}

#[test]
fn transfers_per_call_are_bounded() {
    let policy = returning(CallPolicy {
        max_transfers: 2,
        ..policy()
    });
    let mut world = World::with_assistant(policy).phone("2001", Phone::Busy);
    for n in 1..=5 {
        world.ask(n);
        world.run_until_s(u64::from(n) * 20);
    }
    world.event(goodbye());
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(dials(&world), 2);
    assert_eq!(transfers(&world).len(), 3);
    assert_eq!(transfers(&world)[2], Some(TransferOutcome::Declined));
}

#[test]
fn ten_repeated_requests_are_one_transfer() {
    let mut world = World::with_assistant(returning(policy())).phone("2001", Phone::Rejects);
    for n in [1, 1, 1, 2, 2, 1, 3, 4, 1, 2] {
        world.ask(n);
    }
    assert_eq!(
        world.call.transfer_refusal(),
        Some(TransferRefusal::UnderWay)
    );
    world.run_until_s(30);
    world.ask(1);
    assert_eq!(transfers(&world).len(), 1, "the first one, repeated late");
    world.ask(9);
    assert_eq!(
        transfers(&world).len(),
        2,
        "a new one, after the first ended"
    );
    world.run_until_s(60);
    world.event(goodbye());
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(dials(&world), 2);
}

#[test]
fn spoken_extension_on_the_list() {
    let policy = CallPolicy {
        allow_spoken_extension: true,
        dialable_extensions: ["2005".parse().unwrap()].into(),
        ..policy()
    };
    let mut world = World::with_assistant(policy).phone("2005", Phone::AnswersAfter(1000));
    world.ask_for(1, Some("2005"), None);
    world.run_until_s(20);
    assert_eq!(world.view().transfers[0].attempts[0].target, target("2005"));
}

#[test]
fn spoken_extension_that_may_not_be_dialled() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(4000));
    world.ask_for(1, Some("2999"), None);
    world.run_until_s(20);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn nobody_is_configured() {
    let policy = CallPolicy {
        default_targets: Vec::new(),
        ..policy()
    };
    let mut world = World::with_assistant(policy);
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn caller_hangs_up_while_leaving_a_message() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::Busy)
        .message(Message::TalksOn("this is Ada, please"));
    world.ask(1);
    world.run_until_s(14);
    world.caller_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(transfers(&world), [Some(TransferOutcome::MessageTaken)]);
    assert_eq!(
        outcome(&world),
        (OutcomeCode::MessageTaken, EndedBy::Caller)
    );
}

#[test]
fn caller_hangs_up_instead_of_leaving_a_message() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::Busy)
        .message(Message::SaysNothing);
    world.ask(1);
    world.run_until_s(10);
    world.caller_hangs_up();
    world.run_to_the_end();
    assert_eq!(transfers(&world), [Some(TransferOutcome::CallerGone)]);
    assert_eq!(world.violations(), vec![]);
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Notify { .. })),
        0
    );
}

#[test]
fn a_message_without_end_is_cut_and_a_human_has_to_listen() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::Busy)
        .message(Message::TalksOn("on and on"));
    world.ask(1);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn a_message_the_assistant_takes_by_itself_becomes_a_notice_even_after_the_end() {
    let mut world = World::with_assistant(policy());
    world.event(Event::MessageTaken {
        text: "call me".to_owned(),
        duration_ms: 2000,
        recorded: true,
    });
    world.run_until_s(20);
    world.event(Event::MessageTaken {
        text: "call me".to_owned(),
        duration_ms: 2000,
        recorded: true,
    });
    world.caller_hangs_up();
    world.event(Event::MessageTaken {
        text: "and one more".to_owned(),
        duration_ms: 900,
        recorded: true,
    });
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(
        world.count(|kind| matches!(kind, ActionKind::Notify { .. })),
        2
    );
}

#[test]
fn direct_call_to_an_extension() {
    let policy = CallPolicy {
        record: RecordPolicy::AllCalls,
        ..policy()
    };
    let mut world = World::new(policy).phone("2005", Phone::AnswersAfter(4000));
    world.caller_arrives(Route::Extension(target("2005")));
    world.run_until_s(60);
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn direct_call_to_a_busy_extension() {
    let mut world = World::new(policy()).phone("2005", Phone::Busy);
    world.caller_arrives(Route::Extension(target("2005")));
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn direct_call_nobody_answers() {
    let mut world = World::new(policy()).phone("2005", Phone::NeverAnswers);
    world.caller_arrives(Route::Extension(target("2005")));
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn direct_call_the_caller_gives_up() {
    let mut world = World::new(policy()).phone("2005", Phone::NeverAnswers);
    world.caller_arrives(Route::Extension(target("2005")));
    world.run_until_s(5);
    let leg = world.caller_leg();
    world.event(Event::LegEnded {
        leg,
        cause: HangupCause::Canceled,
    });
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn outbound_call_is_answered_and_transferred() {
    let policy = CallPolicy {
        caller_id: Some("+12025550100".to_owned()),
        ..policy()
    };
    let mut world = World::new(policy)
        .phone("+12025550199", Phone::AnswersAfter(7000))
        .phone("2001", Phone::AnswersAfter(2000));
    world.event(Event::OutboundRequested {
        target: target("+12025550199"),
        assistant: Some("sales".to_owned()),
    });
    world.run_until_s(20);
    world.ask(1);
    world.run_until_s(40);
    world.agent_hangs_up();
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    insta::assert_snapshot!("outbound_view", json(&world));
}

#[test]
fn outbound_call_that_is_not_answered() {
    let results = [
        (Phone::NeverAnswers, OutcomeCode::NoAnswer),
        (Phone::Busy, OutcomeCode::Busy),
        (Phone::Rejects, OutcomeCode::Rejected),
        (Phone::NotRegistered, OutcomeCode::Unreachable),
        (Phone::AnswersTheCancel, OutcomeCode::NoAnswer),
    ];
    for (phone, code) in results {
        let mut world = World::new(policy()).phone("2005", phone);
        world.event(Event::OutboundRequested {
            target: target("2005"),
            assistant: None,
        });
        world.run_to_the_end();
        assert_eq!(outcome(&world).0, code);
        assert_eq!(world.violations(), vec![], "{phone:?}");
    }
}

#[test]
fn operator_moves_a_caller_from_one_human_to_another() {
    let mut world = World::with_assistant(policy())
        .phone("2001", Phone::AnswersAfter(1000))
        .phone("2005", Phone::NeverAnswers);
    world.ask(1);
    world.run_until_s(10);
    world.event(Event::OperatorTransfer {
        target: Some(target("2005")),
        department: None,
        request: request(71),
        anew: false,
    });
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

/// An operator clicks twice, and the phone is answered in between.
#[test]
fn a_wish_for_whom_the_caller_talks_to_dials_nobody() {
    let wish = |n, to: Option<&str>, anew| Event::OperatorTransfer {
        target: to.map(target),
        department: None,
        request: request(n),
        anew,
    };
    let talking = |again: &[Event]| {
        let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(1000));
        world.event(wish(71, Some("2001"), false));
        world.run_until_s(10);
        for event in again {
            world.event(event.clone());
        }
        world.run_until_s(20);
        let legs = world.call.view().legs;
        let held = legs[0].held_by_operator_since.is_some();
        world.agent_hangs_up();
        world.run_to_the_end();
        assert_eq!(world.violations(), vec![]);
        assert_eq!(outcome(&world).0, OutcomeCode::Transferred);
        (world.call.view().transfers.len(), held)
    };
    assert_eq!(talking(&[]), (1, false));
    assert_eq!(talking(&[wish(72, Some("2001"), false)]), (1, false));
    // The default targets, of whom the agent is one.
    assert_eq!(talking(&[wish(72, None, false)]), (1, false));
    // What connected them is gone.
    assert_eq!(talking(&[wish(72, Some("2001"), true)]), (2, false));
    // Whoever was put on hold is with the agent again.
    let hold = Event::OperatorHold {
        by: "olga".to_owned(),
    };
    assert_eq!(talking(std::slice::from_ref(&hold)), (1, true));
    let taken_back = [hold, wish(72, Some("2001"), false)];
    assert_eq!(talking(&taken_back), (1, false));
}

#[test]
fn operator_hangs_up_while_the_target_rings() {
    let mut world = World::with_assistant(policy());
    world.ask(1);
    world.run_until_s(10);
    world.event(Event::OperatorHangup {
        by: "olga".to_owned(),
    });
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
    assert_eq!(
        outcome(&world),
        (OutcomeCode::OperatorHangup, EndedBy::Operator)
    );
}

#[test]
fn the_time_limit_ends_a_talk_with_the_assistant() {
    let policy = CallPolicy {
        max_call_s: 60,
        ..policy()
    };
    let mut world = World::with_assistant(policy);
    world.run_to_the_end();
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn the_time_limit_ends_ringing_and_bridges() {
    let limited = |phone| {
        let policy = CallPolicy {
            max_call_s: 10,
            ..policy()
        };
        let mut world = World::with_assistant(policy).phone("2001", phone);
        world.run_until_s(3);
        world.ask(1);
        world.run_to_the_end();
        assert_eq!(world.violations(), vec![]);
        (outcome(&world).0, transfers(&world))
    };
    assert_eq!(
        limited(Phone::NeverAnswers),
        (OutcomeCode::TimeLimit, vec![Some(TransferOutcome::Failed)])
    );
    assert_eq!(
        limited(Phone::AnswersAfter(1000)),
        (OutcomeCode::TimeLimit, vec![Some(TransferOutcome::Bridged)])
    );
}

#[test]
fn lost_audio_is_not_a_hang_up() {
    let mut world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(1000));
    world.ask(1);
    world.run_until_s(10);
    let leg = world.agent_leg();
    world.event(Event::LegEnded {
        leg,
        cause: HangupCause::MediaLost,
    });
    world.run_to_the_end();
    assert_eq!(outcome(&world), (OutcomeCode::MediaLost, EndedBy::System));
    assert_eq!(world.violations(), vec![]);
}
