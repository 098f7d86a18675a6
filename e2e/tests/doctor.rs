//! `switchhook doctor` beside a running gateway, with everything well and with each thing broken once.

use serde_json::Value;
use switchhook_e2e::api::pretty;
use switchhook_e2e::outside::Serving;
use switchhook_e2e::ports;
use switchhook_lab::carrier::{Carrier, CarrierConfig, Number};

use crate::twilio_line::*;

/// A gateway whose public address is the one it really has, known to a carrier.
async fn reachable(port: u16, public_url: &str) -> Line {
    let number = Number::new(OURS, &format!("{public_url}/twilio/voice"))
        .fallback(&format!("{public_url}/twilio/error"))
        .status_callback(&format!("{public_url}/twilio/status"));
    let config = CarrierConfig {
        numbers: vec![number],
        ..CarrierConfig::default()
    };
    let carrier = Carrier::start(config).await.unwrap();
    let settings = known_to(gather(), port, &carrier).env("SWITCHHOOK_PUBLIC_URL", public_url);
    let gateway = settings.start().await;
    Line { gateway, carrier }
}

fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check}: {}", pretty(report)))
}

/// Runs it with some variables changed; exit code and report. Our own SIP port stands for a PBX that
/// answers.
async fn doctor(line: &Line, changed: &[(&str, &str)]) -> (i32, Value) {
    let pbx = line.gateway.sip().to_string();
    let mut all = vec![("FREEPBX_DOMAIN", pbx.as_str())];
    all.extend_from_slice(changed);
    let (code, out, errors) = line.gateway.run_with(&all, &["doctor", "--json"]).await;
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}\n{errors}"));
    (code, report)
}

#[tokio::test]
async fn all_is_well_or_it_says_what_is_not() {
    let port = ports::free();
    let url = format!("http://127.0.0.1:{port}");
    let line = reachable(port, &url).await;
    let (code, report) = doctor(&line, &[]).await;
    assert_eq!(code, 0, "{}", pretty(&report));
    assert_eq!(report["ok"], true);
    for check in ["account", "number", "clock", "paths", "signature", "pbx"] {
        assert_eq!(
            finding(&report, check)["state"],
            "ok",
            "{}",
            pretty(&report)
        );
    }
    // The lab is on this machine: Twilio could not call it.
    let public = finding(&report, "public_url");
    assert_eq!(public["state"], "warning", "{}", pretty(&report));
    assert!(public["cause"].as_str().unwrap().contains("11205"));

    // Each thing broken once: what it is about fails, and says how to mend it.
    let silent = format!("127.0.0.1:{}", ports::free());
    let nowhere = format!("http://127.0.0.1:{}", ports::free());
    let token = "f".repeat(32);
    for (name, value, check, state, says) in [
        (
            "TWILIO_AUTH_TOKEN",
            token.as_str(),
            "account",
            "failed",
            "auth token",
        ),
        (
            "SWITCHHOOK_TWILIO_API_URL",
            &nowhere,
            "account",
            "failed",
            "twilio.api_url",
        ),
        (
            "TWILIO_PHONE_NUMBER",
            "+493023125999",
            "number",
            "failed",
            "not a number",
        ),
        (
            "SWITCHHOOK_PUBLIC_URL",
            &nowhere,
            "public_url",
            "failed",
            "running",
        ),
        (
            "SWITCHHOOK_PUBLIC_URL",
            "http://localhost.example.invalid",
            "public_url",
            "failed",
            "DNS",
        ),
        ("FREEPBX_DOMAIN", &silent, "pbx", "warning", "firewall"),
    ] {
        let (code, report) = doctor(&line, &[(name, value)]).await;
        let found = finding(&report, check);
        assert_eq!(found["state"], state, "{name}={value}: {}", pretty(&report));
        assert_eq!(code, i32::from(state == "failed"), "{}", pretty(&report));
        let text = found.to_string();
        assert!(text.contains(says), "{name}: {text}");
        assert!(
            found["cure"].as_str().is_some_and(|cure| !cure.is_empty()),
            "{text}"
        );
    }
    // The number leads elsewhere, nowhere, or answers by itself.
    line.carrier
        .set_voice_url(OURS, "https://demo.example.com/voice");
    let (code, report) = doctor(&line, &[("SWITCHHOOK_LANGUAGE", "de")]).await;
    let found = finding(&report, "number");
    assert_eq!((code, &found["state"]), (1, &Value::from("failed")));
    assert!(
        found["found"].as_str().unwrap().contains("führt zu"),
        "{found}"
    );
    assert!(
        found["cure"]
            .as_str()
            .unwrap()
            .contains(&format!("{url}/twilio/voice"))
    );
    line.carrier.set_voice_url(OURS, "");
    let (_, report) = doctor(&line, &[]).await;
    assert!(
        finding(&report, "number")
            .to_string()
            .contains("no webhook")
    );
}

/// A proxy that knows some paths only, and one under whose name the gateway does not sign.
#[tokio::test]
async fn a_proxy_that_changes_things_is_found_out() {
    let port = ports::free();
    let upstream = format!("http://127.0.0.1:{port}");
    let proxy = Serving::start("front.py", &[], &[&upstream, "/twilio/recording"]).await;
    let public = format!("http://127.0.0.1:{}", proxy.port);
    let line = reachable(port, &public).await;
    let (code, report) = doctor(&line, &[]).await;
    assert_eq!(code, 1, "{}", pretty(&report));
    let paths = finding(&report, "paths");
    assert!(
        paths["found"]
            .as_str()
            .unwrap()
            .contains("/twilio/recording (404)"),
        "{paths}"
    );
    assert!(
        !paths["found"].as_str().unwrap().contains("/twilio/voice"),
        "{paths}"
    );
    assert_eq!(
        finding(&report, "signature")["state"],
        "ok",
        "{}",
        pretty(&report)
    );
    // The same door by another name than the running gateway has.
    let (code, report) = doctor(&line, &[("SWITCHHOOK_PUBLIC_URL", &upstream)]).await;
    let signature = finding(&report, "signature");
    assert_eq!(
        (code, &signature["state"]),
        (1, &Value::from("failed")),
        "{signature}"
    );
    assert!(
        signature["cause"].as_str().unwrap().contains("public_url"),
        "{signature}"
    );
    assert_eq!(
        finding(&report, "paths")["state"],
        "ok",
        "{}",
        pretty(&report)
    );
}

#[tokio::test]
async fn codes_are_explained() {
    let port = ports::free();
    let line = reachable(port, &format!("http://127.0.0.1:{port}")).await;
    let (code, text, _) = line.gateway.run(&["doctor", "explain", "11200"]).await;
    assert_eq!(code, 0);
    assert!(text.lines().count() >= 3, "{text}");
    let german = ["doctor", "explain", "11200", "--language", "de"];
    let (_, other, _) = line.gateway.run(&german).await;
    assert_ne!(text, other);
    let (code, _, errors) = line.gateway.run(&["doctor", "explain", "1"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("not in the catalogue"), "{errors}");
}
