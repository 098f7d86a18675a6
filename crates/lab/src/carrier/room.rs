//! People who hear each other: two on a bridge, more in a conference. Words, keys and audio go from
//! each to all others, in steps of 20 ms.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::people::Heard;
use super::people::line::{Act, Line, Listening, Wanted};
use crate::audio::FRAME_SAMPLES;

/// One person in a room.
#[derive(Debug)]
pub(super) struct Seat {
    line: Arc<Line>,
    _listening: Listening,
}

impl Seat {
    pub(super) fn take(line: &Arc<Line>) -> Self {
        line.attach();
        Self {
            line: Arc::clone(line),
            _listening: line.listen(),
        }
    }
}

/// What a person may do in a room.
#[derive(Debug, Clone, Copy)]
pub(super) struct May {
    pub speak: bool,
    pub hear: bool,
}

impl May {
    pub(super) const BOTH: Self = Self {
        speak: true,
        hear: true,
    };
}

/// The beat of a room.
pub(super) fn beat() -> Interval {
    let mut beat = interval(Duration::from_millis(20));
    // Catching up keeps the pace exact over time.
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    beat
}

/// What became of 20 ms.
#[derive(Debug)]
pub(super) struct Beat {
    /// Keys pressed, with the seat.
    pub keys: Vec<(usize, char)>,
    /// Everybody's audio together.
    pub mix: [i16; FRAME_SAMPLES],
}

/// Carries 20 ms between the seats.
pub(super) fn carry(seats: &[(&Seat, May)]) -> Beat {
    let mut beat = Beat {
        keys: Vec::new(),
        mix: [0; FRAME_SAMPLES],
    };
    let mut frames = Vec::with_capacity(seats.len());
    for (at, (seat, may)) in seats.iter().enumerate() {
        let frame = seat.line.frame().filter(|_| may.speak);
        frames.push(frame);
        let Some(act) = seat.line.take(Wanted::ALL, true) else {
            continue;
        };
        if let Act::Presses(digit) = act {
            beat.keys.push((at, digit));
        }
        let heard = match act {
            Act::Says { text, .. } => Heard::Voice { text },
            Act::Presses(digit) => Heard::Keys {
                digits: digit.to_string(),
            },
        };
        if may.speak {
            let others = seats.iter().enumerate().filter(|(n, _)| *n != at);
            for (_, (other, _)) in others.filter(|(_, (_, may))| may.hear) {
                other.line.hear(heard.clone());
            }
        }
    }
    for (at, (seat, may)) in seats.iter().enumerate() {
        let others = frames.iter().enumerate().filter(|(n, _)| *n != at);
        let mixed = if may.hear {
            mix(others.filter_map(|(_, frame)| frame.as_ref()))
        } else {
            [0; FRAME_SAMPLES]
        };
        seat.line.hear_frame(&mixed);
    }
    beat.mix = mix(frames.iter().flatten());
    beat
}

fn mix<'a>(frames: impl Iterator<Item = &'a [i16; FRAME_SAMPLES]>) -> [i16; FRAME_SAMPLES] {
    let mut sum = [0i16; FRAME_SAMPLES];
    for frame in frames {
        for (sample, value) in sum.iter_mut().zip(frame) {
            *sample = sample.saturating_add(*value);
        }
    }
    sum
}
