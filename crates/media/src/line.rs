//! The far end of an assistant's two queues for audio that no worker carries: a carrier's websocket
//! brings the frames and takes them away.

use std::fmt;
use std::sync::Arc;

use crate::assistant::{AssistantTap, AudioIn, AudioOut, Bells, PlayoutReport, connect};
use crate::frame::{FRAME_MS, Frame};

/// Frames of 20 ms at 8 kHz, both ways. Whoever holds it keeps the time: one frame every 20 ms while
/// there are any.
pub struct Line {
    // Dropped before the bells ring for the last time.
    tap: Box<AssistantTap>,
    heard_ms: u64,
    bells: Ring,
}

/// The bells; they ring once more when the line is gone.
struct Ring(Arc<Bells>);

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.heard.notify_one();
        self.0.room.notify_one();
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("heard_ms", &self.heard_ms)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// A line with the assistant's ends of it.
    pub fn new() -> (AudioIn, AudioOut, Self) {
        let bells = Arc::new(Bells::default());
        let (audio_in, audio_out, tap) = connect(Some(&bells));
        let line = Self {
            tap,
            heard_ms: 0,
            bells: Ring(bells),
        };
        (audio_in, audio_out, line)
    }

    /// What the party said in the next 20 ms; false when the assistant is a second behind and the
    /// frame was dropped.
    pub fn hear(&mut self, samples: &Frame) -> bool {
        let at_ms = self.heard_ms;
        self.heard_ms += u64::from(FRAME_MS);
        let is_taken = self.tap.hear(at_ms, samples);
        self.bells.0.heard.notify_one();
        is_taken
    }

    /// Until the assistant has written something since the last wait: after a pause the first frame
    /// need not wait for a tick. Cancel safe.
    pub async fn written(&mut self) {
        self.bells.0.spoken.notified().await;
    }

    /// The assistant's next frame; false when it says nothing now. Reports are of what was taken, not
    /// of what was heard: the far side may hold audio back.
    pub fn speak(&mut self, frame: &mut Frame, report: impl FnMut(PlayoutReport)) -> bool {
        let says = self.tap.speak(frame, report);
        self.bells.0.room.notify_one();
        says
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FRAME_SAMPLES, SILENCE};

    /// Nobody looks every few milliseconds: each end is woken, also by the other's end.
    #[test]
    fn whoever_waits_is_woken_without_a_clock() {
        // Without timers: whoever sleeps here panics.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(both_ends_wait());
    }

    async fn both_ends_wait() {
        let (mut ear, mut mouth, mut line) = Line::new();
        let speaker = tokio::spawn(async move {
            // More than the queue holds: waits for room.
            mouth.write(1, &[300; 200 * FRAME_SAMPLES]).await
        });
        line.written().await;
        let mut frame = SILENCE;
        let mut taken = 0;
        while taken < 200 {
            if line.speak(&mut frame, |_| ()) {
                taken += 1;
            } else {
                line.written().await;
            }
        }
        assert_eq!(speaker.await.unwrap(), Ok(()));
        let listener = tokio::spawn(async move {
            let first = ear.recv().await.map(|frame| frame.samples[0]);
            (first, ear.recv().await)
        });
        tokio::task::yield_now().await;
        assert!(line.hear(&[700; FRAME_SAMPLES]));
        tokio::task::yield_now().await;
        drop(line);
        assert_eq!(listener.await.unwrap(), (Some(700), None));
    }

    #[test]
    fn frames_pass_both_ways_and_items_are_reported() {
        let (mut ear, mut mouth, mut line) = Line::new();
        let spoken = [1000; FRAME_SAMPLES];
        assert!(line.hear(&spoken));
        assert_eq!(ear.try_recv().map(|frame| frame.samples), Some(spoken));
        assert_eq!(
            mouth.try_write(7, &[500; 3 * FRAME_SAMPLES]),
            Ok(3 * FRAME_SAMPLES)
        );
        let mut reports = Vec::new();
        let mut frame = SILENCE;
        for _ in 0..3 {
            assert!(line.speak(&mut frame, |report| reports.push(report)));
            assert_eq!(frame, [500; FRAME_SAMPLES]);
        }
        mouth.stop();
        assert!(!line.speak(&mut frame, |report| reports.push(report)));
        assert_eq!(
            reports,
            [
                PlayoutReport::Progress {
                    item: 7,
                    played_ms: 20
                },
                PlayoutReport::Cut {
                    item: 7,
                    played_ms: 60
                }
            ]
        );
    }
}
