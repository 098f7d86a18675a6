//! `GET /api/trunks`: whether carriers and PBXs are there, and whether they know us.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Permission, Principal};
use super::error::{ApiError, ErrorBody};
use super::ports::TrunkView;
use super::state::HttpState;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrunkPage {
    items: Vec<TrunkView>,
    /// Always null: there is one page.
    next_cursor: Option<String>,
}

/// List trunks
///
/// State by OPTIONS with round trip and last error, and our registration where there is one.
#[utoipa::path(
    get, path = "/api/trunks", tag = "operations",
    responses(
        (status = 200, body = TrunkPage),
        (status = 401, body = ErrorBody),
    ),
)]
pub(super) async fn trunks(
    State(state): State<HttpState>,
    principal: Principal,
) -> Result<Json<TrunkPage>, ApiError> {
    principal.require(Permission::SeeCalls)?;
    Ok(Json(TrunkPage {
        items: state.operator.trunks().await,
        next_cursor: None,
    }))
}
