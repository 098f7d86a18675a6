//! A scripted SIP phone: real sockets, real RTP, and it does what the test says.
//!
//! It shares no code with the gateway's SIP or media, so that an error there is not repeated
//! here. Each phone is one task on the lab's own runtime (a test that computes spectra does not
//! delay its packets); the handles [`Phone`] and [`PhoneCall`] are cheap to clone. Everything is
//! awaited with a deadline, and an error prints the phone's ladder.
//!
//! ```no_run
//! # use std::time::Duration; use switchhook_lab::phone::*;
//! # async fn f() -> Result<(), PhoneError> {
//! let phone = Phone::start(PhoneConfig::new("2001").server("127.0.0.1:5060".parse().unwrap())
//!     .password("demo-2001")).await?;
//! phone.register().await?;
//! let call = phone.dial("sip:assistant@127.0.0.1").await?;
//! call.wait_answered(Duration::from_secs(5)).await?;
//! call.send_digits("0");
//! call.hangup().await?;
//! # Ok(()) }
//! ```

mod config;
pub mod digest;
mod engine;
mod event;
mod gate;
mod handle;
mod ladder;
mod log;
pub mod message;
mod mouth;
mod rtcp;
mod rtp;
pub mod sdp;
mod srtp;
mod transport;
mod uac;
mod uas;
mod web;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use config::{Credentials, Faults, OnCall, PhoneConfig};
pub use event::{CallNumber, PhoneEvent};
pub use gate::{Admission, Gate};
pub use handle::PhoneCall;
pub use ladder::LadderLine;
pub use log::InviteSeen;
pub use rtcp::{Reception, Reports};
pub use rtp::{Heard, LiveAudio, Playable};
pub use sdp::MediaDirection;
pub use srtp::{Crypto, Srtp, Suite};
pub use transport::{Peer, Transport};
pub use web::WebSettings;

/// Why something asked of a phone did not happen.
#[derive(Error)]
pub enum PhoneError {
    /// The sockets could not be opened.
    #[error("phone {phone}: cannot bind {addr} ({cause}); choose a free port")]
    Bind {
        /// Which phone.
        phone: String,
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// An awaited event did not come.
    #[error("phone {phone}: waited {within:?} in vain for: {what}\nevents: {events}\n{ladder}")]
    Timeout {
        /// Which phone.
        phone: String,
        /// How long.
        within: Duration,
        /// For what.
        what: String,
        /// What happened instead.
        events: String,
        /// What was on the wire.
        ladder: String,
    },
    /// The call ended another way than awaited.
    #[error("phone {phone}: {what}, but got {got:?}\n{ladder}")]
    Other {
        /// Which phone.
        phone: String,
        /// What was awaited.
        what: String,
        /// What came.
        got: PhoneEvent,
        /// What was on the wire.
        ladder: String,
    },
    /// The address cannot be dialled.
    #[error("phone {phone}: {cause}")]
    Dial {
        /// Which phone.
        phone: String,
        /// Why.
        cause: String,
    },
}

/// As [`std::fmt::Display`]: tests unwrap, and a ladder is only readable with its line breaks.
impl std::fmt::Debug for PhoneError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A call to place.
#[derive(Debug, Clone)]
pub struct Dial {
    pub(super) uri: String,
    pub(super) sdp: Option<String>,
    pub(super) from: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) credentials: Option<Credentials>,
}

impl Dial {
    /// To this Request-URI.
    pub fn to(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            sdp: None,
            from: None,
            headers: Vec::new(),
            credentials: None,
        }
    }

    /// Sends this text as the offer, whatever it is.
    #[must_use]
    pub fn sdp(mut self, sdp: &str) -> Self {
        self.sdp = Some(sdp.to_owned());
        self
    }

    /// A From header of one's own, without tag: `"Name" <sip:user@host>`.
    #[must_use]
    pub fn from(mut self, from: &str) -> Self {
        self.from = Some(from.to_owned());
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Credentials for this call instead of the phone's.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        self
    }
}

enum Command {
    Register {
        expires_s: u32,
    },
    Dial {
        dial: Box<Dial>,
        reply: oneshot::Sender<Result<CallNumber, String>>,
    },
    Hangup {
        call: CallNumber,
    },
    Ring {
        call: CallNumber,
    },
    Progress {
        call: CallNumber,
    },
    Answer {
        call: CallNumber,
    },
    Reject {
        call: CallNumber,
        status: u16,
    },
    ReInvite {
        call: CallNumber,
        direction: MediaDirection,
    },
    InfoDigit {
        call: CallNumber,
        digit: char,
    },
    Request {
        call: CallNumber,
        method: String,
        headers: Vec<(String, String)>,
        body: Option<(String, String)>,
    },
    Options {
        uri: String,
    },
    SetOnCall(OnCall),
    SetScript(VecDeque<OnCall>),
    SetFaults(Faults),
    SendRaw {
        bytes: Vec<u8>,
        peer: Peer,
    },
}

/// How long a registration may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(10);

/// A running phone. It is unplugged (nothing is sent any more) when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Phone {
    name: String,
    local: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    log: Arc<log::PhoneLog>,
}

impl Phone {
    /// Binds the sockets and starts the phone.
    pub async fn start(config: PhoneConfig) -> Result<Self, PhoneError> {
        let (name, bind) = (config.user.clone(), config.bind);
        let log = Arc::new(log::PhoneLog::new());
        let (commands, received) = mpsc::unbounded_channel();
        let (ready, bound) = oneshot::channel();
        let engine_log = Arc::clone(&log);
        crate::runtime().spawn(async move {
            match transport::Sockets::bind(bind, config.web.clone()).await {
                Ok((sockets, inbox)) => {
                    // Nobody waiting any more means the phone was dropped; the loop then ends.
                    let _ = ready.send(Ok(sockets.local()));
                    let engine = engine::Engine {
                        on_call: config.on_call.clone(),
                        faults: config.faults,
                        config,
                        sockets,
                        log: engine_log,
                        calls: Vec::new(),
                        client: HashMap::new(),
                        server: HashMap::new(),
                        acks: HashMap::new(),
                        timers: Vec::new(),
                        nonce_counts: HashMap::new(),
                        web_host: format!("{}.invalid", engine::random_token()),
                        register: None,
                        on_call_script: VecDeque::new(),
                    };
                    engine.run(inbox, received).await;
                }
                Err(cause) => {
                    let _ = ready.send(Err(cause));
                }
            }
        });
        let local = bound
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::Interrupted.into()))
            .map_err(|cause| PhoneError::Bind {
                phone: name.clone(),
                addr: bind,
                cause,
            })?;
        Ok(Self {
            name,
            local,
            commands,
            log,
        })
    }

    /// Where its SIP is bound (UDP and TCP).
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Registers for 300 s and waits until the registrar has accepted.
    pub async fn register(&self) -> Result<(), PhoneError> {
        self.register_for(300).await.map(|_| ())
    }

    /// Registers for this many seconds (0 unregisters) and waits for the final answer.
    pub async fn register_for(&self, expires_s: u32) -> Result<PhoneEvent, PhoneError> {
        let event = self.try_register(expires_s).await?;
        if let PhoneEvent::RegistrationRefused { .. } = event {
            return Err(PhoneError::Other {
                phone: self.name.clone(),
                what: "wanted to be registered".into(),
                got: event,
                ladder: self.ladder(),
            });
        }
        Ok(event)
    }

    /// Registers and returns the registrar's final answer, refusals included.
    pub async fn try_register(&self, expires_s: u32) -> Result<PhoneEvent, PhoneError> {
        let mark = self.mark();
        self.command(Command::Register { expires_s });
        let done = |e: &PhoneEvent| {
            matches!(
                e,
                PhoneEvent::Registered { .. } | PhoneEvent::RegistrationRefused { .. }
            )
        };
        self.wait_after(mark, "an answer of the registrar", done, REGISTER_WITHIN)
            .await
    }

    /// Calls a URI; returns as soon as the INVITE is sent.
    pub async fn dial(&self, uri: &str) -> Result<PhoneCall, PhoneError> {
        self.place(Dial::to(uri)).await
    }

    /// Places a call with everything one may want to set.
    pub async fn place(&self, dial: Dial) -> Result<PhoneCall, PhoneError> {
        let (reply, number) = oneshot::channel();
        self.command(Command::Dial {
            dial: Box::new(dial),
            reply,
        });
        let number = number
            .await
            .unwrap_or_else(|_| Err("the phone has stopped".into()));
        match number {
            Ok(number) => Ok(self.call(number)),
            Err(cause) => Err(PhoneError::Dial {
                phone: self.name.clone(),
                cause,
            }),
        }
    }

    /// Waits for the `n`th call (counted from 0) that reaches this phone.
    pub async fn incoming(&self, n: usize, within: Duration) -> Result<PhoneCall, PhoneError> {
        let mut seen = 0;
        let event = self
            .wait_for(
                "an incoming call",
                |e| {
                    let incoming = matches!(e, PhoneEvent::Incoming { .. });
                    seen += usize::from(incoming);
                    incoming && seen == n + 1
                },
                within,
            )
            .await?;
        Ok(self.call(event.call().expect("an incoming call has a number")))
    }

    /// Handle of a call by its number.
    fn call(&self, number: CallNumber) -> PhoneCall {
        PhoneCall {
            phone: self.clone(),
            number,
        }
    }

    /// Sends OPTIONS and returns the final status (408 when there is none).
    pub async fn options(&self, uri: &str, within: Duration) -> Result<u16, PhoneError> {
        let mark = self.mark();
        self.command(Command::Options {
            uri: uri.to_owned(),
        });
        let done = |e: &PhoneEvent| matches!(e, PhoneEvent::OutOfDialogAnswered { .. });
        match self
            .wait_after(mark, "an answer to OPTIONS", done, within)
            .await?
        {
            PhoneEvent::OutOfDialogAnswered { status, .. } => Ok(status),
            _ => Ok(0),
        }
    }

    /// What it does with calls from now on.
    pub fn set_on_call(&self, on_call: OnCall) {
        self.command(Command::SetOnCall(on_call));
    }

    /// What it does with the next calls, one entry each; afterwards as set before.
    pub fn set_script(&self, script: impl IntoIterator<Item = OnCall>) {
        self.command(Command::SetScript(script.into_iter().collect()));
    }

    /// How it misbehaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.command(Command::SetFaults(faults));
    }

    /// Sends these bytes from the phone's SIP socket.
    pub fn send_raw(&self, bytes: Vec<u8>, peer: Peer) {
        self.command(Command::SendRaw { bytes, peer });
    }

    /// Waits for the first event that matches, past ones included.
    pub async fn wait_for(
        &self,
        what: &str,
        matches: impl FnMut(&PhoneEvent) -> bool,
        within: Duration,
    ) -> Result<PhoneEvent, PhoneError> {
        self.wait_after(0, what, matches, within).await
    }

    /// Waits for the first event after `mark` that matches.
    pub async fn wait_after(
        &self,
        mark: usize,
        what: &str,
        matches: impl FnMut(&PhoneEvent) -> bool,
        within: Duration,
    ) -> Result<PhoneEvent, PhoneError> {
        match self.log.events.wait(mark, within, matches).await {
            Some((_, event)) => Ok(event),
            None => Err(self.timeout(what, within)),
        }
    }

    /// How many events there are; for [`Phone::wait_after`].
    pub fn mark(&self) -> usize {
        self.log.events.all().len()
    }

    /// All events so far with their time since the phone was started.
    pub fn events(&self) -> Vec<(Duration, PhoneEvent)> {
        self.log.events.all()
    }

    /// Every INVITE transaction outside a dialog that reached the phone, however it was answered.
    pub fn invites(&self) -> Vec<InviteSeen> {
        self.log.invites()
    }

    /// Every message sent and received.
    pub fn messages(&self) -> Vec<LadderLine> {
        self.log.lines()
    }

    /// Messages of one method or its responses, received (not sent) by the phone.
    pub fn received(&self, method: &str) -> Vec<LadderLine> {
        let of_method = |l: &LadderLine| {
            !l.sent
                && l.message
                    .as_ref()
                    .is_ok_and(|m| m.status().is_none() && m.method() == method)
        };
        self.log.lines().into_iter().filter(of_method).collect()
    }

    /// The drawing of all messages.
    pub fn ladder(&self) -> String {
        ladder::draw(&self.name, &self.log.lines())
    }

    fn command(&self, command: Command) {
        // The loop only ends with the last handle, and this is one.
        let _ = self.commands.send(command);
    }

    fn timeout(&self, what: &str, within: Duration) -> PhoneError {
        let events = self.events();
        let events: Vec<String> = events
            .iter()
            .map(|(at, e)| format!("{:.3}s {e:?}", at.as_secs_f64()))
            .collect();
        PhoneError::Timeout {
            phone: self.name.clone(),
            within,
            what: what.to_owned(),
            events: events.join(", "),
            ladder: self.ladder(),
        }
    }
}
