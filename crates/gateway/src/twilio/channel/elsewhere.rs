//! Somebody else's assistant talks to the party we call: the carrier dials it and connects both. Of
//! what they say nothing is known here; the call itself, its transfers and its end stay ours.

use switchhook_call::{AssistantEnd, Event};
use switchhook_conversation::{Conversation, Input};
use switchhook_model::Timestamp;

use super::{Channel, DialEnd, Program};

impl Channel {
    /// Whether the assistant of this call is somebody else's.
    pub(super) fn talks_elsewhere(&self) -> bool {
        self.rules.elsewhere && self.is_outbound() && !self.state.simulated
    }

    pub(super) fn begin_elsewhere(&mut self) {
        self.state.with_other = true;
    }

    /// A sentence of the call has to be said by us.
    pub(super) fn speak_ourselves(&mut self, now: Timestamp) {
        if self.talks_elsewhere() && !self.is_talking() {
            self.begin_talk(now);
        }
    }

    /// The other assistant goes on as soon as our words were said.
    pub(super) fn resume_elsewhere(&mut self, now: Timestamp) {
        self.state.with_other = true;
        self.talk_input(now, Input::Pause);
    }

    /// Whether the carrier is to connect the other assistant now.
    pub(super) fn elsewhere_program(&mut self) -> Option<Program> {
        let has_words = self.state.documents.has_words()
            || self.talk.as_ref().is_some_and(Conversation::is_speaking);
        (self.state.with_other && !has_words).then_some(Program::Elsewhere)
    }

    /// The connection with the other assistant is over.
    pub(super) fn left_other(&mut self, end: &DialEnd) {
        if !std::mem::take(&mut self.state.with_other) {
            return;
        }
        let talked = end.bridged.unwrap_or(end.answered);
        let reason = if talked {
            AssistantEnd::Goodbye
        } else {
            let cause = end.cause;
            let id = self.call.id();
            tracing::error!(call.id = %id, ?cause, sip_status = end.sip_status, "the other assistant did not answer");
            AssistantEnd::Errors
        };
        self.queue.push_back(Event::AssistantEnded { reason });
    }
}
