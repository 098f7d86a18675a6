//! SIP over WebSocket, as the HTTP server hands it in; and Path.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::net::SocketAddr;

use common::{DEADLINE, Message, Peer, SDP, World, authorization, config, extension, unique};
use switchhook_model::HangupCause;
use switchhook_sip::{
    DialTarget, SipEvent, SipLegEvent, SipTransport, UnregisterReason, WebConnection,
    WebMessageError,
};

/// A page in a browser.
struct Page {
    connection: WebConnection,
    remote: SocketAddr,
    call_id: String,
}

impl Page {
    async fn open(world: &World, port: u16) -> Self {
        let remote = SocketAddr::from(([127, 0, 0, 1], port));
        let connection = world.endpoint.attach_web(remote, true).await.unwrap();
        Self {
            connection,
            remote,
            call_id: format!("page-{}", unique()),
        }
    }

    async fn send(&self, text: &str) {
        self.connection.message(text.as_bytes()).await.unwrap();
    }

    async fn recv(&mut self) -> Message {
        let bytes = tokio::time::timeout(DEADLINE, self.connection.next())
            .await
            .expect("a message in time")
            .expect("the connection stays");
        Message {
            text: String::from_utf8(bytes).unwrap(),
            from: self.remote,
        }
    }

    async fn expect(&mut self, fits: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.recv().await;
            if fits(&message) {
                return message;
            }
        }
    }

    fn compose(&self, method: &str, cseq: u32, more: &str, body: &str) -> String {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} sip:gw.example.com SIP/2.0\r\n\
             Via: SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK{}{cseq}{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:2001@gw.example.com>;tag=page\r\n\
             To: <sip:2001@gw.example.com>\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:k3v9@df7jal23ls0d.invalid;transport=ws>;+sip.instance=\"<urn:uuid:7>\"\r\n\
             Supported: path, outbound\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            self.call_id,
            self.call_id,
            body.len()
        )
    }

    async fn register(&mut self) -> Message {
        self.send(&self.compose("REGISTER", 1, "Expires: 300\r\n", ""))
            .await;
        let challenge = self.expect(|m| m.status() == Some(401)).await;
        let uri = "sip:gw.example.com";
        let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", uri, 1);
        let again = self.compose("REGISTER", 2, &format!("Expires: 300\r\n{auth}"), "");
        self.send(&again).await;
        self.expect(|m| m.status() == Some(200)).await
    }

    async fn reply(&self, request: &Message, status: &str, body: &str) {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        self.send(&format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=page2\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:k3v9@df7jal23ls0d.invalid;transport=ws>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            request.header("Via"),
            request.header("From"),
            request.header("To").split(";tag=").next().unwrap(),
            request.header("Call-ID"),
            request.header("CSeq"),
            body.len()
        ))
        .await;
    }
}

#[tokio::test]
async fn a_browser_registers_is_called_and_leaves() {
    let mut world = World::start().await;
    let mut page = Page::open(&world, 40_001).await;
    page.register().await;
    let SipEvent::Registered { bindings, .. } = world.event().await else {
        panic!("registered");
    };
    assert_eq!(bindings[0].transport, SipTransport::Wss);
    // The page is loaded again: one instance, one binding.
    let mut page2 = Page::open(&world, 40_002).await;
    page2.register().await;
    let SipEvent::Registered { bindings, .. } = world.event().await else {
        panic!("registered");
    };
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0].source, page2.remote);
    drop(page);

    let leg = world.dial(DialTarget::Extension(extension("2001"))).await;
    let invite = page2.expect(|m| m.method() == "INVITE").await;
    assert!(invite.header("Via").starts_with("SIP/2.0/WSS "));
    assert!(
        invite
            .start_line()
            .contains("sip:k3v9@df7jal23ls0d.invalid;transport=ws")
    );
    assert!(invite.header("Contact").contains("transport=ws"));
    page2.reply(&invite, "200 OK", SDP).await;
    page2.expect(|m| m.method() == "ACK").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Answered { .. }
    ));
    world.endpoint.hangup(&leg, HangupCause::Normal).unwrap();
    let bye = page2.expect(|m| m.method() == "BYE").await;
    page2.reply(&bye, "200 OK", "").await;
    assert!(matches!(
        world.leg_event(&leg).await,
        SipLegEvent::Ended { .. }
    ));
    drop(page2);
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
async fn a_page_on_this_machine_is_no_guest() {
    let mut settings = config();
    let mut trunk = switchhook_sip::TrunkConfig::new("local");
    trunk.addresses = vec!["127.0.0.1".parse().unwrap()];
    settings.trunks.push(trunk);
    let world = World::with(settings).await;
    let mut page = Page::open(&world, 40_003).await;
    let invite = page
        .compose("INVITE", 1, "", SDP)
        .replace("<sip:2001@", "<sip:stranger@");
    page.send(&invite).await;
    let answer = page.expect(|m| m.status() != Some(100)).await;
    assert_eq!(answer.status(), Some(401), "{}", answer.text);
}

#[tokio::test]
async fn a_caller_in_a_browser_is_answered_over_its_socket() {
    let mut world = World::start().await;
    let mut page = Page::open(&world, 40_004).await;
    page.send(&page.compose("INVITE", 1, "", SDP)).await;
    let challenge = page.expect(|m| m.status() == Some(401)).await;
    let ack = page.compose("ACK", 1, "", "").replace("1ACK", "1INVITE");
    page.send(&ack.replace(
        "To: <sip:2001@gw.example.com>",
        &format!("To: {}", challenge.header("To")),
    ))
    .await;
    let uri = "sip:gw.example.com";
    let auth = authorization(&challenge, "2001", "demo-2001", "INVITE", uri, 1);
    page.send(&page.compose("INVITE", 2, &auth, SDP)).await;
    let call = world.incoming().await;
    assert_eq!(call.peer, page.remote);
    call.handle.answer(SDP.to_owned()).unwrap();
    let answer = page.expect(|m| m.status() == Some(200)).await;
    let ack = page.compose("ACK", 2, "", "").replace(
        "To: <sip:2001@gw.example.com>",
        &format!("To: {}", answer.header("To")),
    );
    page.send(&ack).await;
    assert!(matches!(
        world.leg_event(&call.leg).await,
        SipLegEvent::Confirmed { .. }
    ));
    world
        .endpoint
        .hangup(&call.leg, HangupCause::Normal)
        .unwrap();
    page.expect(|m| m.method() == "BYE").await;
}

#[tokio::test]
async fn floods_and_junk_end_only_their_own_socket() {
    let world = World::start().await;
    let mut page = Page::open(&world, 40_005).await;
    page.send("\r\n\r\n").await;
    assert_eq!(page.recv().await.text, "\r\n", "a keep-alive is answered");
    for junk in [
        "junk",
        "SIP/2.0 200 OK\r\n\r\n",
        "INVITE sip:x SIP/2.0\r\n\r\n",
        "\0",
    ] {
        page.send(junk).await;
    }
    let mut last = Ok(());
    for _ in 0..1_000 {
        last = page.connection.message(b"OPTIONS").await;
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last, Err(WebMessageError::TooMany));
    let mut other = Page::open(&world, 40_006).await;
    other.send(&other.compose("OPTIONS", 1, "", "")).await;
    other.expect(|m| m.status() == Some(200)).await;
}

#[tokio::test]
async fn a_phone_behind_a_proxy_is_reached_through_it() {
    let mut world = World::start().await;
    let proxy = Peer::new(world.udp).await;
    let uri = format!("sip:{}", world.udp);
    let contact = "Contact: <sip:2001@192.0.2.77:5060>;expires=600\r\n";
    let path = format!(
        "Path: <sip:{};lr>,<sip:edge.example.com;lr>\r\nRequire: path\r\n",
        proxy.addr()
    );
    proxy
        .send(&proxy.compose_register("2001", 1, contact, &path))
        .await;
    let challenge = proxy.response("REGISTER", 401).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    let more = format!("{path}{auth}");
    proxy
        .send(&proxy.compose_register("2001", 2, contact, &more))
        .await;
    let accepted = proxy.response("REGISTER", 200).await;
    assert_eq!(accepted.headers("Path").len(), 2, "{}", accepted.text);
    world.event().await;
    world.dial(DialTarget::Extension(extension("2001"))).await;
    let invite = proxy.request("INVITE").await;
    assert!(invite.start_line().contains("sip:2001@192.0.2.77:5060"));
    assert_eq!(
        invite.headers("Route"),
        [
            format!("<sip:{};lr>", proxy.addr()).as_str(),
            "<sip:edge.example.com;lr>"
        ]
    );
    // A Path that is no address is refused.
    let bad = Peer::new(world.udp).await;
    let path = "Path: <http://x>\r\n";
    bad.send(&bad.compose_register("2001", 1, contact, path))
        .await;
    let challenge = bad.response("REGISTER", 401).await;
    let auth = authorization(&challenge, "2001", "demo-2001", "REGISTER", &uri, 1);
    let more = format!("{path}{auth}");
    bad.send(&bad.compose_register("2001", 2, contact, &more))
        .await;
    bad.response("REGISTER", 400).await;
}
