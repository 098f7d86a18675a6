//! `GET /readyz`: may new calls come, and how is everything we depend on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use switchhook_store::Health;
use utoipa::ToSchema;

use crate::http::auth::OptionalPrincipal;
use crate::http::error::ApiError;
use crate::http::ports::{Capacity, Integration, IntegrationState, SipReach};
use crate::http::state::HttpState;

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ReadinessAnswer {
    /// `ok`, `degraded` (calls are taken, something is wrong) or `unready` (send no calls here).
    status: &'static str,
    version: String,
    mode: String,
    capacity: Capacity,
    /// Where phones reach the gateway; null for readers who are not signed in.
    sip: Option<SipReach>,
    integrations: Vec<Integration>,
}

/// Ready for calls
///
/// Without a token the states are shown, but not their texts and not where phones call: they name
/// hosts and accounts.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", security((), ("bearer" = [])),
    responses(
        (status = 200, body = ReadinessAnswer),
        (status = 503, body = ReadinessAnswer, description = "Send no calls here"),
    ),
)]
pub(in crate::http) async fn readyz(
    State(state): State<HttpState>,
    OptionalPrincipal(principal): OptionalPrincipal,
) -> Result<(StatusCode, Json<ReadinessAnswer>), ApiError> {
    let readiness = state.operator.readiness().await;
    let database = database(&state, &state.store.health().await);
    let ready = readiness.ready && database.state == IntegrationState::Ok;
    let mut integrations = vec![database];
    // The gateway may list the database too; ours is asked just now.
    integrations.extend(
        readiness
            .integrations
            .into_iter()
            .filter(|one| one.name != "database"),
    );
    let degraded = integrations
        .iter()
        .any(|one| one.state == IntegrationState::Degraded);
    let (code, status) = match (ready, degraded) {
        (true, false) => (StatusCode::OK, "ok"),
        (true, true) => (StatusCode::OK, "degraded"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
    };
    if principal.is_none() {
        for one in &mut integrations {
            // Of `trunk:carrier` the second half is a name somebody chose.
            if let Some((kind, _)) = one.name.split_once(':') {
                one.name = kind.to_owned();
            }
            one.detail = None;
            one.cause = None;
            one.cure = None;
        }
    }
    let answer = ReadinessAnswer {
        status,
        version: readiness.version,
        mode: readiness.mode,
        capacity: readiness.capacity,
        sip: principal.is_some().then_some(readiness.sip),
        integrations,
    };
    Ok((code, Json(answer)))
}

fn database(state: &HttpState, health: &Health) -> Integration {
    let trouble = health.trouble.as_ref();
    Integration {
        name: "database".to_owned(),
        state: match trouble {
            None => IntegrationState::Ok,
            Some(_) => IntegrationState::Degraded,
        },
        detail: Some(state.store.name().to_owned()),
        cause: trouble.map(ToString::to_string),
        cure: trouble.map(|_| "the cause names it; calls go on, but are not kept".to_owned()),
        checked_at: Some(state.now()),
        latency_ms: None,
    }
}
