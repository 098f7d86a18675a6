//! From [`RawConfig`] to [`Config`]: types, ranges, cross-checks, secrets loaded. Collects every
//! problem before it gives up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use switchhook_call::hours::RawOpenHours;
use switchhook_call::{FallbackStep, OpenHours};
use switchhook_media::Codec;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::{Extension, Language};

use super::ConfigError;
use super::database;
use super::env::Environment;
use super::headers;
use super::networks::Networks;
use super::notice;
use super::outbound;
use super::pin;
use super::problems::Problems;
use super::raw::{RawConfig, RawHours};
use super::signalling;
use super::sip_network;
use super::trunks;
use super::twilio;
use super::types::*;
use crate::network::Network;

pub(super) fn resolve(
    mut raw: RawConfig,
    profile: &str,
    environment: &Environment,
) -> Result<Config, ConfigError> {
    let mut problems = Problems::default();
    let mut warnings: Vec<String> = environment
        .unknown()
        .into_iter()
        .map(|name| format!("{name} is not a variable of ours and has no effect"))
        .collect();

    let mode = match raw.mode.as_deref() {
        None | Some("production") => Mode::Production,
        Some("development") => Mode::Development,
        Some("demo") => Mode::Demo,
        Some(other) => {
            problems.add(format!(
                "mode: expected production, development or demo, got {other:?}"
            ));
            Mode::Production
        }
    };
    let language = raw
        .language
        .as_deref()
        .and_then(|text| problems.parse::<Language>("language", text))
        .unwrap_or_default();
    let time_zone = raw.time_zone.unwrap_or_else(|| "UTC".to_owned());
    if jiff::tz::TimeZone::get(&time_zone).is_err() {
        problems.add(format!(
            "time_zone: {time_zone:?} is not a time zone name such as Europe/Berlin"
        ));
    }

    let mut http_bind: SocketAddr = raw
        .http
        .bind
        .as_deref()
        .and_then(|text| problems.parse("http.bind", text))
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    if let Some(port) = raw.http.port {
        http_bind.set_port(port);
    }
    let trusted_proxies: Vec<Network> = raw
        .http
        .trusted_proxies
        .iter()
        .filter_map(|text| problems.parse("http.trusted_proxies", text))
        .collect();
    for network in trusted_proxies.iter().filter(|n| n.is_everybody()) {
        problems.add(format!(
            "http.trusted_proxies: {network} trusts everybody, and then any client can choose its address"
        ));
    }
    let signing_key = problems.secret(
        "http.signing_key",
        raw.http.signing_key,
        raw.http.signing_key_file,
    );
    match (&signing_key, mode) {
        (Some(key), _) if key.expose().chars().count() < 32 => problems.add(
            "http.signing_key (SWITCHHOOK_SIGNING_KEY) is shorter than 32 characters: make one with `openssl rand -hex 32`",
        ),
        (None, Mode::Production) => problems.add(
            "http.signing_key (SWITCHHOOK_SIGNING_KEY) is missing: make one with `openssl rand -hex 32`",
        ),
        _ => {}
    }

    let dir = raw.data.dir.unwrap_or_else(|| PathBuf::from("var"));
    let database = database::database(raw.data.database_url.as_ref(), &dir, &mut problems);
    let node = database::node(raw.data.node, &database, &mut problems);

    let sip_bind: SocketAddr = raw
        .sip
        .bind
        .as_deref()
        .and_then(|text| problems.parse("sip.bind", text))
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 5060)));
    let networks = Networks::new(raw.networks);
    let mut raw_sip = raw.sip;
    let codecs = raw_sip.codecs.take().map_or_else(
        || DEFAULT_CODECS.to_vec(),
        |names| problems.codecs("sip.codecs", &names),
    );
    let network = sip_network::resolve(
        &mut raw_sip,
        raw.public_url.as_deref(),
        &networks,
        &mut problems,
    );
    let session_timer = signalling::session_timer(&raw_sip, &mut problems);
    let loopback_guests = raw_sip.loopback_guests.unwrap_or(false);
    if loopback_guests && mode == Mode::Production {
        problems.add("sip.loopback_guests is for demo and development: remove it, or set mode");
    }

    let media_srtp = problems.srtp("media.srtp", raw.media.srtp.as_deref(), SrtpPolicy::Off);
    let media_dtmf = problems.dtmf("media.dtmf", raw.media.dtmf.as_deref(), DtmfMode::Auto);
    let extensions = raw
        .extensions
        .into_iter()
        .filter_map(|(digits, extension)| {
            let srtp_key = format!("extensions.{digits}.srtp");
            let srtp = problems.srtp(&srtp_key, extension.srtp.as_deref(), media_srtp);
            let dtmf_key = format!("extensions.{digits}.dtmf");
            let dtmf = problems.dtmf(&dtmf_key, extension.dtmf.as_deref(), media_dtmf);
            let key = format!("extensions.{digits}.password");
            let number: Option<Extension> = problems.parse("extensions", &digits);
            let Some(password) = problems.secret(&key, extension.password, extension.password_file)
            else {
                problems.add(format!("{key} is missing"));
                return None;
            };
            if mode == Mode::Production && password.expose().chars().count() < 12 {
                problems.add(format!("{key} is shorter than 12 characters"));
            }
            Some((
                number?,
                ExtensionConfig {
                    name: extension.name,
                    password,
                    srtp,
                    dtmf,
                },
            ))
        })
        .collect();

    let trunks = trunks::resolve(
        raw.trunks,
        &networks,
        (media_srtp, media_dtmf),
        &mut problems,
    );

    let (first_port, last_port) = port_range(
        raw.media.rtp_ports.as_deref().unwrap_or("10000-20000"),
        &mut problems,
    );
    let bind_ip = raw
        .media
        .bind_ip
        .as_deref()
        .and_then(|text| problems.parse("media.bind_ip", text))
        .unwrap_or_else(|| sip_bind.ip());
    let advertised_ip = raw
        .media
        .advertised_ip
        .as_deref()
        .and_then(|text| problems.parse("media.advertised_ip", text))
        .unwrap_or(bind_ip);
    let bind_ip6 = raw
        .media
        .bind_ip6
        .as_deref()
        .and_then(|text| problems.parse("media.bind_ip6", text))
        .or_else(|| {
            network
                .listen
                .iter()
                .map(SocketAddr::ip)
                .find(IpAddr::is_ipv6)
        });
    if advertised_ip.is_unspecified() {
        problems.add(
            "media.advertised_ip is missing: sip.bind listens on every address, so say which one peers reach",
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = raw.media.workers.unwrap_or(cores.min(4));
    if !(1..=64).contains(&workers) {
        problems.add(format!("media.workers: {workers} is outside 1 to 64"));
    }

    let brain = match raw.assistant.brain.as_deref() {
        None | Some("scripted") => BrainConfig::Scripted,
        Some("openai") => {
            let base_url = raw.llm.base_url.unwrap_or_default();
            require_http_url(
                "llm.base_url (SWITCHHOOK_LLM_BASE_URL)",
                &base_url,
                &mut problems,
            );
            let model = raw.llm.model.unwrap_or_default();
            if model.is_empty() {
                problems.add("llm.model (SWITCHHOOK_LLM_MODEL) is missing");
            }
            BrainConfig::OpenAi(LlmConfig {
                base_url: base_url.trim_end_matches('/').to_owned(),
                api_key: problems.secret("llm.api_key", raw.llm.api_key, raw.llm.api_key_file),
                model,
                temperature: raw.llm.temperature,
                max_tokens: problems.in_range(
                    "llm.max_tokens",
                    raw.llm.max_tokens.unwrap_or(300),
                    16,
                    4096,
                ),
            })
        }
        Some(other) => {
            problems.add(format!(
                "assistant.brain: expected scripted or openai, got {other:?}"
            ));
            BrainConfig::Scripted
        }
    };

    let default_chain = || {
        vec![
            FallbackStep::TakeMessage,
            FallbackStep::NotifyStaff,
            FallbackStep::Goodbye,
        ]
    };
    if let Some(url) = &raw.speech.url {
        require_http_url("speech.url (SWITCHHOOK_SPEECH_URL)", url, &mut problems);
    }
    if let Some(url) = &raw.public_url {
        let https = url.starts_with("https://");
        if mode == Mode::Production && !https {
            problems.add(format!("public_url: {url} is not https, vendors refuse it"));
        }
    }
    let keep_headers = raw_sip.keep_headers.take();
    let keep_headers = keep_headers.unwrap_or_else(|| headers::KEPT.map(str::to_owned).to_vec());
    let keep_headers = headers::names("sip.keep_headers", keep_headers, &mut problems);
    let pass_headers = std::mem::take(&mut raw.outbound.pass_headers);
    let pass_headers = headers::passed("outbound.pass_headers", pass_headers, &mut problems);
    let outbound_headers = std::mem::take(&mut raw.outbound.headers);
    let outbound_headers = headers::written("outbound.headers", outbound_headers, &mut problems);
    headers::agree(
        &keep_headers,
        &pass_headers,
        &outbound_headers,
        &mut problems,
    );
    if raw.outbound.max_redirects.is_some_and(|max| max > 10) {
        problems.add("outbound.max_redirects: expected 0 to 10");
    }
    if let Some(trunk) = &raw.outbound.trunk
        && !trunks.contains_key(trunk)
    {
        problems.add(format!("outbound.trunk: there is no trunk named {trunk:?}"));
    }

    let calling = outbound::resolve(&mut raw.outbound, &time_zone, &mut problems);

    let users = raw
        .users
        .into_iter()
        .filter_map(|(name, user)| {
            let key = format!("users.{name}.password");
            let password = problems.secret(&key, user.password, user.password_file);
            let role = user.role.unwrap_or_else(|| "operator".to_owned());
            if !["operator", "admin", "desk"].contains(&role.as_str()) {
                problems.add(format!("users.{name}.role: expected operator, admin or desk"));
            }
            if mode == Mode::Production {
                problems.add(format!(
                    "users.{name}: users are not made from the file in production: `switchhook user add {name}`"
                ));
            }
            Some(UserSeed { name, role, password: password? })
        })
        .collect();

    let departments = raw
        .transfer
        .departments
        .iter()
        .map(|(name, targets)| {
            let key = format!("transfer.departments.{name}");
            (name.to_lowercase(), problems.targets(&key, targets))
        })
        .collect();
    let open_hours = raw
        .transfer
        .open_hours
        .and_then(|hours| open_hours(hours, &time_zone, &mut problems));
    let transfer = TransferConfig {
        ring_timeout: seconds(problems.in_range(
            "transfer.ring_timeout_s",
            raw.transfer.ring_timeout_s.unwrap_or(20),
            1,
            120,
        )),
        targets: problems.targets(
            "transfer.targets",
            &raw.transfer.targets.unwrap_or_default(),
        ),
        departments,
        spoken_extension: raw.transfer.spoken_extension.unwrap_or(false),
        phrases: raw
            .transfer
            .phrases
            .unwrap_or(matches!(brain, BrainConfig::Scripted)),
        fallback: raw.transfer.fallback.unwrap_or_else(default_chain),
        closed_fallback: raw.transfer.closed_fallback.unwrap_or_else(default_chain),
        max_transfers: problems.in_range(
            "transfer.max_transfers",
            raw.transfer.max_transfers.unwrap_or(3),
            1,
            20,
        ),
        open_hours,
    };

    if signing_key.is_none() && mode != Mode::Production {
        warnings.push("no signing key: one is made and kept in the data directory".to_owned());
    }
    let limits = LimitsConfig {
        call: minutes(problems.in_range(
            "limits.call_minutes",
            raw.limits.call_minutes.unwrap_or(60),
            1,
            1440,
        )),
        assistant: minutes(problems.in_range(
            "limits.assistant_minutes",
            raw.limits.assistant_minutes.unwrap_or(20),
            1,
            1440,
        )),
        turns: problems.in_range("limits.turns", raw.limits.turns.unwrap_or(60), 1, 1000),
        silent_prompts: problems.in_range(
            "limits.silent_prompts",
            raw.limits.silent_prompts.unwrap_or(3),
            1,
            10,
        ),
        errors: problems.in_range("limits.errors", raw.limits.errors.unwrap_or(3), 1, 10),
    };

    let twilio = twilio::resolve(
        raw.twilio,
        (mode, calling.simulate),
        raw.public_url.as_deref(),
        language,
        &mut problems,
    );
    let pin = pin::resolve(raw.pin, mode, &mut problems);
    let notice = notice::resolve(raw.notice, mode, twilio.as_ref(), &mut problems);
    let config = Config {
        profile: profile.to_owned(),
        mode,
        public_url: raw.public_url,
        language,
        time_zone,
        http: HttpConfig {
            bind: http_bind,
            trusted_proxies,
            signing_key,
        },
        data: DataConfig {
            database,
            node,
            recordings: dir.join("recordings"),
            dir: dir.clone(),
        },
        sip: SipSection {
            bind: sip_bind,
            realm: raw_sip.realm.unwrap_or_else(|| "switchhook".to_owned()),
            session_timer,
            reliable_provisionals: raw_sip.reliable_provisionals.unwrap_or(true),
            digest: signalling::digest(raw_sip.digest, &mut problems),
            loopback_guests,
            keep_headers,
            // A number that is attached to a trunk is called like one that is not.
            assistant_numbers: raw_sip.assistant_numbers.unwrap_or_else(|| {
                let own = twilio.as_ref().and_then(|twilio| twilio.number.as_ref());
                let own = own.map(ToString::to_string);
                std::iter::once("assistant".to_owned()).chain(own).collect()
            }),
            codecs,
            network,
        },
        extensions,
        trunks,
        media: MediaSection {
            bind_ip,
            bind_ip6,
            advertised_ip,
            first_port,
            last_port,
            workers,
            max_legs: raw.media.max_legs.unwrap_or(2000),
            hold_music: raw.media.hold_music,
            rtp_timeout: match raw.media.rtp_timeout_s.unwrap_or(60) {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            one_way_audio: seconds(problems.in_range(
                "media.one_way_audio_s",
                raw.media.one_way_audio_s.unwrap_or(3),
                1,
                60,
            )),
            srtp: media_srtp,
            dtmf: media_dtmf,
        },
        assistant: AssistantConfig {
            name: raw.assistant.name.unwrap_or_else(|| "Clara".to_owned()),
            company: raw.assistant.company,
            brain,
            greeting: raw.assistant.greeting,
            instructions: raw.assistant.instructions,
            intents_file: raw.assistant.intents_file,
            end_silence: Duration::from_millis(u64::from(problems.in_range(
                "assistant.end_silence_ms",
                raw.assistant.end_silence_ms.unwrap_or(700),
                200,
                3000,
            ))),
        },
        speech: SpeechConfig {
            url: raw
                .speech
                .url
                .map(|url| url.trim_end_matches('/').to_owned()),
            dir: raw.speech.dir.unwrap_or_else(|| dir.join("speech")),
            api_key: raw.speech.api_key,
            stt_model: raw.speech.stt_model,
            tts_model: raw.speech.tts_model,
            gain_control: raw.speech.gain_control.unwrap_or(true),
            voice: raw.speech.voice,
        },
        transfer,
        notice,
        recording: RecordingConfig {
            enabled: raw.recording.enabled.unwrap_or(mode == Mode::Demo),
            announce: raw.recording.announce.unwrap_or(mode != Mode::Demo),
        },
        outbound: OutboundConfig {
            allowed_prefixes: raw.outbound.allowed_prefixes,
            allowed_sip_hosts: raw.outbound.allowed_sip_hosts,
            trunk: raw.outbound.trunk,
            headers: outbound_headers,
            pass_headers,
            max_redirects: raw.outbound.max_redirects.unwrap_or(3),
            region: calling.region,
            hours: calling.hours,
            limits: calling.limits,
            machine: calling.machine,
            detection: calling.detection,
            machine_message: calling.machine_message,
            simulate: calling.simulate,
        },
        limits,
        twilio,
        pin,
        users,
        warnings,
    };
    problems.none().map(|()| config)
}

/// G.722 first: two parties that have it hear each other in wideband, untouched. Opus last: it is
/// decoded to telephone quality, so only a party that prefers it or has nothing else gains.
const DEFAULT_CODECS: [Codec; 4] = [Codec::G722, Codec::Pcmu, Codec::Pcma, Codec::Opus];

fn seconds(n: u32) -> Duration {
    Duration::from_secs(u64::from(n))
}

fn minutes(n: u32) -> Duration {
    Duration::from_secs(u64::from(n) * 60)
}

fn port_range(text: &str, problems: &mut Problems) -> (u16, u16) {
    let range = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    match range {
        Some((first, last)) if first >= 1024 && first < last => (first, last),
        _ => {
            problems.add(format!(
                "media.rtp_ports (SWITCHHOOK_RTP_PORTS): expected FIRST-LAST from 1024, got {text:?}"
            ));
            (10000, 20000)
        }
    }
}

pub(super) fn require_http_url(key: &str, text: &str, problems: &mut Problems) {
    if text.is_empty() {
        problems.add(format!("{key} is missing"));
        return;
    }
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
        Ok(_) => problems.add(format!("{key}: expected http:// or https://, got {text:?}")),
        Err(error) => problems.add(format!("{key}: {text:?} is not a URL: {error}")),
    }
}

fn open_hours(raw: RawHours, time_zone: &str, problems: &mut Problems) -> Option<OpenHours> {
    let raw = RawOpenHours {
        time_zone: time_zone.to_owned(),
        weekly: raw.weekly,
        holidays: raw.holidays,
    };
    OpenHours::try_from(raw)
        .map_err(|error| problems.add(format!("transfer.{error}")))
        .ok()
}
