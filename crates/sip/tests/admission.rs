//! Who is let in, how many, and who hears nothing.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::time::Duration;

use common::{Message, Peer, SDP, World, authorization, config, extension};
use switchhook_sip::{SipConfig, Source, TrunkConfig};
use tokio::net::UdpSocket;

async fn world(change: impl Fn(&mut SipConfig)) -> World {
    let mut settings = config();
    change(&mut settings);
    World::with(settings).await
}

async fn call(peer: &Peer, n: u32) -> Message {
    let uri = format!("sip:assistant@{}", peer.to);
    let invite = peer
        .compose("INVITE", &uri, n, "", "", SDP)
        .replace(&peer.call_id, &format!("{}-{n}", peer.call_id));
    peer.send(&invite).await;
    loop {
        let answer = peer.recv().await;
        if answer.header("Call-ID").ends_with(&format!("-{n}")) {
            return answer;
        }
    }
}

#[tokio::test]
async fn calls_beyond_the_rate_get_503_and_a_time() {
    let world = world(|settings| {
        settings.limits.source_calls.per_s = 2;
    })
    .await;
    let peer = Peer::new(world.udp).await;
    let mut refused = 0;
    for n in 1..=4 {
        let answer = call(&peer, n).await;
        if answer.status() == Some(503) {
            assert_eq!(answer.header("Retry-After"), "2", "{}", answer.text);
            refused += 1;
        } else {
            assert_eq!(answer.status(), Some(100));
        }
    }
    assert!(refused >= 1, "four at once are more than two a second");
}

#[tokio::test]
async fn a_trunk_has_places_of_its_own_and_gets_them_back() {
    let peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let address = peer.addr();
    let mut world = world(|settings| {
        settings.limits.source_calls.at_once = 1;
        let mut trunk = TrunkConfig::new("carrier");
        trunk.addresses = vec![address.to_string().parse().unwrap()];
        trunk.calls.at_once = 1;
        settings.trunks.push(trunk);
    })
    .await;
    let peer = Peer {
        to: world.udp,
        ..peer
    };
    assert_eq!(call(&peer, 1).await.status(), Some(100));
    let first = world.incoming().await;
    let refused = call(&peer, 2).await;
    assert_eq!(refused.status(), Some(503));
    assert_eq!(refused.header("Retry-After"), "10");
    // A guest of the same machine is counted apart.
    let guest = Peer::new(world.udp).await;
    assert_eq!(call(&guest, 1).await.status(), Some(100));
    world.incoming().await;
    first.handle.reject(486, None).unwrap();
    world.leg_event(&first.leg).await;
    // The leg gives its place back when its task ends, a moment after its last event.
    let since = std::time::Instant::now();
    for n in 3.. {
        if call(&peer, n).await.status() == Some(100) {
            break;
        }
        assert!(
            since.elapsed() < common::DEADLINE,
            "the place never came back"
        );
    }
}

#[tokio::test]
async fn scanners_hear_nothing() {
    let world = world(|_| {}).await;
    let scanner = Peer::new(world.udp).await;
    let uri = format!("sip:{}", world.udp);
    let agent = "User-Agent: friendly-scanner\r\n";
    for (n, method) in (1..).zip(["OPTIONS", "REGISTER", "INVITE"]) {
        scanner
            .send(&scanner.compose(method, &uri, n, "", agent, ""))
            .await;
    }
    // A tag alone makes no dialog.
    for (n, method) in (4..).zip(["OPTIONS", "REGISTER", "INVITE", "BYE", "INFO", "NOTIFY"]) {
        scanner
            .send(&scanner.compose(method, &uri, n, "guess", agent, ""))
            .await;
    }
    // The same socket is heard without the name: the others were not just slow.
    scanner
        .send(&scanner.compose("OPTIONS", &uri, 99, "", "", ""))
        .await;
    let answer = scanner.recv().await;
    assert_eq!(answer.header("CSeq"), "99 OPTIONS", "{}", answer.text);
}

#[tokio::test]
async fn who_never_proves_anything_hears_nothing_in_the_end() {
    let mut world = world(|settings| {
        settings.limits.max_unproven = 6;
        settings.allow_loopback_guests = false;
    })
    .await;
    let peer = Peer::new(world.udp).await;
    // Proof clears the count: registering again and again is what phones do.
    for _ in 0..5 {
        peer.register("2001", 600).await;
        world.event().await;
    }
    // While it is registered its address is heard.
    peer.register("2001", 0).await;
    world.event().await;
    let uri = format!("sip:{}", world.udp);
    let mut heard = 0;
    for cseq in 1_000..1_010 {
        peer.send(&peer.compose_register("2001", cseq, "", ""))
            .await;
        match peer.recv_within(Duration::from_millis(300)).await {
            Some(answer) => {
                assert_eq!(answer.status(), Some(401));
                heard += 1;
            }
            None => break,
        }
    }
    assert_eq!(heard, 6);
    peer.send(&peer.compose("OPTIONS", &uri, 2_000, "", "", ""))
        .await;
    let silence = peer.recv_within(Duration::from_millis(100)).await;
    assert!(silence.is_none(), "{silence:?}");
}

/// Makes REGISTERs without credentials until `max` are counted for the peer's address.
async fn never_prove(stranger: &Peer, max: u32) {
    for cseq in 1..=max {
        let register = stranger.compose_register("2001", cseq, "", "");
        stranger.send(&register).await;
        stranger.response("REGISTER", 401).await;
    }
}

async fn peer_at(host: &str, to: std::net::SocketAddr) -> Peer {
    Peer {
        socket: UdpSocket::bind((host, 0)).await.unwrap(),
        ..Peer::new(to).await
    }
}

/// The source of a datagram can be made up, so what comes from a phone's address may be a stranger's.
#[tokio::test]
async fn strangers_cannot_silence_a_phone() {
    let mut world = world(|settings| {
        settings.limits.max_unproven = 4;
        settings.allow_loopback_guests = false;
    })
    .await;
    let phone = Peer::new(world.udp).await;
    phone.register("2001", 600).await;
    world.event().await;
    never_prove(&Peer::new(world.udp).await, 6).await;
    let uri = format!("sip:assistant@{}", world.udp);
    phone
        .send(&phone.compose("INVITE", &uri, 1, "", "", SDP))
        .await;
    let challenge = phone.response("INVITE", 401).await;
    never_prove(&Peer::new(world.udp).await, 6).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "INVITE", &uri, 1);
    phone
        .send(&phone.compose("INVITE", &uri, 2, "", &auth, SDP))
        .await;
    let call = world.incoming().await;
    assert_eq!(call.source, Source::Extension(extension("2001")));
    never_prove(&Peer::new(world.udp).await, 6).await;
    phone.register("2001", 600).await;
}

#[tokio::test]
async fn a_challenge_may_be_answered_by_whom_it_went_to() {
    let world = world(|settings| {
        settings.limits.max_unproven = 4;
        settings.allow_loopback_guests = false;
    })
    .await;
    let uri = format!("sip:{}", world.udp);
    let elsewhere = Peer::new(world.udp).await;
    let foreign = elsewhere.compose_register("2001", 1, "", "");
    elsewhere.send(&foreign).await;
    let foreign = elsewhere.response("REGISTER", 401).await;
    // Nobody is registered from this address.
    let phone = peer_at("127.0.0.2", world.udp).await;
    phone.send(&phone.compose_register("2001", 1, "", "")).await;
    let challenge = phone.response("REGISTER", 401).await;
    never_prove(&peer_at("127.0.0.2", world.udp).await, 3).await;
    let register = |cseq, challenge: &Message, password: &str| {
        let auth = authorization(challenge, "2001", password, "REGISTER", &uri, cseq);
        phone.compose_register("2001", cseq, "", &auth)
    };
    phone
        .send(&phone.compose("OPTIONS", &uri, 2, "", "", ""))
        .await;
    phone.send(&register(3, &foreign, "demo-2001")).await;
    let silence = phone.recv_within(Duration::from_millis(200)).await;
    assert!(silence.is_none(), "{silence:?}");
    // A wrong password is told a few times, as always.
    for cseq in 4..12 {
        phone.send(&register(cseq, &challenge, "guess")).await;
        phone.response("REGISTER", 401).await;
    }
    phone.send(&register(12, &challenge, "demo-2001")).await;
    let silence = phone.recv_within(Duration::from_millis(200)).await;
    assert!(silence.is_none(), "{silence:?}");
    // Another user's failures are not this one's.
    let auth = authorization(&challenge, "2005", "demo-2005", "REGISTER", &uri, 13);
    phone
        .send(&phone.compose_register("2005", 13, "", &auth))
        .await;
    phone.response("REGISTER", 200).await;
}

/// One address, many phones: what one of them does wrong is not the others' fault.
#[tokio::test]
async fn phones_behind_a_proxy_are_not_locked_out_for_one_another() {
    for is_proxy in [true, false] {
        let world = world(|settings| {
            settings.allow_loopback_guests = false;
            settings.limits.max_auth_failures = 1;
            settings.limits.max_unproven = 0;
            if is_proxy {
                settings.proxies = vec!["127.0.0.0/8".parse().unwrap()];
                // Nor is it silenced, nor are its messages too many.
                settings.limits.max_unproven = 3;
                settings.limits.messages_per_s = 1;
                settings.limits.message_burst = 3;
            }
        })
        .await;
        let uri = format!("sip:{}", world.udp);
        let peer = Peer::new(world.udp).await;
        peer.send(&peer.compose_register("2001", 1, "", "")).await;
        let challenge = peer.response("REGISTER", 401).await;
        let mut cseq = 1;
        let mut log_in = async |user: &str, password: &str| {
            cseq += 1;
            let auth = authorization(&challenge, user, password, "REGISTER", &uri, 1);
            peer.send(&peer.compose_register(user, cseq, "", &auth))
                .await;
            peer.recv().await.status()
        };
        for user in 3_000..3_010 {
            assert_eq!(log_in(&user.to_string(), "guess").await, Some(401));
        }
        // Who guesses is locked out in either case.
        assert_eq!(log_in("3000", "guess").await, Some(403));
        let expected = if is_proxy { 200 } else { 403 };
        assert_eq!(log_in("2001", "demo-2001").await, Some(expected));
    }
}
