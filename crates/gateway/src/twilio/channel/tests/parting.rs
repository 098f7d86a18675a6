//! The caller hangs up while a dial is open: what became of the agent is reported on its own.

use switchhook_call::Event;

use super::ladders::{WISH, survives};
use super::meeting::room_ends;
use super::world::{Move, World, rooms, rules};
use crate::twilio::channel::{Program, Seen};

#[test]
fn a_caller_who_hangs_up_leaves_nobody_ringing() {
    let rules = rules(|_| {}, None);
    // The dial's end is told, or the leg's, or nothing is.
    for last in [
        Move::Dialled("canceled", Some(false)),
        Move::Dialled("no-answer", None),
        Move::Over("canceled"),
        Move::Passes(3000),
    ] {
        let world = survives(&rules, &[WISH, Move::Rings, Move::HangsUp, last.clone()]);
        assert_eq!(world.attempts(), ["canceled"], "{last:?}");
        assert_eq!(world.outcome(), "caller_gone", "{last:?}");
        assert!(world.channel.is_settled(), "{last:?}");
        let dials = |program: &&Program| matches!(program, Program::Dial { .. });
        assert_eq!(world.programs.iter().filter(dials).count(), 1);
    }
}

#[test]
fn a_caller_who_hangs_up_on_the_agent_was_transferred_whichever_is_told_first() {
    let rules = rules(|_| {}, None);
    for told in [
        vec![Move::PicksUp, Move::HangsUp],
        vec![Move::HangsUp, Move::PicksUp],
        vec![Move::HangsUp, Move::Over("completed")],
        vec![Move::Over("completed"), Move::HangsUp],
        vec![Move::HangsUp, Move::Dialled("completed", Some(true))],
        vec![
            Move::HangsUp,
            Move::HangsUp,
            Move::Dialled("completed", None),
        ],
    ] {
        let moves: Vec<Move> = [WISH, Move::Rings].into_iter().chain(told).collect();
        let world = survives(&rules, &moves);
        assert_eq!(world.attempts(), ["answered"], "{moves:?}");
        assert_eq!(world.outcome(), "transferred", "{moves:?}");
        assert!(world.channel.is_settled(), "{moves:?}");
    }
}

/// The same in a conference, where the agent rings on unless somebody ends it.
#[test]
fn whoever_leaves_a_conference_was_transferred_whichever_is_told_first() {
    let rules = rooms(|_| {}, None);
    let begin = [WISH, Move::Waits, Move::Dials, Move::Rings];
    for told in [
        vec![Move::HangsUp, Move::PicksUp],
        vec![Move::HangsUp, Move::Over("completed")],
        vec![Move::HangsUp, Move::SeesAgent(Seen::Talking)],
    ] {
        let moves: Vec<Move> = begin.iter().cloned().chain(told).collect();
        let world = survives(&rules, &moves);
        assert_eq!(world.attempts(), ["answered"], "{moves:?}");
        assert_eq!(world.outcome(), "transferred", "{moves:?}");
    }
    for told in [
        vec![Move::HangsUp, Move::SeesAgent(Seen::Ringing), Move::Drops],
        vec![Move::HangsUp, Move::Passes(3000), Move::Drops],
        vec![Move::HangsUp, Move::Over("no-answer")],
        vec![
            Move::HangsUp,
            Move::SeesAgent(Seen::Unknown),
            Move::Passes(3000),
            Move::Drops,
        ],
    ] {
        let moves: Vec<Move> = begin.iter().cloned().chain(told).collect();
        let world = survives(&rules, &moves);
        assert_eq!(world.attempts(), ["canceled"], "{moves:?}");
        assert_eq!(world.outcome(), "caller_gone", "{moves:?}");
        assert!(world.channel.is_settled(), "{moves:?}");
    }
    // How the conference ended says nothing of the agent.
    for told in [
        vec![Move::HangsUp, room_ends(), Move::SeesAgent(Seen::Ringing)],
        vec![Move::HangsUp, room_ends(), Move::Over("no-answer")],
    ] {
        let moves: Vec<Move> = begin.iter().cloned().chain(told).collect();
        let world = survives(&rules, &moves);
        assert_eq!(world.outcome(), "caller_gone", "{moves:?}");
    }
    // Picked up, and the key not pressed: as by a dial, nobody else is tried for a caller who is gone.
    let with_key = rooms(|_| {}, Some('1'));
    let moves: Vec<Move> = begin
        .iter()
        .cloned()
        .chain([Move::PicksUp, Move::HangsUp, Move::Over("completed")])
        .collect();
    let world = survives(&with_key, &moves);
    assert_eq!(world.attempts().len(), 1);
    assert_eq!(world.outcome(), "caller_gone");
    // Dialled, and not known to the carrier: nobody can have answered.
    let early = survives(&rules, &[WISH, Move::Waits, Move::HangsUp]);
    assert_eq!(early.outcome(), "caller_gone");
}

#[test]
fn an_agent_who_had_not_pressed_the_key_had_not_taken_the_call() {
    let rules = rules(|_| {}, Some('1'));
    let told = |last: &[Move]| {
        let begin = [WISH, Move::Rings, Move::PicksUp, Move::HangsUp];
        let moves: Vec<Move> = begin.into_iter().chain(last.iter().cloned()).collect();
        survives(&rules, &moves)
    };
    // The leg's end does not tell whether the key was pressed; the dial's end does.
    for bridged in [false, true] {
        let world = told(&[
            Move::Over("completed"),
            Move::Dialled("completed", Some(bridged)),
        ]);
        let outcome = if bridged {
            "transferred"
        } else {
            "caller_gone"
        };
        assert_eq!(world.outcome(), outcome);
        assert!(world.channel.is_settled());
    }
    let accepted = told(&[Move::Accepts, Move::Passes(3000)]);
    assert_eq!(accepted.outcome(), "transferred");
    let silent = told(&[Move::Over("completed"), Move::Passes(3000)]);
    assert_eq!(silent.attempts(), ["canceled"]);
    assert_eq!(silent.outcome(), "caller_gone");
}

#[test]
fn a_caller_on_whom_we_hang_up_is_not_waited_for() {
    let rules = rules(|_| {}, None);
    let hangup = Move::Operator(Event::OperatorHangup { by: "eva".into() });
    let world = World::run(&rules, &[WISH, Move::Rings, hangup, Move::HangsUp], None);
    assert_eq!(world.attempts(), ["canceled"]);
    assert!(world.channel.is_settled());
}
