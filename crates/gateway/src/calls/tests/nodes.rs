//! Several gateways at one database: after a crash each closes what was its own.

use std::net::SocketAddr;

use switchhook_lab::postgres::Cluster;
use switchhook_model::{CallId, RecordingId};
use switchhook_store::{RecordingRow, RecordingState, Store, StoreOptions};

use super::{clock, config, recover, ringing, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_closes_its_own_calls_and_leaves_the_others_alone() {
    let url = Cluster::shared().database();
    let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    config.data.node = Some("one".to_owned());
    let id = |name: &str| CallId::from_unique(name);
    let nodes = [
        ("ours", Some("one")),
        ("theirs", Some("two")),
        ("nobodys", None),
    ];
    for (name, node) in nodes {
        let mut step = ringing(&config, &id(name), None);
        step.call.as_mut().unwrap().node = node.map(str::to_owned);
        step.recordings = vec![RecordingRow {
            id: RecordingId::derive(&id(name), 1),
            call: id(name),
            file: format!("{name}.wav"),
            state: RecordingState::Recording,
            started_at: clock::now(),
            ended_at: None,
            duration_ms: None,
            error: None,
        }];
        store.commit(step).await.unwrap();
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shared = shared(config, &store, any).await;
    assert_eq!(recover(&shared).await.unwrap(), 1);
    for (name, node) in nodes {
        let row = store.call(&id(name)).await.unwrap().unwrap();
        let recordings = store.recordings(&id(name)).await.unwrap();
        let is_ours = name == "ours";
        assert_eq!(row.head.ended_at.is_some(), is_ours, "{name}");
        // Whose it was stays known.
        assert_eq!(row.node.as_deref(), node, "{name}");
        assert_eq!(
            recordings[0].state == RecordingState::Recording,
            !is_ours,
            "{name}"
        );
    }
    assert_eq!(recover(&shared).await.unwrap(), 0);
    shared.sip.shutdown();
    store.close().await;
}
