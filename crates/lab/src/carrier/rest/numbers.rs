//! The account, its numbers, and its verified caller ids.

use serde_json::{Value, json};

use super::{Answer, Refusal, Reply, Request, page};
use crate::carrier::{Number, Shared};

/// The account's only trunk.
const TRUNK_SID: &str = "TK00000000000000000000000000000001";

pub(super) fn account(shared: &Shared) -> Value {
    let sid = &shared.config.account_sid;
    json!({
        "sid": sid,
        "friendly_name": "Example",
        "status": "active",
        "type": "Full",
        "owner_account_sid": sid,
        "date_created": "Sun, 01 Nov 2026 10:00:00 +0000",
        "uri": format!("/2010-04-01/Accounts/{sid}.json"),
    })
}

pub(super) fn list(shared: &Shared, request: &Request) -> Answer {
    let numbers = shared.state().numbers.clone();
    let wanted = request.query("PhoneNumber");
    let found = numbers
        .iter()
        .filter(|n| wanted.is_none_or(|w| n.number.contains(w)))
        .map(|n| json_of(shared, n))
        .collect();
    Ok(page(request, "incoming_phone_numbers", found))
}

pub(super) fn fetch(shared: &Shared, sid: &str) -> Answer {
    let numbers = shared.state().numbers.clone();
    let found = numbers.iter().find(|n| n.sid == sid);
    let missing = || Refusal::missing(&format!("/IncomingPhoneNumbers/{sid}.json"));
    Ok(Reply::Found(json_of(shared, found.ok_or_else(missing)?)))
}

/// `VoiceUrl`, `VoiceMethod`, `VoiceFallbackUrl`, `StatusCallback`.
pub(super) fn update(shared: &Shared, sid: &str, request: &Request) -> Answer {
    let updated = {
        let mut state = shared.state();
        let mut numbers = state.numbers.iter_mut();
        let missing = || Refusal::missing(&format!("/IncomingPhoneNumbers/{sid}.json"));
        let number = numbers.find(|n| n.sid == sid).ok_or_else(missing)?;
        let fallback = request.form("VoiceFallbackUrl");
        let voice = request.form("VoiceUrl").unwrap_or(&number.voice_url);
        // 21405: a fallback without a primary.
        if voice.is_empty() && fallback.is_some_and(|f| !f.is_empty()) {
            return Err(Refusal::bad(21405, "VoiceFallbackUrl without VoiceUrl"));
        }
        for (name, field) in [
            ("VoiceUrl", &mut number.voice_url),
            ("VoiceMethod", &mut number.voice_method),
            ("VoiceFallbackUrl", &mut number.voice_fallback_url),
            ("StatusCallback", &mut number.status_callback),
        ] {
            if let Some(value) = request.form(name) {
                value.clone_into(field);
            }
        }
        number.clone()
    };
    Ok(Reply::Found(json_of(shared, &updated)))
}

pub(super) fn caller_ids(shared: &Shared, request: &Request) -> Answer {
    let wanted = request.query("PhoneNumber");
    let found = shared
        .config
        .verified
        .iter()
        .filter(|n| wanted.is_none_or(|w| w == n.as_str()))
        .map(|n| json!({"sid": "PN00000000000000000000000000000000", "phone_number": n, "friendly_name": n}))
        .collect();
    Ok(page(request, "outgoing_caller_ids", found))
}

fn json_of(shared: &Shared, number: &Number) -> Value {
    let account = &shared.config.account_sid;
    json!({
        "sid": number.sid,
        "account_sid": account,
        "phone_number": number.number,
        "friendly_name": number.number,
        "capabilities": {"voice": true, "sms": number.messages, "mms": false, "fax": false},
        "voice_url": number.voice_url,
        "voice_method": number.voice_method,
        "voice_fallback_url": number.voice_fallback_url,
        "voice_fallback_method": "POST",
        "voice_application_sid": null,
        "trunk_sid": number.is_on_trunk.then_some(TRUNK_SID),
        "status_callback": number.status_callback,
        "status_callback_method": "POST",
        "voice_caller_id_lookup": false,
        "api_version": "2010-04-01",
        "uri": format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{}.json", number.sid),
    })
}
