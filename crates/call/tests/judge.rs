//! Each invariant is broken once, and the judge sees exactly that. A record begins as a real call's
//! and is spoiled in one place.

mod world;

use std::time::Duration;

use switchhook_call::judge::{CallFact, CallRecord, INVARIANTS, Stamped, judge};
use switchhook_call::{
    Action, ActionKind, AttemptResult, CallEvent, CallPolicy, Event, FallbackStep, Opening, Party,
    SayId, TextKey, TransferOutcome,
};
use switchhook_model::{HangupCause, LegId, MessageId, Timestamp};
use world::{Phone, Receiver, World, policy};

/// A call that took a message after nobody answered.
fn message_call() -> CallRecord {
    finished(World::with_assistant(policy()), None)
}

/// A call whose caller was joined with 2001.
fn bridged_call() -> CallRecord {
    let world = World::with_assistant(policy()).phone("2001", Phone::AnswersAfter(5000));
    finished(world, Some(30))
}

/// A call whose caller hung up while 2001 rang, which answered the CANCEL.
fn abandoned_call() -> CallRecord {
    let world = World::with_assistant(policy()).phone("2001", Phone::AnswersTheCancel);
    finished(world, Some(12))
}

fn finished(mut world: World, hang_up_at_s: Option<u64>) -> CallRecord {
    world.ask(1);
    if let Some(s) = hang_up_at_s {
        world.run_until_s(s);
        world.caller_hangs_up();
    }
    world.run_to_the_end();
    assert_eq!(
        world.violations(),
        vec![],
        "the record is sound before it is spoiled"
    );
    world.record()
}

fn codes(record: &CallRecord) -> Vec<String> {
    let mut codes: Vec<String> = judge(record).into_iter().map(|found| found.code).collect();
    codes.dedup();
    codes
}

#[track_caller]
fn breaks(record: &CallRecord, code: &str) {
    assert_eq!(codes(record), [code], "{:#?}", judge(record));
    let violation = &judge(record)[0];
    assert!(!violation.detail.is_empty() && !violation.cause.is_empty());
    assert!(!violation.cure.is_empty());
    let json = serde_json::to_string(violation).expect("plain data");
    assert_eq!(
        &serde_json::from_str::<switchhook_call::judge::Violation>(&json).expect("just written"),
        violation
    );
}

/// Where the first action of this kind is.
#[track_caller]
fn position(record: &CallRecord, wanted: impl Fn(&ActionKind) -> bool) -> usize {
    record
        .facts
        .iter()
        .position(|stamped| matches!(&stamped.fact, CallFact::Done(action) if wanted(&action.kind)))
        .expect("the call did this")
}

fn remove(record: &mut CallRecord, wanted: impl Fn(&ActionKind) -> bool) -> ActionKind {
    let position = position(record, wanted);
    match record.facts.remove(position).fact {
        CallFact::Done(action) => action.kind,
        other => panic!("{other:?} is no action"),
    }
}

/// Inserts an action at a position, with the instant of its neighbour before.
fn insert(record: &mut CallRecord, position: usize, kind: ActionKind) {
    let at = record.facts[position - 1].at;
    let fact = CallFact::Done(Action { seq: 0, kind });
    record.facts.insert(position, Stamped { at, fact });
    let mut seq = 0;
    for stamped in &mut record.facts {
        if let CallFact::Done(action) = &mut stamped.fact {
            seq += 1;
            action.seq = seq;
        }
    }
}

fn append(record: &mut CallRecord, kind: ActionKind) {
    insert(record, record.facts.len(), kind);
}

fn is_event(kind: &ActionKind, wanted: impl Fn(&CallEvent) -> bool) -> bool {
    matches!(kind, ActionKind::Emit(event) if wanted(event))
}

fn agent_leg(record: &CallRecord) -> LegId {
    let leg = record
        .view
        .legs
        .iter()
        .find(|leg| leg.party == Party::Agent);
    leg.expect("an agent was dialled").id.clone()
}

fn caller_leg(record: &CallRecord) -> LegId {
    record.view.legs[0].id.clone()
}

#[test]
fn one_end() {
    let mut record = message_call();
    let end = remove(&mut record, |kind| {
        is_event(kind, |event| matches!(event, CallEvent::CallEnded { .. }))
    });
    breaks(&record, "one_end");
    append(&mut record, end.clone());
    assert_eq!(judge(&record), vec![]);
    append(&mut record, end);
    breaks(&record, "one_end");
    let mut open = message_call();
    open.view.ended_at = None;
    breaks(&open, "one_end");
}

#[test]
fn actions_once() {
    let mut record = message_call();
    let say = position(&record, |kind| matches!(kind, ActionKind::Say { .. }));
    let again = record.facts[say].clone();
    record.facts.insert(say + 1, again);
    breaks(&record, "actions_once");
}

#[test]
fn times_in_order() {
    let mut record = bridged_call();
    let early = Timestamp::from_millis(record.view.started_at.as_millis() - 1);
    record.view.legs[0].answered_at = Some(early);
    breaks(&record, "times_in_order");
}

#[test]
fn no_living_leg() {
    let mut record = bridged_call();
    let agent = agent_leg(&record);
    let leg = record.view.legs.iter_mut().find(|leg| leg.id == agent);
    leg.expect("dialled").state = switchhook_call::view::LegStateView::Answered;
    breaks(&record, "no_living_leg");
}

#[test]
fn late_answer_hung_up() {
    let mut record = abandoned_call();
    let agent = agent_leg(&record);
    remove(
        &mut record,
        |kind| matches!(kind, ActionKind::Hangup { leg, .. } if *leg == agent),
    );
    breaks(&record, "late_answer_hung_up");
}

#[test]
fn caller_gone_cancels_at_once() {
    let mut record = abandoned_call();
    let agent = agent_leg(&record);
    let cancel = position(&record, |kind| matches!(kind, ActionKind::Cancel { .. }));
    // The CANCEL comes three seconds late, and so does everything after it.
    for stamped in &mut record.facts[cancel..] {
        stamped.at = stamped.at + Duration::from_secs(3);
    }
    breaks(&record, "caller_gone_cancels_at_once");
    assert!(judge(&record)[0].detail.contains(agent.as_str()));
}

#[test]
fn no_bridge_with_ended_leg() {
    let mut record = bridged_call();
    let bridge = position(&record, |kind| matches!(kind, ActionKind::Bridge { .. }));
    let leg = caller_leg(&record);
    let (party, cause) = (Party::Caller, HangupCause::Normal);
    let ended = remove(&mut record, |kind| {
        is_event(kind, |event| {
            *event
                == CallEvent::LegEnded {
                    leg: leg.clone(),
                    party,
                    cause,
                }
        })
    });
    insert(&mut record, bridge, ended);
    breaks(&record, "no_bridge_with_ended_leg");
}

#[test]
fn no_bridge_before_the_answer() {
    let mut record = bridged_call();
    let leg = agent_leg(&record);
    remove(&mut record, |kind| {
        is_event(
            kind,
            |event| matches!(event, CallEvent::LegAnswered { leg: l, .. } if *l == leg),
        )
    });
    breaks(&record, "no_bridge_with_ended_leg");
}

#[test]
fn one_dial_per_attempt() {
    let mut record = message_call();
    let dial = position(&record, |kind| matches!(kind, ActionKind::Dial { .. }));
    let CallFact::Done(action) = record.facts[dial].fact.clone() else {
        panic!("an action")
    };
    insert(&mut record, dial + 1, action.kind);
    breaks(&record, "one_dial_per_attempt");

    let mut record = message_call();
    let leg = agent_leg(&record);
    let fact = CallFact::InviteSent {
        leg,
        sip_call_id: "another".to_owned(),
    };
    let at = record.view.started_at;
    record.facts.push(Stamped { at, fact });
    breaks(&record, "one_dial_per_attempt");
}

#[test]
fn one_result_per_attempt() {
    let mut record = message_call();
    let attempt = record.view.transfers[0].attempts[0].id.clone();
    append(
        &mut record,
        ActionKind::Emit(CallEvent::AttemptEnded {
            attempt,
            result: AttemptResult::Answered,
            sip_status: None,
        }),
    );
    breaks(&record, "one_result_per_attempt");
}

#[test]
fn ring_timeout_kept() {
    let mut late = message_call();
    let attempt = &mut late.view.transfers[0].attempts[0];
    attempt.ended_at = attempt.ended_at.map(|at| at + Duration::from_secs(5));
    breaks(&late, "ring_timeout_kept");
    let mut early = message_call();
    let attempt = &mut early.view.transfers[0].attempts[0];
    attempt.ended_at = attempt.ended_at.map(|at| at - Duration::from_secs(5));
    breaks(&early, "ring_timeout_kept");
    let mut ringing_on = message_call();
    let agent = agent_leg(&ringing_on);
    let cancel = remove(&mut ringing_on, |kind| {
        matches!(kind, ActionKind::Cancel { .. })
    });
    let ended = remove(&mut ringing_on, |kind| {
        is_event(
            kind,
            |event| matches!(event, CallEvent::LegEnded { leg, .. } if *leg == agent),
        )
    });
    append(&mut ringing_on, cancel);
    append(&mut ringing_on, ended);
    breaks(&ringing_on, "ring_timeout_kept");
}

#[test]
fn one_outcome_per_transfer() {
    let mut record = message_call();
    let transfer = record.view.transfers[0].id.clone();
    append(
        &mut record,
        ActionKind::Emit(CallEvent::TransferEnded {
            transfer,
            outcome: TransferOutcome::CallerGone,
        }),
    );
    breaks(&record, "one_outcome_per_transfer");
    let mut open = message_call();
    open.view.transfers[0].outcome = None;
    breaks(&open, "one_outcome_per_transfer");
}

#[test]
fn bridged_means_joined() {
    let mut record = bridged_call();
    remove(&mut record, |kind| {
        matches!(kind, ActionKind::Bridge { .. })
    });
    breaks(&record, "bridged_means_joined");
}

#[test]
fn no_caller_lost() {
    let policy = CallPolicy {
        fallback: vec![FallbackStep::Goodbye],
        ..policy()
    };
    let mut record = finished(World::with_assistant(policy), None);
    remove(&mut record, |kind| {
        matches!(
            kind,
            ActionKind::Say {
                key: TextKey::NobodyAnswered,
                ..
            }
        )
    });
    breaks(&record, "no_caller_lost");
}

#[test]
fn a_sentence_nobody_heard_does_not_count() {
    let mut record = message_call();
    for stamped in &mut record.facts {
        if let CallFact::Done(Action {
            kind:
                ActionKind::Emit(CallEvent::TextTold {
                    key: TextKey::NobodyAnswered,
                    heard,
                    ..
                }),
            ..
        }) = &mut stamped.fact
        {
            *heard = switchhook_call::Heard::None;
        }
    }
    breaks(&record, "no_caller_lost");
}

#[test]
fn told_result_is_true() {
    let mut record = message_call();
    for stamped in &mut record.facts {
        if let CallFact::Done(Action {
            kind: ActionKind::Say { key, .. },
            ..
        }) = &mut stamped.fact
            && *key == TextKey::NobodyAnswered
        {
            *key = TextKey::Busy;
        }
    }
    breaks(&record, "told_result_is_true");
}

#[test]
fn told_before_the_result_is_known() {
    let mut record = message_call();
    let said = remove(&mut record, |kind| {
        matches!(
            kind,
            ActionKind::Say {
                key: TextKey::NobodyAnswered,
                ..
            }
        )
    });
    let dial = position(&record, |kind| matches!(kind, ActionKind::Dial { .. }));
    insert(&mut record, dial, said);
    breaks(&record, "told_result_is_true");
}

#[test]
fn told_informed_is_true() {
    let world = World::with_assistant(policy()).receiver(Receiver::Refuses);
    let mut record = finished(world, None);
    for stamped in &mut record.facts {
        if let CallFact::Done(Action {
            kind: ActionKind::Say { key, .. },
            ..
        }) = &mut stamped.fact
            && *key == TextKey::SavedNotDelivered
        {
            *key = TextKey::TeamInformed;
        }
    }
    breaks(&record, "told_informed_is_true");
}

#[test]
fn informed_arrives() {
    let mut record = message_call();
    let message = MessageId::derive(&record.view.id, 1);
    let lost = CallEvent::NoticeUndelivered {
        message: message.clone(),
        error: "30005".to_owned(),
        will_retry: true,
    };
    let end = record.facts.len();
    insert(&mut record, end, ActionKind::Emit(lost));
    breaks(&record, "informed_arrives");
    // Another way reached the staff.
    let end = record.facts.len();
    let accepted = CallEvent::NoticeAccepted { message };
    insert(&mut record, end, ActionKind::Emit(accepted));
    assert_eq!(judge(&record), []);
}

#[test]
fn told_saved_is_true() {
    let mut record = message_call();
    let prompt = position(&record, |kind| matches!(kind, ActionKind::TakeMessage));
    insert(
        &mut record,
        prompt,
        ActionKind::Say {
            say: SayId(77),
            key: TextKey::MessageSaved,
            text: "Saved.".to_owned(),
        },
    );
    breaks(&record, "told_saved_is_true");
}

#[test]
fn message_becomes_notice() {
    let mut lost = message_call();
    remove(&mut lost, |kind| matches!(kind, ActionKind::Notify { .. }));
    breaks(&lost, "message_becomes_notice");

    let mut doubled = message_call();
    let message = MessageId::derive(&doubled.view.id, 1);
    let at = doubled.view.started_at;
    for _ in 0..2 {
        let fact = CallFact::NoticeDelivered {
            message: message.clone(),
        };
        doubled.facts.push(Stamped { at, fact });
    }
    breaks(&doubled, "message_becomes_notice");
}

#[test]
fn no_audio_after_end() {
    let mut record = bridged_call();
    let (leg, at) = (caller_leg(&record), record.view.started_at);
    let fact = CallFact::AudioAfterEnd {
        leg: leg.clone(),
        frames: 3,
    };
    record.facts.push(Stamped { at, fact });
    breaks(&record, "no_audio_after_end");

    let mut record = bridged_call();
    append(
        &mut record,
        ActionKind::StartAssistant {
            leg,
            opening: Opening::Greeting,
        },
    );
    breaks(&record, "no_audio_after_end");
}

#[test]
fn assistant_silent_with_human() {
    let mut record = bridged_call();
    let bridge = position(&record, |kind| matches!(kind, ActionKind::Bridge { .. }));
    let kind = ActionKind::ResumeAssistant {
        note: String::new(),
    };
    insert(&mut record, bridge + 1, kind);
    breaks(&record, "assistant_silent_with_human");
}

#[test]
fn no_sentence_under_ringback() {
    let mut record = message_call();
    remove(&mut record, |kind| {
        matches!(kind, ActionKind::Ringback { on: false, .. })
    });
    breaks(&record, "no_sentence_under_ringback");
}

#[test]
fn no_sentence_under_early_media() {
    let mut record = message_call();
    let is_off = |kind: &ActionKind| matches!(kind, ActionKind::Ringback { on: false, .. });
    let leg = record.view.legs[0].id.clone();
    let off = position(&record, is_off);
    let kind = ActionKind::EarlyMedia {
        from: leg.clone(),
        leg,
        on: true,
    };
    insert(&mut record, off + 1, kind);
    breaks(&record, "no_sentence_under_ringback");
}

#[test]
fn assistant_silent_on_hold() {
    let mut world = World::with_assistant(policy());
    let leg = world.caller_leg();
    world.event(Event::LegHeld { leg: leg.clone() });
    world.run_until_s(5);
    world.event(Event::LegResumed { leg });
    world.run_until_s(9);
    world.caller_hangs_up();
    world.run_to_the_end();
    let mut record = world.record();
    remove(&mut record, |kind| {
        matches!(kind, ActionKind::Emit(CallEvent::LegResumed { .. }))
    });
    breaks(&record, "assistant_silent_on_hold");
}

#[test]
fn every_invariant_is_described_for_people() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/invariants.md");
    let document = std::fs::read_to_string(path).expect("docs/invariants.md");
    let mut seen = std::collections::BTreeSet::new();
    for invariant in INVARIANTS {
        let section = format!(
            "### `{}`\n\n{}\n\n- **Usual cause.** {}\n- **Cure.** {}\n",
            invariant.code, invariant.holds, invariant.cause, invariant.cure
        );
        assert!(
            document.contains(&section),
            "docs/invariants.md needs:\n{section}"
        );
        assert!(seen.insert(invariant.code), "{} twice", invariant.code);
    }
    let sections = document.matches("\n### `").count();
    assert_eq!(
        sections,
        INVARIANTS.len(),
        "docs/invariants.md names others"
    );
}
