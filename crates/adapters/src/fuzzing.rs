//! Bodies of the fuzz targets: each takes any bytes, and checks what must hold for all of them.

use switchhook_model::chat::ModelDelta;

use crate::openai::answer::AnswerReader;
use crate::openai::sse::SseReader;
use crate::openai::tool_calls::{MAX_CALLS, ToolCallPiece, ToolCalls};
use crate::twilio::form::{MAX_PARAMS, Params};
use crate::twilio::signature::{self, Signed, Verifier};
use crate::twilio::stream::{self, Incoming, Outgoing};
use crate::twilio::webhook::{self, Webhook};
use crate::{ProviderConfigError, Secret};

/// The first byte says how the rest is cut. The cutting must not change the events, and a chat
/// answer read from the same bytes ends at most once.
///
/// # Panics
/// If one of these does not hold.
pub fn fuzz_sse(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let size = usize::from(*cut).max(1);
    let whole = SseReader::default().push(stream);
    let mut reader = SseReader::default();
    let pieces: Result<Vec<_>, _> = stream
        .chunks(size)
        .map(|piece| reader.push(piece))
        .collect();
    if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces.concat(), "the cutting changed the events");
    }

    let mut answer = AnswerReader::new("fuzz", None);
    let mut out = Vec::new();
    let read = stream
        .chunks(size)
        .try_for_each(|piece| answer.push(piece, &mut out))
        .and_then(|()| answer.finish(&mut out));
    let ends = out
        .iter()
        .filter(|delta| matches!(delta, ModelDelta::Done))
        .count();
    assert_eq!(ends, usize::from(answer.is_done()), "ends counted");
    assert!(
        read.is_err() || answer.is_done(),
        "an answer without its end"
    );
    assert!(
        answer.is_done() || !out.iter().any(|d| matches!(d, ModelDelta::ToolCall(_))),
        "a tool call of an unfinished answer"
    );
}

/// The bytes are a JSON list of tool call pieces, or such pieces line by line. However they come,
/// the calls are bounded, named and have an id and arguments.
///
/// # Panics
/// If one of these does not hold.
pub fn fuzz_tool_call_deltas(data: &[u8]) {
    let pieces: Vec<ToolCallPiece> = serde_json::from_slice(data).unwrap_or_else(|_| {
        data.split(|b| *b == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    });
    let mut calls = ToolCalls::default();
    for piece in pieces {
        if calls.push(piece).is_err() {
            break;
        }
    }
    let calls = calls.finish();
    assert!(calls.len() <= MAX_CALLS);
    for call in calls {
        assert!(!call.id.is_empty() && !call.name.is_empty() && !call.arguments.is_empty());
    }
}

/// The bytes are a webhook's form. Whatever is read is bounded, is the same when written and read
/// again, verifies when it is signed, and no longer when a parameter is added; what the parameters
/// mean can be asked without harm.
///
/// # Panics
/// If one of these does not hold.
pub fn fuzz_twilio_form(data: &[u8]) {
    let Ok(params) = Params::parse(data) else {
        return;
    };
    assert!(params.len() <= MAX_PARAMS);
    let written = params.to_form();
    match Params::parse(written.as_bytes()) {
        Ok(again) => assert_eq!(again.to_form(), written, "written again it differs"),
        // Escaping makes it longer.
        Err(error) => assert!(written.len() > data.len(), "{error}"),
    }

    let token = Secret::new("fuzz");
    let verifier: Result<_, ProviderConfigError> = Verifier::new(
        "https://gw.example.com",
        vec![token.clone()],
        Default::default(),
    );
    let verifier = verifier.expect("a constant URL and token");
    let mut request = Signed {
        path_and_query: "/twilio/voice",
        form: Some(&params),
        ..Signed::default()
    };
    let signature = signature::sign_form(&token, "https://gw.example.com/twilio/voice", &params);
    request.signature = Some(&signature);
    assert!(verifier.verify(&request).is_ok(), "signed by ourselves");
    let mut more = params.clone();
    more.push("one-more-name", "x");
    let changed = Signed {
        form: Some(&more),
        ..request
    };
    let is_new = params.all("one-more-name").all(|value| value != "x");
    assert_eq!(
        verifier.verify(&changed).is_err(),
        is_new,
        "one more parameter"
    );

    let webhook = Webhook::new(&params);
    let _ = (
        webhook.call_sid(),
        webhook.call_status(),
        webhook.direction(),
    );
    let _ = (webhook.from(), webhook.to(), webhook.forwarded_from());
    let _ = (webhook.digits(), webhook.speech(), webhook.answered_by());
    let _ = (
        webhook.timestamp(),
        webhook.sip_response(),
        webhook.error_code(),
    );
    let _ = (
        webhook.recording(),
        webhook.conference(),
        webhook.stream(),
        webhook.message(),
    );
    if let Some(dial) = webhook.dial() {
        assert_eq!(
            dial.was_bridged(),
            dial.cause() == switchhook_model::HangupCause::Normal
        );
    }
    if let Some(confidence) = webhook.confidence() {
        assert!((0.0..=1.0).contains(&confidence));
    }
    let key = webhook::idempotency_key(None, "/twilio/voice", &params);
    assert!(key.len() < 256 && key.bytes().all(|b| b.is_ascii_graphic()));
}

/// The bytes are a message of a media stream, or audio. A message is read or refused; audio sent is
/// audio received.
///
/// # Panics
/// If one of these does not hold.
pub fn fuzz_twilio_stream(data: &[u8]) {
    let mut audio = vec![0x55];
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(Incoming::Media(media)) = stream::read(text)
        && media.decode(&mut audio).is_err()
    {
        assert_eq!(audio, [0x55], "as before");
    }
    let sent = Outgoing::media("MZ00000000000000000000000000000001", data).to_json();
    let received = stream::read(&sent);
    if let Ok(Incoming::Media(media)) = received {
        let mut audio = Vec::new();
        media.decode(&mut audio).expect("our own base64");
        assert_eq!(audio, data);
    } else {
        assert!(sent.len() > stream::MAX_MESSAGE, "our own message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_sse(&data);
            fuzz_tool_call_deltas(&data);
            fuzz_twilio_form(&data);
            fuzz_twilio_stream(&data);
        }

        #[test]
        fn bytes_that_look_like_a_webhook(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "CallSid", "CallStatus", "completed", "DialCallStatus", "failed", "DialBridged", "true",
                "From", "%2B12025550142", "Digits", "SpeechResult", "Confidence", "0.5", "Timestamp",
                "RecordingUrl", "ConferenceSid", "StatusCallbackEvent", "StreamSid", "StreamEvent",
                "one-more-name", "x", "=", "=", "=", "&", "&", "&", "+", "%C3%BC", "%", "ü", "SequenceNumber", "3",
            ]), 0..60),
        ) {
            fuzz_twilio_form(pieces.concat().as_bytes());
        }

        #[test]
        fn bytes_that_look_like_a_stream_message(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{\"event\":", "\"media\"", "\"start\"", "\"mark\"", ",\"media\":{\"payload\":", "\"//8=\"",
                "\"?\"", "}", "}}", ",\"sequenceNumber\":", "\"1\"", "1", "-1", "null", "[]", "\"\\u0000\"",
            ]), 0..12),
        ) {
            fuzz_twilio_stream(pieces.concat().as_bytes());
        }

        #[test]
        fn bytes_that_look_like_a_stream(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "data: ", "[DONE]", "\n", "\r\n", "\r", ":", "{\"choices\":[", "]}", "event: error",
                "{\"delta\":{\"content\":\"a\"}}", "{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"x\"}}]}}",
                "\u{1}", "ü",
            ]), 0..40),
        ) {
            fuzz_sse(pieces.concat().as_bytes());
        }
    }
}
