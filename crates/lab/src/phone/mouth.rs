//! What the phone sends: audio every 20 ms, and keypad digits.

use std::net::SocketAddr;

use super::rtp::{Control, Playable};
use crate::audio::FRAME_SAMPLES;
use crate::audio::codec::PhoneEncoder;
use crate::audio::g711::Law;
use crate::audio::tone::sine_sample;

/// Length of a keypad digit, in 20 ms packets.
const DIGIT_PACKETS: u16 = 8;
/// The end of an event is sent three times (RFC 4733 §2.5.1.4).
const END_PACKETS: u16 = 3;
/// Pause between two digits, in 20 ms packets.
const DIGIT_GAP: u16 = 4;

/// What the sender remembers between two packets.
pub(super) struct Mouth {
    pub ssrc: u32,
    sequence: u16,
    pub timestamp: u32,
    started: bool,
    digit: Option<(u8, u16, u32)>,
    gap: u16,
    encoder: PhoneEncoder,
}

/// What is due now, where it goes, and the playing that ended with it.
pub(super) type Packets = (Vec<Vec<u8>>, Option<SocketAddr>, Option<u32>);

pub(super) fn next_packets(control: &mut Control, mouth: &mut Mouth) -> Packets {
    let mut packets: Vec<Vec<u8>> = control.raw.drain(..).collect();
    let remote = control.remote;
    if !control.sending || remote.is_none() {
        return (packets, remote, None);
    }
    let (frame, finished) = next_frame(control);
    if mouth.digit.is_none()
        && mouth.gap == 0
        && control.telephone_event.is_some()
        && let Some(event) = control.digits.pop_front()
    {
        mouth.digit = Some((event, 0, mouth.timestamp));
    }
    mouth.gap = mouth.gap.saturating_sub(1);
    match (mouth.digit, control.telephone_event) {
        (Some((event, n, timestamp)), Some(pt)) => {
            let end = n >= DIGIT_PACKETS;
            let scale = control.codec.1.clock_per_sample() as u16;
            let duration = (n + 1).min(DIGIT_PACKETS) * FRAME_SAMPLES as u16 * scale;
            let flags = if end { 0x8a } else { 0x0a };
            let [high, low] = duration.to_be_bytes();
            packets.push(mouth.packet(pt, n == 0, timestamp, &[event, flags, high, low]));
            if n + 1 == DIGIT_PACKETS + END_PACKETS {
                mouth.digit = None;
                mouth.gap = DIGIT_GAP;
            } else {
                mouth.digit = Some((event, n + 1, timestamp));
            }
        }
        _ => {
            let (payload_type, codec) = control.codec;
            if mouth.encoder.codec() != codec {
                mouth.encoder = PhoneEncoder::new(codec);
            }
            let payload = mouth.encoder.encode(&frame);
            let marker = !mouth.started;
            mouth.started = true;
            packets.push(mouth.packet(payload_type, marker, mouth.timestamp, &payload));
        }
    }
    let step = FRAME_SAMPLES as u32 * control.codec.1.clock_per_sample();
    mouth.timestamp = mouth.timestamp.wrapping_add(step);
    (packets, remote, finished)
}

fn next_frame(control: &mut Control) -> ([i16; FRAME_SAMPLES], Option<u32>) {
    let mut frame = [0i16; FRAME_SAMPLES];
    let from = control.at_sample;
    control.at_sample += FRAME_SAMPLES as u64;
    let mut finished = None;
    match &control.playing {
        Playable::Silence => {}
        Playable::Live(live) => live.fill(&mut frame),
        Playable::Tone { hz } => {
            for (n, sample) in frame.iter_mut().enumerate() {
                *sample = sine_sample(*hz, from + n as u64);
            }
        }
        Playable::Audio(audio) => {
            let rest = audio.samples.get(from as usize..).unwrap_or(&[]);
            for (sample, value) in frame.iter_mut().zip(rest) {
                *sample = *value;
            }
            if rest.len() <= FRAME_SAMPLES {
                finished = Some(control.play_id);
            }
        }
    }
    if finished.is_some() {
        control.playing = Playable::Silence;
    }
    (frame, finished)
}

impl Mouth {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self {
            ssrc: rand::random(),
            sequence: rand::random(),
            timestamp: rand::random(),
            started: false,
            digit: None,
            gap: 0,
            encoder: PhoneEncoder::new(Law::Mu.into()),
        }
    }

    fn packet(&mut self, pt: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, pt | if marker { 0x80 } else { 0 }];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }
}

const KEYPAD: &str = "0123456789*#ABCD";

pub(super) fn event_of(digit: char) -> Option<u8> {
    KEYPAD.find(digit).map(|at| at as u8)
}

pub(super) fn digit_of(event: u8) -> Option<char> {
    KEYPAD.chars().nth(usize::from(event))
}
