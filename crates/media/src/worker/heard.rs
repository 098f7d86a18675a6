//! What a party said in one tick, encoded or as samples, each made only when somebody needs it:
//! a bridge of two legs with the same codec passes octets on without decoding them.

use crate::codec::Codec;
use crate::frame::{FRAME_SAMPLES, Frame, SILENCE};
use crate::sys::prefetch;

pub(crate) struct Heard {
    codec: Codec,
    octets: [u8; FRAME_SAMPLES],
    octets_ready: bool,
    pcm: Frame,
    pcm_ready: bool,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            codec: Codec::Pcmu,
            octets: [Codec::Pcmu.silence_octet(); FRAME_SAMPLES],
            octets_ready: true,
            pcm: SILENCE,
            pcm_ready: true,
        }
    }
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
        self.octets_ready = false;
        true
    }

    pub fn set_silence(&mut self) {
        self.pcm = SILENCE;
        self.pcm_ready = true;
        self.octets_ready = false;
    }

    /// Where octets of the current codec are received; they count from [`Self::use_octets`] on.
    /// Until then this still is the frame before.
    pub fn octets_buffer(&mut self) -> &mut [u8; FRAME_SAMPLES] {
        &mut self.octets
    }

    pub fn use_octets(&mut self) {
        self.octets_ready = true;
        self.pcm_ready = false;
    }

    /// The samples.
    pub fn pcm(&mut self) -> &Frame {
        if !self.pcm_ready {
            self.codec.decode(&self.octets, &mut self.pcm);
            self.pcm_ready = true;
        }
        &self.pcm
    }

    /// The samples, to be changed.
    pub fn pcm_mut(&mut self) -> &mut Frame {
        self.pcm();
        self.octets_ready = false;
        &mut self.pcm
    }

    /// Writes the audio in `codec`.
    pub fn encode_into(&mut self, codec: Codec, out: &mut [u8; FRAME_SAMPLES]) {
        if codec == self.codec && self.octets_ready {
            *out = self.octets;
        } else {
            codec.encode(self.pcm(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_codec_passes_octets_untouched() {
        let mut heard = Heard::default();
        // 0x7F is a second zero that encoding would change.
        heard.octets_buffer().fill(0x7F);
        heard.use_octets();
        let mut out = [0; FRAME_SAMPLES];
        heard.encode_into(Codec::Pcmu, &mut out);
        assert_eq!(out, [0x7F; FRAME_SAMPLES]);
        heard.encode_into(Codec::Pcma, &mut out);
        assert_eq!(out, [0xD5; FRAME_SAMPLES]);
    }

    #[test]
    fn changed_samples_are_encoded_again() {
        let mut heard = Heard::default();
        heard.octets_buffer().fill(0x00);
        heard.use_octets();
        heard.pcm_mut().fill(0);
        let mut out = [1; FRAME_SAMPLES];
        heard.encode_into(Codec::Pcmu, &mut out);
        assert_eq!(out, [0xFF; FRAME_SAMPLES]);
    }

    #[test]
    fn a_codec_change_leaves_silence() {
        let mut heard = Heard::default();
        heard.octets_buffer().fill(0x2A);
        heard.use_octets();
        assert!(heard.set_codec(Codec::Pcma));
        assert_eq!(*heard.pcm(), SILENCE);
    }
}
