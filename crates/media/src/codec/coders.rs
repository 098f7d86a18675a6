//! What turns samples into packets and back, for one stream each. Made on the signalling side,
//! because making one allocates; a worker only uses them.

use super::g722::{G722In, G722Out};
use super::opus::{OpusIn, OpusOut, OpusParams};
use super::{Codec, Law};
use crate::frame::{FRAME_SAMPLES, Frame, SILENCE};
use crate::params::RtpParams;

/// Largest packet we send, in octets: 20 ms of G.711 or G.722, and Opus up to 64 kbit/s.
pub const PAYLOAD_MAX: usize = FRAME_SAMPLES;

/// Encodes one stream, 20 ms at a time.
pub struct Encoder(Kind);

enum Kind {
    Law(Law),
    G722(Box<G722Out>),
    Opus(Box<OpusOut>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Encoder").field(&self.codec()).finish()
    }
}

impl Encoder {
    /// `opus` holds what the party asked for; other codecs have no parameters.
    pub fn new(codec: Codec, opus: OpusParams) -> Self {
        Self(match codec {
            Codec::Pcmu => Kind::Law(Law::Mu),
            Codec::Pcma => Kind::Law(Law::A),
            Codec::G722 => Kind::G722(Box::new(G722Out::new())),
            Codec::Opus => Kind::Opus(Box::new(OpusOut::new(opus))),
        })
    }

    pub fn codec(&self) -> Codec {
        match &self.0 {
            Kind::Law(Law::Mu) => Codec::Pcmu,
            Kind::Law(Law::A) => Codec::Pcma,
            Kind::G722(_) => Codec::G722,
            Kind::Opus(_) => Codec::Opus,
        }
    }

    /// Returns how many octets of `out` are the packet; 0 when there is none to send.
    pub fn encode(&mut self, samples: &Frame, out: &mut [u8; PAYLOAD_MAX]) -> usize {
        match &mut self.0 {
            Kind::Law(law) => {
                law.encode(samples, out);
                FRAME_SAMPLES
            }
            Kind::G722(coder) => {
                coder.encode(samples, out);
                FRAME_SAMPLES
            }
            Kind::Opus(coder) => coder.encode(samples, out),
        }
    }

    /// A packet of silence.
    pub(crate) fn silence(&mut self, out: &mut [u8; PAYLOAD_MAX]) -> usize {
        match &mut self.0 {
            Kind::Law(law) => {
                out.fill(law.silence_octet());
                FRAME_SAMPLES
            }
            Kind::G722(_) | Kind::Opus(_) => self.encode(&SILENCE, out),
        }
    }

    /// Notes a frame of another encoder that is sent in this stream.
    pub(crate) fn pass(&mut self, octets: &[u8; FRAME_SAMPLES]) {
        match &mut self.0 {
            Kind::Law(_) | Kind::Opus(_) => {}
            Kind::G722(coder) => coder.pass(octets),
        }
    }

    /// True when what was sent last came from another encoder, and matters.
    pub(crate) fn is_passing(&self) -> bool {
        match &self.0 {
            Kind::Law(_) | Kind::Opus(_) => false,
            Kind::G722(coder) => coder.is_passing(),
        }
    }

    /// New wishes of the party, while the stream goes on.
    pub(crate) fn configure(&mut self, opus: OpusParams) {
        match &mut self.0 {
            Kind::Law(_) | Kind::G722(_) => {}
            Kind::Opus(coder) => coder.configure(opus),
        }
    }
}

/// The decoders of a leg that remember, as far as its codecs have any.
#[derive(Default)]
pub(crate) struct Decoders {
    pub g722: Option<Box<G722In>>,
    pub opus: Option<Box<OpusIn>>,
}

impl Decoders {
    /// Decodes a frame of octets. Opus is no such codec: its packets are decoded as they are taken.
    pub fn decode(&mut self, codec: Codec, octets: &[u8; FRAME_SAMPLES], out: &mut Frame) {
        match (codec, &mut self.g722) {
            (Codec::Pcmu, _) => Law::Mu.decode(octets, out),
            (Codec::Pcma, _) => Law::A.decode(octets, out),
            (Codec::G722, Some(decoder)) => decoder.decode(octets, out),
            (Codec::G722, None) | (Codec::Opus, _) => out.fill(0),
        }
    }
}

/// All coders that a leg with these parameters needs.
pub(crate) struct Coders {
    pub encoder: Encoder,
    pub decoders: Decoders,
}

impl Coders {
    pub fn new(params: &RtpParams) -> Self {
        let has =
            |codec| params.codec == codec || params.also_receives.is_some_and(|f| f.codec == codec);
        Self {
            encoder: Encoder::new(params.codec, params.opus),
            decoders: Decoders {
                g722: has(Codec::G722).then(|| Box::new(G722In::new())),
                opus: has(Codec::Opus).then(|| Box::new(OpusIn::new())),
            },
        }
    }

    /// Puts these into place of a stream's coders. What goes on with the same codec stays as it is,
    /// with its memory of the stream. What is not needed any more comes back.
    pub fn replace(
        mut self,
        encoder: &mut Encoder,
        decoders: &mut Decoders,
        params: &RtpParams,
    ) -> Self {
        if encoder.codec() == self.encoder.codec() {
            encoder.configure(params.opus);
        } else {
            std::mem::swap(encoder, &mut self.encoder);
        }
        keep_or_take(&mut decoders.g722, &mut self.decoders.g722);
        keep_or_take(&mut decoders.opus, &mut self.decoders.opus);
        self
    }
}

fn keep_or_take<T>(old: &mut Option<T>, new: &mut Option<T>) {
    if old.is_none() || new.is_none() {
        std::mem::swap(old, new);
    }
}
