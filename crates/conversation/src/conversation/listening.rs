//! Listening: utterances, their transcripts, and what the caller's words lead to.

use std::time::Duration;

use super::ear::{MAX_WAITING, Recognition, Run, Utterance, is_noise, without_repeats};
use super::mouth::ReplyClock;
use super::{Conversation, HumanWish, Mode};
use crate::io::{EndReason, Output, Speaker, Turn};

/// Voice of this length without words is somebody who was not understood, not a cough.
const REAL_SPEECH_MS: u64 = 1_000;

impl Conversation {
    pub(super) fn speech_started(&mut self) {
        if self.ear.run.is_some() {
            return;
        }
        let listens = match self.mode {
            // Without barge-in nobody listens while the assistant speaks.
            Mode::Conversing => self.config.barge_in || self.mouth.queue.is_empty(),
            Mode::TakingMessage(_) => true,
            Mode::Ending { reason } => reason == EndReason::Goodbye,
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ended
            | Mode::Stopped { .. } => false,
        };
        self.ear.run = Some(Run {
            since: self.now,
            ignored: !listens,
        });
        self.stop_what_is_unwanted();
    }

    pub(super) fn speech_ended(&mut self, utterance: u32, duration_ms: u64, silence_ms: u64) {
        if self.ear.utterances.iter().any(|u| u.id == utterance) {
            return;
        }
        let ignored = self.ear.run.take().is_some_and(|run| run.ignored);
        let voice_ended_at = self.now - Duration::from_millis(silence_ms);
        let voice_began_at = voice_ended_at - Duration::from_millis(duration_ms);
        let wanted = match &self.mode {
            Mode::Conversing => !ignored,
            Mode::Ending { reason } => !ignored && *reason == EndReason::Goodbye,
            Mode::TakingMessage(message)
            | Mode::Stopped {
                message: Some(message),
            } => !ignored && message.wants(voice_ended_at),
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::Ended
            | Mode::Stopped { message: None } => false,
        };
        if !wanted || duration_ms < self.config.timing.min_utterance_ms {
            self.out.push(Output::DropUtterance { utterance });
            self.ear_settled();
            return;
        }
        if self.ear.utterances.len() >= MAX_WAITING {
            let oldest = self.ear.utterances.remove(0);
            self.out.push(Output::DropUtterance {
                utterance: oldest.id,
            });
        }
        self.ear.utterances.push(Utterance {
            id: utterance,
            voice_began_at,
            voice_ended_at,
            asked_at: self.now,
            recognised_at: None,
            recognition: Recognition::Waiting,
        });
        self.out.push(Output::Transcribe { utterance });
        self.message_speech_ended(voice_began_at, voice_ended_at);
    }

    /// The recogniser's answer. Answers to utterances nobody waits for are late or repeated.
    pub(super) fn transcript(&mut self, id: u32, result: Result<String, String>) {
        let over_the_assistant = self.mouth.cut.is_some();
        let language = self.config.language;
        let now = self.now;
        let Some(utterance) = self
            .ear
            .utterances
            .iter_mut()
            .find(|u| u.id == id && u.recognition == Recognition::Waiting)
        else {
            return;
        };
        utterance.recognised_at = Some(now);
        let voice_ms = utterance.voice_ms();
        utterance.recognition = match result.map(|text| without_repeats(&tidy(&text), voice_ms)) {
            Err(_) => Recognition::Failed,
            Ok(None) => Recognition::Noise,
            Ok(Some(text)) if is_noise(&text, language, over_the_assistant) => Recognition::Noise,
            Ok(Some(text)) => Recognition::Words(text),
        };
        let words = matches!(utterance.recognition, Recognition::Words(_));
        match self.mode {
            Mode::Conversing => {
                if words {
                    self.interruption_is_real();
                }
                self.ear_settled();
            }
            Mode::Ending { reason: _ } => self.ear_settled(),
            Mode::TakingMessage(_) | Mode::Stopped { .. } => self.message_transcribed(),
            Mode::New | Mode::Handover { .. } | Mode::Paused | Mode::Ended => {}
        }
    }

    /// The caller really said something: what was being said or thought is void.
    fn interruption_is_real(&mut self) {
        self.drop_cut();
        if !self.answer_waits_for_tools() {
            self.cancel_answer();
        }
    }

    /// Acts once it is clear what the caller said.
    pub(super) fn ear_settled(&mut self) {
        if self.ear.is_busy() {
            return;
        }
        match self.mode {
            Mode::Conversing | Mode::Ending { .. } => {}
            Mode::New
            | Mode::Handover { .. }
            | Mode::Paused
            | Mode::TakingMessage(_)
            | Mode::Ended
            | Mode::Stopped { .. } => return,
        }
        let utterances = std::mem::take(&mut self.ear.utterances);
        let words: Vec<&str> = utterances
            .iter()
            .filter_map(|u| match &u.recognition {
                Recognition::Words(text) => Some(text.as_str()),
                Recognition::Waiting | Recognition::Noise | Recognition::Failed => None,
            })
            .collect();
        let text = words.join(" ");
        match (utterances.first(), utterances.last()) {
            (Some(first), Some(last)) if !text.is_empty() => {
                let clock = ReplyClock {
                    voice_ended_at: Some(last.voice_ended_at),
                    endpoint_ms: last.asked_at.millis_since(last.voice_ended_at),
                    transcribe_ms: last
                        .recognised_at
                        .unwrap_or(last.asked_at)
                        .millis_since(last.asked_at),
                    ..ReplyClock::none(self.now)
                };
                let turn = Turn::of(
                    Speaker::Caller,
                    text,
                    first.voice_began_at,
                    last.voice_ended_at,
                );
                self.caller_said(turn, clock);
            }
            (_, _) => self.nothing_was_said(&utterances),
        }
    }

    /// The caller made a noise, or the recogniser failed.
    fn nothing_was_said(&mut self, utterances: &[Utterance]) {
        if matches!(self.mode, Mode::Ending { .. }) {
            return;
        }
        let interrupted = self.mouth.cut.is_some() || !self.mouth.held.is_empty();
        self.take_up_cut();
        if interrupted || self.answer.is_some() || !self.mouth.queue.is_empty() {
            return;
        }
        if utterances
            .iter()
            .any(|u| u.recognition == Recognition::Failed)
        {
            let text = self.config.texts.trouble.clone();
            self.provider_error(Some(&text));
            return;
        }
        if utterances.iter().any(|u| u.voice_ms() >= REAL_SPEECH_MS) {
            let text = self.config.texts.not_understood.clone();
            self.prompt_or_goodbye(text);
        }
    }

    /// One more prompt to a caller who is silent or not understood; goodbye after the last.
    pub(super) fn prompt_or_goodbye(&mut self, prompt: String) {
        if self.silence_prompts >= self.config.bounds.max_silence_prompts {
            let text = self.config.texts.silence_goodbye.clone();
            self.say_goodbye(EndReason::Silence, Some(text), None);
            return;
        }
        self.silence_prompts += 1;
        self.speak_fixed(&prompt, None);
    }

    /// The caller's go is over.
    fn caller_said(&mut self, turn: Turn, clock: ReplyClock) {
        if self.is_identifying() {
            return self.pin_said(turn);
        }
        let text = turn.text.clone();
        self.finish_cut_if_dropped();
        self.close_finished_groups();
        self.emit_turn(turn);
        self.history.add_caller(&text);
        self.rest();
        self.caller_turns = self.caller_turns.saturating_add(1);

        let exit = self.config.match_exit_phrases && self.phrases.is_exit(&text);
        if matches!(self.mode, Mode::Ending { .. }) {
            if exit {
                return;
            }
            // "Oh, one more thing": the end is off, the farewell stops.
            self.silence_ordered();
            self.mode = Mode::Conversing;
        }
        if self.caller_turns > self.config.bounds.max_turns {
            let text = self.config.texts.limit_goodbye.clone();
            self.say_goodbye(EndReason::TurnLimit, Some(text), Some(clock));
            return;
        }
        if self.config.match_transfer_phrases
            && let Some(wish) = self.phrases.transfer(&text)
        {
            self.cancel_answer();
            let wish = HumanWish {
                department: wish.department,
                target: wish.extension,
                reason: "the caller asked for a human".to_owned(),
                summary: String::new(),
            };
            self.ask_for_human(wish, None);
            return;
        }
        if exit {
            let text = self.config.texts.farewell.clone();
            self.say_goodbye(EndReason::Goodbye, Some(text), Some(clock));
            return;
        }
        if self.answer_waits_for_tools() {
            // The result belongs to the same thought: it is awaited, within its bound.
            self.answer_continues_with(clock);
        } else {
            self.think(clock);
        }
    }

    pub(super) fn finish_cut_if_dropped(&mut self) {
        if self
            .mouth
            .cut
            .as_ref()
            .is_some_and(|cut| cut.dropped_until.is_some())
        {
            self.finish_cut();
        }
    }

    /// Nobody asks any more for what the caller is saying or has just said.
    pub(super) fn drop_caller(&mut self) {
        if let Some(run) = &mut self.ear.run {
            run.ignored = true;
        }
        for utterance in std::mem::take(&mut self.ear.utterances) {
            self.out.push(Output::DropUtterance {
                utterance: utterance.id,
            });
        }
        // What was held back for the caller's sake is dropped with it.
        self.drop_cut();
    }

    /// Speech that never ended: the gateway lost track of it.
    pub(super) fn give_up_speech(&mut self) {
        self.ear.run = None;
        self.ear_settled();
        self.message_transcribed();
    }
}

/// A transcript on one line, without control characters.
pub(super) fn tidy(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
