//! What can be asked of a conversation from outside. Nothing here changes it.

use std::fmt;

use super::message::MessageTaking;
use super::{Conversation, Mode, TurnState};

impl Conversation {
    /// Whether anything is queued for or in playout: the barge-in threshold depends on it.
    pub fn is_speaking(&self) -> bool {
        !self.mouth.queue.is_empty()
    }

    /// Whether the conversation is stopped and owes nothing any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.mode, Mode::Stopped { message: None })
    }

    /// Whether the model, of its own accord, is taking a message, also after the caller has gone.
    pub fn takes_own_message(&self) -> bool {
        self.message().is_some_and(MessageTaking::origin_is_tool)
    }

    /// Whether a reply is being thought, or its tools are being carried out.
    pub fn is_thinking(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether it is the caller's go once everything queued is heard: nothing is being thought or
    /// transcribed any more. Of a channel whose carrier listens only when told to.
    pub fn wants_to_listen(&self) -> bool {
        matches!(self.mode, Mode::Conversing)
            && self.answer.is_none()
            && !self.ear.is_busy()
            && !self.checks_pin()
    }

    /// How long the caller may be silent from the end of what is queued, before they are asked
    /// whether they are still there. Where nothing is queued and they have been silent already,
    /// the rest of that time, but at least a second.
    pub fn silence_allowed_ms(&self) -> u64 {
        let allowed = self.config.bounds.silence_ms;
        match self.idle_since {
            Some(since) => allowed
                .saturating_sub(self.now.millis_since(since))
                .max(1_000),
            None => allowed,
        }
    }

    /// Whether the caller may speak over a queued item, as things stand.
    pub fn may_be_interrupted(&self, item: u32) -> bool {
        matches!(self.mode, Mode::Conversing)
            && self.config.barge_in
            && self
                .mouth
                .queue
                .iter()
                .any(|queued| queued.id == item && queued.kind.is_interruptible())
    }

    /// What an observer sees.
    pub fn turn_state(&self) -> TurnState {
        match &self.mode {
            Mode::TakingMessage(_) => TurnState::TakingMessage,
            Mode::New | Mode::Paused | Mode::Ended | Mode::Stopped { .. } => TurnState::Inactive,
            Mode::Conversing | Mode::Handover { .. } | Mode::Ending { .. } => {
                if self.is_speaking() {
                    TurnState::Speaking
                } else if self.ear.waits_for_transcript() {
                    TurnState::Transcribing
                } else if self.answer.is_some() {
                    TurnState::Thinking
                } else {
                    TurnState::Listening
                }
            }
        }
    }
}

impl fmt::Debug for Conversation {
    /// Hides every word that was spoken.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("turn_state", &self.turn_state())
            .field("turns", &self.turns)
            .field("queued", &self.mouth.queue.len())
            .finish_non_exhaustive()
    }
}
