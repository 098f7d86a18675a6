//! How a leg's audio is to travel: what the configuration says of the party at its other end.

use switchhook_media::Codec;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::Extension;
use switchhook_sip::{DialTarget, Source, TrunkId};

use crate::config::{Config, DtmfMode};

/// What the configuration says of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AudioPolicy {
    /// In order of preference.
    pub codecs: Vec<Codec>,
    pub srtp: SrtpPolicy,
    pub dtmf: DtmfMode,
    /// Whether a caller hears what is played before the answer. Phones ring as we do.
    pub early_media: bool,
}

impl AudioPolicy {
    /// The same with the caller's codec first, if it is among ours: a bridge of two legs with the
    /// same codec passes audio on untouched.
    pub(super) fn beginning_with(mut self, first: Option<Codec>) -> Self {
        // Stable: the others keep their order.
        self.codecs.sort_by_key(|codec| Some(*codec) != first);
        self
    }
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
            codecs: config.sip.codecs.clone(),
            srtp: extension.srtp,
            dtmf: extension.dtmf,
            early_media: false,
        })
}

fn of_trunk(config: &Config, trunk: &TrunkId) -> AudioPolicy {
    config
        .trunks
        .get(trunk.as_str())
        .map_or(of_others(config), |trunk| AudioPolicy {
            codecs: trunk
                .codecs
                .clone()
                .unwrap_or_else(|| config.sip.codecs.clone()),
            srtp: trunk.srtp,
            dtmf: trunk.dtmf,
            early_media: trunk.early_media,
        })
}

fn of_others(config: &Config) -> AudioPolicy {
    AudioPolicy {
        codecs: config.sip.codecs.clone(),
        srtp: config.media.srtp,
        dtmf: config.media.dtmf,
        early_media: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_codec_comes_first_if_we_have_it() {
        let ours = [Codec::G722, Codec::Pcmu, Codec::Pcma];
        let offered = |first| {
            let policy = AudioPolicy {
                codecs: ours.to_vec(),
                srtp: SrtpPolicy::Off,
                dtmf: DtmfMode::Auto,
                early_media: true,
            };
            policy.beginning_with(first).codecs
        };
        assert_eq!(
            offered(Some(Codec::Pcma)),
            [Codec::Pcma, Codec::G722, Codec::Pcmu]
        );
        assert_eq!(offered(Some(Codec::Opus)), ours);
        assert_eq!(offered(None), ours);
    }
}
