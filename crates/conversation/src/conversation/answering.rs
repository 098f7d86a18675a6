//! Answering: asking the model, speaking its sentences as they come, carrying out its tools.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchhook_model::{ChatMessage, ModelDelta, Timestamp, ToolCall};

use super::mouth::{Kind, ReplyClock};
use super::{Conversation, HumanWish, Mode, message};
use crate::io::{EndReason, Output, Speaker};
use crate::sentences::SentenceCutter;
use crate::tools;

/// More tool calls in one reply than this are not carried out.
const MAX_TOOL_CALLS: usize = 16;

/// One reply to the caller, over all its rounds of tools.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The request whose deltas count.
    pub(super) request: u32,
    pub(super) group: u32,
    /// The history entry of this round.
    entry: usize,
    pub(super) stage: Stage,
    rounds: u32,
    /// Something of it was given to the mouth.
    pub(super) spoken: bool,
    pub(super) chars: usize,
    pub(super) filler_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Streaming {
        asked_at: Timestamp,
        cutter: SentenceCutter,
        calls: Vec<ToolCall>,
    },
    Tools {
        asked_at: Timestamp,
        waiting: BTreeSet<String>,
    },
}

impl Conversation {
    /// Asks the model for an answer to what the caller said last.
    pub(super) fn think(&mut self, clock: ReplyClock) {
        self.cancel_answer();
        let group = self.mouth.open_group(Speaker::Assistant, None, Some(clock));
        if let Some(group) = self.mouth.groups.get_mut(&group) {
            group.is_answer = true;
        }
        let request = self.take_request();
        self.answer = Some(Answer {
            request,
            group,
            entry: 0,
            stage: Stage::Tools {
                asked_at: self.now,
                waiting: BTreeSet::new(),
            },
            rounds: 0,
            spoken: false,
            chars: 0,
            filler_at: Some(self.now + Duration::from_millis(self.config.timing.filler_after_ms)),
        });
        self.ask_model(request);
    }

    /// One round: the whole history goes out, deltas come back.
    pub(super) fn ask_model(&mut self, request: u32) {
        self.finish_cut_if_dropped();
        let mut messages = vec![ChatMessage::system(self.instructions())];
        messages.extend(self.history.render());
        self.ask_model_with(request, messages);
    }

    /// `messages` go out as they are.
    pub(super) fn ask_model_with(&mut self, request: u32, messages: Vec<ChatMessage>) {
        let tools = tools::offered(&self.config);
        let entry = self.history.open_assistant();
        if let Some(answer) = &mut self.answer {
            answer.request = request;
            answer.entry = entry;
            answer.stage = Stage::Streaming {
                asked_at: self.now,
                cutter: SentenceCutter::new(self.config.language),
                calls: Vec::new(),
            };
        }
        self.out.push(Output::Think {
            request,
            messages,
            tools,
        });
    }

    /// What the model reads first: who it is, what time it is, what happened besides the talk.
    pub(super) fn instructions(&self) -> String {
        let mut text = self.config.system_prompt.trim().to_owned();
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str("Current local date and time: ");
        text.push_str(&self.config.zone.describe(self.now, self.config.language));
        text.push('.');
        if !self.history.notes().is_empty() {
            text.push_str("\n\nWhat happened during this call:");
            for note in self.history.notes() {
                text.push_str("\n- ");
                text.push_str(note);
            }
        }
        text
    }

    /// A piece of the reply. Pieces of a request that nobody waits for are late.
    pub(super) fn delta(&mut self, request: u32, delta: ModelDelta) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.request != request {
            return;
        }
        let Stage::Streaming { cutter, calls, .. } = &mut answer.stage else {
            return;
        };
        match delta {
            ModelDelta::Text(text) => {
                let room = self
                    .config
                    .bounds
                    .max_reply_chars
                    .saturating_sub(answer.chars);
                let text: String = text.chars().take(room).collect();
                answer.chars += text.chars().count();
                if !text.trim().is_empty() {
                    answer.filler_at = None;
                }
                let sentences = cutter.push(&text);
                for sentence in sentences {
                    self.speak_answer(&sentence);
                }
            }
            ModelDelta::ToolCall(call) => {
                // A tool call ends the words before it: they need not wait for the stream's end.
                let before = cutter.finish();
                if calls.len() < MAX_TOOL_CALLS {
                    calls.push(call);
                }
                if let Some(before) = before {
                    self.speak_answer(&before);
                }
            }
            ModelDelta::Done => {
                let rest = cutter.finish();
                let calls = std::mem::take(calls);
                if let Some(rest) = rest {
                    self.speak_answer(&rest);
                }
                self.reply_complete(calls);
            }
            ModelDelta::Failed(_) => self.reply_failed(),
        }
    }

    fn speak_answer(&mut self, sentence: &str) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        answer.filler_at = None;
        let (group, entry, first) = (answer.group, answer.entry, !answer.spoken);
        answer.spoken = true;
        if first {
            self.count_round_time();
        }
        self.speak(Kind::Ordered, sentence, group, Some(entry));
    }

    /// Adds the running round's time to the clock, as long as nothing was spoken before it.
    pub(super) fn count_round_time(&mut self) {
        let Some(answer) = &self.answer else {
            return;
        };
        let now = self.now;
        let Some(clock) = self
            .mouth
            .groups
            .get_mut(&answer.group)
            .and_then(|group| group.clock.as_mut())
        else {
            return;
        };
        match &answer.stage {
            Stage::Streaming { asked_at, .. } => clock.think_ms += now.millis_since(*asked_at),
            Stage::Tools { asked_at, .. } => clock.tool_ms += now.millis_since(*asked_at),
        }
    }

    fn reply_complete(&mut self, calls: Vec<ToolCall>) {
        let Some(answer) = &self.answer else {
            return;
        };
        let spoken = answer.spoken;
        if calls.is_empty() {
            self.end_answer();
            if spoken {
                return;
            }
            // A model that answers nothing has failed: silence helps nobody.
            let text = self.config.texts.trouble.clone();
            self.provider_error(Some(&text));
            return;
        }
        if !spoken {
            self.count_round_time();
        }
        self.carry_out(calls);
    }

    fn reply_failed(&mut self) {
        self.end_answer();
        let text = self.config.texts.trouble.clone();
        self.provider_error(Some(&text));
    }

    /// The tools of one round.
    fn carry_out(&mut self, calls: Vec<ToolCall>) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let (request, entry, spoken) = (answer.request, answer.entry, answer.spoken);
        answer.rounds += 1;
        let rounds = answer.rounds;
        let offered: BTreeSet<String> = tools::offered(&self.config)
            .into_iter()
            .map(|tool| tool.name)
            .collect();
        let mut waiting = BTreeSet::new();
        let mut special = None;
        for (n, call) in calls.into_iter().enumerate() {
            // Local servers repeat ids or leave them out; the history needs them unique.
            let call = ToolCall {
                id: format!("{}.{request}.{n}", call.id),
                ..call
            };
            self.history.add_tool_call(entry, call.clone());
            let refusal = if !offered.contains(&call.name) {
                Some(format!("there is no tool named {:?}", shown(&call.name)))
            } else {
                tools::check_object(&call.arguments)
                    .err()
                    .map(|e| e.to_string())
            };
            if let Some(error) = refusal {
                // A caller who wants a human gets one, however the arguments came out.
                if call.name != tools::REQUEST_HUMAN_TRANSFER || !offered.contains(&call.name) {
                    let content = serde_json::json!({ "error": error }).to_string();
                    self.history.add_tool_result(&call.id, &content);
                    continue;
                }
            }
            match call.name.as_str() {
                tools::REQUEST_HUMAN_TRANSFER | tools::END_CALL | tools::TAKE_MESSAGE => {
                    if special.is_none() {
                        special = Some(call);
                    } else {
                        self.history
                            .add_tool_result(&call.id, r#"{"error":"not carried out"}"#);
                    }
                }
                _ => {
                    waiting.insert(call.id.clone());
                    self.out.push(Output::CallTool {
                        request,
                        id: call.id,
                        name: call.name,
                        arguments: call.arguments,
                    });
                }
            }
        }
        if let Some(call) = special {
            self.carry_out_special(call, entry, spoken);
            return;
        }
        if rounds > self.config.bounds.max_tool_rounds {
            self.reply_failed();
            return;
        }
        if let Some(answer) = &mut self.answer {
            answer.stage = Stage::Tools {
                asked_at: self.now,
                waiting,
            };
        }
        self.continue_after_tools();
    }

    /// The tools that change what the conversation itself does.
    /// `entry` is the history entry of the call.
    fn carry_out_special(&mut self, call: ToolCall, entry: usize, spoken: bool) {
        self.end_answer();
        match call.name.as_str() {
            tools::REQUEST_HUMAN_TRANSFER => {
                let arguments = tools::read_transfer(&call.arguments).unwrap_or_default();
                let allowed = self.config.allow_spoken_extension;
                let wish = HumanWish {
                    department: arguments.department,
                    target: arguments.extension.filter(|_| allowed),
                    reason: if arguments.reason.is_empty() {
                        "the assistant asked for a human".to_owned()
                    } else {
                        arguments.reason
                    },
                    summary: arguments.summary,
                };
                self.ask_for_human(wish, Some(call.id));
            }
            tools::END_CALL => {
                self.history
                    .add_tool_result(&call.id, r#"{"status":"the call is ending"}"#);
                let farewell = (!spoken).then(|| self.config.texts.farewell.clone());
                self.say_goodbye(EndReason::Goodbye, farewell, None);
            }
            _ => {
                let prompt = self.config.texts.message_prompt.clone();
                // In the entry of the call: its result must be the last thing the model reads.
                self.speak_fixed_in(entry, &prompt, None);
                self.take_message(message::Origin::Tool { call: call.id });
            }
        }
    }

    pub(super) fn tool_result(&mut self, id: &str, content: &str) {
        // Even a late result is worth knowing: the booking may have happened after all.
        if matches!(self.mode, Mode::Stopped { .. }) {
            return;
        }
        let Some(answer) = &mut self.answer else {
            self.history.add_tool_result(id, content);
            return;
        };
        if let Stage::Tools { waiting, .. } = &mut answer.stage {
            waiting.remove(id);
        }
        self.history.add_tool_result(id, content);
        self.continue_after_tools();
    }

    /// A tool took too long: the model is told so and goes on.
    pub(super) fn tools_timed_out(&mut self) {
        self.tools_given_up(r#"{"error":"the tool did not answer in time"}"#);
    }

    /// Nobody waits for the running tools any more: `content` stands in for each result.
    pub(super) fn tools_given_up(&mut self, content: &str) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        if let Stage::Tools { waiting, .. } = &mut answer.stage {
            for id in std::mem::take(waiting) {
                self.history.add_tool_result(&id, content);
            }
        }
        self.continue_after_tools();
    }

    fn continue_after_tools(&mut self) {
        let Some(answer) = &self.answer else {
            return;
        };
        let done = match &answer.stage {
            Stage::Tools { waiting, .. } => waiting.is_empty(),
            Stage::Streaming { .. } => false,
        };
        if !done {
            return;
        }
        if !answer.spoken {
            self.count_round_time();
        }
        let request = self.take_request();
        self.ask_model(request);
    }

    pub(super) fn answer_waits_for_tools(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| match &answer.stage {
                Stage::Tools { waiting, .. } => !waiting.is_empty(),
                Stage::Streaming { .. } => false,
            })
    }

    /// The caller said more while tools run: the coming words answer that as well, so they are a
    /// new turn with a clock of its own.
    pub(super) fn answer_continues_with(&mut self, clock: ReplyClock) {
        let group = self.mouth.open_group(Speaker::Assistant, None, Some(clock));
        if let Some(new) = self.mouth.groups.get_mut(&group) {
            new.is_answer = true;
        }
        let filler_at = self.now + Duration::from_millis(self.config.timing.filler_after_ms);
        if let Some(answer) = &mut self.answer {
            self.mouth.close_group(answer.group);
            answer.group = group;
            answer.spoken = false;
            answer.filler_at = Some(filler_at);
            if let Stage::Tools { asked_at, .. } = &mut answer.stage {
                *asked_at = (*asked_at).max(self.now);
            }
        }
    }

    /// Speaks a filler, once, when the answer takes long.
    pub(super) fn speak_filler(&mut self) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        answer.filler_at = None;
        let group = answer.group;
        let fillers = &self.config.texts.fillers;
        if fillers.is_empty() || answer.spoken || !self.mouth.is_empty() {
            return;
        }
        let text = fillers[self.fillers_spoken % fillers.len()].clone();
        self.fillers_spoken += 1;
        self.speak(Kind::Filler, &text, group, None);
    }

    pub(super) fn thinking_timed_out(&mut self) {
        if let Some(answer) = &self.answer {
            self.out.push(Output::CancelThink {
                request: answer.request,
            });
        }
        self.reply_failed();
    }

    /// Nobody waits for the answer any more.
    pub(super) fn cancel_answer(&mut self) {
        if let Some(answer) = &self.answer
            && matches!(answer.stage, Stage::Streaming { .. })
        {
            self.out.push(Output::CancelThink {
                request: answer.request,
            });
        }
        self.end_answer();
    }

    fn end_answer(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.mouth.close_group(answer.group);
        }
    }
}

/// A name from outside, cut for an error text.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
