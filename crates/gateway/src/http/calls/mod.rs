//! Calls: one file per endpoint, and what they share.

mod detail;
mod events;
mod hangup;
mod hold;
mod initiate;
mod latency;
mod list;
mod range;
mod recording;
mod recording_pause;
mod row;
mod shape;
mod transcript;
mod transfer;

pub(super) use detail::{__path_detail, detail};
pub(super) use events::{__path_events, events};
pub(super) use hangup::{__path_hangup, hangup};
pub(super) use hold::{__path_hold, __path_resume, hold, resume};
pub(super) use initiate::{__path_initiate, initiate};
pub(super) use latency::{CallLatency, of_turns};
pub(super) use list::{__path_list, list};
pub(super) use recording::{__path_recording, recording};
pub(super) use recording_pause::{
    __path_pause_recording, __path_resume_recording, pause_recording, resume_recording,
};
pub(super) use row::rows;
pub(super) use transcript::{__path_transcript, transcript};
pub(super) use transfer::{__path_transfer, transfer};

use axum::Json;
use axum::http::StatusCode;
use switchhook_model::CallId;
use switchhook_store::CallRow;

use self::hangup::Accepted;
use super::auth::Principal;
use super::error::ApiError;
use super::extract::unknown_call;
use super::ports::CommandError;
use super::state::HttpState;

/// The stored call, or 404.
async fn stored(state: &HttpState, id: &CallId) -> Result<CallRow, ApiError> {
    state.store.call(id).await?.ok_or_else(unknown_call)
}

/// The answer to a command to a call. `deed` is for the log.
async fn commanded(
    state: &HttpState,
    id: &CallId,
    principal: &Principal,
    outcome: Result<(), CommandError>,
    (deed, status): (&'static str, &'static str),
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    match outcome {
        Ok(()) => {
            tracing::info!(call.id = %id, by = principal.name, status, "{deed}");
            Ok((StatusCode::ACCEPTED, Json(Accepted { status })))
        }
        Err(error) => Err(command_refused(state, id, error).await),
    }
}

/// Why a command to a call was refused.
async fn command_refused(state: &HttpState, id: &CallId, error: CommandError) -> ApiError {
    let message = error.to_string();
    match error {
        CommandError::NotLive => match stored(state, id).await {
            Ok(_) => ApiError::conflict("call.ended", "the call is over"),
            Err(refusal) => refusal,
        },
        CommandError::UnknownDepartment { .. } => {
            ApiError::unprocessable("transfer.unknown_department", message)
        }
        CommandError::NotAllowed { .. } => ApiError::unprocessable("target.not_allowed", message),
        CommandError::Conflict { .. } => ApiError::conflict("call.conflict", message),
        CommandError::Busy => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "call.busy", message).retry_after_s(1)
        }
        CommandError::Internal { detail } => ApiError::internal(&detail),
    }
}
