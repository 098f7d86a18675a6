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
    metrics::describe_histogram!(
        "switchhook_turn_first_audio_seconds",
        "End of the caller's speech to the first audio of the answer"
    );
    metrics::describe_histogram!("switchhook_turn_ours_seconds", "Our share of that");
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
    Ok(handle)
}
