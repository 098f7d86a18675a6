//! Chat completions.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use switchhook_adapters::openai::{ChatConfig, MaxTokensField, OpenAiChat};
use switchhook_adapters::{LanguageModel, Limit, LlmError, Secret, ThinkRequest};
use switchhook_lab::providers::{ChatReply, Ended, FakeProviders, Fault};
use switchhook_model::chat::{ChatMessage, ModelDelta, ToolCall, ToolSpec};

use super::{SOON, closed_port};

async fn server() -> FakeProviders {
    FakeProviders::start().await.expect("a free port")
}

fn config(server: &FakeProviders) -> ChatConfig {
    let mut config = ChatConfig::new(server.base_url(), "fake-chat");
    // Long, so that a slow machine fails no test; tests of limits set their own.
    config.limits.first = SOON;
    config.limits.gap = SOON;
    config
}

fn model(server: &FakeProviders) -> OpenAiChat {
    OpenAiChat::new(config(server)).expect("a valid configuration")
}

fn hello() -> ThinkRequest {
    ThinkRequest {
        messages: vec![ChatMessage::user("hello")],
        tools: Vec::new(),
    }
}

/// Everything that comes, up to the end or the first error.
async fn read(model: &OpenAiChat, request: ThinkRequest) -> Result<Vec<ModelDelta>, LlmError> {
    let mut stream = model.stream(request).await?;
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta?);
    }
    Ok(deltas)
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

#[tokio::test]
async fn words_come_one_by_one_and_end() {
    let server = server().await;
    server.chat(ChatReply::text("Good morning, how can I help?"));
    let deltas = read(&model(&server), hello()).await.expect("an answer");
    assert_eq!(text(&deltas), "Good morning, how can I help?");
    assert_eq!(deltas.last(), Some(&ModelDelta::Done));
    assert!(deltas.len() > 3, "streamed: {deltas:?}");
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked() {
    let server = server().await;
    server.chat(ChatReply::text("ok"));
    let mut config = config(&server);
    config.api_key = Some(Secret::new("sk-test"));
    config.temperature = Some(0.5);
    config.max_tokens = Some(200);
    config.max_tokens_field = MaxTokensField::MaxCompletionTokens;
    config.extra_body = json!({"keep_alive": "1h", "stream": false})
        .as_object()
        .cloned()
        .expect("an object");
    let mut asked = ChatMessage::assistant("");
    asked.tool_calls.push(ToolCall {
        id: "c1".into(),
        name: "book".into(),
        arguments: "{not json".into(),
    });
    let request = ThinkRequest {
        messages: vec![
            ChatMessage::system("Be brief."),
            ChatMessage::user("Grüße \"2001\""),
            asked,
            ChatMessage::tool("c1", "failed"),
        ],
        tools: vec![ToolSpec {
            name: "book".into(),
            description: "Books.".into(),
            parameters: json!({"type": "object"}),
        }],
    };
    let model = OpenAiChat::new(config).expect("a valid configuration");
    read(&model, request).await.expect("an answer");
    let exchanges = server.exchanges();
    assert_eq!(
        exchanges[0].authorization.as_deref(),
        Some("Bearer sk-test")
    );
    assert_eq!(
        server.chats()[0].body,
        json!({
            "model": "fake-chat", "stream": true, "temperature": 0.5,
            "max_completion_tokens": 200, "keep_alive": "1h",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Grüße \"2001\""},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "book", "arguments": "{}"}}]},
                {"role": "tool", "content": "failed", "tool_call_id": "c1"},
            ],
            "tools": [{"type": "function", "function": {
                "name": "book", "description": "Books.", "parameters": {"type": "object"}}}],
        })
    );
}

#[tokio::test]
async fn tool_calls_split_over_deltas_are_put_together() {
    let arguments = json!({"department": "sales", "reason": "asks for a person", "summary": "ü"});
    for write_bytes in [1, 7, 64, 100_000] {
        let server = server().await;
        server.chat(
            ChatReply::text("One moment.")
                .and_tool_call("request_human_transfer", &arguments)
                .and_tool_call("end_call", &json!({}))
                .finish_reason("stop")
                .crlf_and_comments()
                .write_bytes(write_bytes),
        );
        let deltas = read(&model(&server), hello()).await.expect("an answer");
        assert_eq!(text(&deltas), "One moment.");
        let calls: Vec<&ToolCall> = deltas
            .iter()
            .filter_map(|d| match d {
                ModelDelta::ToolCall(call) => Some(call),
                ModelDelta::Text(_) | ModelDelta::Done | ModelDelta::Failed(_) => None,
            })
            .collect();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].name, "request_human_transfer");
        assert_eq!(calls[0].id, "call_lab_0");
        let read: serde_json::Value = serde_json::from_str(&calls[0].arguments).expect("JSON");
        assert_eq!(read, arguments);
        assert_eq!(calls[1].arguments, "{}");
        assert_eq!(deltas.last(), Some(&ModelDelta::Done));
    }
}

#[tokio::test]
async fn an_answer_that_ignores_stream_is_read() {
    let server = server().await;
    server.chat(ChatReply::text("All at once.").whole());
    let deltas = read(&model(&server), hello()).await.expect("an answer");
    assert_eq!(
        deltas,
        [ModelDelta::Text("All at once.".into()), ModelDelta::Done]
    );
}

#[tokio::test]
async fn failures_before_the_first_word_are_repeated() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::RateLimited("0".into()),
        Fault::CutAfter(0),
        Fault::ErrorAfter(0),
        Fault::ErrorAfter(1),
    ] {
        let server = server().await;
        server
            .chat(ChatReply::text("lost").with_fault(fault.clone()))
            .chat(ChatReply::text("here"));
        let deltas = read(&model(&server), hello()).await;
        let deltas = deltas.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!(text(&deltas), "here", "{fault:?}");
        assert_eq!(server.chats().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn what_cannot_pass_is_not_repeated() {
    for (fault, named) in [
        (Fault::Status(400), "400"),
        (Fault::Status(401), "check the API key"),
        (Fault::Status(404), "model name"),
        (Fault::GarbageAfter(0), "not understood"),
        (Fault::WebPage, "web page"),
    ] {
        let server = server().await;
        for _ in 0..4 {
            server.chat(ChatReply::fault(fault.clone()));
        }
        let error = read(&model(&server), hello()).await.expect_err("refused");
        assert!(error.to_string().contains(named), "{fault:?}: {error}");
        assert!(
            error.to_string().contains("fake-chat at 127.0.0.1"),
            "{error}"
        );
        if !error.is_retryable() {
            assert_eq!(server.chats().len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_long_wait_asked_for_is_not_waited() {
    let server = server().await;
    server.chat(ChatReply::fault(Fault::RateLimited("3600".into())));
    let error = read(&model(&server), hello()).await.expect_err("refused");
    let LlmError::Refused { refusal, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(refusal.status, 429);
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(server.chats().len(), 1);
}

#[tokio::test]
async fn after_the_first_word_nothing_is_repeated() {
    for fault in [
        Fault::CutAfter(4),
        Fault::ErrorAfter(4),
        Fault::GarbageAfter(4),
        Fault::NoDone,
    ] {
        let server = server().await;
        let reply = ChatReply::text("one two three four five").and_tool_call("x", &json!({"a": 1}));
        server.chat(reply.with_fault(fault.clone()));
        let mut stream = model(&server).stream(hello()).await.expect("it begins");
        let mut deltas = Vec::new();
        let error = loop {
            match stream.next().await {
                Some(Ok(delta)) => deltas.push(delta),
                Some(Err(error)) => break error,
                None => panic!("{fault:?}: ended without an error"),
            }
        };
        assert!(
            text(&deltas).starts_with("one two three"),
            "{fault:?}: {deltas:?}"
        );
        assert!(
            !deltas
                .iter()
                .any(|d| matches!(d, ModelDelta::Done | ModelDelta::ToolCall(_))),
            "{fault:?}: {error}"
        );
        assert!(stream.next().await.is_none(), "nothing after an error");
        assert_eq!(server.chats().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn each_limit_is_named() {
    let short = Duration::from_millis(150);
    let server = server().await;
    server
        .chat(ChatReply::text("late").first_after(SOON * 3))
        .chat(ChatReply::text("one two three").with_fault(Fault::StallAfter(3)))
        .chat(ChatReply::text(&"word ".repeat(500)).gap(Duration::from_millis(20)));

    let mut first = config(&server);
    first.limits.first = short;
    let model = OpenAiChat::new(first).expect("a valid configuration");
    let error = read(&model, hello()).await.expect_err("too late");
    assert!(
        matches!(
            error,
            LlmError::TimedOut {
                limit: Limit::First,
                ..
            }
        ),
        "{error}"
    );

    let mut gap = config(&server);
    gap.limits.gap = short;
    let model = OpenAiChat::new(gap).expect("a valid configuration");
    let error = read(&model, hello()).await.expect_err("stalled");
    assert!(
        matches!(
            error,
            LlmError::TimedOut {
                limit: Limit::Gap,
                ..
            }
        ),
        "{error}"
    );

    let mut whole = config(&server);
    whole.limits.whole = Duration::from_secs(1);
    let model = OpenAiChat::new(whole).expect("a valid configuration");
    let error = read(&model, hello()).await.expect_err("too long");
    assert!(
        matches!(
            error,
            LlmError::TimedOut {
                limit: Limit::Whole,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_the_answer_stops_the_provider() {
    let server = server().await;
    let words = "word ".repeat(10_000);
    server
        .chat(ChatReply::text(&words).gap(Duration::from_millis(5)))
        .chat(ChatReply::text("late").first_after(SOON * 10));
    let model = model(&server);
    let mut stream = model.stream(hello()).await.expect("it begins");
    stream.next().await.expect("a word").expect("no error");
    drop(stream);
    server
        .wait_until(SOON, |all| all[0].ended == Ended::Cancelled)
        .await
        .expect("the connection is closed");

    let asked = tokio::spawn(async move { model.stream(hello()).await.map(drop) });
    server.wait_for_chat(2, SOON).await.expect("it is asked");
    asked.abort();
    server
        .wait_until(SOON, |all| all[1].ended == Ended::Cancelled)
        .await
        .expect("a request that waits is given up as well");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let address = closed_port();
    let mut config = ChatConfig::new(format!("http://{address}/v1"), "m");
    config.limits.retries = 1;
    let model = OpenAiChat::new(config).expect("a valid configuration");
    let error = read(&model, hello()).await.expect_err("nobody listens");
    assert!(matches!(error, LlmError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn wrong_configurations_are_refused_at_once() {
    let error = |change: fn(&mut ChatConfig)| {
        let mut config = ChatConfig::new("http://127.0.0.1:1/v1", "m");
        change(&mut config);
        OpenAiChat::new(config).expect_err("wrong").to_string()
    };
    assert!(error(|c| c.base_url = "127.0.0.1:1".into()).contains("http://"));
    assert!(error(|c| c.model = " ".into()).contains("model"));
    let shown = error(|c| c.api_key = Some(Secret::new("sk\nsecret")));
    assert!(
        shown.contains("API key") && !shown.contains("secret"),
        "{shown}"
    );
    let mut config = ChatConfig::new("http://127.0.0.1:1/v1", "m");
    config.api_key = Some(Secret::new("sk-secret"));
    let model = OpenAiChat::new(config).expect("a valid configuration");
    assert!(!format!("{model:?}").contains("sk-secret"));
}
