//! Agents who are met in a conference: whatever happens, the call comes to what a dial from the
//! caller's leg comes to.

use std::sync::Arc;

use switchhook_call::hours::{RawOpenHours, WeeklySpan};
use switchhook_call::{Event, FallbackStep};
use switchhook_model::HangupCause;

use super::ladders::{WISH, survives};
use super::world::{Move, World, describe, rooms, rules};
use crate::twilio::channel::{Came, DialEnd, LegEnd, Rules, Seen};

/// The conference is over, for the caller.
pub(super) fn room_ends() -> Move {
    Move::Comes(Came::DialEnded(DialEnd {
        bridged: None,
        answered: true,
        cause: HangupCause::Normal,
        sip_status: None,
        sid: None,
    }))
}

fn asked(target: &str, in_room: bool) -> Move {
    Move::Comes(Came::Transfer {
        target: target.parse().unwrap(),
        in_room,
    })
}

fn back_to_assistant(key: Option<char>) -> Arc<Rules> {
    rooms(
        |policy| policy.fallback = vec![FallbackStep::ReturnToAssistant],
        key,
    )
}

fn told(world: &World) -> Vec<String> {
    world.programs.iter().map(describe).collect()
}

/// How often the carrier is asked to dial, by a process that did not die.
fn invitations(world: &World) -> usize {
    world.effects.iter().filter(|e| **e == "invite").count()
}

#[test]
fn caller_and_agent_meet_by_one_dial_and_part_in_any_order() {
    let rules = rooms(|_| {}, None);
    let parts = [
        [Move::Over("completed"), room_ends()],
        [room_ends(), Move::Over("completed")],
    ];
    for part in parts {
        let mut moves = vec![WISH, Move::Waits, Move::Dials, Move::Rings, Move::PicksUp];
        moves.extend(part);
        let world = survives(&rules, &moves);
        let programs = told(&world);
        assert!(
            programs[1].starts_with("meet 2001 [\"One moment please"),
            "{programs:?}"
        );
        assert_eq!(programs[2], "hangup");
        assert_eq!(world.outcome(), "transferred");
        assert_eq!(world.attempts(), ["answered"]);
        assert_eq!(invitations(&world), 1);
        assert!(world.channel.is_settled());
    }
}

#[test]
fn the_agent_is_dialled_only_when_the_caller_is_there() {
    let rules = rooms(|_| {}, None);
    let early = World::run(&rules, &[WISH], None);
    assert_eq!(invitations(&early), 0);
    // The document is fetched again while it is played.
    let twice = World::run(&rules, &[WISH, Move::Waits, Move::Waits], None);
    assert_eq!(invitations(&twice), 1);
    let gone = World::run(&rules, &[WISH, Move::HangsUp, Move::Waits], None);
    assert_eq!(invitations(&gone), 0);
    assert!(gone.channel.is_settled());
    assert_eq!(gone.outcome(), "caller_gone");
}

#[test]
fn every_outcome_is_what_a_dial_from_the_callers_leg_comes_to() {
    for status in ["no-answer", "busy", "failed", "canceled"] {
        let dialled = World::run(
            &rules(
                |policy| policy.fallback = vec![FallbackStep::ReturnToAssistant],
                None,
            ),
            &[WISH, Move::Dialled(status, Some(false)), Move::HangsUp],
            None,
        );
        let world = survives(
            &back_to_assistant(None),
            &[
                WISH,
                Move::Waits,
                Move::Dials,
                Move::Rings,
                Move::Over(status),
                Move::Back,
                Move::HangsUp,
            ],
        );
        assert_eq!(world.attempts(), dialled.attempts(), "{status}");
        assert_eq!(world.outcome(), dialled.outcome(), "{status}");
        let (mut met, rung) = (told(&world), told(&dialled));
        met[1] = met[1].replace("meet", "dial");
        assert_eq!(met, rung, "{status}");
        assert_eq!(invitations(&world), 1, "{status}");
    }
}

#[test]
fn who_does_not_press_the_key_has_not_taken_the_call() {
    let rules = back_to_assistant(Some('1'));
    let declined = survives(
        &rules,
        &[
            WISH,
            Move::Waits,
            Move::Dials,
            Move::PicksUp,
            Move::Over("completed"),
            Move::Back,
            Move::HangsUp,
        ],
    );
    assert_eq!(declined.attempts(), ["failed"]);
    assert!(
        told(&declined)[2].contains("nobody can take your call"),
        "{:?}",
        told(&declined)
    );
    let taken = survives(
        &rules,
        &[
            WISH,
            Move::Waits,
            Move::Dials,
            Move::PicksUp,
            Move::Accepts,
            Move::Over("completed"),
            room_ends(),
        ],
    );
    assert_eq!(taken.attempts(), ["answered"]);
    assert_eq!(taken.outcome(), "transferred");
}

#[test]
fn a_caller_who_hangs_up_leaves_nobody_ringing_or_talking_alone() {
    let rules = rooms(|_| {}, None);
    for (end, is_dropped) in [
        (vec![Move::Over("canceled")], false),
        (vec![Move::SeesAgent(Seen::Ringing), Move::Drops], true),
        (vec![Move::Passes(3_000), Move::Over("canceled")], true),
    ] {
        let begin = [WISH, Move::Waits, Move::Dials, Move::Rings, Move::HangsUp];
        let moves: Vec<Move> = begin.into_iter().chain(end).collect();
        let world = survives(&rules, &moves);
        assert_eq!(world.attempts(), ["canceled"]);
        assert_eq!(world.outcome(), "caller_gone");
        assert_eq!(
            world.effects.contains(&"drop"),
            is_dropped,
            "{:?}",
            world.effects
        );
        assert!(world.channel.is_settled());
    }
    // Before the carrier said which leg it is.
    let early = survives(&rules, &[WISH, Move::Waits, Move::HangsUp, Move::Dials]);
    assert!(early.effects.contains(&"drop"), "{:?}", early.effects);
    assert_eq!(early.outcome(), "caller_gone");
    let talking = survives(
        &rules,
        &[
            WISH,
            Move::Waits,
            Move::Dials,
            Move::PicksUp,
            Move::HangsUp,
            Move::Over("completed"),
        ],
    );
    assert_eq!(talking.outcome(), "transferred");
    assert!(talking.channel.is_settled());
}

#[test]
fn a_dial_that_is_refused_is_an_attempt_that_failed() {
    let world = survives(
        &back_to_assistant(None),
        &[
            WISH,
            Move::Waits,
            Move::DialsNot(HangupCause::Unreachable),
            Move::Back,
            Move::HangsUp,
        ],
    );
    assert_eq!(world.attempts(), ["failed"]);
    assert!(told(&world)[2].contains("could not reach anyone"));
}

/// A process that died with the dial in its hands: the next one asks, and says that it does.
#[test]
fn a_dial_nobody_knows_of_is_looked_for() {
    let rules = rooms(|_| {}, None);
    let moves = [WISH, Move::Waits, Move::Passes(6_000)];
    let alive = World::run(&rules, &moves, None);
    assert_eq!(invitations(&alive), 1);
    assert_eq!(alive.effects.last(), Some(&"invite_again"));
    let crashed = World::run(&rules, &moves[..2], Some(2));
    assert_eq!(crashed.effects.last(), Some(&"invite_again"));
    let known = World::run(&rules, &[WISH, Move::Waits, Move::Rings], Some(3));
    assert!(!known.effects.contains(&"invite_again"));
}

#[test]
fn the_next_agent_is_met_in_a_conference_of_its_own() {
    let rules = rooms(
        |policy| {
            policy.default_targets = vec!["2001".parse().unwrap(), "2005".parse().unwrap()];
        },
        None,
    );
    let world = survives(
        &rules,
        &[
            WISH,
            Move::Waits,
            Move::Dials,
            Move::Over("busy"),
            Move::Back,
            Move::Waits,
            Move::PicksUp,
            Move::Over("completed"),
            room_ends(),
        ],
    );
    assert_eq!(world.attempts(), ["busy", "answered"]);
    assert_eq!(invitations(&world), 2);
    assert!(
        told(&world)[2].starts_with("meet 2005"),
        "{:?}",
        told(&world)
    );
}

/// The carrier drops whoever it can play nothing to: the caller is led back, not for ever, and the
/// agent is dialled once.
#[test]
fn a_caller_who_falls_out_of_the_conference_is_led_back() {
    let rules = back_to_assistant(None);
    let back = survives(
        &rules,
        &[
            WISH,
            Move::Waits,
            Move::Dials,
            room_ends(),
            Move::Waits,
            Move::PicksUp,
            Move::Over("completed"),
            room_ends(),
        ],
    );
    assert_eq!(back.outcome(), "transferred");
    assert_eq!(invitations(&back), 1);
    let never = survives(
        &rules,
        &[WISH, room_ends(), room_ends(), room_ends(), Move::HangsUp],
    );
    assert_eq!(never.attempts(), ["failed"]);
    assert_eq!(invitations(&never), 0);
}

#[test]
fn reports_that_are_late_or_repeated_change_nothing() {
    let rules = rooms(|_| {}, None);
    let world = World::run(
        &rules,
        &[
            WISH,
            Move::Waits,
            Move::Over("completed"),
            Move::Over("completed"),
            Move::PicksUp,
            Move::Rings,
            room_ends(),
            Move::HangsUp,
        ],
        None,
    );
    assert_eq!(world.attempts(), ["answered"]);
    assert_eq!(world.outcome(), "transferred");
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn whoever_asks_by_webhook_gets_a_conference_only_where_one_can_be_had() {
    let with = rooms(|_| {}, None);
    let world = World::run(&with, &[asked("2001", true)], None);
    assert!(world.last().starts_with("meet 2001"), "{}", world.last());
    let on_demand = {
        let mut rules = Arc::into_inner(rules(|_| {}, None)).unwrap();
        rules.has_rest = true;
        Arc::new(rules)
    };
    let dial = World::run(&on_demand, &[asked("2001", false)], None);
    assert!(dial.last().starts_with("dial 2001"), "{}", dial.last());
    let meet = World::run(&on_demand, &[asked("2001", true)], None);
    assert!(meet.last().starts_with("meet 2001"), "{}", meet.last());
    let without = World::run(&rules(|_| {}, None), &[asked("2001", true)], None);
    assert!(
        without.last().starts_with("dial 2001"),
        "{}",
        without.last()
    );
}

/// A webhook reaches whom the configuration names, when humans are there.
#[test]
fn a_webhook_cannot_call_whom_it_likes() {
    let rules = rules(|_| {}, None);
    for other in ["2009", "+12025550199", "sip:x@192.0.2.1"] {
        let world = World::run(&rules, &[asked(other, false)], None);
        assert!(world.last().starts_with("dial 2001"), "{}", world.last());
    }
    let closed = super::world::rules(
        |policy| {
            // It is a Friday.
            let saturdays = RawOpenHours {
                time_zone: "Europe/Berlin".into(),
                weekly: vec![WeeklySpan {
                    days: vec!["sat".into()],
                    from: "00:00".into(),
                    to: "24:00".into(),
                }],
                holidays: Vec::new(),
            };
            policy.open_hours = Some(saturdays.try_into().unwrap());
            policy.closed_fallback = vec![FallbackStep::ReturnToAssistant];
        },
        None,
    );
    let world = World::run(&closed, &[asked("2001", false)], None);
    assert!(!world.last().starts_with("dial"), "{}", world.last());
    assert!(world.attempts().is_empty());
}

#[test]
fn a_caller_is_held_in_a_conference_only() {
    let hold = || Move::Operator(Event::OperatorHold { by: "eva".into() });
    let resume = || Move::Operator(Event::OperatorResume { by: "eva".into() });
    let rules = rooms(|_| {}, None);
    let held = World::run(
        &rules,
        &[WISH, Move::Waits, Move::PicksUp, hold(), resume()],
        None,
    );
    assert_eq!(held.effects[held.effects.len() - 2..], ["hold", "unhold"]);
    let with_assistant = World::run(&rules, &[hold()], None);
    assert!(!with_assistant.effects.contains(&"hold"));
}

/// The last report is lost: the carrier is asked.
#[test]
fn a_caller_who_vanished_without_a_word_is_noticed() {
    let rules = rooms(|_| {}, None);
    let over = Move::Sees(Seen::Over(LegEnd {
        answered: true,
        cause: HangupCause::Normal,
        sip_status: None,
    }));
    let world = survives(&rules, &[Move::Passes(60_000), over.clone()]);
    assert!(world.effects.contains(&"look"), "{:?}", world.effects);
    assert_eq!(world.outcome(), "caller_hung_up");
    assert!(world.channel.is_settled());
    // Still there, or nobody knows: it goes on, and is looked at again.
    let on = World::run(
        &rules,
        &[
            Move::Passes(60_000),
            Move::Sees(Seen::Talking),
            Move::Sees(Seen::Unknown),
            Move::Passes(60_000),
        ],
        None,
    );
    assert_eq!(on.effects.iter().filter(|e| **e == "look").count(), 2);
    assert_eq!(on.outcome(), "none");
}

/// How the agent's phone rang out is told once, and that may be lost: the carrier is asked well before
/// the call gives the agent up by itself.
#[test]
fn an_agents_last_report_that_is_lost_is_asked_for() {
    let rules = back_to_assistant(None);
    let rejected = Move::SeesAgent(Seen::Over(LegEnd {
        answered: false,
        cause: HangupCause::Rejected,
        sip_status: None,
    }));
    // It may ring 20 s.
    let moves = [
        WISH,
        Move::Waits,
        Move::Dials,
        Move::Rings,
        Move::Passes(31_000),
        rejected,
        Move::Back,
        Move::HangsUp,
    ];
    let world = survives(&rules, &moves);
    assert!(world.effects.contains(&"look"), "{:?}", world.effects);
    assert_eq!(world.attempts(), ["failed"]);
    // Whoever talks is left in peace.
    let talks = [
        WISH,
        Move::Waits,
        Move::Dials,
        Move::PicksUp,
        Move::Passes(60_000),
    ];
    let world = World::run(&rules, &talks, None);
    assert!(!world.effects.contains(&"look"), "{:?}", world.effects);
}
