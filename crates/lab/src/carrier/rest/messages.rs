//! Messages over REST.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Refusal, Reply, Request, page};
use crate::carrier::Shared;
use crate::carrier::messages::Message;

pub(super) fn create(shared: &Arc<Shared>, request: &Request) -> Answer {
    let sent = shared.send_message(&request.form);
    let message = sent.map_err(|code| Refusal::bad(code, "The message cannot be sent"))?;
    Ok(Reply::Created(json_of(shared, &message)))
}

pub(super) fn fetch(shared: &Shared, sid: &str) -> Answer {
    let state = shared.state();
    let found = state.messages.iter().find(|m| m.sid == sid).cloned();
    drop(state);
    let missing = || Refusal::missing(&format!("/Messages/{sid}.json"));
    Ok(Reply::Found(json_of(shared, &found.ok_or_else(missing)?)))
}

pub(super) fn list(shared: &Shared, request: &Request) -> Answer {
    let all = shared.state().messages.clone();
    let is = |name: &str, value: &str| request.query(name).is_none_or(|wanted| wanted == value);
    let found = all
        .iter()
        .rev()
        .filter(|m| is("To", &m.to) && is("From", &m.from))
        .map(|m| json_of(shared, m))
        .collect();
    Ok(page(request, "messages", found))
}

fn json_of(shared: &Shared, message: &Message) -> Value {
    let account = &shared.config.account_sid;
    json!({
        "sid": message.sid,
        "account_sid": account,
        "messaging_service_sid": null,
        "from": message.from,
        "to": message.to,
        "body": message.body,
        "status": message.status,
        "direction": "outbound-api",
        "num_segments": segments(&message.body).to_string(),
        "num_media": "0",
        "error_code": message.error_code,
        "error_message": null,
        "price": null,
        "price_unit": "USD",
        "api_version": "2010-04-01",
        "date_created": crate::carrier::rfc2822(message.created),
        "date_updated": crate::carrier::rfc2822(message.created),
        "date_sent": null,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{}.json", message.sid),
    })
}

/// Messages, segments: 160 characters of GSM-7 or 70 of UCS-2; concatenated 153 and 67.
fn segments(body: &str) -> usize {
    const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";
    const DOUBLE: &str = "^{}\\[~]|€";
    let is_gsm = |c: char| c.is_ascii_alphanumeric() || GSM.contains(c) || DOUBLE.contains(c);
    let (length, one, more) = if body.chars().all(is_gsm) {
        let doubled = body.chars().filter(|c| DOUBLE.contains(*c)).count();
        (body.chars().count() + doubled, 160, 153)
    } else {
        (body.encode_utf16().count(), 70, 67)
    };
    if length <= one {
        1
    } else {
        length.div_ceil(more)
    }
}

#[cfg(test)]
mod tests {
    use super::segments;

    #[test]
    fn segments_are_counted_by_alphabet() {
        for (text, count) in [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("ü".repeat(160), 1),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("س".repeat(70), 1),
            ("س".repeat(71), 2),
            ("a".repeat(307), 3),
        ] {
            assert_eq!(
                segments(&text),
                count,
                "{} characters",
                text.chars().count()
            );
        }
    }
}
