//! A bad network between a phone and the gateway: loses, delays, doubles and reorders datagrams by
//! a seed, each way for itself, and counts exactly what it did.
//!
//! [`UdpRelay`] knows nothing of what passes. [`SipRelay`] stands between a SIP phone and the
//! gateway and takes the audio along: like an application level gateway it writes itself into SDP
//! and Contact, so any phone (the lab's, baresip) needs nothing but the relay's address as its
//! server, and neither side sends past it. Signalling and audio are impaired separately. RTCP (the
//! next odd port) passes with the same impairment as the audio and is not counted with it.
//!
//! The same seed and the same order of datagrams give the same fates ([`fate`]); only delays depend
//! on the machine's clock.

mod fate;
mod line;
mod pipe;
mod sip;

use std::io;
use std::net::SocketAddr;

pub use fate::{Fate, Fates, Impairment};
pub use line::Counts;
use pipe::{Ends, Pipe};
pub use sip::{SipRelay, SipRelaySettings};

/// Something for each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BothWays<T> {
    /// From the phone to the gateway.
    pub to_gateway: T,
    /// From the gateway to the phone.
    pub to_phone: T,
}

impl<T: Copy> BothWays<T> {
    /// The same both ways.
    pub fn same(what: T) -> Self {
        Self {
            to_gateway: what,
            to_phone: what,
        }
    }
}

/// A relay for datagrams of any kind between one client and one server; it ends when dropped.
#[derive(Debug)]
pub struct UdpRelay {
    pipe: Pipe,
}

impl UdpRelay {
    /// Opens a relay on loopback in front of `server`; whoever sent last is the client.
    pub fn open(server: SocketAddr, how: BothWays<Impairment>, seed: u64) -> io::Result<Self> {
        let ends = Ends {
            phone: None,
            gateway: Some(server),
            learn_phone: true,
        };
        let sockets = [pipe::bind()?, pipe::bind()?];
        let pipe = Pipe::start(sockets, ends, how, seed, Box::new(|_, _, bytes| bytes))?;
        Ok(Self { pipe })
    }

    /// What the client takes for the server.
    pub fn addr(&self) -> SocketAddr {
        self.pipe.front
    }

    /// What the server takes for the client.
    pub fn client_as_seen(&self) -> SocketAddr {
        self.pipe.back
    }

    /// What happened so far.
    pub fn counts(&self) -> BothWays<Counts> {
        self.pipe.counts()
    }
}
