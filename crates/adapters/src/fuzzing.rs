//! Bodies of the fuzz targets: each takes any bytes, and checks what must hold for all of them.

use switchhook_model::chat::ModelDelta;

use crate::openai::answer::AnswerReader;
use crate::openai::sse::SseReader;
use crate::openai::tool_calls::{MAX_CALLS, ToolCallPiece, ToolCalls};

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_sse(&data);
            fuzz_tool_call_deltas(&data);
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
