//! Packet loss concealment for codecs that have none of their own: hides up to 60 ms, fading.
//!
//! Voiced speech repeats itself with the pitch of the voice. So the last period before the loss is
//! repeated, as ITU-T G.711 Appendix I describes, without that method's delay of 3.75 ms. What was
//! measured against simpler ways: `docs/media.md` and the test in `conceal/measured.rs`.

use crate::frame::{FRAME_SAMPLES, Frame};

/// Frames over which the repetition fades out.
const FADE_FRAMES: u32 = 3;
const FADE_SAMPLES: f32 = (FADE_FRAMES as usize * FRAME_SAMPLES) as f32;
/// Samples kept from before a loss: 60 ms, the longest period twice and a window to compare.
pub(crate) const HISTORY: usize = 3 * FRAME_SAMPLES;
/// Periods of the human voice in samples: 200 to 66 Hz.
const SHORTEST: usize = 40;
const LONGEST: usize = 120;
/// Samples compared to find the period.
const WINDOW: usize = 160;
/// Samples over which the audio after a loss is faded in from the repetition: 3 ms for a frame and
/// 4 ms more for each further one, because the guess has drifted further away.
const BLEND: usize = 24;
const BLEND_MORE: usize = 32;

/// Replaces lost frames of one stream.
#[derive(Debug)]
pub(crate) struct Concealer {
    /// The newest samples heard before the last loss, then what was made up.
    history: [i16; HISTORY],
    /// How many of them are audio.
    known: usize,
    /// Good frames since then, which are not in `history` yet.
    good: usize,
    lost: u32,
    repeated: Repeated,
}

/// One period, repeated.
#[derive(Debug)]
struct Repeated {
    period: [f32; LONGEST],
    len: usize,
    position: usize,
    made: usize,
    /// Step between the last sample and the first of the period, faded out over a quarter of it.
    step: f32,
}

impl Concealer {
    pub fn new() -> Self {
        Self {
            history: [0; HISTORY],
            known: 0,
            good: 0,
            lost: 0,
            repeated: Repeated {
                period: [0.0; LONGEST],
                len: LONGEST,
                position: 0,
                made: 0,
                step: 0.0,
            },
        }
    }

    /// True while lost audio is being replaced: the next good frame must pass [`Self::blend`].
    pub fn is_concealing(&self) -> bool {
        self.lost > 0 && self.known > 0
    }

    /// True for a loss short enough to be hidden, whether or not there is anything to hide it with.
    pub fn is_gap(&self) -> bool {
        (1..=FADE_FRAMES).contains(&self.lost)
    }

    /// Notes that a frame came in time.
    pub fn good(&mut self) {
        self.good += 1;
        self.lost = 0;
    }

    /// Notes the samples of the last good frame. Not needed where they can be had later.
    pub fn remember(&mut self, frame: &Frame) {
        if self.good > 0 {
            self.append(frame);
            self.good = 0;
        }
    }

    /// What was heard before does not help any more: a pause, or it was never decoded.
    pub fn forget(&mut self) {
        self.known = 0;
        self.good = 0;
    }

    /// Writes a replacement for a lost frame. False when there is nothing to say and silence
    /// follows. `past` is asked, at the first frame of a loss, for the newest samples before it.
    pub fn conceal(&mut self, frame: &mut Frame, past: impl FnOnce(&mut [i16])) -> bool {
        if self.lost == 0 {
            let fresh = (self.good * FRAME_SAMPLES).min(HISTORY);
            self.history.copy_within(fresh.., 0);
            if fresh > 0 {
                past(&mut self.history[HISTORY - fresh..]);
            }
            self.known = (self.known + fresh).min(HISTORY);
            self.good = 0;
            if self.known > LONGEST {
                self.repeated.begin(&self.history, self.known);
            } else {
                self.known = 0;
            }
        }
        self.lost = self.lost.saturating_add(1);
        if self.known == 0 || self.lost > FADE_FRAMES {
            self.known = 0;
            return false;
        }
        for sample in frame.iter_mut() {
            *sample = self.repeated.next();
        }
        self.append(frame);
        true
    }

    /// Blends the replacement into the first good frame after a loss.
    pub fn blend(&mut self, frame: &mut Frame) {
        if !self.is_concealing() {
            return;
        }
        let more = (self.lost as usize - 1) * BLEND_MORE;
        let len = (BLEND + more).min(FRAME_SAMPLES);
        for (n, sample) in frame.iter_mut().enumerate().take(len) {
            let weight = n as f32 / len as f32;
            let guess = f32::from(self.repeated.next());
            *sample = (f32::from(*sample) * weight + guess * (1.0 - weight)) as i16;
        }
    }

    fn append(&mut self, frame: &Frame) {
        self.history.copy_within(FRAME_SAMPLES.., 0);
        self.history[HISTORY - FRAME_SAMPLES..].copy_from_slice(frame);
        self.known = (self.known + FRAME_SAMPLES).min(HISTORY);
    }
}

impl Repeated {
    /// Finds the period of the newest `known` samples, more than [`LONGEST`].
    fn begin(&mut self, history: &[i16; HISTORY], known: usize) {
        let mut past = [0.0f32; HISTORY];
        for (value, sample) in past.iter_mut().zip(history) {
            *value = f32::from(*sample);
        }
        let window = (known - LONGEST).min(WINDOW);
        let newest = &past[HISTORY - window..];
        let mut best = f32::MIN;
        for lag in SHORTEST..=LONGEST {
            let before = &past[HISTORY - window - lag..HISTORY - lag];
            let (mut product, mut energy) = (0.0, 1.0);
            for (a, b) in newest.iter().zip(before) {
                product += a * b;
                energy += b * b;
            }
            let likeness = product / f32::sqrt(energy);
            if likeness > best {
                best = likeness;
                self.len = lag;
            }
        }
        let len = self.len;
        self.period[..len].copy_from_slice(&past[HISTORY - len..]);
        // The end of the period becomes what came before its beginning, so that it can follow itself.
        let quarter = len / 4;
        for n in 0..quarter {
            let weight = n as f32 / quarter as f32;
            self.period[len - quarter + n] = past[HISTORY - quarter + n] * (1.0 - weight)
                + past[HISTORY - len - quarter + n] * weight;
        }
        self.step = past[HISTORY - 1] - past[HISTORY - 1 - len];
        self.position = 0;
        self.made = 0;
    }

    fn next(&mut self) -> i16 {
        let mut value = self.period[self.position];
        let quarter = (self.len / 4) as f32;
        let made = self.made as f32;
        if made < quarter {
            value += self.step * (1.0 - made / quarter);
        }
        self.position = (self.position + 1) % self.len;
        self.made += 1;
        let gain = (1.0 - made / FADE_SAMPLES).max(0.0);
        (value * gain).clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
    }
}

#[cfg(test)]
mod measured;

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(n: usize) -> i16 {
        // 125 Hz with overtones: a period of 64 samples.
        let t = n as f32 / 8_000.0 * 125.0 * std::f32::consts::TAU;
        ((t.sin() + 0.5 * (2.0 * t).sin() + 0.3 * (5.0 * t).sin()) * 6_000.0) as i16
    }

    fn past(from: usize) -> impl FnOnce(&mut [i16]) {
        move |out| {
            let len = out.len();
            for (i, sample) in out.iter_mut().enumerate() {
                *sample = voice(from - len + i);
            }
        }
    }

    fn after(good: usize) -> Concealer {
        let mut concealer = Concealer::new();
        for _ in 0..good {
            concealer.good();
        }
        concealer
    }

    #[test]
    fn a_voice_goes_on_without_a_step_and_fades() {
        let mut concealer = after(5);
        let mut frame = [0; FRAME_SAMPLES];
        assert!(concealer.conceal(&mut frame, past(800)));
        for (n, sample) in frame.iter().enumerate() {
            let gain = 1.0 - n as f32 / FADE_SAMPLES;
            let expected = f32::from(voice(800 + n)) * gain;
            assert!((f32::from(*sample) - expected).abs() < 300.0, "{n}");
        }
        let mut last = frame[FRAME_SAMPLES - 1];
        for _ in 1..FADE_FRAMES {
            assert!(concealer.conceal(&mut frame, |_| unreachable!()));
            assert!((i32::from(frame[0]) - i32::from(last)).abs() < 3_500);
            last = frame[FRAME_SAMPLES - 1];
        }
        assert!(last.abs() < 100, "faded out, is {last}");
        assert!(!concealer.conceal(&mut frame, |_| unreachable!()));
        assert!(!concealer.is_gap());
    }

    #[test]
    fn a_second_loss_uses_what_lies_between() {
        let mut concealer = after(3);
        let mut frame = [0; FRAME_SAMPLES];
        assert!(concealer.conceal(&mut frame, past(480)));
        let mut good = std::array::from_fn(|n| voice(640 + n));
        concealer.blend(&mut good);
        assert!((i32::from(good[0]) - i32::from(frame[159])).abs() < 3_500);
        assert_eq!(good[100], voice(740), "only the beginning is touched");
        concealer.good();
        let mut asked = 0;
        assert!(concealer.conceal(&mut frame, |out| {
            asked = out.len();
            past(800)(out);
        }));
        assert_eq!(asked, FRAME_SAMPLES);
        assert!(frame.iter().any(|s| s.abs() > 3_000));
    }

    #[test]
    fn nothing_is_made_up_before_the_first_audio_or_after_a_pause() {
        let mut frame = [0; FRAME_SAMPLES];
        let mut concealer = Concealer::new();
        assert!(!concealer.conceal(&mut frame, |_| unreachable!()));
        assert!(concealer.is_gap(), "but it is a loss");
        let mut concealer = after(4);
        concealer.forget();
        assert!(!concealer.conceal(&mut frame, |_| unreachable!()));
    }

    #[test]
    fn remembered_samples_need_no_past() {
        let mut concealer = Concealer::new();
        let mut frame: Frame = std::array::from_fn(voice);
        for _ in 0..3 {
            concealer.good();
            concealer.remember(&frame);
        }
        assert!(concealer.conceal(&mut frame, |_| unreachable!()));
        assert!(frame.iter().any(|s| s.abs() > 3_000));
    }
}
