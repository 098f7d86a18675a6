//! Packet loss concealment: hides up to 60 ms, then fades to silence.

use crate::frame::{FRAME_SAMPLES, Frame};

/// Frames over which the repetition fades out.
const FADE_FRAMES: u32 = 3;
/// Samples over which the audio after a loss is faded in from the repetition: 5 ms.
const BLEND: usize = 40;

/// Repeats the last good frame, mirrored by turns: a mirrored copy begins with the sample the
/// last one ended with, so there is no step between frames.
#[derive(Debug)]
pub(crate) struct Concealer {
    has_good: bool,
    /// Set when the first frame is lost.
    last_good: Frame,
    consecutive: u32,
}

impl Concealer {
    pub fn new() -> Self {
        Self {
            has_good: false,
            last_good: [0; FRAME_SAMPLES],
            consecutive: 0,
        }
    }

    /// True while lost audio is being replaced: the next good frame must pass [`Self::blend`].
    pub fn is_concealing(&self) -> bool {
        self.consecutive > 0
    }

    /// Notes that a frame came in time.
    pub fn good(&mut self) {
        self.has_good = true;
        self.consecutive = 0;
    }

    /// Replaces a lost frame: `frame` holds the one before it. False when there is nothing more to
    /// say and silence follows.
    pub fn conceal(&mut self, frame: &mut Frame) -> bool {
        if !self.has_good || self.consecutive >= FADE_FRAMES {
            self.has_good = false;
            self.consecutive = 0;
            return false;
        }
        if self.consecutive == 0 {
            self.last_good = *frame;
        }
        self.fill(frame, self.consecutive);
        self.consecutive += 1;
        true
    }

    /// Blends the replacement into the first good frame after a loss.
    pub fn blend(&self, frame: &mut Frame) {
        if self.consecutive == 0 || self.consecutive >= FADE_FRAMES {
            return;
        }
        let mut tail = [0; FRAME_SAMPLES];
        self.fill(&mut tail, self.consecutive);
        for i in 0..BLEND {
            let weight = i as i32 * 256 / BLEND as i32;
            let mixed = i32::from(frame[i]) * weight + i32::from(tail[i]) * (256 - weight);
            frame[i] = (mixed >> 8) as i16;
        }
    }

    fn fill(&self, frame: &mut Frame, n: u32) {
        let mirrored = n.is_multiple_of(2);
        let total = (FADE_FRAMES as usize * FRAME_SAMPLES) as i32;
        for (i, sample) in frame.iter_mut().enumerate() {
            let source = if mirrored { FRAME_SAMPLES - 1 - i } else { i };
            let position = (n as usize * FRAME_SAMPLES + i) as i32;
            let faded = i32::from(self.last_good[source]) * (total - position) / total;
            *sample = faded as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_hidden_without_a_step_and_fades() {
        let mut concealer = Concealer::new();
        let mut good = [0i16; FRAME_SAMPLES];
        for (i, sample) in good.iter_mut().enumerate() {
            *sample = ((i as f32 * 0.2).sin() * 8_000.0) as i16;
        }
        concealer.good();
        let mut replaced = good;
        let mut last = good[FRAME_SAMPLES - 1];
        for _ in 0..FADE_FRAMES {
            assert!(concealer.conceal(&mut replaced));
            assert!(
                (replaced[0] - last).abs() < 500,
                "{} after {last}",
                replaced[0]
            );
            last = replaced[FRAME_SAMPLES - 1];
        }
        assert!(last.abs() < 100, "faded out, is {last}");
        assert!(!concealer.conceal(&mut replaced));
    }

    #[test]
    fn nothing_is_made_up_before_the_first_audio() {
        assert!(!Concealer::new().conceal(&mut [0; FRAME_SAMPLES]));
    }
}
