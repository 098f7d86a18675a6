use switchhook_media::Codec;

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

/// The variables of the deployment whose departments all ring one extension.
#[test]
fn departments_ring_the_targets_unless_they_have_their_own() {
    let seeds = [
        ("VOICE_AGENT_FALLBACK_EXTENSION", "2001"),
        ("VOICE_AGENT_DEPARTMENTS", "support, Sales,technical"),
        ("SALES_EXTENSION", "2005"),
        ("VOICE_AGENT_FALLBACK_DEPARTMENT", "sales"),
        ("USE_TRUNK_NUMBER_TRANSFER", "false"),
    ];
    let load = |pairs: &[(&'static str, &'static str)]| {
        let environment = Environment::from_pairs(pairs.iter().copied());
        load(&Source::Profile("demo".into()), &environment)
    };
    let transfer = load(&seeds).unwrap().transfer;
    let rings = |name: &str| transfer.departments[name][0].to_string();
    assert_eq!(
        ["support", "sales", "technical"].map(rings),
        ["2001", "2005", "2001"]
    );
    assert_eq!(transfer.targets[0].to_string(), "2005", "who names none");
    let own = "+493023125000";
    for (pairs, expected) in [
        (
            vec![("VOICE_AGENT_FALLBACK_DEPARTMENT", "legal")],
            "there is no department \"legal\"",
        ),
        (
            vec![("USE_TRUNK_NUMBER_TRANSFER", "true")],
            "TWILIO_TRUNK_NUMBER",
        ),
        (
            vec![
                ("USE_TRUNK_NUMBER_TRANSFER", "true"),
                ("TWILIO_TRUNK_NUMBER", own),
                ("TWILIO_PHONE_NUMBER", own),
            ],
            "would call this program again",
        ),
    ] {
        let error = load(&pairs).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected} not in {error}");
    }
    let through = [
        ("USE_TRUNK_NUMBER_TRANSFER", "true"),
        ("TWILIO_TRUNK_NUMBER", "+493023125009"),
        ("VOICE_AGENT_FALLBACK_DEPARTMENT", "sales"),
    ];
    let transfer = load(&through).unwrap().transfer;
    let all = transfer.departments.values().chain([&transfer.targets]);
    for targets in all {
        assert_eq!(targets[0].to_string(), "+493023125009");
    }
}

#[test]
fn an_outcome_may_have_its_own_chain() {
    let found = problems(
        "mode = \"demo\"\n[transfer.fallback_on]\nbusy = [\"goodbye\"]\ngone = [\"goodbye\"]",
        &[],
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("transfer.fallback_on.gone"), "{found:?}");
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
        &[("DATABASE_URL", "mysql://u:geheim@h/db")],
    );
    assert!(
        found[0].contains("DATABASE_URL") && !found[0].contains("geheim"),
        "{found:?}"
    );
    let found = problems("mode = \"demo\"", &[("SWITCHHOOK_RTP_PORTS", "20000-10")]);
    assert!(found[0].contains("SWITCHHOOK_RTP_PORTS"), "{found:?}");
}

fn with_database(url: &str, node: Option<&str>) -> Result<Config, ConfigError> {
    let node = node.map(|node| ("SWITCHHOOK_NODE", node));
    let environment = Environment::from_pairs([("DATABASE_URL", url)].into_iter().chain(node));
    load(&Source::Profile("demo".into()), &environment)
}

#[test]
fn a_database_is_a_file_or_a_server() {
    let config = with_database("sqlite:///var/lib/x.db", Some("ignored")).unwrap();
    assert_eq!(config.data.database, Database::File("/var/lib/x.db".into()));
    assert_eq!(config.data.database.url(), "sqlite:///var/lib/x.db");
    // Nobody shares a file.
    assert_eq!(config.data.node, None);

    for url in [
        "postgres://anna:ge%40heim@db.example.com:5433/calls?sslmode=verify-full&password=geheim",
        "postgresql+asyncpg://anna:ge%40heim@db.example.com:5433/calls?password=geheim",
    ] {
        let config = with_database(url, Some("node-1.example")).unwrap();
        let database = &config.data.database;
        let rest = url.split_once("://").unwrap().1;
        assert_eq!(database.url(), format!("postgres://{rest}"));
        assert_eq!(config.data.node.as_deref(), Some("node-1.example"));
        assert_eq!(
            database.to_string(),
            "postgres://anna:***@db.example.com:5433/calls"
        );
        // As `config show` prints it.
        let shown = format!("{config:#?}");
        assert!(shown.contains("anna:***@"), "{shown}");
        assert!(!shown.contains("heim"), "{shown}");
    }
    let by_socket = "postgres://%2Frun%2Fpostgresql/calls";
    let config = with_database(by_socket, None).unwrap();
    assert_eq!(config.data.database.to_string(), by_socket);
    // Without a name, the host's.
    assert!(config.data.node.is_some_and(|node| !node.is_empty()));
}

#[test]
fn a_database_that_cannot_be_is_named_without_its_password() {
    for (url, expected) in [
        ("mysql://u:geheim@h/db", "not mysql://"),
        ("geheim", "sqlite://PATH"),
        ("postgres://u:geheim@h", "names no database"),
        ("postgres://u:geheim@h:port/db", "is not a URL"),
    ] {
        let found = with_database(url, Some("a")).unwrap_err().to_string();
        assert!(found.contains("DATABASE_URL"), "{found}");
        assert!(found.contains(expected), "{url}: {found}");
        assert!(!found.contains("geheim"), "{found}");
    }
    for node in ["a b", &"x".repeat(65), "a'--"] {
        let found = with_database("postgres://h/db", Some(node)).unwrap_err();
        assert!(found.to_string().contains("SWITCHHOOK_NODE"), "{found}");
    }
}

#[test]
fn trusted_proxies_are_networks_and_never_everybody() {
    let load_with = |value: &str| {
        let environment = Environment::from_pairs([("SWITCHHOOK_TRUSTED_PROXIES", value)]);
        load(&Source::Profile("demo".into()), &environment)
    };
    let config = load_with("127.0.0.1, 10.0.0.0/8,2001:db8::/32").unwrap();
    let shown: Vec<String> = config
        .http
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"]);
    for (value, expected) in [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("proxy.example.com", "proxy.example.com"),
        ("0.0.0.0/0", "trusts everybody"),
    ] {
        let found = load_with(value).unwrap_err().to_string();
        assert!(
            found.contains("SWITCHHOOK_TRUSTED_PROXIES sets http.trusted_proxies")
                && found.contains(expected),
            "{value}: {found}"
        );
    }
}

#[test]
fn proxies_of_sip_are_networks_and_never_everybody() {
    let text = |proxies: &str| format!("mode = \"demo\"\n[sip]\nproxies = [{proxies}]\n");
    let (_dir, source) = file(&text("\"192.0.2.10\", \"198.51.100.0/24\""));
    let config = load(&source, &Environment::from_pairs([])).unwrap();
    let proxies = &config.sip.network.proxies;
    let is_one = |ip: &str| proxies.iter().any(|p| p.matches_ip(ip.parse().unwrap()));
    assert!(is_one("192.0.2.10") && is_one("198.51.100.7") && !is_one("192.0.2.11"));
    for (proxies, expected) in [
        ("\"0.0.0.0/0\"", "everybody"),
        ("\"proxy.example.com\"", "proxy.example.com"),
        ("\"@nowhere\"", "@nowhere"),
    ] {
        let found = problems(&text(proxies), &[]).join("\n");
        assert!(
            found.contains("sip.proxies") && found.contains(expected),
            "{found}"
        );
    }
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
fn codecs_are_ordered_and_a_trunk_may_have_its_own() {
    let (_dir, source) = file(
        "mode = \"demo\"\n[sip]\ncodecs = [\"opus\", \"PCMU\"]\n\
         [trunks.carrier]\ncodecs = [\"pcma\"]\nearly_media = false\n[trunks.other]\n",
    );
    let config = load(&source, &Environment::default()).unwrap();
    assert_eq!(config.sip.codecs, [Codec::Opus, Codec::Pcmu]);
    assert_eq!(config.trunks["carrier"].codecs, Some(vec![Codec::Pcma]));
    assert_eq!(config.trunks["other"].codecs, None);
    assert!(!config.trunks["carrier"].early_media);
    assert!(
        config.trunks["other"].early_media,
        "unless it is switched off"
    );
    let config = load(&Source::Profile("demo".into()), &Environment::default()).unwrap();
    assert_eq!(
        config.sip.codecs,
        [Codec::G722, Codec::Pcmu, Codec::Pcma, Codec::Opus]
    );
}

#[test]
fn wrong_codecs_are_named() {
    let text = "mode = \"demo\"\n[sip]\ncodecs = [\"g729\", \"pcmu\", \"pcmu\"]\n\
                [trunks.carrier]\ncodecs = []\n";
    let found = problems(text, &[]).join("\n");
    for expected in [
        "sip.codecs: \"g729\" is no codec; expected opus, g722, pcmu or pcma",
        "sip.codecs: \"pcmu\" is there twice",
        "trunks.carrier.codecs: at least one codec is needed",
    ] {
        assert!(found.contains(expected), "{expected} not in {found}");
    }
    let found = problems("mode = \"demo\"", &[("SWITCHHOOK_CODECS", "speex")]).join("\n");
    assert!(
        found.contains("SWITCHHOOK_CODECS sets sip.codecs"),
        "{found}"
    );
}

#[test]
fn a_trunk_names_networks_and_what_calls_in_must_prove() {
    let (_dir, source) = file(
        "mode = \"demo\"\n[trunks.pbx]\naddresses = [\"203.0.113.0/24\", \"127.0.0.1:5090\"]\n\
         inbound_username = \"pbx\"\ninbound_password = \"password-of-the-pbx\"",
    );
    let config = load(&source, &Environment::default()).unwrap();
    let trunk = &config.trunks["pbx"];
    assert!(trunk.addresses[0].matches("203.0.113.9:4711".parse().unwrap()));
    assert!(!trunk.addresses[1].matches("127.0.0.1:5091".parse().unwrap()));
    assert_eq!(
        trunk.inbound.as_ref().map(|(user, _)| user.as_str()),
        Some("pbx")
    );

    let found = problems(
        "mode = \"demo\"\n[trunks.pbx]\naddresses = [\"203.0.113.0/40\"]\ninbound_username = \"pbx\"",
        &[],
    )
    .join("\n");
    assert!(found.contains("trunks.pbx.addresses"), "{found}");
    assert!(found.contains("inbound_password"), "{found}");
}

#[test]
fn tls_needs_files_that_can_be_used() {
    let found = problems(
        "mode = \"demo\"\n[sip]\ntls = [\"127.0.0.1:0\", \"somewhere\"]\n\
         tls_certificate_file = \"/nowhere/cert.pem\"\ntls_key_file = \"/nowhere/key.pem\"\n\
         tls_client_key_file = \"/nowhere/client.key\"\ntls_ca_file = \"/nowhere/ca.pem\"\n\
         [trunks.carrier]\ntransport = \"sctp\"",
        &[],
    )
    .join("\n");
    for expected in [
        "sip.tls: \"somewhere\"",
        "/nowhere/cert.pem cannot be read",
        "sip.tls_client_certificate_file is missing",
        "/nowhere/ca.pem cannot be read",
        "trunks.carrier.transport: expected udp, tcp or tls, got \"sctp\"",
    ] {
        assert!(found.contains(expected), "{expected} not in {found}");
    }
    let found = problems("mode = \"demo\"\n[sip]\ntls = [\"127.0.0.1:0\"]", &[]);
    assert!(found[0].contains("tls_certificate_file"), "{found:?}");
}

#[test]
fn digest_algorithms_are_known_ones() {
    let environment = Environment::default();
    let (_dir, source) = file("mode = \"demo\"\n[sip]\ndigest = [\"sha-256\", \"MD5\"]");
    let config = load(&source, &environment).unwrap();
    let names: Vec<_> = config.sip.digest.iter().map(|hash| hash.name()).collect();
    assert_eq!(names, ["SHA-256", "MD5"]);
    for wrong in ["[]", "[\"SHA-1\"]"] {
        let found = problems(&format!("mode = \"demo\"\n[sip]\ndigest = {wrong}"), &[]);
        assert!(found.join(" ").contains("sip.digest"), "{found:?}");
    }
}

#[test]
fn trunks_are_watched_and_registered_at() {
    let trunk = |lines: &str| format!("mode = \"demo\"\n[trunks.pbx]\n{lines}");
    let load = |lines: &str| {
        let (_dir, source) = file(&trunk(lines));
        let mut config = load(&source, &Environment::default()).unwrap();
        config.trunks.remove("pbx").unwrap().watch
    };
    let watch = load("termination = \"pbx.example.com\"");
    assert_eq!(watch.qualify_every.unwrap().as_secs(), 30);
    assert!(watch.registration.is_none() && !watch.skip_when_down);
    let watch = load(
        "registrar = \"pbx.example.com\"\nregister = true\nusername = \"u\"\npassword = \"p\"\n\
         qualify_s = 0\nskip_when_down = true",
    );
    assert!(watch.qualify_every.is_none() && watch.skip_when_down);
    assert_eq!(watch.registration.unwrap().expires_s, 3_600);
    let found = problems(
        &trunk("register = true\nqualify_s = 9999\nregister_expires_s = 5"),
        &[],
    )
    .join(" ");
    for key in [
        "trunks.pbx.username",
        "trunks.pbx.password",
        "trunks.pbx.registrar",
        "trunks.pbx.qualify_s",
        "trunks.pbx.register_expires_s",
    ] {
        assert!(found.contains(key), "{key} not in {found}");
    }
}

#[test]
fn session_timers_have_bounds() {
    let sip = |lines: &str| format!("mode = \"demo\"\n[sip]\n{lines}");
    let load = |lines: &str| {
        let (_dir, source) = file(&sip(lines));
        load(&source, &Environment::default()).unwrap().sip
    };
    let default = load("").session_timer.unwrap();
    assert_eq!((default.expires_s, default.min_s), (1_800, 90));
    assert!(load("").reliable_provisionals);
    let off = load("session_expires_s = 0\nreliable_provisionals = false");
    assert!(off.session_timer.is_none() && !off.reliable_provisionals);
    for (lines, key) in [
        ("session_expires_s = 60", "sip.session_expires_s"),
        ("session_min_s = 10", "sip.session_min_s"),
        ("session_min_s = 3600", "sip.session_expires_s"),
    ] {
        let found = problems(&sip(lines), &[]);
        assert!(found.join(" ").contains(key), "{found:?}");
    }
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
pass_headers = ["From", "X-Ticket", "X-Site"]
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
        "outbound.pass_headers: \"From\" is not in sip.keep_headers",
        "outbound.pass_headers: \"X-Site\" is not in sip.keep_headers",
        "outbound.pass_headers: \"X-Site\" is in outbound.headers",
    ] {
        assert!(text.contains(expected), "{expected} not in {text}");
    }
    assert_eq!(found.len(), 10, "{text}");
}

#[test]
fn calls_to_numbers_are_configured_or_their_problems_named() {
    let found = problems(
        "mode = \"demo\"\n[outbound]\nregion = \"XX\"\nmachine = \"beep\"\nmachine_detection = \"x\"\n\
         spend_per_day = 5.0\ntime_zones = { \"49\" = \"Mars/Base\" }\n\
         hours = { weekly = [{ days = [\"someday\"], from = \"9\", to = \"20:00\" }] }\n\
         [twilio]\nenabled = true\nassistant_via = \"sip\"\nassistant_sip = \"a;transport=udp\"",
        &[],
    )
    .join("\n");
    for expected in [
        "outbound.region",
        "outbound.machine:",
        "outbound.machine_detection",
        "outbound.price_per_minute",
        "\"49\" is not the beginning",
        "outbound.hours.weekly[0].days",
        "twilio.assistant_number (ELEVENLABS_PHONE_NUMBER)",
        "twilio.assistant_sip",
    ] {
        assert!(found.contains(expected), "{expected} not in {found}");
    }
}

#[test]
fn the_outbound_profile_starts_by_the_variables_of_its_guide() {
    let load = |more: &[(&str, &str)]| {
        let key = "k".repeat(40);
        let mut pairs = vec![("JWT_SECRET", key.as_str())];
        pairs.extend(more);
        load(
            &Source::Profile("outbound-agent".into()),
            &Environment::from_pairs(pairs),
        )
    };
    // Who calls nobody needs no account.
    let config = load(&[("TELEPHONY_MOCK", "true")]).unwrap();
    assert!(config.outbound.simulate);
    assert_eq!(config.language.code(), "ar");
    let missing = load(&[]).unwrap_err().problems.join("\n");
    for name in [
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "SWITCHHOOK_PUBLIC_URL",
    ] {
        assert!(missing.contains(name), "{name} not in {missing}");
    }
    let sid = format!("AC{}", "0".repeat(32));
    let account = [
        ("API_URL", "https://gw.example.com"),
        ("TWILIO_ACCOUNT_SID", sid.as_str()),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("TWILIO_PHONE_NUMBER", "+12025550100"),
    ];
    let own = load(&account).unwrap().twilio.unwrap();
    assert_eq!(own.assistant_via, AssistantVia::Own);
    let mut theirs = account.to_vec();
    theirs.push(("ELEVENLABS_PHONE_NUMBER", "+12025550199"));
    let theirs = load(&theirs).unwrap().twilio.unwrap();
    assert_eq!(theirs.assistant_via, AssistantVia::Number);
    assert_eq!(
        theirs.assistant_sip,
        ("sip.rtc.elevenlabs.io".to_owned(), Some(5060), false)
    );
}
