use super::*;

fn file(text: &str) -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("switchhook.toml");
    std::fs::write(&path, text).unwrap();
    (dir, Source::File(path))
}

fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let (_dir, source) = file(text);
    let environment = Environment::from_pairs(environment.iter().copied());
    match load(&source, &environment) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems,
    }
}

#[test]
fn the_demo_profile_needs_nothing() {
    let config = load(&Source::Profile("demo".into()), &Environment::default()).unwrap();
    assert_eq!(config.mode, Mode::Demo);
    assert_eq!(config.sip.bind.to_string(), "127.0.0.1:5060");
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.extensions.len(), 2);
    assert_eq!(config.transfer.ring_timeout.as_secs(), 20);
}

#[test]
fn environment_wins_over_the_file_and_keeps_digits_as_text() {
    let environment = Environment::from_pairs([
        ("SWITCHHOOK_LANGUAGE", "de"),
        ("PORT", "9090"),
        ("VOICE_AGENT_FALLBACK_EXTENSION", "2005"),
        ("RING_TIMEOUT_SECONDS", "25"),
    ]);
    let config = load(&Source::Profile("demo".into()), &environment).unwrap();
    assert_eq!(config.language.code(), "de");
    assert_eq!(config.http.bind.port(), 9090);
    assert_eq!(config.transfer.targets[0].to_string(), "2005");
    assert_eq!(config.transfer.ring_timeout.as_secs(), 25);
}

#[test]
fn production_names_everything_that_is_missing_at_once() {
    let found = problems(
        "[sip]\nloopback_guests = true\n[extensions.20]\npassword = \"short\"",
        &[],
    );
    let text = found.join("\n");
    for expected in [
        "SWITCHHOOK_SIGNING_KEY",
        "loopback_guests",
        "extensions.20.password",
    ] {
        assert!(text.contains(expected), "{expected} not in {text}");
    }
}

#[test]
fn bad_values_name_their_variable_or_file() {
    let found = problems("mode = \"demo\"", &[("PORT", "database")]);
    assert!(
        found[0].contains("PORT must be a whole number"),
        "{found:?}"
    );
    let wrong = [("PORT", "many"), ("SWITCHHOOK_SIP_BIND", "nowhere")];
    let found = problems("mode = \"demo\"", &wrong).join(" ");
    for expected in [
        "PORT must be",
        "SWITCHHOOK_SIP_BIND sets sip.bind: \"nowhere\"",
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let found = problems("mode = \"demo\"\n[sip]\nbnd = 1", &[]);
    assert!(
        found[0].contains("bnd") && found[0].contains("switchhook.toml"),
        "{found:?}"
    );
    let found = problems("mode = ", &[]);
    assert!(found[0].contains("not valid TOML"), "{found:?}");
    let found = problems(
        "mode = \"demo\"",
        &[("DATABASE_URL", "postgres://u:geheim@h/db")],
    );
    assert!(
        found[0].contains("DATABASE_URL") && !found[0].contains("geheim"),
        "{found:?}"
    );
    let found = problems("mode = \"demo\"", &[("SWITCHHOOK_RTP_PORTS", "20000-10")]);
    assert!(found[0].contains("SWITCHHOOK_RTP_PORTS"), "{found:?}");
}

#[test]
fn check_masks_secrets_and_shows_what_differs() {
    let environment = Environment::from_pairs([
        (
            "SWITCHHOOK_SIGNING_KEY",
            "0123456789012345678901234567890123456789",
        ),
        ("SWITCHHOOK_PUBLIC_URL", "https://a.example.com"),
        ("PUBLIC_BASE_URL", "https://b.example.com"),
        ("TWILIO_AUTH_TOKEN", "geheim"),
        ("SWITCHHOOK_LANGAUGE", "de"),
    ]);
    let report = check(&Source::Profile("demo".into()), &environment);
    let text = report.to_string();
    assert!(report.is_usable(), "{text}");
    assert!(
        !text.contains("0123456789") && !text.contains("geheim"),
        "{text}"
    );
    assert!(
        text.contains("SWITCHHOOK_PUBLIC_URL differ") || text.contains("differ"),
        "{text}"
    );
    assert!(text.contains("SWITCHHOOK_LANGAUGE"), "{text}");
}

#[test]
fn debug_output_of_the_configuration_holds_no_secret() {
    let config = load(&Source::Profile("demo".into()), &Environment::default()).unwrap();
    assert!(!format!("{config:?}").contains("demo-2001"));
}

#[test]
fn no_variable_sets_two_keys_in_one_profile() {
    let mut names: Vec<_> = env::TABLE
        .iter()
        .filter(|r| r.profiles.is_empty())
        .map(|r| r.name)
        .collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(before, names.len());
}

#[test]
fn headers_of_the_protocol_cannot_be_set_or_broken_open() {
    let found = problems(
        r#"
mode = "demo"
[sip]
keep_headers = ["X-Ticket", "no good"]
[trunks.pbx]
transfer = "perhaps"
[outbound]
max_redirects = 11
pass_headers = ["From", "X-Ticket"]
[outbound.headers]
X-Site = "berlin\r\nVia: x"
Via = "x"
X-Switchhook-Call-Id = "x"
User-to-User = "56a3;encoding=hex"
"#,
        &[],
    );
    let text = found.join("\n");
    for expected in [
        "sip.keep_headers: \"no good\"",
        "trunks.pbx.transfer: expected bridge or refer",
        "outbound.max_redirects",
        "outbound.pass_headers: \"From\"",
        "outbound.headers: \"Via\"",
        "outbound.headers: \"X-Switchhook-Call-Id\"",
        "outbound.headers.X-Site: at most",
    ] {
        assert!(text.contains(expected), "{expected} not in {text}");
    }
    assert_eq!(found.len(), 7, "{text}");
}
