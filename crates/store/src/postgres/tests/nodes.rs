//! Two handles are two nodes: they share nothing but the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use switchhook_lab::postgres::Cluster;
use tokio::task::JoinSet;

use super::{open, raw, serving, two, until};
use crate::Json;
use crate::contract::make::{at, call, event, id, work};
use crate::error::{CommitError, OpenError};
use crate::rows::AnswerRow;
use crate::step::Step;
use crate::store::Store;
use crate::work::{Claim, Queue};

fn step(name: &str, revision: u64, kind: &str) -> Step {
    let mut row = call(name, 0);
    row.revision = revision;
    row.channel_state = Some(Json::of(&kind));
    Step {
        events: vec![event(name, kind)],
        ..Step::of(row)
    }
}

#[tokio::test]
async fn of_two_steps_with_one_revision_exactly_one_wins() {
    let (one, two) = two().await;
    // Also of the first, when there is no row to be locked yet.
    for revision in 1..=30 {
        let (a, b) = tokio::join!(
            one.commit(step("a", revision, "one")),
            two.commit(step("a", revision, "two")),
        );
        let (winner, loser) = match (&a, &b) {
            (Ok(_), Err(error)) => ("one", error),
            (Err(error), Ok(_)) => ("two", error),
            other => panic!("{revision}: {other:?}"),
        };
        assert_eq!(
            *loser,
            CommitError::StaleRevision {
                call: id("a"),
                stored: revision,
                given: revision
            }
        );
        // Nothing of the loser is there.
        let stored = two.call(&id("a")).await.unwrap().unwrap();
        assert_eq!(stored.channel_state, Some(Json::of(&winner)));
        let events = one.events(&id("a")).await.unwrap();
        assert_eq!(events.len() as u64, revision);
        assert_eq!(events.last().unwrap().kind, winner);
    }
}

#[tokio::test]
async fn no_change_of_a_call_is_lost_between_nodes() {
    let (one, two) = two().await;
    one.commit(step("a", 1, "begin")).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        tasks.spawn(async move {
            for _ in 0..10 {
                // As a webhook does: load, change, store; anew if another was faster.
                loop {
                    let row = store.call(&id("a")).await.unwrap().unwrap();
                    match store.commit(step("a", row.revision + 1, "change")).await {
                        Ok(_) => break,
                        Err(CommitError::StaleRevision { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    let row = two.call(&id("a")).await.unwrap().unwrap();
    assert_eq!(row.revision, 81);
    let events = one.events(&id("a")).await.unwrap();
    assert_eq!(events.len(), 81);
    assert!(events.is_sorted_by(|a, b| a.id < b.id));
}

#[tokio::test]
async fn batches_that_cross_do_not_hinder_each_other() {
    let (one, two) = two().await;
    let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    for revision in 1..=10 {
        let steps = |order: Vec<&String>, kind: &str| -> Vec<Arc<Step>> {
            let step = |name: &&String| {
                // Work and answers of their own, which may not be waited for crosswise either.
                Arc::new(Step {
                    work: vec![work(&format!("{name}-{revision}"), 0)],
                    answers: vec![AnswerRow {
                        key: format!("{name}-{revision}-{kind}"),
                        call: None,
                        at: at(0),
                        body: String::new(),
                    }],
                    ..step(name, revision, kind)
                })
            };
            order.iter().map(step).collect()
        };
        let forwards = steps(names.iter().collect(), "one");
        let backwards = steps(names.iter().rev().collect(), "two");
        let (a, b) = tokio::join!(one.commit_batch(forwards), two.commit_batch(backwards));
        for (n, name) in names.iter().enumerate() {
            let both = (&a[n], &b[names.len() - 1 - n]);
            match both {
                (Ok(_), Err(CommitError::StaleRevision { .. }))
                | (Err(CommitError::StaleRevision { .. }), Ok(_)) => {}
                other => panic!("{name} {revision}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_webhook_that_lands_on_both_is_answered_once() {
    let (one, two) = two().await;
    for n in 0..30 {
        let key = format!("token-{n}");
        let answering = |node: &str| Step {
            answers: vec![AnswerRow {
                key: key.clone(),
                call: None,
                at: at(0),
                body: node.into(),
            }],
            ..Step::of(call(&format!("{node}{n}"), 0))
        };
        let (a, b) = tokio::join!(one.commit(answering("one")), two.commit(answering("two")));
        let (winner, loser, refused) = match (a, b) {
            (Ok(_), Err(error)) => ("one", "two", error),
            (Err(error), Ok(_)) => ("two", "one", error),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused, CommitError::Answered { key: key.clone() });
        assert_eq!(two.answer(&key).await.unwrap().unwrap().body, winner);
        let lost = id(&format!("{loser}{n}"));
        assert_eq!(one.call(&lost).await.unwrap(), None);
    }
}

#[tokio::test]
async fn work_is_claimed_by_one_node_only() {
    let (one, two) = two().await;
    let all = (0..200).map(|n| work(&format!("n{n}"), 0)).collect();
    one.commit(Step {
        work: all,
        ..Step::default()
    })
    .await
    .unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        tasks.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claim = Claim {
                    queue: Queue::Outbox,
                    kinds: &[],
                    now: at(1),
                    until: at(60),
                    limit: 7,
                };
                let rows = store.claim(claim).await.unwrap();
                // What others hold at this moment is skipped, so an empty hand is no end.
                let left = store.next_due(Queue::Outbox).await.unwrap();
                if rows.is_empty() && left >= Some(at(60)) {
                    return mine;
                }
                assert!(rows.len() <= 7);
                assert!(rows.iter().all(|row| row.attempts == 1));
                mine.extend(rows.into_iter().map(|row| row.key));
            }
        });
    }
    let claimed: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<&String> = claimed.iter().collect();
    assert_eq!((claimed.len(), distinct.len()), (200, 200));
}

#[tokio::test]
async fn limits_are_counted_together() {
    let (one, two) = two().await;
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        let window = Duration::from_secs(60);
        tasks.spawn(async move { store.tally("pin", 1, at(0), window).await.unwrap() });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<u64>>());
}

async fn queue(store: &Store, key: &str) {
    let step = Step {
        work: vec![work(key, 0)],
        ..Step::default()
    };
    store.commit(step).await.unwrap();
}

#[tokio::test]
async fn work_queued_by_one_node_wakes_the_other() {
    let (one, two) = two().await;
    let (own, mut other) = (one.work_ready(), two.work_ready());
    let began = *own.borrow();
    for n in 0..3_u64 {
        other.mark_unchanged();
        // Says nothing.
        one.commit(Step::of(call(&format!("c{n}"), 0)))
            .await
            .unwrap();
        assert!(!other.has_changed().unwrap());
        queue(&one, &format!("n{n}")).await;
        tokio::time::timeout(Duration::from_secs(60), other.changed())
            .await
            .expect("the other node hears of it")
            .unwrap();
        // Its own notification does not wake a node twice.
        assert_eq!(*own.borrow(), began + n + 1);
    }
    assert_eq!(*other.borrow(), 3);
}

#[tokio::test]
async fn a_node_hears_again_after_its_connection_broke() {
    let url = Cluster::shared().database();
    let (one, two) = (open(&url).await, open(&url).await);
    let mut other = two.work_ready();
    let mut server = raw(&url).await;
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .fetch_one(&mut server)
    .await
    .unwrap();
    assert_eq!(ended, 2);
    // What is said before it is back is lost, but it wakes when it is back.
    until("both listen again", async || {
        let listening: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .fetch_one(&mut server)
        .await
        .unwrap();
        listening == 2
    })
    .await;
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, other.changed())
        .await
        .expect("it wakes for what it may have missed")
        .unwrap();
    other.mark_unchanged();
    queue(&one, "n").await;
    tokio::time::timeout(patience, other.changed())
        .await
        .expect("it hears as before")
        .unwrap();
}

#[tokio::test]
async fn a_nodes_name_is_its_own_while_it_serves() {
    let url = Cluster::shared().database();
    let one = Store::open(&url, &serving("one")).await.unwrap();
    let mut impatient = serving("one");
    impatient.busy_timeout = Duration::from_millis(100);
    let second = Store::open(&url, &impatient).await;
    match second {
        Err(error @ OpenError::NodeInUse { .. }) => {
            assert!(error.to_string().contains("SWITCHHOOK_NODE"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // Others serve beside it, commands need no name, and another database has its own names.
    let two = Store::open(&url, &serving("two")).await.unwrap();
    open(&url).await.close().await;
    let elsewhere = Cluster::shared().database();
    Store::open(&elsewhere, &serving("one")).await.unwrap();
    assert!(two.is_shared());
    one.close().await;
    // With patience for a server that has not noticed yet.
    Store::open(&url, &serving("one")).await.unwrap();
}

#[tokio::test]
async fn nodes_that_start_together_share_the_work_of_migrating() {
    let url = Cluster::shared().database();
    let node = async |n: i64| {
        let store = open(&url).await;
        store.commit(Step::of(call(&format!("c{n}"), n))).await
    };
    let stored = tokio::join!(node(0), node(1), node(2), node(3));
    assert!(matches!(stored, (Ok(_), Ok(_), Ok(_), Ok(_))), "{stored:?}");
    assert_eq!(open(&url).await.open_calls().await.unwrap().len(), 4);
}
