//! The state of trunks, for the log, metrics, readiness and API.

use std::time::Duration;

use switchhook_sip::{
    Reachability, RegistrationState, RegistrationStatus, SipEndpoint, TrunkStatus,
};
use tokio_util::sync::CancellationToken;

use crate::http::ports::{Integration, IntegrationState, TrunkRegistration, TrunkView};

/// How often the gauges are set. What they show changes every half minute at most.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// One line for each change; the reason of a failure is in the endpoint's own line.
pub fn log(status: &TrunkStatus) {
    tracing::info!(
        trunk = %status.trunk,
        state = status.reachability.code(),
        rtt_ms = status.rtt_ms,
        registration = status.registration.as_ref().map(|r| r.state.code()),
        "trunk changed"
    );
}

/// Sets the gauges until `stop`.
pub async fn measure(sip: SipEndpoint, stop: CancellationToken) {
    let mut tick = tokio::time::interval(MEASURE_EVERY);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        for status in sip.trunks() {
            let trunk = status.trunk.to_string();
            let up = match status.reachability {
                Reachability::Unknown => None,
                Reachability::Up => Some(1.0),
                Reachability::Down => Some(0.0),
            };
            if let Some(up) = up {
                metrics::gauge!("switchhook_trunk_up", "trunk" => trunk.clone()).set(up);
            }
            if let Some(rtt_ms) = status.rtt_ms {
                let rtt = Duration::from_millis(rtt_ms).as_secs_f64();
                metrics::gauge!("switchhook_trunk_round_trip_seconds", "trunk" => trunk.clone())
                    .set(rtt);
            }
            if let Some(registration) = status.registration {
                let registered = registration.state == RegistrationState::Registered;
                metrics::gauge!("switchhook_trunk_registered", "trunk" => trunk)
                    .set(f64::from(u8::from(registered)));
            }
        }
    }
}

/// A trunk as the API shows it.
pub fn view(status: TrunkStatus) -> TrunkView {
    TrunkView {
        trunk: status.trunk.to_string(),
        state: status.reachability.code().to_owned(),
        since: status.since,
        checked_at: status.checked_at,
        round_trip_ms: status.rtt_ms,
        last_error: status.last_error,
        registration: status.registration.map(|registration| TrunkRegistration {
            state: registration.state.code().to_owned(),
            registered_until: registration.registered_until,
            last_status: registration.last_status,
            last_error: registration.last_error,
            next_attempt_at: registration.next_attempt_at,
        }),
    }
}

/// One integration for each trunk, or one that says that there is none.
pub fn integrations(trunks: &[TrunkStatus]) -> Vec<Integration> {
    if trunks.is_empty() {
        return vec![Integration {
            name: "trunk".to_owned(),
            state: IntegrationState::NotConfigured,
            detail: None,
            cause: None,
            cure: None,
            checked_at: None,
            latency_ms: None,
        }];
    }
    trunks.iter().map(integration).collect()
}

fn integration(status: &TrunkStatus) -> Integration {
    let registration = status.registration.as_ref();
    let unregistered = registration.filter(|r| r.state != RegistrationState::Registered);
    let (state, detail, cause, cure) = match (status.reachability, unregistered) {
        (Reachability::Down, _) => (
            IntegrationState::Degraded,
            "does not answer OPTIONS; calls over it are tried unless skip_when_down is set",
            status.last_error.clone(),
            Some("check its termination, transport and the firewall on the way"),
        ),
        (Reachability::Unknown | Reachability::Up, Some(registration)) => (
            IntegrationState::Degraded,
            "not registered: calls from there do not come in",
            registration.last_error.clone(),
            Some(cure_of(registration)),
        ),
        (Reachability::Up, None) => (IntegrationState::Ok, "answers OPTIONS", None, None),
        (Reachability::Unknown, None) => (
            IntegrationState::Ok,
            "configured; not asked by OPTIONS",
            None,
            None,
        ),
    };
    Integration {
        name: format!("trunk:{}", status.trunk),
        state,
        detail: Some(detail.to_owned()),
        cause,
        cure: cure.map(str::to_owned),
        checked_at: status.checked_at,
        latency_ms: status.rtt_ms,
    }
}

fn cure_of(registration: &RegistrationStatus) -> &'static str {
    match registration.last_status {
        Some(401 | 403 | 407) => "check username and password of the trunk",
        Some(404) => "check that the registrar knows the extension",
        Some(_) | None => "wait for the next attempt; check the registrar's address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchhook_model::Timestamp;
    use switchhook_sip::TrunkId;

    fn status(reachability: Reachability) -> TrunkStatus {
        TrunkStatus {
            trunk: TrunkId::new("carrier"),
            reachability,
            since: Timestamp::from_millis(1),
            checked_at: Some(Timestamp::from_millis(2)),
            rtt_ms: Some(7),
            last_error: (reachability == Reachability::Down).then(|| "no answer".to_owned()),
            registration: None,
        }
    }

    #[test]
    fn readiness_tells_what_is_wrong_with_which_trunk() {
        assert_eq!(integrations(&[])[0].state, IntegrationState::NotConfigured);
        let up = &integrations(&[status(Reachability::Up)])[0];
        assert_eq!(
            (up.name.as_str(), up.state, up.latency_ms),
            ("trunk:carrier", IntegrationState::Ok, Some(7))
        );
        let down = &integrations(&[status(Reachability::Down)])[0];
        assert_eq!(down.state, IntegrationState::Degraded);
        assert_eq!(down.cause.as_deref(), Some("no answer"));
        let mut refused = status(Reachability::Up);
        refused.registration = Some(RegistrationStatus {
            state: RegistrationState::Failed,
            registered_until: None,
            last_status: Some(403),
            last_error: Some("403 Forbidden".to_owned()),
            next_attempt_at: None,
        });
        let refused = &integrations(&[refused])[0];
        assert_eq!(refused.state, IntegrationState::Degraded);
        assert_eq!(refused.cause.as_deref(), Some("403 Forbidden"));
        assert!(refused.cure.as_ref().unwrap().contains("password"));
    }
}
