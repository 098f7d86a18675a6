//! `GET /api/extensions`: who can be rung.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Permission, Principal};
use super::error::{ApiError, ErrorBody};
use super::ports::ExtensionStatus;
use super::state::HttpState;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExtensionPage {
    items: Vec<ExtensionStatus>,
    /// Always null: there is one page.
    next_cursor: Option<String>,
}

/// List extensions
#[utoipa::path(
    get, path = "/api/extensions", tag = "extensions",
    responses(
        (status = 200, body = ExtensionPage),
        (status = 401, body = ErrorBody),
    ),
)]
pub(super) async fn extensions(
    State(state): State<HttpState>,
    principal: Principal,
) -> Result<Json<ExtensionPage>, ApiError> {
    principal.require(Permission::SeeCalls)?;
    Ok(Json(ExtensionPage {
        items: state.operator.extensions().await,
        next_cursor: None,
    }))
}
