//! How a leg's audio is to travel: what the configuration says of the party at its other end.

use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::Extension;
use switchhook_sip::{DialTarget, Source, TrunkId};

use crate::config::Config;

/// Whether a caller's media is protected.
pub(super) fn srtp_of_source(config: &Config, source: &Source) -> SrtpPolicy {
    match source {
        Source::Extension(extension) => of_extension(config, extension),
        Source::Trunk(trunk) => of_trunk(config, trunk),
        Source::Guest => config.media.srtp,
    }
}

/// Whether the media of somebody we call is protected.
pub(super) fn srtp_of_target(config: &Config, target: &DialTarget) -> SrtpPolicy {
    match target {
        DialTarget::Extension(extension) => of_extension(config, extension),
        DialTarget::Trunk { trunk, .. } => of_trunk(config, trunk),
        DialTarget::Uri(_) => config.media.srtp,
    }
}

fn of_extension(config: &Config, extension: &Extension) -> SrtpPolicy {
    config
        .extensions
        .get(extension)
        .map_or(config.media.srtp, |extension| extension.srtp)
}

fn of_trunk(config: &Config, trunk: &TrunkId) -> SrtpPolicy {
    config
        .trunks
        .get(trunk.as_str())
        .map_or(config.media.srtp, |trunk| trunk.srtp)
}
