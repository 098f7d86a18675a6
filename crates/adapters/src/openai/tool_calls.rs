//! Puts tool calls together from the pieces a stream brings, as OpenAI sends them and as local
//! servers vary it.

use serde::Deserialize;
use switchhook_model::chat::ToolCall;

/// Most tool calls in one answer.
pub const MAX_CALLS: usize = 16;
/// Longest arguments of all calls together, in bytes.
pub const MAX_ARGUMENTS: usize = 64 * 1024;
/// Longest id or name, in bytes.
const MAX_NAME: usize = 256;

/// One piece of a tool call as it stands on the wire. Every field may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ToolCallPiece {
    #[serde(default)]
    pub index: Option<u64>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub function: Option<FunctionPiece>,
}

/// The inner part of a piece.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct FunctionPiece {
    #[serde(default)]
    pub name: Option<String>,
    /// Text by the book; some servers send the object itself.
    #[serde(default)]
    pub arguments: Option<serde_json::Value>,
}

/// Too many calls, or too long ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} {what}")]
pub struct TooMuch {
    pub limit: usize,
    pub what: &'static str,
}

#[derive(Debug, Default)]
struct Growing {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// The calls so far.
#[derive(Debug, Default)]
pub struct ToolCalls {
    calls: Vec<Growing>,
    /// The call the last piece belonged to.
    current: Option<usize>,
    argument_bytes: usize,
}

impl ToolCalls {
    /// Adds one piece.
    ///
    /// By the book the index says which call it belongs to, id and name come with its first piece
    /// and the arguments in any number of pieces. Tolerated: no index (an id or a name then begins
    /// a new call), one index for several calls (a different id with a name begins a new call),
    /// id and name repeated in every piece, empty ids, arguments as an object.
    ///
    /// # Errors
    /// If the answer holds more than a sensible model would send.
    pub fn push(&mut self, piece: ToolCallPiece) -> Result<(), TooMuch> {
        let id = piece.id.unwrap_or_default();
        let function = piece.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        if id.len() > MAX_NAME || name.len() > MAX_NAME {
            return Err(TooMuch {
                limit: MAX_NAME,
                what: "bytes of a tool call's id or name",
            });
        }
        let at = match self.find(piece.index, &id, &name) {
            Some(at) => at,
            None if self.calls.len() == MAX_CALLS => {
                return Err(TooMuch {
                    limit: MAX_CALLS,
                    what: "tool calls",
                });
            }
            None => {
                self.calls.push(Growing {
                    index: piece.index,
                    ..Growing::default()
                });
                self.calls.len() - 1
            }
        };
        self.current = Some(at);
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        let arguments = match function.arguments {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        self.argument_bytes += arguments.len();
        if self.argument_bytes > MAX_ARGUMENTS {
            return Err(TooMuch {
                limit: MAX_ARGUMENTS,
                what: "bytes of tool arguments",
            });
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// The call a piece continues; `None` if it begins one.
    fn find(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let same_call = |at: usize| {
            let call = &self.calls[at];
            let other_id = !id.is_empty() && !call.id.is_empty() && id != call.id;
            let begins_again = match index {
                // The index is trusted unless another call clearly begins.
                Some(_) => other_id && !name.is_empty(),
                // Without one, a name that comes without the known id begins another call.
                None => {
                    let named_again = !name.is_empty() && !call.name.is_empty();
                    other_id || (named_again && (id.is_empty() || id != call.id))
                }
            };
            !begins_again
        };
        let candidate = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None if !id.is_empty() => self
                .calls
                .iter()
                .rposition(|call| call.id == id)
                .or(self.current),
            None => self.current,
        };
        candidate.filter(|at| same_call(*at))
    }

    /// Nothing has come.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls in the order they began. A call without a name is left out: it cannot be carried
    /// out. Missing ids are made up, empty arguments become `{}`.
    pub fn finish(self) -> Vec<ToolCall> {
        self.calls
            .into_iter()
            .enumerate()
            .filter(|(_, call)| !call.name.is_empty())
            .map(|(n, call)| ToolCall {
                id: if call.id.is_empty() {
                    format!("call_{n}")
                } else {
                    call.id
                },
                name: call.name,
                arguments: if call.arguments.trim().is_empty() {
                    "{}".to_owned()
                } else {
                    call.arguments
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: serde_json::Value) -> Vec<(String, String, String)> {
        let pieces: Vec<ToolCallPiece> = serde_json::from_value(pieces).expect("pieces");
        let mut calls = ToolCalls::default();
        for piece in pieces {
            calls.push(piece).expect("small");
        }
        calls
            .finish()
            .into_iter()
            .map(|c| (c.id, c.name, c.arguments))
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn by_the_book_two_calls_interleaved() {
        let got = read(serde_json::json!([
            {"index":0,"id":"a","type":"function","function":{"name":"transfer","arguments":""}},
            {"index":1,"id":"b","type":"function","function":{"name":"book","arguments":"{\"n"}},
            {"index":0,"function":{"arguments":"{\"to\":\"sa"}},
            {"index":1,"function":{"arguments":"\":2}"}},
            {"index":0,"function":{"arguments":"les\"}"}},
        ]));
        assert_eq!(
            got,
            [
                call("a", "transfer", "{\"to\":\"sales\"}"),
                call("b", "book", "{\"n\":2}")
            ]
        );
    }

    #[test]
    fn local_variations_are_understood() {
        let whole = serde_json::json!([
            {"id":"","function":{"name":"transfer","arguments":{"to":"sales"}}},
        ]);
        assert_eq!(
            read(whole),
            [call("call_0", "transfer", "{\"to\":\"sales\"}")]
        );

        let without_index = serde_json::json!([
            {"id":"a","function":{"name":"x","arguments":"{"}},
            {"function":{"arguments":"}"}},
            {"id":"b","function":{"name":"y"}},
        ]);
        assert_eq!(
            read(without_index),
            [call("a", "x", "{}"), call("b", "y", "{}")]
        );

        let one_index = serde_json::json!([
            {"index":0,"id":"a","function":{"name":"x","arguments":"{}"}},
            {"index":0,"id":"b","function":{"name":"y","arguments":"{}"}},
        ]);
        assert_eq!(
            read(one_index),
            [call("a", "x", "{}"), call("b", "y", "{}")]
        );

        let repeated = serde_json::json!([
            {"index":0,"id":"a","function":{"name":"x","arguments":"{\"k\""}},
            {"index":0,"id":"a","function":{"name":"x","arguments":":1}"}},
        ]);
        assert_eq!(read(repeated), [call("a", "x", "{\"k\":1}")]);

        let no_ids = serde_json::json!([
            {"function":{"name":"x","arguments":"{}"}},
            {"function":{"name":"y","arguments":"{}"}},
        ]);
        assert_eq!(
            read(no_ids),
            [call("call_0", "x", "{}"), call("call_1", "y", "{}")]
        );

        let no_index_repeated_id = serde_json::json!([
            {"id":"a","function":{"name":"x","arguments":"{\"k\""}},
            {"id":"a","function":{"name":"x","arguments":":1}"}},
        ]);
        assert_eq!(read(no_index_repeated_id), [call("a", "x", "{\"k\":1}")]);

        let nameless = serde_json::json!([{"index":3,"id":null,"function":null}]);
        assert_eq!(read(nameless), []);
    }

    #[test]
    fn floods_are_refused() {
        let mut calls = ToolCalls::default();
        let piece = |n: u64| ToolCallPiece {
            index: Some(n),
            ..ToolCallPiece::default()
        };
        let failed = (0..100).find_map(|n| calls.push(piece(n)).err());
        assert_eq!(failed.map(|e| e.limit), Some(MAX_CALLS));
        let mut calls = ToolCalls::default();
        let long = ToolCallPiece {
            function: Some(FunctionPiece {
                name: None,
                arguments: Some("x".repeat(MAX_ARGUMENTS + 1).into()),
            }),
            ..ToolCallPiece::default()
        };
        assert!(calls.push(long).is_err());
    }

    proptest! {
        #[test]
        fn arguments_cut_anywhere_come_out_whole(text in "\\PC{0,80}", size in 1usize..7) {
            let mut calls = ToolCalls::default();
            calls.push(ToolCallPiece {
                index: Some(0),
                id: Some("a".into()),
                function: Some(FunctionPiece { name: Some("f".into()), arguments: None }),
            }).expect("small");
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(size) {
                calls.push(ToolCallPiece {
                    index: Some(0),
                    id: None,
                    function: Some(FunctionPiece {
                        name: None,
                        arguments: Some(piece.iter().collect::<String>().into()),
                    }),
                }).expect("small");
            }
            let expected = if text.trim().is_empty() { "{}".to_owned() } else { text };
            prop_assert_eq!(calls.finish(), vec![ToolCall { id: "a".into(), name: "f".into(), arguments: expected }]);
        }
    }
}
