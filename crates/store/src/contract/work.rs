//! Outbox and jobs.

use switchhook_model::Timestamp;

use super::make::{at, call, id, work};
use crate::error::CommitError;
use crate::step::Step;
use crate::store::Store;
use crate::work::{Claim, NewWork, Queue, Settlement, WorkRow, WorkState};

async fn queue(store: &Store, work: impl IntoIterator<Item = NewWork>) -> Vec<String> {
    let step = Step {
        work: work.into_iter().collect(),
        ..Step::default()
    };
    store.commit(step).await.unwrap().known_work
}

/// Claims from the outbox with a lease of 30 s.
async fn claim(store: &Store, now: Timestamp) -> Vec<WorkRow> {
    let claim = Claim {
        queue: Queue::Outbox,
        kinds: &[],
        now,
        until: now + std::time::Duration::from_secs(30),
        limit: 10,
    };
    store.claim(claim).await.unwrap()
}

async fn stored(store: &Store, key: &str) -> WorkRow {
    store.work(Queue::Outbox, key).await.unwrap().unwrap()
}

fn keys(rows: &[WorkRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

pub async fn a_key_is_queued_once_for_ever(store: &Store) {
    assert_eq!(queue(store, [work("n1", 0)]).await, [""; 0]);
    let again = NewWork {
        payload: "other".into(),
        ..work("n1", 0)
    };
    assert_eq!(queue(store, [again.clone(), work("n2", 0)]).await, ["n1"]);
    let rows = claim(store, at(1)).await;
    assert_eq!(keys(&rows), ["n1", "n2"]);
    assert_eq!(rows[0].payload, work("n1", 0).payload);
    store
        .settle(rows[0].settle(at(1), Settlement::Done))
        .await
        .unwrap();
    // Not even after it was done.
    assert_eq!(queue(store, [again]).await, ["n1"]);
    assert_eq!(stored(store, "n1").await.state, WorkState::Done);
}

pub async fn work_is_claimed_when_due_and_by_one_only(store: &Store) {
    queue(store, [work("later", 10), work("now", 2), work("first", 1)]).await;
    assert_eq!(
        store.next_due(Queue::Outbox).await.unwrap(),
        Some(at(1)),
        "the earliest"
    );
    let rows = claim(store, at(5)).await;
    assert_eq!(keys(&rows), ["first", "now"]);
    assert!(rows.iter().all(|row| row.state == WorkState::InFlight));
    assert!(rows.iter().all(|row| row.attempts == 1));
    assert_eq!(keys(&claim(store, at(6)).await), [""; 0]);
    assert_eq!(keys(&claim(store, at(10)).await), ["later"]);
}

pub async fn a_claim_that_was_not_settled_comes_back(store: &Store) {
    queue(store, [work("n", 0)]).await;
    assert_eq!(claim(store, at(0)).await.len(), 1);
    assert_eq!(claim(store, at(29)).await.len(), 0);
    assert_eq!(store.next_due(Queue::Outbox).await.unwrap(), Some(at(30)));
    let again = claim(store, at(30)).await;
    assert_eq!(again[0].attempts, 2);
}

pub async fn a_late_settlement_is_refused(store: &Store) {
    queue(store, [work("n", 0)]).await;
    let first = claim(store, at(0)).await.remove(0);
    let second = claim(store, at(40)).await.remove(0);
    let late = store.settle(first.settle(at(41), Settlement::Done)).await;
    assert_eq!(
        late,
        Err(CommitError::ClaimLost {
            queue: Queue::Outbox,
            key: "n".into(),
            attempt: 1
        })
    );
    assert_eq!(stored(store, "n").await.state, WorkState::InFlight);
    store
        .settle(second.settle(at(42), Settlement::Done))
        .await
        .unwrap();
    // And only once.
    let twice = store.settle(second.settle(at(43), Settlement::Done)).await;
    assert!(matches!(twice, Err(CommitError::ClaimLost { .. })));
}

pub async fn a_refused_settlement_takes_its_step_with_it(store: &Store) {
    queue(store, [work("n", 0)]).await;
    let claimed = claim(store, at(0)).await.remove(0);
    let settle = claimed.settle(at(1), Settlement::Done);
    let step = Step {
        settle: vec![settle.clone()],
        ..Step::of(call("a", 0))
    };
    store.commit(step).await.unwrap();
    assert_eq!(stored(store, "n").await.state, WorkState::Done);

    let late = Step {
        settle: vec![settle],
        ..Step::of(call("b", 0))
    };
    let refused = store.commit(late).await;
    assert!(matches!(refused, Err(CommitError::ClaimLost { .. })));
    assert_eq!(store.call(&id("b")).await.unwrap(), None);
}

pub async fn retries_wait_and_keep_the_error(store: &Store) {
    queue(store, [work("n", 0)]).await;
    let row = claim(store, at(0)).await.remove(0);
    let retry = Settlement::Retry {
        next_at: at(60),
        error: "receiver answered 500".into(),
    };
    store.settle(row.settle(at(1), retry)).await.unwrap();
    let waiting = stored(store, "n").await;
    assert_eq!(waiting.state, WorkState::Pending);
    assert_eq!(waiting.last_error.as_deref(), Some("receiver answered 500"));
    assert_eq!(claim(store, at(59)).await.len(), 0);
    let again = claim(store, at(60)).await.remove(0);
    assert_eq!(again.attempts, 2);
    store
        .settle(again.settle(at(61), Settlement::Done))
        .await
        .unwrap();
}

pub async fn given_up_work_stays_visible(store: &Store) {
    queue(store, [work("n", 0)]).await;
    let row = claim(store, at(0)).await.remove(0);
    let give_up = Settlement::Failed {
        error: "410 Gone".into(),
    };
    store.settle(row.settle(at(1), give_up)).await.unwrap();
    let failed = stored(store, "n").await;
    assert_eq!(failed.state, WorkState::Failed);
    assert_eq!(failed.last_error.as_deref(), Some("410 Gone"));
    assert_eq!(claim(store, at(1000)).await.len(), 0);
    assert_eq!(store.next_due(Queue::Outbox).await.unwrap(), None);
    assert_eq!(store.forget_done(at(1000)).await.unwrap(), 0);
}

pub async fn work_born_claimed_is_found_only_after_its_lease(store: &Store) {
    let dial = NewWork {
        claimed_until: Some(at(10)),
        ..work("dial", 0)
    };
    queue(store, [dial]).await;
    assert_eq!(claim(store, at(9)).await.len(), 0);
    let row = stored(store, "dial").await;
    assert_eq!((row.state, row.attempts), (WorkState::InFlight, 1));
    assert_eq!(claim(store, at(10)).await[0].attempts, 2);
}

pub async fn kinds_and_queues_are_kept_apart(store: &Store) {
    let job = NewWork {
        queue: Queue::Jobs,
        kind: "summary".into(),
        ..work("same-key", 0)
    };
    let other = NewWork {
        kind: "dial".into(),
        ..work("dial", 0)
    };
    let known = queue(store, [work("same-key", 0), job, other]).await;
    assert_eq!(known, [""; 0]);
    let only = |queue, kinds| Claim {
        queue,
        kinds,
        now: at(1),
        until: at(2),
        limit: 10,
    };
    let notices = store.claim(only(Queue::Outbox, &["notice", "x"])).await;
    assert_eq!(keys(&notices.unwrap()), ["same-key"]);
    let jobs = store.claim(only(Queue::Jobs, &[])).await.unwrap();
    assert_eq!(jobs[0].kind, "summary");
    assert_eq!(jobs.len(), 1);
}

pub async fn commits_that_queue_work_wake_the_worker(store: &Store) {
    let mut ready = store.work_ready();
    ready.mark_unchanged();
    store.commit(Step::of(call("a", 0))).await.unwrap();
    assert!(!ready.has_changed().unwrap());
    queue(store, [work("n", 0)]).await;
    assert!(ready.has_changed().unwrap());
}

pub async fn done_work_is_forgotten_in_time(store: &Store) {
    queue(store, [work("a", 0), work("b", 0), work("open", 0)]).await;
    let rows = claim(store, at(0)).await;
    for (row, second) in rows.iter().zip([5, 50]) {
        store
            .settle(row.settle(at(second), Settlement::Done))
            .await
            .unwrap();
    }
    assert_eq!(store.forget_done(at(50)).await.unwrap(), 1);
    assert_eq!(store.work(Queue::Outbox, "a").await.unwrap(), None);
    assert!(store.work(Queue::Outbox, "b").await.unwrap().is_some());
    assert!(store.work(Queue::Outbox, "open").await.unwrap().is_some());
}

pub async fn several_keys_are_read_at_once(store: &Store) {
    queue(store, [work("a", 0), work("b", 0), work("c", 0)]).await;
    let wanted = ["a".to_owned(), "c".to_owned(), "ghost".to_owned()];
    let mut rows = store.works(Queue::Outbox, &wanted).await.unwrap();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(keys(&rows), ["a", "c"]);
    assert_eq!(store.works(Queue::Jobs, &wanted).await.unwrap(), []);
    assert_eq!(store.works(Queue::Outbox, &[]).await.unwrap(), []);
}
