//! The write path.

use std::sync::Arc;

use serde_json::json;
use switchhook_model::{AttemptId, TransferId};

use super::make::{at, call, event, id, leg, turn, work};
use crate::error::{CommitError, StoreError};
use crate::rows::{AttemptRow, NewWire, TransferRow, ViolationRow, WireDirection};
use crate::step::Step;
use crate::store::Store;
use crate::work::Queue;

pub async fn a_step_is_read_back_whole(store: &Store) {
    let transfer = TransferRow {
        id: TransferId::derive(&id("a"), 1),
        call: id("a"),
        reason: "asked for a human".into(),
        department: Some("sales".into()),
        requested_at: at(2),
        ended_at: None,
        outcome: None,
    };
    let attempt = AttemptRow {
        id: AttemptId::derive(&id("a"), 1),
        transfer: transfer.id.clone(),
        call: id("a"),
        leg: Some(leg("a", 2, 3).id),
        target: "2001".into(),
        ring_timeout_s: 20,
        result: Some("busy".into()),
        sip_status: Some(486),
        started_at: at(3),
        ended_at: Some(at(4)),
    };
    let step = Step {
        legs: vec![leg("a", 1, 0)],
        transfers: vec![transfer.clone()],
        attempts: vec![attempt.clone()],
        turns: vec![turn("a", 1, "hello")],
        events: vec![event("a", "caller_arrived")],
        work: vec![work("notice-a", 0)],
        ..Step::of(call("a", 0))
    };
    store.commit(step).await.unwrap();

    assert_eq!(store.call(&id("a")).await.unwrap(), Some(call("a", 0)));
    assert_eq!(store.legs(&id("a")).await.unwrap(), vec![leg("a", 1, 0)]);
    assert_eq!(store.transfers(&id("a")).await.unwrap(), vec![transfer]);
    assert_eq!(store.attempts(&id("a")).await.unwrap(), vec![attempt]);
    assert_eq!(
        store.turns(&id("a")).await.unwrap(),
        vec![turn("a", 1, "hello")]
    );
    let events = store.events(&id("a")).await.unwrap();
    assert_eq!(events[0].data, json!({"kind": "caller_arrived"}).into());
    assert!(
        store
            .work(Queue::Outbox, "notice-a")
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.call(&id("b")).await.unwrap(), None);
}

pub async fn a_later_step_replaces_rows_by_id(store: &Store) {
    let mut row = call("a", 0);
    let mut first = leg("a", 1, 0);
    store
        .commit(Step {
            legs: vec![first.clone(), leg("a", 2, 0)],
            ..Step::of(row.clone())
        })
        .await
        .unwrap();
    row.revision = 2;
    row.head.status = "assistant".into();
    first.state = "ended".into();
    first.ended_at = Some(at(9));
    first.cause = Some("normal".into());
    store
        .commit(Step {
            legs: vec![first.clone()],
            ..Step::of(row.clone())
        })
        .await
        .unwrap();
    assert_eq!(store.call(&id("a")).await.unwrap(), Some(row));
    assert_eq!(
        store.legs(&id("a")).await.unwrap(),
        vec![first, leg("a", 2, 0)]
    );
}

pub async fn a_stale_revision_is_refused_and_leaves_nothing(store: &Store) {
    store.commit(Step::of(call("a", 0))).await.unwrap();
    let refused = store
        .commit(Step {
            turns: vec![turn("a", 1, "must not appear")],
            work: vec![work("must-not-appear", 0)],
            ..Step::of(call("a", 5))
        })
        .await;
    assert_eq!(
        refused,
        Err(CommitError::StaleRevision {
            call: id("a"),
            stored: 1,
            given: 1
        })
    );
    assert_eq!(store.turns(&id("a")).await.unwrap(), vec![]);
    let queued = store.work(Queue::Outbox, "must-not-appear").await.unwrap();
    assert_eq!(queued, None);
    let stored = store.call(&id("a")).await.unwrap().unwrap();
    assert_eq!(stored.head.started_at, at(0));
}

pub async fn rows_of_an_unknown_call_are_refused_with_the_whole_step(store: &Store) {
    let refused = store
        .commit(Step {
            turns: vec![turn("ghost", 1, "boo")],
            ..Step::of(call("a", 0))
        })
        .await;
    assert_eq!(
        refused,
        Err(CommitError::UnknownCall {
            call: id("ghost"),
            what: "a turn"
        })
    );
    assert_eq!(store.call(&id("a")).await.unwrap(), None);
}

pub async fn one_bad_step_does_not_lose_the_others(store: &Store) {
    let bad = Step {
        events: vec![event("ghost", "x")],
        ..Step::of(call("bad", 0))
    };
    let results = store
        .commit_batch(
            [Step::of(call("a", 0)), bad, Step::of(call("b", 0))]
                .map(Arc::new)
                .into(),
        )
        .await;
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(CommitError::UnknownCall { .. })));
    assert!(results[2].is_ok());
    assert!(store.call(&id("a")).await.unwrap().is_some());
    assert!(store.call(&id("bad")).await.unwrap().is_none());
    assert!(store.call(&id("b")).await.unwrap().is_some());
}

/// Backends write the rows of many steps together.
pub async fn a_large_batch_is_stored_whole_but_for_what_is_refused(store: &Store) {
    let name = |n: usize| format!("call{n:03}");
    let step = |n: usize| {
        let call_name = name(n);
        Step {
            legs: vec![leg(&call_name, 1, 0), leg(&call_name, 2, 0)],
            turns: vec![turn(&call_name, 1, "hello")],
            events: ["one", "two", "three"]
                .map(|kind| event(&call_name, kind))
                .into(),
            work: vec![work(&format!("notice-{n}"), 0)],
            ..Step::of(call(&call_name, 1))
        }
    };
    store.commit(Step::of(call(&name(70), 5))).await.unwrap();
    for (from, refused) in [(100, None), (0, Some(70))] {
        let steps = (from..from + 100).map(step).map(Arc::new).collect();
        let results = store.commit_batch(steps).await;
        for (n, result) in (from..from + 100).zip(results) {
            assert_eq!(result.is_err(), refused == Some(n), "{n}: {result:?}");
        }
        for n in from..from + 100 {
            let kept = if refused == Some(n) { 0 } else { 1 };
            let id = id(&name(n));
            assert_eq!(store.legs(&id).await.unwrap().len(), 2 * kept, "{n}");
            assert_eq!(store.turns(&id).await.unwrap().len(), kept, "{n}");
            let events = store.events(&id).await.unwrap();
            let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
            assert_eq!(kinds, ["one", "two", "three"][..3 * kept], "{n}");
        }
    }
    // A call in two steps of a batch: the later one stays; backwards the second is refused.
    for (revisions, stored) in [([2, 3], 3), ([5, 4], 5)] {
        let steps = revisions.map(|revision| {
            let mut row = call(&name(0), 0);
            row.revision = revision;
            Arc::new(Step::of(row))
        });
        let results = store.commit_batch(steps.into()).await;
        assert_eq!(results[1].is_ok(), revisions[1] > revisions[0]);
        let row = store.call(&id(&name(0))).await.unwrap().unwrap();
        assert_eq!(row.revision, stored);
    }
}

pub async fn steps_of_one_caller_are_committed_in_order(store: &Store) {
    let mut row = call("a", 0);
    for revision in 1..=50 {
        row.revision = revision;
        store.commit(Step::of(row.clone())).await.unwrap();
    }
    let stored = store.call(&id("a")).await.unwrap().unwrap();
    assert_eq!(stored.revision, 50);
}

pub async fn events_are_numbered_in_commit_order(store: &Store) {
    store
        .commit(Step {
            events: vec![event("a", "one"), event("a", "two")],
            ..Step::of(call("a", 0))
        })
        .await
        .unwrap();
    store
        .commit(Step {
            events: vec![event("a", "three")],
            ..Step::default()
        })
        .await
        .unwrap();
    let stored = store.events(&id("a")).await.unwrap();
    let ids: Vec<i64> = stored.iter().map(|e| e.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let kinds: Vec<&str> = stored.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["one", "two", "three"]);
}

pub async fn wire_messages_may_come_before_their_call(store: &Store) {
    let invite = NewWire {
        at: at(0),
        call: Some(id("a")),
        leg: None,
        direction: WireDirection::Received,
        peer: "192.0.2.1:5060".into(),
        summary: "INVITE".into(),
        sip_call_id: Some("x@y".into()),
        cseq: Some("1 INVITE".into()),
        raw: "INVITE sip:assistant SIP/2.0\r\n".into(),
    };
    store
        .commit(Step {
            wire: vec![
                invite.clone(),
                NewWire {
                    call: None,
                    ..invite
                },
            ],
            ..Step::default()
        })
        .await
        .unwrap();
    let wire = store.wire(&id("a")).await.unwrap();
    assert_eq!(wire.len(), 1);
    assert_eq!(wire[0].summary, "INVITE");
    assert_eq!(wire[0].direction, WireDirection::Received);
}

pub async fn the_same_finding_is_stored_once(store: &Store) {
    let finding = ViolationRow {
        call: id("a"),
        code: "caller.lost".into(),
        detail: "leg_a-1".into(),
        at: at(1),
        cause: "the leg ended without an outcome".into(),
        cure: "report it".into(),
    };
    for revision in 1..=2 {
        let mut row = call("a", 0);
        row.revision = revision;
        store
            .commit(Step {
                violations: vec![finding.clone()],
                ..Step::of(row)
            })
            .await
            .unwrap();
    }
    assert_eq!(
        store.violations(&id("a")).await.unwrap(),
        vec![finding.clone()]
    );
    // Judged again: what was found before is replaced.
    let other = ViolationRow {
        detail: "leg_a-2".into(),
        ..finding
    };
    let judged = |violations| Step {
        judged: Some(id("a")),
        violations,
        ..Step::default()
    };
    for found in [vec![other.clone()], Vec::new()] {
        store.commit(judged(found.clone())).await.unwrap();
        assert_eq!(store.violations(&id("a")).await.unwrap(), found);
    }
    // Also where both are one batch.
    let (first, second) = tokio::join!(
        store.commit(judged(vec![other])),
        store.commit(judged(Vec::new()))
    );
    first.and(second).unwrap();
    assert_eq!(store.violations(&id("a")).await.unwrap(), []);
}

pub async fn a_step_without_call_row_keeps_the_revision(store: &Store) {
    store.commit(Step::of(call("a", 0))).await.unwrap();
    store
        .commit(Step {
            turns: vec![turn("a", 1, "hello")],
            ..Step::default()
        })
        .await
        .unwrap();
    let stored = store.call(&id("a")).await.unwrap().unwrap();
    assert_eq!(stored.revision, 1);
    assert_eq!(store.turns(&id("a")).await.unwrap().len(), 1);
}

pub async fn a_closed_store_refuses_steps(store: &Store) {
    store.commit(Step::of(call("a", 0))).await.unwrap();
    store.close().await;
    let refused = store.commit(Step::of(call("b", 0))).await;
    assert_eq!(refused, Err(CommitError::Store(StoreError::Closed)));
    assert!(store.health().await.waiting_steps == 0);
}

pub async fn many_callers_at_once_all_get_their_commit(store: &Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut row = call(&format!("c{n}"), n);
            store.commit(Step::of(row.clone())).await?;
            row.revision += 1;
            // Every tenth is refused among the others' steps.
            if n % 10 == 0 {
                row.revision = 0;
            }
            store.commit(Step::of(row)).await
        });
    }
    let mut refused = 0;
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(_) => {}
            Err(CommitError::StaleRevision { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 20);
    assert_eq!(store.open_calls().await.unwrap().len(), 200);
    assert!(store.health().await.trouble.is_none());
}
