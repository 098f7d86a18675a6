//! Deadlines are computed from the state, never stored beside it.

use std::time::Duration;

use switchhook_model::Timestamp;

use super::answering::Stage;
use super::ear::Recognition;
use super::{Conversation, Mode};
use crate::io::{EndReason, Output};

/// Speech without an end for this long: the gateway lost track of it.
const MAX_SPEECH: Duration = Duration::from_secs(90);
/// Time after the last key of a PIN whose end was not pressed.
const KEYS_MS: u64 = 4_000;
/// No single wake-up fires more deadlines than this: a bug must not hang a call.
const MAX_FIRED: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Filler,
    Thinking,
    Tools,
    Transcript(u32),
    Speech,
    Cut,
    Playout(u32),
    Silence,
    TimeLimit,
    Handover,
    Message,
}

impl Conversation {
    /// When [`crate::Input::Timeout`] is to come, if nothing else comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_due().map(|(at, _)| at)
    }

    fn next_due(&self) -> Option<(Timestamp, Due)> {
        let ms = Duration::from_millis;
        let timing = &self.config.timing;
        let mut next: Option<(Timestamp, Due)> = None;
        let mut consider = |at: Timestamp, due: Due| {
            if next.is_none_or(|(soonest, _)| at < soonest) {
                next = Some((at, due));
            }
        };
        if let Some(answer) = &self.answer {
            match &answer.stage {
                Stage::Streaming { asked_at, .. } => {
                    consider(*asked_at + ms(timing.think_timeout_ms), Due::Thinking);
                }
                Stage::Tools { asked_at, .. } => {
                    consider(*asked_at + ms(timing.tool_timeout_ms), Due::Tools);
                }
            }
            if let Some(at) = answer.filler_at
                && !self.ear.is_busy()
            {
                consider(at, Due::Filler);
            }
        }
        for utterance in &self.ear.utterances {
            if utterance.recognition == Recognition::Waiting {
                consider(
                    utterance.asked_at + ms(timing.transcribe_timeout_ms),
                    Due::Transcript(utterance.id),
                );
            }
        }
        if let Some(run) = self.ear.run {
            consider(run.since + MAX_SPEECH, Due::Speech);
        }
        if let Some(at) = self.mouth.cut.as_ref().and_then(|cut| cut.dropped_until) {
            consider(at, Due::Cut);
        }
        if let Some(front) = self.mouth.queue.front() {
            consider(
                front.sign_at + ms(timing.playout_timeout_ms),
                Due::Playout(front.id),
            );
        }
        match &self.mode {
            Mode::Conversing => {
                if let Some(since) = self.idle_since
                    && !self.ear.is_busy()
                {
                    let silence = if self.has_pin_keys() {
                        KEYS_MS
                    } else {
                        self.config.bounds.silence_ms
                    };
                    consider(since + ms(silence), Due::Silence);
                }
                if let Some(started_at) = self.started_at {
                    let minutes = u64::from(self.config.bounds.max_minutes);
                    consider(
                        started_at + Duration::from_secs(minutes * 60),
                        Due::TimeLimit,
                    );
                }
            }
            Mode::Handover { since } => {
                if self.mouth.is_empty() {
                    let since = self.mouth.free_at.map_or(*since, |free| free.max(*since));
                    consider(since + ms(timing.handover_timeout_ms), Due::Handover);
                }
            }
            Mode::TakingMessage(_) | Mode::Stopped { .. } => {
                if let Some(at) = self.message_deadline() {
                    consider(at, Due::Message);
                }
            }
            Mode::New | Mode::Paused | Mode::Ending { .. } | Mode::Ended => {}
        }
        next
    }

    /// Fires everything that is due by now.
    pub(super) fn fire_due(&mut self) {
        for _ in 0..MAX_FIRED {
            match self.next_due() {
                Some((at, due)) if at <= self.now => self.fire(due),
                Some(_) | None => return,
            }
            self.settle();
        }
    }

    fn fire(&mut self, due: Due) {
        match due {
            Due::Filler => self.speak_filler(),
            Due::Thinking => self.thinking_timed_out(),
            Due::Tools => self.tools_timed_out(),
            Due::Transcript(id) => {
                self.out.push(Output::DropUtterance { utterance: id });
                self.transcript(id, Err("no answer in time".to_owned()));
            }
            Due::Speech => self.give_up_speech(),
            Due::Cut => self.finish_cut(),
            Due::Playout(id) => self.synthesis_failed(id),
            Due::Silence => self.silence(),
            Due::TimeLimit => {
                let text = self.config.texts.limit_goodbye.clone();
                self.say_goodbye(EndReason::TimeLimit, Some(text), None);
            }
            Due::Handover => {
                self.close_transfer(Some("the transfer request got no answer"));
                self.mode = Mode::Conversing;
                self.rest();
            }
            Due::Message => self.message_due(),
        }
    }

    fn silence(&mut self) {
        if self.is_identifying() {
            return self.pin_silence();
        }
        let prompts = &self.config.texts.silence_prompts;
        let last = prompts.len().saturating_sub(1);
        let n = usize::try_from(self.silence_prompts).unwrap_or(usize::MAX);
        let prompt = prompts.get(n.min(last)).cloned().unwrap_or_default();
        self.idle_since = None;
        self.prompt_or_goodbye(prompt);
    }
}
