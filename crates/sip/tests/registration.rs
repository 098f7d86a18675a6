//! Registrar and digest as a phone, or somebody who would like to be one, sees them.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Peer, SDP, Stream, World, authorization, config, dial_request, extension, leg_id};
use switchhook_sip::{
    DialError, DialTarget, SipEvent, SipLegEvent, SipTransport, Source, UnregisterReason,
};

#[tokio::test]
async fn bind_refresh_query_and_remove() {
    let mut world = World::start().await;
    let phone = Peer::new(world.udp).await;
    let ok = phone.register("2001", 600).await;
    assert!(
        ok.header("Contact").contains(&phone.addr().to_string()),
        "{}",
        ok.text
    );
    let expires: u32 = ok
        .header("Contact")
        .split_once("expires=")
        .unwrap()
        .1
        .parse()
        .unwrap();
    assert!((590..=600).contains(&expires));
    let SipEvent::Registered {
        extension: who,
        bindings,
    } = world.event().await
    else {
        panic!("registered")
    };
    assert_eq!((who.as_str(), bindings.len()), ("2001", 1));
    assert_eq!(bindings[0].source, phone.addr());
    // Longer than allowed is shortened.
    let ok = phone.register("2001", 999_999).await;
    let expires: u32 = ok
        .header("Contact")
        .split_once("expires=")
        .unwrap()
        .1
        .parse()
        .unwrap();
    assert!((3_590..=3_600).contains(&expires));
    world.event().await;
    assert_eq!(world.endpoint.bindings().len(), 1);
    phone.register("2001", 0).await;
    let SipEvent::Unregistered {
        reason, bindings, ..
    } = world.event().await
    else {
        panic!("unregistered")
    };
    assert_eq!((reason, bindings.len()), (UnregisterReason::Removed, 0));
    assert!(world.endpoint.bindings().is_empty());
}

#[tokio::test]
async fn contact_star_removes_all_and_only_with_expires_0() {
    let mut world = World::start().await;
    let phone = Peer::new(world.udp).await;
    phone.register("2001", 600).await;
    world.event().await;
    for (expires, status, left) in [("Expires: 60\r\n", 400, 1), ("Expires: 0\r\n", 200, 0)] {
        let cseq = 5_000 + common::unique() * 2;
        let plain = phone.compose_register("2001", cseq, "Contact: *\r\n", expires);
        phone.send(&plain).await;
        let challenge = phone.response("REGISTER", 401).await;
        let uri = format!("sip:{}", world.udp);
        let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
        let more = format!("{expires}{auth}");
        phone
            .send(&phone.compose_register("2001", cseq + 1, "Contact: *\r\n", &more))
            .await;
        phone.response("REGISTER", status).await;
        assert_eq!(world.endpoint.bindings().len(), left);
    }
}

#[tokio::test]
async fn too_short_a_registration_names_the_minimum() {
    let world = World::start().await;
    let phone = Peer::new(world.udp).await;
    let contact = format!("Contact: <sip:2001@{}>;expires=3\r\n", phone.addr());
    phone
        .send(&phone.compose_register("2001", 1, &contact, ""))
        .await;
    let challenge = phone.response("REGISTER", 401).await;
    let uri = format!("sip:{}", world.udp);
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    phone
        .send(&phone.compose_register("2001", 2, &contact, &auth))
        .await;
    let refusal = phone.response("REGISTER", 423).await;
    assert_eq!(refusal.header("Min-Expires"), "10");
}

#[tokio::test]
async fn bindings_expire_and_survive_a_restart() {
    let mut settings = config();
    settings.limits.min_expires_s = 1;
    let mut world = World::with(settings).await;
    let phone = Peer::new(world.udp).await;
    phone.register("2001", 1).await;
    let SipEvent::Registered { mut bindings, .. } = world.event().await else {
        panic!("registered")
    };
    let SipEvent::Unregistered { reason, .. } = world.event().await else {
        panic!("expired")
    };
    assert_eq!(reason, UnregisterReason::Expired);

    bindings[0].expires_at = bindings[0].expires_at + std::time::Duration::from_secs(600);
    let mut settings = config();
    settings.initial_bindings = bindings;
    let mut restarted = World::with(settings).await;
    restarted
        .dial(DialTarget::Extension(extension("2001")))
        .await;
    phone.request("INVITE").await;
}

/// Status, headers and count of answers must not tell which users exist.
#[tokio::test]
async fn unknown_users_and_wrong_passwords_get_the_same_answers() {
    let mut settings = config();
    settings.limits.max_auth_failures = 2;
    let world = World::with(settings).await;
    let uri = format!("sip:{}", world.udp);
    let mut seen = Vec::new();
    for user in ["2001", "2777"] {
        let phone = Peer::new(world.udp).await;
        let contact = format!("Contact: <sip:{user}@{}>\r\n", phone.addr());
        let mut answers = Vec::new();
        phone
            .send(&phone.compose_register(user, 1, &contact, ""))
            .await;
        let mut challenge = phone.response("REGISTER", 401).await;
        for cseq in 2..6 {
            let auth = authorization(&challenge, user, "guess", "REGISTER", &uri, 1);
            phone
                .send(&phone.compose_register(user, cseq, &contact, &auth))
                .await;
            let answer = phone.recv().await;
            let names: Vec<String> = answer
                .text
                .lines()
                .filter_map(|line| line.split_once(':').map(|(name, _)| name.to_owned()))
                .collect();
            answers.push((answer.status(), names));
            if answer.status() == Some(401) {
                assert!(!answer.header("WWW-Authenticate").contains("stale"));
                challenge = answer;
            }
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    let statuses: Vec<_> = seen[0].iter().map(|(status, _)| status.unwrap()).collect();
    assert_eq!(statuses, [401, 401, 403, 403]);
}

#[tokio::test]
async fn a_recorded_request_is_worth_nothing() {
    let world = World::start().await;
    let phone = Peer::new(world.udp).await;
    let uri = format!("sip:{}", world.udp);
    let contact = format!("Contact: <sip:2001@{}>\r\n", phone.addr());
    phone
        .send(&phone.compose_register("2001", 1, &contact, ""))
        .await;
    let challenge = phone.response("REGISTER", 401).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    phone
        .send(&phone.compose_register("2001", 2, &contact, &auth))
        .await;
    phone.response("REGISTER", 200).await;
    // The same credentials in a new transaction.
    phone
        .send(&phone.compose_register("2001", 3, &contact, &auth))
        .await;
    let refusal = phone.response("REGISTER", 401).await;
    assert!(refusal.header("WWW-Authenticate").contains("stale=true"));
    // The next count is good.
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 2);
    phone
        .send(&phone.compose_register("2001", 4, &contact, &auth))
        .await;
    phone.response("REGISTER", 200).await;
}

#[tokio::test]
async fn an_old_nonce_is_stale() {
    let mut settings = config();
    settings.timers.nonce_lifetime = std::time::Duration::ZERO;
    let world = World::with(settings).await;
    let phone = Peer::new(world.udp).await;
    let uri = format!("sip:{}", world.udp);
    let contact = format!("Contact: <sip:2001@{}>\r\n", phone.addr());
    let mut cseq = 1;
    phone
        .send(&phone.compose_register("2001", cseq, &contact, ""))
        .await;
    let mut challenge = phone.response("REGISTER", 401).await;
    // A nonce of this very millisecond is still good; a later one never is.
    loop {
        cseq += 1;
        let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
        phone
            .send(&phone.compose_register("2001", cseq, &contact, &auth))
            .await;
        let answer = phone.recv().await;
        if answer.status() == Some(401) {
            assert!(answer.header("WWW-Authenticate").contains("stale=true"));
            break;
        }
        phone
            .send(&phone.compose_register("2001", cseq + 1_000, &contact, ""))
            .await;
        challenge = phone.response("REGISTER", 401).await;
    }
}

#[tokio::test]
async fn nobody_registers_for_another() {
    let world = World::start().await;
    let phone = Peer::new(world.udp).await;
    let uri = format!("sip:{}", world.udp);
    let contact = format!("Contact: <sip:2001@{}>\r\n", phone.addr());
    phone
        .send(&phone.compose_register("2001", 1, &contact, ""))
        .await;
    let challenge = phone.response("REGISTER", 401).await;
    let auth = authorization(&challenge, "2005", "demo-2005", "REGISTER", &uri, 1);
    phone
        .send(&phone.compose_register("2001", 2, &contact, &auth))
        .await;
    phone.response("REGISTER", 403).await;
    assert!(world.endpoint.bindings().is_empty());
}

#[tokio::test]
async fn an_extension_calls_with_its_password() {
    let mut world = World::start().await;
    let phone = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    let from = |text: String| text.replace("\"Caller\" <sip:caller@", "\"Ann\" <sip:2001@");
    // Claiming an extension's name needs its password even where guests may call.
    phone
        .send(&from(phone.compose("INVITE", &uri, 1, "", "", SDP)))
        .await;
    let challenge = phone.response("INVITE", 401).await;
    let ack = from(phone.compose("ACK", &uri, 1, challenge.tag("To"), "", ""));
    phone.send(&ack.replace("1ACK", "1INVITE")).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "INVITE", &uri, 1);
    phone
        .send(&from(phone.compose("INVITE", &uri, 2, "", &auth, SDP)))
        .await;
    let call = world.incoming().await;
    assert_eq!(call.source, Source::Extension(extension("2001")));
    assert_eq!(call.from.number, "2001");
    // The ladder has the challenge too, without the credentials.
    world.until_wire(|w| w.status == Some(100)).await;
    let of_leg: Vec<_> = world
        .wire
        .iter()
        .filter(|w| w.leg.as_ref() == Some(&call.leg))
        .collect();
    assert!(of_leg.iter().any(|w| w.status == Some(401)));
    assert!(
        of_leg
            .iter()
            .any(|w| w.text.contains("Authorization: …\r\n"))
    );
    assert!(of_leg.iter().all(|w| !w.text.contains("cnonce")));
}

#[tokio::test]
async fn a_phone_on_tcp_is_dialled_over_its_connection() {
    let mut world = World::start().await;
    let mut phone = Stream::connect(world.tcp).await;
    let local = phone.stream.local_addr().unwrap();
    let uri = format!("sip:{}", world.tcp);
    let register = |cseq: u32, auth: &str| {
        format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bKr{cseq}\r\n\
             From: <sip:2001@h>;tag=t\r\nTo: <sip:2001@h>\r\nCall-ID: tcp-reg\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:2001@{local};transport=tcp>\r\n{auth}\
             Content-Length: 0\r\n\r\n"
        )
    };
    phone.send(&register(1, "")).await;
    let challenge = phone.expect(|m| m.status() == Some(401)).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    phone.send(&register(2, &auth)).await;
    phone.expect(|m| m.status() == Some(200)).await;
    let SipEvent::Registered { bindings, .. } = world.event().await else {
        panic!("registered")
    };
    assert_eq!(
        (bindings[0].transport, bindings[0].source),
        (SipTransport::Tcp, local)
    );

    let leg = world.dial(DialTarget::Extension(extension("2001"))).await;
    let invite = phone.expect(|m| m.method() == "INVITE").await;
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP"));
    assert!(invite.header("Contact").contains("transport=tcp"));
    let peer = Peer::new(world.udp).await;
    phone
        .send(&peer.answer(&invite, "180 Ringing", "", ""))
        .await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ringing { .. }
    ));
    phone.send(&peer.answer(&invite, "200 OK", "", SDP)).await;
    phone.expect(|m| m.method() == "ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    world
        .endpoint
        .hangup(&leg, switchhook_model::HangupCause::Normal)
        .unwrap();
    let bye = phone.expect(|m| m.method() == "BYE").await;
    phone.send(&peer.answer(&bye, "200 OK", "", "")).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended { .. }
    ));
    // A keep-alive is answered (RFC 5626 §3.5.1), and the connection goes on.
    phone.send("\r\n\r\n").await;
    use tokio::io::AsyncReadExt as _;
    let mut pong = [0; 2];
    phone.stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
}

/// The proxy connected from a port nobody listens on; its Path names the one it does.
#[tokio::test]
async fn a_proxy_on_tcp_whose_connection_is_gone_is_dialled_where_it_listens() {
    let mut world = World::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut proxy = Stream::connect(world.tcp).await;
    let local = proxy.stream.local_addr().unwrap();
    let uri = format!("sip:{}", world.tcp);
    let register = |cseq: u32, auth: &str| {
        format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bKp{cseq}\r\n\
             From: <sip:2001@h>;tag=t\r\nTo: <sip:2001@h>\r\nCall-ID: path-reg\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:2001@192.0.2.77:5060;transport=tcp>\r\n\
             Path: <sip:198.51.100.7:{port};transport=tcp;lr>\r\n{auth}Content-Length: 0\r\n\r\n"
        )
    };
    proxy.send(&register(1, "")).await;
    let challenge = proxy.expect(|m| m.status() == Some(401)).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    proxy.send(&register(2, &auth)).await;
    proxy.expect(|m| m.status() == Some(200)).await;
    world.event().await;
    // While it is there, the connection is used.
    world.dial(DialTarget::Extension(extension("2001"))).await;
    let invite = proxy.expect(|m| m.method() == "INVITE").await;
    let helper = Peer::new(world.udp).await;
    proxy
        .send(&helper.answer(&invite, "486 Busy Here", "", ""))
        .await;
    proxy.expect(|m| m.method() == "ACK").await;
    drop(proxy);
    world.dial(DialTarget::Extension(extension("2001"))).await;
    let accepting = tokio::time::timeout(common::DEADLINE, listener.accept());
    let (stream, _) = accepting.await.expect("a connection in time").unwrap();
    let invite = Stream::new(stream).expect(|m| m.method() == "INVITE").await;
    assert!(invite.start_line().contains("sip:2001@192.0.2.77:5060"));
    assert!(invite.header("Route").contains("198.51.100.7"));
}

#[tokio::test]
async fn who_is_not_there_cannot_be_dialled() {
    let world = World::start().await;
    for (number, error) in [
        ("2001", DialError::NotRegistered(extension("2001"))),
        ("2999", DialError::UnknownExtension(extension("2999"))),
    ] {
        let target = DialTarget::Extension(extension(number));
        let result = world.endpoint.dial(dial_request(&leg_id(), target)).await;
        assert_eq!(result.unwrap_err(), error);
    }
    assert_eq!(world.endpoint.leg_count(), 0);
}
