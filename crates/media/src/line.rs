//! The far end of an assistant's two queues for audio that no worker carries: a carrier's websocket
//! brings the frames and takes them away.

use std::fmt;

use crate::assistant::{AssistantTap, AudioIn, AudioOut, PlayoutReport, connect};
use crate::frame::{FRAME_MS, Frame};

/// Frames of 20 ms at 8 kHz, both ways. Whoever holds it keeps the time: one frame every 20 ms.
pub struct Line {
    tap: Box<AssistantTap>,
    heard_ms: u64,
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
        let (audio_in, audio_out, tap) = connect();
        (audio_in, audio_out, Self { tap, heard_ms: 0 })
    }

    /// What the party said in the next 20 ms; false when the assistant is a second behind and the
    /// frame was dropped.
    pub fn hear(&mut self, samples: &Frame) -> bool {
        let at_ms = self.heard_ms;
        self.heard_ms += u64::from(FRAME_MS);
        self.tap.hear(at_ms, samples)
    }

    /// The assistant's next frame; false when it says nothing now. Reports are of what was taken, not
    /// of what was heard: the far side may hold audio back.
    pub fn speak(&mut self, frame: &mut Frame, report: impl FnMut(PlayoutReport)) -> bool {
        self.tap.speak(frame, report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FRAME_SAMPLES, SILENCE};

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
