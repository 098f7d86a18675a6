//! The tools a model is offered, and what it asks with them.

use serde::Deserialize;
use serde_json::{Value, json};
use switchhook_model::ToolSpec;

use crate::config::ConversationConfig;

pub const REQUEST_HUMAN_TRANSFER: &str = "request_human_transfer";
pub const END_CALL: &str = "end_call";
pub const TAKE_MESSAGE: &str = "take_message";
pub const BOOK_APPOINTMENT: &str = "book_appointment";

/// What the model wants with `request_human_transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferArguments {
    pub department: Option<String>,
    pub extension: Option<String>,
    pub reason: String,
    pub summary: String,
}

/// The arguments of a tool call cannot be used. The text goes back to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the arguments are not a JSON object of the tool's schema: {0}")]
pub struct ToolArgumentsError(String);

/// The tools this configuration offers.
pub fn offered(config: &ConversationConfig) -> Vec<ToolSpec> {
    let policy = &config.tools;
    let mut tools = Vec::new();
    if policy.request_human_transfer {
        tools.push(transfer_spec(config));
    }
    if policy.end_call {
        tools.push(ToolSpec {
            name: END_CALL.to_owned(),
            description: "End the call once the caller has clearly said goodbye or has confirmed \
                          that nothing else is needed. A farewell is spoken first."
                .to_owned(),
            parameters: object(json!({}), &[]),
        });
    }
    if policy.take_message {
        tools.push(ToolSpec {
            name: TAKE_MESSAGE.to_owned(),
            description: "Let the caller leave a spoken message for the team after a tone. The \
                          result holds the message's text."
                .to_owned(),
            parameters: object(json!({}), &[]),
        });
    }
    if policy.book_appointment {
        tools.push(ToolSpec {
            name: BOOK_APPOINTMENT.to_owned(),
            description: "Book an appointment, or a table. Call it only when day and time are \
                          known. Tell the caller it is booked only if the result says so."
                .to_owned(),
            parameters: object(
                json!({
                    "datetime": {"type": "string",
                        "description": "Local date and time, ISO 8601 with offset"},
                    "people": {"type": "integer", "minimum": 1},
                    "customer_name": {"type": "string"},
                    "phone": {"type": "string"},
                    "service": {"type": "string", "description": "What is booked"},
                }),
                &["datetime"],
            ),
        });
    }
    tools.extend(policy.others.iter().cloned());
    tools
}

fn transfer_spec(config: &ConversationConfig) -> ToolSpec {
    let mut properties = json!({
        "reason": {"type": "string", "description": "Why the caller needs a human, short"},
        "summary": {"type": "string",
            "description": "What the human should know before answering, one or two sentences"},
    });
    if !config.departments.is_empty() {
        let names: Vec<&str> = config.departments.iter().map(|d| d.name.as_str()).collect();
        properties["department"] = json!({"type": "string", "enum": names});
    }
    if config.allow_spoken_extension {
        properties["extension"] = json!({"type": "string",
            "description": "Only if the caller named an extension: its digits"});
    }
    ToolSpec {
        name: REQUEST_HUMAN_TRANSFER.to_owned(),
        description: "Connect the caller to a human. Use it when the caller asks for a person or \
                      you cannot help. Do not say that the caller is connected: the call goes on \
                      by itself."
            .to_owned(),
        parameters: object(properties, &["reason", "summary"]),
    }
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Reads the arguments of `request_human_transfer`. Nothing at all counts as empty: a caller who
/// wants a human gets one even if the model forgot the reason.
pub fn read_transfer(arguments: &str) -> Result<TransferArguments, ToolArgumentsError> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        department: Option<String>,
        #[serde(default)]
        extension: Option<Value>,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        summary: Option<String>,
    }
    if arguments.trim().is_empty() || arguments.trim() == "null" {
        return Ok(TransferArguments::default());
    }
    let wire: Wire =
        serde_json::from_str(arguments).map_err(|e| ToolArgumentsError(e.to_string()))?;
    let clean = |text: Option<String>| {
        text.map(|t| shorten(t.trim(), 500))
            .filter(|t| !t.is_empty())
    };
    Ok(TransferArguments {
        department: clean(wire.department),
        extension: clean(wire.extension.and_then(|value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })),
        reason: clean(wire.reason).unwrap_or_default(),
        summary: clean(wire.summary).unwrap_or_default(),
    })
}

/// Whether the arguments are a JSON object, or nothing, which means an empty one.
pub fn check_object(arguments: &str) -> Result<(), ToolArgumentsError> {
    if arguments.trim().is_empty() {
        return Ok(());
    }
    serde_json::from_str::<serde_json::Map<String, Value>>(arguments)
        .map(|_| ())
        .map_err(|e| ToolArgumentsError(e.to_string()))
}

fn shorten(text: &str, max_chars: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(max_chars)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::LocalZone;
    use crate::config::Department;
    use switchhook_model::Language;

    #[test]
    fn disabled_tools_are_not_offered_and_departments_are_listed() {
        let mut config = ConversationConfig::new(Language::En, LocalZone::utc());
        config.departments = vec![Department {
            name: "sales".into(),
            aliases: vec![],
        }];
        config.tools.end_call = false;
        let tools = offered(&config);
        assert!(
            tools
                .iter()
                .all(|t| t.name != END_CALL && t.name != BOOK_APPOINTMENT)
        );
        let transfer = &tools[0].parameters["properties"];
        assert_eq!(transfer["department"]["enum"], json!(["sales"]));
        assert!(transfer.get("extension").is_none());
    }

    #[test]
    fn transfer_arguments_are_read_leniently() {
        assert_eq!(read_transfer(""), Ok(TransferArguments::default()));
        let read = read_transfer(r#"{"extension":2001,"reason":" wants a human ","x":1}"#).unwrap();
        assert_eq!(read.extension.as_deref(), Some("2001"));
        assert_eq!(read.reason, "wants a human");
        assert!(read_transfer("{\"reason\":").is_err());
        assert!(check_object("[1]").is_err());
    }
}
