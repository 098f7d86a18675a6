//! Reads a streamed chat completion: bytes in, [`ModelDelta`]s out. No network, no clock.

use serde::Deserialize;
use switchhook_model::chat::ModelDelta;

use super::sse::{SseEvent, SseReader};
use super::think_filter::ThinkFilter;
use super::tool_calls::{ToolCallPiece, ToolCalls};
use crate::http::Refusal;
use crate::think::LlmError;

/// Longest answer text, in bytes: a spoken answer has a few hundred.
pub const MAX_TEXT: usize = 64 * 1024;
/// Most bytes of one streamed answer, framing included.
pub const MAX_STREAM: usize = 8 * 1024 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    index: Option<u64>,
    delta: Option<Delta>,
    /// Where a server ignores `stream` and answers whole.
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCallPiece>>,
}

/// An answer that is being read.
#[derive(Debug)]
pub struct AnswerReader {
    provider: String,
    request_id: Option<String>,
    sse: SseReader,
    filter: ThinkFilter,
    calls: ToolCalls,
    finish_reason: Option<String>,
    stream_bytes: usize,
    text_bytes: usize,
    events: u64,
    done: bool,
}

impl AnswerReader {
    /// A reader at the beginning of an answer; the names are for its errors.
    pub fn new(provider: impl Into<String>, request_id: Option<String>) -> Self {
        Self {
            provider: provider.into(),
            request_id,
            sse: SseReader::default(),
            filter: ThinkFilter::default(),
            calls: ToolCalls::default(),
            finish_reason: None,
            stream_bytes: 0,
            text_bytes: 0,
            events: 0,
            done: false,
        }
    }

    /// Events read so far; comments are not events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// [`ModelDelta::Done`] was given.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The deltas completed by `bytes`, appended to `out`. What follows the end marker is ignored.
    ///
    /// # Errors
    /// If the provider reports an error in the stream, or sends what cannot be read. Deltas that
    /// came before it in the same piece are in `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<ModelDelta>) -> Result<(), LlmError> {
        self.stream_bytes = self.stream_bytes.saturating_add(bytes.len());
        if self.stream_bytes > MAX_STREAM {
            return Err(self.too_much(MAX_STREAM, "bytes in one answer"));
        }
        let events = self
            .sse
            .push(bytes)
            .map_err(|e| self.malformed(e.to_string()))?;
        for event in events {
            if self.done {
                break;
            }
            self.event(&event, out)?;
        }
        Ok(())
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// If the end marker has not come: the answer may be cut anywhere.
    pub fn finish(&mut self, out: &mut Vec<ModelDelta>) -> Result<(), LlmError> {
        if let Some(last) = self.sse.finish()
            && last.data.trim() == "[DONE]"
        {
            self.end(out)?;
        }
        if self.done {
            return Ok(());
        }
        Err(LlmError::CutShort {
            provider: self.provider.clone(),
            cause: "the stream ended without [DONE]".into(),
        })
    }

    /// An answer that came whole, as JSON, from a server that ignores `stream`.
    ///
    /// # Errors
    /// If it is not a chat completion.
    pub fn whole(&mut self, body: &[u8], out: &mut Vec<ModelDelta>) -> Result<(), LlmError> {
        let text = String::from_utf8_lossy(body);
        if self.chunk(&text, out)? == 0 {
            return Err(self.malformed("the answer has no choices".into()));
        }
        self.end(out)
    }

    fn event(&mut self, event: &SseEvent, out: &mut Vec<ModelDelta>) -> Result<(), LlmError> {
        self.events += 1;
        match event.data.trim() {
            "[DONE]" => self.end(out),
            "" => Ok(()),
            data if event.kind == "error" => {
                let value = serde_json::from_str(data)
                    .unwrap_or_else(|_| serde_json::Value::String(data.to_owned()));
                let error = value.get("error").unwrap_or(&value);
                Err(self.refused(error))
            }
            data => self.chunk(data, out).map(|_| ()),
        }
    }

    /// Reads one chunk; gives the number of its choices.
    fn chunk(&mut self, data: &str, out: &mut Vec<ModelDelta>) -> Result<usize, LlmError> {
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|e| self.malformed(crate::http::json_fault(&e)))?;
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            return Err(self.refused(&error));
        }
        let choices = chunk.choices.unwrap_or_default();
        let count = choices.len();
        // Only the first of several alternatives is spoken; none are asked for.
        for choice in choices
            .into_iter()
            .filter(|c| c.index.unwrap_or_default() == 0)
        {
            let delta = choice.delta.or(choice.message).unwrap_or_default();
            for text in [delta.content, delta.refusal].into_iter().flatten() {
                self.text(&text, out)?;
            }
            for piece in delta.tool_calls.unwrap_or_default() {
                self.calls
                    .push(piece)
                    .map_err(|e| self.too_much(e.limit, e.what))?;
            }
            if let Some(reason) = choice.finish_reason.filter(|r| !r.is_empty()) {
                self.finish_reason = Some(reason);
            }
        }
        Ok(count)
    }

    fn text(&mut self, text: &str, out: &mut Vec<ModelDelta>) -> Result<(), LlmError> {
        self.text_bytes += text.len();
        if self.text_bytes > MAX_TEXT {
            return Err(self.too_much(MAX_TEXT, "bytes of text"));
        }
        let spoken = self.filter.push(text);
        if !spoken.is_empty() {
            out.push(ModelDelta::Text(spoken));
        }
        Ok(())
    }

    /// Whether there are tool calls is decided by what came, not by `finish_reason`, which local
    /// servers set to `stop`.
    fn end(&mut self, out: &mut Vec<ModelDelta>) -> Result<(), LlmError> {
        let rest = self.filter.finish();
        if !rest.is_empty() {
            out.push(ModelDelta::Text(rest));
        }
        let calls = std::mem::take(&mut self.calls).finish();
        match self.finish_reason.as_deref() {
            Some("length") if !calls.is_empty() => {
                return Err(LlmError::CutShort {
                    provider: self.provider.clone(),
                    cause: "the token limit fell into a tool call; raise max_tokens".into(),
                });
            }
            Some("content_filter") if self.text_bytes == 0 && calls.is_empty() => {
                return Err(LlmError::Declined {
                    provider: self.provider.clone(),
                    reason: "its content filter stopped the answer",
                });
            }
            _ => {}
        }
        out.extend(calls.into_iter().map(ModelDelta::ToolCall));
        out.push(ModelDelta::Done);
        self.done = true;
        Ok(())
    }

    fn refused(&self, error: &serde_json::Value) -> LlmError {
        LlmError::Refused {
            provider: self.provider.clone(),
            refusal: Refusal::in_stream(error, self.request_id.clone()),
        }
    }

    fn malformed(&self, detail: String) -> LlmError {
        LlmError::Malformed {
            provider: self.provider.clone(),
            detail,
        }
    }

    fn too_much(&self, limit: usize, what: &'static str) -> LlmError {
        LlmError::TooMuch {
            provider: self.provider.clone(),
            limit,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchhook_model::chat::ToolCall;

    fn read(stream: &str, size: usize) -> Result<Vec<ModelDelta>, LlmError> {
        let mut reader = AnswerReader::new("test", None);
        let mut out = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            reader.push(piece, &mut out)?;
        }
        reader.finish(&mut out)?;
        Ok(out)
    }

    fn text(deltas: &[ModelDelta]) -> String {
        deltas
            .iter()
            .filter_map(|d| match d {
                ModelDelta::Text(text) => Some(text.as_str()),
                ModelDelta::ToolCall(_) | ModelDelta::Done | ModelDelta::Failed(_) => None,
            })
            .collect()
    }

    const STREAM: &str = concat!(
        ": hello\r\n\r\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\r\n\r\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"never spoken\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Grüße, \"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"one moment.\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"request_human_transfer\",\"arguments\":\"{\\\"rea\"}}]}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":null,\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"son\\\":\\\"x\\\"}\"}}]}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\r\n\r\n",
        "data: [DONE]\r\n\r\n",
    );

    #[test]
    fn text_and_a_split_tool_call_at_every_cut() {
        for size in 1..STREAM.len() {
            let deltas = read(STREAM, size).expect("a whole answer");
            assert_eq!(text(&deltas), "Grüße, one moment.", "pieces of {size}");
            assert_eq!(
                deltas[deltas.len() - 2..],
                [
                    ModelDelta::ToolCall(ToolCall {
                        id: "c1".into(),
                        name: "request_human_transfer".into(),
                        arguments: "{\"reason\":\"x\"}".into(),
                    }),
                    ModelDelta::Done,
                ]
            );
        }
    }

    #[test]
    fn an_answer_without_its_end_gives_no_tool_call() {
        let cut = STREAM.find("data: [DONE]").expect("in the stream");
        for end in (0..cut).filter(|n| STREAM.is_char_boundary(*n)) {
            let mut reader = AnswerReader::new("test", None);
            let mut out = Vec::new();
            reader
                .push(&STREAM.as_bytes()[..end], &mut out)
                .expect("valid so far");
            let error = reader.finish(&mut out).expect_err("cut");
            assert!(matches!(error, LlmError::CutShort { .. }));
            assert!(!out.iter().any(|d| matches!(d, ModelDelta::ToolCall(_))));
        }
    }

    #[test]
    fn a_missing_blank_line_after_the_end_is_forgiven() {
        let deltas = read(
            "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]",
            7,
        )
        .expect("whole");
        assert_eq!(deltas, [ModelDelta::Text("hi".into()), ModelDelta::Done]);
    }

    #[test]
    fn errors_in_the_stream_are_errors() {
        for (stream, retryable) in [
            (
                "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
                true,
            ),
            ("data: {\"error\":\"context too long\"}\n\n", false),
            (
                "event: error\ndata: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\n",
                true,
            ),
            ("event: error\ndata: boom\n\n", false),
        ] {
            let error = read(stream, 1000).expect_err(stream);
            assert!(matches!(error, LlmError::Refused { .. }), "{error:?}");
            assert_eq!(error.is_retryable(), retryable, "{stream}");
        }
        let error = read("data: <html>\n\n", 1000).expect_err("HTML");
        assert!(matches!(error, LlmError::Malformed { .. }));
    }

    #[test]
    fn a_cut_by_the_token_limit_is_told_apart() {
        let call = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"x\",\"arguments\":\"{\\\"a\"}}]},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
        assert!(matches!(read(call, 9), Err(LlmError::CutShort { .. })));
        let words = "data: {\"choices\":[{\"delta\":{\"content\":\"and so\"},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
        assert_eq!(text(&read(words, 9).expect("words stand")), "and so");
        let filtered = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\ndata: [DONE]\n\n";
        assert!(matches!(read(filtered, 9), Err(LlmError::Declined { .. })));
    }

    #[test]
    fn a_whole_answer_is_read_too() {
        let mut reader = AnswerReader::new("test", None);
        let mut out = Vec::new();
        reader
            .whole(
                br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"<think>x</think>Hi","tool_calls":null},"finish_reason":"stop"}]}"#,
                &mut out,
            )
            .expect("a completion");
        assert_eq!(out, [ModelDelta::Text("Hi".into()), ModelDelta::Done]);
        let mut reader = AnswerReader::new("test", None);
        assert!(reader.whole(b"{}", &mut out).is_err());
    }
}
