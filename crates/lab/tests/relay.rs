//! The relay over real sockets: what a phone and its peer make of a bad network.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::time::Duration;

use switchhook_lab::phone::{OnCall, Phone, PhoneConfig};
use switchhook_lab::relay::{BothWays, Impairment, SipRelay, SipRelaySettings, UdpRelay};
use tokio::net::UdpSocket;

const SOON: Duration = Duration::from_secs(20);

/// Sends numbered datagrams one by one; those that arrive, in order of arrival.
async fn pass(seed: u64, count: u16) -> Vec<u16> {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let how = BothWays {
        to_gateway: Impairment {
            loss: 0.2,
            doubled: 0.2,
            ..Impairment::default()
        },
        to_phone: Impairment::default(),
    };
    let relay = UdpRelay::open(server.local_addr().unwrap(), how, seed).unwrap();
    for n in 0..count {
        client
            .send_to(&n.to_be_bytes(), relay.addr())
            .await
            .unwrap();
    }
    let mut arrived = Vec::new();
    let mut buffer = [0; 16];
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let counts = relay.counts().to_gateway;
        if counts.received == u64::from(count) && counts.sent == arrived.len() as u64 {
            assert_eq!(counts.lost + counts.sent - counts.doubled, counts.received);
            assert!(counts.lost > 0 && counts.doubled > 0, "{counts:?}");
            break;
        }
        let got = tokio::time::timeout_at(deadline, server.recv_from(&mut buffer));
        let (len, from) = got.await.expect("all arrive").unwrap();
        assert_eq!((len, from), (2, relay.client_as_seen()));
        arrived.push(u16::from_be_bytes([buffer[0], buffer[1]]));
    }
    // The way back is untouched.
    server
        .send_to(b"back", relay.client_as_seen())
        .await
        .unwrap();
    let back = tokio::time::timeout(SOON, client.recv_from(&mut buffer));
    let (len, from) = back.await.expect("it arrives").unwrap();
    assert_eq!((&buffer[..len], from), (&b"back"[..], relay.addr()));
    assert_eq!(relay.counts().to_phone.sent, 1);
    arrived
}

#[tokio::test]
async fn a_seed_loses_the_same_datagrams_each_time() {
    let first = pass(11, 200).await;
    assert_eq!(first, pass(11, 200).await);
    assert_ne!(first, pass(12, 200).await);
}

#[tokio::test]
async fn a_call_and_its_audio_pass_and_are_counted() {
    let there = Phone::start(PhoneConfig::new("there")).await.unwrap();
    let settings = SipRelaySettings {
        seed: 5,
        signalling: BothWays::default(),
        media: BothWays {
            to_gateway: Impairment::loss(0.2),
            to_phone: Impairment {
                delay: Duration::from_millis(40),
                ..Impairment::default()
            },
        },
    };
    let relay = SipRelay::open(there.local(), settings).unwrap();
    let config = PhoneConfig::new("here").server(relay.addr());
    let here = Phone::start(config).await.unwrap();
    let call = here
        .dial(&format!("sip:there@{}", there.local()))
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.play_tone(700.0);
    let answered = there.incoming(0, SOON).await.unwrap();
    answered.play_tone(1_300.0);
    call.wait_tone(1_300.0, 0, 1_000, SOON).await.unwrap();
    answered.wait_tone(700.0, 0, 500, SOON).await.unwrap();
    // Neither side sends past the relay.
    assert_eq!(call.heard().sources.len(), 1);
    assert_eq!(answered.heard().sources.len(), 1);
    let media = relay.media(0).unwrap();
    assert!(media.to_gateway.loss_share() > 0.05, "{media:?}");
    assert_eq!(media.to_phone.lost, 0);
    assert!(media.to_phone.delay_ms() >= 40.0, "{media:?}");
    // The BYE passes as well, from either side.
    answered.hangup().await.unwrap();
    call.wait_ended(SOON).await.unwrap();
    assert!(relay.signalling().to_phone.received > 0);
    assert!(relay.media(1).is_none());
}

/// Retransmission brings calls through (RFC 3261 §17), in whatever order.
#[tokio::test]
async fn phones_get_through_a_lossy_network() {
    let bad = Impairment {
        loss: 0.2,
        doubled: 0.2,
        held_back: 0.2,
        ..Impairment::default()
    };
    let there = Phone::start(
        PhoneConfig::new("there").on_call(OnCall::AnswerAfter(Duration::from_millis(50))),
    )
    .await
    .unwrap();
    for seed in 1..=3 {
        let settings = SipRelaySettings {
            seed,
            signalling: BothWays::same(bad),
            media: BothWays::default(),
        };
        let relay = SipRelay::open(there.local(), settings).unwrap();
        let config = PhoneConfig::new("here").server(relay.addr());
        let here = Phone::start(config).await.unwrap();
        let call = here
            .dial(&format!("sip:there@{}", there.local()))
            .await
            .unwrap();
        call.wait_answered(SOON).await.unwrap();
        call.hangup().await.unwrap();
    }
    assert_eq!(there.invites().len(), 3);
}
