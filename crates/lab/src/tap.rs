//! A wire tap between one phone and the gateway: forwards UDP both ways and counts what passes.
//!
//! The phone takes the tap for its server. The tap writes its own address into the phone's
//! Contact, so that the gateway's INVITEs pass through it as well; nothing else is changed. A
//! phone's own log says what the phone made of a message, the tap says what was on the wire.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::phone::message::{SipMessage, StartLine};

/// One datagram that passed.
#[derive(Debug, Clone)]
pub struct Tapped {
    /// Time since the tap was opened.
    pub at: Duration,
    /// From the gateway to the phone.
    pub to_phone: bool,
    /// As parsed; keep-alives and other non-SIP datagrams are not listed.
    pub message: SipMessage,
}

/// A running tap; it ends when dropped.
#[derive(Debug)]
pub struct SipTap {
    front: SocketAddr,
    back: SocketAddr,
    started: Instant,
    seen: Arc<Mutex<Vec<Tapped>>>,
    task: JoinHandle<()>,
}

impl Drop for SipTap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SipTap {
    /// Opens a tap in front of a gateway.
    pub async fn open(gateway: SocketAddr) -> io::Result<Self> {
        let (ready, opened) = tokio::sync::oneshot::channel();
        let started = Instant::now();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = crate::runtime().spawn(async move {
            let sockets = async {
                let front = UdpSocket::bind("127.0.0.1:0").await?;
                let back = UdpSocket::bind("127.0.0.1:0").await?;
                let addresses = (front.local_addr()?, back.local_addr()?);
                Ok::<_, io::Error>((front, back, addresses))
            };
            match sockets.await {
                Ok((front, back, addresses)) => {
                    // Nobody waiting means the tap was given up; the task is aborted with it.
                    let _ = ready.send(Ok(addresses));
                    forward(front, back, gateway, started, log).await;
                }
                Err(e) => {
                    let _ = ready.send(Err(e));
                }
            }
        });
        let (front, back) = opened
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
        Ok(Self {
            front,
            back,
            started,
            seen,
            task,
        })
    }

    /// What the phone uses as its server.
    pub fn addr(&self) -> SocketAddr {
        self.front
    }

    /// What the gateway takes for the phone.
    pub fn phone_as_seen(&self) -> SocketAddr {
        self.back
    }

    /// Everything that passed, in order.
    pub fn messages(&self) -> Vec<Tapped> {
        self.seen
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// Requests of a method that went to the phone, one per transaction (branch and Call-ID):
    /// retransmissions are left out. For INVITE those inside a dialog are left out as well.
    pub fn requests_to_phone(&self, method: &str) -> Vec<Tapped> {
        let mut found: Vec<Tapped> = Vec::new();
        for tapped in self.messages() {
            let message = &tapped.message;
            let wanted = tapped.to_phone
                && message.status().is_none()
                && message.method() == method
                && (method != "INVITE" || message.to_tag().is_none());
            let known = found.iter().any(|f| {
                f.message.branch() == message.branch() && f.message.call_id() == message.call_id()
            });
            if wanted && !known {
                found.push(tapped);
            }
        }
        found
    }

    /// INVITE transactions that went to the phone.
    pub fn invites_to_phone(&self) -> usize {
        self.requests_to_phone("INVITE").len()
    }

    /// Time since the tap was opened, as in [`Tapped::at`].
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the condition over all messages holds; the error draws what passed.
    pub async fn wait_for(
        &self,
        what: &str,
        holds: impl Fn(&[Tapped]) -> bool,
        within: Duration,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        while !holds(&self.messages()) {
            if Instant::now() > deadline {
                return Err(format!(
                    "waited {within:?} in vain for: {what}\n{}",
                    self.ladder()
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The drawing of all that passed.
    pub fn ladder(&self) -> String {
        let mut out = String::from("on the wire between gateway and phone:\n");
        for t in self.messages() {
            let arrow = if t.to_phone {
                "gateway --> phone"
            } else {
                "gateway <-- phone"
            };
            out.push_str(&format!(
                "  {:8.3}s {arrow}  {}  [CSeq {}, {}]\n",
                t.at.as_secs_f64(),
                t.message,
                t.message.header("CSeq"),
                t.message.call_id()
            ));
        }
        out
    }
}

async fn forward(
    front: UdpSocket,
    back: UdpSocket,
    gateway: SocketAddr,
    started: Instant,
    seen: Arc<Mutex<Vec<Tapped>>>,
) {
    let mut phone: Option<SocketAddr> = None;
    let Ok(back_addr) = back.local_addr() else {
        return;
    };
    let (mut from_phone, mut from_gateway) = (vec![0; 65_536], vec![0; 65_536]);
    let note = |message: SipMessage, to_phone: bool| {
        let tapped = Tapped {
            at: started.elapsed(),
            to_phone,
            message,
        };
        seen.lock()
            .expect("no holder of this lock panics")
            .push(tapped);
    };
    loop {
        tokio::select! {
            got = front.recv_from(&mut from_phone) => {
                let Ok((len, from)) = got else { continue };
                phone = Some(from);
                let bytes = match SipMessage::parse(&from_phone[..len]) {
                    Ok(mut message) => {
                        let contact = message.header("Contact").to_owned();
                        if contact.contains(&from.to_string()) {
                            let ours = contact.replace(&from.to_string(), &back_addr.to_string());
                            message.set("Contact", ours);
                        }
                        let bytes = message.to_bytes();
                        note(message, false);
                        bytes
                    }
                    Err(_) => from_phone[..len].to_vec(),
                };
                // A gateway that is down (it may just be restarted) loses datagrams, as on a wire.
                let _ = back.send_to(&bytes, gateway).await;
            }
            got = back.recv_from(&mut from_gateway) => {
                let (Ok((len, _)), Some(to)) = (got, phone) else { continue };
                let bytes = match SipMessage::parse(&from_gateway[..len]) {
                    Ok(mut message) => {
                        if let StartLine::Request { uri, .. } = &mut message.start {
                            *uri = uri.replace(&back_addr.to_string(), &to.to_string());
                        }
                        let bytes = message.to_bytes();
                        note(message, true);
                        bytes
                    }
                    Err(_) => from_gateway[..len].to_vec(),
                };
                let _ = front.send_to(&bytes, to).await;
            }
        }
    }
}
