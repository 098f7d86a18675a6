//! What a channel without a process of its own needs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchhook_model::CallId;

use super::make::{at, call, ended, event, id, leg, message, turn, work};
use crate::Json;
use crate::error::CommitError;
use crate::rows::{AnswerRow, CallRow, VendorIdRow};
use crate::step::Step;
use crate::store::Store;
use crate::work::Queue;

fn owned(call: &str, vendor_id: &str) -> VendorIdRow {
    VendorIdRow {
        vendor: "twilio".into(),
        vendor_id: vendor_id.into(),
        call: id(call),
        leg: None,
    }
}

fn answer(call: &str, key: &str, second: i64) -> AnswerRow {
    AnswerRow {
        key: key.into(),
        call: Some(id(call)),
        at: at(second),
        body: format!("<Response><Say>{key} & {call}</Say></Response>"),
    }
}

fn answering(call: CallRow, key: &str) -> Step {
    let answers = vec![answer(call.head.id.unique(), key, 0)];
    Step {
        answers,
        ..Step::of(call)
    }
}

fn answered(key: &str) -> CommitError {
    CommitError::Answered { key: key.into() }
}

pub async fn state_and_owner_of_a_call_are_kept(store: &Store) {
    let mut row = call("a", 0);
    row.channel_state = Some(Json::of(
        &json!({"stream": null, "marks": ["m1", "\u{1F600}"]}),
    ));
    row.due_at = Some(at(30));
    row.node = Some("one".into());
    store.commit(Step::of(row.clone())).await.unwrap();
    assert_eq!(store.call(&id("a")).await.unwrap(), Some(row.clone()));
    assert_eq!(store.open_calls().await.unwrap(), vec![row.clone()]);
    row.revision += 1;
    row.channel_state = None;
    row.due_at = None;
    row.node = None;
    store.commit(Step::of(row.clone())).await.unwrap();
    assert_eq!(store.call(&id("a")).await.unwrap(), Some(row));
}

pub async fn calls_are_due_until_they_end_or_are_put_off(store: &Store) {
    let due = |name: &str, second: i64| {
        let mut row = call(name, 0);
        row.due_at = Some(at(second));
        row
    };
    let over = ended(due("over", 1), 2, "bridged");
    for row in [
        due("late", 30),
        due("b", 10),
        due("a", 10),
        due("first", 5),
        over,
        call("never", 0),
    ] {
        store.commit(Step::of(row)).await.unwrap();
    }
    let found = async |second: i64, limit: u32| -> Vec<CallId> {
        store.due_calls(at(second), limit).await.unwrap()
    };
    assert_eq!(found(4, 9).await, []);
    assert_eq!(found(5, 9).await, [id("first")]);
    assert_eq!(found(29, 9).await, [id("first"), id("a"), id("b")]);
    assert_eq!(found(30, 2).await, [id("first"), id("a")]);
    assert_eq!(found(30, 0).await, []);

    let mut put_off = due("first", 60);
    put_off.revision += 1;
    store.commit(Step::of(put_off)).await.unwrap();
    store
        .commit(Step::of(ended(call("a", 0), 11, "bridged")))
        .await
        .unwrap();
    assert_eq!(found(30, 9).await, [id("b"), id("late")]);
}

pub async fn a_vendor_id_belongs_to_the_first_call_that_had_it(store: &Store) {
    let first = Step {
        legs: vec![leg("a", 1, 0)],
        vendor_ids: vec![owned("a", "CA2"), owned("a", "CA1")],
        ..Step::of(call("a", 0))
    };
    store.commit(first).await.unwrap();
    // Another call's row changes nothing and hinders nothing.
    let mut theft = owned("b", "CA1");
    theft.leg = Some(leg("b", 1, 0).id);
    let second = Step {
        vendor_ids: vec![theft, owned("b", "CA3")],
        ..Step::of(call("b", 0))
    };
    store.commit(second).await.unwrap();
    let found = store.vendor_id("twilio", "CA1").await.unwrap();
    assert_eq!(found, Some(owned("a", "CA1")));

    // Its own call adds the leg, and does not take it away again.
    let mut known = owned("a", "CA1");
    known.leg = Some(leg("a", 1, 0).id);
    for row in [known.clone(), owned("a", "CA1")] {
        let step = Step {
            vendor_ids: vec![row],
            ..Step::default()
        };
        store.commit(step).await.unwrap();
        let found = store.vendor_id("twilio", "CA1").await.unwrap();
        assert_eq!(found, Some(known.clone()));
    }
    assert_eq!(
        store.vendor_ids(&id("a")).await.unwrap(),
        [known, owned("a", "CA2")]
    );
    assert_eq!(store.vendor_ids(&id("ghost")).await.unwrap(), []);
    assert_eq!(store.vendor_id("other", "CA1").await.unwrap(), None);

    // Of one batch, and of one step, the first as well.
    let both = |name: &str, ids: Vec<VendorIdRow>| {
        Arc::new(Step {
            vendor_ids: ids,
            ..Step::of(call(name, 0))
        })
    };
    let batch = vec![
        both("c", vec![owned("c", "CA4"), owned("a", "CA4")]),
        both("d", vec![owned("d", "CA4")]),
    ];
    assert!(store.commit_batch(batch).await.iter().all(Result::is_ok));
    let found = store.vendor_id("twilio", "CA4").await.unwrap();
    assert_eq!(found, Some(owned("c", "CA4")));
}

pub async fn a_vendor_id_of_an_unknown_call_is_refused(store: &Store) {
    let step = Step {
        vendor_ids: vec![owned("ghost", "CA1")],
        ..Step::of(call("a", 0))
    };
    let refused = CommitError::UnknownCall {
        call: id("ghost"),
        what: "a vendor's id",
    };
    assert_eq!(store.commit(step).await, Err(refused));
    assert_eq!(store.call(&id("a")).await.unwrap(), None);
    assert_eq!(store.vendor_id("twilio", "CA1").await.unwrap(), None);
}

pub async fn a_webhook_is_answered_once(store: &Store) {
    store
        .commit(answering(call("a", 0), "token"))
        .await
        .unwrap();
    let mut next = call("a", 0);
    next.revision += 1;
    let again = Step {
        turns: vec![turn("a", 1, "must not appear")],
        events: vec![event("a", "must_not_appear")],
        work: vec![work("must-not-appear", 0)],
        ..answering(next.clone(), "token")
    };
    assert_eq!(store.commit(again).await, Err(answered("token")));
    assert_eq!(
        store.answer("token").await.unwrap(),
        Some(answer("a", "token", 0))
    );
    assert_eq!(store.call(&id("a")).await.unwrap().unwrap().revision, 1);
    assert_eq!(store.turns(&id("a")).await.unwrap(), []);
    assert_eq!(store.events(&id("a")).await.unwrap(), []);
    let queued = store.work(Queue::Outbox, "must-not-appear").await.unwrap();
    assert_eq!(queued, None);

    // Another key goes on, and an answer needs no call.
    store.commit(answering(next, "other")).await.unwrap();
    let nobodys = AnswerRow {
        call: None,
        ..answer("ghost", "nobody", 0)
    };
    let step = Step {
        answers: vec![nobodys.clone(), answer("ghost", "unknown", 0)],
        ..Step::default()
    };
    store.commit(step).await.unwrap();
    assert_eq!(store.answer("nobody").await.unwrap(), Some(nobodys));
    assert!(store.answer("unknown").await.unwrap().is_some());
    assert_eq!(store.answer("never").await.unwrap(), None);
}

pub async fn an_answer_given_is_told_before_a_stale_revision(store: &Store) {
    store
        .commit(answering(call("a", 0), "token"))
        .await
        .unwrap();
    let again = store.commit(answering(call("a", 0), "token")).await;
    assert_eq!(again, Err(answered("token")));
    // A step that is refused for another reason leaves its key free.
    let stale = store.commit(answering(call("a", 0), "free")).await;
    assert!(matches!(stale, Err(CommitError::StaleRevision { .. })));
    assert_eq!(store.answer("free").await.unwrap(), None);
}

pub async fn of_a_batch_the_first_answer_counts(store: &Store) {
    let twice = Step {
        answers: vec![answer("d", "k2", 0), answer("d", "k2", 1)],
        ..Step::of(call("d", 0))
    };
    let steps = [
        answering(call("a", 0), "k1"),
        answering(call("b", 0), "k1"),
        answering(call("c", 0), "k3"),
        twice,
    ];
    let results = store.commit_batch(steps.map(Arc::new).into()).await;
    assert!(results[0].is_ok());
    assert_eq!(results[1], Err(answered("k1")));
    assert!(results[2].is_ok());
    assert_eq!(results[3], Err(answered("k2")));
    assert_eq!(store.call(&id("b")).await.unwrap(), None);
    assert_eq!(store.call(&id("d")).await.unwrap(), None);
    assert_eq!(store.answer("k2").await.unwrap(), None);
    assert_eq!(
        store.answer("k1").await.unwrap(),
        Some(answer("a", "k1", 0))
    );
}

pub async fn answers_are_forgotten_in_time(store: &Store) {
    let step = Step {
        answers: vec![
            answer("a", "old", 1),
            answer("a", "edge", 2),
            answer("a", "new", 3),
        ],
        ..Step::default()
    };
    store.commit(step).await.unwrap();
    assert_eq!(store.forget_answers(at(2)).await.unwrap(), 1);
    assert_eq!(store.answer("old").await.unwrap(), None);
    assert!(store.answer("edge").await.unwrap().is_some());
    assert_eq!(store.forget_answers(at(2)).await.unwrap(), 0);
    // What is forgotten may be answered anew.
    let step = Step {
        answers: vec![answer("a", "old", 9)],
        ..Step::default()
    };
    store.commit(step).await.unwrap();
}

pub async fn a_message_is_found_by_its_vendors_id(store: &Store) {
    let sent = |name: &str, channel: &str, vendor_id: Option<&str>, second: i64| {
        let mut row = message(name, second);
        row.channel = channel.into();
        row.vendor_id = vendor_id.map(Into::into);
        row
    };
    let messages = vec![
        sent("a", "sms", Some("SM1"), 5),
        sent("b", "whatsapp", Some("SM1"), 9),
        sent("c", "sms", Some("SM1"), 7),
        sent("d", "sms", None, 8),
    ];
    let newest = messages[2].clone();
    let step = Step {
        messages,
        ..Step::default()
    };
    store.commit(step).await.unwrap();
    let found = store.message_of_vendor("sms", "SM1").await.unwrap();
    assert_eq!(found, Some(newest));
    assert_eq!(store.message_of_vendor("sms", "SM2").await.unwrap(), None);
    assert_eq!(store.message_of_vendor("mail", "SM1").await.unwrap(), None);
}

pub async fn a_tally_begins_anew_when_its_window_is_over(store: &Store) {
    let window = Duration::from_secs(60);
    let tally = async |subject: &str, add: u64, second: i64| -> u64 {
        store.tally(subject, add, at(second), window).await.unwrap()
    };
    let tallied = async |subject: &str, second: i64| -> u64 {
        store.tallied(subject, at(second), window).await.unwrap()
    };
    assert_eq!(tallied("pin:a", 0).await, 0);
    // Nothing is begun by nothing.
    assert_eq!(tally("pin:a", 0, 0).await, 0);
    assert_eq!(tally("pin:a", 2, 10).await, 2);
    assert_eq!(tally("pin:a", 3, 69).await, 5);
    assert_eq!(tally("pin:b", 1, 69).await, 1);
    assert_eq!(tallied("pin:a", 69).await, 5);
    // The window began with the first count, not with the last.
    assert_eq!(tallied("pin:a", 70).await, 0);
    assert_eq!(tally("pin:a", 1, 70).await, 1);
    assert_eq!(tallied("pin:a", 129).await, 1);
    // A clock that is behind does not begin anew.
    assert_eq!(tally("pin:a", 1, 65).await, 2);
    store.clear_tally("pin:a").await.unwrap();
    store.clear_tally("never").await.unwrap();
    assert_eq!(tallied("pin:a", 71).await, 0);
    assert_eq!(tally("pin:a", 1, 71).await, 1);
    assert_eq!(store.forget_tallies(at(70)).await.unwrap(), 1);
    assert_eq!(tallied("pin:b", 70).await, 0);
    assert_eq!(tallied("pin:a", 72).await, 1);
    // Windows of any length.
    let ever = store.tally("pin:c", 7, at(0), Duration::MAX).await;
    assert_eq!(ever.unwrap(), 7);
    let none = store.tally("pin:c", 1, at(0), Duration::ZERO).await;
    assert_eq!(none.unwrap(), 1);
}

pub async fn tallies_added_at_once_are_all_counted(store: &Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        tasks.spawn(async move {
            let window = Duration::from_secs(60);
            store.tally("calls", 2, at(0), window).await.unwrap()
        });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_unstable();
    // Each got a count of its own: none was lost or counted twice.
    let expected: Vec<u64> = (1..=50).map(|n| n * 2).collect();
    assert_eq!(seen, expected);
}
