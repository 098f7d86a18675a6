//! The carrier: does it know us, does our number lead here, do both clocks agree.

use std::time::Duration;

use switchhook_adapters::Secret;
use switchhook_adapters::twilio::rest::{PhoneNumberInfo, RestConfig};
use switchhook_adapters::twilio::{Carrier, Credentials, ErrorKind, TwilioError, TwilioRest};
use switchhook_model::{E164, Timestamp};

use super::{Finding, Speaker, State};
use crate::clock;
use crate::config::{Config, TwilioSection};
use crate::twilio::http::PREFIXES;

/// Difference of the clocks from which times in logs and calls are misleading.
const SKEW_WARNING: Duration = Duration::from_secs(5);
/// Difference from which certificates and logins fail.
const SKEW_FAILED: Duration = Duration::from_secs(60);

pub(super) async fn examine(config: &Config, speaker: Speaker) -> Vec<Finding> {
    let Some(section) = &config.twilio else {
        let found = speaker.say(
            "no calls of Twilio are taken: nothing of [twilio] is set",
            "es werden keine Anrufe über Twilio angenommen: in [twilio] ist nichts gesetzt",
        );
        return vec![Finding::new("account", State::Skipped, found)];
    };
    let mut findings = Vec::new();
    match rest(section, speaker) {
        Err(finding) => findings.push(finding),
        Ok(rest) => {
            let (account, is_known) = account(&rest, speaker).await;
            findings.push(account);
            if is_known {
                findings.push(number(&rest, config, section, speaker).await);
            }
        }
    }
    findings.push(clock_of(&section.api_url, speaker).await);
    findings
}

fn rest(section: &TwilioSection, speaker: Speaker) -> Result<TwilioRest, Finding> {
    let (Some(account), Some(token)) = (&section.account_sid, section.auth_tokens.first()) else {
        let found = speaker.say(
            "no credentials: calls out are simulated, calls in are taken from this machine only",
            "keine Zugangsdaten: Anrufe nach außen werden simuliert, eingehende nur von diesem Rechner angenommen",
        );
        let finding = Finding::new("account", State::Skipped, found);
        return Err(finding.cure(speaker.say(
            "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
            "TWILIO_ACCOUNT_SID und TWILIO_AUTH_TOKEN setzen",
        )));
    };
    let credentials = Credentials::token(account, Secret::new(token.expose()));
    let mut config = RestConfig::new(credentials);
    config.base_url = Some(section.api_url.clone());
    // Somebody sits and waits.
    config.limits.tries = 1;
    TwilioRest::new(config).map_err(|error| {
        let found = speaker.say(
            "the REST interface cannot be asked",
            "die REST-Schnittstelle kann nicht gefragt werden",
        );
        Finding::new("account", State::Failed, found).because(error.to_string())
    })
}

async fn account(rest: &TwilioRest, speaker: Speaker) -> (Finding, bool) {
    let host = rest.host();
    let account = match rest.account().await {
        Ok(account) => account,
        Err(error) => return (refused("account", &error, &host, speaker), false),
    };
    let status = account.status.as_deref().unwrap_or("?");
    if status != "active" {
        let found = speaker.say(
            format!("the account is {status}"),
            format!("das Konto ist {status}"),
        );
        let finding = Finding::new("account", State::Failed, found)
            .because(speaker.say(
                "Twilio takes and places no calls for an account that is not active (10001)",
                "Für ein Konto, das nicht aktiv ist, nimmt Twilio keine Anrufe an und wählt keine (10001)",
            ))
            .cure(speaker.say(
                "top up or reactivate it in the console",
                "in der Konsole aufladen oder wieder aktivieren",
            ));
        return (finding, true);
    }
    let found = speaker.say(
        format!("{host} knows the account, which is active"),
        format!("{host} kennt das Konto, es ist aktiv"),
    );
    if account.kind.as_deref() == Some("Trial") {
        let finding = Finding::new("account", State::Warning, found)
            .because(speaker.say(
                "it is a trial: calls and messages go to verified numbers only (21219, 21608)",
                "es ist ein Testkonto: Anrufe und Nachrichten gehen nur an bestätigte Nummern (21219, 21608)",
            ))
            .cure(speaker.say(
                "upgrade it, or verify the numbers in the console",
                "umstellen, oder die Nummern in der Konsole bestätigen",
            ));
        return (finding, true);
    }
    (Finding::new("account", State::Ok, found), true)
}

fn refused(check: &str, error: &TwilioError, host: &str, speaker: Speaker) -> Finding {
    let found = match error.kind {
        ErrorKind::Unreachable | ErrorKind::Unknown => speaker.say(
            format!("{host} gives no usable answer"),
            format!("{host} gibt keine brauchbare Antwort"),
        ),
        ErrorKind::Refused | ErrorKind::RateLimited | ErrorKind::Gone => {
            speaker.say(format!("{host} refuses"), format!("{host} lehnt ab"))
        }
    };
    let finding = Finding::new(check, State::Failed, found);
    match error.explanation() {
        Some(known) => finding
            .because(known.cause.of(speaker.0).to_owned())
            .cure(known.cure.of(speaker.0).to_owned()),
        None => finding.because(error.to_string()).cure(speaker.say(
            "is the way out of this machine open (proxy, firewall, DNS)? is twilio.api_url right?",
            "ist der Weg von diesem Rechner nach außen offen (Proxy, Firewall, DNS)? stimmt twilio.api_url?",
        )),
    }
}

async fn number(
    rest: &TwilioRest,
    config: &Config,
    section: &TwilioSection,
    speaker: Speaker,
) -> Finding {
    let Some(number) = &section.number else {
        let found = speaker.say(
            "no number of ours is set",
            "keine eigene Nummer ist gesetzt",
        );
        return Finding::new("number", State::Skipped, found)
            .cure(speaker.say("set TWILIO_PHONE_NUMBER", "TWILIO_PHONE_NUMBER setzen"));
    };
    match rest.phone_numbers(number).await {
        Err(error) => refused("number", &error, &rest.host(), speaker),
        Ok(found) => match found.iter().find(|n| n.phone_number == number.to_string()) {
            Some(info) => leads_here(number, info, config.public_url.as_deref(), speaker),
            None => {
                let found = speaker.say(
                    format!("{number} is not a number of this account"),
                    format!("{number} gehört nicht zu diesem Konto"),
                );
                Finding::new("number", State::Failed, found).cure(speaker.say(
                    "correct TWILIO_PHONE_NUMBER, or use the account that owns it",
                    "TWILIO_PHONE_NUMBER berichtigen, oder das Konto nehmen, dem sie gehört",
                ))
            }
        },
    }
}

/// Whether calls of the number come to us.
fn leads_here(
    number: &E164,
    info: &PhoneNumberInfo,
    public_url: Option<&str>,
    speaker: Speaker,
) -> Finding {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if set(&info.trunk_sid).is_some() || set(&info.voice_application_sid).is_some() {
        let found = speaker.say(
            format!("{number} belongs to a trunk or a TwiML app"),
            format!("{number} gehört zu einem Trunk oder einer TwiML-App"),
        );
        return Finding::new("number", State::Failed, found)
            .because(speaker.say(
                "Twilio ignores the number's own webhook then; calls over a trunk come by SIP",
                "Twilio beachtet den Webhook der Nummer dann nicht; Anrufe über einen Trunk kommen über SIP",
            ))
            .cure(speaker.say(
                "take it off the trunk or app, or answer there ([trunks] in docs/sip.md)",
                "vom Trunk oder von der App lösen, oder dort annehmen ([trunks] in docs/sip.md)",
            ));
    }
    let Some(public_url) = public_url.map(|url| url.trim_end_matches('/')) else {
        let found = speaker.say(
            "public_url is not set: nothing to compare the number's webhook with",
            "public_url ist nicht gesetzt: der Webhook der Nummer ist mit nichts zu vergleichen",
        );
        return Finding::new("number", State::Skipped, found);
    };
    let wanted = format!("{public_url}/twilio/voice");
    let given = set(&info.voice_url).unwrap_or_default();
    let bare = given.split(['#', '?']).next().unwrap_or_default();
    let is_ours = PREFIXES.iter().any(|prefix| {
        ["voice", "call"]
            .iter()
            .any(|path| bare == format!("{public_url}{prefix}/twilio/{path}"))
    });
    if !is_ours {
        let found = if given.is_empty() {
            speaker.say(
                format!("{number} has no webhook"),
                format!("{number} hat keinen Webhook"),
            )
        } else {
            speaker.say(
                format!("{number} leads to {given}"),
                format!("{number} führt zu {given}"),
            )
        };
        return Finding::new("number", State::Failed, found)
            .because(speaker.say(
                "calls to it do not reach this gateway",
                "Anrufe dorthin erreichen dieses Gateway nicht",
            ))
            .cure(speaker.say(
                format!(
                    "console, Phone Numbers, Voice: \"A call comes in\" = Webhook, {wanted}, POST"
                ),
                format!(
                    "Konsole, Phone Numbers, Voice: „A call comes in“ = Webhook, {wanted}, POST"
                ),
            ));
    }
    if info
        .voice_method
        .as_deref()
        .is_some_and(|method| method != "POST")
    {
        let found = speaker.say(
            format!("{number} leads here, but by GET"),
            format!("{number} führt hierher, aber mit GET"),
        );
        return Finding::new("number", State::Failed, found).cure(speaker.say(
            "console, Phone Numbers, Voice: choose POST",
            "Konsole, Phone Numbers, Voice: POST wählen",
        ));
    }
    let found = speaker.say(
        format!("{number} leads here"),
        format!("{number} führt hierher"),
    );
    let mut missing = Vec::new();
    for (given, name, path) in [
        (&info.voice_fallback_url, "Primary handler fails", "error"),
        (&info.status_callback, "Call status changes", "status"),
    ] {
        if set(given).is_none() {
            missing.push(format!("\"{name}\" = {public_url}/twilio/{path}, POST"));
        }
    }
    if missing.is_empty() {
        return Finding::new("number", State::Ok, found);
    }
    Finding::new("number", State::Warning, found)
        .because(speaker.say(
            "without these a caller hears Twilio's own error message, or a hang-up is noticed late",
            "ohne diese hört ein Anrufer Twilios eigene Fehlermeldung, oder ein Auflegen wird spät bemerkt",
        ))
        .cure(speaker.say(
            format!("console, Phone Numbers, Voice: {}", missing.join("; ")),
            format!("Konsole, Phone Numbers, Voice: {}", missing.join("; ")),
        ))
}

/// The vendor's clock is in every answer of its (RFC 9110, Date).
async fn clock_of(api_url: &str, speaker: Speaker) -> Finding {
    let answer = super::door::client().get(api_url).send().await;
    let ours = clock::now();
    let date = answer.ok().and_then(|answer| {
        let date = answer.headers().get("date")?.to_str().ok()?.to_owned();
        let date = jiff::fmt::rfc2822::parse(&date.replace("GMT", "+0000")).ok()?;
        Some(Timestamp::from_millis(date.timestamp().as_millisecond()))
    });
    let Some(theirs) = date else {
        let found = speaker.say(
            "the vendor did not tell the time",
            "der Anbieter hat die Zeit nicht gesagt",
        );
        return Finding::new("clock", State::Skipped, found);
    };
    clocks(ours, theirs, speaker)
}

/// The vendor's is cut to the second.
fn clocks(ours: Timestamp, theirs: Timestamp, speaker: Speaker) -> Finding {
    let apart = ours.as_millis().abs_diff(theirs.as_millis());
    let apart = Duration::from_millis(apart.saturating_sub(1_000));
    let seconds = apart.as_secs();
    let found = speaker.say(
        format!("this machine's clock and the vendor's are {seconds} s apart"),
        format!("die Uhr dieses Rechners und die des Anbieters gehen {seconds} s auseinander"),
    );
    let (state, cause) = if apart >= SKEW_FAILED {
        let cause = speaker.say(
            "certificates may count as expired, and logins as too old or too new",
            "Zertifikate können als abgelaufen gelten und Anmeldungen als zu alt oder zu neu",
        );
        (State::Failed, cause)
    } else if apart >= SKEW_WARNING {
        let cause = speaker.say(
            "times of calls and log lines do not fit those in Twilio's console",
            "Zeiten von Anrufen und Logzeilen passen nicht zu denen in Twilios Konsole",
        );
        (State::Warning, cause)
    } else {
        return Finding::new("clock", State::Ok, found);
    };
    Finding::new("clock", state, found)
        .because(cause)
        .cure(speaker.say(
            "let the machine keep its time by NTP (timedatectl set-ntp true)",
            "die Uhr mit NTP stellen lassen (timedatectl set-ntp true)",
        ))
}

#[cfg(test)]
mod tests {
    use switchhook_model::Language;

    use super::*;

    const EN: Speaker = Speaker(Language::En);

    #[test]
    fn clocks_that_differ_are_told_from_those_that_do_not() {
        let at = |ms: i64| Timestamp::from_millis(1_795_000_000_000 + ms);
        for (ours, state) in [
            (0, State::Ok),
            (-900, State::Ok),
            (4_000, State::Ok),
            (7_000, State::Warning),
            (-7_000, State::Warning),
            (3_600_000, State::Failed),
            (-3_600_000, State::Failed),
        ] {
            assert_eq!(clocks(at(ours), at(0), EN).state, state, "{ours} ms");
        }
    }

    #[test]
    fn a_number_leads_here_or_says_why_not() {
        let number: E164 = "+493023125000".parse().unwrap();
        let base = "https://gw.example.com";
        let info = |change: &dyn Fn(&mut PhoneNumberInfo)| {
            let mut info: PhoneNumberInfo = serde_json::from_value(serde_json::json!({
                "sid": "PN00000000000000000000000000000001",
                "phone_number": "+493023125000",
                "voice_url": "https://gw.example.com/twilio/voice",
                "voice_method": "POST",
                "voice_fallback_url": "https://gw.example.com/twilio/error",
                "status_callback": "https://gw.example.com/twilio/status",
            }))
            .unwrap();
            change(&mut info);
            leads_here(&number, &info, Some(base), EN).state
        };
        assert_eq!(info(&|_| ()), State::Ok);
        let url = |url: &str| Some(url.to_owned());
        let prefixed = url("https://gw.example.com/api/twilio/voice?tenant=a#rc=2");
        assert_eq!(info(&|i| i.voice_url.clone_from(&prefixed)), State::Ok);
        let other = url("https://gw.example.com/twilio/voicemail");
        assert_eq!(info(&|i| i.voice_url.clone_from(&other)), State::Failed);
        assert_eq!(info(&|i| i.voice_url = None), State::Failed);
        assert_eq!(info(&|i| i.voice_method = url("GET")), State::Failed);
        assert_eq!(info(&|i| i.trunk_sid = url("TK1")), State::Failed);
        assert_eq!(info(&|i| i.voice_fallback_url = url("")), State::Warning);
    }
}
