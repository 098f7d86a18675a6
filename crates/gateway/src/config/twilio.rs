//! `[twilio]`: the carrier, what it may, and how it speaks.

use switchhook_model::{E164, Language};

use super::problems::Problems;
use super::raw::RawTwilio;
use super::types::{AssistantVia, Mode, TransferVia, TwilioSection, TwilioVoice};

pub(super) const API_URL: &str = "https://api.twilio.com";
/// ElevenLabs takes calls by SIP over TCP or TLS only.
const ASSISTANT_SIP: &str = "sip.rtc.elevenlabs.io:5060;transport=tcp";

/// Nothing if no key of the section is set.
pub(super) fn resolve(
    raw: RawTwilio,
    (mode, simulates): (Mode, bool),
    public_url: Option<&str>,
    language: Language,
    problems: &mut Problems,
) -> Option<TwilioSection> {
    if !raw
        .enabled
        .unwrap_or(simulates || raw.account_sid.is_some() || raw.auth_token.is_some())
    {
        return None;
    }
    let mut tokens = Vec::new();
    tokens.extend(problems.secret("twilio.auth_token", raw.auth_token, raw.auth_token_file));
    tokens.extend(raw.old_auth_token);
    if let Some(sid) = &raw.account_sid
        && !is_sid(sid, "AC")
    {
        problems.add(
            "twilio.account_sid (TWILIO_ACCOUNT_SID): expected AC and 32 hexadecimal digits, as the console shows it",
        );
    }
    // Who calls nobody needs no account.
    if mode == Mode::Production && !simulates {
        if raw.account_sid.is_none() {
            problems.add("twilio.account_sid (TWILIO_ACCOUNT_SID) is missing");
        }
        if tokens.is_empty() {
            problems.add(
                "twilio.auth_token (TWILIO_AUTH_TOKEN) is missing: without it no webhook can be verified",
            );
        }
        if public_url.is_none() {
            problems.add(
                "public_url (SWITCHHOOK_PUBLIC_URL) is missing: Twilio calls us at an https address",
            );
        }
    }
    let mut number = |key: &str, text: Option<String>| -> Option<E164> {
        text.and_then(|text| problems.parse(key, &text))
    };
    let phone_number = number("twilio.number", raw.number);
    let assistant_number = number("twilio.assistant_number", raw.assistant_number);
    let caller_id = number("twilio.caller_id", raw.caller_id);
    let assistant_via = match raw.assistant_via.as_deref() {
        None if assistant_number.is_some() => AssistantVia::Number,
        None | Some("own") => AssistantVia::Own,
        Some("number") => AssistantVia::Number,
        Some("sip") => AssistantVia::Sip,
        Some(other) => {
            problems.add(format!(
                "twilio.assistant_via: expected own, number or sip, got {other:?}"
            ));
            AssistantVia::Own
        }
    };
    if assistant_via != AssistantVia::Own && assistant_number.is_none() {
        problems.add(
            "twilio.assistant_number (ELEVENLABS_PHONE_NUMBER) is missing: twilio.assistant_via needs the number at which the other assistant answers",
        );
    }
    if assistant_number.is_some() && assistant_number == phone_number {
        problems.add(
            "twilio.assistant_number and twilio.number are the same: the number that is shown is not the one the other assistant answers at",
        );
    }
    let assistant_sip = raw.assistant_sip.as_deref().unwrap_or(ASSISTANT_SIP);
    let assistant_sip = sip_host(assistant_sip).unwrap_or_else(|| {
        problems.add(
            "twilio.assistant_sip: expected host:port;transport=tcp or tls; UDP is not taken there",
        );
        (String::new(), None, false)
    });
    let transport = raw.sip_transport.unwrap_or_else(|| "udp".to_owned());
    let transport = transport.to_lowercase();
    if !["udp", "tcp", "tls"].contains(&transport.as_str()) {
        problems.add(format!(
            "twilio.sip_transport: expected udp, tcp or tls, got {transport:?}"
        ));
    }
    let sip_domain = raw.sip_domain.map(|domain| bare_host(&domain));
    if sip_domain.as_ref().is_some_and(|domain| !is_host(domain)) {
        problems.add(
            "twilio.sip_domain (FREEPBX_DOMAIN): expected a host name or address, with a port if it is not 5060",
        );
    }
    let sip_password = problems.secret(
        "twilio.sip_password",
        raw.sip_password,
        raw.sip_password_file,
    );
    let sip_credentials = match (raw.sip_username, sip_password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            problems.add(
                "twilio.sip_username and twilio.sip_password belong together: set both or none",
            );
            None
        }
    };
    let accept_key = raw.accept_key.as_deref().and_then(|key| {
        let mut chars = key.chars();
        match (chars.next(), chars.next()) {
            (Some(key), None) if key.is_ascii_digit() || key == '*' || key == '#' => Some(key),
            _ => {
                problems.add("twilio.accept_key: expected one key of the keypad, such as \"1\"");
                None
            }
        }
    });
    let transfer = match raw.transfer.as_deref() {
        None | Some("dial") => TransferVia::Dial,
        Some("conference") => TransferVia::Conference,
        Some(other) => {
            problems.add(format!(
                "twilio.transfer: expected dial or conference, got {other:?}"
            ));
            TransferVia::Dial
        }
    };
    let streams = match raw.talk.as_deref() {
        None | Some("gather") => false,
        Some("stream") => true,
        Some(other) => {
            problems.add(format!(
                "twilio.talk: expected gather or stream, got {other:?}"
            ));
            false
        }
    };
    let (default_voice, default_tag) = voice_of(language);
    Some(TwilioSection {
        account_sid: raw.account_sid,
        is_lab: false,
        auth_tokens: tokens,
        shared_keys: raw.shared_keys,
        api_url: raw.api_url.map_or_else(
            || API_URL.to_owned(),
            |url| url.trim_end_matches('/').to_owned(),
        ),
        number: phone_number,
        assistant_number,
        assistant_via,
        assistant_sip,
        caller_id,
        passes_caller: raw.pass_caller.unwrap_or(true),
        sip_domain,
        sip_transport: transport,
        sip_credentials,
        whisper: raw.whisper.unwrap_or(false) || accept_key.is_some(),
        accept_key,
        streams,
        transfer,
        voice: TwilioVoice {
            name: raw.voice.unwrap_or_else(|| default_voice.to_owned()),
            language: raw.voice_language.unwrap_or_else(|| default_tag.to_owned()),
            hints: raw.hints,
            speech_model: raw.speech_model,
        },
    })
}

/// A voice of the carrier's, and its language (BCP 47).
fn voice_of(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::En => ("Polly.Joanna-Neural", "en-US"),
        Language::De => ("Polly.Vicki-Neural", "de-DE"),
        Language::Ar => ("Polly.Hala-Neural", "ar-AE"),
    }
}

fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Deployments write `sip:pbx.example.com` or an https address here.
fn bare_host(text: &str) -> String {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.strip_prefix("sip:").unwrap_or(rest);
    rest.split(['/', ';', '?'])
        .next()
        .unwrap_or(rest)
        .to_owned()
}

/// Host, port and whether TLS is used, of `host:port;transport=tcp`.
fn sip_host(text: &str) -> Option<(String, Option<u16>, bool)> {
    let text = text.strip_prefix("sip:").unwrap_or(text);
    let (address, transport) = text.split_once(';').unwrap_or((text, "transport=tcp"));
    let is_tls = match transport {
        "transport=tcp" => false,
        "transport=tls" => true,
        _ => return None,
    };
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (
            host,
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        ),
        None => (address, None),
    };
    is_host(host).then(|| (host.to_owned(), port, is_tls))
}

fn is_host(text: &str) -> bool {
    let host = text.split(':').next().unwrap_or_default();
    !host.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
}
