//! What staff read. Data from outside: whoever shows it escapes it.

use serde_json::Value;
use switchhook_call::{NoticeBody, NoticeTemplate};
use switchhook_model::{CallerIdentity, Language};

use super::ways::Words;

/// Longest text of an SMS, in characters (Twilio Messages, `Body`).
const MAX_TEXT: usize = 1600;

/// One line for the inbox, in English.
pub(super) fn line(template: NoticeTemplate, body: &NoticeBody) -> String {
    let who = caller(body, "unknown number");
    match template {
        NoticeTemplate::MessageTaken if body.text.is_empty() => {
            format!(
                "{who} left a spoken message of {} s",
                body.duration_ms.div_ceil(1000)
            )
        }
        NoticeTemplate::MessageTaken => format!("{who}: {}", body.text),
        NoticeTemplate::MissedCall => format!("{who} asked for a human and reached nobody"),
        NoticeTemplate::MessageUnread => {
            format!("{who} was cut off while leaving a message: listen to the recording")
        }
    }
}

/// A message to a telephone: who was not reached, and whom to call back.
pub(super) fn text(words: &Words, template: NoticeTemplate, body: &NoticeBody) -> String {
    let name = &words.assistant;
    let seconds = words.ring_timeout_s;
    let spoken_s = body.duration_ms.div_ceil(1000);
    let has_tried = !body.tried.is_empty();
    let text = match words.language {
        Language::En => {
            let who = caller(body, "unknown number");
            let missed = if has_tried {
                format!("Not reached within {seconds} seconds. Please call back {who}.")
            } else {
                format!("A caller asked for a human. Please call back {who}.")
            };
            match template {
                NoticeTemplate::MissedCall => format!("{name}: {missed}"),
                NoticeTemplate::MessageTaken if body.text.is_empty() => {
                    format!("{name}: {missed} There is a spoken message of {spoken_s} s.")
                }
                NoticeTemplate::MessageTaken => {
                    format!("{name}: {missed} Message: {}", body.text)
                }
                NoticeTemplate::MessageUnread => {
                    format!("{name}: {missed} The message was cut off: listen to the recording.")
                }
            }
        }
        Language::De => {
            let who = caller(body, "unbekannt");
            let missed = if has_tried {
                format!(
                    "Ziel nicht erreicht innerhalb von {seconds} Sekunden. Bitte Rückruf an {who}."
                )
            } else {
                format!("Ein Anrufer wollte mit einem Menschen sprechen. Bitte Rückruf an {who}.")
            };
            match template {
                NoticeTemplate::MissedCall => format!("{name}: {missed}"),
                NoticeTemplate::MessageTaken if body.text.is_empty() => {
                    format!("{name}: {missed} Es gibt eine gesprochene Nachricht von {spoken_s} s.")
                }
                NoticeTemplate::MessageTaken => {
                    format!("{name}: {missed} Nachricht: {}", body.text)
                }
                NoticeTemplate::MessageUnread => {
                    format!("{name}: {missed} Die Nachricht brach ab: bitte die Aufnahme anhören.")
                }
            }
        }
        Language::Ar => {
            let who = caller(body, "رقم غير معروف");
            let missed = if has_tried {
                format!("لم يتم الرد خلال {seconds} ثانية. يرجى معاودة الاتصال بـ {who}.")
            } else {
                format!("طلب متصل التحدث مع موظف. يرجى معاودة الاتصال بـ {who}.")
            };
            match template {
                NoticeTemplate::MissedCall => format!("{name}: {missed}"),
                NoticeTemplate::MessageTaken if body.text.is_empty() => {
                    format!("{name}: {missed} توجد رسالة صوتية مدتها {spoken_s} ثانية.")
                }
                NoticeTemplate::MessageTaken => format!("{name}: {missed} الرسالة: {}", body.text),
                NoticeTemplate::MessageUnread => {
                    format!("{name}: {missed} انقطعت الرسالة، يرجى سماع التسجيل.")
                }
            }
        }
    };
    text.chars().take(MAX_TEXT).collect()
}

/// What was said in a message.
pub(super) fn transcript(words: &Words, caller: &str, said: &str) -> String {
    let name = &words.assistant;
    let who = match (caller, words.language) {
        ("", Language::En) => "unknown number",
        ("", Language::De) => "unbekannt",
        ("", Language::Ar) => "رقم غير معروف",
        (number, _) => number,
    };
    let text = match words.language {
        Language::En => format!("{name}: the message of {who}: {said}"),
        Language::De => format!("{name}: die Nachricht von {who}: {said}"),
        Language::Ar => format!("{name}: رسالة {who}: {said}"),
    };
    text.chars().take(MAX_TEXT).collect()
}

/// One line for a booking.
pub(super) fn booking(caller: &CallerIdentity, details: &Value) -> String {
    let people = details.get("people").and_then(Value::as_u64);
    let when = details
        .get("datetime")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match people {
        Some(people) => format!("{} booked for {people} on {when}", caller.number),
        None => format!("{} booked {when}", caller.number),
    }
}

fn caller(body: &NoticeBody, nobody: &str) -> String {
    let number = if body.caller.is_empty() {
        nobody
    } else {
        &body.caller
    };
    match &body.caller_name {
        Some(name) => format!("{name} ({number})"),
        None => number.to_owned(),
    }
}
