//! What belongs to a call.

use std::collections::BTreeMap;

use serde_json::json;
use switchhook_model::RecordingId;

use super::make::{at, call, id, leg, message, turn};
use crate::query::MessageFilter;
use crate::rows::{RecordingRow, RecordingState, ViolationRow};
use crate::step::Step;
use crate::store::Store;

pub async fn every_part_of_a_call_keeps_its_order(store: &Store) {
    // Ids sort differently from the order of arrival: 10 comes before 2 as text.
    store
        .commit(Step {
            legs: vec![leg("a", 10, 0), leg("a", 2, 0), leg("a", 1, 5)],
            turns: vec![turn("a", 10, "c"), turn("a", 2, "b"), turn("a", 1, "a")],
            ..Step::of(call("a", 0))
        })
        .await
        .unwrap();
    let legs = store.legs(&id("a")).await.unwrap();
    let ids: Vec<&str> = legs.iter().map(|leg| leg.id.unique()).collect();
    assert_eq!(ids, ["a-10", "a-2", "a-1"]);
    let turns = store.turns(&id("a")).await.unwrap();
    let texts: Vec<&str> = turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
}

pub async fn open_legs_carry_their_dialog(store: &Store) {
    let mut ringing = leg("a", 1, 0);
    ringing.dialog = Some(json!({"call_id": "x@y", "branch": "z9hG4bK1"}).into());
    let mut over = leg("a", 2, 0);
    over.ended_at = Some(at(3));
    store
        .commit(Step {
            legs: vec![ringing.clone(), over],
            ..Step::of(call("a", 0))
        })
        .await
        .unwrap();
    assert_eq!(store.open_legs().await.unwrap(), vec![ringing]);
}

pub async fn unfinished_recordings_are_found(store: &Store) {
    let mut row = RecordingRow {
        id: RecordingId::derive(&id("a"), 1),
        call: id("a"),
        file: "rec_a-1.wav".into(),
        state: RecordingState::Recording,
        started_at: at(1),
        ended_at: None,
        duration_ms: None,
        error: None,
    };
    store
        .commit(Step {
            recordings: vec![row.clone()],
            ..Step::of(call("a", 0))
        })
        .await
        .unwrap();
    assert_eq!(
        store.unfinished_recordings().await.unwrap(),
        vec![row.clone()]
    );
    row.state = RecordingState::Ready;
    row.ended_at = Some(at(9));
    row.duration_ms = Some(8_000);
    store
        .commit(Step {
            recordings: vec![row.clone()],
            ..Step::default()
        })
        .await
        .unwrap();
    // That it was begun may be told late.
    let begun = RecordingRow {
        state: RecordingState::Recording,
        started_at: at(2),
        ended_at: None,
        duration_ms: None,
        ..row.clone()
    };
    store
        .commit(Step {
            recordings: vec![begun],
            ..Step::default()
        })
        .await
        .unwrap();
    assert_eq!(store.unfinished_recordings().await.unwrap(), vec![]);
    assert_eq!(store.recordings(&id("a")).await.unwrap(), vec![row]);
}

pub async fn messages_are_paged_and_filtered(store: &Store) {
    let mut of_call = message("c", 3);
    of_call.call = Some(id("a"));
    of_call.state = "accepted".into();
    store
        .commit(Step {
            messages: vec![message("a", 1), message("b", 2), of_call.clone()],
            ..Step::default()
        })
        .await
        .unwrap();
    let mut filter = MessageFilter {
        limit: 2,
        ..MessageFilter::default()
    };
    let first = store.messages(&filter).await.unwrap();
    assert_eq!(first.items, vec![of_call.clone(), message("b", 2)]);
    let cursor = first.next_cursor.unwrap();
    filter.cursor = Some(MessageFilter::parse_cursor(&cursor).unwrap());
    let second = store.messages(&filter).await.unwrap();
    assert_eq!(second.items, vec![message("a", 1)]);
    assert_eq!(second.next_cursor, None);

    let by_call = MessageFilter {
        call: Some(id("a")),
        limit: 9,
        ..MessageFilter::default()
    };
    assert_eq!(
        store.messages(&by_call).await.unwrap().items,
        vec![of_call.clone()]
    );
    let by_state = MessageFilter {
        state: Some("queued".into()),
        limit: 9,
        ..MessageFilter::default()
    };
    assert_eq!(store.messages(&by_state).await.unwrap().items.len(), 2);
    assert_eq!(
        store.message(&of_call.id).await.unwrap(),
        Some(of_call.clone())
    );

    // A later state replaces the earlier one.
    let mut failed = of_call;
    failed.state = "failed".into();
    failed.error = Some("500".into());
    store
        .commit(Step {
            messages: vec![failed.clone()],
            ..Step::default()
        })
        .await
        .unwrap();
    assert_eq!(
        store.message(&failed.id).await.unwrap(),
        Some(failed.clone())
    );
}

pub async fn hostile_text_comes_back_unchanged(store: &Store) {
    let hostile = "'; DROP TABLE calls; -- <script>alert(1)</script> \u{202e}\u{1F600}\r\n";
    let mut row = call("a", 0);
    row.head.caller_name = Some(hostile.into());
    row.snapshot = json!({ hostile: [hostile, null, 1.5, -1] }).into();
    store
        .commit(Step {
            turns: vec![turn("a", 1, hostile)],
            ..Step::of(row.clone())
        })
        .await
        .unwrap();
    assert_eq!(store.call(&id("a")).await.unwrap(), Some(row));
    assert_eq!(store.turns(&id("a")).await.unwrap()[0].text, hostile);
}

pub async fn findings_are_counted_per_call(store: &Store) {
    let finding = |call: &str, detail: &str| ViolationRow {
        call: id(call),
        code: "caller.lost".into(),
        detail: detail.into(),
        at: at(1),
        cause: "cause".into(),
        cure: "cure".into(),
    };
    for name in ["a", "b", "c"] {
        store.commit(Step::of(call(name, 0))).await.unwrap();
    }
    store
        .commit(Step {
            violations: vec![finding("a", "1"), finding("a", "2"), finding("c", "1")],
            ..Step::default()
        })
        .await
        .unwrap();
    let counts = store.violation_counts(&[id("a"), id("b")]).await.unwrap();
    assert_eq!(counts, BTreeMap::from([(id("a"), 2)]));
    assert!(store.violation_counts(&[]).await.unwrap().is_empty());
}

pub async fn lists_are_completed_in_one_read_each(store: &Store) {
    for name in ["a", "b", "c"] {
        let mut timed = turn(name, 1, "hello");
        timed.latency = Some(json!({"first_audio_ms": 700, "of": name}));
        store
            .commit(Step {
                turns: vec![timed, turn(name, 2, "no latency")],
                ..Step::of(call(name, 0))
            })
            .await
            .unwrap();
    }
    let wanted = [id("a"), id("c"), id("ghost")];
    let views = store.views(&wanted).await.unwrap();
    assert_eq!(views.len(), 2);
    assert_eq!(views[&id("c")], json!({"id": "c"}));
    let latencies = store.latencies(&wanted).await.unwrap();
    assert_eq!(latencies.len(), 2);
    assert_eq!(
        latencies[&id("a")],
        [json!({"first_audio_ms": 700, "of": "a"})]
    );
    assert!(store.views(&[]).await.unwrap().is_empty());
    assert!(store.latencies(&[]).await.unwrap().is_empty());
}
