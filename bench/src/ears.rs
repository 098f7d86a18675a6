//! What comes back to the generator: through which port, whether it is authentic, and whether it is
//! what was sent.

use std::net::{SocketAddr, SocketAddrV4};

use switchhook_media::Law;
use switchhook_media::bench_io::FarEnd;
use switchhook_media::rtp::RtpPacket;

use crate::generator::{Carries, Stream, tick_of};
use crate::lossy::Listener;
use crate::marks::{self, Through};
use crate::speech;

/// All parties' ears.
pub struct Ears {
    ears: Vec<Ear>,
    /// Stream by the port its audio comes back from.
    by_port: Vec<Option<u32>>,
    through: Through,
}

struct Ear {
    back_from: SocketAddrV4,
    carries: Carries,
    protection: Option<Box<FarEnd>>,
    /// For audio that does not come back octet by octet.
    listener: Option<Box<Listener>>,
}

impl Ears {
    pub fn new(streams: &[Stream]) -> anyhow::Result<Self> {
        let mut by_port = vec![None; 1 << 16];
        for (n, stream) in streams.iter().enumerate() {
            by_port[usize::from(stream.back_from.port())] = Some(n as u32);
        }
        let ear = |stream: &Stream| -> anyhow::Result<Ear> {
            let listener = match stream.carries {
                Carries::Marks { .. } => None,
                Carries::Speech {
                    sent_as, back_as, ..
                } => Listener::new(sent_as, back_as)?.map(Box::new),
            };
            Ok(Ear {
                back_from: stream.back_from,
                carries: stream.carries,
                protection: stream.keys.map(|keys| Box::new(FarEnd::new(&keys))),
                listener,
            })
        };
        Ok(Self {
            ears: streams.iter().map(ear).collect::<anyhow::Result<_>>()?,
            by_port,
            through: Through::new(),
        })
    }

    /// Protects the packet of stream `n` in the first `len` octets, if the stream is to be;
    /// returns its length.
    pub fn protect(&mut self, n: usize, buffer: &mut [u8], len: usize) -> usize {
        match &mut self.ears[n].protection {
            Some(protection) => protection.protect(buffer, len),
            None => len,
        }
    }

    /// Which frame of which stream this is. What is not whole and right (silence, a concealed
    /// loss, somebody else's audio, a wrong tag) is none, so its frame is missing in the end.
    pub fn identify(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
        now_us: u32,
    ) -> Option<(u32, u32)> {
        let n = self.by_port[usize::from(from.port())]?;
        let ear = &mut self.ears[n as usize];
        if from != SocketAddr::V4(ear.back_from) {
            return None;
        }
        let datagram = match &mut ear.protection {
            Some(protection) => {
                let len = protection.open(datagram)?;
                &datagram[..len]
            }
            None => datagram,
        };
        let packet = RtpPacket::parse(datagram).ok()?;
        if packet.payload_type != ear.carries.back_as().payload_type() {
            return None;
        }
        let frame = match (ear.carries, &mut ear.listener) {
            (Carries::Marks { sent_as, back_as }, _) => {
                marked(&self.through, packet.payload, n, sent_as, back_as)
            }
            (Carries::Speech { offset, .. }, Some(listener)) => {
                listener.identify(packet.payload, offset, tick_of(now_us))
            }
            (Carries::Speech { offset, .. }, None) => spoken(packet.payload, offset, now_us),
        };
        frame.map(|frame| (n, frame))
    }
}

fn marked(through: &Through, payload: &[u8], n: u32, sent_as: Law, back_as: Law) -> Option<u32> {
    let payload = payload.try_into().ok()?;
    let marks @ (stream, frame) = marks::read(payload);
    (stream == n && through.is_right(payload, marks, sent_as, back_as)).then_some(frame)
}

/// Octets of speech are all different, so they say which frame they are.
fn spoken(payload: &[u8], offset: u32, now_us: u32) -> Option<u32> {
    let speech = speech::caller();
    let place = speech.place_of(payload)?;
    // The loop is longer than any delay, so it is the last time this place was played.
    let now = tick_of(now_us);
    let ago = (offset + now + speech.len() - place) % speech.len();
    now.checked_sub(ago)
}

#[cfg(test)]
mod tests {
    use switchhook_media::Codec;
    use switchhook_media::srtp::{MasterKey, SrtpParams, Suite};

    use super::*;
    use crate::generator::packet;

    const FROM: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 4_000);
    const FRAMES: u32 = 100;

    /// A stream that comes back as it was sent.
    fn stream(carries: Carries, is_protected: bool) -> Stream {
        let key = MasterKey::random(Suite::AesCm128HmacSha1Tag80);
        Stream {
            to: FROM,
            back_from: FROM,
            carries,
            keys: is_protected.then_some(SrtpParams {
                local: key,
                remote: key,
            }),
        }
    }

    /// How many of the frames count when `spoil` had each packet; none may be taken for another.
    fn counted(stream: Stream, from: SocketAddrV4, spoil: impl Fn(u32, &mut Vec<u8>)) -> u32 {
        let mut ears = Ears::new(&[stream]).unwrap();
        let mut counted = 0;
        for frame in 0..FRAMES {
            let mut datagram = vec![0; 1_500];
            let len = packet(&stream, 0, frame, &mut datagram);
            let len = ears.protect(0, &mut datagram, len);
            datagram.truncate(len);
            spoil(frame, &mut datagram);
            let now_us = (frame + 5) * 20_000;
            if let Some(found) = ears.identify(from.into(), &mut datagram, now_us) {
                assert_eq!(found, (0, frame));
                counted += 1;
            }
        }
        counted
    }

    fn every_kind() -> Vec<(Stream, &'static str)> {
        let marks = Carries::Marks {
            sent_as: Law::Mu,
            back_as: Law::Mu,
        };
        let speech = |codec| Carries::Speech {
            sent_as: codec,
            back_as: codec,
            offset: 50,
        };
        vec![
            (stream(marks, false), "marks"),
            (stream(marks, true), "marks, SRTP"),
            (stream(speech(Codec::Pcmu), false), "speech"),
            (stream(speech(Codec::Pcmu), true), "speech, SRTP"),
        ]
    }

    #[test]
    fn a_flipped_bit_is_never_counted() {
        for (stream, what) in every_kind() {
            assert_eq!(counted(stream, FROM, |_, _| {}), FRAMES, "{what}");
            // Any octet of the payload, or of payload and tag.
            let flip = |frame: u32, datagram: &mut Vec<u8>| {
                if frame % 4 == 1 {
                    let at = 12 + frame as usize * 7 % (datagram.len() - 12);
                    datagram[at] ^= 1 << (frame % 8);
                }
            };
            assert_eq!(counted(stream, FROM, flip), FRAMES * 3 / 4, "{what}");
        }
    }

    #[test]
    fn what_comes_through_another_port_or_unprotected_is_not_counted() {
        let other = SocketAddrV4::new(*FROM.ip(), 4_001);
        for (stream, what) in every_kind() {
            assert_eq!(counted(stream, other, |_, _| {}), 0, "{what}");
            let Some(keys) = stream.keys else { continue };
            let wrong = Stream {
                keys: Some(SrtpParams {
                    remote: MasterKey::random(Suite::AesCm128HmacSha1Tag80),
                    ..keys
                }),
                ..stream
            };
            assert_eq!(counted(wrong, FROM, |_, _| {}), 0, "{what}, other key");
            let plain = |frame: u32, datagram: &mut Vec<u8>| {
                datagram.resize(1_500, 0);
                let len = packet(&stream, 0, frame, datagram);
                datagram.truncate(len);
            };
            assert_eq!(counted(stream, FROM, plain), 0, "{what}, sent plain");
            let again = |frame: u32, datagram: &mut Vec<u8>| {
                let mut first = FarEnd::new(&keys);
                datagram.resize(1_500, 0);
                let len = packet(&stream, 0, frame / 2, datagram);
                let len = first.protect(datagram, len);
                datagram.truncate(len);
            };
            assert_eq!(counted_replayed(stream, again), FRAMES / 2, "{what}, twice");
        }
    }

    /// The same without asking which frame it was.
    fn counted_replayed(stream: Stream, make: impl Fn(u32, &mut Vec<u8>)) -> u32 {
        let mut ears = Ears::new(&[stream]).unwrap();
        let counts = (0..FRAMES).filter(|frame| {
            let mut datagram = Vec::new();
            make(*frame, &mut datagram);
            ears.identify(FROM.into(), &mut datagram, (frame + 5) * 20_000)
                .is_some()
        });
        counts.count() as u32
    }
}
