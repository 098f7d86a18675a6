//! Percentiles of what was measured per turn.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// How fast the assistant answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct CallLatency {
    /// End of the caller's speech to the first sound of the reply.
    pub first_audio_ms: Option<Percentiles>,
    /// Our share of it: without recogniser, model and voice.
    pub ours_ms: Option<Percentiles>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Percentiles {
    pub p50: u64,
    pub p95: u64,
    /// Measured turns.
    pub turns: usize,
}

/// None if no turn was measured.
pub(in crate::http) fn of_turns<'a>(
    latencies: impl IntoIterator<Item = &'a Value>,
) -> Option<CallLatency> {
    let mut first_audio = Vec::new();
    let mut ours = Vec::new();
    for latency in latencies {
        first_audio.extend(latency["first_audio_ms"].as_u64());
        ours.extend(latency["ours_ms"].as_u64());
    }
    let latency = CallLatency {
        first_audio_ms: percentiles(first_audio),
        ours_ms: percentiles(ours),
    };
    (latency.first_audio_ms.is_some() || latency.ours_ms.is_some()).then_some(latency)
}

/// By nearest rank: each is a value that was measured.
fn percentiles(mut values: Vec<u64>) -> Option<Percentiles> {
    values.sort_unstable();
    let rank = |percent: usize| {
        let n = (values.len() * percent).div_ceil(100).max(1);
        values.get(n - 1).copied()
    };
    Some(Percentiles {
        p50: rank(50)?,
        p95: rank(95)?,
        turns: values.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(percentiles(vec![]), None);
        let of = |values: Vec<u64>| percentiles(values).map(|p| (p.p50, p.p95));
        assert_eq!(of(vec![7]), Some((7, 7)));
        assert_eq!(of(vec![4, 1, 3, 2]), Some((2, 4)));
        assert_eq!(of((1..=100).collect()), Some((50, 95)));
    }
}
