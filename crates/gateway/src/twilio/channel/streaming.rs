//! A conversation over the carrier's media stream: ears and mouth are ours, beside the webhooks.
//!
//! The stream comes and goes: the carrier connects it when the program says so, drops it with the
//! network, and comes for the next program when it is closed. What was not heard when it went is said
//! again when it is back.

use switchhook_conversation::{Conversation, Input, Output};
use switchhook_model::Timestamp;

use super::{Channel, Effect, Stage};

impl Channel {
    /// Whether the stream of the program of this number is waited for. Each is taken once.
    pub fn may_stream(&self, program: u32) -> bool {
        self.state.stage == Stage::Streaming
            && self.state.given == program
            && !self.line_up
            && !self.state.had_stream
            && !self.call.is_ended()
    }

    /// It stands. What the conversation had to say meanwhile is said now.
    pub fn stream_up(&mut self, now: Timestamp) {
        self.line_up = true;
        self.state.had_stream = true;
        self.state.leaves_stream = false;
        if let Some(talk) = &mut self.talk {
            let outputs = talk.audio_lost(now);
            self.carry_out(now, outputs);
        }
        self.heard_of(now);
        self.run(now);
    }

    /// That of the program of this number is gone; the carrier comes for the next one, or the caller has
    /// hung up.
    pub fn stream_down(&mut self, now: Timestamp, program: u32) {
        if self.state.given != program {
            return;
        }
        self.line_up = false;
        self.voice.clear();
        self.run(now);
    }

    /// The stream stands at another node, which does not know what this one knows: the carrier is to
    /// come, and connect another one.
    pub fn leave_foreign_stream(&mut self) {
        let is_foreign = self.state.stage == Stage::Streaming
            && self.state.had_stream
            && !self.state.in_hand
            && !self.line_up;
        if !is_foreign || self.state.is_fetched || self.call.is_ended() {
            return;
        }
        self.state.is_fetched = true;
        self.is_touched = true;
        let sid = self.state.caller_sid.clone();
        self.done.effects.push(Effect::Fetch { sid });
    }

    /// Whether ears and mouth are connected.
    pub fn has_stream(&self) -> bool {
        self.line_up
    }

    /// Whether the assistant says something.
    pub fn is_speaking(&self) -> bool {
        self.talk.as_ref().is_some_and(Conversation::is_speaking)
    }

    /// What ears and mouth are to do, in order. The steps these came with are stored.
    pub fn take_voice(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.voice)
    }

    /// Reports of ears and mouth. What they change in the conversation alone is stored with the next
    /// step that changes more: a crash takes the stream with it anyway.
    pub fn listen(&mut self, now: Timestamp, talk: u32, inputs: impl Iterator<Item = Input>) {
        if talk != self.state.talks {
            return;
        }
        for input in inputs {
            self.talk_input(now, input);
        }
        let is_told = !self.queue.is_empty() || self.done.has_news();
        if is_told {
            self.run(now);
        } else {
            self.forget_finished_talk();
            self.leave_stream();
        }
    }

    /// For ears and mouth, while there are some.
    pub(super) fn give_voice(&mut self, output: Output) {
        if self.line_up {
            self.voice.push(output);
        }
    }

    /// Something else is to be done with the leg, and everything was said.
    pub(super) fn leave_stream(&mut self) {
        if self.state.stage != Stage::Streaming || !self.line_up || self.state.leaves_stream {
            return;
        }
        let is_over = self.state.hung_up || self.call.is_ended();
        let is_wanted = self.state.dial.is_some() || self.state.with_other;
        if is_over || (is_wanted && !self.is_speaking()) {
            self.state.leaves_stream = true;
            self.is_touched = true;
            self.done.effects.push(Effect::LeaveStream);
        }
    }
}
