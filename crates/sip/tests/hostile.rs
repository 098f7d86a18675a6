//! What the network may throw at us. After each of it a call still works.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Peer, SDP, Stream, World, config};
use switchhook_sip::{SipEndpoint, SipStartError};

/// A whole call, to see that nothing was harmed.
async fn still_alive(world: &mut World) {
    let peer = Peer::new(world.udp).await;
    peer.invite("assistant").await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let ok = peer.response("INVITE", 200).await;
    let uri = format!("sip:assistant@{}", world.udp);
    peer.send(&peer.compose("ACK", &uri, 1, ok.tag("To"), "", ""))
        .await;
    world.leg_event(&call.leg).await;
    peer.send(&peer.compose("BYE", &uri, 2, ok.tag("To"), "", ""))
        .await;
    peer.response("BYE", 200).await;
    world.leg_event(&call.leg).await;
    assert_eq!(world.endpoint.leg_count(), 0);
}

#[tokio::test]
async fn malformed_requests_are_answered_with_the_field_at_fault() {
    let mut world = World::start().await;
    let uri = format!("sip:assistant@{}", world.udp);
    let huge = "x".repeat(5_000);
    let many = "X-Filler: y\r\n".repeat(300);
    let cases: Vec<(&str, String, u16, &str)> = vec![
        (
            "Contact: <sip:caller@",
            "Contact: <sip:caller@@".to_owned(),
            400,
            "Contact",
        ),
        (
            "Contact: <sip:caller",
            "Contact: sip:caller>".to_owned(),
            400,
            "Contact",
        ),
        (
            "Contact: <sip",
            "Contact: <mailto".to_owned(),
            400,
            "Contact",
        ),
        ("Contact: ", format!("Contact: {huge}"), 400, "Contact"),
        ("To: <sip", "To: \"open <sip".to_owned(), 400, "To"),
        ("To: <", "To: x".to_owned(), 400, "To"),
        (
            "From: \"Caller\" <",
            "From: \"Caller\"".to_owned(),
            400,
            "From",
        ),
        (";tag=", ";nottag=".to_owned(), 400, "From"),
        ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS".to_owned(), 400, "CSeq"),
        (
            "CSeq: 1 INVITE",
            "CSeq: 99999999999 INVITE".to_owned(),
            400,
            "CSeq",
        ),
        ("CSeq: 1 INVITE", "CSeq: INVITE".to_owned(), 400, "CSeq"),
        (
            "CSeq: 1 INVITE",
            "CSeq: 1 INVITE\r\nCSeq: 2 INVITE".to_owned(),
            400,
            "CSeq",
        ),
        ("Call-ID: ", "Call-ID: a b".to_owned(), 400, "Call-ID"),
        ("Call-ID: ", format!("Call-ID: {huge}"), 400, "Call-ID"),
        ("branch=z9hG4bK", "nobranch=".to_owned(), 400, "Via"),
        ("SIP/2.0/UDP", "SIP/2.0/PIGEON".to_owned(), 400, "Via"),
        (
            "Content-Length: ",
            "Content-Length: 9".to_owned(),
            400,
            "Content-Length",
        ),
        (
            "Content-Length: ",
            "Content-Length: -".to_owned(),
            400,
            "Content-Length",
        ),
        ("Max-Forwards: 70\r\n", many, 400, "Headers"),
        (
            "Max-Forwards: 70\r\n",
            "Record-Route: <sip:p\r\n".to_owned(),
            400,
            "Record-Route",
        ),
        ("INVITE sip:", "INVITE tel:".to_owned(), 416, "Scheme"),
        (" SIP/2.0\r\n", " SIP/7.0\r\n".to_owned(), 505, "Version"),
        ("application/sdp", "text/html".to_owned(), 415, "Media"),
        (
            "Max-Forwards: 70\r\n",
            "Require: tdialog\r\n".to_owned(),
            420,
            "Extension",
        ),
    ];
    for (find, replace, status, word) in cases {
        let peer = Peer::new(world.udp).await;
        let good = peer.compose("INVITE", &uri, 1, "", "", SDP);
        let bad = good.replacen(find, &replace, 1);
        assert_ne!(good, bad, "{find}");
        peer.send(&bad).await;
        let answer = peer.recv().await;
        assert_eq!(
            answer.status(),
            Some(status),
            "{replace:.60}: {}",
            answer.text
        );
        assert!(
            answer.start_line().contains(word) || status == 420,
            "{replace:.60}: {}",
            answer.start_line()
        );
        if status == 420 {
            assert_eq!(answer.header("Unsupported"), "tdialog");
        }
    }
    still_alive(&mut world).await;
}

#[tokio::test]
async fn unknown_and_unwanted_methods() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    for (cseq, method, status) in [
        (1, "EXPLODE", 501),
        (2, "MESSAGE", 405),
        (3, "SUBSCRIBE", 405),
        (4, "REFER", 405),
        (5, "BYE", 481),
        (6, "INFO", 481),
        (7, "UPDATE", 481),
        (8, "OPTIONS", 200),
    ] {
        peer.send(&peer.compose(method, &uri, cseq, "", "", ""))
            .await;
        let answer = peer.response(method, status).await;
        if matches!(status, 200 | 405 | 501) {
            assert!(answer.header("Allow").contains("INVITE"), "{}", answer.text);
        }
    }
    // A CANCEL for nothing, an ACK for nothing, responses to nothing.
    let cancel = peer.compose("CANCEL", &uri, 9, "", "", "");
    peer.send(&cancel).await;
    peer.response("CANCEL", 481).await;
    peer.send(&peer.compose("ACK", &uri, 10, "x", "", "")).await;
    for status in ["100 Trying", "200 OK", "487 Gone", "999 Odd"] {
        let invite = peer.compose("INVITE", &uri, 11, "", "", "");
        let as_message = common::Message {
            text: invite,
            from: world.udp,
        };
        peer.reply(&as_message, status, SDP).await;
    }
    still_alive(&mut world).await;
}

#[tokio::test]
async fn noise_is_dropped() {
    let mut world = World::start().await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    let good = peer.compose("INVITE", &uri, 1, "", "", SDP);
    let mut noise: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0xff; 2_000],
        b"\r\n\r\n".to_vec(),
        b"INVITE".to_vec(),
        b"INVITE sip:x SIP/2.0\r\n\r\n".to_vec(),
        b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
        b"SIP/2.0 99999999999 X\r\nVia: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![b'A'; 65_000],
    ];
    // The request cut off anywhere in its head.
    let head = good.find("\r\n\r\n").unwrap();
    noise.extend(
        (1..head)
            .step_by(7)
            .map(|at| good.as_bytes()[..at].to_vec()),
    );
    for datagram in &noise {
        peer.socket.send_to(datagram, world.udp).await.unwrap();
    }
    let probe = Peer::new(world.udp).await;
    probe
        .send(&probe.compose("OPTIONS", &uri, 1, "", "", ""))
        .await;
    probe.response("OPTIONS", 200).await;
    still_alive(&mut world).await;
}

#[tokio::test]
async fn a_source_cannot_be_claimed_in_a_header() {
    let mut settings = config();
    settings.allow_loopback_guests = false;
    let mut trunk = switchhook_sip::TrunkConfig::new("carrier");
    trunk.addresses = vec!["203.0.113.7".parse().unwrap()];
    settings.trunks.push(trunk);
    let world = World::with(settings).await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    let claim = "X-Switchhook-Source: UDP 203.0.113.7:5060\r\nX-Switchhook-Local: 1\r\n";
    let invite = peer.compose("INVITE", &uri, 1, "", claim, SDP);
    peer.send(&invite.replace(&format!("UDP {}", peer.addr()), "UDP 203.0.113.7:5060"))
        .await;
    let refusal = peer.response("INVITE", 401).await;
    assert!(refusal.header("Via").contains("received=127.0.0.1"));
    assert!(refusal.headers("X-Switchhook-Source").is_empty());
}

#[tokio::test]
async fn large_messages_are_refused() {
    let mut settings = config();
    settings.limits.max_message_bytes = 4_000;
    let mut world = World::with(settings).await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    let big = peer.compose("INVITE", &uri, 1, "", "", &"a=x\r\n".repeat(1_000));
    peer.send(&big).await;
    peer.response("INVITE", 513).await;
    let mut stream = Stream::connect(world.tcp).await;
    stream.send(&big.replace("/UDP", "/TCP")).await;
    assert_eq!(stream.recv().await.unwrap().status(), Some(513));
    assert!(stream.recv().await.is_none(), "the stream is closed");
    still_alive(&mut world).await;
}

#[tokio::test]
async fn streams_that_cannot_be_followed_are_closed() {
    let mut settings = config();
    settings.timers.partial_message_timeout = std::time::Duration::from_millis(200);
    let mut world = World::with(settings).await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.tcp);
    let good = peer
        .compose("OPTIONS", &uri, 1, "", "", "")
        .replace("/UDP", "/TCP");
    for (length, answered) in [
        ("", true),
        ("Content-Length: x\r\n", true),
        ("Content-Length: -1\r\n", true),
        ("Content-Length: 18446744073709551615\r\n", true),
        ("Content-Length: 4294967295\r\n", true),
        ("Content-Length: 100\r\n", false),
    ] {
        let mut stream = Stream::connect(world.tcp).await;
        stream
            .send(&good.replace("Content-Length: 0\r\n", length))
            .await;
        if answered {
            let status = stream.recv().await.unwrap().status().unwrap();
            assert!(matches!(status, 400 | 513), "{length}: {status}");
        }
        assert!(stream.recv().await.is_none(), "{length:?}: closed");
    }
    let mut stream = Stream::connect(world.tcp).await;
    stream.send(&"x".repeat(70_000)).await;
    assert!(stream.recv().await.is_none());
    // Two messages in one write, one in three.
    let mut stream = Stream::connect(world.tcp).await;
    let second = good
        .replace("CSeq: 1 ", "CSeq: 2 ")
        .replace("1OPTIONS", "2OPTIONS");
    stream.send(&format!("\r\n{good}{second}")).await;
    for cseq in [1, 2] {
        let ok = stream.recv().await.unwrap();
        assert_eq!((ok.status(), ok.cseq()), (Some(200), cseq));
    }
    let third = good
        .replace("CSeq: 1 ", "CSeq: 3 ")
        .replace("1OPTIONS", "3OPTIONS");
    for part in [&third[..10], &third[10..90], &third[90..]] {
        stream.send(part).await;
    }
    assert_eq!(stream.recv().await.unwrap().cseq(), 3);
    still_alive(&mut world).await;
}

#[tokio::test]
async fn a_flood_from_one_source_is_cut() {
    let mut settings = config();
    settings.limits.messages_per_s = 1;
    settings.limits.message_burst = 20;
    let world = World::with(settings).await;
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.udp);
    for cseq in 1..=60 {
        peer.send(&peer.compose("OPTIONS", &uri, cseq, "", "", ""))
            .await;
    }
    // Another address is not concerned, and its answer shows that the flood is through.
    let mut other = Peer::new(world.udp).await;
    other.socket = tokio::net::UdpSocket::bind("127.0.0.2:0").await.unwrap();
    other
        .send(&other.compose("OPTIONS", &uri, 1, "", "", ""))
        .await;
    other.response("OPTIONS", 200).await;
    // What its burst allows is answered, however slowly. Of the rest nothing can be waited for: a
    // machine too slow for this pause sees less than is wrong, never more.
    let mut answers = 0;
    while answers < 20 {
        peer.response("OPTIONS", 200).await;
        answers += 1;
    }
    while peer
        .recv_within(std::time::Duration::from_millis(100))
        .await
        .is_some()
    {
        answers += 1;
    }
    assert!(answers < 60, "{answers}");
}

#[tokio::test]
async fn more_calls_than_there_is_room_for() {
    let mut settings = config();
    settings.limits.max_legs = 3;
    let mut world = World::with(settings).await;
    let uri = format!("sip:assistant@{}", world.udp);
    let mut callers = Vec::new();
    for _ in 0..3 {
        let peer = Peer::new(world.udp).await;
        peer.invite("assistant").await;
        callers.push((peer, world.incoming().await));
    }
    let late = Peer::new(world.udp).await;
    late.send(&late.compose("INVITE", &uri, 1, "", "", SDP))
        .await;
    let refusal = late.response("INVITE", 503).await;
    assert!(!refusal.header("Retry-After").is_empty());
    // Those inside are not concerned.
    for (peer, call) in &callers {
        call.handle.reject(486, None).unwrap();
        peer.response("INVITE", 486).await;
        world.leg_event(&call.leg).await;
    }
    still_alive(&mut world).await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let mut settings = config();
    settings.limits.max_tcp_connections_per_ip = 4;
    let mut world = World::with(settings).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = Stream::connect(world.tcp).await;
        // A keep-alive shows that the connection was taken in.
        stream.send("\r\n\r\n").await;
        use tokio::io::AsyncReadExt as _;
        stream.stream.read_exact(&mut [0; 2]).await.unwrap();
        open.push(stream);
    }
    let mut fifth = Stream::connect(world.tcp).await;
    assert!(fifth.recv().await.is_none(), "refused");
    drop(open);
    still_alive(&mut world).await;
}

/// A peer that sends and never reads must not hold up anybody.
#[tokio::test]
async fn a_peer_that_does_not_read_harms_nobody() {
    let mut settings = config();
    settings.timers.write_timeout = std::time::Duration::from_millis(300);
    settings.limits.messages_per_s = 100_000;
    settings.limits.message_burst = 100_000;
    let mut world = World::with(settings).await;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&world.tcp.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(socket.into()).unwrap();
    let peer = Peer::new(world.udp).await;
    let uri = format!("sip:assistant@{}", world.tcp);
    let pad = format!("X-Pad: {}\r\n", "p".repeat(900));
    let mut cseq = 0;
    // Until the endpoint has closed the connection.
    let flood = async {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = stream;
        loop {
            cseq += 1;
            let via = format!("/TCP {}", "h".repeat(200));
            let text = peer
                .compose("OPTIONS", &uri, cseq, "", &pad, "")
                .replace(&format!("/UDP {}", peer.addr()), &via);
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let drain = async {
        // The user of the endpoint goes on taking events.
        loop {
            if world.events.recv().await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = flood => {}
        () = drain => {}
        () = tokio::time::sleep(common::DEADLINE) => panic!("the connection was not closed"),
    }
    still_alive(&mut world).await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let world = World::start().await;
    let mut settings = config();
    settings.udp = vec![world.udp];
    settings.tcp = vec![];
    match SipEndpoint::start(settings).await {
        Err(
            error @ SipStartError::AddressInUse {
                transport: "UDP", ..
            },
        ) => {
            assert!(
                error.to_string().contains(&world.udp.to_string()),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    let mut settings = config();
    settings.udp = vec![];
    settings.tcp = vec![world.tcp];
    match SipEndpoint::start(settings).await {
        Err(
            error @ SipStartError::AddressInUse {
                transport: "TCP", ..
            },
        ) => {
            assert!(
                error.to_string().contains(&world.tcp.to_string()),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    let mut settings = config();
    settings.udp = vec!["203.0.113.7:5060".parse().unwrap()];
    let error = SipEndpoint::start(settings).await.unwrap_err();
    assert!(error.to_string().contains("203.0.113.7:5060"), "{error}");
}
