//! Sessions against known packets and against each other.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|b| (b as char).to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// The master key of RFC 3711 B.3.
fn known_key(suite: Suite) -> MasterKey {
    let octets = hex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6");
    MasterKey::new(suite, &octets).unwrap()
}

fn packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn protect(outbound: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let len = outbound.protect_rtp(&mut buffer, packet.len());
    buffer.truncate(len);
    buffer
}

fn open(inbound: &mut Inbound, protected: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = protected.to_vec();
    let len = inbound.open_rtp(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// The packets that libsrtp's own test validates against (`srtp_validate`).
#[test]
fn packets_as_others_make_them() {
    let key = known_key(Suite::AesCm128HmacSha1Tag80);
    let mut plain = hex("800f1234decafbadcafebabe");
    plain.extend([0xAB; 16]);
    let protected = protect(&mut Outbound::new(key), &plain);
    assert_eq!(
        protected,
        hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb")
    );
    assert_eq!(open(&mut Inbound::new(key), &protected), Ok(plain));

    let mut report = hex("81c8000bcafebabe");
    report.extend([0xAB; 16]);
    let mut buffer = report.clone();
    buffer.resize(report.len() + OVERHEAD_MAX, 0);
    let len = Outbound::new(key).protect_rtcp(&mut buffer, report.len());
    assert_eq!(
        buffer[..len],
        hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798")
    );
    let opened = Inbound::new(key).open_rtcp(&mut buffer[..len]).unwrap();
    assert_eq!(buffer[..opened], report);
}

#[test]
fn every_suite_carries_packets_across_the_wrap() {
    for suite in Suite::ALL {
        let key = MasterKey::random(suite);
        let (mut outbound, mut inbound) = (Outbound::new(key), Inbound::new(key));
        for n in 65_400u32..66_000 {
            let plain = packet(n as u16, 7, &[n as u8; 160]);
            let protected = protect(&mut outbound, &plain);
            assert_eq!(protected.len(), plain.len() + suite.rtp_tag_len());
            assert_ne!(protected[12..172], plain[12..172]);
            assert_eq!(open(&mut inbound, &protected), Ok(plain), "{suite:?} {n}");
        }
    }
}

#[test]
fn reordered_packets_pass_and_copies_do_not() {
    let key = known_key(Suite::AesCm128HmacSha1Tag32);
    let (mut outbound, mut inbound) = (Outbound::new(key), Inbound::new(key));
    let wire: Vec<Vec<u8>> = [65_534, 65_535, 0, 1]
        .map(|n| protect(&mut outbound, &packet(n, 7, b"abc")))
        .to_vec();
    for at in [0, 2, 1, 3] {
        assert!(open(&mut inbound, &wire[at]).is_ok(), "{at}");
    }
    for copy in &wire {
        assert_eq!(open(&mut inbound, copy), Err(SrtpError::Replayed));
    }
}

#[test]
fn nothing_changed_or_of_another_key_passes() {
    let key = known_key(Suite::AesCm128HmacSha1Tag80);
    let protected = protect(&mut Outbound::new(key), &packet(1, 7, b"hello"));
    for at in 0..protected.len() {
        let mut changed = protected.clone();
        changed[at] ^= 1;
        assert!(
            open(&mut Inbound::new(key), &changed).is_err(),
            "octet {at}"
        );
    }
    let other = MasterKey::random(key.suite());
    let refused = open(&mut Inbound::new(other), &protected);
    assert_eq!(refused, Err(SrtpError::NotAuthentic));
    for len in 0..12 + 10 {
        let refused = open(&mut Inbound::new(key), &protected[..len]);
        assert_eq!(refused, Err(SrtpError::Malformed), "{len}");
    }
}

#[test]
fn a_new_source_has_a_counter_of_its_own() {
    let key = known_key(Suite::AesCm128HmacSha1Tag80);
    let mut inbound = Inbound::new(key);
    let mut first = Outbound::new(key);
    for n in [65_535u16, 0, 1] {
        assert!(open(&mut inbound, &protect(&mut first, &packet(n, 1, b"a"))).is_ok());
    }
    // Twenty more sources, each from zero; the first one goes on after the others.
    for ssrc in 2..22 {
        let mut other = Outbound::new(key);
        assert!(open(&mut inbound, &protect(&mut other, &packet(9, ssrc, b"b"))).is_ok());
        let next = protect(&mut first, &packet(ssrc as u16, 1, b"c"));
        assert!(open(&mut inbound, &next).is_ok(), "{ssrc}");
    }
}

#[test]
fn a_source_that_began_before_we_listened_is_understood() {
    let key = known_key(Suite::AesCm128HmacSha1Tag80);
    let mut outbound = Outbound::new(key);
    // Lost: the last one before the wrap.
    protect(&mut outbound, &packet(65_535, 1, b"a"));
    let after = protect(&mut outbound, &packet(0, 1, b"b"));
    assert!(open(&mut Inbound::new(key), &after).is_ok());
}

#[test]
fn the_same_key_goes_on_and_another_one_replaces_it() {
    let suite = Suite::AesCm128HmacSha1Tag80;
    let [ours, theirs, newer] = [(); 3].map(|()| MasterKey::random(suite));
    let params = |local, remote| SrtpParams { local, remote };
    let mut session = SrtpSession::new(&params(ours, theirs));
    let mut party = Outbound::new(theirs);
    let heard: Vec<Vec<u8>> = [65_535, 0]
        .map(|n| protect(&mut party, &packet(n, 1, b"a")))
        .to_vec();
    for wire in &heard {
        open(&mut session.inbound, wire).unwrap();
    }
    let sent = protect(&mut session.outbound, &packet(65_535, 2, b"s"));

    // A re-INVITE with the same keys: copies are still known, our counter goes on.
    session.adopt(&mut SrtpSession::new(&params(ours, theirs)));
    assert_eq!(
        open(&mut session.inbound, &heard[1]),
        Err(SrtpError::Replayed)
    );
    let next = protect(&mut session.outbound, &packet(0, 2, b"s"));
    let mut listener = Inbound::new(ours);
    open(&mut listener, &sent).unwrap();
    open(&mut listener, &next).unwrap();

    // A new key of the party: the old one is worth nothing; both ways of counting are understood.
    for goes_on in [true, false] {
        let mut session = SrtpSession::new(&params(ours, theirs));
        for wire in &heard {
            open(&mut session.inbound, wire).unwrap();
        }
        session.adopt(&mut SrtpSession::new(&params(ours, newer)));
        let mut rekeyed = Outbound::new(newer);
        if goes_on {
            rekeyed.go_on_from(&party);
        }
        let wire = protect(&mut rekeyed, &packet(1, 1, b"n"));
        assert!(open(&mut session.inbound, &wire).is_ok(), "{goes_on}");
        assert_eq!(open(&mut session.inbound, &wire), Err(SrtpError::Replayed));
        let old = protect(&mut Outbound::new(theirs), &packet(2, 1, b"o"));
        assert_eq!(
            open(&mut session.inbound, &old),
            Err(SrtpError::NotAuthentic)
        );
    }
}

#[test]
fn reports_are_opened_once() {
    let key = known_key(Suite::AesCm128HmacSha1Tag32);
    let (mut outbound, mut inbound) = (Outbound::new(key), Inbound::new(key));
    let mut buffer = hex("80c90001cafebabe");
    buffer.resize(8 + OVERHEAD_MAX, 0);
    let len = outbound.protect_rtcp(&mut buffer, 8);
    assert_eq!(len, 8 + 4 + 10, "80 bits of tag with every suite");
    let copy = buffer[..len].to_vec();
    assert_eq!(inbound.open_rtcp(&mut buffer[..len]), Ok(8));
    assert_eq!(
        inbound.open_rtcp(&mut copy.clone()),
        Err(SrtpError::Replayed)
    );
    for at in 0..len {
        let mut changed = copy.clone();
        changed[at] ^= 1;
        assert!(Inbound::new(key).open_rtcp(&mut changed).is_err(), "{at}");
    }
}
