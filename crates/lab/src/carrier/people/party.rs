//! A person's handle in a test: says, presses, plays, hangs up, and waits for what is heard.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Act, Ended, Heard, Line};
use crate::audio::wav::{self, WavError};
use crate::audio::{Audio, PHONE_RATE_HZ};
use crate::carrier::log::CarrierError;

/// How sure the recogniser is of what people say, unless told otherwise.
const CONFIDENCE: f64 = 0.93;

/// Somebody on a line: a caller, or whoever answered a phone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Party {
    line: Arc<Line>,
    call_sid: String,
}

impl Party {
    pub(in crate::carrier) fn new(line: Arc<Line>, call_sid: &str) -> Self {
        Self {
            line,
            call_sid: call_sid.to_owned(),
        }
    }

    /// `CA…` of this person's leg.
    pub fn call_sid(&self) -> &str {
        &self.call_sid
    }

    /// Says something as soon as it is this person's turn: a Gather has spoken its prompt, a
    /// recording runs, somebody is on the bridge. Several are said one after the other, one for each
    /// Gather.
    ///
    /// Over a media stream words wait for what comes after it: play audio there
    /// ([`Party::plays_audio`]). What is planned is dropped by a hang-up.
    pub fn says(&self, text: &str) -> &Self {
        self.says_surely(text, CONFIDENCE)
    }

    /// The same with the recogniser's confidence, 0.0 to 1.0.
    pub fn says_surely(&self, text: &str, confidence: f64) -> &Self {
        let text = text.to_owned();
        self.plan([Act::Says { text, confidence }])
    }

    /// Says something at once, also into a prompt. Lost if nobody listens ([`Party::missed`]).
    pub fn interrupts(&self, text: &str) -> &Self {
        self.line.act_now(Act::Says {
            text: text.to_owned(),
            confidence: CONFIDENCE,
        });
        self
    }

    /// Presses keys as soon as it is this person's turn.
    pub fn presses(&self, digits: &str) -> &Self {
        self.plan(digits.chars().map(Act::Presses))
    }

    /// Presses keys at once, also into a prompt. Lost if nobody listens.
    pub fn presses_now(&self, digits: &str) -> &Self {
        for digit in digits.chars() {
            self.line.act_now(Act::Presses(digit));
        }
        self
    }

    /// Each time `trigger` is heard (letter case ignored), says `text` in turn.
    pub fn when_hears_says(&self, trigger: &str, text: &str) -> &Self {
        let act = Act::Says {
            text: text.to_owned(),
            confidence: CONFIDENCE,
        };
        self.rule(trigger, vec![act], false)
    }

    /// Each time `trigger` is heard, presses keys in turn.
    pub fn when_hears_presses(&self, trigger: &str, digits: &str) -> &Self {
        self.rule(trigger, digits.chars().map(Act::Presses).collect(), false)
    }

    /// Hangs up when `trigger` is heard.
    pub fn when_hears_hangs_up(&self, trigger: &str) -> &Self {
        self.rule(trigger, Vec::new(), true)
    }

    /// Will say nothing more: whoever listens need not be patient with the test.
    pub fn stays_silent(&self) -> &Self {
        self.line.state().silent = true;
        self.line.pulse.beat();
        self
    }

    /// Plays samples of 8 kHz, behind what is being played.
    pub fn plays(&self, samples: &[i16]) -> &Self {
        self.line.play(samples);
        self
    }

    /// Plays some audio of 8 kHz.
    ///
    /// # Panics
    /// If it has another rate.
    pub fn plays_audio(&self, audio: &Audio) -> &Self {
        assert_eq!(audio.rate_hz, PHONE_RATE_HZ, "a telephone has 8 kHz");
        self.plays(&audio.samples)
    }

    /// Plays a WAV file, brought to 8 kHz.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn plays_wav(&self, path: &Path) -> Result<&Self, WavError> {
        let audio = wav::read_phone(path)?;
        Ok(self.plays_audio(&audio))
    }

    /// Hangs up.
    pub fn hangs_up(&self) -> &Self {
        self.line.state().hung_up = true;
        self.line.pulse.beat();
        self
    }

    /// Everything heard so far, in order.
    pub fn heard(&self) -> Vec<Heard> {
        self.line.state().heard.clone()
    }

    /// The words heard so far, in order.
    pub fn transcript(&self) -> Vec<String> {
        let heard = self.heard();
        let words = heard
            .iter()
            .filter(|h| matches!(h, Heard::Said { .. } | Heard::Voice { .. }));
        words.map(|h| h.text().to_owned()).collect()
    }

    /// The audio heard so far: what came over a stream, a bridge or a conference, silence included,
    /// from the moment it was connected.
    pub fn audio(&self) -> Audio {
        Audio::phone(self.line.state().ears.clone())
    }

    /// The audio heard from this sample on: cheap, for whoever passes it on.
    pub fn audio_since(&self, sample: usize) -> Vec<i16> {
        let state = self.line.state();
        state.ears.get(sample..).unwrap_or_default().to_vec()
    }

    /// What a machine recorded: the words that began after its beep.
    pub fn after_beep(&self) -> Vec<String> {
        let heard = self.heard();
        let beep = heard.iter().position(|h| *h == Heard::Beep);
        let after = beep.map_or(&[][..], |at| &heard[at + 1..]);
        let words = after
            .iter()
            .filter(|h| matches!(h, Heard::Said { .. } | Heard::Voice { .. }));
        words.map(|h| h.text().to_owned()).collect()
    }

    /// What was said or pressed at once while nobody listened.
    pub fn missed(&self) -> Vec<String> {
        let state = self.line.state();
        let text = |act: &Act| match act {
            Act::Says { text, .. } => text.clone(),
            Act::Presses(digit) => digit.to_string(),
        };
        state.missed.iter().map(text).collect()
    }

    /// Whether anything planned with [`Party::says`] or [`Party::presses`] was not taken yet.
    pub fn has_more_to_say(&self) -> bool {
        !self.line.state().pending.is_empty()
    }

    /// Whether the line is over.
    pub fn is_over(&self) -> bool {
        self.line.state().ended.is_some()
    }

    /// Waits until something with `text` in it is heard (letter case ignored), and gives it. Each
    /// wait looks behind what the one before it found.
    ///
    /// # Errors
    /// If it is not heard within `limit` (wall time); the error shows what was.
    pub async fn until_hears(&self, text: &str, limit: Duration) -> Result<Heard, CarrierError> {
        let wanted = text.to_lowercase();
        let look = || {
            let mut state = self.line.state();
            let from = state.looked;
            let at = state.heard[from..]
                .iter()
                .position(|h| h.text().to_lowercase().contains(&wanted))?;
            state.looked = from + at + 1;
            state.heard.get(from + at).cloned()
        };
        self.wait(&format!("{text:?} to be heard"), limit, look)
            .await
    }

    /// Waits until the ringing tone of a Dial is heard, behind what the wait before it found.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub async fn until_rings(&self, limit: Duration) -> Result<(), CarrierError> {
        let look = || {
            let mut state = self.line.state();
            let from = state.looked;
            let at = state.heard[from..]
                .iter()
                .position(|h| *h == Heard::Ringing)?;
            state.looked = from + at + 1;
            Some(())
        };
        self.wait("the ringing tone", limit, look).await
    }

    /// Waits until the call is answered.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub async fn until_answered(&self, limit: Duration) -> Result<(), CarrierError> {
        let look = || self.line.state().answered.then_some(());
        self.wait("the answer", limit, look).await
    }

    /// Waits until somebody listens: a Gather, a recording, a stream, a bridge.
    ///
    /// # Errors
    /// If nobody does within `limit`.
    pub async fn until_listened_to(&self, limit: Duration) -> Result<(), CarrierError> {
        let look = || self.line.is_listened_to().then_some(());
        self.wait("somebody to listen", limit, look).await
    }

    /// Waits until the line is over, and says how.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub async fn ended(&self, limit: Duration) -> Result<Ended, CarrierError> {
        let look = || self.line.state().ended.clone();
        self.wait("the end of the call", limit, look).await
    }

    /// Waits until the audio heard satisfies a test.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub async fn until_audio(
        &self,
        what: &str,
        limit: Duration,
        matches: impl Fn(&Audio) -> bool,
    ) -> Result<Audio, CarrierError> {
        let deadline = Instant::now() + limit;
        loop {
            let audio = self.audio();
            if matches(&audio) {
                return Ok(audio);
            }
            if Instant::now() >= deadline {
                return Err(self.in_vain(what, limit));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn plan(&self, acts: impl IntoIterator<Item = Act>) -> &Self {
        self.line.state().pending.extend(acts);
        self.line.pulse.beat();
        self
    }

    fn rule(&self, trigger: &str, acts: Vec<Act>, hangs_up: bool) -> &Self {
        let rule = (trigger.to_lowercase(), acts, hangs_up);
        self.line.state().rules.push(rule);
        self
    }

    async fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        look: impl FnMut() -> Option<T>,
    ) -> Result<T, CarrierError> {
        let deadline = Instant::now() + limit;
        let found = self.line.pulse.until(deadline, look).await;
        found.ok_or_else(|| self.in_vain(what, limit))
    }

    fn in_vain(&self, what: &str, limit: Duration) -> CarrierError {
        let state = self.line.state();
        CarrierError {
            what: format!("{what} on {}", self.call_sid),
            limit,
            seen: format!("heard {:?}, ended: {:?}", state.heard, state.ended),
        }
    }
}
