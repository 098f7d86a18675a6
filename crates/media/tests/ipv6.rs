//! Media over IPv6, bridged with a party of IPv4.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod support;

use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use support::{DEADLINE, Phone, engine, leg_id, share};
use switchhook_media::rtp::RtpPacket;
use switchhook_media::{Codec, Law, LegAddress, RtpParams};

#[test]
fn a_party_of_ipv6_and_one_of_ipv4_hear_each_other() {
    let (engine, _dir) = engine(1);
    let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let address = LegAddress {
        bind_ip: six,
        advertised_ip: six,
    };
    let a = engine.open_leg_at(leg_id("six", 1), address).unwrap();
    assert_eq!(a.local_addr().ip(), six);
    let socket = UdpSocket::bind((six, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    a.start(RtpParams::new(socket.local_addr().unwrap(), Codec::Pcmu));
    let b = engine.open_leg(leg_id("six", 2)).unwrap();
    let phone = Phone::with_tone(b.local_addr(), Codec::Pcmu, 900.0);
    b.start(RtpParams::new(phone.addr, Codec::Pcmu));
    engine.bridge(&a, &b);

    // From IPv4 to IPv6: the tone comes, and from the address that SDP names.
    let end = std::time::Instant::now() + DEADLINE;
    let mut heard: Vec<i16> = Vec::new();
    let mut buffer = [0u8; 2_048];
    let mut sequence = 0u16;
    loop {
        assert!(std::time::Instant::now() < end, "no tone over IPv6");
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, a.local_addr());
        // And back: something loud for each packet that came.
        let payload = [0x80u8; 160];
        let packet = RtpPacket {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc: 9,
            payload: &payload,
        };
        sequence = sequence.wrapping_add(1);
        let mut out = [0u8; 256];
        let written = packet.write(&mut out);
        socket.send_to(&out[..written], a.local_addr()).unwrap();
        let Ok(got) = RtpPacket::parse(&buffer[..length]) else {
            continue;
        };
        if got.payload.len() != 160 {
            continue;
        }
        let mut pcm = [0i16; 160];
        Law::Mu.decode(got.payload, &mut pcm);
        heard.extend(pcm);
        let recent = &heard[heard.len().saturating_sub(160 * 15)..];
        let far = phone.packet_count();
        let loud = far >= 15
            && phone
                .audio(Codec::Pcmu, far - 15)
                .iter()
                .any(|sample| sample.unsigned_abs() > 20_000);
        if recent.len() == 160 * 15 && share(recent, 900.0) > 0.9 && loud {
            break;
        }
    }
}
