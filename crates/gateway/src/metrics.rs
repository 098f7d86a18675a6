//! Prometheus metrics. Names are ours, units are in the name.

use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Upper bounds in seconds for what a caller waits for: fine around one second, where an answer
/// begins to feel slow.
const TURN_SECONDS: &[f64] = &[
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
];
/// Upper bounds in seconds of Prometheus's own clients, for everything else.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often gathered values are sorted into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// A recorder with histograms in buckets: those of several nodes can be added, quantiles cannot.
pub(crate) fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Prefix("switchhook_turn_".to_owned()), TURN_SECONDS)?
        .build_recorder();
    Ok(recorder)
}

/// Installs the recorder; the handle renders `/metrics`.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are collected already: one gateway a process"))?;
    upkeep(handle.clone());
    metrics::describe_gauge!("switchhook_calls_active", "Calls that run on this node");
    metrics::describe_counter!("switchhook_calls_total", "Ended calls by outcome");
    metrics::describe_counter!("switchhook_transfers_total", "Ended transfers by outcome");
    metrics::describe_counter!(
        "switchhook_calls_refused_total",
        "Calls refused at the door"
    );
    metrics::describe_counter!(
        "switchhook_sip_refused_total",
        "SIP messages, calls and connections turned away, by reason"
    );
    metrics::describe_histogram!(
        "switchhook_turn_first_audio_seconds",
        "End of the caller's speech to the first audio of the answer"
    );
    metrics::describe_histogram!("switchhook_turn_ours_seconds", "Our share of that");
    metrics::describe_gauge!(
        "switchhook_tasks",
        "Tasks of the runtime that have not ended"
    );
    metrics::describe_counter!(
        "switchhook_one_way_audio_total",
        "Times audio did not flow one way (direction: from_party, to_party)"
    );
    metrics::describe_gauge!(
        "switchhook_one_way_audio_active",
        "Legs on which audio does not flow one way now"
    );
    metrics::describe_histogram!("switchhook_leg_loss_ratio", "Packets lost of a leg, 0 to 1");
    metrics::describe_histogram!(
        "switchhook_leg_far_loss_ratio",
        "Packets of ours lost by the party's reports, 0 to 1"
    );
    metrics::describe_histogram!(
        "switchhook_leg_jitter_seconds",
        "Interarrival jitter of a leg"
    );
    metrics::describe_histogram!(
        "switchhook_leg_round_trip_seconds",
        "There and back by RTCP, at the leg's end"
    );
    metrics::describe_histogram!(
        "switchhook_leg_mos",
        "Estimated quality at the leg's end, 1 to 4.5 (ITU-T G.107, simplified)"
    );
    metrics::describe_counter!(
        "switchhook_srtp_unauthentic_total",
        "SRTP packets that were not believed, counted at the leg's end"
    );
    metrics::describe_gauge!(
        "switchhook_trunk_up",
        "1: the trunk answers OPTIONS, 0: it does not; absent while unknown"
    );
    metrics::describe_gauge!(
        "switchhook_trunk_round_trip_seconds",
        "Round trip of the last OPTIONS the trunk answered"
    );
    metrics::describe_gauge!(
        "switchhook_trunk_registered",
        "1: we are registered at the trunk's registrar, 0: we are not"
    );
    Ok(handle)
}

/// Empties what histograms gather between two scrapes: without a collector it would only grow.
fn upkeep(handle: PrometheusHandle) {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            handle.run_upkeep();
        }
    });
}
