//! What the model is told of the conversation so far: only what was really heard.
//!
//! The history is kept in segments, one for each spoken item, so that the words of an item can
//! shrink to what was heard before it was cut. A tool call that never got its answer is answered
//! here when the history is rendered: one broken turn must not poison all that follow.

use serde::{Deserialize, Serialize};
use switchhook_model::{ChatMessage, ToolCall};

/// Names one spoken item for as long as the conversation lives.
pub(crate) type SegmentId = usize;

/// What is known of a segment's playout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hearing {
    /// Queued or playing: taken as heard until it is cut.
    Pending,
    Full,
    /// The first bytes of the text, up to here.
    Part(usize),
    Nothing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) text: String,
    pub(crate) hearing: Hearing,
}

impl Segment {
    /// The words that were heard; the whole text while it is pending.
    pub(crate) fn heard(&self) -> &str {
        match self.hearing {
            Hearing::Pending | Hearing::Full => &self.text,
            Hearing::Part(end) => self.text.get(..end).unwrap_or(&self.text).trim_end(),
            Hearing::Nothing => "",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Caller(String),
    Assistant {
        segments: Vec<SegmentId>,
        tool_calls: Vec<ToolCall>,
    },
    ToolResult {
        id: String,
        content: String,
    },
}

/// Stands in for a result that never came.
const NO_RESULT: &str = r#"{"status":"no result yet"}"#;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    entries: Vec<Entry>,
    segments: Vec<Segment>,
    notes: Vec<String>,
}

impl History {
    /// A new text that will be spoken. `entry` is the assistant entry it belongs to, None for text
    /// that the model need not know.
    pub(crate) fn add_segment(&mut self, text: &str, entry: Option<usize>) -> SegmentId {
        let id = self.segments.len();
        self.segments.push(Segment {
            text: text.to_owned(),
            hearing: Hearing::Pending,
        });
        if let Some(Entry::Assistant { segments, .. }) = entry.and_then(|e| self.entries.get_mut(e))
        {
            segments.push(id);
        }
        id
    }

    /// A new text directly behind `before`, in the same place of the history.
    pub(crate) fn add_segment_after(&mut self, text: &str, before: SegmentId) -> SegmentId {
        let id = self.add_segment(text, None);
        for entry in &mut self.entries {
            if let Entry::Assistant { segments, .. } = entry
                && let Some(at) = segments.iter().position(|s| *s == before)
            {
                segments.insert(at + 1, id);
            }
        }
        id
    }

    pub(crate) fn holds(&self, id: SegmentId) -> bool {
        id < self.segments.len()
    }

    /// Whether every entry names words that are there, after reading from a store.
    pub(crate) fn is_sound(&self) -> bool {
        self.entries.iter().all(|entry| match entry {
            Entry::Assistant { segments, .. } => segments.iter().all(|id| self.holds(*id)),
            Entry::Caller(_) | Entry::ToolResult { .. } => true,
        })
    }

    pub(crate) fn segment(&self, id: SegmentId) -> &Segment {
        &self.segments[id]
    }

    pub(crate) fn set_hearing(&mut self, id: SegmentId, hearing: Hearing) {
        self.segments[id].hearing = hearing;
    }

    /// Opens an assistant entry; segments and tool calls are added to it.
    pub(crate) fn open_assistant(&mut self) -> usize {
        self.entries.push(Entry::Assistant {
            segments: Vec::new(),
            tool_calls: Vec::new(),
        });
        self.entries.len() - 1
    }

    pub(crate) fn add_tool_call(&mut self, entry: usize, call: ToolCall) {
        if let Some(Entry::Assistant { tool_calls, .. }) = self.entries.get_mut(entry) {
            tool_calls.push(call);
        }
    }

    pub(crate) fn add_caller(&mut self, text: &str) {
        self.entries.push(Entry::Caller(text.to_owned()));
    }

    /// The result of a tool call. A second result for the same call is ignored.
    pub(crate) fn add_tool_result(&mut self, id: &str, content: &str) {
        let known = self
            .entries
            .iter()
            .any(|e| matches!(e, Entry::ToolResult { id: i, .. } if i == id));
        if !known {
            self.entries.push(Entry::ToolResult {
                id: id.to_owned(),
                content: content.to_owned(),
            });
        }
    }

    /// Something that happened besides the talk.
    pub(crate) fn add_note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The caller's last words, newest last, at most `max_chars`.
    pub(crate) fn caller_summary(&self, max_chars: usize) -> String {
        let mut parts = Vec::new();
        let mut left = max_chars;
        for entry in self.entries.iter().rev() {
            if let Entry::Caller(text) = entry {
                let n = text.chars().count();
                if n > left {
                    if parts.is_empty() {
                        parts.push(text.chars().take(left).collect());
                    }
                    break;
                }
                left -= n;
                parts.push(text.clone());
            }
        }
        parts.reverse();
        parts.join(" / ")
    }

    /// The messages behind the system message. Neighbours of one role are joined, because many
    /// model servers insist on alternating roles; every tool call has exactly one result, right
    /// behind it, because all of them insist on that.
    pub(crate) fn render(&self) -> Vec<ChatMessage> {
        let mut messages: Vec<ChatMessage> = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Caller(text) => match messages.last_mut() {
                    Some(last) if last.role == switchhook_model::ChatRole::User => {
                        last.content.push('\n');
                        last.content.push_str(text);
                    }
                    Some(_) | None => messages.push(ChatMessage::user(text)),
                },
                Entry::Assistant {
                    segments,
                    tool_calls,
                } => {
                    let content = segments
                        .iter()
                        .map(|s| self.segments[*s].heard())
                        .filter(|text| !text.is_empty())
                        .collect::<Vec<_>>()
                        .join(" ");
                    if content.is_empty() && tool_calls.is_empty() {
                        continue;
                    }
                    match messages.last_mut() {
                        Some(last)
                            if last.role == switchhook_model::ChatRole::Assistant
                                && last.tool_calls.is_empty() =>
                        {
                            if !content.is_empty() {
                                if !last.content.is_empty() {
                                    last.content.push(' ');
                                }
                                last.content.push_str(&content);
                            }
                            last.tool_calls.extend(tool_calls.iter().cloned());
                        }
                        Some(_) | None => messages.push(ChatMessage {
                            tool_calls: tool_calls.clone(),
                            ..ChatMessage::assistant(content)
                        }),
                    }
                    for call in tool_calls {
                        let result = self.entries.iter().find_map(|e| match e {
                            Entry::ToolResult { id, content } if *id == call.id => Some(content),
                            Entry::ToolResult { .. }
                            | Entry::Caller(_)
                            | Entry::Assistant { .. } => None,
                        });
                        messages.push(ChatMessage::tool(
                            &call.id,
                            result.map_or(NO_RESULT, String::as_str),
                        ));
                    }
                }
                Entry::ToolResult { .. } => {}
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchhook_model::ChatRole;

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.into(),
            name: "book_appointment".into(),
            arguments: "{}".into(),
        }
    }

    #[test]
    fn only_heard_words_reach_the_model() {
        let mut h = History::default();
        h.add_caller("hello");
        let e = h.open_assistant();
        let a = h.add_segment("We are open.", Some(e));
        let b = h.add_segment("And on Sunday too.", Some(e));
        let c = h.add_segment("Never heard.", Some(e));
        h.set_hearing(a, Hearing::Full);
        h.set_hearing(b, Hearing::Part(6));
        h.set_hearing(c, Hearing::Nothing);
        assert_eq!(h.render()[1].content, "We are open. And on");
    }

    #[test]
    fn an_unanswered_tool_call_is_repaired_in_place() {
        let mut h = History::default();
        h.add_caller("book");
        let e = h.open_assistant();
        h.add_tool_call(e, call("a"));
        h.add_tool_call(e, call("b"));
        h.add_tool_result("b", "done");
        h.add_tool_result("b", "again");
        h.add_caller("hello?");
        h.add_caller("anyone?");
        let m = h.render();
        let roles: Vec<_> = m.iter().map(|m| m.role).collect();
        assert_eq!(
            roles,
            [
                ChatRole::User,
                ChatRole::Assistant,
                ChatRole::Tool,
                ChatRole::Tool,
                ChatRole::User
            ]
        );
        assert_eq!(m[2].content, NO_RESULT);
        assert_eq!(m[3].content, "done");
        assert_eq!(m[4].content, "hello?\nanyone?");
    }

    #[test]
    fn a_taken_up_sentence_stays_in_its_place() {
        let mut h = History::default();
        let e = h.open_assistant();
        let a = h.add_segment("One two, three four.", Some(e));
        h.add_segment("Five.", Some(e));
        h.set_hearing(a, Hearing::Part(8));
        h.add_segment_after("three four.", a);
        assert_eq!(h.render()[0].content, "One two, three four. Five.");
    }

    #[test]
    fn the_summary_holds_the_last_words() {
        let mut h = History::default();
        for text in ["first", "second", "third"] {
            h.add_caller(text);
        }
        assert_eq!(h.caller_summary(11), "second / third");
        assert_eq!(h.caller_summary(3), "thi");
    }
}
