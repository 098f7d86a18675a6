//! The `[media]` section.

use std::net::IpAddr;
use std::time::Duration;

use switchhook_media::srtp::sdes::SrtpPolicy;

use super::problems::Problems;
use super::raw::RawMedia;
use super::resolve::seconds;
use super::types::{DtmfMode, MediaSection};

/// Where signalling is reached: media is reached there, too, unless its section says otherwise.
pub(super) struct Reached {
    pub bind: IpAddr,
    pub listens: Vec<IpAddr>,
}

pub(super) fn resolve(
    raw: RawMedia,
    reached: &Reached,
    (srtp, dtmf): (SrtpPolicy, DtmfMode),
    problems: &mut Problems,
) -> MediaSection {
    let (first_port, last_port) =
        port_range(raw.rtp_ports.as_deref().unwrap_or("10000-20000"), problems);
    let bind_ip = raw
        .bind_ip
        .as_deref()
        .and_then(|text| problems.parse("media.bind_ip", text))
        .unwrap_or(reached.bind);
    let advertised_ip = raw
        .advertised_ip
        .as_deref()
        .and_then(|text| problems.parse("media.advertised_ip", text))
        .unwrap_or(bind_ip);
    let bind_ip6 = raw
        .bind_ip6
        .as_deref()
        .and_then(|text| problems.parse("media.bind_ip6", text))
        .or_else(|| reached.listens.iter().copied().find(IpAddr::is_ipv6));
    if advertised_ip.is_unspecified() {
        problems.add(
            "media.advertised_ip is missing: sip.bind listens on every address, so say which one peers reach",
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = raw.workers.unwrap_or(cores.min(4));
    if !(1..=64).contains(&workers) {
        problems.add(format!("media.workers: {workers} is outside 1 to 64"));
    }
    MediaSection {
        bind_ip,
        bind_ip6,
        advertised_ip,
        first_port,
        last_port,
        workers,
        max_legs: raw.max_legs.unwrap_or(2000),
        hold_music: raw.hold_music,
        rtp_timeout: match raw.rtp_timeout_s.unwrap_or(60) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        },
        one_way_audio: seconds(problems.in_range(
            "media.one_way_audio_s",
            raw.one_way_audio_s.unwrap_or(3),
            1,
            60,
        )),
        srtp,
        dtmf,
    }
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
