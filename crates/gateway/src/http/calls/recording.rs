//! `GET /api/calls/{id}/recording`: the audio of both sides as WAV, with byte ranges.

use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use switchhook_store::{RecordingRow, RecordingState};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;

use super::range::{Part, part};
use super::stored;
use crate::http::auth::{Permission, Principal};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::CallPath;
use crate::http::state::HttpState;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Recording
///
/// Stereo WAV, 8 kHz: left is what the caller says, right is what the caller hears. Answers `Range`
/// with one part, `If-None-Match` and `If-Range` with the entity tag.
#[utoipa::path(
    get, path = "/api/calls/{id}/recording", tag = "calls",
    params(
        ("id" = String, Path, description = "Call id"),
        ("Range" = Option<String>, Header, description = "bytes=FIRST-LAST"),
    ),
    responses(
        (status = 200, content_type = "audio/wav", description = "All of it"),
        (status = 206, content_type = "audio/wav", description = "The part asked for"),
        (status = 304, description = "Unchanged"),
        (status = 401, body = ErrorBody),
        (status = 403, description = "auth.forbidden", body = ErrorBody),
        (status = 404, description = "call.unknown, recording.none, recording.file_missing", body = ErrorBody),
        (status = 409, description = "recording.not_ready: still being written", body = ErrorBody),
        (status = 410, description = "recording.deleted, recording.failed", body = ErrorBody),
        (status = 416, description = "recording.range", body = ErrorBody),
    ),
)]
pub(in crate::http) async fn recording(
    State(state): State<HttpState>,
    principal: Principal,
    CallPath(id): CallPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require(Permission::HearCalls)?;
    stored(&state, &id).await?;
    let rows = state.store.recordings(&id).await?;
    let row = playable(&rows)?;
    tracing::info!(call.id = %id, by = principal.name, "recording is played");
    let path = file_below(&state.config.recordings, &row.file)?;
    let mut file = File::open(&path).await.map_err(missing)?;
    let metadata = file.metadata().await.map_err(missing)?;
    if !metadata.is_file() {
        return Err(file_missing());
    }
    let length = metadata.len();
    let tag = format!("\"{}-{length}\"", row.id.unique());
    if header_text(&headers, header::IF_NONE_MATCH).is_some_and(|sent| names(sent, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // A part of another version would not fit the parts the client has (RFC 9110 §13.1.5).
    let same_version = header_text(&headers, header::IF_RANGE).is_none_or(|sent| sent == tag);
    let range = header_text(&headers, header::RANGE).filter(|_| same_version);
    let (status, first, size) = match part(range, length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Unsatisfiable => return Ok(unsatisfiable(length)),
    };
    file.seek(SeekFrom::Start(first)).await.map_err(missing)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(size), CHUNK));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "audio/wav".into());
    set(header::CONTENT_LENGTH, size.to_string());
    set(header::ACCEPT_RANGES, "bytes".into());
    set(header::ETAG, tag);
    // Kept by the browser that may hear it, asked about each time.
    set(header::CACHE_CONTROL, "private, no-cache".into());
    set(
        header::CONTENT_DISPOSITION,
        format!("inline; filename=\"{}.wav\"", row.id),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        set(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{length}", first + size - 1),
        );
    }
    Ok(response)
}

/// The recording of a call: the longest that can be played, or the newest. A message that a carrier
/// recorded on its own is a part of the call, and shorter.
pub(super) fn of_call(rows: &[RecordingRow]) -> Option<&RecordingRow> {
    let ready = rows.iter().filter(|row| row.state == RecordingState::Ready);
    ready.max_by_key(|row| row.duration_ms).or(rows.last())
}

/// That one, or why it cannot be played.
fn playable(rows: &[RecordingRow]) -> Result<&RecordingRow, ApiError> {
    let shown = of_call(rows)
        .ok_or_else(|| ApiError::not_found("recording.none", "this call was not recorded"))?;
    let gone = |code, message: &str| ApiError::new(StatusCode::GONE, code, message);
    match shown.state {
        RecordingState::Ready => Ok(shown),
        RecordingState::Recording => Err(ApiError::conflict(
            "recording.not_ready",
            "the recording is still being written; try again when the call is over",
        )
        .retry_after_s(5)),
        RecordingState::Failed => Err(gone(
            "recording.failed",
            "the recording could not be written; the call's detail says why",
        )
        .with_details(json!({ "error": shown.error }))),
        RecordingState::Deleted => Err(gone(
            "recording.deleted",
            "the recording was deleted, on request or at the end of its retention",
        )),
    }
}

/// One plain name below the directory. The row is ours, but a path that leaves the directory would
/// hand out any file, so it is not trusted.
fn file_below(directory: &Path, name: &str) -> Result<PathBuf, ApiError> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(directory.join(only)),
        _ => Err(ApiError::internal(
            &"a recording's file name is not a plain name",
        )),
    }
}

fn missing(error: std::io::Error) -> ApiError {
    match error.kind() {
        std::io::ErrorKind::NotFound => file_missing(),
        _ => ApiError::internal(&format!("recording: {error}")),
    }
}

fn file_missing() -> ApiError {
    ApiError::not_found(
        "recording.file_missing",
        "the call was recorded, but the file is not in the recording directory",
    )
}

fn unsatisfiable(length: u64) -> Response {
    let mut response = ApiError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "recording.range",
        format!("the range begins beyond the end; the recording has {length} bytes"),
    )
    .into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether an `If-None-Match` list has the tag, or is `*`.
fn names(list: &str, tag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|one| one == tag || one == "*")
}
