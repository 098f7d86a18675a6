//! Prometheus metrics. Names are ours, units are in the name.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Installs the recorder; the handle renders `/metrics`.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder()?;
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
    metrics::describe_counter!(
        "switchhook_one_way_audio_total",
        "Legs from which no RTP came for 3 s"
    );
    Ok(handle)
}
