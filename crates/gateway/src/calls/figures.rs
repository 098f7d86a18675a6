//! What a leg's audio is and was like: kept with the call, shown, and counted in metrics.

use serde::Serialize;
use switchhook_media::{Codec, LegQuality, RtpParams, SilenceReason};
use switchhook_model::Timestamp;

/// A leg's media as `legs[].media` of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct LegFigures {
    /// What was agreed on.
    codec: Option<Codec>,
    /// The suite's name; nothing for plain RTP.
    srtp: Option<&'static str>,
    /// Alarms that sound now, or sounded when the leg ended.
    alarms: Vec<Alarm>,
    /// Figures at the call's last step or the leg's end; nothing before the media began.
    #[serde(flatten)]
    quality: Option<LegQuality>,
}

/// Audio does not flow one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Alarm {
    /// The party is not heard.
    NothingHeard {
        since: String,
        reason: SilenceReason,
    },
    /// The party says that it does not hear us.
    NotHeard { since: String },
}

impl Alarm {
    pub(super) fn nothing_heard(now: Timestamp, reason: SilenceReason) -> Self {
        Self::NothingHeard {
            since: now.to_rfc3339(),
            reason,
        }
    }

    pub(super) fn not_heard(now: Timestamp) -> Self {
        Self::NotHeard {
            since: now.to_rfc3339(),
        }
    }

    fn direction(&self) -> &'static str {
        match self {
            Self::NothingHeard { .. } => "from_party",
            Self::NotHeard { .. } => "to_party",
        }
    }
}

impl LegFigures {
    pub(super) fn agreed(&mut self, params: &RtpParams) {
        self.codec = Some(params.codec);
        self.srtp = params.srtp.map(|srtp| srtp.local.suite().name());
    }

    pub(super) fn measured(&mut self, quality: LegQuality) {
        self.quality = Some(quality);
    }

    /// An alarm begins.
    pub(super) fn raise(&mut self, alarm: Alarm) {
        self.clear(alarm.direction());
        metrics::gauge!("switchhook_one_way_audio_active", "direction" => alarm.direction())
            .increment(1.0);
        metrics::counter!("switchhook_one_way_audio_total", "direction" => alarm.direction())
            .increment(1);
        self.alarms.push(alarm);
    }

    /// The party is heard again.
    pub(super) fn heard(&mut self) {
        self.clear("from_party");
    }

    /// The party hears us again.
    pub(super) fn hears(&mut self) {
        self.clear("to_party");
    }

    fn clear(&mut self, direction: &'static str) {
        let before = self.alarms.len();
        self.alarms.retain(|alarm| alarm.direction() != direction);
        if self.alarms.len() < before {
            metrics::gauge!("switchhook_one_way_audio_active", "direction" => direction)
                .decrement(1.0);
        }
    }

    /// The leg's media is over: what sounds is over with it, but stays with the call.
    pub(super) fn ended(&self) {
        for alarm in &self.alarms {
            metrics::gauge!("switchhook_one_way_audio_active", "direction" => alarm.direction())
                .decrement(1.0);
        }
        let Some(quality) = &self.quality else {
            return;
        };
        if quality.packets_received > 0 {
            metrics::histogram!("switchhook_leg_loss_ratio").record(quality.loss_percent / 100.0);
            metrics::histogram!("switchhook_leg_jitter_seconds")
                .record(quality.jitter_ms / 1_000.0);
        }
        if let Some(ms) = quality.round_trip_ms {
            metrics::histogram!("switchhook_leg_round_trip_seconds").record(ms / 1_000.0);
        }
        if let Some(mos) = quality.mos {
            metrics::histogram!("switchhook_leg_mos", "direction" => "from_party").record(mos);
        }
        if let Some(far) = &quality.far {
            metrics::histogram!("switchhook_leg_far_loss_ratio").record(far.loss_percent / 100.0);
            metrics::histogram!("switchhook_leg_mos", "direction" => "to_party").record(far.mos);
        }
        metrics::counter!("switchhook_srtp_unauthentic_total").increment(quality.unauthentic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stays_until_it_is_cleared_and_each_direction_has_its_own() {
        let now = Timestamp::from_millis(0);
        let mut figures = LegFigures::default();
        figures.raise(Alarm::nothing_heard(now, SilenceReason::NotAuthentic));
        figures.raise(Alarm::not_heard(now));
        figures.heard();
        let shown = serde_json::to_value(&figures).unwrap();
        assert_eq!(
            shown["alarms"],
            serde_json::json!([{ "kind": "not_heard", "since": "1970-01-01T00:00:00.000Z" }])
        );
        figures.hears();
        assert!(figures.alarms.is_empty());
    }
}
