//! Addresses: rport, Contacts nobody else knows, networks, IPv6, keep-alives, large requests.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Message, Peer, SDP, Stream, World, config, dial_request, leg_id};
use switchhook_model::HangupCause;
use switchhook_sip::{
    Advertised, DialTarget, SipConfig, SipLegEvent, SipTransport, TrunkConfig, TrunkId,
};
use tokio::net::{TcpListener, UdpSocket};

fn trunk_to(peer: SocketAddr) -> TrunkConfig {
    let mut trunk = TrunkConfig::new("carrier");
    trunk.addresses = vec![peer.to_string().parse().unwrap()];
    trunk.termination = Some(peer.to_string());
    trunk
}

fn number() -> DialTarget {
    DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    }
}

async fn scene(change: impl Fn(&mut SipConfig)) -> (World, Peer) {
    let mut peer = Peer::new("127.0.0.1:9".parse().unwrap()).await;
    let mut settings = config();
    settings.trunks.push(trunk_to(peer.addr()));
    change(&mut settings);
    let world = World::with(settings).await;
    peer.to = world.udp;
    (world, peer)
}

#[tokio::test]
async fn answers_go_where_the_request_came_from() {
    let (_world, peer) = scene(|_| {}).await;
    let uri = format!("sip:{}", peer.to);
    let text = peer.compose("OPTIONS", &uri, 1, "", "", "").replace(
        &format!("Via: SIP/2.0/UDP {}", peer.addr()),
        "Via: SIP/2.0/UDP 192.0.2.99:5070",
    );
    peer.send(&text).await;
    let answer = peer.response("OPTIONS", 200).await;
    let via = answer.header("Via");
    assert!(via.contains("received=127.0.0.1"), "{via}");
    assert!(
        via.contains(&format!("rport={}", peer.addr().port())),
        "{via}"
    );
}

#[tokio::test]
async fn a_trunk_with_a_contact_nobody_knows_is_reached_where_it_wrote_from() {
    let (mut world, peer) = scene(|_| {}).await;
    let hidden = |text: String| {
        text.replace(
            &format!("Contact: <sip:caller@{}>", peer.addr()),
            "Contact: <sip:caller@192.168.77.5:5060>",
        )
    };
    let uri = format!("sip:assistant@{}", peer.to);
    peer.send(&hidden(peer.compose("INVITE", &uri, 1, "", "", SDP)))
        .await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let answer = peer.response("INVITE", 200).await;
    peer.send(&peer.compose("ACK", &uri, 1, answer.tag("To"), "", ""))
        .await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { .. }
    ));
    world
        .endpoint
        .hangup(&call.leg, HangupCause::Normal)
        .unwrap();
    let bye = peer.request("BYE").await;
    assert!(bye.start_line().contains("sip:caller@192.168.77.5:5060"));
    // The same for a dial: the 200 names an address of another network.
    world.dial(number()).await;
    let invite = loop {
        let message = peer.recv().await;
        if message.method() == "INVITE" {
            break message;
        }
    };
    let answer = peer.answer(&invite, "200 OK", "", SDP).replace(
        &format!("Contact: <sip:peer@{}>", peer.addr()),
        "Contact: <sip:peer@10.99.0.1:5060>",
    );
    peer.send(&answer).await;
    let ack = peer.request("ACK").await;
    assert!(ack.start_line().contains("10.99.0.1"), "{}", ack.text);
}

#[tokio::test]
async fn each_network_is_told_its_address() {
    let (mut world, peer) = scene(|settings| {
        settings.advertised = vec![
            Advertised {
                networks: vec!["198.51.100.0/24".parse().unwrap()],
                address: "203.0.113.5".parse().unwrap(),
            },
            Advertised {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                address: "203.0.113.6".parse().unwrap(),
            },
        ];
    })
    .await;
    world.dial(number()).await;
    let invite = peer.request("INVITE").await;
    let port = world.udp.port();
    assert!(
        invite
            .header("Via")
            .starts_with(&format!("SIP/2.0/UDP 203.0.113.6:{port};")),
        "{}",
        invite.text
    );
    assert!(
        invite
            .header("Contact")
            .contains(&format!("@203.0.113.6:{port}"))
    );
}

#[tokio::test]
async fn a_call_over_ipv6() {
    let socket = UdpSocket::bind("[::1]:0")
        .await
        .expect("IPv6 on the loopback");
    let peer = Peer {
        socket,
        to: "[::1]:9".parse().unwrap(),
        call_id: "six".to_owned(),
        tag: "six".to_owned(),
    };
    let mut settings = config();
    let listener = "[::1]:0".parse().unwrap();
    settings.udp.push(listener);
    settings.tcp.push(listener);
    settings.trunks.push(trunk_to(peer.addr()));
    let mut world = World::with(settings).await;
    let (udp, tcp) = world.endpoint.local_addrs();
    let peer = Peer { to: udp[1], ..peer };
    let sdp = SDP.replace("IP4 127.0.0.1", "IP6 ::1");
    let uri = format!("sip:assistant@{}", peer.to);
    peer.send(&peer.compose("INVITE", &uri, 1, "", "", &sdp))
        .await;
    let call = world.incoming().await;
    assert_eq!(call.peer, peer.addr());
    call.handle.answer(sdp.clone()).unwrap();
    let answer = peer.response("INVITE", 200).await;
    assert!(
        answer.header("Contact").contains(&format!("@{}", peer.to)),
        "{}",
        answer.text
    );
    let target = answer.header("Contact").trim_matches(['<', '>']).to_owned();
    peer.send(&peer.compose("ACK", &target, 1, answer.tag("To"), "", ""))
        .await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { .. }
    ));
    world
        .endpoint
        .hangup(&call.leg, HangupCause::Normal)
        .unwrap();
    let bye = peer.request("BYE").await;
    peer.reply(&bye, "200 OK", "").await;
    // And out, with brackets where they belong.
    world.leg_event(&call.leg).await;
    world.dial(number()).await;
    let invite = loop {
        let message = peer.recv().await;
        if message.method() == "INVITE" {
            break message;
        }
    };
    assert!(
        invite
            .header("Via")
            .starts_with(&format!("SIP/2.0/UDP {};", peer.to))
    );
    assert!(invite.start_line().contains(&format!("@{}", peer.addr())));
    let mut stream = Stream::connect(tcp[1]).await;
    let options = peer
        .compose("OPTIONS", &format!("sip:{}", tcp[1]), 9, "", "", "")
        .replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    stream.send(&options).await;
    stream.expect(|m| m.status() == Some(200)).await;
}

#[tokio::test]
async fn phones_behind_a_nat_hear_something_now_and_then() {
    let (_world, peer) = scene(|settings| {
        settings.timers.keep_alive = Duration::from_millis(50);
    })
    .await;
    let ping = async |peer: &Peer| -> Message {
        loop {
            let message = peer.recv().await;
            if message.text == "\r\n\r\n" {
                return message;
            }
        }
    };
    let behind = "Contact: <sip:2001@192.168.1.20:5060>;expires=600\r\n";
    let uri = format!("sip:{}", peer.to);
    peer.send(&peer.compose_register("2001", 1, behind, ""))
        .await;
    let challenge = peer.response("REGISTER", 401).await;
    let auth = common::authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    peer.send(&peer.compose_register("2001", 2, behind, &auth))
        .await;
    peer.response("REGISTER", 200).await;
    ping(&peer).await;
    ping(&peer).await;
}

#[tokio::test]
async fn connections_of_ours_are_pinged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = config();
    settings.timers.keep_alive = Duration::from_millis(50);
    let mut trunk = trunk_to(listener.local_addr().unwrap());
    trunk.transport = SipTransport::Tcp;
    settings.trunks.push(trunk);
    let mut world = World::with(settings).await;
    world.dial(number()).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n\r\n\r\n") {
        let read = tokio::io::AsyncReadExt::read_buf(&mut stream, &mut seen);
        let n = tokio::time::timeout(common::DEADLINE, read).await.unwrap();
        assert_ne!(n.unwrap(), 0, "the connection stays");
    }
}

#[tokio::test]
async fn what_is_too_large_for_udp_goes_over_tcp_where_it_can() {
    // TCP on the same port: it goes there.
    let (mut world, peer) = scene(|_| {}).await;
    let listener = TcpListener::bind(peer.addr()).await.unwrap();
    dial_padded(&world, 1_400).await;
    let mut stream = accepted(&listener).await;
    let invite = stream.expect(|m| m.method() == "INVITE").await;
    stream
        .send(&peer.answer(&invite, "180 Ringing", "", ""))
        .await;
    assert!(
        invite.header("Via").starts_with("SIP/2.0/TCP "),
        "{}",
        invite.text
    );
    assert!(invite.header("Contact").contains("transport=tcp"));
    // A small one stays with UDP.
    world.dial(number()).await;
    let small = peer.request("INVITE").await;
    assert!(small.header("Via").starts_with("SIP/2.0/UDP "));
    // Nobody takes TCP: over UDP after all.
    let (world, peer) = scene(|_| {}).await;
    dial_padded(&world, 1_400).await;
    let invite = peer.request("INVITE").await;
    assert!(invite.text.len() > 1_300);
}

/// A dial whose INVITE has a header of that many bytes.
async fn dial_padded(world: &World, bytes: usize) {
    let mut request = dial_request(&leg_id(), number());
    request.headers = vec![("X-Long".to_owned(), "x".repeat(bytes))];
    world.endpoint.dial(request).await.unwrap();
}

async fn accepted(listener: &TcpListener) -> Stream {
    let accepting = tokio::time::timeout(common::DEADLINE, listener.accept());
    let (stream, _) = accepting.await.expect("a connection in time").unwrap();
    Stream::new(stream)
}

#[tokio::test]
async fn what_a_connection_does_not_answer_goes_over_udp_after_all() {
    for ending in ["closed", "silent", "503"] {
        let (world, peer) = scene(|_| {}).await;
        let listener = TcpListener::bind(peer.addr()).await.unwrap();
        dial_padded(&world, 1_400).await;
        let mut stream = accepted(&listener).await;
        let first = stream.expect(|m| m.method() == "INVITE").await;
        let _kept = match ending {
            "closed" => {
                drop(stream);
                None
            }
            "silent" => Some(stream),
            _ => {
                let answer = peer.answer(&first, "503 Service Unavailable", "", "");
                stream.send(&answer).await;
                Some(stream)
            }
        };
        let second = peer.request("INVITE").await;
        assert!(second.header("Via").starts_with("SIP/2.0/UDP "), "{ending}");
        assert_eq!(second.cseq(), first.cseq() + 1, "{ending}");
        assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
        assert_eq!(second.body(), first.body());
        peer.reply(&second, "200 OK", SDP).await;
        peer.request("ACK").await;
    }
}

/// Whenever a Contact comes, it may be one nobody else knows.
#[tokio::test]
async fn a_trunk_that_moves_to_a_contact_nobody_knows_is_reached_where_it_wrote_from() {
    let (mut world, peer) = scene(|_| {}).await;
    let leg = world.dial(number()).await;
    let invite = peer.request("INVITE").await;
    peer.reply(&invite, "200 OK", SDP).await;
    peer.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    // Another callee of the same dial.
    let hidden = format!("Contact: <sip:peer@192.168.77.5:{}>", peer.addr().port());
    let own = format!("Contact: <sip:peer@{}>", peer.addr());
    let fork = peer
        .answer(&invite, "200 OK", "", SDP)
        .replace(&own, &hidden)
        .replace(&format!(";tag={}", peer.tag), ";tag=other");
    peer.send(&fork).await;
    let bye = peer.request("BYE").await;
    assert_eq!(bye.tag("To"), "other");
    peer.reply(&bye, "200 OK", "").await;
    // The first moves, by a request of its own.
    let caller = Peer {
        call_id: invite.header("Call-ID").to_owned(),
        ..peer
    };
    let uri = format!("sip:assistant@{}", caller.to);
    let moved = caller
        .compose("UPDATE", &uri, 1, invite.tag("From"), "", "")
        .replace(&format!("Contact: <sip:caller@{}>", caller.addr()), &hidden);
    caller.send(&moved).await;
    caller.response("UPDATE", 200).await;
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let bye = loop {
        let bye = caller.request("BYE").await;
        if bye.tag("To") == caller.tag {
            break bye;
        }
    };
    assert!(bye.start_line().contains("192.168.77.5"), "{}", bye.text);
}
