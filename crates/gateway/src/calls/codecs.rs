//! Which codecs a leg is offered or answered with.

use switchhook_media::Codec;

use crate::config::Config;

/// Those of the trunk, else of all signalling.
pub(super) fn of_trunk<'a>(config: &'a Config, trunk: Option<&str>) -> &'a [Codec] {
    trunk
        .and_then(|name| config.trunks.get(name)?.codecs.as_deref())
        .unwrap_or(&config.sip.codecs)
}

/// The same with the caller's codec first, if it is among them: a bridge of two legs with the same
/// codec passes audio on untouched.
pub(super) fn beginning_with(first: Option<Codec>, codecs: &[Codec]) -> Vec<Codec> {
    let mut codecs = codecs.to_vec();
    // Stable: the others keep their order.
    codecs.sort_by_key(|codec| Some(*codec) != first);
    codecs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_codec_comes_first_if_we_have_it() {
        let ours = [Codec::G722, Codec::Pcmu, Codec::Pcma];
        assert_eq!(
            beginning_with(Some(Codec::Pcma), &ours),
            [Codec::Pcma, Codec::G722, Codec::Pcmu]
        );
        assert_eq!(beginning_with(Some(Codec::Opus), &ours), ours);
        assert_eq!(beginning_with(None, &ours), ours);
    }
}
