//! The phone's loop: one task that owns the sockets, the transactions and the calls.
//!
//! Transactions are as small as a test phone allows: a client transaction is a request with a
//! retransmission timer, a server transaction is the last response to a branch.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::config::{Credentials, OnCall, PhoneConfig};
use super::digest::Challenge;
use super::event::{CallNumber, PhoneEvent};
use super::log::PhoneLog;
use super::message::{SipMessage, StartLine, uri_of};
use super::rtp::Media;
use super::sdp::MediaDirection;
use super::transport::{Inbound, Peer, Sockets, Transport};
use super::{Command, Dial, Faults};

/// T1 of RFC 3261 §17.1.1.1.
pub(super) const T1: Duration = Duration::from_millis(500);
/// T2.
pub(super) const T2: Duration = Duration::from_secs(4);
/// 64 × T1: how long anything is tried.
pub(super) const GIVE_UP: Duration = Duration::from_secs(32);

/// Why a request was sent; decides what its answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite(CallNumber),
    ReInvite(CallNumber),
    Bye(CallNumber),
    Cancel,
    InDialog,
    Register { expires_s: u32 },
    OutOfDialog,
}

/// Branch and method.
pub(super) type Key = (String, String);

pub(super) struct ClientTransaction {
    pub request: SipMessage,
    pub peer: Peer,
    pub purpose: Purpose,
    pub provisional: bool,
    pub auth_tries: u8,
}

#[derive(Debug, Clone)]
pub(super) enum Timer {
    Retransmit {
        key: Key,
        interval: Duration,
    },
    GiveUp {
        key: Key,
    },
    /// A final answer of ours to an INVITE, until its ACK.
    ResendFinal {
        call: CallNumber,
        bytes: Vec<u8>,
        interval: Duration,
        until: Instant,
    },
    Answer {
        call: CallNumber,
    },
    Reject {
        call: CallNumber,
        status: u16,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallState {
    /// Our INVITE is out.
    Calling,
    /// Our CANCEL is out, or will be with the first provisional answer.
    Cancelling,
    /// Their INVITE waits for our answer.
    Incoming,
    /// Answered, not ended.
    Up,
    Over,
}

pub(super) struct Call {
    pub state: CallState,
    pub call_id: String,
    pub local: String,
    pub remote: String,
    pub remote_target: String,
    pub route_set: Vec<String>,
    pub peer: Peer,
    pub cseq: u32,
    /// The INVITE that made the call: ours as sent last, or theirs.
    pub invite: SipMessage,
    pub cancel_sent: bool,
    pub acked: bool,
    pub ack: Option<Vec<u8>>,
    pub media: Arc<Media>,
    pub direction: MediaDirection,
    pub sdp_version: u32,
    pub sdp_override: Option<String>,
    pub credentials: Option<Credentials>,
    pub local_tag: String,
}

pub(super) struct Engine {
    pub config: PhoneConfig,
    pub on_call: OnCall,
    pub faults: Faults,
    pub sockets: Sockets,
    pub log: Arc<PhoneLog>,
    pub calls: Vec<Call>,
    pub client: HashMap<Key, ClientTransaction>,
    /// Our last response per server transaction, to answer retransmissions.
    pub server: HashMap<Key, (Vec<u8>, Peer)>,
    pub acks: HashMap<String, Vec<u8>>,
    pub timers: Vec<(Instant, Timer)>,
    pub nonce_counts: HashMap<String, u32>,
    /// Stands for our address where we have none (RFC 7118 §5).
    pub web_host: String,
    pub register: Option<(String, String, u32)>,
    pub on_call_script: VecDeque<OnCall>,
}

impl Engine {
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Inbound>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        loop {
            let next = self.timers.iter().map(|(at, _)| *at).min();
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.handle_command(command).await,
                    // Every handle is gone: the phone is unplugged.
                    None => return,
                },
                got = inbox.recv() => {
                    let Some((bytes, peer)) = got else { return };
                    self.handle_bytes(&bytes, peer).await;
                }
                () = sleep => self.fire_timers().await,
            }
        }
    }

    async fn handle_command(&mut self, command: Command) {
        match command {
            Command::Register { expires_s } => self.send_register(expires_s).await,
            Command::Dial { dial, reply } => {
                let number = self.dial(*dial).await;
                // The caller may have stopped waiting; the call goes on.
                let _ = reply.send(number);
            }
            Command::Hangup { call } => self.hangup(call).await,
            Command::Ring { call } => self.respond_to_invite(call, 180, "Ringing", false).await,
            Command::Progress { call } => self.progress(call).await,
            Command::Answer { call } => self.answer(call).await,
            Command::Reject { call, status } => self.reject(call, status).await,
            Command::ReInvite { call, direction } => self.reinvite(call, direction).await,
            Command::InfoDigit { call, digit } => self.info_digit(call, digit).await,
            Command::Request {
                call,
                method,
                headers,
                body,
            } => self.request_in_dialog(call, &method, headers, body).await,
            Command::Options { uri } => self.options(&uri).await,
            Command::SetOnCall(on_call) => self.on_call = on_call,
            Command::SetScript(script) => self.on_call_script = script,
            Command::SetFaults(faults) => self.faults = faults,
            Command::SendRaw { bytes, peer } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.log
                    .wire(true, peer.addr, SipMessage::parse(&bytes), text);
                self.transmit(&bytes, peer).await;
            }
        }
    }

    async fn handle_bytes(&mut self, bytes: &[u8], peer: Peer) {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return;
        }
        let parsed = SipMessage::parse(bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.log.wire(false, peer.addr, parsed.clone(), text);
        match parsed {
            Ok(m) if m.status().is_some() => self.handle_response(m).await,
            Ok(m) => self.handle_request(m, peer).await,
            Err(_) => {}
        }
    }

    async fn fire_timers(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        self.timers.retain(|(at, timer)| {
            let fires = *at <= now;
            if fires {
                due.push(timer.clone());
            }
            !fires
        });
        for timer in due {
            match timer {
                Timer::Retransmit { key, interval } => self.retransmit(key, interval).await,
                Timer::GiveUp { key } => self.give_up(&key),
                Timer::ResendFinal {
                    call,
                    bytes,
                    interval,
                    until,
                } => {
                    if !self.calls[call].acked && now < until {
                        let peer = self.calls[call].peer;
                        self.transmit(&bytes, peer).await;
                        let interval = (interval * 2).min(T2);
                        let timer = Timer::ResendFinal {
                            call,
                            bytes,
                            interval,
                            until,
                        };
                        self.timers.push((now + interval, timer));
                    }
                }
                Timer::Answer { call } => self.answer(call).await,
                Timer::Reject { call, status } => self.reject(call, status).await,
            }
        }
    }

    async fn retransmit(&mut self, key: Key, interval: Duration) {
        let Some(tx) = self.client.get(&key) else {
            return;
        };
        let invite = key.1 == "INVITE";
        if invite && tx.provisional {
            return;
        }
        let (bytes, peer) = (tx.request.to_bytes(), tx.peer);
        self.log.wire(
            true,
            peer.addr,
            Ok(tx.request.clone()),
            "(retransmission)".into(),
        );
        self.transmit(&bytes, peer).await;
        let doubled = interval * 2;
        let interval = if invite { doubled } else { doubled.min(T2) };
        self.timers.push((
            Instant::now() + interval,
            Timer::Retransmit { key, interval },
        ));
    }

    fn give_up(&mut self, key: &Key) {
        let Some(tx) = self.client.get(key) else {
            return;
        };
        if tx.provisional && key.1 == "INVITE" {
            // A proceeding INVITE may ring for minutes (Timer B ends with the first 1xx).
            return;
        }
        let tx = self.client.remove(key).expect("it was just there");
        self.conclude(tx.purpose, 408, "No answer to the request");
    }

    /// Ends a request that got a final status (not 2xx to INVITE).
    pub(super) fn conclude(&mut self, purpose: Purpose, status: u16, reason: &str) {
        let event = match purpose {
            Purpose::Invite(call) => {
                self.calls[call].state = CallState::Over;
                self.calls[call].media.stop_sending();
                PhoneEvent::Failed {
                    call,
                    status,
                    reason: reason.to_owned(),
                }
            }
            Purpose::ReInvite(call) => PhoneEvent::ReInviteAnswered { call, status },
            Purpose::Bye(call) => PhoneEvent::Ended {
                call,
                by_remote: false,
                status: Some(status),
            },
            Purpose::Cancel | Purpose::InDialog => return,
            Purpose::Register { expires_s } if status == 200 => {
                PhoneEvent::Registered { expires_s }
            }
            Purpose::Register { .. } => PhoneEvent::RegistrationRefused { status },
            Purpose::OutOfDialog => PhoneEvent::OutOfDialogAnswered {
                method: "OPTIONS".into(),
                status,
            },
        };
        self.log.events.push(event);
    }

    /// Sends a request, repeating it on UDP until it is answered.
    pub(super) async fn send_request(
        &mut self,
        request: SipMessage,
        peer: Peer,
        purpose: Purpose,
        auth_tries: u8,
    ) {
        let key = (request.branch(), request.method().to_owned());
        let bytes = request.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.log.wire(true, peer.addr, Ok(request.clone()), text);
        let tx = ClientTransaction {
            request,
            peer,
            purpose,
            provisional: false,
            auth_tries,
        };
        self.client.insert(key.clone(), tx);
        for _ in 0..=self.faults.duplicate_requests {
            self.transmit(&bytes, peer).await;
        }
        let now = Instant::now();
        if peer.transport == Transport::Udp {
            let timer = Timer::Retransmit {
                key: key.clone(),
                interval: T1,
            };
            self.timers.push((now + T1, timer));
        }
        self.timers.push((now + GIVE_UP, Timer::GiveUp { key }));
    }

    /// Sends a response and remembers it for retransmitted requests.
    pub(super) async fn send_response(
        &mut self,
        request: &SipMessage,
        response: SipMessage,
        peer: Peer,
    ) {
        let bytes = response.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let key = (request.branch(), request.method().to_owned());
        self.server.insert(key, (bytes.clone(), peer));
        self.log.wire(true, peer.addr, Ok(response), text);
        self.transmit(&bytes, peer).await;
    }

    pub(super) async fn transmit(&mut self, bytes: &[u8], peer: Peer) {
        if let Err(e) = self.sockets.send(bytes, peer).await {
            self.log.wire(
                true,
                peer.addr,
                Err(format!("could not be sent: {e}")),
                String::new(),
            );
        }
    }

    pub(super) fn via(&self, peer: Peer) -> String {
        format!(
            "SIP/2.0/{} {};branch=z9hG4bK{};rport",
            peer.transport.as_via(),
            self.host(peer.transport),
            random_token()
        )
    }

    fn host(&self, transport: Transport) -> String {
        if transport.is_web() {
            self.web_host.clone()
        } else {
            self.sockets.local().to_string()
        }
    }

    pub(super) fn contact(&self, transport: Transport) -> String {
        let suffix = match transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Ws | Transport::Wss => ";transport=ws",
        };
        let host = self.host(transport);
        format!("<sip:{}@{host}{suffix}>", self.config.user)
    }

    /// Adds credentials for the challenge in `response`; `None` when there is nothing to add.
    pub(super) fn authorized(
        &mut self,
        request: &SipMessage,
        response: &SipMessage,
        credentials: Option<&Credentials>,
    ) -> Option<SipMessage> {
        let credentials = credentials?;
        let (from, to) = match response.status() {
            Some(401) => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let challenge = response
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(from))
            .find_map(|(_, v)| Challenge::parse(v))?;
        let nc = self
            .nonce_counts
            .entry(challenge.nonce.clone())
            .or_insert(0);
        *nc += 1;
        let StartLine::Request { method, uri } = &request.start else {
            return None;
        };
        let value = challenge.answer(
            &credentials.user,
            &credentials.password,
            method,
            uri,
            *nc,
            &random_token(),
        );
        let mut again = request.clone();
        again.set(to, value);
        Some(again)
    }

    /// Where a URI points; only numeric hosts and `localhost`, a test phone asks no DNS.
    pub(super) fn peer_of(&self, uri: &str) -> Option<Peer> {
        if let Some(addr) = self.config.server
            && self.config.transport.is_web()
        {
            let transport = self.config.transport;
            return Some(Peer { addr, transport });
        }
        let rest = uri_of(uri);
        let rest = rest.strip_prefix("sip:").unwrap_or(&rest);
        let (address, params) = rest.split_once(';').unwrap_or((rest, ""));
        let host = address
            .rsplit('@')
            .next()?
            .replace("localhost", "127.0.0.1");
        let host = host.split('?').next()?;
        let addr: SocketAddr = match host.parse() {
            Ok(addr) => addr,
            Err(_) => SocketAddr::new(host.parse().ok()?, 5060),
        };
        let tcp = params.to_ascii_lowercase().contains("transport=tcp");
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        Some(Peer { addr, transport })
    }

    pub(super) async fn send_register(&mut self, expires_s: u32) {
        let Some(server) = self.config.server else {
            self.log
                .events
                .push(PhoneEvent::RegistrationRefused { status: 503 });
            return;
        };
        let peer = Peer {
            addr: server,
            transport: self.config.transport,
        };
        let (call_id, tag, cseq) = self
            .register
            .get_or_insert_with(|| (random_token(), random_token(), 0));
        *cseq += 1;
        let (call_id, tag, cseq) = (call_id.clone(), tag.clone(), *cseq);
        let aor = format!("sip:{}@{}", self.config.user, self.config.domain);
        let request = SipMessage::request("REGISTER", &format!("sip:{}", self.config.domain))
            .with("Via", self.via(peer))
            .with("Max-Forwards", "70")
            .with("From", format!("<{aor}>;tag={tag}"))
            .with("To", format!("<{aor}>"))
            .with("Call-ID", call_id)
            .with("CSeq", format!("{cseq} REGISTER"))
            .with("Contact", self.contact(peer.transport))
            .with("Expires", expires_s.to_string())
            .with("User-Agent", "switchhook-lab");
        self.send_request(request, peer, Purpose::Register { expires_s }, 0)
            .await;
    }

    async fn options(&mut self, uri: &str) {
        let Some(peer) = self.peer_of(uri) else {
            self.conclude(Purpose::OutOfDialog, 400, "the URI has no numeric host");
            return;
        };
        let request = SipMessage::request("OPTIONS", uri)
            .with("Via", self.via(peer))
            .with("Max-Forwards", "70")
            .with(
                "From",
                format!(
                    "<sip:{}@{}>;tag={}",
                    self.config.user,
                    self.config.domain,
                    random_token()
                ),
            )
            .with("To", format!("<{uri}>"))
            .with("Call-ID", random_token())
            .with("CSeq", "1 OPTIONS")
            .with("Contact", self.contact(peer.transport));
        self.send_request(request, peer, Purpose::OutOfDialog, 0)
            .await;
    }

    async fn dial(&mut self, dial: Dial) -> Result<CallNumber, String> {
        let peer = match self.config.server {
            Some(addr) => Peer {
                addr,
                transport: self.config.transport,
            },
            None => self
                .peer_of(&dial.uri)
                .ok_or_else(|| format!("{}: no numeric host to send to", dial.uri))?,
        };
        self.send_invite(dial, peer).await
    }
}

/// 16 characters nobody else uses.
pub(super) fn random_token() -> String {
    format!("{:016x}", rand::random::<u64>())
}
