//! One recording: the file the media engine writes, and its row.

use std::path::Path;

use switchhook_media::MediaLeg;
use switchhook_model::{CallId, LegId, RecordingId, Timestamp};
use switchhook_store::{RecordingRow, RecordingState};

pub(super) struct Recording {
    pub leg: LegId,
    pub row: RecordingRow,
    handle: switchhook_media::Recording,
    /// The caller has not been told yet.
    is_unannounced: bool,
    /// An operator wants silence.
    is_paused: bool,
}

impl Recording {
    /// Starts recording both sides of a leg. On failure the row that says so comes back.
    pub(super) fn start(
        directory: &Path,
        media: &MediaLeg,
        call: &CallId,
        id: RecordingId,
        now: Timestamp,
    ) -> Result<Self, Box<RecordingRow>> {
        // Ids are ours and hold no path separators.
        let file = format!("{id}.wav");
        let mut row = RecordingRow {
            id,
            call: call.clone(),
            file: file.clone(),
            state: RecordingState::Recording,
            started_at: now,
            ended_at: None,
            duration_ms: None,
            error: None,
        };
        match media.record(&directory.join(file)) {
            Ok(handle) => Ok(Self {
                leg: media.id().clone(),
                row,
                handle,
                is_unannounced: false,
                is_paused: false,
            }),
            Err(error) => {
                row.state = RecordingState::Failed;
                row.ended_at = Some(now);
                row.error = Some(error.to_string());
                Err(Box::new(row))
            }
        }
    }

    /// Keeps silence until the caller has been told that the call is recorded.
    pub(super) fn wait_for_announcement(&mut self) {
        self.is_unannounced = true;
        self.apply();
    }

    pub(super) fn announced(&mut self) {
        self.is_unannounced = false;
        self.apply();
    }

    /// Silence while a card number is spoken.
    pub(super) fn set_paused(&mut self, paused: bool) {
        self.is_paused = paused;
        self.apply();
    }

    /// One reason is enough to keep nothing.
    fn apply(&self) {
        if self.is_unannounced || self.is_paused {
            self.handle.pause();
        } else {
            self.handle.resume();
        }
    }

    /// Ends it; returns when the file is complete.
    pub(super) async fn stop(self, now: Timestamp) -> RecordingRow {
        let mut row = self.row;
        let summary = self.handle.stop().await;
        row.ended_at = Some(now);
        row.duration_ms = Some(summary.duration_ms);
        row.error = row.error.or(summary.error);
        row.state = if row.error.is_none() {
            RecordingState::Ready
        } else {
            RecordingState::Failed
        };
        if summary.dropped_frames > 0 {
            tracing::warn!(frames = summary.dropped_frames, "the recording has gaps");
        }
        row
    }
}
