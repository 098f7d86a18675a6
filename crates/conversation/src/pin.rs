//! Who is calling: a PIN by keypad or voice, before the conversation begins.
//!
//! What belongs here: when to ask, what counts as a PIN, how often, and what is said meanwhile.
//! What does not: hashes, accounts and locks. A PIN leaves as [`Verdict::Try`]; whoever holds the
//! accounts answers with [`PinCheck::accepted`], [`PinCheck::refused`], [`PinCheck::locked`] or
//! [`PinCheck::unavailable`]. Nothing here is ever shown or stored that tells a digit.

mod spoken;
mod texts;

use std::fmt;

use serde::{Deserialize, Serialize};
use switchhook_model::{Digit, Language};

use crate::intent::{Matcher, TransferWish};

pub use spoken::spoken_digits;
pub use texts::{PinText, PinTexts};

/// A PIN has four to six digits.
pub const MIN_DIGITS: usize = 4;
pub const MAX_DIGITS: usize = 6;
/// A name longer than this is cut before it is spoken.
const MAX_NAME_CHARS: usize = 60;

/// Four to six digits. It has no serialised form and no `Debug` of its content, on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// None unless these are four to six ASCII digits.
    pub fn new(digits: &str) -> Option<Self> {
        let is_pin = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit());
        is_pin.then(|| Self(digits.to_owned()))
    }

    /// The digits, for whoever compares them with a hash.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(·)")
    }
}

/// How often, and what callers without a PIN may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PinConfig {
    /// PINs tried within one call. The bounds per account and number are the account holder's.
    pub max_tries: u32,
    /// Turns within one call without a PIN: silence, or something else than four to six digits.
    pub max_misses: u32,
    /// Whether callers without a PIN may ask for a human, by phrase or with key `0`.
    pub human_without_pin: bool,
}

impl Default for PinConfig {
    fn default() -> Self {
        Self {
            max_tries: 3,
            max_misses: 3,
            human_without_pin: true,
        }
    }
}

/// What follows from the caller's turn. What is to be said is [`PinCheck::to_say`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Silence, or something else than four to six digits: ask again.
    NotAPin,
    /// Look this PIN up, and answer.
    Try(Pin),
    /// It was refused: ask again.
    Wrong,
    /// The caller wants a human, and may.
    Human(TransferWish),
    /// No further attempt: too many wrong ones.
    Locked,
    /// The bound is reached without a PIN, or the caller said goodbye: end the call.
    GiveUp,
}

/// One call's question for a PIN. Stored with the call; keys of an entry that is not complete yet
/// are not stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct PinCheck {
    language: Language,
    config: PinConfig,
    stage: Stage,
    tries: u32,
    misses: u32,
    #[serde(skip)]
    keys: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// After this text.
    Asking(PinText),
    /// A PIN is being looked up.
    Checking,
    Known {
        name: Option<String>,
    },
    Human,
    Locked,
    GivenUp,
}

impl PinCheck {
    /// Nothing asked yet: [`Self::to_say`] is the question.
    pub fn new(language: Language, config: PinConfig) -> Self {
        Self {
            language,
            config,
            stage: Stage::Asking(PinText::Prompt),
            tries: 0,
            misses: 0,
            keys: String::new(),
        }
    }

    /// One key. `#` ends the entry, `*` begins it anew. None while more keys may come, and when
    /// nothing is being asked.
    pub fn key(&mut self, key: Digit) -> Option<Verdict> {
        if !self.is_asking() {
            return self.end();
        }
        match key.as_char() {
            '#' => Some(self.entry()),
            '*' => {
                self.keys.clear();
                None
            }
            digit if digit.is_ascii_digit() => {
                // One more than a PIN has tells that it is none.
                if self.keys.len() <= MAX_DIGITS {
                    self.keys.push(digit);
                }
                None
            }
            _ => None,
        }
    }

    /// A whole entry, as carriers hand it back, with its `#` or without. None when nothing is being
    /// asked.
    pub fn keys(&mut self, keys: &str) -> Option<Verdict> {
        for digit in keys.chars().filter_map(|key| Digit::try_from(key).ok()) {
            if let Some(verdict) = self.key(digit) {
                return Some(verdict);
            }
        }
        self.nothing()
    }

    /// The caller said something. None when nothing is being asked.
    pub fn speech(&mut self, text: &str, phrases: &Matcher) -> Option<Verdict> {
        if !self.is_asking() {
            return self.end();
        }
        self.keys.clear();
        let wish = phrases
            .transfer(text)
            .or_else(|| spoken::is_spoken_zero(text, self.language).then(TransferWish::default));
        Some(match wish {
            Some(wish) if self.config.human_without_pin => self.human(wish),
            // "Extension 2001" is no PIN either.
            Some(_) => self.miss(PinText::NotAPin),
            None if phrases.is_exit(text) => self.give_up(),
            None => match spoken_digits(text, self.language).and_then(|digits| Pin::new(&digits)) {
                Some(pin) => self.attempt(pin),
                None => self.miss(PinText::NotAPin),
            },
        })
    }

    /// The time for an answer is over. Keys that were pressed until then are the entry. None when
    /// nothing is being asked.
    pub fn nothing(&mut self) -> Option<Verdict> {
        if !self.is_asking() {
            return self.end();
        }
        Some(if self.keys.is_empty() {
            self.miss(PinText::NothingHeard)
        } else {
            self.entry()
        })
    }

    /// The PIN was right. `name` is how the caller is greeted.
    pub fn accepted(&mut self, name: Option<&str>) {
        if self.stage == Stage::Checking {
            let name = name.map(clean_name).filter(|name| !name.is_empty());
            self.stage = Stage::Known { name };
        }
    }

    /// Nobody has this PIN. `tries_left` is what the account holder still allows for the number or
    /// the account. None if no PIN was being looked up.
    pub fn refused(&mut self, tries_left: u32) -> Option<Verdict> {
        if self.stage != Stage::Checking {
            return None;
        }
        if tries_left == 0 || self.tries >= self.config.max_tries {
            return self.locked();
        }
        self.stage = Stage::Asking(PinText::Wrong);
        Some(Verdict::Wrong)
    }

    /// The number or the account is locked. Possible at any time before the PIN was right.
    pub fn locked(&mut self) -> Option<Verdict> {
        match self.stage {
            Stage::Asking(_) | Stage::Checking | Stage::Human | Stage::Locked => {
                self.keys.clear();
                self.stage = Stage::Locked;
                Some(Verdict::Locked)
            }
            Stage::Known { .. } | Stage::GivenUp => None,
        }
    }

    /// The PIN could not be looked up. It counts as a turn without one, not as a wrong one. None if
    /// no PIN was being looked up.
    pub fn unavailable(&mut self) -> Option<Verdict> {
        if self.stage != Stage::Checking {
            return None;
        }
        self.tries = self.tries.saturating_sub(1);
        Some(self.miss(PinText::Trouble))
    }

    /// The caller is back from the wish for a human: the question again, within the same bounds.
    pub fn ask_again(&mut self) {
        if self.stage == Stage::Human {
            self.stage = Stage::Asking(PinText::Prompt);
        }
    }

    /// Whether the caller gave a right PIN.
    pub fn is_known(&self) -> bool {
        matches!(self.stage, Stage::Known { .. })
    }

    /// Whether the caller is being asked for a PIN.
    pub fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking(_))
    }

    /// Whether keys were pressed whose end is awaited.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What to say now, as a key. None while a PIN is being looked up and after a wish for a human.
    pub fn text(&self) -> Option<PinText> {
        match &self.stage {
            Stage::Asking(text) => Some(*text),
            Stage::Checking | Stage::Human => None,
            Stage::Known { name: Some(_) } => Some(PinText::Welcome),
            Stage::Known { name: None } => Some(PinText::WelcomeUnnamed),
            Stage::Locked => Some(PinText::Locked),
            Stage::GivenUp => Some(PinText::GiveUp),
        }
    }

    /// What to say now, in words.
    pub fn to_say(&self, texts: &PinTexts) -> Option<String> {
        let mut words = texts.get(self.text()?).to_owned();
        match &self.stage {
            Stage::Known { name: Some(name) } => words = words.replace("{name}", name),
            Stage::Asking(_) if self.config.human_without_pin => {
                words.push(' ');
                words.push_str(&texts.human);
            }
            Stage::Asking(_)
            | Stage::Checking
            | Stage::Known { name: None }
            | Stage::Human
            | Stage::Locked
            | Stage::GivenUp => {}
        }
        Some(words)
    }

    /// The pressed keys are all there are.
    fn entry(&mut self) -> Verdict {
        let keys = std::mem::take(&mut self.keys);
        if keys == "0" && self.config.human_without_pin {
            return self.human(TransferWish::default());
        }
        match Pin::new(&keys) {
            Some(pin) => self.attempt(pin),
            None if keys.is_empty() => self.miss(PinText::NothingHeard),
            None => self.miss(PinText::NotAPin),
        }
    }

    fn attempt(&mut self, pin: Pin) -> Verdict {
        self.tries = self.tries.saturating_add(1);
        self.stage = Stage::Checking;
        Verdict::Try(pin)
    }

    fn miss(&mut self, text: PinText) -> Verdict {
        self.misses = self.misses.saturating_add(1);
        if self.misses >= self.config.max_misses {
            return self.give_up();
        }
        self.stage = Stage::Asking(text);
        Verdict::NotAPin
    }

    fn human(&mut self, wish: TransferWish) -> Verdict {
        self.stage = Stage::Human;
        Verdict::Human(wish)
    }

    fn give_up(&mut self) -> Verdict {
        self.stage = Stage::GivenUp;
        Verdict::GiveUp
    }

    /// What is late after the end is told the end again.
    fn end(&self) -> Option<Verdict> {
        match &self.stage {
            Stage::Locked => Some(Verdict::Locked),
            Stage::GivenUp => Some(Verdict::GiveUp),
            Stage::Asking(_) | Stage::Checking | Stage::Known { .. } | Stage::Human => None,
        }
    }
}

impl fmt::Debug for PinCheck {
    /// Hides keys and the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinCheck")
            .field("says", &self.text())
            .field("tries", &self.tries)
            .field("misses", &self.misses)
            .finish_non_exhaustive()
    }
}

/// A name on one line, of a length that can be listened to.
fn clean_name(name: &str) -> String {
    let words: Vec<&str> = name
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(MAX_NAME_CHARS).collect()
}
