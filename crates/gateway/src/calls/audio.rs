//! How a leg's audio is to travel: what the configuration says of the party at its other end.

use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::Extension;
use switchhook_sip::{DialTarget, Source, TrunkId};

use crate::config::{Config, DtmfMode};

/// What the configuration says of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioPolicy {
    pub srtp: SrtpPolicy,
    pub dtmf: DtmfMode,
}

/// Of a caller.
pub(super) fn of_source(config: &Config, source: &Source) -> AudioPolicy {
    match source {
        Source::Extension(extension) => of_extension(config, extension),
        Source::Trunk(trunk) => of_trunk(config, trunk),
        Source::Guest => of_others(config),
    }
}

/// Of somebody we call.
pub(super) fn of_target(config: &Config, target: &DialTarget) -> AudioPolicy {
    match target {
        DialTarget::Extension(extension) => of_extension(config, extension),
        DialTarget::Trunk { trunk, .. } => of_trunk(config, trunk),
        DialTarget::Uri(_) => of_others(config),
    }
}

fn of_extension(config: &Config, extension: &Extension) -> AudioPolicy {
    config
        .extensions
        .get(extension)
        .map_or(of_others(config), |extension| AudioPolicy {
            srtp: extension.srtp,
            dtmf: extension.dtmf,
        })
}

fn of_trunk(config: &Config, trunk: &TrunkId) -> AudioPolicy {
    config
        .trunks
        .get(trunk.as_str())
        .map_or(of_others(config), |trunk| AudioPolicy {
            srtp: trunk.srtp,
            dtmf: trunk.dtmf,
        })
}

fn of_others(config: &Config) -> AudioPolicy {
    AudioPolicy {
        srtp: config.media.srtp,
        dtmf: config.media.dtmf,
    }
}
