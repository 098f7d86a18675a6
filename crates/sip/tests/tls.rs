//! SIP over TLS: phones that connect to us, carriers we connect to, certificates that are wrong.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::certs::{Ca, Wanted, acceptor, connect};
use common::{Message, Peer, SDP, Stream, World, authorization, config, extension};
use switchhook_model::HangupCause;
use switchhook_sip::{
    DialTarget, SipConfig, SipEndpoint, SipEvent, SipLegEvent, SipStartError, SipTransport,
    TlsError, TlsIdentity, TrunkConfig, TrunkId, UnregisterReason,
};
use tokio::net::{TcpListener, TcpStream};

fn settings(ca: &Ca) -> SipConfig {
    let mut settings = config();
    settings.tls.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.tls.server = Some(ca.good("gateway", "gw.example.com"));
    settings.tls.ca_file = Some(ca.file());
    settings.tls.system_roots = false;
    settings
}

type Phone = Stream<tokio_rustls::client::TlsStream<TcpStream>>;

async fn phone(ca: &Ca, world: &World) -> (Phone, SocketAddr) {
    let to = world.endpoint.tls_addrs()[0];
    let stream = connect(ca, to, "gw.example.com").await;
    let local = stream.get_ref().0.local_addr().unwrap();
    (Stream::over(stream, to), local)
}

/// A request of a phone that sits at `local`.
fn compose(local: SocketAddr, to: SocketAddr, method: &str, cseq: u32, more: &str) -> String {
    let peer = format!("{local}");
    format!(
        "{method} sip:{to} SIP/2.0\r\nVia: SIP/2.0/TLS {peer};branch=z9hG4bK{cseq}{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:2001@{to}>;tag=phone\r\nTo: <sip:2001@{to}>\r\n\
         Call-ID: tls-{local}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:2001@{peer};transport=tls>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

async fn register(phone: &mut Phone, local: SocketAddr, to: SocketAddr) -> Message {
    phone
        .send(&compose(local, to, "REGISTER", 1, "Expires: 600\r\n"))
        .await;
    let challenge = phone.expect(|m| m.status() == Some(401)).await;
    let auth = authorization(
        &challenge,
        "2001",
        "demo-2001",
        "REGISTER",
        &format!("sip:{to}"),
        1,
    );
    phone
        .send(&compose(
            local,
            to,
            "REGISTER",
            2,
            &format!("Expires: 600\r\n{auth}"),
        ))
        .await;
    phone.expect(|m| m.status() == Some(200)).await
}

fn reply(request: &Message, status: &str, local: SocketAddr, body: &str) -> String {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=callee\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:2001@{local};transport=tls>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        request.header("Via"),
        request.header("From"),
        request.header("To").split(";tag=").next().unwrap(),
        request.header("Call-ID"),
        request.header("CSeq"),
        body.len(),
    )
}

#[tokio::test]
async fn a_phone_is_called_back_over_its_connection() {
    let ca = Ca::new();
    let mut world = World::with(settings(&ca)).await;
    let to = world.endpoint.tls_addrs()[0];
    let (mut phone, local) = phone(&ca, &world).await;
    register(&mut phone, local, to).await;
    let SipEvent::Registered { bindings, .. } = world.event().await else {
        panic!("registered");
    };
    assert_eq!(
        (bindings[0].transport, bindings[0].source),
        (SipTransport::Tls, local)
    );

    let leg = world.dial(DialTarget::Extension(extension("2001"))).await;
    let invite = phone.expect(|m| m.method() == "INVITE").await;
    assert!(
        invite
            .header("Via")
            .starts_with(&format!("SIP/2.0/TLS {to};"))
    );
    assert!(
        invite
            .header("Contact")
            .contains(&format!("{to};transport=tls"))
    );
    phone.send(&reply(&invite, "200 OK", local, SDP)).await;
    phone.expect(|m| m.method() == "ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let bye = phone.expect(|m| m.method() == "BYE").await;
    phone.send(&reply(&bye, "200 OK", local, "")).await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended { .. }
    ));

    // With the connection the way to the phone is gone, and so is the binding.
    drop(phone);
    let gone = world.event().await;
    assert!(
        matches!(
            gone,
            SipEvent::Unregistered {
                reason: UnregisterReason::Disconnected,
                ref bindings,
                ..
            } if bindings.is_empty()
        ),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_caller_is_answered_and_ended_over_its_connection() {
    let ca = Ca::new();
    let mut world = World::with(settings(&ca)).await;
    let to = world.endpoint.tls_addrs()[0];
    let (mut phone, local) = phone(&ca, &world).await;
    let invite = compose(local, to, "INVITE", 1, "")
        .replace("sip:2001@", "sip:guest@")
        .replace(
            "Content-Length: 0\r\n\r\n",
            &format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
                SDP.len()
            ),
        );
    phone.send(&invite).await;
    let call = world.incoming().await;
    call.handle.answer(SDP.to_owned()).unwrap();
    let answer = phone.expect(|m| m.status() == Some(200)).await;
    let ack = compose(local, to, "ACK", 1, "")
        .replace("sip:2001@", "sip:guest@")
        .replace("z9hG4bK1ACK", "z9hG4bKack")
        .replace(
            &format!("To: <sip:guest@{to}>"),
            &format!("To: {}", answer.header("To")),
        );
    phone.send(&ack).await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { .. }
    ));
    // The Contact names a port nobody listens on: only the connection leads there.
    world
        .endpoint
        .hangup(&call.leg, HangupCause::Normal)
        .unwrap();
    phone.expect(|m| m.method() == "BYE").await;
}

/// A carrier at `localhost` that shows `files`.
async fn carrier(files: &TlsIdentity, clients: Option<&Ca>) -> (SocketAddr, Carrier) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (
        address,
        Carrier {
            listener,
            acceptor: acceptor(files, clients),
        },
    )
}

struct Carrier {
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl Carrier {
    async fn accept(&self) -> std::io::Result<Stream<tokio_rustls::server::TlsStream<TcpStream>>> {
        let (stream, from) = self.listener.accept().await?;
        Ok(Stream::over(self.acceptor.accept(stream).await?, from))
    }
}

fn trunk(settings: &mut SipConfig, termination: String) -> DialTarget {
    let mut trunk = TrunkConfig::new("carrier");
    trunk.termination = Some(termination);
    trunk.transport = SipTransport::Tls;
    settings.trunks.push(trunk);
    DialTarget::Trunk {
        trunk: TrunkId::new("carrier"),
        number: "+12025550100".to_owned(),
    }
}

#[tokio::test]
async fn a_trunk_is_verified_by_name_and_its_connection_used_again() {
    let ca = Ca::new();
    let (address, carrier) = carrier(&ca.good("carrier", "localhost"), None).await;
    let mut settings = settings(&ca);
    let target = trunk(&mut settings, format!("localhost:{}", address.port()));
    let mut world = World::with(settings).await;
    world.dial(target.clone()).await;
    let mut connection = carrier.accept().await.unwrap();
    let invite = connection.expect(|m| m.method() == "INVITE").await;
    assert!(
        invite.start_line().contains(&format!(
            "sip:+12025550100@localhost:{};transport=tls",
            address.port()
        )),
        "{}",
        invite.text
    );
    // The second call comes over the same connection.
    world.dial(target).await;
    let second = connection
        .expect(|m| m.method() == "INVITE" && m.header("Call-ID") != invite.header("Call-ID"))
        .await;
    assert!(second.header("Via").starts_with("SIP/2.0/TLS "));
}

#[tokio::test]
async fn certificates_that_are_wrong_are_named() {
    let ca = Ca::new();
    let strangers = Ca::new();
    let expired = Wanted {
        name: "localhost",
        until: 2020,
    };
    let cases = [
        (ca.issue("expired", expired), "expired"),
        (
            ca.good("other", "other.example.com"),
            "is not for localhost",
        ),
        (strangers.good("unknown", "localhost"), "nobody we trust"),
    ];
    for (files, wanted) in cases {
        let (address, carrier) = carrier(&files, None).await;
        let mut settings = settings(&ca);
        let target = trunk(&mut settings, format!("localhost:{}", address.port()));
        let mut world = World::with(settings).await;
        let leg = world.dial(target).await;
        let (event, refused) = tokio::join!(world.leg_event(&leg), carrier.accept());
        assert!(
            refused.is_err(),
            "{wanted}: the handshake does not end well"
        );
        let SipLegEvent::Failed {
            status: None,
            cause: HangupCause::Unreachable,
            reason,
        } = event
        else {
            panic!("{wanted}: {event:?}");
        };
        assert!(reason.contains(wanted), "{reason}");
    }
}

#[tokio::test]
async fn our_certificate_is_shown_to_those_who_ask() {
    let ca = Ca::new();
    let (address, carrier) = carrier(&ca.good("carrier", "localhost"), Some(&ca)).await;
    let mut settings = settings(&ca);
    settings.tls.client = Some(ca.good("client", "gw.example.com"));
    let target = DialTarget::Uri(format!("sips:x@localhost:{}", address.port()));
    let mut world = World::with(settings).await;
    world.dial(target).await;
    let mut connection = carrier.accept().await.unwrap();
    let invite = connection.expect(|m| m.method() == "INVITE").await;
    assert!(invite.start_line().contains(" sips:x@localhost"));
    assert!(
        invite.header("Contact").contains("<sips:"),
        "a sips: request has a sips: Contact: {}",
        invite.text
    );
}

#[tokio::test]
async fn changed_files_are_used_and_broken_ones_are_not() {
    let ca = Ca::new();
    let mut settings = settings(&ca);
    settings.timers.tls_reload_interval = Duration::from_millis(20);
    let files = settings.tls.server.clone().unwrap();
    let world = World::with(settings).await;
    let to = world.endpoint.tls_addrs()[0];
    let shown = async || {
        let stream = connect(&ca, to, "gw.example.com").await;
        let (_, session) = stream.get_ref();
        session.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;
    // A key that does not belong to the certificate: refused by name, the old ones stay.
    let other = ca.good("other", "gw.example.com");
    std::fs::copy(&other.key, &files.key).unwrap();
    let error = world.endpoint.reload_tls().unwrap_err();
    assert!(
        matches!(error, TlsError::Unmatched { ref key, .. } if *key == files.key),
        "{error}"
    );
    assert_eq!(shown().await, first);
    std::fs::copy(&other.certificate, &files.certificate).unwrap();
    let wanted = std::time::Instant::now();
    while shown().await == first {
        assert!(wanted.elapsed() < common::DEADLINE, "never read again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start() {
    let ca = Ca::new();
    let expired = Wanted {
        name: "gw.example.com",
        until: 2020,
    };
    let mut bad = settings(&ca);
    bad.tls.server = Some(ca.issue("old", expired));
    let error = SipEndpoint::start(bad).await.unwrap_err();
    assert!(
        matches!(error, SipStartError::Tls(TlsError::Expired { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("old.pem"), "{error}");
    let mut none = settings(&ca);
    none.tls.server = None;
    let error = SipEndpoint::start(none).await.unwrap_err();
    assert!(matches!(error, SipStartError::NoCertificate), "{error}");
    let mut no_ca = settings(&ca);
    no_ca.tls.ca_file = Some(ca.dir.path().join("none.pem"));
    let error = SipEndpoint::start(no_ca).await.unwrap_err();
    assert!(error.to_string().contains("none.pem"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended() {
    let ca = Ca::new();
    let mut settings = settings(&ca);
    settings.timers.tls_handshake_timeout = Duration::from_millis(100);
    settings.limits.max_tcp_connections_per_ip = 2;
    let world = World::with(settings).await;
    let to = world.endpoint.tls_addrs()[0];
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(to).await.unwrap());
    }
    for stream in &mut silent {
        let mut buffer = [0; 16];
        let read = tokio::io::AsyncReadExt::read(stream, &mut buffer);
        let read = tokio::time::timeout(common::DEADLINE, read).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "closed: {read:?}");
    }
    // Plain text is no handshake either.
    let mut plain = Stream::connect(to).await;
    plain.send("OPTIONS sip:x SIP/2.0\r\n\r\n").await;
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut plain.stream, &mut answer);
    let _ = tokio::time::timeout(common::DEADLINE, read).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("SIP/2.0"));
    // Their places are free again: a phone gets in. Others over UDP never noticed.
    let (mut phone, local) = phone(&ca, &world).await;
    phone.send(&compose(local, to, "OPTIONS", 1, "")).await;
    phone.expect(|m| m.status() == Some(200)).await;
    let peer = Peer::new(world.udp).await;
    peer.send(&peer.compose("OPTIONS", &format!("sip:{}", world.udp), 1, "", "", ""))
        .await;
    peer.response("OPTIONS", 200).await;
}
