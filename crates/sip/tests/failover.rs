//! Names to addresses, and from an address that fails to the next, within one dial.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::time::Duration;

use common::certs::{Ca, acceptor};
use common::dns::Server;
use common::{DEADLINE, Peer, SDP, Stream, World, config, dial_request, leg_id};
use hickory_resolver::proto::rr::RecordType;
use switchhook_model::HangupCause;
use switchhook_sip::{
    DialError, DialTarget, OrphanOutcome, SipConfig, SipEvent, SipLegEvent, SipTransport,
    TrunkConfig, TrunkId,
};
use tokio::net::TcpListener;

const HOST: &str = "carrier.example.com";

fn settings(dns: &Server, transport: SipTransport, termination: &str) -> SipConfig {
    let mut settings = config();
    settings.dns.servers = vec![dns.address];
    settings.dns.min_ttl = Duration::from_millis(1);
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = Some(termination.to_owned());
    trunk.transport = transport;
    settings.trunks.push(trunk);
    settings
}

fn number() -> DialTarget {
    DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    }
}

async fn peer() -> Peer {
    Peer::new("127.0.0.1:9".parse().unwrap()).await
}

/// Waits until the trunk's host was looked up, with the deadline of every wait.
async fn until_asked(dns: &Server, kind: RecordType, host: &str) {
    let since = std::time::Instant::now();
    while dns.times_asked(host, kind) == 0 {
        assert!(since.elapsed() < DEADLINE, "never asked for {host}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn service_records_give_order_and_ports() {
    let dns = Server::start(300).await;
    let (mut first, mut second) = (peer().await, peer().await);
    let service = format!("_sip._udp.{HOST}");
    dns.srv(&service, 20, 1, second.addr().port(), "b.example.com");
    dns.srv(&service, 10, 1, first.addr().port(), "a.example.com");
    dns.address("a.example.com", "127.0.0.1");
    dns.address("b.example.com", "127.0.0.1");
    let mut world = World::with(settings(&dns, SipTransport::Udp, HOST)).await;
    (first.to, second.to) = (world.udp, world.udp);
    let leg = world.dial(number()).await;
    let invite = first.request("INVITE").await;
    // The Request-URI keeps the name: that is how carriers find the trunk.
    assert!(
        invite
            .start_line()
            .starts_with(&format!("INVITE sip:+12025550100@{HOST} "))
    );
    // Nothing is heard: after a while the next one is tried with a new branch and CSeq.
    let next = second.request("INVITE").await;
    assert_eq!(next.header("Call-ID"), invite.header("Call-ID"));
    assert_ne!(next.branch(), invite.branch());
    assert_eq!(next.cseq(), invite.cseq() + 1);
    second.reply(&next, "200 OK", SDP).await;
    second.request("ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    assert_eq!(world.records[&leg].peer, second.addr());
    // The first wakes up: it is cancelled, and what it answers is ended, but the call goes on.
    first.reply(&invite, "180 Ringing", "").await;
    let cancel = first.request("CANCEL").await;
    assert_eq!(cancel.branch(), invite.branch());
    first.reply(&invite, "200 OK", SDP).await;
    first.request("ACK").await;
    first.request("BYE").await;
    // The one that failed is asked last from now on.
    world.dial(number()).await;
    second.request("INVITE").await;
}

#[tokio::test]
async fn every_kind_of_failure_is_told() {
    let ca = Ca::new();
    let strangers = Ca::new();
    let dns = Server::start(300).await;
    // Refused: a port nobody listens on. TLS error: a certificate from a stranger. 503: the last.
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused_at = refused.local_addr().unwrap();
    drop(refused);
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = format!("_sips._tcp.{HOST}");
    let places = [
        refused_at,
        stranger.local_addr().unwrap(),
        busy.local_addr().unwrap(),
    ];
    for (n, place) in (1u16..).zip(&places) {
        dns.srv(&service, n, 1, place.port(), "edge.example.com");
    }
    dns.address("edge.example.com", "127.0.0.1");
    let mut settings = settings(&dns, SipTransport::Tls, HOST);
    settings.tls.ca_file = Some(ca.file());
    settings.tls.system_roots = false;
    let mut world = World::with(settings).await;
    let leg = world.dial(number()).await;
    let bad = acceptor(&strangers.good("bad", HOST), None);
    let (stream, _) = stranger.accept().await.unwrap();
    assert!(bad.accept(stream).await.is_err());
    // The certificate is for the domain, not for the server's own name (RFC 5922 §4).
    let good = acceptor(&ca.good("good", HOST), None);
    let (stream, from) = busy.accept().await.unwrap();
    let mut edge = Stream::over(good.accept(stream).await.unwrap(), from);
    let invite = edge.expect(|m| m.method() == "INVITE").await;
    let answer = format!(
        "SIP/2.0 503 Service Unavailable\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=x\r\nCall-ID: {}\r\n\
         CSeq: {}\r\nContent-Length: 0\r\n\r\n",
        invite.header("Via"),
        invite.header("From"),
        invite.header("To"),
        invite.header("Call-ID"),
        invite.header("CSeq"),
    );
    edge.send(&answer).await;
    let SipLegEvent::Failed {
        status: Some(503),
        reason,
        ..
    } = world.leg_event(&leg).await
    else {
        panic!("failed");
    };
    for expected in [
        "Service Unavailable",
        &format!("{refused_at} (TLS)"),
        "refused",
        &format!("{} (TLS)", places[1]),
        "nobody we trust",
    ] {
        assert!(reason.contains(expected), "{expected} not in {reason}");
    }
}

#[tokio::test]
async fn a_503_moves_on_and_busy_does_not() {
    let dns = Server::start(300).await;
    let (mut first, mut second, mut third) = (peer().await, peer().await, peer().await);
    let service = format!("_sip._udp.{HOST}");
    for (n, peer) in (1u16..).zip([&first, &second, &third]) {
        dns.srv(&service, n, 1, peer.addr().port(), "edge.example.com");
    }
    dns.address("edge.example.com", "127.0.0.1");
    let mut world = World::with(settings(&dns, SipTransport::Udp, HOST)).await;
    for peer in [&mut first, &mut second, &mut third] {
        peer.to = world.udp;
    }
    let leg = world.dial(number()).await;
    let invite = first.request("INVITE").await;
    let unavailable = first.answer(&invite, "503 Full", "Retry-After: 60\r\n", "");
    first.send(&unavailable).await;
    first.request("ACK").await;
    let invite = second.request("INVITE").await;
    second.reply(&invite, "486 Busy Here", "").await;
    let SipLegEvent::Failed {
        status: Some(486),
        cause: HangupCause::Busy,
        reason,
    } = world.leg_event(&leg).await
    else {
        panic!("busy");
    };
    assert!(reason.starts_with("Busy Here; before that: "), "{reason}");
    assert!(
        reason.contains(&format!("{} (UDP): 503", first.addr())),
        "{reason}"
    );
    // The third was never bothered.
    let got = third.recv_within(Duration::from_millis(50)).await;
    assert!(got.is_none(), "{got:?}");
}

#[tokio::test]
async fn the_last_address_without_an_answer_names_all() {
    let dns = Server::start(300).await;
    let (first, second) = (peer().await, peer().await);
    let service = format!("_sip._udp.{HOST}");
    for (n, peer) in (1u16..).zip([&first, &second]) {
        dns.srv(&service, n, 1, peer.addr().port(), "edge.example.com");
    }
    dns.address("edge.example.com", "127.0.0.1");
    let mut settings = settings(&dns, SipTransport::Udp, HOST);
    settings.timers.t1 = Duration::from_millis(10);
    let mut world = World::with(settings).await;
    let leg = world.dial(number()).await;
    let SipLegEvent::Failed {
        status: None,
        cause: HangupCause::Unreachable,
        reason,
    } = world.leg_event(&leg).await
    else {
        panic!("unreachable");
    };
    assert!(reason.contains("no response within 64 T1"), "{reason}");
    assert!(reason.contains(&format!("{} (UDP): no response in time", first.addr())));
}

#[tokio::test]
async fn trunks_are_looked_up_ahead_and_kept_fresh() {
    let dns = Server::start(0).await;
    let mut peer = peer().await;
    let termination = format!("{HOST}:{}", peer.addr().port());
    dns.address(HOST, "127.0.0.1");
    let mut settings = settings(&dns, SipTransport::Udp, &termination);
    settings.dns.negative_ttl = Duration::from_millis(10);
    let mut world = World::with(settings).await;
    peer.to = world.udp;
    // Nobody has dialled yet. With a short life it is asked for again and again.
    let since = std::time::Instant::now();
    while dns.times_asked(HOST, RecordType::A) < 2 {
        assert!(since.elapsed() < DEADLINE, "not kept fresh");
        tokio::task::yield_now().await;
    }
    // The name server loses the name: the old answer serves.
    dns.clear();
    let asked = dns.times_asked(HOST, RecordType::A);
    while dns.times_asked(HOST, RecordType::A) < asked + 2 {
        assert!(since.elapsed() < DEADLINE, "not asked again");
        tokio::task::yield_now().await;
    }
    world.dial(number()).await;
    peer.request("INVITE").await;
}

#[tokio::test]
async fn what_is_not_there_is_remembered() {
    let dns = Server::start(300).await;
    let mut world = World::with(settings(&dns, SipTransport::Udp, "127.0.0.1")).await;
    let target = || DialTarget::Uri("sip:x@nowhere.example.com".to_owned());
    // The call's task does not wait for DNS: the dial begins, and fails with the cause.
    let leg = world.dial(target()).await;
    let SipLegEvent::Failed {
        status: None,
        cause: HangupCause::Unreachable,
        reason,
    } = world.leg_event(&leg).await
    else {
        panic!("unresolvable");
    };
    assert!(reason.contains("cannot be resolved"), "{reason}");
    let asked = dns.times_asked("nowhere.example.com", RecordType::A);
    assert!(asked > 0);
    // The second time it is known at once, and nobody is asked.
    let request = dial_request(&leg_id(), target());
    let error = world.endpoint.prepare_dial(request).await.unwrap_err();
    assert!(matches!(error, DialError::Unresolvable { .. }), "{error}");
    assert_eq!(dns.times_asked("nowhere.example.com", RecordType::A), asked);
}

#[tokio::test]
async fn naptr_chooses_the_transport_of_a_uri() {
    let dns = Server::start(300).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    dns.naptr(HOST, 10, "SIP+D2T", &format!("_sip._tcp.{HOST}"));
    dns.naptr(HOST, 20, "SIP+D2U", &format!("_sip._udp.{HOST}"));
    dns.srv(&format!("_sip._tcp.{HOST}"), 1, 1, port, "edge.example.com");
    dns.address("edge.example.com", "127.0.0.1");
    let mut world = World::with(settings(&dns, SipTransport::Udp, "127.0.0.1")).await;
    world.dial(DialTarget::Uri(format!("sip:x@{HOST}"))).await;
    let (stream, _) = listener.accept().await.unwrap();
    let invite = Stream::new(stream).expect(|m| m.method() == "INVITE").await;
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP "));
}

#[tokio::test]
async fn a_dial_is_given_up_while_dns_is_silent() {
    // A name server that never answers.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = Server::start(300).await;
    let mut settings = settings(&dns, SipTransport::Udp, "127.0.0.1");
    settings.dns.servers = vec![silent.local_addr().unwrap()];
    let mut world = World::with(settings).await;
    let leg = world.dial(DialTarget::Uri(format!("sip:x@{HOST}"))).await;
    let mut question = [0; 512];
    silent.recv_from(&mut question).await.unwrap();
    world.endpoint.cancel(&leg).unwrap();
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Failed {
            cause: HangupCause::Canceled,
            ..
        }
    ));
}

#[tokio::test]
async fn a_restart_finds_an_invite_that_moved_on() {
    let dns = Server::start(300).await;
    let (first, mut second) = (peer().await, peer().await);
    let service = format!("_sip._udp.{HOST}");
    for (n, peer) in (1u16..).zip([&first, &second]) {
        dns.srv(&service, n, 1, peer.addr().port(), "edge.example.com");
    }
    dns.address("edge.example.com", "127.0.0.1");
    let settings = settings(&dns, SipTransport::Udp, HOST);
    let world = World::with(settings.clone()).await;
    until_asked(&dns, RecordType::SRV, &service).await;
    second.to = world.udp;
    let leg = leg_id();
    // What was stored before the first INVITE left is all that the next process has.
    let record = loop {
        let request = dial_request(&leg, number());
        let (record, prepared) = world.endpoint.prepare_dial(request).await.unwrap();
        if record.peer == first.addr() {
            prepared.send();
            break record;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(record.alternatives, [second.addr()]);
    let invite = second.request("INVITE").await;
    world.endpoint.shutdown();
    let mut later = World::with(settings).await;
    later.endpoint.end_orphan(&record).unwrap();
    // A trunk may have been asked once more (401, 422): that attempt is cancelled as well.
    let cancel = loop {
        let cancel = second.request("CANCEL").await;
        second.to = cancel.from;
        if cancel.branch() == invite.branch() {
            break cancel;
        }
        second
            .reply(&cancel, "481 Call/Transaction Does Not Exist", "")
            .await;
    };
    second.reply(&cancel, "200 OK", "").await;
    second.reply(&invite, "487 Request Terminated", "").await;
    second.request("ACK").await;
    let event = later.event().await;
    assert!(
        matches!(
            event,
            SipEvent::OrphanEnded {
                outcome: OrphanOutcome::Canceled,
                ..
            }
        ),
        "{event:?}"
    );
}
