//! An endpoint under test and a peer that says exactly what a test wants, over a raw socket.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part; tests may unwrap"
)]

pub mod certs;
pub mod dns;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchhook_model::{Extension, LegId};
use switchhook_sip::{
    AccountSecret, DialFrom, DialRequest, DialTarget, DialogRecord, ExtensionAccount, IncomingCall,
    SipConfig, SipEndpoint, SipEvent, SipLegEvent,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Nothing here takes this long; it is the deadline of every wait.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                       m=audio 40000 RTP/AVP 0\r\n";

static NEXT: AtomicU32 = AtomicU32::new(1);

pub fn unique() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn leg_id() -> LegId {
    LegId::from_unique(&format!("t{}", unique()))
}

pub fn extension(text: &str) -> Extension {
    text.parse().unwrap()
}

/// Two extensions, guests allowed, a free port, and timers ten times as fast.
pub fn config() -> SipConfig {
    let mut config = SipConfig::new("127.0.0.1:0".parse().unwrap(), Arc::new(leg_id));
    for number in ["2001", "2005"] {
        config.extensions.push(ExtensionAccount {
            extension: extension(number),
            secret: AccountSecret::Password(format!("demo-{number}")),
        });
    }
    config.allow_loopback_guests = true;
    config.timers.t1 = Duration::from_millis(50);
    config
}

pub struct World {
    pub endpoint: SipEndpoint,
    pub events: mpsc::Receiver<SipEvent>,
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    /// Wire messages seen while waiting for something else.
    pub wire: Vec<switchhook_sip::WireMessage>,
    /// Records by leg, as a store would keep them.
    pub records: std::collections::HashMap<LegId, DialogRecord>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: SipConfig) -> Self {
        let (endpoint, events) = SipEndpoint::start(config).await.unwrap();
        let (udp, tcp) = endpoint.local_addrs();
        Self {
            endpoint,
            events,
            udp: udp.first().copied().unwrap_or_else(|| tcp[0]),
            tcp: tcp.first().copied().unwrap_or_else(|| udp[0]),
            wire: Vec::new(),
            records: Default::default(),
        }
    }

    /// The next event that is neither a wire message nor a record.
    pub async fn event(&mut self) -> SipEvent {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let event = tokio::time::timeout_at(deadline, self.events.recv())
                .await
                .expect("an event in time")
                .expect("the endpoint runs");
            match event {
                SipEvent::WireMessage(message) => self.wire.push(*message),
                SipEvent::Leg {
                    leg,
                    event: SipLegEvent::Record(record),
                } => {
                    self.records.insert(leg, *record);
                }
                event => return event,
            }
        }
    }

    pub async fn incoming(&mut self) -> IncomingCall {
        match self.event().await {
            SipEvent::Incoming(call) => {
                self.records.insert(call.leg.clone(), call.record.clone());
                *call
            }
            other => panic!("expected an incoming call, got {other:?}"),
        }
    }

    pub async fn leg_event(&mut self, leg: &LegId) -> SipLegEvent {
        match self.event().await {
            SipEvent::Leg { leg: of, event } if of == *leg => event,
            other => panic!("expected an event of {leg}, got {other:?}"),
        }
    }

    /// Waits until a wire message fits.
    pub async fn until_wire(&mut self, fits: impl Fn(&switchhook_sip::WireMessage) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !self.wire.iter().any(&fits) {
            let event = tokio::time::timeout_at(deadline, self.events.recv())
                .await
                .expect("a wire message in time")
                .expect("the endpoint runs");
            if let SipEvent::WireMessage(message) = event {
                self.wire.push(*message);
            }
        }
    }

    pub async fn dial(&mut self, target: DialTarget) -> LegId {
        let leg = leg_id();
        let record = self
            .endpoint
            .dial(dial_request(&leg, target))
            .await
            .unwrap();
        self.records.insert(leg.clone(), record);
        leg
    }
}

pub fn dial_request(leg: &LegId, target: DialTarget) -> DialRequest {
    DialRequest {
        leg: leg.clone(),
        target,
        from: DialFrom {
            user: Some("assistant".to_owned()),
            display: Some("Assistant".to_owned()),
        },
        sdp_offer: SDP.to_owned(),
        timeout: DEADLINE * 3,
        headers: Vec::new(),
    }
}

/// A message as text with a few ways to look at it.
#[derive(Debug, Clone)]
pub struct Message {
    pub text: String,
    pub from: SocketAddr,
}

impl Message {
    pub fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or("")
    }

    pub fn status(&self) -> Option<u16> {
        let rest = self.text.strip_prefix("SIP/2.0 ")?;
        rest[..3].parse().ok()
    }

    pub fn method(&self) -> &str {
        self.start_line().split(' ').next().unwrap_or("")
    }

    /// First header of that name.
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or("")
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or("");
        head.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub fn tag(&self, name: &str) -> &str {
        let value = self.header(name);
        value.split_once("tag=").map_or("", |(_, tag)| tag)
    }

    pub fn branch(&self) -> &str {
        let via = self.header("Via");
        let (_, rest) = via.split_once("branch=").expect("a branch");
        rest.split(';').next().unwrap_or("")
    }

    pub fn cseq(&self) -> u32 {
        let (number, _) = self.header("CSeq").split_once(' ').expect("a CSeq");
        number.parse().unwrap()
    }

    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }
}

/// A UDP peer.
pub struct Peer {
    pub socket: UdpSocket,
    pub to: SocketAddr,
    pub call_id: String,
    pub tag: String,
}

impl Peer {
    pub async fn new(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self {
            socket,
            to,
            call_id: format!("call-{}-{}", std::process::id(), unique()),
            tag: format!("tag{}", unique()),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub async fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.to).await.unwrap();
    }

    pub async fn recv(&self) -> Message {
        self.recv_within(DEADLINE).await.expect("a message in time")
    }

    pub async fn recv_within(&self, wait: Duration) -> Option<Message> {
        let mut buffer = vec![0; 65_536];
        let (length, from) = tokio::time::timeout(wait, self.socket.recv_from(&mut buffer))
            .await
            .ok()?
            .unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        Some(Message { text, from })
    }

    /// The next request of that method; repetitions of others are skipped.
    pub async fn request(&self, method: &str) -> Message {
        loop {
            let message = self.recv().await;
            if message.method() == method {
                return message;
            }
        }
    }

    /// The next final response to `method`, or one of that status when given.
    pub async fn response(&self, method: &str, status: u16) -> Message {
        loop {
            let message = self.recv().await;
            if let Some(got) = message.status()
                && message.header("CSeq").ends_with(method)
            {
                if got == status {
                    return message;
                }
                assert!(got < 200, "wanted {status}: {}", message.text);
            }
        }
    }

    /// A request of this peer outside a dialog, or inside with `to_tag`.
    pub fn compose(
        &self,
        method: &str,
        uri: &str,
        cseq: u32,
        to_tag: &str,
        more: &str,
        body: &str,
    ) -> String {
        let addr = self.addr();
        let to_tag = if to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let user = uri.split('@').next().unwrap_or("sip:x");
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};branch=z9hG4bK{}{cseq}{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: \"Caller\" <sip:caller@{addr}>;tag={}\r\nTo: <{user}@{}>{to_tag}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@{addr}>\r\n{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.tag,
            self.tag,
            self.to,
            self.call_id,
            body.len(),
        )
    }

    /// An answer to a request we received.
    pub fn answer(&self, request: &Message, status: &str, more: &str, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for via in request.headers("Via") {
            text.push_str(&format!("Via: {via}\r\n"));
        }
        let to = request.header("To");
        let to = if to.contains("tag=") || status.starts_with("100") {
            to.to_owned()
        } else {
            format!("{to};tag={}", self.tag)
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        text.push_str(&format!(
            "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:peer@{}>\r\n{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.addr(),
            body.len(),
        ));
        text
    }

    pub async fn reply(&self, request: &Message, status: &str, body: &str) {
        self.send(&self.answer(request, status, "", body)).await;
    }

    /// Calls `sip:user@endpoint` as a guest and waits for 100.
    pub async fn invite(&self, user: &str) -> String {
        let text = self.compose("INVITE", &format!("sip:{user}@{}", self.to), 1, "", "", SDP);
        self.send(&text).await;
        self.response("INVITE", 100).await;
        text
    }
}

/// Value of an Authorization header that answers the first challenge of `response`.
pub fn authorization(
    response: &Message,
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
    nc: u32,
) -> String {
    let challenge = response.header("WWW-Authenticate");
    authorization_by(challenge, user, password, method, uri, nc)
}

/// The same for one challenge, with its algorithm.
pub fn authorization_by(
    challenge: &str,
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
    nc: u32,
) -> String {
    use switchhook_sip::digest::{Challenge, DigestInput, digest_response};
    let challenge = Challenge::parse(challenge).unwrap();
    let algorithm = challenge.algorithm;
    let nc = format!("{nc:08x}");
    let digest = digest_response(DigestInput {
        algorithm,
        ha1: &algorithm.hash.ha1(user, &challenge.realm, password),
        method,
        uri,
        nonce: &challenge.nonce,
        counted: Some((&nc, "abc")),
    });
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", \
         response=\"{digest}\", algorithm={algorithm}, qop=auth, nc={nc}, cnonce=\"abc\"\r\n",
        challenge.realm, challenge.nonce
    )
}

impl Peer {
    /// A REGISTER with these further header lines.
    pub fn compose_register(
        &self,
        extension: &str,
        cseq: u32,
        contact: &str,
        more: &str,
    ) -> String {
        let uri = format!("sip:{}", self.to);
        self.compose("REGISTER", &uri, cseq, "", more, "")
            .replace(
                &format!("Contact: <sip:caller@{}>\r\n", self.addr()),
                contact,
            )
            .replace(
                &format!("To: <{uri}@{}>", self.to),
                &format!("To: <sip:{extension}@{}>", self.to),
            )
    }

    /// Registers `extension` at this peer's address; gives the 200.
    pub async fn register(&self, extension: &str, expires: u32) -> Message {
        let contact = format!(
            "Contact: <sip:{extension}@{}>;expires={expires}\r\n",
            self.addr()
        );
        let cseq = 100 + unique() * 2;
        self.send(&self.compose_register(extension, cseq, &contact, ""))
            .await;
        let challenge = self.response("REGISTER", 401).await;
        let uri = format!("sip:{}", self.to);
        let password = format!("demo-{extension}");
        let auth = authorization(&challenge, extension, &password, "REGISTER", &uri, 1);
        self.send(&self.compose_register(extension, cseq + 1, &contact, &auth))
            .await;
        self.response("REGISTER", 200).await
    }
}

/// A TCP or TLS peer, either end of the connection.
pub struct Stream<S = tokio::net::TcpStream> {
    pub stream: S,
    from: SocketAddr,
    buffer: Vec<u8>,
}

impl Stream {
    pub async fn connect(to: SocketAddr) -> Self {
        Self::new(tokio::net::TcpStream::connect(to).await.unwrap())
    }

    pub fn new(stream: tokio::net::TcpStream) -> Self {
        let from = stream.peer_addr().unwrap();
        Self::over(stream, from)
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Stream<S> {
    pub fn over(stream: S, from: SocketAddr) -> Self {
        Self {
            stream,
            from,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, text: &str) {
        use tokio::io::AsyncWriteExt as _;
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next message; `None` when the connection was closed.
    pub async fn recv(&mut self) -> Option<Message> {
        use tokio::io::AsyncReadExt as _;
        let from = self.from;
        loop {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            if let Some(end) = text.find("\r\n\r\n") {
                let message = Message {
                    text: text.clone(),
                    from,
                };
                let length: usize = message.header("Content-Length").parse().unwrap();
                let total = end + 4 + length;
                if self.buffer.len() >= total {
                    self.buffer.drain(..total);
                    let text = text[..total].to_owned();
                    return Some(Message { text, from });
                }
            }
            let read = self.stream.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(DEADLINE, read)
                .await
                .expect("a message in time");
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn expect(&mut self, fits: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.recv().await.expect("the connection stays");
            if fits(&message) {
                return message;
            }
        }
    }
}
