//! Our own door, asked by its public address as the carrier does: is it there, does it answer all
//! paths, does it take what is signed and refuse what is not.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use switchhook_adapters::Secret;
use switchhook_adapters::twilio::Params;
use switchhook_adapters::twilio::signature::sign_form;
use url::{Host, Url};

use super::{Finding, Speaker, State};
use crate::config::{Config, Mode, TwilioSection};
use crate::twilio::http::PATHS;

const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const SIGNATURE: &str = "x-twilio-signature";
/// As long as the carrier waits for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// As long as it waits for an answer.
const ANSWER: Duration = Duration::from_secs(15);

pub(super) async fn examine(config: &Config, speaker: Speaker) -> Vec<Finding> {
    let Some(section) = &config.twilio else {
        return Vec::new();
    };
    let Some(base) = &config.public_url else {
        let found = speaker.say("public_url is not set", "public_url ist nicht gesetzt");
        let finding = Finding::new("public_url", State::Skipped, found).cure(speaker.say(
            "set SWITCHHOOK_PUBLIC_URL to the https address at which Twilio reaches this gateway",
            "SWITCHHOOK_PUBLIC_URL auf die https-Adresse setzen, unter der Twilio dieses Gateway erreicht",
        ));
        return vec![finding];
    };
    let base = base.trim_end_matches('/');
    let (finding, answers) = public_url(config, base, speaker).await;
    let mut findings = vec![finding];
    if answers {
        findings.push(paths(base, speaker).await);
        findings.push(signature(section, base, speaker).await);
    }
    findings
}

/// Redirects are not followed: the carrier would lose parameters on the way.
pub(super) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap_or_default()
}

async fn public_url(config: &Config, base: &str, speaker: Speaker) -> (Finding, bool) {
    let check = "public_url";
    let Ok(url) = Url::parse(base) else {
        let found = speaker.say(format!("{base} is no URL"), format!("{base} ist keine URL"));
        return (Finding::new(check, State::Failed, found), false);
    };
    let answer = client().get(format!("{base}/twilio/health")).send().await;
    let status = match answer {
        Err(error) => return (unreachable(base, &error, speaker), false),
        Ok(answer) => answer.status().as_u16(),
    };
    if status != 200 {
        let found = speaker.say(
            format!("{base}/twilio/health answers {status}"),
            format!("{base}/twilio/health antwortet mit {status}"),
        );
        let finding = Finding::new(check, State::Failed, found)
            .because(speaker.say(
                "somebody else answers there, or the proxy does not pass the path on",
                "dort antwortet jemand anderes, oder der Proxy reicht den Pfad nicht weiter",
            ))
            .cure(speaker.say(
                "let the proxy pass /twilio/ on to http.bind of this gateway, path and Host unchanged",
                "den Proxy /twilio/ an http.bind dieses Gateways weiterreichen lassen, Pfad und Host unverändert",
            ));
        return (finding, false);
    }
    let is_production = config.mode == Mode::Production;
    // While developing, the carrier may be an imitation on the same machine.
    let state = if is_production {
        State::Failed
    } else {
        State::Warning
    };
    if let Some(address) = private_host(&url).await {
        let found = speaker.say(
            format!("{base} leads to {address}"),
            format!("{base} führt zu {address}"),
        );
        let finding = Finding::new(check, state, found)
            .because(speaker.say(
                "Twilio calls no private address (11205)",
                "Twilio ruft keine privaten Adressen auf (11205)",
            ))
            .cure(speaker.say(
                "use a name that leads here from the internet, for example that of a tunnel",
                "einen Namen verwenden, der aus dem Internet hierher führt, etwa den eines Tunnels",
            ));
        return (finding, true);
    }
    if url.scheme() != "https" {
        let found = speaker.say(
            format!("{base} is not https"),
            format!("{base} ist nicht https"),
        );
        let finding = Finding::new(check, state, found)
            .because(speaker.say(
                "numbers and words of callers travel in the clear, and media streams need wss (31922)",
                "Nummern und Worte von Anrufern reisen im Klartext, und Media Streams brauchen wss (31922)",
            ))
            .cure(speaker.say(
                "put a proxy with a certificate of a public authority in front",
                "einen Proxy mit einem Zertifikat einer öffentlichen Stelle davorsetzen",
            ));
        return (finding, true);
    }
    let found = speaker.say(format!("{base} answers"), format!("{base} antwortet"));
    (Finding::new(check, State::Ok, found), true)
}

fn unreachable(base: &str, error: &reqwest::Error, speaker: Speaker) -> Finding {
    let found = speaker.say(
        format!("{base} does not answer"),
        format!("{base} antwortet nicht"),
    );
    let why = chain(error);
    let lower = why.to_lowercase();
    let cure = if lower.contains("certificate") || lower.contains("tls") {
        speaker.say(
            "Twilio wants a certificate of a public authority with its whole chain, for this name (11235, 11237)",
            "Twilio verlangt ein Zertifikat einer öffentlichen Stelle mit der ganzen Kette, für diesen Namen (11235, 11237)",
        )
    } else if lower.contains("dns") || lower.contains("lookup") || lower.contains("resolve") {
        speaker.say(
            "the name is not in the DNS, or this machine cannot ask it (11210)",
            "der Name steht nicht im DNS, oder dieser Rechner kann es nicht fragen (11210)",
        )
    } else {
        speaker.say(
            "is the gateway running, and the proxy or tunnel in front of it? is the port open (11205)?",
            "läuft das Gateway, und der Proxy oder Tunnel davor? ist der Port offen (11205)?",
        )
    };
    Finding::new("public_url", State::Failed, found)
        .because(why)
        .cure(cure)
}

/// An error with what it came from; the URL is said elsewhere.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        next = error.source();
    }
    if text.is_empty() {
        text = error.to_string();
    }
    text
}

/// The address a name leads to, if nobody in the internet can reach it.
async fn private_host(url: &Url) -> Option<IpAddr> {
    let is_private = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    };
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)).filter(is_private),
        Host::Ipv6(address) => Some(IpAddr::V6(address)).filter(is_private),
        Host::Domain(name) => {
            let port = url.port_or_known_default().unwrap_or(443);
            let found: Vec<_> = tokio::net::lookup_host((name, port)).await.ok()?.collect();
            let all_private = found.iter().all(|address| is_private(&address.ip()));
            found.first().filter(|_| all_private).map(|a| a.ip())
        }
    }
}

/// Every webhook path is there: refused without a signature, not unknown.
async fn paths(base: &str, speaker: Speaker) -> Finding {
    let client = client();
    let mut missing = Vec::new();
    for path in PATHS {
        // Nothing in it names a call, so a gateway that takes unsigned requests of this machine
        // while developing does nothing either.
        let path = path.replace("{session}", "doctor");
        let asked = client
            .post(format!("{base}/twilio/{path}"))
            .header(CONTENT_TYPE, FORM)
            .body("")
            .send();
        let status = asked.await.map_or(0, |answer| answer.status().as_u16());
        if !matches!(status, 200..=299 | 400 | 403) {
            missing.push(format!("/twilio/{path} ({status})"));
        }
    }
    if missing.is_empty() {
        let found = speaker.say(
            format!("all {} webhook paths answer", PATHS.len()),
            format!("alle {} Webhook-Pfade antworten", PATHS.len()),
        );
        return Finding::new("paths", State::Ok, found);
    }
    let found = speaker.say(
        format!("not answered as they should be: {}", missing.join(", ")),
        format!("antworten nicht, wie sie sollten: {}", missing.join(", ")),
    );
    Finding::new("paths", State::Failed, found)
        .because(speaker.say(
            "Twilio asks these in the midst of a call; a 404 there ends it (11200)",
            "danach fragt Twilio mitten im Anruf; eine 404 dort beendet ihn (11200)",
        ))
        .cure(speaker.say(
            "let the proxy pass everything below /twilio/ on, POST and websockets too",
            "den Proxy alles unter /twilio/ weiterreichen lassen, auch POST und Websockets",
        ))
}

/// What our token signed is taken, and what another one signed is not.
async fn signature(section: &TwilioSection, base: &str, speaker: Speaker) -> Finding {
    let check = "signature";
    let Some(token) = section.auth_tokens.first() else {
        let found = speaker.say(
            "no auth token is set: nothing can be signed",
            "kein Auth-Token ist gesetzt: nichts kann unterschrieben werden",
        );
        return Finding::new(check, State::Skipped, found)
            .cure(speaker.say("set TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN setzen"));
    };
    // A report about no call: it is verified, and changes nothing.
    let url = format!("{base}/twilio/status");
    let mut params = Params::default();
    params.push("Doctor", "Prüfung");
    let body = "Doctor=Pr%C3%BCfung";
    let right = sign_form(&Secret::new(token.expose()), &url, &params);
    let wrong = sign_form(&Secret::new("0".repeat(32)), &url, &params);
    let client = client();
    let ask = |signature: String| {
        let asked = client
            .post(&url)
            .header(CONTENT_TYPE, FORM)
            .header(SIGNATURE, signature)
            .body(body)
            .send();
        async move { asked.await.map_or(0, |answer| answer.status().as_u16()) }
    };
    let (taken, refused) = (ask(right).await, ask(wrong).await);
    if matches!(taken, 200..=299) && refused == 403 {
        let found = speaker.say(
            "what our token signed is taken, what another one signed is refused",
            "was unser Token unterschrieb, wird angenommen, was ein anderes unterschrieb, abgelehnt",
        );
        return Finding::new(check, State::Ok, found);
    }
    if matches!(refused, 200..=299) {
        let found = speaker.say(
            "a wrong signature is taken",
            "eine falsche Unterschrift wird angenommen",
        );
        return Finding::new(check, State::Failed, found)
            .because(speaker.say(
                "whoever knows the address can steer calls",
                "wer die Adresse kennt, kann Anrufe steuern",
            ))
            .cure(speaker.say(
                "something else than this gateway answers there; stop it",
                "dort antwortet etwas anderes als dieses Gateway; abschalten",
            ));
    }
    if taken == 403 {
        let found = speaker.say(
            "what our token signed is refused (403)",
            "was unser Token unterschrieb, wird abgelehnt (403)",
        );
        return Finding::new(check, State::Failed, found)
            .because(speaker.say(
                "the running gateway has another token or another public_url, or the proxy changes path, query or body",
                "das laufende Gateway hat ein anderes Token oder eine andere public_url, oder der Proxy ändert Pfad, Query oder Inhalt",
            ))
            .cure(speaker.say(
                "start it with this configuration; let the proxy pass path, query and body on as they are",
                "mit dieser Konfiguration starten; den Proxy Pfad, Query und Inhalt unverändert weiterreichen lassen",
            ));
    }
    let found = speaker.say(
        format!("a signed webhook is answered {taken}, a wrongly signed one {refused}"),
        format!("ein unterschriebener Webhook wird mit {taken} beantwortet, ein falsch unterschriebener mit {refused}"),
    );
    Finding::new(check, State::Failed, found).cure(speaker.say(
        "expected are 2xx and 403; the gateway's log says more",
        "erwartet sind 2xx und 403; das Log des Gateways sagt mehr",
    ))
}
