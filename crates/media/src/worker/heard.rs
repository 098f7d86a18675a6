//! What a party said in one tick, encoded or as samples, each made only when somebody needs it:
//! a bridge of two legs with the same codec passes octets on without decoding them.

use crate::codec::Codec;
use crate::codec::coders::Decoders;
use crate::frame::{FRAME_SAMPLES, Frame, SILENCE};
use crate::sys::prefetch;

pub(crate) struct Heard {
    codec: Codec,
    octets: [u8; FRAME_SAMPLES],
    octets_ready: bool,
    pcm: Frame,
    pcm_ready: bool,
    /// The samples are made up for a frame that was lost.
    lost: bool,
    pub decoders: Decoders,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            codec: Codec::Pcmu,
            octets: [0; FRAME_SAMPLES],
            octets_ready: false,
            pcm: SILENCE,
            pcm_ready: true,
            lost: false,
            decoders: Decoders::default(),
        }
    }
}

/// How a frame leaves for a party that hears another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// As it came.
    Octets,
    /// Encoded from samples.
    Samples,
    Silence,
    /// Lost, and better left to the far end's own concealment.
    Lost,
}

impl Heard {
    /// Fetches what passing on octets touches.
    pub fn prefetch(&self) {
        prefetch(&self.octets);
        prefetch(&self.codec);
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Announces what the next octets are; true when that is a change.
    pub fn set_codec(&mut self, codec: Codec) -> bool {
        if self.codec == codec {
            return false;
        }
        // What is held now must not be read in the new codec.
        self.set_silence();
        self.codec = codec;
        true
    }

    pub fn set_silence(&mut self) {
        self.pcm = SILENCE;
        self.pcm_ready = true;
        self.octets_ready = false;
        self.lost = false;
    }

    /// Where octets of the current codec are received; they count from [`Self::use_octets`] on.
    /// Until then this still is the frame before.
    pub fn octets_buffer(&mut self) -> &mut [u8; FRAME_SAMPLES] {
        &mut self.octets
    }

    pub fn use_octets(&mut self) {
        self.octets_ready = true;
        self.pcm_ready = false;
        self.lost = false;
    }

    /// Notes that the samples replace a lost frame.
    pub fn set_lost(&mut self) {
        self.lost = true;
    }

    /// The samples.
    pub fn pcm(&mut self) -> &Frame {
        if !self.pcm_ready {
            self.decoders
                .decode(self.codec, &self.octets, &mut self.pcm);
            self.pcm_ready = true;
        }
        &self.pcm
    }

    /// The samples if somebody wanted them.
    pub fn ready_pcm(&self) -> Option<&Frame> {
        self.pcm_ready.then_some(&self.pcm)
    }

    /// The samples, to be changed.
    pub fn pcm_mut(&mut self) -> &mut Frame {
        self.pcm();
        self.octets_ready = false;
        self.lost = false;
        &mut self.pcm
    }

    /// How this frame is best passed on in `codec`. What G.722 says depends on all that went before:
    /// a frame made up here would need an encoder in step with the far end's decoder.
    pub fn passes_as(&self, codec: Codec) -> Passed {
        if codec == self.codec && self.octets_ready {
            Passed::Octets
        } else if codec == Codec::G722 && self.codec == codec && self.lost {
            Passed::Lost
        } else if self.pcm_ready && self.pcm == SILENCE {
            Passed::Silence
        } else {
            Passed::Samples
        }
    }

    /// The octets as they came, once [`Self::passes_as`] said so.
    pub fn octets(&self) -> &[u8; FRAME_SAMPLES] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::coders::Encoder;
    use crate::codec::opus::OpusParams;

    fn encoded(heard: &mut Heard, codec: Codec) -> [u8; FRAME_SAMPLES] {
        let mut out = [1; FRAME_SAMPLES];
        if heard.passes_as(codec) == Passed::Octets {
            return *heard.octets();
        }
        let mut encoder = Encoder::new(codec, OpusParams::default());
        encoder.encode(heard.pcm(), &mut out);
        out
    }

    #[test]
    fn same_codec_passes_octets_untouched() {
        let mut heard = Heard::default();
        // 0x7F is a second zero that encoding would change.
        heard.octets_buffer().fill(0x7F);
        heard.use_octets();
        assert_eq!(encoded(&mut heard, Codec::Pcmu), [0x7F; FRAME_SAMPLES]);
        assert_eq!(encoded(&mut heard, Codec::Pcma), [0xD5; FRAME_SAMPLES]);
    }

    #[test]
    fn changed_samples_are_encoded_again() {
        let mut heard = Heard::default();
        heard.octets_buffer().fill(0x00);
        heard.use_octets();
        heard.pcm_mut().fill(0);
        assert_eq!(encoded(&mut heard, Codec::Pcmu), [0xFF; FRAME_SAMPLES]);
    }

    #[test]
    fn a_codec_change_leaves_silence() {
        let mut heard = Heard::default();
        heard.octets_buffer().fill(0x2A);
        heard.use_octets();
        assert!(heard.set_codec(Codec::Pcma));
        assert_eq!(*heard.pcm(), SILENCE);
    }

    #[test]
    fn only_g722_passes_a_loss_on() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
            let mut heard = Heard::default();
            heard.set_codec(codec);
            heard.pcm_mut().fill(500);
            heard.set_lost();
            let same = heard.passes_as(codec);
            assert_eq!(same == Passed::Lost, codec == Codec::G722, "{codec:?}");
            assert_eq!(heard.passes_as(Codec::Opus), Passed::Samples);
        }
    }
}
