//! What the caller hears, whom the carrier rings, and how the call ends.

use switchhook_call::{Event, FallbackStep};
use switchhook_model::RequestId;

use super::world::{Move, World, describe, rules};

pub(super) const WISH: Move = Move::Says("I would like to speak to a human please");

/// Runs the moves, then again with a crash after each of them: nothing the caller or an agent
/// notices may differ.
pub(super) fn survives(
    rules: &std::sync::Arc<crate::twilio::channel::Rules>,
    moves: &[Move],
) -> World {
    let plain = World::run(rules, moves, None);
    assert_eq!(plain.findings(), Vec::<String>::new());
    let told = |world: &World| -> Vec<String> { world.programs.iter().map(describe).collect() };
    for crash in 0..=moves.len() {
        let crashed = World::run(rules, moves, Some(crash));
        assert_eq!(told(&crashed), told(&plain), "crash after move {crash}");
        assert_eq!(
            crashed.outcome(),
            plain.outcome(),
            "crash after move {crash}"
        );
        assert_eq!(crashed.attempts(), plain.attempts());
        assert_eq!(
            crashed.findings(),
            Vec::<String>::new(),
            "crash after move {crash}"
        );
    }
    plain
}

#[test]
fn a_caller_is_greeted_and_answered() {
    let rules = rules(|_| {}, None);
    let world = survives(
        &rules,
        &[
            Move::Says("when do you open"),
            Move::Thinks("We open at nine."),
            Move::Says("goodbye"),
            Move::Back,
        ],
    );
    let programs: Vec<String> = world.programs.iter().map(describe).collect();
    assert!(
        programs[0].starts_with("listen [] [\"Hello"),
        "{programs:?}"
    );
    assert_eq!(programs[1], "listen [] [\"We open at nine.\"]");
    assert!(programs[2].contains("Goodbye"), "{programs:?}");
    assert_eq!(programs[3], "hangup");
    assert_eq!(world.outcome(), "completed");
    assert!(world.channel.is_settled());
}

#[test]
fn a_human_who_answers_is_bridged_by_one_dial() {
    let rules = rules(|_| {}, None);
    let world = survives(
        &rules,
        &[
            WISH,
            Move::Rings,
            Move::PicksUp,
            Move::Dialled("completed", Some(true)),
        ],
    );
    let programs: Vec<String> = world.programs.iter().map(describe).collect();
    assert!(
        programs[1].starts_with("dial 2001 [\"One moment please"),
        "{programs:?}"
    );
    assert_eq!(programs[2], "hangup");
    assert_eq!(world.outcome(), "transferred");
    assert_eq!(world.attempts(), ["answered"]);
}

/// Every status a dial can come to has its own sentence and its next step, exactly one dial each.
#[test]
fn every_outcome_is_told_as_it_was() {
    let chain = |policy: &mut switchhook_call::CallPolicy| {
        policy.fallback = vec![FallbackStep::ReturnToAssistant];
    };
    for (status, bridged, result, words) in [
        ("no-answer", Some(false), "no_answer", "nobody answered"),
        ("busy", Some(false), "busy", "the line is busy"),
        ("failed", Some(false), "failed", "could not reach anyone"),
        // Not by us: the caller is still there.
        ("canceled", Some(false), "failed", "could not reach anyone"),
        // Picked up by something that is no agent: a mailbox, or a whisper that was declined.
        (
            "completed",
            Some(false),
            "failed",
            "nobody can take your call",
        ),
    ] {
        let rules = rules(chain, None);
        let world = survives(
            &rules,
            &[
                WISH,
                Move::Dialled(status, bridged),
                Move::Back,
                Move::HangsUp,
            ],
        );
        assert_eq!(world.attempts(), [result], "{status}");
        let programs: Vec<String> = world.programs.iter().map(describe).collect();
        assert!(programs[2].contains(words), "{status}: {programs:?}");
        assert!(programs[2].contains("still here"), "{status}: {programs:?}");
        let dials = programs
            .iter()
            .filter(|program| program.starts_with("dial"));
        assert_eq!(dials.count(), 1, "{status}");
    }
}

/// What follows is chosen by how the attempt ended, where the configuration says so.
#[test]
fn a_busy_line_may_lead_elsewhere_than_silence() {
    let chains = |policy: &mut switchhook_call::CallPolicy| {
        policy.fallback = vec![FallbackStep::Goodbye];
        let busy = vec![FallbackStep::ReturnToAssistant];
        policy
            .fallback_on
            .insert(switchhook_call::AttemptResult::Busy, busy);
    };
    for (status, next) in [("busy", "still here"), ("no-answer", "Goodbye")] {
        let world = survives(
            &rules(chains, None),
            &[
                WISH,
                Move::Dialled(status, Some(false)),
                Move::Back,
                Move::HangsUp,
            ],
        );
        let programs: Vec<String> = world.programs.iter().map(describe).collect();
        assert!(programs[2].contains(next), "{status}: {programs:?}");
    }
}

/// The report of the dial's end was lost, the leg's own was not.
#[test]
fn a_leg_tells_what_became_of_a_dial_whose_end_is_lost() {
    let rules = rules(|_| {}, None);
    for (status, attempt) in [
        ("no-answer", "no_answer"),
        ("busy", "busy"),
        ("failed", "failed"),
    ] {
        let told = [
            WISH,
            Move::Rings,
            Move::Over(status),
            Move::Back,
            Move::HangsUp,
        ];
        let world = survives(&rules, &told);
        assert_eq!(world.attempts(), [attempt], "{status}");
        let reported = [
            WISH,
            Move::Rings,
            Move::Dialled(status, Some(false)),
            Move::HangsUp,
        ];
        let reported = survives(&rules, &reported);
        let spoken =
            |world: &World| -> Vec<String> { world.programs.iter().map(describe).collect() };
        assert_eq!(spoken(&world), spoken(&reported), "{status}");
    }
    // Nobody told what became of it.
    let world = survives(&rules, &[WISH, Move::Rings, Move::Back, Move::HangsUp]);
    assert_eq!(world.attempts(), ["failed"]);
}

#[test]
fn an_agent_who_must_press_a_key_has_not_taken_the_call_before() {
    let rules = rules(
        |policy| policy.fallback = vec![FallbackStep::Goodbye],
        Some('1'),
    );
    let declined = survives(
        &rules,
        &[
            WISH,
            Move::Rings,
            Move::PicksUp,
            Move::Dialled("completed", Some(false)),
            Move::Back,
        ],
    );
    assert_eq!(declined.attempts(), ["failed"]);
    assert_eq!(declined.outcome(), "transfer_failed");
    let taken = survives(
        &rules,
        &[
            WISH,
            Move::PicksUp,
            Move::Accepts,
            Move::Dialled("completed", Some(true)),
        ],
    );
    assert_eq!(taken.attempts(), ["answered"]);
    assert_eq!(taken.outcome(), "transferred");
    // Older scripts do not say whether anybody was connected.
    let silent = World::run(&rules, &[WISH, Move::Dialled("completed", None)], None);
    assert_eq!(silent.attempts(), ["failed"]);
}

#[test]
fn a_message_is_recorded_and_the_caller_told_what_became_of_it() {
    let rules = rules(|_| {}, None);
    let moves = |last: Move| {
        vec![
            WISH,
            Move::Dialled("no-answer", Some(false)),
            Move::Back,
            Move::Leaves(7000),
            last,
            Move::Back,
            Move::Back,
            Move::HangsUp,
        ]
    };
    let told = survives(&rules, &moves(Move::Accepted));
    let programs: Vec<String> = told.programs.iter().map(describe).collect();
    assert!(
        programs[2].starts_with("tell [\"I am sorry, nobody answered."),
        "{programs:?}"
    );
    assert_eq!(programs[3], "record []");
    assert!(
        programs
            .iter()
            .any(|program| program.contains("I have informed the team"))
    );
    assert_eq!(told.outcome(), "message_taken");
    let not = survives(&rules, &moves(Move::Refused));
    let programs: Vec<String> = not.programs.iter().map(describe).collect();
    assert!(
        !programs
            .iter()
            .any(|program| program.contains("I have informed the team"))
    );
    assert!(
        programs
            .iter()
            .any(|program| program.contains("could not reach the team"))
    );
}

#[test]
fn a_caller_who_hangs_up_within_a_message_has_left_it() {
    let rules = rules(|_| {}, None);
    let world = survives(
        &rules,
        &[
            WISH,
            Move::Dialled("busy", Some(false)),
            Move::Back,
            Move::HangsUp,
            Move::Leaves(5000),
        ],
    );
    assert_eq!(world.outcome(), "message_taken");
}

#[test]
fn silence_ends_after_three_prompts() {
    let rules = rules(|_| {}, None);
    let moves: Vec<Move> = std::iter::repeat_n(Move::Silent, 4)
        .chain([Move::Back])
        .collect();
    let world = survives(&rules, &moves);
    assert_eq!(world.outcome(), "silence");
    assert_eq!(world.last(), "hangup");
}

#[test]
fn the_keypad_reaches_a_human_too() {
    let rules = rules(|_| {}, None);
    let world = World::run(&rules, &[Move::Presses("0")], None);
    assert!(world.last().starts_with("dial 2001"), "{}", world.last());
}

#[test]
fn a_slow_model_is_bridged_by_a_filler() {
    let rules = rules(|_| {}, None);
    let world = World::run(
        &rules,
        &[
            Move::Says("what do you recommend"),
            Move::Passes(2000),
            Move::Back,
            Move::Thinks("The soup."),
        ],
        None,
    );
    let programs: Vec<String> = world.programs.iter().map(describe).collect();
    assert!(programs[1].starts_with("tell ["), "{programs:?}");
    assert_eq!(programs[2], "listen [] [\"The soup.\"]");
}

/// After a crash the question is asked again: the answer of the dead process is nobody's.
#[test]
fn a_thought_is_not_lost_with_the_process() {
    let rules = rules(|_| {}, None);
    let moves = [
        Move::Says("what do you recommend"),
        Move::Thinks("The soup."),
    ];
    let world = World::run(&rules, &moves, Some(1));
    assert_eq!(world.effects.iter().filter(|e| **e == "think").count(), 2);
    assert_eq!(world.last(), "listen [] [\"The soup.\"]");
}

#[test]
fn an_operator_ends_or_transfers_what_the_carrier_is_busy_with() {
    let rules = rules(|_| {}, None);
    let hangup = Move::Operator(Event::OperatorHangup { by: "eva".into() });
    let ended = World::run(&rules, std::slice::from_ref(&hangup), None);
    assert!(ended.effects.contains(&"complete"), "{:?}", ended.effects);
    assert_eq!(ended.outcome(), "operator_hangup");
    let transfer = Move::Operator(Event::OperatorTransfer {
        target: Some("2005".parse().unwrap()),
        department: None,
        request: RequestId::from_unique("op-1"),
        anew: false,
    });
    let fetched = World::run(&rules, &[transfer.clone(), Move::Back], None);
    assert_eq!(fetched.effects.iter().filter(|e| **e == "fetch").count(), 1);
    assert!(
        fetched.last().starts_with("dial 2005"),
        "{}",
        fetched.last()
    );
    // Away from an agent: the new program drops the agent's leg.
    let again = World::run(&rules, &[WISH, Move::PicksUp, transfer, Move::Back], None);
    assert!(again.last().starts_with("dial 2005"), "{}", again.last());
    assert_eq!(again.attempts(), ["answered", "open"]);
    // While the carrier rings, the caller's hang-up by an operator ends both.
    let both = World::run(&rules, &[WISH, Move::Rings, hangup], None);
    assert_eq!(both.attempts(), ["canceled"]);
}

/// The carrier was asked over REST to come, and came by itself at the same moment: it drops what it is
/// given then, as soon as the other request arrives.
#[test]
fn a_wish_that_crosses_a_webhook_dials_once() {
    let rules = rules(|_| {}, None);
    let transfer = Move::Operator(Event::OperatorTransfer {
        target: Some("2001".parse().unwrap()),
        department: None,
        request: RequestId::from_unique("crossing"),
        anew: false,
    });
    let end = Move::Dialled("completed", Some(true));
    let world = survives(&rules, &[transfer, Move::Silent, Move::Back, end]);
    let programs: Vec<String> = world.programs.iter().map(describe).collect();
    assert_eq!(programs[1], "wait", "{programs:?}");
    assert!(programs[2].starts_with("dial 2001"), "{programs:?}");
    assert_eq!(world.attempts(), ["answered"]);
    assert_eq!(world.outcome(), "transferred");
}

#[test]
fn reports_that_are_late_or_repeated_change_nothing() {
    let rules = rules(|_| {}, None);
    let world = World::run(
        &rules,
        &[
            WISH,
            Move::PicksUp,
            Move::Rings,
            Move::PicksUp,
            Move::Dialled("completed", Some(true)),
            Move::Rings,
            Move::PicksUp,
            Move::HangsUp,
            Move::HangsUp,
        ],
        None,
    );
    assert_eq!(world.attempts(), ["answered"]);
    assert_eq!(world.outcome(), "transferred");
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn recording_begins_with_the_first_program() {
    let world = World::run(&rules(|_| {}, None), &[], None);
    assert_eq!(world.programs.len(), 1);
    assert!(world.channel.state.is_recorded_from_here);
    assert!(
        !world.effects.contains(&"record"),
        "the carrier takes no such order before the call is answered"
    );
}
