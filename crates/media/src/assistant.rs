//! Audio between a leg and an assistant: two bounded single-producer single-consumer queues.
//!
//! The worker never waits and never wakes a task: the assistant's side looks every 10 ms. Where the far
//! end is a task, too ([`crate::Line`]), each wakes the other instead. A slow assistant loses its own
//! audio (counted), nobody else's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use thiserror::Error;
use tokio::sync::Notify;

use crate::frame::{FRAME_SAMPLES, Frame, SILENCE};
use crate::gain::GainControl;
use crate::vad::VoiceDetector;

/// Frames from the party that may wait for the assistant: 1 s.
const IN_FRAMES: usize = 50;
/// Frames from the assistant that may wait to be played: 3 s. A writer waits for room.
const OUT_FRAMES: usize = 150;
/// How often the assistant's side looks at a queue: half a frame.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Wake whoever waits at a queue, where no worker is at its other end. What rings while nobody waits
/// is kept for the next wait.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    /// A frame of the party came, or none will come any more.
    pub heard: Notify,
    /// The assistant has something to say.
    pub spoken: Notify,
    /// There is room for more of it.
    pub room: Notify,
}

/// Until `bell` rings; without bells a moment.
async fn wait(bells: Option<&Arc<Bells>>, bell: impl FnOnce(&Bells) -> &Notify) {
    match bells {
        Some(bells) => bell(bells).notified().await,
        None => tokio::time::sleep(LOOK_EVERY).await,
    }
}

/// What the party said in one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardFrame {
    /// Counts frames; a step of more than one tells of dropped frames.
    pub seq: u64,
    /// Media time since the leg started, in milliseconds.
    pub at_ms: u64,
    /// Somebody speaks in this frame.
    pub voice: bool,
    pub samples: Frame,
}

/// As it travels, before voice detection.
#[derive(Debug)]
pub(crate) struct InFrame {
    pub seq: u64,
    pub at_ms: u64,
    pub samples: Frame,
}

/// The assistant's ear.
pub struct AudioIn {
    frames: Consumer<InFrame>,
    /// `None` only in measurements.
    detector: Option<VoiceDetector>,
    gain: Option<GainControl>,
    bells: Option<Arc<Bells>>,
}

impl fmt::Debug for AudioIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioIn")
            .field("waiting", &self.frames.slots())
            .finish()
    }
}

impl AudioIn {
    /// Brings voices of unusual level nearer, or leaves all as they come (the beginning).
    pub fn set_gain_control(&mut self, on: bool) {
        self.gain = on.then(GainControl::default);
    }

    /// The next frame, or nothing when the leg was closed or another assistant was attached.
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<HeardFrame> {
        loop {
            if let Some(frame) = self.try_recv() {
                return Some(frame);
            }
            if self.frames.is_abandoned() && self.frames.is_empty() {
                return None;
            }
            wait(self.bells.as_ref(), |bells| &bells.heard).await;
        }
    }

    /// The next frame if one waits. Voice detection happens here, on the caller's thread: it costs
    /// ten times as much as all the worker does for the frame.
    pub fn try_recv(&mut self) -> Option<HeardFrame> {
        let mut frame = self.frames.pop().ok()?;
        // Judged as it came: the detector's thresholds are those of a telephone line.
        let voice = self
            .detector
            .as_mut()
            .is_some_and(|detector| detector.is_voice(&frame.samples));
        if let Some(gain) = &mut self.gain {
            gain.process(&mut frame.samples, voice);
        }
        Some(HeardFrame {
            seq: frame.seq,
            at_ms: frame.at_ms,
            voice,
            samples: frame.samples,
        })
    }

    /// All frames without voice, to measure what detection costs.
    #[cfg(feature = "bench")]
    #[doc(hidden)]
    pub fn without_voice_detection(mut self) -> Self {
        self.detector = None;
        self
    }
}

/// One frame of an item, or its end.
#[derive(Debug)]
pub(crate) struct OutFrame {
    /// Frames of an older generation than the current one have been cut.
    pub generation: u32,
    pub item: u32,
    /// Samples that are audio; the rest is silence.
    pub len: u8,
    pub end: bool,
    pub samples: Frame,
}

/// Why audio was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlayoutError {
    #[error("playout of item {item} was cut; begin a new item")]
    Cut { item: u32 },
    #[error("the leg is closed or another assistant was attached")]
    Closed,
}

/// Shared by the ends of [`AudioOut`] and the worker.
#[derive(Debug, Default)]
pub(crate) struct PlayoutState {
    /// Raised to cut everything written before.
    pub generation: AtomicU32,
    /// Item in the upper half, milliseconds played in the lower.
    position: AtomicU64,
}

impl PlayoutState {
    pub fn set_position(&self, item: u32, played_ms: u64) {
        let ms = played_ms.min(u64::from(u32::MAX));
        self.position
            .store((u64::from(item) << 32) | ms, Ordering::Relaxed);
    }
}

/// The assistant's mouth. Audio is written in items (sentences, beeps) that are played in order.
///
/// Playout positions count what was sent to the party; its own jitter buffer adds some 60 ms
/// before it is heard.
pub struct AudioOut {
    frames: Producer<OutFrame>,
    state: Arc<PlayoutState>,
    item: u32,
    /// Of the current item; it is cut when the shared generation moves on.
    generation: u32,
    partial: Frame,
    filled: usize,
    bells: Option<Arc<Bells>>,
}

impl fmt::Debug for AudioOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioOut")
            .field("item", &self.item)
            .field("room", &self.frames.slots())
            .finish()
    }
}

/// Cuts playout from anywhere, also while a writer waits for room.
#[derive(Debug, Clone)]
pub struct PlayoutCutter {
    state: Arc<PlayoutState>,
}

impl PlayoutCutter {
    /// Silence from the next frame on. [`crate::MediaEvent::PlayoutCut`] follows for each item that
    /// was playing or waiting; what is written for those items from now on is refused.
    pub fn stop(&self) {
        self.state.generation.fetch_add(1, Ordering::Release);
    }

    /// The item played last and how much of it was sent, in milliseconds.
    pub fn position(&self) -> (u32, u64) {
        let packed = self.state.position.load(Ordering::Relaxed);
        ((packed >> 32) as u32, packed & u64::from(u32::MAX))
    }
}

impl AudioOut {
    /// Appends 8 kHz audio to an item; waits while three seconds are queued. An item begins with
    /// its first write and must be ended by [`Self::end_item`]. Ids must not be used again.
    ///
    /// Cancelled, a part of `samples` may have been taken.
    pub async fn write(&mut self, item: u32, samples: &[i16]) -> Result<(), PlayoutError> {
        let mut rest = samples;
        loop {
            let taken = self.try_write(item, rest)?;
            rest = &rest[taken..];
            if rest.is_empty() {
                return Ok(());
            }
            wait(self.bells.as_ref(), |bells| &bells.room).await;
        }
    }

    /// Like [`Self::write`] without waiting: returns how many samples were taken.
    pub fn try_write(&mut self, item: u32, samples: &[i16]) -> Result<usize, PlayoutError> {
        self.enter(item)?;
        let mut taken = 0;
        while taken < samples.len() {
            let n = (FRAME_SAMPLES - self.filled).min(samples.len() - taken);
            if self.filled + n == FRAME_SAMPLES && self.frames.is_full() {
                break;
            }
            self.partial[self.filled..self.filled + n].copy_from_slice(&samples[taken..taken + n]);
            self.filled += n;
            taken += n;
            if self.filled == FRAME_SAMPLES {
                self.push(false)?;
            }
        }
        Ok(taken)
    }

    /// Marks the end of an item; [`crate::MediaEvent::PlayoutFinished`] follows when it was played.
    pub async fn end_item(&mut self, item: u32) -> Result<(), PlayoutError> {
        self.enter(item)?;
        while self.frames.is_full() {
            if self.frames.is_abandoned() {
                return Err(PlayoutError::Closed);
            }
            wait(self.bells.as_ref(), |bells| &bells.room).await;
            self.enter(item)?;
        }
        self.push(true)
    }

    /// See [`PlayoutCutter::stop`].
    pub fn stop(&mut self) {
        self.cutter().stop();
        self.filled = 0;
    }

    /// See [`PlayoutCutter::position`].
    pub fn position(&self) -> (u32, u64) {
        self.cutter().position()
    }

    /// A handle that can cut while another task writes.
    pub fn cutter(&self) -> PlayoutCutter {
        PlayoutCutter {
            state: Arc::clone(&self.state),
        }
    }

    fn enter(&mut self, item: u32) -> Result<(), PlayoutError> {
        if self.frames.is_abandoned() {
            return Err(PlayoutError::Closed);
        }
        let generation = self.state.generation.load(Ordering::Acquire);
        if item != self.item {
            self.item = item;
            self.generation = generation;
            self.filled = 0;
        } else if generation != self.generation {
            self.filled = 0;
            return Err(PlayoutError::Cut { item });
        }
        Ok(())
    }

    fn push(&mut self, end: bool) -> Result<(), PlayoutError> {
        self.partial[self.filled..].fill(0);
        let frame = OutFrame {
            generation: self.generation,
            item: self.item,
            len: self.filled as u8,
            end,
            samples: self.partial,
        };
        self.filled = 0;
        let pushed = self.frames.push(frame).map_err(|_| PlayoutError::Closed);
        if let Some(bells) = &self.bells {
            bells.spoken.notify_one();
        }
        pushed
    }
}

/// The worker's ends of both queues.
pub(crate) struct AssistantTap {
    pub to_assistant: Producer<InFrame>,
    pub from_assistant: Consumer<OutFrame>,
    pub state: Arc<PlayoutState>,
    seq: u64,
    generation: u32,
    playing: Option<Playing>,
}

#[derive(Clone, Copy)]
struct Playing {
    item: u32,
    samples: u64,
    frames: u32,
}

impl Playing {
    fn played_ms(self) -> u64 {
        self.samples / 8
    }
}

/// Something to report about playout: how much of an item was taken to be sent, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutReport {
    /// Every 200 ms, with the first frame too.
    Progress { item: u32, played_ms: u64 },
    /// All of it.
    Finished { item: u32, played_ms: u64 },
    /// The rest will not come.
    Cut { item: u32, played_ms: u64 },
    /// The item has not ended but its audio did not come in time.
    Underrun,
}

/// Frames between two progress reports: 200 ms.
const REPORT_EVERY: u32 = 10;
/// Samples over which cut audio fades out: 5 ms, so that it does not click.
const CUT_FADE: usize = 40;

/// Makes the two ends; `bells` where the far one is a task.
pub(crate) fn connect(bells: Option<&Arc<Bells>>) -> (AudioIn, AudioOut, Box<AssistantTap>) {
    let (to_assistant, heard) = RingBuffer::new(IN_FRAMES);
    let (spoken, from_assistant) = RingBuffer::new(OUT_FRAMES);
    let state = Arc::new(PlayoutState::default());
    let audio_in = AudioIn {
        frames: heard,
        detector: Some(VoiceDetector::new()),
        gain: None,
        bells: bells.cloned(),
    };
    let audio_out = AudioOut {
        frames: spoken,
        state: Arc::clone(&state),
        item: u32::MAX,
        generation: 0,
        partial: SILENCE,
        filled: 0,
        bells: bells.cloned(),
    };
    let tap = AssistantTap {
        to_assistant,
        from_assistant,
        state,
        seq: 0,
        generation: 0,
        playing: None,
    };
    (audio_in, audio_out, Box::new(tap))
}

impl AssistantTap {
    /// Gives the assistant what the party said; false when it was dropped.
    pub fn hear(&mut self, at_ms: u64, samples: &Frame) -> bool {
        self.seq += 1;
        let frame = InFrame {
            seq: self.seq,
            at_ms,
            samples: *samples,
        };
        self.to_assistant.push(frame).is_ok()
    }

    /// Takes the assistant's next frame; false when it says nothing now.
    pub fn speak(&mut self, frame: &mut Frame, mut report: impl FnMut(PlayoutReport)) -> bool {
        let generation = self.state.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            return self.cut(frame, &mut report);
        }
        // A few empty end marks may precede the next audio; bounded by the queue.
        while let Ok(next) = self.from_assistant.pop() {
            let mut playing = match self.playing {
                Some(playing) if playing.item == next.item => playing,
                // An item that was not ended is over when the next one begins.
                Some(other) => {
                    report(PlayoutReport::Finished {
                        item: other.item,
                        played_ms: other.played_ms(),
                    });
                    Playing::new(next.item)
                }
                None => Playing::new(next.item),
            };
            playing.samples += u64::from(next.len);
            self.state.set_position(playing.item, playing.played_ms());
            if next.len > 0 {
                *frame = next.samples;
                if playing.frames % REPORT_EVERY == 0 && !next.end {
                    report(PlayoutReport::Progress {
                        item: playing.item,
                        played_ms: playing.played_ms(),
                    });
                }
                playing.frames += 1;
            }
            self.playing = if next.end {
                report(PlayoutReport::Finished {
                    item: playing.item,
                    played_ms: playing.played_ms(),
                });
                None
            } else {
                Some(playing)
            };
            if next.len > 0 {
                return true;
            }
        }
        if self.playing.is_some() {
            report(PlayoutReport::Underrun);
        }
        false
    }

    /// Throws away everything of older generations; the frame that would have come fades out.
    fn cut(&mut self, frame: &mut Frame, report: &mut impl FnMut(PlayoutReport)) -> bool {
        let mut fades = false;
        let mut last_reported = None;
        if let Some(playing) = self.playing.take() {
            report(PlayoutReport::Cut {
                item: playing.item,
                played_ms: playing.played_ms(),
            });
            last_reported = Some(playing.item);
            fades = true;
        }
        while let Ok(waiting) = self.from_assistant.peek() {
            if waiting.generation == self.generation {
                break;
            }
            let Ok(waiting) = self.from_assistant.pop() else {
                break;
            };
            if fades {
                fades = false;
                *frame = SILENCE;
                for (i, out) in frame.iter_mut().take(CUT_FADE).enumerate() {
                    let gain = (CUT_FADE - i) as i32;
                    *out = (i32::from(waiting.samples[i]) * gain / CUT_FADE as i32) as i16;
                }
            }
            if last_reported != Some(waiting.item) {
                last_reported = Some(waiting.item);
                report(PlayoutReport::Cut {
                    item: waiting.item,
                    played_ms: 0,
                });
            }
        }
        // `fades` still set: nothing waited, so there is no audio to fade.
        last_reported.is_some() && !fades
    }
}

impl Playing {
    fn new(item: u32) -> Self {
        Self {
            item,
            samples: 0,
            frames: 0,
        }
    }
}
