//! What a phone reports, in order, with the means to wait for it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Number of a call on one phone, counted from 0 in the order they began.
pub type CallNumber = usize;

/// Something that happened at the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneEvent {
    /// The registrar accepted us.
    Registered {
        /// Seconds granted; 0 after unregistering.
        expires_s: u32,
    },
    /// The registrar refused us for good.
    RegistrationRefused {
        /// Final status.
        status: u16,
    },
    /// Somebody calls.
    Incoming {
        /// The new call.
        call: CallNumber,
        /// From header.
        from: String,
    },
    /// A provisional answer to our INVITE.
    Progress {
        /// Our call.
        call: CallNumber,
        /// 100 to 199.
        status: u16,
    },
    /// Our INVITE was answered with 2xx, or we answered one.
    Answered {
        /// Which call.
        call: CallNumber,
    },
    /// The ACK for our 200 arrived.
    Confirmed {
        /// Which call.
        call: CallNumber,
    },
    /// Our INVITE was refused, timed out (status 408 made by us) or was cancelled (487).
    Failed {
        /// Which call.
        call: CallNumber,
        /// Final status.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// The caller gave up before we answered.
    Cancelled {
        /// Which call.
        call: CallNumber,
    },
    /// We refused the call.
    Refused {
        /// Which call.
        call: CallNumber,
        /// With this status.
        status: u16,
    },
    /// An answered call is over.
    Ended {
        /// Which call.
        call: CallNumber,
        /// Whether the other side said BYE.
        by_remote: bool,
        /// Status of the answer to our BYE, 408 when none came.
        status: Option<u16>,
    },
    /// The other side changed the media by re-INVITE; its direction, `sendonly` for hold.
    ReInvited {
        /// Which call.
        call: CallNumber,
        /// Direction in their offer.
        direction: &'static str,
    },
    /// Our own re-INVITE was answered.
    ReInviteAnswered {
        /// Which call.
        call: CallNumber,
        /// Final status.
        status: u16,
    },
    /// The first RTP packet of a call arrived.
    FirstRtp {
        /// Which call.
        call: CallNumber,
    },
    /// A keypad digit arrived (RFC 4733 or INFO).
    DigitHeard {
        /// Which call.
        call: CallNumber,
        /// 0 to 9, *, #, A to D.
        digit: char,
    },
    /// Some audio was played to its end.
    PlayFinished {
        /// Which call.
        call: CallNumber,
        /// The number `play` returned.
        play: u32,
    },
    /// A request outside any call was answered (OPTIONS).
    OutOfDialogAnswered {
        /// Method of the request.
        method: String,
        /// Final status, 408 when none came.
        status: u16,
    },
}

impl PhoneEvent {
    /// The call it is about, if any.
    pub fn call(&self) -> Option<CallNumber> {
        match self {
            Self::Registered { .. }
            | Self::RegistrationRefused { .. }
            | Self::OutOfDialogAnswered { .. } => None,
            Self::Incoming { call, .. }
            | Self::Progress { call, .. }
            | Self::Answered { call }
            | Self::Confirmed { call }
            | Self::Failed { call, .. }
            | Self::Cancelled { call }
            | Self::Refused { call, .. }
            | Self::Ended { call, .. }
            | Self::ReInvited { call, .. }
            | Self::ReInviteAnswered { call, .. }
            | Self::FirstRtp { call }
            | Self::DigitHeard { call, .. }
            | Self::PlayFinished { call, .. } => Some(*call),
        }
    }

    /// Whether the call it is about is over with it.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::Cancelled { .. }
                | Self::Refused { .. }
                | Self::Ended { .. }
        )
    }
}

/// All events of a phone.
#[derive(Debug)]
pub(super) struct EventLog {
    started: Instant,
    events: Mutex<Vec<(Duration, PhoneEvent)>>,
    count: watch::Sender<usize>,
}

impl EventLog {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            events: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }

    pub(super) fn push(&self, event: PhoneEvent) {
        let mut events = self.events.lock().expect("no holder of this lock panics");
        events.push((self.started.elapsed(), event));
        self.count.send_replace(events.len());
    }

    pub(super) fn all(&self) -> Vec<(Duration, PhoneEvent)> {
        self.events
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// The first event from `mark` on that matches, waiting for it when it has not happened yet.
    pub(super) async fn wait(
        &self,
        mark: usize,
        within: Duration,
        mut matches: impl FnMut(&PhoneEvent) -> bool,
    ) -> Option<(Duration, PhoneEvent)> {
        let mut changed = self.count.subscribe();
        let deadline = tokio::time::Instant::now() + within;
        let mut next = mark;
        loop {
            changed.borrow_and_update();
            {
                let events = self.events.lock().expect("no holder of this lock panics");
                while next < events.len() {
                    if matches(&events[next].1) {
                        return Some(events[next].clone());
                    }
                    next += 1;
                }
            }
            match tokio::time::timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }
}
