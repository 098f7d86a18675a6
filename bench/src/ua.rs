//! Two phones that only signal: one calls, the other answers, and the load generator's sockets are
//! their audio. One call is set up after the other, so it is plain which two legs belong together.

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use switchhook_lab::audio::g711::Law;
use switchhook_lab::phone::MediaDirection;
use switchhook_lab::phone::digest::Challenge;
use switchhook_lab::phone::message::{SipMessage, uri_of};
use switchhook_lab::phone::sdp::{self, MediaDescription};

use crate::search::v4;

/// A call that is not set up by then has failed.
const SET_UP_WITHIN: Duration = Duration::from_secs(10);
/// T1 of RFC 3261 §17.1.1.1.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
const LOOK_FOR: Duration = Duration::from_millis(1);

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Where the tested side wants the caller's and the called party's audio.
    Bridged {
        caller: SocketAddrV4,
        called: SocketAddrV4,
    },
    Refused(u16),
}

/// Both phones.
pub struct Phones {
    caller: UdpSocket,
    called: UdpSocket,
    server: SocketAddr,
    calls: u32,
    /// The called phone's answers by Call-ID, for repeated requests.
    answers: HashMap<String, Vec<u8>>,
}

impl Phones {
    pub fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let bind = || -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(LOOK_FOR))?;
            Ok(socket)
        };
        Ok(Self {
            caller: bind()?,
            called: bind()?,
            server,
            calls: 0,
            answers: HashMap::new(),
        })
    }

    /// Where the called phone listens.
    pub fn called_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.called.local_addr()?)
    }

    /// Whether the server answers OPTIONS now, with whatever.
    pub fn is_answered(&self) -> bool {
        let Ok(options) = self.request(&self.caller, "OPTIONS", "ready", "ready", 1) else {
            return false;
        };
        let sent = self.caller.send_to(&options.to_bytes(), self.server);
        let deadline = Instant::now() + Duration::from_millis(200);
        while sent.is_ok() && Instant::now() < deadline {
            if receive(&self.caller).is_some() {
                return true;
            }
        }
        false
    }

    /// Registers the called phone.
    pub fn register(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let uri = format!("sip:{}", self.server);
        let contact = format!("<sip:{user}@{}>", self.called_address()?);
        let address = format!("<sip:{user}@{}>", self.server.ip());
        let mut authorization = None;
        for cseq in 1..=2 {
            let mut register = self.request(&self.called, "REGISTER", user, "register", cseq)?;
            register.start = SipMessage::request("REGISTER", &uri).start;
            register.set("From", format!("{address};tag=register"));
            register.set("To", address.clone());
            register.set("Contact", contact.clone());
            register.set("Expires", "600");
            if let Some(value) = authorization.take() {
                register.set("Authorization", value);
            }
            let response = self.transact(&register)?;
            match response.status() {
                Some(200) => return Ok(()),
                Some(401) => {
                    let challenge = Challenge::parse(response.header("WWW-Authenticate"))
                        .context("REGISTER: a challenge that is no digest")?;
                    let value = challenge.answer(user, password, "REGISTER", &uri, 1, "bench");
                    authorization = Some(value);
                }
                status => bail!("REGISTER was answered {status:?}"),
            }
        }
        bail!("REGISTER: the password of {user} was refused")
    }

    fn transact(&self, request: &SipMessage) -> anyhow::Result<SipMessage> {
        let deadline = Instant::now() + SET_UP_WITHIN;
        let mut repeat = Instant::now();
        while Instant::now() < deadline {
            if Instant::now() >= repeat {
                self.called.send_to(&request.to_bytes(), self.server)?;
                repeat += REPEAT_AFTER;
            }
            let response = receive(&self.called).map(|(message, _)| message);
            if let Some(response) = response
                && response.branch() == request.branch()
                && response.status().is_some_and(|status| status >= 200)
            {
                return Ok(response);
            }
        }
        bail!("{} was not answered", request.method())
    }

    /// Calls `to`; the parties' audio comes from and goes to these addresses.
    pub fn place(
        &mut self,
        to: &str,
        caller_audio: SocketAddr,
        called_audio: SocketAddr,
    ) -> anyhow::Result<Placed> {
        self.calls += 1;
        let id = format!("bench-{}-{}", self.caller.local_addr()?.port(), self.calls);
        let invite = self
            .request(&self.caller, "INVITE", to, &id, 1)?
            .with_body("application/sdp", offer(caller_audio));
        let deadline = Instant::now() + SET_UP_WITHIN;
        let mut repeat = Some(Instant::now());
        let (mut caller, mut called) = (None, None);
        while Instant::now() < deadline {
            if repeat.is_some_and(|at| Instant::now() >= at) {
                self.caller.send_to(&invite.to_bytes(), self.server)?;
                repeat = Some(Instant::now() + REPEAT_AFTER);
            }
            if let Some((message, from)) = receive(&self.called)
                && let Some(audio) = self.answer(&message, from, called_audio)?
            {
                called = Some(audio);
            }
            if let Some((message, _)) = receive(&self.caller) {
                let status = message.status().unwrap_or(0);
                if message.call_id() == id && status > 0 {
                    repeat = None;
                    if status >= 200 {
                        self.acknowledge(&invite, &message, status)?;
                    }
                    match status {
                        0..200 => {}
                        200..300 => caller = Some(audio_of(&message)?),
                        300.. => return Ok(Placed::Refused(status)),
                    }
                }
            }
            if let (Some(caller), Some(called)) = (caller, called) {
                return Ok(Placed::Bridged { caller, called });
            }
        }
        bail!(
            "call {} to {to} was not set up in {} s: {}",
            self.calls,
            SET_UP_WITHIN.as_secs(),
            match (caller, called) {
                (None, None) => "nobody was called and nothing answered",
                (None, Some(_)) => "the called phone answered, the caller was not told",
                (Some(_), _) => "answered without calling anybody",
            }
        )
    }

    /// The called phone's side; returns where its audio is to go when a new call came.
    fn answer(
        &mut self,
        request: &SipMessage,
        from: SocketAddr,
        audio: SocketAddr,
    ) -> anyhow::Result<Option<SocketAddrV4>> {
        if request.status().is_some() || request.method() == "ACK" {
            return Ok(None);
        }
        let is_invite = request.method() == "INVITE";
        if is_invite && let Some(answer) = self.answers.get(request.call_id()) {
            self.called.send_to(answer, from)?;
            return Ok(None);
        }
        let contact = format!("<sip:called@{}>", self.called_address()?);
        let mut response =
            SipMessage::response_to(request, 200, "OK", "called").with("Contact", contact);
        if is_invite {
            response = response.with_body("application/sdp", offer(audio));
            let id = request.call_id().to_owned();
            self.answers.insert(id, response.to_bytes());
        }
        self.called.send_to(&response.to_bytes(), from)?;
        is_invite.then(|| audio_of(request)).transpose()
    }

    fn acknowledge(
        &self,
        invite: &SipMessage,
        response: &SipMessage,
        status: u16,
    ) -> anyhow::Result<()> {
        let SipMessage { headers, .. } = invite;
        let uri = if status < 300 {
            uri_of(response.header("Contact"))
        } else {
            format!("sip:{}", self.server)
        };
        let mut ack = SipMessage::request("ACK", &uri);
        for (name, value) in headers {
            match name.as_str() {
                // An answered call's ACK is a transaction of its own (RFC 3261 §13.2.2.4).
                "Via" if status < 300 => ack = ack.with("Via", format!("{value}-ack")),
                "To" => ack = ack.with("To", response.header("To")),
                "CSeq" => ack = ack.with("CSeq", "1 ACK"),
                "Via" | "From" | "Call-ID" | "Max-Forwards" => ack = ack.with(name, value.clone()),
                _ => {}
            }
        }
        self.caller.send_to(&ack.to_bytes(), self.server)?;
        Ok(())
    }

    fn request(
        &self,
        socket: &UdpSocket,
        method: &str,
        to: &str,
        call_id: &str,
        cseq: u32,
    ) -> anyhow::Result<SipMessage> {
        let local = socket.local_addr()?;
        let uri = format!("sip:{to}@{}", self.server);
        let branch = format!("z9hG4bK{call_id}-{method}-{cseq}");
        Ok(SipMessage::request(method, &uri)
            .with("Via", format!("SIP/2.0/UDP {local};branch={branch}"))
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:bench@{local}>;tag={call_id}"))
            .with("To", format!("<{uri}>"))
            .with("Call-ID", call_id)
            .with("CSeq", format!("{cseq} {method}"))
            .with("Contact", format!("<sip:bench@{local}>")))
    }
}

fn receive(socket: &UdpSocket) -> Option<(SipMessage, SocketAddr)> {
    let mut buffer = [0; 8_192];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    let message = SipMessage::parse(&buffer[..length]).ok()?;
    Some((message, from))
}

fn offer(audio: SocketAddr) -> String {
    sdp::write(
        audio,
        &sdp::offered(&[Law::Mu.into()]),
        None,
        MediaDirection::SendRecv,
        1,
    )
}

fn audio_of(message: &SipMessage) -> anyhow::Result<SocketAddrV4> {
    let text = message.body_text();
    let described = MediaDescription::parse(&text).map_err(|error| anyhow::anyhow!(error))?;
    v4(described.addr.context("an SDP without an IPv4 address")?)
}
