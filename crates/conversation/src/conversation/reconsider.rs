//! Going on after the process that held the conversation is gone: what only it knew is dealt with.
//!
//! The carrier, the store and call control outlive a process; a reply being streamed, a transcript
//! under way, the end of a running utterance and an answer of a tool do not. The machine's own
//! deadlines would deal with all of them in time; the caller should not have to wait for that.

use std::time::Duration;

use switchhook_model::{ChatMessage, ChatRole, Timestamp};

use super::Conversation;
use super::answering::Stage;
use super::ear::Recognition;
use crate::io::Output;

/// What the model reads where the answer of a tool was lost.
const RESULT_UNKNOWN: &str = r#"{"status":"unknown","error":"it is not known whether this was carried out: do not do it again unless the caller asks for it"}"#;

impl Conversation {
    /// Deals with what only the dead process knew, after [`Self::restore`]:
    ///
    /// - A reply being thought is asked for again, with the same messages and a new number; what is
    ///   still to come of the old one is late. Where a part of it was spoken already, the model is
    ///   told so and asked for the rest.
    /// - A running tool is not carried out twice: the model is told that nobody knows its result.
    /// - Utterances without a transcript count as failed.
    ///
    /// The mouth is left alone: a carrier that speaks whole documents goes on speaking
    /// ([`crate::documents`] knows what it said). Where the audio is gone too,
    /// [`Self::audio_lost`] comes first.
    pub fn reconsider(&mut self, now: Timestamp) -> Vec<Output> {
        let last_sign = self.now;
        self.now = self.now.max(now);
        let lost = self.answer.as_ref().map(|answer| answer.request);
        self.end_lost_speech(last_sign);
        self.fail_lost_transcripts();
        self.pin_lost();
        // What the caller said may have led to another thought, which is in nobody's hands yet.
        if let Some(answer) = &self.answer
            && Some(answer.request) == lost
        {
            match &answer.stage {
                Stage::Streaming { .. } => self.ask_again(),
                Stage::Tools { .. } => self.tools_given_up(RESULT_UNKNOWN),
            }
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// The audio path broke and everything queued in it is gone. What was not heard, by the last
    /// progress that was reported, is queued again under new numbers. Fillers are not.
    pub fn audio_lost(&mut self, now: Timestamp) -> Vec<Output> {
        self.now = self.now.max(now);
        // The exact position of an earlier cut will not be reported any more.
        self.finish_cut_if_dropped();
        if !self.mouth.queue.is_empty() {
            self.out.push(Output::StopPlayout);
        }
        for item in std::mem::take(&mut self.mouth.queue) {
            if item.withdrawn {
                self.item_over(&item);
                if let Some(group) = self.mouth.group_of(&item) {
                    group.interrupted |= group.lost;
                }
            } else {
                self.take_up(item);
            }
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// The end of running speech will not be reported. In a message it counts up to the last sign
    /// of life.
    fn end_lost_speech(&mut self, last_sign: Timestamp) {
        let Some(run) = self.ear.run else {
            return;
        };
        if !run.ignored {
            self.message_speech_ended(run.since, last_sign);
        }
        self.give_up_speech();
    }

    fn fail_lost_transcripts(&mut self) {
        let waiting: Vec<u32> = self
            .ear
            .utterances
            .iter()
            .filter(|u| u.recognition == Recognition::Waiting)
            .map(|u| u.id)
            .collect();
        for utterance in waiting {
            self.out.push(Output::DropUtterance { utterance });
            self.transcript(utterance, Err("the process ended".to_owned()));
        }
    }

    /// The reply that was streaming is lost: it is asked for under a new number, so that what may
    /// still come of the old one is late.
    fn ask_again(&mut self) {
        let Some(answer) = &self.answer else {
            return;
        };
        let spoken = answer.spoken;
        if !spoken {
            self.count_round_time();
        }
        let filler_at = self.now + Duration::from_millis(self.config.timing.filler_after_ms);
        let request = self.take_request();
        if let Some(answer) = &mut self.answer
            && !spoken
        {
            answer.chars = 0;
            answer.filler_at.get_or_insert(filler_at);
        }
        if spoken {
            self.ask_model_for_the_rest(request);
        } else {
            self.ask_model(request);
        }
    }

    /// The same for a reply that broke off when a part of it was spoken. Some models refuse a
    /// history that ends with their own words, so those are told them as an instruction.
    fn ask_model_for_the_rest(&mut self, request: u32) {
        self.finish_cut_if_dropped();
        let mut instructions = self.instructions();
        let mut history = self.history.render();
        if let Some(said) =
            history.pop_if(|last| last.role == ChatRole::Assistant && last.tool_calls.is_empty())
        {
            instructions.push_str(
                "\n\nYour answer broke off after these words, which the caller knows: \"",
            );
            instructions.push_str(&said.content);
            instructions.push_str("\". Go on after them, without repeating them.");
        }
        let mut messages = vec![ChatMessage::system(instructions)];
        messages.extend(history);
        self.ask_model_with(request, messages);
    }
}
