//! Recording a leg: what the party says on the left, what it hears on the right.
//!
//! The worker puts frames into a bounded queue; a writer thread puts them into a WAV file. A slow
//! or full disk costs recorded audio (counted, reported), never the call.

mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rtrb::Producer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::Frame;

pub(crate) use writer::{NewRecording, Writer, WriterHandle};

/// Frames that may wait for the disk: 2 s.
pub(crate) const QUEUE_FRAMES: usize = 100;

/// Both directions of one tick.
#[derive(Debug)]
pub(crate) struct StereoFrame {
    /// Tick since the recording began: its place in the file.
    pub index: u32,
    pub received: Frame,
    pub sent: Frame,
}

/// The worker's end of a recording.
pub(crate) struct RecordingTap {
    pub frames: Producer<StereoFrame>,
    pub control: Arc<RecordingControl>,
    /// Tick of the next frame.
    pub index: u32,
}

/// Shared by handle, worker and writer.
#[derive(Debug, Default)]
pub(crate) struct RecordingControl {
    pub paused: AtomicBool,
    /// The handle asked for the end, or writing failed: the worker pushes no more.
    pub stopped: AtomicBool,
    pub dropped: AtomicU64,
}

impl RecordingTap {
    /// Records one tick. Returns false when the frame was dropped because the queue is full.
    pub fn push(&mut self, received: &Frame, sent: &Frame) -> bool {
        let frame = StereoFrame {
            index: self.index,
            received: *received,
            sent: *sent,
        };
        let taken = self.frames.push(frame).is_ok();
        if !taken {
            // One writer: this worker.
            let dropped = self.control.dropped.load(Ordering::Relaxed) + 1;
            self.control.dropped.store(dropped, Ordering::Relaxed);
        }
        taken
    }

    pub fn is_listening(&self) -> bool {
        !self.control.paused.load(Ordering::Relaxed)
            && !self.control.stopped.load(Ordering::Relaxed)
    }
}

/// What a recording came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingSummary {
    pub path: PathBuf,
    /// Length of the file. Pauses and dropped frames are silence in it, so that its time axis is
    /// the leg's.
    pub duration_ms: u64,
    /// Frames of 20 ms that are silence because the disk was too slow.
    pub dropped_frames: u64,
    /// Why writing ended early, if it did.
    pub error: Option<String>,
}

/// Why a recording could not begin.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error(
        "cannot create recording {path}: {source}; check that the directory exists and is writable"
    )]
    Create {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("recording path {0} leaves the recording directory; use a plain relative path")]
    OutsideDirectory(PathBuf),
    #[error("the recording writer has stopped; the media engine is shutting down")]
    WriterGone,
}

/// A running recording. Dropping it lets the recording go on until the leg closes.
#[derive(Debug)]
pub struct Recording {
    pub(crate) path: PathBuf,
    pub(crate) control: Arc<RecordingControl>,
    pub(crate) done: tokio::sync::oneshot::Receiver<RecordingSummary>,
    pub(crate) writer: WriterHandle,
}

impl Recording {
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Records silence from now on, for example while a card number is spoken.
    pub fn pause(&self) {
        self.control.paused.store(true, Ordering::Relaxed);
    }

    pub fn resume(&self) {
        self.control.paused.store(false, Ordering::Relaxed);
    }

    /// Ends the recording and waits until the file is complete.
    pub async fn stop(self) -> RecordingSummary {
        self.control.stopped.store(true, Ordering::Relaxed);
        self.writer.wake();
        let path = self.path.clone();
        self.done.await.unwrap_or_else(|_| RecordingSummary {
            path,
            duration_ms: 0,
            dropped_frames: 0,
            error: Some("the recording writer stopped before the recording did".to_owned()),
        })
    }

    /// Waits for the end of the leg, then for the file to be complete.
    pub async fn finished(self) -> RecordingSummary {
        let path = self.path.clone();
        self.done.await.unwrap_or_else(|_| RecordingSummary {
            path,
            duration_ms: 0,
            dropped_frames: 0,
            error: Some("the recording writer stopped before the recording did".to_owned()),
        })
    }
}
