//! We are an extension of a PBX: registration, renewal, refusal, leaving, and calls to it.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::time::Duration;

use common::{Message, Peer, SDP, World, config};
use switchhook_sip::digest::{Authorization, DigestInput, digest_response};
use switchhook_sip::{
    RegistrationState, RegistrationStatus, SipConfig, SipEndpoint, SipEvent, SipStartError, Source,
    TrunkAuth, TrunkConfig, TrunkId, TrunkRegistration,
};

fn registering(host: &str) -> TrunkConfig {
    let mut trunk = TrunkConfig::new("pbx");
    trunk.auth = Some(TrunkAuth {
        user: "3001".to_owned(),
        password: "pbx-secret".to_owned(),
    });
    trunk.registration = Some(TrunkRegistration {
        registrar: Some(host.to_owned()),
        expires_s: 600,
    });
    trunk
}

async fn scene(setting: impl FnOnce(&mut SipConfig)) -> (World, Peer) {
    let mut peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let mut config = config();
    config.allow_loopback_guests = false;
    config.timers.registration_retry = Duration::from_millis(50);
    config.trunks.push(registering(&peer.addr().to_string()));
    setting(&mut config);
    let world = World::with(config).await;
    peer.to = world.udp;
    (world, peer)
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n";

/// Challenges the REGISTER at hand and gives the one with credentials, checked.
async fn challenge(peer: &Peer, first: &Message) -> Message {
    peer.send(&peer.answer(first, "401 Unauthorized", CHALLENGE, ""))
        .await;
    let second = next_register(peer, first.cseq()).await;
    let auth = Authorization::parse(second.header("Authorization")).unwrap();
    let counted = auth.counted.unwrap();
    let expected = digest_response(DigestInput {
        algorithm: auth.algorithm,
        ha1: &auth.algorithm.hash.ha1("3001", "pbx", "pbx-secret"),
        method: "REGISTER",
        uri: &auth.uri,
        nonce: "n1",
        counted: Some((&counted.nc_text, &counted.cnonce)),
    });
    assert_eq!(auth.response, expected);
    assert_eq!(auth.uri, second.start_line().split(' ').nth(1).unwrap());
    second
}

/// A REGISTER later than `cseq`: repetitions are not looked at.
async fn next_register(peer: &Peer, cseq: u32) -> Message {
    loop {
        let register = peer.request("REGISTER").await;
        if register.cseq() > cseq {
            return register;
        }
    }
}

async fn accept(peer: &Peer, register: &Message, expires: u32) {
    let contact = format!(
        "Contact: {};expires={expires}\r\n",
        register.header("Contact")
    );
    let ok = peer.answer(register, "200 OK", &contact, "");
    // The helper's own Contact is another binding of the same extension.
    peer.send(&ok).await;
}

async fn changed(world: &mut World) -> RegistrationStatus {
    match world.event().await {
        SipEvent::TrunkChanged(status) => status.registration.unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn registered(world: &mut World, peer: &Peer, expires: u32) -> Message {
    let first = peer.request("REGISTER").await;
    let second = challenge(peer, &first).await;
    accept(peer, &second, expires).await;
    let status = changed(world).await;
    assert_eq!(status.state, RegistrationState::Registered);
    second
}

#[tokio::test]
async fn register_renew_and_leave() {
    let (mut world, peer) = scene(|_| {}).await;
    let state = |world: &World| world.endpoint.trunks()[0].registration.clone().unwrap();
    assert_eq!(state(&world).state, RegistrationState::Registering);
    let first = peer.request("REGISTER").await;
    assert_eq!(
        first.start_line(),
        format!("REGISTER sip:{} SIP/2.0", peer.addr())
    );
    assert!(
        first
            .header("From")
            .starts_with("<sip:3001@127.0.0.1>;tag=")
    );
    assert_eq!(first.header("To"), "<sip:3001@127.0.0.1>");
    assert_eq!(first.header("Expires"), "600");
    assert!(
        first
            .header("Contact")
            .starts_with(&format!("<sip:3001@{};line=", world.udp))
    );
    let second = challenge(&peer, &first).await;
    for name in ["Call-ID", "From", "Contact"] {
        assert_eq!(first.header(name), second.header(name));
    }
    // Two seconds are granted, so the renewal comes soon.
    accept(&peer, &second, 2).await;
    let status = changed(&mut world).await;
    assert_eq!(status.state, RegistrationState::Registered);
    assert!(status.registered_until.is_some() && status.last_error.is_none());
    let renewal = next_register(&peer, second.cseq()).await;
    assert_eq!(renewal.header("Call-ID"), first.header("Call-ID"));
    accept(&peer, &renewal, 600).await;
    // Leaving takes the binding back, with credentials if they are wanted.
    let endpoint = world.endpoint.clone();
    let leaving = tokio::spawn(async move { endpoint.unregister_trunks(common::DEADLINE).await });
    let last = next_register(&peer, renewal.cseq()).await;
    assert_eq!(last.header("Expires"), "0");
    let last = challenge(&peer, &last).await;
    assert_eq!(last.header("Expires"), "0");
    peer.reply(&last, "200 OK", "").await;
    leaving.await.unwrap();
    assert_eq!(state(&world).state, RegistrationState::Unregistered);
}

#[tokio::test]
async fn too_brief_is_asked_for_longer() {
    let (mut world, peer) = scene(|_| {}).await;
    let first = peer.request("REGISTER").await;
    let brief = peer.answer(
        &first,
        "423 Interval Too Brief",
        "Min-Expires: 1800\r\n",
        "",
    );
    peer.send(&brief).await;
    let second = next_register(&peer, first.cseq()).await;
    assert_eq!(second.header("Expires"), "1800");
    let third = challenge(&peer, &second).await;
    assert_eq!(third.header("Expires"), "1800");
    peer.reply(&third, "200 OK", "").await;
    assert_eq!(
        changed(&mut world).await.state,
        RegistrationState::Registered
    );
}

#[tokio::test]
async fn refusals_are_shown_and_tried_again() {
    let (mut world, peer) = scene(|_| {}).await;
    // The password is wrong: challenged again although it was answered.
    let first = peer.request("REGISTER").await;
    let second = challenge(&peer, &first).await;
    peer.send(&peer.answer(&second, "401 Unauthorized", CHALLENGE, ""))
        .await;
    let failed = changed(&mut world).await;
    assert_eq!(failed.state, RegistrationState::Failed);
    assert_eq!(failed.last_status, Some(401));
    assert!(failed.last_error.unwrap().contains("401 Unauthorized"));
    assert!(failed.next_attempt_at.is_some() && failed.registered_until.is_none());
    // A 423 without a usable Min-Expires is a refusal, not a loop.
    let third = next_register(&peer, second.cseq()).await;
    let brief = peer.answer(&third, "423 Interval Too Brief", "Min-Expires: 5\r\n", "");
    peer.send(&brief).await;
    assert_eq!(changed(&mut world).await.last_status, Some(423));
    let fourth = next_register(&peer, third.cseq()).await;
    peer.reply(&fourth, "403 Forbidden", "").await;
    assert_eq!(changed(&mut world).await.last_status, Some(403));
    // And then it works.
    let fifth = next_register(&peer, fourth.cseq()).await;
    accept(&peer, &fifth, 600).await;
    let status = changed(&mut world).await;
    assert_eq!(
        (status.state, status.last_error),
        (RegistrationState::Registered, None)
    );
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_binding_until_it_expires() {
    let (mut world, peer) = scene(|_| {}).await;
    let mut last = registered(&mut world, &peer, 2).await;
    let renewal = next_register(&peer, last.cseq()).await;
    peer.reply(&renewal, "500 Server Internal Error", "").await;
    let status = changed(&mut world).await;
    assert_eq!(status.state, RegistrationState::Registered);
    assert_eq!(status.last_status, Some(500));
    loop {
        last = next_register(&peer, last.cseq()).await;
        peer.reply(&last, "500 Server Internal Error", "").await;
        let now = world.endpoint.trunks()[0].registration.clone().unwrap();
        if now.state == RegistrationState::Failed {
            assert_eq!(now.registered_until, None);
            return;
        }
    }
}

#[tokio::test]
async fn calls_to_the_registered_contact_are_the_trunks() {
    let (mut world, peer) = scene(|_| {}).await;
    let register = registered(&mut world, &peer, 600).await;
    let contact = register
        .header("Contact")
        .trim_matches(['<', '>'])
        .to_owned();
    let call = async |world: &mut World, uri: &str| {
        // Another address than the registrar's: a PBX may have several.
        let caller = Peer::new(world.udp).await;
        caller
            .send(&caller.compose("INVITE", uri, 1, "", "", SDP))
            .await;
        match caller.recv().await.status() {
            Some(100) => world.incoming().await.source,
            Some(401) => Source::Guest,
            other => panic!("{other:?}"),
        }
    };
    let trunk = Source::Trunk(TrunkId::new("pbx"));
    assert_eq!(call(&mut world, &contact).await, trunk);
    // Without the parameter the address of the registrar decides; here all are one host.
    let plain = format!("sip:3001@{}", world.udp);
    assert_eq!(call(&mut world, &plain).await, trunk);
    // A guess at it, or another user, is a stranger (the helper says Guest for 401).
    let guess = format!("{plain};line=0123456789abcdef0123456789abcdef");
    assert_eq!(call(&mut world, &guess).await, Source::Guest);
    let other = format!("sip:3002@{}", world.udp);
    assert_eq!(call(&mut world, &other).await, Source::Guest);
    // After leaving, nobody comes in that way.
    let endpoint = world.endpoint.clone();
    let leaving = tokio::spawn(async move { endpoint.unregister_trunks(common::DEADLINE).await });
    let last = next_register(&peer, register.cseq()).await;
    peer.reply(&last, "200 OK", "").await;
    leaving.await.unwrap();
    changed(&mut world).await;
    assert_eq!(call(&mut world, &contact).await, Source::Guest);
}

/// Strangers may send in the PBX's name, since nobody checks a datagram's source.
#[tokio::test]
async fn strangers_cannot_silence_the_pbx() {
    let (mut world, peer) = scene(|config| config.limits.max_unproven = 3).await;
    let register = registered(&mut world, &peer, 600).await;
    let contact = register.header("Contact").trim_matches(['<', '>']);
    let at = async |host: &str| Peer {
        socket: tokio::net::UdpSocket::bind((host, 0)).await.unwrap(),
        ..Peer::new(peer.to).await
    };
    // The registrar's address, and one only our Contact speaks for.
    for (host, attempts) in [("127.0.0.1", 6), ("127.0.0.2", 3)] {
        let stranger = at(host).await;
        for cseq in 1..=attempts {
            let register = stranger.compose_register("2001", cseq, "", "");
            stranger.send(&register).await;
            stranger.response("REGISTER", 401).await;
        }
        let pbx = at(host).await;
        pbx.send(&pbx.compose("INVITE", contact, 1, "", "", SDP))
            .await;
        pbx.response("INVITE", 100).await;
        let source = world.incoming().await.source;
        assert_eq!(source, Source::Trunk(TrunkId::new("pbx")));
    }
}

#[tokio::test]
async fn the_contact_is_the_same_after_a_restart() {
    let mut contacts = Vec::new();
    let peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    for _ in 0..2 {
        let mut config = config();
        config.trunks.push(registering(&peer.addr().to_string()));
        let world = World::with(config).await;
        let register = loop {
            let register = peer.request("REGISTER").await;
            if register.from == world.udp {
                break register;
            }
        };
        let (_, line) = register.header("Contact").split_once(";line=").unwrap();
        contacts.push(line.to_owned());
        world.endpoint.shutdown();
    }
    assert_eq!(contacts[0], contacts[1]);
}

#[tokio::test]
async fn settings_that_cannot_register_stop_the_start() {
    let start = async |change: fn(&mut TrunkConfig)| {
        let mut config = config();
        let mut trunk = registering("127.0.0.1");
        change(&mut trunk);
        config.trunks.push(trunk);
        SipEndpoint::start(config).await.unwrap_err()
    };
    for change in [
        (|t| t.auth = None) as fn(&mut TrunkConfig),
        |t| t.registration.as_mut().unwrap().registrar = None,
        |t| t.registration.as_mut().unwrap().registrar = Some("a b".to_owned()),
        |t| t.registration.as_mut().unwrap().expires_s = 0,
    ] {
        let error = start(change).await;
        assert!(
            matches!(error, SipStartError::BadRegistration { .. }),
            "{error}"
        );
    }
}
