//! Bodies of the fuzz targets, one for each parser and buffer that meets the network or a file.
//!
//! They live here so that every test build compiles them; the targets only call them. They must
//! not panic for any input.

use std::net::SocketAddr;

use switchhook_model::Digit;

use crate::codec::Codec;
use crate::codec::opus::OpusIn;
use crate::dtmf::{DtmfReceiver, DtmfSender, EventPayload};
use crate::frame::FRAME_SAMPLES;
use crate::jitter::{JitterBuffer, JitterMode};
use crate::receiver::{SequenceStats, SourceGuard};
use crate::rtcp::RtcpSession;
use crate::rtcp::wire::{COMPOUND_MAX, Compound, Report};
use crate::rtp::{HEADER_LEN, RtpPacket};
use crate::sdp::{self, LocalMedia, Offer};
use crate::srtp::sdes::{LocalSrtp, SrtpPolicy};
use crate::srtp::{Inbound, MasterKey, Outbound, Suite};
use crate::wav::Wav;

/// Datagrams, each after an octet with its length: parsed, written back, judged and counted.
pub fn fuzz_rtp(data: &[u8]) {
    let announced = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let other = SocketAddr::from(([198, 51, 100, 1], 5_000));
    let mut guard = SourceGuard::new(announced);
    let mut stats = SequenceStats::default();
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let Ok(packet) = RtpPacket::parse(datagram) else {
            continue;
        };
        let mut copy = [0; HEADER_LEN + 256];
        let written = packet.write(&mut copy);
        assert_eq!(RtpPacket::parse(&copy[..written]), Ok(packet));
        let from = if packet.marker { announced } else { other };
        guard.judge(from, &packet);
        stats.on_packet(&packet);
        stats.on_arrival(packet.timestamp, u64::from(packet.ssrc) << 16);
        let _ = (stats.lost(), stats.jitter_us());
    }
}

/// An RTCP datagram; what is read is written again and means the same.
pub fn fuzz_rtcp(data: &[u8]) {
    let Some((about, datagram)) = data.split_first_chunk() else {
        return;
    };
    let Ok(compound) = Compound::parse(datagram, u32::from_be_bytes(*about)) else {
        return;
    };
    let mut out = [0; COMPOUND_MAX];
    let report = Report {
        ssrc: compound.ssrc,
        sender: compound.sender,
        reception: compound.reception,
        cname: b"0123456789abcdef",
        bye: compound.bye,
    };
    let len = report.write(&mut out);
    let again = Compound::parse(&out[..len], u32::from_be_bytes(*about));
    assert_eq!(again, Ok(compound));
    let mut session = RtcpSession::new(1);
    let from = SocketAddr::from(([192, 0, 2, 1], 4_001));
    let stats = SequenceStats::default();
    session.report(1, 0, 1 << 60, &stats, false);
    let view = session.on_report(from, &compound, 1 << 60);
    session.judge_hearing(view.reception);
}

/// A session description: read as an offer and as an answer; what we answer can be read again.
pub fn fuzz_sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut local = LocalMedia::new(SocketAddr::from(([198, 51, 100, 1], 10_000)), 1);
    local.codecs = vec![Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];
    if let Ok(offer) = Offer::parse(&text) {
        let _ = (offer.direction(), offer.is_hold());
        if let Ok((answer, _)) = sdp::answer(&offer, &local) {
            Offer::parse(&answer).expect("what we write, we can read");
        }
    }
    let _ = sdp::apply_answer(&local, &text);
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        let local = LocalMedia {
            srtp: LocalSrtp::new(policy),
            ..local.clone()
        };
        if let Ok((answer, params)) = Offer::parse(&text).and_then(|o| sdp::answer(&o, &local)) {
            assert_eq!(answer.contains("a=crypto:"), params.srtp.is_some());
            Offer::parse(&answer).expect("what we write, we can read");
        }
        let _ = sdp::apply_answer(&local, &text);
    }
}

/// Datagrams, each after an octet with its length, for a protected leg: what was not made with the
/// key is never taken. An odd length has the datagram protected by the right key first.
pub fn fuzz_srtp(data: &[u8]) {
    let suite = Suite::AesCm128HmacSha1Tag32;
    let key = MasterKey::new(suite, &[5; 30]).expect("16 and 14 octets");
    let (mut inbound, mut outbound) = (Inbound::new(key), Outbound::new(key));
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let mut buffer = [0; 300];
        buffer[..datagram.len()].copy_from_slice(datagram);
        let mut len = datagram.len();
        let is_rtp = RtpPacket::parse(datagram).is_ok();
        if is_rtp && len % 2 == 1 {
            len = outbound.protect_rtp(&mut buffer, len);
            if let Ok(opened) = inbound.open_rtp(&mut buffer[..len]) {
                assert_eq!(&buffer[..opened], datagram);
            }
        } else {
            // Guessing 32 bits of tag takes longer than any run.
            let _ = inbound.open_rtp(&mut buffer[..len]);
            let mut buffer = [0; 300];
            buffer[..len].copy_from_slice(datagram);
            assert!(inbound.open_rtcp(&mut buffer[..len]).is_err());
        }
    }
}

/// A WAV file.
pub fn fuzz_wav(data: &[u8]) {
    if let Ok(wav) = Wav::parse(data) {
        assert!(wav.samples.len() <= data.len());
        let _ = (wav.mono(), wav.channel(0), wav.duration_ms());
    }
}

/// Telephone-event packets of 8 octets each: sequence, timestamp step, flags, payload.
pub fn fuzz_dtmf(data: &[u8]) {
    let mut receiver = DtmfReceiver::default();
    let mut sender = DtmfSender::default();
    let mut timestamp = 0u32;
    for chunk in data.chunks(8) {
        let [first, second, step, flags, payload @ ..] = chunk else {
            break;
        };
        timestamp = timestamp.wrapping_add(u32::from(*step) << (flags >> 3));
        let sequence = u16::from_be_bytes([*first, *second]);
        let digit = receiver.on_packet(sequence, timestamp, flags & 1 != 0, payload);
        if let Ok(Some(digit)) = digit {
            sender.push(digit);
        }
        if let Some(packet) = sender.next(timestamp) {
            let event = EventPayload::parse(&packet.payload).expect("we write four octets");
            assert!(Digit::from_event(event.event).is_some());
        }
    }
}

/// Steps of 4 octets for a jitter buffer: timestamp, packet length and number of pulls.
pub fn fuzz_jitter(data: &[u8]) {
    let Some((mode, steps)) = data.split_first() else {
        return;
    };
    let mode = if mode & 1 == 0 {
        JitterMode::default()
    } else {
        JitterMode::Fixed {
            delay_ms: u32::from(*mode),
        }
    };
    let mut buffer = JitterBuffer::new(mode);
    let mut out = [0; FRAME_SAMPLES];
    let mut timestamp = 0u32;
    for step in steps.chunks_exact(4) {
        let jump = u32::from(u16::from_be_bytes([step[0], step[1]]));
        // Mostly small steps forth and back, sometimes to anywhere.
        timestamp = match step[3] >> 6 {
            0 => timestamp.wrapping_add(jump),
            1 => timestamp.wrapping_sub(jump),
            2 => timestamp.wrapping_add(160),
            _ => jump << 16,
        };
        let octets = [0; 2_000];
        buffer.insert(timestamp, &octets[..usize::from(step[2]) * 7]);
        for _ in 0..step[3] & 7 {
            buffer.pull(&mut out);
        }
        if step[3] & 8 != 0 {
            buffer.skip_ticks(u32::from(step[2]));
        }
        assert!(buffer.depth_ms() <= 512, "{}", buffer.depth_ms());
    }
}

/// Packets of Opus, each after two octets: timestamp step and flags, length.
pub fn fuzz_opus(data: &[u8]) {
    let mut jitter = JitterBuffer::new(JitterMode::default());
    let mut ear = OpusIn::new();
    let mut timestamp = u32::MAX - 10_000;
    let mut rest = data;
    while let [step, len, tail @ ..] = rest {
        let (packet, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        // In steps of 2.5 ms, forth and a little back.
        timestamp = timestamp.wrapping_add(u32::from(step >> 2) * 120);
        timestamp = timestamp.wrapping_sub(960);
        ear.insert(&mut jitter, timestamp, packet);
        for _ in 0..step & 3 {
            ear.pull(&mut jitter, &mut [0; FRAME_SAMPLES]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_input_panics(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            fuzz_rtp(&data);
            fuzz_rtcp(&data);
            fuzz_sdp(&data);
            fuzz_srtp(&data);
            fuzz_wav(&data);
            fuzz_dtmf(&data);
            fuzz_jitter(&data);
            fuzz_opus(&data);
        }
    }
}
