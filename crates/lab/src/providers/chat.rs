//! Chat completions, streamed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};

use super::log::{AnswerGuard, Request};
use super::{Fault, State, authorization, echo, refusal};

/// A chat request as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The whole body.
    pub body: Value,
}

impl ChatRequest {
    /// Role and text of each message, oldest first; a message that only calls tools has an empty
    /// text.
    pub fn messages(&self) -> Vec<(String, String)> {
        let text =
            |message: &Value, field: &str| message[field].as_str().unwrap_or_default().to_owned();
        let messages = self.body["messages"].as_array();
        messages
            .into_iter()
            .flatten()
            .map(|m| (text(m, "role"), text(m, "content")))
            .collect()
    }

    /// What the caller said last.
    pub fn last_user(&self) -> Option<String> {
        let said = self.messages().into_iter().rev();
        said.into_iter()
            .find_map(|(role, text)| (role == "user").then_some(text))
    }

    /// All the assistant is said to have said, one line for each message.
    pub fn assistant_text(&self) -> String {
        let messages = self.messages();
        let lines = messages.iter().filter(|(role, _)| role == "assistant");
        lines
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Content of the tool message that answers the call `id`.
    pub fn tool_result(&self, id: &str) -> Option<String> {
        let messages = self.body["messages"].as_array()?;
        let result = messages.iter().find(|m| m["tool_call_id"] == id)?;
        Some(result["content"].as_str().unwrap_or_default().to_owned())
    }

    /// Names of the tools that were offered.
    pub fn tools(&self) -> Vec<String> {
        let tools = self.body["tools"].as_array();
        let names = tools.into_iter().flatten();
        names
            .filter_map(|t| t["function"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    fn answers_a_tool(&self) -> bool {
        self.messages()
            .last()
            .is_some_and(|(role, _)| role == "tool")
    }
}

/// An answer: text and tool calls as stream events, with delays and faults.
#[derive(Debug, Clone)]
pub struct ChatReply {
    deltas: Vec<Value>,
    calls: usize,
    first_after: Duration,
    gap: Duration,
    fault: Option<Fault>,
    finish_reason: Option<&'static str>,
    write_bytes: usize,
    line_end: &'static str,
    comments: bool,
    whole: bool,
}

impl ChatReply {
    fn empty() -> Self {
        Self {
            deltas: vec![json!({"role": "assistant", "content": ""})],
            calls: 0,
            first_after: Duration::ZERO,
            gap: Duration::ZERO,
            fault: None,
            finish_reason: None,
            write_bytes: usize::MAX,
            line_end: "\n",
            comments: false,
            whole: false,
        }
    }

    /// An answer in words, one event for each word.
    pub fn text(text: &str) -> Self {
        Self::empty().and_text(text)
    }

    /// One tool call, its arguments split over several deltas, id and name only in the first.
    pub fn tool_call(name: &str, arguments: &Value) -> Self {
        Self::empty().and_tool_call(name, arguments)
    }

    /// Nothing but a fault.
    pub fn fault(fault: Fault) -> Self {
        Self::empty().with_fault(fault)
    }

    /// Deltas as given, for what a particular server sends.
    pub fn deltas(deltas: Vec<Value>) -> Self {
        Self {
            deltas,
            ..Self::empty()
        }
    }

    /// Words after what there is.
    #[must_use]
    pub fn and_text(mut self, text: &str) -> Self {
        let words = text.split_inclusive(' ');
        self.deltas.extend(words.map(|w| json!({"content": w})));
        self
    }

    /// A tool call after what there is. Its id is `call_lab_N`, N counted from 0 in this answer.
    #[must_use]
    pub fn and_tool_call(mut self, name: &str, arguments: &Value) -> Self {
        let index = self.calls;
        self.calls += 1;
        self.deltas.push(json!({"tool_calls": [{
            "index": index, "id": format!("call_lab_{index}"), "type": "function",
            "function": {"name": name, "arguments": ""},
        }]}));
        let arguments: Vec<char> = arguments.to_string().chars().collect();
        let pieces = arguments.chunks(5).map(|piece| {
            let piece: String = piece.iter().collect();
            json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        });
        self.deltas.extend(pieces);
        self
    }

    /// Time before the first event; the headers come at once.
    #[must_use]
    pub fn first_after(mut self, wait: Duration) -> Self {
        self.first_after = wait;
        self
    }

    /// Time between two events.
    #[must_use]
    pub fn gap(mut self, wait: Duration) -> Self {
        self.gap = wait;
        self
    }

    /// What goes wrong.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The `finish_reason`, where it is not the right one.
    #[must_use]
    pub fn finish_reason(mut self, reason: &'static str) -> Self {
        self.finish_reason = Some(reason);
        self
    }

    /// Bytes of each write: events are cut wherever it falls.
    #[must_use]
    pub fn write_bytes(mut self, bytes: usize) -> Self {
        self.write_bytes = bytes.max(1);
        self
    }

    /// Lines end in CR LF, and keep-alive comments stand between the events.
    #[must_use]
    pub fn crlf_and_comments(mut self) -> Self {
        self.line_end = "\r\n";
        self.comments = true;
        self
    }

    /// One JSON object instead of a stream, as servers do that ignore `stream`.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    fn reason(&self) -> &'static str {
        let usual = if self.calls > 0 { "tool_calls" } else { "stop" };
        self.finish_reason.unwrap_or(usual)
    }

    fn chunk(delta: &Value, reason: Option<&str>) -> String {
        json!({
            "id": "chatcmpl-lab", "object": "chat.completion.chunk", "created": 1, "model": "fake-chat",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        })
        .to_string()
    }

    /// The events, each with what is sent for it.
    fn events(&self) -> Vec<String> {
        let mut data: Vec<String> = self
            .deltas
            .iter()
            .map(|delta| Self::chunk(delta, None))
            .collect();
        data.push(Self::chunk(&json!({}), Some(self.reason())));
        match self.fault {
            Some(Fault::NoDone) => {}
            Some(Fault::Empty) => data.clear(),
            Some(Fault::CutAfter(n) | Fault::StallAfter(n)) => data.truncate(n),
            Some(Fault::ErrorAfter(n)) => {
                data.truncate(n);
                let error = json!({"error": {"message": "the lab breaks off", "type": "server_error", "code": 500}});
                data.push(error.to_string());
            }
            Some(Fault::GarbageAfter(n)) => {
                data.truncate(n);
                data.push("{\"choices\":[{\"delta\":".to_owned());
            }
            Some(Fault::Status(_) | Fault::Echo(_) | Fault::RateLimited(_) | Fault::WebPage)
            | None => {
                data.push("[DONE]".to_owned());
            }
        }
        let end = self.line_end;
        let comment = if self.comments {
            format!(": keep-alive{end}{end}")
        } else {
            String::new()
        };
        data.into_iter()
            .map(|data| format!("{comment}data: {data}{end}{end}"))
            .collect()
    }

    fn message(&self) -> Value {
        let text: String = self
            .deltas
            .iter()
            .filter_map(|d| d["content"].as_str())
            .collect();
        json!({"id": "chatcmpl-lab", "object": "chat.completion", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"},
        ]})
    }
}

pub(super) async fn handle(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let request = ChatRequest { body };
    let reply = choose(&state, &request);
    let said = request.last_user().unwrap_or_default();
    let guard = state
        .log
        .begin(Request::Chat(request), authorization(&headers));
    let Some(reply) = reply else {
        guard.sent();
        return refusal(Some(&Fault::Status(500))).expect("a status is refused at once");
    };
    let refused = refusal(reply.fault.as_ref());
    if let Some(response) = refused.or_else(|| echo(reply.fault.as_ref(), &headers, &said)) {
        tokio::time::sleep(reply.first_after).await;
        guard.sent();
        return response;
    }
    if reply.whole {
        tokio::time::sleep(reply.first_after).await;
        guard.sent();
        return answer("application/json", Body::from(reply.message().to_string()));
    }
    answer("text/event-stream", stream_of(reply, guard))
}

fn answer(content_type: &'static str, body: Body) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header("x-request-id", "req_lab_chat")
        .body(body)
        .expect("a valid response")
}

fn choose(state: &State, request: &ChatRequest) -> Option<ChatReply> {
    let mut script = state.script();
    let said = request.last_user().unwrap_or_default().to_lowercase();
    let rule = script
        .chat_rules
        .iter()
        .find(|(text, _)| !request.answers_a_tool() && said.contains(text.as_str()));
    rule.map(|(_, reply)| reply.clone())
        .or_else(|| script.chats.pop_front())
}

fn stream_of(reply: ChatReply, guard: AnswerGuard) -> Body {
    let mut writes = Vec::new();
    for (n, event) in reply.events().into_iter().enumerate() {
        let wait = if n == 0 { reply.first_after } else { reply.gap };
        for (m, piece) in event.as_bytes().chunks(reply.write_bytes).enumerate() {
            let wait = if m == 0 { wait } else { Duration::ZERO };
            writes.push((wait, Bytes::copy_from_slice(piece)));
        }
    }
    send(writes, &reply.fault, guard)
}

/// A body of pieces, each after its wait, ended as the fault has it.
pub(super) fn send(
    writes: Vec<(Duration, Bytes)>,
    fault: &Option<Fault>,
    guard: AnswerGuard,
) -> Body {
    let stall = matches!(fault, Some(Fault::StallAfter(_)));
    let cut = matches!(fault, Some(Fault::CutAfter(_)));
    let start = (writes.into_iter(), Some(guard));
    Body::from_stream(stream::unfold(
        start,
        move |(mut writes, guard)| async move {
            let guard = guard?;
            if let Some((wait, piece)) = writes.next() {
                tokio::time::sleep(wait).await;
                return Some((Ok(piece), (writes, Some(guard))));
            }
            if stall {
                std::future::pending::<()>().await;
            }
            if cut {
                // The server throws away what it has not written yet when the body fails; the
                // pieces before the cut are meant to arrive.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            guard.sent();
            // An error in the body breaks the connection without the closing chunk.
            cut.then(|| (Err(std::io::Error::other("the lab cuts")), (writes, None)))
        },
    ))
}
