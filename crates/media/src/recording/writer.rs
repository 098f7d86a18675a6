//! The thread that writes all recordings.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rtrb::Consumer;
use tokio::sync::{mpsc, oneshot};

use super::{RecordingControl, RecordingSummary, StereoFrame};
use crate::event::MediaEvent;
use crate::frame::{FRAME_MS, FRAME_SAMPLES};
use crate::wav;

/// Octets of one stereo frame in the file.
const FRAME_OCTETS: usize = FRAME_SAMPLES * 4;
/// How often waiting frames are written: 5 frames of the queue's 100.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// Frames after which the header is refreshed: after `kill -9` at most this much (1 s) is in the
/// file but not in its header.
const HEADER_EVERY: u32 = 50;
/// 24 h: far beyond any call, far below the 4 GB a WAV file can hold.
const FRAMES_MAX: u32 = 24 * 3_600 * 50;

/// A recording handed to the writer.
pub(crate) struct NewRecording {
    pub path: PathBuf,
    pub file: File,
    pub frames: Consumer<StereoFrame>,
    pub control: Arc<RecordingControl>,
    pub events: mpsc::Sender<MediaEvent>,
    pub done: oneshot::Sender<RecordingSummary>,
}

/// Reaches the writer from the signalling side.
#[derive(Debug, Clone)]
pub(crate) struct WriterHandle {
    new: Sender<NewRecording>,
    thread: Thread,
}

impl WriterHandle {
    /// False when the writer has stopped.
    pub fn begin(&self, recording: NewRecording) -> bool {
        let sent = self.new.send(recording).is_ok();
        self.thread.unpark();
        sent
    }

    pub fn wake(&self) {
        self.thread.unpark();
    }
}

/// Owns the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    pub handle: WriterHandle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start() -> io::Result<Self> {
        let (new, incoming) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stop_flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("media-recorder".to_owned())
            .spawn(move || run(&incoming, &stop_flag))?;
        let handle = WriterHandle {
            new,
            thread: thread.thread().clone(),
        };
        Ok(Self {
            handle,
            stop,
            thread: Some(thread),
        })
    }

    /// Completes all files and ends the thread.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.handle.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recording writer had a fault");
        }
    }
}

fn run(incoming: &Receiver<NewRecording>, stop: &AtomicBool) {
    let mut files: Vec<OpenRecording> = Vec::new();
    loop {
        files.extend(incoming.try_iter().map(OpenRecording::new));
        let stopping = stop.load(Ordering::Acquire);
        files = files
            .into_iter()
            .filter_map(|mut file| {
                file.write_waiting();
                if stopping || file.is_over() {
                    file.finish();
                    None
                } else {
                    Some(file)
                }
            })
            .collect();
        if stopping {
            return;
        }
        if files.is_empty() {
            // Woken by the next recording.
            std::thread::park_timeout(Duration::from_secs(3_600));
        } else {
            std::thread::park_timeout(WRITE_EVERY);
        }
    }
}

struct OpenRecording {
    recording: NewRecording,
    buffer: Vec<u8>,
    /// Frame after the last one in the file.
    end: u32,
    header_end: u32,
    error: Option<String>,
}

impl OpenRecording {
    fn new(recording: NewRecording) -> Self {
        let mut this = Self {
            recording,
            buffer: Vec::new(),
            end: 0,
            header_end: 0,
            error: None,
        };
        let header = this.write_header();
        this.note(header);
        this
    }

    fn is_over(&self) -> bool {
        // The worker drops its end when the recording or the leg ends.
        self.recording.frames.is_empty()
            && (self.recording.frames.is_abandoned()
                || self.recording.control.stopped.load(Ordering::Relaxed))
    }

    /// Writes runs of successive frames with one call each.
    fn write_waiting(&mut self) {
        let mut first = None;
        let mut next = 0;
        while let Ok(frame) = self.recording.frames.pop() {
            if self.error.is_some() {
                continue;
            }
            if first.is_some() && frame.index != next {
                self.flush(first.take());
            }
            first.get_or_insert(frame.index);
            next = frame.index + 1;
            for (left, right) in frame.received.iter().zip(&frame.sent) {
                self.buffer.extend_from_slice(&left.to_le_bytes());
                self.buffer.extend_from_slice(&right.to_le_bytes());
            }
        }
        self.flush(first);
        if self.error.is_none() && self.end - self.header_end >= HEADER_EVERY {
            let result = self.write_header();
            self.note(result);
        }
    }

    /// Gaps (pauses, dropped frames) become holes in the file, which read as silence.
    fn flush(&mut self, first: Option<u32>) {
        let Some(first) = first else {
            return;
        };
        let frames = (self.buffer.len() / FRAME_OCTETS) as u32;
        let result = if first + frames > FRAMES_MAX {
            Err(io::Error::other(
                "the recording has reached its bound of 24 hours",
            ))
        } else {
            let offset = wav::HEADER_LEN as u64 + u64::from(first) * FRAME_OCTETS as u64;
            self.recording.file.write_all_at(&self.buffer, offset)
        };
        self.buffer.clear();
        if result.is_ok() {
            self.end = first + frames;
        }
        self.note(result);
    }

    /// Written after the audio it counts: whenever we are killed, the header is true.
    fn write_header(&mut self) -> io::Result<()> {
        let octets = self.end * FRAME_OCTETS as u32;
        let header = wav::header(crate::SAMPLE_RATE_HZ, 2, octets);
        self.recording.file.write_all_at(&header, 0)?;
        self.header_end = self.end;
        Ok(())
    }

    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else {
            return;
        };
        if self.error.is_some() {
            return;
        }
        let text = format!(
            "cannot write recording {}: {error}; free space or change the recording directory",
            self.recording.path.display()
        );
        tracing::error!(path = %self.recording.path.display(), %error, "recording.failed");
        self.recording
            .control
            .stopped
            .store(true, Ordering::Relaxed);
        // Nobody reads events: the summary tells it too.
        let _ = self.recording.events.try_send(MediaEvent::RecordingFailed {
            error: text.clone(),
        });
        self.error = Some(text);
    }

    fn finish(mut self) {
        if self.error.is_none() {
            let result = self
                .write_header()
                .and_then(|()| self.recording.file.sync_data());
            self.note(result);
        } else {
            // The header may fit where audio did not: it overwrites the first one.
            let _ = self.write_header();
        }
        let summary = RecordingSummary {
            path: self.recording.path,
            duration_ms: u64::from(self.end) * u64::from(FRAME_MS),
            dropped_frames: self.recording.control.dropped.load(Ordering::Relaxed),
            error: self.error,
        };
        // Nobody waits for it: the leg's owner is gone.
        let _ = self.recording.done.send(summary);
    }
}
