//! From [`RawConfig`] to [`Config`]: types, ranges, cross-checks, secrets loaded. Collects every
//! problem before it gives up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use switchhook_media::Codec;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::Language;

use super::ConfigError;
use super::assistant;
use super::database;
use super::env::Environment;
use super::headers;
use super::http;
use super::media;
use super::networks::Networks;
use super::notice;
use super::outbound;
use super::people;
use super::pin;
use super::problems::Problems;
use super::raw::RawConfig;
use super::signalling;
use super::sip_network;
use super::transfer;
use super::trunks;
use super::twilio;
use super::types::*;

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

    let http = http::resolve(raw.http, mode, &mut problems);
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
    let extensions = people::extensions(
        raw.extensions,
        (media_srtp, media_dtmf),
        mode,
        &mut problems,
    );
    let trunks = trunks::resolve(
        raw.trunks,
        &networks,
        (media_srtp, media_dtmf),
        &mut problems,
    );

    let listens: Vec<IpAddr> = network.listen.iter().map(SocketAddr::ip).collect();
    let reached = media::Reached {
        bind: sip_bind.ip(),
        listens,
    };
    let media = media::resolve(raw.media, &reached, (media_srtp, media_dtmf), &mut problems);
    let brain = assistant::brain(raw.assistant.brain.as_deref(), raw.llm, &mut problems);
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

    let users = people::users(raw.users, mode, &mut problems);
    let phrases = matches!(brain, BrainConfig::Scripted);
    let own_number = raw
        .twilio
        .number
        .as_deref()
        .and_then(|own| own.parse().ok());
    let transfer = transfer::resolve(
        raw.transfer,
        phrases,
        own_number.as_ref(),
        &time_zone,
        &mut problems,
    );

    if http.signing_key.is_none() && mode != Mode::Production {
        warnings.push("no signing key: one is made and kept in the data directory".to_owned());
    }
    let assistant = assistant::resolve(raw.assistant, brain, &mut problems);
    let speech = assistant::speech(raw.speech, &dir, &mut problems);
    let limits = assistant::limits(&raw.limits, &mut problems);

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
        http,
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
        media,
        assistant,
        speech,
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

pub(super) fn seconds(n: u32) -> Duration {
    Duration::from_secs(u64::from(n))
}

pub(super) fn minutes(n: u32) -> Duration {
    Duration::from_secs(u64::from(n) * 60)
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
