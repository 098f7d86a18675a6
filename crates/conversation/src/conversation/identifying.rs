//! The question for a PIN, before the conversation begins. The rules are [`crate::pin`]'s; here they
//! are spoken and heard.
//!
//! Until the PIN was right nothing the caller says reaches the model, and none of it is shown.

use switchhook_model::Digit;

use super::mouth::ReplyClock;
use super::{Conversation, HumanWish, Mode};
use crate::io::{EndReason, Output, PinAnswer, Turn};
use crate::pin::{PinCheck, Verdict};

/// In the transcript, in place of what may be a PIN.
const HIDDEN: &str = "•••";

impl Conversation {
    /// Whether the caller still has to give a PIN, and the conversation has not begun.
    pub fn is_identifying(&self) -> bool {
        self.pin.as_ref().is_some_and(|pin| !pin.is_known())
    }

    /// Whether a PIN is what is being listened for: keys come in a row, ended by `#`.
    pub fn asks_for_pin(&self) -> bool {
        matches!(self.mode, Mode::Conversing) && self.pin.as_ref().is_some_and(PinCheck::is_asking)
    }

    /// Whether a PIN is being looked up.
    pub(super) fn checks_pin(&self) -> bool {
        self.is_identifying() && matches!(self.mode, Mode::Conversing) && !self.asks_for_pin()
    }

    /// The question, or what is to be said instead. False if none is to be asked.
    pub(super) fn ask_for_pin(&mut self) -> bool {
        let Some(pin) = self.pin.as_mut().filter(|pin| !pin.is_known()) else {
            return false;
        };
        pin.ask_again();
        self.speak_of_pin();
        true
    }

    fn speak_of_pin(&mut self) {
        let texts = self.config.pin.as_ref().map(|rules| &rules.texts);
        let words = self.pin.as_ref().zip(texts);
        if let Some(words) = words.and_then(|(pin, texts)| pin.to_say(texts)) {
            self.speak_fixed(&words, None);
        }
    }

    pub(super) fn pin_key(&mut self, key: Digit) {
        // Whoever presses keys has heard the question.
        self.silence_ordered();
        self.idle_since = Some(self.now);
        let verdict = self.pin.as_mut().and_then(|pin| pin.key(key));
        self.pin_verdict(verdict);
    }

    pub(super) fn pin_said(&mut self, turn: Turn) {
        let said = turn.text.clone();
        self.finish_cut_if_dropped();
        self.close_finished_groups();
        self.emit_turn(Turn {
            text: HIDDEN.to_owned(),
            ..turn
        });
        self.rest();
        if self.asks_for_pin() {
            self.silence_ordered();
            let phrases = &self.phrases;
            let verdict = self.pin.as_mut().and_then(|pin| pin.speech(&said, phrases));
            self.pin_verdict(verdict);
        }
    }

    /// Neither speech nor keys, or keys without an end.
    pub(super) fn pin_silence(&mut self) {
        self.idle_since = None;
        let verdict = self.pin.as_mut().and_then(PinCheck::nothing);
        self.pin_verdict(verdict);
    }

    /// Whether keys were pressed whose end is awaited.
    pub(super) fn has_pin_keys(&self) -> bool {
        self.pin.as_ref().is_some_and(PinCheck::has_keys)
    }

    /// The account holder's answer to [`Output::CheckPin`].
    pub(super) fn pin_checked(&mut self, answer: PinAnswer) {
        let Some(pin) = &mut self.pin else { return };
        if pin.is_known() || pin.is_asking() {
            return;
        }
        let verdict = match answer {
            PinAnswer::Accepted { name, account } => {
                pin.accepted(name.as_deref());
                if pin.is_known() {
                    self.greet_known(name.as_deref(), &account);
                }
                return;
            }
            PinAnswer::Refused { tries_left } => pin.refused(tries_left),
            PinAnswer::Locked => pin.locked(),
            PinAnswer::Unavailable => pin.unavailable(),
        };
        self.pin_verdict(verdict);
    }

    fn greet_known(&mut self, name: Option<&str>, account: &str) {
        let note = match name {
            Some(name) => {
                format!("The caller gave the right PIN: it is {name}, account {account}.")
            }
            None => format!("The caller gave the right PIN of account {account}."),
        };
        self.history.add_note(&note);
        self.rest();
        self.speak_of_pin();
    }

    /// The process that looked a PIN up is gone: the caller is asked again.
    pub(super) fn pin_lost(&mut self) {
        if self.checks_pin() {
            let verdict = self.pin.as_mut().and_then(PinCheck::unavailable);
            self.pin_verdict(verdict);
        }
    }

    fn pin_verdict(&mut self, verdict: Option<Verdict>) {
        match verdict {
            None => {}
            Some(Verdict::NotAPin | Verdict::Wrong) => self.speak_of_pin(),
            Some(Verdict::Try(pin)) => {
                self.idle_since = None;
                self.out.push(Output::CheckPin { pin });
            }
            Some(Verdict::Human(wish)) => {
                self.silence_ordered();
                let wish = HumanWish {
                    department: wish.department,
                    target: wish.extension,
                    reason: "the caller asked for a human and gave no PIN".to_owned(),
                    summary: String::new(),
                };
                self.ask_for_human(wish, None);
            }
            Some(Verdict::Locked | Verdict::GiveUp) => {
                let texts = self.config.pin.as_ref().map(|rules| &rules.texts);
                let words = self.pin.as_ref().zip(texts);
                let words = words.and_then(|(pin, texts)| pin.to_say(texts));
                self.say_goodbye(
                    EndReason::NotIdentified,
                    words,
                    Some(ReplyClock::none(self.now)),
                );
            }
        }
    }
}
