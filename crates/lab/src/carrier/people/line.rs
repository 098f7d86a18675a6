//! A line between the carrier and one person: what the person hears, and what the person does.
//!
//! Speech is text on it: a `Say` is heard as its words, and what a person says is the words a
//! recogniser would give. Real audio exists beside the text: a person can play samples, and hears
//! samples over a media stream, a bridge or a conference.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::super::log::{Pulse, lock};
use crate::audio::FRAME_SAMPLES;

/// Live speech is at most so much behind: 200 ms.
const MOST_WAITING: usize = 1_600;

/// Something a person heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The carrier's voice, or a machine's greeting.
    Said {
        /// The words.
        text: String,
        /// Which voice, if one was given.
        voice: Option<String>,
        /// Which language, if one was given.
        language: Option<String>,
        /// Whether it was spoken to its end.
        to_end: bool,
    },
    /// A file.
    Played {
        /// Its URL.
        url: String,
    },
    /// Another person on a bridge or in a conference.
    Voice {
        /// The words.
        text: String,
    },
    /// Keypad tones.
    Keys {
        /// The digits.
        digits: String,
    },
    /// The beep before a recording; on the line of a machine its own.
    Beep,
    /// The ringing tone: the other side is being rung.
    Ringing,
    /// Music while waiting.
    Music {
        /// Where it is from; empty for the carrier's own.
        url: String,
    },
}

impl Heard {
    /// Its words, empty where there are none.
    pub fn text(&self) -> &str {
        match self {
            Self::Said { text, .. } | Self::Voice { text } => text,
            Self::Played { url } | Self::Music { url } => url,
            Self::Keys { digits } => digits,
            Self::Beep | Self::Ringing => "",
        }
    }
}

/// Something a person does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    Says { text: String, confidence: f64 },
    Presses(char),
}

/// What somebody listens for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub digits: bool,
    pub speech: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self {
        digits: true,
        speech: true,
    };
    pub(crate) const DIGITS: Self = Self {
        digits: true,
        speech: false,
    };
    pub(crate) const SPEECH: Self = Self {
        digits: false,
        speech: true,
    };

    fn is(self, act: &Act) -> bool {
        match act {
            Act::Says { .. } => self.speech,
            Act::Presses(_) => self.digits,
        }
    }
}

/// How a line ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether the person hung up, and not the carrier.
    pub by_person: bool,
    /// The call's last status, such as `completed`.
    pub status: String,
}

/// What somebody listens to who was put on a line from outside: a recorder, a one-way stream.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    /// From the person.
    pub inbound: VecDeque<i16>,
    /// To the person.
    pub outbound: VecDeque<i16>,
}

/// Done when something is heard.
pub(super) type Rule = (String, Vec<Act>, bool);

#[derive(Debug, Default)]
pub(crate) struct LineState {
    pub heard: Vec<Heard>,
    /// How far `until_hears` has looked.
    pub looked: usize,
    /// What the person does as soon as it is its turn.
    pub pending: VecDeque<Act>,
    /// What the person does at once.
    pub live: VecDeque<Act>,
    /// Done while nobody listened.
    pub missed: Vec<Act>,
    /// How many verbs listen.
    listeners: usize,
    mouth: VecDeque<i16>,
    mouth_since: Option<Instant>,
    /// Everything heard as audio.
    pub ears: Vec<i16>,
    pub answered: bool,
    pub hung_up: bool,
    pub ended: Option<Ended>,
    /// Told to be silent.
    pub silent: bool,
    /// In the middle of a sentence said aloud.
    pub speaking: bool,
    pub rules: Vec<Rule>,
    taps: Vec<Weak<Mutex<Tap>>>,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub pulse: Arc<Pulse>,
    state: Mutex<LineState>,
}

/// Somebody listens as long as this lives.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Line>);

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.listeners -= 1;
        if state.listeners == 0 {
            let unheard: Vec<Act> = state.live.drain(..).collect();
            state.missed.extend(unheard);
        }
    }
}

impl Line {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Arc<Self> {
        Arc::new(Self {
            pulse,
            state: Mutex::default(),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, LineState> {
        lock(&self.state)
    }

    /// The person hears something; gives its place in the list. What the person was told to do
    /// upon it happens before anything else.
    pub(crate) fn hear(&self, what: Heard) -> usize {
        let mut state = self.state();
        let text = what.text().to_lowercase();
        let mut hangs_up = false;
        let mut acts = Vec::new();
        for (trigger, then, ends) in &state.rules {
            if text.contains(trigger.as_str()) {
                acts.extend(then.iter().cloned());
                hangs_up |= *ends;
            }
        }
        state.heard.push(what);
        state.pending.extend(acts);
        state.hung_up |= hangs_up;
        let place = state.heard.len() - 1;
        drop(state);
        self.pulse.beat();
        place
    }

    /// A text was spoken to its end.
    pub(crate) fn heard_to_end(&self, place: usize) {
        if let Some(Heard::Said { to_end, .. }) = self.state().heard.get_mut(place) {
            *to_end = true;
        }
        self.pulse.beat();
    }

    /// Puts somebody on the line who listens.
    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        self.state().listeners += 1;
        self.pulse.beat();
        Listening(Arc::clone(self))
    }

    /// Whether somebody listens.
    pub(crate) fn is_listened_to(&self) -> bool {
        self.state().listeners > 0
    }

    /// Something done at once, whether or not it is the person's turn.
    pub(crate) fn act_now(&self, act: Act) {
        let mut state = self.state();
        if state.listeners > 0 {
            state.live.push_back(act);
        } else {
            state.missed.push(act);
        }
        drop(state);
        self.pulse.beat();
    }

    /// The next thing done that somebody listens for: at once or, when it is the person's turn, as
    /// planned. What is done at once and not listened for is missed; what is planned waits.
    pub(crate) fn take(&self, wanted: Wanted, is_their_turn: bool) -> Option<Act> {
        let taken = self.state().next(wanted, is_their_turn);
        if taken.is_some() {
            self.pulse.beat();
        }
        taken
    }

    /// Returns when the person hangs up.
    pub(crate) async fn gone(&self) {
        let gone = || self.state().hung_up.then_some(());
        self.pulse.when(gone).await;
    }

    /// The line is over for the person.
    pub(crate) fn end(&self, by_person: bool, status: &str) {
        let mut state = self.state();
        if state.ended.is_none() {
            state.ended = Some(Ended {
                by_person,
                status: status.to_owned(),
            });
        }
        drop(state);
        self.pulse.beat();
    }

    /// The person plays these samples behind what is played already.
    pub(crate) fn play(&self, samples: &[i16]) {
        let mut state = self.state();
        if state.mouth.is_empty() {
            state.mouth_since = Some(Instant::now());
        }
        state.mouth.extend(samples);
        drop(state);
        self.pulse.beat();
    }

    /// The person talks into the line now: what nobody takes is lost soon, as speech is that nobody
    /// hears. While something longer is played it is lost at once.
    pub(crate) fn talk(&self, samples: &[i16]) {
        let mut state = self.state();
        if state.mouth.len() > MOST_WAITING {
            return;
        }
        state.mouth.extend(samples);
        let surplus = state.mouth.len().saturating_sub(MOST_WAITING);
        state.mouth.drain(..surplus);
    }

    /// Whether the person still plays something.
    pub(crate) fn is_playing(&self) -> bool {
        !self.state().mouth.is_empty()
    }

    /// Somebody begins to take the person's audio: what would have passed unheard is gone.
    pub(crate) fn attach(&self) {
        let mut state = self.state();
        if let Some(since) = state.mouth_since.take() {
            let passed = Instant::now() - since;
            // The first moments count as heard: a person waits for the line to be open.
            let late = passed.saturating_sub(Duration::from_millis(500));
            let samples = usize::try_from(late.as_millis() * 8).unwrap_or(usize::MAX);
            let gone = samples.min(state.mouth.len());
            state.mouth.drain(..gone);
        }
    }

    /// The next 20 ms from the person; `None` while nothing is played.
    pub(crate) fn frame(&self) -> Option<[i16; FRAME_SAMPLES]> {
        let mut state = self.state();
        state.mouth_since = None;
        let mut frame = [0i16; FRAME_SAMPLES];
        let count = state.mouth.len().min(FRAME_SAMPLES);
        let played = state.mouth.drain(..count);
        for (sample, value) in frame.iter_mut().zip(played) {
            *sample = value;
        }
        state.tap(|tap| tap.inbound.extend(frame));
        (count > 0).then_some(frame)
    }

    /// 20 ms to the person.
    pub(crate) fn hear_frame(&self, frame: &[i16; FRAME_SAMPLES]) {
        let mut state = self.state();
        state.ears.extend_from_slice(frame);
        state.tap(|tap| tap.outbound.extend(frame));
    }

    /// Somebody listens to both directions from outside, as long as the tap lives.
    pub(crate) fn put_tap(&self) -> Arc<Mutex<Tap>> {
        let tap = Arc::new(Mutex::new(Tap::default()));
        self.state().taps.push(Arc::downgrade(&tap));
        tap
    }
}

impl LineState {
    fn next(&mut self, wanted: Wanted, is_their_turn: bool) -> Option<Act> {
        while let Some(act) = self.live.pop_front() {
            if wanted.is(&act) {
                return Some(act);
            }
            self.missed.push(act);
        }
        let planned = self.pending.front().filter(|act| wanted.is(act));
        if is_their_turn && planned.is_some() {
            return self.pending.pop_front();
        }
        None
    }

    fn tap(&mut self, with: impl Fn(&mut Tap)) {
        self.taps.retain(|tap| match tap.upgrade() {
            Some(tap) => {
                with(&mut lock(&tap));
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_speech_is_never_far_behind_and_leaves_a_file_alone() {
        let line = Line::new(Arc::new(Pulse::new()));
        for n in 0..100 {
            line.talk(&[n; FRAME_SAMPLES]);
        }
        let frame = line.frame().unwrap();
        assert_eq!(frame[0], 90, "what is older than 200 ms is lost");
        let line = Line::new(Arc::new(Pulse::new()));
        line.play(&[7; 4_000]);
        line.talk(&[1; FRAME_SAMPLES]);
        for _ in 0..25 {
            assert_eq!(line.frame(), Some([7; FRAME_SAMPLES]));
        }
        assert_eq!(line.frame(), None);
    }
}
