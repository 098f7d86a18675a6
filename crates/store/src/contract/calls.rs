//! Lists and figures.

use std::sync::Arc;

use serde_json::json;
use switchhook_model::{Direction, TransferId};

use super::make::{at, call, ended, id, turn};
use crate::query::{CallFilter, PAGE_MAX};
use crate::rows::{CallRow, TransferRow};
use crate::stats::Count;
use crate::step::Step;
use crate::store::Store;

async fn keep(store: &Store, rows: impl IntoIterator<Item = CallRow>) {
    for row in rows {
        store.commit(Step::of(row)).await.unwrap();
    }
}

async fn found(store: &Store, filter: &CallFilter) -> Vec<String> {
    let page = store.calls(filter).await.unwrap();
    page.items
        .into_iter()
        .map(|head| head.id.unique().to_owned())
        .collect()
}

fn all() -> CallFilter {
    CallFilter {
        limit: 50,
        ..CallFilter::default()
    }
}

pub async fn lists_are_newest_first_and_pages_join_without_gap(store: &Store) {
    // Two begin in the same millisecond: the id decides.
    keep(
        store,
        [
            call("a", 1),
            call("b", 3),
            call("c", 3),
            call("d", 2),
            call("e", 0),
        ],
    )
    .await;
    assert_eq!(found(store, &all()).await, ["c", "b", "d", "a", "e"]);

    let mut filter = CallFilter { limit: 2, ..all() };
    let mut seen = Vec::new();
    loop {
        let page = store.calls(&filter).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|h| h.id.unique().to_owned()));
        let Some(cursor) = page.next_cursor else {
            break;
        };
        // A call that arrives meanwhile does not shift the pages.
        let newest = call(&format!("new{}", seen.len()), 100);
        keep(store, [newest]).await;
        filter.cursor = Some(cursor.parse().unwrap());
    }
    assert_eq!(seen, ["c", "b", "d", "a", "e"]);
}

pub async fn every_filter_holds(store: &Store) {
    let mut outbound = call("out", 5);
    outbound.head.direction = Direction::Outbound;
    outbound.head.status = "with_agent".into();
    keep(
        store,
        [call("a", 1), outbound, ended(call("z", 9), 12, "bridged")],
    )
    .await;

    let with = |change: fn(&mut CallFilter)| {
        let mut filter = all();
        change(&mut filter);
        filter
    };
    let ringing = with(|f| f.statuses = vec!["ringing".into(), "with_agent".into()]);
    assert_eq!(found(store, &ringing).await, ["out", "a"]);
    let outbound = with(|f| f.direction = Some(Direction::Outbound));
    assert_eq!(found(store, &outbound).await, ["out"]);
    // `from` is included, `to` is not.
    let span = with(|f| {
        f.from = Some(at(1));
        f.to = Some(at(5));
    });
    assert_eq!(found(store, &span).await, ["a"]);
    let by_outcome = with(|f| f.q = Some("BRIDG".into()));
    assert_eq!(found(store, &by_outcome).await, ["z"]);
    let nothing = with(|f| {
        f.statuses = vec!["ended".into()];
        f.direction = Some(Direction::Outbound);
    });
    assert_eq!(found(store, &nothing).await, [""; 0]);
}

pub async fn search_text_is_plain_text(store: &Store) {
    let mut percent = call("p", 1);
    percent.head.caller_name = Some("100% Müller_\\ 'x'".into());
    keep(store, [percent, call("other", 2)]).await;
    for q in ["100%", "ller_", "_\\", "'x'", "müller", "Müller"] {
        let filter = CallFilter {
            q: Some(q.into()),
            ..all()
        };
        assert_eq!(found(store, &filter).await, ["p"], "{q}");
    }
    for q in ["%", "\0", "a\0", "1_0", "' OR 1=1 --", "\\"] {
        let filter = CallFilter {
            q: Some(q.into()),
            ..all()
        };
        let hits = found(store, &filter).await;
        assert!(!hits.contains(&"other".to_owned()), "{q}: {hits:?}");
    }
}

pub async fn a_page_is_never_larger_than_the_maximum(store: &Store) {
    let rows = (0..i64::from(PAGE_MAX) + 5).map(|n| call(&format!("c{n}"), n));
    let steps = rows.map(Step::of).map(Arc::new).collect();
    assert!(store.commit_batch(steps).await.iter().all(Result::is_ok));
    for (limit, expected) in [(0, 1), (1, 1), (u32::MAX, PAGE_MAX as usize)] {
        let page = store.calls(&CallFilter { limit, ..all() }).await.unwrap();
        assert_eq!(page.items.len(), expected);
        assert!(page.next_cursor.is_some());
    }
}

pub async fn open_calls_are_those_without_an_end(store: &Store) {
    keep(
        store,
        [
            call("late", 9),
            ended(call("done", 1), 3, "bridged"),
            call("early", 2),
        ],
    )
    .await;
    let open = store.open_calls().await.unwrap();
    assert_eq!(open, vec![call("early", 2), call("late", 9)]);
    // What a restart needs is there.
    assert_eq!(open[0].snapshot, json!({"state": "ringing", "n": 1}).into());
}

pub async fn figures_count_the_span_only(store: &Store) {
    let mut talked = ended(call("a", 10), 40, "bridged");
    talked.head.answered_at = Some(at(20));
    let mut slow = turn("a", 11, "hi");
    slow.latency = Some(json!({"first_audio_ms": 700}));
    let transfer = TransferRow {
        id: TransferId::derive(&id("a"), 1),
        call: id("a"),
        reason: "asked".into(),
        department: None,
        requested_at: at(15),
        ended_at: Some(at(16)),
        outcome: Some("bridged".into()),
    };
    store
        .commit(Step {
            turns: vec![slow, turn("a", 12, "no latency")],
            transfers: vec![transfer],
            ..Step::of(talked)
        })
        .await
        .unwrap();
    keep(store, [call("b", 11), call("before", 9), call("after", 20)]).await;

    let stats = store.stats(at(10), at(20)).await.unwrap();
    let count = |value: &str, count| Count {
        value: value.into(),
        count,
    };
    assert_eq!(stats.calls, 2);
    assert_eq!(stats.by_status, [count("ended", 1), count("ringing", 1)]);
    assert_eq!(stats.by_direction, [count("inbound", 2)]);
    assert_eq!(stats.by_outcome, [count("bridged", 1)]);
    assert_eq!(stats.transfers_by_outcome, [count("bridged", 1)]);
    assert_eq!(stats.mean_talk_ms, Some(20_000));
    assert_eq!(stats.latencies, [json!({"first_audio_ms": 700})]);
    assert_eq!(stats.violations, 0);

    let empty = store.stats(at(1000), at(2000)).await.unwrap();
    assert_eq!((empty.calls, empty.mean_talk_ms), (0, None));
}
