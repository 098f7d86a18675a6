//! The tool `book_appointment`: a booking is taken down and goes to the staff like any other notice.
//! The model hears of success only when it is stored.

use serde_json::{Value, json};
use switchhook_conversation::Input;
use switchhook_model::{CallId, CallerIdentity, MessageId, Timestamp};
use switchhook_store::{Step, Store};

use crate::bus::{Bus, LiveEvent};
use crate::notices::{self, Ways};

/// A booking as the model wants it.
#[derive(Debug, PartialEq, Eq)]
pub struct BookingRequest {
    pub request: u32,
    pub id: String,
    pub arguments: String,
}

/// Stores the booking; the result is what the model is told.
pub(super) async fn take_down(
    wanted: BookingRequest,
    call: &CallId,
    number: u32,
    caller: &CallerIdentity,
    (store, bus, destination): (&Store, &Bus, &Ways),
    now: Timestamp,
) -> Input {
    let result = match details(&wanted.arguments) {
        Ok(details) => {
            let message = MessageId::from_unique(&format!("{}-booking-{number}", call.unique()));
            let (row, work) = notices::booking(destination, call, &message, caller, &details, now);
            let shown = LiveEvent::message(&row);
            let step = Step {
                messages: vec![row],
                work: vec![work],
                ..Step::default()
            };
            match store.commit(step).await {
                Ok(_) => {
                    bus.send(shown);
                    json!({ "status": "booked", "reference": message })
                }
                Err(error) => {
                    tracing::error!(%error, "a booking could not be stored");
                    json!({ "error": "the booking could not be stored" })
                }
            }
        }
        Err(problem) => json!({ "error": problem }),
    };
    Input::ToolResult {
        request: wanted.request,
        id: wanted.id,
        content: result.to_string(),
    }
}

/// What the model wrote, checked: the day and time must be an instant.
fn details(arguments: &str) -> Result<Value, String> {
    let details: Value = serde_json::from_str(arguments)
        .map_err(|error| format!("the arguments are not JSON: {error}"))?;
    let instant = details
        .get("datetime")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if Timestamp::parse_rfc3339(instant).is_none() {
        return Err("datetime is missing or not ISO 8601 with an offset".to_owned());
    }
    Ok(details)
}

#[cfg(test)]
mod tests {
    use super::details;

    #[test]
    fn a_booking_needs_an_instant() {
        assert!(details(r#"{"datetime":"2026-11-22T19:00:00+01:00","people":2}"#).is_ok());
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"datetime":"tomorrow"}"#,
            r#"{"datetime":7}"#,
        ] {
            assert!(details(bad).is_err(), "{bad}");
        }
    }
}
